package cli

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"time"
)

// console is what a program says on standard error, a line in one write each. Several goroutines may use it.
type console struct {
	program string
	quiet   bool // only what went wrong

	mu  sync.Mutex
	out io.Writer
}

// say prints a line on how things go.
func (c *console) say(format string, args ...any) {
	if !c.quiet {
		c.print(fmt.Sprintf(format, args...))
	}
}

// warn prints a line on what may surprise, with the program's name in front.
func (c *console) warn(format string, args ...any) {
	if !c.quiet {
		c.print(c.program + ": " + fmt.Sprintf(format, args...))
	}
}

// fail prints what went wrong, with the program's name in front, and behind it what to do about it, a line each.
func (c *console) fail(lines ...string) {
	c.print(c.program + ": " + strings.Join(lines, "\n  "))
}

func (c *console) print(text string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	io.WriteString(c.out, text+"\n") // who closed standard error does not want to know
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
func plural(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}
