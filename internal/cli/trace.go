package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"time"

	"iotwire/mqtt"
	"iotwire/mqtt/dissect"
)

// TraceOptions are the options of every program that can show what travels.
type TraceOptions struct {
	style, file, times string
	color              string
	bytes, width       int
	secrets            bool
}

// Options returns the rows of the option table.
func (o *TraceOptions) Options() []Option {
	if !tracing {
		return nil
	}
	return []Option{
		{Name: "trace", Metavar: "STYLE", Value: &o.style, Optional: "full", Choices: []string{"brief", "full", "why", "hex"},
			Help: "show each packet on stderr: brief, full, why, or hex for dissect"},
		{Name: "trace-file", Metavar: "FILE", Value: &o.file, Help: "write the trace here, over what was there"},
		{Name: "trace-times", Metavar: "WHEN", Value: &o.times, Default: "on", Choices: []string{"on", "off"},
			Help: "off: leave out when packets came"},
		{Name: "trace-bytes", Metavar: "N", Value: &o.bytes, Default: "64", Min: "1", Max: "1000000000",
			Help: "shorten payloads that are longer"},
		{Name: "width", Metavar: "N", Value: &o.width, Min: "80", Max: "500",
			Help: "columns; $COLUMNS, or 80 to 100 by the terminal"},
		{Name: "show-secrets", Value: &o.secrets, Help: "do not hide passwords in it"},
	}
}

// ColorOption returns another row, which has its place among those on the output.
func (o *TraceOptions) ColorOption() Option {
	return Option{Name: "color", Metavar: "auto|always|never", Value: &o.color, Default: "auto", Choices: Colors,
		Help: "(NO_COLOR and TERM=dumb are honoured)"}
}

// shown reports whether there is to be a trace.
func (o *TraceOptions) shown() bool { return o.style != "" || o.file != "" }

// layout is how the options want packets.
func (o *TraceOptions) layout(p *Process) dissect.Layout {
	l := dissect.Layout{
		ASCII:       !UTF8(p),
		Times:       o.times != "off",
		Bytes:       o.bytes,
		Width:       o.width,
		ShowSecrets: o.secrets,
		Color:       p.Colored(o.file == "" && p.TerminalError, o.color),
	}
	switch o.style {
	case "brief":
		l.Style = dissect.Brief
	case "why":
		l.Style = dissect.Why
	case "hex":
		l.Style = dissect.Hex
	}
	if l.Width == 0 {
		l.Width = p.Width(o.file == "" && p.TerminalError)
	}
	return l
}

// tracer prints and records the packets of each connection, in both directions, with a reading of the bytes that shares
// nothing with the client's own. A nil *tracer does nothing, and costs nothing.
type tracer struct {
	*recording
	mu          sync.Mutex
	shown       bool // printed, and not only recorded
	sentOnly    bool // what the server sends is neither
	layout      dissect.Layout
	out         io.Writer // nil: the console
	file        *os.File
	connections int
	last        int // the connection that was printed last
}

// openTrace returns the tracer of connections to server that the options ask for, or nil.
func (o *connection) openTrace(p *Process, log *console, server string) (*tracer, error) {
	if !o.trace.shown() && o.page == "" && o.pcap == "" {
		return nil, nil
	}
	if !tracing {
		return nil, errors.New("this program was built without traces, with -tags notrace: it cannot show packets")
	}
	r, err := o.openRecording(p, log, server)
	if err != nil {
		return nil, err
	}
	t := &tracer{recording: r, last: 1} // the first connection needs no heading: there may be no other
	return t, t.open(&o.trace, p)
}

// open opens the file of the trace, if it has one.
func (t *tracer) open(o *TraceOptions, p *Process) (err error) {
	t.shown, t.layout = o.shown(), o.layout(p)
	if o.file != "" {
		t.file, err = create(o.file)
		t.out = t.file
	}
	return err
}

