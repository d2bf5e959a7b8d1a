package aws

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"iotwire/mqtt/packet"
)

func TestSubscribeThatNoPolicyAllows(t *testing.T) {
	const denial = `AUTHORIZATION_FAILURE iot:Subscribe ~topicfilter/some/string1/topic ` +
		`{"Effect":"Allow","Action":"iot:Subscribe","Resource":"~topicfilter/some/string1/topic"}`
	policy := []string{allowConnect, `{"Effect": "Allow", "Action": "iot:Subscribe", "Resource": "~topicfilter/some/+/topic"}`}
	onDesk(t, Config{}, func(t *testing.T, d *desk) {
		d.allow(policy...)
		w := d.join("c1")
		w.subscribe(1, "some/+/topic")
		w.ask(2, "some/+/topic", "some/string1/topic")
		w.wantEnd()
		d.wantLines("Connect Success c1", "Subscribe Success c1 some/+/topic", // and not that of the second packet, which counts for nothing
			"Subscribe Failure c1 some/string1/topic "+denial, "Disconnect Failure c1 AUTH_ERROR "+denial)
	})
	onDesk(t, Config{SubackOnDeny: true}, func(t *testing.T, d *desk) {
		d.allow(policy...)
		w := d.join("c1")
		w.ask(2, "some/string1/topic", "some/+/topic")
		w.wantSuback(2, packet.SubackFailure, 1)
		d.wantLines("Connect Success c1", "Subscribe Failure c1 some/string1/topic "+denial, "Subscribe Success c1 some/+/topic")
	})
}

func TestSubscribeWithTheResourceOfPublish(t *testing.T) {
	onDesk(t, Config{}, func(t *testing.T, d *desk) {
		d.allow(allowConnect, `{"Effect": "Allow", "Action": "iot:*", "Resource": "~topic/test"}`)
		w := d.join("c1")
		w.ask(1, "test")
		w.wantEnd()
		d.wantDetails("no statement allows iot:Subscribe on arn:aws:iot:us-east-1:123456789012:topicfilter/test: " +
			"statement 2 of policy.json has topic/test, and iot:Subscribe needs topicfilter/test")
	})
}

func filters(n int) (all []string) {
	for i := range n {
		all = append(all, fmt.Sprint("f/", i))
	}
	return all
}

func TestEightFiltersInAPacket(t *testing.T) {
	onDesk(t, Config{}, func(t *testing.T, d *desk) {
		w := d.join("c1")
		w.subscribe(1, filters(8)...)
		w.ask(2, filters(9)...)
		w.wantEnd()
		d.wantDetails("SUBSCRIBE has 9 topic filters, limit 8")
	})
	onDesk(t, Config{}, func(t *testing.T, d *desk) {
		w := d.join("c1")
		unsubscribe := func(id uint16, n int) {
			var list packet.Filters
			for _, filter := range filters(n) {
				list = list.Add(filter)
			}
			w.send(packet.AppendUnsubscribe(nil, &packet.Unsubscribe{ID: id, Filters: list}))
		}
		unsubscribe(1, 8)
		w.want(packet.AppendUnsuback(nil, &packet.Unsuback{ID: 1}))
		unsubscribe(2, 9)
		w.wantEnd()
		d.wantDetails("UNSUBSCRIBE has 9 topic filters, limit 8")
	})
}

// subscribe50 makes 50 subscriptions.
func (w *wire) subscribe50() {
	w.t.Helper()
	all := filters(50)
	for i := uint16(1); len(all) > 0; i++ {
		n := min(8, len(all))
		w.subscribe(i, all[:n]...)
		all = all[n:]
	}
}

func TestFiftySubscriptions(t *testing.T) {
	onDesk(t, Config{}, func(t *testing.T, d *desk) {
		w := d.join("c1")
		w.subscribe50()
		w.ask(8, "one/more", "f/1", "another")
		w.wantSuback(8, packet.SubackFailure, 1, packet.SubackFailure) // f/1 is one that it has
		d.wantDetails("more than 50 subscriptions of one connection", "more than 50 subscriptions of one connection")
		w.send(packet.AppendUnsubscribe(nil, &packet.Unsubscribe{ID: 9, Filters: packet.Filters{}.Add("f/1")}))
		w.want(packet.AppendUnsuback(nil, &packet.Unsuback{ID: 9}))
		w.subscribe(10, "one/more")
	})
	onDesk(t, Config{Strict: true}, func(t *testing.T, d *desk) {
		w := d.join("c1")
		w.subscribe50()
		w.subscribe(8, "f/1")
		w.ask(9, "one/more")
		w.wantEnd()
		d.wantDetails("more than 50 subscriptions of one connection")
	})
}

