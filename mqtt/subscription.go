package mqtt

import (
	"context"
	"fmt"
	"iter"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"

	"iotwire/mqtt/packet"
)

// Subscription is the topic filters that the program wishes to be subscribed to, mostly one, and the messages that match
// them. It stays true over reconnects: where the server has lost the session, the client subscribes again.
//
// A message that matches several Subscriptions goes to each of them once, and is acknowledged when all are done. A
// Subscription whose messages nobody takes fills the client's inbox and so stops the others in the end: Close it.
type Subscription struct {
	c      *Client
	wishes []*wish // one for each filter
	qos    QoS
	closed atomic.Bool

	// The lock of the Client guards what follows.
	inbox   inbox
	loops   int           // message loops at work
	ready   chan struct{} // capacity 1: something has changed for a loop that waits
	touched bool          // it is on Client.touched
}

// Subscribe declares a wish for the messages that match filter, at this QoS at most. It does no I/O: the client sends
// SUBSCRIBE when there is a connection whose session does not have it, now and after reconnects. It can be called
// before Run, and should be for a session that may hold messages, because one that matches no Subscription is
// acknowledged and dropped. [Subscription.Ready] tells the outcome.
//
// The error matches [packet.ErrInvalid], or is that of Config.CheckFilter, or [ErrClosed].
func (c *Client) Subscribe(filter string, q QoS) (*Subscription, error) {
	return c.SubscribeAll([]string{filter}, q)
}

