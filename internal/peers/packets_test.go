package peers

import (
	"context"
	"net"
	"sync"

	"iotwire/mqtt/packet"
)

// packets counts the packets that a client sends.
type packets struct {
	mu   sync.Mutex
	sent map[packet.Type]int
}

// of returns how many packets of a type were sent.
func (p *packets) of(t packet.Type) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.sent[t]
}

// count makes dial return connections whose packets are counted.
func (p *packets) count(dial func(context.Context) (net.Conn, error)) func(context.Context) (net.Conn, error) {
	return func(ctx context.Context) (net.Conn, error) {
		conn, err := dial(ctx)
		if err != nil {
			return nil, err
		}
		return &countedConn{Conn: conn, packets: p}, nil
	}
}

// countedConn counts the packets that are written.
type countedConn struct {
	net.Conn
	packets *packets
	head    []byte // the beginning of a packet whose fixed header is not complete
	skip    int    // bytes that are left of a packet
}

func (c *countedConn) Write(b []byte) (int, error) {
	c.read(b) // before: the answer may come at once
	return c.Conn.Write(b)
}

func (c *countedConn) read(b []byte) {
	for len(b) > 0 {
		if c.skip > 0 {
			n := min(c.skip, len(b))
			c.skip -= n
			b = b[n:]
			continue
		}
		c.head = append(c.head, b[0])
		b = b[1:]
		h, n, err := packet.ParseHeader(c.head)
		if n == 0 && err == nil {
			continue
		}
		c.packets.mu.Lock()
		c.packets.sent[h.Type]++
		c.packets.mu.Unlock()
		c.head, c.skip = c.head[:0], h.Len
	}
}