func TestLimitsOfFilters(t *testing.T) {
	levels := func(n int) string { return strings.Repeat("+/", n-1) + "#" }
	for _, test := range []struct{ name, good, bad, details string }{
		{"length", strings.Repeat("t", 256), strings.Repeat("t", 257), "the topic filter has 257 bytes, limit 256"},
		{"length of a share", "$share/group/" + strings.Repeat("t", 256), "$share/group/" + strings.Repeat("t", 257), "the topic filter has 257 bytes, limit 256"},
		{"slashes", levels(8), levels(9), `the topic filter "+/+/+/+/+/+/+/+/#" has 8 slashes, limit 7`},
		{"slashes of a share", "$share/group/" + levels(8), "$share/group/" + levels(9),
			`the topic filter "$share/group/+/+/+/+/+/+/+/+/#" has 8 slashes, limit 7`},
		{"name of a share", "$share/" + strings.Repeat("g", 128) + "/t", "$share/" + strings.Repeat("g", 129) + "/t",
			`the topic filter "$share/` + strings.Repeat("g", 129) + `/t" starts with '$', and is none that a client may subscribe to`},
		{"a rule", "$aws/things/t/shadow/get/accepted", "$aws/rules/rule/a",
			`the topic filter "$aws/rules/rule/a" starts with '$', and is none that a client may subscribe to`},
		{"a share of a rule", "$share/g/$aws/events/#", "$share/g/$aws/rules/rule/a",
			`the topic filter "$share/g/$aws/rules/rule/a" starts with '$', and is none that a client may subscribe to`},
		{"reserved", "$aws/events/#", "$SYS/#", `the topic filter "$SYS/#" starts with '$', and is none that a client may subscribe to`},
	} {
		t.Run(test.name, func(t *testing.T) {
			onDesk(t, Config{}, func(t *testing.T, d *desk) {
				w := d.join("c1")
				w.subscribe(1, test.good)
				w.ask(2, test.bad)
				w.wantEnd()
				d.wantDetails(test.details)
			})
		})
	}
}

func TestSubscribeWithQoS2(t *testing.T) {
	ask := packet.Subscribe{ID: 1, Requests: packet.Requests{}.Add("a", 1).Add("b", 2)}
	onDesk(t, Config{}, func(t *testing.T, d *desk) {
		w := d.join("c1")
		w.send(packet.AppendSubscribe(nil, &ask))
		w.wantEnd()
		d.wantLines("Connect Success c1", "Subscribe Failure c1 b CLIENT_ERROR", "Disconnect Failure c1 CLIENT_ERROR CLIENT_ERROR")
	})
	onDesk(t, Config{IgnoreQoS2: true}, func(t *testing.T, d *desk) {
		w := d.join("c1")
		w.send(packet.AppendSubscribe(nil, &ask))
		w.wantSilence()
		w.publish("a", "x", 1)
		w.wantPuback(1)
		w.wantSilence()
	})
}

func TestWildcardDoesNotMatchItsParent(t *testing.T) {
	onDesk(t, Config{}, func(t *testing.T, d *desk) {
		w := d.join("c1")
		w.subscribe(1, "sensor/#")
		for i, topic := range []string{"sensor", "sensor/", "sensor/a", "sensor/a/b"} {
			w.publish(topic, "x", uint16(i+1))
			if i > 0 {
				w.wantMessage(topic, "x", uint16(i))
			}
			w.wantPuback(uint16(i + 1))
		}
	})
}

func TestRetainedMessagesGoToExactFiltersOnly(t *testing.T) {
	onDesk(t, Config{}, func(t *testing.T, d *desk) {
		w := d.join("c1")
		w.publish("a/b", "retained", 1)
		w.wantPuback(1)
		w.subscribe(1, "a/+", "a/#", "#", "$share/g/a/b")
		w.wantSilence()
		w.subscribe(2, "a/b")
		w.want(packet.AppendPublish(nil, &packet.Publish{Topic: []byte("a/b"), Payload: []byte("retained"), QoS: 1, ID: 1, Retain: true}))
		w.send(packet.AppendPuback(nil, &packet.Puback{ID: 1}))

		other := d.join("other")
		other.subscribe(1, "a/b")
		other.want(packet.AppendPublish(nil, &packet.Publish{Topic: []byte("a/b"), Payload: []byte("retained"), QoS: 1, ID: 1, Retain: true}))
		other.send(packet.AppendPuback(nil, &packet.Puback{ID: 1}))
		other.publish("a/b", "retained live", 3)
		other.wantMessage("a/b", "retained live", 2) // RETAIN is 0
		other.wantPuback(3)
		other.send(packet.AppendPublish(nil, &packet.Publish{Topic: []byte("a/b"), QoS: 1, ID: 4, Retain: true}))
		other.wantMessage("a/b", "", 3)
		other.wantPuback(4)
		d.join("third").subscribe(1, "a/b")
		time.Sleep(time.Second)
		other.wantSilence()
	})
}

