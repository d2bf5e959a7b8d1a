package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
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

// received collects what a broker gets from publishers.
type received struct {
	testbroker.Transcript
}

// messages returns the messages in a line each: topic, QoS, retain, payload.
func (r *received) messages() []string {
	var all []string
	for _, e := range r.Events() {
		if e.Kind == testbroker.Received && e.Header.Type == packet.PUBLISH {
			m, _ := packet.ParsePublish(e.Header.Flags, e.Body)
			line := fmt.Sprintf("%s %d", m.Topic, m.QoS)
			if m.Retain {
				line += " retain"
			}
			all = append(all, line+" "+string(m.Payload))
		}
	}
	return all
}

// count returns how many packets of this type came.
func (r *received) count(p packet.Type) (n int) {
	for _, e := range r.Events() {
		if e.Kind == testbroker.Received && e.Header.Type == p {
			n++
		}
	}
	return n
}

// disconnected reports whether the last connection ended with DISCONNECT.
func (r *received) disconnected() bool {
	events := r.Events()
	return len(events) > 0 && events[len(events)-1].Kind == testbroker.Ended && events[len(events)-1].Err == nil
}

// observed returns a broker and what it gets. The broker is closed at the end of the test.
func observed(t *testing.T) (*testbroker.Broker, *received) {
	var r received
	b := testbroker.New(testbroker.Config{Observe: r.Observe})
	t.Cleanup(b.Close)
	return b, &r
}

func TestPublisherSaysWhatItDoes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, got := observed(t)
		r := run(t, Publisher, to(b.Dial), nil, "-n", "3", "-m", "hello")
		r.ended(ExitDone)
		want := `connecting to mqtt://localhost:1883 as me
connected in 0.0 ms
1/3 test/commands, 5 bytes, QoS 1: acknowledged in 0.0 ms
2/3 test/commands, 5 bytes, QoS 1: acknowledged in 0.0 ms
3/3 test/commands, 5 bytes, QoS 1: acknowledged in 0.0 ms
3 of 3 acknowledged in 2.0 s (median 0.0 ms, slowest 0.0 ms)
`
		if diff := cmp.Diff(want, r.stderr.String()); diff != "" {
			t.Error(diff)
		}
		if r.stdout.String() != "" {
			t.Errorf("stdout: %q", r.stdout.String())
		}
		if diff := cmp.Diff([]string{"test/commands 1 hello", "test/commands 1 hello", "test/commands 1 hello"}, got.messages()); diff != "" {
			t.Error(diff)
		}
		if !got.disconnected() {
			t.Error("it left without DISCONNECT")
		}
	})
}

func TestPublisherSendsWhatItIsGiven(t *testing.T) {
	file := filepath.Join(t.TempDir(), "payload")
	if err := os.WriteFile(file, []byte("\x00from file\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, args, stdin string
		want              []string
		took              time.Duration
		last              string
	}{
		{"-m", "-m hello", "", []string{"test/commands 1 hello"}, 0, "1 of 1 acknowledged in 0.0 ms"},
		{"-m with nothing", "-m=", "", []string{"test/commands 1 "}, 0, ""},
		{"-z", "-z -r -t a", "", []string{"a 1 retain "}, 0, ""},
		{"-f FILE", "-f " + file, "", []string{"test/commands 1 \x00from file\n"}, 0, ""},
		{"-f FILE twice", "-n2 -i 250ms -f " + file, "", []string{"test/commands 1 \x00from file\n", "test/commands 1 \x00from file\n"}, time.Second / 4, ""},
		{"-f -", "-f -", "all\nof it", []string{"test/commands 1 all\nof it"}, 0, ""},
		{"-l", "-l", "a\n\nb", []string{"test/commands 1 a", "test/commands 1 ", "test/commands 1 b"}, 0, "3 acknowledged in 0.0 ms (median 0.0 ms, slowest 0.0 ms)"},
		{"-l of nothing", "-l", "", nil, 0, "0 acknowledged in 0.0 ms"},
		{"-l -n", "-l -n 2", "a\nb\nc\n", []string{"test/commands 1 a", "test/commands 1 b"}, 0, ""},
		{"-l -i", "-l -i 2", "a\nb\nc\n", []string{"test/commands 1 a", "test/commands 1 b", "test/commands 1 c"}, 4 * time.Second, ""},
		{"-q0", "-q0 -m x -n2", "", []string{"test/commands 0 x", "test/commands 0 x"}, time.Second, "2 of 2 sent in 1.0 s"},
		{"-q2", "-q2 -m x -n2", "", []string{"test/commands 2 x", "test/commands 2 x"}, time.Second, "2 of 2 acknowledged in 1.0 s (median 0.0 ms, slowest 0.0 ms)"},
		{"--inflight", "-l --inflight 3", "a\nb\nc\nd\n", []string{"test/commands 1 a", "test/commands 1 b", "test/commands 1 c", "test/commands 1 d"}, 0, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b, got := observed(t)
				began := time.Now()
				r := run(t, Publisher, to(b.Dial), stdin(strings.NewReader(c.stdin)), strings.Fields(c.args)...)
				took := time.Since(began)
				if r.ended(ExitDone); c.last != "" {
					r.ended(ExitDone, c.last)
				}
				if diff := cmp.Diff(c.want, got.messages()); diff != "" {
					t.Error(diff)
				}
				if took != c.took {
					t.Errorf("it took %v, want %v", took, c.took)
				}
				if !got.disconnected() {
					t.Error("it left without DISCONNECT")
				}
			})
		})
	}
}

