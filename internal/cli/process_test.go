package cli

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"iotwire/mqtt/packet"
)

func TestWhatIsATerminal(t *testing.T) {
	null, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	file, err := os.Create(filepath.Join(t.TempDir(), "file"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if isTerminal(null) || isTerminal(file) {
		t.Errorf("the null device is one: %t, a file is one: %t", isTerminal(null), isTerminal(file))
	}
	terminal, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Skip("there is no terminal here to look at:", err)
	}
	defer terminal.Close()
	if !isTerminal(terminal) {
		t.Error("a terminal is none")
	}
}

func TestVersionSaysWhatItWasBuiltWith(t *testing.T) {
	if fields := strings.Fields(Version()); len(fields) != 3 || !strings.HasPrefix(fields[1], "go") || !strings.Contains(fields[2], "/") {
		t.Errorf("%q", Version())
	}
}

// The width is what $COLUMNS says, else the terminal's within 80 to 100, else 100.
func TestWidth(t *testing.T) {
	for _, test := range []struct {
		variable string
		columns  int
		terminal bool
		want     int
	}{
		{"", 0, false, 100}, {"", 200, false, 100}, {"", 0, true, 80}, {"", 40, true, 80}, {"", 93, true, 93}, {"", 200, true, 100},
		{"120", 200, true, 120}, {"120", 0, false, 120}, {"wide", 0, true, 80}, {"0", 0, false, 100},
	} {
		p := &Process{Columns: test.columns, Getenv: func(string) string { return test.variable }}
		if got := p.Width(test.terminal); got != test.want {
			t.Errorf("%+v: %d columns", test, got)
		}
	}
	if f, err := os.Open(os.DevNull); err != nil || columns(f) != 0 {
		t.Errorf("the null device is %d columns wide, %v", columns(f), err)
	}
}

// parting is a connection on which DISCONNECT takes its time to leave.
type parting struct{ net.Conn }

func (c parting) Write(b []byte) (int, error) {
	if b[0] == 0xe0 {
		time.Sleep(100 * time.Millisecond)
	}
	return c.Conn.Write(b)
}

// Ctrl-C goes to all programs of a pipe. The one that reads may be gone before the signal comes to the one that writes,
// for which it is the first one yet.
func TestFirstSignalAfterTheReaderOfAPipeHasGoneLeavesTimeForDISCONNECT(t *testing.T) {
	for _, program := range []struct {
		main func(*Process) ExitCode
		args []string
	}{
		{Publisher, []string{"-n", "0", "-m", "x", "--json"}},
		{Subscriber, nil},
	} {
		synctest.Test(t, func(t *testing.T) {
			b, got := observed(t)
			r := start(t, program.main, func(ctx context.Context, _, _ string) (net.Conn, error) {
				conn, err := b.Dial(ctx)
				return parting{conn}, err
			}, func(p *Process) { p.Stdout = failing{syscall.EPIPE} }, program.args...)
			synctest.Wait()
			b.Publish("test/commands", []byte("x"), packet.QoS1, false)
			time.Sleep(50 * time.Millisecond)
			r.signals <- os.Interrupt
			r.ended(ExitDone)
			if n := got.count(packet.DISCONNECT); n != 1 {
				t.Errorf("%d DISCONNECTs, %s", n, r.stderr.String())
			}
		})
	}
}
