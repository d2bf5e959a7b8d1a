package cli

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"

	"iotwire/internal/testbroker"
	"iotwire/internal/testbroker/nearby"
	"iotwire/mqtt/packet"
)

// Programs as a person has them: a process on a pseudo terminal, with a window that shows what the terminal was told to. The
// tests run at the same time, since they wait more than they work.

const programVariable = "TEST_RUNS_PROGRAM"

// TestMain makes this test binary one of the programs, when a test starts it so.
func TestMain(m *testing.M) {
	switch os.Getenv(programVariable) {
	case "publisher":
		os.Exit(int(Publisher(OS())))
	case "subscriber":
		os.Exit(int(Subscriber(OS())))
	}
	os.Exit(m.Run())
}

// window is a terminal with a program in it.
type window struct {
	t        *testing.T
	cmd      *exec.Cmd
	keyboard *os.File
	columns  int

	mu      sync.Mutex
	raw     []byte   // what the program and the echo of the keyboard have written
	lines   [][]rune // what it looks like
	x       int      // where the cursor stands, in the last line
	escapes string   // the final characters of the escape sequences that came
	changed chan struct{}
	closed  bool // nobody writes to it any more
}

// sit is what a test may want otherwise of a window.
type sit struct {
	columns int    // 80 if it is 0
	term    string // "xterm" if it is ""
	env     []string
	stdout  *os.File // nil: the terminal; likewise:
	stderr  *os.File
}

// open starts a program in a window. It has a minute, then it is killed.
func open(t *testing.T, s sit, program string, args ...string) *window {
	t.Helper()
	master, terminal := openPTY(t)
	w := &window{t: t, keyboard: master, columns: s.columns, lines: [][]rune{nil}, changed: make(chan struct{}, 1)}
	if w.columns == 0 {
		w.columns = 80
	}
	if s.term == "" {
		s.term = "xterm"
	}
	resize(t, master, w.columns)
	w.cmd = exec.Command(os.Args[0], args...)
	w.cmd.Env = append([]string{programVariable + "=" + program, "TERM=" + s.term, "LANG=C.UTF-8", "GORACE=atexit_sleep_ms=0"}, s.env...)
	w.cmd.Stdin, w.cmd.Stdout, w.cmd.Stderr = terminal, terminal, terminal
	if s.stdout != nil {
		w.cmd.Stdout = s.stdout
	}
	if s.stderr != nil {
		w.cmd.Stderr = s.stderr
	}
	ownSession(w.cmd)
	if err := w.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	terminal.Close()
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		w.show()
	}()
	watchdog := time.AfterFunc(time.Minute, func() { w.cmd.Process.Kill() })
	t.Cleanup(func() {
		watchdog.Stop()
		w.cmd.Process.Kill()
		w.cmd.Wait()
		<-gone
		master.Close()
	})
	return w
}

// show reads what is to be shown, until the last program has closed the terminal.
func (w *window) show() {
	buf := make([]byte, 4096)
	for {
		n, err := w.keyboard.Read(buf)
		w.mu.Lock()
		w.raw = append(w.raw, buf[:n]...)
		w.draw()
		w.closed = err != nil
		w.mu.Unlock()
		select {
		case w.changed <- struct{}{}:
		default:
		}
		if err != nil {
			return
		}
	}
}

