package peers

import (
	"bytes"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"testing"
	"time"
)

// findProgram returns the path of a program of Debian's packages mosquitto and mosquitto-clients. Without it the test is
// skipped, or fails where CI=true says that it has to be there.
func findProgram(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil { // not everybody has it in PATH
		path, err = exec.LookPath("/usr/sbin/" + name)
	}
	switch {
	case err == nil:
		return path
	case os.Getenv("CI") == "true":
		t.Fatalf("%s is not installed, and CI=true: apt-get install mosquitto mosquitto-clients", name)
	}
	t.Skipf("%s is not installed: apt-get install mosquitto mosquitto-clients", name)
	return ""
}

// process is a program that runs until stop or the end of the test.
type process struct {
	cmd   *exec.Cmd
	ended chan struct{} // closed when it has ended
	err   error         // of cmd.Wait, once ended
	once  sync.Once
}

// startProcess starts cmd.
func startProcess(t *testing.T, cmd *exec.Cmd) *process {
	t.Helper()
	dieTogether(cmd)
	cmd.WaitDelay = time.Second // a pipe that nobody closes does not hold us up
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p := &process{cmd: cmd, ended: make(chan struct{})}
	go func() {
		p.err = cmd.Wait()
		close(p.ended)
	}()
	t.Cleanup(func() { p.stop(syscall.SIGKILL) })
	return p
}

// stop ends the process by a signal, which it gets once, and by SIGKILL if that is not enough, and waits for its end.
func (p *process) stop(signal os.Signal) {
	p.once.Do(func() {
		p.cmd.Process.Signal(signal)
		select {
		case <-p.ended:
		case <-time.After(5 * time.Second):
			p.cmd.Process.Kill()
		}
	})
	<-p.ended
}

// wait waits until the process ends by itself, and returns its exit code.
func (p *process) wait(t *testing.T) int {
	t.Helper()
	select {
	case <-p.ended:
		return p.cmd.ProcessState.ExitCode()
	case <-time.After(patience):
		p.stop(syscall.SIGKILL)
		t.Fatalf("%s does not end", p.cmd)
		return -1
	}
}

// lines is an io.Writer that hands out what is written by lines. It is not safe for concurrent use.
type lines struct {
	line func(string)
	rest []byte // the beginning of a line
}

func (l *lines) Write(p []byte) (int, error) {
	l.rest = append(l.rest, p...)
	for {
		line, rest, found := bytes.Cut(l.rest, []byte("\n"))
		if !found {
			return len(p), nil
		}
		l.line(string(line))
		l.rest = rest
	}
}
