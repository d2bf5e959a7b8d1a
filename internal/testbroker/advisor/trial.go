package advisor

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"math"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"

	"iotwire/internal/testbroker"
	"iotwire/mqtt/packet"
)

// bench is what a case works with: it starts trials, ends them, and collects what happened.
type bench struct {
	*setting
	ctx   context.Context // of the case
	name  string
	began time.Time
	limit time.Time // when ctx ends

	mu      sync.Mutex
	trials  []*trial
	events  []Event
	omitted int
	broken  string // the first rule of MQTT that the program broke
	failure error  // of this machine
}

// eventLimit is how many events a case records.
const eventLimit = 400

// note records an event.
func (b *bench) note(t *trial, l *line, format string, args ...any) {
	e := Event{Seconds: math.Round(time.Since(b.began).Seconds()*1000) / 1000, Text: fmt.Sprintf(format, args...)}
	if l != nil {
		e.Connection = l.number
	}
	if t != nil && t.title != "" {
		e.Text = t.title + ": " + e.Text
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.events) >= eventLimit {
		b.omitted++
		return
	}
	b.events = append(b.events, e)
}

// record returns the events.
func (b *bench) record() []Event {
	b.mu.Lock()
	defer b.mu.Unlock()
	events := append([]Event{}, b.events...)
	if b.omitted > 0 {
		events = append(events, Event{Seconds: events[len(events)-1].Seconds, Text: fmt.Sprintf("and %d more", b.omitted)})
	}
	return events
}

// violation is the first rule of MQTT that the program broke, or "".
func (b *bench) violation() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.broken
}

// end ends all trials.
func (b *bench) end() {
	for _, t := range b.trials {
		t.end()
	}
}

// trial is a server, and one run of the program that is to use it.
type trial struct {
	server
	bench    *bench
	tls      *tls.Config
	broker   *testbroker.Broker
	listener net.Listener
	stop     func() // ends the program
	serving  sync.WaitGroup

	mu      sync.Mutex // guards server.withhold too
	sights  []sight
	wake    chan struct{} // capacity 1: there is a new sight
	ended   bool          // so nothing more is served
	lines   []*line
	excess  bool // more connections came than are served
	exit    *exit
	refused *sight // the last handshake that failed

	// For the case's goroutine.
	next int // sights that await has looked at
}

// exit is the end of the program.
type exit struct {
	success bool
	how     string
}

// sight is something that the server saw.
type sight struct {
	kind   sightKind
	line   *line // nil for exited
	at     time.Time
	header packet.Header // of received and delivered
	body   []byte        // without the end of a long payload
	sum    uint64        // of the whole body
	err    error         // of refused
	ours   bool          // gone: the server ended it
}

type sightKind int

const (
	arrived   sightKind = iota // a connection came
	secured                    // its handshake is complete
	refused                    // its handshake has failed
	heard                      // the first bytes behind the handshake, if the trial is mute
	received                   // a packet from the program
	delivered                  // a packet to the program
	gone                       // a connection is over
	exited                     // the program has ended
)

// server says how the server of a trial is. The zero value has nothing wrong.
type server struct {
	title       string // of the trial's events, where a case has more than one
	certificate serverKind
	mute        bool  // behind TLS there is no broker: what comes is only noted
	withhold    fault // which packets are lost
}

// fault reports whether a packet, of either side, is to be lost.
type fault func(l *line, e testbroker.Event) bool

// start starts a trial. If this machine fails, the trial is one in which nothing happens, and the case has no result.
func (b *bench) start(s server) *trial {
	t := &trial{bench: b, server: s, wake: make(chan struct{}, 1), stop: func() {}}
	t.broker = testbroker.New(testbroker.Config{Observe: t.observeBroker})
	b.trials = append(b.trials, t)
	if err := t.open(); err != nil {
		b.failure = err
		t.exit = &exit{how: err.Error()}
	}
	return t
}

func (t *trial) open() (err error) {
	b := t.bench
	if t.tls, err = b.authority.server(t.certificate); err != nil {
		return err
	}
	if t.listener, err = b.listen(); err != nil {
		return err
	}
	at := place{endpoint: host, port: "0"}
	if _, at.port, err = net.SplitHostPort(t.listener.Addr().String()); err != nil {
		return err
	}
	if b.dir != "" {
		at.dir = filepath.Join(b.dir, fmt.Sprintf("%s-%d", b.name, len(b.trials)))
		if err := os.Mkdir(at.dir, 0o700); err != nil {
			return err
		}
		if err := b.authority.write(at.dir); err != nil {
			return err
		}
	}
	t.serving.Go(t.accept)
	stop, err := b.launch(at, func(success bool, how string) {
		t.bench.note(t, nil, "program: ended with %s", how)
		t.mu.Lock()
		t.exit = &exit{success, how}
		t.mu.Unlock()
		t.see(sight{kind: exited})
	})
	if err != nil {
		return err
	}
	t.stop = stop
	return nil
}

// end ends the program, the server and all connections.
func (t *trial) end() {
	t.mu.Lock()
	ended := t.ended
	t.ended = true
	t.mu.Unlock()
	if ended {
		return
	}
	t.stop()
	if t.listener != nil {
		t.listener.Close()
	}
	t.mu.Lock()
	lines := t.lines
	t.mu.Unlock()
	for _, l := range lines {
		l.raw.Close()
	}
	t.serving.Wait()
	t.broker.Close()
}