// draw interprets raw from its beginning. It knows as much of a terminal as a program may use.
func (w *window) draw() {
	w.lines, w.x, w.escapes = [][]rune{nil}, 0, ""
	for rest := w.raw; len(rest) > 0; {
		c, size := utf8.DecodeRune(rest)
		rest = rest[size:]
		last := &w.lines[len(w.lines)-1]
		switch {
		case c == '\n':
			w.lines, w.x = append(w.lines, nil), 0
		case c == '\r':
			w.x = 0
		case c == '\t':
			w.x = min((w.x/8+1)*8, w.columns-1)
		case c == 0x1b && len(rest) > 0 && rest[0] == '[':
			n := 1
			for n < len(rest) && (rest[n] < 0x40 || rest[n] > 0x7e) {
				n++
			}
			if n == len(rest) {
				return // the rest of it is on its way
			}
			if rest[n] == 'K' { // to the end of the line
				*last = (*last)[:min(w.x, len(*last))]
			}
			w.escapes += string(rest[n])
			rest = rest[n+1:]
		case c < ' ' || 0x7f <= c && c < 0xa0 || c == utf8.RuneError:
			w.escapes += fmt.Sprintf("%q", c)
		default:
			if w.x == w.columns {
				w.lines, w.x = append(w.lines, nil), 0
				last = &w.lines[len(w.lines)-1]
			}
			for len(*last) <= w.x {
				*last = append(*last, ' ')
			}
			(*last)[w.x] = c
			w.x++
		}
	}
}

// text returns the lines that are seen, with those that have scrolled away.
func (w *window) text() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	var b strings.Builder
	for _, line := range w.lines {
		fmt.Fprintln(&b, strings.TrimRight(string(line), " "))
	}
	return strings.TrimRight(b.String(), "\n") + "\n"
}

// sent returns what was written to the terminal, and the final characters of its escape sequences.
func (w *window) sent() (raw, escapes string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return string(w.raw), w.escapes
}

// await waits until a line begins with text.
func (w *window) await(text string) {
	w.t.Helper()
	w.until(fmt.Sprintf("%q is seen", text), func() bool { return strings.Contains("\n"+w.text(), "\n"+text) })
}

// awaitSent waits until text was written to the terminal so many times, of which nothing need be left.
func (w *window) awaitSent(text string, times int) {
	w.t.Helper()
	w.until(fmt.Sprintf("%q was written %d times", text, times), func() bool {
		raw, _ := w.sent()
		return strings.Count(raw, text) >= times
	})
}

// until waits until is is true.
func (w *window) until(what string, is func() bool) {
	w.t.Helper()
	deadline := time.After(20 * time.Second)
	for {
		w.mu.Lock()
		closed := w.closed
		w.mu.Unlock()
		if is() {
			return
		}
		if closed {
			w.t.Fatalf("the program has ended before %s; one sees:\n%s", what, w.text())
		}
		select {
		case <-w.changed:
		case <-deadline:
			w.t.Fatalf("it is not so that %s, but:\n%s", what, w.text())
		}
	}
}

// press types keys. Ctrl-C is "\x03".
func (w *window) press(keys string) {
	w.t.Helper()
	if _, err := io.WriteString(w.keyboard, keys); err != nil {
		w.t.Fatal(err)
	}
}

// exit waits for the end of the program and compares its exit code.
func (w *window) exit(want ExitCode) {
	w.t.Helper()
	err := w.cmd.Wait()
	var failed *exec.ExitError
	if err != nil && !errors.As(err, &failed) {
		w.t.Fatal(err)
	}
	for {
		w.mu.Lock()
		closed := w.closed
		w.mu.Unlock()
		if closed {
			break
		}
		<-w.changed
	}
	if got := ExitCode(w.cmd.ProcessState.ExitCode()); got != want {
		w.t.Errorf("exit code %d, want %d; it showed:\n%s", got, want, w.text())
	}
}

// shows fails unless the window has the line.
func (w *window) shows(line string) {
	w.t.Helper()
	if !strings.Contains("\n"+w.text(), "\n"+line+"\n") {
		w.t.Errorf("%q is not seen, but:\n%s", line, w.text())
	}
}

