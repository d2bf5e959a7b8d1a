package mqtt

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"iotwire/mqtt/packet"
)

// watched is a client of a script whose connections' ends are noted.
func (s *script) watched(cfg Config) (*running, chan error) {
	s.t.Helper()
	lost := make(chan error, 1000)
	trace := Trace{}
	if cfg.Trace != nil {
		trace = *cfg.Trace
	}
	trace.Disconnected = func(err error, _ bool, _ time.Duration) { lost <- err }
	cfg.Trace = &trace
	return s.run(cfg), lost
}

// drip sends b one byte at a time, every d.
func (c *server) drip(b []byte, d time.Duration) {
	c.t.Helper()
	for i := range b {
		if i > 0 {
			time.Sleep(d)
		}
		c.send(b[i : i+1])
	}
}

// pings answers PINGREQs until the connection ends.
func (c *server) pings() {
	c.SetReadDeadline(time.Time{})
	for {
		h, _, err := c.r.Next()
		if err != nil {
			return
		}
		if h.Type == packet.PINGREQ {
			c.answer0(packet.PINGRESP)
		}
	}
}

func TestIdleConnectionLivesForever(t *testing.T) {
	bubble(t, func(t *testing.T, s *script) {
		c := s.run(Config{KeepAlive: time.Minute})
		srv, _ := s.connack(false)
		go srv.pings()
		time.Sleep(24 * time.Hour)
		if s := c.Stats(); !s.Online || s.Connects != 1 {
			t.Fatalf("%+v", s)
		}
	})
}

func TestKeepAliveOff(t *testing.T) {
	bubble(t, func(t *testing.T, s *script) {
		s.run(Config{KeepAlive: -1})
		srv, connect := s.connack(false)
		if connect.KeepAlive != 0 {
			t.Fatalf("Keep Alive is %d", connect.KeepAlive)
		}
		srv.quiet(365 * 24 * time.Hour)
	})
}

func TestSilenceIsFoundOutOnTime(t *testing.T) {
	const keepAlive, timeout = 20 * time.Second, 3 * time.Second
	message := publishBytes("t", QoS0, 0, false, "hello")
	rows := []struct {
		name string
		do   func(srv *server)
		want time.Duration // since CONNACK
	}{
		{"from the start", func(srv *server) {}, 23 * time.Second},
		{"after a message", func(srv *server) { time.Sleep(5 * time.Second); srv.send(message) }, 23 * time.Second},
		{"after half a message", func(srv *server) { time.Sleep(5 * time.Second); srv.send(message[:4]) }, 23 * time.Second},
		{"after a message and a half", func(srv *server) { srv.send(append(message, message[:1]...)) }, 23 * time.Second},
		{"after a byte", func(srv *server) { time.Sleep(19 * time.Second); srv.send(message[:1]) }, 23 * time.Second},
		{"after a drip", func(srv *server) { srv.drip(message[:10], 2*time.Second) }, 23 * time.Second},
		{"in a large message", func(srv *server) { srv.send(publishBytes("t", QoS0, 0, false, strings.Repeat("x", 2000))[:1999]) }, 23 * time.Second},
		{"after a drip beyond", func(srv *server) {
			srv.drip(publishBytes("t", QoS0, 0, false, strings.Repeat("x", 99))[:30], time.Second)
		}, 32 * time.Second},
		{"after a large drip beyond", func(srv *server) {
			srv.drip(publishBytes("t", QoS0, 0, false, strings.Repeat("x", 2000))[:30], time.Second)
		}, 32 * time.Second},
		{"after a slow message", func(srv *server) { srv.drip(message, 2500*time.Millisecond) }, 25500 * time.Millisecond},
		{"after a message that began too late", func(srv *server) { time.Sleep(21 * time.Second); srv.drip(message[:9], time.Second) }, 32 * time.Second},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			bubble(t, func(t *testing.T, s *script) {
				_, lost := s.watched(Config{KeepAlive: keepAlive, Timeout: timeout, MaxPacket: 1000})
				srv, _ := s.connack(false)
				synctest.Wait()
				began := time.Now()
				row.do(srv)
				ended(t, lost, ErrLost, ErrTimeout)
				if d := time.Since(began); d != row.want {
					t.Fatalf("found out after %v, want %v", d, row.want)
				}
			})
		})
	}
}

