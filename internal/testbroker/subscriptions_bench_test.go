package testbroker

import (
	"fmt"
	"testing"

	"iotwire/mqtt/packet"
)

// To find the subscribers of a topic costs by its levels, however many subscriptions there are.
func BenchmarkMatch(b *testing.B) {
	for _, count := range []int{10, 100, 1000, 10000} {
		b.Run(fmt.Sprintf("subscriptions=%d", count), func(b *testing.B) {
			var t tree
			for i := range count {
				t.add(fmt.Sprintf("plant/%d/meter/%d/+", i%10, i), new(session), packet.QoS1)
			}
			topic := []byte("plant/7/meter/7/temperature")
			b.ReportAllocs()
			for b.Loop() {
				if len(t.match(topic)) != 1 {
					b.Fatal("not one subscription matches")
				}
			}
		})
	}
	for _, levels := range []int{1, 4, 16, 64} {
		b.Run(fmt.Sprintf("levels=%d", levels), func(b *testing.B) {
			var t tree
			topic := "a"
			for range levels - 1 {
				topic += "/a"
			}
			t.add(topic, new(session), packet.QoS1)
			b.ReportAllocs()
			for b.Loop() {
				if len(t.match([]byte(topic))) != 1 {
					b.Fatal("not one subscription matches")
				}
			}
		})
	}
}

// To subscribe costs the same in a small table and in a large one.
func BenchmarkSubscribe(b *testing.B) {
	for _, count := range []int{10, 100, 1000, 10000} {
		b.Run(fmt.Sprintf("subscriptions=%d", count), func(b *testing.B) {
			var t tree
			for i := range count {
				t.add(fmt.Sprintf("plant/%d/meter/%d/+", i%10, i), new(session), packet.QoS1)
			}
			s := new(session)
			b.ReportAllocs()
			for b.Loop() {
				t.add("plant/7/meter/x/+", s, packet.QoS1)
				t.remove("plant/7/meter/x/+", s)
			}
		})
	}
}
