package dissect

import (
	"fmt"
	"strings"
)

// The fixed header (section 2.2): type and flags in the first byte, then the Remaining Length.

// flagsOf is table 2.2: the flags that a packet has to have, but for PUBLISH, whose flags say something.
func flagsOf(t uint8) byte {
	switch t {
	case pubrel, subscribe, unsubscribe:
		return 2
	}
	return 0
}

// readFlags adds the fields of the first byte.
func (p *Packet) readFlags() {
	flags := p.Bytes[0] & 15
	p.bits(0, 0xf0, FixedHeader, "Packet type", typeNames[p.Type], "2.2.1", "")
	switch p.Type {
	case 0, 15:
		p.bits(0, 0x0f, FixedHeader, "Reserved flags", "of no packet", "2.2.2", "2.2.2-1")
		p.broken(0, "2.2.1", "packet type %d is reserved", p.Type)
		return
	case publish:
		p.readPublishFlags(flags)
		return
	}
	statements := "2.2.2-1 2.2.2-2"
	switch p.Type {
	case pubrel:
		statements = "3.6.1-1 " + statements
	case subscribe:
		statements = "3.8.1-1 " + statements
	case unsubscribe:
		statements = "3.10.1-1 " + statements
	case disconnect:
		statements = "3.14.1-1 " + statements
	}
	want := flagsOf(p.Type)
	p.bits(0, 0x0f, FixedHeader, "Reserved flags", fmt.Sprintf("must be %04b", want), p.Section()+".1", statements)
	if flags != want {
		p.broken(0, statements, "flags of %s are %04b, must be %04b", p.Name(), flags, want)
	}
}

func (p *Packet) readPublishFlags(flags byte) {
	s := &p.said
	s.dup, s.qos, s.retain = flags&8 != 0, flags>>1&3, flags&1 != 0
	dup := "first attempt"
	if s.dup {
		dup = "sent before, perhaps"
	}
	qos := [...]string{"at most once, no answer", "at least once, PUBACK follows", "exactly once, PUBREC follows", "forbidden"}[s.qos]
	p.bits(0, 0x08, FixedHeader, "DUP", dup, "3.3.1.1", "3.3.1-1 3.3.1-2 3.3.1-3")
	p.bits(0, 0x06, FixedHeader, "QoS", qos, "3.3.1.2", "3.3.1-4")
	retain, statements := "", "3.3.1-5 3.3.1-12"
	if p.Direction == ToClient {
		statements = "3.3.1-8 3.3.1-9"
		if retain = "sent as it is published"; s.retain {
			retain = "kept by the server from before"
		}
	} else if s.retain {
		retain = "the server keeps it"
	}
	p.bits(0, 0x01, FixedHeader, "RETAIN", retain, "3.3.1.3", statements)
	if s.qos == 3 {
		p.broken(0, "3.3.1-4", "QoS is 3: only 0, 1 and 2 are allowed")
	}
	if s.dup && s.qos == 0 {
		p.broken(0, "3.3.1-2", "DUP is 1 at QoS 0, must be 0")
	}
}

// checkDirection is the column "Direction of flow" of table 2.1.
func (p *Packet) checkDirection() {
	var only Direction
	switch p.Type {
	case connect, subscribe, unsubscribe, pingreq, disconnect:
		only = ToServer
	case connack, suback, unsuback, pingresp:
		only = ToClient
	}
	if only == ToServer && p.Direction == ToClient {
		p.broken(0, "2.2.1", "%s comes from the server: only a client sends it", p.Name())
	}
	if only == ToClient && p.Direction == ToServer {
		p.broken(0, "2.2.1", "%s comes from the client: only a server sends it", p.Name())
	}
}

// lengthState says how far a Remaining Length could be read.
type lengthState uint8

const (
	lengthWhole   lengthState = iota
	lengthCut                 // the bytes end in it
	lengthEndless             // its fourth byte says that a fifth follows
)

// remainingLength reads the Remaining Length at the start of b (section 2.2.3), and says how many bytes it takes. The
// standard's own loop looks at the multiplier after it has grown, and so refuses what table 2.4 allows: four bytes.
//
//go:noinline
func remainingLength(b []byte) (length, size int, state lengthState) {
	factor := 1
	for size < 4 {
		if size == len(b) {
			return length, size, lengthCut
		}
		digit := int(b[size])
		size++
		length += digit % 128 * factor
		if digit < 128 {
			return length, size, lengthWhole
		}
		factor *= 128
	}
	return length, size, lengthEndless
}

// readLength adds the field Remaining Length.
func (p *Packet) readLength(length, size int, state lengthState) {
	if size == 0 {
		return
	}
	f := Field{Offset: 1, Length: size, Mask: 0xff, Name: "Remaining Length", Number: length, Section: "2.2.3"}
	for i, factor := 1, 1; i <= size && size > 1; i, factor = i+1, factor*128 {
		f.Meaning += fmt.Sprintf(" + %d*%d", p.Bytes[i]&127, factor)
	}
	f.Meaning = strings.TrimPrefix(f.Meaning, " + ")
	switch {
	case state == lengthCut:
		f.Kind, f.Data, f.Meaning = Undecoded, p.Bytes[1:1+size], "the rest is missing"
	case state == lengthEndless:
		f.Kind, f.Data, f.Meaning = Undecoded, p.Bytes[1:1+size], "four bytes at most"
		p.broken(4, "2.2.3", "Remaining Length goes on after its fourth byte: nobody can say where the packet ends")
	case size > 1 && p.Bytes[size] == 0:
		p.unwise(1, "2.2.3", "Remaining Length %d takes %d bytes where fewer would do", length, size)
	}
	p.put(&f)
	if least := p.leastLength(); state == lengthWhole && p.Missing > 0 && length < least {
		p.broken(1, p.Section(), "Remaining Length of %s is %d, must be at least %d", p.Name(), length, least)
	}
}

// leastLength is the Remaining Length that the fields of a packet of this type need at least. A whole packet shows
// which of them is missing, one that is cut short only this.
//
//go:noinline
func (p *Packet) leastLength() int {
	switch p.Type {
	case connect:
		return 12
	case publish:
		if p.said.qos > 0 {
			return 5
		}
		return 3
	case subscribe:
		return 6
	case suback:
		return 3
	case unsubscribe:
		return 5
	}
	return 0
}
