package cli

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"iotwire/internal/testbroker"
	"iotwire/internal/testbroker/aws"
	"iotwire/mqtt/packet"
)

// seen are the packets that a cloud gets from clients.
type seen struct{ packets []string }

// cloudThatWatches is a cloud whose packets are noted.
func cloudThatWatches(t *testing.T, test func(*testing.T, *cloud, *seen)) {
	t.Helper()
	got := new(seen)
	observe := func(e testbroker.Event) {
		if e.Kind == testbroker.Received {
			got.packets = append(got.packets, e.Header.Type.String())
		}
	}
	inCloud(t, aws.Config{Broker: testbroker.Config{Observe: observe}}, func(t *testing.T, c *cloud) {
		c.allow(`{"Effect":"Allow","Action":"iot:*","Resource":"*"}`)
		test(t, c, got)
	})
}

// check runs a program with --check and returns its report.
func (c *cloud) check(main func(*Process) ExitCode, code ExitCode, args ...string) string {
	c.t.Helper()
	time.Sleep(time.Second) // AWS lets a client identifier connect once a second
	r := c.start(main, append(args, "--check")...)
	r.wait()
	synctest.Wait() // the broker reads the last packet
	if r.exit != code || code == ExitDone && r.stderr.String() != "" {
		c.t.Errorf("exit code %d, want %d; standard error: %s", r.exit, code, r.stderr.String())
	}
	return c.plain(r.stdout.String())
}

func TestCheckWalksTheWholeWay(t *testing.T) {
	way := `warn  clock           2000-01-01 00:00:01 UTC: is the clock set? run ntpd -q, or date -s; --wait-for-clock waits until it is
skip  DNS             left to what dials
ok    TCP 8883        connected in 0 ms
ok    TCP 443         connected in 0 ms; not needed
ok    TLS             TLS 1.3 with TLS_AES_128_GCM_SHA256 in 0 ms
ok    server          its certificate is for "localhost", "` + awsHost + `", 127.0.0.1, ::1, valid until 2049-12-31 23:59:59 UTC, signed by "testbroker CA", and trusted by certs/AmazonRootCA1.pem
ok    private key     certs/private.key belongs to certs/cert.pem, mode 0600
ok    certificate     certs/cert.pem is valid from 1999-01-01 00:00:00 UTC to 2049-12-31 23:59:59 UTC
ok    certificate id  ID
ok    CONNECT         accepted in 0 ms, as meter-7
`
	for _, row := range []struct {
		main    func(*Process) ExitCode
		args    string
		first   string
		last    string
		packets string
	}{
		{Publisher, "-t site/7", "no message is sent", `skip  SUBSCRIBE       not tried: subscriber --check does that
skip  PUBLISH         not tried: no message was given
nothing is wrong on the way; with -m TEXT it would send a message to site/7
`, "CONNECT DISCONNECT"},
		{Publisher, "-t site/7 -m hello -r -q 0 -n 100 -i 0", "one message of 5 bytes is sent to site/7", `skip  SUBSCRIBE       not tried: subscriber --check does that
ok    PUBLISH         acknowledged in 0 ms: 5 bytes to site/7, QoS 1, retained
nothing is wrong on the way
`, "CONNECT PUBLISH DISCONNECT"},
		{Publisher, "-t site/7 -z", "one message of 0 bytes is sent to site/7", `skip  SUBSCRIBE       not tried: subscriber --check does that
ok    PUBLISH         acknowledged in 0 ms: 0 bytes to site/7, QoS 1
nothing is wrong on the way
`, "CONNECT PUBLISH DISCONNECT"},
		{Publisher, "-t site/7 -m x", "one message of 1 byte is sent to site/7", `skip  SUBSCRIBE       not tried: subscriber --check does that
ok    PUBLISH         acknowledged in 0 ms: 1 byte to site/7, QoS 1
nothing is wrong on the way
`, "CONNECT PUBLISH DISCONNECT"},
		{Publisher, "-t site/7 -l", "no message is sent", `skip  PUBLISH         not tried: no message was given
nothing is wrong on the way; with -m TEXT it would send a message to site/7
`, "CONNECT DISCONNECT"},
		{Subscriber, "-t site/+ -t a", "it subscribes to site/+, a, and leaves the messages with the server",
			`ok    SUBSCRIBE       granted in 0 ms: site/+, a; whether iot:Receive lets messages through shows when one comes
skip  PUBLISH         not tried: publisher --check -m TEXT does that
nothing is wrong on the way
`, "CONNECT SUBSCRIBE DISCONNECT"},
		{Subscriber, "-t 0 -t 1 -t 2 -t 3 -t 4 -t 5 -t 6 -t 7 -t 8", "it subscribes to 0, 1, 2, 3, 4, 5, 6, 7, 8, and leaves the messages with the server",
			`ok    SUBSCRIBE       granted in 0 ms: 0, 1, 2, 3, 4, 5, 6, 7, ...; whether iot:Receive lets messages through shows when one comes
skip  PUBLISH         not tried: publisher --check -m TEXT does that
nothing is wrong on the way
`, "CONNECT SUBSCRIBE SUBSCRIBE DISCONNECT"},
	} {
		t.Run(row.args, func(t *testing.T) {
			cloudThatWatches(t, func(t *testing.T, c *cloud, got *seen) {
				report := c.check(row.main, ExitDone, strings.Fields(row.args)...)
				first := "checking the way to " + awsHost + ":8883 as meter-7; " + row.first + "\n"
				if !strings.HasPrefix(report, first+way) || !strings.HasSuffix(report, row.last) {
					t.Errorf("(-want +got):\n%s", cmp.Diff(first+way+row.last, report))
				}
				if diff := cmp.Diff(row.packets, strings.Join(got.packets, " ")); diff != "" {
					t.Errorf("packets (-want +got):\n%s", diff)
				}
			})
		})
	}
}

