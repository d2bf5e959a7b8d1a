package cli

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// A server's trace has each connection under its heading, says what is unanswered at its end, and hides the times,
// passwords and payloads that it is to hide.
func TestServerTrace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		file := filepath.Join(t.TempDir(), "trace")
		o := TraceOptions{style: "brief", file: file, times: "off"}
		s, err := o.Server(&Process{Getenv: func(string) string { return "" }}, "server")
		if err != nil {
			t.Fatal(err)
		}
		const connect, connack, publish = "\x10\x0d\x00\x04MQTT\x04\x02\x00\x0a\x00\x01c", "\x20\x02\x00\x00", "\x32\x05\x00\x01a\x00\x07"
		one := s.Tap(&remoteConn{to: "192.0.2.1:1"})
		one(true, []byte(connect))
		two := s.Tap(&remoteConn{to: "192.0.2.2:2"})
		two(true, []byte(connect[:7]))
		one(false, []byte(connack))
		two(true, []byte(connect[7:]))
		time.Sleep(time.Second)
		one(true, []byte(publish))
		one(true, nil)
		one(true, nil)
		two(true, nil)
		s.Close()
		got, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		want := `# connection 1 from 192.0.2.1:1
>  CONNECT        15 B  client id "c", keep alive 10 s, clean session 1
<  CONNACK         4 B  accepted, session present 0, answers 1 after 0 ms
# connection 2 from 192.0.2.2:2
>  CONNECT        15 B  client id "c", keep alive 10 s, clean session 1
# connection 1 from 192.0.2.1:1
>  PUBLISH         7 B  "a", QoS 1, id 7, 0 bytes
# not acknowledged: 3 PUBLISH (id 7)
# connection 2 from 192.0.2.2:2
# not acknowledged: 1 CONNECT
`
		if string(got) != want {
			t.Errorf("the trace is:\n%swant:\n%s", got, want)
		}
	})
}

// remoteConn is a connection that is only asked where it comes from.
type remoteConn struct {
	net.Conn
	to string
}

func (c *remoteConn) RemoteAddr() net.Addr {
	return &net.TCPAddr{IP: net.ParseIP(strings.Split(c.to, ":")[0]), Port: int(c.to[len(c.to)-1] - '0')}
}

func TestServerTraceThatNobodyWants(t *testing.T) {
	s, err := (&TraceOptions{}).Server(&Process{}, "server")
	if s != nil || err != nil {
		t.Fatal(s, err)
	}
	s.Close()
	if _, err := (&TraceOptions{file: t.TempDir()}).Server(&Process{Getenv: func(string) string { return "" }}, "server"); err == nil {
		t.Error("a trace into a directory is no mistake")
	}
}

// Each option of the trace changes what it says, and nothing else.
func TestTraceOptions(t *testing.T) {
	for _, test := range []struct {
		args          []string
		has, not, env string
	}{
		{nil, "+0.000", "+0.001", ""},
		{[]string{"--trace-times=off"}, "client to server · 15 bytes · §3.1\n", "+0.000", ""},
		{[]string{"--trace-bytes", "8"}, "012345… · 40 bytes", "0123456", ""},
		{[]string{"--width", "100", "--trace-bytes", "39"}, "01234567890123456789012345678…", "", ""},
		{[]string{"--width", "140", "--trace-bytes", "40"}, "0123456789012345678901234567890123456789 · 40 bytes", "…", ""},
		{[]string{"--width", "80"}, "§3.1.2.2\n", "[3.1.2-2]", ""},
		{[]string{"--width", "100"}, "§3.1.2.2 [3.1.2-2]\n", "", ""},
		{nil, "§3.1.2.2 [3.1.2-2]\n", "", "120"},
		{[]string{"--width", "80"}, "§3.1.2.2\n", "[3.1.2-2]", "120"},
	} {
		synctest.Test(t, func(t *testing.T) {
			set := func(p *Process) {
				p.Getenv = func(name string) string { return map[string]string{"LANG": "C.UTF-8", "COLUMNS": test.env}[name] }
			}
			args := append([]string{"--client-id", "c", "-m", strings.Repeat("0123456789", 4), "--trace"}, test.args...)
			r := run(t, Publisher, script((*peer).obey), set, args...)
			r.ended(ExitDone)
			said := r.stderr.String()
			if !strings.Contains(said, test.has) || test.not != "" && strings.Contains(said, test.not) {
				t.Errorf("%q: want %q and not %q in:\n%s", args, test.has, test.not, said)
			}
		})
	}
	for _, secrets := range []bool{false, true} {
		l := (&TraceOptions{style: "brief", secrets: secrets}).layout(&Process{Getenv: func(string) string { return "" }})
		if l.ShowSecrets != secrets {
			t.Errorf("--show-secrets %v: the layout shows them: %v", secrets, l.ShowSecrets)
		}
	}
}
