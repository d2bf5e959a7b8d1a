package testbroker

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"iotwire/mqtt/packet"
)

// testingT is what *testing.T and *rapid.T have in common.
type testingT interface {
	Helper()
	Fatal(...any)
	Fatalf(string, ...any)
	Cleanup(func())
}

// client is a client made of packets: it sends what a test tells it to, and checks what comes, byte by byte.
type client struct {
	t    testingT
	conn net.Conn
	in   *packet.Reader
}

// newBroker returns a broker that the test closes.
func newBroker(t testingT, config Config) *Broker {
	b := New(config)
	t.Cleanup(b.Close)
	return b
}

// dial opens a connection and sends nothing.
func (b *Broker) dialTest(t testingT) *client {
	t.Helper()
	conn, err := b.Dial(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return &client{t: t, conn: conn, in: packet.NewReader(conn, 8<<20)}
}

// join connects with a clean session.
func (b *Broker) join(t testingT, id string) *client {
	t.Helper()
	c := b.dialTest(t)
	c.connect(packet.Connect{ClientID: []byte(id), CleanSession: true}, false)
	return c
}

// resume connects with CleanSession 0.
func (b *Broker) resume(t testingT, id string, wantPresent bool) *client {
	t.Helper()
	c := b.dialTest(t)
	c.connect(packet.Connect{ClientID: []byte(id)}, wantPresent)
	return c
}

// connect sends a CONNECT and wants it accepted.
func (c *client) connect(p packet.Connect, wantPresent bool) {
	c.t.Helper()
	b, err := packet.AppendConnect(nil, &p)
	if err != nil {
		c.t.Fatal(err)
	}
	c.send(b)
	c.want(packet.AppendConnack(nil, &packet.Connack{SessionPresent: wantPresent}))
}

// send writes bytes as they are.
func (c *client) send(b []byte) {
	c.t.Helper()
	if _, err := c.conn.Write(b); err != nil {
		c.t.Fatalf("write: %v", err)
	}
}

// sendPacket takes what an Append function of the codec returns.
func (c *client) sendPacket(b []byte, err error) {
	c.t.Helper()
	if err != nil {
		c.t.Fatal(err)
	}
	c.send(b)
}

// next returns the next packet, whole, or nil when the broker has closed the connection.
func (c *client) next() []byte {
	c.t.Helper()
	c.conn.SetReadDeadline(time.Now().Add(time.Minute))
	h, body, err := c.in.Next()
	if errors.Is(err, os.ErrDeadlineExceeded) {
		c.t.Fatal("nothing comes, neither a packet nor the end")
	}
	if err != nil {
		return nil
	}
	return Event{Header: h, Body: body}.Packet()
}

// want checks that this packet comes next. It takes what an Append function of the codec returns.
func (c *client) want(want []byte, err error) {
	c.t.Helper()
	if err != nil {
		c.t.Fatal(err)
	}
	if got := c.next(); !bytes.Equal(got, want) {
		c.t.Fatalf("got  %s\nwant %s", show(got), show(want))
	}
}

// show is a packet in hexadecimal, not too much of it.
func show(b []byte) string {
	if b == nil {
		return "the end of the connection"
	}
	if len(b) > 100 {
		return fmt.Sprintf("% x ... (%d bytes)", b[:100], len(b))
	}
	return fmt.Sprintf("% x (%q)", b, b)
}

// wantClosed checks that the broker closes the connection without another packet.
func (c *client) wantClosed() {
	c.t.Helper()
	if got := c.next(); got != nil {
		c.t.Fatalf("got  %s\nwant the end of the connection", show(got))
	}
}

// wantNothing checks that nothing comes, now that the broker has done all that it can do, and that the connection is
// open. For bubbles.
func (c *client) wantNothing() {
	c.t.Helper()
	synctest.Wait()
	if c.in.Ready() {
		c.t.Fatalf("got  %s\nwant nothing", show(c.next()))
	}
	c.conn.SetReadDeadline(time.Now().Add(time.Nanosecond))
	h, body, err := c.in.Next()
	switch {
	case err == nil:
		c.t.Fatalf("got  %s\nwant nothing", show(Event{Header: h, Body: body}.Packet()))
	case !errors.Is(err, os.ErrDeadlineExceeded):
		c.t.Fatalf("connection ended: %v; want nothing", err)
	}
}

// ping checks that the broker answers: everything before was handled.
func (c *client) ping() {
	c.t.Helper()
	c.send(packet.AppendPingreq(nil))
	c.want(packet.AppendPingresp(nil), nil)
}

func (c *client) disconnect() {
	c.t.Helper()
	c.send(packet.AppendDisconnect(nil))
	c.wantClosed()
	c.conn.Close()
}

// subscribe sends one SUBSCRIBE and wants the QoS granted.
func (c *client) subscribe(q packet.QoS, filters ...string) {
	c.t.Helper()
	var requests packet.Requests
	var codes []byte
	for _, f := range filters {
		requests = requests.Add(f, q)
		codes = append(codes, byte(q))
	}
	c.sendPacket(packet.AppendSubscribe(nil, &packet.Subscribe{ID: 77, Requests: requests}))
	c.want(packet.AppendSuback(nil, &packet.Suback{ID: 77, Codes: codes}))
}

func (c *client) unsubscribe(filter string) {
	c.t.Helper()
	c.sendPacket(packet.AppendUnsubscribe(nil, &packet.Unsubscribe{ID: 78, Filters: packet.Filters(nil).Add(filter)}))
	c.want(packet.AppendUnsuback(nil, &packet.Unsuback{ID: 78}))
}

// publish sends a PUBLISH and does its part of the delivery to the end.
func (c *client) publish(topic, payload string, q packet.QoS, retain bool) {
	c.t.Helper()
	p := packet.Publish{Topic: []byte(topic), Payload: []byte(payload), QoS: q, Retain: retain}
	if q > 0 {
		p.ID = 99
	}
	c.sendPacket(packet.AppendPublish(nil, &p))
	switch q {
	case packet.QoS1:
		c.want(packet.AppendPuback(nil, &packet.Puback{ID: 99}))
	case packet.QoS2:
		c.want(packet.AppendPubrec(nil, &packet.Pubrec{ID: 99}))
		c.sendPacket(packet.AppendPubrel(nil, &packet.Pubrel{ID: 99}))
		c.want(packet.AppendPubcomp(nil, &packet.Pubcomp{ID: 99}))
	}
}

// receive checks that this PUBLISH comes next, with whatever identifier, and does the client's part of the delivery.
func (c *client) receive(topic, payload string, q packet.QoS, retain bool) {
	c.t.Helper()
	got := c.nextPublish()
	if string(got.Topic) != topic || string(got.Payload) != payload || got.QoS != q || got.Retain != retain || got.Dup {
		c.t.Fatalf("got %s, want %s", describe(got), describe(packet.Publish{
			Topic: []byte(topic), Payload: []byte(payload), QoS: q, Retain: retain, ID: got.ID}))
	}
	c.acknowledge(got)
}

// acknowledge does the client's part of a delivery.
func (c *client) acknowledge(p packet.Publish) {
	c.t.Helper()
	switch p.QoS {
	case packet.QoS1:
		c.sendPacket(packet.AppendPuback(nil, &packet.Puback{ID: p.ID}))
	case packet.QoS2:
		c.sendPacket(packet.AppendPubrec(nil, &packet.Pubrec{ID: p.ID}))
		c.want(packet.AppendPubrel(nil, &packet.Pubrel{ID: p.ID}))
		c.sendPacket(packet.AppendPubcomp(nil, &packet.Pubcomp{ID: p.ID}))
	}
}

// nextPublish returns the next packet, which must be a PUBLISH.
func (c *client) nextPublish() packet.Publish {
	c.t.Helper()
	got := c.next()
	h, n, err := packet.ParseHeader(got)
	if err != nil || h.Type != packet.PUBLISH {
		c.t.Fatalf("got  %s\nwant a PUBLISH", show(got))
	}
	p, err := packet.ParsePublish(h.Flags, got[n:])
	if err != nil {
		c.t.Fatal(err)
	}
	return p
}

func describe(p packet.Publish) string {
	return strings.TrimSpace(fmt.Sprintf("PUBLISH %q %.40q (%d bytes) QoS %d retain %t dup %t id %d",
		p.Topic, p.Payload, len(p.Payload), p.QoS, p.Retain, p.Dup, p.ID))
}

// vanish cuts the connection as a client without power does, and waits until the broker knows.
func (c *client) vanish() {
	c.conn.Close()
	synctest.Wait()
}

// inBubble runs a test of a broker under the fake clock. When it ends every goroutine of the broker must have ended.
func inBubble(t *testing.T, config Config, test func(t *testing.T, b *Broker)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { test(t, newBroker(t, config)) })
}

