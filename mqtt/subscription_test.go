package mqtt

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"iotwire/mqtt/packet"
)

func TestSubscribeRefusesWhatNoServerMayTake(t *testing.T) {
	c := newScript(t).client(Config{})
	for _, filter := range []string{"", "a#", "a/#/b", "a+", "+a/b", "##", "a\x00", "\xff", strings.Repeat("x", 65536)} {
		if _, err := c.Subscribe(filter, QoS1); !errors.Is(err, packet.ErrInvalid) {
			t.Errorf("filter %.20q: %v", filter, err)
		}
	}
	if _, err := c.Subscribe("a", 3); !errors.Is(err, packet.ErrInvalid) {
		t.Errorf("QoS 3: %v", err)
	}
	if len(c.session.wishes) != 0 {
		t.Fatal("a wish is left")
	}
}

func TestSubscriptionsDeclaredBeforeRunAreSentInBatches(t *testing.T) {
	bubble(t, func(t *testing.T, s *script) {
		c := s.client(Config{SubscribeBatch: 8})
		var filters []string
		var subs []*Subscription
		for i := range 20 {
			filters = append(filters, fmt.Sprintf("f%02d", i))
			sub, err := c.Subscribe(filters[i], QoS1)
			if err != nil || sub.Filter() != filters[i] {
				t.Fatal(sub.Filter(), err)
			}
			subs = append(subs, sub)
		}
		start(t, c)
		srv, _ := s.connack(false)
		var sent []string
		for _, n := range []int{8, 8, 4} {
			h, body := srv.next()
			p, _ := packet.ParseSubscribe(body)
			if h.Type != packet.SUBSCRIBE || p.Requests.Len() != n {
				t.Fatalf("%s, want %d filters", describe(h, body), n)
			}
			for f := range p.Requests.All() {
				sent = append(sent, string(f))
			}
			srv.suback(p.ID, make([]byte, n)...)
		}
		if !slices.Equal(sent, filters) {
			t.Fatalf("subscribed to %q", sent)
		}
		for _, sub := range subs {
			matches(t, sub.Ready(background))
		}
		srv.quiet(time.Second)
		closing := make([]chan error, len(subs))
		for i, sub := range subs {
			closing[i] = later(func() error { return sub.Close(background) })
		}
		for closed := 0; closed < 20; {
			h, body := srv.next()
			p, _ := packet.ParseUnsubscribe(body)
			n := strings.Count(describe(h, body), " f")
			if h.Type != packet.UNSUBSCRIBE || n > 8 {
				t.Fatal(describe(h, body))
			}
			closed += n
			srv.answer(packet.UNSUBACK, p.ID)
		}
		for _, r := range closing {
			ended(t, r)
		}
	})
}

func TestRefusedSubscription(t *testing.T) {
	bubble(t, func(t *testing.T, s *script) {
		var told []string
		c := s.run(Config{Trace: &Trace{Subscribed: func(f string, q QoS, err error) { told = append(told, fmt.Sprint(f, q, err)) }}})
		srv, _ := s.connack(false)
		sub := c.subscribe(srv, "t", QoS1)
		loop := c.collect(sub)
		srv.Close()
		srv, _ = s.connack(false)
		srv.want("SUBSCRIBE 2 t q1")
		srv.suback(2, packet.SubackFailure) // it was granted before
		ended(t, loop.end, ErrRefused)
		matches(t, sub.Ready(background), ErrRefused)
		ended(t, c.collect(sub).end, ErrRefused)
		synctest.Wait()
		if len(told) != 2 || told[0] != "t1 <nil>" || !strings.Contains(told[1], ErrRefused.Error()) {
			t.Fatalf("%q", told)
		}
		srv.quiet(time.Second) // not asked for again in this session
		srv.Close()
		srv, _ = s.connack(true)
		srv.quiet(time.Second)
		srv.Close()
		srv, _ = s.connack(false) // in a new one it is
		srv.want("SUBSCRIBE 3 t q1")
		srv.suback(3, 1)
		matches(t, sub.Ready(background))
		loop = c.collect(sub)
		srv.publish("t", QoS0, 0, "x")
		loop.want("t q0 x")
		matches(t, sub.Close(within(t, 0)), context.DeadlineExceeded)
	})
}

