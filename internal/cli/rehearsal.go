package cli

import (
	"context"
	"io"
	"net"
	"sync"
	"time"

	"iotwire/iot"
	"iotwire/mqtt"
	"iotwire/mqtt/packet"
)

func (o *publisherOptions) dryRunOptions() []Option {
	return []Option{{Name: "dry-run", Value: &o.dryRun, Help: "print what would be sent; open no connection"}}
}

// rehearse is --dry-run: a client sends what it would send to target, to a server in this process that agrees with
// everything. The packets are printed on standard output, since they are what was asked for, but for the answers, which no
// server gave.
func (o *publisherOptions) rehearse(t *Table, p *Process, log *console, target iot.Endpoint, messages source) (code ExitCode) {
	server := &iot.Config{Endpoint: "mqtt://localhost", ClientID: o.clientID, AWS: o.isAWS(target), Will: o.will.of()}
	if o.clientID == "" {
		server.ClientPrefix = o.prefix
	}
	cfg, err := server.MQTT()
	if err == nil {
		err = o.openSecrets(o.timeout)
	}
	if err != nil {
		return diagnose(err, server).tell(t, p, log)
	}
	o.prepare(&cfg)
	cfg.Inflight = o.inflight
	cfg.Retry = func(error) bool { return false }
	audience := *p
	audience.TerminalError = p.Terminal
	trace, err := o.openTrace(&audience, log, target.String())
	if err != nil {
		log.fail(err.Error())
		return ExitLocal
	}
	defer trace.close(&code)
	stage := &rehearsal{out: p.Stdout, ready: make(chan struct{}, 1)}
	if tracing {
		if trace.sentOnly = true; trace.out == nil {
			trace.out = stage.audience()
		}
		trace.layout.Times = t.Given("trace-times") && o.trace.times == "on" // they mean nothing here
	}
	cfg.Dial = func(context.Context) (net.Conn, error) { return stage, nil }
	trace.attach(&cfg)
	r := newPublishing(o, p, &console{quiet: true, out: io.Discard}, messages)
	r.watch, r.server = new(watch), server
	if r.client, err = mqtt.New(cfg); err != nil {
		return diagnose(err, server).tell(t, p, log)
	}
	r.o.interval = 0 // nothing is waited for
	code = r.run(messages)
	switch {
	case stage.failed != nil && isClosedPipe(stage.failed):
		return ExitDone
	case stage.failed != nil:
		log.fail(outputError(stage.failed).Error())
		return ExitLocal
	case r.failed != nil:
		log.fail(r.failed.lines...)
	default:
		log.conclude("nothing was sent: this was a dry run of %s in %s", plural(r.tally.done, "message"), plural(stage.sent, "byte"))
	}
	return code
}

// rehearsal is a connection to a server that takes what it gets, and exists in this process only.
type rehearsal struct {
	net.Conn // what is not here is not called

	out    io.Writer
	failed error // of out: nobody looks on any more

	mu      sync.Mutex
	sent    int    // bytes
	packets []byte // not answered yet, the last one perhaps not complete
	answers []byte // not read yet
	closed  bool
	ready   chan struct{} // there may be something to read
}

// audience is where the packets are shown. Once it cannot be written to, the connection is lost.
func (r *rehearsal) audience() io.Writer {
	return writerFunc(func(b []byte) (int, error) {
		n, err := r.out.Write(b)
		if r.failed == nil {
			r.failed = err
		}
		return n, err
	})
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(b []byte) (int, error) { return f(b) }

func (r *rehearsal) Write(b []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.failed != nil {
		r.closed = true
		r.wake()
		return 0, r.failed
	}
	r.sent += len(b)
	r.packets = append(r.packets, b...)
	for {
		h, n, err := packet.ParseHeader(r.packets)
		if err != nil || n == 0 || len(r.packets) < n+h.Len {
			break
		}
		r.answer(h, r.packets[n:n+h.Len])
		r.packets = r.packets[n+h.Len:]
	}
	r.wake()
	return len(b), nil
}

// answer answers as every server would that agrees.
func (r *rehearsal) answer(h packet.Header, body []byte) {
	acknowledge := func(t packet.Type, id uint16) {
		r.answers = append(r.answers, byte(t)<<4, 2, byte(id>>8), byte(id))
	}
	switch h.Type {
	case packet.CONNECT:
		r.answers = append(r.answers, byte(packet.CONNACK)<<4, 2, 0, 0)
	case packet.PUBLISH:
		switch m, _ := packet.ParsePublish(h.Flags, body); m.QoS {
		case packet.QoS1:
			acknowledge(packet.PUBACK, m.ID)
		case packet.QoS2:
			acknowledge(packet.PUBREC, m.ID)
		}
	case packet.PUBREL:
		m, _ := packet.ParsePubrel(body)
		acknowledge(packet.PUBCOMP, m.ID)
	case packet.PINGREQ:
		r.answers = append(r.answers, byte(packet.PINGRESP)<<4, 0)
	case packet.DISCONNECT:
		r.closed = true // [MQTT-3.14.4-1] the client sends nothing more, and waits for this
	}
}

func (r *rehearsal) Read(b []byte) (int, error) {
	for {
		r.mu.Lock()
		n, closed := copy(b, r.answers), r.closed
		r.answers = r.answers[n:]
		r.mu.Unlock()
		switch {
		case n > 0:
			return n, nil
		case closed:
			return 0, io.EOF
		}
		<-r.ready
	}
}

func (r *rehearsal) Close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closed = true
	r.wake()
	return nil
}

// wake wakes up Read.
func (r *rehearsal) wake() {
	select {
	case r.ready <- struct{}{}:
	default:
	}
}

func (r *rehearsal) SetDeadline(time.Time) error      { return nil }
func (r *rehearsal) SetReadDeadline(time.Time) error  { return nil }
func (r *rehearsal) SetWriteDeadline(time.Time) error { return nil }
