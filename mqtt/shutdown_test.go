package mqtt

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"iotwire/mqtt/packet"
)

func TestShutdownDeliversWhatWasAccepted(t *testing.T) {
	bubble(t, func(t *testing.T, s *script) {
		c := s.run(Config{Inflight: 1})
		srv, _ := s.connack(false)
		sub := c.subscribe(srv, "t", QoS1) // 1
		srv.publish("t", QoS1, 9, "x")
		held := hold(t, sub, 1)
		one, two := c.submit("t", QoS1, "one"), c.submit("t", QoS2, "two")
		srv.want("PUBLISH t q1 2 one")
		down := later(func() error { return c.Shutdown(background) })
		pending(t, down)

		refusal := c.Publish(background, Message{Topic: "t", QoS: QoS1})
		matches(t, refusal, ErrNotSent, ErrClosed)
		_, err := c.Subscribe("u", QoS1)
		matches(t, err, ErrClosed)

		srv.answer(packet.PUBACK, 2)
		srv.want("PUBLISH t q2 3 two")
		srv.answer(packet.PUBREC, 3)
		srv.want("PUBREL 3")
		srv.answer(packet.PUBCOMP, 3)
		pending(t, down)
		ack(t, held[0])
		srv.want("PUBACK 9", "DISCONNECT")
		srv.Close()
		ended(t, down)
		matches(t, c.wait())
		matches(t, one.Err())
		matches(t, two.Err())
	})
}

func TestShutdownIsBoundedByItsContext(t *testing.T) {
	bubble(t, func(t *testing.T, s *script) {
		c := s.run(Config{Inflight: 1})
		srv, _ := s.connack(false)
		sub := c.subscribe(srv, "t", QoS1)
		srv.publish("t", QoS1, 9, "x")
		hold(t, sub, 1)
		sent, queued := c.submit("t", QoS1, "sent"), c.submit("t", QoS1, "queued")
		srv.want("PUBLISH t q1 2 sent")
		go func() { srv.want("DISCONNECT"); srv.Close() }()
		began := time.Now()
		err := c.Shutdown(within(t, 5*time.Second))
		if d := time.Since(began); d != 5*time.Second {
			t.Fatalf("Shutdown took %v", d)
		}
		matches(t, err, context.DeadlineExceeded)
		if !strings.Contains(err.Error(), "2 messages not delivered, 1 received ones") {
			t.Fatal(err)
		}
		matches(t, c.wait())
		matches(t, sent.Err(), ErrUnconfirmed, ErrClosed)
		matches(t, queued.Err(), ErrNotSent, ErrClosed)
	})
}

func TestShutdownSaysThatMessagesFailed(t *testing.T) {
	t.Run("the server refuses for good", func(t *testing.T) {
		bubble(t, func(t *testing.T, s *script) {
			c := s.run(Config{})
			srv, _ := s.connack(false)
			d := c.submit("t", QoS1, "x")
			srv.want("PUBLISH t q1 1 x")
			down := later(func() error { return c.Shutdown(background) })
			pending(t, down)
			srv.Close()
			srv = s.accept()
			srv.want("CONNECT")
			srv.send(connackBytes(false, packet.RefusedUnauthorized))
			err := <-down
			matches(t, err, ErrClosed)
			if !strings.Contains(err.Error(), "1 messages not delivered") {
				t.Fatal(err)
			}
			matches(t, d.Err(), ErrUnconfirmed)
		})
	})
	t.Run("the session is lost", func(t *testing.T) {
		bubble(t, func(t *testing.T, s *script) {
			c := s.run(Config{})
			srv, _ := s.connack(false)
			c.submit("t", QoS2, "x")
			srv.want("PUBLISH t q2 1 x")
			down := later(func() error { return c.Shutdown(background) })
			pending(t, down)
			srv.Close()
			srv, _ = s.connack(false)
			srv.want("DISCONNECT")
			srv.Close()
			ended(t, down, ErrUnconfirmed)
			matches(t, c.wait())
		})
	})
}

func TestShutdownWithoutRun(t *testing.T) {
	bubble(t, func(t *testing.T, s *script) {
		c := s.client(Config{})
		matches(t, c.Shutdown(background))
		matches(t, c.Shutdown(background))
		matches(t, c.Run(background), ErrClosed)
		matches(t, c.Ready(background), ErrClosed)

		c = s.client(Config{})
		d, _ := c.Submit(background, Message{Topic: "t", QoS: QoS1})
		matches(t, c.Shutdown(background), ErrClosed)
		matches(t, d.Err(), ErrNotSent, ErrClosed)
	})
}

