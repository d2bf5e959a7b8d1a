package cli

import (
	"io"
	"strings"
	"sync/atomic"

	"iotwire/mqtt"
	"iotwire/mqtt/packet"
)

// printer writes the messages of a subscriber to standard output. The loops of several subscriptions share it.
type printer struct {
	log     *console
	filters []string // of the subscriptions, in the order of the command line
	limit   int      // messages to print; 0: no limit
	escape  bool     // out is a terminal

	turn chan struct{} // holds one token; who has it uses the next three. No mutex: out may block for as long as it likes
	out  io.Writer
	buf  []byte
	full bool

	count, bytes atomic.Int64 // messages printed, and the size of their payloads
}

func newPrinter(log *console, filters []string, limit int, escape bool, out io.Writer) *printer {
	return &printer{log: log, filters: filters, limit: limit, escape: escape, out: out, turn: make(chan struct{}, 1)}
}

// verdict is what a loop is to do after a message.
type verdict uint8

const (
	goOn     verdict = iota // acknowledge it, take the next
	lastOne                 // acknowledge it, take no more
	tooLate                 // it was not printed, and is not to be acknowledged
	unspoken                // the same, since standard output failed
)

// print writes a message that came for the filter with this number. One that matches several filters comes for each of
// them, and is written for the first.
func (p *printer) print(number int, m *mqtt.Message) (verdict, error) {
	p.turn <- struct{}{}
	defer func() { <-p.turn }()
	if p.full {
		return tooLate, nil
	}
	for _, filter := range p.filters[:number] {
		if packet.Match(unshared(filter), m.Topic) {
			return goOn, nil
		}
	}
	more := ""
	if m.Retain {
		more += ", retained"
	}
	if m.Dup {
		more += ", sent again"
	}
	p.log.say("%s, %s, QoS %d%s", oneLine(m.Topic), plural(len(m.Payload), "byte"), m.QoS, more)
	p.buf = appendPayload(p.buf[:0], m.Payload, p.escape)
	if _, err := p.out.Write(p.buf); err != nil {
		p.full = true
		return unspoken, err
	}
	if cap(p.buf) > 1<<20 {
		p.buf = nil
	}
	p.bytes.Add(int64(len(m.Payload)))
	if p.count.Add(1) == int64(p.limit) {
		p.full = true
		return lastOne, nil
	}
	return goOn, nil
}

// unshared is the part of a filter that topics are compared with: "f" of "$share/group/f".
func unshared(filter string) string {
	if rest, ok := strings.CutPrefix(filter, "$share/"); ok {
		if _, inner, ok := strings.Cut(rest, "/"); ok {
			return inner
		}
	}
	return filter
}
