package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"time"

	"iotwire/internal/cli"
	"iotwire/internal/testbroker/aws"
)

// awsOptions are those of testbroker --aws, which has the rules of AWS IoT Core.
type awsOptions struct {
	aws                            bool
	tlsPort, alpnPort              int
	dir, log, logLevel, qos2       string
	authorizers                    string
	noSNI, rejectInHandshake       bool
	explain, subackOnDeny, strict  bool
	connectInterval, sessionExpiry time.Duration
	ackDelay, redeliver            time.Duration
	trace                          cli.TraceOptions
}

func (o *awsOptions) table() *cli.Table {
	return &cli.Table{
		Program: "testbroker",
		Summary: "AWS IoT Core on your desk: its policies, limits and silence",
		Usage:   "--aws --tls-port PORT --dir DIR [options]",
		Examples: []string{
			"testbroker --aws --tls-port 8883 --dir desk",
			"testbroker --aws --alpn-port 8443 --dir desk --log broker.log",
			"publisher --aws -e localhost -C desk -t test/topic -m hello",
		},
		Groups: []cli.Group{
			{Title: "Options", Options: []cli.Option{
				{Name: "aws", Value: &o.aws, Help: "the rules of AWS IoT Core"},
				{Name: "tls-port", Metavar: "PORT", Value: &o.tlsPort, Max: "65535", Min: "0",
					Help: "serve mutual TLS as on port 8883; 0 is any free port"},
				{Name: "alpn-port", Metavar: "PORT", Value: &o.alpnPort, Max: "65535", Min: "0",
					Help: "serve mutual TLS as on port 443, with ALPN x-amzn-mqtt-ca only; 0 is any free port"},
				{Name: "dir", Metavar: "DIR", Value: &o.dir,
					Help: "the registry of things, see below; an empty one is filled with one thing"},
				{Name: "authorizers", Metavar: "FILE", Value: &o.authorizers,
					Help: "custom authorizers, see below; clients reach them at --alpn-port with ALPN mqtt, without a certificate"},
				{Name: "log", Metavar: "FILE", Value: &o.log,
					Help: "where the log lines go; they are added to the file. Without it: standard error"},
				{Name: "log-level", Metavar: "LEVEL", Value: &o.logLevel, Default: "info", Choices: []string{"info", "error", "none"},
					Help: "info: everything; error: refusals only"},
			}},
			{Title: "Where sources about AWS disagree", Options: []cli.Option{
				{Name: "no-require-sni", Value: &o.noSNI,
					Help: "let clients in without a server name, such as one that connects to 127.0.0.1"},
				{Name: "reject-in-handshake", Value: &o.rejectInHandshake,
					Help: "refuse an unknown or inactive certificate with a TLS alert, not after CONNECT"},
				{Name: "explain", Value: &o.explain, Help: "refuse a CONNECT with CONNACK 5, not by hanging up"},
				{Name: "suback-on-deny", Value: &o.subackOnDeny,
					Help: "refuse a topic filter that no policy allows with 0x80, not by hanging up"},
				{Name: "qos2", Metavar: "HOW", Value: &o.qos2, Default: "close", Choices: []string{"close", "ignore"},
					Help: "what becomes of a PUBLISH or SUBSCRIBE with QoS 2: hang up, or no answer"},
				{Name: "strict", Value: &o.strict, Help: "hang up at the 51st subscription, and not answer 0x80"},
				{Name: "connect-interval", Metavar: "TIME", Value: &o.connectInterval, Default: "1", Min: "0.001",
					Help: "a client identifier may connect once in this time; 10 is reported too"},
				{Name: "session-expiry", Metavar: "TIME", Value: &o.sessionExpiry, Default: "3600", Min: "0.001",
					Help: "a session waits this long for its client; an account can have up to 7 days"},
				{Name: "ack-delay", Metavar: "TIME", Value: &o.ackDelay,
					Help: "the time before PUBACK, such as 50ms; at 100 messages that wait for it no more are taken"},
				{Name: "redeliver", Metavar: "TIME", Value: &o.redeliver, Default: "30",
					Help: "send a QoS 1 message again that a client has not acknowledged for this long; 0: never"},
			}},
			{Title: "To see what travels", Options: append(o.trace.Options(), o.trace.ColorOption())},
		},
		Notes: []string{
			"DIR is a thing's folder, and so is each folder in it that has a certificate: cert.pem is the certificate, " +
				"policy.json its policy (policy-NAME.json further ones), thing.json its status ACTIVE, INACTIVE or REVOKED and " +
				"its thing: {\"status\": \"ACTIVE\", \"thing\": \"thing-1\", \"type\": \"sensor\", \"attributes\": {\"room\": \"12\"}}. " +
				"The thing counts if the client identifier is its name, or with \"exclusive\": true. An empty folder in DIR becomes " +
				"a thing with its name, with a new key and certificate, at the start. No file is ever overwritten.",
			"Edit the files while it runs: they are read at each CONNECT, and each second for those that are connected. " +
				"Where AWS takes minutes, a changed policy counts within a second. A file with a mistake counts as not saved; the log says why.",
			"Each log line is a JSON text as in CloudWatch. After a refusal it says what AWS keeps to itself: action, resource, " +
				"principalId (the certificate ID) and wouldAllow, the smallest statement that would allow it.",
			"What nobody outside AWS knows: whether a refused CONNECT is ever answered (CONNACK 5, 7 or none; here none); " +
				"whether a bad certificate fails in the handshake or after CONNECT, and with which alert; what the 51st subscription " +
				"leads to (here 0x80), and what QoS 2, RETAIN without iot:RetainPublish, a limit on topics or a reserved topic " +
				"(here the connection is closed); how long AWS waits before it sends a message again; whether an empty client identifier is taken (here not); how much a client may do in a burst " +
				"(here a second's worth); how often a client may connect (1 or 10 seconds). The numbers are those that the developer " +
				"guide of 2019 to 2026 and the SDKs of 2026 name.",
			"The authorizers' FILE says what AWS checks, and what their functions answer to whom: {\"gate\": {\"status\": \"ACTIVE\", \"default\": true, " +
				"\"tokenKey\": \"token\", \"publicKey\": \"gate.pem\", \"answers\": [{\"userName\": \"ann\", \"password\": \"secret\", \"token\": \"abc\", " +
				"\"principalId\": \"ann1\", \"policyDocuments\": [...], \"disconnectAfterInSeconds\": 3600, \"refreshAfterInSeconds\": 300}]}}. " +
				"What an answer does not name may be anything; if none fits, the client is refused. With publicKey, a file in FILE's folder, the token has to be signed (RSA, SHA-256).",
			"Not here: MQTT 5, WebSocket, rules, shadows, jobs and other services (their topics carry " +
				"messages between clients, and nobody answers), thing groups, and the limits of a whole account.",
			"When it listens it prints one line that says where. SIGINT and SIGTERM end it with exit code 0.",
		},
	}
}

