package mqtt

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"iotwire/internal/testbroker"
	"iotwire/mqtt/packet"
)

// verdict on a row of hostileRows.
const (
	closes = "CLOSE"  // end the connection with ErrProtocol; deliver nothing, complete nothing, answer nothing
	fails  = "FAIL"   // end the connection with *ConnectError
	keeps  = "KEEP"   // stay connected, answer nothing, deliver nothing
	reply  = "REPLY"  // stay connected and answer with these bytes
	takes  = "ACCEPT" // legal: deliver this
)

// hostile is a row of the table of what a server may send, rightly or not.
type hostile struct {
	id    string
	when  string // what the client waits for: see hostileStates
	bytes string // in hex; IIII is the identifier of the pending operation
	what  string
	want  string
	rule  string // that the error has to name

	sent     string             // REPLY: in hex
	deliver  []string           // ACCEPT, REPLY: what the message loop gets
	ends     bool               // the pending operation ends by these bytes
	with     error              // and with this
	code     packet.ConnectCode // FAIL
	accepted bool               // a CONNACK that accepts is among the bytes
	fault    string             // the type that the error has to name, where it is not that of the first byte; "-" for none
}

// pendingOp is what a client waits for while the bytes come.
type pendingOp struct {
	id     uint16
	result chan error
	again  func(srv *server) // the other side of it on the next connection
}

// hostileStates bring a client, whose first subscription is "#", to where it waits for something.
var hostileStates = map[string]func(s *script, c *running, srv *server) pendingOp{
	"pre":   func(s *script, c *running, srv *server) pendingOp { return pendingOp{} },
	"clean": func(s *script, c *running, srv *server) pendingOp { return pendingOp{} },
	"est":   func(s *script, c *running, srv *server) pendingOp { return pendingOp{} },
	"sub2": func(s *script, c *running, srv *server) pendingOp {
		srv.want("SUBSCRIBE 4660 # q2 b q2")
		sub := c.session.wishes[1].subs[0]
		return pendingOp{0x1234, later(func() error { return sub.Ready(background) }), func(srv *server) {
			srv.want("SUBSCRIBE 4661 # q2 b q2")
			srv.suback(4661, 2, 2)
		}}
	},
	"unsub": func(s *script, c *running, srv *server) pendingOp {
		sub := c.subscribe(srv, "gone", QoS1)
		c.nextIdentifier(0x1234)
		op := pendingOp{0x1234, later(func() error { return sub.Close(background) }), func(srv *server) {
			srv.want("UNSUBSCRIBE 4661 gone")
			srv.answer(packet.UNSUBACK, 4661)
		}}
		srv.want("UNSUBSCRIBE 4660 gone")
		return op
	},
	"q1": func(s *script, c *running, srv *server) pendingOp {
		c.nextIdentifier(0x1234)
		op := pendingOp{0x1234, c.publish("op", QoS1, "x"), func(srv *server) {
			srv.want("PUBLISH op q1 dup 4660 x")
			srv.answer(packet.PUBACK, 4660)
		}}
		srv.want("PUBLISH op q1 4660 x")
		return op
	},
	"q2": func(s *script, c *running, srv *server) pendingOp {
		c.nextIdentifier(0x1234)
		op := pendingOp{0x1234, c.publish("op", QoS2, "x"), func(srv *server) {
			srv.want("PUBLISH op q2 dup 4660 x")
			srv.answer(packet.PUBREC, 4660)
			srv.want("PUBREL 4660")
			srv.answer(packet.PUBCOMP, 4660)
		}}
		srv.want("PUBLISH op q2 4660 x")
		return op
	},
	"q2rel": func(s *script, c *running, srv *server) pendingOp {
		c.nextIdentifier(0x1234)
		op := pendingOp{0x1234, c.publish("op", QoS2, "x"), func(srv *server) {
			srv.want("PUBREL 4660")
			srv.answer(packet.PUBCOMP, 4660)
		}}
		srv.want("PUBLISH op q2 4660 x")
		srv.answer(packet.PUBREC, 4660)
		srv.want("PUBREL 4660")
		return op
	},
}

// delivery is a way to bring bytes to the client: parts are written one after the other, each when the client has
// dealt with the one before.
type delivery struct {
	name          string
	parts         func(b []byte) [][]byte
	before, after bool // a valid message stands before or behind the bytes
}

func whole(b []byte) [][]byte { return [][]byte{b} }

func byByte(b []byte) (parts [][]byte) {
	for i := range b {
		parts = append(parts, b[i:i+1])
	}
	return parts
}

func splitAt(k int) func(b []byte) [][]byte {
	return func(b []byte) [][]byte { return [][]byte{b[:k], b[k:]} }
}

