package mqtt

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"iotwire/mqtt/packet"
)

// The statements of MQTT 3.1.1 about SUBSCRIBE, UNSUBSCRIBE and what they bring that a client obeys, or checks in what a
// server does, one test for each.

func TestMQTT_3_3_2_3(t *testing.T) { // a PUBLISH matches a subscription: one that does not reaches nobody
	bubble(t, func(t *testing.T, s *script) {
		dropped := make(chan error, 10)
		c := s.run(Config{Trace: &Trace{Dropped: func(_ *Message, err error) { dropped <- err }}})
		srv, _ := s.connack(false)
		loop := c.collect(c.subscribe(srv, "a/+/c", QoS1))
		for _, topic := range []string{"a/b", "a/b/d", "A/b/c", "a/b/c/d", "/a/b/c"} {
			srv.publish(topic, QoS0, 0, "x")
			ended(t, dropped, ErrNoSubscription)
		}
		srv.publish("a//c", QoS0, 0, "x")
		loop.want("a//c q0 x")
	})
}

func TestMQTT_3_8_3_2(t *testing.T) { // a server without wildcards refuses them
	bubble(t, func(t *testing.T, s *script) {
		c := s.run(Config{})
		srv, _ := s.connack(false)
		plain, _ := c.Subscribe("t", QoS1)
		srv.want("SUBSCRIBE 1 t q1")
		wild, _ := c.Subscribe("t/#", QoS1)
		srv.want("SUBSCRIBE 2 t/# q1")
		srv.suback(1, 1)
		srv.suback(2, packet.SubackFailure)
		matches(t, plain.Ready(background))
		matches(t, wild.Ready(background), ErrRefused)
		ended(t, c.collect(wild).end, ErrRefused)
	})
}

func TestMQTT_3_8_4_1(t *testing.T) { // SUBSCRIBE is answered by SUBACK: until then the subscription is not ready
	bubble(t, func(t *testing.T, s *script) {
		c := s.run(Config{})
		srv, _ := s.connack(false)
		sub, _ := c.Subscribe("t", QoS1)
		srv.want("SUBSCRIBE 1 t q1")
		ready := later(func() error { return sub.Ready(background) })
		srv.quiet(time.Minute / 2)
		pending(t, ready)
		srv.suback(1, 1)
		ended(t, ready)
	})
}

func TestMQTT_3_8_4_2(t *testing.T) { // SUBACK has the identifier of its SUBSCRIBE
	bubble(t, func(t *testing.T, s *script) {
		c := s.run(Config{})
		srv, _ := s.connack(false)
		a, _ := c.Subscribe("a", QoS1)
		srv.want("SUBSCRIBE 1 a q1")
		b, _ := c.Subscribe("b", QoS1)
		srv.want("SUBSCRIBE 2 b q1")
		readyA, readyB := later(func() error { return a.Ready(background) }), later(func() error { return b.Ready(background) })
		srv.suback(3, 1) // of no SUBSCRIBE
		pending(t, readyA)
		srv.suback(2, 1)
		ended(t, readyB)
		pending(t, readyA)
		srv.suback(1, packet.SubackFailure)
		ended(t, readyA, ErrRefused)
	})
}

func TestMQTT_2_3_1_7(t *testing.T) { // SUBACK and UNSUBACK have the identifiers of their requests, and are of their kinds
	bubble(t, func(t *testing.T, s *script) {
		c := s.run(Config{})
		srv, _ := s.connack(false)
		a, b := c.subscribe(srv, "a", QoS0), c.subscribe(srv, "b", QoS0) // 1, 2
		closedA := later(func() error { return a.Close(background) })
		srv.want("UNSUBSCRIBE 3 a")
		closedB := later(func() error { return b.Close(background) })
		srv.want("UNSUBSCRIBE 4 b")
		srv.answer(packet.UNSUBACK, 4)
		ended(t, closedB)
		pending(t, closedA)
		srv.suback(3, 0) // not its kind: it completes nothing, and the connection ends
		srv.closed()
		pending(t, closedA)
		srv, _ = s.connack(true)
		srv.want("UNSUBSCRIBE 5 a")
		srv.answer(packet.UNSUBACK, 5)
		ended(t, closedA)
	})
}

