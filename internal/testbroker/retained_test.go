package testbroker

import (
	"fmt"
	"slices"
	"testing"
	"testing/synctest"

	"iotwire/mqtt/packet"
	"pgregory.net/rapid"
)

func TestMQTT_3_1_2_7(t *testing.T) {
	inBubble(t, Config{}, func(t *testing.T, b *Broker) {
		for _, id := range []string{"clean", "kept"} {
			c := b.dialTest(t)
			c.connect(packet.Connect{ClientID: []byte(id), CleanSession: id == "clean"}, false)
			c.publish(id, "stays", packet.QoS1, true)
			c.disconnect()
			synctest.Wait()
			b.Forget(id)
		}
		c := b.join(t, "reader")
		c.subscribe(packet.QoS0, "#")
		c.receive("clean", "stays", packet.QoS0, true)
		c.receive("kept", "stays", packet.QoS0, true)
	})
}

func TestMQTT_3_3_1_5(t *testing.T) {
	inBubble(t, Config{}, func(t *testing.T, b *Broker) {
		publisher := b.join(t, "p")
		for q := range packet.QoS(3) { // message and QoS are stored
			publisher.publish(fmt.Sprint("x/", q), "m", q, true)
			publisher.ping()
			reader := b.join(t, "r")
			reader.subscribe(packet.QoS2, fmt.Sprint("x/", q))
			reader.receive(fmt.Sprint("x/", q), "m", q, true)
			reader.disconnect()
		}
	})
}

func TestMQTT_3_3_1_6(t *testing.T) {
	inBubble(t, Config{}, func(t *testing.T, b *Broker) {
		for _, topic := range []string{"x", "x/1", "x/2", "x/1/y", "y", "$x"} {
			b.Publish(topic, []byte("old"), packet.QoS1, true)
			b.Publish(topic, []byte(topic), packet.QoS1, true)
		}
		for filter, want := range map[string][]string{
			"x/#":   {"x", "x/1", "x/2", "x/1/y"},
			"x/+":   {"x/1", "x/2"},
			"+/1/#": {"x/1", "x/1/y"},
			"+":     {"x", "y"},
			"#":     {"x", "x/1", "x/2", "x/1/y", "y"},
			"$x":    {"$x"},
			"z":     nil,
			"x/1":   {"x/1"},
		} {
			c := b.join(t, "a")
			c.subscribe(packet.QoS1, filter)
			for _, topic := range want {
				c.receive(topic, topic, packet.QoS1, true)
			}
			c.wantNothing()
			c.disconnect()
		}
	})
}

func TestMQTT_3_3_1_7(t *testing.T) {
	inBubble(t, Config{}, func(t *testing.T, b *Broker) {
		c := b.join(t, "a")
		c.publish("x", "first", packet.QoS1, true)
		c.publish("x", "second", packet.QoS0, true)
		c.subscribe(packet.QoS1, "x")
		c.receive("x", "second", packet.QoS0, true)
		c.wantNothing()
	})
}

func TestMQTT_3_3_1_8(t *testing.T) {
	inBubble(t, Config{}, func(t *testing.T, b *Broker) {
		c := b.join(t, "a")
		c.publish("x", "m", packet.QoS2, true)
		for q := range packet.QoS(3) {
			c.subscribe(q, "x")
			c.receive("x", "m", q, true)
		}
	})
}

func TestMQTT_3_3_1_9(t *testing.T) {
	inBubble(t, Config{}, func(t *testing.T, b *Broker) {
		c, away := b.join(t, "a"), b.resume(t, "away", false)
		away.subscribe(packet.QoS1, "x")
		away.disconnect()
		synctest.Wait()
		c.subscribe(packet.QoS2, "x")
		for q := range packet.QoS(3) {
			b.Publish("x", []byte("m"), q, true)
			c.receive("x", "m", q, false)
		}
		away = b.resume(t, "away", true) // the subscription is as old as the session
		away.receive("x", "m", packet.QoS1, false)
		away.receive("x", "m", packet.QoS1, false)
		away.wantNothing()
	})
}

