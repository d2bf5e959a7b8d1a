package mqtt

import (
	"fmt"
	"testing"
	"time"

	"iotwire/mqtt/packet"
)

// hold takes n messages, holds them, and returns copies.
func hold(t *testing.T, sub *Subscription, n int) []Message {
	t.Helper()
	var held []Message
	for m, err := range sub.Messages(within(t, time.Hour)) {
		if err != nil {
			t.Fatal(err)
		}
		m.Hold()
		if held = append(held, m.Clone()); len(held) == n {
			break
		}
	}
	return held
}

func ack(t *testing.T, m Message) {
	t.Helper()
	if err := m.Ack(); err != nil {
		t.Fatal(err)
	}
}

func TestAnswerToACopyDoesNotOutliveAQoS2Message(t *testing.T) {
	bubble(t, func(t *testing.T, s *script) {
		c := s.run(Config{})
		srv, _ := s.connack(false)
		sub := c.subscribe(srv, "t", QoS2)
		srv.publish("t", QoS2, 5, "five")
		srv.publish("t", QoS2, 6, "six")
		srv.send(publishBytes("t", QoS2, 5, true, "five")) // its answer waits behind that of six
		held := hold(t, sub, 2)
		ack(t, held[0])
		srv.want("PUBREC 5")
		srv.send(publishBytes("t", QoS2, 5, true, "five")) // likewise
		srv.answer(packet.PUBREL, 5)
		srv.want("PUBCOMP 5")
		ack(t, held[1])
		srv.want("PUBREC 6")
		srv.quiet(time.Second) // no PUBREC 5: it would be of nothing
		srv.publish("t", QoS2, 5, "new")
		ack(t, hold(t, sub, 1)[0])
		srv.want("PUBREC 5")
	})
}

func TestAnswerToACopyDoesNotConfirmANewerQoS1Message(t *testing.T) {
	bubble(t, func(t *testing.T, s *script) {
		c := s.run(Config{})
		srv, _ := s.connack(false)
		sub := c.subscribe(srv, "t", QoS2)
		srv.publish("t", QoS1, 5, "five")
		srv.publish("t", QoS1, 6, "six")
		srv.send(publishBytes("t", QoS1, 5, true, "five"))
		held := hold(t, sub, 2)
		ack(t, held[0])
		srv.want("PUBACK 5")
		srv.publish("t", QoS1, 5, "new")
		held = append(held, hold(t, sub, 1)...)
		ack(t, held[1])
		srv.want("PUBACK 6")
		srv.quiet(time.Second) // the PUBACK of the copy would be taken for that of the new one
		ack(t, held[2])
		srv.want("PUBACK 5")
		srv.quiet(time.Second)
	})
}

func TestEachCopyOfAMessageIsAnsweredAndOneIsDelivered(t *testing.T) {
	for _, q := range []QoS{QoS1, QoS2} {
		bubble(t, func(t *testing.T, s *script) {
			c := s.run(Config{})
			srv, _ := s.connack(false)
			sub := c.subscribe(srv, "t", QoS2)
			srv.publish("t", q, 5, "x")
			for range 3 {
				srv.send(publishBytes("t", q, 5, true, "x"))
			}
			held := hold(t, sub, 1)
			loop := c.collect(sub)
			srv.quiet(time.Second)
			loop.none()
			ack(t, held[0])
			answer := []string{1: "PUBACK 5", 2: "PUBREC 5"}[q]
			srv.want(answer, answer, answer, answer)
			srv.quiet(time.Second)
		})
	}
}

func TestManyHeldMessagesAreAnsweredInOrder(t *testing.T) {
	bubble(t, func(t *testing.T, s *script) {
		c := s.run(Config{KeepAlive: -1})
		srv, _ := s.connack(false)
		sub := c.subscribe(srv, "t", QoS1)
		const n = 1000
		var held []Message
		for i := range n {
			srv.publish("t", QoS1, uint16(i+1), "x")
			held = append(held, hold(t, sub, 1)...)
			if i%3 > 0 { // more come than are acknowledged
				k := i - i/3 - 1
				ack(t, held[k])
				srv.want(fmt.Sprintf("PUBACK %d", k+1))
			}
		}
		c.mu.Lock()
		if len(c.session.order) > n {
			t.Errorf("%d answers are kept for %d messages", len(c.session.order), n)
		}
		c.mu.Unlock()
		for i := n - n/3 - 1; i < n; i++ {
			held[i].Ack()
			srv.want(fmt.Sprintf("PUBACK %d", i+1))
		}
	})
}

// A server that kept the session, it says, but gives an identifier to another message than we know it for.
func TestIdentifierOfAnEarlierConnectionMayNameAnotherMessage(t *testing.T) {
	for _, q := range []QoS{QoS1, QoS2} {
		answer := []string{1: "PUBACK 5", 2: "PUBREC 5"}[q]
		t.Run(fmt.Sprintf("QoS %d, not acknowledged", q), func(t *testing.T) {
			bubble(t, func(t *testing.T, s *script) {
				c := s.run(Config{})
				srv, _ := s.connack(false)
				sub := c.subscribe(srv, "t", QoS2)
				srv.publish("t", q, 5, "old")
				old := hold(t, sub, 1)[0]
				srv.Close()
				srv, _ = s.connack(true)
				srv.publish("t", q, 5, "new")
				now := hold(t, sub, 1)[0]
				matches(t, old.Ack(), ErrSessionLost)
				srv.quiet(time.Second)
				ack(t, now)
				srv.want(answer)
			})
		})
		t.Run(fmt.Sprintf("QoS 2, received, then QoS %d", q), func(t *testing.T) {
			bubble(t, func(t *testing.T, s *script) {
				c := s.run(Config{})
				srv, _ := s.connack(false)
				loop := c.collect(c.subscribe(srv, "t", QoS2))
				srv.publish("t", QoS2, 5, "old")
				srv.want("PUBREC 5")
				srv.Close()
				srv, _ = s.connack(true)
				srv.publish("t", q, 5, "new")
				srv.want(answer)
				loop.want("t q2 old", fmt.Sprintf("t q%d new", q))
			})
		})
	}
}

// A message that was held over a loss of the session, of which the client could not know, does not keep its identifier
// from the new session: no PUBREC of it was sent there.
func TestHeldQoS2MessageDoesNotMakeTheServersNextOneAViolation(t *testing.T) {
	bubble(t, func(t *testing.T, s *script) {
		c, lost := s.watched(Config{})
		srv, _ := s.connack(false)
		sub := c.subscribe(srv, "t", QoS2)
		srv.publish("t", QoS2, 7, "old")
		held := hold(t, sub, 1)
		srv.Close()
		ended(t, lost, ErrLost)
		srv = s.accept() // a server without the session, whose CONNACK does not arrive
		srv.want("CONNECT")
		srv.Close()
		ended(t, lost, ErrHungUp)
		srv, _ = s.connack(true)
		srv.want("SUBSCRIBE 2 t q2")
		srv.suback(2, 2)
		ack(t, held[0])
		srv.publish("t", QoS2, 7, "new")
		c.collect(sub).want("t q2 new")
		srv.want("PUBREC 7")
		c.stop()
	})
}
