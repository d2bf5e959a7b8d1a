package mqtt

import (
	"fmt"

	"iotwire/mqtt/packet"
)

// session is the session of MQTT 3.1.1 (section 4.1) as a state machine.
//
// What may live here: state and rules. What may not: goroutines, clocks, sockets, locks. It takes commands (accept,
// acknowledge, connected, disconnected) and packets (receive), appends the packets that are to be sent to out, and
// puts flows that ended on finished. Everything hard about MQTT is therefore in a place where a test can play any
// history against it. Its callers hold the client's lock.
//
//	outbound, this file:   queue -> sent -> (QoS 2: released) -> finished;   QoS 0: unwritten -> finished
//	inbound, arrival.go:   arrivals, by identifier and in order; received: QoS 2 identifiers
//	requests, wish.go:     SUBSCRIBE and UNSUBSCRIBE
type session struct {
	online   bool
	inflight int // how many QoS 1 and 2 messages may be unacknowledged
	batch    int // how many topic filters a request may have

	out     []byte // what is to be sent on this connection
	offered uint64 // how many bytes of this connection were taken from out to be written
	ackDebt int    // how many bytes of out are answers to what the server sent

	queue     flowList // accepted, waiting for room in flight or for a connection; in order
	sent      flowList // PUBLISH sent, QoS 1 or 2; in order
	released  flowList // PUBREC came, PUBREL sent; in the order of the PUBRECs
	unwritten flowList // QoS 0, in out or being written; in order
	bytes     int      // of queue and unwritten
	flows     map[uint16]*flow
	lastID    uint16
	finished  []*flow // ended since the client last looked

	inbound
	requests
}

func newSession(inflight, batch int) *session {
	return &session{
		inflight: inflight,
		batch:    batch,
		flows:    map[uint16]*flow{},
		inbound:  inbound{arrivals: map[uint16]*arrival{}, received: map[uint16]struct{}{}},
		requests: requests{pending: map[uint16]*request{}},
	}
}

// waiting counts the messages that the queue's bounds count.
func (s *session) waiting() int { return s.queue.n + s.unwritten.n }

// open counts the messages that have not ended.
func (s *session) open() int { return s.queue.n + s.sent.n + s.released.n + s.unwritten.n }

// position is where in the connection's stream the next byte of out will stand.
func (s *session) position() uint64 { return s.offered + uint64(len(s.out)) }

// take returns what is to be written, and goes on with buf.
func (s *session) take(buf []byte) []byte {
	out := s.out
	s.offered += uint64(len(out))
	s.out = buf[:0]
	s.ackDebt = 0
	return out
}

// nextID returns an identifier that no exchange uses [MQTT-2.3.1-2], or 0 if there is none. Identifiers go round, so
// that one is not used again soon.
func (s *session) nextID() uint16 {
	if len(s.flows)+len(s.pending) >= 65535 {
		return 0
	}
	for {
		s.lastID++
		if s.lastID == 0 {
			continue
		}
		if s.flows[s.lastID] == nil && s.pending[s.lastID] == nil {
			return s.lastID
		}
	}
}

// accept takes a message. At QoS 0 it goes to out, and there has to be a connection; at QoS 1 and 2 it goes to the queue.
func (s *session) accept(f *flow, m *Message) (err error) {
	p := packet.Publish{QoS: m.QoS, Retain: m.Retain, Topic: []byte(m.Topic), Payload: m.Payload} // [MQTT-4.3.1-1] DUP is 0
	f.qos = m.QoS
	if m.QoS == QoS0 {
		f.start = s.position()
		if s.out, err = packet.AppendPublish(s.out, &p); err != nil {
			return err
		}
		f.end = s.position()
		f.size = int(f.end - f.start)
		s.unwritten.push(f)
	} else {
		p.ID = 1 // holds the place
		if f.packet, err = packet.AppendPublish(f.packet[:0], &p); err != nil {
			return err
		}
		f.idAt = len(f.packet) - len(m.Payload) - 2
		f.size = len(f.packet)
		s.queue.push(f)
	}
	s.bytes += f.size
	s.pump()
	return nil
}

// pump sends what the queue holds, as far as there is room in flight.
func (s *session) pump() {
	for s.online && s.queue.n > 0 && s.sent.n+s.released.n < s.inflight {
		id := s.nextID()
		if id == 0 {
			return
		}
		f := s.queue.head
		f.remove()
		s.bytes -= f.size
		f.id = id
		f.packet[f.idAt], f.packet[f.idAt+1] = byte(id>>8), byte(id)
		s.flows[id] = f
		s.sent.push(f)
		s.send(f)
	}
}

// send appends the PUBLISH of f to out.
func (s *session) send(f *flow) {
	const dup = 0b1000
	f.packet[0] &^= dup // [MQTT-4.3.2-1] [MQTT-4.3.3-1] DUP is 0 on the first attempt,
	if f.written {
		f.packet[0] |= dup // [MQTT-3.3.1-1] and 1 on each later one.
	}
	f.start = s.position()
	s.out = append(s.out, f.packet...)
}

// wrote says that the connection took its first n bytes: the QoS 0 messages among them are done.
func (s *session) wrote(n uint64) {
	for f := s.unwritten.head; f != nil && f.end <= n; f = s.unwritten.head {
		s.finish(f, nil)
	}
}

