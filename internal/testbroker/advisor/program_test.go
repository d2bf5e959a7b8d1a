package advisor

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// launched starts a shell with a script, and returns what ends it and what tells how it ended.
func launched(t *testing.T, script string, at place) (stop func(), ended <-chan exit) {
	t.Helper()
	if _, err := exec.LookPath("sh"); err != nil {
		t.Skip("there is no sh: ", err)
	}
	how := make(chan exit, 1)
	stop, err := processes([]string{"sh", "-c", script, "sh", "{endpoint}:{port}", "-C{dir}"})(at, func(success bool, text string) {
		how <- exit{success, text}
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(stop)
	return stop, how
}

func TestPlaceholdersAreReplaced(t *testing.T) {
	_, ended := launched(t, `echo "$1 $2" >&2; exit 7`, place{"localhost", "8883", "/a b"})
	if e := <-ended; e.success || e.how != "exit code 7: localhost:8883 -C/a b" {
		t.Errorf("%+v", e)
	}
}

func TestProgramHasNoStandardInput(t *testing.T) {
	_, ended := launched(t, `read x || echo "end of file" >&2; exit 1`, place{})
	if e := <-ended; e.how != "exit code 1: end of file" {
		t.Errorf("%+v", e)
	}
}

func TestSuccessSaysNothing(t *testing.T) {
	_, ended := launched(t, `echo all is well >&2`, place{})
	if e := <-ended; !e.success || e.how != "exit code 0" {
		t.Errorf("%+v", e)
	}
}

// A program that ignores SIGTERM is killed with all that it has started, and so is what outlives it.
func TestProgramIsAlwaysEnded(t *testing.T) {
	for name, script := range map[string]string{
		"ignores SIGTERM": `trap "" TERM; sleep 600 & echo $! > "$1"; wait; sleep 600`,
		"leaves children": `sleep 600 & echo $! > "$1"`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			file := filepath.Join(t.TempDir(), "pid")
			stop, ended := launched(t, strings.ReplaceAll(script, "$1", file), place{})
			var child int
			for range 500 {
				text, _ := os.ReadFile(file)
				if n, err := strconv.Atoi(strings.TrimSpace(string(text))); err == nil {
					child = n
					break
				}
				time.Sleep(10 * time.Millisecond)
			}
			if child == 0 {
				t.Fatal("the program did not start")
			}
			stop()
			<-ended
			stop() // once more does no harm
			for range 500 {
				if !lives(child) {
					return
				}
				time.Sleep(10 * time.Millisecond)
			}
			t.Errorf("process %d, which the program has started, still lives", child)
		})
	}
}

// lives reports whether there is a process that has not ended.
func lives(pid int) bool {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return false
	}
	_, state, _ := strings.Cut(string(text), ") ")
	return !strings.HasPrefix(state, "Z")
}

func TestOnlyTheLastLineIsRemembered(t *testing.T) {
	l := &lastLine{}
	fmt.Fprintf(l, "one\ntwo %s\n\n  \n", strings.Repeat("x", 1000))
	if got := l.String(); got != "two "+strings.Repeat("x", lineLimit-4) {
		t.Errorf("%q", got)
	}
	fmt.Fprint(l, "red\x1b[31m\tthree")
	if got := l.String(); got != "red [31m three" {
		t.Errorf("%q", got)
	}
}

func TestLookUpSaysWhatIsWrong(t *testing.T) {
	for name, want := range map[string]string{
		"no-such-program-anywhere": `cannot run "no-such-program-anywhere": executable file not found in $PATH`,
		"/nowhere/at/all":          `cannot run "/nowhere/at/all": no such file or directory`,
	} {
		if err := LookUp(name); err == nil || err.Error() != want {
			t.Errorf("%v, want %s", err, want)
		}
	}
}

// A run over sockets with a process that never connects ends at once when it is told to, with the process.
func TestRunEndsWithItsContext(t *testing.T) {
	if _, err := exec.LookPath("sh"); err != nil {
		t.Skip("there is no sh: ", err)
	}
	k, err := awsKeys()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	ctx, cancel := context.WithCancelCause(t.Context())
	stopped := errors.New("stopped")
	cases, err := Select([]string{"MQTT_Connect", "TLS_Connect"})
	if err != nil {
		t.Fatal(err)
	}
	waiting := make(chan string, 10)
	began := time.Now()
	go func() {
		for range 2 {
			<-waiting
		}
		cancel(stopped)
	}()
	inner := processes([]string{"sh", "-c", "sleep 600; true", "sh", "{port}"})
	report, err := run(ctx, cases, func(r Result) { t.Errorf("%s has a result", r.ID) }, setting{
		keys: k,
		dir:  dir,
		launch: func(at place, ended func(bool, string)) (func(), error) {
			for _, name := range []string{"private.key", "cert.pem", "AmazonRootCA1.pem"} {
				if _, err := os.Stat(filepath.Join(at.dir, name)); err != nil {
					t.Error(err)
				}
			}
			stop, err := inner(at, ended)
			waiting <- at.port
			return stop, err
		},
		listen: func() (net.Listener, error) { return net.Listen("tcp", "127.0.0.1:0") },
	}, &Report{})
	if err != stopped || len(report.Cases) != 0 {
		t.Errorf("%v with %d cases, want %v with none", err, len(report.Cases), stopped)
	}
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("it took %v to end", took)
	}
}
