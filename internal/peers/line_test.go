package peers

import (
	"io"
	"net"
	"sync"
	"testing"
)

// line is a network cable between clients and a broker: what connects to address is connected to the broker. It can be
// cut.
type line struct {
	address string
	broker  string
	tasks   sync.WaitGroup

	mu    sync.Mutex
	whole chan struct{} // closed while the line is not cut
	ended bool
	conns map[*net.TCPConn]bool // both ends of all connections
}

// throughLine returns b as it is reached through a new line, which lasts until the test ends.
func (b *broker) throughLine(t *testing.T) (*broker, *line) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := &line{address: listener.Addr().String(), broker: b.address, whole: make(chan struct{}), conns: map[*net.TCPConn]bool{}}
	close(l.whole)
	l.tasks.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			l.tasks.Go(func() { l.relay(conn.(*net.TCPConn)) })
		}
	})
	t.Cleanup(func() {
		listener.Close()
		l.end()
		l.tasks.Wait()
	})
	far := *b
	far.address = l.address
	return &far, l
}

// relay serves a connection, once the line is whole.
func (l *line) relay(client *net.TCPConn) {
	defer client.Close()
	l.mu.Lock()
	l.conns[client] = true
	whole := l.whole
	l.mu.Unlock()
	<-whole
	conn, err := net.Dial("tcp", l.broker)
	if err != nil {
		return
	}
	broker := conn.(*net.TCPConn)
	defer broker.Close()
	l.mu.Lock()
	if whole != l.whole || l.ended { // cut meanwhile
		l.mu.Unlock()
		return
	}
	l.conns[broker] = true
	l.mu.Unlock()
	var back sync.WaitGroup
	back.Go(func() { pass(client, broker) })
	pass(broker, client)
	back.Wait()
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.conns, client)
	delete(l.conns, broker)
}

// pass passes on what comes, and then the end of it.
func pass(to, from *net.TCPConn) {
	if _, err := io.Copy(to, from); err != nil {
		to.SetLinger(0)
		to.Close()
		return
	}
	to.CloseWrite()
}

// cut resets all connections. New ones have to wait for restore.
func (l *line) cut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.whole = make(chan struct{})
	l.reset()
}

// reset resets all connections. The lock is held.
func (l *line) reset() {
	for conn := range l.conns {
		conn.SetLinger(0) // RST: what is on its way is lost
		conn.Close()
	}
	clear(l.conns)
}

// restore ends cut.
func (l *line) restore() {
	l.mu.Lock()
	defer l.mu.Unlock()
	close(l.whole)
}

// end ends the line, cut or not.
func (l *line) end() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ended = true
	l.reset()
	select {
	case <-l.whole:
	default:
		close(l.whole)
	}
}
