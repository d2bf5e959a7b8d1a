// Dissect explains the bytes of MQTT 3.1.1: see dissect --help.
package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

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
			"FILE, or stdin, holds hex (of xxd, hexdump -C, tshark -x, arrays of Go and C, or -f hex), raw bytes, pcap or pcapng. " +
				"In hex, '#' starts a comment, a line that starts with > comes from the client, one with < from the server; " +
				"other lines of bare hex are a packet or more each.",
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
	if o.blank && o.format != "full" && o.format != "why" && o.format != "hex" {
		return t.Mistake(p, "--blank makes a worksheet of its own, and -f %s does not go with it", o.format)
	}
	conversations, err := o.read(p)
	if err != nil {
		fmt.Fprintf(p.Stderr, "dissect: %v\n", err)
		return cli.ExitLocal
	}
	if !holdsBytes(conversations) {
		fmt.Fprintln(p.Stderr, "dissect: there are no bytes to explain in the input (dissect --help says what it reads)")
		return cli.ExitLocal
	}
	var out bytes.Buffer
	pr := o.printer(p, &out)
	if o.blank {
		pr.layout.Style = dissect.Worksheet
		pr.printAll(conversations)
		out.WriteString("\f\n")
		pr = o.printer(p, &out)
	}
	pr.printAll(conversations)
	if pr.page != nil {
		pr.page.Maker = "dissect " + cli.Version()
		out.Write(pr.page.Append(nil))
	}
	if _, err := p.Stdout.Write(out.Bytes()); err != nil {
		fmt.Fprintf(p.Stderr, "dissect: cannot write to stdout: %v\n", err)
		return cli.ExitLocal
	}
	switch {
	case o.strict && pr.broken:
		return exitBroken
	case pr.cut:
		return exitCut
	}
	return cli.ExitDone
}

// holdsBytes reports whether there is a byte in any of them.
func holdsBytes(conversations []conversation) bool {
	for _, c := range conversations {
		for _, chunk := range c.chunks {
			if len(chunk.bytes) > 0 {
				return true
			}
		}
	}
	return false
}

// read gets the input and finds out what it is.
func (o *options) read(p *cli.Process) ([]conversation, error) {
	if o.hex != "" {
		return o.readHex(o.hex)
	}
	input, name := p.Stdin, "stdin"
	if o.file != "" && o.file != "-" {
		f, err := os.Open(o.file)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		input, name = f, o.file
	}
	b, err := io.ReadAll(input)
	if err != nil {
		return nil, fmt.Errorf("cannot read %s: %w", name, err)
	}
	switch {
	case o.input == "hex":
		return o.readHex(string(b))
	case o.input == "pcap" || o.input == "auto" && isCapture(b):
		return readCapture(b, o.port)
	case o.input == "auto" && isText(b):
		conversations, err := o.readHex(string(b))
		if !errors.Is(err, errNoHex) {
			return conversations, err
		}
		if packet, _ := dissect.Read(b, dissect.Unknown); !packet.NotMQTT {
			line, why, _ := strings.Cut(err.Error(), ": ")
			return nil, fmt.Errorf("%s; -I raw reads it as bytes (%s)", line, why)
		}
	}
	return []conversation{{chunks: []chunk{{from: o.direction(), bytes: b}}}}, nil
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

func (o *options) printer(p *cli.Process, out *bytes.Buffer) *printer {
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
	pr := &printer{layout: l, json: o.format == "json", out: out}
	if o.format == "page" {
		pr.page = &dissect.Page{ShowSecrets: o.secrets}
	}
	return pr
}
