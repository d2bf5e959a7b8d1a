package peers

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"

	"iotwire/mqtt"
)

// TestPahoWithBroker has paho.mqtt.golang use our broker, and mosquitto, which shows what is paho's own doing.
func TestPahoWithBroker(t *testing.T) {
	scenarios := []scenario{
		{"granted-qos", pahoGrantedQoS},
		{"wildcards", pahoWildcards},
		{"no-will-after-disconnect", pahoNoWill},
		{"take-over", pahoTakeOver},
		{"unsubscribe", pahoUnsubscribe},
		{"refused-subscription", pahoRefusedSubscription},
		{"shared-subscription", pahoSharedSubscription},
		{"empty-client-id", pahoEmptyClientID},
		{"password", pahoPassword},
	}
	for qos := range qosEnd {
		add := func(name string, run func(*testing.T, *broker, mqtt.QoS)) {
			scenarios = append(scenarios, scenario{fmt.Sprintf("qos%d%s", qos, name), func(t *testing.T, b *broker) { run(t, b, qos) }})
		}
		add("", pahoQoS)
		add("-large", pahoLarge)
		add("-retained", pahoRetained)
		add("-will", pahoWill)
		if qos > 0 {
			add("-many", pahoMany)
			add("-session", pahoSession)
			add("-publisher-cut-off", pahoPublisherCutOff)
			add("-subscriber-cut-off", pahoSubscriberCutOff)
		}
	}
	eachBroker(t, []brokerKind{iotwire, mosquitto}, func(t *testing.T, kind brokerKind, c *certificates) {
		b := kind.run(t, setup{certificates: c})
		endSilence := pahoKeepAlive(t, b)
		for _, s := range scenarios {
			t.Run(s.name, func(t *testing.T) { s.run(t, b) })
		}
		t.Run("keep-alive", endSilence)
	})
}

func pahoQoS(t *testing.T, b *broker, qos mqtt.QoS) {
	topic := fresh("paho/")
	to := b.connectPaho(t, nil).subscribe(topic, qos)
	from := b.connectPaho(t, nil)
	for _, payload := range [][]byte{[]byte("hello"), {}, {0, 255}, []byte("ü€😀"), bytes.Repeat([]byte{'x'}, 127)} {
		m := mqtt.Message{Topic: topic, Payload: payload, QoS: qos}
		from.publish(m)
		to.want(m)
	}
}

func pahoGrantedQoS(t *testing.T, b *broker) {
	receiver, from := b.connectPaho(t, nil), b.connectPaho(t, nil)
	for granted := range qosEnd {
		topic := fresh("paho/")
		to := receiver.subscribe(topic, granted)
		for qos := range qosEnd {
			m := mqtt.Message{Topic: topic, Payload: fmt.Appendf(nil, "published at %d", qos), QoS: qos}
			from.publish(m)
			m.QoS = min(qos, granted)
			to.want(m)
		}
	}
}

func pahoLarge(t *testing.T, b *broker, qos mqtt.QoS) {
	topic := fresh("paho/")
	to := b.connectPaho(t, nil).subscribe(topic, qos)
	from := b.connectPaho(t, nil)
	for _, size := range []int{128 << 10, 1 << 20} {
		payload := make([]byte, size)
		rand.NewChaCha8([32]byte{}).Read(payload)
		m := mqtt.Message{Topic: topic, Payload: payload, QoS: qos}
		from.publish(m)
		to.want(m)
	}
}

func pahoMany(t *testing.T, b *broker, qos mqtt.QoS) {
	topic := fresh("paho/")
	to := b.connectPaho(t, nil).subscribe(topic, qos)
	from := b.connectPaho(t, nil)
	var inflight []paho.Token
	for i := range many {
		if len(inflight) == manyInflight {
			from.await("PUBLISH", inflight[0])
			inflight = inflight[1:]
		}
		inflight = append(inflight, from.Publish(topic, byte(qos), false, count(i)))
	}
	for _, token := range inflight {
		from.await("PUBLISH", token)
	}
	for i := range many {
		to.want(mqtt.Message{Topic: topic, Payload: count(i), QoS: qos})
	}
}

func pahoRetained(t *testing.T, b *broker, qos mqtt.QoS) {
	topic := fresh("paho/")
	from := b.connectPaho(t, nil)
	live := b.connectPaho(t, nil).subscribe(topic, qos)
	kept := mqtt.Message{Topic: topic, QoS: qos, Retain: true, Payload: []byte("kept")}
	from.publish(kept)
	got := kept
	got.Retain = false
	live.want(got)
	in := b.connectPaho(t, nil).subscribe(topic, qos)
	in.want(kept)

	kept.Payload = nil
	from.publish(kept) // deleted
	live.want(mqtt.Message{Topic: topic, QoS: qos})
	b.connectPaho(t, nil).subscribe(topic, mqtt.QoS1).wantNothing(from, topic)
}

