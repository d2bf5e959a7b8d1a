package peers

import (
	"bytes"
	"context"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"
)

// need skips a test that needs a program that is not there.
func need(t *testing.T, program string) {
	t.Helper()
	if _, err := exec.LookPath(program); err != nil {
		t.Skipf("%s is not installed", program)
	}
}

// output runs a command in a directory, and returns what it printed.
func output(t *testing.T, dir, program string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "HOME="+dir, "XDG_CONFIG_HOME="+dir, "XDG_DATA_HOME="+dir, "LC_ALL=C.UTF-8", "MANWIDTH=80")
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil || stderr.Len() > 0 {
		t.Errorf("%s %q: %v\nstdout:\n%s\nstderr:\n%s", program, args, err, &stdout, &stderr)
	}
	return stdout.String()
}

// buildAll builds the programs whose options come from a table.
func buildAll(t *testing.T) (dir string, names []string) {
	t.Helper()
	dir, names = t.TempDir(), []string{"publisher", "subscriber", "dissect", "testbroker"}
	args := []string{"build", "-o", dir}
	for _, name := range names {
		args = append(args, "./cmd/"+name)
	}
	cmd := exec.Command("go", args...)
	cmd.Dir = filepath.Join("..", "..")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return dir, names
}

// TestCompletionsAndManPages loads what the programs print about their options into what it is for.
func TestCompletionsAndManPages(t *testing.T) {
	dir, names := buildAll(t)
	t.Run("man page", func(t *testing.T) { testManPages(t, dir, names) })
	t.Run("bash", func(t *testing.T) { testBash(t, dir, names) })
	t.Run("zsh", func(t *testing.T) { testZsh(t, dir, names) })
	t.Run("fish", func(t *testing.T) { testFish(t, dir, names) })
}

