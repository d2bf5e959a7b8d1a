package mqtt

import (
	"context"
	"fmt"
	"net"
	"runtime"
	"testing"
	"time"

	"iotwire/internal/testbroker"
	"iotwire/mqtt/packet"
)

// fastServer answers everything at once and allocates nothing. What comes on flood is written to the client as it is.
type fastServer struct {
	flood chan []byte
	acks  chan int // how many PUBACKs, PUBRECs and PUBCOMPs have come since the last note
}

func newFastServer() *fastServer {
	return &fastServer{make(chan []byte), make(chan int, 1)}
}

func (f *fastServer) serve(conn net.Conn) {
	defer conn.Close()
	r := packet.NewReader(conn, 1<<20)
	out := make([]byte, 0, 64<<10)
	go func() {
		for b := range f.flood {
			if _, err := conn.Write(b); err != nil {
				return
			}
		}
	}()
	acks := 0
	for {
		h, body, err := r.Next()
		if err != nil {
			return
		}
		switch h.Type {
		case packet.CONNECT:
			out, _ = packet.AppendConnack(out, &packet.Connack{})
		case packet.PUBLISH:
			p, _ := packet.ParsePublish(h.Flags, body)
			switch p.QoS {
			case QoS1:
				out, _ = packet.AppendPuback(out, &packet.Puback{ID: p.ID})
			case QoS2:
				out, _ = packet.AppendPubrec(out, &packet.Pubrec{ID: p.ID})
			}
		case packet.PUBREL:
			p, _ := packet.ParsePubrel(body)
			out, _ = packet.AppendPubcomp(out, &packet.Pubcomp{ID: p.ID})
		case packet.PUBREC:
			p, _ := packet.ParsePubrec(body)
			out, _ = packet.AppendPubrel(out, &packet.Pubrel{ID: p.ID})
		case packet.PUBACK, packet.PUBCOMP:
			if acks++; acks == batch {
				acks = 0
				f.acks <- batch
			}
		case packet.SUBSCRIBE:
			p, _ := packet.ParseSubscribe(body)
			out, _ = packet.AppendSuback(out, &packet.Suback{ID: p.ID, Codes: []byte{2}})
		case packet.PINGREQ:
			out = packet.AppendPingresp(out)
		case packet.DISCONNECT:
			return
		}
		if len(out) > 0 && !r.Ready() {
			if _, err := conn.Write(out); err != nil {
				return
			}
			out = out[:0]
		}
	}
}

// batch is how many messages are sent before the test looks.
const batch = 100

// fast runs a client against a fastServer, in memory or over loopback TCP.
func fast(t testing.TB, cfg Config, tcp bool) (*Client, *fastServer) {
	f := newFastServer()
	cfg.ClientID = "c"
	if tcp {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { l.Close() })
		go func() {
			if conn, err := l.Accept(); err == nil {
				f.serve(conn)
			}
		}()
		cfg.Dial = func(ctx context.Context) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "tcp", l.Addr().String())
		}
	} else {
		cfg.Dial = func(context.Context) (net.Conn, error) {
			client, server := testbroker.NewPipe(1 << 20)
			go f.serve(server)
			return client, nil
		}
	}
	c, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(background)
	done := make(chan struct{})
	go func() { defer close(done); c.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-done; close(f.flood) })
	if err := c.Ready(within(t, 10*time.Second)); err != nil {
		t.Fatal(err)
	}
	return c, f
}

// flooded returns a PUBLISH for each identifier of a batch.
func flooded(q QoS, size int) (b []byte) {
	for i := range batch {
		b = append(b, publishBytes("meter/7/temperature", q, uint16(i+1), false, string(make([]byte, size)))...)
	}
	return b
}

// allocations returns the mean number of allocations of f for each of n messages, in all goroutines.
func allocations(n int, f func()) float64 {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	for range 10 {
		f()
	}
	runtime.GC()
	const rounds = 20
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range rounds {
		f()
	}
	runtime.ReadMemStats(&after)
	return float64(after.Mallocs-before.Mallocs) / float64(rounds*n)
}

// In steady state a message costs no allocation, in either direction, at any QoS.
func TestMessagesDoNotAllocate(t *testing.T) {
	check := func(t *testing.T, got float64) {
		t.Helper()
		t.Logf("%.4f allocations a message", got)
		if got > 0.02 { // the runtime's own, now and then
			t.Errorf("%.4f allocations a message, want none", got)
		}
	}
	m := Message{Topic: "plant/7/hall/3/line/12/meter/42/temperature", Payload: make([]byte, 5000)}
	for _, tcp := range []bool{false, true} {
		where := map[bool]string{false: "in memory", true: "over TCP"}[tcp]
		for q := range QoS(3) {
			m := m
			m.QoS = q
			t.Run(fmt.Sprintf("Publish QoS %d %s", q, where), func(t *testing.T) {
				c, _ := fast(t, Config{}, tcp)
				check(t, allocations(batch, func() {
					for range batch {
						if err := c.Publish(background, m); err != nil {
							t.Fatal(err)
						}
					}
				}))
			})
			t.Run(fmt.Sprintf("Submit QoS %d %s", q, where), func(t *testing.T) {
				c, _ := fast(t, Config{Inflight: batch}, tcp)
				check(t, allocations(batch, func() {
					var last Delivery
					for range batch {
						d, err := c.Submit(background, m)
						if err != nil {
							t.Fatal(err)
						}
						last = d
					}
					if err := last.Wait(background); err != nil { // makes a channel: one allocation in a batch
						t.Fatal(err)
					}
				}))
			})
			t.Run(fmt.Sprintf("receive QoS %d %s", q, where), func(t *testing.T) {
				c, f := fast(t, Config{}, tcp)
				sub, _ := c.Subscribe("meter/#", QoS2)
				if err := sub.Ready(within(t, 10*time.Second)); err != nil {
					t.Fatal(err)
				}
				got := make(chan struct{}, 1)
				go func() {
					n := 0
					for m := range sub.Messages(background) {
						if m == nil {
							return
						}
						if n++; n == batch {
							n = 0
							got <- struct{}{}
						}
					}
				}()
				b := flooded(q, 256)
				check(t, allocations(batch, func() {
					f.flood <- b
					<-got
					if q > 0 {
						<-f.acks
					}
				}))
			})
		}
	}
}