func pahoWill(t *testing.T, b *broker, qos mqtt.QoS) {
	topic := fresh("paho/")
	observer := b.connectPaho(t, nil).subscribe(topic, qos)
	weak, line := b.throughLine(t)
	victim := weak.connectPaho(t, func(o *paho.ClientOptions) { o.SetWill(topic, "gone", byte(qos), false).SetAutoReconnect(false) })
	line.cut()
	victim.awaitLost()
	observer.want(mqtt.Message{Topic: topic, Payload: []byte("gone"), QoS: qos})
}

func pahoNoWill(t *testing.T, b *broker) {
	topic := fresh("paho/")
	observer := b.connectPaho(t, nil).subscribe(topic, mqtt.QoS1)
	b.connectPaho(t, func(o *paho.ClientOptions) { o.SetWill(topic, "gone", 1, false) }).Disconnect(250)
	from := b.connectPaho(t, nil)
	observer.wantNothing(from, topic)
	observer.wantNothing(from, topic)
}

// pahoSession resumes a session by another client with the same identifier.
func pahoSession(t *testing.T, b *broker, qos mqtt.QoS) {
	topic, id := fresh("paho/"), fresh("paho-")
	same := func(o *paho.ClientOptions) { o.SetClientID(id).SetCleanSession(false).SetAutoReconnect(false) }
	weak, line := b.throughLine(t)
	first := weak.connectPaho(t, same)
	first.subscribe(topic, qos)
	line.cut()
	first.awaitLost()

	from := b.connectPaho(t, nil)
	for i := range 30 {
		from.publish(mqtt.Message{Topic: topic, Payload: count(i), QoS: qos})
	}
	second := b.newPaho(t, same)
	token := second.Connect()
	second.await("CONNECT", token)
	if !token.(*paho.ConnectToken).SessionPresent() {
		t.Error("session present is 0, want the session of the first client")
	}
	second.all.wantQueued(b, topic, qos, 30)
	second.all.wantNothing(from, topic)
}

// pahoPublisherCutOff resets the publisher's connection while it publishes. paho says that messages which it could not
// write have failed, and sends them all the same, after the reconnect and in any order.
func pahoPublisherCutOff(t *testing.T, b *broker, qos mqtt.QoS) {
	topic := fresh("paho/")
	to := b.connectPaho(t, nil).subscribe(topic, qos)
	weak, line := b.throughLine(t)
	from := weak.connectPaho(t, func(o *paho.ClientOptions) { o.SetCleanSession(false) })
	from.awaitUp()
	var tokens []paho.Token
	for i := range 200 {
		if i >= 20 {
			tokens[i-20].WaitTimeout(patience)
		}
		tokens = append(tokens, from.Publish(topic, byte(qos), false, count(i)))
		if i%50 == 25 {
			from.cutAndRestore(line)
		}
	}
	t.Logf("%d copies came", to.wantAll(topic, qos, 200, true))
}

// pahoSubscriberCutOff resets the subscriber's connection while messages come: those that it did not acknowledge come
// again [MQTT-4.4.0-1]. paho hands them out each time, at QoS 2 too.
func pahoSubscriberCutOff(t *testing.T, b *broker, qos mqtt.QoS) {
	topic := fresh("paho/")
	weak, line := b.throughLine(t)
	receiver := weak.connectPaho(t, func(o *paho.ClientOptions) { o.SetCleanSession(false) })
	receiver.awaitUp()
	to := receiver.subscribe(topic, qos)
	from := b.connectPaho(t, nil)
	var tokens []paho.Token
	for i := range 200 {
		tokens = append(tokens, from.Publish(topic, byte(qos), false, count(i)))
		if i%50 == 25 {
			receiver.cutAndRestore(line)
		}
	}
	for _, token := range tokens {
		from.await("PUBLISH", token)
	}
	t.Logf("%d copies came", to.wantAll(topic, qos, 200, true))
}

// cutAndRestore breaks the connection and waits for the next.
func (c *pahoClient) cutAndRestore(line *line) {
	c.t.Helper()
	line.cut()
	c.awaitLost()
	line.restore()
	c.awaitUp()
}

func pahoTakeOver(t *testing.T, b *broker) {
	topic, id := fresh("paho/"), fresh("paho-")
	same := func(o *paho.ClientOptions) { o.SetClientID(id).SetAutoReconnect(false) }
	first := b.connectPaho(t, same)
	second := b.connectPaho(t, same)
	first.awaitLost()
	in := second.subscribe(topic, mqtt.QoS1)
	m := mqtt.Message{Topic: topic, Payload: []byte("for the second"), QoS: mqtt.QoS1}
	second.publish(m)
	in.want(m)
}

