package cli

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"iotwire/mqtt/packet"
)

func readAll(t *testing.T, file string) string {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm()&0o077 != 0 {
		t.Errorf("%s: %v, %v: others may read it", file, info.Mode(), err)
	}
	return string(b)
}

// --page and --pcap have every packet, and with them alone there is no trace.
func TestPageAndPcap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		page, capture := filepath.Join(dir, "page.html"), filepath.Join(dir, "capture.pcapng")
		r := run(t, Publisher, script((*peer).obey), utf8Locale, "-m", "it's <b>", "-n", "2", "-t", "a/b", "--page", page, "--pcap", capture)
		r.ended(ExitDone)
		if strings.Contains(r.stderr.String(), "PUBLISH") {
			t.Errorf("it traces:\n%s", r.stderr.String())
		}
		html := readAll(t, page)
		for _, want := range []string{
			`id="p1-connect"`, `id="p2-connack"`, `id="p3-publish"`, `id="p4-puback"`, `id="p5-publish"`, `id="p6-puback"`, `id="p7-disconnect"`,
			"<dd>me to mqtt://localhost:1883</dd>", "1 January 2000, 00:00:00 UTC", "7 packets, ",
			"publisher -e mqtt://localhost --client-id me -m &#39;it&#39;\\&#39;&#39;s &lt;b&gt;&#39; -n 2 -t a/b --page " + page,
		} {
			if strings.Count(html, want) != 1 {
				t.Errorf("the page has %q %d times", want, strings.Count(html, want))
			}
		}
		pcap := readAll(t, capture)
		if n := strings.Count(pcap, "\x45\x00\x00"); n != 7 || !strings.Contains(pcap, `→ PUBLISH 17 B "a/b", QoS 1, id 1, 8 bytes`) {
			t.Errorf("%d frames:\n%q", n, pcap)
		}
	})
}

// Each connection has a part of the page, and is one of its own in the capture.
func TestPageOfSeveralConnections(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		page, capture := filepath.Join(dir, "page.html"), filepath.Join(dir, "capture.pcapng")
		hangUpOnce := script(func(p *peer, h packet.Header, body []byte) bool {
			return (h.Type != packet.PUBLISH || p.number > 1) && p.obey(h, body)
		})
		run(t, Publisher, hangUpOnce, utf8Locale, "--persistent", "-m", "hello", "--page", page, "--pcap", capture).ended(ExitDone)
		html := readAll(t, page)
		for _, want := range []string{"<h3>Connection 1: ", "<h3>Connection 2: ", "At the end not acknowledged: 3 PUBLISH (id 1).", `id="c2-p1-connect"`} {
			if !strings.Contains(html, want) {
				t.Errorf("the page does not have %q", want)
			}
		}
		if pcap := readAll(t, capture); !strings.Contains(pcap, "\xc0\x01\x07\x5b") || !strings.Contains(pcap, "\xc0\x02\x07\x5b") {
			t.Errorf("there are not two client ports in %q", pcap)
		}
	})
}

// A file that cannot be is a mistake before anything is sent; one that cannot be written to the end is no success.
func TestPageThatCannotBe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, option := range []string{"--page", "--pcap"} {
			r := run(t, Publisher, script((*peer).obey), nil, "-m", "hello", option, t.TempDir())
			r.ended(ExitLocal)
			if strings.Contains(r.stderr.String(), "connect") {
				t.Errorf("%s: it said:\n%s", option, r.stderr.String())
			}
			if _, err := os.Stat("/dev/full"); err == nil {
				run(t, Publisher, script((*peer).obey), nil, "-m", "hello", option, "/dev/full").ended(ExitLocal, "publisher: write /dev/full: no space left on device")
			}
		}
		run(t, Publisher, nil, nil, "-m", "hello", "--keylog", "x").ended(ExitUsage)
	})
}

// The subscriber's page has what the server sent, to the end that a signal makes.
func TestPageOfASubscriber(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		page := filepath.Join(t.TempDir(), "page.html")
		r := start(t, Subscriber, script(func(p *peer, h packet.Header, body []byte) bool {
			p.obey(h, body)
			if h.Type == packet.SUBSCRIBE {
				p.Write([]byte("\x30\x16\x00\x0dtest/commandsmessage"))
			}
			return h.Type != packet.DISCONNECT
		}), nil, "-k", "20", "--page", page)
		time.Sleep(30 * time.Second)
		r.signals <- os.Interrupt
		r.ended(ExitDone)
		html := readAll(t, page)
		for _, want := range []string{`id="p5-publish"`, `id="p6-pingreq"`, `id="p7-pingresp"`, `id="p8-disconnect"`, "Answered by <a href=\"#p7-pingresp\">← 7 PINGRESP</a>"} {
			if !strings.Contains(html, want) {
				t.Errorf("the page does not have %q", want)
			}
		}
	})
}

func TestCommandLineIsThatOfAShell(t *testing.T) {
	want := `publisher -t a/b -m '{"a":1}' '' 'it'\''s' 'a b' 'ü'`
	if got := commandLine("publisher", []string{"-t", "a/b", "-m", `{"a":1}`, "", "it's", "a b", "ü"}); got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

// A page about a connection that came to nothing says why, in the words of the program.
func TestPageOfAConnectionThatFailed(t *testing.T) {
	for _, test := range []struct {
		name   string
		server func(p *peer, h packet.Header, body []byte) bool
		want   []string
		code   ExitCode
	}{
		{"refused", func(p *peer, h packet.Header, body []byte) bool {
			p.Write([]byte{0x20, 2, 0, 5})
			return false
		}, []string{"<h2>What went wrong</h2>", "<p>refused: not authorized (CONNACK 5", `id="p2-connack"`}, ExitConnack + 5},
		{"hung up", func(*peer, packet.Header, []byte) bool { return false },
			[]string{"<h2>What went wrong</h2>", "<p>the server hung up after CONNECT", "Then the server closed the connection.", "not acknowledged: 1 CONNECT"}, ExitHungUp},
	} {
		synctest.Test(t, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "page.html")
			r := run(t, Publisher, script(test.server), nil, "-m", "hello", "--page", file)
			r.ended(test.code)
			page, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			for _, want := range test.want {
				if !strings.Contains(string(page), want) {
					t.Errorf("%s: the page does not say %q", test.name, want)
				}
			}
		})
	}
}

func TestFileForTheSecretsOfTLSThatCannotBeOpened(t *testing.T) {
	_, dir := certificates(t)
	file := filepath.Join(t.TempDir(), "missing", "keys")
	r := run(t, Publisher, refused, nil, "-m", "x", "-e", "localhost", "-C", dir, "--keylog", file)
	r.ended(ExitLocal, "publisher: --keylog: open "+file+": no such file or directory")
}
