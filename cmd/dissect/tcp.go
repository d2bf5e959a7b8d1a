package main

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"time"

	"iotwire/mqtt/dissect"
)

// assembler puts the connections in frames together by sequence numbers, and prints those that are MQTT: by the port, or
// as one side begins with a CONNECT. It follows mostStreams of them at a time.
type assembler struct {
	pr      *printer
	port    int
	untimed bool // nobody knows when the frames came

	streams   map[string]*stream
	count     int // of segments
	encrypted int // connections that are encrypted
	elsewhere int // of them, those on ports of which nothing is known
	unread    int // frames that are of no link that is known
	link      uint32
}

// mostStreams is how many connections of TCP are followed at a time. The one that is silent for longest ends for another.
const mostStreams = 1024

// stream is one TCP connection.
type stream struct {
	a      *assembler
	ends   [2]string // who sent the first segment, and the other one
	ports  [2]int
	client int // the index in ends, or -1 if nobody knows
	began  bool
	over   bool // nothing more is of interest
	used   int  // the number of its last segment

	sides [2]side
	start time.Duration
	at    time.Duration // of the last segment
	first []sent        // what came before it was clear what this is

	talk      *conversation // nil: it is not known to be MQTT
	encrypted bool
}

// side is what one end of a stream sends.
type side struct {
	next    uint32 // the sequence number that comes next
	known   bool
	begin   uint32 // the one of the SYN
	waiting []late
	size    int  // of what waits
	fin     bool // it has sent its last byte
	last    uint32
	vain    int  // bytes since the last packet in which none began
	seeking bool // nobody knows where a packet begins
	bytes   int
}

// late is a segment that came before the one in front of it.
type late struct {
	sequence uint32
	data     []byte
	cut      int
}

// sent is data in order.
type sent struct {
	by   int
	at   time.Duration
	data []byte
}

// What waits for a segment in front of it: with more, that segment will not come.
const (
	mostWaiting  = 1 << 20
	mostSegments = 1000
)

// take takes a frame in.
func (a *assembler) take(f frame) error {
	s, ok := segmentOf(f)
	if !ok {
		if !knownLink(f.link) {
			a.unread, a.link = a.unread+1, f.link
		}
		return nil
	}
	key := s.source + " " + s.target
	if s.source > s.target {
		key = s.target + " " + s.source
	}
	c := a.streams[key]
	if c != nil && s.syn && !s.ack && c.again(s) {
		if err := c.close(); err != nil {
			return err
		}
		c = nil
	}
	if c == nil {
		if err := a.room(); err != nil {
			return err
		}
		c = &stream{a: a, ends: [2]string{s.source, s.target}, ports: s.ports, client: -1}
		if a.streams == nil {
			a.streams = map[string]*stream{}
		}
		a.streams[key] = c
	}
	a.count++
	c.used = a.count
	if c.over {
		return nil
	}
	return c.take(s, f.at)
}

// room ends a connection if there are too many.
func (a *assembler) room() error {
	if len(a.streams) < mostStreams {
		return nil
	}
	return a.closeOldest()
}

// closeOldest ends the connection whose last segment is the oldest. There has to be one.
func (a *assembler) closeOldest() error {
	oldest := ""
	for key, c := range a.streams {
		if oldest == "" || c.used < a.streams[oldest].used {
			oldest = key
		}
	}
	c := a.streams[oldest]
	delete(a.streams, oldest)
	return c.close()
}

// close ends all connections, in the order of their last segments.
func (a *assembler) close() error {
	for len(a.streams) > 0 {
		if err := a.closeOldest(); err != nil {
			return err
		}
	}
	return nil
}

// nothing is the error that there was no MQTT, or nil.
func (a *assembler) nothing() error {
	switch {
	case a.pr.packets > 0:
		return nil
	case a.encrypted > 0:
		return errors.New("no packet in the clear in the capture: what there is of MQTT is encrypted")
	case a.unread > 0:
		return fmt.Errorf("no MQTT connection in the capture: %d frames are of link type %d, which is not read here; tshark -F pcap -w may convert them", a.unread, a.link)
	}
	if a.elsewhere > 0 {
		return fmt.Errorf("no MQTT connection in the capture, but %s with TLS: is --port right?", count(a.elsewhere, "connection"))
	}
	return errors.New("no MQTT connection in the capture: is --port right?")
}

// again reports whether a SYN is of another connection between the same ports, and not a repetition.
func (c *stream) again(s segment) bool {
	for by, end := range c.ends {
		if end == s.source && c.began && c.sides[by].begin == s.sequence {
			return false
		}
	}
	return c.over || c.talk != nil || len(c.first) > 0 || c.encrypted
}