func pahoUnsubscribe(t *testing.T, b *broker) {
	closed, open := fresh("paho/"), fresh("paho/")
	receiver, from := b.connectPaho(t, nil), b.connectPaho(t, nil)
	in, other := receiver.subscribe(closed, mqtt.QoS1), receiver.subscribe(open, mqtt.QoS1)
	m := mqtt.Message{Topic: closed, Payload: []byte("before"), QoS: mqtt.QoS1}
	from.publish(m)
	in.want(m)
	receiver.await("UNSUBSCRIBE", receiver.Unsubscribe(closed))
	from.publish(m)
	other.wantNothing(from, open)
	if n := len(receiver.all.messages); n > 0 {
		t.Errorf("%d messages came after UNSUBACK", n)
	}
}

func pahoWildcards(t *testing.T, b *broker) {
	root := fresh("paho")
	from := b.connectPaho(t, nil)
	for filter, topics := range map[string][]string{
		root + "/#":   {root, root + "/a", root + "/a/b"},
		root + "/+":   {root + "/x", root + "/"},
		root + "/+/b": {root + "/a/b", root + "//b"},
		"+/a/b":       {root + "/a/b"},
	} {
		receiver := b.connectPaho(t, nil)
		in := receiver.subscribe(filter, mqtt.QoS2)
		from.publish(mqtt.Message{Topic: "other/" + root, QoS: mqtt.QoS2})
		for _, topic := range topics {
			m := mqtt.Message{Topic: topic, Payload: []byte(topic), QoS: mqtt.QoS2}
			from.publish(m)
			in.want(m)
		}
		receiver.Disconnect(250)
	}
}

func pahoRefusedSubscription(t *testing.T, b *broker) {
	denied := "denied/topic"
	b = b.again(t, setup{deny: denied})
	c := b.connectPaho(t, nil)
	token := c.SubscribeMultiple(map[string]byte{denied: 1, "granted": 2}, nil)
	if !token.WaitTimeout(patience) {
		t.Fatal("no SUBACK")
	}
	if codes := token.(*paho.SubscribeToken).Result(); codes[denied] != 0x80 || codes["granted"] != 2 {
		t.Errorf("SUBACK %#v, want 0x80 for %s and 2 for granted", codes, denied)
	}
}

func pahoSharedSubscription(t *testing.T, b *broker) {
	topic := fresh("paho/")
	filter := "$share/" + fresh("group") + "/" + topic
	one, two := b.connectPaho(t, nil), b.connectPaho(t, nil)
	// paho finds the handler by the topic: it has to be the one for all.
	one.await("SUBSCRIBE", one.Subscribe(filter, 1, nil))
	two.await("SUBSCRIBE", two.Subscribe(filter, 1, nil))
	from := b.connectPaho(t, nil)
	for i := range 20 {
		from.publish(mqtt.Message{Topic: topic, Payload: count(i), QoS: mqtt.QoS1})
	}
	wantShared(t, one.all, two.all, 20)
}

func pahoEmptyClientID(t *testing.T, b *broker) {
	topic := fresh("paho/")
	c := b.connectPaho(t, func(o *paho.ClientOptions) { o.SetClientID("") })
	in := c.subscribe(topic, mqtt.QoS1)
	m := mqtt.Message{Topic: topic, Payload: []byte("to myself"), QoS: mqtt.QoS1}
	c.publish(m)
	in.want(m)
}

// pahoKeepAlive begins a silence and returns what ends it, as testKeepAlive does.
func pahoKeepAlive(t *testing.T, b *broker) (end func(t *testing.T)) {
	c := b.connectPaho(t, func(o *paho.ClientOptions) { o.SetKeepAlive(keepAlive) })
	began := time.Now()
	return func(t *testing.T) {
		time.Sleep(time.Until(began.Add(silence)))
		c.publish(mqtt.Message{Topic: fresh("paho/"), QoS: mqtt.QoS1})
		if len(c.lost) > 0 {
			t.Errorf("the connection was lost: %v", <-c.lost)
		}
	}
}

func pahoPassword(t *testing.T, b *broker) {
	b = b.again(t, setup{user: "meter", password: "correct"})
	c := b.connectPaho(t, func(o *paho.ClientOptions) { o.SetUsername("meter").SetPassword("correct") })
	c.publish(mqtt.Message{Topic: fresh("paho/"), QoS: mqtt.QoS1})
	for _, password := range []string{"wrong", ""} {
		c := b.newPaho(t, func(o *paho.ClientOptions) { o.SetUsername("meter").SetPassword(password) })
		token := c.Connect()
		if !token.WaitTimeout(patience) {
			t.Fatal("no CONNACK")
		}
		if code := token.(*paho.ConnectToken).ReturnCode(); token.Error() == nil || code != 4 && code != 5 {
			t.Errorf("CONNACK %d, %v, want 4 or 5", code, token.Error())
		}
	}
}
