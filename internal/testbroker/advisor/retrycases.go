package advisor

import (
	"sync"
	"time"

	"iotwire/internal/testbroker"
	"iotwire/mqtt/packet"
)

const (
	silentConnects = 5 // of each round of connectJitter
	failures       = 6 // of the other cases; AWS's own number is 5 to 10, and 6 tell jitter from a rule

	noRetry = 75 * time.Second // after which a program is taken not to try again
)

// withholdFirst is a fault that lets nothing through to the program on its first n connections.
func withholdFirst(n int) fault {
	return func(l *line, e testbroker.Event) bool { return e.Kind == testbroker.Sent && l.number <= n }
}

// delays waits for n retries and returns the delays before them: from the end of a connection to the arrival of the
// next. The first sight of each connection on which CONNECT came is given to each, which may end it.
func (t *trial) delays(n int, each func(number int, l *line)) (found []time.Duration, ok bool) {
	var previous *line
	for number := 1; ; number++ {
		s, ok := t.await(noRetry, func(s sight) bool { return s.is(received, packet.CONNECT) })
		if !ok {
			return found, false
		}
		if previous != nil {
			found = append(found, max(s.line.came.Sub(previous.ended()), 0))
			t.bench.note(t, s.line, "came back after %.2f s", found[len(found)-1].Seconds())
		}
		previous = s.line
		if len(found) == n {
			return found, true
		}
		each(number, s.line)
		if previous.ended().IsZero() {
			if _, ok := t.await(noRetry, func(s sight) bool { return s.kind == gone && s.line == previous }); !ok {
				return found, false
			}
		}
	}
}

// connectJitter withholds CONNACK five times, and that twice: the second round is another run of the program, side by
// side with the first one.
func connectJitter(b *bench) outcome {
	var rounds [2][]time.Duration
	var complete [2]bool
	trials := []*trial{
		b.start(server{title: "first run", withhold: withholdFirst(silentConnects)}),
		b.start(server{title: "second run", withhold: withholdFirst(silentConnects)}),
	}
	var running sync.WaitGroup
	for i, t := range trials {
		running.Go(func() { rounds[i], complete[i] = t.delays(silentConnects, func(int, *line) {}) })
	}
	running.Wait()
	for i, t := range trials {
		if !complete[i] {
			return t.tooFewDelays(rounds[i], silentConnects, "no CONNACK")
		}
		if _, ok := t.await(prompt, func(s sight) bool { return s.is(delivered, packet.CONNACK) }); !ok {
			return t.missing("it does not wait for the CONNACK of its connection %d", silentConnects+1)
		}
	}
	p := classify(rounds[0], rounds[1])
	return outcome{p.grade(), p.String() + ": " + listed(rounds[0]) + ", and " + listed(rounds[1])}
}

func connectExponential(b *bench) outcome {
	t := b.start(server{withhold: withholdFirst(failures)})
	delays, ok := t.delays(failures, func(int, *line) {})
	if !ok {
		return t.tooFewDelays(delays, failures, "no CONNACK")
	}
	p := classify(delays)
	o := outcome{p.grade(), p.String() + ": " + listed(delays)}
	if p == exponential || p == regular { // here jitter is not asked for
		o.verdict = Pass
	}
	return o
}

// reconnectDisconnect hangs up on a program that has been served for a while, and then on each CONNECT.
func reconnectDisconnect(b *bench) outcome {
	t := b.start(server{withhold: func(l *line, e testbroker.Event) bool {
		return e.Kind == testbroker.Sent && l.number > 1 && l.number <= failures
	}})
	if o := t.served(2 * time.Second); o != nil {
		return *o
	}
	t.next = 0
	return t.gradeDelays("the server hangs up", func(_ int, l *line) { l.drop() })
}

// served waits until the program has been served for a while. It returns an outcome if it ends before.
func (t *trial) served(d time.Duration) *outcome {
	if _, _, o := t.accepted(); o != nil {
		return o
	}
	if _, over := t.await(d, func(s sight) bool { return s.kind == gone || s.kind == exited }); over {
		o := t.finished("it was connected for a moment only")
		return &o
	}
	return nil
}

// reconnectUnstable serves each connection for a moment only.
func reconnectUnstable(b *bench) outcome {
	t := b.start(server{})
	if o := t.served(time.Second); o != nil {
		return *o
	}
	t.next = 0
	return t.gradeDelays("the connection is lost again and again", func(number int, l *line) {
		if number > 1 {
			t.await(prompt, func(s sight) bool { return s.line == l && (s.is(delivered, packet.CONNACK) || s.kind == gone) })
			b.pause(500 * time.Millisecond)
		}
		l.drop()
	})
}

// gradeDelays is the outcome of a case about reconnecting.
func (t *trial) gradeDelays(when string, each func(number int, l *line)) outcome {
	delays, ok := t.delays(failures, each)
	if !ok {
		return t.tooFewDelays(delays, failures, when)
	}
	p := classify(delays)
	return outcome{p.grade(), p.String() + ": " + listed(delays)}
}

// tooFewDelays is the outcome for a program that did not retry often enough. If only the time was too short, what there
// is is judged.
func (t *trial) tooFewDelays(delays []time.Duration, want int, when string) outcome {
	e := t.exitOf()
	if e == nil && len(delays) >= 3 {
		if p := classify(delays); p.grade() == Fail {
			return fail("%s: %s", p, listed(delays))
		}
		return warn("only %d of %d retries within %v: %s", len(delays), want, caseLimit, listed(delays))
	}
	switch {
	case e == nil && len(delays) == 0 && t.seen(func(s sight) bool { return s.kind == gone }) == 0:
		return t.missingWithin(noRetry, "%s: it does not give up waiting", when)
	case len(delays) == 0:
		return t.missingWithin(noRetry, "%s: it does not come back", when)
	}
	return t.missing("%s: it comes back %d times, and the case needs %d", when, len(delays), want)
}
