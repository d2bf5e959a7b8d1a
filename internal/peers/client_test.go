package peers

import (
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"iotwire/mqtt"
	"iotwire/mqtt/packet"
)

// number makes names that no other test uses.
var number atomic.Int64

// fresh returns a client identifier or a topic name that no other test uses.
func fresh(prefix string) string { return fmt.Sprintf("%s%d", prefix, number.Add(1)) }

// within returns a context that ends with the test, or when patience does.
func within(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

// client is a client of ours.
type client struct {
	*mqtt.Client
	t       *testing.T
	packets packets
	present chan bool     // session present, for each CONNACK that accepted
	lost    chan error    // for each attempt that failed and each connection that ended
	granted chan string   // filters, for each SUBACK that grants
	ended   chan struct{} // closed when Run has returned
	err     error         // of Run, once ended
	cancel  context.CancelFunc
	loops   sync.WaitGroup // the loops of inboxes
}

// client makes a client of the broker that does not run yet. change may change its configuration, and may be nil.
func (b *broker) client(t *testing.T, change func(*mqtt.Config)) *client {
	t.Helper()
	c := &client{
		t:       t,
		packets: packets{sent: map[packet.Type]int{}},
		present: make(chan bool, 1000),
		lost:    make(chan error, 1000),
		granted: make(chan string, 10_000),
		ended:   make(chan struct{}),
	}
	endpoint := b.config(t)
	endpoint.ClientID = fresh("peer-")
	config, err := endpoint.MQTT()
	if err != nil {
		t.Fatal(err)
	}
	config.CleanSession = true
	config.Dial = c.packets.count(config.Dial)
	config.Timeout = patience
	config.MaxPacket = 2 << 20
	config.Inbox = 8 << 20
	config.Backoff = mqtt.Backoff{Min: 10 * time.Millisecond, Max: 100 * time.Millisecond}
	config.Trace = &mqtt.Trace{
		Connected:    func(sessionPresent bool) { c.present <- sessionPresent },
		Disconnected: func(err error, _ bool, _ time.Duration) { c.lost <- err },
		Subscribed: func(filter string, _ mqtt.QoS, err error) {
			if err == nil {
				c.granted <- filter
			}
		},
		Dropped: func(m *mqtt.Message, err error) {
			t.Errorf("the client dropped a message on %s: %v", m.Topic, err)
		},
	}
	if change != nil {
		change(&config)
	}
	c.Client, err = mqtt.New(config)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// start lets the client run. It ends with the test.
func (c *client) start() {
	ctx, cancel := context.WithCancel(context.Background())
	c.cancel = cancel
	go func() {
		c.err = c.Run(ctx)
		close(c.ended)
	}()
	c.t.Cleanup(c.stop)
}

// connect makes a client, starts it, and waits until it is connected.
func (b *broker) connect(t *testing.T, change func(*mqtt.Config)) *client {
	t.Helper()
	c := b.client(t, change)
	c.start()
	if err := c.Ready(within(t)); err != nil {
		t.Fatalf("not connected: %v", err)
	}
	return c
}

// stop ends the client with DISCONNECT and waits for its end. All that came is then in the inboxes.
func (c *client) stop() {
	c.cancel()
	<-c.ended
	c.loops.Wait()
}

// awaitPresent waits for the next CONNACK and returns its session present flag.
func (c *client) awaitPresent() bool {
	c.t.Helper()
	select {
	case present := <-c.present:
		return present
	case <-time.After(patience):
		c.t.Fatal("the client does not connect")
		return false
	}
}

// awaitLost waits for the end of the connection, or of the attempt to connect, and returns why it ended.
func (c *client) awaitLost() error {
	c.t.Helper()
	select {
	case err := <-c.lost:
		return err
	case <-time.After(patience):
		c.t.Fatal("the connection does not end")
		return nil
	}
}

// awaitGranted waits until filter is granted once more.
func (c *client) awaitGranted(filter string) {
	c.t.Helper()
	deadline := time.After(patience)
	for {
		select {
		case f := <-c.granted:
			if f == filter {
				return
			}
		case <-deadline:
			c.t.Fatalf("no SUBACK for %s", filter)
		}
	}
}

// publish publishes messages, one after the other.
func (c *client) publish(messages ...mqtt.Message) {
	c.t.Helper()
	for _, m := range messages {
		if err := c.Publish(within(c.t), m); err != nil {
			c.t.Fatalf("publish on %s at QoS %d: %v", m.Topic, m.QoS, err)
		}
	}
}

// publisher is a client of any kind.
type publisher interface {
	publish(messages ...mqtt.Message)
}

// inbox has the messages that a subscription has got.
type inbox struct {
	t        *testing.T
	filter   string
	sub      *mqtt.Subscription // nil if the client is not ours
	messages chan mqtt.Message
}

// subscribe subscribes and waits until the broker has done so.
func (c *client) subscribe(filter string, qos mqtt.QoS) *inbox {
	c.t.Helper()
	in := c.declare(filter, qos)
	if err := in.sub.Ready(within(c.t)); err != nil {
		c.t.Fatalf("subscribe to %s: %v", filter, err)
	}
	c.settle()
	return in
}

// settle waits until the broker has done everything for the packets that the client has sent: some brokers answer
// SUBSCRIBE before they look for retained messages.
func (c *client) settle() {
	c.t.Helper()
	sub, err := c.Subscribe(fresh("settled/"), mqtt.QoS0)
	if err == nil {
		err = sub.Ready(within(c.t))
	}
	if err == nil {
		err = sub.Close(within(c.t))
	}
	if err != nil {
		c.t.Fatalf("settle: %v", err)
	}
}

// declare subscribes without waiting for the answer.
func (c *client) declare(filter string, qos mqtt.QoS) *inbox {
	c.t.Helper()
	sub, err := c.Subscribe(filter, qos)
	if err != nil {
		c.t.Fatalf("subscribe to %s: %v", filter, err)
	}
	in := &inbox{c.t, filter, sub, make(chan mqtt.Message, 100_000)}
	c.loops.Go(func() {
		for m, err := range sub.Messages(context.Background()) {
			if err == nil {
				in.messages <- m.Clone()
			} else if !errors.Is(err, mqtt.ErrClosed) && !errors.Is(err, mqtt.ErrUnsubscribed) && !errors.Is(err, mqtt.ErrRefused) {
				c.t.Errorf("messages of %s: %v", filter, err)
			}
		}
	})
	return in
}

// next returns the next message.
func (in *inbox) next() mqtt.Message {
	in.t.Helper()
	select {
	case m := <-in.messages:
		return m
	case <-time.After(patience):
		in.t.Fatalf("no message comes from %s", in.filter)
		return mqtt.Message{}
	}
}

// want takes the next message and compares it with what it should be. Every message at QoS 0 or on a first delivery has
// DUP 0.
func (in *inbox) want(want mqtt.Message) {
	in.t.Helper()
	if got := in.next(); show(got) != show(want) {
		in.t.Fatalf("from %s came %s, want %s", in.filter, show(got), show(want))
	}
}

// show writes a message so that it can be compared and read.
func show(m mqtt.Message) string {
	payload := fmt.Sprintf("%q", m.Payload)
	if len(payload) > 100 {
		payload = fmt.Sprintf("%.80s... (%d bytes, sum %x)", payload, len(m.Payload), sum(m.Payload))
	}
	s := fmt.Sprintf("%s %s QoS %d", m.Topic, payload, m.QoS)
	if m.Retain {
		s += " RETAIN"
	}
	if m.Dup {
		s += " DUP"
	}
	return s
}

// sum is a fingerprint of a long payload.
func sum(p []byte) uint32 { return crc32.ChecksumIEEE(p) }

// wantNothing makes sure that no message has come but those taken: it has from publish a marker on topic, which must be
// the next to come.
func (in *inbox) wantNothing(from publisher, topic string) {
	in.t.Helper()
	marker := mqtt.Message{Topic: topic, Payload: []byte(fresh("marker ")), QoS: mqtt.QoS1}
	from.publish(marker)
	if got := in.next(); string(got.Payload) != string(marker.Payload) {
		in.t.Fatalf("from %s came %s, want nothing but the marker", in.filter, show(got))
	}
}
