package main

import (
	"fmt"
	"sync"
	"time"

	"iotwire/mqtt"
)

// measureScale connects j.Count clients in one process and has each publish one message at QoS 1, all at once.
func measureScale(j *job) (r result, err error) {
	one := *j
	one.QoS, one.Window = 1, 1
	before := resident()
	clients := make([]client, j.Count)
	began := time.Now()
	var connecting sync.WaitGroup
	failed := make(chan error, j.Count)
	room := make(chan struct{}, 50) // a server may refuse more at once
	for i := range clients {
		room <- struct{}{}
		connecting.Go(func() {
			defer func() { <-room }()
			c, err := connectOurs(&one)
			if err != nil {
				failed <- err
			}
			clients[i] = c
		})
	}
	connecting.Wait()
	r.P50 = time.Since(began) / time.Duration(j.Count) // to connect
	defer func() {
		for _, c := range clients {
			if c != nil {
				c.close()
			}
		}
	}()
	select {
	case err := <-failed:
		return r, err
	default:
	}
	began = time.Now()
	deliveries := make([]mqtt.Delivery, j.Count)
	for i, c := range clients {
		o := c.(*iotwire)
		if deliveries[i], err = o.Submit(background, o.message); err != nil {
			return r, err
		}
	}
	for _, d := range deliveries {
		if err := d.Wait(background); err != nil {
			return r, err
		}
	}
	r.Messages, r.Took = j.Count, time.Since(began)
	r.Memory = float64(resident()-before) / 1024 / float64(j.Count)
	return r, nil
}

// scale shows that neither time nor memory for a client grows with the number of clients.
func (b *bench) scale() {
	counts := []int{1, 10, 100, 1000, 10000}
	if b.quick {
		counts = []int{1, 10, 100, 1000}
	}
	for _, n := range counts {
		name := fmt.Sprintf("%d clients, TCP", n)
		if !b.wanted("scale", name) {
			continue
		}
		x := b.alone(ours.name, &job{What: "scale", Count: n, Size: 256, Server: b.server})
		b.rows = append(b.rows, row{Section: "scale", Case: name, Contestant: ours.name, Unavailable: x.Error,
			Millis: x.P50.Seconds() * 1e3, CPU: micros(x.Took) / float64(n), Memory: x.Memory})
	}
}