// close writes the page, and closes the files. If one could not be written, a code that says that all was done says so no
// longer.
func (t *tracer) close(code *ExitCode) {
	if t == nil || !tracing {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.file != nil {
		t.file.Close()
	}
	if t.page != nil && *code != ExitDone {
		t.log.mu.Lock()
		t.page.Failure = t.log.failed
		t.log.mu.Unlock()
	}
	if err := t.recording.close(); err != nil {
		t.log.fail(err.Error())
		if *code == ExitDone {
			*code = ExitLocal
		}
	}
}

// attach traces each connection that cfg dials from now on, on the plaintext side of TLS.
//
//go:noinline
func (t *tracer) attach(cfg *mqtt.Config) {
	if t == nil || !tracing {
		return
	}
	dial := cfg.Dial
	cfg.Dial = func(ctx context.Context) (net.Conn, error) {
		conn, err := dial(ctx)
		if err != nil {
			return nil, err
		}
		return &tracedConn{conn, t.begin("", conn)}, nil
	}
}

// begin begins the trace of a connection. name says whose it is, where it is not the only one.
func (t *tracer) begin(name string, conn net.Conn) *traced {
	c := &traced{t: t, name: name, began: time.Now()}
	t.mu.Lock()
	t.connections++
	c.number = t.connections
	c.record = t.recording.begin(c.number, conn)
	t.mu.Unlock()
	return c
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

// traced is a connection whose bytes are traced. Everything in it is guarded by t.mu.
type traced struct {
	t       *tracer
	number  int
	name    string
	began   time.Time
	session dissect.Session
	record  record
	closed  bool
}

// add takes in what was sent or received.
func (c *traced) add(d dissect.Direction, b []byte) {
	at := time.Since(c.began)
	c.t.mu.Lock()
	c.show(c.session.Add(d, at, b))
	c.t.mu.Unlock()
}

// show prints and records packets.
func (c *traced) show(packets []dissect.Packet) {
	for i := range packets {
		p := &packets[i]
		if c.t.sentOnly && p.Direction == dissect.ToClient {
			continue
		}
		if c.t.shown {
			c.print(string(c.t.layout.Append(nil, p)))
		}
		c.t.recording.add(&c.record, p)
	}
}

// print prints lines about the connection, under its heading if the lines above are about another one.
func (c *traced) print(text string) {
	if c.t.last != c.number {
		c.t.last = c.number
		text = fmt.Sprintf("# connection %d%s\n%s", c.number, c.name, text)
	}
	c.t.print(text)
}

// fail says that not all was written that was shown.
func (c *traced) fail(written, of int, err error) {
	text := fmt.Sprintf("# %d of these last %d bytes were written: %v\n", written, of, err)
	c.t.mu.Lock()
	c.print(text)
	c.t.mu.Unlock()
}

// lost says how the connection ended, unless it was closed here.
func (c *traced) lost(err error) {
	how := "the connection broke: " + err.Error()
	if err == io.EOF {
		how = "the server closed the connection"
	}
	c.t.mu.Lock()
	if !c.closed && !errors.Is(err, os.ErrDeadlineExceeded) {
		c.record.page.End(how)
	}
	c.t.mu.Unlock()
}

// end prints what was cut short, and what waits for an answer.
func (c *traced) end() {
	c.t.mu.Lock()
	if !c.closed {
		c.closed = true
		c.show(c.session.Close(time.Since(c.began)))
		open := c.session.Unanswered()
		c.record.page.Close(open)
		if open != "" {
			c.print("# " + open + "\n")
		}
	}
	c.t.mu.Unlock()
}

// tracedConn is a client's connection. What is sent is printed before it is written, as the answer could overtake it, and
// what is received before anybody judges it.
type tracedConn struct {
	conn net.Conn // not embedded, as that makes each method twice: for tracedConn, too
	*traced
}

func (c *tracedConn) LocalAddr() net.Addr                { return c.conn.LocalAddr() }
func (c *tracedConn) RemoteAddr() net.Addr               { return c.conn.RemoteAddr() }
func (c *tracedConn) SetDeadline(t time.Time) error      { return c.conn.SetDeadline(t) }
func (c *tracedConn) SetReadDeadline(t time.Time) error  { return c.conn.SetReadDeadline(t) }
func (c *tracedConn) SetWriteDeadline(t time.Time) error { return c.conn.SetWriteDeadline(t) }

func (c *tracedConn) Write(b []byte) (int, error) {
	c.add(dissect.ToServer, b)
	n, err := c.conn.Write(b)
	if err != nil {
		c.fail(n, len(b), err)
	}
	return n, err
}

func (c *tracedConn) Read(b []byte) (int, error) {
	n, err := c.conn.Read(b)
	if n > 0 {
		c.add(dissect.ToClient, b[:n])
	}
	if err != nil {
		c.lost(err)
	}
	return n, err
}

func (c *tracedConn) Close() error {
	c.end()
	return c.conn.Close()
}