// lineCount is how many connections of a trial are served. A program that comes back more often has failed long before.
const lineCount = 200

// accept serves the connections that come.
func (t *trial) accept() {
	for {
		conn, err := t.listener.Accept()
		if err != nil {
			return
		}
		t.mu.Lock()
		if t.ended || len(t.lines) == lineCount {
			tell := !t.excess && !t.ended
			t.excess = true
			t.mu.Unlock()
			conn.Close()
			if tell {
				t.bench.note(t, nil, "more than %d connections: the others are closed at once", lineCount)
			}
			continue
		}
		l := newLine(t, len(t.lines)+1, conn)
		t.lines = append(t.lines, l)
		t.mu.Unlock()
		l.note("connected")
		l.see(sight{kind: arrived})
		t.serving.Go(l.serve)
	}
}

// see adds a sight.
func (t *trial) see(s sight) {
	s.at = time.Now()
	t.mu.Lock()
	t.sights = append(t.sights, s)
	if s.kind == refused {
		t.refused = &s
	}
	t.mu.Unlock()
	select {
	case t.wake <- struct{}{}:
	default:
	}
}

// lose replaces what decides on packets; nil lets all pass.
func (t *trial) lose(withhold fault) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.withhold = withhold
}

// await returns the next sight that match accepts, of those that no await has looked at. It returns false when the time
// is over, or the program has ended and nothing more is to come.
func (t *trial) await(patience time.Duration, match func(sight) bool) (sight, bool) {
	deadline := time.Now().Add(patience)
	if t.bench.limit.Before(deadline) {
		deadline = t.bench.limit
	}
	timer := time.NewTimer(time.Until(deadline))
	defer timer.Stop()
	for {
		t.mu.Lock()
		var found *sight
		for found == nil && t.next < len(t.sights) {
			s := t.sights[t.next]
			t.next++
			if match(s) {
				found = &s
			}
		}
		over := t.exit != nil
		t.mu.Unlock()
		if found != nil {
			return *found, true
		}
		if over { // its last packets may still be on their way
			deadline = time.Now().Add(min(time.Until(deadline), 300*time.Millisecond))
			timer.Reset(time.Until(deadline))
			if time.Until(deadline) <= 0 {
				return sight{}, false
			}
		}
		select {
		case <-t.wake:
		case <-timer.C:
			return sight{}, false
		case <-t.bench.ctx.Done():
			return sight{}, false
		}
	}
}

// pause lets a time pass, or what is left of the case.
func (b *bench) pause(d time.Duration) {
	select {
	case <-time.After(d):
	case <-b.ctx.Done():
	}
}

// seen counts the sights so far that match accepts.
func (t *trial) seen(match func(sight) bool) (n int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, s := range t.sights {
		if match(s) {
			n++
		}
	}
	return n
}

// exitOf is how the program has ended, or nil.
func (t *trial) exitOf() *exit {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.exit
}

// missing is the failure of a program that did not do what was expected, with what is known of why.
func (t *trial) missing(what string, args ...any) outcome {
	return t.missingWithin(0, what, args...)
}

// missingWithin is missing for something that was to be done within some time.
func (t *trial) missingWithin(limit time.Duration, what string, args ...any) outcome {
	what = fmt.Sprintf(what, args...)
	t.mu.Lock()
	defer t.mu.Unlock()
	if limit > 0 && t.exit == nil { // otherwise the time did not matter
		what += fmt.Sprintf(" within %v", limit)
	}
	switch {
	case t.exit != nil && t.refused != nil:
		return fail("%s: %s; the program ended with %s", what, t.refused.handshakeProblem(), t.exit.how)
	case t.exit != nil:
		return fail("%s: the program ended with %s", what, t.exit.how)
	case len(t.lines) == 0:
		return fail("%s: the program did not connect", what)
	case t.refused != nil:
		return fail("%s: %s", what, t.refused.handshakeProblem())
	}
	return fail("%s", what)
}

// handshakeProblem is a failed handshake in a few words.
func (s sight) handshakeProblem() string {
	err := s.err
	var record tls.RecordHeaderError
	switch alert := s.line.alertOf(err); {
	case alert != "":
		return "it ended the TLS handshake: " + alert
	case errors.As(err, &record) && record.RecordHeader[0]>>4 == byte(packet.CONNECT) && record.RecordHeader[0]&0xf == 0:
		return "it sent CONNECT without TLS"
	case errors.As(err, &record):
		return "it does not speak TLS"
	case hungUp(err):
		return "it hung up in the TLS handshake"
	}
	return "TLS handshake: " + err.Error()
}

// observeBroker notes why the broker ends a connection.
func (t *trial) observeBroker(e testbroker.Event) {
	var broken *packet.Error
	if e.Kind == testbroker.Ended && errors.As(e.Err, &broken) {
		t.bench.violated(broken.Error())
	}
}

// violated records that the program broke a rule. The first one counts.
func (b *bench) violated(how string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.broken == "" {
		b.broken = "it broke a rule of MQTT 3.1.1: " + how
	}
}
