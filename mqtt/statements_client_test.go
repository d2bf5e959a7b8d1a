package mqtt

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"iotwire/mqtt/packet"
)

// The statements of MQTT 3.1.1 about connections that bind a client, or that a client checks in what a server does, one
// test for each. Those that end with the codec are tested in package packet.

func TestMQTT_3_1_0_1(t *testing.T) { // the first packet is CONNECT, and nothing else goes before CONNACK
	bubble(t, func(t *testing.T, s *script) {
		c := s.client(Config{})
		c.Subscribe("f", QoS1)
		c.Submit(background, Message{Topic: "t", Payload: []byte("x"), QoS: QoS1})
		r := start(t, c)
		r.publish("t", QoS0, "zero")
		srv := s.accept()
		srv.want("CONNECT")
		srv.quiet(9 * time.Second)
		srv.send(connackBytes(false, packet.Accepted))
		srv.want("SUBSCRIBE 1 f q1", "PUBLISH t q1 2 x", "PUBLISH t q0 zero")
	})
}

func TestMQTT_3_1_0_2(t *testing.T) { // a client sends CONNECT once on a connection
	bubble(t, func(t *testing.T, s *script) {
		c := s.run(Config{KeepAlive: 10 * time.Second})
		srv, _ := s.connack(false)
		for range 1000 {
			srv.want("PINGREQ")
			srv.answer0(packet.PINGRESP)
		}
		go c.stop()
		srv.want("DISCONNECT")
	})
}

func TestMQTT_3_1_2_2(t *testing.T) { connectRefused(t, packet.RefusedVersion) }      // an unsupported level: CONNACK 1
func TestMQTT_3_1_3_8(t *testing.T) { connectRefused(t, packet.RefusedClientID) }     // no ClientId: CONNACK 2
func TestMQTT_3_1_3_9(t *testing.T) { connectRefused(t, packet.RefusedClientID) }     // a ClientId that is not allowed: CONNACK 2
func TestMQTT_3_2_2_5(t *testing.T) { connectRefused(t, packet.RefusedUnauthorized) } // after any such CONNACK the connection ends

// connectRefused answers CONNECT with code: Run ends with it, the connection is closed, nothing else is sent.
func connectRefused(t *testing.T, code packet.ConnectCode) {
	bubble(t, func(t *testing.T, s *script) {
		c := s.run(Config{})
		done := c.publish("t", QoS1, "x")
		srv := s.accept()
		srv.want("CONNECT")
		srv.send(connackBytes(false, code))
		srv.closed()
		err := c.wait()
		var refused *ConnectError
		if !errors.As(err, &refused) || refused.Code != code || !strings.Contains(err.Error(), code.String()) {
			t.Fatalf("Run returned %v, want the return code %d", err, code)
		}
		ended(t, done, ErrNotSent, ErrClosed, err)
		s.silent(time.Hour)
	})
}

func TestMQTT_3_1_2_23(t *testing.T) { // the gap between packets never exceeds Keep Alive
	bubble(t, func(t *testing.T, s *script) {
		const keepAlive = 7 * time.Second
		c := s.run(Config{KeepAlive: keepAlive - 300*time.Millisecond}) // rounded up
		srv, connect := s.connack(false)
		if connect.KeepAlive != 7 {
			t.Fatalf("Keep Alive is %d", connect.KeepAlive)
		}
		sent, received := time.Now(), time.Now()
		for i := range 100 {
			time.Sleep(time.Duration(i) * 30 * time.Millisecond)
			if i%3 != 0 {
				c.submit("t", QoS0, "x")
				srv.want("PUBLISH t q0 x")
				sent = time.Now()
			}
			if i%3 != 1 { // what comes does not put PINGREQ off
				srv.publish("t", QoS0, 0, "x")
				received = time.Now()
			}
			srv.want("PINGREQ")
			if gap := time.Since(sent); gap > keepAlive {
				t.Fatalf("the %dth PINGREQ came %v after the packet before, want %v at most", i, gap, keepAlive)
			}
			if idle := max(time.Since(sent), time.Since(received)); idle != keepAlive {
				t.Fatalf("the %dth PINGREQ came %v after traffic in one direction stopped, want %v", i, idle, keepAlive)
			}
			sent, received = time.Now(), time.Now()
			srv.answer0(packet.PINGRESP)
		}
	})
}

