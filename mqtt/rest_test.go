package mqtt

import (
	"testing"
	"time"

	"iotwire/mqtt/packet"
)

// What a busy time has needed is given back when nothing has come or gone for a keep alive period.
func TestMemoryIsGivenBackInQuietTimes(t *testing.T) {
	bubble(t, func(t *testing.T, s *script) {
		c := s.run(Config{KeepAlive: time.Minute})
		srv, _ := s.connack(false)
		sub, err := c.Subscribe("a", QoS0)
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			for {
				h, body, err := srv.r.Next()
				if err != nil {
					return
				}
				switch h.Type {
				case packet.PINGREQ:
					srv.answer0(packet.PINGRESP)
				case packet.SUBSCRIBE:
					p, _ := packet.ParseSubscribe(body)
					b, _ := packet.AppendSuback(nil, &packet.Suback{ID: p.ID, Codes: []byte{0}})
					srv.send(b)
				case packet.PUBLISH:
					p, _ := packet.ParsePublish(h.Flags, body)
					b, _ := packet.AppendPuback(nil, &packet.Puback{ID: p.ID})
					srv.send(b)
				}
			}
		}()
		srv.SetReadDeadline(time.Time{})
		if err := sub.Ready(background); err != nil {
			t.Fatal(err)
		}
		for range 200 {
			if _, err := c.Submit(background, Message{Topic: "b", Payload: make([]byte, 4000), QoS: QoS1}); err != nil {
				t.Fatal(err)
			}
			srv.send(publishBytes("a", QoS0, 0, false, string(make([]byte, 1000))))
		}
		n := 0
		for m := range sub.Messages(background) {
			if m == nil {
				t.Fatal("the loop ended")
			}
			if n++; n == 200 {
				break
			}
		}
		time.Sleep(time.Second)
		kept := func() (flows, inbox, out int) {
			c.mu.Lock()
			defer c.mu.Unlock()
			return len(c.free), cap(sub.inbox.buf), cap(c.session.out) + cap(c.link.spare)
		}
		if flows, inbox, out := kept(); flows < 10 || inbox < 1000 || out < 4000 {
			t.Errorf("%d flows, %d bytes of inbox, %d to be written: the time was not busy", flows, inbox, out)
		}
		time.Sleep(3 * time.Minute)
		if flows, inbox, out := kept(); flows > 0 || inbox > 0 || out > 1000 {
			t.Errorf("%d flows, %d bytes of inbox, %d to be written are kept", flows, inbox, out)
		}
	})
}

// And while little moves, whether or not the writer ends in between.
func TestMemoryOfABurstIsGivenBackWhileLittleMoves(t *testing.T) {
	for _, pace := range []time.Duration{linger / 2, 3 * linger} {
		bubble(t, func(t *testing.T, s *script) {
			c := s.run(Config{KeepAlive: -1})
			srv, _ := s.connack(false)
			go func() {
				for {
					h, body, err := srv.r.Next()
					if err != nil {
						return
					}
					p, _ := packet.ParsePublish(h.Flags, body)
					srv.answer(packet.PUBACK, p.ID)
				}
			}()
			srv.SetReadDeadline(time.Time{})
			for range 100 {
				c.submit("t", QoS1, string(make([]byte, 10_000)))
			}
			time.Sleep(time.Second)
			for range 2000 {
				c.submit("t", QoS1, "x")
				time.Sleep(pace)
			}
			c.mu.Lock()
			defer c.mu.Unlock()
			if n := cap(c.session.out) + cap(c.link.spare); n > 10_000 {
				t.Errorf("a message each %v: %d bytes are kept", pace, n)
			}
		})
	}
}
