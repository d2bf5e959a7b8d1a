// Command iotwire publishes messages at QoS 1 with package mqtt, and nothing else.
package main

import (
	"context"
	"crypto/tls"
	"net"

	"iotwire/internal/peers/bench/programs/errand"
	"iotwire/mqtt"
)

func main() {
	e := errand.Given()
	dialer := tls.Dialer{Config: e.TLS}
	client, err := mqtt.New(mqtt.Config{
		ClientID:     "demo",
		CleanSession: true,
		Dial:         func(ctx context.Context) (net.Conn, error) { return dialer.DialContext(ctx, "tcp", e.Address) },
	})
	errand.Check(err)
	ctx := context.Background()
	ended := make(chan error)
	go func() { ended <- client.Run(ctx) }()
	for range e.Messages {
		errand.Check(client.Publish(ctx, mqtt.Message{Topic: "a", Payload: []byte("message"), QoS: mqtt.QoS1}))
	}
	errand.Check(client.Shutdown(ctx))
	errand.Check(<-ended)
}
