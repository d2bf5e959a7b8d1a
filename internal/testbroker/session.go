package testbroker

import (
	"fmt"
	"slices"
	"time"

	"iotwire/mqtt/packet"
)

// session is what the broker keeps for a client identifier (section 4.1): its subscriptions, the messages that wait to
// be sent to it, those it was sent and has not yet acknowledged, and the QoS 2 messages that it has not yet released.
// Everything is under the broker's lock.
type session struct {
	broker        *Broker
	clientID      string
	clean         bool        // it ends with its connection
	connection    *connection // nil while the client is away
	guard         *Guard      // of the connection, or of the last one; nil if there is none
	expiry        *time.Timer // ends the session while the client is away; nil: nothing does
	subscriptions map[string]struct{}

	queue      []delivery // not yet sent, in order; queue[head:] counts
	head       int
	queueBytes int

	lastID   uint16
	inflight map[uint16]*delivery // sent, by packet identifier
	sent     []*delivery          // those without PUBACK or PUBREC, in the order of their first sending
	released []*delivery          // those with PUBREC and without PUBCOMP, in the order of the PUBRECs
	resend   []*delivery          // of sent, those that this connection was not yet sent again

	received map[uint16]struct{} // QoS 2 messages from the client, between PUBLISH and PUBREL

	stored    []delivery // what waited when the client returned and goes at Deviations.ReplayRate
	replayAt  time.Time  // when the next of them may be sent
	replaying bool       // pump will be called then

	redelivering bool // redeliver will be called

	matched    uint64     // the last routing that found this session
	matchedQoS packet.QoS // with this QoS
}

// delivery is a QoS 1 or QoS 2 message on its way to a client.
type delivery struct {
	message  *message
	qos      packet.QoS // the lower of the message's and the subscription's
	retain   bool
	id       uint16
	released bool

	first, last time.Time // when it was sent on this connection, for Deviations.RedeliverAfter
}

func (d *delivery) size() int { return len(d.message.topic) + len(d.message.payload) }

func (b *Broker) newSession(clientID string) *session {
	s := &session{
		broker:        b,
		clientID:      clientID,
		subscriptions: make(map[string]struct{}),
		inflight:      make(map[uint16]*delivery),
		received:      make(map[uint16]struct{}),
	}
	b.sessions[clientID] = s
	return s
}

// forget ends a session and its subscriptions.
func (b *Broker) forget(s *session) {
	s.stay()
	for filter := range s.subscriptions {
		b.subscriptions.remove(filter, s)
	}
	delete(b.sessions, s.clientID)
}

// leave begins the wait for a client that has gone.
func (s *session) leave() {
	b := s.broker
	if b.config.SessionExpiry <= 0 || b.closed {
		return
	}
	var timer *time.Timer
	timer = time.AfterFunc(b.config.SessionExpiry, func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		if s.expiry == timer {
			b.forget(s)
		}
	})
	s.expiry = timer
}

// stay ends the wait.
func (s *session) stay() {
	if s.expiry != nil {
		s.expiry.Stop()
		s.expiry = nil
	}
}

// queued is the number of messages that wait to be sent.
func (s *session) queued() int { return len(s.stored) + len(s.queue) - s.head }

// full reports whether the queue takes no further message.
func (s *session) full() bool {
	return s.queued() >= s.broker.config.QueueMessages || s.queueBytes >= s.broker.config.QueueBytes
}

// enqueue adds a message to the session [MQTT-4.5.0-1] and sends what can be sent.
func (s *session) enqueue(d delivery) {
	if s.full() {
		s.broker.dropped++
		return
	}
	if s.head > 0 && len(s.queue) == cap(s.queue) {
		n := copy(s.queue, s.queue[s.head:])
		clear(s.queue[n:])
		s.queue, s.head = s.queue[:n], 0
	}
	s.queue = append(s.queue, d)
	s.queueBytes += d.size()
	s.pump()
}

// resume begins to send again what the client has not acknowledged, with the identifiers that it had [MQTT-4.4.0-1] and
// in the same order [MQTT-4.6.0-1].
func (s *session) resume() {
	for _, d := range s.released {
		s.sendPubrel(d.id)
	}
	s.resend = slices.Clone(s.sent)
	for _, d := range s.sent {
		s.countFromNow(d)
	}
	if s.broker.config.Deviations.ReplayRate > 0 {
		s.stored = append(s.stored, s.queue[s.head:]...)
		s.queue, s.head = nil, 0
	}
	s.pump()
}