// While the inbox is full the silence is ours; from then on it is the server's.
func TestSilenceAfterAFullInboxIsFoundOutOnTime(t *testing.T) {
	bubble(t, func(t *testing.T, s *script) {
		c, lost := s.watched(Config{KeepAlive: 20 * time.Second, Timeout: 3 * time.Second, Inbox: 1})
		srv, _ := s.connack(false)
		sub := c.subscribe(srv, "t", QoS0)
		began := time.Now()
		time.Sleep(10 * time.Second)
		srv.publish("t", QoS0, 0, "one")
		srv.publish("t", QoS0, 0, "two")
		srv.want("PINGREQ")
		time.Sleep(10 * time.Second)
		loop := c.collect(sub)
		loop.want("t q0 one", "t q0 two")
		ended(t, lost, ErrLost, ErrTimeout)
		if d := time.Since(began); d != 33*time.Second {
			t.Fatalf("found out after %v", d)
		}
	})
}

func TestServerThatVanishesIsFoundOut(t *testing.T) {
	bubble(t, func(t *testing.T, s *script) {
		c, lost := s.watched(Config{KeepAlive: 20 * time.Second, Timeout: 3 * time.Second})
		srv, _ := s.connack(false)
		synctest.Wait()
		srv.wire().Blackhole()
		began := time.Now()
		c.submit("t", QoS1, "x") // what is sent changes nothing
		time.Sleep(15 * time.Second)
		c.submit("t", QoS1, "y")
		ended(t, lost, ErrTimeout)
		if d := time.Since(began); d != 23*time.Second {
			t.Fatalf("found out after %v", d)
		}
	})
}

// A server that talks but does not answer PINGREQ is broken.
func TestServerThatPublishesButDoesNotAnswerPINGREQ(t *testing.T) {
	const keepAlive, timeout = 20 * time.Second, 3 * time.Second
	message := publishBytes("t", QoS0, 0, false, strings.Repeat("x", 100))
	for _, rest := range []int{0, 1, 50} { // bytes of the next message that always come along
		t.Run(fmt.Sprintf("%d bytes ahead", rest), func(t *testing.T) {
			bubble(t, func(t *testing.T, s *script) {
				_, lost := s.watched(Config{KeepAlive: keepAlive, Timeout: timeout})
				srv, _ := s.connack(false)
				synctest.Wait()
				stream := append(append([]byte(nil), message[rest:]...), message[:rest]...)
				srv.send(message[:rest])
				began := time.Now()
				for len(lost) == 0 && time.Since(began) < time.Minute {
					time.Sleep(10 * time.Millisecond)
					if _, err := srv.Write(stream); err != nil {
						break
					}
				}
				ended(t, lost, ErrLost, ErrTimeout)
				if d := time.Since(began); d < keepAlive+timeout || d > keepAlive+2*timeout+10*time.Millisecond { // the loop's step
					t.Fatalf("found out after %v", d)
				}
			})
		})
	}
}

