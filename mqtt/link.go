package mqtt

import (
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"iotwire/mqtt/packet"
)

const (
	farewell   = 200 * time.Millisecond // how long the end of Run waits for DISCONNECT to leave and the server to close
	writeChunk = 64 << 10               // the most bytes that one write time-out is for: TLS cannot go on after one
	maxDebt    = 1 << 20                // bytes of answers that a server may leave unread before it counts as broken
	linger     = 10 * time.Millisecond  // the writer ends if nothing moved between two strokes of the clock: not for each message of many
)

// link is one network connection: its reader, its writer goroutine and its clock. All writes after CONNECT are the
// writer's: it takes what the session has gathered since the last write, and writes it in one call. No lock is held
// across a write, so that nobody ever waits for the network who did not ask to. A connection on which nothing moves has
// no writer, whose stack would be half of what such a client takes: flush starts one, or the clock when PINGREQ is due.
type link struct {
	c      *Client
	conn   net.Conn
	chunk  int // the most bytes in one call of conn.Write
	reader *packet.Reader

	in, out  atomic.Uint64 // bytes on this connection, as MQTT
	sent     uint64        // bytes that the writer wrote; this,
	spare    []byte        // the buffer for the next ones, and
	use      wear          // of these buffers, and
	lastSent time.Duration // when it wrote last are the writer's
	lastRead atomic.Int64  // when a byte came last, since Client.epoch
	begun    atomic.Int64  // when the packet that is on its way began to come; 0: none is

	wakeup  chan struct{}  // capacity 1: there is something for the writer to do
	writer  sync.WaitGroup // the writer, if there is one
	stopped atomic.Bool    // it is to end with DISCONNECT

	began, lasted time.Duration // since Client.epoch, and until it had ended
	unwatch       func() bool   // ends the wait for the end of Run's context

	// The lock of the Client guards what follows.
	ended  bool          // the connection has ended, for
	cause  error         // this
	idle   bool          // the writer waits for wakeup
	asleep bool          // there is no writer: flush starts one
	clock  *time.Timer   // has the writer look whether something is due: it is set again then, and not for each message
	struck bool          // it has, and the writer has not looked yet
	paused bool          // we do not read: the inbox is full, or Config.Large is at work
	ping   time.Duration // when the PINGREQ that has no answer yet was sent; 0: none
}

func newLink(c *Client, conn net.Conn) *link {
	l := &link{
		c:      c,
		conn:   conn,
		chunk:  writeChunk,
		wakeup: make(chan struct{}, 1),
	}
	if _, ok := conn.(*net.TCPConn); ok {
		l.chunk = 8 * writeChunk // it says how far it came
	}
	l.reader = packet.NewReader(l, c.cfg.MaxPacket)
	return l
}

// Read is the connection's, with a note of when something came.
func (l *link) Read(p []byte) (int, error) {
	n, err := l.conn.Read(p)
	if n > 0 {
		l.in.Add(uint64(n))
		now := max(int64(l.c.now()), 1)
		l.lastRead.Store(now)
		l.begun.CompareAndSwap(0, now)
	}
	return n, err
}

// completed says that at least one packet has come whole since the last call. The client's lock is held.
func (l *link) completed() {
	last := l.lastRead.Load()
	if took := time.Duration(last - l.begun.Load()); l.ping > 0 && took >= l.c.cfg.Timeout {
		l.ping = time.Duration(last) // PINGRESP stood behind that packet: it has the time-out from now
	}
	if !l.reader.Partial() {
		last = 0
	}
	l.begun.Store(last)
}

func (l *link) count(n int) { l.out.Add(uint64(n)) }

// fail ends the connection, for the first cause that is given.
func (l *link) fail(cause error) {
	l.c.mu.Lock()
	first := !l.ended
	if first {
		l.ended, l.cause, l.asleep = true, cause, false
		l.wake()
	}
	l.c.mu.Unlock()
	if first {
		l.close()
	}
}

// wake has the writer, and a reader that pauses, see that the connection has ended or is to. The client's lock is held.
func (l *link) wake() {
	l.flush()
	l.c.routing.mayGoOn()
}

// close closes the connection without waiting for the other side.
func (l *link) close() {
	l.conn.SetDeadline(time.Unix(1, 0)) // a close of TLS would wait to say good-bye
	l.conn.Close()
}

// stop ends the connection with DISCONNECT: see farewell.
func (l *link) stop() {
	if l.stopped.Swap(true) {
		return
	}
	l.conn.SetDeadline(time.Now().Add(farewell))
	l.c.mu.Lock()
	l.wake()
	l.c.mu.Unlock()
}

func (l *link) stopping() bool { return l.stopped.Load() }

// start lets the link write. The client's lock is held.
func (l *link) start() {
	l.began = l.c.now()
	l.lastSent = l.began
	l.lastRead.Store(int64(l.began))
	l.asleep = true
	wait, _ := l.tick(l.began) // nothing is due yet
	l.clock = time.AfterFunc(wait, func() {
		l.c.mu.Lock()
		l.struck = true
		l.flush()
		l.c.mu.Unlock()
	})
}

