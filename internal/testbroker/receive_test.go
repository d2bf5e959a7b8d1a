package testbroker

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"

	"iotwire/mqtt/packet"
)

func TestMQTT_1_5_3_1(t *testing.T) {
	for _, bad := range []string{"c3 28", "ed a0 80", "ff", "c0 80", "f4 90 80 80", "e2 82"} {
		inBubble(t, Config{}, func(t *testing.T, b *Broker) {
			c := b.join(t, "a")
			topic := unhex(bad)
			c.send(append([]byte{0x30, byte(2 + len(topic)), 0, byte(len(topic))}, topic...))
			c.wantClosed()
		})
	}
}

func TestMQTT_1_5_3_2(t *testing.T) {
	inBubble(t, Config{}, func(t *testing.T, b *Broker) {
		c := b.join(t, "a")
		c.send(unhex("30 05 00 03 61 00 62"))
		c.wantClosed()
	})
}

func TestMQTT_1_5_3_3(t *testing.T) {
	inBubble(t, Config{}, func(t *testing.T, b *Broker) {
		c := b.join(t, "a")
		c.subscribe(packet.QoS0, "\ufeffa", "a")
		c.publish("\ufeffa", "", packet.QoS0, false)
		c.receive("\ufeffa", "", packet.QoS0, false)
		c.wantNothing()
	})
}

func TestMQTT_2_2_2_2(t *testing.T) {
	// All flags that are not those of table 2.2, on packets that are right otherwise.
	for _, good := range []string{"40 02 00 01", "50 02 00 01", "62 02 00 01", "70 02 00 01", "82 06 00 01 00 01 61 00",
		"a2 05 00 01 00 01 61", "c0 00", "e0 00"} {
		right := unhex(good)
		for flags := range byte(16) {
			if flags == right[0]&0x0f {
				continue
			}
			inBubble(t, Config{}, func(t *testing.T, b *Broker) {
				c := b.join(t, "a")
				c.send(append([]byte{right[0]&0xf0 | flags}, right[1:]...))
				c.wantClosed()
			})
		}
	}
}

func TestMQTT_2_2_2_1(t *testing.T) {
	inBubble(t, Config{}, func(t *testing.T, b *Broker) {
		c := b.join(t, "a")
		c.subscribe(packet.QoS2, "x")
		b.Publish("x", []byte("m"), packet.QoS2, false)
		p := c.nextPublish()
		c.sendPacket(packet.AppendPubrec(nil, &packet.Pubrec{ID: p.ID}))
		if got := c.next(); got[0] != 0x62 {
			t.Errorf("PUBREL begins with %02x, want 62", got[0])
		}
	})
}

func TestMQTT_2_3_1_1(t *testing.T) {
	for _, bad := range []string{"32 05 00 01 61 00 00", "34 05 00 01 61 00 00", "82 06 00 00 00 01 61 00", "a2 05 00 00 00 01 61"} {
		inBubble(t, Config{}, func(t *testing.T, b *Broker) {
			c := b.join(t, "a")
			c.send(unhex(bad))
			c.wantClosed()
		})
	}
}

func TestMQTT_2_3_1_5(t *testing.T) {
	inBubble(t, Config{}, func(t *testing.T, b *Broker) {
		c := b.join(t, "a")
		c.subscribe(packet.QoS2, "a")
		c.publish("a", "xy", packet.QoS0, false)
		c.want(unhex("30 05 00 01 61 78 79"), nil)
	})
}

func TestMQTT_2_3_1_6(t *testing.T) {
	inBubble(t, Config{}, func(t *testing.T, b *Broker) {
		c := b.join(t, "a")
		for _, id := range []string{"00 01", "00 ff", "80 00", "ff ff"} {
			c.send(unhex("32 05 00 01 61" + id))
			c.want(unhex("40 02"+id), nil)
			c.send(unhex("34 05 00 01 61" + id))
			c.want(unhex("50 02"+id), nil)
			c.send(unhex("62 02" + id))
			c.want(unhex("70 02"+id), nil)
		}
	})
}