func TestMQTT_3_1_4_1(t *testing.T) { // the server closes without a CONNACK: it found CONNECT at fault
	bubble(t, func(t *testing.T, s *script) {
		var trouble []error
		c := s.run(Config{Trace: &Trace{Disconnected: func(err error, retry bool, _ time.Duration) {
			trouble = append(trouble, err)
		}}})
		srv := s.accept()
		srv.want("CONNECT")
		srv.Close()
		s.connack(false) // it tries again
		synctest.Wait()
		if len(trouble) != 1 {
			t.Fatal(trouble)
		}
		matches(t, trouble[0], ErrHungUp, io.EOF)
		if errors.Is(trouble[0], ErrLost) {
			t.Fatal("it was never accepted")
		}
		matches(t, c.Ready(background))
	})
}

func TestMQTT_3_1_4_2(t *testing.T) { // another client with the ClientId: the server closes our connection
	bubble(t, func(t *testing.T, s *script) {
		lost := make(chan error, 1)
		s.run(Config{Trace: &Trace{Disconnected: func(err error, _ bool, _ time.Duration) { lost <- err }}})
		srv, _ := s.connack(false)
		synctest.Wait()
		srv.Close()
		ended(t, lost, ErrLost, io.EOF)
		s.connack(false)
	})
}

func TestMQTT_3_1_4_4(t *testing.T) { // the server accepts with CONNACK 0: only then are we connected
	bubble(t, func(t *testing.T, s *script) {
		connected := false
		c := s.run(Config{Trace: &Trace{Connected: func(bool) { connected = true }}})
		ready := later(func() error { return c.Ready(background) })
		srv := s.accept()
		srv.want("CONNECT")
		srv.quiet(time.Second)
		pending(t, ready)
		if connected || c.Stats().Online || c.Stats().Connects != 0 {
			t.Fatal("connected before CONNACK")
		}
		srv.send(connackBytes(false, packet.Accepted))
		ended(t, ready)
		if !connected || !c.Stats().Online || c.Stats().Connects != 1 {
			t.Fatal("not connected after CONNACK")
		}
	})
}

func TestMQTT_3_2_0_1(t *testing.T) { // the first packet from the server is CONNACK
	for _, first := range [][]byte{{0xd0, 0}, {0x30, 3, 0, 1, 't'}, {0x90, 3, 0, 1, 0}} {
		bubble(t, func(t *testing.T, s *script) {
			lost := make(chan error, 1)
			s.run(Config{Trace: &Trace{Disconnected: func(err error, _ bool, _ time.Duration) { lost <- err }}})
			srv := s.accept()
			srv.want("CONNECT")
			srv.send(first)
			srv.closed()
			err := <-lost
			matches(t, err, ErrProtocol)
			if !strings.Contains(err.Error(), "MQTT-3.2.0-1") {
				t.Fatal(err)
			}
		})
	}
}

func TestMQTT_3_2_2_1(t *testing.T) { // after CleanSession 1, session present is 0
	bubble(t, func(t *testing.T, s *script) {
		lost := make(chan error, 1)
		s.run(Config{CleanSession: true, Trace: &Trace{Disconnected: func(err error, _ bool, _ time.Duration) { lost <- err }}})
		srv := s.accept()
		srv.want("CONNECT")
		srv.send(connackBytes(true, packet.Accepted))
		srv.closed()
		err := <-lost
		matches(t, err, ErrProtocol)
		if !strings.Contains(err.Error(), "MQTT-3.2.2-1") {
			t.Fatal(err)
		}
	})
}