func TestPublisherReportsInJSON(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		acknowledge := afterConnect(packet.PUBLISH, func(p *peer, h packet.Header, body []byte) bool {
			time.Sleep(41250 * time.Microsecond)
			return p.obey(h, body)
		})
		r := run(t, Publisher, acknowledge, nil, "--json", "--quiet", "-n2", "-t", `a"b`, "-m", "hello")
		r.ended(ExitDone)
		want := `{"n":1,"of":2,"topic":"a\"b","bytes":5,"qos":1,"ackMs":41.2}
{"n":2,"of":2,"topic":"a\"b","bytes":5,"qos":1,"ackMs":41.2}
`
		if diff := cmp.Diff(want, r.stdout.String()); diff != "" || r.stderr.String() != "" {
			t.Errorf("%s\nstderr: %q", diff, r.stderr.String())
		}
		r = run(t, Publisher, acknowledge, stdin(strings.NewReader("x")), "--json", "-l", "-q0")
		if got, want := r.stdout.String(), `{"n":1,"topic":"test/commands","bytes":1,"qos":0,"ackMs":null}`+"\n"; got != want {
			t.Errorf("QoS 0: %s want %s", got, want)
		}
		for _, line := range strings.Split(strings.TrimSpace(r.stdout.String()), "\n") {
			if !json.Valid([]byte(line)) {
				t.Errorf("not JSON: %s", line)
			}
		}
	})
}

func TestPublisherMeasuresEachAcknowledgement(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		wait := 40 * time.Millisecond
		r := run(t, Publisher, afterConnect(packet.PUBLISH, func(p *peer, h packet.Header, body []byte) bool {
			time.Sleep(wait)
			wait += time.Millisecond
			return p.obey(h, body)
		}), nil, "-n", "3", "-m", "x")
		r.ended(ExitDone,
			"1/3 test/commands, 1 byte, QoS 1: acknowledged in 40 ms",
			"2/3 test/commands, 1 byte, QoS 1: acknowledged in 41 ms",
			"3/3 test/commands, 1 byte, QoS 1: acknowledged in 42 ms",
			"3 of 3 acknowledged in 2.0 s (median 41 ms, slowest 42 ms)")
	})
}

func TestPublisherKeepsAtMostInflightMessagesUnacknowledged(t *testing.T) {
	for _, inflight := range []int{1, 2, 5, 100} {
		synctest.Test(t, func(t *testing.T) {
			var open atomic.Int64
			most := int64(0)
			r := run(t, Publisher, afterConnect(packet.PUBLISH, func(p *peer, h packet.Header, body []byte) bool {
				most = max(most, open.Add(1))
				m, _ := packet.ParsePublish(h.Flags, body)
				time.AfterFunc(time.Second, func() {
					open.Add(-1)
					b, _ := packet.AppendPuback(nil, &packet.Puback{ID: m.ID})
					p.Write(b)
				})
				return true
			}), nil, "-n", "300", "-i", "0", "-m", "x", "--inflight", fmt.Sprint(inflight))
			r.ended(ExitDone)
			if most != int64(inflight) {
				t.Errorf("--inflight %d: %d at a time", inflight, most)
			}
		})
	}
}

func TestPublisherGoesOnAfterALostConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var got []string
		lose := true
		r := run(t, Publisher, afterConnect(packet.PUBLISH, func(p *peer, h packet.Header, body []byte) bool {
			m, _ := packet.ParsePublish(h.Flags, body)
			if string(m.Payload) == "b" && lose {
				lose = false
				return false
			}
			got = append(got, string(m.Payload))
			return p.obey(h, body)
		}), stdin(strings.NewReader("a\nb\nc\n")), "-l")
		r.ended(ExitDone)
		r.said("publisher: reconnected in 0.0 ms; the server had no session")
		if strings.Join(got, "") != "abc" {
			t.Errorf("%q arrived", got)
		}
	})
}

func TestPublisherIsPatientWhileAcknowledgementsCome(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := run(t, Publisher, afterConnect(packet.PUBLISH, func(p *peer, h packet.Header, body []byte) bool {
			time.Sleep(6 * time.Second)
			return p.obey(h, body)
		}), nil, "-n", "3", "-i", "0", "--inflight", "3", "-m", "x")
		r.ended(ExitDone, "3 of 3 acknowledged in 18.0 s (median 12.0 s, slowest 18.0 s)")
	})
}

func TestALossThatDidNoHarmIsNotBlamed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := run(t, Publisher, afterConnect(packet.PUBLISH, func(p *peer, h packet.Header, body []byte) bool {
			m, _ := packet.ParsePublish(h.Flags, body)
			switch string(m.Payload) {
			case "a":
				return p.number > 1 && p.obey(h, body)
			default:
				return true
			}
		}), stdin(strings.NewReader("a\nb\n")), "-l")
		r.ended(ExitUnanswered, "publisher: 1 acknowledged, 1 sent but not acknowledged, 0 not sent: no acknowledgement for 10.0 s",
			"  is the server overloaded, or the network slow?")
	})
}

func TestPublisherThatIsRefusedWhileItWaitsSaysWhy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		input, end := pipe()
		defer end.Close()
		io.WriteString(end, "a\n")
		r := run(t, Publisher, script(func(p *peer, h packet.Header, body []byte) bool {
			if p.number > 1 {
				b, _ := packet.AppendConnack(nil, &packet.Connack{Code: 5})
				p.Write(b)
				return false
			}
			p.obey(h, body)
			return h.Type != packet.PUBLISH // the connection ends behind PUBACK
		}), stdin(input), "-l")
		r.ended(15) // all that was read is acknowledged
	})
}

func TestPublisherWaitsForALineAsLongAsItTakes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		input, lines := pipe()
		r := start(t, Publisher, script((*peer).obey), stdin(input), "-l")
		time.Sleep(time.Hour)
		io.WriteString(lines, "late\n")
		synctest.Wait()
		r.said("1 test/commands, 4 bytes, QoS 1: acknowledged in 0.0 ms")
		lines.Close()
		r.ended(ExitDone)
	})
}

// pipe is a standard input that blocks. The writer does not.
func pipe() (io.Reader, io.WriteCloser) {
	c, s := testbroker.Pipe()
	return c, s
}

func TestASignalStopsThePublisherInGoodOrder(t *testing.T) {
	for signal, code := range map[os.Signal]ExitCode{os.Interrupt: 130, syscall.SIGTERM: 143} {
		synctest.Test(t, func(t *testing.T) {
			b, got := observed(t)
			r := start(t, Publisher, to(b.Dial), nil, "-n", "10", "-m", "x")
			time.Sleep(1500 * time.Millisecond)
			r.signals <- signal
			synctest.Wait()
			r.ended(code, "publisher: stopping (again to leave at once)",
				"publisher: 2 of 10 acknowledged, 0 sent but not acknowledged, 8 not sent: interrupted")
			if len(got.messages()) != 2 || !got.disconnected() {
				t.Errorf("%d messages, DISCONNECT: %t", len(got.messages()), got.disconnected())
			}
		})
	}
}

func TestASignalBeforeAnythingIsSentStopsThePublisher(t *testing.T) {
	for name, c := range map[string]struct {
		dial dial
		args []string
	}{
		"while it connects":  {script(ignore), []string{"-m", "x"}},
		"while it waits":     {script((*peer).obey), []string{"-l"}},
		"while it reads all": {script((*peer).obey), []string{"-f", "-"}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				input, end := pipe()
				defer end.Close()
				r := start(t, Publisher, c.dial, stdin(input), c.args...)
				synctest.Wait()
				r.signals <- os.Interrupt
				began := time.Now()
				if r.ended(ExitInterrupted); time.Since(began) > time.Second {
					t.Errorf("it took %v", time.Since(began))
				}
			})
		})
	}
}

