package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"syscall"
	"unicode/utf8"

	"iotwire/internal/cli"
	"iotwire/internal/testbroker/advisor"
)

// The exit codes of advisor, besides those of success, use and interruption.
const (
	exitCaseFailed cli.ExitCode = 1
	exitNoRun      cli.ExitCode = 3 // this machine failed
)

// advisorOptions are those of testbroker advisor, which plays AWS IoT Device Advisor.
type advisorOptions struct {
	cases      []string
	json, list bool
}

func (o *advisorOptions) table() *cli.Table {
	return &cli.Table{
		Program: "testbroker advisor",
		Summary: "AWS IoT Device Advisor's test cases, for any program",
		Usage:   "[--case ID]... [--json] -- PROGRAM ARGS...",
		Examples: []string{
			"testbroker advisor -- subscriber -e {endpoint}:{port} -C {dir} -k 5 --aws \\",
			"  --client-id me --persistent --store {dir}/session",
			"testbroker advisor --case 'TLS_*' -- mosquitto_sub -h {endpoint} -p {port} \\",
			"  -t a --cafile {dir}/AmazonRootCA1.pem --cert {dir}/cert.pem \\",
			"  --key {dir}/private.key",
			"testbroker advisor --list",
		},
		Groups: []cli.Group{{Title: "Options", Options: []cli.Option{
			{Name: "case", Metavar: "ID", Value: &o.cases,
				Help: "only this case; * stands for any characters; can be given again"},
			{Name: "json", Value: &o.json, Help: "a report with all events on standard output, in place of the table"},
			{Name: "list", Value: &o.list, Help: "print the cases and what they ask for"},
		}}},
		Notes: []string{
			"The program runs once or twice for each case, against a server that fails as the case says, and some cases run " +
				"side by side: all together take less than three minutes. In ARGS {endpoint} is replaced by the server's " +
				"name, {port} by its port, and {dir} by a directory made for this run alone, with private.key, cert.pem and " +
				"AmazonRootCA1.pem; what the program keeps between its connections belongs there too. It has no standard " +
				"input. When its case is over its process group gets SIGTERM, and SIGKILL a second later; what it has started in " +
				"another process group, or as another session, is left to it.",
			"Each case ends with pass, warn (pass with warnings), fail, or n/a if the program does nothing of what the case is " +
				"about. A program shows within 10 seconds of its connection whether it publishes or subscribes. Where AWS waits " +
				"for minutes or hours, seconds have to do: give the program a keep alive time of 5 s, say, and a short time-out, " +
				"if it has options for them. Each delay between attempts to connect is measured from the end of a connection to " +
				"the arrival of the next, on this machine, which should not be busy with other things.",
			"Ctrl-C or SIGTERM ends the programs that run, and prints what was found.",
			"Exit status: 0 no case failed, 1 a case failed, 2 usage, 3 this machine failed (files, ports), 130/143 interrupted.",
		},
	}
}

func advise(p *cli.Process) cli.ExitCode {
	var o advisorOptions
	t := o.table()
	options, program := *p, []string(nil)
	end := slices.Index(p.Args, "--")
	if end >= 0 {
		options.Args, program = p.Args[:end], p.Args[end+1:]
	}
	if code, done := t.Parse(&options); done {
		return code
	}
	cases, err := advisor.Select(o.cases)
	if err != nil {
		return t.Mistake(p, "--case: %w; --list lists them", err)
	}
	if o.list {
		return listCases(p, cases)
	}
	switch {
	case len(program) == 0:
		return t.Mistake(p, "no program: testbroker advisor -- PROGRAM ARGS..., with {endpoint}, {port} and {dir} in ARGS")
	case !slices.ContainsFunc(program[1:], func(a string) bool { return strings.Contains(a, "{port}") }):
		return t.Mistake(p, "no {port} in the program's arguments: it would not find the server, whose port is another each time")
	}
	if err := advisor.LookUp(program[0]); err != nil {
		return t.Mistake(p, "%w", err)
	}
	ctx, cancel := context.WithCancelCause(context.Background())
	defer cancel(nil)
	over := make(chan struct{})
	defer close(over)
	go func() {
		select {
		case s := <-p.Signals:
			cancel(interrupted{s})
		case <-over:
		}
	}()
	return runAdvisor(ctx, p, &o, program, cases)
}