// replay reports whether a message that waited for the client may be sent now. If it may not, pump is called again when
// it may.
func (s *session) replay() bool {
	rate := s.broker.config.Deviations.ReplayRate
	if rate <= 0 {
		return true
	}
	now := time.Now()
	wait := s.replayAt.Sub(now)
	if wait <= 0 {
		s.replayAt = now.Add(time.Second / time.Duration(rate))
		return true
	}
	if !s.replaying {
		s.replaying = true
		time.AfterFunc(wait, func() {
			s.broker.mu.Lock()
			defer s.broker.mu.Unlock()
			s.replaying = false
			s.pump()
		})
	}
	return false
}

// pump sends messages while the client may be sent more and the outgoing buffer has room.
func (s *session) pump() {
	c := s.connection
	if c == nil {
		return
	}
	config := &s.broker.config
	for len(s.resend) > 0 && len(c.out) < config.OutgoingBytes && s.replay() {
		d := s.resend[0]
		s.resend = s.resend[1:]
		if s.inflight[d.id] != d || d.released {
			continue
		}
		if !c.mayHave(d.packet(false)) {
			delete(s.inflight, d.id)
			s.sent = without(s.sent, d)
			continue
		}
		s.send(d, !config.Deviations.NeverDup) // [MQTT-3.3.1-1] DUP is 1.
	}
	room := func() bool { return len(s.inflight) < config.Inflight && len(c.out) < config.OutgoingBytes }
	for len(s.stored) > 0 && room() && s.replay() {
		d := s.stored[0]
		s.stored[0] = delivery{}
		s.stored = s.stored[1:]
		s.start(d)
	}
	for s.head < len(s.queue) && room() {
		d := s.queue[s.head]
		s.queue[s.head] = delivery{}
		if s.head++; s.head == len(s.queue) {
			s.queue, s.head = s.queue[:0], 0
		}
		s.start(d)
	}
}

// start sends a message for the first time.
func (s *session) start(d delivery) {
	s.queueBytes -= d.size()
	if !s.connection.mayHave(d.packet(false)) {
		return
	}
	d.id = s.newID()
	s.inflight[d.id] = &d
	s.sent = append(s.sent, &d)
	s.countFromNow(&d)
	s.send(&d, false)
}

// newID returns a packet identifier that is not in use [MQTT-2.3.1-4]. There is one: Inflight is below 65 536.
func (s *session) newID() uint16 {
	for {
		s.lastID++
		if _, used := s.inflight[s.lastID]; s.lastID != 0 && !used {
			return s.lastID
		}
	}
}

func (s *session) send(d *delivery, again bool) {
	p := d.packet(again)
	s.connection.publish(&p)
}

func (d *delivery) packet(again bool) packet.Publish {
	return packet.Publish{
		Dup: again, QoS: d.qos, Retain: d.retain, Topic: d.message.topic, ID: d.id, Payload: d.message.payload,
	}
}

func (s *session) sendPubrel(id uint16) {
	c := s.connection
	start := len(c.out)
	c.out, _ = packet.AppendPubrel(c.out, &packet.Pubrel{ID: id})
	c.reply(start)
}

// acknowledge handles PUBACK: the end of a QoS 1 delivery (4.3.2). An unknown identifier is no mistake: the PUBLISH may
// have been repeated.
func (s *session) acknowledge(id uint16) error {
	d := s.inflight[id]
	if d == nil {
		return nil
	}
	if d.qos != packet.QoS1 {
		return fmt.Errorf("PUBACK %d for a message of QoS 2, want PUBREC (4.3.3)", id)
	}
	delete(s.inflight, id)
	s.sent = without(s.sent, d)
	s.pump()
	return nil
}

// release handles PUBREC: the client has the QoS 2 message, which is not sent again from now on (4.3.3). Each PUBREC is
// answered with PUBREL, in order [MQTT-4.6.0-4]: the first one may have been lost, with an unknown identifier too.
func (s *session) release(id uint16) error {
	d := s.inflight[id]
	if d != nil && d.qos != packet.QoS2 {
		return fmt.Errorf("PUBREC %d for a message of QoS 1, want PUBACK (4.3.2)", id)
	}
	if d != nil && !d.released {
		d.released = true
		s.sent = without(s.sent, d)
		s.released = append(s.released, d)
		d.message = nil
	}
	s.sendPubrel(id)
	return nil
}

// complete handles PUBCOMP: the end of a QoS 2 delivery.
func (s *session) complete(id uint16) error {
	d := s.inflight[id]
	if d == nil {
		return nil
	}
	if !d.released {
		return fmt.Errorf("PUBCOMP %d for a message that had no PUBREC (4.3.2, 4.3.3)", id)
	}
	delete(s.inflight, id)
	s.released = without(s.released, d)
	s.pump()
	return nil
}

// without deletes d from list, where it mostly comes first.
func without(list []*delivery, d *delivery) []*delivery {
	if i := slices.Index(list, d); i >= 0 {
		return slices.Delete(list, i, i+1)
	}
	return list
}
