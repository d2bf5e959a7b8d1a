package main

import (
	"context"
	"sync"
	"sync/atomic"

	mqtt "github.com/at-wat/mqtt-go"
)

var atwat = contestant{
	name:    "at-wat",
	connect: connectAtWat,
	idle: func(j *job) (func(), error) {
		c, err := connectAtWat(j)
		if err != nil {
			return nil, err
		}
		return c.close, nil
	},
}

// atWatClient is a BaseClient: the fastest that the package has. A ReconnectClient has one message in flight at a time.
type atWatClient struct {
	*mqtt.BaseClient
	job     *job
	payload []byte
	got     chan int // how many of the messages that come are wanted
	done    chan struct{}
}

func connectAtWat(j *job) (client, error) {
	conn, err := j.dial()
	if err != nil {
		return nil, err
	}
	a := &atWatClient{&mqtt.BaseClient{Transport: conn}, j, j.payload(), make(chan int), make(chan struct{})}
	wanted := 0
	a.Handle(mqtt.HandlerFunc(func(*mqtt.Message) {
		if wanted == 0 {
			wanted = <-a.got
		}
		if wanted--; wanted == 0 {
			a.done <- struct{}{}
		}
	}))
	if _, err := a.Connect(context.Background(), "bench", mqtt.WithCleanSession(true)); err != nil {
		return nil, err
	}
	if j.What == "receive" {
		if _, err := a.Subscribe(context.Background(), mqtt.Subscription{Topic: j.filter(), QoS: mqtt.QoS(j.QoS)}); err != nil {
			return nil, err
		}
	}
	return a, nil
}

func (a *atWatClient) close() {
	if a.job.What == "receive" {
		go func() { a.got <- 1 << 60 }() // the handler may be waiting
	}
	a.Close()
}

func (a *atWatClient) publish(n int) error {
	m := func(q byte) *mqtt.Message { return &mqtt.Message{Topic: topic, QoS: mqtt.QoS(q), Payload: a.payload} }
	if a.job.Window <= 1 || a.job.QoS == 0 {
		for range n {
			if err := a.Publish(context.Background(), m(a.job.QoS)); err != nil {
				return err
			}
		}
	} else { // Publish waits for the acknowledgement: one goroutine for each message in flight
		var next atomic.Int64
		var wg sync.WaitGroup
		failed := make(chan error, a.job.Window)
		for range a.job.Window {
			wg.Go(func() {
				for next.Add(1) <= int64(n) {
					if err := a.Publish(context.Background(), m(a.job.QoS)); err != nil {
						failed <- err
						return
					}
				}
			})
		}
		wg.Wait()
		select {
		case err := <-failed:
			return err
		default:
		}
	}
	if a.job.QoS == 0 {
		return a.Publish(context.Background(), m(1))
	}
	return nil
}

func (a *atWatClient) receive(n int) error {
	a.got <- n
	<-a.done
	return nil
}
