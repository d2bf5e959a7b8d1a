package testbroker

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync/atomic"
	"syscall"
	"time"

	"iotwire/mqtt/packet"
)

const (
	maxConnect  = 5 + 10 + 5*(2+65_535) // the largest CONNECT that there can be
	maxReplies  = 256 << 10             // so many bytes of answers unwritten, and no more is read
	keepBuffer  = 256 << 10             // a larger outgoing buffer is not kept
	flushTime   = 5 * time.Second       // to write what is left when a connection ends
	lingerTime  = time.Second           // for the client to close its end then
	lingerBytes = 1 << 20               // to let pass until then
	progress    = 1000                  // so many bytes count as a sign of life, whole packet or not
)

// errDisconnect ends a connection by DISCONNECT.
var errDisconnect = errors.New("DISCONNECT")

// ErrNoHello is why a connection ended that was to speak TLS, and was closed by the other side before it sent a
// ClientHello: somebody looked whether the port is open.
var ErrNoHello = errors.New("the connection ended before TLS began")

// errEarly ends a connection by Deviations.AwaitConnack.
var errEarly = errors.New("a packet behind CONNECT, before CONNACK")

// connection is a network connection. Its reader handles what comes, its writer sends what the reader, and those of
// other connections, have put into out: whatever has come together there goes in one call.
type connection struct {
	broker  *Broker
	number  uint64
	conn    net.Conn
	state   *tls.ConnectionState // nil without TLS
	tap     func(bool, []byte)   // of Config.Tap; nil: nobody wants to know
	wake    chan struct{}        // out is no longer empty, or the end has come
	room    chan struct{}        // out was emptied
	written chan struct{}        // closed once the writer has ended
	gone    chan struct{}        // closed once the connection has ended
	alive   atomic.Int64         // when the client last showed life, since the broker's start

	// Of the reader alone:
	connected bool // CONNECT was accepted
	in        pace // of what is read
	received  int  // bytes, before that
	moved     int  // bytes, since the last sign of life

	// Under the broker's lock:
	session  *session // from the accepted CONNECT until the end
	guard    *Guard   // from then on; nil if there is none
	clientID string
	will     *message // until it is published or deleted
	patience time.Duration
	timer    *time.Timer // connect time-out, then keep alive
	delayed  []delayedAck
	out      []byte // to be written
	replies  int    // bytes of out that answer the client's own packets
	ended    bool   // nothing more is handled or put into out
	aborted  bool   // nothing more is written either
	reset    bool   // closed with RST
	why      error  // it ended
}

// serve runs the connection to its end.
func (c *connection) serve() {
	defer c.broker.running.Done()
	go c.write()
	err := c.read()
	c.finish(err)
}

// read handles what the client sends until there is a reason to end the connection, and returns that.
func (c *connection) read() error {
	if t, ok := c.conn.(*tls.Conn); ok {
		if err := t.HandshakeContext(context.Background()); err != nil {
			if err == io.EOF && t.ConnectionState().Version == 0 {
				return ErrNoHello
			}
			return fmt.Errorf("TLS handshake: %w", err)
		}
		state := t.ConnectionState()
		c.state = &state
	}
	b := c.broker
	if b.config.Tap != nil {
		c.tap = b.config.Tap(c.conn)
	}
	r := packet.NewReader((*source)(c), b.config.MaxPacket)
	h, body, err := r.Next()
	if err != nil {
		return err
	}
	if b.config.Deviations.AwaitConnack && r.Ready() {
		return errEarly
	}
	if err := c.connect(h, body); err != nil {
		return err
	}
	c.connected = true
	for {
		h, body, err := r.Next()
		if err != nil {
			return err
		}
		b.mu.Lock()
		for !c.ended {
			if err = c.receive(h, body); err != nil || !r.Ready() {
				break
			}
			if h, body, err = r.Next(); err != nil { // it does not block: the reader is ready
				break
			}
		}
		c.showLife()
		b.mu.Unlock()
		if err != nil {
			return err
		}
		if !c.awaitRoom() {
			return c.why
		}
	}
}

