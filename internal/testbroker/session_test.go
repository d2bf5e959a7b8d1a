package testbroker

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"iotwire/mqtt/packet"
)

func TestMQTT_2_3_1_4(t *testing.T) {
	inBubble(t, Config{Inflight: 5}, func(t *testing.T, b *Broker) {
		c := b.join(t, "a")
		c.subscribe(packet.QoS1, "x")
		b.mu.Lock()
		b.sessions["a"].lastID = 65_530 // they wrap soon
		b.mu.Unlock()
		open := make(map[uint16]bool)
		var ids []uint16
		for i := range 100 {
			b.Publish("x", nil, packet.QoS1, false)
			p := c.nextPublish()
			if p.ID == 0 || open[p.ID] {
				t.Fatalf("message %d has identifier %d, in use are %v", i, p.ID, open)
			}
			open[p.ID] = true
			if ids = append(ids, p.ID); len(open) == 5 { // the first one stays open for good
				c.sendPacket(packet.AppendPuback(nil, &packet.Puback{ID: ids[len(ids)-1]}))
				delete(open, ids[len(ids)-1])
				synctest.Wait()
			}
		}
		b.mu.Lock()
		b.sessions["a"].lastID = ids[0] - 1
		b.mu.Unlock()
		b.Publish("x", nil, packet.QoS1, false)
		if p := c.nextPublish(); open[p.ID] {
			t.Errorf("identifier %d is given twice", p.ID)
		}
	})
}

func TestMQTT_3_3_1_1(t *testing.T) {
	inBubble(t, Config{}, func(t *testing.T, b *Broker) {
		c := b.resume(t, "a", false)
		c.subscribe(packet.QoS2, "x")
		for q := packet.QoS1; q <= packet.QoS2; q++ {
			b.Publish("x", []byte{'0' + byte(q)}, q, false)
			p := c.nextPublish()
			if p.Dup {
				t.Errorf("QoS %d: DUP is 1 the first time", q)
			}
			for range 2 {
				c.vanish()
				c = b.resume(t, "a", true)
				p.Dup = true
				c.want(packet.AppendPublish(nil, &p))
			}
			c.acknowledge(p)
			c.ping()
			c.vanish()
			c = b.resume(t, "a", true)
			c.wantNothing()
		}
	})
}

func TestMQTT_4_1_0_1(t *testing.T) {
	// Of a session the broker keeps: subscriptions, QoS 1 and 2 messages sent and not acknowledged, those not sent, and
	// QoS 2 messages received and not released.
	inBubble(t, Config{Inflight: 1}, func(t *testing.T, b *Broker) {
		c := b.resume(t, "a", false)
		c.subscribe(packet.QoS2, "x")
		b.Publish("x", []byte("sent"), packet.QoS2, false)
		b.Publish("x", []byte("not sent"), packet.QoS1, false)
		sent := c.nextPublish()
		c.send(unhex("34 05 00 01 78 00 07")) // to itself
		c.want(unhex("50 02 00 07"), nil)
		c.vanish()
		time.Sleep(24 * time.Hour)
		b.Restart(true)
		time.Sleep(24 * time.Hour)
		c = b.resume(t, "a", true)
		sent.Dup = true
		c.want(packet.AppendPublish(nil, &sent))
		c.acknowledge(sent)
		c.receive("x", "not sent", packet.QoS1, false)
		c.receive("x", "", packet.QoS2, false)
		c.send(unhex("3c 05 00 01 78 00 07 62 02 00 07"))
		c.want(unhex("50 02 00 07"), nil)
		c.want(unhex("70 02 00 07"), nil)
		c.wantNothing()
		b.Publish("x", nil, packet.QoS0, false)
		c.receive("x", "", packet.QoS0, false)
	})
}

func TestMQTT_4_1_0_2(t *testing.T) {
	inBubble(t, Config{}, func(t *testing.T, b *Broker) {
		c := b.join(t, "a")
		c.subscribe(packet.QoS2, "x")
		b.Publish("x", nil, packet.QoS2, false)
		time.Sleep(10_000 * time.Hour)
		c.receive("x", "", packet.QoS2, false)
		b.Publish("x", nil, packet.QoS2, false)
		c.receive("x", "", packet.QoS2, false)
	})
}

func TestMQTT_4_3_1_1(t *testing.T) {
	inBubble(t, Config{}, func(t *testing.T, b *Broker) {
		c := b.resume(t, "a", false)
		c.subscribe(packet.QoS2, "x")
		b.Publish("x", []byte("m"), packet.QoS0, false)
		c.want(unhex("30 04 00 01 78 6d"), nil)
		c.vanish()
		b.resume(t, "a", true).wantNothing()
	})
}

func TestMQTT_4_3_2_1(t *testing.T) {
	inBubble(t, Config{}, func(t *testing.T, b *Broker) {
		c := b.join(t, "a")
		c.subscribe(packet.QoS1, "x")
		b.Publish("x", []byte("m"), packet.QoS1, false)
		c.want(unhex("32 06 00 01 78 00 01 6d"), nil)
		time.Sleep(time.Hour)
		c.wantNothing() // it is repeated after a reconnect only
		if s := b.Stats(); s.Inflight != 1 {
			t.Errorf("%d messages are in flight before PUBACK, want 1", s.Inflight)
		}
		c.send(unhex("40 02 00 01"))
		synctest.Wait()
		if s := b.Stats(); s.Inflight != 0 {
			t.Errorf("%d messages are in flight after PUBACK", s.Inflight)
		}
	})
}

