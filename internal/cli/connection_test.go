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

	"iotwire/internal/testbroker"
	"iotwire/mqtt/packet"
)

func TestConnectSaysWhatTheOptionsSay(t *testing.T) {
	for _, c := range []struct {
		args string
		want packet.Connect
	}{
		{"", packet.Connect{KeepAlive: 10}},
		{"-k 0", packet.Connect{KeepAlive: 0}},
		{"-k 65535", packet.Connect{KeepAlive: 65535}},
		{"-k 2m", packet.Connect{KeepAlive: 120}},
		{"-k 0.2", packet.Connect{KeepAlive: 1}},
	} {
		for _, program := range programs {
			synctest.Test(t, func(t *testing.T) {
				var got packet.Connect
				run(t, program.main, afterConnect(packet.CONNECT, func(p *peer, h packet.Header, body []byte) bool {
					got, _ = packet.ParseConnect(append([]byte{}, body...))
					return false
				}), nil, append(program.args, strings.Fields(c.args)...)...)
				// A session of a client id that nobody chose, or of a program that keeps none, would be left with the server.
				if !got.CleanSession || got.KeepAlive != c.want.KeepAlive || string(got.ClientID) != "me" || got.HasUserName || got.Will {
					t.Errorf("%s %s: %+v", program.name, c.args, got)
				}
			})
		}
	}
}

func TestWhatGoesOverTheNetworkInTheClearIsSaid(t *testing.T) {
	for endpoint, want := range map[string]bool{
		"mqtt://localhost": false, "mqtt://127.0.0.1": false, "mqtt://[::1]:1884": false, "mqtt://broker.example": true, "mqtt://192.0.2.1": true,
	} {
		synctest.Test(t, func(t *testing.T) {
			r := run(t, Publisher, script((*peer).obey), nil, "-e", endpoint, "-m", "x")
			r.ended(ExitDone)
			const warning = "publisher: mqtt:// sends everything in the clear; mqtts:// is encrypted\n"
			if got := strings.Contains(r.stderr.String(), warning); got != want {
				t.Errorf("%s: warned %t", endpoint, got)
			}
		})
	}
}

// -C is a count with other programs.
func TestDirectoryOfCertificatesThatIsNotUsedIsPointedOut(t *testing.T) {
	for _, certDir := range []string{"", "MQTT_PUBLISHER_CERT_DIR=1", "-C 1"} {
		synctest.Test(t, func(t *testing.T) {
			r := run(t, Publisher, script((*peer).obey), func(p *Process) {
				p.Getenv = func(name string) string { // which may be there for other servers
					if value, ok := strings.CutPrefix(certDir, name+"="); ok {
						return value
					}
					return ""
				}
				if strings.HasPrefix(certDir, "-") {
					p.Args = append(p.Args, strings.Fields(certDir)...)
				}
			}, "-m", "x")
			r.ended(ExitDone)
			const warning = "publisher: -C names the directory of certificates, and is not used: mqtt:// has no TLS\n"
			if got := strings.Contains(r.stderr.String(), warning); got != (certDir == "-C 1") {
				t.Errorf("%s: warned %t\n%s", certDir, got, r.stderr.String())
			}
		})
	}
}

// -p is the port with other programs.
func TestPrefixThatLooksLikeAPortIsPointedOut(t *testing.T) {
	for args, want := range map[string]bool{"-p 1883": true, "-p 1883 --port 1884": false, "-p 1883 --client-id x": false, "-p 70000": false, "-p a1883": false} {
		synctest.Test(t, func(t *testing.T) {
			r := run(t, Publisher, script((*peer).obey), func(p *Process) {
				p.Args = append(strings.Fields(args), "-e", "mqtt://localhost", "-m", "x")
			})
			r.ended(ExitDone)
			const warning = "publisher: -p begins the client id; --port is the port\n"
			if got := strings.Contains(r.stderr.String(), warning); got != want {
				t.Errorf("%s: warned %t\n%s", args, got, r.stderr.String())
			}
		})
	}
}

func TestWarningsAboutTheFilesAreSaid(t *testing.T) {
	ours, dir := certificates(t)
	config, err := ours.ServerConfig()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(filepath.Join(dir, "private.key"), 0o644); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(filepath.Join(dir, "private.key")); err != nil || info.Mode().Perm() != 0o644 {
		t.Skip("files have no modes here")
	}
	for _, program := range programs {
		synctest.Test(t, func(t *testing.T) {
			b := testbroker.New(testbroker.Config{TLS: config})
			defer b.Close()
			r := start(t, program.main, to(b.DialTLS), nil, append(program.args, "-e", "localhost", "-C", dir)...)
			time.Sleep(time.Second)
			r.signals <- os.Interrupt // for the subscriber
			r.ended(ExitDone)
			r.said(program.name + ": " + filepath.Join(dir, "private.key") + ": other users may read this private key (mode 0644); chmod 600 it")
		})
	}
}

func TestReconnectsAreSaidWithWhatBecameOfTheSession(t *testing.T) {
	for present, want := range map[bool]string{
		true:  "p: reconnected in 0.0 ms (TLS 1.3); the server has kept the session\n",
		false: "p: reconnected in 0.0 ms (TLS 1.3); the server had no session\n",
	} {
		synctest.Test(t, func(t *testing.T) {
			var out buffer
			w := &watch{log: &console{program: "p", out: &out}, accepted: 1, security: " (TLS 1.3)"}
			w.connecting(2)
			w.connected(present)
			if got := out.String(); got != want {
				t.Errorf("%q, want %q", got, want)
			}
		})
	}
}

