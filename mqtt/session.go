package mqtt

import (
	"fmt"
	"time"

	"iotwire/mqtt/packet"
)

// session is the session of MQTT 3.1.1 (section 4.1) as a state machine.
//
// What may live here: state and rules. What may not: goroutines, clocks, sockets, locks. It takes commands (accept,
// acknowledge, connected, disconnected) and packets (receive), appends the packets that are to be sent to out, and
// puts flows that ended on finished. Everything hard about MQTT is therefore in a place where a test can play any
// history against it. Its callers hold the client's lock.
//
//	outbound, this file:   queue -> sent -> (QoS 2: released) -> finished;   QoS 0, stream.go: written, or not
//	inbound, arrival.go:   arrivals, by identifier and in order; received: QoS 2 identifiers
//	requests, wish.go:     SUBSCRIBE and UNSUBSCRIBE
//	journal, journal.go:   records that have to be durable before what follows them may be sent
type session struct {
	online   bool
	inflight int           // how many QoS 1 and 2 messages may be unacknowledged
	batch    int           // how many topic filters a request may have
	attempts int           // Config.MaxAttempts
	now      time.Duration // set by the caller, for what Resend has to know

	out     []byte // what is to be sent on this connection
	offered uint64 // how many bytes of this connection were taken from out to be written
	ackDebt int    // how many bytes of out are answers to what the server sent

	storing  flowList // being stored; durable sessions only
	queue    flowList // accepted, waiting for room in flight or for a connection; in order
	sent     flowList // PUBLISH sent, QoS 1 or 2; in order
	released flowList // PUBREC came, PUBREL sent; in the order of the PUBRECs
	stream   *stream  // QoS 0, of this connection or the latest
	bytes    int      // of storing, queue and stream
	flows    identifiers[*flow]
	lastID   uint16
	seq      uint64  // of the latest message or PUBREC
	finished []*flow // ended since the client last looked; and messages of QoS 0,
	done     int     // that were written,
	failed   int     // and that were not

	probing bool            // one message in flight at a time: see Config.MaxAttempts
	deaths  int             // short-lived connections in a row that ended with messages in flight
	givenUp map[uint16]bool // identifiers that are free, but not for the server: see giveUp
	repeats map[uint16]int  // identifiers that were sent more than once on this connection: acknowledgements to come
	latest  latest

	acknowledged int // messages, on this connection

	inbound
	requests
	journal
}

func newSession(cfg *Config) *session {
	return &session{
		inflight: cfg.Inflight,
		batch:    cfg.SubscribeBatch,
		stream:   &stream{ended: true},
		attempts: cfg.MaxAttempts,
		repeats:  map[uint16]int{},
		givenUp:  map[uint16]bool{},
		inbound:  inbound{received: map[uint16]receipt{}},
		requests: requests{pending: map[uint16]*request{}},
		journal:  journal{durable: cfg.Store != nil},
	}
}

// waiting counts the messages that the queue's bounds count.
func (s *session) waiting() int { return s.storing.n + s.queue.n + s.stream.len() }

// open counts the messages that have not ended.
func (s *session) open() int {
	return s.storing.n + s.queue.n + s.sent.n + s.released.n + s.stream.len()
}

// awaiting counts what only reading can bring on: answers, and room in a server that reads when it has written.
func (s *session) awaiting() int { return s.sent.n + s.released.n + s.stream.len() + len(s.pending) }

// position is where in the connection's stream the next byte of out will stand.
func (s *session) position() uint64 { return s.offered + uint64(len(s.out)) }

// writable counts the bytes of out that may be written: those that wait for no record to be durable.
func (s *session) writable() int {
	if s.journal.holds() {
		return int(s.journal.cleared - s.offered)
	}
	return len(s.out)
}

// take returns what is to be written, and goes on with buf.
func (s *session) take(buf []byte) []byte {
	n := s.writable()
	out := s.out[:n]
	s.out = append(buf[:0], s.out[n:]...)
	s.offered += uint64(n)
	s.ackDebt = min(s.ackDebt, len(s.out))
	return out
}

// nextID returns an identifier that no exchange uses [MQTT-2.3.1-2], or 0 if there is none. Identifiers go round, so
// that one is not used again soon.
func (s *session) nextID() uint16 {
	if s.flows.len()+len(s.pending)+len(s.repeats)+len(s.givenUp) >= 65535 {
		return 0
	}
	for {
		s.lastID++
		if s.lastID != 0 && s.flows.get(s.lastID) == nil && s.pending[s.lastID] == nil && s.repeats[s.lastID] == 0 && !s.givenUp[s.lastID] {
			return s.lastID
		}
	}
}

