package peers

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"iotwire/mqtt"
	"iotwire/mqtt/packet"
)

// qosEnd is the number of levels of QoS.
const qosEnd = mqtt.QoS2 + 1

// testQoS publishes and receives one message after the other.
func testQoS(t *testing.T, b *broker, qos mqtt.QoS) {
	topic := fresh("qos/")
	to := b.connect(t, nil).subscribe(topic, qos)
	from := b.connect(t, nil)
	every := make([]byte, 256)
	for i := range every {
		every[i] = byte(i)
	}
	for _, payload := range [][]byte{[]byte("hello"), nil, every, []byte("ü€😀"), bytes.Repeat([]byte{0}, 127), []byte("bye")} {
		m := mqtt.Message{Topic: topic, Payload: payload, QoS: qos}
		from.publish(m)
		to.want(m)
	}
	if s := from.Stats(); s.Done != 6 || s.Failed != 0 || s.Pending != 0 {
		t.Errorf("the publisher counted %+v, want 6 done", s)
	}
}

// testGrantedQoS expects each message at the lower of its QoS and the one that the subscription was granted (section
// 3.8.4).
func testGrantedQoS(t *testing.T, b *broker) {
	receiver, from := b.connect(t, nil), b.connect(t, nil)
	for granted := range qosEnd {
		topic := fresh("granted/")
		to := receiver.subscribe(topic, granted)
		for qos := range qosEnd {
			m := mqtt.Message{Topic: topic, Payload: fmt.Appendf(nil, "published at %d", qos), QoS: qos}
			from.publish(m)
			m.QoS = min(qos, granted)
			to.want(m)
		}
	}
}

// testTopics sends messages on topic names of all kinds.
func testTopics(t *testing.T, b *broker) {
	for name, topic := range map[string]string{
		"slash":          "/",
		"leading slash":  "/leading",
		"trailing slash": "trailing/",
		"empty level":    "a//b",
		"with space":     "with space",
		"dots":           "dots.in/a.topic",
		"signs of NATS":  "a>b/*/>/c.*",
		"UTF-8":          "Ünï/cödé/😀",
		"many levels":    strings.Repeat("x/", 30) + "x",
		"long":           strings.Repeat("x", 1000),
		"dollar":         "$iotwire/x",
	} {
		t.Run(name, func(t *testing.T) {
			b.kind.need(t, "topics/"+name)
			receiver, from := b.connect(t, nil), b.connect(t, nil)
			to := receiver.subscribe(topic, mqtt.QoS1)
			m := mqtt.Message{Topic: topic, Payload: []byte(topic), QoS: mqtt.QoS1}
			from.publish(m)
			to.want(m)
		})
	}
}

// testLarge sends payloads of 128 KiB and 1 MiB.
func testLarge(t *testing.T, b *broker, qos mqtt.QoS) {
	topic := fresh("large/")
	to := b.connect(t, nil).subscribe(topic, qos)
	from := b.connect(t, nil)
	for _, size := range []int{128 << 10, 1 << 20} {
		payload := make([]byte, size)
		rand.NewChaCha8([32]byte{}).Read(payload)
		m := mqtt.Message{Topic: topic, Payload: payload, QoS: qos}
		from.publish(m)
		to.want(m)
	}
}

const (
	many         = 5000
	manyInflight = 100
)

// testMany sends many messages with many in flight: all come, each once, in order.
func testMany(t *testing.T, b *broker, qos mqtt.QoS) {
	topic := fresh("many/")
	to := b.connect(t, nil).subscribe(topic, qos)
	from := b.connect(t, func(c *mqtt.Config) { c.Inflight = manyInflight })
	sent := from.submit(topic, qos, func(i int) bool { return i < many })
	for i := range many {
		to.want(mqtt.Message{Topic: topic, Payload: count(i), QoS: qos})
	}
	sent.wait()
}

// count is the payload of message i.
func count(i int) []byte { return fmt.Appendf(nil, "message %d", i) }

// deliveries are messages on their way.
type deliveries struct {
	c    *client
	done chan []mqtt.Delivery
}

// submit begins to publish messages, as long as more says so of the next.
func (c *client) submit(topic string, qos mqtt.QoS, more func(i int) bool) deliveries {
	d := deliveries{c, make(chan []mqtt.Delivery, 1)}
	ctx := within(c.t)
	go func() {
		var all []mqtt.Delivery
		for i := 0; more(i); i++ {
			delivery, err := c.Submit(ctx, mqtt.Message{Topic: topic, Payload: count(i), QoS: qos})
			if err != nil {
				c.t.Errorf("submit of message %d: %v", i, err)
				break
			}
			all = append(all, delivery)
		}
		d.done <- all
	}()
	return d
}

// wait waits until all of them are acknowledged, and returns how many they are.
func (d deliveries) wait() int {
	d.c.t.Helper()
	all := <-d.done
	for i, delivery := range all {
		if err := delivery.Wait(within(d.c.t)); err != nil {
			d.c.t.Fatalf("message %d of %d: %v", i, len(all), err)
		}
	}
	return len(all)
}

