package mqtt

import (
	"context"
	"errors"

	"iotwire/mqtt/packet"
)

// ErrOffline says that there was no connection for a message of QoS 0, which is not kept until there is one. It comes
// with ErrNotSent.
var ErrOffline = errors.New("not connected, and QoS 0 is not queued")

// ErrPending is what [Delivery.Err] returns while the message has not ended.
var ErrPending = errors.New("not yet acknowledged")

// Publish sends a message and waits until it is delivered: at QoS 1 until PUBACK, at QoS 2 until PUBCOMP, over as many
// connections as that takes; at QoS 0 until the connection took its last byte. It copies m.
//
// It returns nil only then. If ctx ends first, or the client does, the error matches exactly one of [ErrNotSent]: the
// message is withdrawn, and [ErrUnconfirmed]: it may have arrived, and the session goes on delivering it. With a
// context that never ends, and a server that never comes back, Publish waits for ever.
//
// Publish can be called before Run and inside a message loop, from many goroutines. Messages of one goroutine and one
// QoS arrive in the order of the calls.
func (c *Client) Publish(ctx context.Context, m Message) error {
	d, err := c.submit(ctx, &m, true)
	if err != nil {
		return err
	}
	f := d.f
	if f == nil {
		return d.written(ctx)
	}
	select {
	case <-f.signal:
	case <-ctx.Done():
	}
	c.mu.Lock()
	withdrawn := !f.finished && c.session.withdraw(f, &deliveryError{ErrNotSent, ctx.Err()})
	if withdrawn {
		c.settle()
		c.mu.Unlock()
		if err := c.flushStore(); err != nil { // a later client may find it
			return &deliveryError{ErrUnconfirmed, err}
		}
		return f.err
	}
	defer c.mu.Unlock()
	if !f.finished {
		f.owned = false // nobody waits any more: settleFlow frees it
		return &deliveryError{ErrUnconfirmed, ctx.Err()}
	}
	if f.err == nil {
		select {
		case <-f.signal: // it came with the end of ctx
		default:
		}
		c.freeFlow(f)
		return nil
	}
	return f.err
}

// Submit is Publish without the wait for the delivery: it returns when the message is accepted. It blocks only while
// Config.Queue is full and its policy is Block, or, at QoS 0, while there is no connection; ctx bounds that, not the
// delivery. If it returns an error, it matches [ErrNotSent], or, if Config.Store failed while it took the message,
// [ErrUnconfirmed]: a later client may find it there.
func (c *Client) Submit(ctx context.Context, m Message) (Delivery, error) {
	return c.submit(ctx, &m, false)
}

// submit brings a message into the session, and waits for room if need be. owned: see flow.
func (c *Client) submit(ctx context.Context, m *Message, owned bool) (Delivery, error) {
	if c.cfg.Check != nil {
		probe := *m // so that m itself need not be on the heap
		if err := c.cfg.Check(&probe); err != nil {
			return Delivery{}, &deliveryError{ErrNotSent, err}
		}
	}
	if err := ctx.Err(); err != nil {
		return Delivery{}, &deliveryError{ErrNotSent, err}
	}
	size := len(m.Topic) + len(m.Payload) + 9 // about what the packet takes
	c.mu.Lock()
	if c.room.first == nil && c.hasRoom(m.QoS, size) {
		d, err := c.accept(m, owned)
		c.mu.Unlock()
		return d, err
	}
	defer c.mu.Unlock()
	// What can never be accepted should not wait.
	probe := packet.Publish{QoS: m.QoS, Topic: []byte(m.Topic)}
	if m.QoS > 0 {
		probe.ID = 1
	}
	if _, err := packet.AppendPublish(nil, &probe); err != nil {
		return Delivery{}, &deliveryError{ErrNotSent, err}
	}
	for turn := false; ; {
		if c.over != nil || c.closing || (turn || c.room.first == nil) && c.hasRoom(m.QoS, size) {
			return c.accept(m, owned)
		}
		offline := m.QoS == QoS0 && !c.session.online
		switch {
		case c.cfg.Queue.Full == Block:
			var err error
			if offline {
				if turn { // let another use the room
					turn = false
					c.room.offer(c)
				}
				c.mu.Unlock()
				err = c.await(ctx, func() (bool, error) { return c.session.online || c.closing, nil })
				c.mu.Lock()
			} else {
				err = c.room.wait(ctx, c, turn)
				turn = true
			}
			if err != nil {
				return Delivery{}, &deliveryError{ErrNotSent, err}
			}
		case offline:
			return Delivery{}, &deliveryError{ErrNotSent, ErrOffline}
		case c.cfg.Queue.Full == DropOldest && c.session.queue.n > 0:
			c.session.drop(c.session.queue.head, ErrQueueFull)
			c.settle()
		default:
			return Delivery{}, &deliveryError{ErrNotSent, ErrQueueFull}
		}
	}
}

