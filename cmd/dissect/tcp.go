package main

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"iotwire/mqtt/dissect"
)

// stream is one TCP connection of a capture, put together by sequence numbers.
type stream struct {
	ends    [2]string // who sent the first segment, and the other one
	ports   [2]int
	client  int // the index in ends, or -1
	began   bool
	next    [2]uint32
	known   [2]bool
	waiting [2][]late
	chunks  []sent
}

// late is a segment that came before the one in front of it.
type late struct {
	sequence uint32
	data     []byte
}

// sent is data in order.
type sent struct {
	by   int
	at   time.Duration
	data []byte
}

// conversationsOf puts together the connections in frames that are MQTT: by the port, or as one side sends a CONNECT.
func conversationsOf(frames []frame, port int) ([]conversation, error) {
	var streams []*stream
	current := map[string]*stream{}
	for _, f := range frames {
		s, ok := segmentOf(f)
		if !ok {
			continue
		}
		key := s.source + " " + s.target
		if s.source > s.target {
			key = s.target + " " + s.source
		}
		c := current[key]
		if c == nil || s.syn && !s.ack && len(c.chunks) > 0 {
			c = &stream{ends: [2]string{s.source, s.target}, ports: s.ports, client: -1}
			streams, current[key] = append(streams, c), c
		}
		c.take(s, f.at)
	}
	var all []conversation
	for _, c := range streams {
		if made, ok := c.conversation(port); ok {
			all = append(all, made)
		}
	}
	if len(all) == 0 {
		return nil, errors.New("no MQTT connection in the capture: is --port right?")
	}
	return all, nil
}

func (c *stream) take(s segment, at time.Duration) {
	by := 0
	if s.source != c.ends[0] {
		by = 1
	}
	if s.syn {
		c.began = true
		c.client = by
		if s.ack {
			c.client = 1 - by
		}
		c.next[by], c.known[by] = s.sequence+1, true
		return
	}
	if len(s.data) == 0 {
		return
	}
	if !c.known[by] {
		c.next[by], c.known[by] = s.sequence, true
	}
	c.waiting[by] = append(c.waiting[by], late{s.sequence, s.data})
	for c.deliver(by, at) {
	}
}

// deliver takes the next data in order from those that wait, if it is there. What came before is dropped.
func (c *stream) deliver(by int, at time.Duration) bool {
	for i, w := range c.waiting[by] {
		ahead := int32(w.sequence - c.next[by])
		if ahead > 0 {
			continue
		}
		c.waiting[by] = append(c.waiting[by][:i:i], c.waiting[by][i+1:]...)
		if old := int(-int64(ahead)); old < len(w.data) {
			c.chunks = append(c.chunks, sent{by, at, w.data[old:]})
			c.next[by] += uint32(len(w.data) - old)
		}
		return true
	}
	return false
}

// conversation tells who is the client: who sent the SYN, else who sends a CONNECT, else whose port is not the server's.
func (c *stream) conversation(port int) (conversation, bool) {
	if len(c.chunks) == 0 {
		return conversation{}, false
	}
	connects := -1
	for _, s := range c.chunks {
		if len(s.data) >= 9 && s.data[0] == 0x10 && strings.Contains(string(s.data[:min(len(s.data), 12)]), "MQ") {
			connects = s.by
			break
		}
	}
	switch {
	case c.client >= 0:
	case connects >= 0:
		c.client = connects
	case c.ports[0] == port:
		c.client = 1
	default:
		c.client = 0
	}
	server := c.ports[1-c.client]
	if server != port && server != 8883 && connects < 0 {
		return conversation{}, false
	}
	out := conversation{
		title:   fmt.Sprintf("%s to %s", c.ends[c.client], c.ends[1-c.client]),
		session: true,
		midway:  !c.began && connects < 0,
	}
	for _, s := range c.chunks {
		from := dissect.ToServer
		if s.by != c.client {
			from = dissect.ToClient
		}
		out.chunks = append(out.chunks, chunk{from, s.at - c.chunks[0].at, s.data})
	}
	for by := range c.waiting {
		if len(c.waiting[by]) > 0 {
			out.title += fmt.Sprintf("; the capture lacks bytes from %s", c.ends[by])
		}
	}
	return out, true
}
