package cli

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"iotwire/internal/testbroker"
	"iotwire/mqtt/packet"
)

// programs are those whose exit codes a script may rely on, with the options that each needs.
var programs = []struct {
	name string
	main func(*Process) ExitCode
	args []string
}{
	{"publisher", Publisher, []string{"-m", "hello"}},
	{"subscriber", Subscriber, nil},
}

func TestExitCodesOfTheFirstConnection(t *testing.T) {
	connack := func(code packet.ConnectCode) dial {
		return script(func(p *peer, h packet.Header, body []byte) bool {
			b, _ := packet.AppendConnack(nil, &packet.Connack{Code: code})
			p.Write(b)
			return false
		})
	}
	for _, c := range []struct {
		name string
		dial dial
		want ExitCode
		last []string
	}{
		{"no CONNACK", script(func(*peer, packet.Header, []byte) bool { return true }), ExitNetwork,
			[]string{"no answer to CONNECT from localhost:1883 in time, though it took the connection",
				"  does an MQTT server listen there, and is it TLS (mqtts://) or not (mqtt://)?"}},
		{"hang-up after CONNECT", script(func(*peer, packet.Header, []byte) bool { return false }), ExitHungUp, []string{
			"the server hung up after CONNECT without a CONNACK [MQTT-3.2.2-6]",
			"  a server that speaks TLS on this port does this, too; then use mqtts://localhost:1883"}},
		{"not MQTT", script(func(p *peer, h packet.Header, body []byte) bool {
			io.WriteString(p, "HTTP/1.1 400 Bad Request\r\n\r\n")
			return true
		}), ExitProtocol, nil},
		{"CONNACK 1", connack(1), 11, nil},
		{"CONNACK 2", connack(2), 12, nil},
		{"CONNACK 3", connack(3), 13, nil}, // the first connection has to work, even if time would cure it
		{"CONNACK 4", connack(4), 14, nil},
		{"CONNACK 5", connack(5), 15, nil},
	} {
		for _, program := range programs {
			t.Run(program.name+", "+c.name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					began := time.Now()
					r := run(t, program.main, c.dial, nil, append(program.args, "--quiet", "--timeout", "3")...)
					if took := time.Since(began); took > 3*time.Second+farewellTime/10 {
						t.Errorf("it took %v", took)
					}
					if c.last != nil {
						r.ended(c.want, append([]string{program.name + ": " + c.last[0]}, c.last[1:]...)...)
					} else {
						r.ended(c.want)
					}
					lines := strings.Split(strings.TrimSpace(r.stderr.String()), "\n")
					if len(lines) < 2 || !strings.HasPrefix(lines[0], program.name+": ") || !strings.HasPrefix(lines[1], "  ") {
						t.Errorf("want what happened and what to do about it, have %q", lines)
					}
				})
			})
		}
	}
}

func TestExitCode3WhenNobodyListens(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	l.Close()
	for _, program := range programs {
		r := run(t, program.main, nil, nil, append(program.args, "-e", "mqtt://"+address)...)
		r.ended(ExitNetwork, program.name+": connection refused by "+address, "  is the server running, and is the port right?")
	}
}

// certificates writes fresh ones into a directory, and returns them with the directory.
func certificates(t *testing.T) (*testbroker.Certificates, string) {
	t.Helper()
	dir := t.TempDir()
	c, err := testbroker.EnsureCertificates(dir)
	if err != nil {
		t.Fatal(err)
	}
	return c, dir
}

