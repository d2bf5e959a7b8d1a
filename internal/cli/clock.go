package cli

import (
	"context"
	"os"
	"time"

	"iotwire/iot"
)

// awaitClock waits, if that is asked for, until the clock is later than the time when this program was built. A signal ends
// it with an error, which diagnose knows.
func (o *way) awaitClock(p *Process, log *console) error {
	now := p.now
	if now == nil {
		now = time.Now
	}
	floor := iot.BuildTime()
	if !o.waitForClock || !now().Before(floor) {
		return nil
	}
	const layout = "2006-01-02 15:04:05"
	log.say("waiting for the clock: it says %s, and this program is of %s", now().UTC().Format(layout), floor.UTC().Format(layout))
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	waited := make(chan error, 1)
	began := time.Now()
	go func() { waited <- iot.WaitForClock(ctx, floor, now) }()
	select {
	case <-waited:
		log.say("the clock was set after %s: it says %s", span(time.Since(began)), now().UTC().Format(layout))
		return nil
	case s := <-p.Signals:
		return &interruption{s}
	}
}

// interruption is the error of a signal that came before there was anything to end.
type interruption struct{ signal os.Signal }

func (i *interruption) Error() string { return "interrupted while waiting for the clock" }
