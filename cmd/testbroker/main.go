// Testbroker is an MQTT 3.1.1 broker on the loopback interface, plain, with mutual TLS, or both, or AWS IoT Core.
package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"

	"iotwire/internal/cli"
	"iotwire/internal/testbroker"
	"iotwire/mqtt/packet"
)

func main() { os.Exit(int(run(cli.OS()))) }

type options struct {
	port, tlsPort int
	dir           string
	deny          []string
	cut           string
	aws           bool
	trace         cli.TraceOptions
}

func (o *options) table() *cli.Table {
	return &cli.Table{
		Program: "testbroker",
		Summary: "an MQTT 3.1.1 broker on 127.0.0.1",
		Usage:   "-p PORT | --tls-port PORT --dir DIR [options]",
		Examples: []string{
			"testbroker -p 1883",
			"testbroker -p 0 --deny-subscribe secret/#",
			"testbroker --tls-port 8883 --dir certs",
		},
		Groups: []cli.Group{{Title: "Options", Options: []cli.Option{
			{Letter: "p", Name: "port", Metavar: "PORT", Value: &o.port, Max: "65535", Min: "0",
				Help: "serve plain TCP; 0 is any free port"},
			{Name: "tls-port", Metavar: "PORT", Value: &o.tlsPort, Max: "65535", Min: "0",
				Help: "serve mutual TLS; 0 is any free port"},
			{Name: "dir", Metavar: "DIR", Value: &o.dir,
				Help: "certificates for TLS; made if there are none: private.key, cert.pem and AmazonRootCA1.pem are a device's"},
			{Name: "deny-subscribe", Metavar: "FILTER", Value: &o.deny,
				Help: "answer this topic filter with 0x80; can be given again"},
			{Name: "cut", Metavar: "PACKET", Value: &o.cut, Choices: packetNames(),
				Help: "lose the first packet with this name, such as PUBREC, and its connection; needs -p"},
			{Name: "aws", Value: &o.aws,
				Help: "the rules of AWS IoT Core, with options of its own: testbroker --aws --help"},
		}}, {Title: "To see what travels", Options: append(o.trace.Options(), o.trace.ColorOption())}},
		Notes: []string{"When it listens it prints one line that says where. SIGINT and SIGTERM end it with exit code 0.",
			"testbroker eval decides about one request by AWS IoT policies, without a broker: testbroker eval --help.",
			"testbroker advisor runs a program through the test cases of AWS IoT Device Advisor: testbroker advisor --help."},
	}
}

func run(p *cli.Process) cli.ExitCode {
	if len(p.Args) > 0 && p.Args[0] == "eval" {
		command := *p
		command.Args = p.Args[1:]
		return eval(&command)
	}
	if len(p.Args) > 0 && p.Args[0] == "advisor" {
		command := *p
		command.Args = p.Args[1:]
		return advise(&command)
	}
	if wantsAWS(p) {
		return runAWS(p)
	}
	var o options
	t := o.table()
	if code, done := t.Parse(p); done {
		return code
	}
	if o.aws {
		return runAWS(p) // spelled in another way
	}
	switch {
	case !t.Given("port") && !t.Given("tls-port"):
		return t.Mistake(p, "give a port: -p PORT, or --tls-port PORT with --dir DIR, or both")
	case t.Given("tls-port") && o.dir == "":
		return t.Mistake(p, "--tls-port needs --dir, the directory of the certificates")
	case o.cut != "" && t.Given("tls-port"):
		return t.Mistake(p, "--cut is for -p: within TLS nobody can tell a packet from another")
	case t.Given("dir") && !t.Given("tls-port"):
		return t.Mistake(p, "--dir is for --tls-port, which is not given")
	}
	for _, filter := range o.deny {
		if err := packet.ValidFilter(filter); err != nil {
			return t.Mistake(p, "--deny-subscribe: %w", err)
		}
	}

	fail := func(code cli.ExitCode, err error) cli.ExitCode {
		fmt.Fprintf(p.Stderr, "testbroker: %v\n", err)
		return code
	}
	var listeners []net.Listener
	var where []string
	if t.Given("port") {
		l, err := listen(o.port)
		if err != nil {
			return fail(cli.ExitLocal, err)
		}
		defer l.Close()
		where = append(where, "mqtt://"+l.Addr().String())
		if o.cut != "" {
			l = cutting(l, o.cut, p.Stdout)
		}
		listeners = append(listeners, l)
	}
	if t.Given("tls-port") {
		certificates, err := testbroker.EnsureCertificates(o.dir)
		if err != nil {
			return fail(cli.ExitTLS, err)
		}
		config, err := certificates.ServerConfig()
		if err != nil {
			return fail(cli.ExitTLS, err)
		}
		l, err := listen(o.tlsPort)
		if err != nil {
			return fail(cli.ExitLocal, err)
		}
		defer l.Close()
		listeners = append(listeners, tls.NewListener(l, config))
		where = append(where, fmt.Sprintf("mqtts://%v (certificates in %s)", l.Addr(), o.dir))
	}
	if _, err := fmt.Fprintf(p.Stdout, "testbroker: listening on %s\n", strings.Join(where, " and ")); err != nil {
		return fail(cli.ExitLocal, err)
	}

	config := testbroker.Config{DenySubscribe: o.deny}
	trace, err := tapped(&o.trace, p, &config)
	if err != nil {
		return fail(cli.ExitLocal, err)
	}
	defer trace.Close()
	broker := testbroker.New(config)
	defer broker.Close()
	ended := make(chan error, len(listeners))
	for _, l := range listeners {
		go func() { ended <- broker.Serve(context.Background(), l) }()
	}
	select {
	case <-p.Signals:
		return cli.ExitDone
	case err := <-ended:
		return fail(cli.ExitLocal, err)
	}
}

// tapped makes the trace that o asks for, nil if it asks for none, part of config.
func tapped(o *cli.TraceOptions, p *cli.Process, config *testbroker.Config) (*cli.ServerTrace, error) {
	trace, err := o.Server(p, "testbroker")
	if trace != nil {
		config.Tap = trace.Tap
	}
	return trace, err
}

// listen says in few words why it cannot.
func listen(port int) (net.Listener, error) {
	l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
	var operation *net.OpError
	if errors.As(err, &operation) {
		return nil, fmt.Errorf("cannot listen on 127.0.0.1:%d: %w; give another port, or 0 for any that is free",
			port, operation.Err)
	}
	return l, err
}
