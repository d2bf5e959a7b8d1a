package mqtt

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"iotwire/mqtt/packet"
)

// slow is a loop that takes a message each time it is told to.
func (r *running) slow(sub *Subscription) (step chan struct{}, got chan string) {
	step, got = make(chan struct{}), make(chan string, 1000)
	go func() {
		for m, err := range sub.Messages(background) {
			if err != nil {
				return
			}
			got <- string(m.Payload[:1])
			<-step
		}
	}()
	return step, got
}

func TestFullInboxStopsTheReaderAndNotThePINGREQs(t *testing.T) {
	for _, q := range []QoS{QoS0, QoS1} {
		t.Run(fmt.Sprintf("QoS %d", q), func(t *testing.T) {
			bubble(t, func(t *testing.T, s *script) {
				s.limit = 1000
				c, lost := s.watched(Config{Inbox: 1000, KeepAlive: 10 * time.Second, Timeout: 5 * time.Second})
				srv, _ := s.connack(false)
				step, got := c.slow(c.subscribe(srv, "t", QoS1))
				sent := make(chan int, 1000)
				go func() {
					for i := range 26 {
						if _, err := srv.Write(publishBytes("t", q, uint16(i+1), false, strings.Repeat(string(rune('a'+i)), 400))); err != nil {
							return
						}
						sent <- i
					}
					srv.answer0(packet.PINGRESP)
				}()
				synctest.Wait()
				if n := len(sent); n > 8 {
					t.Fatalf("%d messages were taken", n)
				}
				if s := c.Stats(); s.InboxBytes > 1000 || s.Dropped != 0 {
					t.Fatalf("%+v", s)
				}
				began := time.Now()
				for range 10 { // PINGRESP is not read, and that is no silence of the server's
					srv.want("PINGREQ")
				}
				if d := time.Since(began); d != 100*time.Second {
					t.Fatalf("ten PINGREQs in %v", d)
				}
				for i := range 26 {
					if p := <-got; p != string(rune('a'+i)) {
						t.Fatalf("message %d is %s", i, p)
					}
					step <- struct{}{}
					if q == QoS1 {
						srv.want(fmt.Sprintf("PUBACK %d", i+1))
					}
				}
				synctest.Wait()
				if len(lost) > 0 {
					t.Fatal(<-lost)
				}
				if s := c.Stats(); s.InboxBytes != 0 || s.Received != 26 || s.Delivered != 26 {
					t.Fatalf("%+v", s)
				}
				srv.want("PINGREQ") // and from now on silence counts again
				ended(t, lost, ErrTimeout)
			})
		})
	}
}