// PINGRESP cannot overtake a message that is on its way: as long as its bytes come, the server lives.
func TestSlowMessageIsNoSilence(t *testing.T) {
	for _, row := range []struct{ n, size, max int }{{1, 60_000, 0}, {1, 5_000, 1000}, {2, 5_000, 0}, {2, 5_000, 1000}} {
		t.Run(fmt.Sprintf("%d of %d bytes, limit %d", row.n, row.size, row.max), func(t *testing.T) {
			bubble(t, func(t *testing.T, s *script) {
				c, lost := s.watched(Config{KeepAlive: 10 * time.Second, Timeout: 5 * time.Second, MaxPacket: row.max})
				srv, _ := s.connack(false)
				loop := c.collect(c.subscribe(srv, "t", QoS1))
				srv.publish("t", QoS0, 0, "before")
				loop.want("t q0 before")
				time.Sleep(7 * time.Second)
				pings := make(chan int)
				srv.SetReadDeadline(time.Time{})
				go func() {
					n := 0
					for {
						h, _, err := srv.r.Next()
						if err != nil || h.Type != packet.PINGREQ {
							pings <- n
							return
						}
						n++
					}
				}()
				began := time.Now()
				for i := range row.n {
					srv.drip(publishBytes("t", QoS1, uint16(i+1), false, strings.Repeat("x", row.size)), time.Second)
				}
				// PUBACK ends the count: one PINGREQ at least for each Keep Alive
				if got, want := <-pings, int(time.Since(began)/(10*time.Second)); row.n == 1 && (got < want || got > want+1) {
					t.Fatalf("%d PINGREQs, want %d", got, want)
				}
				srv.drip([]byte{0xd0, 0}, time.Second)
				if row.max == 0 {
					for range row.n {
						loop.want(fmt.Sprintf("t q1 (%d bytes)", row.size))
					}
				}
				if len(lost) > 0 {
					t.Fatal(<-lost)
				}
				srv.Close()
			})
		})
	}
}

func TestServerThatStopsReading(t *testing.T) {
	const timeout = 5 * time.Second
	t.Run("for good", func(t *testing.T) {
		bubble(t, func(t *testing.T, s *script) {
			s.limit = 100
			c, lost := s.watched(Config{Timeout: timeout, KeepAlive: -1})
			srv, _ := s.connack(false)
			synctest.Wait()
			began := time.Now()
			qos1 := c.publish("t", QoS1, strings.Repeat("x", 1000))
			pending(t, qos1)
			ended(t, c.publish("t", QoS0, "x"), ErrNotSent, ErrLost, ErrTimeout)
			if d := time.Since(began); d < timeout || d > 2*timeout {
				t.Fatalf("found out after %v", d)
			}
			ended(t, lost, ErrLost, ErrTimeout)
			pending(t, qos1)
			srv.Close()
			srv, _ = s.connack(true)
			srv.want("PUBLISH t q1 dup 1 (1000 bytes)")
			srv.answer(packet.PUBACK, 1)
			ended(t, qos1)
		})
	})
	t.Run("but takes a byte now and then", func(t *testing.T) {
		bubble(t, func(t *testing.T, s *script) {
			s.limit = 100
			c, lost := s.watched(Config{Timeout: timeout, KeepAlive: -1})
			srv, _ := s.connack(false)
			done := c.publish("t", QoS1, strings.Repeat("x", 300))
			b := make([]byte, 1)
			for range 8 + 300 {
				time.Sleep(timeout - 1)
				srv.SetReadDeadline(time.Time{})
				if _, err := srv.Read(b); err != nil {
					t.Fatal(err)
				}
			}
			srv.answer(packet.PUBACK, 1)
			ended(t, done)
			if len(lost) > 0 {
				t.Fatal(<-lost)
			}
		})
	})
	t.Run("while we want to end", func(t *testing.T) {
		bubble(t, func(t *testing.T, s *script) {
			s.limit = 100
			c := s.run(Config{})
			s.connack(false)
			done := c.publish("t", QoS1, strings.Repeat("x", 1000))
			pending(t, done)
			behind := c.publish("t", QoS0, "x")
			pending(t, behind)
			began := time.Now()
			time.AfterFunc(farewell/2, func() { c.Shutdown(within(t, 0)) }) // no second farewell
			c.stop()
			if d := time.Since(began); d != farewell {
				t.Fatalf("Run took %v to end", d)
			}
			ended(t, done, ErrUnconfirmed, ErrClosed)
			ended(t, behind, ErrNotSent, ErrClosed)
		})
	})
}

