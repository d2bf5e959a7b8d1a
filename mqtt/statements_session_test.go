package mqtt

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"iotwire/mqtt/packet"
)

// The statements of MQTT 3.1.1 about the session that bind a client, one test for each: identifiers, repetition,
// delivery by QoS, order.

func TestMQTT_2_3_1_2(t *testing.T) { // a new packet gets an identifier that is not in use
	bubble(t, func(t *testing.T, s *script) {
		c := s.run(Config{})
		srv, _ := s.connack(false)
		sub := c.subscribe(srv, "f", QoS0) // 1
		c.nextIdentifier(65534)
		c.submit("t", QoS1, "a")
		c.submit("t", QoS2, "b")
		srv.want("PUBLISH t q1 65534 a", "PUBLISH t q2 65535 b")
		c.submit("t", QoS1, "c") // never 0
		srv.want("PUBLISH t q1 1 c")
		if _, err := c.Subscribe("g", QoS1); err != nil {
			t.Fatal(err)
		}
		srv.want("SUBSCRIBE 2 g q1")
		closed := later(func() error { return sub.Close(background) })
		srv.want("UNSUBSCRIBE 3 f")

		c.nextIdentifier(65534) // all of these are in use
		c.submit("t", QoS2, "d")
		srv.want("PUBLISH t q2 4 d")
		c.nextIdentifier(65534)
		if _, err := c.Subscribe("h", QoS1); err != nil {
			t.Fatal(err)
		}
		srv.want("SUBSCRIBE 5 h q1")
		srv.answer(packet.UNSUBACK, 3)
		ended(t, closed)
	})
}

func TestMQTT_2_3_1_3(t *testing.T) { // an identifier is free again only after the last acknowledgement
	bubble(t, func(t *testing.T, s *script) {
		c := s.run(Config{})
		srv, _ := s.connack(false)
		c.nextIdentifier(10)
		c.submit("t", QoS1, "one")
		c.submit("t", QoS2, "two")
		srv.want("PUBLISH t q1 10 one", "PUBLISH t q2 11 two")
		srv.Close()
		srv, _ = s.connack(true)
		srv.want("PUBLISH t q1 dup 10 one", "PUBLISH t q2 dup 11 two") // repeated with their identifiers
		srv.answer(packet.PUBREC, 11)                                  // not the last one
		srv.want("PUBREL 11")
		c.nextIdentifier(10)
		c.submit("t", QoS1, "x")
		srv.want("PUBLISH t q1 12 x")

		srv.answer(packet.PUBACK, 10)
		srv.answer(packet.PUBCOMP, 11)
		srv.answer(packet.PUBACK, 12)
		c.settled()
		c.nextIdentifier(10)
		c.submit("t", QoS1, "y")
		c.submit("t", QoS2, "z")
		srv.want("PUBLISH t q1 10 y", "PUBLISH t q2 11 z")

		sub := c.subscribe(srv, "f", QoS1) // 12
		c.nextIdentifier(12)
		closed := later(func() error { return sub.Close(background) })
		srv.want("UNSUBSCRIBE 12 f") // free after SUBACK
		c.nextIdentifier(12)
		c.submit("t", QoS1, "v")
		srv.want("PUBLISH t q1 13 v") // not before UNSUBACK
		srv.answer(packet.UNSUBACK, 12)
		ended(t, closed)
		c.nextIdentifier(12)
		c.submit("t", QoS1, "w")
		srv.want("PUBLISH t q1 12 w")
	})
}