func TestMQTT_3_2_2_2(t *testing.T) { // session present is 1: the server has the subscriptions, none is sent
	bubble(t, func(t *testing.T, s *script) {
		var present []bool
		c := s.run(Config{Trace: &Trace{Connected: func(p bool) { present = append(present, p) }}})
		srv, _ := s.connack(false)
		loop := c.collect(c.subscribe(srv, "t", QoS1))
		srv.Close()
		srv, _ = s.connack(true)
		srv.quiet(time.Second)
		srv.publish("t", QoS0, 0, "x")
		loop.want("t q0 x")
		if fmt.Sprint(present) != "[false true]" {
			t.Fatal(present)
		}
	})
}

func TestMQTT_3_2_2_3(t *testing.T) { // session present is 0: the server has nothing, the client subscribes again
	bubble(t, func(t *testing.T, s *script) {
		c := s.run(Config{})
		srv, _ := s.connack(false)
		sub := c.subscribe(srv, "t", QoS1) // 1
		c.subscribe(srv, "u", QoS2)        // 2
		srv.Close()
		srv, _ = s.connack(false)
		srv.want("SUBSCRIBE 3 t q1 u q2")
		ready := later(func() error { return sub.Ready(background) })
		pending(t, ready)
		srv.suback(3, 1, 2)
		ended(t, ready)
	})
}

func TestMQTT_3_2_2_6(t *testing.T) { // no return code fits: the server closes without a CONNACK
	bubble(t, func(t *testing.T, s *script) {
		c := s.run(Config{Retry: func(error) bool { return false }})
		srv := s.accept()
		srv.want("CONNECT")
		srv.wire().Reset(nil)
		err := c.wait()
		matches(t, err, ErrHungUp)
		if !strings.Contains(err.Error(), "MQTT-3.2.2-6") {
			t.Fatal(err)
		}
	})
}

func TestMQTT_3_3_1_8(t *testing.T) { retained(t, true) }  // RETAIN 1 on a message that a new subscription brings
func TestMQTT_3_3_1_9(t *testing.T) { retained(t, false) } // RETAIN 0 on a message to an established one

func retained(t *testing.T, retain bool) {
	bubble(t, func(t *testing.T, s *script) {
		c := s.run(Config{})
		srv, _ := s.connack(false)
		sub := c.subscribe(srv, "t", QoS1)
		b, _ := packet.AppendPublish(nil, &packet.Publish{Topic: []byte("t"), QoS: QoS1, ID: 1, Retain: retain})
		srv.send(b)
		for m := range sub.Messages(background) {
			if m.Retain != retain {
				t.Fatalf("Retain is %v", m.Retain)
			}
			break
		}
	})
}

func TestMQTT_3_3_5_2(t *testing.T) { // the server cannot say no: it acknowledges, or closes, and then the message stays
	bubble(t, func(t *testing.T, s *script) {
		c := s.run(Config{})
		done := c.publish("forbidden", QoS1, "x")
		srv, _ := s.connack(false)
		srv.want("PUBLISH forbidden q1 1 x")
		srv.Close()
		srv, _ = s.connack(true)
		srv.want("PUBLISH forbidden q1 dup 1 x")
		pending(t, done)
		srv.answer(packet.PUBACK, 1)
		ended(t, done)
	})
}

func TestMQTT_3_12_4_1(t *testing.T) { // PINGREQ is answered by PINGRESP: if not, the server is gone
	bubble(t, func(t *testing.T, s *script) {
		lost := make(chan error, 1)
		s.run(Config{KeepAlive: 20 * time.Second, Timeout: 4 * time.Second, Trace: &Trace{
			Disconnected: func(err error, _ bool, _ time.Duration) { lost <- err },
		}})
		srv, _ := s.connack(false)
		srv.want("PINGREQ")
		time.Sleep(4*time.Second - 1)
		srv.answer0(packet.PINGRESP) // just in time
		srv.want("PINGREQ")
		began := time.Now()
		srv.closed()
		if d := time.Since(began); d != 4*time.Second {
			t.Fatalf("noticed after %v", d)
		}
		ended(t, lost, ErrLost, ErrTimeout)
	})
}

