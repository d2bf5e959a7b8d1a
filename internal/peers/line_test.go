package peers

import (
	"context"
	"net"
	"sync"

	"iotwire/mqtt/packet"
)

// line is the network between one client and its broker. It can be cut, and counts the packets that the client sends.
type line struct {
	mu    sync.Mutex
	raw   net.Conn      // the newest TCP connection
	whole chan struct{} // closed while the line is not cut
	sent  map[packet.Type]int
}

func newLine() *line {
	l := &line{whole: make(chan struct{}), sent: map[packet.Type]int{}}
	close(l.whole)
	return l
}

// dialTCP opens a TCP connection, once the line is whole.
func (l *line) dialTCP(ctx context.Context, network, address string) (net.Conn, error) {
	for {
		l.mu.Lock()
		whole := l.whole
		l.mu.Unlock()
		select {
		case <-whole:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		var d net.Dialer
		conn, err := d.DialContext(ctx, network, address)
		if err != nil {
			return nil, err
		}
		l.mu.Lock()
		if whole == l.whole {
			l.raw = conn
			l.mu.Unlock()
			return conn, nil
		}
		l.mu.Unlock()
		conn.Close() // cut meanwhile
	}
}

// count makes dial return connections whose packets are counted.
func (l *line) count(dial func(context.Context) (net.Conn, error)) func(context.Context) (net.Conn, error) {
	return func(ctx context.Context) (net.Conn, error) {
		conn, err := dial(ctx)
		if err != nil {
			return nil, err
		}
		return &countedConn{Conn: conn, line: l}, nil
	}
}

// packets returns how many packets of a type the client has sent.
func (l *line) packets(t packet.Type) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.sent[t]
}

// cut resets the connection, and lets no new one come about until restore.
func (l *line) cut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	select {
	case <-l.whole:
		l.whole = make(chan struct{})
	default:
	}
	if tcp, ok := l.raw.(*net.TCPConn); ok {
		tcp.SetLinger(0) // RST: what is on its way is lost
		tcp.Close()
	}
}

// restore ends cut.
func (l *line) restore() {
	l.mu.Lock()
	defer l.mu.Unlock()
	close(l.whole)
}

// countedConn counts the packets that are written.
type countedConn struct {
	net.Conn
	line *line
	head []byte // the beginning of a packet whose fixed header is not complete
	skip int    // bytes that are left of a packet
}

func (c *countedConn) Write(p []byte) (int, error) {
	c.read(p) // before: the answer may come at once
	return c.Conn.Write(p)
}

func (c *countedConn) read(p []byte) {
	for len(p) > 0 {
		if c.skip > 0 {
			n := min(c.skip, len(p))
			c.skip -= n
			p = p[n:]
			continue
		}
		c.head = append(c.head, p[0])
		p = p[1:]
		h, n, err := packet.ParseHeader(c.head)
		if n == 0 && err == nil {
			continue
		}
		c.line.mu.Lock()
		c.line.sent[h.Type]++
		c.line.mu.Unlock()
		c.head, c.skip = c.head[:0], h.Len
	}
}
