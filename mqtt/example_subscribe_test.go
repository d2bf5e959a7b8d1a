package mqtt_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"sync"
	"time"

	"iotwire/internal/testbroker"
	"iotwire/mqtt"
)

// Subscriptions are declared before Run, so that nothing is missed that the server has kept. Each has a loop of its own.
func ExampleClient_Subscribe() {
	broker := testbroker.New(testbroker.Config{})
	defer broker.Close()
	broker.Publish("meter/7/power", []byte("42 W"), mqtt.QoS1, true) // retained
	broker.Publish("alarm/fire", []byte("off"), mqtt.QoS1, true)

	client, err := mqtt.New(mqtt.Config{Dial: broker.Dial, ClientID: "display"})
	if err != nil {
		log.Fatal(err)
	}
	power, err := client.Subscribe("meter/+/power", mqtt.QoS0) // enough for what comes again in a minute
	if err != nil {
		log.Fatal(err)
	}
	alarms, err := client.Subscribe("alarm/#", mqtt.QoS1)
	if err != nil {
		log.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	go client.Run(ctx)

	var loops sync.WaitGroup
	for _, s := range []*mqtt.Subscription{power, alarms} {
		loops.Go(func() {
			for m, err := range s.Messages(ctx) {
				if err != nil {
					log.Print(err)
					return
				}
				fmt.Printf("%s got %s %s\n", s.Filter(), m.Topic, m.Payload)
				return // or go on
			}
		})
	}
	loops.Wait()
	// Unordered output:
	// meter/+/power got meter/7/power 42 W
	// alarm/# got alarm/fire off
}

// A worker acknowledges when it is done. What it does not get to do comes again.
// One loop for several filters: each message comes once, and all in the order in which they arrive.
func ExampleClient_SubscribeAll() {
	broker := testbroker.New(testbroker.Config{})
	defer broker.Close()
	client, err := mqtt.New(mqtt.Config{Dial: broker.Dial, ClientID: "journal"})
	if err != nil {
		log.Fatal(err)
	}
	all, err := client.SubscribeAll([]string{"door/#", "+/front"}, mqtt.QoS1)
	if err != nil {
		log.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	go client.Run(ctx)
	if err := all.Ready(ctx); err != nil {
		log.Fatal(err)
	}
	for _, topic := range []string{"door/front", "window/front", "door/back"} {
		if err := client.Publish(ctx, mqtt.Message{Topic: topic, Payload: []byte("open"), QoS: mqtt.QoS1}); err != nil {
			log.Fatal(err)
		}
	}
	n := 0
	for m, err := range all.Messages(ctx) {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Printf("%s %s\n", m.Topic, m.Payload)
		if n++; n == 3 {
			break
		}
	}
	// Output:
	// door/front open
	// window/front open
	// door/back open
}

func ExampleMessage_Ack() {
	broker := testbroker.New(testbroker.Config{})
	defer broker.Close()
	client, stop := connect(broker, mqtt.Config{ClientID: "worker"})
	defer stop()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()

	jobs := make(chan mqtt.Message)
	var worker sync.WaitGroup
	worker.Go(func() {
		for m := range jobs {
			fmt.Printf("done: %s\n", m.Payload)
			if err := m.Ack(); err != nil { // ErrSessionLost or ErrClosed: it comes again
				log.Print(err)
			}
		}
	})

	orders, err := client.Subscribe("orders", mqtt.QoS1)
	if err != nil {
		log.Fatal(err)
	}
	if err := orders.Ready(ctx); err != nil {
		log.Fatal(err)
	}
	for _, order := range []string{"tea", "coffee"} {
		broker.Publish("orders", []byte(order), mqtt.QoS1, false)
	}
	n := 0
	for m, err := range orders.Messages(ctx) {
		if err != nil {
			log.Fatal(err)
		}
		m.Hold()          // the next step of the loop does not acknowledge it
		jobs <- m.Clone() // nor take its memory away
		if n++; n == 2 {
			break
		}
	}
	close(jobs)
	worker.Wait()
	// Output:
	// done: tea
	// done: coffee
}

// A server may refuse a topic filter. Ready tells, and so does a message loop.
func ExampleSubscription_Ready() {
	broker := testbroker.New(testbroker.Config{DenySubscribe: []string{"secret/#"}})
	defer broker.Close()
	client, stop := connect(broker, mqtt.Config{ClientID: "curious"})
	defer stop()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()

	for _, filter := range []string{"news/#", "secret/#"} {
		s, err := client.Subscribe(filter, mqtt.QoS1)
		if err != nil {
			log.Fatal(err)
		}
		err = s.Ready(ctx)
		fmt.Println(s.Filter(), "refused:", errors.Is(err, mqtt.ErrRefused))
	}
	// Output:
	// news/# refused: false
	// secret/# refused: true
}

// Close sends UNSUBSCRIBE and ends the loops, wherever they are.
func ExampleSubscription_Close() {
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
	ended := make(chan error)
	go func() {
		for _, err := range power.Messages(ctx) {
			if err != nil {
				ended <- err
			}
		}
	}()
	fmt.Println("closed:", power.Close(ctx))
	fmt.Println("the loop:", <-ended)
	// Output:
	// closed: <nil>
	// the loop: subscription closed
}
