package testbroker

import (
	"testing"
	"testing/synctest"

	"iotwire/mqtt/packet"
)

func TestPublishReachesSubscribersAtEachQoS(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBroker(t, Config{})
		publisher, subscriber := b.join(t, "publisher"), b.join(t, "subscriber")
		for q := range packet.QoS(3) {
			subscriber.subscribe(q, "a/+")
			for published := range packet.QoS(3) {
				publisher.publish("a/b", "hello", published, false)
				subscriber.receive("a/b", "hello", min(q, published), false)
			}
		}
		subscriber.unsubscribe("a/+")
		publisher.publish("a/b", "hello", packet.QoS1, false)
		subscriber.wantNothing()
		publisher.disconnect()
		subscriber.disconnect()
		synctest.Wait()
		if s := b.Stats(); s != (Stats{}) {
			t.Errorf("left behind: %+v", s)
		}
	})
}
