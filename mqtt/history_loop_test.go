package mqtt

import (
	"context"
	"errors"
	"fmt"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"
)

// messageLoop is a Subscription of a history, and the program's loop over its messages.
type messageLoop struct {
	number  int
	filter  string
	pace    time.Duration // of its body; never: there is no loop
	sub     *Subscription
	closing time.Time     // when Close was called
	ended   chan struct{} // closed when the loop has ended
	err     error         // with which it did
	closed  chan struct{} // closed when Close has returned
}

// never is the pace of a program that takes no messages.
const never = 1000 * time.Hour

type heldMessage struct {
	Message
	number int // of the Subscription
}

// subscribe begins one.
func (w *world) subscribe(number int, filter string, q QoS, pace time.Duration) *messageLoop {
	l := &messageLoop{number: number, filter: filter, pace: pace, ended: make(chan struct{}), closed: make(chan struct{})}
	var err error
	if l.sub, err = w.client.Subscribe(filter, q); err != nil {
		panic(err)
	}
	w.judge.opened(number, filter)
	if pace == never {
		l.err = ErrUnsubscribed
		close(l.ended)
		return l
	}
	life := w.life
	go func() {
		defer close(l.ended)
		for m, err := range l.sub.Messages(life) {
			if err != nil {
				l.err = err
				return
			}
			w.handle(life, l, m)
		}
	}()
	return l
}

// late reports a loop that goes on although Close was called, and its body has had the time to end.
func (l *messageLoop) late() error {
	if l == nil || l.closing.IsZero() {
		return nil
	}
	select {
	case <-l.ended:
		if !errors.Is(l.err, ErrUnsubscribed) {
			return fmt.Errorf("the loop of Subscription %d ended with %v, want ErrUnsubscribed", l.number, l.err)
		}
	default:
		if time.Since(l.closing) > l.pace {
			return fmt.Errorf("the loop of Subscription %d goes on after Close", l.number)
		}
	}
	return nil
}

// openOrClose begins a second Subscription, or closes it: to the filter that the first one has, or to another.
func (w *world) openOrClose(rt *rapid.T) {
	if l := w.second; l != nil && l.closing.IsZero() {
		w.unsubscribe(l, rapid.SampledFrom([]time.Duration{time.Second, 20 * time.Second, never}).Draw(rt, "patience"))
		return
	}
	w.loops++
	w.second = w.subscribe(w.loops,
		rapid.SampledFrom([]string{"in", "other"}).Draw(rt, "filter"),
		QoS(rapid.IntRange(1, 2).Draw(rt, "qos")),
		rapid.SampledFrom([]time.Duration{0, 10 * time.Second, never}).Draw(rt, "pace"))
}

// unsubscribe closes the Subscription of a loop.
func (w *world) unsubscribe(l *messageLoop, patience time.Duration) {
	l.closing = time.Now()
	w.judge.closing(l.number)
	w.calls.Go(func() {
		defer close(l.closed)
		ctx, cancel := context.WithTimeout(background, patience)
		defer cancel()
		w.judge.closed(l.number, l.filter, l.sub.Close(ctx))
	})
	synctest.Wait()
}

// handle is the program's loop body. It keeps some messages back.
func (w *world) handle(life context.Context, l *messageLoop, m *Message) {
	number, payload := l.number, string(m.Payload)
	w.judge.delivered(number, payload, m.QoS)
	if time.Sleep(l.pace); life.Err() != nil {
		return // the process was killed in the body
	}
	if m.QoS > 0 && (len(payload)+number)%3 == 0 || payload == equal && number == firstSubscription && w.judge.odd() {
		m.Hold()
		w.mu.Lock()
		w.held = append(w.held, heldMessage{m.Clone(), number})
		w.mu.Unlock()
		return
	}
	w.judge.returned(number, payload)
}

// ackHeld acknowledges what was kept back, the latest first.
func (w *world) ackHeld() {
	w.mu.Lock()
	held := w.held
	w.held = nil
	w.mu.Unlock()
	for i := len(held) - 1; i >= 0; i-- {
		w.judge.returned(held[i].number, string(held[i].Payload))
		if err := held[i].Ack(); err != nil && !errors.Is(err, ErrSessionLost) {
			w.judge.fail("Ack: %v", err)
		}
	}
}

// judgeResumed tells the judge what became of the messages of an earlier process.
func (w *world) judgeResumed() {
	rejected := 0
	for _, r := range w.client.Resumed() {
		if r.Topic == "out" && r.QoS == QoS1 && errors.Is(r.Err(), ErrRejected) {
			rejected++
		}
	}
	w.judge.resumed(rejected)
}