// wantsAWS reports whether the options are those of testbroker --aws.
func wantsAWS(p *cli.Process) bool {
	switch strings.ToLower(p.Getenv("MQTT_TESTBROKER_AWS")) {
	case "1", "true", "yes", "on":
		return true
	}
	return slices.Contains(p.Args, "--aws")
}

// runAWS is run for testbroker --aws.
func runAWS(p *cli.Process) cli.ExitCode {
	var o awsOptions
	t := o.table()
	if code, done := t.Parse(p); done {
		return code
	}
	switch {
	case !t.Given("tls-port") && !t.Given("alpn-port"):
		return t.Mistake(p, "give a port: --tls-port PORT, or --alpn-port PORT, or both")
	case o.authorizers != "" && !t.Given("alpn-port"):
		return t.Mistake(p, "--authorizers needs --alpn-port: AWS asks them on port 443 only")
	case o.dir == "":
		return t.Mistake(p, "--dir is missing, the directory of the registry, which may be empty")
	}
	fail := func(code cli.ExitCode, err error) cli.ExitCode {
		fmt.Fprintf(p.Stderr, "testbroker: %v\n", err)
		return code
	}
	to := p.Stderr
	if o.log != "" {
		file, err := os.OpenFile(o.log, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
		if err != nil {
			return fail(cli.ExitLocal, err)
		}
		defer file.Close()
		to = file
	}
	writer := aws.NewLogWriter(to)
	defer writer.Close()
	config := o.config(writer)
	trace, err := tapped(&o.trace, p, &config.Broker)
	if err != nil {
		return fail(cli.ExitLocal, err)
	}
	defer trace.Close()
	core, err := aws.New(config)
	if err != nil {
		return fail(cli.ExitTLS, err)
	}
	defer core.Close()

	ended := make(chan error, 2)
	serve := func(port int, config *tls.Config, remark string) (string, error) {
		l, err := listen(port)
		if err != nil {
			return "", err
		}
		go func() { ended <- core.Serve(context.Background(), tls.NewListener(l, config)) }()
		// The client needs a server name: to 127.0.0.1 it would send none.
		return fmt.Sprintf("mqtts://localhost:%d%s", l.Addr().(*net.TCPAddr).Port, remark), nil
	}
	var where []string
	for _, port := range []struct {
		given  bool
		number int
		config *tls.Config
		remark string
	}{
		{t.Given("tls-port"), o.tlsPort, core.TLS(), ""},
		{t.Given("alpn-port"), o.alpnPort, core.TLSWithALPN(), " (with ALPN)"},
	} {
		if !port.given {
			continue
		}
		at, err := serve(port.number, port.config, port.remark)
		if err != nil {
			return fail(cli.ExitLocal, err)
		}
		where = append(where, at)
	}
	if _, err := fmt.Fprintf(p.Stdout, "testbroker: listening on %s as AWS IoT Core (registry in %s)\n", strings.Join(where, " and "), o.dir); err != nil {
		return fail(cli.ExitLocal, err)
	}
	select {
	case <-p.Signals:
		return cli.ExitDone
	case err := <-ended:
		return fail(cli.ExitLocal, err)
	}
}

func (o *awsOptions) config(w *aws.LogWriter) aws.Config {
	config := aws.Config{
		Dir:               o.dir,
		Authorizers:       o.authorizers,
		NoServerName:      o.noSNI,
		RejectInHandshake: o.rejectInHandshake,
		Explain:           o.explain,
		SubackOnDeny:      o.subackOnDeny,
		IgnoreQoS2:        o.qos2 == "ignore",
		Strict:            o.strict,
		ConnectInterval:   o.connectInterval,
		SessionExpiry:     o.sessionExpiry,
		AckDelay:          o.ackDelay,
		RedeliverAfter:    o.redeliver,
	}
	if o.redeliver == 0 {
		config.RedeliverAfter = -1
	}
	switch o.logLevel {
	case "info":
		config.Log = w.Log
	case "error":
		config.Log = func(e aws.Entry) {
			if e.Failed() {
				w.Log(e)
			}
		}
	}
	return config
}
