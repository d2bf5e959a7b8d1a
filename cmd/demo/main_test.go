package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"iotwire/internal/cli"
)

func getenv(string) string { return "" }

func TestDemoShowsThreeMessagesAndLeavesNothingBehind(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	var stdout, stderr bytes.Buffer
	code := demo(&cli.Process{Getenv: getenv, Stdout: &stdout, Stderr: &stderr})
	shown := stdout.String()
	if code != cli.ExitDone || stderr.Len() > 0 {
		t.Fatalf("exit code %d, stderr %q, stdout:\n%s", code, &stderr, shown)
	}
	if n := strings.Count(shown, "         >    \"message\": \"hello\"\n"); n != 3 {
		t.Errorf("%d messages arrived:\n%s", n, shown)
	}
	for _, want := range []string{
		"broker      listening on localhost:",
		"subscriber  connected in ", "(TLS 1.3)\n",
		"subscriber  subscribed to test/commands, QoS 1\n",
		"publisher   3/3 test/commands, 19 bytes, QoS 1: acknowledged in ",
		"publisher   3 of 3 acknowledged in ",
		"subscriber  received 3 messages (57 bytes) in ",
		"\n  go run ./cmd/subscriber -e localhost:8883 -C ",
	} {
		if !strings.Contains(shown, want) {
			t.Errorf("it did not show %q:\n%s", want, shown)
		}
	}
	if left, _ := os.ReadDir(os.TempDir()); len(left) > 0 {
		t.Errorf("it left %v", left)
	}
	if strings.ContainsRune(shown, 0x1b) {
		t.Error("colour where there is no terminal")
	}
}

func TestDemoColoursMessagesOnATerminalUnlessAskedNotTo(t *testing.T) {
	for value, want := range map[string]bool{"": true, "1": false} {
		var stdout bytes.Buffer
		p := &cli.Process{Getenv: func(name string) string { return map[string]string{"NO_COLOR": value, "TERM": "xterm"}[name] }}
		s := &stage{out: &stdout, color: p.Colored(true, "")}
		io.WriteString(s.message(), "a\nb\n")
		if got := strings.Contains(stdout.String(), "\x1b[32m         >  b\x1b[0m\n"); got != want {
			t.Errorf("NO_COLOR=%s: %q", value, &stdout)
		}
	}
}

func TestDemoEndsWithASignal(t *testing.T) {
	signals := make(chan os.Signal, 1)
	signals <- os.Interrupt
	var stdout, stderr bytes.Buffer
	if code := demo(&cli.Process{Getenv: getenv, Stdout: &stdout, Stderr: &stderr, Signals: signals}); code != cli.ExitInterrupted {
		t.Errorf("exit code %d:\n%s%s", code, &stdout, &stderr)
	}
}

func TestDemoTakesNoArguments(t *testing.T) {
	var stdout, stderr bytes.Buffer
	if code := demo(&cli.Process{Args: []string{"x"}, Getenv: getenv, Stdout: &stdout, Stderr: &stderr}); code != cli.ExitUsage || stdout.Len() > 0 {
		t.Errorf("exit code %d: %s%s", code, &stdout, &stderr)
	}
}

// TestTheCommandsByHandWork runs what the demonstration prints, but on a free port and with programs that were built.
func TestTheCommandsByHandWork(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("a process cannot be sent a signal on Windows")
	}
	if _, err := exec.LookPath("go"); err != nil {
		t.Skip("the command go is not in the path")
	}
	t.Setenv("TMPDIR", t.TempDir())
	programs := t.TempDir()
	build := exec.Command("go", "build", "-o", programs, "./cmd/testbroker", "./cmd/subscriber", "./cmd/publisher")
	build.Dir = filepath.Join("..", "..")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := fmt.Sprint(l.Addr().(*net.TCPAddr).Port)
	l.Close()

	commands := byHand()
	start := func(number int, more string) (*exec.Cmd, *bufio.Reader) {
		t.Helper()
		line := strings.NewReplacer("8883", port, "go run ./cmd", programs).Replace(commands[number])
		c := exec.Command("sh", "-c", "exec "+line+more)
		stdout, err := c.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		c.Stderr = c.Stdout // so that one reader sees all
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		watchdog := time.AfterFunc(30*time.Second, func() { c.Process.Kill() })
		t.Cleanup(func() {
			watchdog.Stop()
			c.Process.Kill()
			c.Wait()
		})
		return c, bufio.NewReader(stdout)
	}
	await := func(r *bufio.Reader, text string) {
		t.Helper()
		var all string
		for {
			line, err := r.ReadString('\n')
			if all += line; strings.Contains(line, text) {
				return
			}
			if err != nil {
				t.Fatalf("it never said %q, but:\n%s", text, all)
			}
		}
	}
	broker, said := start(0, "")
	await(said, "listening on")
	subscriber, said := start(1, "")
	await(said, "subscribed to test/commands")
	publisher, reports := start(2, " -i 0.01")
	await(reports, "3 of 3 acknowledged in ")
	if err := publisher.Wait(); err != nil {
		t.Errorf("publisher: %v", err)
	}
	for range 3 {
		await(said, `"message": "hello"`)
	}
	subscriber.Process.Signal(syscall.SIGTERM)
	await(said, "received 3 messages")
	if err := subscriber.Wait(); err != nil {
		t.Errorf("subscriber: %v", err)
	}
	broker.Process.Signal(syscall.SIGTERM)
	if err := broker.Wait(); err != nil {
		t.Errorf("testbroker: %v", err)
	}
}
