package cli

import (
	"context"
	"fmt"
	"net"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"iotwire/internal/testbroker"
	"iotwire/mqtt/packet"

	"github.com/google/go-cmp/cmp"
)

// atTerminal makes a terminal of standard output and standard error.
func atTerminal(p *Process) { p.Terminal, p.TerminalError = true, true }

func TestSubscriberSaysWhatItDoes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, got := observed(t)
		r := start(t, Subscriber, to(b.Dial), atTerminal, "-t", "a/#", "-n", "3")
		synctest.Wait()
		time.Sleep(2 * time.Second)
		b.Publish("a/json", []byte(`{"b":1.10,"a":[]}`), packet.QoS1, false)
		b.Publish("a/\u009bbytes", []byte{0xff, 0}, packet.QoS0, false)
		b.Publish("a", nil, packet.QoS2, false)
		r.ended(ExitDone)
		want := `connecting to mqtt://localhost:1883 as me
connected in 0.0 ms
subscribed to a/#, QoS 1
a/json, 17 bytes, QoS 1
a/\u009bbytes, 2 bytes, QoS 0
a, 0 bytes, QoS 1
received 3 messages (19 bytes) in 2.0 s
`
		if diff := cmp.Diff(want, r.stderr.String()); diff != "" {
			t.Error(diff)
		}
		want = `{
  "b": 1.10,
  "a": []
}
00000000  ff 00                                             |..|

`
		if diff := cmp.Diff(want, r.stdout.String()); diff != "" {
			t.Error(diff)
		}
		if !got.disconnected() {
			t.Error("it left without DISCONNECT")
		}
	})
}

func TestSubscriberSaysThatAMessageWasRetained(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, _ := observed(t)
		b.Publish("a/kept", []byte("old"), packet.QoS1, true)
		r := run(t, Subscriber, to(b.Dial), atTerminal, "-t", "a/#", "-n", "1")
		r.ended(ExitDone)
		r.said("a/kept, 3 bytes, QoS 1, retained")
	})
}

func TestSubscriberPrintsAMessageOfSeveralFiltersOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, _ := observed(t)
		r := start(t, Subscriber, to(b.Dial), nil, "-n", "3", "--quiet",
			"-t", "a/+", "-t", "a/b", "-t", "#", "-t", "a/b", "-t", "c")
		synctest.Wait()
		for _, topic := range []string{"a/b", "c", "x"} {
			b.Publish(topic, []byte(topic), packet.QoS1, false)
			synctest.Wait()
		}
		r.ended(ExitDone)
		if got := r.stdout.String(); got != "a/b\nc\nx\n" {
			t.Errorf("it printed %q", got)
		}
		if b.Stats().Inflight != 0 {
			t.Error("not all was acknowledged")
		}
	})
}

func TestSubscriberStopsAfterExactlyNMessages(t *testing.T) {
	for _, filters := range [][]string{{"#"}, {"a", "b"}} {
		synctest.Test(t, func(t *testing.T) {
			b, got := observed(t)
			args := []string{"-n", "3", "--quiet"}
			for _, filter := range filters {
				args = append(args, "-t", filter)
			}
			r := start(t, Subscriber, to(b.Dial), nil, args...)
			synctest.Wait()
			for i := range 10 {
				b.Publish([]string{"a", "b"}[i%2], fmt.Append(nil, i), packet.QoS1, false)
			}
			r.ended(ExitDone)
			if n := strings.Count(r.stdout.String(), "\n"); n != 3 {
				t.Errorf("%q: it printed %q", filters, r.stdout.String())
			}
			acknowledged := got.count(packet.PUBACK)
			// Acknowledgements leave in the order of arrival: of several filters, those behind a message that was not
			// printed do not leave.
			if acknowledged > 3 || acknowledged < 3 && len(filters) == 1 {
				t.Errorf("%q: %d messages were acknowledged", filters, acknowledged)
			}
		})
	}
}

