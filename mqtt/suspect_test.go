package mqtt

import (
	"testing"
	"time"

	"iotwire/mqtt/packet"
)

// hangUp has the server take n packets and hang up.
func hangUp(s *script, present bool, n int) {
	s.t.Helper()
	srv, _ := s.connack(present)
	for range n {
		srv.next()
	}
	srv.Close()
}

func TestWhileACulpritIsSoughtNothingElseIsInFlight(t *testing.T) {
	bubble(t, func(t *testing.T, s *script) {
		c := s.run(Config{MaxAttempts: 3, Inflight: 2, KeepAlive: -1})
		var last Delivery
		for _, payload := range []string{"a", "b", "c", "d"} {
			last = c.submit("t", QoS1, payload)
		}
		hangUp(s, false, 2)
		hangUp(s, true, 2)
		srv, _ := s.connack(true)
		srv.want("PUBLISH t q1 dup 1 a")
		srv.quiet(time.Minute)
		srv.answer(packet.PUBACK, 1)
		srv.want("PUBLISH t q1 dup 2 b")
		srv.quiet(time.Minute)
		srv.answer(packet.PUBACK, 2)
		srv.want("PUBLISH t q1 3 c", "PUBLISH t q1 4 d") // all that was in flight is delivered
		srv.answer(packet.PUBACK, 3)
		srv.answer(packet.PUBACK, 4)
		matches(t, last.Wait(background))
		c.stop()
	})
}

func TestOneOfSeveralMessagesInFlightIsNotBlamed(t *testing.T) {
	bubble(t, func(t *testing.T, s *script) {
		c := s.run(Config{MaxAttempts: 2})
		a, b := c.submit("t", QoS1, "a"), c.submit("t", QoS1, "b")
		hangUp(s, false, 2)
		hangUp(s, true, 2)
		srv, _ := s.connack(true)
		srv.want("PUBLISH t q1 dup 1 a")
		srv.answer(packet.PUBACK, 1)
		srv.want("PUBLISH t q1 dup 2 b")
		srv.answer(packet.PUBACK, 2)
		matches(t, a.Wait(background))
		matches(t, b.Wait(background))
		c.stop()
	})
}

func TestStableConnectionEndsTheSearchForACulprit(t *testing.T) {
	bubble(t, func(t *testing.T, s *script) {
		c := s.run(Config{MaxAttempts: 3, KeepAlive: -1})
		c.submit("t", QoS1, "a")
		c.submit("t", QoS1, "b")
		hangUp(s, false, 2)
		srv, _ := s.connack(true)
		srv.want("PUBLISH t q1 dup 1 a", "PUBLISH t q1 dup 2 b")
		srv.quiet(time.Minute) // it is stable
		srv.Close()
		hangUp(s, true, 2)
		srv, _ = s.connack(true) // the first short one in a row: no reason to go one at a time
		srv.want("PUBLISH t q1 dup 1 a", "PUBLISH t q1 dup 2 b")
		c.stop()
	})
}

// The server may have a QoS 2 message that was given up, and wait for its PUBREL: a new message under its identifier would
// be taken for a repetition, acknowledged, and lost.
func TestIdentifierOfAQoS2MessageThatWasGivenUpStaysTaken(t *testing.T) {
	bubble(t, func(t *testing.T, s *script) {
		c := s.run(Config{MaxAttempts: 1})
		srv, _ := s.connack(false)
		done := c.publish("t", QoS2, "x")
		srv.want("PUBLISH t q2 1 x")
		srv.Close() // PUBREC was on its way
		ended(t, done, ErrRejected, ErrUnconfirmed)
		srv, _ = s.connack(true)
		c.nextIdentifier(1)
		c.submit("t", QoS2, "y")
		srv.want("PUBLISH t q2 2 y")
		srv.Close()
		srv, _ = s.connack(false) // a new session: every identifier is free
		c.nextIdentifier(1)
		c.submit("t", QoS2, "z")
		srv.want("PUBLISH t q2 1 z")
		c.stop()
	})
}

func TestIdentifierOfAQoS2MessageThatWasGivenUpStaysTakenInTheNextProcess(t *testing.T) {
	bubble(t, func(t *testing.T, s *script) {
		d := newDisk()
		c := s.run(Config{Store: d, MaxAttempts: 1})
		c.nextIdentifier(1)
		srv, _ := s.connack(false)
		done := c.publish("t", QoS2, "x")
		srv.want("PUBLISH t q2 1 x")
		srv.Close()
		ended(t, done, ErrRejected, ErrUnconfirmed)
		s.connack(true)
		c.stop()
		c = s.run(Config{Store: d})
		c.nextIdentifier(1)
		srv, _ = s.connack(true)
		c.submit("t", QoS2, "y")
		srv.want("PUBLISH t q2 2 y")
		srv.Close()
		srv, _ = s.connack(false)
		matches(t, c.Ready(within(t, time.Second)))
		c.nextIdentifier(1)
		c.submit("t", QoS2, "z")
		srv.want("PUBLISH t q2 1 z")
		c.stop()
		for k := range d.durable {
			if k.Kind == kindGivenUp {
				t.Error("the store has the identifier yet, in a session that the server has lost")
			}
		}
	})
}

// The records that say that a QoS 2 message was given up and that it is gone are of one Put. Whatever a crash leaves of it,
// the next process has the message or its identifier.
func TestNextProcessHasAQoS2MessageThatWasGivenUpOrItsIdentifier(t *testing.T) {
	for _, kept := range []bool{false, true} {
		bubble(t, func(t *testing.T, s *script) {
			d := newDisk()
			c := s.run(Config{Store: d, MaxAttempts: 1})
			c.nextIdentifier(1)
			srv, _ := s.connack(false)
			c.submit("t", QoS2, "x")
			srv.want("PUBLISH t q2 1 x")
			d.breaks([]bool{kept})
			srv.Close()
			matches(t, c.wait(), ErrStore)
			message, identifier := 0, 0
			for k := range d.crash().durable {
				switch k.Kind {
				case kindMessage:
					message++
				case kindGivenUp:
					identifier++
				}
			}
			if message+identifier == 0 || kept != (identifier == 1) {
				t.Errorf("Put fails, and keeps its records: %v. The store has %d messages and %d identifiers", kept, message, identifier)
			}
		})
	}
}
