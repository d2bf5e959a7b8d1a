package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"iotwire/iot"
	"iotwire/mqtt"
)

// drainTime is how long a publisher waits, after a signal, for the acknowledgements of what it has sent.
const drainTime = 2 * time.Second

// publishing is a run of the publisher. One goroutine, that of run, decides everything; others wait for one thing each
// and report it.
type publishing struct {
	o       *publisherOptions
	process *Process
	log     *console
	watch   *watch
	server  *iot.Config
	client  *mqtt.Client
	ready   atomic.Bool // there was a connection to send on

	accepted chan struct{} // the client took a message
	results  chan result   // a message is done

	gone chan struct{} // closed when run returns: nobody waits for these any more

	tally     tally
	progress  *progress     // for the status line; nil: there is none
	started   int           // messages given to the client
	pending   int           // of these: not done
	next      []byte        // the payload to send next, if waiting
	waiting   bool          // there is a next
	busy      bool          // the client has not yet taken the last one
	paused    bool          // the interval is not over
	ended     bool          // nothing more is to be sent
	signalled bool          // and that because of a signal
	left      ExitCode      // and now, because of a second one
	status    bool          // many messages are shown as a status line
	closed    bool          // standard output is: whoever read it has seen enough
	hopeless  bool          // the server hangs up on what is to be sent
	undone    error         // why a message was not delivered, the last time
	failed    *failure      // why it ended; nil: all was sent
	pause     *time.Timer   // fires at the end of the interval
	silence   *time.Timer   // fires when nothing was heard for too long while something is pending
	limit     time.Duration // how long is too long
}

// result is what became of a message.
type result struct {
	n       int
	resumed bool // an earlier run accepted it; it has no n
	topic   string
	qos     mqtt.QoS
	size    int
	took    time.Duration
	err     error
}

// newPublishing returns a run that needs a client, and what goes with it.
func newPublishing(o *publisherOptions, p *Process, log *console, messages source) *publishing {
	return &publishing{
		o:        o,
		process:  p,
		log:      log,
		accepted: make(chan struct{}),
		results:  make(chan result),
		tally:    tally{total: messages.total, qos: o.qos},
		status:   p.TerminalError && p.Getenv("TERM") != "dumb" && !log.quiet && !o.traced(),
	}
}

func (r *publishing) run(messages source) ExitCode {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	r.gone = make(chan struct{})
	defer close(r.gone)
	over := make(chan error, 1)
	go func() { over <- r.client.Run(ctx) }()
	if r.o.store == "" { // without a store nothing can be accepted before there is a connection
		if code, ok := r.connect(ctx, cancel, over); !ok {
			return code
		}
	}

	r.limit = r.o.timeout
	r.pause, r.silence = time.NewTimer(time.Hour), time.NewTimer(time.Hour)
	r.pause.Stop()
	r.silence.Stop()
	defer r.pause.Stop()
	defer r.silence.Stop()
	began := time.Now()
	r.resume()
	stream := items(ctx, messages)
	defer r.log.endStatus()
	var unread chan struct{} // closed when nobody reads the reports any more
	if r.o.json {
		unread = make(chan struct{})
		go func() {
			if awaitNoReader(r.process.Stdout) {
				close(unread)
			}
		}()
	}
	for (!r.ended || r.pending > 0) && r.left == 0 {
		r.send(ctx)
		wanted := stream
		if r.waiting || r.ended {
			wanted = nil
		}
		select {
		case it := <-wanted:
			r.take(it)
		case <-r.accepted:
			r.busy = false
		case res := <-r.results:
			r.settle(res)
			if r.hopeless {
				r.abandon(cancel)
			}
		case <-r.pause.C:
			r.paused = false
		case <-unread:
			unread = nil
			r.unreported(syscall.EPIPE)
		case <-r.silence.C:
			if r.o.store != "" && !r.ended {
				break // what comes is kept, connection or not
			}
			r.stop(r.silent())
			r.abandon(cancel)
		case err := <-over:
			over <- err // for disconnect
			r.stop(diagnose(err, r.server))
			r.abandon(cancel)
		case s := <-r.process.Signals:
			r.interrupt(s)
		}
	}
	if r.left != 0 {
		return r.left
	}
	took := time.Since(began)
	cancel() // nothing is pending: DISCONNECT

	patience := 2 // A first Ctrl-C may have ended the reader of a pipe before it came here.
	if r.signalled {
		patience = 1
	}
	r.leave(over, patience)
	return r.report(took)
}

// connect waits for the first connection.
func (r *publishing) connect(ctx context.Context, cancel context.CancelFunc, over chan error) (ExitCode, bool) {
	ready := make(chan error, 1)
	go func() { ready <- r.client.Ready(ctx) }()
	select {
	case err := <-ready:
		if err == nil {
			r.ready.Store(true)
			return ExitDone, true
		}
		err = <-over
		f := diagnose(err, r.server)
		r.log.fail(f.lines...)
		return f.code, false
	case s := <-r.process.Signals:
		r.log.warn("interrupted before there was a connection; nothing was sent")
		cancel()
		r.leave(over, 1)
		return signalCode(s), false
	}
}