func TestAMessageThatCameTooLateIsNotAcknowledged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, got := observed(t)
		r := start(t, Subscriber, to(b.Dial), nil, "-n", "1", "-t", "a", "-t", "b")
		synctest.Wait()
		b.Publish("a", []byte("a"), packet.QoS1, false)
		b.Publish("b", []byte("b"), packet.QoS1, false)
		r.ended(ExitDone)
		if n := got.count(packet.PUBACK); n > 1 || len(r.stdout.String()) != 2 {
			t.Errorf("it printed %q and acknowledged %d messages", r.stdout.String(), n)
		}
	})
}

func TestAMessageIsAcknowledgedOnceItIsWritten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, _ := observed(t)
		blocked := make(chan struct{})
		r := start(t, Subscriber, to(b.Dial), func(p *Process) { p.Stdout = gate{blocked} })
		synctest.Wait()
		b.Publish("test/commands", []byte("x"), packet.QoS1, false)
		time.Sleep(time.Hour) // a reader that does not read, on a connection that lives
		if n := b.Stats().Inflight; n != 1 {
			t.Errorf("%d messages are not acknowledged while one is being written", n)
		}
		close(blocked)
		synctest.Wait()
		if n := b.Stats().Inflight; n != 0 {
			t.Errorf("%d messages are not acknowledged when all are written", n)
		}
		r.signals <- os.Interrupt
		r.ended(ExitDone)
	})
}

// gate is a standard output that takes nothing until it is open.
type gate struct{ open chan struct{} }

func (g gate) Write(b []byte) (int, error) {
	<-g.open
	return len(b), nil
}

func TestAMessageThatCouldNotBeWrittenIsNotAcknowledged(t *testing.T) {
	for _, cause := range []error{syscall.EPIPE, syscall.ENOSPC} {
		synctest.Test(t, func(t *testing.T) {
			b, got := observed(t)
			r := start(t, Subscriber, to(b.Dial), func(p *Process) { p.Stdout = failing{cause} })
			synctest.Wait()
			b.Publish("test/commands", []byte("x"), packet.QoS1, false)
			r.wait()
			if got.count(packet.PUBACK) > 0 {
				t.Errorf("%v: it was acknowledged", cause)
			}
			if !got.disconnected() {
				t.Errorf("%v: it left without DISCONNECT", cause)
			}
			if cause == syscall.EPIPE { // whoever read it has seen enough
				r.ended(ExitDone, "received 0 messages (0 bytes) in 0.0 ms")
			} else {
				r.ended(ExitLocal)
			}
		})
	}
}

func TestASignalEndsTheSubscriberWithDisconnectAndExitCode0(t *testing.T) {
	for _, signal := range []os.Signal{os.Interrupt, syscall.SIGTERM} {
		synctest.Test(t, func(t *testing.T) {
			b, got := observed(t)
			r := start(t, Subscriber, to(b.Dial), nil)
			time.Sleep(90 * time.Minute)
			r.signals <- signal
			r.ended(ExitDone, "subscriber: stopping (again to leave at once)", "received 0 messages (0 bytes) in 1h30m0s")
			if !got.disconnected() {
				t.Error("it left without DISCONNECT")
			}
		})
	}
}

func TestASignalEndsTheSubscriberWhileItConnects(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, Subscriber, script(ignore), nil)
		synctest.Wait()
		r.signals <- os.Interrupt
		r.ended(ExitDone, "connecting to mqtt://localhost:1883 as me", "subscriber: stopping (again to leave at once)")
	})
}

func TestASecondSignalEndsTheSubscriberThoughNobodyReads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, _ := observed(t)
		blocked := make(chan struct{})
		defer close(blocked)
		r := start(t, Subscriber, to(b.Dial), func(p *Process) { p.Stdout = gate{blocked} })
		synctest.Wait()
		b.Publish("test/commands", []byte("x"), packet.QoS1, false)
		synctest.Wait()
		r.signals <- os.Interrupt
		synctest.Wait()
		began := time.Now()
		r.signals <- os.Interrupt
		if r.ended(ExitInterrupted); time.Since(began) != 0 {
			t.Errorf("it took %v", time.Since(began))
		}
	})
}

