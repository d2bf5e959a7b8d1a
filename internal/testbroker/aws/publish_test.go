package aws

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"iotwire/mqtt/packet"
)

func TestPublishThatNoPolicyAllows(t *testing.T) {
	onDesk(t, Config{}, func(t *testing.T, d *desk) {
		d.allow(allowConnect, `{"Effect": "Allow", "Action": "iot:Publish", "Resource": "~topic/my/topic/${iot:ClientId}"}`)
		w := d.join("c1")
		w.publish("my/topic/c1", "x", 1)
		w.wantPuback(1)
		w.publish("my/topic/c2", "x", 2)
		w.wantEnd()
		d.wantLines("Connect Success c1", "Publish-In Success c1 my/topic/c1",
			`Publish-In Failure c1 my/topic/c2 AUTHORIZATION_FAILURE iot:Publish ~topic/my/topic/c2 {"Effect":"Allow","Action":"iot:Publish","Resource":"~topic/my/topic/c2"}`,
			`Disconnect Failure c1 AUTH_ERROR AUTHORIZATION_FAILURE iot:Publish ~topic/my/topic/c2 {"Effect":"Allow","Action":"iot:Publish","Resource":"~topic/my/topic/c2"}`)
	})
}

func TestDenyHasNoStatementThatWouldHelp(t *testing.T) {
	onDesk(t, Config{}, func(t *testing.T, d *desk) {
		d.allow(allowConnect, allowPublish, `{"Sid": "NotThere", "Effect": "Deny", "Action": "iot:Publish", "Resource": "~topic/secret/*"}`)
		w := d.join("c1")
		w.publish("secret/x", "", 1)
		w.wantEnd()
		d.wantDetails(`statement 3 "NotThere" of policy.json denies iot:Publish on arn:aws:iot:us-east-1:123456789012:topic/secret/x, and a Deny wins over every Allow`)
	})
}

func TestDeniedPublishAtQoS0EndsTheConnectionToo(t *testing.T) {
	onDesk(t, Config{}, func(t *testing.T, d *desk) {
		d.allow(allowConnect)
		w := d.join("c1")
		w.send(packet.AppendPublish(nil, &packet.Publish{Topic: []byte("a")}))
		w.wantEnd()
	})
}

func TestRetainNeedsRetainPublish(t *testing.T) {
	onDesk(t, Config{}, func(t *testing.T, d *desk) {
		d.allow(allowConnect, allowPublish)
		w := d.join("c1")
		w.publish("a", "plain", 1)
		w.wantPuback(1)
		w.publish("a", "retained", 2)
		w.wantEnd()
		time.Sleep(time.Second)
		d.lines()
		d.allow(allowConnect, allowPublish, allowRetain)
		w = d.join("c1")
		w.publish("a", "retained", 1)
		w.wantPuback(1)
		d.wantLines("Connect Success c1", "Publish-In Success c1 a")
	})
}

func TestQoS2(t *testing.T) {
	message := packet.Publish{Topic: []byte("a"), QoS: 2, ID: 1}
	onDesk(t, Config{}, func(t *testing.T, d *desk) {
		w := d.join("c1")
		w.send(packet.AppendPublish(nil, &message))
		w.wantEnd()
		d.wantLines("Connect Success c1", "Publish-In Failure c1 a CLIENT_ERROR", "Disconnect Failure c1 CLIENT_ERROR CLIENT_ERROR")
	})
	onDesk(t, Config{IgnoreQoS2: true}, func(t *testing.T, d *desk) {
		w := d.join("c1")
		w.subscribe(1, "a")
		w.send(packet.AppendPublish(nil, &message))
		w.wantSilence()
		w.publish("a", "at QoS 1", 2)
		w.wantMessage("a", "at QoS 1", 1)
		w.wantPuback(2)
	})
}

func TestPacketsOfQoS2(t *testing.T) {
	for _, p := range [][]byte{{0x50, 2, 0, 1}, {0x62, 2, 0, 1}, {0x70, 2, 0, 1}} { // PUBREC, PUBREL, PUBCOMP
		onDesk(t, Config{}, func(t *testing.T, d *desk) {
			w := d.join("c1")
			w.send(p, nil)
			w.wantEnd()
			d.wantLines("Connect Success c1", "Disconnect Failure c1 CLIENT_ERROR CLIENT_ERROR")
		})
	}
}