func TestMQTT_3_8_4_5(t *testing.T) { // SUBACK has one return code for each topic filter
	for _, codes := range [][]byte{{0}, {0, 0, 0}, make([]byte, 1000)} {
		bubble(t, func(t *testing.T, s *script) {
			lost := make(chan error, 1)
			c := s.client(Config{Trace: &Trace{Disconnected: func(err error, _ bool, _ time.Duration) { lost <- err }}})
			a, _ := c.Subscribe("a", QoS0)
			c.Subscribe("b", QoS0)
			r := start(t, c)
			srv, _ := s.connack(false)
			srv.want("SUBSCRIBE 1 a q0 b q0")
			ready := later(func() error { return a.Ready(background) })
			srv.suback(1, codes...)
			srv.closed()
			err := <-lost
			matches(t, err, ErrProtocol)
			if !strings.Contains(err.Error(), "MQTT-3.8.4-5") {
				t.Fatal(err)
			}
			pending(t, ready)
			srv, _ = s.connack(true)
			srv.want("SUBSCRIBE 2 a q0 b q0") // whether the first was carried out is not known
			srv.suback(2, 0, 0)
			ended(t, ready)
			r.stop()
		})
	}
}

func TestMQTT_3_8_4_6(t *testing.T) { // the QoS granted may be lower than asked, and messages come at that
	bubble(t, func(t *testing.T, s *script) {
		granted := make(chan QoS, 1)
		c := s.run(Config{Trace: &Trace{Subscribed: func(filter string, q QoS, err error) { granted <- q }}})
		srv, _ := s.connack(false)
		sub, _ := c.Subscribe("t", QoS2)
		srv.want("SUBSCRIBE 1 t q2")
		srv.suback(1, 1)
		matches(t, sub.Ready(background))
		if q := <-granted; q != QoS1 {
			t.Fatalf("granted %d", q)
		}
		loop := c.collect(sub)
		srv.publish("t", QoS1, 3, "x")
		srv.want("PUBACK 3")
		loop.want("t q1 x")
		srv.quiet(time.Minute / 2) // and does not ask for more again
	})
}

func TestMQTT_3_9_3_1(t *testing.T) { // SUBACK's return codes are in the order of the topic filters
	bubble(t, func(t *testing.T, s *script) {
		var told []string
		c := s.client(Config{Trace: &Trace{Subscribed: func(filter string, q QoS, err error) {
			told = append(told, fmt.Sprintf("%s q%d %v", filter, q, errors.Is(err, ErrRefused)))
		}}})
		var subs []*Subscription
		for _, f := range []string{"d", "c", "b", "a"} {
			sub, _ := c.Subscribe(f, QoS2)
			subs = append(subs, sub)
		}
		start(t, c)
		srv, _ := s.connack(false)
		srv.want("SUBSCRIBE 1 d q2 c q2 b q2 a q2")
		srv.suback(1, 2, packet.SubackFailure, 1, 0)
		srv.quiet(time.Second)
		if got := strings.Join(told, ", "); got != "d q2 false, c q0 true, b q1 false, a q0 false" {
			t.Fatal(got)
		}
		for i, sub := range subs {
			if err := sub.Ready(background); errors.Is(err, ErrRefused) != (i == 1) {
				t.Fatal(i, err)
			}
		}
	})
}

func TestMQTT_3_10_4_4(t *testing.T) { unsuback(t, true) }  // UNSUBACK answers UNSUBSCRIBE, with its identifier
func TestMQTT_3_10_4_5(t *testing.T) { unsuback(t, false) } // also when the server had no such subscription

func unsuback(t *testing.T, existed bool) {
	bubble(t, func(t *testing.T, s *script) {
		c := s.run(Config{})
		srv, _ := s.connack(false)
		var sub *Subscription
		if existed {
			sub = c.subscribe(srv, "t", QoS1)
		} else { // whether the server carried the SUBSCRIBE out cannot be known
			sub, _ = c.Subscribe("t", QoS1)
			srv.want("SUBSCRIBE 1 t q1")
			srv.Close()
			sub.Close(within(t, 0))
			srv, _ = s.connack(true)
		}
		closed := later(func() error { return sub.Close(background) })
		srv.want("UNSUBSCRIBE 2 t")
		srv.answer(packet.UNSUBACK, 1)
		srv.quiet(time.Minute / 2)
		pending(t, closed)
		srv.answer(packet.UNSUBACK, 2)
		ended(t, closed)
	})
}

func TestMQTT_4_7_2_1(t *testing.T) { // a filter that starts with a wildcard does not match a topic that starts with $
	bubble(t, func(t *testing.T, s *script) {
		c := s.run(Config{})
		srv, _ := s.connack(false)
		wild, plain := c.collect(c.subscribe(srv, "#", QoS0)), c.collect(c.subscribe(srv, "$SYS/#", QoS0))
		level := c.collect(c.subscribe(srv, "+/x", QoS0))
		srv.publish("$SYS/x", QoS0, 0, "1")
		plain.want("$SYS/x q0 1")
		srv.publish("SYS/x", QoS0, 0, "2")
		wild.want("SYS/x q0 2")
		level.want("SYS/x q0 2")
		plain.none()
	})
}
