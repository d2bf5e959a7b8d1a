package main

import (
	"context"
	"errors"
	"fmt"
	"net"

	"iotwire/mqtt"
)

var ours = contestant{
	name:    "iotwire",
	connect: connectOurs,
	idle: func(j *job) (func(), error) {
		c, err := newOurs(j)
		if err != nil {
			return nil, err
		}
		go c.Run(background)
		return func() { c.Shutdown(background) }, c.Ready(background)
	},
	codec: ourCodec,
}

type iotwire struct {
	*mqtt.Client
	job     *job
	message mqtt.Message
	sub     *mqtt.Subscription
	cancel  context.CancelFunc
	ended   chan struct{}
}

var background = context.Background()

func newOurs(j *job) (*mqtt.Client, error) {
	return mqtt.New(mqtt.Config{
		ClientID:     "bench",
		CleanSession: true,
		Inflight:     max(j.Window, 1),
		Dial:         func(context.Context) (net.Conn, error) { return j.dial() },
	})
}

func connectOurs(j *job) (client, error) {
	c, err := newOurs(j)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(background)
	o := &iotwire{Client: c, job: j, cancel: cancel, ended: make(chan struct{})}
	o.message = mqtt.Message{Topic: topic, Payload: j.payload(), QoS: mqtt.QoS(j.QoS)}
	go func() {
		defer close(o.ended)
		c.Run(ctx)
	}()
	if err := c.Ready(background); err != nil {
		return nil, err
	}
	if j.What == "receive" {
		all, err := c.Subscribe("plant/#", mqtt.QoS(j.QoS)) // where the messages go
		if err != nil {
			return nil, err
		}
		flood, err := c.Subscribe(j.filter(), mqtt.QoS(j.QoS)) // what makes them come
		if err != nil {
			return nil, err
		}
		o.sub = all
		if err := flood.Ready(background); err != nil {
			return nil, err
		}
	}
	return o, nil
}

func (o *iotwire) close() {
	o.cancel()
	<-o.ended
}

func (o *iotwire) publish(n int) error {
	if o.job.QoS > 0 && o.job.Window == 1 {
		for range n {
			if err := o.Publish(background, o.message); err != nil {
				return err
			}
		}
		return nil
	}
	before := o.Stats().Done
	var latest mqtt.Delivery
	for range n {
		var err error
		if latest, err = o.Submit(background, o.message); err != nil {
			return err
		}
	}
	last := o.message
	last.QoS = max(last.QoS, 1)
	if err := o.Publish(background, last); err != nil {
		return err
	}
	// At QoS 0 the server's answer to the last one can be here before the writer has said what it wrote.
	if err := latest.Wait(background); err != nil {
		return err
	}
	if done := int(o.Stats().Done - before); done != n+1 {
		return fmt.Errorf("%d of %d messages delivered", done, n+1)
	}
	return nil
}

func (o *iotwire) receive(n int) error {
	for m, err := range o.sub.Messages(background) {
		if err != nil {
			return err
		}
		if len(m.Payload) != o.job.Size {
			return errWire
		}
		if n--; n == 0 {
			return nil
		}
	}
	return errors.New("the loop ended")
}
