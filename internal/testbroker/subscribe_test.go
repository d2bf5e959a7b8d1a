package testbroker

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"

	"iotwire/mqtt/packet"
)

// request is a SUBSCRIBE with these filters at one QoS.
func request(id uint16, q packet.QoS, filters ...string) []byte {
	var requests packet.Requests
	for _, f := range filters {
		requests = requests.Add(f, q)
	}
	b, err := packet.AppendSubscribe(nil, &packet.Subscribe{ID: id, Requests: requests})
	if err != nil {
		panic(err)
	}
	return b
}

// wantClosedAfter connects, sends these bytes and wants the connection closed without another packet, however the
// bytes are cut.
func wantClosedAfter(t *testing.T, bad ...string) {
	t.Helper()
	for _, text := range bad {
		for _, whole := range []bool{true, false} {
			inBubble(t, Config{}, func(t *testing.T, b *Broker) {
				c := b.join(t, "a")
				if whole {
					c.send(unhex(text))
				} else {
					for _, one := range unhex(text) {
						c.conn.Write([]byte{one}) // it may be closed before the last
						synctest.Wait()
					}
				}
				c.wantClosed()
			})
		}
	}
}

func TestMQTT_3_8_1_1(t *testing.T) {
	wantClosedAfter(t, "80 06 12 34 00 01 70 00", "83 06 12 34 00 01 70 00", "8a 06 12 34 00 01 70 00")
}

func TestMQTT_3_8_3_1(t *testing.T) {
	wantClosedAfter(t, "82 07 12 34 00 02 c3 28 00", "82 06 12 34 00 01 00 00")
}

func TestMQTT_3_8_3_3(t *testing.T) { wantClosedAfter(t, "82 02 12 34") }

func TestMQTT_3_8_3_4(t *testing.T) { // MQTT-3-8.3-4, as the standard has it
	for _, qos := range []byte{3, 4, 0x80, 0xfc} {
		wantClosedAfter(t, fmt.Sprintf("82 06 12 34 00 01 70 %02x", qos), fmt.Sprintf("82 0a 12 34 00 01 70 00 00 01 71 %02x", qos))
	}
}

func TestMQTT_3_8_4_1(t *testing.T) {
	inBubble(t, Config{}, func(t *testing.T, b *Broker) {
		c := b.join(t, "a")
		c.send(unhex("82 06 12 34 00 01 70 02"))
		c.want(unhex("90 03 12 34 02"), nil)
	})
}

func TestMQTT_3_8_4_2(t *testing.T) {
	inBubble(t, Config{}, func(t *testing.T, b *Broker) {
		c := b.join(t, "a")
		for _, id := range []uint16{1, 255, 256, 65_535} {
			c.send(request(id, packet.QoS0, "x"))
			c.want(packet.AppendSuback(nil, &packet.Suback{ID: id, Codes: []byte{0}}))
		}
	})
}

func TestMQTT_3_8_4_3(t *testing.T) {
	inBubble(t, Config{}, func(t *testing.T, b *Broker) {
		c := b.join(t, "a")
		b.Publish("x/1", []byte("kept"), packet.QoS2, true)
		c.subscribe(packet.QoS1, "x/+")
		c.receive("x/1", "kept", packet.QoS1, true)
		b.Publish("x/2", []byte("under way"), packet.QoS1, false)
		p := c.nextPublish()
		c.subscribe(packet.QoS2, "x/+") // retained messages are sent again
		c.receive("x/1", "kept", packet.QoS2, true)
		c.acknowledge(p) // the delivery that was under way goes on
		b.Publish("x/2", []byte("once"), packet.QoS2, false)
		c.receive("x/2", "once", packet.QoS2, false)
		c.wantNothing()
		c.unsubscribe("x/+")
		b.Publish("x/2", nil, packet.QoS2, false)
		c.wantNothing()
	})
}

