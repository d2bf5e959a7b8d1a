package mqtt

import (
	"context"
	"fmt"
	"io"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"iotwire/internal/testbroker"
	"iotwire/mqtt/packet"
)

// script is a server that does what the test says: the test reads and writes its side of each connection, packet by
// packet.
type script struct {
	t     *testing.T
	dials chan net.Conn // server sides, in the order of the dials
}

func newScript(t *testing.T) *script { return &script{t, make(chan net.Conn, 100)} }

func (s *script) dial(ctx context.Context) (net.Conn, error) {
	client, server := testbroker.Pipe()
	s.dials <- server
	return client, nil
}

// server is the server's side of one connection.
type server struct {
	net.Conn
	t *testing.T
	r *packet.Reader
}

// accept takes the next connection, which has to come within an hour.
func (s *script) accept() *server {
	s.t.Helper()
	select {
	case conn := <-s.dials:
		return &server{conn, s.t, packet.NewReader(conn, 1<<20)}
	case <-time.After(time.Hour):
		s.t.Fatal("the client did not dial")
		return nil
	}
}

// connack takes the next connection up to CONNACK, and returns it with the CONNECT.
func (s *script) connack(present bool) (*server, packet.Connect) {
	s.t.Helper()
	c := s.accept()
	h, body := c.next()
	if h.Type != packet.CONNECT {
		s.t.Fatalf("first packet is %v, want CONNECT", h.Type)
	}
	connect, err := packet.ParseConnect(append([]byte(nil), body...))
	if err != nil {
		s.t.Fatal(err)
	}
	b, _ := packet.AppendConnack(nil, &packet.Connack{SessionPresent: present})
	c.send(b)
	return c, connect
}

// next reads a packet, which has to come within an hour.
func (c *server) next() (packet.Header, []byte) {
	c.t.Helper()
	c.SetReadDeadline(time.Now().Add(time.Hour))
	h, body, err := c.r.Next()
	if err != nil {
		c.t.Fatalf("waiting for a packet: %v", err)
	}
	return h, body
}

// want reads a packet and compares it with a text such as "PUBACK 7" or "PUBLISH a/b q1 dup 7 hello".
func (c *server) want(texts ...string) {
	c.t.Helper()
	for _, text := range texts {
		h, body := c.next()
		if got := describe(h, body); got != text {
			c.t.Fatalf("the client sent %q, want %q", got, text)
		}
	}
}

// quiet fails if a packet comes within d.
func (c *server) quiet(d time.Duration) {
	c.t.Helper()
	c.SetReadDeadline(time.Now().Add(d))
	h, body, err := c.r.Next()
	if err == nil {
		c.t.Fatalf("the client sent %q, want nothing", describe(h, body))
	}
	if t, ok := err.(net.Error); !ok || !t.Timeout() {
		c.t.Fatalf("waiting for silence: %v", err)
	}
}

// closed fails unless the client closes the connection without another packet.
func (c *server) closed() {
	c.t.Helper()
	c.SetReadDeadline(time.Now().Add(time.Hour))
	h, body, err := c.r.Next()
	if err == nil {
		c.t.Fatalf("the client sent %q, want it to close", describe(h, body))
	}
	if t, ok := err.(net.Error); ok && t.Timeout() {
		c.t.Fatal("the client did not close")
	}
}

func (c *server) send(b []byte) {
	c.t.Helper()
	if _, err := c.Write(b); err != nil {
		c.t.Fatalf("sending to the client: %v", err)
	}
}

// publish sends a PUBLISH to the client.
func (c *server) publish(topic string, q QoS, id uint16, payload string) {
	c.t.Helper()
	c.send(publishBytes(topic, q, id, false, payload))
}

func publishBytes(topic string, q QoS, id uint16, dup bool, payload string) []byte {
	b, err := packet.AppendPublish(nil, &packet.Publish{Topic: []byte(topic), QoS: q, ID: id, Dup: dup, Payload: []byte(payload)})
	if err != nil {
		panic(err)
	}
	return b
}

// answer sends a packet that is only an identifier.
func (c *server) answer(t packet.Type, id uint16) {
	c.t.Helper()
	flags := byte(0)
	if t == packet.PUBREL {
		flags = 2
	}
	c.send([]byte{byte(t)<<4 | flags, 2, byte(id >> 8), byte(id)})
}

