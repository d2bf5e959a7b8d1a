package mqtt

import (
	"bytes"
	"errors"
	"fmt"
	"hash/crc32"
	"hash/maphash"
	"io"
	"runtime"

	"iotwire/mqtt/packet"
)

// read reads packets until the connection ends, and returns why.
func (c *Client) read(l *link) error {
	r := receiver{c: c, l: l, seed: c.seed}
	for {
		if err := r.handle(l.reader.Next()); err != nil {
			return err
		}
	}
}

// receiver handles packets on Run's goroutine.
type receiver struct {
	c      *Client
	l      *link
	seed   maphash.Seed // of the Client
	events []func()     // calls of Trace, for when the lock is free
}

// handle handles the packet, or the error, that a read of the connection brought, and all packets behind it that came
// with the same read, before anybody is woken. It returns why the connection has to end, or nil.
func (r *receiver) handle(h packet.Header, body []byte, err error) error {
	c, l := r.c, r.l
	if l.stopping() { // after DISCONNECT: we only wait for the server to close
		return err
	}
	c.mu.Lock()
	c.tellTime()
	for err == nil {
		if err = r.packet(h, body); err != nil || !l.reader.Ready() {
			break
		}
		h, body, err = l.reader.Next()
	}
	if debt := c.session.ackDebt; err == nil && debt > maxDebt { // the writer waits for the server, perhaps
		err = fmt.Errorf("the server sends, but does not read: %d bytes of acknowledgements wait", debt)
	}
	woken := len(c.touched)+len(c.session.finished) > 0
	r.pass()
	if woken {
		runtime.Gosched() // on one processor, whoever waited has a turn before more is read: what it sends leaves sooner
	}
	if errors.Is(err, packet.ErrTooLarge) {
		err = r.tooLarge(h, err)
	} else if errors.Is(err, packet.ErrMalformed) {
		err = &protocolError{err} // [MQTT-4.8.0-1]
	}
	if l.stopping() {
		return nil
	}
	return err
}

// pass tells everybody what the packets so far have changed. It is called with the lock and returns without.
func (r *receiver) pass() {
	r.l.completed()
	r.c.settle()
	r.c.mu.Unlock()
	for i, f := range r.events {
		r.events[i] = nil
		f()
	}
	r.events = r.events[:0]
}

// packet handles one packet. The lock is held, but given up while the inbox is full.
func (r *receiver) packet(h packet.Header, body []byte) error {
	s := r.c.session
	switch h.Type {
	case packet.PUBLISH:
		p, err := packet.ParsePublish(h.Flags, body)
		if err != nil {
			return err
		}
		return r.publish(&p, body)
	case packet.PUBACK, packet.PUBREC, packet.PUBCOMP:
		id, err := identifier(h.Type, body)
		if err != nil {
			return err
		}
		known, err := s.receiveAck(h.Type, id)
		if err == nil && !known {
			r.ignored(h.Type, id)
		}
		return err
	case packet.PUBREL:
		p, err := packet.ParsePubrel(body)
		if err != nil {
			return err
		}
		return s.receivePubrel(p.ID)
	case packet.SUBACK:
		p, err := packet.ParseSuback(body)
		if err != nil {
			return err
		}
		q, err := s.receiveSuback(p)
		if q == nil && err == nil {
			r.ignored(h.Type, p.ID)
		}
		r.subscribed(q)
		return err
	case packet.UNSUBACK:
		p, err := packet.ParseUnsuback(body)
		if err != nil {
			return err
		}
		q, err := s.receiveUnsuback(p.ID)
		if q == nil && err == nil {
			r.ignored(h.Type, p.ID)
		}
		return err
	case packet.PINGRESP:
		if err := packet.ParsePingresp(body); err != nil {
			return err
		}
		r.l.ping = 0
		r.l.reader.Shrink()
		return nil
	case packet.CONNACK:
		return violation(h.Type, "MQTT-4.8.0-1", "a second CONNACK")
	}
	return violation(h.Type, "MQTT-4.8.0-1", "only a client sends this packet (table 2.1)")
}