// What waits for a session, and its subscriptions, are as they were.
func TestCheckTakesNoMessage(t *testing.T) {
	cloudThatWatches(t, func(t *testing.T, c *cloud, got *seen) {
		session := []string{"--persistent", "-t", "site/#"}
		r := c.start(Subscriber, append(session, "-W", "1")...)
		r.ended(ExitDone)
		c.start(Publisher, "-t", "site/7", "-m", "kept", "--client-id", "other").ended(ExitDone)
		got.packets = nil
		report := c.check(Subscriber, ExitDone, session...)
		if want := "ok    CONNECT         accepted in 0 ms, as meter-7; the server has kept the session\n"; !strings.Contains(report, want) {
			t.Errorf("the report is\n%s", report)
		}
		if diff := cmp.Diff("CONNECT SUBSCRIBE DISCONNECT", strings.Join(got.packets, " ")); diff != "" {
			t.Errorf("packets (-want +got):\n%s", diff)
		}
		time.Sleep(time.Second)
		r = c.start(Subscriber, append(session, "-n", "1", "-W", "10")...)
		r.ended(ExitDone)
		if got := r.stdout.String(); got != "kept\n" {
			t.Errorf("it printed %q", got)
		}
	})
}

func TestCheckIsBoundedInTimeAndEndsWithASignal(t *testing.T) {
	silent := func(on packet.Type) dial { return afterConnect(on, ignore) }
	for _, row := range []struct {
		what string
		main func(*Process) ExitCode
		args string
		dial dial
		code ExitCode
		last string
	}{
		{"no CONNACK", Publisher, "", silent(packet.CONNECT), ExitNetwork, `FAIL  CONNECT         no answer to CONNECT from localhost:1883 in time, though it took the connection
      does an MQTT server listen there, and is it TLS (mqtts://) or not (mqtt://)?
`},
		{"no SUBACK", Subscriber, "", silent(packet.SUBSCRIBE), ExitUnanswered, `FAIL  SUBSCRIBE       no answer to SUBSCRIBE for 3s
      is the server overloaded, or the network slow?
`},
		{"no PUBACK", Publisher, "-m x", silent(packet.PUBLISH), ExitUnanswered, `FAIL  PUBLISH         no acknowledgement of a message on test/commands for 3s
      is the server overloaded, or the network slow?
`},
		{"a flood in place of SUBACK", Subscriber, "", afterConnect(packet.SUBSCRIBE, func(p *peer, h packet.Header, _ []byte) bool {
			for h.Type == packet.SUBSCRIBE {
				if _, err := p.Write([]byte("\x30\x03\x00\x01a\x30\x03\x00\x01a")); err != nil {
					return false
				}
				time.Sleep(time.Second)
			}
			return true
		}), ExitUnanswered, `FAIL  SUBSCRIBE       no answer to SUBSCRIBE for 3s
      is the server overloaded, or the network slow?
`},
		{"a broken packet", Publisher, "-m x", afterConnect(packet.PUBLISH, func(p *peer, _ packet.Header, _ []byte) bool {
			p.Write([]byte{0, 0})
			return true
		}), ExitProtocol, "FAIL  PUBLISH         connection lost: protocol violation by the server: packet type is 0, which is reserved (byte 0) [2.2.1]\n" +
			"      a trace of the packets shows it to those who make the server\n"},
		{"a hang-up on SUBSCRIBE", Subscriber, "", afterConnect(packet.SUBSCRIBE, hangUp), ExitLost, `FAIL  SUBSCRIBE       connection lost: the server closed it after SUBSCRIBE to test/commands
      brokers hang up on what they do not allow; the broker's log says whether it is this
`},
	} {
		t.Run(row.what, func(t *testing.T) {
			args := append(strings.Fields(row.args), "--check", "--timeout", "3", "--quiet")
			synctest.Test(t, func(t *testing.T) {
				began := time.Now()
				r := run(t, row.main, row.dial, nil, args...)
				if got := r.stdout.String(); r.exit != row.code || !strings.HasSuffix(got, row.last) {
					t.Errorf("exit code %d, want %d: it printed\n%s\nwant at its end\n%s", r.exit, row.code, got, row.last)
				}
				if took := time.Since(began); took > 3*time.Second {
					t.Errorf("it took %v", took)
				}
				time.Sleep(5 * time.Second) // the server has noticed
			})
			if strings.HasPrefix(row.what, "a ") {
				return // it is over too soon for a signal
			}
			synctest.Test(t, func(t *testing.T) {
				began := time.Now()
				r := start(t, row.main, row.dial, nil, args...)
				time.Sleep(time.Second)
				r.signals <- os.Interrupt
				r.wait()
				if took := time.Since(began); took > 1500*time.Millisecond || r.exit != ExitInterrupted || strings.Contains(r.stdout.String(), "FAIL") {
					t.Errorf("exit code %d after %v: %s", r.exit, took, r.stdout.String())
				}
			})
		})
	}
}

