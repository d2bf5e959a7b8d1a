package testbroker

import (
	"bytes"
	"crypto/rand"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

func TestPipeCarriesBytesBothWays(t *testing.T) {
	client, server := Pipe()
	for _, ends := range [][2]net.Conn{{client, server}, {server, client}} {
		if _, err := ends[0].Write([]byte("hello")); err != nil {
			t.Fatal(err)
		}
		got := make([]byte, 5)
		if _, err := io.ReadFull(ends[1], got); err != nil || string(got) != "hello" {
			t.Fatalf("read %q, %v", got, err)
		}
	}
	if client.LocalAddr().String() != server.RemoteAddr().String() || client.LocalAddr().Network() != "memory" {
		t.Errorf("addresses %v and %v do not match", client.LocalAddr(), server.RemoteAddr())
	}
}

func TestPipeKeepsOrderThroughSmallBuffer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, server := NewPipe(7)
		want := make([]byte, 10_000)
		rand.Read(want)
		go func() {
			for i := 0; i < len(want); {
				n := min(1+i%23, len(want)-i)
				if m, err := client.Write(want[i : i+n]); m != n || err != nil {
					t.Errorf("write of %d bytes: %d, %v", n, m, err)
				}
				i += n
			}
			client.Close()
		}()
		got, err := io.ReadAll(server)
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("%d bytes came, %v; want the %d bytes sent", len(got), err, len(want))
		}
	})
}

func TestPipeWriteIsWhole(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, server := NewPipe(3)
		var writers sync.WaitGroup
		for c := byte('a'); c < 'f'; c++ {
			writers.Go(func() { client.Write(bytes.Repeat([]byte{c}, 10)) })
		}
		go func() {
			writers.Wait()
			client.CloseWrite()
		}()
		got, _ := io.ReadAll(server)
		if len(got) != 50 {
			t.Fatalf("%d bytes came, want 50", len(got))
		}
		for i := range 5 {
			part := got[i*10 : i*10+10]
			if !bytes.Equal(part, bytes.Repeat(part[:1], 10)) {
				t.Fatalf("writes are mixed: %q", got)
			}
		}
	})
}

func TestPipeDeadlines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, server := NewPipe(4)
		start := time.Now()
		check := func(what string, err error, after time.Duration) {
			t.Helper()
			var timeout net.Error
			if !errors.Is(err, os.ErrDeadlineExceeded) || !errors.As(err, &timeout) || !timeout.Timeout() {
				t.Errorf("%s: %v, want a time-out", what, err)
			}
			if took := time.Since(start); took != after {
				t.Errorf("%s ended after %v, want %v", what, took, after)
			}
		}
		server.SetReadDeadline(start.Add(time.Second))
		_, err := server.Read(make([]byte, 1))
		check("read", err, time.Second)

		client.SetWriteDeadline(start.Add(3 * time.Second))
		n, err := client.Write([]byte("123456"))
		check("write", err, 3*time.Second)
		if n != 4 {
			t.Errorf("write says %d bytes, want the 4 that fit", n)
		}

		// A deadline that is over is one even if there are bytes, and can be lifted.
		_, err = server.Read(make([]byte, 1))
		check("second read", err, 3*time.Second)
		server.SetReadDeadline(time.Time{})
		if n, err := server.Read(make([]byte, 9)); n != 4 || err != nil {
			t.Errorf("read after the deadline was lifted: %d, %v", n, err)
		}

		// A deadline set while Read waits counts for it; a later one replaces it.
		server.SetReadDeadline(time.Now().Add(time.Hour))
		go func() {
			time.Sleep(time.Second)
			server.SetReadDeadline(time.Now().Add(time.Second))
		}()
		_, err = server.Read(make([]byte, 1))
		check("third read", err, 5*time.Second)
	})
}

