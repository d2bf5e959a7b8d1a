// Package nearby has a broker on loopback, for the tests of programs.
package nearby

import (
	"context"
	"net"
	"testing"

	"iotwire/internal/testbroker"
)

// Broker starts a broker on a free port of loopback, which ends with the test. It returns the endpoint that leads to it,
// and a channel that gets how each connection ended: nil after DISCONNECT. The channel holds ten.
func Broker(t testing.TB) (b *testbroker.Broker, endpoint string, ends <-chan error) {
	t.Helper()
	ended := make(chan error, 10)
	b = testbroker.New(testbroker.Config{Observe: func(e testbroker.Event) {
		if e.Kind == testbroker.Ended {
			ended <- e.Err
		}
	}})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go b.Serve(context.Background(), l)
	t.Cleanup(b.Close)
	return b, "mqtt://" + l.Addr().String(), ended
}