func TestCheckOfAPortThatDoesNotSpeakTLS(t *testing.T) {
	_, dir := certificates(t)
	for said, want := range map[string]string{
		"": "FAIL  TLS             localhost:8883 took the connection, and did not answer the TLS handshake in time\n" +
			"      1. it does not speak TLS on this port; a broker without TLS is mqtt://localhost:8883\n" +
			"      2. something on the way swallows large packets: a router with a wrong MTU\n",
		"HTTP/1.1 400 Bad Request\r\n": "FAIL  TLS             the server does not speak TLS on localhost:8883\n      is the port right? A broker without TLS is mqtt://localhost:8883\n",
		"hang up":                      "FAIL  TLS             the server at localhost:8883 hung up in the TLS handshake\n      does it speak TLS on this port? A broker without TLS is mqtt://localhost:8883\n",
	} {
		synctest.Test(t, func(t *testing.T) {
			dial := func(context.Context, string, string) (net.Conn, error) {
				client, server := testbroker.Pipe()
				go func() {
					defer server.Close()
					if server.Read(make([]byte, 4096)); said != "hang up" {
						io.WriteString(server, said)
						io.Copy(io.Discard, server)
					}
				}()
				return client, nil
			}
			began := time.Now()
			r := run(t, Publisher, dial, nil, "--check", "-e", "localhost", "-C", dir, "--timeout", "3", "--quiet")
			if r.exit != ExitTLS && said != "" || r.exit != ExitNetwork && said == "" || !strings.HasSuffix(r.stdout.String(), want) {
				t.Errorf("exit code %d, the report is\n%s\nwant at its end\n%s", r.exit, r.stdout.String(), want)
			}
			if took := time.Since(began); took > 4*time.Second {
				t.Errorf("it took %v", took)
			}
		})
	}
}