func TestHostilePackets(t *testing.T) {
	if len(hostileRows) < 140 {
		t.Fatalf("%d rows", len(hostileRows))
	}
	seen := map[string]bool{}
	for _, row := range hostileRows {
		if seen[row.id] {
			t.Fatalf("two rows %s", row.id)
		}
		seen[row.id] = true
		n := len(row.decode(0x1234))
		ways := []delivery{
			{name: "in one write", parts: whole},
			{name: "by the byte", parts: byByte},
			{name: "behind a message", parts: whole, before: true},
			{name: "before a message", parts: whole, after: true},
			{name: "between messages, by the byte", parts: byByte, before: true, after: true},
		}
		for k := 1; k < n; k++ {
			ways = append(ways, delivery{name: fmt.Sprintf("split at %d", k), parts: splitAt(k)})
		}
		t.Run(row.id, func(t *testing.T) {
			for _, way := range ways {
				bubble(t, func(t *testing.T, s *script) {
					defer func() {
						if t.Failed() {
							t.Logf("%s %s, %s: %s", row.id, row.what, way.name, row.bytes)
						}
					}()
					row.play(t, s, way)
				})
			}
		})
	}
}

func TestHostilePacketsOverTLS(t *testing.T) {
	certificates, err := testbroker.NewCertificates()
	if err != nil {
		t.Fatal(err)
	}
	pair, err := tls.X509KeyPair(certificates.Server, certificates.ServerKey)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(certificates.CA)
	server := &tls.Config{Certificates: []tls.Certificate{pair}}
	client := &tls.Config{RootCAs: roots, ServerName: "localhost"}
	for _, row := range hostileRows {
		t.Run(row.id, func(t *testing.T) {
			bubble(t, func(t *testing.T, s *script) {
				s.clientSide = func(conn net.Conn) net.Conn { return tls.Client(conn, client) }
				s.serverSide = func(conn net.Conn) net.Conn { return tls.Server(conn, server) }
				row.play(t, s, delivery{name: "over TLS", parts: whole})
			})
		})
	}
}

func (row *hostile) decode(id uint16) []byte {
	b, err := hex.DecodeString(strings.ReplaceAll(strings.ReplaceAll(row.bytes, "IIII", fmt.Sprintf("%04x", id)), " ", ""))
	if err != nil {
		panic(row.id + ": " + err.Error())
	}
	return b
}

func (row *hostile) play(t *testing.T, s *script, way delivery) {
	cfg := Config{CleanSession: row.when == "clean", KeepAlive: -1, Retry: func(error) bool { return true }}
	lost := make(chan error, 10)
	cfg.Trace = &Trace{Disconnected: func(err error, _ bool, _ time.Duration) { lost <- err }}
	client := s.client(cfg)
	all, _ := client.Subscribe("#", QoS2)
	if row.when == "sub2" {
		client.Subscribe("b", QoS2)
		client.session.lastID = 0x1234 - 1
	}
	c := start(t, client)
	loop := c.collect(all)

	srv := s.accept()
	srv.want("CONNECT")
	pre := row.when == "pre" || row.when == "clean"
	if !pre {
		srv.send(connackBytes(false, packet.Accepted))
		if row.when != "sub2" {
			srv.want("SUBSCRIBE 1 # q2")
			srv.suback(1, 2)
			matches(t, all.Ready(background))
		}
	}
	op := hostileStates[row.when](s, c, srv)

	// The bytes, and perhaps valid messages around them.
	b := row.decode(op.id)
	var deliver []string
	if way.before {
		if pre {
			return // nothing may come before CONNACK
		}
		b = append(publishBytes("valid", QoS0, 0, false, "before"), b...)
		deliver = append(deliver, "valid q0 before")
	}
	deliver = append(deliver, row.deliver...)
	if way.after {
		b = append(b, publishBytes("valid", QoS0, 0, false, "behind")...)
		if row.want != closes && row.want != fails {
			deliver = append(deliver, "valid q0 behind")
		}
	}
	for _, part := range way.parts(b) {
		synctest.Wait()
		if _, err := srv.Write(part); err != nil {
			if row.want == closes || row.want == fails {
				break // it did not wait for more
			}
			t.Fatal(err)
		}
	}

	switch row.want {
	case closes, fails:
		if row.accepted {
			io.Copy(io.Discard, srv) // SUBSCRIBE may have left
		} else {
			srv.closed()
		}
		err := <-lost
		row.judge(t, err)
		loop.want(deliver...)
		loop.none()
		if op.result != nil {
			pending(t, op.result)
		}
		srv, _ = s.connack(!pre)
		if pre {
			h, body := srv.next()
			if p, err := packet.ParseSubscribe(body); err == nil {
				srv.suback(p.ID, 2)
			} else {
				t.Fatal(describe(h, body))
			}
		} else if op.again != nil {
			op.again(srv)
			ended(t, op.result)
		}
	default:
		if pre {
			srv.want("SUBSCRIBE 1 # q2")
			srv.suback(1, 2)
		}
		loop.want(deliver...)
		want, _ := hex.DecodeString(strings.ReplaceAll(strings.ReplaceAll(row.sent, "IIII", fmt.Sprintf("%04x", op.id)), " ", ""))
		got := make([]byte, len(want))
		srv.SetReadDeadline(time.Now().Add(time.Minute))
		for n := 0; n < len(got); {
			m, err := srv.Read(got[n:])
			if err != nil {
				t.Fatalf("answer % x, then %v, want % x", got[:n], err, want)
			}
			n += m
		}
		if !bytes.Equal(got, want) {
			t.Fatalf("answer % x, want % x", got, want)
		}
		loop.none()
		switch {
		case op.result == nil:
		case !row.ends:
			pending(t, op.result)
		case row.with != nil:
			ended(t, op.result, row.with)
		default:
			ended(t, op.result)
		}
	}
	srv.publish("still", QoS1, 77, "alive")
	srv.want("PUBACK 77")
	loop.want("still q1 alive")
	if len(lost) > 0 {
		t.Fatalf("the connection ended: %v", <-lost)
	}
}

