package peers

import (
	"testing"

	"iotwire/mqtt"
)

// testRetained sets, gets, replaces and deletes a retained message (section 3.3.1.3).
func testRetained(t *testing.T, b *broker, qos mqtt.QoS) {
	topic := fresh("retained/")
	from := b.connect(t, nil)
	live := b.connect(t, nil).subscribe(topic, qos)
	kept := mqtt.Message{Topic: topic, QoS: qos, Retain: true}
	for _, payload := range []string{"first", "second"} {
		kept.Payload = []byte(payload)
		from.publish(kept)
		got := kept
		got.Retain = false // [MQTT-3.3.1-9] it comes by a subscription that was there
		live.want(got)

		later := b.connect(t, nil)
		in := later.subscribe(topic, qos)
		in.want(kept) // [MQTT-3.3.1-6] it comes as kept, at each SUBSCRIBE
		in.wantNothing(from, topic)
		live.next() // the marker
	}

	kept.Payload = nil
	from.publish(kept) // [MQTT-3.3.1-10] deleted
	live.want(mqtt.Message{Topic: topic, QoS: qos})
	b.connect(t, nil).subscribe(topic, qos).wantNothing(from, topic)
}
