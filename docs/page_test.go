// Package docs_test follows the pages of this folder as a reader would: it runs their commands and compares what they
// print, and looks up what they point at.
package docs_test

import (
	"bufio"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write what the commands print into the pages")

// page is a page whose commands are run.
type page struct {
	path  string
	least int // how many commands it has at least

	// prepare, if not nil, does what stands on the page in words, before its first command.
	prepare func(r *reader)

	// rewrite, if not nil, makes of a command what is run in its place, and of what that prints what the page has.
	rewrite func(r *reader, command string) (run string, shown func(line string) string)

	// apart, if not nil, says how the lines of one program begin where several print at once, in any order; or "".
	apart func(s step) (prefix string)
}

// patience is how long a command may take, and a terminal may stay silent that has more to say.
const patience = 20 * time.Second

// step is a command in a block of the page, with what it prints. Behind a bare "$ " prompt it runs to its end. A prompt
// with a name, "broker$ ", is a terminal of its own: its command goes on, and a prompt with a name and no command looks
// at it again; ^C in place of a command ends it.
type step struct {
	terminal, command string
	line              int // of the prompt
	begin, end        int // the lines of its output
}

var prompt = regexp.MustCompile(`^([a-z]*)\$(?: (.*))?$`)

// steps finds the commands in the blocks ```console.
func steps(lines []string) (all []step) {
	inside := false
	for i := 0; i < len(lines); i++ {
		if fence, ok := strings.CutPrefix(lines[i], "```"); ok {
			inside = !inside && fence == "console"
			continue
		}
		m := prompt.FindStringSubmatch(lines[i])
		if !inside || m == nil {
			continue
		}
		s := step{terminal: m[1], command: m[2], line: i}
		for strings.Count(s.command, "'")%2 == 1 {
			i++
			s.command += "\n" + lines[i]
		}
		s.begin = i + 1
		for s.end = s.begin; !strings.HasPrefix(lines[s.end], "```") && !prompt.MatchString(lines[s.end]); s.end++ {
		}
		i = s.end - 1
		all = append(all, s)
	}
	return all
}

// varies is what differs from run to run, or from machine to machine.
var varies = []struct {
	pattern *regexp.Regexp
	same    string
}{
	{regexp.MustCompile(`127\.0\.0\.1:\d+`), "127.0.0.1:PORT"},
	{regexp.MustCompile(`localhost:\d+`), "localhost:PORT"},
	{regexp.MustCompile(`\b[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\b`), "UUID"},
	{regexp.MustCompile(`\b[0-9a-f]{64}\b`), "SHA256"},
	{regexp.MustCompile(`\b20(2[6-9]|3\d)-\d\d-\d\d \d\d:\d\d:\d\d(\.\d{3})?\b`), "NOW"},
	{regexp.MustCompile(`"sourcePort": \d+`), `"sourcePort": PORT`},
	{regexp.MustCompile(`\b(after|in|median|slowest) \d+(\.\d)? (ms|s)\b`), "$1 TIME"},
	{regexp.MustCompile(`\+\d+\.\d{3}\b`), "+TIME"},
	{regexp.MustCompile(`connection lost: .*; reconnecting`), "connection lost: REASON; reconnecting"},
	{regexp.MustCompile(`(mqtt|iot|internal)/\S+\.go: .*`), "FILE"}, // where code is: cmd/dissect keeps that true
	{regexp.MustCompile(` {2,}|─+`), " "},                           // columns move with what stands in them
}

// same is lines with what varies made the same. Packet identifiers, which begin anywhere in a session that goes on, are
// numbered in the order in which they come, so that what belongs together still does.
func same(lines []string) []string {
	out := make([]string, 0, len(lines))
	numbers := map[string]string{}
	for _, line := range lines {
		for _, v := range varies {
			line = v.pattern.ReplaceAllString(line, v.same)
		}
		line = regexp.MustCompile(`\bid \d+\b`).ReplaceAllStringFunc(line, func(id string) string {
			if numbers[id] == "" {
				numbers[id] = fmt.Sprint("id ", string(rune('A'+len(numbers))))
			}
			return numbers[id]
		})
		if line != " FILE" { // one more place
			out = append(out, strings.TrimRight(line, " "))
		}
	}
	return out
}

// reader is somebody who follows a page.
type reader struct {
	t         *testing.T
	page      page
	dir       string // where the commands run
	env       []string
	ports     map[string]string // of the brokers that run, in place of the ones on the page
	terminals map[string]*terminal
}

// terminal is a command that goes on.
type terminal struct {
	cmd     *exec.Cmd
	printed chan string
	shown   func(line string) string
}

// programs builds what the pages run, and returns where it is.
func programs(t *testing.T) string {
	t.Helper()
	if _, err := exec.LookPath("sh"); err != nil {
		t.Skip("there is no sh, in which the commands of the pages are written")
	}
	bin := t.TempDir()
	build := exec.Command("go", "build", "-ldflags=-s -w", "-o", bin,
		"./cmd/demo", "./cmd/dissect", "./cmd/publisher", "./cmd/subscriber", "./cmd/testbroker")
	build.Dir = ".."
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return bin
}

func newReader(t *testing.T, p page, bin string) *reader {
	r := &reader{t: t, page: p, dir: t.TempDir(), ports: map[string]string{}, terminals: map[string]*terminal{}}
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "MQTT_") && !strings.HasPrefix(v, "LC_") && !strings.Contains(strings.ToLower(v), "_proxy=") {
			r.env = append(r.env, v)
		}
	}
	// On a dumb terminal nothing is written over: each line stays, as on the page.
	r.env = append(r.env, "PATH="+bin+string(os.PathListSeparator)+os.Getenv("PATH"), "COLUMNS=100", "LANG=C.UTF-8", "TERM=dumb", "NO_COLOR=1")
	return r
}

