package mqtt_test

import (
	"context"
	"crypto/tls"
	"flag"
	"fmt"
	"net"
	"runtime"
	"sync"
	"testing"
	"time"

	"iotwire/internal/testbroker"
	"iotwire/mqtt"
)

var soak = flag.Duration("soak", 2*time.Second, "how long TestSoak runs")

// TestSoak is a client on real sockets, under mutual TLS, whose broker restarts every second, or every third of a short
// run, and keeps its sessions. Messages of QoS 1 and 2 go both ways all the time: none is lost, none of QoS 2 comes
// twice, and in the end there is no more memory in use than in the beginning, and no goroutine more.
func TestSoak(t *testing.T) {
	certificates, err := testbroker.NewCertificates("127.0.0.1")
	must(t, err)
	server, err := certificates.ServerConfig()
	must(t, err)
	device, err := certificates.DeviceConfig()
	must(t, err)
	goroutines := runtime.NumGoroutine()

	broker := testbroker.New(testbroker.Config{QueueMessages: 1 << 20, QueueBytes: 1 << 30})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	address := l.Addr().String()
	served := make(chan error)
	go func() { served <- broker.Serve(background, tls.NewListener(l, server)) }()

	out, in := newLedger("out"), newLedger("in")
	witness, stopWitness := follow(t, mqtt.Config{ClientID: "witness", Dial: broker.Dial, Backoff: mqtt.Backoff{Min: time.Millisecond}}, out)
	c, stop := follow(t, mqtt.Config{
		ClientID: "client",
		Backoff:  mqtt.Backoff{Min: 10 * time.Millisecond, Max: 50 * time.Millisecond},
		Dial: func(ctx context.Context) (net.Conn, error) {
			return (&tls.Dialer{Config: device}).DialContext(ctx, "tcp", address)
		},
	}, in)

	until := time.Now().Add(*soak)
	var senders sync.WaitGroup
	for range 4 {
		senders.Go(func() { // the client publishes, and waits for each
			for time.Now().Before(until) {
				if out.behind() > 1000 { // the queue of the broker is not what is looked at
					time.Sleep(time.Millisecond)
					continue
				}
				q, payload := out.next()
				if err := c.Publish(background, mqtt.Message{Topic: "out", Payload: payload, QoS: q}); err != nil {
					t.Errorf("%s: %v", payload, err)
				}
			}
		})
	}
	senders.Go(func() { // the broker publishes
		for time.Now().Before(until) {
			for range 20 {
				if in.behind() > 1000 {
					break
				}
				q, payload := in.next()
				if err := broker.Publish("in", payload, q, false); err != nil {
					t.Errorf("%s: %v", payload, err)
				}
			}
			time.Sleep(time.Millisecond)
		}
	})
	var early uint64
	restarts := 0
	for tick := min(*soak/3, time.Second); time.Now().Add(tick).Before(until); restarts++ {
		time.Sleep(tick)
		broker.Restart(true)
		if early == 0 {
			early = heapInUse()
		}
	}
	senders.Wait()

	out.settle(t)
	in.settle(t)
	late := heapInUse() - out.memory() - in.memory()
	connects := c.Stats().Connects
	must(t, c.Shutdown(background))
	must(t, witness.Shutdown(background))
	stop()
	stopWitness()
	broker.Close()
	<-served
	if connects < restarts {
		t.Errorf("%d connections, and the broker has restarted %d times", connects, restarts)
	}
	if late > early+4<<20 {
		t.Errorf("the heap has grown from %d to %d bytes", early, late)
	}
	for wait := time.Millisecond; runtime.NumGoroutine() > goroutines; wait *= 2 {
		if wait > 2*time.Second {
			stacks := make([]byte, 1<<16)
			t.Fatalf("%d goroutines, before the test %d:\n%s", runtime.NumGoroutine(), goroutines, stacks[:runtime.Stack(stacks, true)])
		}
		time.Sleep(wait)
	}
	t.Logf("%v: %d restarts, %d connections; to the broker %v; from it %v; lost 0; heap %d KiB, then %d KiB",
		*soak, restarts, connects, out, in, early>>10, late>>10)
}

func heapInUse() uint64 {
	var memory runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&memory)
	return memory.HeapAlloc
}

// follow runs a client whose message loop writes what comes to a topic into a ledger.
func follow(t *testing.T, config mqtt.Config, l *ledger) (c *mqtt.Client, stop func()) {
	t.Helper()
	c, err := mqtt.New(config)
	must(t, err)
	sub, err := c.Subscribe(l.topic, mqtt.QoS2)
	must(t, err)
	ctx, cancel := context.WithCancel(background)
	var running sync.WaitGroup
	running.Go(func() { c.Run(ctx) })
	running.Go(func() {
		for m, err := range sub.Messages(ctx) {
			if err != nil {
				return
			}
			l.came(t, m)
		}
	})
	stop = func() { cancel(); running.Wait() }
	t.Cleanup(stop)
	must(t, sub.Ready(ctx))
	return c, stop
}

// ledger is what was sent to a topic and what came: one byte a message.
type ledger struct {
	topic string

	mu      sync.Mutex
	times   []uint8 // how often message n came
	missing int     // messages that did not come
	doubled int     // messages of QoS 1 that came again
}

func newLedger(topic string) *ledger { return &ledger{topic: topic} }

// next returns a new message. Those of even number have QoS 2.
func (l *ledger) next() (mqtt.QoS, []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := len(l.times)
	l.times = append(l.times, 0)
	l.missing++
	return mqtt.QoS(2 - n%2), fmt.Append(nil, n)
}

func (l *ledger) came(t *testing.T, m *mqtt.Message) {
	var n int
	if _, err := fmt.Sscan(string(m.Payload), &n); err != nil {
		t.Errorf("%s: %q came: %v", l.topic, m.Payload, err)
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if n >= len(l.times) {
		t.Errorf("%s: message %d came, and nobody sent it", l.topic, n)
		return
	}
	if l.times[n]++; l.times[n] == 1 {
		l.missing--
	} else if l.doubled++; n%2 == 0 {
		t.Errorf("%s: message %d, QoS 2, came %d times", l.topic, n, l.times[n])
	}
}

// behind returns how many messages have not come yet.
func (l *ledger) behind() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.missing
}

// settle waits until everything came.
func (l *ledger) settle(t *testing.T) {
	t.Helper()
	for range 3000 {
		if l.behind() == 0 {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Errorf("%s: %v", l.topic, l)
}

func (l *ledger) memory() uint64 { return uint64(cap(l.times)) }

func (l *ledger) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return fmt.Sprintf("%d messages, %d missing, %d of QoS 1 doubled", len(l.times), l.missing, l.doubled)
}