// judge looks at the error with which a connection ended.
func (row *hostile) judge(t *testing.T, err error) {
	t.Helper()
	var refused *ConnectError
	if row.want == fails {
		if !errors.As(err, &refused) || refused.Code != row.code || errors.Is(err, ErrProtocol) {
			t.Fatalf("error is %v, want code %d", err, row.code)
		}
		return
	}
	first := packet.Type(row.decode(0x1234)[0] >> 4)
	fault := first.String()
	if row.fault != "" {
		fault = row.fault
	}
	named := fault != "-" && first != 0 && first != 15 // the reserved types have no names
	matches(t, err, ErrProtocol)
	var e *packet.Error
	switch {
	case errors.Is(err, packet.ErrTooLarge) && row.rule == "limit":
	case !errors.As(err, &e):
		t.Fatalf("error is %v, want a *packet.Error", err)
	case e.Rule != row.rule:
		t.Fatalf("error is %v, want the rule %s", err, row.rule)
	}
	if named && !strings.Contains(err.Error(), fault) || strings.Contains(err.Error(), "\n") {
		t.Fatalf("error is %q, want one line that names %s", err, fault)
	}
}

// A length is compared with the limit before anything is allocated for it.
func TestClaimedLengthAllocatesNothing(t *testing.T) {
	for name, claim := range map[string]string{
		"CONNACK": "20ffffff7f", "PUBLISH of 256 MiB": "30ffffff7f", "PUBLISH with a topic of 64 KiB": "30ffffff7fffff61",
		"PUBLISH below the limit": "30ffff0f00016161", "SUBACK": "90ffffff7f", "five bytes": "30ffffffff7f",
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, s *script) {
				c := s.run(Config{KeepAlive: -1})
				srv, _ := s.connack(false)
				synctest.Wait()
				b, _ := hex.DecodeString(claim)
				var before, after runtime.MemStats
				runtime.ReadMemStats(&before)
				srv.send(b)
				synctest.Wait()
				runtime.ReadMemStats(&after)
				if n := after.TotalAlloc - before.TotalAlloc; n > 80<<10 { // a topic at most
					t.Errorf("%d bytes allocated", n)
				}
				c.stop()
			})
		})
	}
}

// Every byte that a server may send first, second and so on, after every state: no panic, no hang, and the client goes
// on with the next connection.
func FuzzServer(f *testing.F) {
	for i, row := range hostileRows {
		f.Add(row.decode(0x1234), uint8(i))
	}
	states := []string{"est", "sub2", "unsub", "q1", "q2", "q2rel", "pre"}
	f.Fuzz(func(t *testing.T, b []byte, state uint8) {
		synctest.Test(t, func(t *testing.T) {
			s := newScript(t)
			row := hostile{when: states[int(state)%len(states)]}
			client := s.client(Config{Timeout: time.Second, KeepAlive: time.Second, MaxPacket: 1 << 16})
			all, _ := client.Subscribe("#", QoS2)
			if row.when == "sub2" {
				client.Subscribe("b", QoS2)
				client.session.lastID = 0x1234 - 1
			}
			ctx, cancel := context.WithCancel(background)
			defer cancel()
			c := &running{Client: client, t: t, cancel: cancel, ended: make(chan struct{})}
			go func() { c.err = client.Run(ctx); close(c.ended) }()
			defer c.stop()
			c.collect(all)
			srv := s.accept()
			srv.want("CONNECT")
			if row.when != "pre" {
				srv.send(connackBytes(false, packet.Accepted))
				if row.when != "sub2" {
					srv.want("SUBSCRIBE 1 # q2")
					srv.suback(1, 2)
				}
			}
			hostileStates[row.when](s, c, srv)
			srv.Write(b)
			time.Sleep(10 * time.Second)
			srv.Close()
			if s := c.Stats(); s.Accepted != s.Done+s.Failed+uint64(s.Pending) {
				t.Fatalf("%+v", s)
			}
		})
	})
}
