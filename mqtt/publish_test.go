package mqtt

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"iotwire/mqtt/packet"
)

func TestPublishWithoutAcknowledgementDoesNotReturnNil(t *testing.T) {
	for _, q := range []QoS{QoS1, QoS2} {
		bubble(t, func(t *testing.T, s *script) {
			c := s.run(Config{KeepAlive: -1})
			done := c.publish("t", q, "x")
			for range 4 {
				srv, _ := s.connack(true)
				srv.next()
				srv.quiet(time.Hour)
				pending(t, done)
				srv.Close()
			}
			c.stop()
			ended(t, done, ErrUnconfirmed, ErrClosed)
		})
	}
}

func TestPublishQoS0ReturnsOnceTheConnectionTookIt(t *testing.T) {
	bubble(t, func(t *testing.T, s *script) {
		s.limit = 1000
		c := s.run(Config{KeepAlive: -1})
		srv, _ := s.connack(false)
		synctest.Wait()
		matches(t, c.Publish(background, Message{Topic: "t", Payload: make([]byte, 900)}))
		done := c.publish("t", QoS0, strings.Repeat("x", 900)) // only a part of it fits
		pending(t, done)
		srv.want("PUBLISH t q0 (900 bytes)")
		ended(t, done)
		srv.want("PUBLISH t q0 (900 bytes)")

		half := c.publish("t", QoS0, strings.Repeat("x", 2000))
		pending(t, half)
		none := c.publish("t", QoS0, "never began")
		pending(t, none)
		srv.Close()
		ended(t, half, ErrUnconfirmed, ErrLost)
		ended(t, none, ErrNotSent, ErrLost)
		srv, _ = s.connack(true)
		srv.quiet(time.Minute)
	})
}

func TestPublishQoS0Offline(t *testing.T) {
	bubble(t, func(t *testing.T, s *script) {
		c := s.run(Config{})
		done := c.publish("t", QoS0, "waits")
		gone := later(func() error { return c.Publish(within(t, time.Second), Message{Topic: "t"}) })
		ended(t, gone, ErrNotSent, context.DeadlineExceeded)
		pending(t, done)
		srv, _ := s.connack(false)
		srv.want("PUBLISH t q0 waits")
		ended(t, done)
		srv.quiet(time.Second)
	})
	for _, policy := range []FullPolicy{Reject, DropOldest} {
		bubble(t, func(t *testing.T, s *script) {
			c := s.client(Config{Queue: Queue{Full: policy}})
			matches(t, c.Publish(background, Message{Topic: "t"}), ErrNotSent, ErrOffline)
			_, err := c.Submit(background, Message{Topic: "t"})
			matches(t, err, ErrNotSent, ErrOffline)
		})
	}
}