func TestMQTT_3_8_4_4(t *testing.T) {
	inBubble(t, Config{}, func(t *testing.T, b *Broker) {
		b.Publish("a", []byte("kept"), packet.QoS0, true)
		c := b.join(t, "a")
		c.send(unhex("82 0e 00 01 00 01 61 00 00 01 62 01 00 01 63 02"))
		c.want(unhex("90 05 00 01 00 01 02"), nil)
		c.receive("a", "kept", packet.QoS0, true)
		for q, topic := range []string{"a", "b", "c"} {
			b.Publish(topic, nil, packet.QoS2, false)
			c.receive(topic, "", packet.QoS(q), false)
		}
	})
}

func TestMQTT_3_8_4_5(t *testing.T) {
	limit := packet.QoS1
	config := Config{DenySubscribe: []string{"secret/#", "b"}, MaxQoS: &limit, MaxLevels: 3, MaxSubscriptions: 4}
	inBubble(t, config, func(t *testing.T, b *Broker) {
		c := b.join(t, "a")
		c.send(request(5, packet.QoS2, "a", "secret/#", "secret/x", "b", "1/2/3", "1/2/3/4", "a", "d", "one too many", "d"))
		c.want(packet.AppendSuback(nil, &packet.Suback{ID: 5, Codes: []byte{1, 0x80, 1, 0x80, 1, 0x80, 1, 1, 0x80, 1}}))
		// A failure is no subscription and brings no retained message.
		b.Publish("b", []byte("kept"), packet.QoS0, true)
		c.send(request(6, packet.QoS0, "b"))
		c.want(packet.AppendSuback(nil, &packet.Suback{ID: 6, Codes: []byte{0x80}}))
		b.Publish("b", nil, packet.QoS0, false)
		c.wantNothing()
	})
}

func TestMQTT_3_9_3_1(t *testing.T) { // the order of the codes is checked with failures among them
	inBubble(t, Config{DenySubscribe: []string{"b"}}, func(t *testing.T, b *Broker) {
		c := b.join(t, "a")
		c.send(unhex("82 0e 00 01 00 01 61 02 00 01 62 01 00 01 63 00"))
		c.want(unhex("90 05 00 01 02 80 00"), nil)
	})
}

func TestMQTT_3_8_4_6(t *testing.T) {
	limit := packet.QoS1
	inBubble(t, Config{MaxQoS: &limit}, func(t *testing.T, b *Broker) {
		c := b.join(t, "a")
		for asked := range packet.QoS(3) {
			c.send(request(1, asked, "x"))
			granted := min(asked, limit)
			c.want(packet.AppendSuback(nil, &packet.Suback{ID: 1, Codes: []byte{byte(granted)}}))
			for published := range packet.QoS(3) {
				b.Publish("x", nil, published, false)
				c.receive("x", "", min(published, granted), false)
			}
		}
	})
}

func TestMQTT_3_3_5_1(t *testing.T) {
	inBubble(t, Config{}, func(t *testing.T, b *Broker) {
		c := b.join(t, "a")
		c.subscribe(packet.QoS0, "x/y", "#")
		c.subscribe(packet.QoS2, "x/+")
		c.subscribe(packet.QoS1, "x/#", "+/y")
		for q := range packet.QoS(3) {
			b.Publish("x/y", nil, q, false)
			c.receive("x/y", "", q, false)
		}
		b.Publish("x/z/z", nil, packet.QoS2, false)
		c.receive("x/z/z", "", packet.QoS1, false)
		b.Publish("z", nil, packet.QoS2, false)
		c.receive("z", "", packet.QoS0, false)
		c.wantNothing()
	})
}

func TestMQTT_3_10_1_1(t *testing.T) {
	wantClosedAfter(t, "a0 05 12 34 00 01 70", "a3 05 12 34 00 01 70")
}

func TestMQTT_3_10_3_1(t *testing.T) {
	wantClosedAfter(t, "a2 06 12 34 00 02 c3 28", "a2 05 12 34 00 02 70", "a2 06 12 34 00 01 70 00")
}

