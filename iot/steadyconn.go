package iot

import (
	"cmp"
	"errors"
	"net"
	"os"
	"sync"
	"time"
)

// steadyConn is a network connection whose write deadline counts progress: a Write goes on past it if a byte moved since
// it was set, with a new deadline that is as far away. A slow network does not fail, a dead one does, after at most twice
// the time. It stands beneath TLS, since package tls never writes again after a Write that timed out, though it were
// half-way.
type steadyConn struct {
	conn net.Conn // not embedded, as that makes each method twice: for steadyConn, too

	mu      sync.Mutex    // never held across a Write
	window  time.Duration // from when the deadline was set until it; not positive: none, or it was past already
	moved   bool          // a byte moved since then
	hurried bool
}

func (c *steadyConn) Read(b []byte) (int, error)        { return c.conn.Read(b) }
func (c *steadyConn) Close() error                      { return c.conn.Close() }
func (c *steadyConn) LocalAddr() net.Addr               { return c.conn.LocalAddr() }
func (c *steadyConn) RemoteAddr() net.Addr              { return c.conn.RemoteAddr() }
func (c *steadyConn) SetReadDeadline(t time.Time) error { return c.conn.SetReadDeadline(t) }

// SetWriteDeadline sets the deadline of Write. One that is past ends a Write at once.
func (c *steadyConn) SetWriteDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.moved, c.window = false, 0
	if c.hurried {
		if last := time.Now().Add(closeTimeout); t.IsZero() || t.After(last) {
			t = last
		}
	} else if !t.IsZero() {
		c.window = time.Until(t)
	}
	return c.conn.SetWriteDeadline(t)
}

// SetDeadline sets the deadlines of Read and Write.
func (c *steadyConn) SetDeadline(t time.Time) error {
	return cmp.Or(c.conn.SetReadDeadline(t), c.SetWriteDeadline(t))
}

// Write writes b. n < len(b) comes with an error.
func (c *steadyConn) Write(b []byte) (n int, err error) {
	for {
		var some int
		some, err = c.conn.Write(b[n:])
		n += some
		if !c.goOn(some > 0, err) {
			return n, err
		}
	}
}

// goOn notes whether bytes moved, and reports whether a Write that ended with err is to be continued.
func (c *steadyConn) goOn(moved bool, err error) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.moved = c.moved || moved
	if !errors.Is(err, os.ErrDeadlineExceeded) || !c.moved || c.window <= 0 {
		return false
	}
	c.moved = false
	return c.conn.SetWriteDeadline(time.Now().Add(c.window)) == nil
}

// hurry makes every later deadline a near one, and no Write goes on past it: the connection is about to be closed.
func (c *steadyConn) hurry() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.hurried = true
}
