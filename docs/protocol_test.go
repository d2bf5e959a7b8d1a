// Package docs_test follows the pages of this folder as a reader would: it runs their commands and compares what they
// print, and looks up what they point at.
package docs_test

import (
	"bufio"
	"bytes"
	"errors"
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"iotwire/mqtt/dissect"
)

var update = flag.Bool("update", false, "write what the commands print into protocol.md")

const page = "protocol.md"

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

// reader is somebody who follows the page.
type reader struct {
	t         *testing.T
	dir       string // where the commands run
	env       []string
	port      string // of the broker that runs, in place of 1883
	terminals map[string]*terminal
}

// terminal is a command that goes on.
type terminal struct {
	cmd     *exec.Cmd
	printed chan string
}

func newReader(t *testing.T) *reader {
	t.Helper()
	if _, err := exec.LookPath("sh"); err != nil {
		t.Skip("there is no sh, in which the commands of the page are written")
	}
	bin := t.TempDir()
	build := exec.Command("go", "build", "-ldflags=-s -w", "-o", bin, "./cmd/dissect", "./cmd/publisher", "./cmd/subscriber", "./cmd/testbroker")
	build.Dir = ".."
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	r := &reader{t: t, dir: t.TempDir(), terminals: map[string]*terminal{}}
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "MQTT_") && !strings.HasPrefix(v, "LC_") {
			r.env = append(r.env, v)
		}
	}
	r.env = append(r.env, "PATH="+bin+string(os.PathListSeparator)+os.Getenv("PATH"), "COLUMNS=100", "LANG=C.UTF-8")
	return r
}

// shell is a command of the page, with the broker's own port.
func (r *reader) shell(command string) *exec.Cmd {
	command = strings.ReplaceAll(command, "testbroker -p 1883", "testbroker -p 0")
	command = strings.ReplaceAll(command, "mqtt://127.0.0.1", "mqtt://127.0.0.1:"+r.port)
	c := exec.Command("sh", "-c", "exec "+command)
	if strings.ContainsAny(command, ";|") {
		c = exec.Command("sh", "-c", command)
	}
	c.Dir, c.Env = r.dir, r.env
	c.WaitDelay = time.Second
	return c
}

// run returns what a command prints until it ends.
func (r *reader) run(command string) []string {
	var out bytes.Buffer
	c := r.shell(command)
	c.Stdout, c.Stderr = &out, &out
	if err := c.Start(); err != nil {
		r.t.Fatal(err)
	}
	timer := time.AfterFunc(patience, func() { c.Process.Kill() })
	defer timer.Stop()
	var exit *exec.ExitError // many a command is to fail
	if err := c.Wait(); err != nil && !errors.As(err, &exit) {
		r.t.Fatalf("%s: %v", command, err)
	}
	if out.Len() == 0 {
		return nil
	}
	text := strings.ReplaceAll(out.String(), "127.0.0.1:"+r.port, "127.0.0.1:1883")
	return strings.Split(strings.TrimSuffix(text, "\n"), "\n")
}

// open runs a command in a terminal of its own.
func (r *reader) open(name, command string) {
	c := r.shell(command)
	out, in, err := os.Pipe()
	if err != nil {
		r.t.Fatal(err)
	}
	c.Stdout, c.Stderr = in, in
	if err := c.Start(); err != nil {
		r.t.Fatal(err)
	}
	in.Close()
	term := &terminal{c, make(chan string, 1000)}
	r.terminals[name] = term
	go func() {
		for s := bufio.NewScanner(out); s.Scan(); {
			term.printed <- s.Text()
		}
		out.Close()
		close(term.printed)
	}()
}

// look returns the next n lines of a terminal; all that come within a second if n < 0.
func (r *reader) look(name string, n int) (lines []string) {
	wait := patience
	if n < 0 {
		wait = time.Second
	}
	for len(lines) != n {
		select {
		case line, more := <-r.terminals[name].printed:
			if !more {
				return lines
			}
			if m := regexp.MustCompile(`^testbroker: listening on mqtt://127\.0\.0\.1:(\d+)`).FindStringSubmatch(line); m != nil {
				r.port = m[1]
			}
			lines = append(lines, strings.ReplaceAll(line, "127.0.0.1:"+r.port, "127.0.0.1:1883"))
		case <-time.After(wait):
			return lines
		}
	}
	return lines
}

// close ends what runs in a terminal by a signal, or waits for its end if there is none, and returns what it still prints.
func (r *reader) close(name string, signal os.Signal) (lines []string) {
	term := r.terminals[name]
	delete(r.terminals, name)
	if signal != nil {
		term.cmd.Process.Signal(signal)
	}
	timer := time.AfterFunc(patience, func() { term.cmd.Process.Kill() })
	defer timer.Stop()
	for line := range term.printed {
		lines = append(lines, line)
	}
	term.cmd.Wait()
	return lines
}

