package mqtt

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"time"

	"iotwire/mqtt/packet"
)

// dial calls connect on a goroutine of its own: the stack that Config.Dial needs, above all for TLS, would stay Run's for
// as long as the connection lasts. A panic or runtime.Goexit in one of the program's functions goes on on Run's.
func (c *Client) dial(ctx context.Context) (l *link, present bool, err error) {
	var panicked any
	var stack []byte
	done := make(chan struct{})
	returned := false
	go func() {
		defer close(done)
		defer func() {
			if panicked = recover(); panicked != nil {
				stack = make([]byte, 16<<10)
				stack = stack[:runtime.Stack(stack, false)]
			}
		}()
		l, present, err = c.connect(ctx)
		returned = true
	}()
	<-done
	switch {
	case panicked != nil:
		defer panic(panicked) // what recover returns; the other is for who reads the crash
		panic("in Config.Dial, or what comes with it: " + string(stack))
	case !returned:
		runtime.Goexit()
	}
	return l, present, err
}

// connect makes one attempt, up to CONNACK, and returns the connection and session present.
func (c *Client) connect(ctx context.Context) (*link, bool, error) {
	dialing, cancel := context.WithTimeout(ctx, c.cfg.Timeout) // one bound for all, from Dial to CONNACK
	defer cancel()
	c.whenStopped(cancel)
	expired := func() bool { return dialing.Err() == context.DeadlineExceeded && ctx.Err() == nil }
	conn, err := c.cfg.Dial(dialing)
	if err == nil && conn == nil {
		err = errors.New("Config.Dial returned neither a connection nor an error")
	}
	if err != nil {
		if expired() {
			err = fmt.Errorf("%w: not connected within %v: %w", ErrTimeout, c.cfg.Timeout, err)
		}
		return nil, false, err
	}
	l := newLink(c, conn)
	stop := context.AfterFunc(dialing, func() { l.fail(dialing.Err()) })
	present, err := c.handshake(dialing, l)
	if !stop() && err == nil { // CONNACK and the end of ctx in the same instant: it is the end
		err = dialing.Err()
	}
	late := expired()
	if err != nil {
		l.close()
		c.mu.Lock()
		c.tally(l)
		c.mu.Unlock()
		if late {
			err = fmt.Errorf("%w: %w within %v", ErrTimeout, ErrNoConnack, c.cfg.Timeout)
		}
		return nil, false, err
	}
	return l, present, nil
}

// handshake sends CONNECT and waits for CONNACK. Nothing else is sent before it.
func (c *Client) handshake(ctx context.Context, l *link) (present bool, err error) {
	var user string
	var password []byte
	if c.cfg.Credentials != nil {
		if user, password, err = c.cfg.Credentials(ctx); err != nil {
			return false, err
		}
	}
	b, err := c.appendConnect(nil, user, password) // [MQTT-3.1.0-1] first, [MQTT-3.1.0-2] and once
	if err != nil {
		return false, err
	}
	c.mu.Lock()
	c.session.connecting()
	c.mu.Unlock()
	if err := c.flushStore(); err != nil { // a server that gets CONNECT may begin a session that nobody would know of
		return false, err
	}
	if _, err := l.conn.Write(b); err != nil {
		return false, hungUp(err)
	}
	l.count(len(b))
	h, body, err := l.reader.Next()
	if err != nil {
		return false, hungUp(err)
	}
	if h.Type != packet.CONNACK {
		return false, &protocolError{violation(h.Type, "MQTT-3.2.0-1", "the first packet from the server is not CONNACK")}
	}
	ack, err := packet.ParseConnack(body)
	if err != nil {
		return false, &protocolError{err}
	}
	if ack.Code != packet.Accepted {
		c.mu.Lock()
		c.session.asked = false // no session was begun
		c.mu.Unlock()
		return false, &ConnectError{ack.Code}
	}
	if ack.SessionPresent && c.cfg.CleanSession {
		return false, &protocolError{violation(packet.CONNACK, "MQTT-3.2.2-1", "session present is 1 after a CONNECT with clean session")}
	}
	return ack.SessionPresent, nil
}

// appendConnect appends the CONNECT of this client.
func (c *Client) appendConnect(b []byte, user string, password []byte) ([]byte, error) {
	p := packet.Connect{
		ClientID:     []byte(c.cfg.ClientID),
		CleanSession: c.cfg.CleanSession,
		HasUserName:  user != "" || password != nil,
		UserName:     []byte(user),
		HasPassword:  password != nil,
		Password:     password,
	}
	if c.cfg.KeepAlive > 0 {
		p.KeepAlive = uint16(c.cfg.KeepAlive / time.Second)
	}
	if w := c.cfg.Will; w != nil {
		p.Will, p.WillTopic, p.WillMessage, p.WillQoS, p.WillRetain = true, []byte(w.Topic), w.Payload, w.QoS, w.Retain
	}
	return packet.AppendConnect(b, &p)
}

// hungUp is the error of a connection that ended before CONNACK.
func hungUp(err error) error {
	switch {
	case errors.Is(err, packet.ErrTooLarge), errors.Is(err, packet.ErrMalformed):
		return &protocolError{err}
	case closedByPeer(err):
		return &hungUpError{err}
	}
	return err // an alert of TLS, for example: its text says more
}

type hungUpError struct{ cause error }

func (e *hungUpError) Error() string {
	return ErrHungUp.Error() + " [MQTT-3.2.2-6]: " + e.cause.Error()
}
func (e *hungUpError) Unwrap() []error { return []error{ErrHungUp, e.cause} }
