// Package dissect reads MQTT 3.1.1 a second time: it names every byte of every packet, says which section and which
// statements of the standard speak of it, and which rules are broken. It is tolerant where a client has to be strict, and
// shares nothing with package packet, so that a mistake in one of the two shows.
//
//	var session dissect.Session
//	var layout dissect.Layout
//	for _, p := range session.Add(dissect.ToServer, time.Since(began), bytes) {
//		os.Stdout.Write(layout.Append(nil, &p))
//	}
//
// [Read] dissects one packet, a [Stream] those of one direction. A [Session] follows both directions of a connection, and
// finds what no single packet shows. A [Layout] prints what they found for people, [AppendJSON] gives it to programs, a
// [Page] draws it in HTML, and a [Capture] hands it to Wireshark. [StatementsOf] looks a rule up.
//
// A rule is named as the standard does: "MQTT-3.3.1-4" is a statement of its appendix B, "2.2.3" a section.
//
// Nothing in it panics, blocks, or allocates by a length that it read. A packet takes a small multiple of the memory
// of its bytes, and a few MB for the first 10 000 fields and 1000 findings, which are all that it lists.
package dissect

import (
	"slices"
	"time"
)

// Direction says who sent a packet.
type Direction uint8

// The directions.
const (
	Unknown  Direction = iota // nobody said
	ToServer                  // from the client
	ToClient                  // from the server
)

// String returns "c2s", "s2c", or "" for [Unknown].
func (d Direction) String() string {
	return [...]string{"", "c2s", "s2c"}[d%3]
}

// Part is one of the three parts of a packet (section 2.1).
type Part uint8

// The parts in the order in which they stand.
const (
	FixedHeader Part = iota
	VariableHeader
	Payload
)

// String returns "fixed", "variable" or "payload".
func (p Part) String() string {
	return [...]string{"fixed", "variable", "payload"}[p%3]
}

// Level says how bad a finding is.
type Level uint8

// The levels.
const (
	Broken Level = iota // a rule of the standard is broken
	Unwise              // allowed, but the standard advises against it, or it wastes bytes
)

// String returns "broken" or "unwise".
func (l Level) String() string {
	return [...]string{"broken", "unwise"}[l%2]
}

// Kind says what a field's value is.
type Kind uint8

// The kinds.
const (
	Number    Kind = iota // Field.Number
	Text                  // Field.Data, a UTF-8 encoded string or what claims to be one
	Binary                // Field.Data, any bytes
	Undecoded             // Field.Data, bytes that have no meaning here, or not enough of them to have one
)

// Field is a run of bytes, or some bits of a byte, with a meaning.
type Field struct {
	Offset int  // of its first byte in the packet
	Length int  // in bytes; 1 for bits
	Mask   byte // the bits that it takes of its byte; 0xff for whole bytes
	Part   Part
	Name   string // in the words of the standard: "Packet Identifier"

	Kind   Kind
	Number int    // the value, of a [Number]
	Data   []byte // the value, of the other kinds: a view into Packet.Bytes

	Meaning    string   // what the value says, in a few words; may be empty
	Section    string   // "3.3.1.2"
	Statements []string // "MQTT-3.3.1-4"
	Secret     bool     // a password
}

// Finding is a rule that is broken, or advice that was not taken.
type Finding struct {
	Offset int // of the byte in the packet
	Level  Level
	Rules  []string // statements, "MQTT-3.3.1-4", or sections, "2.2.3", where no statement is numbered; at least one
	Text   string   // what came and what was expected
}

// Packet is a dissected packet, or what came of one.
type Packet struct {
	Number    int // 1 for the first of a [Session]
	Direction Direction
	Time      time.Duration // since the session's first packet
	Offset    int           // of its first byte in the bytes of its direction

	Type  uint8  // 0 to 15, as the first byte says
	Bytes []byte // all of it

	// Missing is how many bytes are still to come, at least; 0 for a whole packet. The fields of a packet with
	// missing bytes cover those that are there.
	Missing int

	NotMQTT  bool    // the bytes are of another protocol, which a finding names
	Fields   []Field // in the order of the bytes and, within a byte, from the highest bit; they cover each bit once
	Findings []Finding

	Notes   []string      // what a session has to say that is no mistake
	Answers int           // the number of the packet that this one answers; 0: none
	After   time.Duration // since that packet; negative: nobody knows

	said    said
	running running
}

// said is what a packet says to a session: the fields that it asks for again.
type said struct {
	id          uint16
	hasID       bool
	dup, retain bool
	qos         uint8
	topic       []byte
	payload     []byte
	filters     []filter // the first mostFilters
	filterCount int
	codes       []byte
	present     bool // session present
	code        byte // connect return code
	clean       bool
	keepAlive   time.Duration
	whole       bool // every field was found
}