func TestPublishEndsWithItsContext(t *testing.T) {
	t.Run("before the message was sent", func(t *testing.T) {
		bubble(t, func(t *testing.T, s *script) {
			c := s.run(Config{Inflight: 1})
			offline := c.Publish(within(t, time.Second), Message{Topic: "t", QoS: QoS1})
			matches(t, offline, ErrNotSent, context.DeadlineExceeded)
			srv, _ := s.connack(false)
			c.submit("t", QoS1, "first")
			queued := c.Publish(within(t, time.Second), Message{Topic: "t", QoS: QoS2, Payload: []byte("queued")})
			matches(t, queued, ErrNotSent, context.DeadlineExceeded)
			srv.want("PUBLISH t q1 1 first")
			srv.answer(packet.PUBACK, 1)
			srv.quiet(time.Second) // both are withdrawn
			if s := c.Stats(); s.Accepted != 3 || s.Done != 1 || s.Failed != 2 || s.Pending != 0 {
				t.Fatalf("%+v", s)
			}
			matches(t, c.Publish(within(t, 0), Message{Topic: "t", QoS: QoS1}), ErrNotSent, context.DeadlineExceeded)
		})
	})
	for _, q := range []QoS{QoS1, QoS2} {
		t.Run(fmt.Sprintf("QoS %d, before it was acknowledged", q), func(t *testing.T) {
			bubble(t, func(t *testing.T, s *script) {
				c := s.run(Config{})
				srv, _ := s.connack(false)
				ctx, cancel := context.WithCancel(background)
				done := later(func() error { return c.Publish(ctx, Message{Topic: "t", Payload: []byte("x"), QoS: q}) })
				srv.want(fmt.Sprintf("PUBLISH t q%d 1 x", q))
				cancel()
				ended(t, done, ErrUnconfirmed, context.Canceled)
				c.nextIdentifier(1) // it stays taken
				c.submit("t", QoS1, "y")
				srv.want("PUBLISH t q1 2 y")
				if s := c.Stats(); s.Pending != 2 || s.Failed != 0 {
					t.Fatalf("%+v", s)
				}
				srv.Close() // and the session goes on delivering it
				srv, _ = s.connack(true)
				srv.want(fmt.Sprintf("PUBLISH t q%d dup 1 x", q), "PUBLISH t q1 dup 2 y")
				srv.answer([]packet.Type{1: packet.PUBACK, 2: packet.PUBREC}[q], 1)
				if q == QoS2 {
					srv.want("PUBREL 1")
					srv.answer(packet.PUBCOMP, 1)
				}
				srv.answer(packet.PUBACK, 2)
				c.settled()
				c.nextIdentifier(1)
				c.submit("t", QoS1, "z")
				srv.want("PUBLISH t q1 1 z")
				if s := c.Stats(); s.Done != 2 {
					t.Fatalf("%+v", s)
				}
			})
		})
	}
}

// A message that was sent in a session that is gone, and waits to be sent in a new one, may have arrived.
func TestMessageOfALostSessionMayHaveArrived(t *testing.T) {
	bubble(t, func(t *testing.T, s *script) {
		s.limit = 1000
		c := s.run(Config{KeepAlive: -1})
		srv, _ := s.connack(false)
		ctx, cancel := context.WithCancel(background)
		first := later(func() error { return c.Publish(ctx, Message{Topic: "t", Payload: make([]byte, 2000), QoS: QoS1}) })
		pending(t, first)
		second := later(func() error { return c.Publish(ctx, Message{Topic: "t", Payload: []byte("second"), QoS: QoS1}) })
		srv.want("PUBLISH t q1 1 (2000 bytes)", "PUBLISH t q1 2 second")
		srv.Close()
		srv, _ = s.connack(false)
		synctest.Wait() // the first is being written, the second waits behind it
		srv.Close()
		s.accept().want("CONNECT")
		cancel()
		ended(t, first, ErrUnconfirmed, context.Canceled)
		ended(t, second, ErrUnconfirmed, context.Canceled)
	})
}

func TestInvalidMessagesAreNotSent(t *testing.T) {
	huge := make([]byte, packet.MaxRemainingLength)
	messages := map[string]Message{
		"no topic":             {},
		"wildcard +":           {Topic: "a/+"},
		"wildcard #":           {Topic: "a/#"},
		"U+0000":               {Topic: "a\x00b"},
		"ill-formed UTF-8":     {Topic: "a\xff"},
		"surrogate":            {Topic: "a\xed\xa0\x80"},
		"65 536 bytes":         {Topic: strings.Repeat("x", 65536)},
		"QoS 3":                {Topic: "a", QoS: 3},
		"QoS 255":              {Topic: "a", QoS: 255},
		"above 268 435 455":    {Topic: "a", Payload: huge},
		"above, with QoS 1 id": {Topic: "a", QoS: QoS1, Payload: huge[4:]},
	}
	for _, online := range []bool{true, false} {
		bubble(t, func(t *testing.T, s *script) {
			c := s.run(Config{})
			srv := s.accept()
			srv.want("CONNECT")
			if online {
				srv.send(connackBytes(false, packet.Accepted))
				synctest.Wait()
			}
			for name, m := range messages {
				if len(m.Payload) > 1<<20 && !online {
					continue // QoS 0 waits for a connection
				}
				err := c.Publish(background, m)
				if !errors.Is(err, ErrNotSent) || !errors.Is(err, packet.ErrInvalid) || errors.Is(err, ErrUnconfirmed) {
					t.Errorf("%s, online %v: %v", name, online, err)
				}
			}
			srv.quiet(5 * time.Second)
			if s := c.Stats(); s.Accepted != 0 {
				t.Fatalf("%+v", s)
			}
		})
	}
}