func TestAPersonSeesMessagesWithTheirTopics(t *testing.T) {
	t.Parallel()
	b, endpoint, ends := nearby.Broker(t)
	w := open(t, sit{}, "subscriber", "-e", endpoint, "-t", "site/#", "--client-id", "me")
	w.await("subscribed to site/#, QoS 1")
	b.Publish("site/7/temp", []byte(`{"celsius":21.50}`), packet.QoS1, false)
	w.await("}")
	w.press("\x03")
	w.exit(ExitDone)
	if err := <-ends; err != nil {
		t.Errorf("it left without DISCONNECT: %v", err)
	}
	_, seen, _ := strings.Cut(w.text(), "subscribed to site/#, QoS 1\n")
	want := `site/7/temp, 17 bytes, QoS 1
{
  "celsius": 21.50
}
^Csubscriber: stopping (again to leave at once)
received 1 message (17 bytes) in `
	if !strings.HasPrefix(seen, want) {
		t.Errorf("it shows:\n%s\nwant:\n%s", seen, want)
	}
}

func TestColourIsForTerminalsThatShowIt(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		sit  sit
		args []string
		want bool
	}{
		{"terminal", sit{}, nil, true},
		{"NO_COLOR", sit{env: []string{"NO_COLOR=1"}}, nil, false},
		{"dumb terminal", sit{term: "dumb"}, nil, false},
		{"--color never", sit{}, []string{"--color", "never"}, false},
		{"--color always", sit{term: "dumb"}, []string{"--color", "always"}, true},
	} {
		b, endpoint, _ := nearby.Broker(t)
		w := open(t, c.sit, "subscriber", append(c.args, "-e", endpoint, "-n", "1")...)
		w.await("subscribed to test/commands, QoS 1")
		b.Publish("test/commands", []byte("hello"), packet.QoS1, false)
		w.exit(ExitDone)
		w.shows("test/commands, 5 bytes, QoS 1")
		w.shows("hello")
		if raw, escapes := w.sent(); strings.Contains(raw, "\x1b[") != c.want || strings.Trim(escapes, "mK") != "" {
			t.Errorf("%s: it wrote %q", c.name, raw)
		}
	}
}

func TestNothingOfAMessageCommandsTheTerminal(t *testing.T) {
	t.Parallel()
	evil := "\x1b]0;owned\x07\x1b[31mred\x1b[2J\u009b2J\u202etxt.exe\x7f\b\b"
	for _, format := range []string{"pretty", "text", "json", "hex", "base64", "%t %p", "%j %x"} {
		b, endpoint, _ := nearby.Broker(t)
		w := open(t, sit{env: []string{"NO_COLOR=1"}, columns: 200}, "subscriber", "-e", endpoint, "-t", "#", "-n", "3", "-F", format)
		w.await("subscribed to #")
		for _, payload := range []string{evil, evil + "\xff\x00", `{"a":"` + "\u009b2J\u202e" + `"}`} {
			b.Publish("a/\u009b2J\u202e", []byte(payload), packet.QoS1, false)
		}
		w.exit(ExitDone)
		if raw, escapes := w.sent(); escapes != "" || strings.ContainsAny(raw, "\x1b\u009b\u202e") {
			t.Errorf("-F %s: %q reached the terminal in %q", format, escapes, raw)
		}
	}
}

func TestRawIsRawOnATerminalToo(t *testing.T) {
	t.Parallel()
	b, endpoint, _ := nearby.Broker(t)
	w := open(t, sit{}, "subscriber", "-e", endpoint, "-n", "1", "-F", "raw", "--quiet")
	for b.Stats().Subscriptions == 0 {
		time.Sleep(time.Millisecond)
	}
	b.Publish("test/commands", []byte("\x1b[1m\xff"), packet.QoS1, false)
	w.exit(ExitDone)
	if raw, _ := w.sent(); raw != "\x1b[1m\xff" {
		t.Errorf("it wrote %q", raw)
	}
}

func TestAPersonSeesTheServerGoAndComeBack(t *testing.T) {
	t.Parallel()
	b, endpoint, _ := nearby.Broker(t)
	w := open(t, sit{columns: 120}, "subscriber", "-e", endpoint, "--client-id", "me", "-n", "1")
	w.await("subscribed to test/commands, QoS 1")
	b.Drop("me", testbroker.FIN)
	w.await("subscriber: connection lost: the server closed it; reconnecting in ")
	w.await("subscriber: reconnected in ")
	w.until("it has subscribed again", func() bool { return strings.Count(w.text(), "\nsubscribed to test/commands, QoS 1") == 2 })
	b.Publish("test/commands", []byte("after"), packet.QoS1, false)
	w.exit(ExitDone)
	w.shows("after")
	if !strings.HasSuffix(w.text(), ", 1 reconnect\n") {
		t.Errorf("at the end one sees\n%s", w.text())
	}
}