// While an answer is awaited, or a message is held, the reader goes on: what waits for it would wait for ever.
func TestFullInboxDoesNotStopWhoWaits(t *testing.T) {
	t.Run("Publish in the loop", func(t *testing.T) {
		bubble(t, func(t *testing.T, s *script) {
			var dropped []string
			c := s.run(Config{Inbox: 500, Trace: &Trace{Dropped: func(m *Message, err error) {
				matches(t, err, ErrInboxFull)
				dropped = append(dropped, string(m.Payload[:1]))
			}}})
			srv, _ := s.connack(false)
			sub := c.subscribe(srv, "t", QoS1)
			for i := range 5 {
				srv.publish("t", QoS1, uint16(i+1), strings.Repeat(fmt.Sprint(i), 300))
			}
			done := later(func() error {
				for m, err := range sub.Messages(background) {
					if err != nil {
						return err
					}
					if err := c.Publish(background, Message{Topic: "u", Payload: m.Payload[:1], QoS: QoS1}); err != nil {
						return err
					}
					if m.Payload[0] == '4' {
						return nil
					}
				}
				return nil
			})
			srv.want("PUBLISH u q1 2 0")
			srv.publish("t", QoS0, 0, "x has no room")
			srv.publish("t", QoS1, 6, "y has")
			srv.answer(packet.PUBACK, 2)
			for i := 1; i < 5; i++ {
				srv.want(fmt.Sprintf("PUBACK %d", i), fmt.Sprintf("PUBLISH u q1 %d %d", i+2, i))
				srv.answer(packet.PUBACK, uint16(i+2))
			}
			ended(t, done)
			synctest.Wait()
			if !slices.Equal(dropped, []string{"x"}) {
				t.Fatalf("dropped %q", dropped)
			}
		})
	})
	t.Run("QoS 0 Publish beside it, to a server that writes before it reads", func(t *testing.T) {
		bubble(t, func(t *testing.T, s *script) {
			s.limit = 1000
			c := s.run(Config{Inbox: 500, KeepAlive: -1})
			srv, _ := s.connack(false)
			c.subscribe(srv, "t", QoS0)
			wrote := later(func() error {
				_, err := srv.Write(bytes.Repeat(publishBytes("t", QoS0, 0, false, strings.Repeat("x", 300)), 10))
				return err
			})
			pending(t, wrote)
			done := c.publish("u", QoS0, strings.Repeat("y", 3000))
			ended(t, wrote)
			srv.want("PUBLISH u q0 (3000 bytes)")
			ended(t, done)
		})
	})
	t.Run("QoS 0 Publish in the loop, to a server that writes before it reads", func(t *testing.T) {
		bubble(t, func(t *testing.T, s *script) {
			s.limit = 1000
			c := s.run(Config{Inbox: 500, KeepAlive: -1})
			srv, _ := s.connack(false)
			sub := c.subscribe(srv, "t", QoS1)
			served := later(func() error {
				for i := range 20 {
					if _, err := srv.Write(publishBytes("t", QoS1, uint16(i+1), false, strings.Repeat("x", 300))); err != nil {
						return err
					}
				}
				return nil
			})
			done := later(func() error {
				for _, err := range sub.Messages(background) {
					if err != nil {
						return err
					}
					return c.Publish(background, Message{Topic: "u", Payload: make([]byte, 3000)})
				}
				return nil
			})
			ended(t, served)
			srv.want("PUBLISH u q0 (3000 bytes)", "PUBACK 1")
			ended(t, done)
			c.stop()
		})
	})
	t.Run("held messages", func(t *testing.T) {
		bubble(t, func(t *testing.T, s *script) {
			c := s.run(Config{Inbox: 500})
			srv, _ := s.connack(false)
			sub := c.subscribe(srv, "t", QoS1)
			for i := range 20 {
				srv.publish("t", QoS1, uint16(i+1), strings.Repeat("x", 300))
			}
			for _, m := range hold(t, sub, 20) { // a program that collects a batch gets its batch
				ack(t, m)
			}
			for i := range 20 {
				srv.want(fmt.Sprintf("PUBACK %d", i+1))
			}
		})
	})
	t.Run("a held message, and another subscription that nobody reads", func(t *testing.T) {
		bubble(t, func(t *testing.T, s *script) {
			c := s.run(Config{Inbox: 500})
			srv, _ := s.connack(false)
			sub := c.subscribe(srv, "t", QoS1)
			c.subscribe(srv, "u", QoS1)
			srv.publish("t", QoS1, 1, "first")
			first := hold(t, sub, 1)
			for i := range 3 {
				srv.publish("u", QoS1, uint16(i+2), strings.Repeat("x", 400))
			}
			srv.publish("t", QoS1, 5, "second")
			second := hold(t, sub, 1) // stands behind what fills the inbox
			ack(t, first[0])
			ack(t, second[0])
			srv.want("PUBACK 1")
		})
	})
	t.Run("SUBSCRIBE", func(t *testing.T) {
		bubble(t, func(t *testing.T, s *script) {
			c := s.run(Config{Inbox: 500})
			srv, _ := s.connack(false)
			c.subscribe(srv, "t", QoS1)
			for i := range 3 {
				srv.publish("t", QoS1, uint16(i+1), strings.Repeat("x", 400))
			}
			synctest.Wait()
			c.subscribe(srv, "u", QoS1) // its SUBACK stands behind them
		})
	})
	t.Run("Shutdown", func(t *testing.T) {
		bubble(t, func(t *testing.T, s *script) {
			c := s.run(Config{Inbox: 500})
			srv, _ := s.connack(false)
			c.subscribe(srv, "t", QoS1)
			for i := range 3 {
				srv.publish("t", QoS1, uint16(i+1), strings.Repeat("x", 400))
			}
			synctest.Wait()
			began := time.Now()
			go func() { srv.want("DISCONNECT"); srv.Close() }()
			matches(t, c.Shutdown(background))
			if d := time.Since(began); d != 0 {
				t.Fatalf("Shutdown took %v", d)
			}
		})
	})
}

