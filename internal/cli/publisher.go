package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"iotwire/iot"
	"iotwire/mqtt"
	"iotwire/mqtt/packet"
)

// publisherOptions is what the options of publisher say.
type publisherOptions struct {
	connection
	topic, message, file string
	lines, empty, retain bool
	count, inflight      int
	interval             time.Duration
	json, dryRun         bool
}

func (o *publisherOptions) table() *Table {
	return &Table{
		Program: "publisher",
		Summary: "send messages to AWS IoT Core over MQTT 3.1.1",
		Usage:   "-e ENDPOINT -C DIR -m TEXT [options]",
		Examples: []string{
			`publisher -e x-ats.iot.eu-west-1.amazonaws.com -C certs -m '{"message":"hi"}'`,
			`publisher -e ... -C certs -t test/commands -n 5 -i 500ms -m hello`,
			`sensor | publisher -e ... -C certs -t site/7/temp -l    one message a line`,
			`publisher -e mqtt://127.0.0.1 -m hi --trace     local broker, bytes explained`,
			`publisher --dry-run -m hi --trace               the same with no network`,
		},
		Groups: []Group{
			{"Main options", []Option{
				o.endpointOption(),
				o.prefixOption(),
				{Letter: "t", Name: "topic", Metavar: "TOPIC", Value: &o.topic, Default: "test/commands", Help: "topic to publish to"},
				{Letter: "n", Name: "count", Metavar: "N", Value: &o.count, Default: "1", Min: "0", Max: "1000000000",
					Help: "messages to send; 0 = until stopped"},
				o.certDirOption(),
				{Letter: "m", Name: "message", Metavar: "TEXT", Value: &o.message, Empty: true, Help: "the payload, sent as it is"},
			}},
			{"Message source (one of -m, -f, -l, -z)", []Option{
				{Letter: "f", Name: "file", Metavar: "FILE", Value: &o.file, Help: "the payload is this file's bytes; - is stdin"},
				{Letter: "l", Name: "lines", Value: &o.lines,
					Help: "a message for each line of stdin, empty ones too; all lines unless -n, no pause unless -i"},
				{Letter: "z", Name: "empty", Value: &o.empty, Help: "a payload of zero bytes"},
			}},
			{"Delivery", []Option{
				{Letter: "i", Name: "interval", Metavar: "TIME", Value: &o.interval, Default: "1s", Max: "8760h",
					Help: "between messages: 2, 0.5, 250ms"},
				o.qosOption("delivery level (AWS IoT: 0 or 1)"),
				{Letter: "r", Name: "retain", Value: &o.retain, Help: "ask the server to keep the last message"},
				{Name: "inflight", Metavar: "N", Value: &o.inflight, Default: "1", Min: "1", Max: "65535",
					Help: "unacknowledged messages at a time"},
				o.timeoutOption(),
			}},
			{"Connection", append([]Option{o.keepAliveOption()}, o.identityOptions()...)},
			{"Learning and debugging (for stored bytes see dissect --help)", slices.Concat(
				o.trace.Options(), o.recordingOptions(), o.dryRunOptions(),
				[]Option{o.checkOption("sends the message of -m, -f or -z once, or none")},
			)},
			{"Output", append([]Option{
				{Name: "json", Value: &o.json, Help: "one JSON object for each message on stdout"},
			}, o.outputOptions()...)},
		},
		OneOf: []string{"message", "file", "lines", "empty"},
		Notes: []string{
			"Ctrl-C or SIGTERM stops sending, waits shortly for what is on its way, and disconnects; a second one leaves at once.",
			"SIGHUP to one that runs without a terminal: read the certificates again, for the next connection.",
			"Exit status: 0 all acknowledged, 1 a file or stdout failed, 2 usage, 3 network, 4 TLS or certificates, " +
				"5 server hung up on CONNECT, 6 connection lost, 7 not all acknowledged, 9 server broke the protocol, " +
				"11-15 CONNACK return code 1-5, 130/143 interrupted.",
		},
	}
}

// traced reports whether packets are shown on standard error.
func (o *publisherOptions) traced() bool { return o.trace.style != "" && o.trace.file == "" }

// Publisher is the program publisher. It returns when all is done, or when a signal ends it.
func Publisher(p *Process) (code ExitCode) {
	var o publisherOptions
	table := o.table()
	if code, done := table.Parse(p); done {
		return code
	}
	target, err := o.check(table)
	if err != nil {
		table.introduce(p)
		return table.Mistake(p, "%w", err)
	}
	log := &console{program: table.Program, quiet: o.quiet, terse: !p.TerminalError && !o.traced(), out: p.Stderr}
	if o.connection.check {
		return o.checkup(table, p, log, target)
	}
	messages, code := o.source(p, log)
	if code != ExitDone {
		return code
	}
	if err := o.checkMessage(target, messages); err != nil {
		return table.Mistake(p, "%w", err)
	}
	if o.dryRun {
		return o.rehearse(table, p, log, target, messages)
	}
	cfg, server, err := o.config(target, p, log)
	if err != nil {
		return diagnose(err, server).tell(table, p, log)
	}
	cfg.Inflight = o.inflight
	w := &watch{log: log, target: target, server: server, client: cfg.ClientID, patient: o.store != ""}
	w.attach(cfg)
	trace, err := o.openTrace(p, log, target.String())
	if err != nil {
		log.fail(err.Error())
		return ExitLocal
	}
	defer trace.close(&code)
	trace.attach(cfg)
	r := newPublishing(&o, p, log, messages)
	r.watch, r.server = w, server
	retry := cfg.Retry
	cfg.Retry = func(err error) bool {
		// A server that ends the first connection before it is of any use will do so again.
		return (r.ready.Load() || o.store != "") && retry(err)
	}
	if f := o.openStore(cfg, log); f != nil {
		return f.tell(table, p, log)
	}
	if r.client, err = mqtt.New(*cfg); err != nil {
		if cfg.Store != nil {
			cfg.Store.Close()
		}
		return diagnose(err, server).tell(table, p, log)
	}
	return r.run(messages)
}

