package cli

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"sync/atomic"

	"iotwire/iot"
	"iotwire/mqtt"
)

// checkup is what --check does in place of the program's work: it walks the way to the server with what the program
// itself would send there, once, and nothing else. It connects under the client id of the program, since policies name
// that, and asks for the same kind of session. The subscriber subscribes to its filters and leaves the messages with the
// server; the publisher sends its message, or none if it has none: a message has consequences, and nobody would expect one
// that was not given. The report goes to standard output: it is what was asked for.
type checkup struct {
	o       *connection
	process *Process
	log     *console

	filters []string          // to subscribe to
	message *mqtt.Message     // to publish; nil: none
	skipped map[string]string // why a step that others take is left out, by its name
	hint    string            // what else it could do

	lowered bool  // a subscription was granted for less than was asked for
	failed  error // of standard output
}

func (o *connection) checkOption(help string) Option {
	return Option{Name: "check", Value: &o.check, Help: "find out why it does not work, a line for each step on the way; " + help}
}

// run walks, and returns the exit code that the program itself would have ended with.
func (c *checkup) run(target iot.Endpoint) (code ExitCode) {
	trace, err := c.o.openTrace(c.process, c.log, target.String())
	if err != nil {
		c.log.fail(err.Error())
		return ExitLocal
	}
	defer trace.close(&code)
	if err := c.o.awaitClock(c.process, c.log); err != nil {
		f := failureOf(nil, err)
		c.log.fail(f.lines...)
		return f.code
	}
	server, err := c.o.server(target, c.process, c.log)
	if err != nil {
		f := diagnose(err, server)
		c.log.fail(f.lines...)
		return f.code
	}
	if server.ClientID == "" {
		server.ClientID = iot.NewClientID(c.o.prefix)
	}
	if target.TLS {
		server.Credentials, _ = c.o.credentials(target) // if that fails, the walk finds it
		if server.KeyLog, err = c.o.keyLog(c.log); err != nil {
			c.log.fail(err.Error())
			return ExitLocal
		}
	}
	walk := iot.Checkup{
		Config: *server,
		Files:  c.o.files(),
		Prepare: func(cfg *mqtt.Config) {
			c.o.prepare(cfg)
			trace.attach(cfg)
		},
		Subscribe: c.filters, SubscribeQoS: mqtt.QoS(c.o.qos),
		Publish: c.message,
		Timeout: c.o.timeout,
		Lookup:  c.process.lookup,
	}

	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var signal atomic.Pointer[os.Signal]
	go func() {
		select {
		case s := <-c.process.Signals:
			signal.Store(&s)
			cancel()
		case <-ctx.Done():
		}
	}()
	c.say("checking the way to %s%s as %s; %s", target, through(server.Proxy), oneLine(server.ClientID), c.sends())
	for step := range walk.Steps(ctx) {
		if signal.Load() != nil {
			break // it would find that it was interrupted
		}
		code = c.tell(step)
	}
	switch s := signal.Load(); {
	case s != nil:
		c.log.warn("interrupted")
		return signalCode(*s)
	case c.failed != nil && !isClosedPipe(c.failed):
		c.log.fail(outputError(c.failed).Error())
		return ExitLocal
	case code == ExitDone && c.lowered:
		c.say("it works, but not at QoS %d", c.o.qos)
	case code == ExitDone:
		c.say("nothing is wrong on the way%s", c.hint)
	}
	return code
}

// tell prints a step, and what is behind a failure. It returns the exit code for it.
func (c *checkup) tell(step iot.Step) ExitCode {
	if why := c.skipped[step.Name]; why != "" && step.Result == iot.Skipped {
		step.Found = "not tried: " + why
	}
	line := fmt.Sprintf("%-4s  %-14s  %s", step.Result, step.Name, step.Found)
	switch step.Result {
	case iot.Passed, iot.Skipped:
		c.say("%s", line)
		return ExitDone
	case iot.Warned:
		c.lowered = c.lowered || step.Name == "SUBSCRIBE"
		c.print(line)
		return ExitDone
	}
	f := failureOf(step.Diagnosis, step.Err)
	c.print(strings.Join(append([]string{line}, f.lines[1:]...), "\n      "))
	if f.code == ExitLost && c.message != nil {
		return ExitUnanswered // as without --check
	}
	return f.code
}

// sends says what the server gets.
func (c *checkup) sends() string {
	switch {
	case c.message != nil:
		return "one message of " + plural(len(c.message.Payload), "byte") + " is sent to " + oneLine(c.message.Topic)
	case c.filters != nil:
		return "it subscribes to " + oneLine(strings.Join(c.filters, ", ")) + ", and leaves the messages with the server"
	}
	return "no message is sent"
}

func (c *checkup) say(format string, args ...any) {
	if !c.o.quiet {
		c.print(fmt.Sprintf(format, args...))
	}
}

func (c *checkup) print(text string) {
	if _, err := io.WriteString(c.process.Stdout, text+"\n"); err != nil && c.failed == nil {
		c.failed = err
	}
}