func TestConnectionThatFailsWhileTheReaderPauses(t *testing.T) {
	bubble(t, func(t *testing.T, s *script) {
		c, lost := s.watched(Config{Inbox: 500, KeepAlive: 10 * time.Second})
		srv, _ := s.connack(false)
		sub := c.subscribe(srv, "t", QoS1)
		for i := range 3 {
			srv.publish("t", QoS1, uint16(i+1), strings.Repeat("x", 400))
		}
		synctest.Wait()
		srv.wire().Reset(errBroken) // nobody reads: only PINGREQ can find it out
		ended(t, lost, ErrLost)
		srv, _ = s.connack(true)
		for i := range 3 {
			srv.send(publishBytes("t", QoS1, uint16(i+1), true, strings.Repeat("x", 400)))
		}
		loop := c.collect(sub)
		for i := range 3 {
			loop.want([]string{"t q1 (400 bytes)", "t q1 dup (400 bytes)", "t q1 dup (400 bytes)"}[i])
		}
	})
}

func TestMessagesForNobodyKeepTheLinkFlowing(t *testing.T) {
	bubble(t, func(t *testing.T, s *script) {
		c := s.run(Config{Inbox: 1000})
		srv, _ := s.connack(false)
		for i := range 1000 {
			q := QoS(i % 3)
			srv.publish("nobody/"+fmt.Sprint(i), q, uint16(i+1), strings.Repeat("x", 100))
			switch q {
			case QoS1:
				srv.want(fmt.Sprintf("PUBACK %d", i+1))
			case QoS2:
				srv.want(fmt.Sprintf("PUBREC %d", i+1))
				srv.answer(packet.PUBREL, uint16(i+1))
				srv.want(fmt.Sprintf("PUBCOMP %d", i+1))
			}
		}
		synctest.Wait()
		if s := c.Stats(); s.Received != 1000 || s.Dropped != 1000 || s.Delivered != 0 || s.InboxBytes != 0 {
			t.Fatalf("%+v", s)
		}
	})
}

// A message above MaxPacket is skipped and acknowledged: to hang up would bring it again, for ever.
func TestMessageAboveTheLimitIsSkipped(t *testing.T) {
	for _, q := range []QoS{QoS0, QoS1, QoS2} {
		t.Run(fmt.Sprintf("QoS %d", q), func(t *testing.T) {
			bubble(t, func(t *testing.T, s *script) {
				var dropped []string
				c := s.run(Config{MaxPacket: 1000, Trace: &Trace{Dropped: func(m *Message, err error) {
					matches(t, err, ErrTooLarge)
					dropped = append(dropped, describeMessage(m))
				}}})
				srv, _ := s.connack(false)
				loop := c.collect(c.subscribe(srv, "t", QoS2))
				fits := strings.Repeat("x", 1000-3-3-2*min(int(q), 1)) // the whole packet counts
				srv.publish("t", q, 1, fits)
				loop.want(fmt.Sprintf("t q%d (%d bytes)", q, len(fits)))
				if q > 0 {
					srv.want([]string{1: "PUBACK 1", 2: "PUBREC 1"}[q])
				}
				srv.publish("t", q, 2, fits+"x")
				if q > 0 {
					srv.want([]string{1: "PUBACK 2", 2: "PUBREC 2"}[q])
				}
				if q == QoS2 {
					srv.send(publishBytes("t", q, 2, true, fits+"x"))
					srv.want("PUBREC 2")
					srv.answer(packet.PUBREL, 2)
					srv.want("PUBCOMP 2")
				}
				srv.publish("t", QoS0, 0, "after")
				loop.want("t q0 after")
				synctest.Wait()
				if want := []string{fmt.Sprintf("t q%d ", q)}; !slices.Equal(dropped, want) {
					t.Fatalf("dropped %q, want %q", dropped, want)
				}
				if s := c.Stats(); s.Received != 3 || s.Delivered != 2 || s.Dropped != 1 {
					t.Fatalf("%+v", s)
				}
			})
		})
	}
}

func TestMessageAboveTheLimitThatIsCutOffIsNotAcknowledged(t *testing.T) {
	b := publishBytes("topic", QoS1, 5, false, strings.Repeat("x", 300))
	for cut := range b {
		bubble(t, func(t *testing.T, s *script) {
			c := s.run(Config{MaxPacket: 100})
			srv, _ := s.connack(false)
			synctest.Wait()
			srv.send(b[:cut])
			srv.wire().CloseWrite()
			srv.closed()
			if s := c.Stats(); s.Received != 0 || s.Dropped != 0 {
				t.Fatalf("cut at %d: %+v", cut, s)
			}
			srv, _ = s.connack(true)
			srv.send(b)
			srv.want("PUBACK 5")
		})
	}
}