// hasRoom reports whether the queue takes one more message of this size. The lock is held.
func (c *Client) hasRoom(q QoS, size int) bool {
	s := c.session
	if q == QoS0 && !s.online {
		return false
	}
	n := s.waiting()
	return n == 0 || n < c.cfg.Queue.Messages && s.bytes+size <= c.cfg.Queue.Bytes
}

// accept gives a message to the session. The lock is held.
func (c *Client) accept(m *Message, owned bool) (Delivery, error) {
	if c.over != nil {
		return Delivery{}, &deliveryError{ErrNotSent, c.over}
	}
	if c.closing {
		return Delivery{}, &deliveryError{ErrNotSent, ErrClosed}
	}
	if c.broken != nil && m.QoS > 0 {
		return Delivery{}, &deliveryError{ErrNotSent, c.broken}
	}
	if m.QoS == QoS0 {
		return c.acceptQoS0(m)
	}
	f := c.newFlow()
	f.owned = owned
	d := Delivery{c: c, f: f, mark: f.gen}
	c.tellTime()
	if err := c.session.accept(f, m); err != nil {
		c.freeFlow(f)
		c.room.offer(c) // this turn is free for another
		return Delivery{}, &deliveryError{ErrNotSent, err}
	}
	if f.in == &c.session.storing {
		stored := make(chan error, 1)
		f.stored = stored
		c.accepting = append(c.accepting, f)
		c.startCommit()
		c.mu.Unlock()
		err := <-stored // the disk answers, or fails
		c.mu.Lock()
		if err != nil {
			c.room.offer(c)
			return Delivery{}, err
		}
	} else {
		c.stats.Accepted++
	}
	c.readOn()
	c.settle()
	return d, nil
}

// acceptQoS0 gives a message of QoS 0 to the session. The lock is held.
func (c *Client) acceptQoS0(m *Message) (Delivery, error) {
	s := c.session
	position, err := s.acceptQoS0(m)
	if err != nil {
		c.room.offer(c)
		return Delivery{}, &deliveryError{ErrNotSent, err}
	}
	c.stats.Accepted++
	c.readOn()
	// What settle would find:
	if c.room.first != nil {
		c.room.offer(c)
	}
	if s.writable() > 0 {
		c.link.flush()
	}
	return Delivery{c: c, stream: s.stream, mark: position}, nil
}

// readOn has a reader that pauses look again: while an answer is awaited, reading goes on. The lock is held.
func (c *Client) readOn() {
	if c.link != nil && c.link.paused {
		c.routing.mayGoOn()
	}
}

func (c *Client) newFlow() *flow {
	if n := len(c.free); n > 0 {
		f := c.free[n-1]
		c.free = c.free[:n-1]
		c.freeBytes -= cap(f.packet)
		return f
	}
	return newFlow()
}