func TestMQTT_2_3_1_7(t *testing.T) {
	inBubble(t, Config{}, func(t *testing.T, b *Broker) {
		c := b.join(t, "a")
		for _, id := range []string{"00 01", "00 ff", "80 00", "ff ff"} {
			c.send(unhex("82 06" + id + "00 01 61 00"))
			c.want(unhex("90 03"+id+"00"), nil)
			c.send(unhex("a2 05" + id + "00 01 61"))
			c.want(unhex("b0 02"+id), nil)
		}
	})
}

func TestMQTT_3_3_1_2(t *testing.T) {
	inBubble(t, Config{}, func(t *testing.T, b *Broker) {
		c := b.join(t, "a")
		c.send(unhex("38 03 00 01 61"))
		c.wantClosed()
	})
}

func TestMQTT_3_3_1_3(t *testing.T) {
	inBubble(t, Config{}, func(t *testing.T, b *Broker) {
		c := b.join(t, "a")
		c.subscribe(packet.QoS2, "a")
		c.send(unhex("3a 05 00 01 61 00 07")) // DUP 1, QoS 1
		if p := c.nextPublish(); p.Dup {
			t.Error("DUP is handed on")
		}
		c.want(unhex("40 02 00 07"), nil)
		c.send(unhex("3c 05 00 01 61 00 07")) // DUP 1, QoS 2
		if p := c.nextPublish(); p.Dup {
			t.Error("DUP is handed on")
		}
	})
}

func TestMQTT_3_3_1_4(t *testing.T) {
	for _, first := range []string{"36", "37", "3e", "3f"} {
		inBubble(t, Config{}, func(t *testing.T, b *Broker) {
			c := b.join(t, "a")
			c.send(unhex(first + "05 00 01 61 00 01"))
			c.wantClosed()
		})
	}
}

func TestMQTT_3_3_2_1(t *testing.T) {
	inBubble(t, Config{}, func(t *testing.T, b *Broker) {
		c := b.join(t, "a")
		c.send(unhex("30 05 00 04 61 62 63")) // the topic name is longer than the packet
		c.wantClosed()
	})
}

func TestMQTT_3_3_2_2(t *testing.T) {
	for _, topic := range []string{"#", "+", "a/#", "a/+/b", "a+", "#a"} {
		inBubble(t, Config{}, func(t *testing.T, b *Broker) {
			c := b.join(t, "a")
			c.send(append([]byte{0x30, byte(2 + len(topic)), 0, byte(len(topic))}, topic...))
			c.wantClosed()
		})
	}
}

func TestMQTT_4_7_1_1(t *testing.T) { // the same for the will topic
	inBubble(t, Config{}, func(t *testing.T, b *Broker) {
		c := b.dialTest(t)
		c.send(unhex("10 12 00 04 4d 51 54 54 04 06 00 3c 00 01 70 00 01 23 00 00"))
		c.wantClosed()
	})
}

func TestMQTT_3_3_2_3(t *testing.T) {
	// What each filter gets of these topics; section 4.7 has most of them.
	topics := []string{"sport", "sport/", "sport/tennis", "sport/tennis/player1", "sport/tennis/player1/ranking", "/finance", "finance",
		"Sport", "$SYS", "$SYS/monitor/Clients", "a//b", "/", "//"}
	for filter, want := range map[string][]string{
		"sport/tennis/player1/#": {"sport/tennis/player1", "sport/tennis/player1/ranking"},
		"sport/#":                {"sport", "sport/", "sport/tennis", "sport/tennis/player1", "sport/tennis/player1/ranking"},
		"sport/+":                {"sport/", "sport/tennis"},
		"sport":                  {"sport"},
		"+":                      {"sport", "finance", "Sport"},
		"+/+":                    {"sport/", "sport/tennis", "/finance", "/"},
		"/+":                     {"/finance", "/"},
		"/#":                     {"/finance", "/", "//"},
		"+/tennis/#":             {"sport/tennis", "sport/tennis/player1", "sport/tennis/player1/ranking"},
		"#": {"sport", "sport/", "sport/tennis", "sport/tennis/player1", "sport/tennis/player1/ranking", "/finance", "finance",
			"Sport", "a//b", "/", "//"},
		"a/+/b":        {"a//b"},
		"$SYS/#":       {"$SYS", "$SYS/monitor/Clients"},
		"$SYS/+/+":     {"$SYS/monitor/Clients"},
		"+/monitor/#":  nil,
		"sport/tennis": {"sport/tennis"},
	} {
		inBubble(t, Config{}, func(t *testing.T, b *Broker) {
			c := b.join(t, "a")
			c.subscribe(packet.QoS0, filter)
			for _, topic := range topics {
				b.Publish(topic, nil, packet.QoS0, false)
			}
			for _, topic := range want {
				c.receive(topic, "", packet.QoS0, false)
			}
			c.wantNothing()
		})
	}
}

