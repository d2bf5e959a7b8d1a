package peers

import (
	"context"
	"errors"
	"testing"
	"time"

	"iotwire/iot"
	"iotwire/mqtt"
	"iotwire/mqtt/packet"
)

// testEmptyClientID has the broker choose the client identifier [MQTT-3.1.3-6].
func testEmptyClientID(t *testing.T, b *broker) {
	topic := fresh("empty/")
	c := b.connect(t, func(c *mqtt.Config) { c.ClientID = "" })
	in := c.subscribe(topic, mqtt.QoS1)
	m := mqtt.Message{Topic: topic, Payload: []byte("to myself"), QoS: mqtt.QoS1}
	c.publish(m)
	in.want(m)
}

// keepAlive is that of a client which is silent for more than twice as long: longer than a broker bears [MQTT-3.1.2-24],
// so that PINGREQ has to keep the connection. mochi-mqtt and nats-server round that time-out down to whole seconds.
const (
	keepAlive = 4 * time.Second
	silence   = 2*keepAlive + keepAlive/4
)

// testKeepAlive begins a silence, during which the test can do other things, and returns what ends it.
func testKeepAlive(t *testing.T, b *broker) (end func(t *testing.T)) {
	c := b.connect(t, func(c *mqtt.Config) { c.KeepAlive = keepAlive })
	began := time.Now()
	return func(t *testing.T) {
		time.Sleep(time.Until(began.Add(silence)))
		if n := c.packets.of(packet.PINGREQ); n < 2 {
			t.Errorf("%d PINGREQ packets were sent in %v, want 2: the keep alive is %v", n, silence, keepAlive)
		}
		c.publish(mqtt.Message{Topic: fresh("alive/"), QoS: mqtt.QoS1})
		if s := c.Stats(); s.Connects != 1 {
			t.Errorf("%d connections, want that the first still lives; it ended with: %v", s.Connects, <-c.lost)
		}
	}
}

// testPassword connects to a broker that asks for user name and password.
func testPassword(t *testing.T, b *broker) {
	const user, password = "meter", "corréct horse"
	b = b.again(t, setup{user: user, password: password})
	for _, test := range []struct {
		name, user string
		password   []byte
		ok         bool
	}{
		{"right", user, []byte(password), true},
		{"wrong password", user, []byte("wrong"), false},
		{"no password", user, nil, false},
		{"wrong user", "somebody", []byte(password), false},
		{"no user", "", nil, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := b.client(t, func(c *mqtt.Config) {
				c.Credentials = func(context.Context) (string, []byte, error) { return test.user, test.password, nil }
			})
			c.start()
			err := c.Ready(within(t))
			if test.ok {
				if err != nil {
					t.Fatalf("not connected: %v", err)
				}
				c.publish(mqtt.Message{Topic: fresh("password/"), QoS: mqtt.QoS1})
				return
			}
			var refused *mqtt.ConnectError
			if !errors.As(err, &refused) || refused.Code != packet.RefusedCredentials && refused.Code != packet.RefusedUnauthorized {
				t.Fatalf("Ready: %v, want a refusal with code 4 or 5", err)
			}
			<-c.ended // [mqtt.Config.Retry] time does not cure it
			if !errors.As(c.err, &refused) {
				t.Errorf("Run returned %v, want the refusal", c.err)
			}
		})
	}
}

// testCertificate connects to a broker that asks for a certificate with none, with that of a stranger, and with a CA
// that is not the broker's.
func testCertificate(t *testing.T, b *broker) {
	if b.setup.certificates == nil {
		t.Skip("without TLS there are no certificates")
	}
	ours, strange := b.setup.certificates.made, makeCertificates(t).made
	for _, test := range []struct {
		name                 string
		ca, certificate, key []byte
	}{
		{"none", ours.CA, nil, nil},
		{"of a stranger", ours.CA, strange.Device, strange.DeviceKey},
		{"of the broker's CA but another is trusted", strange.CA, ours.Device, ours.DeviceKey},
	} {
		t.Run(test.name, func(t *testing.T) {
			credentials, err := iot.ParseCredentials(test.ca, test.certificate, test.key)
			if err != nil {
				t.Fatal(err)
			}
			config, err := iot.Config{Endpoint: b.endpoint(), Credentials: credentials, ClientPrefix: "stranger"}.MQTT()
			if err != nil {
				t.Fatal(err)
			}
			config.Timeout = patience
			c, err := mqtt.New(config)
			if err != nil {
				t.Fatal(err)
			}
			if err := c.Run(within(t)); errors.Is(err, context.DeadlineExceeded) || err == nil {
				t.Errorf("Run: %v, want that it ends because of the certificate", err)
			} else {
				t.Logf("Run: %v", err)
			}
		})
	}
}