// leave waits for the end of the client, and no longer than until this many signals have come.
func (r *publishing) leave(over <-chan error, signals int) {
	for ; signals > 0; signals-- {
		select {
		case <-over:
			return
		case <-r.process.Signals:
		}
	}
}

// resume waits for the messages that an earlier run left in the store.
func (r *publishing) resume() {
	messages := r.client.Resumed()
	if len(messages) == 0 {
		return
	}
	r.log.warn("delivering %s that an earlier run left in %s", plural(len(messages), "message"), r.o.store)
	r.tally.resumed = len(messages)
	r.pending += len(messages)
	r.silence.Reset(r.limit)
	began := time.Now()
	go func() {
		for _, m := range messages {
			<-m.Done() // it ends, at the latest with the client
			select {
			case r.results <- result{resumed: true, topic: m.Topic, qos: m.QoS, size: m.Size, took: time.Since(began), err: m.Err()}:
			case <-r.gone:
				return
			}
		}
	}()
}

// take takes what came from the source.
func (r *publishing) take(it item) {
	switch {
	case it.err == nil:
		r.next, r.waiting = it.payload, true
	case it.err == io.EOF:
		r.finish()
	default:
		r.stop(&failure{ExitLocal, []string{it.err.Error()}})
	}
}

// stop ends the sending, for the first reason that is given. What is pending may still be acknowledged.
func (r *publishing) stop(why *failure) {
	if r.failed == nil {
		r.failed = why
	}
	if r.waiting {
		r.waiting = false
		if r.o.lines { // of a payload that is repeated there are as many as one wants
			r.tally.unsent++
		}
	}
	r.finish()
}

// finish says that nothing more is to be sent. With a store, only now does it count how long nobody has answered.
func (r *publishing) finish() {
	r.ended = true
	if r.o.store != "" && r.pending > 0 {
		r.silence.Reset(r.limit)
	}
}

// silent is the failure of a server that acknowledges nothing.
func (r *publishing) silent() *failure {
	after := "no acknowledgement for " + span(r.limit)
	lost := r.watch.lost.Load()
	if lost == nil {
		why := diagnose(&iot.SilenceError{Topic: r.o.topic, After: r.limit}, r.server)
		why.lines[0] = after
		return why
	}
	why := diagnose(*lost, r.server)
	why.lines[0] = after + "; " + why.lines[0]
	return why
}

// send gives the next message to the client, if it is time.
func (r *publishing) send(ctx context.Context) {
	// With a store the client takes what comes, and sends it when it can, --inflight at a time.
	if !r.waiting || r.busy || r.paused || r.o.store == "" && r.pending >= r.o.inflight {
		return
	}
	r.started++
	r.pending++
	n, m := r.started, mqtt.Message{Topic: r.o.topic, Payload: r.next, QoS: mqtt.QoS(r.o.qos), Retain: r.o.retain}
	r.waiting, r.next = false, nil
	r.busy = true
	if r.progress != nil {
		r.progress.note(r.tally.done, r.pending, 0)
	}
	if r.pending == 1 {
		r.silence.Reset(r.limit)
	}
	if r.o.interval > 0 {
		r.paused = true
		r.pause.Reset(r.o.interval)
	}
	go func() {
		began := time.Now()
		d, err := r.client.Submit(ctx, m)
		select {
		case r.accepted <- struct{}{}:
		case <-r.gone:
			return
		}
		if err == nil {
			<-d.Done() // it ends, at the latest with the client
			err = d.Err()
		}
		select {
		case r.results <- result{n: n, topic: m.Topic, qos: m.QoS, size: len(m.Payload), took: time.Since(began), err: err}:
		case <-r.gone:
		}
	}()
}

// settle counts what became of a message, and says so.
func (r *publishing) settle(res result) {
	r.pending--
	if r.pending > 0 {
		r.silence.Reset(r.limit)
	} else {
		r.silence.Stop()
	}
	if res.err != nil {
		r.undone = res.err
	}
	switch {
	case res.err == nil && res.resumed:
		r.tally.caughtUp++
		r.watch.lost.Store(nil)
	case res.err == nil:
		r.tally.add(res.took)
		r.watch.lost.Store(nil) // whatever was lost before did no harm
	case errors.Is(res.err, mqtt.ErrStored):
		r.tally.kept++
		return
	case errors.Is(res.err, mqtt.ErrNotSent):
		r.tally.unsent++
		if r.o.store != "" && r.failed == nil { // the disk, and not the network
			r.stop(&failure{ExitLocal, []string{strings.TrimPrefix(res.err.Error(), mqtt.ErrNotSent.Error()+": ")}})
		}
		return
	default:
		r.tally.unconfirmed++
		switch {
		case errors.Is(res.err, mqtt.ErrSessionLost):
			r.log.warn("message %d: %v", res.n, res.err)
		case errors.Is(res.err, mqtt.ErrRejected):
			r.reject(res)
		}
		return
	}
	r.show(res)
	if r.o.json {
		if _, err := r.process.Stdout.Write(res.appendReport(nil, r.tally.total)); err != nil {
			r.unreported(err)
		}
	}
}