func TestMQTT_4_7_2_1(t *testing.T) {
	inBubble(t, Config{}, func(t *testing.T, b *Broker) {
		c := b.join(t, "a")
		b.Publish("$SYS/x", []byte("kept"), packet.QoS0, true)
		c.subscribe(packet.QoS0, "#", "+/x", "+/#")
		b.Publish("$SYS/x", nil, packet.QoS0, false)
		b.Publish("$", nil, packet.QoS0, false)
		c.wantNothing()
		c.subscribe(packet.QoS0, "$SYS/+")
		c.receive("$SYS/x", "kept", packet.QoS0, true)
	})
}

func TestMQTT_4_7_3_1(t *testing.T) {
	for _, bad := range []string{"30 02 00 00", "82 05 12 34 00 00 00", "a2 04 12 34 00 00"} {
		inBubble(t, Config{}, func(t *testing.T, b *Broker) {
			c := b.join(t, "a")
			c.send(unhex(bad))
			c.wantClosed()
		})
	}
}

func TestMQTT_4_7_3_4(t *testing.T) {
	inBubble(t, Config{}, func(t *testing.T, b *Broker) {
		c := b.join(t, "a")
		c.subscribe(packet.QoS0, "caf\u00e9", "ACCOUNTS", "a b")
		for _, other := range []string{"cafe\u0301", "Accounts", "accounts", "a\u00a0b"} {
			b.Publish(other, nil, packet.QoS0, false)
		}
		c.wantNothing()
	})
}

func TestMQTT_3_3_4_1(t *testing.T) {
	inBubble(t, Config{}, func(t *testing.T, b *Broker) {
		c := b.join(t, "a")
		c.send(unhex("30 03 00 01 61"))
		c.wantNothing()
		c.send(unhex("32 05 00 01 61 00 01"))
		c.want(unhex("40 02 00 01"), nil)
		c.send(unhex("34 05 00 01 61 00 02"))
		c.want(unhex("50 02 00 02"), nil)
	})
}

func TestMQTT_3_6_1_1(t *testing.T) {
	inBubble(t, Config{}, func(t *testing.T, b *Broker) {
		c := b.join(t, "a")
		c.send(unhex("34 05 00 01 61 00 01"))
		c.want(unhex("50 02 00 01"), nil)
		c.send(unhex("60 02 00 01"))
		c.wantClosed()
	})
}

func TestMQTT_3_12_4_1(t *testing.T) {
	inBubble(t, Config{}, func(t *testing.T, b *Broker) {
		c := b.join(t, "a")
		c.send(unhex("c0 00 c0 00"))
		c.want(unhex("d0 00"), nil)
		c.want(unhex("d0 00"), nil)
		c.wantNothing()
	})
}

func TestMQTT_3_14_1_1(t *testing.T) {
	inBubble(t, Config{}, func(t *testing.T, b *Broker) {
		witness := b.join(t, "witness")
		witness.subscribe(packet.QoS0, "will")
		c := b.dialTest(t)
		c.connect(packet.Connect{CleanSession: true, Will: true, WillTopic: []byte("will")}, false)
		c.send(unhex("e1 00"))
		c.wantClosed()
		witness.receive("will", "", packet.QoS0, false) // it was no DISCONNECT
	})
}

func TestMQTT_4_3_2_2(t *testing.T) {
	inBubble(t, Config{}, func(t *testing.T, b *Broker) {
		c, subscriber := b.join(t, "a"), b.join(t, "b")
		subscriber.subscribe(packet.QoS0, "a")
		for _, first := range []string{"32", "3a", "32"} { // acknowledged: each is a new message, DUP or not
			c.send(unhex(first + "05 00 01 61 00 07"))
			c.want(unhex("40 02 00 07"), nil)
			subscriber.receive("a", "", packet.QoS0, false)
		}
	})
}

