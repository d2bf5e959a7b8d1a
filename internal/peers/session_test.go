package peers

import (
	"context"
	"errors"
	"testing"

	"iotwire/mqtt"
	"iotwire/mqtt/packet"
)

// testSession has a client lose its connection, and messages come meanwhile: the session keeps them, and the
// subscription.
func testSession(t *testing.T, b *broker, qos mqtt.QoS) {
	topic := fresh("session/")
	weak, line := b.throughLine(t)
	receiver := weak.connect(t, func(c *mqtt.Config) { c.CleanSession = false })
	to := receiver.subscribe(topic, qos)
	if receiver.awaitPresent() {
		t.Fatal("session present is 1 for a client identifier that is new")
	}
	from := b.connect(t, nil)

	first := mqtt.Message{Topic: topic, Payload: []byte("before")} // QoS 0: it cannot come again
	from.publish(first)
	to.want(first)
	line.cut()
	if err := receiver.awaitLost(); !errors.Is(err, mqtt.ErrLost) {
		t.Errorf("the connection ended with %v, want ErrLost", err)
	}
	for i := range 30 {
		from.publish(mqtt.Message{Topic: topic, Payload: count(i), QoS: qos})
	}
	before := receiver.packets.of(packet.SUBSCRIBE)
	line.restore()
	if !receiver.awaitPresent() {
		t.Error("session present is 0 after a reconnect")
	}
	to.wantQueued(b, topic, qos, 30)
	to.wantNothing(from, topic)
	if n := receiver.packets.of(packet.SUBSCRIBE) - before; n != 0 {
		t.Errorf("%d SUBSCRIBE packets were sent after the reconnect, want none: the session has the subscription", n)
	}
}

// wantQueued takes messages 0 to n-1, each once, which came while the client had no connection.
func (in *inbox) wantQueued(b *broker, topic string, qos mqtt.QoS, n int) {
	in.t.Helper()
	if b.kind.reorders != "" {
		in.t.Logf("in any order, since %s: %s", b.kind.name, b.kind.reorders)
		in.wantAll(topic, qos, n, false)
	} else if copies := in.wantAllInOrder(topic, qos, n); copies > 0 {
		in.t.Errorf("%d second copies came, want none: nothing was in flight", copies)
	}
}

// testSessionOfAnotherClient has a program end with DISCONNECT and start again: the new client gets what came meanwhile.
func testSessionOfAnotherClient(t *testing.T, b *broker) {
	topic, id := fresh("another/"), fresh("peer-")
	same := func(c *mqtt.Config) { c.CleanSession, c.ClientID = false, id }
	first := b.connect(t, same)
	first.subscribe(topic, mqtt.QoS1)
	first.stop()
	if !errors.Is(first.err, context.Canceled) {
		t.Errorf("Run returned %v, want the end of its context", first.err)
	}

	from := b.connect(t, nil)
	for i := range 5 {
		from.publish(mqtt.Message{Topic: topic, Payload: count(i), QoS: mqtt.QoS1})
	}
	second := b.client(t, same)
	to := second.declare(topic, mqtt.QoS1)
	second.start()
	if !second.awaitPresent() {
		t.Error("session present is 0, want the session of the first client")
	}
	to.wantQueued(b, topic, mqtt.QoS1, 5)
	to.wantNothing(from, topic)
}

// testSessionLost has the broker end as by a crash, and come back without any session: the client subscribes again.
func testSessionLost(t *testing.T, b *broker) {
	b = b.again(t, setup{})
	topic := fresh("lost/")
	receiver := b.connect(t, func(c *mqtt.Config) { c.CleanSession = false })
	from := b.connect(t, nil)
	to := receiver.subscribe(topic, mqtt.QoS2)
	receiver.awaitPresent()
	from.awaitPresent()

	receiver.awaitGranted(topic)
	before := receiver.packets.of(packet.SUBSCRIBE)
	b.crash(t)
	for _, c := range []*client{receiver, from} {
		if err := c.awaitLost(); !errors.Is(err, mqtt.ErrLost) {
			t.Errorf("the connection ended with %v, want ErrLost", err)
		}
		if c.awaitPresent() {
			t.Error("session present is 1, but the broker has lost all")
		}
	}
	receiver.awaitGranted(topic)
	m := mqtt.Message{Topic: topic, Payload: []byte("after"), QoS: mqtt.QoS2}
	from.publish(m)
	to.want(m)
	if n := receiver.packets.of(packet.SUBSCRIBE) - before; n != 1 {
		t.Errorf("%d SUBSCRIBE packets were sent after the crash, want 1", n)
	}
}

// testCleanSession has a client without a session lose its connection: it subscribes again, and what came meanwhile
// is gone.
func testCleanSession(t *testing.T, b *broker) {
	topic := fresh("clean/")
	weak, line := b.throughLine(t)
	receiver, from := weak.connect(t, nil), b.connect(t, nil)
	to := receiver.subscribe(topic, mqtt.QoS1)
	receiver.awaitPresent()
	receiver.awaitGranted(topic)
	line.cut()
	receiver.awaitLost()
	from.publish(mqtt.Message{Topic: topic, Payload: []byte("to nobody"), QoS: mqtt.QoS1})
	line.restore()
	if receiver.awaitPresent() {
		t.Error("session present is 1, want 0 with a clean session")
	}
	receiver.awaitGranted(topic)
	to.wantNothing(from, topic)
}

// testTakeOver connects twice with one client identifier: the first connection ends [MQTT-3.1.4-2].
func testTakeOver(t *testing.T, b *broker) {
	topic, id := fresh("takeover/"), fresh("peer-")
	same := func(c *mqtt.Config) {
		c.CleanSession, c.ClientID = false, id
		c.Retry = func(error) bool { return false }
	}
	first := b.connect(t, same)
	first.subscribe(topic, mqtt.QoS1)
	second := b.client(t, same)
	to := second.declare(topic, mqtt.QoS1)
	second.start()
	if !second.awaitPresent() {
		t.Error("session present is 0, want the session of the connection that was taken over")
	}
	if err := first.awaitLost(); !errors.Is(err, mqtt.ErrLost) {
		t.Errorf("the first connection ended with %v, want ErrLost", err)
	}
	if err := to.sub.Ready(within(t)); err != nil {
		t.Fatal(err)
	}
	m := mqtt.Message{Topic: topic, Payload: []byte("for the second"), QoS: mqtt.QoS1}
	b.connect(t, nil).publish(m)
	to.want(m)
}