// start runs a command of the page with the brokers' own ports. What it prints comes through the channel, in the words of
// the page.
func (r *reader) start(command string) *terminal {
	shown := func(line string) string { return line }
	if r.page.rewrite != nil {
		command, shown = r.page.rewrite(r, command)
	}
	command = strings.ReplaceAll(command, "testbroker -p 1883", "testbroker -p 0")
	command = strings.ReplaceAll(command, "mqtt://127.0.0.1", "mqtt://127.0.0.1:"+r.ports["mqtt"])
	c := exec.Command("sh", "-c", "exec "+command)
	if strings.ContainsAny(command, ";|") {
		c = exec.Command("sh", "-c", command)
	}
	screen, tty := openTerminal(r.t)
	c.Dir, c.Env, c.Stdout, c.Stderr = r.dir, r.env, tty, tty
	ownGroup(c)
	if err := c.Start(); err != nil {
		r.t.Fatal(err)
	}
	tty.Close()
	term := &terminal{c, make(chan string, 1000), shown}
	go func() {
		for s := bufio.NewScanner(screen); s.Scan(); { // up to the error by which Linux says that nobody writes any more
			term.printed <- colors.ReplaceAllString(strings.TrimSuffix(s.Text(), "\r"), "")
		}
		screen.Close()
		close(term.printed)
	}()
	return term
}

var colors = regexp.MustCompile(`\x1b\[[0-9;]*m`)

var listening = regexp.MustCompile(`^testbroker: listening on (mqtts?)://[^ ]*:(\d+)`)

// read makes a line of a terminal one of the page.
func (r *reader) read(term *terminal, line string) string {
	if m := listening.FindStringSubmatch(line); m != nil {
		r.ports[m[1]] = m[2]
	}
	if port := r.ports["mqtt"]; port != "" {
		line = strings.ReplaceAll(line, "127.0.0.1:"+port, "127.0.0.1:1883")
	}
	if port := r.ports["mqtts"]; port != "" {
		line = strings.ReplaceAll(line, "localhost:"+port, "localhost:8883")
	}
	return term.shown(line)
}

// look returns the next n lines of a terminal; all that come within a second if n < 0.
func (r *reader) look(name string, n int) (lines []string) {
	wait := patience
	if n < 0 {
		wait = time.Second
	}
	term := r.terminals[name]
	for len(lines) != n {
		select {
		case line, more := <-term.printed:
			if !more {
				return lines
			}
			lines = append(lines, r.read(term, line))
		case <-time.After(wait):
			return lines
		}
	}
	return lines
}

// end waits for the end of a command, after Ctrl-C if it is to be interrupted, and returns what it still prints.
func (r *reader) end(term *terminal, interrupt bool) (lines []string) {
	if interrupt {
		signalAll(term.cmd, os.Interrupt)
	}
	timer := time.AfterFunc(patience, func() { signalAll(term.cmd, os.Kill) })
	defer timer.Stop()
	for line := range term.printed {
		lines = append(lines, r.read(term, line))
	}
	var exit *exec.ExitError // many a command is to fail
	if err := term.cmd.Wait(); err != nil && !errors.As(err, &exit) {
		r.t.Fatal(err)
	}
	return lines
}

