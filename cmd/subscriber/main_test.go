package main

import (
	"bufio"
	"bytes"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"iotwire/internal/testbroker/nearby"
	"iotwire/mqtt/packet"
)

// TestMain makes this test binary the program itself, when a test starts it so.
func TestMain(m *testing.M) {
	if os.Getenv("TEST_RUNS_MAIN") != "" {
		main()
	}
	os.Exit(m.Run())
}

// child is the program as a process.
type child struct {
	*exec.Cmd
	t      *testing.T
	stderr *bufio.Reader
	read   bytes.Buffer
}

func start(t *testing.T, stdout io.Writer, args ...string) *child {
	t.Helper()
	c := &child{Cmd: exec.Command(os.Args[0], args...), t: t}
	c.Env = append(os.Environ(), "TEST_RUNS_MAIN=1")
	c.Stdout = stdout
	pipe, err := c.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	c.stderr = bufio.NewReader(io.TeeReader(pipe, &c.read))
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	watchdog := time.AfterFunc(30*time.Second, func() { c.Process.Kill() })
	t.Cleanup(func() {
		watchdog.Stop()
		c.Process.Kill()
		c.Wait()
	})
	return c
}

// await waits for a line on standard error that starts with text.
func (c *child) await(text string) {
	c.t.Helper()
	for {
		line, err := c.stderr.ReadString('\n')
		if strings.HasPrefix(line, text) {
			return
		}
		if err != nil {
			c.t.Fatalf("it never said %q, but:\n%s", text, c.read.String())
		}
	}
}

func (c *child) signal(s os.Signal) {
	c.t.Helper()
	if err := c.Process.Signal(s); err != nil {
		c.t.Fatal(err)
	}
}

// exit waits for the end and returns the exit code: -1 if a signal killed it.
func (c *child) exit() int {
	io.Copy(io.Discard, c.stderr)
	c.Wait()
	return c.ProcessState.ExitCode()
}

func needSignals(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("a process cannot be sent a signal on Windows")
	}
}

func TestSignalsEndTheProcessWithDisconnect(t *testing.T) {
	needSignals(t)
	for _, s := range []os.Signal{os.Interrupt, syscall.SIGTERM} {
		_, endpoint, ends := nearby.Broker(t)
		c := start(t, nil, "-e", endpoint)
		c.await("subscribed to test/commands")
		c.signal(s)
		if code := c.exit(); code != 0 {
			t.Errorf("%v: exit code %d:\n%s", s, code, c.read.String())
		}
		if err := <-ends; err != nil {
			t.Errorf("%v: it left without DISCONNECT: %v", s, err)
		}
	}
}

func TestASecondSignalEndsTheProcessThoughNobodyReads(t *testing.T) {
	needSignals(t)
	b, endpoint, _ := nearby.Broker(t)
	r, w, err := os.Pipe() // nobody reads r
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	c := start(t, w, "-e", endpoint)
	w.Close()
	c.await("subscribed to test/commands")
	b.Publish("test/commands", bytes.Repeat([]byte("x"), 1<<20), packet.QoS1, false)
	if _, err := r.Read(make([]byte, 1)); err != nil { // it has begun to write
		t.Fatal(err)
	}
	c.signal(os.Interrupt)
	c.await("subscriber: stopping")
	c.signal(os.Interrupt)
	if code := c.exit(); code != 130 {
		t.Errorf("exit code %d:\n%s", code, c.read.String())
	}
}

func TestAClosedPipeEndsTheProcessWithDisconnect(t *testing.T) {
	needSignals(t)
	b, endpoint, ends := nearby.Broker(t)
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	c := start(t, w, "-e", endpoint)
	w.Close()
	c.await("subscribed to test/commands")
	b.Publish("test/commands", []byte("first"), packet.QoS1, false)
	line, err := bufio.NewReader(r).ReadString('\n')
	if err != nil || line != "first\n" {
		t.Errorf("%q, %v", line, err)
	}
	r.Close() // as head -1 does
	b.Publish("test/commands", []byte("second"), packet.QoS1, false)
	if code := c.exit(); code != 0 {
		t.Errorf("exit code %d:\n%s", code, c.read.String())
	}
	if err := <-ends; err != nil {
		t.Errorf("it left without DISCONNECT: %v", err)
	}
}

func TestAClosedPipeEndsTheProcessThoughNothingMoreComes(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("only on Linux the program sees that nobody reads before it writes")
	}
	b, endpoint, ends := nearby.Broker(t)
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	c := start(t, w, "-e", endpoint)
	w.Close()
	c.await("subscribed to test/commands")
	b.Publish("test/commands", []byte("first"), packet.QoS1, false)
	if line, err := bufio.NewReader(r).ReadString('\n'); err != nil || line != "first\n" {
		t.Errorf("%q, %v", line, err)
	}
	r.Close() // as head -1 does
	if code := c.exit(); code != 0 || !strings.Contains(c.read.String(), "\nreceived 1 message (5 bytes) in ") {
		t.Errorf("exit code %d:\n%s", code, c.read.String())
	}
	if err := <-ends; err != nil {
		t.Errorf("it left without DISCONNECT: %v", err)
	}
}

func TestAFullDiskEndsTheProcessAndTheServerKeepsTheMessage(t *testing.T) {
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Skipf("no disk here is full by itself: %v", err)
	}
	defer full.Close()
	b, endpoint, ends := nearby.Broker(t)
	c := start(t, full, "-e", endpoint, "--client-id", "me", "--persistent")
	c.await("subscribed to test/commands")
	b.Publish("test/commands", []byte("precious"), packet.QoS1, false)
	if code := c.exit(); code != 1 || !strings.HasSuffix(c.read.String(), "\nsubscriber: standard output: no space left on device\n") {
		t.Errorf("exit code %d:\n%s", code, c.read.String())
	}
	if err := <-ends; err != nil {
		t.Errorf("it left without DISCONNECT: %v", err)
	}
	if s := b.Stats(); s.Queued+s.Inflight != 1 {
		t.Errorf("%d messages wait for it, want the one that was not written", s.Queued+s.Inflight)
	}
}

func TestExitCodeOfTheProcess(t *testing.T) {
	c := start(t, nil, "--coun")
	if code := c.exit(); code != 2 || c.read.String() != "subscriber: no such option: --coun; did you mean --count? (subscriber --help lists the options)\n" {
		t.Errorf("exit code %d:\n%s", code, c.read.String())
	}
}