func TestExitCode4ForEveryFailureOfTLS(t *testing.T) {
	ours, dir := certificates(t)
	_, strangers := certificates(t)
	config, err := ours.ServerConfig()
	if err != nil {
		t.Fatal(err)
	}
	old := config.Clone()
	old.MinVersion, old.MaxVersion = tls.VersionTLS12, tls.VersionTLS12
	file := func(dir, name string) string { return filepath.Join(dir, name) }
	empty := t.TempDir()
	for _, program := range programs {
		for _, c := range []struct {
			name   string
			config *tls.Config // of the server; nil: it does not speak TLS
			args   []string
			want   string
		}{
			{"no such directory", config, []string{"-C", file(empty, "none")}, file(empty, "none") + ": no such directory"},
			{"no files", config, []string{"-C", empty}, ""},
			{"key of another certificate", config, []string{"-C", dir, "--key", file(strangers, "private.key")},
				file(strangers, "private.key") + ": this private key does not belong to the certificate in " + file(dir, "cert.pem")},
			{"key given as certificate", config, []string{"-C", dir, "--cert", file(dir, "private.key")}, ""},
			{"server of another CA", config, []string{"-C", dir, "--ca", file(strangers, "AmazonRootCA1.pem")},
				"the server's certificate is not signed by " + file(strangers, "AmazonRootCA1.pem")},
			{"client of another CA, TLS 1.3", config, []string{"-C", strangers, "--ca", file(dir, "AmazonRootCA1.pem")}, ""},
			{"client of another CA, TLS 1.2", old, []string{"-C", strangers, "--ca", file(dir, "AmazonRootCA1.pem")}, ""},
			{"server of another name", config, []string{"-C", dir, "-e", "broker.example"}, "the server's certificate is not for broker.example"},
			{"server without TLS", nil, []string{"-C", dir}, ""},
		} {
			t.Run(program.name+", "+c.name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					b := testbroker.New(testbroker.Config{TLS: c.config})
					defer b.Close()
					dial := to(b.Dial)
					if c.config != nil {
						dial = to(b.DialTLS)
					}
					r := run(t, program.main, dial, nil, append(append(program.args, "-e", "localhost", "--quiet"), c.args...)...)
					r.ended(ExitTLS)
					if first, _, _ := strings.Cut(r.stderr.String(), "\n"); !strings.HasPrefix(first, program.name+": "+c.want) {
						t.Errorf("it said %q, want %q", first, c.want)
					}
				})
			})
		}
	}
}

func TestExitCode0OverTLS(t *testing.T) {
	ours, dir := certificates(t)
	config, err := ours.ServerConfig()
	if err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		b := testbroker.New(testbroker.Config{TLS: config, RequireCertificate: true})
		defer b.Close()
		s := start(t, Subscriber, to(b.DialTLS), nil, "-e", "localhost", "-C", dir, "-n", "1")
		synctest.Wait()
		r := run(t, Publisher, to(b.DialTLS), nil, "-e", "localhost", "-C", dir, "-m", "hello", "--client-id", "other")
		r.ended(ExitDone)
		r.said("connecting to localhost:8883 as other")
		r.said("connected in 0.0 ms (TLS 1.3)")
		s.ended(ExitDone)
		if got := s.stdout.String(); got != "hello\n" {
			t.Errorf("%q arrived", got)
		}
	})
}

// afterConnect is a server that obeys, up to the packet type on, for which it does what handle says.
func afterConnect(on packet.Type, handle func(p *peer, h packet.Header, body []byte) bool) dial {
	return script(func(p *peer, h packet.Header, body []byte) bool {
		if h.Type == on {
			return handle(p, h, body)
		}
		return p.obey(h, body)
	})
}

func ignore(*peer, packet.Header, []byte) bool { return true }
func hangUp(*peer, packet.Header, []byte) bool { return false }