// acceptQoS0 takes a message of QoS 0, for which there has to be a connection: it goes to out. Its position is where it
// ends in the stream.
func (s *session) acceptQoS0(m *Message) (position uint64, err error) {
	var p packet.Publish // [MQTT-4.3.1-1] DUP is 0
	p.Retain, p.Topic, p.Payload = m.Retain, []byte(m.Topic), m.Payload
	before := len(s.out)
	if s.out, err = packet.AppendPublish(s.out, &p); err != nil {
		return 0, err
	}
	position, size := s.position(), len(s.out)-before
	s.bytes += size
	s.stream.add(position, size)
	s.latest = latest{m.Topic, m.Retain, s.conn}
	return position, nil
}

// accept takes a message of QoS 1 or 2. It goes to the queue, in a durable session by way of the journal: see stored.
func (s *session) accept(f *flow, m *Message) (err error) {
	var p packet.Publish
	p.QoS, p.Retain, p.Topic, p.Payload = m.QoS, m.Retain, []byte(m.Topic), m.Payload
	f.qos = m.QoS
	p.ID = 1 // holds the place
	if f.packet, err = packet.AppendPublish(f.packet[:0], &p); err != nil {
		return err
	}
	f.idAt = len(f.packet) - len(m.Payload) - 2
	f.size = len(f.packet)
	s.bytes += f.size
	if s.durable {
		s.keep(f)
		return nil
	}
	s.queue.push(f)
	s.pump()
	return nil
}

// identify gives f an identifier of its own, and reports whether there was one.
func (s *session) identify(f *flow) bool {
	if f.id != 0 {
		return true
	}
	id := s.nextID()
	if id == 0 {
		return false
	}
	f.id = id
	f.packet[f.idAt], f.packet[f.idAt+1] = byte(id>>8), byte(id)
	s.flows.set(id, f)
	return true
}

// pump sends what may be sent now: first what an earlier connection did not finish, then what the queue holds.
func (s *session) pump() {
	if !s.online {
		return
	}
	if s.probing {
		if s.sent.n == 0 && s.released.n == 0 && (s.queue.n == 0 || !s.queue.head.left) { // all suspects are cleared
			s.probing, s.deaths = false, 0
		} else if f := s.sent.head; f != nil && f.conn != s.conn {
			s.send(f)
		}
	}
	window := s.inflight
	if s.probing {
		window = 1
	}
	for s.queue.n > 0 && s.sent.n+s.released.n < window && s.identify(s.queue.head) {
		f := s.queue.head
		f.remove()
		s.bytes -= f.size
		s.sent.push(f)
		s.send(f)
	}
}

// send appends the PUBLISH of f to out.
func (s *session) send(f *flow) {
	const dup = 0b1000
	if f.conn != s.conn {
		f.conn, f.copies, f.start = s.conn, 0, s.position()
	}
	f.packet[0] &^= dup // [MQTT-4.3.2-1] [MQTT-4.3.3-1] DUP is 0 on the first attempt,
	if f.written || f.copies > 0 {
		f.packet[0] |= dup // [MQTT-3.3.1-1] and 1 on each later one.
	}
	f.copies++
	f.at = s.now
	s.out = append(s.out, f.packet...)
}

// wrote says that the connection took its first n bytes: the QoS 0 messages among them are done.
func (s *session) wrote(n uint64) {
	messages, bytes := s.stream.wrote(n)
	s.done += messages
	s.bytes -= bytes
}

// finish ends a flow: it frees the identifier [MQTT-2.3.1-3] and tells the client.
func (s *session) finish(f *flow, err error) {
	s.forget(f)
	s.abandon(f, err)
}

// abandon ends a flow and leaves its records.
func (s *session) abandon(f *flow, err error) {
	if f.in == &s.queue || f.in == &s.storing {
		s.bytes -= f.size
	}
	f.remove()
	if f.id != 0 {
		s.flows.delete(f.id)
		f.id = 0
	}
	f.finished, f.err = true, err
	s.finished = append(s.finished, f)
}

// drop ends a flow that did not arrive, as far as is known.
func (s *session) drop(f *flow, cause error) {
	kind := ErrUnconfirmed
	if s.unsent(f) {
		kind = ErrNotSent
	}
	if s.durable {
		s.journal.before(s.position())
	}
	s.finish(f, &deliveryError{kind, cause})
}

// withdraw ends a flow of which no byte has left, and reports whether it could.
func (s *session) withdraw(f *flow, err error) bool {
	if !s.unsent(f) || s.online && f.in != &s.queue {
		return false
	}
	if s.durable {
		s.journal.before(s.position()) // that it is gone has to be durable before anybody is told
	}
	s.finish(f, err)
	return true
}

// unsent reports whether no byte of f can have left.
func (s *session) unsent(f *flow) bool {
	return !f.left && (f.in == &s.queue || f.in == &s.sent && !s.online)
}

