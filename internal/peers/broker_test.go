package peers

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"iotwire/iot"
)

// patience is how long a test waits for what should come at once. It only ends tests that have failed.
const patience = 15 * time.Second

// brokerKind is a broker program.
type brokerKind struct {
	name  string
	start func(t *testing.T, s setup) *broker // it runs until the test ends
	lacks map[string]string                   // names of scenarios that it cannot pass, and why

	// retainsLate and reorders say why more is allowed to a broker than the standard does, if it is: that what it
	// retains shows late, and that what waits in a session comes in another order after a reconnect.
	retainsLate, reorders string
}

// setup says how a broker is to be started. The zero value: plain TCP, everybody may do everything.
type setup struct {
	certificates *certificates // not nil: TLS, and no connection without a certificate of this CA
	user         string        // not empty: no connection without this user name
	password     string        // and this password
	deny         string        // topic name that nobody may subscribe to
	asShipped    bool          // with the broker's own limits, in place of some that hold all that a test sends
}

// broker is a running broker.
type broker struct {
	kind    brokerKind
	setup   setup
	address string // host:port

	// crash ends the broker and starts it again, on the same address, with nothing kept.
	crash func(t *testing.T)
}

// brokers are those that our client and our programs are tested with.
var brokers = []brokerKind{mosquitto, mochi, nats, iotwire}

// run starts the broker.
func (k brokerKind) run(t *testing.T, s setup) *broker {
	t.Helper()
	b := k.start(t, s)
	b.kind = k
	return b
}

// need skips a test of something that the broker lacks.
func (k brokerKind) need(t *testing.T, what string) {
	t.Helper()
	if why, ok := k.lacks[what]; ok {
		t.Skipf("%s: %s", k.name, why)
	}
}

// again starts another broker of the same kind, with the same certificates and what else s says.
func (b *broker) again(t *testing.T, s setup) *broker {
	t.Helper()
	s.certificates = b.setup.certificates
	return b.kind.run(t, s)
}

// variant is the kind's name and, with TLS, "-mtls".
func (k brokerKind) variant(c *certificates) string {
	if c != nil {
		return k.name + "-mtls"
	}
	return k.name
}

// eachBroker runs a test for each broker, plain and over mutual TLS, all of them at the same time.
func eachBroker(t *testing.T, kinds []brokerKind, test func(t *testing.T, kind brokerKind, c *certificates)) {
	for _, kind := range kinds {
		for _, c := range []*certificates{nil, makeCertificates(t)} {
			t.Run(kind.variant(c), func(t *testing.T) {
				t.Parallel()
				test(t, kind, c)
			})
		}
	}
}

// endpoint is the broker's address as package iot and our programs take it.
func (b *broker) endpoint() string {
	if b.setup.certificates != nil {
		return "mqtts://" + b.address
	}
	return "mqtt://" + b.address
}

// config is how a client of ours reaches the broker.
func (b *broker) config(t *testing.T) iot.Config {
	t.Helper()
	c := iot.Config{Endpoint: b.endpoint()}
	if b.setup.certificates != nil {
		c.Credentials = b.setup.certificates.device(t)
	}
	return c
}

// freeAddress returns an address of the loopback interface on which nobody listens. Its port is none of those that
// outgoing connections get (from 32 768 on), so that it is still free when a broker has ended and starts again.
func freeAddress(t *testing.T) string {
	t.Helper()
	for range 1000 {
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", 10_000+rand.IntN(20_000)))
		if err == nil {
			l.Close()
			return l.Addr().String()
		}
	}
	t.Fatal("no port is free")
	return ""
}

// awaitListener waits until somebody accepts connections on address.
func awaitListener(t *testing.T, address string, ended <-chan struct{}) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for {
		conn, err := net.DialTimeout("tcp", address, time.Second)
		if err == nil {
			conn.Close()
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("the broker does not listen on %s: %v", address, err)
		}
		select {
		case <-ended:
			t.Fatalf("the broker ended before it listened on %s", address)
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// journal is what a broker logs. It is printed if the test fails.
type journal struct {
	mu   sync.Mutex
	text bytes.Buffer
}

var _ io.Writer = (*journal)(nil)

func newJournal(t *testing.T, who string) *journal {
	j := &journal{}
	t.Cleanup(func() {
		if !t.Failed() {
			return
		}
		j.mu.Lock()
		defer j.mu.Unlock()
		lines := strings.SplitAfter(j.text.String(), "\n")
		if n := len(lines); n > 200 {
			lines = append([]string{fmt.Sprintf("(%d lines left out)\n", n-200)}, lines[n-200:]...)
		}
		t.Logf("%s said:\n%s", who, strings.Join(lines, ""))
	})
	return j
}

// Write notes what is logged, up to a bound.
func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.text.Len() < 1<<20 {
		j.text.Write(p)
	}
	return len(p), nil
}
