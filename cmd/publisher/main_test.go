package main

import (
	"bytes"
	"context"
	"io"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"iotwire/internal/testbroker/nearby"
)

// TestMain makes this test binary the program itself, when a test starts it so.
func TestMain(m *testing.M) {
	if os.Getenv("TEST_RUNS_MAIN") != "" {
		main()
	}
	os.Exit(m.Run())
}

// command is the program as a process that does not outlive the test, nor 30 seconds.
func command(t *testing.T, args ...string) *exec.Cmd {
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	t.Cleanup(cancel)
	c := exec.CommandContext(ctx, os.Args[0], args...)
	c.Env = append(os.Environ(), "TEST_RUNS_MAIN=1")
	return c
}

func TestLinesOfStandardInputBecomeMessages(t *testing.T) {
	_, endpoint, ends := nearby.Broker(t)
	c := command(t, "-e", endpoint, "-l", "--json")
	c.Stdin = strings.NewReader("one\n\nthree")
	var stderr bytes.Buffer
	c.Stderr = &stderr
	stdout, err := c.Output()
	if err != nil || bytes.Count(stdout, []byte("\n")) != 3 || !strings.HasPrefix(stderr.String(), "3 acknowledged in ") {
		t.Errorf("%v\nstdout:\n%s\nstderr:\n%s", err, stdout, &stderr)
	}
	if err := <-ends; err != nil {
		t.Errorf("it left without DISCONNECT: %v", err)
	}
}

func TestSignalsEndTheProcessWithDisconnect(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("a process cannot be sent a signal on Windows")
	}
	for s, want := range map[os.Signal]int{os.Interrupt: 130, syscall.SIGTERM: 143} {
		_, endpoint, ends := nearby.Broker(t)
		c := command(t, "-e", endpoint, "-n", "0", "-i", "1h", "-m", "x", "--json")
		stdout, err := c.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		stdout.Read(make([]byte, 1)) // the first message was acknowledged
		c.Process.Signal(s)
		io.Copy(io.Discard, stdout)
		c.Wait()
		if code := c.ProcessState.ExitCode(); code != want {
			t.Errorf("%v: exit code %d, want %d", s, code, want)
		}
		if err := <-ends; err != nil {
			t.Errorf("%v: it left without DISCONNECT: %v", s, err)
		}
	}
}

func TestASecondSignalLeavesAtOnce(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("a process cannot be sent a signal on Windows")
	}
	// A server that accepts connections and says nothing.
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c := command(t, "-e", "mqtt://"+l.Addr().String(), "-m", "x", "--timeout", "1h")
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	conn, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	c.Process.Signal(os.Interrupt)
	c.Process.Signal(os.Interrupt)
	c.Wait()
	if code := c.ProcessState.ExitCode(); code != 130 {
		t.Errorf("exit code %d, want 130", code)
	}
}

func TestAClosedPipeEndsTheProcess(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("SIGPIPE is not known to Windows")
	}
	_, endpoint, ends := nearby.Broker(t)
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	r.Close()
	c := command(t, "-e", endpoint, "-n", "0", "-m", "x", "--json")
	c.Stdout = w
	err = c.Run()
	w.Close()
	if err != nil {
		t.Errorf("it ended with %v", err)
	}
	if err := <-ends; err != nil {
		t.Errorf("it left without DISCONNECT: %v", err)
	}
}

func TestAPipeThatIsClosedBetweenMessagesEndsTheProcess(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("only Linux tells of it before the next write")
	}
	_, endpoint, ends := nearby.Broker(t)
	c := command(t, "-e", endpoint, "-n", "0", "-i", "1h", "-m", "x", "--json")
	var stderr bytes.Buffer
	c.Stderr = &stderr
	stdout, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	stdout.Read(make([]byte, 1)) // the first message was acknowledged
	stdout.Close()
	if err := c.Wait(); err != nil || !strings.HasPrefix(stderr.String(), "1 acknowledged in ") {
		t.Errorf("it ended with %v, and said %q", err, &stderr)
	}
	if err := <-ends; err != nil {
		t.Errorf("it left without DISCONNECT: %v", err)
	}
}

func TestExitCodeOfTheProcess(t *testing.T) {
	c := command(t, "--help")
	out, err := c.Output()
	if err != nil || !bytes.HasPrefix(out, []byte("publisher - ")) {
		t.Errorf("--help: %v\n%s", err, out)
	}
	c = command(t, "-e", "mqtt://localhost", "-nfive", "-m", "x")
	var stderr bytes.Buffer
	c.Stderr = &stderr
	c.Run()
	if code := c.ProcessState.ExitCode(); code != 2 || stderr.String() != `publisher: -n/--count: "five" is not a whole number (publisher --help lists the options)`+"\n" {
		t.Errorf("exit code %d:\n%s", code, &stderr)
	}
}
