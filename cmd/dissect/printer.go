package main

import (
	"bufio"
	"fmt"
	"io"
	"strings"
	"time"

	"iotwire/mqtt/dissect"
)

// printer writes packets as they come, and remembers what decides about the exit code.
type printer struct {
	out    *bufio.Writer // flushed whenever more input has to be waited for
	errors io.Writer
	text   []byte // memory for that of a packet

	layout dissect.Layout
	json   bool
	page   *dissect.Page // if it is a page that is wanted
	sheet  *worksheet    // if it is a worksheet

	last        *conversation // that a line was about
	packets     int
	loose       int // of them, those outside of a session
	broken, cut bool
}

// failed is the first error of writing.
func (pr *printer) failed() error {
	_, err := pr.out.Write(nil)
	return err
}

// number gives p the next number outside of a session.
func (pr *printer) number(p *dissect.Packet) {
	pr.loose++
	p.Number = pr.loose
}

// people reports whether the output is text for people.
func (pr *printer) people() bool { return !pr.json && pr.page == nil }

// heading says which connection the next lines are about, if the last ones were about another.
func (pr *printer) heading(c *conversation) {
	if pr.last != c && c.title != "" && pr.people() {
		fmt.Fprintf(pr.out, "# %s\n", c.title)
		if pr.sheet != nil {
			pr.sheet.answers = fmt.Appendf(pr.sheet.answers, "# %s\n", c.title)
		}
	}
	pr.last = c
}

// print prints a packet of c.
func (pr *printer) print(c *conversation, p *dissect.Packet) {
	pr.packets++
	pr.broken = pr.broken || p.Broken()
	pr.cut = pr.cut || p.Missing > 0
	switch {
	case pr.page != nil:
		if c.page == nil {
			from, to, _ := strings.Cut(c.title, " to ")
			c.page = pr.page.Connect(from, to, "", time.Time{})
		}
		c.page.Add(p)
	case pr.json:
		b := dissect.AppendJSON(pr.text[:0], p, pr.layout.ShowSecrets)
		pr.keep(b)
		if c.title != "" {
			fmt.Fprintf(pr.out, `{"connection":%q,`, c.title)
			b = b[1:]
		}
		pr.out.Write(b)
	case pr.layout.Style != dissect.Hex && p.NotMQTT && len(p.Findings) == 0:
		c.undecoded += len(p.Bytes)
	case pr.sheet != nil && pr.sheet.shown >= worksheetPackets: // it is full
	default:
		pr.lines(c, p)
	}
}

// lines prints a packet for people.
func (pr *printer) lines(c *conversation, p *dissect.Packet) {
	pr.heading(c)
	pr.layout.Times = c.session != nil && !c.session.Untimed
	if w := pr.sheet; w != nil {
		w.shown++
		pr.out.Write(w.append(nil, p))
		w.answers = pr.layout.Append(w.answers, p)
		return
	}
	b := pr.layout.Append(pr.text[:0], p)
	pr.keep(b)
	pr.out.Write(b)
}

// keep keeps memory for the next packet, unless this one was large.
func (pr *printer) keep(b []byte) {
	if pr.text = b; cap(b) > bufferSize {
		pr.text = nil
	}
}

// say prints a remark about c, between the packets for people, and beside them for programs.
func (pr *printer) say(c *conversation, format string, values ...any) {
	text := fmt.Sprintf(format, values...)
	if w := pr.sheet; w != nil {
		if w.shown < worksheetPackets {
			w.answers = fmt.Appendf(w.answers, "# %s\n", text)
		}
		return
	}
	if pr.people() {
		pr.heading(c)
		fmt.Fprintf(pr.out, "# %s\n", text)
		return
	}
	if c.title != "" {
		text = c.title + ": " + text
	}
	fmt.Fprintf(pr.errors, "dissect: %s\n", text)
}

// end writes what can only be written at the end.
func (pr *printer) end(maker string) error {
	if w := pr.sheet; w != nil && w.shown > 0 {
		if w.shown == worksheetPackets && pr.packets > w.shown {
			fmt.Fprintf(pr.out, "# %d more packets are left out: a worksheet has %d at most\n", pr.packets-w.shown, worksheetPackets)
		}
		pr.out.WriteString("\f\n# answers\n")
		pr.out.Write(w.answers)
	}
	if pr.page != nil && pr.packets > 0 {
		pr.page.Maker = maker
		pr.out.Write(pr.page.Append(nil))
	}
	return pr.out.Flush()
}
