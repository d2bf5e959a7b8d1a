package dissect

import (
	"fmt"
	"math/bits"
	"strconv"
	"strings"
)

// cursor goes over the bytes behind the fixed header and makes fields of them. It never goes back, and once it cannot
// go on, the rest of the packet is one field that has no meaning.
type cursor struct {
	p       *Packet
	at      int  // the next byte
	claimed int  // the Remaining Length
	cut     bool // bytes at the end are missing
	part    Part
}

func (c *cursor) left() int { return len(c.p.Bytes) - c.at }

// rest makes a field of what is left.
func (c *cursor) rest() {
	if c.left() > 0 {
		c.add(c.left(), Field{Name: "undecoded", Kind: Undecoded, Section: "2.2.3"})
	}
}

// add makes a field of n bytes, which are there.
//
//go:noinline
func (c *cursor) add(n int, f Field) *Field {
	f.Offset, f.Length, f.Mask, f.Part = c.at, n, 0xff, c.part
	if f.Kind != Number {
		f.Data = c.p.Bytes[c.at : c.at+n : c.at+n]
	}
	c.at += n
	return c.p.put(&f)
}

// put adds a field to the list, or to the last field of a list that is full.
func (p *Packet) put(f *Field) *Field {
	n := len(p.Fields)
	listed := n < mostFields || n == mostFields && f.Mask < 0x80 // the lower bits of a byte whose upper ones are in the list
	if listed || p.Fields[n-1].Name != furtherFields {
		p.Fields = append(p.Fields, *f)
		if listed {
			return &p.Fields[n]
		}
		further := &p.Fields[n]
		further.Mask, further.Kind, further.Number, further.Statements, further.Secret = 0xff, Undecoded, 0, nil, false
		further.Name, further.Meaning = furtherFields, "more than are listed; their rules are checked"
	}
	last := &p.Fields[len(p.Fields)-1]
	last.Length = f.Offset + f.Length - last.Offset
	last.Data = p.Bytes[last.Offset : last.Offset+last.Length]
	unlisted := *f
	return &unlisted
}

// furtherFields is the name of a field that takes the place of those behind the last that is listed.
const furtherFields = "further fields"

// has reports whether n more bytes are there for a field with this name. If not, the field takes what is left of a
// packet that was cut, and is a mistake in one that was not, by the rules that ask for the field.
func (c *cursor) has(n int, name, section, rules string) bool {
	if c.left() >= n {
		return true
	}
	c.p.said.whole = false
	if c.cut {
		if c.left() > 0 {
			c.add(c.left(), Field{Name: name, Kind: Undecoded, Meaning: "the rest is missing", Section: section})
		}
		return false
	}
	c.p.broken(len(c.p.Bytes)-1, rules, "the packet ends before the %s does", name)
	return false
}

// number reads an integer of one or two bytes (section 1.5.2). rules are those that ask for it.
func (c *cursor) number(n int, name, section, rules string) (*Field, bool) {
	if !c.has(n, name, section, rules) {
		return nil, false
	}
	value := 0
	for _, b := range c.p.Bytes[c.at : c.at+n] {
		value = value*256 + int(b)
	}
	return c.add(n, Field{Name: name, Number: value, Section: section, Statements: statementsOf(rules)}), true
}

// prefixed reads a field that has its length in front, of two bytes (section 1.5.3).
func (c *cursor) prefixed(name string, kind Kind, section, rules string) (*Field, bool) {
	length, ok := c.number(2, strings.Replace(name, "Identifier", "Id", 1)+" length", "1.5.3", rules)
	if !ok {
		return nil, false
	}
	length.Statements = nil
	n := length.Number
	if !c.cut && n > c.left() {
		c.p.broken(length.Offset, "1.5.3 "+rules, "%s length %d runs past the packet: %s left", name, n, count(c.left(), "byte"))
		c.p.said.whole = false
		return nil, false
	}
	if !c.has(n, name, section, rules) {
		return nil, false
	}
	if n == 0 {
		// The length says it all: a field of no bytes has no place in a list of bytes.
		length.Meaning = "empty"
		return &Field{Offset: c.at, Name: name, Kind: kind, Data: []byte{}}, true
	}
	return c.add(n, Field{Name: name, Kind: kind, Section: section, Statements: statementsOf(rules)}), true
}

// identifier reads a Packet Identifier (section 2.3.1). rules are those that an identifier of 0 breaks.
func (c *cursor) identifier(section, rules string) bool {
	f, ok := c.number(2, "Packet Identifier", section, rules)
	if !ok {
		return false
	}
	c.p.said.id, c.p.said.hasID = uint16(f.Number), true
	if f.Number == 0 {
		c.p.broken(f.Offset, rules, "Packet Identifier is 0, must be 1 to 65535")
	}
	return true
}

// bits adds a field of the bits in mask of the byte at offset.
func (p *Packet) bits(offset int, mask byte, part Part, name, meaning, section, statements string) {
	p.put(&Field{Offset: offset, Length: 1, Mask: mask, Part: part, Name: name,
		Number: int(p.Bytes[offset] & mask >> bits.TrailingZeros8(mask)), Meaning: meaning, Section: section, Statements: full(statements)})
}

// broken and those of this package that are called from everywhere are not put in place of their calls: the programs
// would be larger by some 20 KB.
//
//go:noinline
func (p *Packet) broken(offset int, rules, format string, values ...any) {
	p.find(offset, Broken, rules, format, values)
}

//go:noinline
func (p *Packet) unwise(offset int, rules, format string, values ...any) {
	p.find(offset, Unwise, rules, format, values)
}

// find adds a finding, behind those about the same byte or one before it. There are mostFindings of them at most, and one
// more if it is the first rule that is broken.
func (p *Packet) find(offset int, level Level, rules, format string, values []any) {
	if len(p.Findings) >= mostFindings && (level == Unwise || p.Broken()) {
		if p.Notes == nil {
			p.note("there are more findings than the %d that are listed", mostFindings)
		}
		return
	}
	all := append(p.Findings, Finding{offset, level, full(rules), fmt.Sprintf(format, values...)})
	for i := len(all) - 1; i > 0 && all[i-1].Offset > offset; i-- {
		all[i-1], all[i] = all[i], all[i-1]
	}
	p.Findings = all
}

// note adds what is no mistake.
//
//go:noinline
func (p *Packet) note(format string, values ...any) {
	p.Notes = append(p.Notes, fmt.Sprintf(format, values...))
}

// full writes rules, which stand with spaces between them, in full: "3.3.1-4" is a statement, "MQTT-3.3.1-4", and "2.2.3"
// is a section.
func full(rules string) []string {
	out := strings.Fields(rules)
	for i, r := range out {
		if strings.Contains(r, "-") {
			out[i] = "MQTT-" + r
		}
	}
	return out
}

// statementsOf is full without the sections.
func statementsOf(rules string) []string {
	var out []string
	for _, r := range full(rules) {
		if r[0] == 'M' {
			out = append(out, r)
		}
	}
	return out
}

//go:noinline
func digits(n int) string { return strconv.Itoa(n) }