// freeFlow lets a flow that was delivered be used again: as many as can wait and be in flight, and of their buffers twice
// as much as may wait.
func (c *Client) freeFlow(f *flow) {
	if c.freeBytes/2+cap(f.packet)/2 > c.cfg.Queue.Bytes {
		f.packet = nil
	}
	packet, signal, gen := f.packet[:0], f.signal, f.gen+1
	*f = flow{}
	f.packet, f.signal, f.gen = packet, signal, gen
	if len(c.free) < c.cfg.Queue.Messages+c.cfg.Inflight {
		c.free = append(c.free, f)
		c.freeBytes += cap(f.packet)
	}
}

// settleFlow tells whoever waits for f that it has ended. The lock is held.
func (c *Client) settleFlow(f *flow) {
	if f.done != nil {
		close(f.done)
		f.done = nil
	}
	if f.owned {
		f.signal <- struct{}{}
	} else if f.err == nil {
		c.freeFlow(f)
	}
}

// Delivery is a message that Submit accepted. It is a small value: copy it, forget it.
type Delivery struct {
	c      *Client
	f      *flow   // at QoS 1 and 2
	stream *stream // at QoS 0
	mark   uint64  // the generation of f, or where the message ends in stream
}

// Err returns nil if the message was delivered, [ErrPending] while that is not known, and otherwise why it failed: see
// [Client.Publish]. It does not block.
func (d Delivery) Err() error {
	d.c.mu.Lock()
	defer d.c.mu.Unlock()
	return d.err()
}

func (d Delivery) err() error {
	switch {
	case d.f == nil:
		return d.stream.err(d.mark)
	case d.mark != d.f.gen: // only what was delivered is used again
		return nil
	case !d.f.finished:
		return ErrPending
	}
	return d.f.err
}

// Done returns a channel that is closed when Err is no longer ErrPending.
func (d Delivery) Done() <-chan struct{} {
	d.c.mu.Lock()
	defer d.c.mu.Unlock()
	if d.err() != ErrPending {
		closed := make(chan struct{})
		close(closed)
		return closed
	}
	if d.f == nil {
		return d.stream.done(d.mark)
	}
	if d.f.done == nil {
		d.f.done = make(chan struct{})
	}
	return d.f.done
}

// Wait waits for the end of the message and returns Err. If ctx ends first, it returns an error that matches
// [ErrUnconfirmed] or, for a message of which no byte has left, [ErrPending]; the message goes on either way.
func (d Delivery) Wait(ctx context.Context) error {
	if err := d.Err(); err != ErrPending {
		return err
	}
	select {
	case <-d.Done():
		return d.Err()
	case <-ctx.Done():
	}
	d.c.mu.Lock()
	defer d.c.mu.Unlock()
	if err := d.err(); err != ErrPending {
		return err
	}
	if d.unsent() {
		return &deliveryError{ErrPending, ctx.Err()}
	}
	return &deliveryError{ErrUnconfirmed, ctx.Err()}
}

// unsent reports whether no byte of the message, which has not ended, can have left.
func (d Delivery) unsent() bool {
	if d.f == nil {
		return d.mark > d.c.session.offered
	}
	return d.c.session.unsent(d.f)
}

// written waits for the end of a message of QoS 0, like Wait, with no memory of its own.
func (d Delivery) written(ctx context.Context) error {
	d.c.mu.Lock()
	defer d.c.mu.Unlock()
	if err := d.err(); err != ErrPending {
		return err
	}
	f := d.c.newFlow() // for its signal
	d.stream.await(waiter{end: d.mark, signal: f.signal})
	d.c.mu.Unlock()
	select {
	case <-f.signal:
		d.c.mu.Lock()
		d.c.freeFlow(f)
		return d.err()
	case <-ctx.Done():
	}
	d.c.mu.Lock()
	if err := d.err(); err != ErrPending {
		return err
	}
	return &deliveryError{ErrUnconfirmed, ctx.Err()}
}
