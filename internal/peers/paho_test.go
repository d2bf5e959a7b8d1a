package peers

import (
	"testing"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"

	"iotwire/mqtt"
)

// pahoClient is a client of paho.mqtt.golang.
type pahoClient struct {
	paho.Client
	t    *testing.T
	up   chan struct{} // for each connection
	lost chan error    // for each connection that ended
	all  *inbox        // what came by no subscription of this client
}

// newPaho makes a client of the broker that is not connected yet. change may change its options, and may be nil. The
// client ends with the test.
func (b *broker) newPaho(t *testing.T, change func(*paho.ClientOptions)) *pahoClient {
	t.Helper()
	c := &pahoClient{
		t:    t,
		up:   make(chan struct{}, 1000),
		lost: make(chan error, 1000),
		all:  &inbox{t: t, filter: "its session", messages: make(chan mqtt.Message, 100_000)},
	}
	o := paho.NewClientOptions().
		AddBroker(b.pahoURL()).
		SetClientID(fresh("paho-")).
		SetProtocolVersion(4). // MQTT 3.1.1, and nothing older
		SetConnectTimeout(patience).
		SetMaxReconnectInterval(50 * time.Millisecond).
		SetOnConnectHandler(func(paho.Client) { c.up <- struct{}{} }).
		SetConnectionLostHandler(func(_ paho.Client, err error) { c.lost <- err }).
		SetDefaultPublishHandler(c.all.take)
	if b.setup.certificates != nil {
		config, err := b.setup.certificates.made.DeviceConfig()
		if err != nil {
			t.Fatal(err)
		}
		o.SetTLSConfig(config)
	}
	if change != nil {
		change(o)
	}
	c.Client = paho.NewClient(o)
	t.Cleanup(func() { c.Disconnect(250) })
	return c
}

// pahoURL is the broker's address as paho takes it.
func (b *broker) pahoURL() string {
	if b.setup.certificates != nil {
		return "ssl://" + b.address
	}
	return "tcp://" + b.address
}

// connectPaho makes a client and connects it.
func (b *broker) connectPaho(t *testing.T, change func(*paho.ClientOptions)) *pahoClient {
	t.Helper()
	c := b.newPaho(t, change)
	c.await("CONNECT", c.Connect())
	return c
}

// await waits for the end of something that paho does.
func (c *pahoClient) await(what string, token paho.Token) {
	c.t.Helper()
	if !token.WaitTimeout(patience) {
		c.t.Fatalf("%s does not end", what)
	}
	if err := token.Error(); err != nil {
		c.t.Fatalf("%s: %v", what, err)
	}
}

// publish publishes messages, one after the other.
func (c *pahoClient) publish(messages ...mqtt.Message) {
	c.t.Helper()
	for _, m := range messages {
		c.await("PUBLISH on "+m.Topic, c.Publish(m.Topic, byte(m.QoS), m.Retain, m.Payload))
	}
}

// subscribe subscribes and waits until the broker has done so.
func (c *pahoClient) subscribe(filter string, qos mqtt.QoS) *inbox {
	c.t.Helper()
	in := &inbox{t: c.t, filter: filter, messages: make(chan mqtt.Message, 100_000)}
	token := c.Subscribe(filter, byte(qos), in.take)
	c.await("SUBSCRIBE to "+filter, token)
	if granted := token.(*paho.SubscribeToken).Result()[filter]; granted != byte(qos) {
		c.t.Fatalf("SUBSCRIBE to %s was answered with %#x, want %d", filter, granted, qos)
	}
	return in
}

// take is a handler of messages.
func (in *inbox) take(_ paho.Client, m paho.Message) {
	in.messages <- mqtt.Message{Topic: m.Topic(), Payload: m.Payload(), QoS: mqtt.QoS(m.Qos()), Retain: m.Retained(), Dup: m.Duplicate()}
}

// awaitLost waits for the end of the connection.
func (c *pahoClient) awaitLost() {
	c.t.Helper()
	select {
	case <-c.lost:
	case <-time.After(patience):
		c.t.Fatal("the connection does not end")
	}
}

// awaitUp waits for a connection.
func (c *pahoClient) awaitUp() {
	c.t.Helper()
	select {
	case <-c.up:
	case <-time.After(patience):
		c.t.Fatal("the client does not connect")
	}
}