// take takes a segment in.
func (c *stream) take(s segment, at time.Duration) error {
	by := 0
	if s.source != c.ends[0] {
		by = 1
	}
	d := &c.sides[by]
	c.at = at
	if s.syn {
		c.began = true
		c.client = by
		if s.ack {
			c.client = 1 - by
		}
		if !d.known {
			d.begin, d.next, d.known = s.sequence, s.sequence+1, true
		}
		s.sequence++
	}
	if !d.known {
		d.next, d.known = s.sequence, true
		d.seeking = !c.began
	}
	if c.encrypted {
		d.bytes += len(s.data)
	} else if err := c.order(by, s, at); err != nil {
		return err
	}
	if s.fin {
		d.fin, d.last = true, s.sequence+uint32(len(s.data)+s.cut)
	}
	ended := true
	for i := range c.sides {
		ended = ended && c.sides[i].fin && (c.encrypted || int32(c.sides[i].next-c.sides[i].last) >= 0)
	}
	if s.reset || ended {
		return c.close()
	}
	return nil
}

// order takes the data of a segment, and what waited for it.
func (c *stream) order(by int, s segment, at time.Duration) error {
	if len(s.data) == 0 && s.cut == 0 {
		return nil
	}
	d := &c.sides[by]
	if int32(s.sequence-d.next) > 0 {
		s.data = bytes.Clone(s.data) // it stays for longer than the frame
	}
	d.waiting = append(d.waiting, late{s.sequence, s.data, s.cut})
	d.size += len(s.data)
	for {
		if more, err := c.deliver(by, at); err != nil {
			return err
		} else if !more {
			break
		}
	}
	for d.size > mostWaiting || len(d.waiting) > mostSegments {
		if err := c.skip(by, at); err != nil {
			return err
		}
	}
	return nil
}

// deliver takes the next data in order from those that wait, if it is there. What came before is dropped.
func (c *stream) deliver(by int, at time.Duration) (bool, error) {
	d := &c.sides[by]
	for i, w := range d.waiting {
		ahead := int32(w.sequence - d.next)
		if ahead > 0 {
			continue
		}
		d.waiting = append(d.waiting[:i], d.waiting[i+1:]...)
		d.size -= len(w.data)
		old := int(-int64(ahead))
		if old < len(w.data) {
			d.next += uint32(len(w.data) - old)
			if err := c.feed(sent{by, at, w.data[old:]}); err != nil {
				return false, err
			}
			old = len(w.data)
		}
		if n := len(w.data) + w.cut - old; n > 0 && w.cut > 0 {
			c.miss(by, at, n)
		}
		return true, nil
	}
	return false, nil
}

// skip goes on behind a segment that is not there.
func (c *stream) skip(by int, at time.Duration) error {
	d := &c.sides[by]
	nearest := int32(0)
	for i, w := range d.waiting {
		if ahead := int32(w.sequence - d.next); i == 0 || ahead < nearest {
			nearest = ahead
		}
	}
	c.miss(by, at, int(max(nearest, 1)))
	for {
		if more, err := c.deliver(by, at); !more || err != nil {
			return err
		}
	}
}

// miss says that the next n bytes are not there.
func (c *stream) miss(by int, at time.Duration, n int) {
	d := &c.sides[by]
	d.next += uint32(n)
	if c.talk != nil {
		if !d.seeking {
			c.a.pr.say(c.talk, "the capture lacks %s from %s", count(n, "byte"), c.ends[by])
		}
		c.talk.lose(c.direction(by), at-c.start, n)
	}
	d.seeking = true
}

// feed takes data in order.
func (c *stream) feed(s sent) error {
	if c.over {
		return nil
	}
	if c.start == 0 && len(c.first) == 0 {
		c.start = s.at
	}
	c.sides[s.by].bytes += len(s.data)
	if c.talk != nil {
		return c.say(s)
	}
	s.data = bytes.Clone(s.data)
	c.first = append(c.first, s)
	return c.begin(len(c.first) >= mostFirst)
}

// mostFirst is with how many segments it has to be clear what a connection is.
const mostFirst = 10

// begin gives what came first to the conversation, if it is clear that there is one.
func (c *stream) begin(all bool) error {
	if len(c.first) == 0 || !c.decide(all) {
		return nil
	}
	first := c.first
	c.first = nil
	for _, s := range first {
		if c.talk != nil {
			if err := c.say(s); err != nil {
				return err
			}
		}
	}
	return nil
}