func TestCheckJudgesMessagesFiltersAndTheWill(t *testing.T) {
	bubble(t, func(t *testing.T, s *script) {
		no := errors.New("too many slashes")
		cfg := Config{
			Check: func(m *Message) error {
				if strings.Count(m.Topic, "/") > 1 {
					return no
				}
				return nil
			},
			CheckFilter: func(f string, _ QoS) error {
				if f == "#" {
					return no
				}
				return nil
			},
		}
		c := s.client(cfg)
		matches(t, c.Publish(background, Message{Topic: "a/b/c"}), ErrNotSent, no)
		_, err := c.Subscribe("#", QoS0)
		matches(t, err, no)
		_, err = c.Subscribe("a/b/c", QoS0)
		matches(t, err)
		cfg.Dial, cfg.ClientID, cfg.Will = s.dial, "c", &Message{Topic: "a/b/c"}
		_, err = New(cfg)
		matches(t, err, no)
	})
}

func TestAcknowledgementsInAnyOrder(t *testing.T) {
	const n = 100
	orders := map[string]func(i int) int{
		"reversed": func(i int) int { return n - 1 - i },
		"shuffled": func(i int) int { return i * 37 % n },
	}
	for name, order := range orders {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, s *script) {
				c := s.run(Config{Inflight: n})
				srv, _ := s.connack(false)
				for range 3 {
					var all []Delivery
					var ids []uint16
					for i := range n {
						all = append(all, c.submit("t", QoS1, fmt.Sprint(i)))
						_, body := srv.next()
						ids = append(ids, uint16(body[3])<<8|uint16(body[4]))
					}
					for i := range n {
						k := order(i)
						if err := all[k].Err(); err != ErrPending {
							t.Fatalf("message %d: %v", k, err)
						}
						srv.answer(packet.PUBACK, ids[k])
						synctest.Wait()
						matches(t, all[k].Err())
					}
				}
				if s := c.Stats(); s.Connects != 1 || s.Done != 3*n {
					t.Fatalf("%+v", s)
				}
			})
		})
	}
}

func TestAcknowledgementsForNobodyAreIgnored(t *testing.T) {
	bubble(t, func(t *testing.T, s *script) {
		var ignored []string
		c := s.run(Config{Trace: &Trace{Ignored: func(p packet.Type, id uint16) {
			ignored = append(ignored, fmt.Sprint(p, id))
		}}})
		srv, _ := s.connack(false)
		done := c.publish("t", QoS1, "x")
		srv.want("PUBLISH t q1 1 x")
		srv.answer(packet.PUBACK, 1)
		srv.answer(packet.PUBACK, 1)
		srv.answer(packet.PUBREC, 2)
		srv.answer(packet.PUBCOMP, 3)
		srv.answer(packet.UNSUBACK, 4)
		srv.suback(5, 0, 1, 2)
		ended(t, done)
		srv.quiet(time.Second)
		want := "[PUBACK1 PUBREC2 PUBCOMP3 UNSUBACK4 SUBACK5]"
		if got := strings.ReplaceAll(fmt.Sprint(ignored), " ", ""); got != strings.ReplaceAll(want, " ", "") {
			t.Fatalf("ignored %v, want %v", ignored, want)
		}
	})
}

