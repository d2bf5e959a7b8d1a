package mqtt

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"math"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"iotwire/mqtt/packet"
)

// Client is one MQTT client: a session and the connections that serve it. Its methods can be called from any goroutine,
// before, during and after Run. A Client has Run's goroutine, which reads, and one more at most: one that connects, later
// one that writes, and none while nothing moves. (A Store has one as long as something is to be stored.)
type Client struct {
	cfg   Config
	epoch time.Time // all times are durations since then: wall clocks jump
	seed  maphash.Seed

	mu        sync.Mutex // guards what follows; never held across anything that blocks
	session   *session
	link      *link // the connection, once CONNACK accepted; nil: offline
	running   bool
	closing   bool          // Shutdown was called: nothing more is accepted
	over      error         // not nil: Run has returned or never will; nothing happens any more
	changed   chan struct{} // closed at the next change that somebody may wait for; made when somebody does
	routing   routing
	free      []*flow // that ended well, to be used again
	freeBytes int     // of their buffers
	room      roomQueue
	stats     Stats
	touched   []*Subscription // that got messages, to be woken
	bodies    atomic.Int32    // message loops whose body runs, or is about to; changed without the lock too
	draining  atomic.Bool     // closing, for who does not have the lock

	resumed    []Resumed
	accepting  []*flow // to be stored
	committing bool    // commit is at work
	flushing   bool    // commit is to make deletes durable
	broken     error   // why the store cannot be used any more
	short      int     // see LostError.Short

	interrupt func() // ends what Run waits for: an attempt, a connection, a pause
	ending    bool   // Run is to end, for another reason than its context
	drained   bool   // which is Shutdown
}

// New checks cfg and returns a client that does nothing until Run. Its error matches [packet.ErrInvalid].
func New(cfg Config) (*Client, error) {
	if err := cfg.setDefaults(); err != nil {
		return nil, err
	}
	c := &Client{
		cfg:     cfg,
		epoch:   time.Now(),
		seed:    maphash.MakeSeed(),
		session: newSession(&cfg),
		routing: routing{routes: map[string]*route{}, limit: cfg.Inbox},
	}
	// Whatever CONNECT may not have is found now, and not at the first attempt.
	if _, err := c.appendConnect(nil, "", nil); err != nil {
		return nil, err
	}
	if cfg.Store != nil {
		c.load()
	}
	return c, nil
}

// load takes over what is in the store.
func (c *Client) load() {
	s := c.session
	s.lastID = uint16(rand.Uint32()) // see serve: a store can be new, or damaged, where the server's session is not
	s.load(c.cfg.Store, func(err error) {
		if f := c.cfg.Trace.Damaged; f != nil {
			f(err)
		}
	})
	for _, l := range []*flowList{&s.released, &s.queue} {
		for f := l.head; f != nil; f = f.next {
			r := Resumed{Delivery: Delivery{c: c, f: f, mark: f.gen}, QoS: f.qos}
			if len(f.packet) > 0 {
				h, n, _ := packet.ParseHeader(f.packet)
				p, _ := packet.ParsePublish(h.Flags, f.packet[n:])
				r.Topic, r.Size = string(p.Topic), len(p.Payload)
			}
			c.resumed = append(c.resumed, r)
			c.stats.Accepted++
		}
	}
}

// now is the time since the client was made. It does not jump.
func (c *Client) now() time.Duration { return time.Since(c.epoch) }

// tellTime tells the session the time, before it sends what Config.Resend may send again. The lock is held.
func (c *Client) tellTime() {
	if c.cfg.Resend > 0 {
		c.session.now = c.now()
	}
}