func TestMQTT_3_3_1_10(t *testing.T) {
	inBubble(t, Config{}, func(t *testing.T, b *Broker) {
		c := b.join(t, "a")
		c.subscribe(packet.QoS1, "x/#")
		for _, topic := range []string{"x/1", "x/1/2"} {
			b.Publish(topic, []byte("m"), packet.QoS1, true)
			c.receive(topic, "m", packet.QoS1, false)
		}
		b.Publish("x/1", nil, packet.QoS1, true)
		c.receive("x/1", "", packet.QoS1, false)
		c.subscribe(packet.QoS1, "x/#")
		c.receive("x/1/2", "m", packet.QoS1, true)
		c.wantNothing()
	})
}

func TestMQTT_3_3_1_11(t *testing.T) {
	inBubble(t, Config{}, func(t *testing.T, b *Broker) {
		c := b.join(t, "a")
		b.Publish("x/y", nil, packet.QoS1, true)
		c.subscribe(packet.QoS1, "#")
		c.wantNothing()
		if s := b.Stats(); s.Retained != 0 || len(b.retained.root.children) != 0 {
			t.Errorf("%d messages are retained", s.Retained)
		}
	})
}

func TestMQTT_3_3_1_12(t *testing.T) {
	inBubble(t, Config{}, func(t *testing.T, b *Broker) {
		c := b.join(t, "a")
		b.Publish("y", []byte("not kept"), packet.QoS1, false)
		b.Publish("x", []byte("kept"), packet.QoS1, true)
		b.Publish("x", []byte("not kept"), packet.QoS1, false)
		b.Publish("x", nil, packet.QoS1, false)
		c.subscribe(packet.QoS1, "#")
		c.receive("x", "kept", packet.QoS1, true)
		c.wantNothing()
	})
}

func TestRetainedMessagesAreBounded(t *testing.T) {
	inBubble(t, Config{RetainedBytes: 30}, func(t *testing.T, b *Broker) {
		c := b.join(t, "a")
		c.publish("x", "1234567890", packet.QoS0, true)
		c.publish("y", "1234567890", packet.QoS0, true)
		c.publish("z", "1234567890", packet.QoS0, true) // does not fit
		c.publish("y", "123456789012345678901234567890", packet.QoS0, true)
		c.subscribe(packet.QoS0, "#")
		c.receive("x", "1234567890", packet.QoS0, true)
		c.wantNothing() // y's old message would be wrong
		c.publish("x", "", packet.QoS0, true)
		c.receive("x", "", packet.QoS0, false)
		if b.retained.bytes != 0 || b.retained.count != 0 {
			t.Errorf("%d bytes of %d messages are counted, want none", b.retained.bytes, b.retained.count)
		}
	})
}

func TestRetainedPayloadIsACopy(t *testing.T) {
	inBubble(t, Config{}, func(t *testing.T, b *Broker) {
		payload := []byte("as it was")
		b.Publish("x", payload, packet.QoS1, true)
		clear(payload)
		c := b.join(t, "a")
		c.subscribe(packet.QoS1, "x")
		c.receive("x", "as it was", packet.QoS1, true)
	})
}

// The tree of retained messages gives what a look at each message with packet.Match gives.
func TestRetainedTreeMatchesLikeTheStandard(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		tree := retained{limit: 1 << 20}
		want := make(map[string]string)
		var order []string
		for _, topic := range rapid.SliceOfN(rapid.SampledFrom(topics), 0, 40).Draw(t, "topics") {
			payload := rapid.SampledFrom([]string{"", "a", "bb"}).Draw(t, "payload")
			tree.put(&packet.Publish{Topic: []byte(topic), Payload: []byte(payload)})
			order = slices.DeleteFunc(order, func(s string) bool { return s == topic })
			delete(want, topic)
			if payload != "" {
				want[topic] = payload
				order = append(order, topic)
			}
		}
		filter := rapid.SampledFrom(filters).Draw(t, "filter")
		var got, matching []string
		for _, m := range tree.match([]byte(filter)) {
			if string(m.payload) != want[string(m.topic)] {
				t.Errorf("%s has %s, want %s", m.topic, m.payload, want[string(m.topic)])
			}
			got = append(got, string(m.topic))
		}
		for _, topic := range order {
			if packet.Match(filter, topic) {
				matching = append(matching, topic)
			}
		}
		if !slices.Equal(got, matching) {
			t.Errorf("%s gives %q, want %q", filter, got, matching)
		}
		if tree.count != len(want) || (len(want) == 0) != (len(tree.root.children) == 0) {
			t.Errorf("%d messages are counted, want %d", tree.count, len(want))
		}
	})
}