func TestCloseSubscription(t *testing.T) {
	bubble(t, func(t *testing.T, s *script) {
		c := s.run(Config{})
		srv, _ := s.connack(false)
		sub := c.subscribe(srv, "t", QoS1) // 1
		waiting := c.collect(c.subscribe(srv, "other", QoS1))
		srv.publish("t", QoS1, 1, "nobody takes it")
		srv.quiet(time.Second)
		loop := sub.Messages(background)
		closed := later(func() error { return sub.Close(background) })
		srv.want("PUBACK 1", "UNSUBSCRIBE 3 t")
		pending(t, closed)
		srv.publish("t", QoS1, 2, "already on its way")
		srv.want("PUBACK 2")
		srv.answer(packet.UNSUBACK, 3)
		ended(t, closed)
		srv.publish("t", QoS1, 3, "late") // [MQTT-3.10.4-3]
		srv.want("PUBACK 3")
		for _, err := range loop {
			matches(t, err, ErrUnsubscribed)
		}
		matches(t, sub.Ready(background), ErrUnsubscribed)
		matches(t, sub.Close(background))
		waiting.none()
		srv.quiet(time.Second)
		if s := c.Stats(); s.InboxBytes != 0 || s.Received != 3 || s.Dropped != 2 {
			t.Fatalf("%+v", s)
		}
		again := c.subscribe(srv, "t", QoS1) // 4
		loop2 := c.collect(again)
		srv.publish("t", QoS0, 0, "x")
		loop2.want("t q0 x")
	})
}

func TestCloseSubscriptionInsideItsLoop(t *testing.T) {
	bubble(t, func(t *testing.T, s *script) {
		c := s.run(Config{})
		srv, _ := s.connack(false)
		sub := c.subscribe(srv, "t", QoS1)
		var all []byte
		for i := range 5 {
			all = append(all, publishBytes("t", QoS1, uint16(i+1), false, fmt.Sprint(i))...)
		}
		srv.send(all)
		synctest.Wait()
		var got []string
		done := later(func() error {
			for m, err := range sub.Messages(background) {
				if err != nil {
					return err
				}
				if got = append(got, string(m.Payload)); len(got) == 2 {
					if err := sub.Close(background); err != nil {
						return err
					}
				}
			}
			return nil
		})
		srv.want("PUBACK 1", "UNSUBSCRIBE 2 t")
		srv.answer(packet.UNSUBACK, 2)
		ended(t, done, ErrUnsubscribed)
		if len(got) != 2 {
			t.Fatalf("the loop got %q", got)
		}
		srv.want("PUBACK 2", "PUBACK 3", "PUBACK 4", "PUBACK 5") // nobody else would acknowledge them
		if s := c.Stats(); s.InboxBytes != 0 {
			t.Fatalf("%+v", s)
		}
	})
}

func TestCloseSubscriptionOffline(t *testing.T) {
	for _, present := range []bool{true, false} {
		bubble(t, func(t *testing.T, s *script) {
			c := s.run(Config{Backoff: Backoff{Floor: time.Minute}})
			srv, _ := s.connack(false)
			a, b := c.subscribe(srv, "a", QoS1), c.subscribe(srv, "b", QoS1)
			srv.Close()
			synctest.Wait()
			matches(t, a.Close(within(t, time.Second)), context.DeadlineExceeded)
			closed := later(func() error { return b.Close(background) })
			pending(t, closed)
			srv, _ = s.connack(present)
			if present {
				srv.want("UNSUBSCRIBE 3 a b")
				pending(t, closed)
				srv.answer(packet.UNSUBACK, 3)
			}
			ended(t, closed)
			srv.quiet(time.Second) // and nothing of them comes back
			srv.Close()
			srv, _ = s.connack(false)
			srv.quiet(time.Second)
		})
	}
}

func TestCloseSubscriptionThatWasNeverSent(t *testing.T) {
	bubble(t, func(t *testing.T, s *script) {
		c := s.client(Config{})
		sub, _ := c.Subscribe("t", QoS1)
		matches(t, sub.Close(background))
		start(t, c)
		srv, _ := s.connack(false)
		srv.quiet(time.Second)
	})
}

