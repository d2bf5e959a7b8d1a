// Command atwat publishes messages at QoS 1 with at-wat/mqtt-go.
package main

import (
	"context"

	mqtt "github.com/at-wat/mqtt-go"

	"iotwire/internal/peers/bench/programs/errand"
)

func main() {
	e := errand.Given()
	ctx := context.Background()
	client, err := mqtt.DialContext(ctx, "mqtts://"+e.Address, mqtt.WithTLSConfig(e.TLS))
	errand.Check(err)
	_, err = client.Connect(ctx, "demo", mqtt.WithCleanSession(true))
	errand.Check(err)
	for range e.Messages {
		errand.Check(client.Publish(ctx, &mqtt.Message{Topic: "a", QoS: mqtt.QoS1, Payload: []byte("message")}))
	}
	errand.Check(client.Disconnect(ctx))
}