// follow takes a step and returns what is printed.
func (r *reader) follow(s step) []string {
	if s.terminal == "" {
		return r.end(r.start(s.command), false)
	}
	term := r.terminals[s.terminal]
	switch {
	case term == nil && (s.command == "" || s.command == "^C"):
		r.t.Fatalf("%s:%d: nothing runs in this terminal", r.page.path, s.line+1)
	case s.command == "^C":
		delete(r.terminals, s.terminal)
		return r.end(term, true)
	case term != nil && s.command != "":
		if more := r.end(term, false); len(more) > 0 {
			r.t.Errorf("%s:%d: what ran in this terminal had more to say: %q", r.page.path, s.line+1, more)
		}
	}
	if s.command != "" {
		r.terminals[s.terminal] = r.start(s.command)
	}
	n := s.end - s.begin
	if *update {
		n = -1
	}
	return r.look(s.terminal, n)
}

// finish ends what still runs, which has nothing more to say.
func (r *reader) finish() {
	for name, term := range r.terminals {
		if more := r.end(term, true); len(more) > 0 && name != unseen {
			r.t.Errorf("%s: terminal %s has more to say than the page: %q", r.page.path, name, more)
		}
	}
}

// unseen is the terminal of what runs behind the scene of a page.
const unseen = "unseen"

// Each command on a page prints what the page says, but for times, ports and the reason of a lost connection.
func TestThePagesPrintWhatTheySay(t *testing.T) {
	bin := programs(t)
	for _, p := range []page{protocol, readme} {
		t.Run(filepath.Base(p.path), func(t *testing.T) {
			t.Parallel()
			p.test(t, bin)
		})
	}
	t.Run("options", func(t *testing.T) { testOptionsOfTheReadme(t, bin) })
}

func (p page) test(t *testing.T, bin string) {
	text, err := os.ReadFile(p.path)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(string(text), "\n")
	r := newReader(t, p, bin)
	defer r.finish()
	if p.prepare != nil {
		p.prepare(r)
	}
	var written []string
	from, n := 0, 0
	for _, s := range steps(lines) {
		n++
		got, want := r.follow(s), lines[s.begin:s.end]
		one, other := same(want), same(got)
		if p.apart != nil {
			one, other = sift(one, p.apart(s)), sift(other, p.apart(s))
		}
		diff := cmp.Diff(one, other)
		if diff != "" && !*update {
			t.Errorf("%s:%d: %s prints something else (-page +command); if that is right: go test ./docs -update\n%s", p.path, s.line+1, s.command, diff)
		}
		if diff == "" {
			got = want
		}
		written = append(append(written, lines[from:s.begin]...), got...)
		from = s.end
	}
	if n < p.least {
		t.Errorf("found %d commands, want at least %d", n, p.least)
	}
	written = append(written, lines[from:]...)
	if *update {
		if err := os.WriteFile(p.path, []byte(strings.Join(written, "\n")), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// sift puts the lines with a prefix behind the others, in their order.
func sift(lines []string, prefix string) (all []string) {
	if prefix == "" {
		return lines
	}
	var last []string
	for _, line := range lines {
		if strings.HasPrefix(line, prefix) {
			last = append(last, line)
			continue
		}
		all = append(all, line)
	}
	return append(all, last...)
}

// The rules that make runs the same leave a difference a difference.
func TestOnlyWhatVariesIsTheSame(t *testing.T) {
	for _, pair := range []struct {
		a, b string
		same bool
	}{
		{"answers 1 after 0.3 ms", "answers 1 after 12 ms", true},
		{"→    +0.000  CONNECT        21 B", "→    +1.203  CONNECT        21 B", true},
		{"mqtt://127.0.0.1:1883", "mqtt://127.0.0.1:40001", true},
		{"connection lost: EOF; reconnecting in 0.1 ms", "connection lost: reset; reconnecting in 2.0 s", true},
		{"→    +0.000  CONNECT        21 B", "→    +0.000  CONNECT        22 B", false},
		{"id 1, id 1", "id 7, id 7", true},
		{"id 1, id 1", "id 1, id 2", false},
		{"keep alive 1 s", "keep alive 2 s", false},
		{"0000 c0", "0000 d0", false},
	} {
		if got := same([]string{pair.a})[0] == same([]string{pair.b})[0]; got != pair.same {
			t.Errorf("%q and %q: the same is %v", pair.a, pair.b, got)
		}
	}
	for i, s := range steps(strings.Split("```console\n$ a 'b\nc'\nd\nsub$ e\n```\n$ no\n```text\n$ no\n```", "\n")) {
		if want := []step{{"", "a 'b\nc'", 1, 3, 4}, {"sub", "e", 4, 5, 5}}[i]; s != want {
			t.Errorf("step %d is %+v, want %+v", i, s, want)
		}
	}
}