func identifier(t packet.Type, body []byte) (uint16, error) {
	switch t {
	case packet.PUBACK:
		p, err := packet.ParsePuback(body)
		return p.ID, err
	case packet.PUBREC:
		p, err := packet.ParsePubrec(body)
		return p.ID, err
	}
	p, err := packet.ParsePubcomp(body)
	return p.ID, err
}

//go:noinline
func (r *receiver) ignored(t packet.Type, id uint16) {
	if f := r.c.cfg.Trace.Ignored; f != nil {
		r.events = append(r.events, func() { f(t, id) })
	}
}

// subscribed tells the outcome of a SUBSCRIBE. The lock is held.
func (r *receiver) subscribed(q *request) {
	if q == nil {
		return
	}
	for _, w := range q.wishes {
		for _, s := range w.subs {
			if w.refused {
				s.wake() // a message loop that waits ends
			}
		}
		if f := r.c.cfg.Trace.Subscribed; f != nil {
			filter, granted, err := w.filter, w.granted, error(nil)
			if w.refused {
				granted, err = 0, ErrRefused
			}
			r.events = append(r.events, func() { f(filter, granted, err) })
		}
	}
}

// publish takes a message in: it goes to each Subscription that matches, and is acknowledged when all are done with it.
func (r *receiver) publish(p *packet.Publish, body []byte) error {
	c := r.c
	to := c.routing.find(p.Topic, c.session.wishes)
	size := len(p.Payload) + entryCost
	if len(to.subs) > 0 && !c.routing.fits(size*len(to.subs)) {
		if err := r.pause(size * len(to.subs)); err != nil {
			return err
		}
		to = c.routing.find(p.Topic, c.session.wishes) // they may have changed
		if p.QoS == QoS0 && !c.routing.fits(size*len(to.subs)) {
			c.stats.Received++
			r.dropped(p, to.topic, ErrInboxFull)
			return nil
		}
	}
	var a *arrival
	if p.QoS > 0 {
		var err error
		if a, err = c.session.arrive(p.ID, p.QoS, p.Dup, r.sum(p.QoS, body)); err != nil || a == nil {
			return err // a repetition: its answer is on its way, or will be
		}
	}
	c.stats.Received++
	if len(to.subs) == 0 {
		r.dropped(p, to.topic, ErrNoSubscription)
		if a != nil {
			return c.session.acknowledge(a) // [MQTT-4.5.0-2] whether or not anybody uses it
		}
		return nil
	}
	c.stats.Delivered++
	if a != nil && len(to.subs) > 1 {
		a.parts = len(to.subs)
	}
	for _, s := range to.subs {
		part := a
		if a != nil && len(to.subs) > 1 {
			part = &arrival{whole: a, qos: a.qos}
		}
		s.put(p, to.topic, part)
	}
	return nil
}

// dropped tells of a message that nobody gets.
//
//go:noinline
func (r *receiver) dropped(p *packet.Publish, topic string, err error) {
	r.c.stats.Dropped++
	if f := r.c.cfg.Trace.Dropped; f != nil {
		m := Message{Topic: topic, Payload: append([]byte(nil), p.Payload...), QoS: p.QoS, Retain: p.Retain, Dup: p.Dup, PacketID: p.ID}
		r.events = append(r.events, func() { f(&m, err) })
	}
}

// pause stops reading until the inbox has room for size bytes, or reading must go on: somebody awaits an answer that
// only reading can bring, or holds messages and may wait for more. The lock is given up meanwhile.
func (r *receiver) pause(size int) error {
	c, l := r.c, r.l
	for !c.routing.fits(size) && c.session.awaiting()+c.stats.Held == 0 {
		if l.stopping() {
			return ErrClosed
		}
		if l.ended {
			return l.cause
		}
		if c.routing.roomy == nil {
			c.routing.roomy = make(chan struct{}, 1)
		}
		l.paused = true
		r.pass()
		<-c.routing.roomy
		c.mu.Lock()
	}
	if l.paused {
		l.resume()
	}
	return nil
}