func TestMQTT_3_10_3_2(t *testing.T) { wantClosedAfter(t, "a2 02 12 34") }

func TestMQTT_3_10_4_1(t *testing.T) {
	inBubble(t, Config{}, func(t *testing.T, b *Broker) {
		c := b.join(t, "a")
		c.subscribe(packet.QoS0, "x/+")
		for _, other := range []string{"x/y", "x/#", "#", "+/+", "X/+", "x", "x/+/y"} {
			c.unsubscribe(other)
		}
		b.Publish("x/y", nil, packet.QoS0, false)
		c.receive("x/y", "", packet.QoS0, false)
		c.unsubscribe("x/+")
		b.Publish("x/y", nil, packet.QoS0, false)
		c.wantNothing()
	})
}

func TestMQTT_3_10_4_2(t *testing.T) {
	inBubble(t, Config{}, func(t *testing.T, b *Broker) {
		c := b.join(t, "a")
		c.subscribe(packet.QoS2, "x")
		c.subscribe(packet.QoS1, "#")
		c.unsubscribe("x")
		b.Publish("x", nil, packet.QoS2, false)
		c.receive("x", "", packet.QoS1, false) // by the other subscription, with its QoS
		c.unsubscribe("#")
		b.Publish("x", nil, packet.QoS2, false)
		c.wantNothing()
		if s := b.Stats(); s.Subscriptions != 0 {
			t.Errorf("%d subscriptions are left", s.Subscriptions)
		}
	})
}

func TestMQTT_3_10_4_3(t *testing.T) {
	inBubble(t, Config{}, func(t *testing.T, b *Broker) {
		c := b.resume(t, "a", false)
		c.subscribe(packet.QoS2, "x")
		b.Publish("x", []byte("1"), packet.QoS1, false)
		b.Publish("x", []byte("2"), packet.QoS2, false)
		first, second := c.nextPublish(), c.nextPublish()
		c.unsubscribe("x")
		c.vanish()
		c = b.resume(t, "a", true)
		for _, p := range []packet.Publish{first, second} {
			p.Dup = true
			c.want(packet.AppendPublish(nil, &p))
		}
		c.acknowledge(second)
		c.acknowledge(first)
		c.vanish()
		b.resume(t, "a", true).wantNothing()
	})
}

func TestMQTT_3_10_4_4(t *testing.T) {
	inBubble(t, Config{}, func(t *testing.T, b *Broker) {
		c := b.join(t, "a")
		c.subscribe(packet.QoS0, "x")
		c.send(unhex("a2 05 ab cd 00 01 78"))
		c.want(unhex("b0 02 ab cd"), nil)
	})
}

func TestMQTT_3_10_4_5(t *testing.T) {
	inBubble(t, Config{}, func(t *testing.T, b *Broker) {
		c := b.join(t, "a")
		c.send(unhex("a2 05 ab cd 00 01 78"))
		c.want(unhex("b0 02 ab cd"), nil)
	})
}

func TestMQTT_3_10_4_6(t *testing.T) {
	inBubble(t, Config{}, func(t *testing.T, b *Broker) {
		c := b.join(t, "a")
		c.subscribe(packet.QoS0, "x", "y", "z")
		c.send(unhex("a2 0b 00 01 00 01 78 00 01 3f 00 01 7a")) // x, ?, z
		c.want(unhex("b0 02 00 01"), nil)
		for _, topic := range []string{"x", "y", "z"} {
			b.Publish(topic, nil, packet.QoS0, false)
		}
		c.receive("y", "", packet.QoS0, false)
		c.wantNothing()
	})
}

