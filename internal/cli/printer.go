package cli

import (
	"fmt"
	"io"
	"sync/atomic"
	"time"

	"iotwire/mqtt"
	"iotwire/mqtt/packet"
)

// printer writes the messages of a subscriber to standard output, each in one write.
type printer struct {
	log       *console
	excluded  []string // filters of the topics that are not printed
	newOnly   bool     // nor are retained messages
	limit     int      // messages to print; 0: no limit
	format    format
	escape    bool // out is a terminal
	headlines bool // tell the topic and the rest on standard error
	color     bool // in colour

	out io.Writer
	buf []byte

	count, bytes, skipped atomic.Int64 // messages printed, the size of their payloads, and messages that were not wanted
}

// print writes a message. It reports whether it was the last one that is wanted; an error is that of standard output.
func (p *printer) print(m *mqtt.Message) (last bool, err error) {
	if p.skips(m) {
		p.skipped.Add(1)
		return false, nil
	}
	if p.headlines {
		p.log.print(p.headline(m))
	}
	p.buf = p.format.append(p.buf[:0], m, time.Now(), p.escape)
	if _, err := p.out.Write(p.buf); err != nil {
		return false, err
	}
	if cap(p.buf) > 1<<20 {
		p.buf = nil
	}
	p.bytes.Add(int64(len(m.Payload)))
	return p.count.Add(1) == int64(p.limit), nil
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