func TestAttemptsThatAreGivenUpLeaveNoConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var open []net.Conn
		r := start(t, Publisher, func(context.Context, string, string) (net.Conn, error) {
			client, server := testbroker.Pipe()
			open = append(open, server)
			return client, nil
		}, nil, "-m", "x", "--timeout", "2")
		r.ended(ExitNetwork)
		for _, conn := range open {
			for {
				if _, err := conn.Read(make([]byte, 100)); err != nil {
					break // the bubble ends only if the client has closed it
				}
			}
		}
	})
}

func TestWithACAAloneNoClientCertificateIsNeeded(t *testing.T) {
	ours, dir := certificates(t)
	config, err := ours.ServerConfig()
	if err != nil {
		t.Fatal(err)
	}
	config.ClientAuth = tls.NoClientCert
	t.Chdir(t.TempDir()) // without certificates
	ca := filepath.Join(dir, "AmazonRootCA1.pem")
	for _, program := range programs {
		synctest.Test(t, func(t *testing.T) {
			b := testbroker.New(testbroker.Config{TLS: config})
			defer b.Close()
			args := append(program.args, "-e", "localhost")
			if program.name == "subscriber" {
				args = append(args, "-W", "1")
			}
			run(t, program.main, to(b.DialTLS), nil, append(args, "--ca", ca)...).ended(ExitDone)

			missing := "private.key: no such file"
			for _, args := range [][]string{
				append(args, "--ca", ca, "-C", "."), // a directory that is named has to have one
				append(args, "--ca", ca, "--aws"),   // AWS IoT Core wants one
				args,                                // as before
			} {
				r := run(t, program.main, to(b.DialTLS), nil, args...)
				r.ended(ExitTLS)
				if !strings.Contains(r.stderr.String(), missing) {
					t.Errorf("%s %q: it said %q, want %q", program.name, args, r.stderr.String(), missing)
				}
			}
		})
	}
}

func TestRetriesAreToldInOurOwnWords(t *testing.T) {
	store := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		attempts := 0
		dial := func(context.Context, string, string) (net.Conn, error) {
			attempts++
			if attempts == 4 {
				return nil, &net.OpError{Op: "dial", Net: "tcp", Err: os.NewSyscallError("connect", syscall.EHOSTUNREACH)}
			}
			return nil, &net.OpError{Op: "dial", Net: "tcp", Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}
		}
		lines := make(slowLines)
		defer close(lines)
		r := start(t, Publisher, dial, stdin(lines), "--persistent", "--store", store, "-l")
		time.Sleep(time.Minute)
		r.signals <- os.Interrupt
		r.wait()
		stderr := r.stderr.String()
		for text, want := range map[string]int{
			"publisher: connection refused by localhost:1883; reconnecting in ": attempts - 1,
			"\n  is the server running, and is the port right?\n":               2, // a failure is explained when it is new
			"publisher: no way to localhost:1883: no route to host; ":           1,
			"dial tcp": 0,
		} {
			if got := strings.Count(stderr, text); got != want {
				t.Errorf("it said %q %d times, want %d:\n%s", text, got, want, stderr)
			}
		}
	})
}

func TestAWebServerIsNamed(t *testing.T) {
	for _, program := range programs {
		synctest.Test(t, func(t *testing.T) {
			r := run(t, program.main, script(func(p *peer, _ packet.Header, _ []byte) bool {
				io.WriteString(p, "HTTP/1.1 400 Bad Request\r\n\r\n")
				return false
			}), nil, program.args...)
			r.ended(ExitProtocol, program.name+": a web server answers on localhost:1883, and no MQTT server",
				"  is the port right? MQTT has 8883 with TLS (mqtts://), 1883 without (mqtt://), and with AWS IoT 443, by ALPN (on any other port: --alpn)")
		})
	}
}

func TestWhoHasNoCertificatesIsToldOfBrokersWithoutTLS(t *testing.T) {
	t.Chdir(t.TempDir())
	for args, want := range map[string]string{
		"-e broker.example":                            "mqtt://broker.example",
		"-e broker.example:1883":                       "mqtt://broker.example:1883",
		"-e broker.example:18830":                      "mqtt://broker.example:18830",
		"-e broker.example --port 1884":                "mqtt://broker.example:1884",
		"-e [2001:db8::1]":                             "mqtt://[2001:db8::1]",
		"-e broker.example --aws":                      "",
		"-e x-ats.iot.eu-west-1.amazonaws.com":         "",
		"-e broker.example -C certs":                   "",
		"-e broker.example --ca ca.pem":                "",
		"-e broker.example --cert a.pem --key key.pem": "",
	} {
		r := run(t, Publisher, nil, nil, append(strings.Fields(args), "-m", "x")...)
		_, got, _ := strings.Cut(r.stderr.String(), "; a broker without TLS is ")
		if strings.TrimSuffix(got, "\n") != want || r.exit != ExitTLS {
			t.Errorf("%s: exit %d, %s", args, r.exit, &r.stderr)
		}
	}
}