func TestShutdownWakesWhoWaitsForAConnectionOrForRoom(t *testing.T) {
	bubble(t, func(t *testing.T, s *script) {
		c := s.run(Config{Queue: Queue{Messages: 1}})
		c.submit("t", QoS1, "x")
		offline := c.publish("t", QoS0, "x")
		full := c.publish("t", QoS1, "x")
		pending(t, offline)
		pending(t, full)
		down := later(func() error { return c.Shutdown(within(t, time.Minute)) })
		pending(t, down)
		began := time.Now()
		ended(t, offline, ErrNotSent, ErrClosed)
		ended(t, full, ErrNotSent, ErrClosed)
		if d := time.Since(began); d != 0 {
			t.Fatalf("they waited %v", d)
		}
		ended(t, down, context.DeadlineExceeded)
	})
}

func TestShutdownFromManyGoroutinesAtOnce(t *testing.T) {
	for _, ran := range []bool{true, false} {
		bubble(t, func(t *testing.T, s *script) {
			c := &running{Client: s.client(Config{}), t: t}
			if ran {
				c = start(t, c.Client)
				srv, _ := s.connack(false)
				c.submit("t", QoS1, "x")
				srv.want("PUBLISH t q1 1 x")
				time.AfterFunc(time.Second, func() { srv.answer(packet.PUBACK, 1) })
			}
			var results []chan error
			for range 20 {
				results = append(results, later(func() error { return c.Shutdown(background) }))
			}
			for _, r := range results {
				ended(t, r)
			}
			matches(t, c.Shutdown(background))
			matches(t, c.Run(background), ErrClosed)
		})
	}
}

func TestShutdownEndsADialAndAPauseAtOnce(t *testing.T) {
	for _, name := range []string{"dial", "CONNACK", "backoff"} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, s *script) {
				c := s.run(Config{Dial: func(ctx context.Context) (net.Conn, error) {
					switch name {
					case "dial":
						<-ctx.Done()
						return nil, ctx.Err()
					case "CONNACK":
						return s.dial(ctx)
					}
					return nil, errors.New("no route")
				}, Backoff: Backoff{Floor: time.Hour}})
				synctest.Wait()
				began := time.Now()
				matches(t, c.Shutdown(background))
				matches(t, c.wait())
				if d := time.Since(began); d != 0 {
					t.Fatalf("Shutdown took %v", d)
				}
			})
		})
	}
}

func TestEverythingAfterRunSaysClosed(t *testing.T) {
	bubble(t, func(t *testing.T, s *script) {
		c := s.run(Config{})
		srv, _ := s.connack(false)
		sub := c.subscribe(srv, "t", QoS1)
		srv.publish("t", QoS1, 7, "last")
		held := hold(t, sub, 1)
		matches(t, c.stop(), context.Canceled)
		for name, err := range map[string]error{
			"Run":       c.Run(background),
			"Ready":     c.Ready(background),
			"Publish":   c.Publish(background, Message{Topic: "t", QoS: QoS1}),
			"QoS 0":     c.Publish(background, Message{Topic: "t"}),
			"Submit":    func() error { _, err := c.Submit(background, Message{Topic: "t", QoS: QoS2}); return err }(),
			"Subscribe": func() error { _, err := c.Subscribe("u", QoS0); return err }(),
			"sub.Ready": sub.Ready(background),
			"Messages":  <-c.collect(sub).end,
		} {
			if !errors.Is(err, ErrClosed) {
				t.Errorf("%s: %v", name, err)
			}
		}
		matches(t, c.Shutdown(background))
		matches(t, held[0].Ack(), ErrClosed)
		matches(t, sub.Close(within(t, time.Second)), ErrClosed)
		if s := c.Stats(); s.Online || s.Held != 0 || s.Pending != 0 || s.InboxBytes != 0 {
			t.Fatalf("%+v", s)
		}
	})
}