func TestSubscriptionChangesWhileARequestIsUnderWay(t *testing.T) {
	bubble(t, func(t *testing.T, s *script) {
		c := s.run(Config{})
		srv, _ := s.connack(false)
		first, _ := c.Subscribe("t", QoS0)
		srv.want("SUBSCRIBE 1 t q0")
		closed := later(func() error { return first.Close(background) })
		pending(t, closed)
		srv.suback(1, 0)
		srv.want("UNSUBSCRIBE 2 t")
		second, _ := c.Subscribe("t", QoS1) // it changes its mind
		ready := later(func() error { return second.Ready(background) })
		ended(t, closed)
		pending(t, ready)
		srv.answer(packet.UNSUBACK, 2)
		srv.want("SUBSCRIBE 3 t q1")
		srv.suback(3, 1)
		ended(t, ready)
	})
}

func TestTwoSubscriptionsOfOneFilter(t *testing.T) {
	bubble(t, func(t *testing.T, s *script) {
		c := s.run(Config{})
		srv, _ := s.connack(false)
		a := c.subscribe(srv, "t", QoS0)
		same, _ := c.Subscribe("t", QoS0)
		matches(t, same.Ready(background)) // the server has it
		b := c.subscribe(srv, "t", QoS2)   // more is asked for
		loops := []*collector{c.collect(a), c.collect(same), c.collect(b)}
		srv.publish("t", QoS2, 5, "x")
		for _, l := range loops {
			l.want("t q2 x")
		}
		srv.want("PUBREC 5")
		matches(t, a.Close(background)) // others still want it
		matches(t, b.Close(background))
		srv.quiet(time.Second)
		srv.publish("t", QoS1, 6, "y")
		srv.want("PUBACK 6")
		loops[1].want("t q1 y")
		closed := later(func() error { return same.Close(background) })
		srv.want("UNSUBSCRIBE 3 t")
		srv.answer(packet.UNSUBACK, 3)
		ended(t, closed)
	})
}

func TestOverlappingSubscriptionsGetAMessageOnceEach(t *testing.T) {
	bubble(t, func(t *testing.T, s *script) {
		c := s.run(Config{})
		srv, _ := s.connack(false)
		a, b := c.subscribe(srv, "a/#", QoS1), c.subscribe(srv, "a/+", QoS1)
		loopA := c.collect(a)
		srv.publish("a/x", QoS1, 5, "x")
		loopA.want("a/x q1 x")
		srv.quiet(time.Second) // it is acknowledged when all are done
		held := hold(t, b, 1)
		srv.quiet(time.Second)
		ack(t, held[0])
		ack(t, held[0]) // twice does nothing
		srv.want("PUBACK 5")
		loopB := c.collect(b)
		srv.publish("a", QoS1, 6, "a/# alone")
		srv.want("PUBACK 6")
		loopA.want("a q1 a/# alone")
		loopA.none()
		loopB.none()

		srv.publish("a/y", QoS1, 7, "y")
		srv.want("PUBACK 7")
		loopA.want("a/y q1 y")
		loopB.want("a/y q1 y")
		if s := c.Stats(); s.Received != 3 || s.Delivered != 3 || s.Held != 0 {
			t.Fatalf("%+v", s)
		}
	})
}

func TestCloseOfOneOverlappingSubscriptionAcknowledgesItsShare(t *testing.T) {
	bubble(t, func(t *testing.T, s *script) {
		c := s.run(Config{})
		srv, _ := s.connack(false)
		a, b := c.subscribe(srv, "a/#", QoS1), c.subscribe(srv, "a/+", QoS1)
		srv.publish("a/x", QoS1, 5, "x")
		c.collect(b).want("a/x q1 x")
		srv.quiet(time.Second)
		go a.Close(within(t, time.Minute))
		srv.want("PUBACK 5", "UNSUBSCRIBE 3 a/#")
	})
}

func TestOneSubscriptionToSeveralFiltersGetsMessagesOnceAndInOrder(t *testing.T) {
	bubble(t, func(t *testing.T, s *script) {
		c := s.run(Config{})
		srv, _ := s.connack(false)
		sub, err := c.SubscribeAll([]string{"a/#", "a/+", "b", "b"}, QoS1)
		matches(t, err)
		srv.want("SUBSCRIBE 1 a/# q1 a/+ q1 b q1")
		ready := later(func() error { return sub.Ready(background) })
		pending(t, ready)
		srv.suback(1, 1, 1, 1)
		ended(t, ready)
		same, err := c.Subscribe("b", QoS1) // the server has it
		matches(t, err)
		other, loop := c.collect(same), c.collect(sub)
		for i, topic := range []string{"b", "a/x", "a", "b", "a/x/y"} {
			srv.publish(topic, QoS1, uint16(i+5), fmt.Sprint(i))
		}
		srv.want("PUBACK 5", "PUBACK 6", "PUBACK 7", "PUBACK 8", "PUBACK 9")
		loop.want("b q1 0", "a/x q1 1", "a q1 2", "b q1 3", "a/x/y q1 4")
		loop.none()
		other.want("b q1 0", "b q1 3")
		closed := later(func() error { return sub.Close(background) })
		srv.want("UNSUBSCRIBE 2 a/# a/+") // another Subscription has b
		srv.answer(packet.UNSUBACK, 2)
		ended(t, closed)
		ended(t, loop.end, ErrUnsubscribed)
	})
}

