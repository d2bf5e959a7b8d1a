package main

import (
	"bytes"
	"fmt"
	"strings"
	"time"

	"iotwire/mqtt/dissect"
)

// conversation is bytes that belong together.
type conversation struct {
	title   string // of a connection in a capture
	chunks  []chunk
	session bool // both sides of a connection are there: what happens between packets is judged
	midway  bool // its beginning is not there
	untimed bool
}

// chunk is bytes that came at a time.
type chunk struct {
	from  dissect.Direction
	at    time.Duration
	bytes []byte
}

// printer writes packets, and remembers what decides about the exit code.
type printer struct {
	layout      dissect.Layout
	json        bool
	page        *dissect.Page // if it is not text that is wanted
	connection  *dissect.PageConnection
	out         *bytes.Buffer
	n           int
	broken, cut bool
}

func (pr *printer) printAll(conversations []conversation) {
	for _, c := range conversations {
		if pr.page != nil {
			from, to, _ := strings.Cut(c.title, " to ")
			pr.connection = pr.page.Connect(from, to, "", time.Time{})
		} else if c.title != "" && !pr.json {
			fmt.Fprintf(pr.out, "# %s\n", c.title)
		}
		if !c.session {
			for _, chunk := range c.chunks {
				pr.printEach(chunk)
			}
			continue
		}
		pr.layout.Times = !c.untimed
		s := dissect.Session{Midway: c.midway, Untimed: c.untimed}
		var last time.Duration
		for _, chunk := range c.chunks {
			last = chunk.at
			for _, p := range s.Add(chunk.from, chunk.at, chunk.bytes) {
				pr.print(&p)
			}
		}
		for _, p := range s.Close(last) {
			pr.print(&p)
		}
		open := s.Unanswered()
		pr.connection.Close(open)
		if open != "" && !pr.json && pr.page == nil {
			fmt.Fprintf(pr.out, "# %s\n", open)
		}
	}
}

// printEach prints the packets of bytes of which nothing else is known.
func (pr *printer) printEach(c chunk) {
	for offset := 0; offset < len(c.bytes); {
		p, n := dissect.Read(c.bytes[offset:], c.from)
		p.Offset = offset
		offset += n
		pr.n++
		p.Number = pr.n
		pr.print(&p)
	}
}

func (pr *printer) print(p *dissect.Packet) {
	pr.broken = pr.broken || p.Broken()
	pr.cut = pr.cut || p.Missing > 0
	if pr.page != nil {
		pr.connection.Add(p)
		return
	}
	if pr.json {
		pr.out.Write(dissect.AppendJSON(nil, p, pr.layout.ShowSecrets))
		return
	}
	pr.out.Write(pr.layout.Append(nil, p))
}
