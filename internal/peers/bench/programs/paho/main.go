// Command paho publishes messages at QoS 1 with paho.mqtt.golang.
package main

import (
	mqtt "github.com/eclipse/paho.mqtt.golang"

	"iotwire/internal/peers/bench/programs/errand"
)

func main() {
	e := errand.Given()
	client := mqtt.NewClient(mqtt.NewClientOptions().AddBroker("ssl://" + e.Address).SetClientID("demo").SetTLSConfig(e.TLS))
	wait(client.Connect())
	for range e.Messages {
		wait(client.Publish("a", 1, false, "message"))
	}
	client.Disconnect(0)
}

func wait(t mqtt.Token) {
	t.Wait()
	errand.Check(t.Error())
}