// A server that sends without end and reads nothing must not make us remember all the answers.
func TestServerThatOnlyTalksIsCutOff(t *testing.T) {
	bubble(t, func(t *testing.T, s *script) {
		s.limit = 1 << 10
		c, lost := s.watched(Config{Timeout: time.Hour, KeepAlive: -1})
		srv, _ := s.connack(false)
		synctest.Wait()
		var burst []byte
		for range 1000 {
			burst = append(burst, 0x62, 2, 0, 1) // PUBREL, which is answered whatever it is about
		}
		sent := 0
		for len(lost) == 0 && sent < 100<<20 {
			if _, err := srv.Write(burst); err != nil {
				break
			}
			sent += len(burst)
			c.mu.Lock()
			n := len(c.session.out)
			c.mu.Unlock()
			if n > maxDebt+64<<10 {
				t.Fatalf("%d bytes of answers wait", n)
			}
		}
		ended(t, lost, ErrLost)
		if sent > 4<<20 {
			t.Fatalf("cut off after %d bytes", sent)
		}
	})
}

func TestConnectionThatFailsInItsOwnWays(t *testing.T) {
	for _, row := range []struct {
		name string
		end  func(srv *server)
		want error
	}{
		{"FIN", func(srv *server) { srv.wire().CloseWrite() }, ErrLost},
		{"RST", func(srv *server) { srv.wire().Reset(nil) }, ErrLost},
		{"any error", func(srv *server) { srv.wire().Reset(errBroken) }, errBroken},
	} {
		t.Run(row.name, func(t *testing.T) {
			bubble(t, func(t *testing.T, s *script) {
				c, lost := s.watched(Config{})
				srv, _ := s.connack(false)
				synctest.Wait()
				row.end(srv)
				err := <-lost
				matches(t, err, ErrLost, row.want)
				if errors.Is(err, ErrProtocol) || errors.Is(err, ErrTimeout) {
					t.Fatal(err)
				}
				if c.Stats().Online {
					t.Fatal("still online")
				}
				s.connack(false)
				matches(t, c.Ready(background))
			})
		})
	}
}

// What a write of the last connection did must not be taken for the next one's.
func TestNextConnectionWaitsForTheLastWriteOfTheOneBefore(t *testing.T) {
	bubble(t, func(t *testing.T, s *script) {
		c := s.run(Config{Backoff: Backoff{Max: time.Nanosecond}, Dial: func(ctx context.Context) (net.Conn, error) {
			conn, err := s.dial(ctx)
			return tardy{conn}, err
		}})
		srv, _ := s.connack(false)
		done := c.publish("t", QoS0, strings.Repeat("x", 1000))
		srv.want("PUBLISH t q0 (1000 bytes)")
		c.mu.Lock()
		first := c.link
		c.mu.Unlock()
		srv.Close()
		s.silent(time.Second - time.Millisecond)
		ended(t, done) // the connection took it
		s.connack(false)
		matches(t, c.Ready(background))
		c.stop()
		synctest.Wait()
		if first.stopping() {
			t.Error("a connection that had ended is still told of the end of Run")
		}
	})
}

// tardy is a connection whose Write returns some time after the bytes have left, even when it was closed.
type tardy struct{ net.Conn }

func (c tardy) Write(b []byte) (int, error) {
	n, err := c.Conn.Write(b)
	if n > 100 {
		time.Sleep(time.Second)
	}
	return n, err
}

var errBroken = errors.New("broken")

// A connection that takes or gives one byte at a time changes nothing.
func TestConnectionThatReadsOneByteAtATime(t *testing.T) {
	bubble(t, func(t *testing.T, s *script) {
		c := s.run(Config{Dial: func(ctx context.Context) (net.Conn, error) {
			conn, err := s.dial(ctx)
			return &bytewise{conn}, err
		}})
		srv, _ := s.connack(false)
		sub := c.subscribe(srv, "t", QoS2)
		loop := c.collect(sub)
		done := c.publish("t", QoS2, "hello")
		srv.want("PUBLISH t q2 2 hello")
		srv.answer(packet.PUBREC, 2)
		srv.want("PUBREL 2")
		srv.answer(packet.PUBCOMP, 2)
		ended(t, done)
		srv.publish("t", QoS2, 5, "back")
		srv.want("PUBREC 5")
		loop.want("t q2 back")
	})
}

type bytewise struct{ net.Conn }

func (b *bytewise) Read(p []byte) (int, error) { return b.Conn.Read(p[:min(1, len(p))]) }
