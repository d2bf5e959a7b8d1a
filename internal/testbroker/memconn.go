package testbroker

import (
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
)

// pipeLimit is the number of bytes that each direction of a [Pipe] holds, as a socket's buffers do.
const pipeLimit = 64 << 10

// Pipe returns the two ends of a connection in memory. Unlike [net.Pipe] it is buffered, 64 KiB in each direction, so
// that crypto/tls works on top: an alert does not wait for a reader. Under [testing/synctest] a blocked Read or Write is
// durably blocked.
func Pipe() (client, server net.Conn) {
	c, s := NewPipe(pipeLimit)
	return c, s
}

// NewPipe is [Pipe] with the number of bytes that each direction holds before Write blocks: at least 1.
func NewPipe(limit int) (client, server *Conn) {
	if limit < 1 {
		panic("testbroker: a pipe holds at least 1 byte")
	}
	up, down := newQueue(limit), newQueue(limit)
	client = &Conn{in: down, out: up, local: "memory-client", remote: "memory-server"}
	server = &Conn{in: up, out: down, local: "memory-server", remote: "memory-client"}
	return client, server
}

// Conn is one end of a connection in memory. It behaves as a [net.TCPConn] does: a write of one end is whole even if
// others write at the same time, a Read or Write that is cut off by its deadline says how many bytes it moved, errors are
// *[net.OpError]. All methods may be called from any goroutine.
type Conn struct {
	in, out       *queue
	local, remote address
}

var _ net.Conn = (*Conn)(nil)

// Read reads at least one byte, or waits. After the other end's Close or CloseWrite, and once everything was read, it
// returns [io.EOF].
func (c *Conn) Read(p []byte) (int, error) {
	n, err := c.in.read(p)
	return n, c.wrap("read", err)
}

// Write puts all of p into the buffer, and waits while that is full. When the other end was closed it fails with
// [syscall.EPIPE]. With an error n says how many bytes went into the buffer before.
func (c *Conn) Write(p []byte) (int, error) {
	n, err := c.out.write(p)
	return n, c.wrap("write", err)
}

// Close ends both directions. The other end still reads what was written, then [io.EOF]; what it wrote and this end did
// not read is lost. A second Close returns [net.ErrClosed].
func (c *Conn) Close() error {
	first := c.out.closeWriter(net.ErrClosed)
	c.in.closeReader()
	if !first {
		return c.wrap("close", net.ErrClosed)
	}
	return nil
}

// CloseWrite ends the outgoing direction only, as a FIN does.
func (c *Conn) CloseWrite() error {
	c.out.closeWriter(syscall.EPIPE)
	return nil
}

// Reset closes the connection as an RST does: bytes that the other end did not read are lost, and its reads and writes
// fail with err at once; a nil err stands for [syscall.ECONNRESET].
func (c *Conn) Reset(err error) {
	if err == nil {
		err = os.NewSyscallError("read", syscall.ECONNRESET)
	}
	c.out.reset(net.ErrClosed, err)
	c.in.reset(err, net.ErrClosed)
}

// Blackhole cuts the line without a word, in both directions: writes still go into the buffer until it is full, but
// nothing arrives any more, not even the end of the stream. [Conn.Restore] undoes it, and what was held back arrives.
func (c *Conn) Blackhole() {
	c.in.hold(true)
	c.out.hold(true)
}

// Mute is [Conn.Blackhole] for what comes to this end only: what it writes arrives.
func (c *Conn) Mute() { c.in.hold(true) }

// Restore ends [Conn.Blackhole] and [Conn.Mute].
func (c *Conn) Restore() {
	c.in.hold(false)
	c.out.hold(false)
}

// LocalAddr returns an address of network "memory".
func (c *Conn) LocalAddr() net.Addr { return c.local }

// RemoteAddr returns an address of network "memory".
func (c *Conn) RemoteAddr() net.Addr { return c.remote }

// SetDeadline sets both deadlines. Reads and writes past theirs fail with [os.ErrDeadlineExceeded], which is a
// [net.Error] with Timeout() true, until a later one, or the zero time for none, is set.
func (c *Conn) SetDeadline(t time.Time) error {
	if err := c.SetReadDeadline(t); err != nil {
		return err
	}
	return c.SetWriteDeadline(t)
}

// SetReadDeadline is SetDeadline for Read.
func (c *Conn) SetReadDeadline(t time.Time) error {
	return c.wrap("set", c.in.setDeadline(&c.in.reader, t))
}

// SetWriteDeadline is SetDeadline for Write.
func (c *Conn) SetWriteDeadline(t time.Time) error {
	return c.wrap("set", c.out.setDeadline(&c.out.writer, t))
}