// connected says that a CONNACK accepted. present is its session present flag; the caller has made sure that it is
// false with a clean session.
func (s *session) connected(present bool) {
	s.online = true
	s.conn++
	s.stream = &stream{}
	s.out, s.offered, s.ackDebt, s.journal.cleared = s.out[:0], 0, 0, 0
	s.acknowledged = 0
	if !present {
		s.lose()
	}
	s.journalConnected(present)
	// [MQTT-4.4.0-1] What was unacknowledged goes out again with its old identifier: [MQTT-4.6.0-4] PUBREL in the order
	// of the PUBRECs, [MQTT-4.6.0-1] PUBLISH in the original order; only then anything new. [MQTT-4.3.3-1] Once PUBREL
	// was sent, the PUBLISH is not sent again: its bytes are gone.
	for f := s.released.head; f != nil; f = f.next {
		f.conn, f.copies, f.releases, f.at = s.conn, 1, 1, s.now
		s.out, _ = packet.AppendPubrel(s.out, &packet.Pubrel{ID: f.id})
	}
	if !s.probing {
		for f := s.sent.head; f != nil; f = f.next {
			s.send(f)
		}
	}
	s.requestsConnected(present)
	s.reconcile()
	s.pump()
}

// lose forgets what belongs to a session that the server no longer has.
func (s *session) lose() {
	s.loseInbound()
	s.loseGivenUp()
	lost := &deliveryError{ErrUnconfirmed, ErrSessionLost}
	for f := s.released.head; f != nil; f = s.released.head {
		s.finish(f, lost)
	}
	// QoS 1 is published again as new, before anything that waits: duplicates are allowed, losses are not. So is a QoS 2
	// message of which no byte has left. Any other QoS 2 message may have been delivered, or not.
	for f := s.sent.tail; f != nil; f = s.sent.tail {
		f.remove()
		s.bytes += f.size
		s.queue.pushFront(f)
		if !s.durable { // the records of a durable session name the identifier, and it is free in the new session too
			s.flows.delete(f.id)
			f.id = 0
		}
	}
	for f := s.queue.head; f != nil; {
		next := f.next
		if f.written && f.qos == QoS2 {
			s.finish(f, lost)
		}
		f.written = false // [MQTT-4.3.2-1] A new message: DUP is 0.
		f = next
	}
}

// disconnected says that the connection has ended, by cause, and what that says of the messages that were in flight.
func (s *session) disconnected(cause error, v verdict) {
	s.online = false
	messages, bytes := s.stream.end(s.offered, cause)
	s.failed += messages
	s.bytes -= bytes
	var suspect *flow // the last message that was in flight
	suspects := 0
	for f := s.sent.head; f != nil; f = f.next {
		if f.conn == s.conn && f.start < s.offered {
			f.written, f.left = true, true
			suspect = f
			suspects++
		}
	}
	s.out = s.out[:0]
	clear(s.repeats)
	s.disconnectedInbound()
	s.requestsDisconnected()
	s.suspect(suspect, suspects, v, cause)
}

// verdict is what the end of a connection says of the messages that were in flight.
type verdict uint8

const (
	unclear verdict = iota // it broke, or timed out
	cleared                // it had lasted for long
	guilty                 // the server closed it, soon
)

// suspect looks for a message that the server answers by hanging up. After two such ends in a row with messages in
// flight, messages go one at a time; the one that was alone too often is the culprit.
func (s *session) suspect(f *flow, n int, v verdict, cause error) {
	switch {
	case s.attempts == 0:
	case v == cleared:
		s.probing, s.deaths = false, 0
	case v == unclear || n == 0:
	default:
		s.deaths++
		s.probing = s.probing || s.deaths >= 2
		if n > 1 {
			return
		}
		if f.deaths++; f.deaths >= s.attempts {
			if f.qos == QoS2 {
				s.giveUp(f.id)
			}
			s.finish(f, &deliveryError{ErrUnconfirmed, &rejectedError{f.deaths, cause}})
		}
	}
}

// end fails everything that has not ended: this client will not deliver it any more. In a durable session the records
// stay, for another.
func (s *session) end(cause error) {
	for _, l := range []*flowList{&s.released, &s.sent, &s.queue} {
		for f := l.head; f != nil; f = l.head {
			kind := ErrUnconfirmed
			if s.durable {
				kind = ErrStored
			} else if s.unsent(f) {
				kind = ErrNotSent
			}
			s.abandon(f, &deliveryError{kind, cause})
		}
	}
}

