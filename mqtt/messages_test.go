package mqtt

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"iotwire/mqtt/packet"
)

func TestStepAcknowledgesTheMessageBefore(t *testing.T) {
	for _, q := range []QoS{QoS1, QoS2} {
		bubble(t, func(t *testing.T, s *script) {
			c := s.run(Config{})
			srv, _ := s.connack(false)
			sub := c.subscribe(srv, "t", QoS2)
			answer := []string{1: "PUBACK ", 2: "PUBREC "}[q]
			srv.send(append(publishBytes("t", q, 1, false, "a"), publishBytes("t", q, 2, false, "b")...))
			n := 0
			for m, err := range sub.Messages(background) {
				if err != nil {
					t.Fatal(err)
				}
				if n++; n == 2 {
					srv.want(answer + "1")
				}
				srv.quiet(time.Second) // not while its body runs
				if m.Payload[0] == 'b' {
					break
				}
			}
			srv.want(answer + "2") // break acknowledges too: the body did run
		})
	}
}

func TestPanicInALoopAcknowledgesNothing(t *testing.T) {
	ends := map[string]func(){
		"panic":  func() { panic("oops") },
		"Goexit": func() { runtime.Goexit() },
	}
	for name, end := range ends {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, s *script) {
				c := s.run(Config{})
				srv, _ := s.connack(false)
				sub := c.subscribe(srv, "t", QoS2)
				srv.send(slices.Concat(publishBytes("t", QoS1, 1, false, "a"), publishBytes("t", QoS2, 2, false, "b"),
					publishBytes("t", QoS1, 3, false, "c"), publishBytes("t", QoS1, 4, false, "d")))
				synctest.Wait()
				gone := make(chan struct{})
				go func() {
					defer close(gone)
					defer func() { recover() }()
					for m := range sub.Messages(background) {
						if m.Payload[0] == 'b' {
							end()
						}
					}
				}()
				<-gone
				srv.want("PUBACK 1")
				srv.quiet(time.Second)
				loop := c.collect(sub) // it goes to the next loop, in its place
				loop.want("t q2 b", "t q1 c", "t q1 d")
				srv.want("PUBREC 2", "PUBACK 3", "PUBACK 4")
				if s := c.Stats(); s.InboxBytes != 0 {
					t.Fatalf("%+v", s)
				}
			})
		})
	}
	t.Run("after Ack", func(t *testing.T) {
		bubble(t, func(t *testing.T, s *script) {
			c := s.run(Config{})
			srv, _ := s.connack(false)
			sub := c.subscribe(srv, "t", QoS2)
			srv.publish("t", QoS2, 1, "a")
			func() {
				defer func() { recover() }()
				for m := range sub.Messages(background) {
					ack(t, *m)
					panic("oops")
				}
			}()
			srv.want("PUBREC 1")
			c.collect(sub).none() // it was delivered
		})
	})
}

func TestSeveralLoopsShareTheMessages(t *testing.T) {
	bubble(t, func(t *testing.T, s *script) {
		c := s.run(Config{})
		srv, _ := s.connack(false)
		sub := c.subscribe(srv, "t", QoS1)
		var all []byte
		for i := range 100 {
			all = append(all, publishBytes("t", QoS1, uint16(i+1), false, fmt.Sprint(i))...)
		}
		got := make(chan string, 100)
		var loops []chan error
		for range 4 {
			loops = append(loops, later(func() error {
				for m, err := range sub.Messages(background) {
					if err != nil {
						return err
					}
					p := string(m.Payload)
					time.Sleep(time.Second)
					if p != string(m.Payload) {
						t.Errorf("payload %q became %q", p, m.Payload)
					}
					got <- p
				}
				return nil
			}))
		}
		synctest.Wait()
		began := time.Now()
		srv.send(all)
		seen := map[string]bool{}
		for range 100 {
			seen[<-got] = true
		}
		if d := time.Since(began); d != 25*time.Second {
			t.Fatalf("four loops took %v", d)
		}
		for i := range 100 { // in the order of arrival, whoever was done first
			srv.want(fmt.Sprintf("PUBACK %d", i+1))
		}
		if len(seen) != 100 {
			t.Fatalf("%d messages", len(seen))
		}
		closed := later(func() error { return sub.Close(background) })
		srv.want("UNSUBSCRIBE 2 t")
		srv.answer(packet.UNSUBACK, 2)
		ended(t, closed)
		for _, l := range loops {
			ended(t, l, ErrUnsubscribed)
		}
	})
}