func TestAllIdentifiersInFlight(t *testing.T) {
	bubble(t, func(t *testing.T, s *script) {
		s.limit = 1 << 20
		c := s.run(Config{Inflight: 65535, Queue: Queue{Messages: 65535}, KeepAlive: -1})
		for range 65535 {
			c.submit("t", QoS1, "")
		}
		srv, _ := s.connack(false)
		seen := map[uint16]bool{}
		for range 65535 {
			_, body, err := srv.r.Next()
			if err != nil {
				t.Fatal(err)
			}
			id := uint16(body[3])<<8 | uint16(body[4])
			if id == 0 || seen[id] {
				t.Fatalf("identifier %d is used again", id)
			}
			seen[id] = true
		}
		more := c.publish("t", QoS1, "more")
		srv.quiet(time.Second) // there is no identifier for it
		pending(t, more)
		sub, _ := c.Subscribe("f", QoS1)
		srv.quiet(time.Second) // nor for that
		srv.answer(packet.PUBACK, 777)
		srv.want("SUBSCRIBE 777 f q1")
		srv.answer(packet.PUBACK, 65535)
		srv.want("PUBLISH t q1 65535 more")
		srv.suback(777, 1)
		matches(t, sub.Ready(background))
		srv.answer(packet.PUBACK, 65535)
		ended(t, more)
		if s := c.Stats(); s.Inflight != 65533 || s.Connects != 1 {
			t.Fatalf("%+v", s)
		}
	})
}

func TestThousandPublishersWhileTheConnectionDies(t *testing.T) {
	bubble(t, func(t *testing.T, s *script) {
		c := s.run(Config{Queue: Queue{Messages: 10}, Backoff: Backoff{Min: time.Millisecond, Max: time.Second}})
		var results []chan error
		for i := range 1000 {
			q := QoS(i % 3)
			results = append(results, later(func() error {
				time.Sleep(time.Duration(i%10) * time.Millisecond)
				return c.Publish(background, Message{Topic: "t", Payload: []byte(fmt.Sprint(i)), QoS: q})
			}))
		}
		owned := map[string]bool{}
		for c.Stats().Done+c.Stats().Failed < 1000 {
			srv, _ := s.connack(true)
			for range rand.N(100) {
				srv.SetReadDeadline(time.Now().Add(time.Second))
				h, body, err := srv.r.Next()
				if err != nil {
					break
				}
				switch h.Type {
				case packet.PUBLISH:
					p, _ := packet.ParsePublish(h.Flags, body)
					owned[string(p.Payload)] = true
					switch p.QoS {
					case QoS1:
						srv.answer(packet.PUBACK, p.ID)
					case QoS2:
						srv.answer(packet.PUBREC, p.ID)
					}
				case packet.PUBREL:
					srv.answer(packet.PUBCOMP, uint16(body[0])<<8|uint16(body[1]))
				}
			}
			srv.Close()
		}
		for i, r := range results {
			select {
			case err := <-r:
				switch {
				case err == nil && i%3 > 0 && !owned[fmt.Sprint(i)]:
					t.Errorf("message %d: acknowledged by nobody", i)
				case err != nil && i%3 > 0:
					t.Errorf("message %d: %v", i, err)
				case err != nil && errors.Is(err, ErrNotSent) == errors.Is(err, ErrUnconfirmed):
					t.Errorf("message %d: %v, want one of not sent and unconfirmed", i, err)
				case err != nil && errors.Is(err, ErrNotSent) && owned[fmt.Sprint(i)]:
					t.Errorf("message %d: not sent, but it came", i)
				}
			case <-time.After(time.Hour):
				t.Fatalf("message %d: no end", i)
			}
		}
		if s := c.Stats(); s.Accepted != s.Done+s.Failed || s.Pending != 0 {
			t.Fatalf("%+v", s)
		}
	})
}
