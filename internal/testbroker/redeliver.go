package testbroker

import (
	"slices"
	"time"

	"iotwire/mqtt/packet"
)

// MQTT 3.1.1 knows repetition only after a reconnect (4.4). Deviations.RedeliverAfter is for servers that do it while the
// client is connected, too.

// countFromNow begins the time after which a message is sent again, and the one after which it is given up.
func (s *session) countFromNow(d *delivery) {
	if s.broker.config.Deviations.RedeliverAfter <= 0 || d.qos != packet.QoS1 {
		return
	}
	d.first = time.Now()
	d.last = d.first
	s.scheduleRedelivery(s.broker.config.Deviations.RedeliverAfter)
}

// scheduleRedelivery has redeliver called after this time, if it is not going to be called anyway.
func (s *session) scheduleRedelivery(after time.Duration) {
	if s.redelivering {
		return
	}
	s.redelivering = true
	time.AfterFunc(after, func() {
		s.broker.mu.Lock()
		defer s.broker.mu.Unlock()
		s.redelivering = false
		s.redeliver()
	})
}

// redeliver sends again what has waited for its PUBACK for too long, and gives up what has done so for much too long.
func (s *session) redeliver() {
	c, deviations := s.connection, &s.broker.config.Deviations
	if c == nil {
		return // it is sent again when the client returns
	}
	now := time.Now()
	next := time.Duration(0) // until the next message is due
	for _, d := range slices.Clone(s.sent) {
		if d.qos != packet.QoS1 {
			continue
		}
		if now.Sub(d.last) >= deviations.RedeliverAfter {
			d.last = now
			switch {
			case deviations.GiveUpAfter > 0 && now.Sub(d.first) >= deviations.GiveUpAfter, !c.mayHave(d.packet(false)):
				delete(s.inflight, d.id)
				s.sent = without(s.sent, d)
				s.broker.dropped++
				continue
			case !slices.Contains(s.resend, d) && len(c.out) < s.broker.config.OutgoingBytes:
				s.send(d, !deviations.NeverDup)
			}
		}
		if wait := deviations.RedeliverAfter - now.Sub(d.last); next == 0 || wait < next {
			next = wait
		}
	}
	if next > 0 {
		s.scheduleRedelivery(next)
	}
	s.pump() // there may be room now
}