// suback grants, or refuses, the filters of a SUBSCRIBE.
func (c *server) suback(id uint16, codes ...byte) {
	c.t.Helper()
	b, err := packet.AppendSuback(nil, &packet.Suback{ID: id, Codes: codes})
	if err != nil {
		c.t.Fatal(err)
	}
	c.send(b)
}

// describe writes a packet as a short text.
func describe(h packet.Header, body []byte) string {
	id := func() int { return int(body[0])<<8 | int(body[1]) }
	switch h.Type {
	case packet.PUBLISH:
		p, err := packet.ParsePublish(h.Flags, body)
		if err != nil {
			return err.Error()
		}
		s := fmt.Sprintf("PUBLISH %s q%d", p.Topic, p.QoS)
		if p.Retain {
			s += " retain"
		}
		if p.Dup {
			s += " dup"
		}
		if p.QoS > 0 {
			s += fmt.Sprintf(" %d", p.ID)
		}
		if len(p.Payload) > 100 {
			return fmt.Sprintf("%s (%d bytes)", s, len(p.Payload))
		}
		return fmt.Sprintf("%s %s", s, p.Payload)
	case packet.SUBSCRIBE:
		p, err := packet.ParseSubscribe(body)
		if err != nil {
			return err.Error()
		}
		s := fmt.Sprintf("SUBSCRIBE %d", p.ID)
		for f, q := range p.Requests.All() {
			s += fmt.Sprintf(" %s q%d", f, q)
		}
		return s
	case packet.UNSUBSCRIBE:
		p, err := packet.ParseUnsubscribe(body)
		if err != nil {
			return err.Error()
		}
		s := fmt.Sprintf("UNSUBSCRIBE %d", p.ID)
		for f := range p.Filters.All() {
			s += " " + string(f)
		}
		return s
	case packet.PINGREQ, packet.DISCONNECT:
		return h.Type.String()
	case packet.CONNECT:
		return "CONNECT"
	}
	return fmt.Sprintf("%v %d", h.Type, id())
}

// running is a client whose Run is at work in a bubble.
type running struct {
	*Client
	t      *testing.T
	cancel context.CancelFunc
	result chan error
}

// run starts a client of the script. The test ends it with stop.
func (s *script) run(cfg Config) *running {
	s.t.Helper()
	if cfg.Dial == nil {
		cfg.Dial = s.dial
	}
	if cfg.ClientID == "" {
		cfg.ClientID = "c"
	}
	c, err := New(cfg)
	if err != nil {
		s.t.Fatal(err)
	}
	return start(s.t, c)
}

func start(t *testing.T, c *Client) *running {
	ctx, cancel := context.WithCancel(context.Background())
	r := &running{c, t, cancel, make(chan error, 1)}
	go func() { r.result <- c.Run(ctx) }()
	return r
}

// stop ends Run and returns its error.
func (r *running) stop() error {
	r.cancel()
	return <-r.result
}

// subscribe declares a filter, and grants it.
func (r *running) subscribe(s *server, filter string, q QoS) *Subscription {
	r.t.Helper()
	sub, err := r.Subscribe(filter, q)
	if err != nil {
		r.t.Fatal(err)
	}
	h, body := s.next()
	if h.Type != packet.SUBSCRIBE {
		r.t.Fatalf("the client sent %q, want SUBSCRIBE", describe(h, body))
	}
	p, _ := packet.ParseSubscribe(body)
	s.suback(p.ID, byte(q))
	if err := sub.Ready(context.Background()); err != nil {
		r.t.Fatal(err)
	}
	return sub
}

// later runs f in a goroutine and returns where its error comes.
func later(f func() error) chan error {
	result := make(chan error, 1)
	go func() { result <- f() }()
	return result
}

// bubble runs f with a fake clock; when f returns, no goroutine may be left.
func bubble(t *testing.T, f func(t *testing.T, s *script)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { f(t, newScript(t)) })
}

var background = context.Background()

// within is a context that ends after d.
func within(t *testing.T, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(background, d)
	t.Cleanup(cancel)
	return ctx
}

var _ = io.EOF
