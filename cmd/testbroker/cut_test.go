package main

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"iotwire/internal/cli"
	"iotwire/internal/testbroker"
	"iotwire/mqtt/packet"
)

// said collects what the broker says.
type said struct {
	mu   sync.Mutex
	text strings.Builder
}

func (s *said) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.Write(b)
}

// The network loses one packet with its connection, and is a good one from then on.
func TestCutLosesOnePacketAndItsConnection(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	broker := testbroker.New(testbroker.Config{})
	defer broker.Close()
	var log said
	go broker.Serve(context.Background(), cutting(l, "SUBACK", &log))
	connect, _ := packet.AppendConnect(nil, &packet.Connect{CleanSession: true})
	both, err := packet.AppendSubscribe(connect, &packet.Subscribe{ID: 1, Requests: packet.Requests(nil).Add("a", packet.QoS1)})
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []int{4, 9} { // CONNACK, then CONNACK and SUBACK
		conn, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		conn.SetDeadline(time.Now().Add(10 * time.Second))
		if _, err := conn.Write(both); err != nil {
			t.Fatal(err)
		}
		answer := make([]byte, 9)
		n, err := io.ReadFull(conn, answer)
		if errors.Is(err, os.ErrDeadlineExceeded) || n > want || (err == nil) != (i == 1) {
			t.Fatalf("connection %d: % x, %v", i+1, answer[:n], err)
		}
	}
	log.mu.Lock()
	defer log.mu.Unlock()
	if got := log.text.String(); got != "testbroker: lost a SUBACK and its connection\n" {
		t.Errorf("it said %q", got)
	}
}

func TestCutNeedsThePortWithoutTLS(t *testing.T) {
	for _, args := range [][]string{{"-p", "0", "--cut", "HELLO"}, {"--tls-port", "0", "--dir", t.TempDir(), "--cut", "PUBREC"}} {
		var errs strings.Builder
		p := &cli.Process{Args: args, Getenv: func(string) string { return "" }, Stdout: io.Discard, Stderr: &errs}
		if code := run(p); code != cli.ExitUsage || !strings.Contains(errs.String(), "cut") {
			t.Errorf("%q: exit code %d, it said %q", args, code, errs.String())
		}
	}
}