func TestMQTT_4_3_3_2(t *testing.T) {
	inBubble(t, Config{}, func(t *testing.T, b *Broker) {
		subscriber := b.join(t, "b")
		subscriber.subscribe(packet.QoS0, "a")
		c := b.resume(t, "a", false)
		c.send(unhex("34 05 00 01 61 00 07"))
		c.want(unhex("50 02 00 07"), nil)
		subscriber.receive("a", "", packet.QoS0, false)
		for _, first := range []string{"3c", "34"} { // the same message until PUBREL, DUP or not
			c.send(unhex(first + "05 00 01 61 00 07"))
			c.want(unhex("50 02 00 07"), nil)
			c.vanish()
			c = b.resume(t, "a", true) // also across connections
		}
		subscriber.wantNothing()
		for range 2 { // PUBCOMP may be lost
			c.send(unhex("62 02 00 07"))
			c.want(unhex("70 02 00 07"), nil)
		}
		subscriber.wantNothing()
		c.send(unhex("3c 05 00 01 61 00 07")) // the identifier is free: a new message, DUP or not
		c.want(unhex("50 02 00 07"), nil)
		subscriber.receive("a", "", packet.QoS0, false)
	})
}

func TestQoS2IdentifiersOfACleanSessionEndWithIt(t *testing.T) {
	inBubble(t, Config{}, func(t *testing.T, b *Broker) {
		subscriber := b.join(t, "b")
		subscriber.subscribe(packet.QoS0, "a")
		for range 2 {
			c := b.join(t, "a")
			c.send(unhex("34 05 00 01 61 00 07"))
			c.want(unhex("50 02 00 07"), nil)
			subscriber.receive("a", "", packet.QoS0, false)
			c.vanish()
		}
	})
}

func TestQoS2OneIdentifierManyTimesKeepsNothing(t *testing.T) {
	inBubble(t, Config{}, func(t *testing.T, b *Broker) {
		c := b.join(t, "a")
		for range 1000 {
			var burst []byte
			for range 100 {
				burst = append(burst, unhex("34 05 00 01 61 00 07")...)
			}
			c.send(burst)
			for range 100 {
				c.want(unhex("50 02 00 07"), nil)
			}
		}
		b.mu.Lock()
		defer b.mu.Unlock()
		if n := len(b.sessions["a"].received); n != 1 {
			t.Errorf("%d identifiers are kept, want 1", n)
		}
	})
}

func TestMQTT_4_6_0_2(t *testing.T) {
	inBubble(t, Config{}, func(t *testing.T, b *Broker) {
		c := b.join(t, "a")
		var burst []byte
		for i := range uint16(500) { // QoS 1 and QoS 2, mixed: PUBACKs and PUBRECs in the order of the PUBLISHes
			p := packet.Publish{Topic: []byte("x"), QoS: packet.QoS1 + packet.QoS(i%2), ID: 1 + i*7}
			burst, _ = packet.AppendPublish(burst, &p)
		}
		c.send(burst)
		for i := range uint16(500) {
			if i%2 == 0 {
				c.want(packet.AppendPuback(nil, &packet.Puback{ID: 1 + i*7}))
			} else {
				c.want(packet.AppendPubrec(nil, &packet.Pubrec{ID: 1 + i*7}))
			}
		}
	})
}

func TestMQTT_4_6_0_4(t *testing.T) {
	inBubble(t, Config{}, func(t *testing.T, b *Broker) {
		c := b.resume(t, "a", false)
		c.subscribe(packet.QoS2, "x")
		for i := range 5 {
			b.Publish("x", fmt.Append(nil, i), packet.QoS2, false)
		}
		for id := range uint16(5) {
			if p := c.nextPublish(); p.ID != id+1 {
				t.Fatalf("PUBLISH has identifier %d, want %d", p.ID, id+1)
			}
		}
		order := []uint16{3, 1, 5, 2, 4}
		for _, id := range order {
			c.sendPacket(packet.AppendPubrec(nil, &packet.Pubrec{ID: id}))
			c.want(packet.AppendPubrel(nil, &packet.Pubrel{ID: id}))
		}
		c.vanish()
		c = b.resume(t, "a", true) // and again in this order
		for _, id := range order {
			c.want(packet.AppendPubrel(nil, &packet.Pubrel{ID: id}))
		}
		c.wantNothing()
	})
}

