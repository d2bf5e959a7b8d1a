package main

import (
	"fmt"
	"io"
	"net"
	"sync/atomic"

	"iotwire/internal/testbroker"
	"iotwire/mqtt/packet"
)

// packetNames are the packets that --cut can be told.
func packetNames() (names []string) {
	for t := packet.CONNECT; t <= packet.DISCONNECT; t++ {
		names = append(names, t.String())
	}
	return names
}

// cutting returns l with a network in front of it that fails once: it loses the first packet with this name, from
// either side, and the connection with it, and says so. Every connection after that is a good one.
func cutting(l net.Listener, name string, said io.Writer) net.Listener {
	var done atomic.Bool
	return &cutListener{l, testbroker.Relay{Decide: func(e testbroker.Event) testbroker.Action {
		if e.Header.Type.String() != name || !done.CompareAndSwap(false, true) {
			return testbroker.Pass
		}
		fmt.Fprintf(said, "testbroker: lost a %s and its connection\n", name)
		return testbroker.HangUp
	}}}
}

type cutListener struct {
	net.Listener
	relay testbroker.Relay
}

func (l *cutListener) Accept() (net.Conn, error) {
	client, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	near, far := testbroker.Pipe()
	l.relay.Join(client, near)
	return &relayedConn{far.(*testbroker.Conn), client.RemoteAddr()}, nil
}

// relayedConn comes from where the client is, not from the relay.
type relayedConn struct {
	*testbroker.Conn
	from net.Addr
}

func (c *relayedConn) RemoteAddr() net.Addr { return c.from }