func TestASignalLeavesTimeForTheAcknowledgement(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slow := afterConnect(packet.PUBLISH, func(p *peer, h packet.Header, body []byte) bool {
			time.Sleep(time.Second)
			return p.obey(h, body)
		})
		r := start(t, Publisher, slow, nil, "-m", "x")
		synctest.Wait()
		r.signals <- os.Interrupt
		r.ended(ExitDone, "1 of 1 acknowledged in 1.0 s") // all the work was done
		r = start(t, Publisher, slow, nil, "-m", "x", "-n2")
		synctest.Wait()
		r.signals <- os.Interrupt
		r.ended(ExitInterrupted, "publisher: 1 of 2 acknowledged, 0 sent but not acknowledged, 1 not sent: interrupted")
	})
}

func TestASignalDoesNotWaitForASilentServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, Publisher, afterConnect(packet.PUBLISH, ignore), nil, "-m", "x")
		synctest.Wait()
		began := time.Now()
		r.signals <- os.Interrupt
		r.ended(ExitInterrupted, "publisher: 0 of 1 acknowledged, 1 sent but not acknowledged, 0 not sent: interrupted")
		if took := time.Since(began); took < drainTime || took > drainTime+time.Second {
			t.Errorf("it took %v", took)
		}
	})
}

func TestASecondSignalLeavesAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, Publisher, afterConnect(packet.PUBLISH, ignore), nil, "-m", "x")
		synctest.Wait()
		began := time.Now()
		r.signals <- os.Interrupt
		synctest.Wait()
		r.signals <- syscall.SIGTERM
		if r.ended(ExitTerminated); time.Since(began) != 0 {
			t.Errorf("it took %v", time.Since(began))
		}
	})
}

func TestPublisherStopsWhenNobodyReadsItsReports(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, got := observed(t)
		closed := func(p *Process) { p.Stdout = failing{syscall.EPIPE} }
		run(t, Publisher, to(b.Dial), closed, "-n", "0", "-m", "x", "--json").ended(ExitDone, "1 acknowledged in 0.0 ms")
		if !got.disconnected() {
			t.Error("it left without DISCONNECT")
		}
		run(t, Publisher, to(b.Dial), closed, "-n", "2", "-m", "x", "--json").
			ended(ExitDone, "1 of 2 acknowledged in 0.0 ms, then standard output was closed")
		full := func(p *Process) { p.Stdout = failing{syscall.ENOSPC} }
		run(t, Publisher, to(b.Dial), full, "-n", "2", "-m", "x", "--json").
			ended(ExitLocal, "publisher: 1 of 2 acknowledged, 0 sent but not acknowledged, 1 not sent: standard output: no space left on device")
	})
}

func TestPublisherTellsTheTerminalThatItReadsIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, args := range []string{"-l", "-f -"} {
			r := run(t, Publisher, script((*peer).obey), func(p *Process) { p.TerminalInput = true }, strings.Fields(args)...)
			r.said("reading from the terminal; Ctrl-D ends")
		}
	})
}

func TestClientIDOfAFlagOrAVariable(t *testing.T) {
	for _, c := range []struct {
		env  string
		args string
		want string
	}{
		{"", "--client-id x", "x"},
		{"", "-p pre", "pre-"},
		{"", "", "test-"},
		{"", "-p=", ""}, // a uuid alone
		{"MQTT_PUBLISHER_CLIENT_ID=v", "", "v"},
		{"MQTT_PUBLISHER_CLIENT_ID=v", "-p pre", "pre-"}, // the flag wins over the variable
		{"MQTT_PUBLISHER_CLIENT_ID=v", "--client-id x -p pre", "x"},
		{"MQTT_PUBLISHER_CLIENT_PREFIX=v", "", "v-"},
	} {
		synctest.Test(t, func(t *testing.T) {
			name, value, _ := strings.Cut(c.env, "=")
			r := run(t, Publisher, script((*peer).obey), func(p *Process) {
				p.Args = append([]string{"-e", "mqtt://localhost", "-m", "x"}, strings.Fields(c.args)...)
				p.Getenv = func(variable string) string { return map[string]string{name: value}[variable] }
			})
			r.ended(ExitDone)
			_, id, _ := strings.Cut(r.stderr.String(), " as ")
			id, _, _ = strings.Cut(id, "\n")
			if !strings.HasPrefix(id, c.want) || len(id) != len(c.want) && len(id) != len(c.want)+36 {
				t.Errorf("%s %s: client id %q, want %q", c.env, c.args, id, c.want)
			}
		})
	}
}
