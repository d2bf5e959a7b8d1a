package cli

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"iotwire/mqtt"
	"iotwire/mqtt/dissect"
)

func (o *connection) traceOption() Option {
	return Option{Name: "trace", Metavar: "STYLE", Value: &o.traceStyle, Optional: "full", Choices: []string{"brief", "full", "why", "hex"},
		Help: "show each packet on stderr: brief, full, why, or hex for dissect"}
}

func (o *connection) traceFileOption() Option {
	return Option{Name: "trace-file", Metavar: "FILE", Value: &o.traceFile, Help: "write the trace here, over what was there"}
}

// tracer prints and records the packets of each connection, in both directions, with a reading of the bytes that shares
// nothing with the client's own. A nil *tracer does nothing, and costs nothing.
type tracer struct {
	*recording
	mu          sync.Mutex
	shown       bool // printed, and not only recorded
	layout      dissect.Layout
	out         io.Writer // nil: the console
	file        *os.File
	connections int
}

// openTrace returns the tracer of connections to server that the options ask for, or nil.
func (o *connection) openTrace(p *Process, log *console, server string) (*tracer, error) {
	t := &tracer{shown: o.traceStyle != "" || o.traceFile != ""}
	if !t.shown && o.page == "" && o.pcap == "" {
		return nil, nil
	}
	var err error
	if t.recording, err = o.openRecording(p, log, server); err != nil {
		return nil, err
	}
	t.layout = dissect.Layout{
		Style: map[string]dissect.Style{"brief": dissect.Brief, "why": dissect.Why, "hex": dissect.Hex}[o.traceStyle],
		ASCII: !UTF8(p),
		Times: true,
	}
	t.layout.Width, _ = strconv.Atoi(p.Getenv("COLUMNS"))
	if o.traceFile == "" {
		t.layout.Color = p.TerminalError && p.Getenv("NO_COLOR") == ""
		return t, nil
	}
	if t.layout.Width == 0 {
		t.layout.Width = 100
	}
	f, err := create(o.traceFile)
	if err != nil {
		return nil, err
	}
	t.out, t.file = f, f
	return t, nil
}

// close writes the page, and closes the files. If one could not be written, a code that says that all was done says so no
// longer.
func (t *tracer) close(code *ExitCode) {
	if t == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.file != nil {
		t.file.Close()
	}
	if err := t.recording.close(); err != nil {
		t.log.fail(err.Error())
		if *code == ExitDone {
			*code = ExitLocal
		}
	}
}

// attach traces each connection that cfg dials from now on, on the plaintext side of TLS.
func (t *tracer) attach(cfg *mqtt.Config) {
	if t == nil {
		return
	}
	dial := cfg.Dial
	cfg.Dial = func(ctx context.Context) (net.Conn, error) {
		conn, err := dial(ctx)
		if err != nil {
			return nil, err
		}
		t.mu.Lock()
		defer t.mu.Unlock()
		if t.connections++; t.connections > 1 {
			t.print(fmt.Sprintf("# connection %d\n", t.connections))
		}
		return &tracedConn{Conn: conn, t: t, began: time.Now(), record: t.begin(t.connections, conn)}, nil
	}
}

// print writes one packet's lines in one write. Who closed the output does not want to know.
func (t *tracer) print(text string) {
	if !t.shown {
		return
	}
	if t.out == nil {
		t.log.print(strings.TrimSuffix(text, "\n"))
		return
	}
	io.WriteString(t.out, text)
}

// tracedConn is a connection whose bytes are traced. What is sent is printed before it is written, as the answer could
// overtake it, and what is received before anybody judges it.
type tracedConn struct {
	net.Conn
	t       *tracer
	began   time.Time
	session dissect.Session // guarded by t.mu
	record  record          // guarded by t.mu
	closed  bool            // guarded by t.mu
}

func (c *tracedConn) Write(b []byte) (int, error) {
	c.add(dissect.ToServer, b)
	n, err := c.Conn.Write(b)
	if err != nil {
		c.t.mu.Lock()
		defer c.t.mu.Unlock()
		c.t.print(fmt.Sprintf("# %d of these last %d bytes were written: %v\n", n, len(b), err))
	}
	return n, err
}

func (c *tracedConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if n > 0 {
		c.add(dissect.ToClient, b[:n])
	}
	return n, err
}

func (c *tracedConn) add(d dissect.Direction, b []byte) {
	at := time.Since(c.began)
	c.t.mu.Lock()
	defer c.t.mu.Unlock()
	for _, p := range c.session.Add(d, at, b) {
		c.show(&p)
	}
}

// show prints and records a packet.
func (c *tracedConn) show(p *dissect.Packet) {
	if c.t.shown {
		c.t.print(string(c.t.layout.Append(nil, p)))
	}
	c.t.add(&c.record, p)
}

// Close prints what was cut short, and what waits for an answer.
func (c *tracedConn) Close() error {
	c.t.mu.Lock()
	if !c.closed {
		c.closed = true
		for _, p := range c.session.Close(time.Since(c.began)) {
			c.show(&p)
		}
		open := c.session.Unanswered()
		c.record.page.Close(open)
		if open != "" {
			c.t.print("# " + open + "\n")
		}
	}
	c.t.mu.Unlock()
	return c.Conn.Close()
}
