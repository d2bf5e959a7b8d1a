package peers

import (
	"fmt"
	"testing"
	"time"

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
		wantRetained(t, b, topic, qos, kept) // [MQTT-3.3.1-6] it comes as kept, at each SUBSCRIBE
	}
	kept.Payload = nil
	from.publish(kept) // [MQTT-3.3.1-10] deleted
	live.want(mqtt.Message{Topic: topic, QoS: qos})
	wantRetained(t, b, topic, qos)
}

// wantRetained subscribes with a new client, and compares what comes at once with what should.
func wantRetained(t *testing.T, b *broker, topic string, qos mqtt.QoS, want ...mqtt.Message) {
	t.Helper()
	wanted := ""
	for _, m := range want {
		wanted += show(m) + "\n"
	}
	deadline := time.Now().Add(patience)
	for {
		got := retained(t, b, topic, qos)
		switch {
		case got == wanted:
			return
		case b.kind.retainsLate == "" || time.Now().After(deadline):
			t.Fatalf("a new subscriber gets\n%swant\n%s", got, wanted)
		}
		t.Logf("once more, since %s: %s", b.kind.name, b.kind.retainsLate)
	}
}

// retained subscribes with a new client, and returns what comes, a line for each message.
func retained(t *testing.T, b *broker, topic string, qos mqtt.QoS) (got string) {
	t.Helper()
	marker := fmt.Sprintf("marker %s", fresh(""))
	c := b.connect(t, nil)
	in, end := c.subscribe(topic, qos), c.subscribe(fresh("end/"), qos)
	c.publish(mqtt.Message{Topic: end.filter, Payload: []byte(marker), QoS: qos})
	end.next()
	c.stop()
	for {
		select {
		case m := <-in.messages:
			got += show(m) + "\n"
		default:
			return got
		}
	}
}