func TestMQTT_2_3_1_4(t *testing.T) { // nor may the server use an identifier for two messages at a time
	for _, row := range []struct {
		name  string
		first QoS
		then  QoS
	}{{"QoS 1", QoS1, QoS1}, {"QoS 2", QoS2, QoS2}, {"QoS 1, then 2", QoS1, QoS2}, {"QoS 2, then 1", QoS2, QoS1}} {
		t.Run(row.name, func(t *testing.T) {
			bubble(t, func(t *testing.T, s *script) {
				var lost error
				c := s.run(Config{Trace: &Trace{Disconnected: func(err error, _ bool, _ time.Duration) { lost = err }}})
				srv, _ := s.connack(false)
				sub := c.subscribe(srv, "t", QoS2) // nobody takes the first message, so nobody acknowledges it
				srv.publish("t", row.first, 5, "first")
				srv.publish("t", row.then, 5, "second")
				srv.closed()
				if want := "MQTT-2.3.1-4"; lost == nil || !strings.Contains(lost.Error(), want) || !errors.Is(lost, ErrProtocol) {
					t.Fatalf("the connection ended with %v, want %s", lost, want)
				}
				loop := c.collect(sub)
				loop.want(fmt.Sprintf("t q%d first", row.first))
				loop.none()
			})
		})
	}
	t.Run("QoS 2 before PUBREL, then 1", func(t *testing.T) {
		bubble(t, func(t *testing.T, s *script) {
			c := s.run(Config{})
			srv, _ := s.connack(false)
			loop := c.collect(c.subscribe(srv, "t", QoS2))
			srv.publish("t", QoS2, 5, "first")
			srv.want("PUBREC 5")
			loop.want("t q2 first")
			srv.publish("t", QoS1, 5, "second")
			srv.closed()
			loop.none()
		})
	})
}

func TestMQTT_2_3_1_6(t *testing.T) { // acknowledgements carry the identifier of the PUBLISH
	bubble(t, func(t *testing.T, s *script) {
		c := s.run(Config{})
		srv, _ := s.connack(false)
		loop := c.collect(c.subscribe(srv, "t", QoS2))
		srv.publish("t", QoS1, 0x1234, "a")
		srv.want("PUBACK 4660")
		srv.publish("t", QoS2, 0xffff, "b")
		srv.want("PUBREC 65535")
		srv.answer(packet.PUBREL, 0xffff)
		srv.want("PUBCOMP 65535")
		loop.want("t q1 a", "t q2 b")
		c.nextIdentifier(0x0102)
		done := c.publish("t", QoS2, "c")
		srv.want("PUBLISH t q2 258 c")
		srv.answer(packet.PUBREC, 258)
		srv.want("PUBREL 258")
		srv.answer(packet.PUBCOMP, 258)
		ended(t, done)
	})
}

func TestMQTT_3_1_2_4(t *testing.T) { // CleanSession 0: the session is kept after the connection
	bubble(t, func(t *testing.T, s *script) {
		c := s.run(Config{Inflight: 2})
		srv, connect := s.connack(false)
		if connect.CleanSession {
			t.Fatal("CleanSession is 1")
		}
		sub := c.subscribe(srv, "t", QoS2)
		srv.publish("t", QoS2, 9, "in")
		loop := c.collect(sub)
		loop.want("t q2 in")
		srv.want("PUBREC 9")
		var results []chan error
		for _, q := range []QoS{QoS1, QoS2, QoS1} {
			results = append(results, c.publish("t", q, "out"))
			time.Sleep(time.Second)
		}
		srv.want("PUBLISH t q1 2 out", "PUBLISH t q2 3 out")
		srv.Close()

		srv, connect = s.connack(true)
		if connect.CleanSession {
			t.Fatal("CleanSession is 1")
		}
		srv.want("PUBLISH t q1 dup 2 out", "PUBLISH t q2 dup 3 out")
		srv.send(publishBytes("t", QoS2, 9, true, "in")) // it is known
		srv.want("PUBREC 9")
		loop.none()
		srv.answer(packet.PUBACK, 2)
		srv.want("PUBLISH t q1 4 out") // what waited in the queue is of the session too
		srv.answer(packet.PUBREC, 3)
		srv.want("PUBREL 3")
		srv.answer(packet.PUBACK, 4)
		srv.answer(packet.PUBCOMP, 3)
		for _, r := range results {
			ended(t, r)
		}
		srv.publish("t", QoS0, 0, "still subscribed")
		loop.want("t q0 still subscribed")
	})
}

