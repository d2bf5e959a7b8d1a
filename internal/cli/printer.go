package cli

import (
	"fmt"
	"io"
	"strings"
	"sync/atomic"
	"time"

	"iotwire/mqtt"
	"iotwire/mqtt/packet"
)

// printer writes the messages of a subscriber to standard output, each in one write. The loops of several subscriptions
// share it.
type printer struct {
	log       *console
	filters   []string // of the subscriptions, in the order of the command line
	excluded  []string // filters of the topics that are not printed
	newOnly   bool     // nor are retained messages
	limit     int      // messages to print; 0: no limit
	format    format
	escape    bool // out is a terminal
	headlines bool // tell the topic and the rest on standard error
	color     bool // in colour

	turn chan struct{} // holds one token; who has it uses the next three. No mutex: out may block for as long as it likes
	out  io.Writer
	buf  []byte
	full bool

	count, bytes, skipped atomic.Int64 // messages printed, the size of their payloads, and messages that were not wanted
}

// verdict is what a loop is to do after a message.
type verdict uint8

const (
	goOn     verdict = iota // it was printed, or is not wanted: acknowledge it, take the next
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
	if p.skips(m) {
		p.skipped.Add(1)
		return goOn, nil
	}
	if p.headlines {
		p.log.print(p.headline(m))
	}
	p.buf = p.format.append(p.buf[:0], m, time.Now(), p.escape)
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

// skips reports whether a message is not wanted.
func (p *printer) skips(m *mqtt.Message) bool {
	if p.newOnly && m.Retain {
		return true
	}
	for _, filter := range p.excluded {
		if packet.Match(filter, m.Topic) {
			return true
		}
	}
	return false
}

// headline tells of a message what its payload does not.
func (p *printer) headline(m *mqtt.Message) string {
	line := fmt.Sprintf("%s, %s, QoS %d", oneLine(m.Topic), plural(len(m.Payload), "byte"), m.QoS)
	if m.Retain {
		line += ", retained"
	}
	if m.Dup {
		line += ", sent again"
	}
	if p.color {
		return "\x1b[36m" + line + "\x1b[0m"
	}
	return line
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