func TestOneSubscriptionIsRefusedWithTheFirstOfItsFilters(t *testing.T) {
	bubble(t, func(t *testing.T, s *script) {
		c := s.run(Config{})
		srv, _ := s.connack(false)
		if _, err := c.SubscribeAll(nil, QoS1); !errors.Is(err, packet.ErrInvalid) {
			t.Errorf("no filter: %v", err)
		}
		if _, err := c.SubscribeAll([]string{"good", "a#"}, QoS1); !errors.Is(err, packet.ErrInvalid) || len(c.session.wishes) != 0 {
			t.Errorf("one bad filter: %v, %d wishes are left", err, len(c.session.wishes))
		}
		sub, err := c.SubscribeAll([]string{"a", "b"}, QoS1)
		matches(t, err)
		srv.want("SUBSCRIBE 1 a q1 b q1")
		loop := c.collect(sub)
		srv.suback(1, 1, packet.SubackFailure)
		ended(t, loop.end, ErrRefused)
		matches(t, sub.Ready(background), ErrRefused)
	})
}

func TestSharedSubscriptionMatchesWithoutItsPrefix(t *testing.T) {
	bubble(t, func(t *testing.T, s *script) {
		c := s.run(Config{})
		srv, _ := s.connack(false)
		shared := c.collect(c.subscribe(srv, "$share/workers/jobs/+", QoS1))
		odd := c.collect(c.subscribe(srv, "$share/x", QoS1)) // in 3.1.1 a filter like any other
		srv.publish("jobs/1", QoS0, 0, "x")
		shared.want("jobs/1 q0 x")
		srv.publish("$share/x", QoS0, 0, "y")
		odd.want("$share/x q0 y")
		srv.publish("$share/workers/jobs/1", QoS0, 0, "z")
		shared.none()
	})
}

func TestTopicTableIsBounded(t *testing.T) {
	bubble(t, func(t *testing.T, s *script) {
		c := s.run(Config{KeepAlive: -1})
		srv, _ := s.connack(false)
		loop := c.collect(c.subscribe(srv, "t/+", QoS0))
		for round := range 2 {
			for i := range 2000 {
				srv.publish(fmt.Sprintf("t/%d", i), QoS0, 0, "x")
				srv.publish(fmt.Sprintf("u/%d", i), QoS0, 0, "x")
				loop.want(fmt.Sprintf("t/%d q0 x", i))
			}
			c.mu.Lock()
			if n := len(c.routing.routes); n > maxRoutes {
				t.Errorf("round %d: %d topics are kept", round, n)
			}
			c.mu.Unlock()
		}
	})
}

// A subscription that an earlier process made, and that this one has asked for, is this one's to end.
func TestCloseEndsASubscriptionOfAnEarlierProcess(t *testing.T) {
	bubble(t, func(t *testing.T, s *script) {
		d := newDisk()
		c := s.run(Config{Store: d})
		srv, _ := s.connack(false)
		c.subscribe(srv, "t", QoS1)
		c.stop()
		c = s.run(Config{Store: d})
		c.nextIdentifier(7)
		srv, _ = s.connack(true)
		sub := mustSubscribe(t, c, "t", QoS1)
		matches(t, sub.Ready(within(t, time.Second))) // the session has it
		closed := later(func() error { return sub.Close(within(t, time.Hour)) })
		srv.want("UNSUBSCRIBE 7 t")
		srv.answer(packet.UNSUBACK, 7)
		ended(t, closed)
		c.stop()
		for k := range d.durable {
			if k.Kind == kindSubscribed {
				t.Error("the store has the subscription yet")
			}
		}
	})
}
