package cli

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"iotwire/mqtt/packet"
)

func utf8Locale(p *Process) {
	p.Getenv = func(name string) string { return map[string]string{"LANG": "C.UTF-8"}[name] }
}

// golden compares what was traced with a file in testdata.
func golden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s has changed; if that is right, run this test with -update:\n%s", file, diff)
	}
}

// A publisher shows what it sends and receives, in each style, in a file that nobody else can read.
func TestTraceFile(t *testing.T) {
	for _, style := range []string{"brief", "full", "why", "hex"} {
		synctest.Test(t, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "trace")
			r := run(t, Publisher, script((*peer).obey), utf8Locale, "-m", "hello", "-n", "2", "-t", "a/b", "--trace="+style, "--trace-file", file)
			r.ended(ExitDone)
			b, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			golden(t, "publisher."+style+".trace", string(b))
			info, err := os.Stat(file)
			if err != nil || info.Mode().Perm()&0o077 != 0 {
				t.Errorf("mode of the file: %v, %v", info.Mode(), err)
			}
		})
	}
}

// What the server sends is shown before the client refuses it, and what is cut short when the connection ends.
func TestTraceShowsWhatIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		broken := script(func(p *peer, h packet.Header, body []byte) bool {
			p.Write([]byte{0x20, 2, 1, 5})
			return false
		})
		r := run(t, Publisher, broken, nil, "-m", "hello", "--trace")
		r.ended(ExitProtocol)
		for _, line := range []string{
			"0002 BROKEN  Session Present is 1 with return code 5 [MQTT-3.2.2-4]",
			"0003 05              Return code            0x05 | refused: not authorized     3.2.2.3 [3.2.2-5]",
		} {
			r.said(line)
		}
		if s := r.stderr.String(); strings.ContainsAny(s, "→←─·§\x1b") {
			t.Errorf("colours, or more than ASCII in a locale without UTF-8:\n%s", s)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		cut := script(func(p *peer, h packet.Header, body []byte) bool {
			p.Write([]byte{0x20, 2, 0})
			return false
		})
		r := run(t, Publisher, cut, nil, "-m", "hello", "--trace=brief")
		if s := r.stderr.String(); !strings.Contains(s, "CONNACK         3 B  CUT SHORT, at least 1 byte more\n") {
			t.Errorf("it said:\n%s", s)
		}
	})
}

// A trace that cannot be written is a mistake before anything is sent.
func TestTraceFileThatCannotBe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		run(t, Publisher, nil, nil, "-m", "hello", "--trace-file", t.TempDir()).ended(ExitLocal)
		run(t, Publisher, nil, nil, "-m", "hello", "--trace=all").ended(ExitUsage)
	})
}

// Between the programs and a broker nothing is broken, at any QoS, and what the trace shows can be read again.
func TestTraceOfRealSessionsIsClean(t *testing.T) {
	for _, qos := range []string{"0", "1", "2"} {
		synctest.Test(t, func(t *testing.T) {
			b, _ := observed(t)
			s := start(t, Subscriber, to(b.Dial), nil, "-t", "a/+", "-q", qos, "-n", "3", "-k", "5", "--trace=brief")
			time.Sleep(12 * time.Second) // two PINGREQs
			p := run(t, Publisher, to(b.Dial), nil, "--client-id", "other", "-t", "a/b", "-q", qos, "-n", "3", "-m", "hello", "--trace=brief")
			p.ended(ExitDone)
			s.ended(ExitDone)
			for _, said := range []string{s.stderr.String(), p.stderr.String()} {
				if strings.Contains(said, "BROKEN") || strings.Contains(said, "CUT SHORT") || strings.Count(said, "PUBLISH") != 3 {
					t.Errorf("QoS %s: it said:\n%s", qos, said)
				}
			}
			if !strings.Contains(s.stderr.String(), "PINGRESP") {
				t.Errorf("no PINGRESP in:\n%s", s.stderr.String())
			}
		})
	}
}
