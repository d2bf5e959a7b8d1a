package aws

import (
	"fmt"
	"io"
	"sync"
	"time"

	"iotwire/internal/testbroker/policy"
)

// maxLines is the number of lines that wait to be written.
const maxLines = 10_000

// LogWriter writes log lines, one JSON text a line, on a goroutine of its own: its Log method never waits. While the
// writer is slower than the broker lines are lost, and one with eventType Log says how many.
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

// closeTime is how long Close waits for a writer that does not write.
const closeTime = 2 * time.Second

// Close returns once everything is written, or after 2 seconds. Further lines are not written.
func (l *LogWriter) Close() {
	l.mu.Lock()
	l.closed = true
	l.wake.Signal()
	l.mu.Unlock()
	timer := time.NewTimer(closeTime)
	defer timer.Stop()
	select {
	case <-l.done:
	case <-timer.C:
	}
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
			e := Entry{TraceID: newTrace(), AccountID: policy.HomeOf().Account, EventType: "Log", Protocol: "MQTT"}
			e = e.fail(reasonThrottled, fmt.Sprintf("%d lines were lost here: they came faster than they could be written", lost))
			text = append(append(text, e.String()...), '\n')
		}
		l.w.Write(text) // if nobody reads it any more, the broker goes on without
		if closed {
			return
		}
	}
}