// Only what came whole is delivered.
func TestInboundMessageCutAtEveryByte(t *testing.T) {
	for _, q := range []QoS{QoS0, QoS1, QoS2} {
		b := publishBytes("t", q, 5, false, "hello")
		for cut := range len(b) + 1 {
			for name, end := range map[string]func(*server){
				"FIN": func(srv *server) { srv.wire().CloseWrite() },
				"RST": func(srv *server) { synctest.Wait(); srv.wire().Reset(nil) },
			} {
				bubble(t, func(t *testing.T, s *script) {
					c, lost := s.watched(Config{})
					srv, _ := s.connack(false)
					loop := c.collect(c.subscribe(srv, "t", QoS2))
					srv.send(b[:cut])
					end(srv)
					err := <-lost
					matches(t, err, ErrLost)
					if name == "FIN" && errors.Is(err, io.ErrUnexpectedEOF) != (cut > 0 && cut < len(b)) {
						t.Fatalf("cut at %d: %v", cut, err)
					}
					if cut < len(b) {
						loop.none()
					} else {
						loop.want(describePublish(q))
					}
					srv, _ = s.connack(true)
					srv.publish("u", QoS1, 6, "flows")
					srv.want("PUBACK 6")
				})
			}
		}
	}
}

func describePublish(q QoS) string { return fmt.Sprintf("t q%d hello", q) }

// Whatever is lost at whatever step of a QoS 2 exchange, the message is delivered once.
func TestInboundQoS2OverReconnects(t *testing.T) {
	type step func(srv *server)
	send := func(dup bool) step {
		return func(srv *server) { srv.send(publishBytes("t", QoS2, 5, dup, "x")) }
	}
	rec := func(srv *server) { srv.want("PUBREC 5") }
	rel := func(srv *server) { srv.answer(packet.PUBREL, 5) }
	comp := func(srv *server) { srv.want("PUBCOMP 5") }
	cut := step(nil)
	for name, steps := range map[string][]step{
		"nothing lost":           {send(false), rec, rel, comp},
		"PUBLISH twice":          {send(false), send(true), rec, rec, rel, comp},
		"PUBLISH after PUBREC":   {send(false), rec, send(true), rec, rel, comp},
		"PUBREC lost":            {send(false), cut, send(true), rec, rel, comp},
		"PUBREC lost twice":      {send(false), cut, send(true), cut, send(true), rec, rel, comp},
		"PUBREL lost":            {send(false), rec, cut, rel, comp},
		"PUBCOMP lost":           {send(false), rec, rel, cut, rel, comp},
		"PUBCOMP lost twice":     {send(false), rec, rel, cut, rel, cut, rel, comp},
		"server repeats PUBLISH": {send(false), rec, cut, send(true), rec, cut, send(true), rec, rel, comp},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, s *script) {
				c := s.run(Config{})
				srv, _ := s.connack(false)
				loop := c.collect(c.subscribe(srv, "t", QoS2))
				for _, f := range append(steps, send(false), rec, rel, comp) { // then a new one with the identifier
					if f != nil {
						f(srv)
						continue
					}
					synctest.Wait()
					srv.Close()
					srv, _ = s.connack(true)
				}
				loop.want("t q2 x", "t q2 x")
				loop.none()
			})
		})
	}
}

// After PUBREL the PUBLISH is never sent again, and the message is owned once.
func TestOutboundQoS2OverReconnects(t *testing.T) {
	for name, cuts := range map[string]string{
		"nothing lost": "", "before PUBREC": "a", "PUBREC lost": "aa", "PUBREL lost": "b", "PUBCOMP lost": "bb", "everything": "aaabbb",
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, s *script) {
				c := s.run(Config{})
				srv, _ := s.connack(false)
				done := c.publish("t", QoS2, "x")
				srv.want("PUBLISH t q2 1 x")
				reconnect := func() {
					synctest.Wait()
					srv.Close()
					srv, _ = s.connack(true)
				}
				for range strings.Count(cuts, "a") {
					reconnect()
					srv.want("PUBLISH t q2 dup 1 x")
				}
				srv.answer(packet.PUBREC, 1)
				srv.want("PUBREL 1")
				for range strings.Count(cuts, "b") {
					reconnect()
					srv.want("PUBREL 1")
				}
				pending(t, done)
				srv.answer(packet.PUBCOMP, 1)
				ended(t, done)
				reconnect()
				srv.quiet(time.Second)
			})
		})
	}
}