// check finds the mistakes that need no file and no network.
func (o *publisherOptions) check(t *Table) (iot.Endpoint, error) {
	if o.dryRun {
		for _, name := range []string{"check", "json", "store", "page", "pcap", "keylog"} {
			if t.Given(name) {
				return iot.Endpoint{}, errorf("--dry-run and --%s exclude each other: it opens no connection, and keeps nothing", name)
			}
		}
		o.endpoint = cmp.Or(o.endpoint, "mqtt://localhost")
		o.verbose = o.verbose || tracing && o.trace.file == ""
	}
	target, err := o.target(t)
	if err != nil {
		return target, err
	}
	if !t.Given("message") && o.file == "" && !o.lines && !o.empty && !o.connection.check {
		return target, errors.New("no message: give one of -m TEXT, -f FILE, -l, -z")
	}
	if o.lines && !t.Given("count") {
		o.count = 0
	}
	if o.lines && !t.Given("interval") {
		o.interval = 0
	}
	if o.dryRun && o.count == 0 && !o.lines {
		o.count = 1 // the others are like it
	}
	return target, o.checkMessage(target, source{})
}

// checkup is --check. What has consequences is not done unless it was asked for: without a message, none is sent.
func (o *publisherOptions) checkup(t *Table, p *Process, log *console, target iot.Endpoint) ExitCode {
	c := &checkup{o: &o.connection, process: p, log: log, skipped: map[string]string{
		"SUBSCRIBE": "subscriber --check does that",
		"PUBLISH":   "no message was given",
	}}
	if o.lines || !t.Given("message") && o.file == "" && !o.empty {
		c.hint = "; with -m TEXT it would send a message to " + oneLine(o.topic)
		return c.run(target)
	}
	messages, code := o.source(p, log)
	if code != ExitDone {
		return code
	}
	if err := o.checkMessage(target, messages); err != nil {
		return t.Mistake(p, "%w", err)
	}
	c.message = &mqtt.Message{Topic: o.topic, Payload: messages.payload, QoS: mqtt.QoS(o.qos), Retain: o.retain}
	return c.run(target)
}

// checkMessage reports whether the first of messages, or one without a payload if they are the lines of stdin, may be
// sent to target.
func (o *publisherOptions) checkMessage(target iot.Endpoint, messages source) error {
	m := mqtt.Message{Topic: o.topic, Payload: messages.payload, QoS: mqtt.QoS(o.qos), Retain: o.retain}
	if o.isAWS(target) {
		return iot.Check(m)
	}
	if err := packet.ValidTopic(m.Topic); err != nil {
		return errorf("-t/--topic %s: %w", quote(o.topic), err)
	}
	return nil
}

// source opens the source of the messages. If that fails, it has said why.
func (o *publisherOptions) source(p *Process, log *console) (source, ExitCode) {
	if (o.lines || o.file == "-") && p.TerminalInput {
		log.say("reading from the terminal; Ctrl-D ends")
	}
	switch {
	case o.lines:
		return lines(p.Stdin, o.count), ExitDone
	case o.file == "":
		return repeated([]byte(o.message), o.count), ExitDone
	}
	type read struct {
		payload []byte
		err     error
	}
	done := make(chan read, 1)
	go func() {
		payload, err := readFile(o.file, p.Stdin)
		done <- read{payload, err}
	}()
	select {
	case r := <-done:
		if r.err != nil {
			log.fail(r.err.Error())
			return source{}, ExitLocal
		}
		return repeated(r.payload, o.count), ExitDone
	case s := <-p.Signals:
		return source{}, signalCode(s)
	}
}

// item is a payload from the source, or the error at its end: io.EOF for a good one.
type item struct {
	payload []byte
	err     error
}

// items reads s ahead by one, until its end or that of ctx.
func items(ctx context.Context, s source) <-chan item {
	c := make(chan item)
	go func() {
		for {
			payload, err := s.next()
			select {
			case c <- item{payload, err}:
			case <-ctx.Done():
				return
			}
			if err != nil {
				return
			}
		}
	}()
	return c
}

// appendReport appends the JSON object for a message that is done; total is how many there are, or 0.
func (r *result) appendReport(b []byte, total int) []byte {
	if r.resumed {
		b = append(b, `{"resumed":true,`...)
	} else {
		b = fmt.Appendf(b, `{"n":%d,`, r.n)
		if total > 0 {
			b = fmt.Appendf(b, `"of":%d,`, total)
		}
	}
	b = append(b, `"topic":`...)
	b = appendQuoted(b, r.topic)
	b = fmt.Appendf(b, `,"bytes":%d,"qos":%d,"ackMs":`, r.size, r.qos)
	if r.qos == 0 {
		b = append(b, "null"...) // nobody acknowledges it
	} else {
		b = fmt.Appendf(b, "%.1f", r.took.Seconds()*1e3)
	}
	return append(b, "}\n"...)
}
