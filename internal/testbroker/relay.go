package testbroker

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"time"

	"iotwire/mqtt/packet"
)

// Relay is a man in the middle: it stands between clients and a server, passes packets on, and does to each what Decide
// says. It works with any server and under [testing/synctest]. Set the fields before the first connection.
type Relay struct {
	// Decide says what happens to a packet that came to the relay. It is called for one packet of a direction at a time,
	// but for both directions at once, and must be quick. The Event's Kind is Received for a packet from the client and
	// Sent for one from the server; there is no ClientID. nil: all pass.
	Decide func(Event) Action

	// Observe is told of each packet that the relay passes on, right before, and of the end of each connection, such as by
	// [Transcript.Observe]: what came through, in place of what came. It must be quick.
	Observe func(Event)

	// MaxPacket is the largest packet that passes, in bytes. A larger one, or bytes that are no packet, end the connection.
	// 4 MiB.
	MaxPacket int

	mu     sync.Mutex
	number uint64
	held   []heldPacket
}

// Action is what a Relay does to a packet.
type Action struct {
	verb    verb
	packets [][]byte
}

type verb uint8

const (
	pass verb = iota
	drop
	duplicate
	hold
	swap
	replace
	hangUp
)

var (
	Pass      = Action{}                // passes on: the zero value
	Discard   = Action{verb: drop}      // the packet is lost
	Duplicate = Action{verb: duplicate} // comes twice, without a pause
	Hold      = Action{verb: hold}      // waits for [Relay.Release]
	Swap      = Action{verb: swap}      // comes right after the next one of its direction that passes
	HangUp    = Action{verb: hangUp}    // the packet is lost, and the connection reset at both ends
)

// Replace passes other packets on, or other bytes, in place of the one that came.
func Replace(packets ...[]byte) Action { return Action{replace, packets} }

// HangUpOn is a Decide that hangs up on a PUBLISH, of either side, to a topic that the filter matches.
func HangUpOn(filter string) func(Event) Action {
	return func(e Event) Action {
		if e.Header.Type != packet.PUBLISH {
			return Pass
		}
		p, err := packet.ParsePublish(e.Header.Flags, e.Body)
		if err != nil || !packet.Match(filter, string(p.Topic)) {
			return Pass
		}
		return HangUp
	}
}

// Dialer returns a function that dials a server through the relay, with a [Pipe] between client and relay.
func (r *Relay) Dialer(dial func(context.Context) (net.Conn, error)) func(context.Context) (net.Conn, error) {
	return func(ctx context.Context) (net.Conn, error) {
		server, err := dial(ctx)
		if err != nil {
			return nil, err
		}
		client, near := Pipe()
		r.Join(near, server)
		return client, nil
	}
}

// Join relays between a client and a server until both have ended, or one has and the other does not follow within 5
// seconds, and then closes both. It does not wait for that.
func (r *Relay) Join(client, server net.Conn) {
	r.mu.Lock()
	r.number++
	number := r.number
	r.mu.Unlock()
	limit := r.MaxPacket
	if limit == 0 {
		limit = 4 << 20
	}
	up := &lane{r, Event{Connection: number, Kind: Received}, client, server, packet.NewReader(client, limit), nil}
	down := &lane{r, Event{Connection: number, Kind: Sent}, server, client, packet.NewReader(server, limit), nil}
	ends := make(chan error, 2)
	for _, l := range []*lane{up, down} {
		go func() { ends <- l.run() }()
	}
	go func() {
		err := <-ends
		// The other side has heard, and closes its end too; one that cannot hear is not waited for.
		timer := time.AfterFunc(flushTime, func() { client.Close(); server.Close() })
		if other := <-ends; timer.Stop() && err == nil {
			err = other
		}
		client.Close()
		server.Close()
		if r.Observe != nil {
			r.Observe(Event{Time: time.Now(), Connection: number, Kind: Ended, Err: err})
		}
	}()
}

// heldPacket is one that waits for Release.
type heldPacket struct {
	lane  *lane
	event Event
}