// awaitRoom waits while too many answers are unwritten: a client that sends and does not read is not read either. It
// reports whether the connection goes on.
func (c *connection) awaitRoom() bool {
	for {
		c.broker.mu.Lock()
		full, ended := c.replies > maxReplies, c.ended
		c.broker.mu.Unlock()
		if ended || !full {
			return !ended
		}
		select {
		case <-c.room:
		case <-c.written:
			return false
		}
	}
}

// source reads the connection for the packet reader, and sees to what has to be judged before a packet is whole.
type source connection

func (s *source) Read(p []byte) (int, error) {
	if s.connected {
		n, err := s.read(p)
		if s.moved += n; s.moved >= progress { // a large packet on a slow line
			s.moved = 0
			(*connection)(s).showLife()
		}
		s.in.spend(n, s.gone)
		return n, err
	}
	// Nobody may fill memory who has not said who he is.
	p = p[:min(len(p), maxConnect-s.received)]
	if len(p) == 0 {
		return 0, fmt.Errorf("more than %d bytes and no CONNECT", maxConnect)
	}
	n, err := s.read(p)
	if s.received == 0 && n > 0 {
		// [MQTT-3.1.0-1] The first packet is CONNECT. That need not wait until the packet is whole.
		if t := packet.Type(p[0] >> 4); t > packet.CONNECT && t <= packet.DISCONNECT {
			return 0, fmt.Errorf("first packet is %v, want CONNECT [MQTT-3.1.0-1]", t)
		}
	}
	s.received += n
	return n, err
}

// read reads the connection, and tells who wants to know.
func (s *source) read(p []byte) (int, error) {
	n, err := s.conn.Read(p)
	if s.tap != nil && n > 0 {
		s.tap(true, p[:n])
	}
	return n, err
}

// showLife puts off the end by keep alive.
func (c *connection) showLife() { c.alive.Store(int64(time.Since(c.broker.started))) }

// expire is called when the connect time-out, or the keep alive time as it was when the timer was set, is over.
func (c *connection) expire() {
	c.broker.mu.Lock()
	defer c.broker.mu.Unlock()
	if c.ended {
		return
	}
	if c.session == nil {
		c.abort(fmt.Errorf("no CONNECT within %v", c.broker.config.ConnectTimeout))
		return
	}
	if c.patience == 0 {
		return
	}
	// [MQTT-3.1.2-24] After one and a half times the keep alive time without a packet the connection is dropped.
	left := c.patience - (time.Since(c.broker.started) - time.Duration(c.alive.Load()))
	if left <= 0 {
		c.abort(fmt.Errorf("no packet for %v, %w [MQTT-3.1.2-24]", c.patience, errSilent))
		return
	}
	c.timer.Reset(left)
}

// send is called with the lock held after a packet was appended to out, at byte start.
func (c *connection) send(start int) {
	c.observeSent(c.out[start:])
	c.signal(c.wake)
}

// reply is send for a packet that answers one of the client's.
func (c *connection) reply(start int) {
	c.replies += len(c.out) - start
	c.send(start)
}

func (c *connection) signal(ch chan struct{}) {
	select {
	case ch <- struct{}{}:
	default:
	}
}

// write sends what is in out, until the connection has ended and out is empty.
func (c *connection) write() {
	b := c.broker
	defer b.running.Done()
	defer close(c.written)
	var spare []byte
	pace := newPace(b.config.BytesPerSecond)
	for {
		b.mu.Lock()
		for len(c.out) == 0 && !c.ended {
			b.mu.Unlock()
			<-c.wake
			b.mu.Lock()
		}
		out := c.out
		c.out, c.replies = spare[:0], 0
		if c.session != nil {
			c.session.pump()
		}
		aborted := c.aborted
		b.mu.Unlock()
		if len(out) == 0 || aborted {
			return
		}
		c.signal(c.room)
		if c.tap != nil {
			c.tap(false, out)
		}
		if err := pace.write(c.conn, out, c.gone); err != nil {
			b.mu.Lock()
			c.abort(err)
			b.mu.Unlock()
			return
		}
		if spare = out; cap(out) > keepBuffer {
			spare = nil
		}
	}
}

