package cli

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"

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
	synctest.Test(t, func(t *testing.T) {
		b := testbroker.New(testbroker.Config{TLS: config})
		defer b.Close()
		r := run(t, Publisher, to(b.DialTLS), nil, "-e", "localhost", "-C", dir, "-m", "x")
		r.ended(ExitDone)
		if !strings.HasPrefix(r.stderr.String(), "publisher: "+filepath.Join(dir, "private.key")+": ") {
			t.Errorf("it said %q", r.stderr.String())
		}
	})
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
