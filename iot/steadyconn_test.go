package iot

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"iotwire/internal/testbroker"
)

// slowly reads from conn, n bytes after each pause, until the end.
func slowly(conn net.Conn, n int, pause time.Duration) (total int) {
	b := make([]byte, n)
	for {
		time.Sleep(pause)
		n, err := conn.Read(b)
		total += n
		if err != nil {
			return total
		}
	}
}

func TestSteadyConnGoesOnWhileBytesMove(t *testing.T) {
	const size = 20_000
	write := func(wrap func(net.Conn) net.Conn) (n int, took time.Duration, read int, err error) {
		client, server := testbroker.NewPipe(1000)
		var reader sync.WaitGroup
		reader.Go(func() { read = slowly(server, 100, 4*time.Second) })
		conn := wrap(client)
		_ = conn.SetWriteDeadline(time.Now().Add(10 * time.Second))
		began := time.Now()
		n, err = conn.Write(make([]byte, size))
		took = time.Since(began)
		conn.Close()
		reader.Wait()
		return n, took, read, err
	}
	synctest.Test(t, func(t *testing.T) {
		n, took, read, err := write(func(c net.Conn) net.Conn { return &steadyConn{conn: c} })
		if n != size || err != nil || read != size {
			t.Errorf("wrote %d bytes, %v; %d bytes came, want %d and no error", n, err, read, size)
		}
		if took < 10*time.Minute {
			t.Errorf("took %v, want more than 10 min at 25 bytes a second", took)
		}
		// The same without it fails: this test can fail.
		if _, _, _, err = write(func(c net.Conn) net.Conn { return c }); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("without: %v, want a time-out", err)
		}
	})
}

func TestSteadyConnFailsWhenNothingMoves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, server := testbroker.NewPipe(1000)
		defer server.Close()
		conn := &steadyConn{conn: client}
		defer conn.Close()
		_ = conn.SetWriteDeadline(time.Now().Add(10 * time.Second))
		began := time.Now()
		n, err := conn.Write(make([]byte, 5000)) // a thousand bytes move, then none
		if took := time.Since(began); n != 1000 || !errors.Is(err, os.ErrDeadlineExceeded) || took != 20*time.Second {
			t.Errorf("%d bytes, %v after %v, want 1000 and a time-out after 20 s", n, err, took)
		}
		_ = conn.SetWriteDeadline(time.Now().Add(10 * time.Second))
		began = time.Now()
		n, err = conn.Write(make([]byte, 5000))
		if took := time.Since(began); n != 0 || !errors.Is(err, os.ErrDeadlineExceeded) || took != 10*time.Second {
			t.Errorf("%d bytes, %v after %v, want none and a time-out after 10 s", n, err, took)
		}
	})
}

// A record of TLS ends just before the deadline, and the next one begins just behind it: bytes moved all the time.
func TestSteadyConnCountsWhatMovedInEarlierWrites(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, server := testbroker.NewPipe(1000)
		conn := &steadyConn{conn: client}
		_ = conn.SetWriteDeadline(time.Now().Add(10 * time.Second))
		if _, err := conn.Write(make([]byte, 1000)); err != nil {
			t.Fatal(err)
		}
		time.Sleep(11 * time.Second)
		var reader sync.WaitGroup
		reader.Go(func() { slowly(server, 500, time.Second) })
		if _, err := conn.Write(make([]byte, 1000)); err != nil {
			t.Error(err)
		}
		conn.Close()
		reader.Wait()
	})
}

func TestSteadyConnEndsAtOnceWhenTold(t *testing.T) {
	for what, tell := range map[string]func(c *steadyConn){
		"a deadline that is past": func(c *steadyConn) { _ = c.SetWriteDeadline(time.Unix(1, 0)) },
		"both deadlines":          func(c *steadyConn) { _ = c.SetDeadline(time.Unix(1, 0)) },
		"Close":                   func(c *steadyConn) { _ = c.Close() },
	} {
		synctest.Test(t, func(t *testing.T) {
			client, server := testbroker.NewPipe(1000)
			defer server.Close()
			conn := &steadyConn{conn: client}
			_ = conn.SetWriteDeadline(time.Now().Add(10 * time.Second))
			time.AfterFunc(3*time.Second, func() { tell(conn) })
			began := time.Now()
			_, err := conn.Write(make([]byte, 5000))
			if took := time.Since(began); err == nil || took != 3*time.Second {
				t.Errorf("%s: %v after %v, want an error after 3 s", what, err, took)
			}
			conn.Close()
		})
	}
}

func TestSteadyConnWithoutDeadlineWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, server := testbroker.NewPipe(1000)
		conn := &steadyConn{conn: client}
		_ = conn.SetWriteDeadline(time.Now().Add(time.Second))
		_ = conn.SetWriteDeadline(time.Time{})
		var reader sync.WaitGroup
		reader.Go(func() { slowly(server, 5000, time.Hour) })
		if _, err := conn.Write(make([]byte, 5000)); err != nil {
			t.Error(err)
		}
		conn.Close()
		reader.Wait()
	})
}

func TestSteadyConnPassesErrorsOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, server := testbroker.NewPipe(1000)
		server.Close()
		conn := &steadyConn{conn: client}
		_ = conn.SetWriteDeadline(time.Now().Add(time.Second))
		if n, err := conn.Write(make([]byte, 5000)); n != 0 || err == nil {
			t.Errorf("%d, %v, want the error of the pipe", n, err)
		}
		conn.Close()
	})
}

// throttled is a connection that reads at most n bytes after each pause.
type throttled struct {
	net.Conn
	n     int
	pause time.Duration
}

func (c *throttled) Read(p []byte) (int, error) {
	time.Sleep(c.pause)
	return c.Conn.Read(p[:min(len(p), c.n)])
}

// secure connects to a TLS server over a pipe that holds 4000 bytes. It returns the client's connection, of package tls
// alone if bare is set, the server's, and what the server reads through.
func secure(t *testing.T, bare bool) (client net.Conn, raw *testbroker.Conn, server *tls.Conn, reader *throttled) {
	t.Helper()
	w := newWorld()
	raw, far := testbroker.NewPipe(4000)
	reader = &throttled{far, 1 << 20, 0}
	server = tls.Server(reader, w.listen(t, w.server).tls)
	var shaking sync.WaitGroup
	shaking.Go(func() {
		if err := server.Handshake(); err != nil {
			t.Error(err)
		}
	})
	c := w.config()
	c.DialContext = func(context.Context, string, string) (net.Conn, error) { return raw, nil }
	var err error
	if bare {
		c := tls.Client(raw, tlsConfig(must(c.Server()), c.Credentials, time.Now))
		client, err = c, c.Handshake()
	} else {
		client, err = must(c.MQTT()).Dial(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
	shaking.Wait()
	return client, raw, server, reader
}

// Package tls is of no use after a Write that timed out: beneath it, the deadline has to count progress.
func TestTLSOverASlowNetworkDeliversAll(t *testing.T) {
	const size = 40_000
	for _, bare := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			client, _, server, reader := secure(t, bare)
			reader.n, reader.pause = 100, 4*time.Second
			var work sync.WaitGroup
			read := 0
			work.Go(func() {
				b, _ := io.ReadAll(server)
				read = len(b)
			})
			_ = client.SetWriteDeadline(time.Now().Add(10 * time.Second))
			n, err := client.Write(make([]byte, size))
			if bare { // so that this test can fail
				if !errors.Is(err, os.ErrDeadlineExceeded) {
					t.Errorf("package tls alone: %v, want a time-out", err)
				}
			} else if n != size || err != nil {
				t.Errorf("%d bytes, %v", n, err)
			}
			client.Close()
			work.Wait()
			if !bare && read != size {
				t.Errorf("%d bytes came, want %d", read, size)
			}
			server.Close()
		})
	}
}

func TestTLSCloseDoesNotWaitForADeadNetwork(t *testing.T) {
	for _, bare := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			client, raw, server, _ := secure(t, bare)
			_ = raw.SetWriteDeadline(time.Now().Add(time.Second))
			if n, err := raw.Write(make([]byte, 5000)); n == 5000 || err == nil {
				t.Fatal("the pipe is not full")
			}
			_ = client.SetDeadline(time.Unix(1, 0)) // as package mqtt does
			began := time.Now()
			_ = client.Close()
			want := closeTimeout
			if bare { // so that this test can fail
				want = 5 * time.Second
			}
			if took := time.Since(began); took != want {
				t.Errorf("Close took %v, want %v", took, want)
			}
			server.NetConn().Close()
		})
	}
}

func TestTLSCloseSaysGoodBye(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, _, server, _ := secure(t, false)
		if err := client.Close(); err != nil {
			t.Error(err)
		}
		if _, err := server.Read(make([]byte, 1)); err != io.EOF { // not io.ErrUnexpectedEOF
			t.Errorf("the server read %v, want the end", err)
		}
		server.Close()
	})
}

// Over a real socket, which has buffers of its own size.
func TestSteadyConnOverTCP(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	const size = 4 << 20
	read := make(chan int, 1)
	go func() {
		conn, err := l.Accept()
		if err != nil {
			read <- 0
			return
		}
		defer conn.Close()
		_ = conn.(*net.TCPConn).SetReadBuffer(64 << 10)
		read <- slowly(conn, 32<<10, 10*time.Millisecond)
	}()
	raw, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	_ = raw.(*net.TCPConn).SetWriteBuffer(64 << 10)
	conn := &steadyConn{conn: raw}
	_ = conn.SetWriteDeadline(time.Now().Add(time.Second))
	began := time.Now()
	if n, err := conn.Write(make([]byte, size)); n != size || err != nil {
		t.Errorf("%d bytes, %v after %v", n, err, time.Since(began))
	}
	if took := time.Since(began); took < time.Second {
		t.Logf("took only %v: this network is too fast to say anything", took)
	}
	conn.Close()
	if n := <-read; n != size {
		t.Errorf("%d bytes came, want %d", n, size)
	}
}
