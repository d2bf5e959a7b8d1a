package aws

import (
	"fmt"
	"io"
	"sync"
)

// maxLines is the number of lines that wait to be written.
const maxLines = 10_000

// LogWriter writes log lines, one JSON text a line, on a goroutine of its own: its Log method never waits. While the
// writer is slower than the broker lines are lost, and a line that is no JSON says how many.
type LogWriter struct {
	w    io.Writer
	done chan struct{}

	mu     sync.Mutex
	wake   *sync.Cond
	lines  []Entry
	lost   int
	closed bool
}

// NewLogWriter returns a LogWriter to w. It needs Close.
func NewLogWriter(w io.Writer) *LogWriter {
	l := &LogWriter{w: w, done: make(chan struct{})}
	l.wake = sync.NewCond(&l.mu)
	go l.run()
	return l
}

// Log is for Config.Log.
func (l *LogWriter) Log(e Entry) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.lines) >= maxLines {
		l.lost++
		return
	}
	l.lines = append(l.lines, e)
	l.wake.Signal()
}

// Close returns once everything is written. Further lines are not.
func (l *LogWriter) Close() {
	l.mu.Lock()
	l.closed = true
	l.wake.Signal()
	l.mu.Unlock()
	<-l.done
}

func (l *LogWriter) run() {
	defer close(l.done)
	for {
		l.mu.Lock()
		for len(l.lines) == 0 && !l.closed {
			l.wake.Wait()
		}
		lines, lost, closed := l.lines, l.lost, l.closed
		l.lines, l.lost = nil, 0
		l.mu.Unlock()
		var text []byte
		for _, e := range lines {
			text = append(append(text, e.String()...), '\n')
		}
		if lost > 0 {
			text = fmt.Appendf(text, "# %d lines were lost here: they came faster than they could be written\n", lost)
		}
		l.w.Write(text) // if nobody reads it any more, the broker goes on without
		if closed {
			return
		}
	}
}