func TestReceiveIsCheckedAtEachDelivery(t *testing.T) {
	onDesk(t, Config{}, func(t *testing.T, d *desk) {
		d.allow(allowConnect, allowPublish,
			`{"Effect": "Allow", "Action": "iot:Subscribe", "Resource": "~topicfilter/a/*"}`,
			`{"Effect": "Deny", "Action": "iot:Subscribe", "Resource": "~topicfilter/a/restricted/*"}`,
			`{"Effect": "Allow", "Action": "iot:Receive", "NotResource": "~topic/a/restricted/*"}`)
		w := d.join("c1")
		w.subscribe(1, "a/#") // which the Deny does not hold back
		w.publish("a/restricted/x", "x", 1)
		w.wantPuback(1)
		w.publish("a/ok", "y", 2)
		w.wantMessage("a/ok", "y", 1)
		w.wantPuback(2)
		d.wantLines("Connect Success c1", "Subscribe Success c1 a/#", "Publish-In Success c1 a/restricted/x",
			`Publish-Out Failure c1 a/restricted/x AUTHORIZATION_FAILURE iot:Receive ~topic/a/restricted/x {"Effect":"Allow","Action":"iot:Receive","Resource":"~topic/a/restricted/x"}`,
			"Publish-In Success c1 a/ok", "Publish-Out Success c1 a/ok")
	})
}

func TestReceiveOfQoS0AndOfRetainedMessages(t *testing.T) {
	onDesk(t, Config{}, func(t *testing.T, d *desk) {
		d.allow(allowConnect, allowPublish, allowRetain, allowSubscribe)
		w := d.join("c1")
		w.publish("a", "retained", 1)
		w.wantPuback(1)
		w.subscribe(1, "a")
		w.send(packet.AppendPublish(nil, &packet.Publish{Topic: []byte("a")}))
		w.wantSilence()
		const denial = "no statement allows iot:Receive on arn:aws:iot:us-east-1:123456789012:topic/a: no Allow has iot:Receive; " +
			"statement 1 of policy.json has the resource, but for iot:Connect; 3 more statements do not match either"
		d.wantDetails(denial, denial)
	})
}

func TestReceiveOfWhatWaited(t *testing.T) {
	onDesk(t, Config{}, func(t *testing.T, d *desk) {
		d.allow(allowConnect, allowSubscribe, allowPublish, allowReceive)
		d.mkdirThing("other", allowEverything)
		w := d.resume("c1", false)
		w.subscribe(1, "#")
		other := d.dialAs(d.tlsConfigOf("other"))
		other.connect(packet.Connect{ClientID: []byte("other"), CleanSession: true})
		other.publish("sent", "1", 1)
		other.wantPuback(1)
		w.want(packet.AppendPublish(nil, &packet.Publish{Topic: []byte("sent"), Payload: []byte("1"), QoS: 1, ID: 1})) // and not acknowledged
		w.vanish()
		other.publish("waits", "2", 2)
		other.wantPuback(2)
		other.publish("good", "3", 3)
		other.wantPuback(3)
		d.allow(allowConnect, `{"Effect": "Allow", "Action": "iot:Receive", "Resource": "~topic/good"}`)
		time.Sleep(2 * time.Second)
		d.lines()
		w = d.resume("c1", true)
		w.wantMessage("good", "3", 2)
		w.wantSilence()
		if stats := d.Stats(); stats.Inflight+stats.Queued != 0 {
			t.Errorf("%d messages in flight, %d queued, want none: they are dropped", stats.Inflight, stats.Queued)
		}
	})
}

func TestHundredMessagesInASecondToAClient(t *testing.T) {
	onDesk(t, Config{}, func(t *testing.T, d *desk) {
		to := d.join("to")
		to.subscribe(1, "#")
		away := d.resume("away", false)
		away.subscribe(1, "#")
		away.disconnect()
		a, b := d.join("a"), d.join("b")
		for i := range uint16(75) {
			a.publish("a", "x", i+1)
			a.wantPuback(i + 1)
			b.publish("b", "x", i+1)
			b.wantPuback(i + 1)
		}
		for i := range uint16(100) {
			topic := []string{"a", "b"}[i%2]
			to.wantMessage(topic, "x", i+1)
		}
		to.wantSilence()
		if got := len(d.details()); got != 100 {
			t.Errorf("%d messages are discarded, want 50 to each of the two", got)
		}
		a.publish("a", "later", 200)
		to.wantMessage("a", "later", 101)
	})
}

func TestHundredUnacknowledgedMessagesToAClient(t *testing.T) {
	onDesk(t, Config{}, func(t *testing.T, d *desk) {
		to := d.join("to")
		to.subscribe(1, "a")
		from := d.join("from")
		for i := range uint16(120) {
			if i == 100 {
				time.Sleep(time.Second)
			}
			from.publish("a", "x", i+1)
			from.wantPuback(i + 1)
		}
		for i := range uint16(100) {
			to.want(packet.AppendPublish(nil, &packet.Publish{Topic: []byte("a"), Payload: []byte("x"), QoS: 1, ID: i + 1}))
		}
		to.wantSilence()
		to.send(packet.AppendPuback(nil, &packet.Puback{ID: 1}))
		to.want(packet.AppendPublish(nil, &packet.Publish{Topic: []byte("a"), Payload: []byte("x"), QoS: 1, ID: 101}))
		to.wantSilence()
	})
}
