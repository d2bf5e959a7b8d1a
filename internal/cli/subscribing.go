package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync/atomic"
	"time"

	"iotwire/iot"
	"iotwire/mqtt"
)

// farewellTime is how long a subscriber that ends waits for what it is printing: nobody may be reading.
const farewellTime = 3 * time.Second

// subscribing is a run of the subscriber. One goroutine, that of run, decides; another one prints.
type subscribing struct {
	o            *subscriberOptions
	process      *Process
	log          *console
	watch        *watch
	server       *iot.Config
	subscription *mqtt.Subscription // to all filters
	printer      *printer

	events chan event    // what Run and print report
	gone   chan struct{} // closed when run returns: nobody reads events any more

	answered atomic.Int32 // how many answers the server has given to filters, over all connections
	dropped  int          // messages that found no room; for Run's goroutine

	// For run's goroutine.
	present   chan struct{}   // closed when the first connection found the session
	awaited   map[string]bool // filters that the server has to answer on this connection
	refused   []string        // filters that it has refused
	began     time.Time       // when all filters were subscribed for the first time
	connects  int
	away      bool        // the connection is lost, and not restored
	lost      int         // messages that found no room
	signalled bool        // a signal came
	silence   *time.Timer // fires when the answer to SUBSCRIBE is overdue
	wait      *time.Timer // fires at the end of -W
}

// event is something that run has to know.
type event struct {
	kind    eventKind
	present bool   // connected: the server has kept the session
	filter  string // subscribed
	err     error  // subscribed: it was refused; printing: standard output failed
}

type eventKind uint8

const (
	connected eventKind = iota
	disconnected
	subscribed
	kept // the session that the server has kept has all the subscriptions
	dropped
	printing // has ended: enough was printed, or standard output failed
)

// report gives an event to run.
func (r *subscribing) report(e event) {
	select {
	case r.events <- e:
	case <-r.gone:
	}
}

// attach makes r part of cfg.
func (r *subscribing) attach(cfg *mqtt.Config) {
	r.events, r.gone = make(chan event), make(chan struct{})
	r.present, r.awaited = make(chan struct{}), map[string]bool{}
	watch, retry := *cfg.Trace, cfg.Retry
	cfg.Retry = func(err error) bool {
		// A server that hangs up on the first SUBSCRIBE will do so again. With a store nobody is in a hurry.
		return !r.o.noReconnect && (r.o.store != "" || int(r.answered.Load()) >= len(r.o.topics)) && retry(err)
	}
	cfg.Trace.Connected = func(present bool) {
		watch.Connected(present)
		r.report(event{kind: connected, present: present})
	}
	cfg.Trace.Disconnected = func(err error, retry bool, wait time.Duration) {
		watch.Disconnected(err, retry, wait)
		r.report(event{kind: disconnected})
	}
	cfg.Trace.Subscribed = func(filter string, granted mqtt.QoS, err error) {
		r.answered.Add(1)
		switch {
		case err != nil:
		case int(granted) < r.o.qos:
			r.log.warn("subscribed to %s, but for QoS %d only: QoS %d was asked for", oneLine(filter), granted, r.o.qos)
		default:
			r.log.say("subscribed to %s, QoS %d", oneLine(filter), granted)
		}
		r.report(event{kind: subscribed, filter: filter, err: err})
	}
	cfg.Trace.Dropped = func(m *mqtt.Message, err error) {
		switch {
		case errors.Is(err, mqtt.ErrTooLarge):
			r.log.warn("a message on %s was skipped: it is larger than %d bytes", oneLine(m.Topic), cfg.MaxPacket)
		case errors.Is(err, mqtt.ErrInboxFull):
			if r.dropped++; r.dropped == 1 {
				r.log.warn("QoS 0 messages come faster than they are written, and are dropped")
			}
		default:
			return // nobody subscribed to it
		}
		r.report(event{kind: dropped})
	}
}

