package iot

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"sync"
	"testing"

	"iotwire/internal/testbroker"
	"iotwire/mqtt"
	"iotwire/mqtt/packet"
)

// server is the other side of the connections of a test: TLS, and the first two packets of MQTT. Each connection is a
// pipe in memory, so that it works in a bubble.
type server struct {
	t     *testing.T
	tls   *tls.Config                    // nil: no TLS
	wrap  func(client net.Conn) net.Conn // what stands between the client and the pipe, or nil
	front func(conn net.Conn) net.Conn   // what stands in front of all of that, such as a proxy; nil ends it; or nil
	serve func(conn net.Conn)            // behind the handshake and the first bytes, or nil: CONNECT, CONNACK, until the end

	work sync.WaitGroup

	mu     sync.Mutex
	hello  *tls.ClientHelloInfo // the last one
	failed error                // of the last handshake
	got    []string             // addresses that were dialled
}

// dialContext is for Config.DialContext.
func (s *server) dialContext(_ context.Context, network, address string) (net.Conn, error) {
	client, conn := testbroker.Pipe()
	s.mu.Lock()
	s.got = append(s.got, network+" "+address)
	s.mu.Unlock()
	front := s.front // the test may give it another one for the next connection
	s.work.Go(func() {
		defer conn.Close()
		conn := conn
		if front != nil {
			if conn = front(conn); conn == nil {
				return
			}
		}
		if s.tls != nil {
			config := s.tls.Clone()
			config.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
				s.mu.Lock()
				defer s.mu.Unlock()
				s.hello = hello
				return nil, nil
			}
			secure := tls.Server(conn, config)
			err := secure.Handshake()
			s.mu.Lock()
			s.failed = err
			s.mu.Unlock()
			if err != nil {
				return
			}
			defer secure.Close()
			s.run(secure)
			return
		}
		s.run(conn)
	})
	if s.wrap != nil {
		return s.wrap(client), nil
	}
	return client, nil
}

func (s *server) run(conn net.Conn) {
	if s.serve != nil {
		if _, err := conn.Read(make([]byte, 4096)); err == nil {
			s.serve(conn)
		}
		return
	}
	h, _, err := packet.NewReader(conn, 1<<20).Next()
	if err != nil || h.Type != packet.CONNECT {
		return
	}
	if _, err := conn.Write([]byte{0x20, 2, 0, 0}); err == nil {
		_, _ = io.Copy(io.Discard, conn)
	}
}

// attempt makes one attempt to connect, with the client of package mqtt. It returns its error, nil if a CONNACK came, and
// whether the client would have tried again.
func (s *server) attempt(c Config) (err error, again bool) {
	s.t.Helper()
	c.DialContext = s.dialContext
	m, err := c.MQTT()
	if err != nil {
		s.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(s.t.Context())
	defer cancel()
	retry := m.Retry
	m.Retry = func(err error) bool {
		again = retry(err)
		return false
	}
	connected := false
	m.Trace = &mqtt.Trace{Connected: func(bool) { connected = true; cancel() }}
	client, err := mqtt.New(m)
	if err != nil {
		s.t.Fatal(err)
	}
	err = client.Run(ctx)
	s.work.Wait()
	if connected && errors.Is(err, context.Canceled) {
		err = nil
	}
	return err, again
}

// hangUpAtOnce is for serve: it says nothing.
func hangUpAtOnce(net.Conn) {}
