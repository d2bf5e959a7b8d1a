package mqtt_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net"
	"os"
	"time"

	"iotwire/internal/testbroker"
	"iotwire/mqtt"
	"iotwire/mqtt/filestore"
)

// What to do with the outcome: nil is an acknowledgement, and each error says whether the message may have arrived.
func ExampleClient_Publish() {
	broker := testbroker.New(testbroker.Config{AckDelay: time.Hour}) // one that does not answer in time
	defer broker.Close()
	client, stop := connect(broker, mqtt.Config{ClientID: "meter-7"}) // New, and Run in a goroutine
	defer stop()
	if err := client.Ready(context.Background()); err != nil {
		log.Fatal(err)
	}

	ctx, cancel := context.WithTimeout(context.Background(), 200*time.Millisecond)
	defer cancel()
	for _, m := range []mqtt.Message{
		{Topic: "meter/+/power", Payload: []byte("42 W"), QoS: mqtt.QoS1}, // no topic name
		{Topic: "meter/7/power", Payload: []byte("42 W"), QoS: mqtt.QoS1},
	} {
		err := client.Publish(ctx, m)
		switch {
		case err == nil:
			fmt.Println("the server has it")
		case errors.Is(err, mqtt.ErrNotSent):
			fmt.Println("safe to publish again:", err)
		case errors.Is(err, mqtt.ErrUnconfirmed):
			fmt.Println("do not publish it again, the client goes on with it:", errors.Is(err, context.DeadlineExceeded))
		}
	}
	// Output:
	// safe to publish again: not sent: PUBLISH: topic name has the wildcard '+', which belongs in topic filters only (byte 8) [MQTT-3.3.2-2]
	// do not publish it again, the client goes on with it: true
}

// A Delivery is asked later, without a wait, or by a select.
func ExampleDelivery() {
	broker := testbroker.New(testbroker.Config{})
	defer broker.Close()
	client, stop := connect(broker, mqtt.Config{ClientID: "meter-7"})
	defer stop()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()

	d, err := client.Submit(ctx, mqtt.Message{Topic: "meter/7/power", Payload: []byte("42 W"), QoS: mqtt.QoS1})
	if err != nil {
		log.Fatal(err)
	}
	select {
	case <-d.Done():
		fmt.Println("delivered:", d.Err())
	case <-time.After(10 * time.Second):
		fmt.Println("not yet:", d.Err()) // ErrPending
	}
	fmt.Println("the same, with a context:", d.Wait(ctx))
	// Output:
	// delivered: <nil>
	// the same, with a context: <nil>
}

// Messages that are accepted without a network survive the program: a later one delivers them.
func ExampleClient_Resumed() {
	dir, err := os.MkdirTemp("", "session") // /var/lib/meter, say
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()

	// The first program has no network, and ends.
	store, err := filestore.Open(dir, "meter-7", filestore.Options{})
	if err != nil {
		log.Fatal(err)
	}
	offline := func(context.Context) (net.Conn, error) { return nil, errors.New("no network") }
	client, err := mqtt.New(mqtt.Config{Dial: offline, ClientID: "meter-7", Store: store})
	if err != nil {
		log.Fatal(err)
	}
	life, end := context.WithCancel(ctx)
	ended := make(chan error)
	go func() { ended <- client.Run(life) }()
	d, err := client.Submit(ctx, mqtt.Message{Topic: "meter/7/energy", Payload: []byte("21.5 kWh"), QoS: mqtt.QoS1})
	if err != nil {
		log.Fatal(err)
	}
	end()
	<-ended
	fmt.Println("kept for later:", errors.Is(d.Err(), mqtt.ErrStored))

	// The second one has a network.
	broker := testbroker.New(testbroker.Config{})
	defer broker.Close()
	if store, err = filestore.Open(dir, "meter-7", filestore.Options{}); err != nil {
		log.Fatal(err)
	}
	client, stop := connect(broker, mqtt.Config{ClientID: "meter-7", Store: store})
	defer stop()
	for _, r := range client.Resumed() {
		fmt.Println(r.Topic, r.Size, "bytes, delivered:", r.Wait(ctx))
	}
	// Output:
	// kept for later: true
	// meter/7/energy 8 bytes, delivered: <nil>
}

// Stats are for a status page, or for a program that measures itself.
func ExampleClient_Stats() {
	broker := testbroker.New(testbroker.Config{})
	defer broker.Close()
	client, stop := connect(broker, mqtt.Config{ClientID: "meter-7"})
	defer stop()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()

	for range 3 {
		if err := client.Publish(ctx, mqtt.Message{Topic: "meter/7/power", QoS: mqtt.QoS1}); err != nil {
			log.Fatal(err)
		}
	}
	s := client.Stats()
	fmt.Println("online:", s.Online)
	fmt.Println(s.Accepted, "=", s.Done, "+", s.Failed, "+", s.Pending)
	// Output:
	// online: true
	// 3 = 3 + 0 + 0
}