func TestWhatIsBeingWrittenAtASignalIsAcknowledged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, got := observed(t)
		blocked := make(chan struct{})
		r := start(t, Subscriber, to(b.Dial), func(p *Process) { p.Stdout = gate{blocked} })
		synctest.Wait()
		b.Publish("test/commands", []byte("x"), packet.QoS1, false)
		synctest.Wait()
		r.signals <- os.Interrupt
		time.Sleep(time.Second)
		close(blocked)
		r.ended(ExitDone)
		if n := got.count(packet.PUBACK); n != 1 {
			t.Errorf("%d PUBACKs for a message that was written", n)
		}
		if n := got.count(packet.DISCONNECT); n != 1 {
			t.Errorf("%d DISCONNECTs", n)
		}
	})
}

func TestOneSignalIsEnoughThoughNobodyReads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, _ := observed(t)
		blocked := make(chan struct{})
		defer close(blocked)
		r := start(t, Subscriber, to(b.Dial), func(p *Process) { p.Stdout = gate{blocked} })
		synctest.Wait()
		b.Publish("test/commands", []byte("x"), packet.QoS1, false)
		synctest.Wait()
		began := time.Now()
		r.signals <- os.Interrupt
		if r.ended(ExitDone); time.Since(began) > farewellTime {
			t.Errorf("it took %v", time.Since(began))
		}
	})
}

func TestSubscriberReconnectsAndSubscribesAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, _ := observed(t)
		r := start(t, Subscriber, to(b.Dial), nil, "-t", "a", "-t", "b", "-n", "2")
		synctest.Wait()
		b.Publish("a", []byte("before"), packet.QoS1, false)
		synctest.Wait()
		b.Drop("me", testbroker.FIN)
		time.Sleep(time.Minute)
		b.Publish("b", []byte("after"), packet.QoS1, false)
		r.ended(ExitDone)
		if got := r.stdout.String(); got != "before\nafter\n" {
			t.Errorf("it printed %q", got)
		}
		stderr := r.stderr.String()
		want := []string{"subscriber: connection lost: the server closed it; reconnecting in ",
			"subscriber: reconnected in 0.0 ms; the server had no session\nsubscribed to a, QoS 1\nsubscribed to b, QoS 1\n", ", 1 reconnect\n"}
		for _, text := range want {
			if !strings.Contains(stderr, text) {
				t.Errorf("it did not say %q but %q", text, stderr)
			}
		}
	})
}

func TestSubscriberGoesOnAfterAServerThatWasAwayForLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, _ := observed(t)
		var away atomic.Bool
		dial := func(ctx context.Context, network, address string) (net.Conn, error) {
			if away.Load() {
				return nil, syscall.ECONNREFUSED
			}
			return b.Dial(ctx)
		}
		r := start(t, Subscriber, dial, nil, "-n", "1")
		synctest.Wait()
		away.Store(true)
		b.Drop("me", testbroker.RST)
		time.Sleep(time.Hour)
		away.Store(false)
		time.Sleep(5 * time.Minute)
		b.Publish("test/commands", []byte("at last"), packet.QoS1, false)
		r.ended(ExitDone)
		if got := r.stdout.String(); got != "at last\n" {
			t.Errorf("it printed %q", got)
		}
	})
}

// A server that has kept the session is not asked for its subscriptions again, so that no answer is waited for: neither
// after a reconnect nor, with a store that knows of them, in a later run.
func TestNoAnswerIsAwaitedForSubscriptionsThatTheServerHasKept(t *testing.T) {
	store := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		b, _ := observed(t)
		for _, subscribed := range []int{2, 0} {
			r := start(t, Subscriber, to(b.Dial), nil, "--persistent", "--store", store, "-t", "a", "-t", "b")
			for range 2 {
				time.Sleep(time.Minute)
				b.Drop("me", testbroker.RST)
			}
			time.Sleep(time.Minute)
			b.Publish("b", []byte("x"), packet.QoS1, false)
			synctest.Wait()
			r.signals <- os.Interrupt
			r.ended(ExitDone, "received 1 message (1 byte) in 3m0s, 2 reconnects")
			if got := strings.Count(r.stderr.String(), "\nsubscribed to "); got != subscribed {
				t.Errorf("subscribed %d times:\n%s", got, r.stderr.String())
			}
		}
	})
}

