package mqtt_test

import (
	"context"
	"flag"
	"fmt"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"iotwire/internal/testbroker"
	"iotwire/mqtt"
)

var years = flag.Int("years", 1, "how long the quiet connection of TestYear is held, in the bubble's time")

// TestYear holds a quiet connection for a year of the bubble's time: a message of each QoS in each direction every week,
// a restart of the broker every month, and otherwise PINGREQ and PINGRESP alone. The connection never breaks by itself,
// the gap between two packets never exceeds the keep-alive period, nothing is lost, and no memory is.
func TestYear(t *testing.T) {
	const keepAlive = 2 * time.Minute
	const week = 7 * 24 * time.Hour
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		var last time.Time // a packet of the client came
		pings := 0
		broker := testbroker.New(testbroker.Config{Observe: func(e testbroker.Event) {
			switch {
			case e.Kind == testbroker.Ended:
				last = time.Time{}
			case e.Kind == testbroker.Received:
				pings++
				if gap := e.Time.Sub(last); !last.IsZero() && gap > keepAlive {
					t.Errorf("%v after the start: %v without a packet, want at most %v", e.Time.Sub(began), gap, keepAlive)
				}
				last = e.Time
			}
		}})
		defer broker.Close()
		c, err := mqtt.New(mqtt.Config{ClientID: "quiet", Dial: broker.Dial, KeepAlive: keepAlive})
		must(t, err)
		sub, err := c.Subscribe("in", mqtt.QoS2)
		must(t, err)
		ctx, cancel := context.WithCancel(background)
		ended := make(chan error)
		go func() { ended <- c.Run(ctx) }()
		defer func() { cancel(); <-ended }()
		must(t, sub.Ready(ctx))
		received := 0
		go func() {
			for _, err := range sub.Messages(ctx) {
				if err != nil {
					return
				}
				received++
			}
		}()

		var heap []uint64 // at the end of each month
		weeks, restarts := 52**years, 0
		for n := range weeks {
			time.Sleep(week)
			for q := range mqtt.QoS2 + 1 {
				must(t, c.Publish(ctx, mqtt.Message{Topic: "out", Payload: fmt.Append(nil, n), QoS: q}))
				must(t, broker.Publish("in", fmt.Append(nil, n), q, false))
			}
			synctest.Wait()
			if want := 3 * (n + 1); received != want {
				t.Fatalf("%d messages came, want %d", received, want)
			}
			if n%4 == 3 {
				broker.Restart(true)
				restarts++
				time.Sleep(time.Minute)
				var memory runtime.MemStats
				runtime.GC()
				runtime.ReadMemStats(&memory)
				heap = append(heap, memory.HeapAlloc)
			}
		}
		if s := c.Stats(); s.Connects != 1+restarts || s.Done != uint64(3*weeks) || s.Pending != 0 {
			t.Errorf("%d restarts and %d messages, and the client counts %+v", restarts, 3*weeks, s)
		}
		if first, end := heap[1], heap[len(heap)-1]; end > first+64<<10 {
			t.Errorf("the heap has grown from %d to %d bytes", first, end)
		}
		t.Logf("%v: %d packets from the client, %d connections, heap %d bytes", time.Since(began).Round(time.Hour), pings, 1+restarts, heap[len(heap)-1])
	})
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