func TestExitCode7WhenMessagesAreNotAcknowledged(t *testing.T) {
	for _, c := range []struct {
		name string
		dial dial
		args string
		last []string
	}{
		{"silence", afterConnect(packet.PUBLISH, ignore), "-n 3",
			[]string{"publisher: 0 of 3 acknowledged, 1 sent but not acknowledged, 2 not sent: no acknowledgement for 10.0 s",
				"  is the server overloaded, or the network slow?"}},
		{"silence, QoS 2", afterConnect(packet.PUBLISH, ignore), "-q2",
			[]string{"publisher: 0 of 1 acknowledged, 1 sent but not acknowledged, 0 not sent: no acknowledgement for 10.0 s",
				"  is the server overloaded, or the network slow?"}},
		{"silence, several in flight", afterConnect(packet.PUBLISH, ignore), "-n 0 -i 0 --inflight 7",
			[]string{"publisher: 0 acknowledged, 7 sent but not acknowledged, 0 not sent: no acknowledgement for 10.0 s",
				"  is the server overloaded, or the network slow?"}},
		{"a server that hangs up on each PUBLISH", afterConnect(packet.PUBLISH, hangUp), "-n 3",
			[]string{"publisher: 0 of 3 acknowledged, 1 sent but not acknowledged, 2 not sent: no acknowledgement for 10.0 s; connection lost: the server closed it after PUBLISH to test/commands",
				"  1. brokers hang up on what they do not allow; the broker's log says whether it is this",
				"  2. another client has the client id me, too (a second process, a copy of the configuration on another device), " +
					"and each takes the connection from the other, again and again [MQTT-3.1.4-2]; each needs an id of its own"}},
		{"a server that acknowledges one, and then hangs up on each", func() dial {
			acknowledged := false
			return afterConnect(packet.PUBLISH, func(p *peer, h packet.Header, body []byte) bool {
				if acknowledged {
					return false
				}
				acknowledged = true
				return p.obey(h, body)
			})
		}(), "-n 3", []string{"publisher: 1 of 3 acknowledged, 1 sent but not acknowledged, 1 not sent: no acknowledgement for 10.0 s; connection lost: the server closed it after PUBLISH to test/commands",
			"  1. brokers hang up on what they do not allow; the broker's log says whether it is this",
			"  2. another client has the client id me, too (a second process, a copy of the configuration on another device), " +
				"and each takes the connection from the other, again and again [MQTT-3.1.4-2]; each needs an id of its own"}},
		{"a server that does not come back", script(func(p *peer, h packet.Header, body []byte) bool {
			return p.number == 1 && h.Type != packet.PUBLISH && p.obey(h, body)
		}), "-n 3", nil},
		{"a server that comes back and refuses", script(func(p *peer, h packet.Header, body []byte) bool {
			if p.number == 1 {
				return h.Type != packet.PUBLISH && p.obey(h, body)
			}
			b, _ := packet.AppendConnack(nil, &packet.Connack{Code: 5})
			p.Write(b)
			return false
		}), "-n 3", []string{
			"publisher: 0 of 3 acknowledged, 1 sent but not acknowledged, 2 not sent: refused: not authorized (CONNACK 5, MQTT 3.1.1 section 3.2.2.3)",
			"  the server does not let me in; ask who runs it for the right user, password or certificate"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				began := time.Now()
				r := run(t, Publisher, c.dial, nil, append(strings.Fields(c.args), "-m", "hello")...)
				r.ended(ExitUnanswered, c.last...)
				if took := time.Since(began); took > 12*time.Second {
					t.Errorf("it took %v", took)
				}
			})
		})
	}
}

func TestExitCode9WhenTheServerBreaksARuleWhileMessagesAreUnacknowledged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := run(t, Publisher, afterConnect(packet.PUBLISH, func(p *peer, h packet.Header, body []byte) bool {
			p.Write([]byte{0x00, 0x00})
			return true
		}), nil, "-m", "hello")
		r.ended(ExitProtocol, "publisher: 0 of 1 acknowledged, 1 sent but not acknowledged, 0 not sent: no acknowledgement for 10.0 s; connection lost: "+
			"protocol violation by the server: packet type is 0, which is reserved (byte 0) [2.2.1]",
			"  a trace of the packets shows it to those who make the server")
	})
}