func TestAnUnansweredSubscribeOfALostConnectionIsForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		obey := script(func(p *peer, h packet.Header, body []byte) bool {
			switch {
			case h.Type != packet.SUBSCRIBE || p.number > 2:
				return p.obey(h, body)
			case p.number == 1:
				p.obey(h, body)
			}
			return false
		})
		attempts := 0
		r := start(t, Subscriber, func(ctx context.Context, network, address string) (net.Conn, error) {
			if attempts++; 2 < attempts && attempts < 10 {
				return nil, syscall.ECONNREFUSED
			}
			return obey(ctx, network, address)
		}, nil)
		time.Sleep(time.Hour)
		r.signals <- os.Interrupt
		r.ended(ExitDone)
		if n := strings.Count(r.stderr.String(), "\nsubscribed to test/commands, QoS 1\n"); n != 2 {
			t.Errorf("subscribed %d times:\n%s", n, r.stderr.String())
		}
	})
}

func TestSubscriberThatIsRefusedLaterStops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := run(t, Subscriber, script(func(p *peer, h packet.Header, body []byte) bool {
			if p.number > 1 {
				b, _ := packet.AppendConnack(nil, &packet.Connack{Code: 2})
				p.Write(b)
				return false
			}
			p.obey(h, body)
			return h.Type != packet.SUBSCRIBE // the connection ends behind SUBACK
		}), nil)
		r.ended(12)
	})
}

func TestMessagesOfSeveralFiltersArePrintedInTheirOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, _ := observed(t)
		r := start(t, Subscriber, to(b.Dial), nil, "-t", "a", "-t", "b", "-t", "$share/group/c", "-n", "600", "-F", "text")
		synctest.Wait()
		var want strings.Builder
		for i := range 600 {
			b.Publish([]string{"a", "b", "c"}[i%3], fmt.Append(nil, i), packet.QoS1, false)
			fmt.Fprintln(&want, i)
		}
		r.ended(ExitDone)
		if got := r.stdout.String(); got != want.String() {
			t.Errorf("it printed %q", got)
		}
	})
}

func TestALowerQoSThanAskedForIsSaid(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		highest := packet.QoS1
		b := testbroker.New(testbroker.Config{MaxQoS: &highest})
		defer b.Close()
		r := run(t, Subscriber, to(b.Dial), nil, "-q2", "-W", "1")
		r.ended(ExitDone)
		r.said("subscriber: subscribed to test/commands, but for QoS 1 only: QoS 2 was asked for")
	})
}

func TestAMessageThatIsTooLargeIsSkippedAndSaid(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := testbroker.New(testbroker.Config{MaxPacket: 64 << 20, OutgoingBytes: 64 << 20, QueueBytes: 64 << 20})
		defer b.Close()
		r := start(t, Subscriber, to(b.Dial), nil, "-n", "1")
		synctest.Wait()
		b.Publish("test/commands", make([]byte, largestMessage), packet.QoS1, false)
		b.Publish("test/commands", []byte(strings.Repeat("x", 1<<20)), packet.QoS1, false)
		r.ended(ExitDone)
		r.said("subscriber: a message on test/commands was skipped: it is larger than 16777216 bytes")
		if n := len(r.stdout.String()); n != 1<<20+1 {
			t.Errorf("it printed %d bytes", n)
		}
	})
}

func TestControlCharactersReachATerminalEscaped(t *testing.T) {
	for terminal, want := range map[bool]string{false: "\x1b[2J\n", true: `\x1b[2J` + "\n"} {
		synctest.Test(t, func(t *testing.T) {
			b, _ := observed(t)
			r := start(t, Subscriber, to(b.Dial), func(p *Process) { p.Terminal = terminal }, "-n", "1")
			synctest.Wait()
			b.Publish("test/commands", []byte("\x1b[2J"), packet.QoS1, false)
			if r.ended(ExitDone); r.stdout.String() != want {
				t.Errorf("terminal %t: %q", terminal, r.stdout.String())
			}
		})
	}
}
