// Package testbroker is an MQTT 3.1.1 broker that lives in the process, for tests and for trying things out.
//
// It does what the standard says of a server: QoS 0, 1 and 2, sessions that wait for their clients, retained messages,
// wills, wildcards, keep alive, take-over of a client identifier, and $share/group/filter on top. It is strict: a
// client that breaks a rule loses its connection. Everything that it keeps is bounded. The map:
//
//	config.go         Config: limits, and what is allowed to whom
//	broker.go         Broker: Serve, ServeConn, Dial, Close
//	connection.go     a network connection: one goroutine reads, one writes
//	connect.go        CONNECT: return codes, take-over, session present (3.1, 3.2)
//	receive.go        the packets of a connected client (3.3 to 3.14)
//	session.go        what is kept for a client identifier (4.1): deliveries by QoS, resent on resume (4.3, 4.4)
//	subscriptions.go  the topic tree (4.7) and share groups
//	retained.go       retained messages (3.3.1.3)
//	guard.go          the rules of another kind of server, on top of the standard's; those of AWS IoT Core are in aws
//	deviations.go     departures from the standard
//	redeliver.go      messages that are sent again while the client is connected
//	pace.go           a bound on bytes in a second
//	route.go          from a message to the sessions that get it (3.3.5)
//	control.go        what a test does to the broker: publish, drop, restart, count
//	transcript.go     what happened on the wire
//	relay.go          a man in the middle, packet by packet
//	memconn.go        a connection in memory that works under testing/synctest
//	certificates.go   a CA, a server's and a device's certificate
//
// All state is under one lock, which is never held while a connection is read or written.
package testbroker

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"sync"
	"syscall"
	"time"
)

// ErrClosed is returned by Serve and Dial after Close.
var ErrClosed = errors.New("the broker is closed")

// Broker is an MQTT 3.1.1 server. Its methods may be called from any goroutine.
type Broker struct {
	config  Config
	started time.Time
	running sync.WaitGroup // a reader and a writer for each connection

	mu            sync.Mutex
	closed        bool
	listeners     map[net.Listener]struct{}
	connections   map[*connection]struct{}
	lastNumber    uint64 // of a connection
	sessions      map[string]*session
	subscriptions tree
	retained      retained
	router        router
	dropped       int
}

// New returns a broker without connections. It needs Close once it has one.
func New(config Config) *Broker {
	b := &Broker{
		config:      config.withDefaults(),
		started:     time.Now(),
		listeners:   make(map[net.Listener]struct{}),
		connections: make(map[*connection]struct{}),
		sessions:    make(map[string]*session),
	}
	b.retained.limit = b.config.RetainedBytes
	b.subscriptions.parentUnmatched = b.config.Deviations.ParentUnmatched
	return b
}

// Serve accepts connections from l, which may be one of crypto/tls, until ctx ends or Close is called, and closes l.
// It then returns ctx.Err() or ErrClosed; any other error is one of l that will not pass. The connections live on until
// Close.
func (b *Broker) Serve(ctx context.Context, l net.Listener) error {
	defer l.Close()
	b.mu.Lock()
	if b.closed {
		b.mu.Unlock()
		return ErrClosed
	}
	b.listeners[l] = struct{}{}
	b.mu.Unlock()
	defer func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		delete(b.listeners, l)
	}()
	defer context.AfterFunc(ctx, func() { l.Close() })()

	for wait := time.Millisecond; ; {
		conn, err := l.Accept()
		if err == nil {
			wait = time.Millisecond
			b.start(conn)
			continue
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if b.isClosed() {
			return ErrClosed
		}
		if !passes(err) {
			return fmt.Errorf("accept on %v: %w", l.Addr(), err)
		}
		select { // a descriptor may become free
		case <-time.After(wait):
			wait = min(2*wait, time.Second)
		case <-ctx.Done():
		}
	}
}

// passes reports whether an error of Accept is one of a single connection or a lack of resources.
func passes(err error) bool {
	for _, e := range []error{syscall.ECONNABORTED, syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM, syscall.EINTR} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// ServeConn serves one connection, a *[tls.Conn] before its handshake too, and returns when it has ended and is closed.
func (b *Broker) ServeConn(conn net.Conn) {
	if c := b.admit(conn); c != nil {
		c.serve()
	}
}

// start is ServeConn on a goroutine of its own.
func (b *Broker) start(conn net.Conn) {
	if c := b.admit(conn); c != nil {
		go c.serve()
	}
}

// admit enters a connection in the books, or closes it: there is no place for it.
func (b *Broker) admit(conn net.Conn) *connection {
	b.mu.Lock()
	if b.closed || len(b.connections) >= b.config.MaxConnections {
		b.mu.Unlock()
		conn.Close()
		return nil
	}
	defer b.mu.Unlock()
	b.lastNumber++
	c := &connection{
		broker:  b,
		number:  b.lastNumber,
		conn:    conn,
		wake:    make(chan struct{}, 1),
		room:    make(chan struct{}, 1),
		written: make(chan struct{}),
		gone:    make(chan struct{}),
		in:      newPace(b.config.BytesPerSecond),
	}
	c.timer = time.AfterFunc(b.config.ConnectTimeout, c.expire)
	b.connections[c] = struct{}{}
	b.running.Add(2)
	return c
}

// Dial connects to the broker in memory: it returns the client's end of a [Pipe] whose other end the broker serves. It
// does not block.
func (b *Broker) Dial(ctx context.Context) (net.Conn, error) {
	return b.dial(ctx, func(server net.Conn) net.Conn { return server })
}

// DialTLS is Dial for a connection on which the broker speaks TLS by Config.TLS. As with TCP the client's end comes
// before the handshake: wrap it with [tls.Client].
func (b *Broker) DialTLS(ctx context.Context) (net.Conn, error) {
	if b.config.TLS == nil {
		return nil, errors.New("the broker has no TLS configuration: set Config.TLS")
	}
	return b.dial(ctx, func(server net.Conn) net.Conn { return tls.Server(server, b.config.TLS) })
}

func (b *Broker) dial(ctx context.Context, wrap func(net.Conn) net.Conn) (net.Conn, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if b.isClosed() {
		return nil, ErrClosed
	}
	client, server := Pipe()
	b.start(wrap(server))
	return client, nil
}

// Close closes the listeners and all connections, without publishing their wills, and returns once no goroutine of the
// broker is left. A connection on which a client does not read can hold it up for as long as the TLS alert waits, 5
// seconds.
func (b *Broker) Close() {
	b.mu.Lock()
	b.closed = true
	for l := range b.listeners {
		l.Close()
	}
	for c := range b.connections {
		c.will = nil
		c.abort(ErrClosed)
	}
	for _, s := range b.sessions {
		s.stay() // its timer has nothing to do any more
	}
	b.mu.Unlock()
	b.running.Wait()
}

func (b *Broker) isClosed() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.closed
}