// SubscribeAll is Subscribe for several filters with one Subscription: a message comes once, whichever and however many
// of the filters it matches, and all messages come in the order of their arrival. At least one filter has to be given; one
// that is given again is the same wish. If the server refuses one of them, the Subscription ends with [ErrRefused]; Close
// it, and ask for the others.
func (c *Client) SubscribeAll(filters []string, q QoS) (*Subscription, error) {
	if len(filters) == 0 {
		return nil, fmt.Errorf("%w: no topic filter to subscribe to", packet.ErrInvalid)
	}
	for _, filter := range filters {
		probe := packet.Subscribe{ID: 1, Requests: packet.Requests(nil).Add(filter, q)}
		if err := packet.ValidFilter(filter); err != nil {
			return nil, err
		}
		if _, err := packet.AppendSubscribe(nil, &probe); err != nil {
			return nil, err
		}
		if c.cfg.CheckFilter != nil {
			if err := c.cfg.CheckFilter(filter, q); err != nil {
				return nil, err
			}
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.over != nil || c.closing {
		return nil, ErrClosed
	}
	s := &Subscription{c: c, qos: q, ready: make(chan struct{}, 1)}
	for _, filter := range filters {
		w := c.session.find(filter)
		if w == nil {
			w = &wish{filter: filter}
			c.session.wishes = append(c.session.wishes, w)
		}
		if slices.Contains(s.wishes, w) {
			continue
		}
		if !w.wanted {
			w.wanted, w.qos, w.refused, w.foreign = true, q, false, false
		}
		w.qos = max(w.qos, q)
		w.subs = append(w.subs, s)
		s.wishes = append(s.wishes, w)
	}
	c.rewish()
	return s, nil
}

// rewish goes on after a change of wishes. The lock is held.
func (c *Client) rewish() {
	c.routing.forget()
	c.session.dirty = true
	c.tellTime()
	c.session.reconcile()
	c.routing.mayGoOn()
	c.settle()
}

// Filter returns the topic filter, as declared: the first, if there are several.
func (s *Subscription) Filter() string { return s.wishes[0].filter }

// Ready waits until the server has granted the subscription, to all its filters, in this session. With a Store that knows
// of the grant to an earlier client it does not wait, not even for a connection: the server has kept the session, or will
// be asked again. It returns [ErrRefused] if the server refuses a filter, [ErrUnsubscribed] after Close, ctx.Err(), or an
// error that matches [ErrClosed]. The QoS granted may be lower than the one asked for: see Trace.Subscribed.
func (s *Subscription) Ready(ctx context.Context) error {
	return s.c.await(ctx, func() (bool, error) {
		if err := s.state(); err != nil {
			return false, err
		}
		for _, w := range s.wishes {
			if !w.has || w.hasQoS < int(s.qos) {
				return false, nil
			}
		}
		return true, nil
	})
}

// Close ends the subscription. Message loops end, messages that wait are acknowledged and dropped, and the
// server gets an UNSUBSCRIBE, unless another Subscription has the same filter. Close waits for the answer, or for the
// next connection if there is none, as long as ctx allows; the wish is gone either way. Messages that the server had
// already begun to deliver are acknowledged and dropped [MQTT-3.10.4-3].
func (s *Subscription) Close(ctx context.Context) error {
	c := s.c
	c.mu.Lock()
	if s.closed.CompareAndSwap(false, true) {
		for _, w := range s.wishes {
			i := slices.Index(w.subs, s)
			w.subs = append(w.subs[:i:i], w.subs[i+1:]...)
			if len(w.subs) == 0 {
				w.wanted = false
			}
		}
		c.routing.bytes -= s.inbox.cost()
		for s.inbox.len() > 0 {
			if e, _ := s.inbox.next(); e.arrival != nil {
				c.session.acknowledge(e.arrival) // nobody else will
			}
		}
		s.inbox.reset()
		s.wake()
		c.rewish()
	}
	c.mu.Unlock()
	return c.await(ctx, func() (bool, error) {
		for _, w := range s.wishes {
			if !w.wanted && (w.has || w.busy) {
				return false, nil
			}
		}
		return true, nil
	})
}

// wake lets a loop that waits look again. The lock is held.
func (s *Subscription) wake() {
	select {
	case s.ready <- struct{}{}:
	default:
	}
}

// put adds a message to the inbox. The lock is held.
func (s *Subscription) put(p *packet.Publish, topic string, a *arrival) {
	e := s.inbox.add(p.Payload)
	e.topic, e.qos, e.retain, e.dup, e.id = topic, p.QoS, p.Retain, p.Dup, p.ID
	if a != nil {
		e.arrival, e.gen = a, a.gen
	}
	s.c.routing.bytes += len(p.Payload) + entryCost
	if !s.touched {
		s.touched = true
		s.c.touched = append(s.c.touched, s)
	}
}

// Messages yields messages as they come, for ever. The step to the next message acknowledges the one before, and so
// does break, unless Hold was called: a program that dies in the loop's body gets the message again. A panic or
// runtime.Goexit in the body acknowledges nothing; the message then goes to the next loop.
//
// An error ends the loop and comes with a nil message: ctx.Err(), [ErrRefused] (also when the server refuses after a
// reconnect), [ErrUnsubscribed] after Close, or one that matches [ErrClosed] when Run has returned and no message is
// left.
//
// Several loops, one after the other or at once, share the messages; at once, they give up the order.
func (s *Subscription) Messages(ctx context.Context) iter.Seq2[*Message, error] {
	return func(yield func(*Message, error) bool) {
		l := loop{s: s}
		s.c.mu.Lock()
		s.loops++
		s.c.mu.Unlock()
		defer l.end()
		for {
			if err := l.next(ctx); err != nil {
				yield(nil, err)
				return
			}
			m := &l.m
			l.busy = true
			more := yield(m, nil)
			l.busy = false
			if m.arrival != nil && !m.held {
				s.c.ack(m.arrival, m.gen) // ErrSessionLost: nobody is left to be told
			}
			s.c.leaveBody()
			if !more {
				return
			}
		}
	}
}

// loop is one run of Messages. It takes what has come in one go, if it is the only loop, and so seldom needs the lock.
type loop struct {
	s     *Subscription
	batch inbox
	cost  int // what batch counts for
	m     Message
	e     *entry // that of m, in batch
	busy  bool   // the body runs
}

// next makes m the next message.
func (l *loop) next(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if l.s.closed.Load() {
		return ErrUnsubscribed
	}
	if l.batch.len() == 0 || !l.s.c.enterBody() {
		if err := l.fetch(ctx); err != nil {
			return err
		}
	}
	e, payload := l.batch.next()
	l.e = e
	m := &l.m // field by field: a whole Message would be made and then copied
	m.Topic, m.Payload, m.QoS, m.Retain, m.Dup, m.PacketID = e.topic, payload, e.qos, e.retain, e.dup, e.id
	m.client, m.arrival, m.gen, m.held = l.s.c, e.arrival, e.gen, false
	return nil
}

// fetch waits for messages and takes them.
func (l *loop) fetch(ctx context.Context) error {
	s, c := l.s, l.s.c
	for {
		c.mu.Lock()
		l.putBack()
		l.release()
		err := s.state()
		if c.over != nil && (c.cfg.Store != nil || !c.cfg.CleanSession) {
			s.inbox.dropQoS2() // the server sends them again to the next client of this session: here they would be doubled
		}
		if s.inbox.len() > 0 && !s.closed.Load() && (err != nil || !c.closing) {
			if s.loops == 1 {
				s.inbox, l.batch = l.batch, s.inbox
			} else {
				e, payload := s.inbox.next()
				l.batch.addCopy(e, payload)
				if s.inbox.len() == 0 {
					s.inbox.reset()
				} else {
					s.wake()
				}
			}
			l.cost = l.batch.cost()
			c.bodies.Add(1)
			c.mu.Unlock()
			return nil
		}
		if err != nil {
			s.wake() // other loops end too
			c.mu.Unlock()
			return err
		}
		c.mu.Unlock()
		select {
		case <-s.ready:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// state returns why no more messages will come, or nil. The lock is held.
func (s *Subscription) state() error {
	if s.closed.Load() {
		return ErrUnsubscribed
	}
	for _, w := range s.wishes {
		if w.refused {
			return ErrRefused
		}
	}
	return s.c.over
}

// putBack puts back what is left of the batch. The lock is held.
func (l *loop) putBack() {
	if l.batch.len() > 0 {
		left := l.batch.cost()
		l.s.inbox.putBack(&l.batch)
		l.cost -= left
	}
}

// enterBody says that the body of a message loop is about to run: from here to leaveBody, Shutdown waits for it. It
// returns false if Shutdown was called before. It is called without the lock.
func (c *Client) enterBody() bool {
	c.bodies.Add(1)
	if c.draining.Load() {
		c.leaveBody()
		return false
	}
	return true
}

// leaveBody says that the body of a message loop has ended. It is called without the lock.
func (c *Client) leaveBody() {
	if c.bodies.Add(-1) == 0 && c.draining.Load() {
		c.mu.Lock()
		c.settle() // Shutdown waits
		c.mu.Unlock()
	}
}

// release gives back the room of a batch that is used up. The lock is held.
func (l *loop) release() {
	l.batch.reset()
	if l.cost > 0 {
		l.s.c.routing.bytes -= l.cost
		l.cost = 0
		l.s.c.routing.mayGoOn()
	}
}

// end puts back what the loop took and did not use.
func (l *loop) end() {
	s, c := l.s, l.s.c
	c.mu.Lock()
	defer c.mu.Unlock()
	s.loops--
	if l.busy {
		c.bodies.Add(-1)
		c.settle()
	}
	if l.busy && !l.m.held {
		if a := l.e.arrival; a == nil || a.gen == l.e.gen && !a.acked {
			// The body panicked: its message goes to the next loop.
			var current inbox
			current.addCopy(l.e, l.batch.buf[l.e.from:l.e.to])
			l.batch.putBack(&current)
		}
	}
	if l.batch.len() > 0 {
		if s.closed.Load() {
			for l.batch.len() > 0 {
				if e, _ := l.batch.next(); e.arrival != nil {
					c.session.acknowledge(e.arrival)
				}
			}
			c.settle()
		} else {
			l.putBack()
			s.wake()
		}
	}
	l.release()
}

// hold counts a message that the program keeps. It is called without the lock.
func (c *Client) hold(m *Message) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if m.arrival.gen == m.gen && !m.arrival.acked && !m.arrival.held {
		m.arrival.held = true
		c.stats.Held++
		c.routing.mayGoOn()
	}
}

// ackBurst is after how many bytes of answers the writer has a turn on one processor: the server uses the room that they
// make while the program works on.
const ackBurst = 32 * 4

// ack acknowledges an arrival, if it is still the one of this generation. It is called without the lock.
func (c *Client) ack(a *arrival, gen uint64) error {
	c.mu.Lock()
	if a.gen != gen {
		c.mu.Unlock()
		return nil // acknowledged before
	}
	if a.held {
		a.held = false
		c.stats.Held--
	}
	if c.over != nil && !a.acked {
		defer c.mu.Unlock()
		return c.over
	}
	err := c.session.acknowledge(a)
	c.settle()
	debt := c.session.ackDebt
	c.mu.Unlock()
	if debt > 0 && debt%ackBurst == 0 {
		runtime.Gosched()
	}
	return err
}

// unshared returns the filter that the messages of a shared subscription match: "f" of "$share/group/f".
func unshared(filter string) string {
	if rest, ok := strings.CutPrefix(filter, "$share/"); ok {
		if _, f, ok := strings.Cut(rest, "/"); ok {
			return f
		}
	}
	return filter
}