// testManPages has man, groff and mandoc show the man pages.
func testManPages(t *testing.T, dir string, names []string) {
	for _, name := range names {
		page := filepath.Join(dir, name+".1")
		if err := os.WriteFile(page, []byte(output(t, dir, filepath.Join(dir, name), "--man")), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	shows := func(t *testing.T, text string) {
		t.Helper()
		text = overstruck.ReplaceAllString(text, "")
		for _, want := range []string{"publisher - send messages to AWS IoT Core over MQTT 3.1.1", "-C, --cert-dir DIR", "--trace[=STYLE]",
			`publisher -e x-ats.iot.eu-west-1.amazonaws.com -C certs -m '{"message":"hi"}'`} {
			if !strings.Contains(text, want) {
				t.Errorf("the page does not show %q:\n%s", want, text)
			}
		}
	}
	t.Run("man", func(t *testing.T) {
		need(t, "man")
		for _, name := range names {
			text := output(t, dir, "man", "--warnings", "-l", filepath.Join(dir, name+".1"))
			if name == "publisher" {
				shows(t, text)
			}
		}
	})
	t.Run("groff", func(t *testing.T) {
		need(t, "groff")
		for _, name := range names {
			output(t, dir, "groff", "-ww", "-man", "-Tutf8", "-z", filepath.Join(dir, name+".1"))
		}
	})
	t.Run("mandoc", func(t *testing.T) {
		need(t, "mandoc")
		for _, name := range names {
			page := filepath.Join(dir, name+".1")
			if name == "publisher" {
				shows(t, output(t, dir, "mandoc", "-Tutf8", page))
			}
			lint, _ := exec.Command("mandoc", "-Tlint", page).Output() // it fails if it has anything to say
			for line := range strings.Lines(string(lint)) {
				if !strings.Contains(line, "missing date") { // of the commit: this build does not know of it
					t.Error(line)
				}
			}
		}
	})
}

// overstruck is a character that was typed for the sake of the next one, as on a printer.
var overstruck = regexp.MustCompile(`.\x08`)

// completion is what somebody types, followed by a tab, and what becomes of it; "|" is between the words.
type completion struct{ typed, want string }

var completions = []completion{
	{"--dry", "--dry-run"},
	{"-n 5 --will-to", "-n|5|--will-topic"},
	{"--color ne", "--color|never"},
	{"--color=ne", "--color=never"},
	{"--trace=wh", "--trace=why"},
	{"--trace --js", "--trace|--json"},
	{"--completion fi", "--completion|fish"},
	{"-C ce", "-C|certs of mine/"},
	{"--file pay", "--file|payload 1.bin"},
	{"-f sub/in", "-f|sub/inner"},
}

// cupboard is a folder with what completions find.
func cupboard(t *testing.T) string {
	dir := t.TempDir()
	for _, name := range []string{"certs of mine", "sub"} {
		if err := os.Mkdir(filepath.Join(dir, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"certs.txt", "payload 1.bin", "sub/inner"} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// testBash types into an interactive bash.
func testBash(t *testing.T, programs string, names []string) {
	need(t, "bash")
	dir := cupboard(t)
	rc := "PS1='READY> '\nbind 'set enable-bracketed-paste off'\n"
	for _, name := range names {
		rc += "source <(" + filepath.Join(programs, name) + " --completion bash)\n"
	}
	write(t, dir, ".bashrc", rc+"publisher() { local IFS='|'; echo \"GOT:$*:\"; }\n")
	if got := output(t, dir, "bash", "--norc", "-c", "source .bashrc 2>/dev/null; complete -p "+strings.Join(names, " ")); strings.Count(got, "\n") != len(names) {
		t.Errorf("complete -p: %s", got)
	}
	typeAll(t, dir, "bash --noprofile --rcfile .bashrc -i")
}

// testZsh types into an interactive zsh, which sources the completions, or finds them in $fpath.
func testZsh(t *testing.T, programs string, names []string) {
	need(t, "zsh")
	for _, way := range []string{"source", "fpath"} {
		t.Run(way, func(t *testing.T) {
			dir := cupboard(t)
			rc := "PS1='READY> '\nautoload -Uz compinit\n"
			if way == "fpath" {
				rc += "fpath=($PWD/functions $fpath)\n"
			}
			rc += "compinit -u -D\n"
			for _, name := range names {
				if way == "fpath" {
					if err := os.MkdirAll(filepath.Join(dir, "functions"), 0o755); err != nil {
						t.Fatal(err)
					}
					write(t, dir, "functions/_"+name, output(t, dir, filepath.Join(programs, name), "--completion", "zsh"))
				} else {
					rc += "source <(" + filepath.Join(programs, name) + " --completion zsh)\n"
				}
			}
			write(t, dir, ".zshrc", rc+"publisher() { print -r -- \"GOT:${(j:|:)@}:\" }\n")
			typeAll(t, dir, "zsh -d -i")
		})
	}
}

// testFish asks fish what it would complete.
func testFish(t *testing.T, programs string, names []string) {
	need(t, "fish")
	dir := cupboard(t)
	for _, name := range names {
		output(t, dir, "fish", "--no-config", "-c", filepath.Join(programs, name)+" --completion fish | source")
	}
	for _, c := range completions {
		got := output(t, dir, "fish", "--no-config", "-c", filepath.Join(programs, "publisher")+" --completion fish | source; complete -C 'publisher "+c.typed+"'")
		want := c.want[strings.LastIndex(c.want, "|")+1:]
		first, _, _ := strings.Cut(got, "\t")
		if first = strings.TrimSpace(first); strings.ReplaceAll(first, `\ `, " ") != want || strings.Count(got, "\n") != 1 {
			t.Errorf("publisher %s: %q, want %q", c.typed, got, want)
		}
	}
}

func write(t *testing.T, dir, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// typeAll types each of completions, a tab and a newline into a shell in a terminal, in which publisher prints its
// arguments.
func typeAll(t *testing.T, dir, shell string) {
	t.Helper()
	need(t, "script")
	if runtime.GOOS != "linux" {
		t.Skip("script(1) takes other options here")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "script", "-qefc", shell, "/dev/null")
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "HOME="+dir, "ZDOTDIR="+dir, "TERM=xterm", "LC_ALL=C.UTF-8", "INPUTRC=/dev/null", "PS1=", "HISTFILE=")
	keyboard, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	var screen shown
	cmd.Stdout = &screen
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		io.WriteString(keyboard, "exit\n")
		keyboard.Close()
		cmd.Wait()
	}()
	for _, c := range completions {
		if !screen.await(ctx, "READY> ") {
			t.Fatalf("%s: no prompt:\n%q", shell, screen.all())
		}
		io.WriteString(keyboard, "publisher "+c.typed+"\t\n")
		if !screen.await(ctx, "GOT:") {
			t.Fatalf("%s: publisher %s: nothing came of it:\n%q", shell, c.typed, screen.all())
		}
		screen.await(ctx, ":")
		got := screen.before
		if !strings.HasPrefix(shell, "bash") { // zsh adds "=" to an option, and takes "/" from a folder at the end of the line
			got, c.want = strings.TrimSuffix(got, "="), strings.TrimSuffix(c.want, "/")
		}
		if got != c.want {
			t.Errorf("%s: publisher %s: %q, want %q", shell, c.typed, got, c.want)
		}
	}
	screen.await(ctx, "READY> ")
}

// shown is what is on a terminal.
type shown struct {
	mu     sync.Mutex
	text   string
	read   int
	before string // what stood before the text that was awaited last
}

func (s *shown) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.text += string(b)
	return len(b), nil
}

func (s *shown) all() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text
}

// await waits until text comes, behind what was awaited before.
func (s *shown) await(ctx context.Context, text string) bool {
	for ctx.Err() == nil {
		s.mu.Lock()
		i := strings.Index(s.text[s.read:], text)
		if i >= 0 {
			s.before = s.text[s.read : s.read+i]
			s.read += i + len(text)
		}
		s.mu.Unlock()
		if i >= 0 {
			return true
		}
		time.Sleep(5 * time.Millisecond)
	}
	return false
}
