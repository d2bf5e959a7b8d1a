package main

import (
	"context"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"iotwire/mqtt"
	"iotwire/mqtt/filestore"
)

// measureDurable publishes at QoS 1 from j.Count goroutines, and each message is on the disk before it is sent. The
// limit is a file that gets a record of the same size and an fsync for each message.
func measureDurable(name string, j *job) (r result, err error) {
	dir, err := os.MkdirTemp(j.Dir, "durable")
	if err != nil {
		return r, err
	}
	defer os.RemoveAll(dir)
	if name == limit.name {
		f, err := os.Create(dir + "/file")
		if err != nil {
			return r, err
		}
		defer f.Close()
		b := appendPublish(nil, 1, 1, j.payload())
		for began := time.Now(); r.Took < j.For; r.Took = time.Since(began) {
			if _, err := f.Write(b); err != nil {
				return r, err
			}
			if err := f.Sync(); err != nil {
				return r, err
			}
			r.Messages++
		}
		return r, nil
	}
	store, err := filestore.Open(dir, "bench", filestore.Options{})
	if err != nil {
		return r, err
	}
	c, err := mqtt.New(mqtt.Config{
		ClientID: "bench",
		Inflight: 100,
		Store:    store,
		Dial:     func(context.Context) (net.Conn, error) { return j.dial() },
	})
	if err != nil {
		return r, err
	}
	ctx, cancel := context.WithCancel(background)
	var all, run sync.WaitGroup
	run.Go(func() { c.Run(ctx) })
	defer run.Wait()
	defer cancel()
	if err := c.Ready(ctx); err != nil {
		return r, err
	}
	m := mqtt.Message{Topic: topic, Payload: j.payload(), QoS: mqtt.QoS1}
	var sent atomic.Int64
	var failed atomic.Pointer[error]
	began := time.Now()
	for range j.Count {
		all.Go(func() {
			for time.Since(began) < j.For && failed.Load() == nil {
				if err := c.Publish(ctx, m); err != nil {
					failed.Store(&err)
					return
				}
				sent.Add(1)
			}
		})
	}
	all.Wait()
	r.Messages, r.Took = int(sent.Load()), time.Since(began)
	if err := failed.Load(); err != nil {
		return r, *err
	}
	return r, nil
}