// A message of QoS 0 that the connection took with it is said to be lost, with the reason.
func TestExitCode7WhenAMessageOfQoS0DidNotLeave(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		broken := false
		dial := func(ctx context.Context, network, address string) (net.Conn, error) {
			conn, err := script((*peer).obey)(ctx, network, address)
			if err == nil && !broken {
				broken = true
				conn = &breaksAtPublish{Conn: conn}
			}
			return conn, err
		}
		r := run(t, Publisher, dial, nil, "-m", "x", "-q", "0")
		r.ended(ExitUnanswered, "publisher: 0 of 1 sent, 1 not sent: connection lost: write: broken pipe after PUBLISH to test/commands",
			"  brokers hang up on what they do not allow; the broker's log says whether it is this")
	})
}

// breaksAtPublish is a connection that breaks when a PUBLISH is written.
type breaksAtPublish struct{ net.Conn }

func (c *breaksAtPublish) Write(b []byte) (int, error) {
	if b[0]>>4 == byte(packet.PUBLISH) {
		return 0, &net.OpError{Op: "write", Err: syscall.EPIPE}
	}
	return c.Conn.Write(b)
}

func TestQoS2MessageThatTheServerForgotIsNotSaidToBeDelivered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dial := script(func(p *peer, h packet.Header, body []byte) bool {
			if h.Type == packet.PUBLISH && p.number == 1 {
				return false
			}
			if h.Type == packet.PUBLISH {
				m, _ := packet.ParsePublish(h.Flags, body)
				b, _ := packet.AppendPubrec(nil, &packet.Pubrec{ID: m.ID})
				p.Write(b)
			}
			if h.Type == packet.PUBREL {
				m, _ := packet.ParsePubrel(body)
				b, _ := packet.AppendPubcomp(nil, &packet.Pubcomp{ID: m.ID})
				p.Write(b)
			}
			return p.obey(h, body)
		})
		r := run(t, Publisher, dial, nil, "-q2", "-m", "hello", "-n", "2")
		r.ended(ExitUnanswered, "publisher: 1 of 2 acknowledged, 1 sent but not acknowledged, 0 not sent: "+
			"the server has forgotten the session, and to send a QoS 2 message again could deliver it twice")
	})
}

func TestExitCode6WhenTheConnectionIsLost(t *testing.T) {
	for _, c := range []struct {
		name string
		dial dial
		args []string
		took time.Duration
	}{
		{"no reconnecting", script(func(p *peer, h packet.Header, body []byte) bool {
			p.obey(h, body)
			return h.Type != packet.SUBSCRIBE
		}), []string{"--no-reconnect"}, 0},
		{"a server that hangs up on the first SUBSCRIBE", afterConnect(packet.SUBSCRIBE, hangUp), nil, 0},
		{"a server that is silent", afterConnect(packet.PINGREQ, ignore), []string{"--no-reconnect"}, 20 * time.Second},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				began := time.Now()
				r := run(t, Subscriber, c.dial, nil, c.args...)
				r.ended(ExitLost)
				if took := time.Since(began); took > c.took {
					t.Errorf("it took %v, want at most %v", took, c.took)
				}
				lines := strings.Split(strings.TrimSuffix(r.stderr.String(), "\n"), "\n")
				n := len(lines) - 1
				for n > 0 && strings.HasPrefix(lines[n], "  ") {
					n--
				}
				if n == len(lines)-1 || !strings.HasPrefix(lines[n], "subscriber: connection lost: ") {
					t.Errorf("it said %q, want what happened and what to do about it at the end", lines)
				}
			})
		})
	}
}

func TestExitCode7WhenSubscribeIsNotAnswered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		r := run(t, Subscriber, afterConnect(packet.SUBSCRIBE, ignore), nil)
		r.ended(ExitUnanswered, "subscriber: no answer to SUBSCRIBE for 10.0 s", "  is the server overloaded, or the network slow? --timeout waits longer")
		if took := time.Since(began); took != 10*time.Second {
			t.Errorf("it took %v", took)
		}
	})
}

func TestExitCode8NamesTheFilterThatWasRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := testbroker.New(testbroker.Config{DenySubscribe: []string{"secret/#", "hidden"}})
		defer b.Close()
		r := run(t, Subscriber, to(b.Dial), nil, "-t", "open", "-t", "secret/#", "-t", "hidden")
		r.ended(ExitRefused, "subscriber: secret/#, hidden refused by the server (SUBACK 0x80, MQTT 3.1.1 section 3.9.3)",
			"  is this client allowed to subscribe to it?")
	})
}

func TestExitCode8AfterAReconnectToo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dial := script(func(p *peer, h packet.Header, body []byte) bool {
			if h.Type != packet.SUBSCRIBE || p.number == 1 {
				p.obey(h, body)
				return h.Type != packet.SUBSCRIBE // the first connection ends behind SUBACK
			}
			s, _ := packet.ParseSubscribe(body)
			b, _ := packet.AppendSuback(nil, &packet.Suback{ID: s.ID, Codes: []byte{packet.SubackFailure}})
			p.Write(b)
			return true
		})
		r := run(t, Subscriber, dial, nil, "-t", "a/b")
		r.said("subscribed to a/b, QoS 1")
		if !strings.Contains(r.stderr.String(), "subscriber: a/b refused by the server (SUBACK 0x80") {
			t.Errorf("it said %q", r.stderr.String())
		}
		r.ended(ExitRefused)
	})
}

func TestPublisherEndsThoughEveryConnectionBreaksAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dial := script(func(p *peer, h packet.Header, body []byte) bool {
			p.Write([]byte{0x20, 2, 0, 0, 0}) // CONNACK, and a packet of a type that does not exist
			return true
		})
		began := time.Now()
		r := run(t, Publisher, dial, nil, "-m", "x")
		if r.exit != ExitProtocol || time.Since(began) > time.Minute {
			t.Errorf("exit code %d after %v, want %d:\n%s", r.exit, time.Since(began), ExitProtocol, r.stderr.String())
		}
	})
}

func TestExitCode9WhenTheServerBreaksARuleLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dial := afterConnect(packet.SUBSCRIBE, func(p *peer, h packet.Header, body []byte) bool {
			p.obey(h, body)
			p.Write([]byte{0x36, 0x03, 0, 1, 'a'}) // PUBLISH of QoS 3
			return true
		})
		r := run(t, Subscriber, dial, nil, "--no-reconnect")
		r.ended(ExitProtocol)
		if !strings.Contains(r.stderr.String(), "MQTT-3.3.1-4") {
			t.Errorf("it does not name the rule: %q", r.stderr.String())
		}
	})
}

func TestExitCode20WhenTooFewMessagesCame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := testbroker.New(testbroker.Config{})
		defer b.Close()
		r := run(t, Subscriber, to(b.Dial), nil, "-n", "2", "-W", "30")
		r.ended(ExitTooFew, "received 0 messages (0 bytes) in 30.0 s", "subscriber: 0 of 2 messages came in 30.0 s",
			"  does anybody publish to it, and is this client allowed to receive it?")
		r = run(t, Subscriber, to(b.Dial), nil, "-W", "1500ms")
		r.ended(ExitDone, "received 0 messages (0 bytes) in 1.5 s")
	})
}

func TestTheTimeThatEndsWithoutAConnectionIsAFailure(t *testing.T) {
	for _, c := range []struct {
		args string
		code ExitCode
		last string
	}{
		{"-W 30", ExitLost, "subscriber: no connection at the end of -W: no way to localhost:1883: connect: connection refused"},
		{"-W 30 -n 2", ExitTooFew, "subscriber: 0 of 2 messages came in 30.0 s, and there is no connection: no way to localhost:1883: connect: connection refused"},
	} {
		synctest.Test(t, func(t *testing.T) {
			b := testbroker.New(testbroker.Config{})
			began := time.Now()
			gone := func(ctx context.Context, network, address string) (net.Conn, error) {
				if time.Since(began) > 9*time.Second {
					return refused(ctx, network, address)
				}
				return b.Dial(ctx)
			}
			r := start(t, Subscriber, gone, nil, strings.Fields(c.args)...)
			time.Sleep(10 * time.Second)
			b.Close()
			r.ended(c.code, c.last, "  is this machine online?")
		})
	}
	synctest.Test(t, func(t *testing.T) { // restored in time
		dial := script(func(p *peer, h packet.Header, body []byte) bool {
			return (p.number > 1 || h.Type != packet.PINGREQ) && p.obey(h, body)
		})
		run(t, Subscriber, dial, nil, "-W", "60").ended(ExitDone, "received 0 messages (0 bytes) in 1m0s, 1 reconnect")
	})
}