func TestMQTT_3_14_4_1(t *testing.T) { // after DISCONNECT the client closes the connection
	bubble(t, func(t *testing.T, s *script) {
		c := s.run(Config{})
		srv, _ := s.connack(false)
		matches(t, c.Ready(background))
		matches(t, c.Shutdown(background))
		srv.want("DISCONNECT")
		srv.closed() // though the server does not
		matches(t, c.wait())
	})
}

func TestMQTT_3_14_4_2(t *testing.T) { // after DISCONNECT the client sends nothing more
	bubble(t, func(t *testing.T, s *script) {
		c := s.run(Config{KeepAlive: time.Second})
		srv, _ := s.connack(false)
		c.collect(c.subscribe(srv, "t", QoS1))
		go c.cancel()
		srv.want("DISCONNECT")
		srv.publish("t", QoS1, 1, "x") // no PUBACK
		result := c.publish("t", QoS1, "y")
		srv.closed()
		ended(t, result, ErrClosed)
		matches(t, c.wait(), context.Canceled)
	})
}

func TestMQTT_4_6_0_6(t *testing.T) { // the server keeps the order of a topic, and so does the client
	bubble(t, func(t *testing.T, s *script) {
		c := s.run(Config{})
		srv, _ := s.connack(false)
		loop := c.collect(c.subscribe(srv, "#", QoS2))
		var all []byte
		var want []string
		for i := range 300 {
			q := QoS(i % 3)
			id := uint16(0)
			if q > 0 {
				id = uint16(1000 - i)
			}
			all = append(all, publishBytes("t", q, id, false, fmt.Sprint(i))...)
			want = append(want, fmt.Sprintf("t q%d %d", q, i))
		}
		srv.send(all)
		loop.want(want...)
	})
}

func TestMQTT_4_8_0_1(t *testing.T) { // a protocol violation by the server ends its connection, and only that
	bubble(t, func(t *testing.T, s *script) {
		lost := make(chan error, 1)
		c := s.run(Config{Trace: &Trace{Disconnected: func(err error, retry bool, _ time.Duration) {
			if !retry {
				t.Error("not retried")
			}
			lost <- err
		}}})
		srv, _ := s.connack(false)
		done := c.publish("t", QoS2, "x")
		srv.want("PUBLISH t q2 1 x")
		srv.answer(packet.PUBACK, 1)
		srv.closed()
		err := <-lost
		matches(t, err, ErrLost, ErrProtocol)
		var e *packet.Error
		if !errors.As(err, &e) || e.Type != packet.PUBACK || e.Rule != "MQTT-4.8.0-1" {
			t.Fatalf("%#v", err)
		}
		pending(t, done)
		srv, _ = s.connack(true)
		srv.want("PUBLISH t q2 dup 1 x")
	})
}

func TestMQTT_4_8_0_2(t *testing.T) { // a passing fault while a packet is handled ends its connection
	bubble(t, func(t *testing.T, s *script) {
		full := errors.New("disk full")
		lost := make(chan error, 1)
		c := s.run(Config{
			MaxPacket: 100,
			Large:     func(*Message, int, io.Reader) error { return full },
			Trace:     &Trace{Disconnected: func(err error, _ bool, _ time.Duration) { lost <- err }},
		})
		srv, _ := s.connack(false)
		c.subscribe(srv, "t", QoS1)
		srv.publish("t", QoS1, 1, strings.Repeat("x", 200))
		srv.closed() // and no PUBACK
		ended(t, lost, full)
		s.connack(true)
	})
}

func TestMQTT_7_1_2_1(t *testing.T) { // a client has an ordered, lossless stream transport: TCP
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	s := newScript(t)
	go func() {
		if conn, err := l.Accept(); err == nil {
			s.dials <- conn
		}
	}()
	c := s.run(Config{Dial: func(ctx context.Context) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "tcp", l.Addr().String())
	}})
	srv, _ := s.connack(false)
	defer srv.Close()
	payload := strings.Repeat("0123456789", 100_000)
	done := c.publish("t", QoS1, payload)
	srv.want("PUBLISH t q1 1 (1000000 bytes)")
	srv.answer(packet.PUBACK, 1)
	ended(t, done)
}
