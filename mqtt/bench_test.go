package mqtt

import (
	"fmt"
	"testing"
	"time"
)

// Over loopback TCP, 256 bytes of payload, against a server that costs next to nothing.

func BenchmarkPublish(b *testing.B) { // one after the other: the latency of a round trip at QoS 1 and 2
	for q := range QoS(3) {
		b.Run(fmt.Sprintf("QoS%d", q), func(b *testing.B) {
			c, _ := fast(b, Config{}, true)
			m := Message{Topic: "meter/7/temperature", Payload: make([]byte, 256), QoS: q}
			b.ReportAllocs()
			for b.Loop() {
				if err := c.Publish(background, m); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkSubmit(b *testing.B) { // a pipeline
	for q := range QoS(3) {
		b.Run(fmt.Sprintf("QoS%d", q), func(b *testing.B) {
			c, _ := fast(b, Config{Inflight: 100}, true)
			m := Message{Topic: "meter/7/temperature", Payload: make([]byte, 256), QoS: q}
			b.ReportAllocs()
			var last Delivery
			for b.Loop() {
				d, err := c.Submit(background, m)
				if err != nil {
					b.Fatal(err)
				}
				last = d
			}
			if err := last.Wait(background); err != nil {
				b.Fatal(err)
			}
		})
	}
}

func BenchmarkReceive(b *testing.B) {
	for q := range QoS(3) {
		b.Run(fmt.Sprintf("QoS%d", q), func(b *testing.B) {
			c, f := fast(b, Config{}, true)
			sub, _ := c.Subscribe("meter/#", QoS2)
			if err := sub.Ready(within(b, 10*time.Second)); err != nil {
				b.Fatal(err)
			}
			messages := flooded(q, 256)
			go func() {
				for range (b.N + batch - 1) / batch {
					f.flood <- messages
					if q > 0 {
						<-f.acks
					}
				}
			}()
			b.ReportAllocs()
			b.ResetTimer()
			n := 0
			for m := range sub.Messages(background) {
				if m == nil {
					b.Fatal("the loop ended")
				}
				if n++; n == (b.N+batch-1)/batch*batch {
					break
				}
			}
		})
	}
}
