// Dissect explains the bytes of MQTT 3.1.1: see dissect --help.
package main

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"syscall"

	"iotwire/internal/cli"
	"iotwire/mqtt/dissect"
)

func main() { os.Exit(int(run(cli.OS()))) }

// The exit codes that dissect has besides those of every program.
const (
	exitBroken cli.ExitCode = 9
	exitCut    cli.ExitCode = 10
)

type options struct {
	file, hex, input, from, format, spec, color string
	port, width                                 int
	blank, strict, secrets                      bool
}

func (o *options) table() *cli.Table {
	return &cli.Table{
		Program: "dissect",
		Summary: "explain MQTT 3.1.1 bytes",
		Usage:   "[options] [FILE]",
		Examples: []string{
			"dissect -x 'c0 00'             hex on the command line",
			"dissect capture.pcapng         all connections in a capture",
			"xxd packet | dissect -f why    hex in the way of many tools",
			"dissect --spec 3.3.1-4         one statement of the standard, in short words",
			"dissect --spec 3.3             every statement of a section",
		},
		Groups: []cli.Group{{Title: "Options", Options: []cli.Option{
			{Letter: "x", Name: "hex", Metavar: "HEX", Value: &o.hex, Help: "bytes as hex"},
			{Letter: "I", Name: "input", Metavar: "auto|hex|raw|pcap", Value: &o.input, Default: "auto",
				Choices: []string{"auto", "hex", "raw", "pcap"}, Help: "what FILE or stdin holds"},
			{Name: "from", Metavar: "client|server", Value: &o.from, Choices: []string{"client", "server"},
				Help: "who sent the bytes, where the input does not tell"},
			{Name: "port", Metavar: "N", Value: &o.port, Default: "1883", Min: "1", Max: "65535", Help: "server port in captures"},
			{Letter: "f", Name: "format", Metavar: "FORMAT", Value: &o.format, Default: "full",
				Choices: []string{"full", "brief", "why", "json", "hex", "page"}, Help: "full, brief, why, json, hex, or page: an illustrated one in HTML"},
			{Name: "blank", Value: &o.blank, Help: "a worksheet with blanks for the values, and behind it the answers"},
			{Name: "strict", Value: &o.strict, Help: "exit 9 if any rule is broken"},
			{Name: "spec", Metavar: "RULE", Value: &o.spec, Help: "show a statement or a section's statements, and read nothing"},
			{Name: "show-secrets", Value: &o.secrets, Help: "do not hide passwords"},
			{Name: "width", Metavar: "N", Value: &o.width, Min: "80", Max: "500", Help: "columns; $COLUMNS, or 80 to 100 by the terminal"},
			{Name: "color", Metavar: "WHEN", Value: &o.color, Default: "auto", Choices: cli.Colors, Help: "auto, always or never"},
		}}},
		OneOf:   []string{"hex", "spec"},
		Operand: &o.file,
		Notes: []string{
			"FILE, or stdin, holds hex (of xxd, hexdump -C, od -t x1, tshark -x, tcpdump -x, or -f hex), arrays as Go, C, Python and JavaScript write or print them, raw bytes, pcap or pcapng, " +
				"each perhaps in gzip. In hex, '#' starts a comment, a line that starts with > comes from the client, one with < from the server; " +
				"other lines of bare hex are a packet or more each. Each packet is printed as soon as its last byte is there.",
			"-f json prints one object a packet, with the key \"connection\" where the input names connections. Numbers count in each connection for itself.",
			"At a time it follows 256 connections of a trace and 1024 of a capture; a page shows 240 packets, and a worksheet 100.",
			"Exit status: 0 read to the end, 1 cannot read, or nothing to explain, 2 usage, 9 with --strict: rule broken, 10 input ends inside a packet.",
		},
	}
}

func run(p *cli.Process) cli.ExitCode {
	var o options
	t := o.table()
	if code, done := t.Parse(p); done {
		return code
	}
	if o.spec != "" {
		return o.showStatements(t, p)
	}
	if o.hex != "" && o.file != "" {
		return t.Mistake(p, "-x/--hex and a file exclude each other")
	}
	if o.hex == "" && o.file == "" && p.TerminalInput {
		return t.Mistake(p, "nothing to read: give a FILE, -x HEX, or a pipe")
	}
	if o.blank && o.format != "full" && o.format != "why" {
		return t.Mistake(p, "--blank makes a worksheet of its own, and -f %s does not go with it", o.format)
	}
	pr := o.printer(p)
	interrupted, err := o.read(p, pr)
	if !errors.As(err, new(writeError)) {
		if failed := pr.end("dissect " + cli.Version()); failed != nil {
			err = writeError{failed}
		}
	}
	switch {
	case errors.Is(err, syscall.EPIPE): // who reads has seen enough
		return cli.ExitDone
	case errors.As(err, new(writeError)):
		if path := (*os.PathError)(nil); errors.As(err, &path) {
			err = path.Err
		}
		fmt.Fprintf(p.Stderr, "dissect: cannot write to stdout: %v\n", err)
		return cli.ExitLocal
	case err != nil:
		fmt.Fprintf(p.Stderr, "dissect: %v\n", err)
		return cli.ExitLocal
	case interrupted != cli.ExitDone:
		return interrupted
	case pr.packets == 0:
		fmt.Fprintln(p.Stderr, "dissect: there are no bytes to explain in the input (dissect --help says what it reads)")
		return cli.ExitLocal
	case o.strict && pr.broken:
		return exitBroken
	case pr.cut:
		return exitCut
	}
	return cli.ExitDone
}

// direction is what --from says.
func (o *options) direction() dissect.Direction {
	switch o.from {
	case "client":
		return dissect.ToServer
	case "server":
		return dissect.ToClient
	}
	return dissect.Unknown
}

func (o *options) printer(p *cli.Process) *printer {
	l := dissect.Layout{
		Width:       o.width,
		ASCII:       !cli.UTF8(p),
		Color:       p.Colored(p.Terminal, o.color),
		ShowSecrets: o.secrets,
		Style: map[string]dissect.Style{"full": dissect.Full, "brief": dissect.Brief, "why": dissect.Why,
			"hex": dissect.Hex}[o.format],
	}
	if l.Width == 0 {
		l.Width = p.Width(p.Terminal)
	}
	pr := &printer{layout: l, json: o.format == "json", out: bufio.NewWriterSize(p.Stdout, bufferSize), errors: p.Stderr}
	if o.format == "page" {
		pr.page = &dissect.Page{ShowSecrets: o.secrets}
	}
	if o.blank {
		pr.sheet = &worksheet{width: max(l.Width, 80), ascii: l.ASCII, secrets: o.secrets}
	}
	return pr
}