func TestMQTT_3_1_2_6(t *testing.T) { // CleanSession 1: nothing of an earlier session is used again
	bubble(t, func(t *testing.T, s *script) {
		c := s.run(Config{CleanSession: true})
		srv, connect := s.connack(false)
		if !connect.CleanSession {
			t.Fatal("CleanSession is 0")
		}
		loop := c.collect(c.subscribe(srv, "t", QoS2)) // 1
		srv.publish("t", QoS2, 9, "before")
		srv.want("PUBREC 9")
		one, two, three := c.submit("t", QoS1, "one"), c.submit("t", QoS2, "two"), c.submit("t", QoS2, "three")
		srv.want("PUBLISH t q1 2 one", "PUBLISH t q2 3 two", "PUBLISH t q2 4 three")
		srv.answer(packet.PUBREC, 4)
		srv.want("PUBREL 4")
		srv.Close()

		srv, connect = s.connack(false)
		if !connect.CleanSession {
			t.Fatal("CleanSession is 0")
		}
		srv.want("SUBSCRIBE 5 t q2", "PUBLISH t q1 6 one") // as new; and neither PUBLISH nor PUBREL of the others
		srv.suback(5, 2)
		srv.answer(packet.PUBACK, 6)
		if err := one.Wait(background); err != nil {
			t.Fatal(err)
		}
		matches(t, two.Wait(background), ErrUnconfirmed, ErrSessionLost)
		matches(t, three.Wait(background), ErrUnconfirmed, ErrSessionLost)
		srv.publish("t", QoS2, 9, "after") // the identifier is that of a new message
		srv.want("PUBREC 9")
		loop.want("t q2 before", "t q2 after")
	})
}

func TestMQTT_3_1_3_2(t *testing.T) { // the session is that of the ClientId: it is the same on every connection
	bubble(t, func(t *testing.T, s *script) {
		s.run(Config{ClientID: "meter/7 ü"})
		for range 3 {
			srv, connect := s.connack(true)
			if string(connect.ClientID) != "meter/7 ü" {
				t.Fatalf("ClientId is %q", connect.ClientID)
			}
			srv.Close()
		}
	})
}

func TestMQTT_3_3_1_1(t *testing.T) { // DUP is 1 on every repetition
	bubble(t, func(t *testing.T, s *script) {
		c := s.run(Config{})
		c.submit("t", QoS1, "one")
		c.submit("t", QoS2, "two")
		srv, _ := s.connack(false)
		srv.want("PUBLISH t q1 1 one", "PUBLISH t q2 2 two")
		for range 3 {
			srv.Close()
			srv, _ = s.connack(true)
			srv.want("PUBLISH t q1 dup 1 one", "PUBLISH t q2 dup 2 two")
		}
	})
}

func TestMQTT_3_3_1_3(t *testing.T) { // DUP of what came is not copied to what is sent
	bubble(t, func(t *testing.T, s *script) {
		c := s.run(Config{})
		srv, _ := s.connack(false)
		sub := c.subscribe(srv, "in", QoS1) // 1
		srv.send(publishBytes("in", QoS1, 7, true, "x"))
		for m, err := range sub.Messages(background) {
			if err != nil || !m.Dup {
				t.Fatal(m, err)
			}
			forward := *m
			forward.Topic = "out"
			done := later(func() error { return c.Publish(background, forward) })
			srv.want("PUBLISH out q1 2 x")
			srv.answer(packet.PUBACK, 2)
			ended(t, done)
			forward.QoS = QoS0
			if err := c.Publish(background, forward); err != nil {
				t.Fatal(err)
			}
			srv.want("PUBLISH out q0 x")
			break
		}
		srv.want("PUBACK 7")
	})
}

func TestMQTT_3_3_4_1(t *testing.T) { // the answer to PUBLISH is by its QoS: none, PUBACK, PUBREC
	bubble(t, func(t *testing.T, s *script) {
		c := s.run(Config{})
		srv, _ := s.connack(false)
		loop := c.collect(c.subscribe(srv, "#", QoS2))
		srv.publish("t", QoS0, 0, "zero")
		srv.quiet(time.Second)
		srv.publish("t", QoS1, 3, "one")
		srv.want("PUBACK 3")
		srv.publish("t", QoS2, 4, "two")
		srv.want("PUBREC 4")
		loop.want("t q0 zero", "t q1 one", "t q2 two")
	})
}