// unreported stops the sending, since there is no place for reports.
func (r *publishing) unreported(err error) {
	r.closed = isClosedPipe(err)
	r.stop(&failure{ExitLocal, []string{outputError(err).Error()}})
}

// show says that a message is done: with a line for each of a few, and a status line for more, where somebody watches.
func (r *publishing) show(res result) {
	if r.progress == nil && r.status && r.crowded() {
		r.progress = newProgress(&r.tally)
		r.log.startStatus(cmp.Or(r.process.Columns, 80), r.progress.text)
	}
	if r.progress != nil {
		r.progress.note(r.tally.done, r.pending, res.took)
		return
	}
	outcome := "sent"
	if res.qos > 0 {
		outcome = "acknowledged in " + span(res.took)
	}
	number := strconv.Itoa(res.n)
	if res.resumed {
		number = "of an earlier run:"
	} else if r.tally.total > 0 {
		number += fmt.Sprintf("/%d", r.tally.total)
	}
	if res.resumed && res.topic == "" {
		r.log.say("%s the end of a QoS 2 exchange: %s", number, outcome)
	} else {
		r.log.say("%s %s, %s, QoS %d: %s", number, oneLine(res.topic), plural(res.size, "byte"), res.qos, outcome)
	}
}

// crowded reports whether there are too many messages for a line each. Where somebody types them a status line would be
// in the way.
func (r *publishing) crowded() bool {
	if r.o.lines {
		return r.tally.done+r.tally.caughtUp > fewMessages && !r.process.TerminalInput
	}
	return r.tally.total > fewMessages || r.tally.total == 0 && (r.o.interval < time.Second || r.tally.done > fewMessages)
}

// reject says why the server hangs up on a message. It would do so on the others of its topic.
func (r *publishing) reject(res result) {
	why := diagnose(res.err, r.server)
	if res.resumed && res.topic != r.o.topic {
		r.log.warnLines(append([]string{"of an earlier run: " + why.lines[0]}, why.lines[1:]...)...)
		return
	}
	r.hopeless = true
	r.stop(why)
}

// interrupt stops the sending for a signal, and leaves for the second one.
func (r *publishing) interrupt(s os.Signal) {
	if r.signalled {
		r.left = signalCode(s)
		return
	}
	r.signalled = true
	more := ""
	if r.pending > 0 {
		more = "; waiting for the acknowledgement of " + plural(r.pending, "message")
	}
	r.log.warn("stopping (again to leave at once)%s", more)
	r.stop(&failure{signalCode(s), []string{"interrupted"}})
	r.limit = min(r.limit, drainTime)
	if r.pending > 0 {
		r.silence.Reset(r.limit)
	}
}

// abandon ends the client; the messages that are pending end with it.
func (r *publishing) abandon(cancel context.CancelFunc) {
	cancel()
	for r.pending > 0 && r.left == 0 {
		select {
		case <-r.accepted:
			r.busy = false
		case res := <-r.results:
			r.settle(res)
		case s := <-r.process.Signals:
			r.interrupt(s)
		}
	}
}

// report says how it went, and returns the exit code.
func (r *publishing) report(took time.Duration) ExitCode {
	t := &r.tally
	all := t.complete()
	r.log.endStatus()
	switch {
	case all && (r.failed == nil || r.closed || t.total > 0 && r.failed.code != ExitLocal):
		r.log.conclude("%s", t.summary(took))
		return ExitDone
	case r.closed && t.lost() == 0: // whoever read it has seen enough
		r.log.conclude("%s, then standard output was closed", t.summary(took))
		return ExitDone
	case r.failed == nil && r.undone != nil && !errors.Is(r.undone, mqtt.ErrSessionLost): // QoS 0: there is only one attempt
		if r.failed = diagnose(r.undone, r.server); !errors.Is(r.undone, mqtt.ErrStore) {
			r.failed.code = ExitUnanswered
		}
	case r.failed == nil:
		r.failed = &failure{ExitUnanswered, []string{
			"the server has forgotten the session, and to send a QoS 2 message again could deliver it twice"}}
	case r.signalled, r.failed.code == ExitLocal, r.failed.code == ExitProtocol, all:
	default:
		r.failed.code = ExitUnanswered // A caller that reads 6 might think that all was acknowledged.
	}
	r.log.fail(append([]string{t.shortfall() + ": " + r.failed.lines[0]}, r.failed.lines[1:]...)...)
	return r.failed.code
}