// overdue sends the oldest PUBLISH, PUBREL, SUBSCRIBE or UNSUBSCRIBE again that has had no answer for wait, three times
// at most: see Config.Resend. It returns when to be called again.
func (s *session) overdue(wait time.Duration) (next time.Duration) {
	const most = 4 // copies on one connection
	next = time.Hour
	due := func(at time.Duration, copies int) bool {
		if copies >= most {
			return false
		}
		next = min(next, max(wait-(s.now-at), 0))
		return s.now-at >= wait
	}
	if f := s.sent.head; f != nil && f.conn == s.conn && due(f.at, f.copies) {
		s.send(f)
		next = min(next, wait)
	}
	if f := s.released.head; f != nil && due(f.at, f.releases) {
		f.copies++
		f.releases++
		f.at = s.now
		s.out, _ = packet.AppendPubrel(s.out, &packet.Pubrel{ID: f.id})
		next = min(next, wait)
	}
	for _, r := range s.pending {
		if due(r.at, r.copies) {
			r.copies++
			r.at = s.now
			s.out = append(s.out, r.packet...)
			next = min(next, wait)
		}
	}
	return next
}

// receiveAck takes a PUBACK, PUBREC or PUBCOMP. known is false for one that answers nothing. Acknowledgements may come
// in any order, and twice; one of the wrong kind breaks the protocol and completes nothing.
func (s *session) receiveAck(t packet.Type, id uint16) (known bool, err error) {
	f := s.flows.get(id)
	if f == nil {
		if r := s.pending[id]; r != nil {
			return false, violation(t, "MQTT-4.8.0-1", "identifier %d is that of %s, want %s", id, r.kind(), r.answer())
		}
		return s.repeated(id), nil
	}
	switch {
	case t == packet.PUBACK && f.qos == QoS1 && f.in == &s.sent: // [MQTT-4.3.2-1]
		s.complete(f)
	case t == packet.PUBREC && f.qos == QoS2 && f.in == &s.sent: // [MQTT-4.3.3-1]
		f.remove()
		s.released.push(f)
		f.at, f.releases = s.now, 1
		s.release(f)
		s.out, _ = packet.AppendPubrel(s.out, &packet.Pubrel{ID: id})
		s.ackDebt += 4
	case t == packet.PUBREC && f.in == &s.released: // a copy of the PUBLISH was answered too, or the answer came twice
		f.copies = max(f.copies, 2)
		s.out, _ = packet.AppendPubrel(s.out, &packet.Pubrel{ID: id})
		s.ackDebt += 4
	case t == packet.PUBCOMP && f.in == &s.released:
		s.complete(f)
	case f.in != &s.sent && f.in != &s.released: // it was not sent in this session: an answer to an earlier life
		return false, nil
	default:
		return false, violation(t, "MQTT-4.8.0-1", "identifier %d is that of a PUBLISH of QoS %d, want %s", id, f.qos, s.wanted(f))
	}
	s.reconcile() // an identifier may be free for it
	s.pump()
	return true, nil
}

// complete ends a flow that was delivered. If it went out k times on this connection, its identifier stays taken until
// k acknowledgements have come: one that comes late must not confirm a newer message.
func (s *session) complete(f *flow) {
	s.acknowledged++
	if f.conn == s.conn && f.copies > 1 {
		s.repeats[f.id] = f.copies - 1
	}
	s.finish(f, nil)
}

// repeated takes an acknowledgement for a message that has ended, and reports whether one was to come.
func (s *session) repeated(id uint16) bool {
	n := s.repeats[id]
	if n > 1 {
		s.repeats[id] = n - 1
	} else {
		delete(s.repeats, id)
	}
	return n > 0
}

func (s *session) wanted(f *flow) packet.Type {
	switch {
	case f.qos == QoS1:
		return packet.PUBACK
	case f.in == &s.sent:
		return packet.PUBREC
	}
	return packet.PUBCOMP
}

// violation makes the error for a packet that is well-formed but may not come here.
//
//go:noinline
func violation(t packet.Type, rule, format string, args ...any) error {
	return &packet.Error{Type: t, Rule: rule, Reason: fmt.Sprintf(format, args...)}
}

// deliveryError is the end of a message that was not delivered, or not surely: kind is ErrNotSent or ErrUnconfirmed.
type deliveryError struct{ kind, cause error }

func (e *deliveryError) Error() string   { return e.kind.Error() + ": " + e.cause.Error() }
func (e *deliveryError) Unwrap() []error { return []error{e.kind, e.cause} }

// rejectedError says that the server hung up on a message.
type rejectedError struct {
	times int
	cause error
}

func (e *rejectedError) Error() string {
	return fmt.Sprintf("%v: the connection ended %d times with only this message in flight: %v", ErrRejected, e.times, e.cause)
}
func (e *rejectedError) Unwrap() []error { return []error{ErrRejected, e.cause} }
