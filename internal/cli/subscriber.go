package cli

import (
	"slices"
	"time"

	"iotwire/iot"
	"iotwire/mqtt"
	"iotwire/mqtt/packet"
)

// largestMessage is the largest packet that a subscriber takes in from a server that is not AWS IoT Core, in bytes.
const largestMessage = 16 << 20

// subscriberOptions is what the options of subscriber say.
type subscriberOptions struct {
	connection
	topics      []string
	count       int
	wait        time.Duration
	noReconnect bool
	format      string
	json        bool
	exclude     []string
	noRetained  bool

	layout format // what format and json say
}

func (o *subscriberOptions) table() *Table {
	return &Table{
		Program: "subscriber",
		Summary: "print messages from AWS IoT Core over MQTT 3.1.1",
		Usage:   "-e ENDPOINT -C DIR [-t FILTER]... [options]",
		Examples: []string{
			`subscriber -e x-ats.iot.eu-west-1.amazonaws.com -C certs`,
			`subscriber -e ... -C certs -t 'a/+/temp' -t 'a/+/alarm' -F json | jq .topic`,
			`subscriber -e ... -C certs -n 1 -W 30     one message or exit 20 after 30 s`,
			`subscriber -e mqtt://127.0.0.1 -t '#' -F '%t %p'       local broker, no TLS`,
		},
		Groups: []Group{
			{"Main options", []Option{
				o.endpointOption(),
				o.prefixOption(),
				{Letter: "t", Name: "topic", Metavar: "FILTER", Value: &o.topics, Default: "test/commands",
					Help: "topic filter; may be given again (in the variable: separated by spaces)"},
				o.certDirOption(),
			}},
			{"What to print", []Option{
				{Letter: "F", Name: "format", Metavar: "FORMAT", Value: &o.format, Default: "pretty",
					Usual: []string{"pretty", "json", "raw", "text", "hex", "base64"},
					Help:  "pretty, json, raw, text, hex, base64, or a pattern such as '%I %t %p'"},
				{Name: "json", Value: &o.json, Help: "the same as -F json: an object on a line for each message"},
				{Name: "exclude", Metavar: "FILTER", Value: &o.exclude, Help: "skip topics that match; may be given again"},
				{Letter: "R", Name: "no-retained", Value: &o.noRetained, Help: "skip messages that the server had kept"},
			}},
			{"When to stop", []Option{
				{Letter: "n", Name: "count", Metavar: "N", Value: &o.count, Default: "0", Min: "0", Max: "1000000000",
					Help: "stop after N messages; 0 = never"},
				{Letter: "W", Name: "wait", Metavar: "TIME", Value: &o.wait, Min: "1ms", Max: "8760h",
					Help: "stop this long after subscribing: 30, 0.5, 5m"},
				{Name: "no-reconnect", Value: &o.noReconnect, Help: "stop when the connection is lost"},
			}},
			{"Connection", append([]Option{
				o.qosOption("highest wanted (AWS IoT: 0 or 1)"),
				o.keepAliveOption(),
				o.timeoutOption(),
			}, o.identityOptions()...)},
			{"When it does not work", []Option{o.checkOption("subscribes, and takes no message")}},
			{"To see what travels", append(o.trace.Options(), o.recordingOptions()...)},
			{"Output", o.outputOptions()},
		},
		OneOf: []string{"format", "json"},
		Notes: []string{
			"Messages go to stdout, all else to stderr. pretty is the payload for people: JSON on lines of its own, other text " +
				"as it is, other bytes as a hex dump. A message is acknowledged once it is written, or skipped.",
			"Patterns: %t topic, %p payload, %q QoS, %r retain, %d dup, %m packet identifier, %l length, %x %X hex, %b base64, %j as -F json, %I time, " +
				"%U Unix time, %%; \\n \\t \\r \\0 \\a \\e \\v \\\\; %-20t pads, %.20t cuts. A newline follows, unless \\n or \\0 is last.",
			"Ctrl-C or SIGTERM stops with a clean DISCONNECT; a second one leaves at once.",
			"SIGHUP to one that runs without a terminal: read the certificates again, for the next connection. " +
				"If its own expires before that, it goes on trying.",
			"Exit status: 0 stopped as asked, 1 stdout failed, 2 usage, 3 network, 4 TLS or certificates, " +
				"5 server hung up on CONNECT, 6 connection lost, 7 no answer to SUBSCRIBE, 8 subscription refused, " +
				"9 server broke the protocol, 11-15 CONNACK return code 1-5, 20 no N messages in time, " +
				"130/143 left at once.",
		},
	}
}