// testPublisherCutOff resets the publisher's connection again and again while it publishes.
func testPublisherCutOff(t *testing.T, b *broker, qos mqtt.QoS) {
	topic := fresh("cutoff/")
	to := b.connect(t, nil).subscribe(topic, qos)
	weak, line := b.throughLine(t)
	from := weak.connect(t, func(c *mqtt.Config) { c.CleanSession = false })
	testCutOff(b, from, to, from, line, topic, qos)
}

// testSubscriberCutOff does the same to the subscriber.
func testSubscriberCutOff(t *testing.T, b *broker, qos mqtt.QoS) {
	topic := fresh("cutoff/")
	weak, line := b.throughLine(t)
	receiver := weak.connect(t, func(c *mqtt.Config) { c.CleanSession = false })
	to := receiver.subscribe(topic, qos)
	before := receiver.packets.of(packet.SUBSCRIBE)
	testCutOff(b, b.connect(t, nil), to, receiver, line, topic, qos)
	if n := receiver.packets.of(packet.SUBSCRIBE) - before; n != 0 && !receiver.inDoubt() {
		t.Errorf("%d SUBSCRIBE packets were sent after reconnects, want none: the session has the subscription", n)
	}
}

// testCutOff publishes while the line of victim is cut a few times.
func testCutOff(b *broker, from *client, to *inbox, victim *client, line *line, topic string, qos mqtt.QoS) {
	t := victim.t
	t.Helper()
	var enough atomic.Bool
	sent := from.submit(topic, qos, func(int) bool {
		time.Sleep(200 * time.Microsecond) // so that there are not too many in the end
		return !enough.Load()
	})
	victim.awaitPresent()
	const cuts = 6
	for range cuts {
		time.Sleep(rand.N(20 * time.Millisecond))
		line.cut()
		victim.awaitLost()
		line.restore()
		if !victim.awaitPresent() {
			t.Fatal("session present is 0, want that the broker keeps the session")
		}
	}
	enough.Store(true)
	n := sent.wait()
	var copies int
	if b.kind.reorders == "" {
		copies = to.wantAllInOrder(topic, qos, n)
	} else {
		t.Logf("in any order, since %s: %s", b.kind.name, b.kind.reorders)
		copies = to.wantAll(topic, qos, n, qos == mqtt.QoS1 || victim.inDoubt())
	}
	t.Logf("%d messages came over %d connections, and %d copies", n, cuts+1, copies)
}

// inDoubt reports whether a CONNECT got no answer. The client then does not know whether the broker keeps the session:
// it subscribes again, and takes a QoS 2 message with DUP 0 for a new one.
func (c *client) inDoubt() bool {
	return c.packets.of(packet.CONNECT) > c.Stats().Connects
}

// wantAllInOrder takes messages 0 to n-1: at QoS 2 exactly once, at QoS 1 at least once; the first copies in order
// [MQTT-4.6.0-6]. It returns how many second copies came.
func (in *inbox) wantAllInOrder(topic string, qos mqtt.QoS, n int) (copies int) {
	in.t.Helper()
	for i := 0; i < n; {
		got := in.nextCount(topic, qos)
		switch {
		case got == i:
			i++
		case got < i && qos == mqtt.QoS1:
			copies++
		default:
			in.t.Fatalf("message %d came, want %d of %d (QoS %d)", got, i, n, qos)
		}
	}
	return copies
}

// wantAll takes messages 0 to n-1, in any order, at least once, or exactly once. It returns how many second copies came.
func (in *inbox) wantAll(topic string, qos mqtt.QoS, n int, atLeastOnce bool) (copies int) {
	in.t.Helper()
	came := map[int]bool{}
	for len(came) < n {
		got := in.nextCount(topic, qos)
		switch {
		case !came[got]:
			came[got] = true
		case atLeastOnce:
			copies++
		default:
			in.t.Fatalf("message %d came twice (QoS %d)", got, qos)
		}
	}
	return copies
}

// nextCount takes the next message and returns its number.
func (in *inbox) nextCount(topic string, qos mqtt.QoS) int {
	in.t.Helper()
	m := in.next()
	var i int
	if _, err := fmt.Sscanf(string(m.Payload), "message %d", &i); err != nil || m.Topic != topic || m.QoS != qos || m.Retain {
		in.t.Fatalf("unexpected message %s", show(m))
	}
	return i
}

// testDefaultLimits has a client as it is by default send what has gathered before it was connected, as fast as it can,
// to a broker as it is by default.
func testDefaultLimits(t *testing.T, b *broker) {
	b = b.again(t, setup{asShipped: true})
	for _, qos := range []mqtt.QoS{mqtt.QoS1, mqtt.QoS2} {
		from := b.client(t, nil)
		gathered := make(chan struct{})
		sent := from.submit(fresh("default/"), qos, func(i int) bool {
			if i == 300 {
				close(gathered)
			}
			return i < 300
		})
		<-gathered
		from.start()
		sent.wait()
		if s := from.Stats(); s.Connects != 1 {
			t.Errorf("QoS %d: %d connections, want 1; the first ended with: %v", qos, s.Connects, from.awaitLost())
		}
	}
}