func TestLinesAreTypedUntilCtrlD(t *testing.T) {
	t.Parallel()
	_, endpoint, ends := nearby.Broker(t)
	for _, args := range [][]string{{"-l"}, {"-f", "-"}} {
		w := open(t, sit{}, "publisher", append(args, "-e", endpoint)...)
		w.await("reading from the terminal; Ctrl-D ends")
		w.press("one\ntwo\n\x04")
		w.exit(ExitDone)
		if err := <-ends; err != nil {
			t.Errorf("%q: it left without DISCONNECT: %v", args, err)
		}
		want := "2 acknowledged in "
		if args[0] == "-f" {
			want = "1 of 1 acknowledged in "
		}
		w.await(want)
	}
}

// silent is a server that takes every connection and never acknowledges a message; sent tells of each.
func silent(t *testing.T) (endpoint string, sent <-chan struct{}) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	messages := make(chan struct{}, 1)
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			defer conn.Close()
			r := packet.NewReader(conn, 1<<16)
			r.Next()
			b, _ := packet.AppendConnack(nil, &packet.Connack{})
			conn.Write(b)
			r.Next()
			messages <- struct{}{}
		}
	}()
	return "mqtt://" + l.Addr().String(), messages
}

func TestCtrlCIsExplainedAndWaitsShortly(t *testing.T) {
	t.Parallel()
	endpoint, sent := silent(t)
	w := open(t, sit{}, "publisher", "-e", endpoint, "-m", "x")
	<-sent
	w.press("\x03")
	w.exit(ExitInterrupted)
	w.shows("^Cpublisher: stopping (again to leave at once); waiting for the acknowledgement")
	w.shows("publisher: 0 of 1 acknowledged, 1 sent but not acknowledged, 0 not sent: interru")
}

func TestASecondCtrlCLeavesAtOnce(t *testing.T) {
	t.Parallel()
	endpoint, sent := silent(t)
	w := open(t, sit{}, "publisher", "-e", endpoint, "-m", "x")
	<-sent
	w.press("\x03")
	w.await("^Cpublisher: stopping (again to leave at once)")
	w.press("\x03")
	w.exit(ExitInterrupted)
	if strings.Contains(w.text(), "1 sent but not acknowledged") {
		t.Errorf("it has waited for the acknowledgement:\n%s", w.text())
	}
}

func TestAFewMessagesHaveALineEach(t *testing.T) {
	t.Parallel()
	_, endpoint, _ := nearby.Broker(t)
	w := open(t, sit{}, "publisher", "-e", endpoint, "-m", "x", "-n", "3", "-i", "1ms")
	w.exit(ExitDone)
	for n := range 3 {
		if line := fmt.Sprintf("\n%d/3 test/commands, 1 byte, QoS 1: acknowledged in ", n+1); strings.Count(w.text(), line) != 1 {
			t.Errorf("%q is not seen once, but:\n%s", line, w.text())
		}
	}
	w.await("3 of 3 acknowledged in ")
}

