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

// checkup is what --check does in place of the program's work: it walks the way to the server, with what the program
// itself would send there, and no more. Its report goes to standard output, as it is what was asked for.
type checkup struct {
	o       *connection
	process *Process
	log     *console

	filters []string      // to subscribe to
	message *mqtt.Message // to publish; nil: none
	hint    string        // what would make it publish
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
	server := c.o.server(c.process)
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
		Config: server,
		Files:  c.o.files(),
		Prepare: func(cfg *mqtt.Config) {
			c.o.prepare(cfg)
			trace.attach(cfg)
		},
		Subscribe: c.filters,
		Publish:   c.message,
		Timeout:   c.o.timeout,
		Lookup:    c.process.lookup,
	}
	c.print("checking the way to %s as %s; %s", target, oneLine(server.ClientID), c.sends())

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
	for step := range walk.Steps(ctx) {
		if s := signal.Load(); s != nil {
			break // what it found is that it was interrupted
		}
		if c.o.quiet && (step.Result == iot.Passed || step.Result == iot.Skipped) {
			continue
		}
		fmt.Fprintf(c.process.Stdout, "%-4s  %-14s  %s\n", step.Result, step.Name, step.Found)
		if step.Result == iot.Failed {
			code = c.explain(step)
		}
	}
	switch s := signal.Load(); {
	case s != nil:
		c.log.warn("interrupted")
		return signalCode(*s)
	case code == ExitDone && c.hint != "":
		c.print("nothing is wrong on the way; %s", c.hint)
	case code == ExitDone:
		c.print("nothing is wrong on the way")
	}
	return code
}

// explain prints what is behind the first line of a failure.
func (c *checkup) explain(step iot.Step) ExitCode {
	f := failureOf(step.Diagnosis, step.Err)
	for _, line := range f.lines[1:] {
		fmt.Fprintf(c.process.Stdout, "      %s\n", line)
	}
	if f.code == ExitLost && step.Name == "PUBLISH" {
		return ExitUnanswered // as without --check
	}
	return f.code
}

// sends says what the server gets.
func (c *checkup) sends() string {
	switch {
	case c.message != nil:
		return fmt.Sprintf("one message of %s is sent to %s", plural(len(c.message.Payload), "byte"), oneLine(c.message.Topic))
	case c.filters != nil:
		return "subscribes to " + oneLine(strings.Join(c.filters, ", ")) + ", and leaves the messages with the server"
	}
	return "no message is sent"
}

func (c *checkup) print(format string, args ...any) {
	if !c.o.quiet {
		io.WriteString(c.process.Stdout, fmt.Sprintf(format, args...)+"\n")
	}
}
