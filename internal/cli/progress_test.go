package cli

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"iotwire/mqtt/packet"

	"github.com/google/go-cmp/cmp"
)

// screen is what a terminal shows that got text: the lines, and the last of them without its spaces.
func screen(text string) []string {
	var lines []string
	var line []rune
	x := 0
	for _, c := range text {
		switch c {
		case '\n':
			lines, line, x = append(lines, strings.TrimRight(string(line), " ")), nil, 0
		case '\r':
			x = 0
		default:
			if line = append(line[:min(x, len(line))], append([]rune{c}, line[min(x+1, len(line)):]...)...); x < len(line) {
				x++
			}
		}
	}
	return append(lines, strings.TrimRight(string(line), " "))
}

func TestAFileGetsTheSummaryAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		file := func(p *Process) { p.TerminalError = false }
		r := run(t, Publisher, script((*peer).obey), file, "-n", "3", "-m", "x")
		if want := "3 of 3 acknowledged in 2.0 s (median 0.0 ms, slowest 0.0 ms)\n"; r.stderr.String() != want {
			t.Errorf("stderr: %q, want %q", r.stderr.String(), want)
		}
		r = run(t, Publisher, script((*peer).obey), file, "-n", "300", "-i", "10ms", "-m", "x")
		if want := "300 of 300 acknowledged in 3.0 s (100/s, median 0.0 ms, p99 0.0 ms, slowest 0.0 ms)\n"; r.stderr.String() != want {
			t.Errorf("stderr: %q, want %q", r.stderr.String(), want)
		}
		r = run(t, Publisher, script((*peer).obey), file, "-v", "-m", "x")
		r.said("1/1 test/commands, 1 byte, QoS 1: acknowledged in 0.0 ms") // between the packets that were asked for
	})
}

func TestManyMessagesShareALine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		wait := 40 * time.Millisecond // the status line is written at these moments, so that acknowledgements come at others
		r := start(t, Publisher, afterConnect(packet.PUBLISH, func(p *peer, h packet.Header, body []byte) bool {
			time.Sleep(wait)
			wait = 70 * time.Millisecond
			return p.obey(h, body)
		}), nil, "-n", "300", "-i", "100ms", "-m", "x")
		time.Sleep(20*time.Second + 99*time.Millisecond)
		synctest.Wait()
		before := []string{"connecting to mqtt://localhost:1883 as me", "connected in 0.0 ms"}
		want := append(before[:2:2], "200/300 acknowledged, 10/s, 1 on the way, the last in 70 ms, 10.0 s left")
		if diff := cmp.Diff(want, screen(r.stderr.String())); diff != "" {
			t.Error(diff)
		}
		r.wait()
		want = append(before[:2:2], "300 of 300 acknowledged in 30.0 s (10/s, median 70 ms, p99 70 ms, slowest 70 ms)", "")
		if diff := cmp.Diff(want, screen(r.stderr.String())); diff != "" {
			t.Error(diff)
		}
	})
}

func TestAStatusLineStaysBelowTheOtherLines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, Publisher, script(func(p *peer, h packet.Header, body []byte) bool {
			return (p.number > 1 || h.Type != packet.PUBLISH || time.Now().Second()%30 < 10) && p.obey(h, body)
		}), func(p *Process) { p.Columns = 60 }, "-n", "100", "-m", "x")
		time.Sleep(20*time.Second + 99*time.Millisecond)
		r.signals <- os.Interrupt
		synctest.Wait()
		r.wait()
		want := []string{
			"connecting to mqtt://localhost:1883 as me",
			"connected in 0.0 ms",
			"publisher: connection lost: the server closed it after PUBLISH to test/commands; reconnecting in X",
			"publisher: reconnected in 0.0 ms; the server had no session",
			"publisher: stopping (again to leave at once)",
			"publisher: N of 100 acknowledged, 0 sent but not acknowledged, M not sent: interrupted",
			"",
		}
		got := screen(r.stderr.String())
		for i, line := range got {
			if len(line) >= 60 && i >= len(got)-1 {
				t.Errorf("the status line is too long: %q", line)
			}
			if before, _, ok := strings.Cut(line, "reconnecting in "); ok {
				got[i] = before + "reconnecting in X"
			}
			var n, m int
			if k, _ := fmt.Sscanf(line, "publisher: %d of 100 acknowledged, 0 sent but not acknowledged, %d not sent: interrupted", &n, &m); k == 2 && n+m == 100 {
				got[i] = want[5]
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
	})
}

func TestMessagesOfUnknownNumberGetALineUntilTheyAreMany(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lines := strings.Repeat("x\n", 100)
		r := run(t, Publisher, script((*peer).obey), stdin(strings.NewReader(lines)), "-l", "-i", "50ms")
		got := screen(r.stderr.String())
		if len(got) != 2+fewMessages+2 || got[2+fewMessages-1] != fmt.Sprintf("%d test/commands, 1 byte, QoS 1: acknowledged in 0.0 ms", fewMessages) {
			t.Errorf("%d lines: %q", len(got), got)
		}
		// A status line would be in the way of who types.
		r = run(t, Publisher, script((*peer).obey), func(p *Process) {
			p.Stdin, p.TerminalInput = strings.NewReader(lines), true
		}, "-l")
		r.said("100 test/commands, 1 byte, QoS 1: acknowledged in 0.0 ms")
		if strings.Contains(r.stderr.String(), "\r") {
			t.Error("there was a status line while somebody typed")
		}
	})
}