func TestLimitsOfPublish(t *testing.T) {
	type message struct {
		topic string
		size  int
	}
	levels := func(n int) string { return strings.Repeat("l/", n-1) + "l" }
	for _, test := range []struct {
		name    string
		good    message
		bad     message
		details string
	}{
		{"payload", message{"a", 131_072}, message{"a", 131_073}, "the payload has 131073 bytes, limit 131072"},
		{"topic name", message{strings.Repeat("t", 256), 0}, message{strings.Repeat("t", 257), 0}, "the topic name has 257 bytes, limit 256"},
		{"topic name in UTF-8", message{strings.Repeat("ü", 128), 0}, message{strings.Repeat("ü", 128) + "t", 0}, "the topic name has 257 bytes, limit 256"},
		{"topic name of a rule", message{"$aws/rules/rule/" + strings.Repeat("t", 256), 0}, message{"$aws/rules/rule/" + strings.Repeat("t", 257), 0},
			"the topic name has 257 bytes, limit 256"},
		{"slashes", message{levels(8), 0}, message{levels(9), 0}, `the topic name "l/l/l/l/l/l/l/l/l" has 8 slashes, limit 7`},
		{"slashes of a rule", message{"$aws/rules/rule/" + levels(8), 0}, message{"$aws/rules/rule/" + levels(9), 0},
			`the topic name "$aws/rules/rule/l/l/l/l/l/l/l/l/l" has 8 slashes, limit 7`},
		{"reserved topic", message{"$aws/things/t/shadow/get", 0}, message{"$aws/things", 0},
			`the topic name "$aws/things" starts with '$', and is none that a client may publish to`},
		{"events", message{"aws/events/x", 0}, message{"$aws/events/x", 0},
			`the topic name "$aws/events/x" starts with '$', and is none that a client may publish to`},
		{"share", message{"share/g/t", 0}, message{"$share/g/t", 0},
			`the topic name "$share/g/t" starts with '$', and is none that a client may publish to`},
	} {
		t.Run(test.name, func(t *testing.T) {
			onDesk(t, Config{}, func(t *testing.T, d *desk) {
				w := d.join("c1")
				w.publish(test.good.topic, strings.Repeat("p", test.good.size), 1)
				w.wantPuback(1)
				w.publish(test.bad.topic, strings.Repeat("p", test.bad.size), 2)
				w.wantEnd()
				d.wantDetails(test.details)
			})
		})
	}
}

func TestPacketAboveEveryLimit(t *testing.T) {
	onDesk(t, Config{}, func(t *testing.T, d *desk) {
		w := d.join("c1")
		w.publish("a", strings.Repeat("p", 150_000), 1)
		w.wantEnd()
		d.wantLines("Connect Success c1", "Disconnect Failure c1 CLIENT_ERROR CLIENT_ERROR")
	})
}

func TestWildcardInATopicName(t *testing.T) {
	for _, topic := range []string{"a/+", "a/#"} {
		onDesk(t, Config{}, func(t *testing.T, d *desk) {
			w := d.join("c1")
			body := append([]byte{0, byte(len(topic))}, topic...)
			w.send(append([]byte{0x30, byte(len(body))}, body...), nil)
			w.wantEnd()
			d.wantLines("Connect Success c1", "Disconnect Failure c1 CLIENT_ERROR CLIENT_ERROR")
		})
	}
}

func TestRetainOnAReservedTopic(t *testing.T) {
	onDesk(t, Config{}, func(t *testing.T, d *desk) {
		w := d.join("c1")
		w.publish("$aws/things/t/shadow/update", "retained", 1)
		w.wantEnd()
		d.wantDetails(`RETAIN is 1 for the reserved topic name "$aws/things/t/shadow/update"`)
	})
}

func TestMessageToARuleGoesToNobodyElse(t *testing.T) {
	onDesk(t, Config{}, func(t *testing.T, d *desk) {
		w := d.join("c1")
		w.subscribe(1, "#", "a/b")
		w.publish("$aws/rules/rule/a/b", "x", 7)
		w.wantPuback(7)
		w.wantSilence()
	})
}