func TestMQTT_4_6_0_6(t *testing.T) {
	for q := range packet.QoS(3) {
		inBubble(t, Config{QueueMessages: 10_000}, func(t *testing.T, b *Broker) {
			publisher := b.join(t, "p")
			online, away := b.join(t, "online"), b.resume(t, "away", false)
			online.subscribe(q, "x")
			away.subscribe(q, "x")
			if q > 0 {
				away.vanish()
			}
			for i := range 200 {
				publisher.publish("x", fmt.Sprint(i), q, false)
			}
			if q > 0 {
				away = b.resume(t, "away", true)
			}
			for _, c := range []*client{online, away} {
				for i, p := range c.collect(200) {
					if string(p.Payload) != fmt.Sprint(i) {
						t.Fatalf("message %d is %s", i, p.Payload)
					}
				}
			}
		})
	}
}

func TestMQTT_4_8_0_1(t *testing.T) {
	// A client acknowledges what it was sent in a way that its QoS does not have.
	for _, wrong := range []struct {
		name string
		qos  packet.QoS
		with []byte
	}{
		{"PUBACK for QoS 2", packet.QoS2, unhex("40 02 00 01")},
		{"PUBREC for QoS 1", packet.QoS1, unhex("50 02 00 01")},
		{"PUBCOMP for QoS 1", packet.QoS1, unhex("70 02 00 01")},
		{"PUBCOMP without PUBREC", packet.QoS2, unhex("70 02 00 01")},
	} {
		t.Run(wrong.name, func(t *testing.T) {
			inBubble(t, Config{}, func(t *testing.T, b *Broker) {
				c := b.resume(t, "a", false)
				c.subscribe(packet.QoS2, "x")
				b.Publish("x", nil, wrong.qos, false)
				c.nextPublish()
				c.send(wrong.with)
				c.wantClosed()
				c = b.resume(t, "a", true)
				if p := c.nextPublish(); !p.Dup || p.ID != 1 {
					t.Errorf("got %s, want the message again", describe(p))
				}
			})
		})
	}
}

func TestAcknowledgementsOfUnknownIdentifiersAreNoMistake(t *testing.T) {
	inBubble(t, Config{}, func(t *testing.T, b *Broker) {
		c := b.join(t, "a")
		c.send(unhex("40 02 00 01"))
		c.ping()
		c.send(unhex("50 02 00 01")) // PUBREL must have been lost, or the session
		c.want(unhex("62 02 00 01"), nil)
		c.send(unhex("70 02 00 01"))
		c.ping()
		c.send(unhex("62 02 00 01"))
		c.want(unhex("70 02 00 01"), nil)
	})
}

func TestHalfAPublishIsNotDelivered(t *testing.T) {
	p, err := packet.AppendPublish(nil, &packet.Publish{Topic: []byte("x"), QoS: packet.QoS1, ID: 1, Payload: []byte("payload")})
	if err != nil {
		t.Fatal(err)
	}
	inBubble(t, Config{}, func(t *testing.T, b *Broker) {
		subscriber := b.join(t, "s")
		subscriber.subscribe(packet.QoS0, "x")
		for n := range p {
			for _, reset := range []bool{false, true} {
				c := b.join(t, "p")
				c.send(p[:n])
				synctest.Wait()
				if reset {
					c.conn.(*Conn).Reset(nil)
				}
				c.vanish()
				subscriber.wantNothing()
			}
		}
	})
}

func TestMQTT_4_7_3_2(t *testing.T) {
	wantClosedAfter(t, "30 05 00 03 61 00 62", "82 08 12 34 00 03 61 00 62 00", "a2 07 12 34 00 03 61 00 62")
}

func TestMQTT_4_7_3_3(t *testing.T) { // the longest there can be
	inBubble(t, Config{}, func(t *testing.T, b *Broker) {
		c := b.join(t, "a")
		longest := strings.Repeat("é", 32_767) + "a"
		c.subscribe(packet.QoS1, longest)
		c.publish(longest, "m", packet.QoS0, true)
		c.receive(longest, "m", packet.QoS0, false)
		c.subscribe(packet.QoS1, longest)
		c.receive(longest, "m", packet.QoS0, true)
		c.unsubscribe(longest)
	})
}