func TestNoStatusLineWhereItIsNoUse(t *testing.T) {
	for name, change := range map[string]func(*Process){
		"dumb terminal": func(p *Process) {
			p.Getenv = func(name string) string { return map[string]string{"TERM": "dumb"}[name] }
		},
		"quiet":   func(p *Process) { p.Args = append(p.Args, "--quiet") },
		"dry run": func(p *Process) { p.Args = append(p.Args, "--dry-run") },
		"trace":   func(p *Process) { p.Args = append(p.Args, "-v") },
		"no tty":  func(p *Process) { p.TerminalError = false },
	} {
		synctest.Test(t, func(t *testing.T) {
			r := run(t, Publisher, script((*peer).obey), change, "-m", "x", "-n", "100")
			if r.ended(ExitDone); strings.Contains(r.stderr.String(), "\r") {
				t.Errorf("%s: there was a status line", name)
			}
		})
	}
}

// stopped is a terminal that takes nothing once a status line has come, until it is released.
type stopped struct {
	buffer
	release chan struct{}
}

func (s *stopped) Write(b []byte) (int, error) {
	if b[0] == '\r' {
		<-s.release
	}
	return s.buffer.Write(b)
}

func TestATerminalThatTakesNothingHoldsUpNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sent := 0
		s := &stopped{release: make(chan struct{})}
		r := start(t, Publisher, afterConnect(packet.PUBLISH, func(p *peer, h packet.Header, body []byte) bool {
			if sent++; sent == 150 && p.number == 1 {
				return false // there is a warning to print, too
			}
			return p.obey(h, body)
		}), func(p *Process) { p.Stderr = s }, "-m", "x", "-n", "300", "-i", "10ms")
		time.Sleep(time.Minute)
		synctest.Wait()
		if sent != 301 {
			t.Errorf("%d messages came while the terminal was stopped, want 301", sent)
		}
		close(s.release)
		r.wait()
		synctest.Wait()
		if got := s.String(); !strings.Contains(got, "publisher: reconnected in") || !strings.Contains(got, "300 of 300 acknowledged") {
			t.Errorf("it got %q", got)
		}
	})
}

func TestNothingFromOutsideControlsTheTerminal(t *testing.T) {
	log := &console{program: "publisher", out: new(buffer)}
	log.say("\x1b[2Ja%s", "\u202e\x9b")
	log.warn("two\nlines\r")
	log.fail("first\x1b]0;title\a", "second\nthird")
	want := `\x1b[2Ja\u202e\x9b
publisher: two\nlines\x0d
publisher: first\x1b]0;title\x07
  second\nthird
`
	if diff := cmp.Diff(want, log.out.(*buffer).String()); diff != "" {
		t.Error(diff)
	}
	// Names of files, and options.
	for _, args := range [][]string{{"-f", "/no\x1b[2J"}, {"--pcap", "/no\x1b[2J/x", "-m", "x"}, {"-e", "localhost", "-C", "/no\x1b[2J", "-m", "x"},
		{"--client-id", "\x1b[2J", "-m", "x"}, {"--\x1b[2J"}, {"\x1b[2J"}, {"-t", "\x1b[2J", "-m", "x"}} {
		synctest.Test(t, func(t *testing.T) {
			r := run(t, Publisher, script((*peer).obey), nil, args...)
			if stderr := r.stderr.String(); strings.Contains(stderr, "\x1b") || !strings.Contains(stderr, `\x1b[2J`) {
				t.Errorf("%q: stderr %q", args, stderr)
			}
		})
	}
}

// A status line is measured in bytes, and a byte has to be a column.
func TestStatusLineIsASCII(t *testing.T) {
	for _, total := range []int{0, 1e9} {
		for _, qos := range []int{0, 1} {
			p := newProgress(&tally{total: total, qos: qos})
			p.older = mark{at: time.Now().Add(-time.Hour)}
			for _, took := range []time.Duration{1, time.Microsecond, time.Millisecond, time.Second, 90 * time.Second, 1000 * time.Hour} {
				p.note(int(3600e9/took)%1e9, 65_535, took)
				if line := p.text(); strings.ContainsFunc(line, func(c rune) bool { return c < ' ' || c > '~' }) {
					t.Errorf("%q has a character that may not be one column", line)
				}
			}
		}
	}
}

// What is typed stands behind the status line. A ^C that began a new line would stay there.
func TestStatusLineLeavesRoomForControlC(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out buffer
		s := newStatusLine(&out, 40, func() string { return strings.Repeat("x", 100) })
		time.Sleep(time.Second)
		shown := screen(out.String())
		if line := shown[len(shown)-1] + "^C"; len(line) != 39 {
			t.Errorf("%q has %d columns, want 39 of 40", line, len(line))
		}
		s.end()
	})
}
