package main

import (
	"net"
	"net/url"

	mqtt "github.com/eclipse/paho.mqtt.golang"
)

var paho = contestant{
	name:    "paho",
	connect: connectPaho,
	idle: func(j *job) (func(), error) {
		c, err := connectPaho(j)
		if err != nil {
			return nil, err
		}
		return c.close, nil
	},
	codec: pahoCodec,
}

type pahoClient struct {
	mqtt.Client
	job     *job
	payload []byte
	tokens  []mqtt.Token // in flight
	got     chan int     // how many of the messages that come are wanted
	done    chan struct{}
}

func connectPaho(j *job) (client, error) {
	p := &pahoClient{job: j, payload: j.payload(), tokens: make([]mqtt.Token, max(j.Window, 1)), got: make(chan int), done: make(chan struct{})}
	o := mqtt.NewClientOptions().AddBroker("tcp://127.0.0.1").SetClientID("bench").SetAutoReconnect(false).
		SetCustomOpenConnectionFn(func(*url.URL, mqtt.ClientOptions) (net.Conn, error) { return j.dial() })
	wanted := 0
	o.SetDefaultPublishHandler(func(mqtt.Client, mqtt.Message) {
		if wanted == 0 {
			wanted = <-p.got
		}
		if wanted--; wanted == 0 {
			p.done <- struct{}{}
		}
	})
	p.Client = mqtt.NewClient(o)
	if t := p.Connect(); t.Wait() && t.Error() != nil {
		return nil, t.Error()
	}
	if j.What == "receive" {
		if t := p.Subscribe(j.filter(), j.QoS, nil); t.Wait() && t.Error() != nil {
			return nil, t.Error()
		}
	}
	return p, nil
}

func (p *pahoClient) close() {
	if p.job.What == "receive" {
		go func() { p.got <- 1 << 60 }() // the handler may be waiting
	}
	p.Disconnect(1) // millisecond
}

func (p *pahoClient) publish(n int) error {
	wait := func(t mqtt.Token) error {
		if t == nil {
			return nil
		}
		t.Wait()
		return t.Error()
	}
	for i := range n {
		slot := &p.tokens[i%len(p.tokens)]
		if err := wait(*slot); err != nil {
			return err
		}
		*slot = p.Publish(topic, p.job.QoS, false, p.payload)
	}
	for i, t := range p.tokens {
		if err := wait(t); err != nil {
			return err
		}
		p.tokens[i] = nil
	}
	if p.job.QoS == 0 {
		return wait(p.Publish(topic, 1, false, p.payload))
	}
	return nil
}

func (p *pahoClient) receive(n int) error {
	p.got <- n
	<-p.done
	return nil
}
