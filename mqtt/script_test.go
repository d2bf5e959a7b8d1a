package mqtt

import (
	"context"
	"errors"
	"fmt"
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
	limit int           // of bytes that each direction of a connection holds; 0: 64 KiB
	dials chan net.Conn // server sides, in the order of the dials

	clientSide, serverSide func(net.Conn) net.Conn // TLS, perhaps; nil: none
}

func newScript(t *testing.T) *script { return &script{t: t, dials: make(chan net.Conn, 100)} }

func (s *script) dial(ctx context.Context) (net.Conn, error) {
	limit := s.limit
	if limit == 0 {
		limit = 64 << 10
	}
	client, server := testbroker.NewPipe(limit)
	var conn, peer net.Conn = client, server
	if s.clientSide != nil {
		conn, peer = s.clientSide(conn), s.serverSide(peer)
	}
	select {
	case s.dials <- peer:
		return conn, nil
	case <-ctx.Done(): // the test takes no more connections
		return nil, ctx.Err()
	}
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

// silent fails if the client dials within d.
func (s *script) silent(d time.Duration) {
	s.t.Helper()
	select {
	case <-s.dials:
		s.t.Fatal("the client dialled")
	case <-time.After(d):
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
	c.send(connackBytes(present, packet.Accepted))
	return c, connect
}

func connackBytes(present bool, code packet.ConnectCode) []byte {
	b, err := packet.AppendConnack(nil, &packet.Connack{SessionPresent: present, Code: code})
	if err != nil {
		panic(err)
	}
	return b
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

// wire is the connection itself, with what only one in memory can do.
func (c *server) wire() *testbroker.Conn { return c.Conn.(*testbroker.Conn) }

// quiet fails if a packet comes within d. All goroutines wait when it returns: what they did can be looked at.
func (c *server) quiet(d time.Duration) {
	c.t.Helper()
	defer synctest.Wait()
	c.SetReadDeadline(time.Now().Add(d))
	h, body, err := c.r.Next()
	if err == nil {
		c.t.Fatalf("the client sent %q, want nothing", describe(h, body))
	}
	if t, ok := err.(net.Error); !ok || !t.Timeout() {
		c.t.Fatalf("waiting for silence: %v", err)
	}
}

// closed fails unless the client closes the connection without another packet. All goroutines wait when it returns.
func (c *server) closed() {
	c.t.Helper()
	defer synctest.Wait()
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
	if q == QoS0 {
		id = 0
	}
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

// answer0 sends a packet that is only a fixed header.
func (c *server) answer0(t packet.Type) {
	c.t.Helper()
	c.send([]byte{byte(t) << 4, 0})
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
	ended  chan struct{} // closed when Run has returned
	err    error         // what it returned
}

// run starts a client of the script. It ends with the test at the latest.
func (s *script) run(cfg Config) *running {
	s.t.Helper()
	return start(s.t, s.client(cfg))
}

// client makes a client of the script.
func (s *script) client(cfg Config) *Client {
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
	c.session.lastID = 0 // where a client begins with a store is random
	return c
}

func start(t *testing.T, c *Client) *running {
	ctx, cancel := context.WithCancel(context.Background())
	r := &running{Client: c, t: t, cancel: cancel, ended: make(chan struct{})}
	go func() {
		defer close(r.ended)
		r.err = c.Run(ctx)
	}()
	t.Cleanup(func() { r.stop() })
	return r
}

// stop ends Run and returns its error.
func (r *running) stop() error {
	r.cancel()
	return r.wait()
}

// wait waits for the end of Run and returns its error.
func (r *running) wait() error {
	<-r.ended
	return r.err
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

// publish starts a Publish and returns where its error comes.
func (r *running) publish(topic string, q QoS, payload string) chan error {
	return later(func() error { return r.Publish(background, Message{Topic: topic, Payload: []byte(payload), QoS: q}) })
}

// submit starts a Submit, which must not fail.
func (r *running) submit(topic string, q QoS, payload string) Delivery {
	r.t.Helper()
	d, err := r.Submit(background, Message{Topic: topic, Payload: []byte(payload), QoS: q})
	if err != nil {
		r.t.Fatal(err)
	}
	return d
}

// settled waits until nothing is in flight or queued.
func (r *running) settled() {
	r.t.Helper()
	if err := r.await(within(r.t, time.Hour), func() (bool, error) { return r.session.open() == 0, nil }); err != nil {
		r.t.Fatalf("%+v: %v", r.Stats(), err)
	}
}

// nextIdentifier makes the client's next identifier id, or the first after it that is free.
func (r *running) nextIdentifier(id uint16) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.session.lastID = id - 1
}

// collector is a message loop that notes what comes.
type collector struct {
	t   *testing.T
	got chan string
	end chan error
}

// collect starts a message loop.
func (r *running) collect(sub *Subscription) *collector {
	c := &collector{r.t, make(chan string, 10_000), make(chan error, 1)}
	go func() {
		for m, err := range sub.Messages(background) {
			if err != nil {
				c.end <- err
				return
			}
			c.got <- describeMessage(m)
		}
	}()
	return c
}

// want takes messages, such as "a/b q1 retain dup hello", that have to come within an hour.
func (c *collector) want(texts ...string) {
	c.t.Helper()
	for _, text := range texts {
		select {
		case got := <-c.got:
			if got != text {
				c.t.Fatalf("the loop got %q, want %q", got, text)
			}
		case err := <-c.end:
			c.end <- err
			if len(c.got) == 0 {
				c.t.Fatalf("the loop ended with %v, want %q", err, text)
			}
			if got := <-c.got; got != text {
				c.t.Fatalf("the loop got %q, want %q", got, text)
			}
		case <-time.After(time.Hour):
			c.t.Fatalf("the loop got nothing, want %q", text)
		}
	}
}

// none fails if there is a message.
func (c *collector) none() {
	c.t.Helper()
	synctest.Wait()
	select {
	case got := <-c.got:
		c.t.Fatalf("the loop got %q, want nothing", got)
	default:
	}
}

func describeMessage(m *Message) string {
	s := fmt.Sprintf("%s q%d", m.Topic, m.QoS)
	if m.Retain {
		s += " retain"
	}
	if m.Dup {
		s += " dup"
	}
	if len(m.Payload) > 100 {
		return fmt.Sprintf("%s (%d bytes)", s, len(m.Payload))
	}
	return fmt.Sprintf("%s %s", s, m.Payload)
}

// pending fails if result has one.
func pending(t *testing.T, result <-chan error) {
	t.Helper()
	synctest.Wait()
	select {
	case err := <-result:
		t.Fatalf("it ended with %v, want it to wait", err)
	default:
	}
}

// ended waits for a result, an hour at most, and fails unless it matches want with errors.Is; nil matches nil only.
func ended(t *testing.T, result <-chan error, want ...error) {
	t.Helper()
	select {
	case err := <-result:
		matches(t, err, want...)
	case <-time.After(time.Hour):
		t.Fatal("it did not end")
	}
}

// matches fails unless err matches each of want; no want stands for nil.
func matches(t *testing.T, err error, want ...error) {
	t.Helper()
	if len(want) == 0 && err != nil {
		t.Fatalf("error is %v, want none", err)
	}
	for _, w := range want {
		if !errors.Is(err, w) {
			t.Fatalf("error is %v, want %v", err, w)
		}
	}
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
	synctest.Test(t, func(t *testing.T) {
		watchdog := time.AfterFunc(2*365*24*time.Hour, func() { panic(t.Name() + " waits for what does not come") })
		defer watchdog.Stop()
		f(t, newScript(t))
	})
}

var background = context.Background()

// within is a context that ends after d.
func within(t testing.TB, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(background, d)
	t.Cleanup(cancel)
	return ctx
}