// detach takes the connection from its session and publishes the will that is still there. Nothing more is handled.
// It is called with the lock held, and does nothing the second time.
func (c *connection) detach(why error) {
	if c.ended {
		return
	}
	c.ended, c.why = true, why
	close(c.gone)
	c.timer.Stop()
	c.signal(c.wake)
	b := c.broker
	if c.session != nil {
		c.session.connection = nil
		if c.session.clean { // [MQTT-3.1.2-6] It lasts as long as the network connection.
			b.forget(c.session)
		} else {
			c.session.leave()
		}
		c.session = nil
	}
	c.observeEnd(why)
	// [MQTT-3.1.2-8] No DISCONNECT has deleted it. [MQTT-3.1.2-10] It is published once.
	will := c.will
	c.will = nil
	if c.guard != nil && c.guard.Ended != nil {
		var p *packet.Publish
		if will != nil {
			p = will.publish()
		}
		if !c.guard.Ended(endOf(why), why, p) {
			will = nil
		}
	}
	if will != nil {
		b.publish(will)
	}
}

// abort ends the connection at once: what is in out stays unwritten. It is called with the lock held. The reader and
// the writer, where they wait, are woken and close the connection.
func (c *connection) abort(why error) {
	c.detach(why)
	c.aborted = true
	c.conn.SetDeadline(time.Unix(1, 0))
}

// finish ends the connection for the reader, which has found the reason, and closes it: after what is in out was
// written, if somebody can still read it.
func (c *connection) finish(why error) {
	b := c.broker
	b.mu.Lock()
	if errors.Is(why, errDisconnect) {
		why = nil
	}
	c.detach(why)
	if !c.aborted {
		c.conn.SetWriteDeadline(time.Now().Add(flushTime))
	}
	b.mu.Unlock()
	<-c.written
	if c.tap != nil {
		c.tap(true, nil)
	}

	b.mu.Lock()
	linger := !c.aborted && !lost(why)
	if linger {
		c.conn.SetReadDeadline(time.Now().Add(lingerTime))
	}
	b.mu.Unlock()
	if linger {
		c.linger()
	}
	b.mu.Lock()
	reset := c.reset
	delete(b.connections, c)
	b.mu.Unlock()
	if reset {
		resetConn(c.conn)
	}
	c.conn.Close()
}

// linger waits until the client closes its end too, or sends more than anybody would. A socket that is closed with bytes
// unread is reset, and the client may never see the last answer, such as CONNACK 5 or a TLS alert.
func (c *connection) linger() {
	conn := c.conn
	if t, ok := conn.(*tls.Conn); ok && c.state == nil {
		conn = t.NetConn() // the handshake failed
	}
	if half, ok := conn.(interface{ CloseWrite() error }); ok && half.CloseWrite() == nil {
		io.CopyN(io.Discard, conn, lingerBytes)
	}
}

// lost reports whether err says that the client is not there any more.
func lost(err error) bool {
	var network net.Error
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed) ||
		errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, syscall.ECONNRESET) || errors.As(err, &network)
}

// resetConn closes the connection under conn so that the other end gets an RST.
func resetConn(conn net.Conn) {
	if t, ok := conn.(*tls.Conn); ok {
		conn = t.NetConn()
	}
	switch conn := conn.(type) {
	case *net.TCPConn:
		conn.SetLinger(0)
		conn.Close()
	case *Conn:
		conn.Reset(nil)
	}
}
