package cli

import (
	"bytes"
	"io"
	"os"
	"sync"
	"time"
)

const (
	// statusPause is the time between two states of a status line: a person cannot read faster.
	statusPause = 100 * time.Millisecond

	// statusPatience is how long the end of a status line waits for a terminal that takes nothing.
	statusPatience = 500 * time.Millisecond

	// mostAbove is how many bytes wait for such a terminal.
	mostAbove = 64 << 10
)

// statusLine is the last line on a terminal, written over and over as things change. Only a goroutine of its own writes
// to the terminal, the lines above it, too: one that takes nothing, since its user has pressed Ctrl-S, holds up nobody.
type statusLine struct {
	out     io.Writer
	columns int           // of the terminal, where it does not say how many it has now
	text    func() string // what it says now, in ASCII: a byte is a column
	shown   int           // columns of it that are on the terminal

	mu    sync.Mutex
	above []byte // lines to be printed above it

	wake, stop, done chan struct{}
}

// newStatusLine starts a status line that is shorter than this many columns.
func newStatusLine(out io.Writer, columns int, text func() string) *statusLine {
	s := &statusLine{out: out, columns: columns, text: text,
		wake: make(chan struct{}, 1), stop: make(chan struct{}), done: make(chan struct{})}
	go s.run()
	return s
}

// print prints lines above the status line. It does not block; what a terminal does not take for long is dropped.
func (s *statusLine) print(lines string) {
	s.mu.Lock()
	if len(s.above) < mostAbove {
		s.above = append(s.above, lines...)
	}
	s.mu.Unlock()
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// end takes the status line off the terminal, once all lines above it are there. It waits for that only so long.
func (s *statusLine) end() {
	close(s.stop)
	patience := time.NewTimer(statusPatience)
	defer patience.Stop()
	select {
	case <-s.done:
	case <-patience.C:
	}
}

func (s *statusLine) run() {
	defer close(s.done)
	tick := time.NewTicker(statusPause)
	defer tick.Stop()
	var line string
	for ended := false; !ended; {
		select {
		case <-tick.C:
		case <-s.wake:
		case <-s.stop:
			ended = true
		}
		s.mu.Lock()
		above := s.above
		s.above = nil
		s.mu.Unlock()
		before := line
		if line = s.text(); ended {
			line = ""
		}
		if line = line[:min(len(line), max(0, s.width()-1-len("^C")))]; line != before || above != nil {
			s.write(above, line)
		}
	}
}

// width is how many columns the terminal has now: its window may have changed.
func (s *statusLine) width() int {
	if f, ok := s.out.(*os.File); ok {
		if n := columns(f); n > 0 {
			return n
		}
	}
	return s.columns
}

// write writes lines over the old line, and a new one below them. Spaces blot out the old one, which every terminal
// understands, and the ^C that was typed behind it.
func (s *statusLine) write(above []byte, line string) {
	var b bytes.Buffer
	b.WriteByte('\r')
	if above != nil || line == "" {
		b.WriteString(repeat(" ", min(s.shown+len("^C"), s.width()-1)) + "\r")
		s.shown = len(line)
	}
	b.Write(above)
	b.WriteString(line)
	b.WriteString(repeat(" ", max(0, s.shown-len(line))))
	s.shown = len(line)
	s.out.Write(b.Bytes())
}