// The body of a loop that runs when Shutdown is called ends, its message is acknowledged, and no other is begun.
func TestShutdownWaitsForTheBodiesOfMessageLoops(t *testing.T) {
	for q := QoS1; q <= QoS2; q++ {
		t.Run(fmt.Sprint("QoS ", q), func(t *testing.T) {
			bubble(t, func(t *testing.T, s *script) {
				d := newDisk()
				c := s.run(Config{Store: d})
				srv, _ := s.connack(false)
				sub := c.subscribe(srv, "t", q)
				var got []string
				loop := later(func() error {
					for m, err := range sub.Messages(background) {
						if err != nil {
							return err
						}
						got = append(got, string(m.Payload))
						time.Sleep(5 * time.Second)
					}
					return nil
				})
				srv.publish("t", q, 1, "first")
				srv.publish("t", q, 2, "second")
				synctest.Wait()
				began := time.Now()
				down := later(func() error { return c.Shutdown(within(t, time.Minute)) })
				srv.want([]string{"", "PUBACK 1", "PUBREC 1"}[q])
				srv.want("DISCONNECT")
				srv.Close()
				ended(t, down)
				if took := time.Since(began); took != 5*time.Second {
					t.Errorf("Shutdown took %v", took)
				}
				ended(t, loop, ErrClosed)
				want := []string{"first", "second"}[:3-q] // a copy at QoS 1 is allowed: better than none
				if !slices.Equal(got, want) {
					t.Errorf("the loop got %q, want %q", got, want)
				}
				// The next client gets what the server sends again: the second message, and of QoS 2 only that.
				c = s.run(Config{Store: d})
				srv, _ = s.connack(true)
				again := c.collect(mustSubscribe(t, c, "t", q))
				srv.send(publishBytes("t", q, 2, true, "second"))
				again.want(fmt.Sprintf("t q%d dup second", q))
				c.stop()
			})
		})
	}
}

func mustSubscribe(t *testing.T, c *running, filter string, q QoS) *Subscription {
	s, err := c.Subscribe(filter, q)
	matches(t, err)
	return s
}

func TestMessagesThatCameBeforeTheEndAreStillYielded(t *testing.T) {
	bubble(t, func(t *testing.T, s *script) {
		c := s.run(Config{})
		srv, _ := s.connack(false)
		sub := c.subscribe(srv, "t", QoS1)
		srv.publish("t", QoS0, 0, "a")
		srv.publish("t", QoS1, 7, "b")
		synctest.Wait()
		c.stop()
		loop := c.collect(sub)
		loop.want("t q0 a", "t q1 b")
		ended(t, loop.end, ErrClosed)
	})
}

// A program that does not return from Config.Large keeps Run, and does not keep Shutdown.
func TestShutdownDoesNotWaitForLongForConfigLarge(t *testing.T) {
	bubble(t, func(t *testing.T, s *script) {
		stuck, free := make(chan struct{}), make(chan struct{})
		c := s.run(Config{MaxPacket: 1000, Timeout: 5 * time.Second, Large: func(*Message, int, io.Reader) error {
			close(stuck)
			<-free
			return nil
		}})
		srv, _ := s.connack(false)
		c.subscribe(srv, "t", QoS1)
		sending := later(func() error { srv.sendLarge(9, 20_000); return nil })
		<-stuck
		began := time.Now()
		ended(t, later(func() error { return c.Shutdown(background) }))
		if took := time.Since(began); took != 5*time.Second {
			t.Errorf("Shutdown took %v", took)
		}
		select {
		case <-c.ended:
			t.Error("Run has returned, with a message in hand")
		default:
		}
		close(free)
		matches(t, c.wait())
		ended(t, sending)
	})
}

// Between two waits of Run there is nothing to interrupt: the next one ends at once.
func TestShutdownWhileTraceIsCalledEndsRun(t *testing.T) {
	for when, serve := range map[string]func(s *script){
		"Connecting":   func(s *script) {},
		"Connected":    func(s *script) { srv, _ := s.connack(false); srv.want("DISCONNECT"); srv.Close() },
		"Disconnected": func(s *script) { srv, _ := s.connack(false); srv.Close() },
	} {
		t.Run(when, func(t *testing.T) {
			bubble(t, func(t *testing.T, s *script) {
				var c *Client
				told := func(what string) {
					if what == when {
						go c.Shutdown(background)
						time.Sleep(time.Second)
					}
				}
				c = s.client(Config{Backoff: Backoff{Floor: time.Hour}, Trace: &Trace{
					Connecting: func(int) { told("Connecting") },
					Connected:  func(bool) { told("Connected") },
					Disconnected: func(err error, _ bool, _ time.Duration) {
						if told("Disconnected"); when != "Disconnected" {
							t.Errorf("the end is told as a loss: %v", err)
						}
					},
				}})
				began := time.Now()
				r := start(t, c)
				serve(s)
				matches(t, r.wait())
				if d := time.Since(began); d != time.Second {
					t.Errorf("Run took %v to end", d)
				}
			})
		})
	}
}