func TestMQTT_4_1_0_1(t *testing.T) { // session state is kept as long as the session lasts
	bubble(t, func(t *testing.T, s *script) {
		c := s.run(Config{KeepAlive: -1})
		done := c.publish("t", QoS1, "x")
		srv, _ := s.connack(false)
		srv.want("PUBLISH t q1 1 x")
		loop := c.collect(c.subscribe(srv, "in", QoS2)) // 2
		srv.publish("in", QoS2, 8, "once")
		srv.want("PUBREC 8")
		loop.want("in q2 once")
		for range 100 {
			srv.Close()
			srv, _ = s.connack(true)
			srv.want("PUBLISH t q1 dup 1 x")
			srv.send(publishBytes("in", QoS2, 8, true, "once"))
			srv.want("PUBREC 8")
			srv.quiet(24 * time.Hour)
		}
		loop.none()
		srv.answer(packet.PUBACK, 1)
		ended(t, done)
	})
}

func TestMQTT_4_1_0_2(t *testing.T) { // the session lasts as long as the connection at least
	bubble(t, func(t *testing.T, s *script) {
		c := s.run(Config{CleanSession: true, KeepAlive: -1})
		srv, _ := s.connack(false)
		done := c.publish("t", QoS2, "x")
		srv.want("PUBLISH t q2 1 x")
		srv.quiet(1000 * time.Hour)
		srv.answer(packet.PUBREC, 1)
		srv.want("PUBREL 1")
		srv.quiet(1000 * time.Hour)
		pending(t, done)
		srv.answer(packet.PUBCOMP, 1)
		ended(t, done)
	})
}

func TestMQTT_4_3_1_1(t *testing.T) { // QoS 0: DUP 0, once
	bubble(t, func(t *testing.T, s *script) {
		c := s.run(Config{})
		srv, _ := s.connack(false)
		if err := c.Publish(background, Message{Topic: "t", Payload: []byte("x"), Dup: true}); err != nil {
			t.Fatal(err)
		}
		srv.want("PUBLISH t q0 x")
		srv.Close()
		srv, _ = s.connack(true)
		srv.quiet(time.Minute / 2)
	})
}

func TestMQTT_4_3_2_1(t *testing.T) { // QoS 1 sender: DUP 0, unacknowledged until PUBACK
	bubble(t, func(t *testing.T, s *script) {
		c := s.run(Config{})
		srv, _ := s.connack(false)
		done := later(func() error {
			return c.Publish(background, Message{Topic: "t", Payload: []byte("x"), QoS: QoS1, Dup: true, Retain: true})
		})
		srv.want("PUBLISH t q1 retain 1 x")
		other := c.publish("t", QoS1, "y")
		srv.want("PUBLISH t q1 2 y")
		srv.answer(packet.PUBACK, 2)
		ended(t, other)
		pending(t, done)
		srv.answer(packet.PUBACK, 1)
		ended(t, done)
		srv.Close()
		srv, _ = s.connack(true)
		srv.quiet(time.Second) // nothing is unacknowledged
	})
}

func TestMQTT_4_3_2_2(t *testing.T) { // QoS 1 receiver: after PUBACK the identifier is a new message, whatever DUP says
	bubble(t, func(t *testing.T, s *script) {
		c := s.run(Config{})
		srv, _ := s.connack(false)
		sub := c.subscribe(srv, "t", QoS1)
		srv.publish("t", QoS1, 5, "x")
		srv.quiet(time.Second) // nobody owns it yet
		loop := c.collect(sub)
		srv.want("PUBACK 5")
		for _, dup := range []bool{true, false} {
			srv.send(publishBytes("t", QoS1, 5, dup, "x"))
			srv.want("PUBACK 5")
		}
		loop.want("t q1 x", "t q1 dup x", "t q1 x")
		loop.none()
	})
}

