package testbroker

import "iotwire/mqtt/packet"

// message is a message that the broker keeps: one copy for all who get it.
type message struct {
	topic, payload []byte
	qos            packet.QoS
	retain         bool
}

func newMessage(p *packet.Publish) *message {
	memory := make([]byte, 0, len(p.Topic)+len(p.Payload))
	memory = append(memory, p.Topic...)
	memory = append(memory, p.Payload...)
	n := len(p.Topic)
	return &message{topic: memory[:n:n], payload: memory[n:], qos: p.QoS, retain: p.Retain}
}

// router is the working memory of route.
type router struct {
	count    uint64 // of messages
	sessions []*session
	shared   []member
}

// publish routes a message that the broker keeps.
func (b *Broker) publish(m *message) {
	b.route(&packet.Publish{Topic: m.topic, Payload: m.payload, QoS: m.qos, Retain: m.retain})
}

// route gives a message to every session with a subscription that matches [MQTT-3.3.2-3], and retains it if it says
// so. It is called with the lock held, so that all sessions get messages in one order [MQTT-4.6.0-6]. Packet identifier
// and DUP of p are not looked at [MQTT-3.3.1-3].
func (b *Broker) route(p *packet.Publish) {
	if p.Retain {
		b.retained.put(p)
	}
	r := &b.router
	r.count++
	r.sessions, r.shared = r.sessions[:0], r.shared[:0]
	for _, n := range b.subscriptions.match(p.Topic) {
		for s, granted := range n.subscribers {
			// [MQTT-3.3.5-1] With overlapping subscriptions one copy, at the highest QoS of them.
			if s.matched != r.count {
				s.matched, s.matchedQoS = r.count, granted
				r.sessions = append(r.sessions, s)
			} else if granted > s.matchedQoS {
				s.matchedQoS = granted
			}
		}
		for _, g := range n.groups {
			r.shared = append(r.shared, g.pick())
		}
	}
	var kept *message
	for _, s := range r.sessions {
		kept = s.deliver(p, s.matchedQoS, false, kept)
	}
	for _, m := range r.shared {
		kept = m.session.deliver(p, m.granted, false, kept)
	}
}

// deliver gives p to a session at the lower QoS of its own and the one granted [MQTT-3.8.4-6]. kept is a copy of p that
// earlier calls have made, or nil; it returns the one to hand to the next call.
//
// [MQTT-3.3.1-9] RETAIN is 0, but [MQTT-3.3.1-8] for a message that a new subscription brings.
func (s *session) deliver(p *packet.Publish, granted packet.QoS, retain bool, kept *message) *message {
	qos := min(p.QoS, granted)
	if s.guard != nil && s.guard.Queue != nil {
		if message := *p; !s.guard.Queue(&message) {
			s.broker.dropped++
			return kept
		}
	}
	if qos > 0 {
		if kept == nil {
			kept = newMessage(p)
		}
		s.enqueue(delivery{message: kept, qos: qos, retain: retain})
		return kept
	}
	c := s.connection
	if c == nil {
		return kept // nobody keeps QoS 0 for those who are away
	}
	if len(c.out) >= s.broker.config.OutgoingBytes {
		s.broker.dropped++
		return kept
	}
	out := packet.Publish{Retain: retain, Topic: p.Topic, Payload: p.Payload}
	if c.mayHave(out) {
		c.publish(&out)
	}
	return kept
}

// mayHave reports whether the guard lets a message through to the client.
func (c *connection) mayHave(p packet.Publish) bool {
	if c.guard == nil || c.guard.Deliver == nil {
		return true
	}
	message := p // so that p itself need not be on the heap
	return c.guard.Deliver(&message)
}

// publish appends a PUBLISH to the outgoing buffer.
func (c *connection) publish(p *packet.Publish) {
	start := len(c.out)
	c.out, _ = packet.AppendPublish(c.out, p)
	c.send(start)
}
