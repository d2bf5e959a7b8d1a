package mqtt_test

import (
	"context"
	"fmt"
	"log"
	"time"

	"iotwire/internal/testbroker"
	"iotwire/mqtt"
)

// A program publishes a message, and knows that the server has it.
func Example() {
	broker := testbroker.New(testbroker.Config{}) // in place of a server
	defer broker.Close()

	client, err := mqtt.New(mqtt.Config{Dial: broker.Dial, ClientID: "meter-7"})
	if err != nil {
		log.Fatal(err)
	}
	ended := make(chan error)
	go func() { ended <- client.Run(context.Background()) }()

	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	err = client.Publish(ctx, mqtt.Message{Topic: "meter/7/power", Payload: []byte("42 W"), QoS: mqtt.QoS1})
	fmt.Println("published:", err)
	fmt.Println("shut down:", client.Shutdown(ctx))
	fmt.Println("ended:", <-ended)
	// Output:
	// published: <nil>
	// shut down: <nil>
	// ended: <nil>
}

// connect runs a client until the function that it returns is called.
func connect(broker *testbroker.Broker, cfg mqtt.Config) (*mqtt.Client, func()) {
	cfg.Dial = broker.Dial
	client, err := mqtt.New(cfg)
	if err != nil {
		log.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		client.Run(ctx)
	}()
	return client, func() { cancel(); <-ended }
}

// A subscription is declared; its messages come to a loop. The step to the next message acknowledges.
func ExampleSubscription_Messages() {
	broker := testbroker.New(testbroker.Config{})
	defer broker.Close()
	client, stop := connect(broker, mqtt.Config{ClientID: "display"})
	defer stop()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()

	power, err := client.Subscribe("meter/+/power", mqtt.QoS1)
	if err != nil {
		log.Fatal(err)
	}
	if err := power.Ready(ctx); err != nil { // mqtt.ErrRefused, perhaps
		log.Fatal(err)
	}
	for _, w := range []string{"40 W", "41 W", "42 W"} {
		broker.Publish("meter/7/power", []byte(w), mqtt.QoS1, false)
	}
	for m, err := range power.Messages(ctx) {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Printf("%s: %s\n", m.Topic, m.Payload)
		if string(m.Payload) == "42 W" {
			break
		}
	}
	// Output:
	// meter/7/power: 40 W
	// meter/7/power: 41 W
	// meter/7/power: 42 W
}

// Many messages on their way at a time: Submit does not wait for the acknowledgements, the Deliveries tell of them.
func ExampleClient_Submit() {
	broker := testbroker.New(testbroker.Config{})
	defer broker.Close()
	client, stop := connect(broker, mqtt.Config{ClientID: "logger", Inflight: 100})
	defer stop()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()

	var all []mqtt.Delivery
	for i := range 1000 {
		d, err := client.Submit(ctx, mqtt.Message{Topic: "log", Payload: fmt.Append(nil, i), QoS: mqtt.QoS1})
		if err != nil {
			log.Fatal(err) // it was not sent
		}
		all = append(all, d)
	}
	acknowledged := 0
	for _, d := range all {
		if err := d.Wait(ctx); err == nil {
			acknowledged++
		}
	}
	fmt.Println(acknowledged, "acknowledged")
	// Output: 1000 acknowledged
}

// A program that writes messages in batches acknowledges them when a batch is safe.
func ExampleMessage_Hold() {
	broker := testbroker.New(testbroker.Config{})
	defer broker.Close()
	client, stop := connect(broker, mqtt.Config{ClientID: "archive"})
	defer stop()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()

	log, _ := client.Subscribe("log", mqtt.QoS1)
	log.Ready(ctx)
	for i := range 6 {
		broker.Publish("log", fmt.Append(nil, i), mqtt.QoS1, false)
	}
	var batch []mqtt.Message
	written := 0
	for m, err := range log.Messages(ctx) {
		if err != nil {
			fmt.Println(err)
			return
		}
		m.Hold()
		if batch = append(batch, m.Clone()); len(batch) < 3 {
			continue
		}
		for i := range batch { // now that they are on disk, say
			fmt.Printf("%s ", batch[i].Payload)
			batch[i].Ack()
		}
		fmt.Println("written")
		if written += len(batch); written == 6 {
			break
		}
		batch = batch[:0]
	}
	// Output:
	// 0 1 2 written
	// 3 4 5 written
}

// Shutdown delivers what was accepted, says good-bye, and ends Run.
func ExampleClient_Shutdown() {
	broker := testbroker.New(testbroker.Config{})
	defer broker.Close()
	client, stop := connect(broker, mqtt.Config{ClientID: "meter-7"})
	defer stop()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	client.Ready(ctx)

	client.Submit(ctx, mqtt.Message{Topic: "meter/7/state", Payload: []byte("off"), QoS: mqtt.QoS2})
	fmt.Println("shut down:", client.Shutdown(ctx))
	s := client.Stats()
	fmt.Println(s.Accepted, "accepted,", s.Done, "done,", s.Failed, "failed")
	// Output:
	// shut down: <nil>
	// 1 accepted, 1 done, 0 failed
}

// Trace is told what happens.
func ExampleTrace() {
	broker := testbroker.New(testbroker.Config{DenySubscribe: []string{"secret"}})
	defer broker.Close()
	client, stop := connect(broker, mqtt.Config{
		ClientID: "curious",
		Trace: &mqtt.Trace{
			Connecting: func(attempt int) { fmt.Println("attempt", attempt) },
			Connected:  func(present bool) { fmt.Println("connected, session present:", present) },
			Subscribed: func(filter string, granted mqtt.QoS, err error) { fmt.Println(filter+":", err) },
		},
	})
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	client.Ready(ctx)
	secret, _ := client.Subscribe("secret", mqtt.QoS1)
	secret.Ready(ctx)
	stop()
	// Output:
	// attempt 1
	// connected, session present: false
	// secret: subscription refused by the server (SUBACK 0x80)
}