// run serves the client until it is over.
func (r *subscribing) run(client *mqtt.Client) ExitCode {
	defer close(r.gone)
	defer r.log.endStatus()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	over := make(chan error, 1)
	go func() { over <- client.Run(ctx) }()
	printing, stop := context.WithCancel(ctx)
	defer stop()
	printed := make(chan struct{})
	go func() {
		defer close(printed)
		r.print(printing)
	}()
	if r.o.store != "" {
		go r.awaitKept(ctx)
	}
	go r.awaitNoReader()
	r.silence, r.wait = time.NewTimer(time.Hour), time.NewTimer(time.Hour)
	r.silence.Stop()
	r.wait.Stop()
	defer r.silence.Stop()
	defer r.wait.Stop()

	why := r.serve(over)
	stop() // what is being printed is acknowledged yet
	if code, left := r.leave(over, printed, cancel); left {
		return code
	}
	if !r.began.IsZero() {
		r.log.say("%s", r.summary(time.Since(r.began)))
	}
	if why.lines != nil {
		r.log.fail(why.lines...) // last, where it is seen
	}
	return why.code
}

// awaitKept waits until the server says that it has kept the session, and then until it has all subscriptions. It need
// not be asked for those that the store knows it has.
func (r *subscribing) awaitKept(ctx context.Context) {
	select {
	case <-r.present:
	case <-ctx.Done():
		return
	}
	if r.subscription.Ready(ctx) != nil {
		return // serve hears of it
	}
	r.report(event{kind: kept})
}

// awaitNoReader reports that nobody reads standard output any more.
func (r *subscribing) awaitNoReader() {
	if awaitNoReader(r.process.Stdout) {
		r.report(event{kind: printing})
	}
}

// print prints messages, until ctx is over, or the last one was printed, or one could not be.
func (r *subscribing) print(ctx context.Context) {
	for m, err := range r.subscription.Messages(ctx) {
		if err != nil {
			return // ctx is over, or a filter was refused, or the client is over: run knows
		}
		last, err := r.printer.print(m)
		if err != nil {
			m.Hold() // it is not acknowledged
		}
		if last || err != nil {
			defer r.report(event{kind: printing, err: err}) // behind the acknowledgement
			return
		}
	}
}

// serve handles events until there is a reason to stop, and returns it: without lines if all is well.
func (r *subscribing) serve(over chan error) *failure {
	for {
		select {
		case e := <-r.events:
			if why := r.handle(e); why != nil {
				return why
			}
		case err := <-over:
			over <- err // for leave
			return diagnose(err, r.server)
		case <-r.silence.C:
			return &failure{ExitUnanswered, []string{"no answer to SUBSCRIBE for " + span(r.o.timeout),
				"is the server overloaded, or the network slow? --timeout waits longer"}}
		case <-r.wait.C:
			if n := int(r.printer.count.Load()); n < r.o.count {
				return r.tooFew(n)
			}
			if r.away {
				f := r.whyAway()
				f.lines[0] = "no connection at the end of -W: " + f.lines[0]
				return f
			}
			return &failure{code: ExitDone}
		case <-r.process.Signals:
			r.signalled = true
			r.log.warn("stopping (again to leave at once)")
			return &failure{code: ExitDone}
		}
	}
}

// tooFew is the failure of n messages where more were wanted. If none came, it says why that may be.
func (r *subscribing) tooFew(n int) *failure {
	f := &failure{ExitTooFew, []string{fmt.Sprintf("%d of %d messages came in %s", n, r.o.count, span(r.o.wait))}}
	switch {
	case r.away:
		why := r.whyAway()
		f.lines[0] += ", and there is no connection: " + why.lines[0]
		f.lines = append(f.lines, why.lines[1:]...)
	case n == 0:
		silence := diagnose(&iot.SilenceError{Filters: r.o.topics, After: r.o.wait}, r.server)
		f.lines = append(f.lines, silence.lines[1:]...)
	}
	return f
}

// whyAway is the failure of a connection that was lost, with what kept the last attempt from restoring it.
func (r *subscribing) whyAway() *failure {
	f := diagnose(*r.watch.lost.Load(), r.server)
	return &failure{ExitLost, append([]string(nil), f.lines...)}
}

