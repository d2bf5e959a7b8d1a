package testbroker

import (
	"context"
	"errors"
	"syscall"
	"testing"
	"testing/synctest"

	"iotwire/mqtt/packet"
)

func TestDrop(t *testing.T) {
	inBubble(t, Config{}, func(t *testing.T, b *Broker) {
		c := b.resume(t, "a", false)
		if !b.Drop("a", FIN) {
			t.Error("Drop knows no client a")
		}
		c.wantClosed()
		if b.Drop("a", FIN) {
			t.Error("Drop of a client that is away")
		}
		c = b.resume(t, "a", true)
		b.Drop("a", RST)
		synctest.Wait()
		if _, err := c.conn.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("read: %v, want ECONNRESET", err)
		}
		if b.Drop("nobody", RST) {
			t.Error("Drop knows a client that never was")
		}
	})
}

func TestForget(t *testing.T) {
	inBubble(t, Config{}, func(t *testing.T, b *Broker) {
		c := b.resume(t, "a", false)
		c.subscribe(packet.QoS1, "x")
		if !b.Forget("a") || b.Forget("a") {
			t.Error("there was one session")
		}
		c.wantClosed()
		synctest.Wait()
		if s := b.Stats(); s != (Stats{}) {
			t.Errorf("left behind: %+v", s)
		}
	})
}

func TestRestart(t *testing.T) {
	for _, keep := range []bool{true, false} {
		inBubble(t, Config{}, func(t *testing.T, b *Broker) {
			b.Publish("r", []byte("kept"), packet.QoS0, true)
			c := b.resume(t, "a", false)
			c.subscribe(packet.QoS1, "x")
			b.Publish("x", []byte("open"), packet.QoS1, false)
			p := c.nextPublish()
			b.Restart(keep)
			c.wantClosed()
			c = b.resume(t, "a", keep)
			if keep {
				p.Dup = true
				c.want(packet.AppendPublish(nil, &p))
			}
			c.subscribe(packet.QoS1, "r")
			if keep {
				c.receive("r", "kept", packet.QoS0, true)
			}
			c.wantNothing()
		})
	}
}

func TestPublishRefusesWhatNoClientMaySend(t *testing.T) {
	b := newBroker(t, Config{})
	for _, topic := range []string{"", "a/#", "+", "a\x00", "\xff"} {
		var broken *packet.Error
		if err := b.Publish(topic, nil, packet.QoS0, false); !errors.As(err, &broken) {
			t.Errorf("topic %q: %v, want a *packet.Error", topic, err)
		}
	}
	if err := b.Publish("a", nil, 3, false); err == nil {
		t.Error("QoS 3 is taken")
	}
}

func TestDialObeysItsContext(t *testing.T) {
	b := newBroker(t, Config{})
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := b.Dial(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("Dial: %v, want context.Canceled", err)
	}
	if _, err := b.DialTLS(context.Background()); err == nil {
		t.Error("DialTLS without Config.TLS")
	}
}

func TestTranscriptHasBothDirectionsAndTheEnd(t *testing.T) {
	var transcript Transcript
	inBubble(t, Config{Observe: transcript.Observe}, func(t *testing.T, b *Broker) {
		c := b.join(t, "a")
		c.subscribe(packet.QoS1, "x")
		c.publish("x", "m", packet.QoS0, false)
		c.receive("x", "m", packet.QoS0, false)
		c.disconnect()
		c = b.dialTest(t)
		c.send(unhex("10 0d 00 04 4d 51 54 54 05 02 00 3c 00 01 70"))
		c.want(unhex("20 02 00 01"), nil)
		c.wantClosed()
	})
	const want = `1  > CONNECT 0000 13 bytes
1 a < CONNACK 0000 2 bytes
1 a > SUBSCRIBE 0010 6 bytes
1 a < SUBACK 0000 3 bytes
1 a > PUBLISH 0000 4 bytes
1 a < PUBLISH 0000 4 bytes
1 a > DISCONNECT 0000 0 bytes
1 a x
2  > CONNECT 0000 13 bytes
2  < CONNACK 0000 2 bytes
2  x CONNECT: protocol level is 5, want 4 (byte 6) [MQTT-3.1.2-2]
`
	if got := transcript.String(); got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
	if e := transcript.Events()[5]; string(e.Body) != "\x00\x01xm" || e.Kind != Sent || e.Time.IsZero() {
		t.Errorf("PUBLISH is %+v", e)
	}
}