// finish ends a flow: it frees the identifier [MQTT-2.3.1-3] and tells the client.
func (s *session) finish(f *flow, err error) {
	if f.in == &s.queue || f.in == &s.unwritten {
		s.bytes -= f.size
	}
	f.remove()
	if f.id != 0 {
		delete(s.flows, f.id)
		f.id = 0
	}
	f.finished, f.err = true, err
	s.finished = append(s.finished, f)
}

// withdraw ends a flow of which no byte has left, and reports whether it could.
func (s *session) withdraw(f *flow, err error) bool {
	if !s.unsent(f) || s.online && f.in != &s.queue {
		return false
	}
	s.finish(f, err)
	return true
}

// unsent reports whether no byte of f can have left.
func (s *session) unsent(f *flow) bool {
	return !f.written && (f.in == &s.queue || f.in == &s.sent && !s.online || f.in == &s.unwritten && f.start >= s.offered)
}

// connected says that a CONNACK accepted. present is its session present flag; the caller has made sure that it is
// false with a clean session.
func (s *session) connected(present bool) {
	s.online = true
	s.out, s.offered, s.ackDebt = s.out[:0], 0, 0
	if !present {
		s.lose()
	}
	// [MQTT-4.4.0-1] What was unacknowledged goes out again with its old identifier: [MQTT-4.6.0-4] PUBREL in the order
	// of the PUBRECs, [MQTT-4.6.0-1] PUBLISH in the original order; only then anything new. [MQTT-4.3.3-1] Once PUBREL
	// was sent, the PUBLISH is not sent again: its bytes are gone.
	for f := s.released.head; f != nil; f = f.next {
		s.out, _ = packet.AppendPubrel(s.out, &packet.Pubrel{ID: f.id})
	}
	for f := s.sent.head; f != nil; f = f.next {
		s.send(f)
	}
	s.requests.connected(present)
	s.reconcile()
	s.pump()
}

// lose forgets what belongs to a session that the server no longer has.
func (s *session) lose() {
	s.inbound.lose()
	lost := &deliveryError{ErrUnconfirmed, ErrSessionLost}
	for f := s.released.head; f != nil; f = s.released.head {
		s.finish(f, lost)
	}
	// QoS 1 is published again as new, before anything that waits: duplicates are allowed, losses are not. So is a QoS 2
	// message of which no byte has left. Any other QoS 2 message may have been delivered, or not.
	for f := s.sent.tail; f != nil; f = s.sent.tail {
		if f.qos == QoS2 && f.written {
			s.finish(f, lost)
			continue
		}
		f.remove()
		delete(s.flows, f.id)
		f.id = 0
		f.written = false // [MQTT-4.3.2-1] A new message: DUP is 0.
		s.bytes += f.size
		s.queue.pushFront(f)
	}
}

// disconnected says that the connection has ended, by cause.
func (s *session) disconnected(cause error) {
	s.online = false
	for f := s.unwritten.head; f != nil; f = s.unwritten.head {
		kind := ErrUnconfirmed
		if f.start >= s.offered {
			kind = ErrNotSent
		}
		s.finish(f, &deliveryError{kind, cause})
	}
	for f := s.sent.head; f != nil; f = f.next {
		f.written = f.written || f.start < s.offered
	}
	s.out = s.out[:0]
	s.inbound.disconnected()
	s.requests.disconnected()
}

// end fails everything that has not ended: nobody will deliver it any more.
func (s *session) end(cause error) {
	for _, l := range []*flowList{&s.released, &s.sent, &s.queue} {
		for f := l.head; f != nil; f = l.head {
			kind := ErrUnconfirmed
			if s.unsent(f) {
				kind = ErrNotSent
			}
			s.finish(f, &deliveryError{kind, cause})
		}
	}
}

// receiveAck takes a PUBACK, PUBREC or PUBCOMP. known is false for one that answers nothing. Acknowledgements may come
// in any order, and twice; one of the wrong kind breaks the protocol and completes nothing.
func (s *session) receiveAck(t packet.Type, id uint16) (known bool, err error) {
	f := s.flows[id]
	if f == nil {
		if r := s.pending[id]; r != nil {
			return false, violation(t, "MQTT-4.8.0-1", "identifier %d is that of %s, want %s", id, r.kind(), r.answer())
		}
		return false, nil
	}
	switch {
	case t == packet.PUBACK && f.qos == QoS1: // [MQTT-4.3.2-1]
		s.finish(f, nil)
	case t == packet.PUBREC && f.qos == QoS2: // [MQTT-4.3.3-1]
		if f.in == &s.sent {
			f.remove()
			s.released.push(f)
			f.packet = f.packet[:0]
		}
		s.out, _ = packet.AppendPubrel(s.out, &packet.Pubrel{ID: id})
		s.ackDebt += 4
	case t == packet.PUBCOMP && f.in == &s.released:
		s.finish(f, nil)
	default:
		return false, violation(t, "MQTT-4.8.0-1", "identifier %d is that of a PUBLISH of QoS %d, want %s", id, f.qos, s.wanted(f))
	}
	s.pump()
	return true, nil
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
func violation(t packet.Type, rule, format string, args ...any) error {
	return &packet.Error{Type: t, Rule: rule, Reason: fmt.Sprintf(format, args...)}
}

// deliveryError is the end of a message that was not delivered, or not surely: kind is ErrNotSent or ErrUnconfirmed.
type deliveryError struct{ kind, cause error }

func (e *deliveryError) Error() string   { return e.kind.Error() + ": " + e.cause.Error() }
func (e *deliveryError) Unwrap() []error { return []error{e.kind, e.cause} }
