package advisor

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode"
)

// place is where a program finds its server, and what it needs for TLS.
type place struct {
	endpoint string // a host name
	port     string
	dir      string
}

// launcher starts a program. The program calls ended when it has ended: success says whether it thinks that all went
// well, and how is half a sentence for people. stop ends it and returns when ended has returned; it may be called again.
type launcher func(at place, ended func(success bool, how string)) (stop func(), err error)

// processes is the launcher of a command line.
func processes(command []string) launcher {
	return func(at place, ended func(success bool, how string)) (func(), error) {
		replaced := strings.NewReplacer("{endpoint}", at.endpoint, "{port}", at.port, "{dir}", at.dir)
		var arguments []string
		for _, a := range command[1:] {
			arguments = append(arguments, replaced.Replace(a))
		}
		cmd := exec.Command(command[0], arguments...)
		said := &lastLine{}
		cmd.Stdout, cmd.Stderr = nil, said
		cmd.WaitDelay = time.Second // what it has started may hold the pipe open
		ownGroup(cmd)
		if err := cmd.Start(); err != nil {
			return nil, err
		}
		over := make(chan struct{})
		go func() {
			defer close(over)
			err := cmd.Wait()
			killGroup(cmd) // what it has left behind
			var exit *exec.ExitError
			how := "exit code 0"
			switch {
			case errors.As(err, &exit) && exit.ExitCode() >= 0:
				how = fmt.Sprintf("exit code %d", exit.ExitCode())
			case err != nil:
				how = err.Error()
			}
			if text := said.String(); text != "" && err != nil {
				how += ": " + text
			}
			ended(err == nil, how)
		}()
		return func() {
			select {
			case <-over: // its number may be another's by now
				return
			default:
			}
			terminateGroup(cmd)
			select {
			case <-over:
				return
			case <-time.After(time.Second):
			}
			killGroup(cmd)
			<-over
		}, nil
	}
}

// LookUp reports whether there is a program of this name to run, as [exec.LookPath] does.
func LookUp(name string) error {
	_, err := exec.LookPath(name)
	var lookup *exec.Error
	if errors.As(err, &lookup) {
		err = lookup.Err
	}
	var path *os.PathError
	if errors.As(err, &path) {
		err = path.Err
	}
	if err != nil {
		return fmt.Errorf("cannot run %s: %w", strconv.Quote(name), err)
	}
	return nil
}

// lastLine is a writer that remembers the last line with something in it.
type lastLine struct {
	mu         sync.Mutex
	line, last []byte
}

const lineLimit = 160 // bytes of a line that are remembered

func (l *lastLine) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for rest := p; len(rest) > 0; {
		text, after, whole := bytes.Cut(rest, []byte("\n"))
		l.line = append(l.line, text[:min(len(text), lineLimit-len(l.line))]...)
		if whole {
			if len(bytes.TrimSpace(l.line)) > 0 {
				l.last = bytes.Clone(l.line)
			}
			l.line = l.line[:0]
		}
		rest = after
	}
	return len(p), nil
}

func (l *lastLine) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	text := l.last
	if len(bytes.TrimSpace(l.line)) > 0 {
		text = l.line
	}
	return strings.TrimSpace(strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, string(text)))
}
