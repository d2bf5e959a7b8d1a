package advisor

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"iotwire/internal/testbroker"
	"iotwire/mqtt/packet"
)

const (
	longRetry  = 15 * time.Second // to send again what was not answered, without a warning
	away       = 10 * time.Second // LONG_SERVER_DISCONNECT, which takes AWS 30 to 120 minutes
	watchLimit = 20 * time.Second // of KEEP_ALIVE
)

// longDuration is a device's life in one run: AWS's operations in an order in which the delays between attempts to
// connect, which grow, come last. The worst of them counts.
func longDuration(b *bench) outcome {
	withhold := &firstAnswers{}
	t := b.start(server{withhold: withhold.decide})
	c, l, o := t.accepted()
	if o != nil {
		return *o
	}
	var steps []step
	add := func(name string, o outcome) bool {
		steps = append(steps, step{name, o})
		b.note(t, nil, "%s: %s: %s", name, o.verdict, o.reason)
		return o.verdict != Fail
	}
	add("CONNECT", pass("accepted"))
	for _, s := range []struct {
		name string
		kind packet.Type
	}{{"SUBSCRIBE", packet.SUBSCRIBE}, {"PUBLISH", packet.PUBLISH}} {
		if !add(s.name, t.firstAnswerLost(l, s.kind)) {
			return worst(steps)
		}
	}
	sub, subscribes := t.subscriptionOf(l)
	if subscribes {
		if !add("PUBACK_QOS_1", t.deliver(sub, 100, "a message of 100 bytes")) ||
			!add("RECEIVE_LARGE_PAYLOAD", t.deliver(sub, largePayload, fmt.Sprintf("%d bytes", largePayload))) {
			return worst(steps)
		}
	}
	if !add("KEEP_ALIVE", t.staysAlive(l, time.Duration(c.KeepAlive)*time.Second)) {
		return worst(steps)
	}

	var delays []time.Duration
	for _, name := range []string{"RECONNECT", "INTERMITTENT_CONNECTIVITY", "INTERMITTENT_CONNECTIVITY"} {
		l.drop()
		next, o := t.returns(l)
		if o != nil {
			add(name, *o)
			return worst(steps)
		}
		delays = append(delays, next.came.Sub(l.ended()))
		l = next
		add(name, pass("back after %.1f s", delays[len(delays)-1].Seconds()))
		b.pause(700 * time.Millisecond)
	}
	if subscribes && sub.qos >= packet.QoS1 && !c.CleanSession {
		sub.line = l
		o := t.resumes(sub)
		if o == nil {
			p := pass("resumed")
			o = &p
		}
		if !add("PERSISTENT_SESSION", *o) {
			return worst(steps)
		}
		last := t.last()
		delays = append(delays, last.came.Sub(l.ended()))
		l = last
	}
	add("LONG_SERVER_DISCONNECT", t.survives(l, &delays))
	if len(delays) >= 4 {
		p := classify(delays)
		add("RECONNECT_BACK_OFF", outcome{p.grade(), p.String() + ": " + listed(delays)})
	}
	return worst(steps)
}

// step is an operation of longDuration and what came of it.
type step struct {
	name string
	outcome
}

// worst is the outcome of all steps: that of the first of the worst verdict.
func worst(steps []step) outcome {
	rank := []Verdict{NotApplicable, Pass, Warn, Fail}
	bad := slices.MaxFunc(steps, func(a, b step) int {
		return cmp.Compare(slices.Index(rank, a.verdict), slices.Index(rank, b.verdict))
	})
	if bad.verdict == Fail || bad.verdict == Warn {
		return outcome{bad.verdict, bad.name + ": " + bad.reason}
	}
	var names []string
	for _, s := range steps {
		if s.verdict == Pass && !slices.Contains(names, s.name) {
			names = append(names, s.name)
		}
	}
	return pass("%s", strings.Join(names, ", "))
}

// firstAnswers is a fault that withholds the first PUBACK and the first SUBACK.
type firstAnswers struct{ puback, suback atomic.Bool }