func TestMQTT_4_3_3_1(t *testing.T) {
	inBubble(t, Config{}, func(t *testing.T, b *Broker) {
		c := b.resume(t, "a", false)
		c.subscribe(packet.QoS2, "x")
		b.Publish("x", []byte("m"), packet.QoS2, false)
		c.want(unhex("34 06 00 01 78 00 01 6d"), nil)
		for range 2 { // a second PUBREC, since PUBREL may have been lost
			c.send(unhex("50 02 00 01"))
			c.want(unhex("62 02 00 01"), nil)
		}
		for range 2 { // the PUBLISH does not come again
			c.vanish()
			c = b.resume(t, "a", true)
			c.want(unhex("62 02 00 01"), nil)
			c.wantNothing()
		}
		if s := b.Stats(); s.Inflight != 1 {
			t.Errorf("%d messages are in flight before PUBCOMP, want 1", s.Inflight)
		}
		c.send(unhex("70 02 00 01"))
		c.vanish()
		b.resume(t, "a", true).wantNothing()
	})
}

func TestMQTT_4_4_0_1(t *testing.T) {
	inBubble(t, Config{}, func(t *testing.T, b *Broker) {
		c := b.resume(t, "a", false)
		c.subscribe(packet.QoS2, "x")
		for i := range 6 {
			b.Publish("x", fmt.Append(nil, i), packet.QoS1+packet.QoS(i%2), false)
		}
		var sent []packet.Publish
		for range 6 {
			sent = append(sent, c.nextPublish())
		}
		c.sendPacket(packet.AppendPuback(nil, &packet.Puback{ID: sent[2].ID}))
		c.sendPacket(packet.AppendPubrec(nil, &packet.Pubrec{ID: sent[3].ID}))
		c.want(packet.AppendPubrel(nil, &packet.Pubrel{ID: sent[3].ID}))
		for range 2 {
			c.vanish()
			c = b.resume(t, "a", true)
			c.want(packet.AppendPubrel(nil, &packet.Pubrel{ID: sent[3].ID}))
			for _, i := range []int{0, 1, 4, 5} {
				sent[i].Dup = true
				c.want(packet.AppendPublish(nil, &sent[i]))
			}
			c.wantNothing()
		}
	})
}

func TestMQTT_4_5_0_1(t *testing.T) {
	inBubble(t, Config{}, func(t *testing.T, b *Broker) {
		for i := range 10 {
			c := b.resume(t, fmt.Sprint(i), false)
			c.subscribe(packet.QoS(i%3), "x/#")
			if i%2 == 0 {
				c.vanish()
			}
		}
		b.Publish("x/y", nil, packet.QoS2, false)
		if s := b.Stats(); s.Queued+s.Inflight != 6 { // but for those of QoS 0
			t.Errorf("%d messages are in sessions, want 6", s.Queued+s.Inflight)
		}
	})
}

func TestMQTT_4_6_0_1(t *testing.T) {
	inBubble(t, Config{Inflight: 50}, func(t *testing.T, b *Broker) {
		c := b.resume(t, "a", false)
		c.subscribe(packet.QoS2, "x")
		for i := range 50 {
			b.Publish("x", fmt.Append(nil, i), packet.QoS1+packet.QoS(i%2), false)
		}
		var sent []packet.Publish
		for range 50 {
			sent = append(sent, c.nextPublish())
		}
		for i := 0; i < 50; i += 3 { // some are acknowledged, from the end
			if p := sent[49-i]; p.QoS == packet.QoS1 {
				c.acknowledge(p)
				sent[49-i].ID = 0
			}
		}
		c.ping()
		c.vanish()
		c = b.resume(t, "a", true)
		for _, p := range sent {
			if p.ID != 0 {
				p.Dup = true
				c.want(packet.AppendPublish(nil, &p))
			}
		}
		c.wantNothing()
	})
}

func TestMQTT_4_6_0_5(t *testing.T) { // each topic is ordered, whoever publishes to it
	inBubble(t, Config{}, func(t *testing.T, b *Broker) {
		subscriber := b.join(t, "s")
		subscriber.subscribe(packet.QoS1, "#")
		publishers := []*client{b.join(t, "0"), b.join(t, "1"), b.join(t, "2")}
		for i := range 100 {
			for n, p := range publishers {
				topic := fmt.Sprint("x/", i%2)
				p.sendPacket(packet.AppendPublish(nil, &packet.Publish{Topic: []byte(topic), QoS: packet.QoS1, ID: 1,
					Payload: fmt.Appendf(nil, "%d %d", n, i)}))
			}
		}
		next := make(map[string]int)
		for _, p := range subscriber.collect(300) {
			var n, i int
			fmt.Sscan(string(p.Payload), &n, &i)
			flow := fmt.Sprint(n, string(p.Topic))
			if want := next[flow]*2 + i%2; i != want {
				t.Fatalf("publisher %d on %s: message %d, want %d", n, p.Topic, i, want)
			}
			next[flow]++
		}
	})
}

func TestInflightWindow(t *testing.T) {
	inBubble(t, Config{}, func(t *testing.T, b *Broker) {
		c := b.join(t, "a")
		c.subscribe(packet.QoS2, "x")
		for range 50 {
			b.Publish("x", nil, packet.QoS2, false)
		}
		var sent []packet.Publish
		for range 20 {
			sent = append(sent, c.nextPublish())
		}
		c.wantNothing()
		for _, p := range sent { // a QoS 2 message takes its place until PUBCOMP
			c.sendPacket(packet.AppendPubrec(nil, &packet.Pubrec{ID: p.ID}))
			c.want(packet.AppendPubrel(nil, &packet.Pubrel{ID: p.ID}))
		}
		c.wantNothing()
		c.sendPacket(packet.AppendPubcomp(nil, &packet.Pubcomp{ID: sent[7].ID}))
		c.nextPublish()
		c.wantNothing()
	})
}