// unhex is the bytes of a hexadecimal text with spaces.
func unhex(text string) []byte {
	b, err := hex.DecodeString(strings.ReplaceAll(text, " ", ""))
	if err != nil {
		panic(err)
	}
	return b
}

// collect returns the next n messages, and does the client's part of their deliveries while others come.
func (c *client) collect(n int) (messages []packet.Publish) {
	c.t.Helper()
	open := 0 // QoS 2 deliveries
	for len(messages) < n || open > 0 {
		got := c.next()
		h, at, err := packet.ParseHeader(got)
		if err != nil || at == 0 {
			c.t.Fatalf("got %s after %d messages, want %d", show(got), len(messages), n)
		}
		switch h.Type {
		case packet.PUBLISH:
			p, err := packet.ParsePublish(h.Flags, got[at:])
			if err != nil {
				c.t.Fatal(err)
			}
			messages = append(messages, p)
			switch p.QoS {
			case packet.QoS1:
				c.sendPacket(packet.AppendPuback(nil, &packet.Puback{ID: p.ID}))
			case packet.QoS2:
				open++
				c.sendPacket(packet.AppendPubrec(nil, &packet.Pubrec{ID: p.ID}))
			}
		case packet.PUBREL:
			open--
			c.sendPacket(packet.AppendPubcomp(nil, &packet.Pubcomp{ID: uint16(got[2])<<8 | uint16(got[3])}))
		default:
			c.t.Fatalf("got %s, want a PUBLISH or PUBREL", show(got))
		}
	}
	return messages
}