func TestLoopEndsWithItsContext(t *testing.T) {
	bubble(t, func(t *testing.T, s *script) {
		c := s.run(Config{})
		srv, _ := s.connack(false)
		sub := c.subscribe(srv, "t", QoS1)
		ctx, cancel := context.WithCancel(background)
		done := later(func() error {
			for _, err := range sub.Messages(ctx) {
				if err != nil {
					return err
				}
			}
			return nil
		})
		pending(t, done)
		cancel()
		ended(t, done, context.Canceled)

		srv.send(append(publishBytes("t", QoS1, 1, false, "a"), publishBytes("t", QoS1, 2, false, "b")...))
		ctx, cancel = context.WithCancel(background)
		defer cancel()
		for m, err := range sub.Messages(ctx) {
			if m == nil {
				matches(t, err, context.Canceled)
				break
			}
			cancel() // the step to the next message acknowledges, and ends
		}
		srv.want("PUBACK 1")
		srv.quiet(time.Second)
		c.collect(sub).want("t q1 b") // what was not yielded stays
		srv.want("PUBACK 2")
	})
}

func TestMessageIsGoodUntilTheNextStepAndACloneForEver(t *testing.T) {
	bubble(t, func(t *testing.T, s *script) {
		c := s.run(Config{})
		srv, _ := s.connack(false)
		sub := c.subscribe(srv, "t/#", QoS2)
		var clones []Message
		for i := range 200 {
			srv.publish(fmt.Sprintf("t/%d", i), QoS(i%2), uint16(i), strings.Repeat(fmt.Sprint(i), 50))
		}
		for m, err := range sub.Messages(background) {
			if err != nil {
				t.Fatal(err)
			}
			if clones = append(clones, m.Clone()); len(clones) == 200 {
				break
			}
		}
		for i, m := range clones {
			if m.Topic != fmt.Sprintf("t/%d", i) || string(m.Payload) != strings.Repeat(fmt.Sprint(i), 50) || m.QoS != QoS(i%2) {
				t.Fatalf("message %d is %s %s", i, m.Topic, m.Payload)
			}
			m.Payload[0] = 'x' // it is the program's own
			matches(t, m.Ack())
		}
	})
}

func TestAppendToAPayloadDoesNotReachTheNextMessage(t *testing.T) {
	bubble(t, func(t *testing.T, s *script) {
		c := s.run(Config{})
		srv, _ := s.connack(false)
		sub := c.subscribe(srv, "t", QoS1)
		srv.send(append(publishBytes("t", QoS0, 0, false, "first"), publishBytes("t", QoS0, 0, false, "second")...))
		synctest.Wait()
		var got []string
		for m := range sub.Messages(background) {
			got = append(got, string(append(m.Payload, "!!!!!!"...)))
			if len(got) == 2 {
				break
			}
		}
		if got[0] != "first!!!!!!" || got[1] != "second!!!!!!" {
			t.Fatalf("%q", got)
		}
	})
}

func TestHoldAndAck(t *testing.T) {
	bubble(t, func(t *testing.T, s *script) {
		c := s.run(Config{})
		srv, _ := s.connack(false)
		sub := c.subscribe(srv, "t", QoS2)
		srv.publish("t", QoS0, 0, "zero")
		srv.publish("t", QoS1, 1, "one")
		held := hold(t, sub, 2)
		if s := c.Stats(); s.Held != 1 { // there is nothing to hold at QoS 0
			t.Fatalf("%+v", s)
		}
		matches(t, held[0].Ack())
		matches(t, held[1].Ack())
		matches(t, held[1].Ack()) // twice does nothing
		srv.want("PUBACK 1")
		srv.quiet(time.Second)
		if s := c.Stats(); s.Held != 0 {
			t.Fatalf("%+v", s)
		}
		own := Message{Topic: "t", QoS: QoS1}
		own.Hold()
		matches(t, own.Ack()) // a message of the program's own
	})
}

// An Ack of a message that was acknowledged long ago does not touch the message that came later.
func TestLateSecondAckDoesNothing(t *testing.T) {
	bubble(t, func(t *testing.T, s *script) {
		c := s.run(Config{})
		srv, _ := s.connack(false)
		sub := c.subscribe(srv, "t", QoS1)
		srv.publish("t", QoS1, 1, "old")
		old := hold(t, sub, 1)[0]
		ack(t, old)
		srv.want("PUBACK 1")
		srv.publish("t", QoS1, 1, "new")
		held := hold(t, sub, 1)[0]
		ack(t, old)
		srv.quiet(time.Second)
		if s := c.Stats(); s.Held != 1 {
			t.Fatalf("%+v", s)
		}
		ack(t, held)
		srv.want("PUBACK 1")
	})
}