// Subscriber is the program subscriber. It returns when it was stopped, or cannot go on.
func Subscriber(p *Process) (code ExitCode) {
	var o subscriberOptions
	table := o.table()
	if code, done := table.Parse(p); done {
		return code
	}
	log := &console{program: table.Program, quiet: o.quiet, out: p.Stderr}
	target, err := o.check(table)
	if err != nil {
		table.introduce(p)
		return table.Mistake(p, "%w", err)
	}
	if o.connection.check {
		c := &checkup{o: &o.connection, process: p, log: log, filters: o.topics, skipped: map[string]string{
			"PUBLISH": "publisher --check -m TEXT does that",
		}}
		return c.run(target)
	}
	cfg, server, err := o.config(target, p, log)
	if err != nil {
		return diagnose(err, server).tell(table, p, log)
	}
	if cfg.MaxPacket == 0 {
		cfg.MaxPacket = largestMessage
	}
	w := &watch{log: log, target: target, server: server, client: cfg.ClientID, patient: o.store != ""}
	w.attach(cfg)
	trace, err := o.openTrace(p, log, target.String())
	if err != nil {
		log.fail(err.Error())
		return ExitLocal
	}
	defer trace.close(&code)
	trace.attach(cfg)
	r := &subscribing{
		o:       &o,
		process: p,
		log:     log,
		watch:   w,
		server:  server,
		printer: &printer{
			log:       log,
			excluded:  o.exclude,
			newOnly:   o.noRetained,
			limit:     o.count,
			format:    o.layout,
			escape:    p.Terminal,
			headlines: p.Terminal && p.TerminalError && o.layout.forPeople() && !o.quiet,
			color:     p.Colored(p.TerminalError, o.trace.color),
			out:       p.Stdout,
		},
	}
	r.attach(cfg)
	if f := o.openStore(cfg, log); f != nil {
		return f.tell(table, p, log)
	}
	client, err := mqtt.New(*cfg)
	if err != nil {
		if cfg.Store != nil {
			cfg.Store.Close()
		}
		return diagnose(err, server).tell(table, p, log)
	}
	if r.subscription, err = client.SubscribeAll(o.topics, mqtt.QoS(o.qos)); err != nil {
		return diagnose(err, server).tell(table, p, log)
	}
	return r.run(client)
}

// check finds the mistakes that need no file and no network.
func (o *subscriberOptions) check(t *Table) (iot.Endpoint, error) {
	target, err := o.target(t)
	if err != nil {
		return target, err
	}
	var filters []string // each once
	for _, filter := range o.topics {
		if err := packet.ValidFilter(filter); err != nil {
			return target, errorf("-t/--topic %s: %w", quote(filter), err)
		}
		if o.isAWS(target) {
			if err := iot.CheckFilter(filter, packet.QoS(o.qos)); err != nil {
				return target, err
			}
		}
		if !slices.Contains(filters, filter) {
			filters = append(filters, filter)
		}
	}
	o.topics = filters
	for _, filter := range o.exclude {
		if err := packet.ValidFilter(filter); err != nil {
			return target, errorf("--exclude %s: %w", quote(filter), err)
		}
	}
	if o.json {
		o.format = "json"
	}
	if o.layout, err = parseFormat(o.format); err != nil {
		return target, errorf("-F/--format: %w", err)
	}
	return target, nil
}
