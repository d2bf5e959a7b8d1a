package cli

import (
	"context"
	"io"
	"net"
	"slices"
	"testing"
	"time"

	"iotwire/internal/testbroker"
	"iotwire/mqtt"
)

// BenchmarkPublish publishes at QoS 1 to a broker in memory, one message after the other, with clients that take turns:
// one as the library makes it, one wired as the programs do without --trace, and one with a trace that nobody reads. It
// reports the time of each for a message, and what the programs' wiring costs: off/bare, which is 1 if it costs nothing.
func BenchmarkPublish(b *testing.B) {
	broker := testbroker.New(testbroker.Config{})
	defer broker.Close()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	process := &Process{Getenv: func(string) string { return "" }, Stderr: io.Discard}
	log := &console{program: "publisher", out: io.Discard}
	client := func(wire func(*mqtt.Config)) *mqtt.Client {
		cfg := mqtt.Config{Dial: broker.Dial, CleanSession: true}
		wire(&cfg)
		c, err := mqtt.New(cfg)
		if err != nil {
			b.Fatal(err)
		}
		go c.Run(ctx)
		if err := c.Ready(ctx); err != nil {
			b.Fatal(err)
		}
		return c
	}
	traced := func(o connection) func(*mqtt.Config) {
		return func(cfg *mqtt.Config) {
			(&watch{log: log}).attach(cfg)
			t, err := o.openTrace(process, log, "memory")
			if err != nil {
				b.Fatal(err)
			}
			t.attach(cfg)
		}
	}
	clients := [...]*mqtt.Client{
		client(func(*mqtt.Config) {}),
		client(traced(connection{})),
		client(traced(connection{trace: TraceOptions{style: "brief"}})),
	}
	payload := make([]byte, 64)
	const batch = 50
	var times [len(clients)][]time.Duration
	b.ResetTimer()
	for n := 0; n < b.N; n += batch {
		for turn := range clients {
			turn = (turn + n/batch) % len(clients) // nobody always comes first
			begin := time.Now()
			for range batch {
				if err := clients[turn].Publish(ctx, mqtt.Message{Topic: "a/b", Payload: payload, QoS: mqtt.QoS1}); err != nil {
					b.Fatal(err)
				}
			}
			times[turn] = append(times[turn], time.Since(begin))
		}
	}
	b.StopTimer()
	median := func(turn int) float64 {
		slices.Sort(times[turn])
		return float64(times[turn][len(times[turn])/2]) / batch
	}
	b.ReportMetric(0, "ns/op") // of three kinds of message at once: it says nothing
	b.ReportMetric(median(0), "bare-ns")
	b.ReportMetric(median(1), "off-ns")
	b.ReportMetric(median(2), "brief-ns")
	b.ReportMetric(median(1)/median(0), "off/bare")
}

// Without an option nothing stands between the client and its connection.
func TestNoTraceNoWrapper(t *testing.T) {
	var o connection
	trace, err := o.openTrace(&Process{}, nil, "")
	if trace != nil || err != nil {
		t.Fatal(trace, err)
	}
	client, _ := testbroker.Pipe()
	defer client.Close()
	cfg := mqtt.Config{Dial: func(context.Context) (net.Conn, error) { return client, nil }}
	trace.attach(&cfg)
	if conn, err := cfg.Dial(t.Context()); conn != client || err != nil {
		t.Errorf("the client gets %T, %v in place of its connection", conn, err)
	}
}
