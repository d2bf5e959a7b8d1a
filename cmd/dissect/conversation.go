package main

import (
	"time"

	"iotwire/mqtt/dissect"
)

// conversation is bytes that belong together: those of one connection, or of which nothing else is known. What is
// complete is printed at once.
type conversation struct {
	pr      *printer
	title   string           // of a connection among others
	session *dissect.Session // both sides of a connection are there: what happens between packets is judged
	stream  dissect.Stream   // if they are not
	page    *dissect.PageConnection

	last      time.Duration
	undecoded int // bytes that came after the last ones that could be divided into packets
}

// blockSize is how many bytes are looked at in one go.
const blockSize = 4096

// connection begins a conversation between a client and a server.
func (pr *printer) connection(title string, midway bool) *conversation {
	return &conversation{pr: pr, title: title, session: &dissect.Session{Midway: midway}}
}

// bytes begins a conversation of bytes that came from where d says, or nobody knows.
func (pr *printer) bytes(d dissect.Direction) *conversation {
	return &conversation{pr: pr, stream: dissect.Stream{Direction: d, Block: blockSize}}
}

// add takes bytes in. The error is that of writing.
func (c *conversation) add(from dissect.Direction, at time.Duration, b []byte) error {
	c.last = at
	for len(b) > 0 {
		piece := b[:min(len(b), blockSize)]
		b = b[len(piece):]
		if c.session != nil {
			c.show(c.session.Add(from, at, piece))
		} else {
			c.stream.Add(piece)
			for p, ok := c.stream.Next(); ok; p, ok = c.stream.Next() {
				c.pr.number(&p)
				c.pr.print(c, &p)
			}
		}
		if err := c.pr.failed(); err != nil {
			return err
		}
	}
	return nil
}

func (c *conversation) show(packets []dissect.Packet) {
	for i := range packets {
		c.pr.print(c, &packets[i])
	}
}

// lose says that n bytes were not seen, or nobody knows how many if n is 0.
func (c *conversation) lose(from dissect.Direction, at time.Duration, n int) {
	c.show(c.session.Lose(from, at, n))
}

// close prints what the end cut short, and what waits for an answer.
func (c *conversation) close() error {
	open := ""
	if c.session != nil {
		c.show(c.session.Close(c.last))
		open = c.session.Unanswered()
		c.page.Close(open)
	} else if p, ok := c.stream.Close(); ok {
		c.pr.number(&p)
		c.pr.print(c, &p)
	}
	if c.undecoded > 0 {
		c.pr.say(c, "%d more bytes behind them, which nobody can divide into packets", c.undecoded)
	}
	if open != "" && c.pr.people() {
		c.pr.say(c, "%s", open)
	}
	return c.pr.failed()
}