// interrupted is why a run ended before its end.
type interrupted struct{ signal os.Signal }

func (i interrupted) Error() string { return fmt.Sprintf("interrupted (%v)", i.signal) }

// code is the exit code for it.
func (i interrupted) code() cli.ExitCode {
	if i.signal == syscall.SIGTERM {
		return cli.ExitTerminated
	}
	return cli.ExitInterrupted
}

func runAdvisor(ctx context.Context, p *cli.Process, o *advisorOptions, program []string, cases []advisor.Case) cli.ExitCode {
	printer := casePrinter{p: p, quiet: o.json}
	for _, c := range cases {
		printer.width = max(printer.width, len(c.ID))
	}
	fmt.Fprintf(p.Stderr, "testbroker advisor: %s, at most three minutes\n", plural(len(cases), "case"))
	report, err := advisor.Run(ctx, program, cases, printer.print)
	var stopped interrupted
	switch {
	case err == nil:
	case errors.As(err, &stopped) && report != nil:
		fmt.Fprintf(p.Stderr, "testbroker advisor: %v: %d of %s finished, the program was ended\n",
			stopped, len(report.Cases), plural(len(cases), "case"))
	default:
		fmt.Fprintf(p.Stderr, "testbroker advisor: %v\n", err)
		return exitNoRun
	}
	if o.json {
		_, printer.err = p.Stdout.Write(report.JSON())
	} else if printer.err == nil {
		_, printer.err = fmt.Fprintln(p.Stdout, summary(report))
	}
	switch {
	case printer.err != nil:
		fmt.Fprintf(p.Stderr, "testbroker advisor: %v\n", printer.err)
		return exitNoRun
	case err != nil:
		return stopped.code()
	case report.Failed():
		return exitCaseFailed
	}
	return cli.ExitDone
}

// casePrinter prints the table, a row as soon as its case is over.
type casePrinter struct {
	p     *cli.Process
	quiet bool
	width int // of the first column
	err   error
}

func (c *casePrinter) print(r advisor.Result) {
	if c.quiet || c.err != nil {
		return
	}
	const columns = 130
	lead := fmt.Sprintf("%-*s  %-4s  ", c.width, r.ID, r.Verdict)
	var text strings.Builder
	used := 0
	for i, word := range strings.Fields(r.Reason) {
		n := utf8.RuneCountInString(word)
		switch {
		case i == 0:
		case len(lead)+used+1+n > columns:
			text.WriteString("\n" + strings.Repeat(" ", len(lead)))
			used = 0
		default:
			text.WriteByte(' ')
			used++
		}
		text.WriteString(word)
		used += n
	}
	_, c.err = fmt.Fprintln(c.p.Stdout, lead+text.String())
}

// summary counts the verdicts.
func summary(r *advisor.Report) string {
	count := map[advisor.Verdict]int{}
	for _, c := range r.Cases {
		count[c.Verdict]++
	}
	return fmt.Sprintf("%s: %d pass, %d pass with warnings, %d fail, %d n/a", plural(len(r.Cases), "case"),
		count[advisor.Pass], count[advisor.Warn], count[advisor.Fail], count[advisor.NotApplicable])
}

func plural(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}

// listCases prints the cases.
func listCases(p *cli.Process, cases []advisor.Case) cli.ExitCode {
	for _, c := range cases {
		_, err := fmt.Fprintf(p.Stdout, "%-55s %s\n", c.ID, c.Passing)
		if errors.Is(err, syscall.EPIPE) {
			return cli.ExitDone // whoever reads it has seen enough
		}
		if err != nil {
			fmt.Fprintf(p.Stderr, "testbroker advisor: %v\n", err)
			return exitNoRun
		}
	}
	return cli.ExitDone
}
