package cli

import (
	"context"
	"errors"
	"io"
	"net"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"iotwire/mqtt/packet"

	"github.com/google/go-cmp/cmp"
)

// refused is a network without a server.
func refused(context.Context, string, string) (net.Conn, error) {
	return nil, &net.OpError{Op: "dial", Net: "tcp", Err: errors.New("connect: connection refused")}
}

func TestMessagesAcceptedOfflineAreDeliveredFirstByALaterRun(t *testing.T) {
	store := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		r := run(t, Publisher, refused, stdin(strings.NewReader("a\nb\n")), "--persistent", "--store", store, "-t", "x", "-l")
		if r.exit != ExitUnanswered || !strings.Contains(r.stderr.String(), "publisher: 0 acknowledged, 2 kept for a later run: no acknowledgement for 10.0 s") {
			t.Fatalf("exit code %d:\n%s", r.exit, r.stderr.String())
		}

		b, got := observed(t)
		r = run(t, Publisher, to(b.Dial), nil, "--persistent", "--store", store, "-t", "y", "-m", "c", "-q2", "--json")
		r.ended(ExitDone)
		r.said("publisher: delivering 2 messages that an earlier run left in " + store)
		if diff := cmp.Diff([]string{"x 1 a", "x 1 b", "y 2 c"}, got.messages()); diff != "" {
			t.Errorf("messages (-want +got):\n%s", diff)
		}
		want := `{"resumed":true,"topic":"x","bytes":1,"qos":1,"ackMs":0.0}
{"resumed":true,"topic":"x","bytes":1,"qos":1,"ackMs":0.0}
{"n":1,"of":1,"topic":"y","bytes":1,"qos":2,"ackMs":0.0}
`
		lines := strings.SplitAfter(r.stdout.String(), "\n") // acknowledgements that come at once are told in any order
		slices.SortStableFunc(lines, func(a, b string) int { return strings.Index(b, "resumed") - strings.Index(a, "resumed") })
		if diff := cmp.Diff(want, strings.Join(lines, "")); diff != "" {
			t.Errorf("stdout (-want +got):\n%s", diff)
		}

		r = run(t, Publisher, to(b.Dial), nil, "--persistent", "--store", store, "-t", "y", "-m", "d")
		r.ended(ExitDone)
		if diff := cmp.Diff([]string{"x 1 a", "x 1 b", "y 2 c", "y 1 d"}, got.messages()); diff != "" {
			t.Errorf("nothing may come twice (-want +got):\n%s", diff)
		}
	})
}

func TestPublisherWithAStoreWaitsForLinesThoughNobodyAnswers(t *testing.T) {
	store := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		lines := make(slowLines)
		r := start(t, Publisher, refused, stdin(lines), "--persistent", "--store", store, "-l")
		for range 3 {
			time.Sleep(time.Hour)
			lines <- "x\n"
		}
		close(lines)
		r.wait()
		if r.exit != ExitUnanswered || !strings.Contains(r.stderr.String(), "0 acknowledged, 3 kept for a later run") {
			t.Fatalf("exit code %d:\n%s", r.exit, r.stderr.String())
		}
	})
}

// slowLines reads what is sent.
type slowLines chan string

func (c slowLines) Read(p []byte) (int, error) {
	line, ok := <-c
	if !ok {
		return 0, io.EOF
	}
	return copy(p, line), nil
}

func TestSubscriberWithAStoreDoesNotSubscribeAgainToASessionThatTheServerHasKept(t *testing.T) {
	store := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		b, got := observed(t)
		subscriber := func() *trial {
			return start(t, Subscriber, to(b.Dial), nil, "--persistent", "--store", store, "-t", "a", "-n1")
		}
		first := subscriber()
		time.Sleep(time.Second)
		b.Publish("a", []byte("one"), packet.QoS1, false)
		first.ended(ExitDone)
		b.Publish("a", []byte("two"), packet.QoS1, false)
		second := subscriber()
		second.ended(ExitDone)
		if second.stdout.String() != "two\n" || got.count(packet.SUBSCRIBE) != 1 {
			t.Errorf("printed %q after %d SUBSCRIBE, want \"two\" after 1", second.stdout.String(), got.count(packet.SUBSCRIBE))
		}
		second.said("connected in 0.0 ms; the server has kept the session")
	})
}

func TestSubscriberWithAStoreWaitsForMessagesOfASessionThatTheServerHasKept(t *testing.T) {
	store := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		b, got := observed(t)
		subscriber := func(args ...string) *trial {
			return run(t, Subscriber, to(b.Dial), nil, append(args, "--persistent", "--store", store, "-W", "60")...)
		}
		subscriber("-t", "a").ended(ExitDone, "received 0 messages (0 bytes) in 1m0s")
		subscriber("-t", "a").ended(ExitDone, "connected in 0.0 ms; the server has kept the session", "received 0 messages (0 bytes) in 1m0s")
		subscriber("-t", "a", "-t", "b").ended(ExitDone, "subscribed to b, QoS 1", "received 0 messages (0 bytes) in 1m0s")
		if n := got.count(packet.SUBSCRIBE); n != 2 {
			t.Errorf("%d SUBSCRIBE, want 2", n)
		}
	})
}

func TestSubscriberWithAStoreWaitsForItsFirstConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, _ := observed(t)
		began := time.Now()
		late := func(ctx context.Context, network, address string) (net.Conn, error) {
			if time.Since(began) < time.Hour {
				return refused(ctx, network, address)
			}
			return b.Dial(ctx)
		}
		run(t, Subscriber, late, nil, "-t", "a", "-W", "1").ended(ExitNetwork)
		run(t, Subscriber, late, nil, "-t", "a", "-W", "1", "--persistent", "--store", t.TempDir(), "--no-reconnect").ended(ExitNetwork)
		if time.Since(began) > time.Minute {
			t.Errorf("%v passed, want none: without a store, or with --no-reconnect, the first connection has to work", time.Since(began))
		}
		run(t, Subscriber, late, nil, "-t", "a", "-W", "1", "--persistent", "--store", t.TempDir()).ended(ExitDone,
			"subscribed to a, QoS 1", "received 0 messages (0 bytes) in 1.0 s")
		if time.Since(began) < time.Hour {
			t.Error("it did not wait")
		}
	})
}

func TestStoreMistakes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := t.TempDir()
		b, _ := observed(t)
		run(t, Publisher, to(b.Dial), nil, "--store", store, "-m", "x").ended(ExitUsage,
			"publisher: --store needs --persistent: a clean session is not kept (publisher --help lists the options)")
		run(t, Publisher, to(b.Dial), nil, "--client-id", "a", "--persistent", "--store", store, "-m", "x").ended(ExitDone)
		run(t, Subscriber, to(b.Dial), nil, "--client-id", "b", "--persistent", "--store", store).ended(ExitLocal,
			`subscriber: --store: session store of another client: `+store+` holds that of "a", not of "b"; use another directory`)
		p := &Process{Args: []string{"-e", "mqtt://localhost", "--persistent", "-m", "x"}, Getenv: func(string) string { return "" }, Stderr: new(buffer), Stdout: new(buffer)}
		if code := Publisher(p); code != ExitUsage {
			t.Errorf("exit code %d without a client id, want %d", code, ExitUsage)
		}
	})
}