func TestCheckLeavesOutWhatDoesNotApply(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := testbroker.New(testbroker.Config{})
		defer b.Close()
		r := run(t, Subscriber, to(b.Dial), func(p *Process) {
			p.lookup = func(_ context.Context, host string) ([]string, error) { return []string{"::1", "127.0.0.1"}, nil }
		},
			"--check", "-t", "a")
		r.wait()
		want := `checking the way to mqtt://localhost:1883 as me; it subscribes to a, and leaves the messages with the server
warn  clock           2000-01-01 00:00:00 UTC: is the clock set? run ntpd -q, or date -s; --wait-for-clock waits until it is
ok    DNS             localhost is ::1, 127.0.0.1
ok    TCP 1883        connected in 0 ms
skip  TLS             not used: everything is sent in the clear
ok    CONNECT         accepted in 0 ms, as me
ok    SUBSCRIBE       granted in 0 ms: a
skip  PUBLISH         not tried: publisher --check -m TEXT does that
nothing is wrong on the way
`
		if diff := cmp.Diff(want, r.stdout.String()); diff != "" || r.exit != ExitDone {
			t.Errorf("exit code %d (-want +got):\n%s", r.exit, diff)
		}
		if r := run(t, Publisher, to(b.Dial), nil, "--check", "--quiet"); r.exit != ExitDone || r.stdout.String() != "warn  clock           2000-01-01 00:00:00 UTC: is the clock set? run ntpd -q, or date -s; --wait-for-clock waits until it is\n" {
			t.Errorf("exit code %d, with --quiet it printed %q", r.exit, r.stdout.String())
		}
	})
}

func TestCheckShowsTheFlawsOfTheFiles(t *testing.T) {
	inCloud(t, aws.Config{}, func(t *testing.T, c *cloud) {
		if err := os.Chmod(filepath.Join(c.dir, "private.key"), 0o644); err != nil {
			t.Fatal(err)
		}
		if info, err := os.Stat(filepath.Join(c.dir, "private.key")); err != nil || info.Mode().Perm() != 0o644 {
			t.Skip("files have no modes here")
		}
		report := c.check(Publisher, ExitDone)
		if want := "\nwarn  private key     certs/private.key: other users may read this private key (mode 0644); chmod 600 it\n"; !strings.Contains(report, want) {
			t.Errorf("the report is\n%s\nwant%s", report, want)
		}
	})
}

func TestCheckOfABrokerThatAsksForNoCertificate(t *testing.T) {
	ours, dir := certificates(t)
	config, err := ours.ServerConfig()
	if err != nil {
		t.Fatal(err)
	}
	config.ClientAuth = 0
	t.Chdir(t.TempDir())
	synctest.Test(t, func(t *testing.T) {
		b := testbroker.New(testbroker.Config{TLS: config})
		defer b.Close()
		r := run(t, Publisher, to(b.DialTLS), nil, "--check", "-e", "localhost", "--ca", filepath.Join(dir, "AmazonRootCA1.pem"))
		r.wait()
		if want := "\nskip  certificate     none: the server has to do without\nok    CONNECT "; r.exit != ExitDone || !strings.Contains(r.stdout.String(), want) {
			t.Errorf("exit code %d, the report is\n%s\nwant%s", r.exit, r.stdout.String(), want)
		}
	})
}

func TestCheckTracesItsPackets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := run(t, Publisher, script((*peer).obey), nil, "--check", "-m", "x", "--trace=brief")
		for _, packet := range []string{"CONNECT", "CONNACK", "PUBLISH", "PUBACK", "DISCONNECT"} {
			if !strings.Contains(r.stderr.String(), packet) {
				t.Errorf("no %s in the trace\n%s", packet, r.stderr.String())
			}
		}
	})
}

func TestCheckEndsWhenNobodyReadsIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		run(t, Publisher, script((*peer).obey), func(p *Process) { p.Stdout = failing{syscall.ENOSPC} }, "--check").
			ended(ExitLocal, "publisher: standard output: no space left on device")
		run(t, Publisher, script((*peer).obey), func(p *Process) { p.Stdout = failing{syscall.EPIPE} }, "--check").ended(ExitDone)
	})
}

