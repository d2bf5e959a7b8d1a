package iot

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"sync/atomic"
	"time"
)

// dialer opens connections to one endpoint.
type dialer struct {
	endpoint    Endpoint
	tls         func() (*tls.Config, error) // asked for each connection; nil without TLS
	needALPN    string                      // the protocol on which the server has to agree, or ""
	dialContext dialContext
}

// dial opens a connection. It ends with ctx, the handshake of TLS included. The name is looked up afresh, and all its
// addresses are tried, IPv6 and IPv4 side by side (RFC 8305).
func (d *dialer) dial(ctx context.Context) (net.Conn, error) {
	var config *tls.Config
	if d.tls != nil {
		var err error
		if config, err = d.tls(); err != nil {
			return nil, err
		}
	}
	conn, err := d.dialContext(ctx, "tcp", d.endpoint.Address())
	if err != nil || config == nil {
		return conn, err
	}
	steady := &steadyConn{conn: conn}
	secure := tls.Client(steady, config)
	if err := secure.HandshakeContext(ctx); err != nil {
		conn.Close()
		return nil, &handshakeError{d.endpoint, err}
	}
	if got := secure.ConnectionState().NegotiatedProtocol; d.needALPN != "" && got != d.needALPN {
		conn.Close()
		return nil, &handshakeError{d.endpoint, errNoALPN}
	}
	return &tlsConn{conn: secure, steady: steady}, nil
}

// netDialer is what dials unless Config.DialContext does.
//
//go:noinline
func netDialer() func(ctx context.Context, network, address string) (net.Conn, error) {
	d := &net.Dialer{
		// MQTT has its own keep alive. This one only finds the connections that it does not know of, such as one whose
		// owner turned it off.
		KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: time.Minute, Interval: 15 * time.Second, Count: 4},
	}
	return d.DialContext
}

// errNoALPN says that a server went on without the protocol that it was asked for. Package tls lets that pass.
var errNoALPN = errors.New("the server did not agree on the protocol (ALPN)")

// handshakeError is the failure of TLS before the connection could be used.
type handshakeError struct {
	endpoint Endpoint
	cause    error
}

func (e *handshakeError) Error() string {
	return oneLine(fmt.Sprintf("TLS handshake with %s: %.500s", e.endpoint, e.cause.Error()))
}
func (e *handshakeError) Unwrap() error { return e.cause }

// notTLS reports whether what came is no TLS.
func (e *handshakeError) notTLS() bool {
	_, is := e.cause.(tls.RecordHeaderError)
	return is
}

// closeTimeout is how long the end of a TLS connection may wait to say so (close_notify, RFC 8446 section 6.1).
const closeTimeout = 200 * time.Millisecond

// tlsConn is a TLS connection that closes soon, where package tls would wait for 5 s on a network that takes nothing, and
// that says why the server refused the certificate.
type tlsConn struct {
	conn    *tls.Conn // not embedded, as that brings methods into the program that nobody calls
	steady  *steadyConn
	written atomic.Bool // something was
}

func (c *tlsConn) ConnectionState() tls.ConnectionState { return c.conn.ConnectionState() }
func (c *tlsConn) Read(b []byte) (int, error)           { return c.conn.Read(b) }
func (c *tlsConn) LocalAddr() net.Addr                  { return c.conn.LocalAddr() }
func (c *tlsConn) RemoteAddr() net.Addr                 { return c.conn.RemoteAddr() }
func (c *tlsConn) SetDeadline(t time.Time) error        { return c.conn.SetDeadline(t) }
func (c *tlsConn) SetReadDeadline(t time.Time) error    { return c.conn.SetReadDeadline(t) }
func (c *tlsConn) SetWriteDeadline(t time.Time) error   { return c.conn.SetWriteDeadline(t) }

// Write writes b. With TLS 1.3 the server looks at our certificate after the handshake, and may have sent an alert and
// hung up before the first Write, while nobody reads: the alert is then the error.
func (c *tlsConn) Write(b []byte) (int, error) {
	n, err := c.conn.Write(b)
	if !c.written.Swap(true) && err != nil {
		_ = c.conn.SetReadDeadline(time.Now().Add(closeTimeout))
		if _, refusal := c.conn.Read(make([]byte, 1)); remoteAlert(refusal) != "" {
			err = refusal
		}
	}
	return n, err
}

// Close says good-bye if the network takes it within closeTimeout, and closes the connection.
func (c *tlsConn) Close() error {
	c.steady.hurry()
	return c.conn.Close()
}