func TestHundredMessagesInASecond(t *testing.T) {
	onDesk(t, Config{}, func(t *testing.T, d *desk) {
		other := d.join("other")
		w := d.join("c1")
		for second := range uint16(2) {
			for i := range uint16(100) {
				w.publish("a", "", 1000*second+i+1)
			}
			w.publish("a", "", 1000*second+101)
			other.publish("a", "", 1+second) // of another connection it is another limit
			for i := range uint16(100) {
				w.wantPuback(1000*second + i + 1)
			}
			other.wantPuback(1 + second)
			w.wantSilence()
			d.wantDetails("more than 100 messages in a second from this client: this one is discarded")
		}
		w.publish("a", "", 7)
		w.wantPuback(7)
	})
}

func TestDiscardedMessageIsNotDelivered(t *testing.T) {
	onDesk(t, Config{}, func(t *testing.T, d *desk) {
		w, other := d.join("c1"), d.join("other")
		other.subscribe(1, "last")
		for i := range uint16(100) {
			w.publish("a", "", i+1)
			w.wantPuback(i + 1)
		}
		w.publish("last", "x", 101)
		w.wantSilence()
		w.publish("last", "again", 101)
		w.wantPuback(101)
		other.wantMessage("last", "again", 1)
	})
}

func TestHundredUnacknowledgedMessages(t *testing.T) {
	onDesk(t, Config{AckDelay: 10 * time.Second}, func(t *testing.T, d *desk) {
		w := d.join("c1")
		start := time.Now()
		for i := range uint16(50) {
			w.publish("a", "", i+1)
		}
		time.Sleep(time.Second)
		for i := range uint16(51) {
			w.publish("a", "", i+51)
		}
		for i := range uint16(100) {
			w.wantPuback(i + 1)
			if want := []time.Duration{10 * time.Second, 11 * time.Second}[i/50]; time.Since(start) != want {
				t.Errorf("PUBACK %d after %v, want %v", i+1, time.Since(start), want)
			}
		}
		w.wantSilence()
		d.wantDetails("100 QoS 1 messages of this client are not acknowledged yet: this one is discarded")
		w.publish("a", "", 101)
		w.wantPuback(101)
	})
}

func TestThroughputIs512KiBInASecond(t *testing.T) {
	onDesk(t, Config{}, func(t *testing.T, d *desk) {
		w := d.join("c1")
		start := time.Now()
		go func() {
			for i := range uint16(20) { // 2.5 MiB
				w.publish("a", strings.Repeat("p", 131_072), i+1)
			}
		}()
		for i := range uint16(20) {
			w.wantPuback(i + 1)
		}
		// The first half MiB is free, the other two take four seconds.
		if took := time.Since(start).Round(100 * time.Millisecond); took < 3900*time.Millisecond || took > 4200*time.Millisecond {
			t.Errorf("2.5 MiB took %v, want 4s", took)
		}
		if got := d.details(); len(got) > 0 {
			t.Errorf("%q, want nothing refused", got)
		}
	})
}

func TestThroughputToAClient(t *testing.T) {
	onDesk(t, Config{}, func(t *testing.T, d *desk) {
		to := d.join("to")
		to.subscribe(1, "a")
		start := time.Now()
		for i := range 5 { // each half a MiB
			from := d.join(fmt.Sprint("from", i))
			for j := range uint16(4) {
				from.publish("a", strings.Repeat("p", 131_072), j+1)
				from.wantPuback(j + 1)
			}
		}
		if took := time.Since(start); took > 100*time.Millisecond {
			t.Fatalf("publishing took %v, which is not what this test is about", took)
		}
		for i := range uint16(20) {
			to.wantMessage("a", strings.Repeat("p", 131_072), i+1)
		}
		if took := time.Since(start).Round(100 * time.Millisecond); took < 2900*time.Millisecond || took > 4200*time.Millisecond {
			t.Errorf("2.5 MiB took %v, want 3 to 4 seconds", took)
		}
	})
}

func TestConnectionThatIsPacedEndsAtOnce(t *testing.T) {
	onDesk(t, Config{}, func(t *testing.T, d *desk) {
		w := d.join("c1")
		go func() {
			for range 40 {
				b, _ := packet.AppendPublish(nil, &packet.Publish{Topic: []byte("a"), Payload: make([]byte, 131_072)})
				if _, err := w.conn.Write(b); err != nil {
					return
				}
			}
		}()
		synctest.Wait()
		start := time.Now()
		d.Close()
		if took := time.Since(start); took > 0 {
			t.Errorf("Close took %v", took)
		}
	})
}