// Held returns the packets that wait for Release, in the order in which they came.
func (r *Relay) Held() []Event {
	r.mu.Lock()
	defer r.mu.Unlock()
	var events []Event
	for _, h := range r.held {
		events = append(events, h.event)
	}
	return events
}

// Release passes held packets on, in the order given by their numbers in Held; without numbers all, in the order in
// which they came. What is not named stays. One whose connection has ended is lost.
func (r *Relay) Release(numbers ...int) {
	r.mu.Lock()
	held := r.held
	if len(numbers) == 0 {
		for n := range held {
			numbers = append(numbers, n)
		}
	}
	r.held = nil
	out := map[int]bool{}
	for _, n := range numbers {
		out[n] = true
	}
	for n, h := range held {
		if !out[n] {
			r.held = append(r.held, h)
		}
	}
	r.mu.Unlock()
	for _, n := range numbers {
		h := held[n]
		h.lane.pass(h.event, h.event.Packet()) // an error is one of an ended connection
	}
}

// lane is one direction of a relayed connection.
type lane struct {
	relay   *Relay
	event   Event // of every packet of it: connection and direction
	from    net.Conn
	to      net.Conn
	in      *packet.Reader
	swapped []Event
}

var errHungUp = errors.New("hung up by the relay")

// run relays until the sender ends, and returns nil for an orderly end.
func (l *lane) run() error {
	for {
		h, body, err := l.in.Next()
		if err == nil {
			err = l.decide(h, body)
		}
		switch {
		case err == nil:
		case err == io.EOF:
			return l.finish()
		default:
			abort(l.to)
			abort(l.from)
			return err
		}
	}
}

// finish ends the stream to the receiver as the sender has ended its own. The other direction lives on.
func (l *lane) finish() error {
	if half, ok := l.to.(interface{ CloseWrite() error }); ok {
		half.CloseWrite()
	} else {
		l.to.Close()
	}
	return nil
}

// abort resets a connection, so far as it can be.
func abort(conn net.Conn) {
	switch c := conn.(type) {
	case *Conn:
		c.Reset(nil)
	case *net.TCPConn:
		c.SetLinger(0)
		c.Close()
	default:
		c.Close()
	}
}

func (l *lane) decide(h packet.Header, body []byte) error {
	e := l.event
	e.Time, e.Header, e.Body = time.Now(), h, body
	action := Pass
	if l.relay.Decide != nil {
		action = l.relay.Decide(e)
	}
	whole := e.Packet()
	switch action.verb {
	case drop:
		return nil
	case hold:
		e.Body = bytes.Clone(body)
		l.relay.mu.Lock()
		defer l.relay.mu.Unlock()
		l.relay.held = append(l.relay.held, heldPacket{l, e})
		return nil
	case swap:
		e.Body = bytes.Clone(body)
		l.swapped = append(l.swapped, e)
		return nil
	case hangUp:
		return errHungUp
	case duplicate:
		if err := l.pass(e, whole); err != nil {
			return err
		}
		return l.passWithSwapped(e, whole)
	case replace:
		for _, b := range action.packets {
			if err := l.pass(replaced(e, b), b); err != nil {
				return err
			}
		}
		return nil
	}
	return l.passWithSwapped(e, whole)
}

func (l *lane) passWithSwapped(e Event, whole []byte) error {
	err := l.pass(e, whole)
	for _, s := range l.swapped {
		if err == nil {
			err = l.pass(s, s.Packet())
		}
	}
	l.swapped = nil
	return err
}

// pass writes a packet in one call: those of Release come between packets, not into one.
func (l *lane) pass(e Event, whole []byte) error {
	if l.relay.Observe != nil {
		e.Time = time.Now()
		l.relay.Observe(e)
	}
	_, err := l.to.Write(whole)
	return err
}

// replaced is e with the packet b, or with no type and all of b for its body if b is none.
func replaced(e Event, b []byte) Event {
	h, n, err := packet.ParseHeader(b)
	if err != nil || n == 0 {
		h, n = packet.Header{Len: len(b)}, 0
	}
	e.Header, e.Body = h, b[n:]
	return e
}