// handle handles an event. It returns a reason to stop, or nil.
func (r *subscribing) handle(e event) *failure {
	switch e.kind {
	case connected:
		r.connects++
		r.away = false
		if !e.present || r.connects == 1 {
			for _, filter := range r.o.topics {
				r.awaited[filter] = true
			}
			r.refused = nil
		}
		if len(r.awaited) > 0 {
			r.silence.Reset(r.o.timeout)
		}
		if e.present && r.connects == 1 {
			close(r.present)
		}
	case kept:
		if len(r.awaited) > 0 {
			clear(r.awaited)
			return r.settled()
		}
	case disconnected:
		r.silence.Stop()
		r.away = true
	case subscribed:
		delete(r.awaited, e.filter)
		if e.err != nil {
			r.refused = append(r.refused, e.filter)
		}
		if len(r.awaited) == 0 {
			return r.settled()
		}
	case dropped:
		r.lost++
	case printing:
		switch {
		case e.err == nil || isClosedPipe(e.err): // whoever read it has seen enough
			return &failure{code: ExitDone}
		default:
			return &failure{ExitLocal, []string{outputError(e.err).Error()}}
		}
	}
	return nil
}

// settled is called when the server has answered all filters.
func (r *subscribing) settled() *failure {
	r.silence.Stop()
	if r.refused != nil {
		return diagnose(&iot.RefusedError{Filters: r.refused}, r.server)
	}
	if r.began.IsZero() {
		r.began = time.Now()
		r.showProgress()
		if r.o.wait > 0 {
			r.wait.Reset(r.o.wait)
		}
	}
	return nil
}

// showProgress starts a status line if messages go to a file, while a person watches standard error.
func (r *subscribing) showProgress() {
	p := r.process
	traced := r.o.trace.style != "" && r.o.trace.file == ""
	if !isFile(p.Stdout) || !p.TerminalError || p.Getenv("TERM") == "dumb" || r.o.quiet || traced {
		return
	}
	start := mark{at: r.began}
	progress := &progress{total: r.o.count, verb: "received", older: start, newer: start}
	r.log.startStatus(cmp.Or(p.Columns, 80), func() string {
		progress.note(int(r.printer.count.Load()), 0, 0)
		return progress.text()
	})
}

// isFile reports whether out is a file on a disk, and neither a terminal nor a pipe to a program that may have one.
func isFile(out io.Writer) bool {
	f, ok := out.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode().IsRegular()
}

// leave waits for the end of print, and then, after disconnect, for that of Run. The second signal ends the wait.
func (r *subscribing) leave(over <-chan error, printed <-chan struct{}, disconnect func()) (code ExitCode, left bool) {
	patience := time.NewTimer(farewellTime - time.Second) // and a second for DISCONNECT
	defer patience.Stop()
	patient := true
	for printed != nil || over != nil {
		if printed == nil || !patient {
			disconnect()
		}
		select {
		case <-over:
			over = nil
		case <-printed:
			printed = nil
		case <-r.events:
		case <-patience.C:
			if !patient {
				return 0, false
			}
			patient = false
			patience.Reset(time.Second)
		case s := <-r.process.Signals:
			if r.signalled {
				return signalCode(s), true
			}
			r.signalled = true // by a Ctrl-C, say, that has ended the reader of a pipe before it came here
		}
	}
	return 0, false
}

// summary is the line at the end.
func (r *subscribing) summary(took time.Duration) string {
	messages, bytes := r.printer.count.Load(), r.printer.bytes.Load()
	line := "received " + plural(int(messages), "message") + " (" + plural(int(bytes), "byte") + ") in " + span(took)
	if n := r.printer.skipped.Load(); n > 0 {
		line += fmt.Sprintf(", %d skipped", n)
	}
	if n := r.connects - 1; n > 0 {
		line += ", " + plural(n, "reconnect")
	}
	if r.lost > 0 {
		line += fmt.Sprintf(", %d dropped", r.lost)
	}
	return line
}