func TestManyMessagesShareALineThatFitsTheWindow(t *testing.T) {
	t.Parallel()
	for _, columns := range []int{40, 200} {
		_, endpoint, _ := nearby.Broker(t)
		w := open(t, sit{columns: columns}, "publisher", "-e", endpoint, "-m", "x", "-n", "400", "-i", "1ms")
		w.exit(ExitDone)
		raw, escapes := w.sent()
		states := strings.Count(raw, "/400 acknowledged, ")
		if states < 2 || escapes != "" {
			t.Errorf("%d columns: %d states of the status line, and escape sequences %q, in %q", columns, states, escapes, raw)
		}
		for state := range strings.SplitAfterSeq(raw, "\r") {
			if n := utf8.RuneCountInString(strings.TrimRight(state, "\r\n")); strings.Contains(state, "/400 ") && n >= columns {
				t.Errorf("%d columns: a state is %d wide: %q", columns, n, state)
			}
		}
		if seen := w.text(); strings.Contains(seen, "/400") || !strings.Contains(seen, "\n400 of 400 acknowledged in ") {
			t.Errorf("%d columns: at the end one sees\n%s", columns, seen)
		}
	}
}

func TestADumbTerminalGetsLinesAlone(t *testing.T) {
	t.Parallel()
	_, endpoint, _ := nearby.Broker(t)
	w := open(t, sit{term: "dumb"}, "publisher", "-e", endpoint, "-m", "x", "-n", "30", "-i", "1ms")
	w.exit(ExitDone)
	raw, escapes := w.sent()
	if escapes != "" || strings.Contains(strings.ReplaceAll(raw, "\r\n", "\n"), "\r") || strings.Count(raw, ": acknowledged in ") != 30 {
		t.Errorf("it wrote %q", raw)
	}
}

func TestTheStatusLineFollowsTheWindow(t *testing.T) {
	t.Parallel()
	_, endpoint, _ := nearby.Broker(t)
	w := open(t, sit{columns: 80}, "publisher", "-e", endpoint, "-m", "x", "-n", "0", "-i", "1ms")
	w.awaitSent(" acknowledged, ", 3)
	resize(t, w.keyboard, 30)
	before, _ := w.sent()
	w.awaitSent(" acknowledged, ", strings.Count(before, " acknowledged, ")+3)
	raw, _ := w.sent()
	w.press("\x03")
	states := strings.Split(raw[len(before):], "\r")
	if last := states[len(states)-2]; utf8.RuneCountInString(last) >= 60 {
		t.Errorf("in a window of 30 columns it writes %q", last)
	}
	w.exit(ExitInterrupted)
	if !strings.Contains(w.text(), "publisher: stopping (again to leave at once)") {
		t.Errorf("it shows:\n%s", w.text())
	}
}

func TestAPersonSeesHowManyMessagesAreInTheFile(t *testing.T) {
	t.Parallel()
	b, endpoint, _ := nearby.Broker(t)
	file, err := os.Create(filepath.Join(t.TempDir(), "messages"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	w := open(t, sit{stdout: file}, "subscriber", "-e", endpoint, "-F", "json")
	w.await("subscribed to test/commands, QoS 1")
	for range 3 {
		b.Publish("test/commands", []byte("x"), packet.QoS1, false)
	}
	w.await("3 received, ")
	w.press("\x03")
	w.exit(ExitDone)
	if seen := w.text(); strings.Contains(seen, "3 received, ") || !strings.Contains(seen, "\nreceived 3 messages (3 bytes) in ") {
		t.Errorf("at the end one sees\n%s", seen)
	}
	if written, err := os.ReadFile(file.Name()); err != nil || strings.Count(string(written), "\n") != 3 {
		t.Errorf("%q, %v", written, err)
	}
}

func TestAFileOfErrorsHasNoEscapes(t *testing.T) {
	t.Parallel()
	_, endpoint, _ := nearby.Broker(t)
	file, err := os.Create(filepath.Join(t.TempDir(), "errors"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	w := open(t, sit{stderr: file}, "publisher", "-e", endpoint, "-m", "x", "-n", "100", "-i", "1ms")
	w.exit(ExitDone)
	written, err := os.ReadFile(file.Name())
	if err != nil || !strings.HasPrefix(string(written), "100 of 100 acknowledged in ") || strings.ContainsAny(string(written), "\r\x1b") {
		t.Errorf("%q, %v", written, err)
	}
	if raw, _ := w.sent(); raw != "" {
		t.Errorf("and on the terminal %q", raw)
	}
}