func TestShareGroupsTakeTurns(t *testing.T) {
	inBubble(t, Config{}, func(t *testing.T, b *Broker) {
		one, two, both := b.join(t, "1"), b.join(t, "2"), b.join(t, "3")
		one.subscribe(packet.QoS1, "$share/g/x/+")
		two.subscribe(packet.QoS0, "$share/g/x/+")
		both.subscribe(packet.QoS0, "$share/other/x/#", "x/1") // another group, and a subscription of its own
		for i := range 4 {
			b.Publish("x/1", fmt.Append(nil, i), packet.QoS1, false)
			member, qos := one, packet.QoS1
			if i%2 == 1 {
				member, qos = two, packet.QoS0
			}
			member.receive("x/1", fmt.Sprint(i), qos, false)
			both.receive("x/1", fmt.Sprint(i), packet.QoS0, false)
			both.receive("x/1", fmt.Sprint(i), packet.QoS0, false)
		}
		one.wantNothing()
		two.wantNothing()
		one.unsubscribe("$share/g/x/+")
		for range 2 {
			b.Publish("x/1", nil, packet.QoS0, false)
			two.receive("x/1", "", packet.QoS0, false)
			both.receive("x/1", "", packet.QoS0, false)
			both.receive("x/1", "", packet.QoS0, false)
		}
		two.disconnect()
		both.unsubscribe("$share/other/x/#")
		both.unsubscribe("x/1")
		if s := b.Stats(); s.Subscriptions != 0 {
			t.Errorf("%d subscriptions are left", s.Subscriptions)
		}
	})
}

func TestShareGroupPassesOverThoseWhoAreAway(t *testing.T) {
	inBubble(t, Config{}, func(t *testing.T, b *Broker) {
		here, away := b.resume(t, "here", false), b.resume(t, "away", false)
		here.subscribe(packet.QoS1, "$share/g/x")
		away.subscribe(packet.QoS1, "$share/g/x")
		away.vanish()
		for range 3 {
			b.Publish("x", nil, packet.QoS1, false)
			here.receive("x", "", packet.QoS1, false)
		}
		here.disconnect()
		synctest.Wait()
		for range 4 { // nobody is here: they wait in the sessions, for each in turn
			b.Publish("x", nil, packet.QoS1, false)
		}
		for _, id := range []string{"here", "away"} {
			c := b.resume(t, id, true)
			c.receive("x", "", packet.QoS1, false)
			c.receive("x", "", packet.QoS1, false)
			c.wantNothing()
		}
	})
}

func TestShareGroupGetsNoRetainedMessages(t *testing.T) {
	inBubble(t, Config{}, func(t *testing.T, b *Broker) {
		b.Publish("x", []byte("kept"), packet.QoS0, true)
		c := b.join(t, "a")
		c.subscribe(packet.QoS0, "$share/g/x")
		c.wantNothing()
	})
}

// A filter that only begins like one of a share group is a filter like any other.
func TestAlmostShareFilters(t *testing.T) {
	for _, filter := range []string{"$share", "$share/", "$share/g", "$share/g/", "$share//x", "$share/+/x", "$share/#", "$shared/g/x"} {
		inBubble(t, Config{}, func(t *testing.T, b *Broker) {
			c := b.join(t, "a")
			c.subscribe(packet.QoS0, filter)
			b.Publish("x", nil, packet.QoS0, false)
			c.wantNothing()
			topic := strings.NewReplacer("+", "level", "#", "level").Replace(filter)
			b.Publish(topic, nil, packet.QoS0, false)
			c.receive(topic, "", packet.QoS0, false)
			c.unsubscribe(filter)
			if s := b.Stats(); s.Subscriptions != 0 {
				t.Errorf("%s: %d subscriptions are left", filter, s.Subscriptions)
			}
		})
	}
}

