package testbroker

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"iotwire/mqtt/packet"
)

// relayed runs a test with a client that has connected to a broker through a relay.
func relayed(t *testing.T, r *Relay, test func(t *testing.T, c *client)) {
	t.Helper()
	inBubble(t, Config{}, func(t *testing.T, b *Broker) {
		conn, err := r.Dialer(b.Dial)(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		c := &client{t: t, conn: conn, in: packet.NewReader(conn, 8<<20)}
		c.connect(packet.Connect{ClientID: []byte("c"), CleanSession: true}, false)
		test(t, c)
	})
}

// only decides on the packets of one type from one side.
func only(kind EventKind, t packet.Type, action Action) func(Event) Action {
	return func(e Event) Action {
		if e.Kind == kind && e.Header.Type == t {
			return action
		}
		return Pass
	}
}

func (c *client) offer(id uint16, payload string) {
	c.t.Helper()
	c.sendPacket(packet.AppendPublish(nil, &packet.Publish{Topic: []byte("a"), QoS: packet.QoS1, ID: id, Payload: []byte(payload)}))
}

func puback(id uint16) ([]byte, error) { return packet.AppendPuback(nil, &packet.Puback{ID: id}) }

func TestRelayPassesEverything(t *testing.T) {
	relayed(t, &Relay{}, func(t *testing.T, c *client) {
		c.subscribe(packet.QoS2, "a")
		for q := range packet.QoS2 + 1 {
			c.sendPacket(packet.AppendPublish(nil, &packet.Publish{Topic: []byte("a"), QoS: packet.QoS0, Payload: []byte(strings.Repeat("x", 200_000))}))
			if got := c.nextPublish(); len(got.Payload) != 200_000 {
				t.Errorf("got %s", describe(got))
			}
			c.publish("b", "y", q, false)
		}
		c.disconnect()
	})
}

func TestRelayDropsAPacket(t *testing.T) {
	relayed(t, &Relay{Decide: only(Sent, packet.PUBACK, Discard)}, func(t *testing.T, c *client) {
		c.offer(1, "")
		c.wantNothing()
		c.ping()
	})
}

func TestRelayDuplicatesAPacket(t *testing.T) {
	relayed(t, &Relay{Decide: only(Sent, packet.PUBACK, Duplicate)}, func(t *testing.T, c *client) {
		c.offer(1, "")
		c.want(puback(1))
		c.want(puback(1))
		c.wantNothing()
	})
}

func TestRelayHoldsPacketsAndReleasesThemInAnyOrder(t *testing.T) {
	r := &Relay{Decide: only(Sent, packet.PUBACK, Hold)}
	relayed(t, r, func(t *testing.T, c *client) {
		for id := range uint16(4) {
			c.offer(id+1, "")
		}
		c.wantNothing()
		if held := r.Held(); len(held) != 4 || held[2].Body[1] != 3 {
			t.Errorf("held are %v", held)
		}
		r.Release(2, 0)
		c.want(puback(3))
		c.want(puback(1))
		c.wantNothing()
		r.Release()
		c.want(puback(2))
		c.want(puback(4))
		c.ping()
		if held := r.Held(); held != nil {
			t.Errorf("after the release %v are held", held)
		}
	})
}

func TestRelayReleasesNothingIntoAConnectionThatEnded(t *testing.T) {
	r := &Relay{Decide: only(Sent, packet.PUBACK, Hold)}
	relayed(t, r, func(t *testing.T, c *client) {
		c.offer(1, "")
		c.vanish()
		r.Release()
		if held := r.Held(); held != nil {
			t.Errorf("after the release %v are held", held)
		}
	})
}

func TestRelaySwapsTwoPackets(t *testing.T) {
	first := true
	r := &Relay{Decide: func(e Event) Action {
		if e.Kind == Sent && e.Header.Type == packet.PUBACK && first {
			first = false
			return Swap
		}
		return Pass
	}}
	relayed(t, r, func(t *testing.T, c *client) {
		c.offer(1, "")
		c.wantNothing()
		c.offer(2, "")
		c.want(puback(2))
		c.want(puback(1))
	})
}

func TestRelayReplacesAPacket(t *testing.T) {
	wrong, _ := puback(9)
	relayed(t, &Relay{Decide: only(Sent, packet.PUBACK, Replace(wrong, packet.AppendPingresp(nil)))}, func(t *testing.T, c *client) {
		c.offer(1, "")
		c.want(puback(9))
		c.want(packet.AppendPingresp(nil), nil)
	})
}

func TestRelayReplacesAPacketWithBytesThatAreNone(t *testing.T) {
	var seen Transcript
	relayed(t, &Relay{Decide: only(Received, packet.PUBLISH, Replace([]byte{0xff, 0xff})), Observe: seen.Observe}, func(t *testing.T, c *client) {
		c.offer(1, "")
		c.wantClosed()
	})
	if !strings.Contains(seen.String(), "2 bytes") {
		t.Errorf("the transcript lacks the bytes:\n%s", &seen)
	}
}

func TestRelayHangsUpOnATopic(t *testing.T) {
	relayed(t, &Relay{Decide: HangUpOn("poison/#")}, func(t *testing.T, c *client) {
		c.publish("good", "x", packet.QoS2, false)
		c.sendPacket(packet.AppendPublish(nil, &packet.Publish{Topic: []byte("poison/1")}))
		c.wantClosed()
	})
}

func TestRelayTellsWhatCameThrough(t *testing.T) {
	var seen Transcript
	r := &Relay{Decide: only(Sent, packet.PUBACK, Discard), Observe: seen.Observe}
	relayed(t, r, func(t *testing.T, c *client) {
		c.offer(1, "")
		c.ping()
		c.disconnect()
		synctest.Wait()
	})
	want := `1  > CONNECT 0000 13 bytes
1  < CONNACK 0000 2 bytes
1  > PUBLISH 0010 5 bytes
1  > PINGREQ 0000 0 bytes
1  < PINGRESP 0000 0 bytes
1  > DISCONNECT 0000 0 bytes
1  x
`
	if got := seen.String(); got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
}

func TestRelayEndsWithEitherSide(t *testing.T) {
	ends := map[string]func(b *Broker, conn *Conn){
		"the client closes":  func(_ *Broker, conn *Conn) { conn.Close() },
		"the client resets":  func(_ *Broker, conn *Conn) { conn.Reset(nil) },
		"the server closes":  func(b *Broker, _ *Conn) { b.Drop("c", FIN) },
		"the server resets":  func(b *Broker, _ *Conn) { b.Drop("c", RST) },
		"the client is wild": func(_ *Broker, conn *Conn) { conn.Write([]byte{0xff, 0xff}) },
	}
	for name, end := range ends {
		t.Run(name, func(t *testing.T) {
			inBubble(t, Config{}, func(t *testing.T, b *Broker) {
				r := &Relay{}
				conn, _ := r.Dialer(b.Dial)(context.Background())
				c := &client{t: t, conn: conn, in: packet.NewReader(conn, 1000)}
				c.connect(packet.Connect{ClientID: []byte("c"), CleanSession: true}, false)
				end(b, conn.(*Conn))
				if name[4] == 's' {
					c.wantClosed()
				}
				conn.Close()
				time.Sleep(time.Minute)
				if n := b.Stats().Connections; n != 0 {
					t.Errorf("the broker has %d connections, want none", n)
				}
			})
		})
	}
}

func TestRelayDoesNotWaitForAClientThatCannotHear(t *testing.T) {
	inBubble(t, Config{}, func(t *testing.T, b *Broker) {
		conn, _ := (&Relay{}).Dialer(b.Dial)(context.Background())
		c := &client{t: t, conn: conn, in: packet.NewReader(conn, 1000)}
		c.connect(packet.Connect{ClientID: []byte("c"), CleanSession: true}, false)
		conn.(*Conn).Blackhole()
		conn.Close()
		b.Drop("c", FIN)
		time.Sleep(time.Minute) // the end of the bubble shows whether anything waits still
	})
}

func TestRelayPassesOnAFailedDial(t *testing.T) {
	b := New(Config{})
	b.Close()
	if _, err := (&Relay{}).Dialer(b.Dial)(context.Background()); err != ErrClosed {
		t.Errorf("error is %v, want %v", err, ErrClosed)
	}
}

func TestRelayRefusesAPacketAboveItsLimit(t *testing.T) {
	relayed(t, &Relay{MaxPacket: 100}, func(t *testing.T, c *client) {
		c.send(packet.AppendPingreq(nil))
		c.want(packet.AppendPingresp(nil), nil)
		c.sendPacket(packet.AppendPublish(nil, &packet.Publish{Topic: []byte("a"), Payload: make([]byte, 200)}))
		c.wantClosed()
	})
}