func (c *Conn) wrap(op string, err error) error {
	if err == nil || err == io.EOF {
		return err
	}
	return &net.OpError{Op: op, Net: c.local.Network(), Source: c.local, Addr: c.remote, Err: err}
}

// address is a [net.Addr] of network "memory".
type address string

func (address) Network() string  { return "memory" }
func (a address) String() string { return string(a) }

// queue is one direction of a connection: bytes that were written and not yet read.
type queue struct {
	mu      sync.Mutex
	changed *sync.Cond // anything below changed
	buf     []byte     // buf[start:] waits to be read
	start   int
	limit   int
	held    bool // nothing arrives, see Blackhole
	writing bool // a Write is under way: another waits, so that their bytes do not mix
	writer  side
	reader  side
}

// side is what one end of a queue knows.
type side struct {
	err      error // this end's calls fail with it
	deadline time.Time
	timer    *time.Timer // wakes the waiting when the deadline comes
}

func (s *side) expired() bool { return !s.deadline.IsZero() && !time.Now().Before(s.deadline) }

func newQueue(limit int) *queue {
	q := &queue{limit: limit}
	q.changed = sync.NewCond(&q.mu)
	return q
}

func (q *queue) read(p []byte) (int, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for {
		switch {
		case q.reader.err != nil:
			return 0, q.reader.err
		case q.reader.expired(): // as with a socket, also when there are bytes
			return 0, os.ErrDeadlineExceeded
		case len(p) == 0:
			return 0, nil
		case q.held:
		case q.start < len(q.buf):
			n := copy(p, q.buf[q.start:])
			q.start += n
			if q.start == len(q.buf) {
				q.buf, q.start = q.buf[:0], 0
			}
			q.changed.Broadcast()
			return n, nil
		case q.writer.err != nil:
			return 0, io.EOF
		}
		q.changed.Wait()
	}
}

func (q *queue) write(p []byte) (n int, err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	mine := false
	defer func() {
		if mine {
			q.writing = false
			q.changed.Broadcast()
		}
	}()
	for {
		switch {
		case q.writer.err != nil:
			return n, q.writer.err
		case q.writer.expired():
			return n, os.ErrDeadlineExceeded
		case len(p) == 0:
			return 0, nil
		case q.writing && !mine:
		default:
			q.writing, mine = true, true
			if free := q.limit - (len(q.buf) - q.start); free > 0 {
				next := min(len(p), n+free)
				q.append(p[n:next])
				n = next
				q.changed.Broadcast()
			}
			if n == len(p) {
				return n, nil
			}
		}
		q.changed.Wait()
	}
}

// append adds p to the buffer, using again the room of what was read.
func (q *queue) append(p []byte) {
	if q.start > 0 && len(q.buf)+len(p) > cap(q.buf) {
		q.buf = q.buf[:copy(q.buf, q.buf[q.start:])]
		q.start = 0
	}
	q.buf = append(q.buf, p...)
}

// closeWriter ends the stream; err is what the writer is told from now on: net.ErrClosed, or EPIPE for half a close. It
// reports whether that was news.
func (q *queue) closeWriter(err error) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.writer.err == net.ErrClosed || q.writer.err != nil && err != net.ErrClosed {
		return false
	}
	q.writer.end(err)
	q.changed.Broadcast()
	return true
}

// closeReader says that nobody will read any more.
func (q *queue) closeReader() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.buf, q.start = nil, 0
	q.reader.end(net.ErrClosed)
	if q.writer.err == nil {
		q.writer.end(os.NewSyscallError("write", syscall.EPIPE))
	}
	q.changed.Broadcast()
}

func (q *queue) reset(writer, reader error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.buf, q.start = nil, 0
	if q.writer.err != net.ErrClosed {
		q.writer.end(writer)
	}
	if q.reader.err == nil {
		q.reader.end(reader)
	}
	q.changed.Broadcast()
}

func (q *queue) hold(held bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.held = held
	q.changed.Broadcast()
}

func (q *queue) setDeadline(s *side, t time.Time) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if s.err == net.ErrClosed {
		return net.ErrClosed
	}
	s.deadline = t
	q.changed.Broadcast()
	if t.IsZero() {
		if s.timer != nil {
			s.timer.Stop()
		}
	} else if s.timer == nil {
		s.timer = time.AfterFunc(time.Until(t), func() {
			q.mu.Lock()
			defer q.mu.Unlock()
			q.changed.Broadcast()
		})
	} else {
		s.timer.Reset(time.Until(t))
	}
	return nil
}

// end makes all further calls of this side fail.
func (s *side) end(err error) {
	s.err = err
	if s.timer != nil {
		s.timer.Stop()
	}
}