// Tens of thousands of levels must neither exhaust the stack nor the memory.
func TestTopicsWithManyLevels(t *testing.T) {
	deep := strings.Repeat("/", 65_528)
	inBubble(t, Config{}, func(t *testing.T, b *Broker) {
		c := b.join(t, "a")
		c.send(request(1, packet.QoS0, deep, strings.Repeat("+/", 32_000)+"#"))
		c.want(packet.AppendSuback(nil, &packet.Suback{ID: 1, Codes: []byte{0x80, 0x80}}))
		c.sendPacket(packet.AppendUnsubscribe(nil, &packet.Unsubscribe{ID: 2, Filters: packet.Filters(nil).Add(deep)}))
		c.want(unhex("b0 02 00 02"), nil)
		c.sendPacket(packet.AppendPublish(nil, &packet.Publish{Topic: []byte(deep), Retain: true, Payload: []byte("x")}))
		c.wantClosed()
		if err := b.Publish(deep, nil, packet.QoS0, false); err == nil {
			t.Error("Publish takes a topic with too many levels")
		}
		c = b.dialTest(t)
		c.sendPacket(packet.AppendConnect(nil, &packet.Connect{CleanSession: true, Will: true, WillTopic: []byte(deep)}))
		c.wantClosed()
	})
	// Without a limit of its own.
	inBubble(t, Config{MaxLevels: 100_000}, func(t *testing.T, b *Broker) {
		c := b.join(t, "a")
		c.subscribe(packet.QoS0, deep)
		b.Publish(deep, []byte("kept"), packet.QoS0, true)
		c.receive(deep, "kept", packet.QoS0, false)
		c.subscribe(packet.QoS0, "#")
		c.receive(deep, "kept", packet.QoS0, true)
		b.Publish(deep, nil, packet.QoS0, true)
		c.receive(deep, "", packet.QoS0, false)
		c.disconnect()
		synctest.Wait()
		if len(b.subscriptions.root.children) > 0 || len(b.retained.root.children) > 0 {
			t.Error("levels are left in the trees")
		}
	})
}

// One client with ten thousand filters that overlap gets one copy of a message.
func TestManyOverlappingFilters(t *testing.T) {
	inBubble(t, Config{}, func(t *testing.T, b *Broker) {
		c := b.join(t, "a")
		var filters []string
		for i := range 10_000 {
			levels := []string{"a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l", "m", "n"}
			for bit := range levels {
				if i>>bit&1 == 1 {
					levels[bit] = "+"
				}
			}
			filters = append(filters, strings.Join(levels, "/"))
		}
		c.subscribe(packet.QoS1, filters...)
		for range 10 {
			b.Publish("a/b/c/d/e/f/g/h/i/j/k/l/m/n", nil, packet.QoS1, false)
			c.receive("a/b/c/d/e/f/g/h/i/j/k/l/m/n", "", packet.QoS1, false)
		}
		c.wantNothing()
		c.disconnect()
		synctest.Wait()
		if len(b.subscriptions.root.children) > 0 || b.subscriptions.count != 0 {
			t.Error("levels are left in the tree")
		}
	})
}

// A message comes while its subscription goes: it is delivered or not, and the broker goes on.
func TestUnsubscribeWhileMessagesCome(t *testing.T) {
	inBubble(t, Config{}, func(t *testing.T, b *Broker) {
		c := b.join(t, "a")
		done := make(chan struct{})
		go func() {
			defer close(done)
			for range 300 {
				b.Publish("x", nil, packet.QoS0, false)
			}
		}()
		for range 100 {
			c.send(request(1, packet.QoS0, "x"))
			c.sendPacket(packet.AppendUnsubscribe(nil, &packet.Unsubscribe{ID: 2, Filters: packet.Filters(nil).Add("x")}))
		}
		<-done
		c.send(packet.AppendPingreq(nil))
		subscribed := false
		for {
			got := c.next()
			switch {
			case bytes.Equal(got, packet.AppendPingresp(nil)):
				return
			case got[0] == 0x90:
				subscribed = true
			case got[0] == 0xb0:
				subscribed = false
			case got[0] == 0x30 && !subscribed:
				t.Fatal("a message after UNSUBACK")
			}
		}
	})
}