type filter struct {
	text []byte
	qos  uint8
}

// want notes a filter.
func (s *said) want(f filter) {
	if s.filterCount++; len(s.filters) < mostFilters {
		s.filters = append(s.filters, f)
	}
}

// What is kept of a packet has a bound, besides its bytes.
const (
	mostFilters  = 1 << 16
	mostFields   = 10_000
	mostFindings = 1000
)

// typeNames are those of table 2.1.
var typeNames = [16]string{"reserved type 0", "CONNECT", "CONNACK", "PUBLISH", "PUBACK", "PUBREC", "PUBREL", "PUBCOMP", "SUBSCRIBE",
	"SUBACK", "UNSUBSCRIBE", "UNSUBACK", "PINGREQ", "PINGRESP", "DISCONNECT", "reserved type 15"}

// The packet types (table 2.1).
const (
	connect = 1 + iota
	connack
	publish
	puback
	pubrec
	pubrel
	pubcomp
	subscribe
	suback
	unsubscribe
	unsuback
	pingreq
	pingresp
	disconnect
)

// Name returns the type in the standard's word, such as "CONNECT", or "not MQTT".
//
//go:noinline
func (p *Packet) Name() string {
	if p.NotMQTT {
		return "not MQTT"
	}
	return typeNames[p.Type&15]
}

// Section returns the section that describes this type of packet, such as "3.3", or "2.2.1" for one that does not exist.
//
//go:noinline
func (p *Packet) Section() string {
	if p.NotMQTT || p.Type == 0 || p.Type >= 15 {
		return "2.2.1"
	}
	return "3." + digits(int(p.Type))
}

// Broken reports whether a rule is broken.
//
//go:noinline
func (p *Packet) Broken() bool {
	return slices.ContainsFunc(p.Findings, func(f Finding) bool { return f.Level == Broken })
}

// Read dissects the packet at the start of b, which comes from where d says. It returns the packet and the bytes that
// it takes: 0 if b is empty. If b ends inside the packet, Packet.Missing says so. If no one can say where it ends, as
// its Remaining Length has no end or as it is of another protocol, it takes all of b. The packet's slices are views
// into b.
func Read(b []byte, d Direction) (p Packet, n int) {
	p.read(b, d)
	return p, len(p.Bytes)
}

// read makes p of b: see [Read].
func (p *Packet) read(b []byte, d Direction) {
	p.Direction = d
	if len(b) == 0 {
		return
	}
	p.Type = b[0] >> 4
	if other := otherProtocol(b); other != "" {
		p.notMQTT(b, "not MQTT", other)
		p.broken(0, "2.2", "%s", "these bytes look like "+other)
		return
	}
	length, size, state := remainingLength(b[1:])
	n := len(b)
	c := cursor{p: p, at: 1 + size}
	switch state {
	case lengthEndless:
	case lengthCut:
		p.Missing = 1
	default:
		n = min(len(b), 1+size+length)
		p.Missing = 1 + size + length - n
	}
	p.Bytes = b[:n:n]
	c.cut = p.Missing > 0
	p.readFlags()
	p.checkDirection()
	p.readLength(length, size, state)
	if state == lengthWhole {
		p.said.whole = true
		c.claimed = length
		c.body()
	}
	c.rest()
}

// notMQTT makes all of b one field, which has no meaning here.
func (p *Packet) notMQTT(b []byte, name, meaning string) {
	p.Bytes, p.NotMQTT = b, true
	p.Fields = []Field{{Length: len(b), Mask: 0xff, Name: name, Kind: Undecoded, Data: b, Meaning: meaning, Section: "2.2"}}
}

// otherProtocol names the protocol that b is of, if it is certainly not MQTT: no packet begins with such bytes.
func otherProtocol(b []byte) string {
	begins := func(s string) bool { return len(b) >= len(s) && string(b[:len(s)]) == s }
	if len(b) >= 3 && b[0] >= 0x14 && b[0] <= 0x17 && b[1] == 3 && b[2] <= 4 {
		return "a TLS record (" + [...]string{"change cipher spec", "alert", "handshake", "application data"}[b[0]-0x14] +
			"): capture the decrypted side, or use the port without TLS"
	}
	for _, s := range []string{"HTTP/", "GET ", "POST ", "PUT ", "HEAD ", "OPTIONS ", "CONNECT ", "DELETE ", "PATCH "} {
		if begins(s) {
			return "HTTP: a web server, or a WebSocket, which wraps MQTT in frames of its own"
		}
	}
	if begins("SSH-") {
		return "SSH"
	}
	return ""
}