// end ends the connection, waits for the writer, and returns why it ended: nil if it was stopped.
func (l *link) end(err error) error {
	l.fail(err)
	l.clock.Stop()
	l.writer.Wait()
	if l.stopping() {
		return nil
	}
	return l.cause
}

// flush has the writer look what there is to do. The client's lock is held.
func (l *link) flush() {
	switch {
	case l.idle:
		l.idle = false
		l.wakeup <- struct{}{} // has room: the writer empties it before it is idle
	case l.asleep:
		l.asleep, l.struck = false, true // to set the clock
		l.writer.Go(l.write)
	}
}

// write is the writer goroutine.
func (l *link) write() {
	c, s := l.c, l.c.session
	stroke := time.Duration(0) // the next one of the clock
	for moved := true; ; {
		c.mu.Lock()
		l.idle = false
		if l.ended {
			c.mu.Unlock()
			return
		}
		select {
		case <-l.wakeup:
		default:
		}
		now := c.now()
		wait, err := l.tick(now)
		if err != nil {
			c.mu.Unlock()
			l.fail(err)
			return
		}
		stopping := l.stopping()
		if s.writable() > 0 || stopping {
			moved = true
			b := s.take(l.spare)
			c.mu.Unlock()
			if stopping {
				b = packet.AppendDisconnect(b)
			}
			l.lastSent = c.now()
			err := l.writeAll(b)
			if l.spare = b; l.use.outgrown(len(b), cap(b)) {
				l.spare = nil
			}
			if err != nil {
				l.fail(err)
				return
			}
			if stopping { // [MQTT-3.14.4-2] nothing more is sent; the reader waits for the server to close
				return
			}
			continue
		}
		if l.struck && !moved {
			l.asleep = true
			l.clock.Reset(wait)
			c.mu.Unlock()
			return
		}
		if wait = min(wait, linger); l.struck || now+wait < stroke {
			moved = moved && !l.struck
			l.struck = false
			stroke = now + wait
			l.clock.Reset(wait)
		}
		l.idle = true
		c.mu.Unlock()
		<-l.wakeup
	}
}

// writeAll writes b. Each byte that moves gives the next one the whole time-out.
func (l *link) writeAll(b []byte) error {
	for len(b) > 0 {
		if !l.stopping() {
			l.conn.SetWriteDeadline(time.Now().Add(l.c.cfg.Timeout))
			if l.stopping() { // it set a nearer deadline in between
				l.conn.SetWriteDeadline(time.Now().Add(farewell))
			}
		}
		n, err := l.conn.Write(b[:min(len(b), l.chunk)])
		b = b[n:]
		l.out.Add(uint64(n))
		l.sent += uint64(n)
		l.c.mu.Lock()
		l.c.session.wrote(l.sent)
		l.c.settle()
		l.c.mu.Unlock()
		if err != nil {
			if t, ok := err.(net.Error); ok && t.Timeout() && !l.stopping() {
				if n > 0 {
					continue
				}
				err = fmt.Errorf("%w: the server took no byte for %v", ErrTimeout, l.c.cfg.Timeout)
			}
			return err
		}
	}
	return nil
}

// tick does what is due: it sends again, keeps the connection alive, and finds out whether it is. It returns when to be
// called again. The client's lock is held.
func (l *link) tick(now time.Duration) (wait time.Duration, err error) {
	c := l.c
	wait = time.Hour
	if c.cfg.Resend > 0 && !l.paused {
		c.session.now = now
		wait = c.session.overdue(c.cfg.Resend)
	}
	if c.cfg.KeepAlive == 0 {
		return wait, nil
	}
	lastRead := time.Duration(l.lastRead.Load())
	if l.ping > 0 && !l.paused {
		// PINGRESP cannot overtake a packet that is on its way: while bytes of that one come, the server lives.
		due := l.ping + c.cfg.Timeout
		if begun := time.Duration(l.begun.Load()); begun > 0 && begun <= due {
			due = max(due, lastRead+c.cfg.Timeout)
		}
		if now >= due {
			return 0, fmt.Errorf("%w: keep alive: no PINGRESP in %v", ErrTimeout, c.cfg.Timeout)
		}
		wait = min(wait, due-now)
	}
	// [MQTT-3.1.2-23] A packet leaves within each keep alive period; and one asks whether the server is still there when
	// nothing came for as long.
	quiet := l.lastSent
	if l.ping == 0 && !l.paused {
		quiet = min(quiet, lastRead)
	}
	if now-quiet >= c.cfg.KeepAlive {
		c.rest()
		l.spare = nil
		c.session.out = packet.AppendPingreq(c.session.out)
		l.lastSent = now
		if l.ping == 0 {
			l.ping = max(now, 1)
		}
		return wait, nil
	}
	return min(wait, c.cfg.KeepAlive-(now-quiet)), nil
}