func (f *firstAnswers) decide(_ *line, e testbroker.Event) bool {
	if e.Kind != testbroker.Sent {
		return false
	}
	switch e.Header.Type {
	case packet.PUBACK:
		return !f.puback.Swap(true)
	case packet.SUBACK:
		return !f.suback.Swap(true)
	}
	return false
}

// firstAnswerLost is about a PUBLISH of QoS 1 or a SUBSCRIBE whose first answer was withheld. AWS warns of a program that
// does not send it again in time.
func (t *trial) firstAnswerLost(l *line, kind packet.Type) outcome {
	t.next = 0
	first, ok := t.await(idle-time.Since(l.came), func(s sight) bool {
		return s.is(received, kind) && (kind == packet.SUBSCRIBE || s.publish().QoS == packet.QoS1)
	})
	if !ok {
		return t.noWork(kind.String())
	}
	o := t.retried(first, longRetry)
	if o.verdict == Fail && t.exitOf() == nil {
		o.verdict = Warn
	}
	return o
}

// subscriptionOf is the last subscription of a connection with the highest QoS.
func (t *trial) subscriptionOf(l *line) (sub subscription, found bool) {
	t.seen(func(s sight) bool {
		if s.line == l && s.is(received, packet.SUBSCRIBE) {
			if p, err := packet.ParseSubscribe(s.body); err == nil {
				for filter, qos := range p.Requests.All() {
					if !found || qos >= sub.qos {
						sub, found = subscription{l, string(filter), qos}, true
					}
				}
			}
		}
		return false
	})
	return sub, found
}

// staysAlive watches a connection for one and a half times the keep alive time, on which the broker insists.
func (t *trial) staysAlive(l *line, keepAlive time.Duration) outcome {
	watch := min(keepAlive*3/2+time.Second, watchLimit)
	if keepAlive == 0 {
		watch = 3 * time.Second
	}
	began := time.Now()
	_, lost := t.await(watch, func(s sight) bool { return s.kind == exited || s.kind == gone && s.line == l })
	if end := l.ended(); lost || !end.IsZero() {
		if end.IsZero() {
			end = began
		}
		return t.missing("the connection was over after %.1f s, with a keep alive time of %v", end.Sub(l.came).Seconds(), keepAlive)
	}
	return pass("connected for %v, with a keep alive time of %v", watch, keepAlive)
}

// returns waits until the program is connected again.
func (t *trial) returns(before *line) (*line, *outcome) {
	s, ok := t.await(comeback, func(s sight) bool { return s.is(delivered, packet.CONNACK) && s.line.number > before.number })
	if !ok {
		o := t.missingWithin(comeback, "it does not connect again")
		return nil, &o
	}
	return s.line, nil
}

// last is the last connection that came.
func (t *trial) last() *line {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.lines[len(t.lines)-1]
}

// survives ends a connection and answers no CONNECT for a while, and at least one. It adds the delays before the attempts.
func (t *trial) survives(l *line, delays *[]time.Duration) outcome {
	t.lose(func(_ *line, e testbroker.Event) bool { return e.Kind == testbroker.Sent })
	l.drop()
	back := time.Now().Add(away)
	for previous := l; ; {
		s, ok := t.await(2*comeback, func(s sight) bool { return s.is(received, packet.CONNECT) && s.line.number > previous.number })
		if !ok {
			return t.missing("it gives up while the server is away")
		}
		*delays = append(*delays, s.line.came.Sub(previous.ended()))
		if previous != l && s.at.After(back) {
			break
		}
		previous = s.line
		previous.drop()
		t.lose(func(_ *line, e testbroker.Event) bool { return e.Kind == testbroker.Sent && time.Now().Before(back) })
	}
	if _, ok := t.await(prompt, func(s sight) bool { return s.is(delivered, packet.CONNACK) }); !ok {
		return t.missing("it does not wait for CONNACK after the server was away")
	}
	return pass("it was back %.0f s after the server had gone", time.Since(l.ended()).Seconds())
}