// follow takes a step and returns what is printed.
func (r *reader) follow(s step) []string {
	if s.terminal == "" {
		return r.run(s.command)
	}
	switch busy := r.terminals[s.terminal] != nil; {
	case !busy && (s.command == "" || s.command == "^C"):
		r.t.Fatalf("%s:%d: nothing runs in this terminal", page, s.line+1)
	case s.command == "^C":
		return r.close(s.terminal, os.Interrupt)
	case busy && s.command != "":
		if more := r.close(s.terminal, nil); len(more) > 0 {
			r.t.Errorf("%s:%d: what ran in this terminal had more to say: %q", page, s.line+1, more)
		}
	}
	if s.command != "" {
		r.open(s.terminal, s.command)
	}
	n := s.end - s.begin
	if *update {
		n = -1
	}
	return r.look(s.terminal, n)
}

// Each command on the page prints what the page says, but for times, ports and the reason of a lost connection.
func TestThePagePrintsWhatItSays(t *testing.T) {
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(string(text), "\n")
	r := newReader(t)
	defer func() {
		for name := range r.terminals {
			if more := r.close(name, os.Interrupt); len(more) > 0 {
				t.Errorf("terminal %s has more to say than the page: %q", name, more)
			}
		}
	}()
	var written []string
	from, n := 0, 0
	for _, s := range steps(lines) {
		n++
		got, want := r.follow(s), lines[s.begin:s.end]
		diff := cmp.Diff(same(want), same(got))
		if diff != "" && !*update {
			t.Errorf("%s:%d: %s prints something else (-page +command); if that is right: go test ./docs -update\n%s", page, s.line+1, s.command, diff)
		}
		if diff == "" {
			got = want
		}
		written = append(append(written, lines[from:s.begin]...), got...)
		from = s.end
	}
	if n < 30 {
		t.Errorf("found %d commands", n)
	}
	written = append(written, lines[from:]...)
	if *update {
		if err := os.WriteFile(page, []byte(strings.Join(written, "\n")), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// Each file, function and statement that the page points at exists.
func TestThePagePointsAtWhatExists(t *testing.T) {
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	functions := 0
	for _, m := range regexp.MustCompile("\\[(`?)([^\\]`]*)`?\\]\\(([^)#]*)(#[^)]*)?\\)").FindAllStringSubmatch(string(text), -1) {
		code, name, target, anchor := m[1] != "", m[2], m[3], strings.TrimPrefix(m[4], "#")
		switch {
		case strings.HasPrefix(target, "http"):
		case target == "":
			if !slices.Contains(anchors(string(text)), anchor) {
				t.Errorf("[%s]: the page has no heading #%s", name, anchor)
			}
		case !code:
			if _, err := os.Stat(filepath.FromSlash(target)); err != nil {
				t.Errorf("[%s]: %v", name, err)
			}
		default:
			functions++
			if !declares(t, target, name) {
				t.Errorf("%s does not declare %s", target, name)
			}
		}
	}
	statements := regexp.MustCompile(`MQTT-\d[\d.-]*\d|--spec \d[\d.-]*\d`).FindAllString(string(text), -1)
	for _, id := range statements {
		if len(dissect.StatementsOf(strings.TrimPrefix(id, "--spec "))) == 0 {
			t.Errorf("there is no statement %s", id)
		}
	}
	if functions < 20 || len(statements) < 20 {
		t.Errorf("found %d functions and %d statements", functions, len(statements))
	}
}

// anchors are those of the headings, as GitHub makes them.
func anchors(text string) (all []string) {
	for _, m := range regexp.MustCompile(`(?m)^#+ (.*)$`).FindAllStringSubmatch(text, -1) {
		anchor := regexp.MustCompile(`[^a-z0-9 _-]`).ReplaceAllString(strings.ToLower(m[1]), "")
		all = append(all, strings.ReplaceAll(anchor, " ", "-"))
	}
	return all
}

// declares reports whether a Go file declares this function, method or type.
func declares(t *testing.T, file, name string) bool {
	t.Helper()
	parsed, err := parser.ParseFile(token.NewFileSet(), filepath.FromSlash(file), nil, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	return slices.ContainsFunc(parsed.Decls, func(d ast.Decl) bool {
		switch d := d.(type) {
		case *ast.FuncDecl:
			return d.Name.Name == name
		case *ast.GenDecl:
			return slices.ContainsFunc(d.Specs, func(s ast.Spec) bool {
				typ, ok := s.(*ast.TypeSpec)
				return ok && typ.Name.Name == name
			})
		}
		return false
	})
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
