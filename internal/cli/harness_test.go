package cli

import (
	"bytes"
	"context"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"iotwire/internal/testbroker"
	"iotwire/mqtt/packet"
)

// trial is a program at work in a test.
type trial struct {
	t       *testing.T
	stdout  buffer
	stderr  buffer
	signals chan os.Signal
	done    chan struct{}
	exit    ExitCode // when done
}

// buffer is a bytes.Buffer for several goroutines.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

type dial func(ctx context.Context, network, address string) (net.Conn, error)

// to makes a dial of a broker's.
func to(dial func(context.Context) (net.Conn, error)) dial {
	return func(ctx context.Context, _, _ string) (net.Conn, error) { return dial(ctx) }
}

// start starts a program with a client id that is the same each time. change may make it different in other ways.
func start(t *testing.T, main func(*Process) ExitCode, dial dial, change func(*Process), args ...string) *trial {
	r := &trial{t: t, signals: make(chan os.Signal, 2), done: make(chan struct{})}
	p := &Process{
		Args:    append([]string{"-e", "mqtt://localhost", "--client-id", "me"}, args...),
		Getenv:  func(string) string { return "" },
		Stdin:   strings.NewReader(""),
		Stdout:  &r.stdout,
		Stderr:  &r.stderr,
		Signals: r.signals,

		TerminalError: true, // somebody watches
		Columns:       100,

		dial: dial,
	}
	if change != nil {
		change(p)
	}
	go func() {
		r.exit = main(p)
		close(r.done)
	}()
	return r
}

// run is start, and the wait for the end.
func run(t *testing.T, main func(*Process) ExitCode, dial dial, change func(*Process), args ...string) *trial {
	t.Helper()
	r := start(t, main, dial, change, args...)
	r.wait()
	return r
}

func stdin(r io.Reader) func(*Process) { return func(p *Process) { p.Stdin = r } }

// wait waits for the end of the program, which has to come within a day.
func (r *trial) wait() {
	r.t.Helper()
	select {
	case <-r.done:
	case <-time.After(24 * time.Hour):
		r.t.Fatalf("it does not end; it said:\n%s", r.stderr.String())
	}
}

// ended fails unless the program has ended with code, and its standard error ends with the lines last.
func (r *trial) ended(code ExitCode, last ...string) {
	r.t.Helper()
	r.wait()
	stderr := r.stderr.String()
	if want := strings.Join(last, "\n") + "\n"; r.exit != code || len(last) > 0 && !strings.HasSuffix("\n"+stderr, "\n"+want) {
		r.t.Errorf("exit code %d, stderr:\n%s\nwant exit code %d, and at the end:\n%s", r.exit, stderr, code, want)
	}
}

// said fails unless standard error has line as one of its lines.
func (r *trial) said(line string) {
	r.t.Helper()
	if !strings.Contains("\n"+r.stderr.String(), "\n"+line+"\n") {
		r.t.Errorf("it did not say %q, but:\n%s", line, r.stderr.String())
	}
}

// peer is the server's side of a connection.
type peer struct {
	net.Conn
	number int // of the connection: 1, 2, ...
	r      *packet.Reader
}

// script is a server that answers each packet as handle says, and hangs up when that returns false.
func script(handle func(p *peer, h packet.Header, body []byte) bool) dial {
	number := 0
	return func(context.Context, string, string) (net.Conn, error) {
		client, server := testbroker.Pipe()
		number++
		p := &peer{server, number, packet.NewReader(server, 1<<20)}
		go func() {
			defer server.Close()
			for {
				h, body, err := p.r.Next()
				if err != nil || !handle(p, h, body) {
					return
				}
			}
		}()
		return client, nil
	}
}

// obey answers as a good server does.
func (p *peer) obey(h packet.Header, body []byte) bool {
	var b []byte
	switch h.Type {
	case packet.CONNECT:
		b, _ = packet.AppendConnack(nil, &packet.Connack{})
	case packet.SUBSCRIBE:
		s, _ := packet.ParseSubscribe(body)
		var codes []byte
		for _, q := range s.Requests.All() {
			codes = append(codes, byte(q))
		}
		b, _ = packet.AppendSuback(nil, &packet.Suback{ID: s.ID, Codes: codes})
	case packet.PUBLISH:
		if m, _ := packet.ParsePublish(h.Flags, body); m.QoS == packet.QoS1 {
			b, _ = packet.AppendPuback(nil, &packet.Puback{ID: m.ID})
		}
	case packet.PINGREQ:
		b = packet.AppendPingresp(nil)
	case packet.DISCONNECT:
		return false
	}
	p.Write(b)
	return true
}