// With the real clock, resolver and sockets, and AWS's rules behind them.
func TestCheckOverLoopback(t *testing.T) {
	dir := t.TempDir()
	core, err := aws.New(aws.Config{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	defer core.Close()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go core.Serve(t.Context(), tls.NewListener(l, core.TLS()))
	_, port, _ := net.SplitHostPort(l.Addr().String())
	r := run(t, Publisher, nil, nil, "--check", "-e", "localhost:"+port, "--aws", "-C", dir, "-m", "x")
	report := r.stdout.String()
	for _, want := range []string{"\nok    clock ", "\nok    DNS             localhost is ", "\nok    TCP " + port, "\nok    TLS ", "\nok    server ", "\nok    certificate id ",
		"\nok    CONNECT ", "\nok    PUBLISH ", "\nnothing is wrong on the way\n"} {
		if !strings.Contains(report, want) {
			t.Errorf("no %q in the report\n%s", want, report)
		}
	}
	if r.exit != ExitDone {
		t.Errorf("exit code %d", r.exit)
	}
}

func TestCheckAsksForTheQoSOfTheProgram(t *testing.T) {
	for _, row := range []struct {
		main    func(*Process) ExitCode
		args    string
		code    ExitCode
		last    string
		packets string
		refuses packet.Type // what the server hangs up on
	}{
		{Publisher, "-q 2 -m x -t a", ExitDone, "ok    PUBLISH         acknowledged in 0 ms: 1 byte to a, QoS 2\nnothing is wrong on the way\n", "CONNECT PUBLISH PUBREL DISCONNECT", 0},
		{Publisher, "-q 2 -m x -t a", ExitUnanswered, "connection lost: the server closed it after PUBLISH to a\n      brokers hang up on what they do not allow; the broker's log says whether it is this\n", "CONNECT PUBLISH PUBREL", packet.PUBREL},
		{Subscriber, "-q 2 -t a", ExitDone, "warn  SUBSCRIBE       granted in 0 ms, but a for QoS 1 only: QoS 2 was asked for\n" +
			"skip  PUBLISH         not tried: publisher --check -m TEXT does that\nit works, but not at QoS 2\n", "CONNECT SUBSCRIBE DISCONNECT", 0},
		{Subscriber, "-q 0 -t a", ExitDone, "ok    SUBSCRIBE       granted in 0 ms: a\n" +
			"skip  PUBLISH         not tried: publisher --check -m TEXT does that\nnothing is wrong on the way\n", "CONNECT SUBSCRIBE DISCONNECT", 0},
	} {
		synctest.Test(t, func(t *testing.T) {
			var got []string
			dial := script(func(p *peer, h packet.Header, body []byte) bool {
				got = append(got, h.Type.String())
				var b []byte
				switch h.Type {
				case row.refuses:
					return false
				case packet.PUBLISH:
					m, _ := packet.ParsePublish(h.Flags, body)
					if m.QoS != packet.QoS2 {
						t.Errorf("PUBLISH of QoS %d", m.QoS)
					}
					b, _ = packet.AppendPubrec(nil, &packet.Pubrec{ID: m.ID})
				case packet.PUBREL:
					r, _ := packet.ParsePubrel(body)
					b, _ = packet.AppendPubcomp(nil, &packet.Pubcomp{ID: r.ID})
				case packet.SUBSCRIBE:
					s, _ := packet.ParseSubscribe(body)
					for _, q := range s.Requests.All() { // QoS 1 at most
						b, _ = packet.AppendSuback(b, &packet.Suback{ID: s.ID, Codes: []byte{min(byte(q), 1)}})
					}
				default:
					return p.obey(h, body)
				}
				p.Write(b)
				return true
			})
			r := run(t, row.main, dial, nil, append(strings.Fields(row.args), "--check")...)
			synctest.Wait()
			if out := r.stdout.String(); r.exit != row.code || !strings.HasSuffix(out, row.last) {
				t.Errorf("%s: exit code %d, the report is\n%s\nwant exit code %d and at the end\n%s", row.args, r.exit, out, row.code, row.last)
			}
			if packets := strings.Join(got, " "); packets != row.packets {
				t.Errorf("%s: packets %s, want %s", row.args, packets, row.packets)
			}
		})
	}
}
