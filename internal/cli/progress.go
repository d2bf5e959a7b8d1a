package cli

import (
	"cmp"
	"fmt"
	"strconv"
	"sync"
	"time"
)

// fewMessages is how many messages get a line each, on a terminal; more are a crowd, which is counted.
const fewMessages = 20

// rateWindow is how far the rate of a progress looks back, at least, and at most twice as far.
const rateWindow = 5 * time.Second

// progress is how far a publisher is, for its status line. One goroutine notes it, another one reads it.
type progress struct {
	total int    // messages; 0: not known
	verb  string // what is known of those that are done

	mu            sync.Mutex
	done, pending int
	took          time.Duration // the last one
	older, newer  mark
}

// mark is a moment, and how many messages were done by then.
type mark struct {
	at   time.Time
	done int
}

func newProgress(t *tally) *progress {
	now := mark{time.Now(), t.done}
	return &progress{total: t.total, verb: t.verb(), older: now, newer: now}
}

// note notes how many messages are done and how many on their way, and how long the last one that is done took; 0: as
// before.
func (p *progress) note(done, pending int, took time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.done, p.pending, p.took = done, pending, cmp.Or(took, p.took)
}

// text is the status line.
func (p *progress) text() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := mark{time.Now(), p.done}
	rate := 0.0
	if since := now.at.Sub(p.older.at); since > 0 {
		rate = float64(now.done-p.older.done) / since.Seconds()
	}
	if now.at.Sub(p.newer.at) >= rateWindow {
		p.older, p.newer = p.newer, now
	}
	line := strconv.Itoa(p.done)
	if p.total > 0 {
		line += fmt.Sprintf("/%d", p.total)
	}
	line += " " + p.verb + ", " + perTime(rate)
	if p.verb == "acknowledged" {
		line += fmt.Sprintf(", %d on the way, the last in %s", p.pending, span(p.took))
	}
	if left := float64(p.total-p.done) / rate; p.total > 0 && rate > 0 && left >= 1 && left < 1e8 {
		line += ", " + span(time.Duration(left)*time.Second) + " left"
	}
	return line
}

// perTime writes a number of events in a second for people.
func perTime(rate float64) string {
	switch {
	case rate >= 9.95:
		return fmt.Sprintf("%.0f/s", rate)
	case rate >= 0.95:
		return fmt.Sprintf("%.1f/s", rate)
	}
	return fmt.Sprintf("%.1f/min", rate*60)
}
