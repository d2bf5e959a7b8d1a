package main

import (
	"net"
	"os"
	"sync"
	"time"

	"iotwire/internal/cli"
	"iotwire/mqtt/dissect"
)

// illustration is the page about both connections, as the broker sees them.
type illustration struct {
	file *os.File
	live sync.WaitGroup // connections

	mu   sync.Mutex
	page dissect.Page
}

// illustrate creates the file for the page, or returns nil if there is to be none.
func illustrate(name string) (*illustration, error) {
	if name == "" {
		return nil, nil
	}
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, err
	}
	return &illustration{file: f, page: dissect.Page{Maker: "demo " + cli.Version(), Command: "go run ./cmd/demo --page " + name}}, nil
}

// tap follows a connection of the broker's.
func (i *illustration) tap(conn net.Conn) func(fromClient bool, b []byte) {
	began := time.Now()
	i.live.Add(1)
	i.mu.Lock()
	defer i.mu.Unlock()
	c := i.page.Connect("", "broker", "TLS 1.3", began)
	var session dissect.Session
	return func(fromClient bool, b []byte) {
		i.mu.Lock()
		defer i.mu.Unlock()
		at := time.Since(began)
		if b == nil {
			for _, p := range session.Close(at) {
				c.Add(&p)
			}
			c.Close(session.Unanswered())
			i.live.Done()
			return
		}
		d := dissect.ToClient
		if fromClient {
			d = dissect.ToServer
		}
		for _, p := range session.Add(d, at, b) {
			c.Add(&p)
		}
	}
}

// finish waits shortly for the end of the connections, and writes the page.
func (i *illustration) finish() error {
	ended := make(chan struct{})
	go func() {
		i.live.Wait()
		close(ended)
	}()
	select {
	case <-ended:
	case <-time.After(3 * time.Second):
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	_, err := i.file.Write(i.page.Append(nil))
	if err2 := i.file.Close(); err == nil {
		err = err2
	}
	return err
}
