package testbroker

import (
	"bytes"
	"fmt"
	"net"
	"strings"
	"sync"
	"time"

	"iotwire/mqtt/packet"
)

// Event is something that happened on a connection: a packet, or its end.
type Event struct {
	Time       time.Time
	Connection uint64 // 1, 2, ... in the order in which connections came
	Remote     net.Addr
	ClientID   string // empty before CONNECT was accepted
	Kind       EventKind
	Header     packet.Header // of the packet
	Body       []byte        // of the packet: good until Observe returns
	Err        error         // why the connection ended; nil after DISCONNECT
}

// Packet returns a copy of the packet as it stands on the wire.
func (e Event) Packet() []byte {
	b := []byte{byte(e.Header.Type)<<4 | e.Header.Flags}
	n := e.Header.Len
	for ; n >= 0x80; n >>= 7 {
		b = append(b, byte(n)|0x80)
	}
	return append(append(b, byte(n)), e.Body...)
}

// EventKind says what an Event is.
type EventKind int

const (
	Received EventKind = iota // a packet from the client
	Sent                      // a packet to the client: it is in the outgoing buffer
	Ended                     // the end of the connection: there are no more events of it
)

func (c *connection) observeReceived(h packet.Header, body []byte) {
	if c.broker.config.Observe == nil {
		return
	}
	c.observe(Event{Kind: Received, Header: h, Body: body})
}

func (c *connection) observeSent(b []byte) {
	if c.broker.config.Observe == nil {
		return
	}
	h, n, _ := packet.ParseHeader(b)
	c.observe(Event{Kind: Sent, Header: h, Body: b[n:]})
}

func (c *connection) observeEnd(why error) {
	if c.broker.config.Observe == nil {
		return
	}
	c.observe(Event{Kind: Ended, Err: why})
}

func (c *connection) observe(e Event) {
	e.Time, e.Connection, e.Remote, e.ClientID = time.Now(), c.number, c.conn.RemoteAddr(), c.clientID
	c.broker.config.Observe(e)
}

// Transcript collects events: give its Observe method to Config.Observe. The zero value is ready.
type Transcript struct {
	mu     sync.Mutex
	events []Event
}

// Observe adds an event.
func (t *Transcript) Observe(e Event) {
	e.Body = bytes.Clone(e.Body)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.events = append(t.events, e)
}

// Events returns the events so far, in order.
func (t *Transcript) Events() []Event {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.events[:len(t.events):len(t.events)]
}

// String returns the events one a line, such as "1 sensor > PUBLISH 0010 15 bytes": connection, client identifier, ">"
// for a packet from the client, "<" for one to it, "x" for the end.
func (t *Transcript) String() string {
	var text strings.Builder
	for _, e := range t.Events() {
		fmt.Fprintf(&text, "%d %s ", e.Connection, e.ClientID)
		switch e.Kind {
		case Ended:
			text.WriteString("x")
			if e.Err != nil {
				text.WriteString(" " + e.Err.Error())
			}
			text.WriteByte('\n')
		case Received:
			fmt.Fprintf(&text, "> %v %04b %d bytes\n", e.Header.Type, e.Header.Flags, e.Header.Len)
		case Sent:
			fmt.Fprintf(&text, "< %v %04b %d bytes\n", e.Header.Type, e.Header.Flags, e.Header.Len)
		}
	}
	return text.String()
}
