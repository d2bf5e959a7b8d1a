package cli

import (
	"fmt"
	"io"
	"sync"
	"time"
)

// console is what a program says on standard error, a line in one write each. Several goroutines may use it. Whatever
// comes from the network, or from the names of files, is shown without the power to change what a terminal shows.
type console struct {
	program string
	quiet   bool // only what went wrong
	terse   bool // nor how things go: nobody watches

	mu     sync.Mutex
	failed []string // the lines of fail, the first few
	out    io.Writer
	status *statusLine // nil: there is none
}

// say prints a line on how things go.
//
//go:noinline
func (c *console) say(format string, args ...any) {
	if !c.terse {
		c.conclude(format, args...)
	}
}

// conclude prints a line on how it went in the end.
func (c *console) conclude(format string, args ...any) {
	if !c.quiet {
		c.print(oneLine(fmt.Sprintf(format, args...)))
	}
}

// warn prints a line on what may surprise, with the program's name in front.
func (c *console) warn(format string, args ...any) {
	c.warnLines(fmt.Sprintf(format, args...))
}

// warnLines is warn, with lines below it that explain the first one.
func (c *console) warnLines(lines ...string) {
	if !c.quiet {
		c.complain(lines...)
	}
}

// fail prints what went wrong, with the program's name in front, and behind it what to do about it, a line each.
func (c *console) fail(lines ...string) {
	c.mu.Lock()
	if len(c.failed) < 16 {
		c.failed = append(c.failed, lines...)
	}
	c.mu.Unlock()
	c.complain(lines...)
}

// complain prints lines with the program's name in front.
func (c *console) complain(lines ...string) {
	text := c.program + ": "
	for i, line := range lines {
		if i > 0 {
			text += "\n  "
		}
		text += oneLine(line)
	}
	c.print(text)
}

// print prints text as it is.
func (c *console) print(text string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.status != nil {
		c.status.print(text + "\n")
		return
	}
	io.WriteString(c.out, text+"\n") // who closed standard error does not want to know
}

// startStatus shows what text says below all lines to come, until endStatus.
func (c *console) startStatus(columns int, text func() string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.status = newStatusLine(c.out, columns, text)
}

// endStatus takes the status line away, if there is one.
func (c *console) endStatus() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.status != nil {
		c.status.end()
		c.status = nil
	}
}

// span writes a duration for people: 0.4 ms, 41 ms, 2.1 s, 1m30s.
func span(d time.Duration) string {
	switch {
	case d < 9950*time.Microsecond:
		return fmt.Sprintf("%.1f ms", d.Seconds()*1e3)
	case d < 999500*time.Microsecond:
		return fmt.Sprintf("%.0f ms", d.Seconds()*1e3)
	case d < 59950*time.Millisecond:
		return fmt.Sprintf("%.1f s", d.Seconds())
	}
	return d.Round(time.Second).String()
}

// plural is "1 message", "2 messages".
//
//go:noinline
func plural(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}