// decide finds out what this is, and who is the client: who sent the SYN, else who sends a CONNECT, else whose port is not
// the server's. It returns false if it takes more bytes to tell.
func (c *stream) decide(all bool) bool {
	var begin [2][]byte
	for _, s := range c.first {
		begin[s.by] = append(begin[s.by], s.data...)
	}
	server := -1
	for i, port := range c.ports {
		if (port == c.a.port || port == 8883) && c.client != i {
			server = i
		}
	}
	for i, b := range begin {
		if isConnect, sure := connects(b); isConnect && (server >= 0 || sure) {
			if c.client < 0 {
				c.client = i
			}
			server = 1 - c.client
			c.began = c.began || sure
		} else if isConnect && !all {
			return false
		}
	}
	if server < 0 {
		c.over = true // something else
		for _, b := range begin {
			if isTLS(b) {
				c.a.elsewhere++
				break
			}
		}
		return true
	}
	if c.client < 0 {
		c.client = 1 - server
	}
	for _, b := range begin {
		if len(b) > 0 && b[0] >= 0x14 && b[0] <= 0x17 {
			if len(b) < 3 && !all {
				return false
			}
			if c.encrypted = isTLS(b); c.encrypted {
				return true
			}
		}
	}
	if !c.began && c.ports[server] == 8883 {
		// Halfway on the port of TLS: in the clear is only what looks like it.
		for i, b := range begin {
			if c.encrypted = len(b) > 0 && !c.plausible(i, b); c.encrypted {
				return true
			}
		}
	}
	c.talk = c.a.pr.connection(c.title(), !c.began)
	c.talk.session.Untimed = c.a.untimed
	return true
}

// isTLS reports whether b begins with a record of TLS.
func isTLS(b []byte) bool {
	return len(b) >= 3 && b[0] >= 0x14 && b[0] <= 0x17 && b[1] == 3 && b[2] <= 4
}

// connects reports whether b may be the beginning of a CONNECT, and whether that is sure.
func connects(b []byte) (maybe, sure bool) {
	if len(b) == 0 || b[0] != 0x10 {
		return false, false
	}
	at := 1
	for at < len(b) && at < 4 && b[at] >= 0x80 {
		at++
	}
	rest := string(b[min(at+1, len(b)):])
	for _, name := range []string{"\x00\x04MQTT", "\x00\x06MQIsdp"} {
		if strings.HasPrefix(rest, name) {
			return true, true
		}
		maybe = maybe || strings.HasPrefix(name, rest)
	}
	return maybe, false
}

// title says who speaks with whom.
func (c *stream) title() string {
	if c.client == 1 {
		return c.ends[1] + " to " + c.ends[0]
	}
	return c.ends[0] + " to " + c.ends[1]
}

// direction is that of what this end sends.
func (c *stream) direction(by int) dissect.Direction {
	if by == c.client {
		return dissect.ToServer
	}
	return dissect.ToClient
}

// plausible reports whether a packet may begin where b does.
func (c *stream) plausible(by int, b []byte) bool {
	p, _ := dissect.Read(b, c.direction(by))
	return !p.NotMQTT && !p.Broken()
}

// say gives data to the conversation, unless nobody knows where a packet begins and it does not look like one.
func (c *stream) say(s sent) error {
	d := &c.sides[s.by]
	at := s.at - c.start
	if d.seeking {
		if !c.plausible(s.by, s.data) {
			d.vain += len(s.data)
			return nil
		}
		if d.vain > 0 {
			c.talk.lose(c.direction(s.by), at, d.vain)
		}
		d.seeking, d.vain = false, 0
	}
	if err := c.talk.add(c.direction(s.by), at, s.data); err != nil {
		return writeError{err}
	}
	return nil
}

// close ends a connection: what waits is given up for.
func (c *stream) close() error {
	if c.over {
		return nil
	}
	for by := range c.sides {
		for len(c.sides[by].waiting) > 0 {
			if err := c.skip(by, c.at); err != nil {
				return err
			}
		}
	}
	if err := c.begin(true); err != nil {
		return err
	}
	c.over = true
	switch {
	case c.encrypted:
		c.a.encrypted++
		client := max(c.client, 0)
		c.a.pr.say(&conversation{}, "%s: encrypted (TLS), %s and %s back: --pcap of publisher and subscriber writes the packets in the clear, --keylog the keys for Wireshark",
			c.title(), count(c.sides[client].bytes, "byte"), count(c.sides[1-client].bytes, "byte"))
	case c.talk != nil:
		for by := range c.sides {
			if d := &c.sides[by]; d.vain > 0 {
				c.a.pr.say(c.talk, "%s from %s at the end, in which no packet can be told to begin", count(d.vain, "byte"), c.ends[by])
			}
		}
		if err := c.talk.close(); err != nil {
			return writeError{err}
		}
	}
	return nil
}

func count(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}
