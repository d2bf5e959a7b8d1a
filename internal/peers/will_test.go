package peers

import (
	"testing"

	"iotwire/mqtt"
)

// testWill cuts the line of a client that has a will: the broker publishes it [MQTT-3.1.2-8].
func testWill(t *testing.T, b *broker, qos mqtt.QoS) {
	topic := fresh("will/")
	observer := b.connect(t, nil).subscribe(topic, qos)
	will := mqtt.Message{Topic: topic, Payload: []byte("gone"), QoS: qos}
	weak, line := b.throughLine(t)
	victim := weak.connect(t, func(c *mqtt.Config) { c.Will = &will })
	line.cut()
	victim.awaitLost()
	observer.want(will)
}

// testRetainedWill expects a will with RETAIN to be kept [MQTT-3.1.2-17].
func testRetainedWill(t *testing.T, b *broker) {
	topic := fresh("will/")
	observer := b.connect(t, nil).subscribe(topic, mqtt.QoS1)
	will := mqtt.Message{Topic: topic, Payload: []byte("gone"), QoS: mqtt.QoS1, Retain: true}
	weak, line := b.throughLine(t)
	victim := weak.connect(t, func(c *mqtt.Config) { c.Will = &will })
	line.cut()
	victim.awaitLost()
	live := will
	live.Retain = false
	observer.want(live)
	wantRetained(t, b, topic, mqtt.QoS1, will)
}

// testNoWill ends a client with DISCONNECT, in both ways that there are: its will is not published [MQTT-3.1.2-10].
func testNoWill(t *testing.T, b *broker) {
	topic := fresh("will/")
	observer := b.connect(t, nil).subscribe(topic, mqtt.QoS1)
	will := mqtt.Message{Topic: topic, Payload: []byte("gone"), QoS: mqtt.QoS1}
	withWill := func(c *mqtt.Config) { c.Will = &will }
	b.connect(t, withWill).stop()
	other := b.connect(t, withWill)
	if err := other.Shutdown(within(t)); err != nil {
		t.Errorf("Shutdown: %v", err)
	}
	<-other.ended
	if other.err != nil {
		t.Errorf("Run returned %v after Shutdown, want nil", other.err)
	}
	from := b.connect(t, nil)
	observer.wantNothing(from, topic)
	observer.wantNothing(from, topic)
}