func TestMQTT_4_3_3_1(t *testing.T) { // QoS 2 sender: PUBLISH, PUBREC, PUBREL, PUBCOMP; no PUBLISH after PUBREL
	bubble(t, func(t *testing.T, s *script) {
		c := s.run(Config{})
		srv, _ := s.connack(false)
		done := c.publish("t", QoS2, "x")
		srv.want("PUBLISH t q2 1 x")
		srv.quiet(time.Second) // no PUBREL without PUBREC
		srv.answer(packet.PUBREC, 1)
		srv.want("PUBREL 1")
		srv.answer(packet.PUBREC, 1) // again: the first PUBREL may be lost
		srv.want("PUBREL 1")
		for range 3 {
			pending(t, done)
			srv.Close()
			srv, _ = s.connack(true)
			srv.want("PUBREL 1")
		}
		srv.answer(packet.PUBCOMP, 1)
		ended(t, done)
		srv.Close()
		srv, _ = s.connack(true)
		srv.quiet(time.Second)
	})
}

func TestMQTT_4_3_3_2(t *testing.T) { // QoS 2 receiver: one delivery until PUBREL, then PUBCOMP, then a new message
	bubble(t, func(t *testing.T, s *script) {
		c := s.run(Config{})
		srv, _ := s.connack(false)
		loop := c.collect(c.subscribe(srv, "t", QoS2))
		srv.publish("t", QoS2, 5, "x")
		srv.want("PUBREC 5")
		for _, dup := range []bool{true, false} {
			srv.send(publishBytes("t", QoS2, 5, dup, "x"))
			srv.want("PUBREC 5")
		}
		srv.Close()
		srv, _ = s.connack(true)
		srv.send(publishBytes("t", QoS2, 5, true, "x"))
		srv.want("PUBREC 5")
		loop.want("t q2 x")
		loop.none()
		for range 2 { // the second is of no message that we know
			srv.answer(packet.PUBREL, 5)
			srv.want("PUBCOMP 5")
		}
		srv.send(publishBytes("t", QoS2, 5, true, "x"))
		srv.want("PUBREC 5")
		loop.want("t q2 dup x")
		srv.answer(packet.PUBREL, 5)
		srv.want("PUBCOMP 5")
	})
}

func TestMQTT_4_4_0_1(t *testing.T) { // after a reconnect: unacknowledged PUBLISH and PUBREL with their identifiers
	bubble(t, func(t *testing.T, s *script) {
		c := s.run(Config{Inflight: 5})
		srv, _ := s.connack(false)
		for i, q := range []QoS{QoS1, QoS2, QoS2, QoS1, QoS2, QoS1} {
			c.submit("t", q, string(rune('a'+i)))
		}
		srv.want("PUBLISH t q1 1 a", "PUBLISH t q2 2 b", "PUBLISH t q2 3 c", "PUBLISH t q1 4 d", "PUBLISH t q2 5 e")
		srv.answer(packet.PUBREC, 3)
		srv.want("PUBREL 3")
		srv.answer(packet.PUBACK, 4)
		srv.want("PUBLISH t q1 6 f")
		srv.Close()
		srv, _ = s.connack(true)
		srv.want("PUBREL 3", "PUBLISH t q1 dup 1 a", "PUBLISH t q2 dup 2 b", "PUBLISH t q2 dup 5 e", "PUBLISH t q1 dup 6 f")
		c.submit("t", QoS1, "g")
		srv.quiet(time.Second) // new messages come after, and find no room
		srv.answer(packet.PUBCOMP, 3)
		srv.want("PUBLISH t q1 7 g")
	})
}

