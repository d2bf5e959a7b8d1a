package peers

import (
	"context"
	"crypto/subtle"
	"crypto/tls"
	"net"
	"testing"

	"iotwire/internal/testbroker"
	"iotwire/mqtt/packet"
)

// iotwire is our own broker, in this process.
var iotwire = brokerKind{name: "iotwire", start: startIotwire}

func startIotwire(t *testing.T, s setup) *broker {
	t.Helper()
	config := testbroker.Config{RequireCertificate: s.certificates != nil}
	if !s.asShipped {
		config.QueueMessages = 100_000
	}
	if s.deny != "" {
		config.DenySubscribe = []string{s.deny}
	}
	if s.user != "" {
		config.Authenticate = func(c *packet.Connect, _ *tls.ConnectionState) packet.ConnectCode {
			if string(c.UserName) != s.user || subtle.ConstantTimeCompare(c.Password, []byte(s.password)) == 0 {
				return packet.RefusedCredentials
			}
			return packet.Accepted
		}
	}
	ours := testbroker.New(config)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	b := &broker{setup: s, address: listener.Addr().String()}
	if s.certificates != nil {
		listener = tls.NewListener(listener, s.certificates.server(t))
	}
	served := make(chan error, 1)
	go func() { served <- ours.Serve(context.Background(), listener) }()
	t.Cleanup(func() {
		ours.Close()
		if err := <-served; err != testbroker.ErrClosed {
			t.Errorf("Serve: %v, want ErrClosed", err)
		}
	})
	b.crash = func(*testing.T) { ours.Restart(false) }
	return b
}