func TestHeldMessagesOverAReconnect(t *testing.T) {
	for _, q := range []QoS{QoS1, QoS2} {
		t.Run(fmt.Sprintf("session kept, QoS %d", q), func(t *testing.T) {
			bubble(t, func(t *testing.T, s *script) {
				answer := []string{1: "PUBACK ", 2: "PUBREC "}[q]
				c := s.run(Config{})
				srv, _ := s.connack(false)
				sub := c.subscribe(srv, "t", QoS2)
				for i := range 5 {
					srv.publish("t", q, uint16(i+1), "x")
				}
				held := hold(t, sub, 5)
				ack(t, held[4])
				srv.Close()
				synctest.Wait()
				ack(t, held[2]) // offline
				srv, _ = s.connack(true)
				loop := c.collect(sub)
				for i := range 5 {
					srv.send(publishBytes("t", q, uint16(i+1), true, "x"))
				}
				srv.quiet(time.Second)
				ack(t, held[3])
				ack(t, held[1])
				srv.quiet(time.Second)
				ack(t, held[0]) // now they leave, in the order of arrival
				for i := range 5 {
					srv.want(fmt.Sprintf("%s%d", answer, i+1))
				}
				loop.none() // none was delivered twice
			})
		})
	}
	t.Run("session lost", func(t *testing.T) {
		bubble(t, func(t *testing.T, s *script) {
			c := s.run(Config{})
			srv, _ := s.connack(false)
			sub := c.subscribe(srv, "t", QoS2)
			srv.publish("t", QoS1, 1, "one")
			srv.publish("t", QoS2, 2, "two")
			held := hold(t, sub, 2)
			srv.Close()
			srv, _ = s.connack(false)
			srv.want("SUBSCRIBE 2 t q2")
			srv.suback(2, 2)
			loop := c.collect(sub)
			srv.publish("t", QoS2, 2, "new") // the identifier is free
			srv.want("PUBREC 2")
			loop.want("t q2 new")
			for range 2 {
				matches(t, held[0].Ack(), ErrSessionLost)
				matches(t, held[1].Ack(), ErrSessionLost)
			}
			srv.quiet(time.Second)
			if s := c.Stats(); s.Held != 0 {
				t.Fatalf("%+v", s)
			}
		})
	})
}

// Handlers may call everything, and wait for it.
func TestLoopBodyMayCallEverything(t *testing.T) {
	bubble(t, func(t *testing.T, s *script) {
		c := s.run(Config{Inbox: 200})
		srv, _ := s.connack(false)
		sub := c.subscribe(srv, "t", QoS2)
		go func() { // a small broker
			for {
				srv.SetReadDeadline(time.Time{})
				h, body, err := srv.r.Next()
				if err != nil {
					return
				}
				switch h.Type {
				case packet.PUBLISH:
					p, _ := packet.ParsePublish(h.Flags, body)
					srv.answer([]packet.Type{0, packet.PUBACK, packet.PUBREC}[p.QoS], p.ID)
				case packet.PUBREL:
					srv.answer(packet.PUBCOMP, uint16(body[0])<<8|uint16(body[1]))
				case packet.SUBSCRIBE:
					srv.suback(uint16(body[0])<<8|uint16(body[1]), 1)
				case packet.UNSUBSCRIBE:
					srv.answer(packet.UNSUBACK, uint16(body[0])<<8|uint16(body[1]))
				case packet.PINGREQ:
					srv.answer0(packet.PINGRESP)
				}
			}
		}()
		srv.publish("t", QoS1, 1, strings.Repeat("x", 150))
		srv.publish("t", QoS1, 2, strings.Repeat("y", 150)) // the inbox is full
		for m, err := range sub.Messages(within(t, time.Minute)) {
			if err != nil {
				t.Fatal(err)
			}
			matches(t, c.Publish(background, Message{Topic: "u", QoS: QoS2}))
			matches(t, c.Publish(background, Message{Topic: "u", QoS: QoS1}))
			other, err := c.Subscribe("other", QoS1)
			matches(t, err)
			matches(t, other.Ready(background))
			matches(t, other.Close(background))
			if m.Payload[0] == 'y' {
				matches(t, sub.Close(background))
				matches(t, c.Shutdown(background), ErrTimeout) // it waits for this body, though not for ever
				break
			}
		}
		matches(t, c.wait())
	})
}