// A thousand messages over a server that fails again and again, keeping its session or not: each acknowledged one
// arrived, and the order of the first arrivals is that of the calls.
func TestThousandMessagesOverManyConnections(t *testing.T) {
	bubble(t, func(t *testing.T, s *script) {
		const n = 1000
		c := s.run(Config{Inflight: 20, Backoff: Backoff{Max: time.Second}})
		results := make(chan error, n)
		go func() {
			for i := range n {
				d := c.submit("t", QoS1, fmt.Sprint(i))
				go func() { results <- d.Wait(background) }()
			}
		}()
		var order []int
		seen := map[int]bool{}
		finished := 0
		for connection := 0; finished < n; connection++ {
			srv, _ := s.connack(connection%4 != 3)
			for packets := 0; packets < 7*connection+13; packets++ {
				srv.SetReadDeadline(time.Now().Add(time.Second))
				h, body, err := srv.r.Next()
				if err != nil {
					break
				}
				p, _ := packet.ParsePublish(h.Flags, body)
				var i int
				fmt.Sscan(string(p.Payload), &i)
				if !seen[i] {
					seen[i] = true
					order = append(order, i)
				}
				if packets%5 != connection%5 {
					srv.answer(packet.PUBACK, p.ID)
				}
			}
			synctest.Wait()
			srv.Close()
			synctest.Wait()
			for len(results) > 0 {
				matches(t, <-results)
				finished++
			}
		}
		if len(order) != n || !slices.IsSorted(order) {
			t.Fatalf("%d messages arrived, in order: %v", len(order), slices.IsSorted(order))
		}
	})
}

func TestMessageAboveTheLimitThatBreaksARule(t *testing.T) {
	x := strings.Repeat("x", 500)
	for name, row := range map[string]struct {
		bytes []byte
		rule  string
	}{
		"wildcard":       {append([]byte{0x30, 0xf7, 3, 0, 1, '#'}, x...), "MQTT-3.3.2-2"},
		"no topic":       {append([]byte{0x30, 0xf6, 3, 0, 0}, x...), "MQTT-4.7.3-1"},
		"topic too long": {append([]byte{0x30, 0xf6, 3, 0x40, 0}, x...), "1.5.3"},
		"identifier 0":   {append([]byte{0x32, 0xf9, 3, 0, 1, 't', 0, 0}, x...), "MQTT-2.3.1-1"},
		"identifier in use by an unacknowledged one": {append([]byte{0x32, 0xf9, 3, 0, 1, 't', 0, 8}, x...), "MQTT-2.3.1-4"},
		"identifier in use":                          {append([]byte{0x32, 0xf9, 3, 0, 1, 't', 0, 7}, x...), "MQTT-2.3.1-4"},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, s *script) {
				c, lost := s.watched(Config{MaxPacket: 100})
				srv, _ := s.connack(false)
				loop := c.collect(c.subscribe(srv, "t", QoS2))
				srv.publish("t", QoS2, 7, "small")
				srv.want("PUBREC 7")
				loop.want("t q2 small")
				sub := c.subscribe(srv, "u", QoS1)
				srv.publish("u", QoS1, 8, "held")
				hold(t, sub, 1)
				srv.send(row.bytes)
				srv.closed()
				err := <-lost
				matches(t, err, ErrProtocol)
				if !strings.Contains(err.Error(), row.rule) {
					t.Fatalf("%v, want %s", err, row.rule)
				}
				if s := c.Stats(); s.Received != 2 || s.Dropped != 0 {
					t.Fatalf("%+v", s)
				}
			})
		})
	}
}

// Memory that a burst needed is given back when the burst is over.
func TestInboxShrinksAfterABurst(t *testing.T) {
	bubble(t, func(t *testing.T, s *script) {
		c := s.run(Config{KeepAlive: -1})
		srv, _ := s.connack(false)
		sub := c.subscribe(srv, "t", QoS1)
		for range 3 {
			srv.publish("t", QoS0, 0, strings.Repeat("x", 50_000))
		}
		synctest.Wait()
		loop := c.collect(sub)
		for range 3 {
			loop.want("t q0 (50000 bytes)")
		}
		size := func() int {
			c.mu.Lock()
			defer c.mu.Unlock()
			return cap(sub.inbox.buf)
		}
		largest := 0
		for range 2000 {
			srv.publish("t", QoS0, 0, "small")
			loop.want("t q0 small")
			largest = max(largest, size())
		}
		if n := size(); n > 10_000 {
			t.Fatalf("%d bytes are kept, %d at most", n, largest)
		}
	})
}