func TestExitCode1WhenAFileFails(t *testing.T) {
	missing := filepath.Join(t.TempDir(), "missing")
	synctest.Test(t, func(t *testing.T) {
		b := testbroker.New(testbroker.Config{})
		defer b.Close()
		r := run(t, Publisher, to(b.Dial), nil, "-f", missing)
		r.ended(ExitLocal)
		if got := r.stderr.String(); !strings.HasPrefix(got, "publisher: "+missing+": ") || strings.Count(got, "\n") != 1 {
			t.Errorf("it said %q", got)
		}

		input := io.MultiReader(strings.NewReader("one\ntwo\n"), iotest.ErrReader(errors.New("input/output error")))
		run(t, Publisher, to(b.Dial), stdin(input), "-l").
			ended(ExitLocal, "publisher: 2 acknowledged, 0 sent but not acknowledged, 0 not sent: standard input, line 3: input/output error")

		run(t, Publisher, to(b.Dial), stdin(strings.NewReader("one\n"+strings.Repeat("x", 200_000))), "-l").
			ended(ExitLocal, "publisher: 1 acknowledged, 0 sent but not acknowledged, 0 not sent: line 2 of standard input is longer than 131072 bytes, the most that -l takes; -f - sends all of it as one message")

		full := func(p *Process) { p.Stdout = failing{syscall.ENOSPC} }
		run(t, Publisher, to(b.Dial), full, "-m", "x", "-n", "3", "--json").
			ended(ExitLocal, "publisher: 1 of 3 acknowledged, 0 sent but not acknowledged, 2 not sent: standard output: no space left on device")
		run(t, Publisher, to(b.Dial), full, "-m", "x", "--json").
			ended(ExitLocal, "publisher: 1 of 1 acknowledged, 0 sent but not acknowledged, 0 not sent: standard output: no space left on device")

		s := start(t, Subscriber, to(b.Dial), full)
		synctest.Wait()
		b.Publish("test/commands", []byte("x"), packet.QoS1, false)
		s.ended(ExitLocal, "received 0 messages (0 bytes) in 0.0 ms", "subscriber: standard output: no space left on device")
	})
}

// failing is a writer that fails as standard output does.
type failing struct{ err error }

func (f failing) Write([]byte) (int, error) {
	return 0, &os.PathError{Op: "write", Path: "/dev/stdout", Err: f.err}
}

func TestEveryExitCodeIsInTheHelp(t *testing.T) {
	for _, c := range []struct {
		table *Table
		codes []string
	}{
		{new(publisherOptions).table(), []string{"0 ", "1 ", "2 ", "3 ", "4 ", "5 ", "6 ", "7 ", "9 ", "11-15 ", "130/143 "}},
		{new(subscriberOptions).table(), []string{"0 ", "1 ", "2 ", "3 ", "4 ", "5 ", "6 ", "7 ", "8 ", "9 ", "11-15 ", "20 ", "130/143 "}},
	} {
		_, status, _ := strings.Cut(strings.ReplaceAll(c.table.Help(), "\n", " "), "Exit status: ")
		for _, code := range c.codes {
			if !strings.HasPrefix(status, code) && !strings.Contains(status, ", "+code) {
				t.Errorf("%s: no exit code %sin %q", c.table.Program, code, status)
			}
		}
	}
}