// resume says that reading goes on: the silence was ours, and the server's begins now. The lock is held.
func (l *link) resume() {
	l.paused = false
	now := l.c.now()
	l.lastRead.Store(int64(now))
	if l.ping > 0 {
		l.ping = now
	}
	l.flush()
}

// largePayload is what Config.Large reads from. The time that the program takes between two reads is not the server's.
type largePayload struct {
	l    *link
	rest io.Reader
	over bool // Large has returned
}

func (p *largePayload) Read(b []byte) (int, error) {
	if p.over {
		return 0, io.ErrClosedPipe
	}
	p.l.c.mu.Lock()
	p.l.resume()
	p.l.c.mu.Unlock()
	defer p.suspend()
	return p.rest.Read(b)
}

func (p *largePayload) suspend() {
	p.l.c.mu.Lock()
	p.l.paused = true
	p.l.c.mu.Unlock()
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// sum tells messages of the same identifier apart: those of QoS 2 in later processes too.
func (r *receiver) sum(q QoS, body []byte) uint32 {
	if q == QoS2 {
		return crc32.Checksum(body, castagnoli)
	}
	return uint32(maphash.Bytes(r.seed, body)) // of this process, and in less time
}

// tooLarge handles a packet above Config.MaxPacket, of which the header was read. A message is skipped and
// acknowledged: to close would bring it again, for ever. It is called without the lock.
func (r *receiver) tooLarge(h packet.Header, cause error) error {
	if h.Type != packet.PUBLISH {
		return &protocolError{cause}
	}
	rest := r.l.reader.Rest()
	var start bytes.Buffer // topic name and identifier; it grows with what comes, not by what is claimed
	if _, err := start.ReadFrom(io.LimitReader(rest, 2)); err != nil {
		return err
	}
	n := int(start.Bytes()[0])<<8 | int(start.Bytes()[1])
	if h.Flags&0b0110 != 0 {
		n += 2
	}
	if n+2 > h.Len {
		n = h.Len - 2 // ParsePublish says what is wrong
	}
	if _, err := start.ReadFrom(io.LimitReader(rest, int64(n))); err != nil {
		return err
	}
	head := start.Bytes()
	p, err := packet.ParsePublish(h.Flags, head)
	if err != nil {
		return &protocolError{err}
	}
	c := r.c
	c.mu.Lock()
	again := false
	if p.QoS > 0 {
		if again, err = c.session.skips(p.ID, p.QoS, p.Dup, r.sum(p.QoS, head)); err != nil {
			c.mu.Unlock()
			return &protocolError{err}
		}
	}
	r.pass()
	large := c.cfg.Large != nil && !again
	if large {
		m := Message{Topic: string(p.Topic), QoS: p.QoS, Retain: p.Retain, Dup: p.Dup, PacketID: p.ID}
		payload := &largePayload{l: r.l, rest: rest}
		payload.suspend()
		err := c.cfg.Large(&m, h.Len-len(head), payload)
		payload.over = true
		c.mu.Lock()
		r.l.resume()
		c.mu.Unlock()
		if err != nil {
			return err
		}
	}
	if err := r.l.reader.Skip(); err != nil { // only what came whole counts, and is acknowledged
		return err
	}
	c.mu.Lock()
	switch {
	case again:
	case large:
		c.stats.Received++
		c.stats.Delivered++
	default:
		c.stats.Received++
		r.dropped(&p, string(p.Topic), cause)
	}
	if p.QoS > 0 {
		c.session.skip(p.ID, p.QoS, r.sum(p.QoS, head), again)
	}
	r.pass()
	return nil
}