// Run connects, and connects again after each loss, until ctx ends, Shutdown is done, or Config.Retry says that an
// error is final. It returns ctx.Err(), nil, or that error. It can be called once.
//
// When ctx ends, DISCONNECT is sent if the server takes it within 200 ms, so that no will is published, and the
// connection is closed. Whatever Publish, Ready or a message loop then still waits for ends with an error that matches
// [ErrClosed]. A message whose loop body runs at that moment is not acknowledged, and comes again: end the loops first,
// or call Shutdown, which waits for them.
func (c *Client) Run(ctx context.Context) error {
	if err := c.begin(); err != nil {
		return err
	}
	defer c.leave()
	// Run spends its time inside read, and its stack is a third of what an idle client takes: all else is in functions
	// that have returned by then, so that 2 KiB are enough, and 4 once a message has come.
	for attempt := 1; ; attempt++ {
		l, err := c.attach(ctx, attempt)
		if err == nil {
			err = c.read(l)
			if err = c.detach(l, err); l.lasted >= c.cfg.Backoff.Stable {
				attempt = 0
			}
		}
		if over, err := c.pause(ctx, attempt, err); over {
			return c.end(err)
		}
	}
}

// begin is the beginning of everything.
func (c *Client) begin() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.running || c.over != nil {
		return ErrClosed
	}
	c.running = true
	return nil
}

// leave ends the connection if a function of the program has panicked in Run.
func (c *Client) leave() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.over == nil {
		c.stop()
	}
}

// stop ends Run as the end of its context does. A context of Run's own, which would do that too, takes half a KiB. The
// lock is held.
func (c *Client) stop() {
	c.ending = true
	if c.interrupt != nil {
		go c.interrupt()
		c.interrupt = nil
	}
}

// whenStopped says what stop is to call from now on.
func (c *Client) whenStopped(interrupt func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.interrupt = interrupt
	if c.ending {
		c.stop()
	}
}

// pause waits until the next attempt is due, after one that ended with err. It reports whether there is none, and what
// Run then returns.
func (c *Client) pause(ctx context.Context, attempt int, err error) (over bool, _ error) {
	if over, err := c.stopped(ctx); over {
		return true, err
	}
	retry := c.cfg.Retry(err)
	wait := time.Duration(0)
	if retry {
		wait = c.cfg.Backoff.wait(max(attempt, 1))
	}
	if f := c.cfg.Trace.Disconnected; f != nil {
		f(err, retry, wait)
	}
	if !retry {
		return true, err
	}
	pausing, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	c.whenStopped(cancel)
	<-pausing.Done()
	return c.stopped(ctx)
}

// stopped reports whether Run was asked to end, and what it then returns.
func (c *Client) stopped(ctx context.Context) (bool, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.drained {
		return true, nil
	}
	err := ctx.Err()
	return c.ending || err != nil, err
}

// wait draws the pause after the n-th attempt in a row.
func (b *Backoff) wait(n int) time.Duration {
	top := b.Max
	if n-1 < 40 && b.Min<<(n-1) < b.Max && b.Min<<(n-1) > 0 {
		top = b.Min << (n - 1)
	}
	return max(b.Floor, rand.N(min(top, math.MaxInt64-1)+1))
}

// attach makes one attempt to connect. When it returns, the connection is the client's, and is to be read.
func (c *Client) attach(ctx context.Context, attempt int) (*link, error) {
	if f := c.cfg.Trace.Connecting; f != nil {
		f(attempt)
	}
	l, present, err := c.dial(ctx)
	if err != nil {
		return nil, err
	}
	if f := c.cfg.Trace.Connected; f != nil {
		f(present)
	}
	c.mu.Lock()
	c.link = l
	c.stats.Connects++
	c.tellTime()
	if present && c.stats.Connects == 1 && c.cfg.Store == nil {
		// A session that an earlier process began, of which nothing is known here. The server may hold QoS 2 identifiers of
		// it, and would take a new message under one of them for a repetition: begin somewhere else.
		c.session.lastID = uint16(rand.Uint32())
	}
	c.session.connected(present)
	l.start()
	c.settle()
	c.mu.Unlock()
	stop := l.stop
	c.whenStopped(stop)
	l.unwatch = context.AfterFunc(ctx, stop)
	return l, nil
}