func TestPipeCloseDeliversWhatWasWritten(t *testing.T) {
	client, server := Pipe()
	client.Write([]byte("bye"))
	if err := client.Close(); err != nil {
		t.Error(err)
	}
	if err := client.Close(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("second close: %v, want net.ErrClosed", err)
	}
	if got, err := io.ReadAll(server); string(got) != "bye" || err != nil {
		t.Errorf("other end read %q, %v", got, err)
	}
	if _, err := server.Write([]byte("?")); !errors.Is(err, syscall.EPIPE) {
		t.Errorf("other end's write: %v, want EPIPE", err)
	}
	if _, err := client.Read(make([]byte, 1)); !errors.Is(err, net.ErrClosed) {
		t.Errorf("read after close: %v, want net.ErrClosed", err)
	}
	if _, err := client.Write(nil); !errors.Is(err, net.ErrClosed) {
		t.Errorf("write after close: %v, want net.ErrClosed", err)
	}
	if err := client.SetDeadline(time.Now()); !errors.Is(err, net.ErrClosed) {
		t.Errorf("deadline after close: %v, want net.ErrClosed", err)
	}
	if err := server.Close(); err != nil {
		t.Errorf("close of the other end: %v", err)
	}
}

func TestPipeCloseWakesTheWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, closer := range []string{"this end", "other end"} {
			client, server := NewPipe(1)
			var wait sync.WaitGroup
			var readErr, writeErr error
			wait.Go(func() { _, readErr = client.Read(make([]byte, 1)) })
			wait.Go(func() { _, writeErr = client.Write([]byte("too long")) })
			synctest.Wait()
			wantRead, wantWrite := net.ErrClosed, net.ErrClosed
			if closer == "this end" {
				client.Close()
			} else {
				server.Close()
				wantRead, wantWrite = io.EOF, syscall.EPIPE
			}
			wait.Wait()
			if !errors.Is(readErr, wantRead) || !errors.Is(writeErr, wantWrite) {
				t.Errorf("closed by %s: read %v, want %v; write %v, want %v", closer, readErr, wantRead, writeErr, wantWrite)
			}
		}
	})
}

func TestPipeCloseWriteIsHalf(t *testing.T) {
	client, server := NewPipe(100)
	client.CloseWrite()
	if _, err := server.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("read: %v, want io.EOF", err)
	}
	if _, err := client.Write([]byte("x")); !errors.Is(err, syscall.EPIPE) {
		t.Errorf("write after CloseWrite: %v, want EPIPE", err)
	}
	server.Write([]byte("answer"))
	got := make([]byte, 6)
	if _, err := io.ReadFull(client, got); err != nil || string(got) != "answer" {
		t.Errorf("the other direction gave %q, %v", got, err)
	}
	if err := client.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
}

func TestPipeReset(t *testing.T) {
	client, server := NewPipe(100)
	client.Write([]byte("lost"))
	client.Reset(nil)
	if n, err := server.Read(make([]byte, 9)); n != 0 || !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("read: %d, %v, want ECONNRESET", n, err)
	}
	if _, err := server.Write([]byte("x")); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("write: %v, want ECONNRESET", err)
	}
	if _, err := client.Read(make([]byte, 9)); !errors.Is(err, net.ErrClosed) {
		t.Errorf("read of the end that was reset: %v, want net.ErrClosed", err)
	}
	if err := server.Close(); err != nil {
		t.Errorf("close: %v", err)
	}

	own := errors.New("cable cut")
	client, server = NewPipe(100)
	server.Reset(own)
	if _, err := client.Read(make([]byte, 1)); !errors.Is(err, own) {
		t.Errorf("read: %v, want the error given to Reset", err)
	}
}

func TestPipeBlackhole(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, server := NewPipe(4)
		client.Blackhole()
		client.SetWriteDeadline(time.Now().Add(time.Second))
		if n, err := client.Write([]byte("123456")); n != 4 || !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("write: %d, %v, want 4 bytes and a time-out", n, err)
		}
		client.CloseWrite()
		server.SetReadDeadline(time.Now().Add(time.Hour))
		if n, err := server.Read(make([]byte, 9)); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("read: %d, %v, want nothing to arrive", n, err)
		}
		server.SetReadDeadline(time.Time{})
		server.Restore()
		if got, err := io.ReadAll(server); string(got) != "1234" || err != nil {
			t.Errorf("after Restore: %q, %v", got, err)
		}
	})
}