func TestMQTT_4_5_0_2(t *testing.T) { // a PUBLISH that nobody uses is acknowledged too
	bubble(t, func(t *testing.T, s *script) {
		var dropped []string
		c := s.run(Config{Trace: &Trace{Dropped: func(m *Message, err error) {
			matches(t, err, ErrNoSubscription)
			dropped = append(dropped, describeMessage(m))
		}}})
		srv, _ := s.connack(false)
		c.subscribe(srv, "used", QoS2)
		srv.publish("unused", QoS1, 3, "one")
		srv.want("PUBACK 3")
		srv.publish("unused", QoS2, 4, "two")
		srv.want("PUBREC 4")
		srv.answer(packet.PUBREL, 4)
		srv.want("PUBCOMP 4")
		srv.publish("unused", QoS0, 0, "zero")
		srv.quiet(time.Second)
		if want := []string{"unused q1 one", "unused q2 two", "unused q0 zero"}; !slices.Equal(dropped, want) {
			t.Fatalf("dropped %q, want %q", dropped, want)
		}
	})
}

func TestMQTT_4_6_0_1(t *testing.T) { // repetitions keep the original order
	bubble(t, func(t *testing.T, s *script) {
		c := s.run(Config{Inflight: 100})
		srv, _ := s.connack(false)
		c.nextIdentifier(65500) // so that the order is not that of the identifiers
		var first, again []string
		for i := range 100 {
			q := QoS(1 + i%2)
			c.submit("t", q, "x")
			h, body := srv.next()
			first = append(first, describe(h, body))
		}
		srv.Close()
		srv, _ = s.connack(true)
		for range 100 {
			h, body := srv.next()
			again = append(again, strings.Replace(describe(h, body), " dup", "", 1))
		}
		if !slices.Equal(first, again) {
			t.Fatalf("sent %q\nagain %q", first, again)
		}
	})
}

// acknowledgementsInOrder takes five messages of QoS q, holds them, acknowledges them in the order 3 1 0 2 4, and
// returns when the answers, of type answer, have come in the order of arrival.
func acknowledgementsInOrder(t *testing.T, q QoS, answer string) {
	bubble(t, func(t *testing.T, s *script) {
		c := s.run(Config{})
		srv, _ := s.connack(false)
		sub := c.subscribe(srv, "t", QoS2)
		ids := []uint16{9, 2, 65535, 4, 3}
		for _, id := range ids {
			srv.publish("t", q, id, "x")
		}
		var held []Message
		for m := range sub.Messages(background) {
			m.Hold()
			if held = append(held, m.Clone()); len(held) == len(ids) {
				break
			}
		}
		srv.quiet(time.Second)
		for _, i := range []int{3, 1} {
			if err := held[i].Ack(); err != nil {
				t.Fatal(err)
			}
		}
		srv.quiet(time.Second) // the first one is missing
		held[0].Ack()
		srv.want(answer+" 9", answer+" 2")
		srv.quiet(time.Second)
		held[2].Ack()
		srv.want(answer+" 65535", answer+" 4")
		held[4].Ack()
		srv.want(answer + " 3")
	})
}

// PUBACKs leave in the order in which their PUBLISHes came.
func TestMQTT_4_6_0_2(t *testing.T) { acknowledgementsInOrder(t, QoS1, "PUBACK") }

// PUBRECs leave in the order in which their PUBLISHes came.
func TestMQTT_4_6_0_3(t *testing.T) { acknowledgementsInOrder(t, QoS2, "PUBREC") }

func TestMQTT_4_6_0_4(t *testing.T) { // PUBRELs leave in the order in which their PUBRECs came
	bubble(t, func(t *testing.T, s *script) {
		c := s.run(Config{})
		srv, _ := s.connack(false)
		for range 4 {
			c.submit("t", QoS2, "x")
		}
		srv.want("PUBLISH t q2 1 x", "PUBLISH t q2 2 x", "PUBLISH t q2 3 x", "PUBLISH t q2 4 x")
		for _, id := range []uint16{3, 1, 4} {
			srv.answer(packet.PUBREC, id)
		}
		srv.want("PUBREL 3", "PUBREL 1", "PUBREL 4")
		srv.Close()
		srv, _ = s.connack(true)
		srv.want("PUBREL 3", "PUBREL 1", "PUBREL 4", "PUBLISH t q2 dup 2 x")
	})
}
