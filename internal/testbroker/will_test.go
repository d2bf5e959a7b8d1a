package testbroker

import (
	"testing"
	"testing/synctest"
	"time"

	"iotwire/mqtt/packet"
)

// withWill connects with a clean session and a will.
func (b *Broker) withWill(t *testing.T, qos packet.QoS, retain bool, message string) *client {
	t.Helper()
	c := b.dialTest(t)
	c.connect(packet.Connect{ClientID: []byte("mortal"), CleanSession: true, KeepAlive: 10,
		Will: true, WillTopic: []byte("will"), WillMessage: []byte(message), WillQoS: qos, WillRetain: retain}, false)
	return c
}

func TestMQTT_3_1_2_8(t *testing.T) {
	for name, end := range map[string]func(b *Broker, c *client){
		"FIN":                func(b *Broker, c *client) { c.conn.(*Conn).CloseWrite() },
		"close":              func(b *Broker, c *client) { c.conn.Close() },
		"RST":                func(b *Broker, c *client) { c.conn.(*Conn).Reset(nil) },
		"FIN in a packet":    func(b *Broker, c *client) { c.send([]byte{0x30}); c.conn.Close() },
		"keep alive":         func(b *Broker, c *client) { time.Sleep(15 * time.Second) },
		"protocol violation": func(b *Broker, c *client) { c.send([]byte{0xf0}) },
		"take-over":          func(b *Broker, c *client) { b.join(c.t, "mortal") },
		"dropped by FIN":     func(b *Broker, c *client) { b.Drop("mortal", FIN) },
		"dropped by RST":     func(b *Broker, c *client) { b.Drop("mortal", RST) },
		"session forgotten":  func(b *Broker, c *client) { b.Forget("mortal") },
	} {
		for q := range packet.QoS(3) {
			t.Run(name, func(t *testing.T) {
				inBubble(t, Config{}, func(t *testing.T, b *Broker) {
					witness := b.join(t, "witness")
					witness.subscribe(packet.QoS2, "will")
					c := b.withWill(t, q, false, "dead")
					witness.wantNothing()
					end(b, c)
					witness.receive("will", "dead", q, false)
					witness.wantNothing()
				})
			})
		}
	}
}

func TestMQTT_3_1_2_10(t *testing.T) {
	inBubble(t, Config{}, func(t *testing.T, b *Broker) {
		witness := b.join(t, "witness")
		witness.subscribe(packet.QoS1, "will")
		b.withWill(t, packet.QoS1, false, "dead").vanish()
		witness.receive("will", "dead", packet.QoS1, false)
		b.join(t, "mortal").vanish() // without a will of its own
		witness.wantNothing()
		b.withWill(t, packet.QoS1, false, "dead").disconnect()
		b.join(t, "mortal").vanish()
		witness.wantNothing()
	})
}

func TestMQTT_3_1_2_12(t *testing.T) {
	var transcript Transcript
	inBubble(t, Config{Observe: transcript.Observe}, func(t *testing.T, b *Broker) {
		witness := b.join(t, "witness")
		witness.subscribe(packet.QoS1, "#")
		b.join(t, "a").vanish()
		witness.wantNothing()
	})
}

func TestMQTT_3_1_2_16(t *testing.T) {
	inBubble(t, Config{}, func(t *testing.T, b *Broker) {
		witness := b.join(t, "witness")
		witness.subscribe(packet.QoS1, "will")
		b.withWill(t, packet.QoS1, false, "dead").vanish()
		witness.receive("will", "dead", packet.QoS1, false)
		witness.subscribe(packet.QoS1, "will")
		witness.wantNothing()
	})
}

func TestMQTT_3_1_2_17(t *testing.T) {
	inBubble(t, Config{}, func(t *testing.T, b *Broker) {
		witness := b.join(t, "witness")
		witness.subscribe(packet.QoS1, "will")
		b.withWill(t, packet.QoS1, true, "dead").vanish()
		witness.receive("will", "dead", packet.QoS1, false)
		witness.subscribe(packet.QoS1, "will")
		witness.receive("will", "dead", packet.QoS1, true)
		b.withWill(t, packet.QoS0, true, "").vanish() // removes it again
		witness.receive("will", "", packet.QoS0, false)
		witness.subscribe(packet.QoS1, "will")
		witness.wantNothing()
	})
}

func TestMQTT_3_14_4_3(t *testing.T) {
	inBubble(t, Config{}, func(t *testing.T, b *Broker) {
		witness := b.join(t, "witness")
		witness.subscribe(packet.QoS1, "will")
		c := b.withWill(t, packet.QoS1, true, "dead")
		c.send(packet.AppendDisconnect(nil))
		synctest.Wait()
		c.conn.(*Conn).Reset(nil) // how it ends after that does not matter
		synctest.Wait()
		witness.wantNothing()
	})
}

func TestWillWaitsInSessions(t *testing.T) {
	inBubble(t, Config{}, func(t *testing.T, b *Broker) {
		c := b.dialTest(t)
		c.connect(packet.Connect{ClientID: []byte("a"), Will: true, WillTopic: []byte("will"), WillMessage: []byte("dead"), WillQoS: packet.QoS1}, false)
		c.subscribe(packet.QoS1, "will") // its own
		c.vanish()
		b.resume(t, "a", true).receive("will", "dead", packet.QoS1, false)
	})
}

func TestNoWillWhenTheBrokerCloses(t *testing.T) {
	inBubble(t, Config{}, func(t *testing.T, b *Broker) {
		b.withWill(t, packet.QoS1, true, "dead")
		witness := b.resume(t, "witness", false)
		witness.subscribe(packet.QoS1, "will")
		b.Close()
		witness.wantClosed()
		if s := b.Stats(); s.Retained != 0 || s.Queued != 0 {
			t.Errorf("%+v, want no will", s)
		}
	})
}