// detach ends a connection on which reading has ended with err, and returns why it ended: nil if ctx did.
func (c *Client) detach(l *link, err error) error {
	l.unwatch()
	err = l.end(err)

	c.mu.Lock()
	l.lasted = c.now() - l.began
	if err != nil {
		err = c.lost(l, err, l.lasted)
	}
	c.link = nil
	c.tally(l)
	cause := err
	if cause == nil {
		cause = ErrClosed
	}
	v := unclear
	if l.lasted >= c.cfg.Backoff.Stable {
		v = cleared
	} else if err != nil && closedByPeer(l.cause) {
		v = guilty
	}
	c.session.disconnected(cause, v)
	c.settle()
	c.mu.Unlock()
	return err
}

// tally adds the bytes of a connection that has ended. The lock is held.
func (c *Client) tally(l *link) {
	c.stats.BytesIn += l.in.Load()
	c.stats.BytesOut += l.out.Load()
}

// Ready waits until the client is connected. It returns ctx.Err() if ctx ends first, and an error that matches
// [ErrClosed], with the cause, if Run has returned.
func (c *Client) Ready(ctx context.Context) error {
	return c.await(ctx, func() (bool, error) { return c.link != nil, nil })
}

// await waits until done, which is called with the lock held, says so.
func (c *Client) await(ctx context.Context, done func() (bool, error)) error {
	for {
		c.mu.Lock()
		if ok, err := done(); ok || err != nil {
			c.mu.Unlock()
			return err
		}
		if c.over != nil {
			c.mu.Unlock()
			return c.over
		}
		if c.changed == nil {
			c.changed = make(chan struct{})
		}
		changed := c.changed
		c.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Shutdown ends the client in good order, like http.Server: nothing more is accepted, what was accepted is delivered,
// held messages are acknowledged, and those of loops whose body runs, DISCONNECT is sent, Run returns nil. Messages that
// no loop has taken stay with the server. If ctx ends first, or a message fails, Shutdown returns an error that says how
// many were not delivered, and Run returns all the same. When only bodies are left it waits for them, and then for Run,
// for Config.Timeout at most: called in a body, it would wait for itself. Without a Run it ends the client at once.
func (c *Client) Shutdown(ctx context.Context) error {
	c.mu.Lock()
	c.closing = true
	c.draining.Store(true)
	unused := !c.running
	c.running = true // a Run that comes later returns ErrClosed
	failed := c.stats.Failed
	c.room.wakeAll()
	c.settle() // wakes who waits for a connection
	c.mu.Unlock()

	var err error
	if unused {
		c.end(nil)
	} else {
		err = c.await(ctx, func() (bool, error) {
			return c.over != nil || c.session.open() == 0 && c.stats.Held == 0, nil
		})
		if err == nil {
			err = c.awaitBodies(ctx)
		}
	}
	c.mu.Lock()
	over := c.over
	if lost := c.session.open() + int(c.stats.Failed-failed); err != nil || lost > 0 {
		if err == nil {
			err = ErrUnconfirmed
			if over != nil {
				err = over
			}
		}
		err = fmt.Errorf("%d messages not delivered, %d received ones not acknowledged: %w", lost, c.stats.Held+int(c.bodies.Load()), err)
	}
	if over == nil {
		c.drained = true
		c.stop()
	}
	c.mu.Unlock()
	if over != nil {
		return err
	}
	patience, stop := context.WithTimeout(context.Background(), c.cfg.Timeout)
	defer stop()
	c.await(patience, func() (bool, error) { return c.over != nil, nil })
	return err
}

// awaitBodies waits until no message loop's body runs, and until no answer of theirs waits for its record any more.
func (c *Client) awaitBodies(ctx context.Context) error {
	patience, stop := context.WithTimeout(ctx, c.cfg.Timeout)
	defer stop()
	err := c.await(patience, func() (bool, error) {
		s := c.session
		return c.over != nil || c.bodies.Load() == 0 && s.open() == 0 && c.stats.Held == 0 && !(s.durable && s.journal.holds()), nil
	})
	if err != nil && ctx.Err() == nil {
		err = fmt.Errorf("%w: a message loop's body has not ended in %v", ErrTimeout, c.cfg.Timeout)
	}
	return err
}

// Stats returns the client's counts, all of one moment. It does not block, and can be called after Run has returned.
func (c *Client) Stats() Stats {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.stats
	s.Online = c.link != nil
	s.Pending = c.session.open() - c.session.storing.n
	s.Inflight = c.session.sent.n + c.session.released.n
	s.InboxBytes = c.routing.bytes
	if c.link != nil {
		s.BytesIn += c.link.in.Load()
		s.BytesOut += c.link.out.Load()
	}
	return s
}

// end is the end of everything: it returns what Run returns.
func (c *Client) end(err error) error {
	c.mu.Lock()
	c.closing = true
	if c.broken != nil {
		err = c.broken
	}
	c.mu.Unlock()
	c.flushStore() // what was acknowledged must not come back

	c.mu.Lock()
	c.over = ErrClosed
	if err != nil {
		c.over = &closedError{err}
	}
	c.session.end(c.over)
	c.settle()
	c.room.wakeAll()
	for _, w := range c.session.wishes {
		for _, s := range w.subs {
			s.wake()
		}
	}
	c.mu.Unlock()
	if c.cfg.Store != nil {
		c.cfg.Store.Close()
	}
	return err
}

// settle passes on what the session has done: it ends deliveries, and wakes whoever waits. The lock is held.
func (c *Client) settle() {
	s := c.session
	for i, f := range s.finished {
		s.finished[i] = nil
		if f.err == nil {
			c.stats.Done++
		} else {
			c.stats.Failed++
		}
		c.settleFlow(f)
	}
	s.finished = s.finished[:0]
	c.stats.Done += uint64(s.done)
	c.stats.Failed += uint64(s.failed)
	s.done, s.failed = 0, 0
	s.stream.settle()
	for i, sub := range c.touched {
		c.touched[i] = nil
		sub.touched = false
		sub.wake()
	}
	c.touched = c.touched[:0]
	if c.room.first != nil {
		c.room.offer(c)
	}
	if c.cfg.Store != nil {
		c.startCommit()
	}
	if c.link != nil && s.writable() > 0 {
		c.link.flush()
	}
	if c.changed != nil {
		close(c.changed)
		c.changed = nil
	}
}

// rest gives back the memory that a busy time has needed, in a quiet time or a busy time's pause: what is needed again is
// made again. The lock is held.
func (c *Client) rest() {
	c.free, c.freeBytes = nil, 0
	c.room.spare = nil
	c.session.spare = nil
	if len(c.session.out) == 0 {
		c.session.out = nil
	}
	if c.session.stream.len() == 0 { // and so nobody waits
		c.session.stream.unwritten, c.session.stream.waiters = nil, nil
	}
	for _, w := range c.session.wishes {
		for _, s := range w.subs {
			if s.inbox.len() == 0 {
				s.inbox = inbox{}
			}
		}
	}
}

// closedByPeer reports whether err is how a connection shows that the other side closed it.
func closedByPeer(err error) bool {
	op, ok := errors.AsType[*net.OpError](err)
	return err == io.EOF || err == io.ErrUnexpectedEOF || errors.Is(err, io.ErrClosedPipe) ||
		ok && (op.Op == "read" || op.Op == "write") && !op.Timeout()
}

type protocolError struct{ cause error }

func (e *protocolError) Error() string   { return ErrProtocol.Error() + ": " + e.cause.Error() }
func (e *protocolError) Unwrap() []error { return []error{ErrProtocol, e.cause} }

type closedError struct{ cause error }

func (e *closedError) Error() string   { return ErrClosed.Error() + ": " + e.cause.Error() }
func (e *closedError) Unwrap() []error { return []error{ErrClosed, e.cause} }
