package dissect

import (
	"fmt"
	"strings"
)

// body reads what follows the fixed header, by the type of the packet.
func (c *cursor) body() {
	c.part = VariableHeader
	p := c.p
	switch p.Type {
	case connect:
		c.connect()
	case connack:
		c.connack()
	case publish:
		c.publish()
	case puback:
		c.acknowledgement("2.3.1-6 4.3.2-2 4.6.0-2")
	case pubrec:
		c.acknowledgement("2.3.1-6 4.3.3-2 4.6.0-3")
	case pubrel:
		c.acknowledgement("2.3.1-6 4.3.3-1 4.6.0-4")
	case pubcomp:
		c.acknowledgement("4.3.3-2 2.3.1-3")
	case unsuback:
		c.acknowledgement("3.10.4-4 2.3.1-7 3.10.4-5")
	case subscribe:
		c.subscribe()
	case suback:
		c.suback()
	case unsubscribe:
		c.unsubscribe()
	case pingreq, pingresp, disconnect:
		c.exactly(0)
	}
}

// exactly reports a Remaining Length other than n, which is the only one that this type of packet has.
func (c *cursor) exactly(n int) {
	if c.claimed != n {
		c.p.broken(1, c.p.Section()+".1", "Remaining Length of %s is %d, must be %d", c.p.Name(), c.claimed, n)
	}
}

// acknowledgement reads the packets that are a Packet Identifier: PUBACK, PUBREC, PUBREL, PUBCOMP, UNSUBACK. The first
// of statements is the one that an identifier of 0 breaks.
func (c *cursor) acknowledgement(statements string) {
	c.exactly(2)
	section := c.p.Section() + ".2"
	f, ok := c.number(2, "Packet Identifier", section, section+" "+statements)
	if !ok {
		return
	}
	c.p.said.id, c.p.said.hasID = uint16(f.Number), true
	if f.Number == 0 {
		first, _, _ := strings.Cut(statements, " ")
		rules := "2.3.1-1 " + first
		if c.p.Type == unsuback {
			rules += " 2.3.1-7"
		}
		c.p.broken(f.Offset, rules, "Packet Identifier is 0, which no packet has that could be answered")
	}
}

var returnCodes = [...]string{"accepted", "refused: unacceptable protocol version", "refused: identifier rejected",
	"refused: server unavailable", "refused: bad user name or password", "refused: not authorized"}

// connack reads section 3.2.
func (c *cursor) connack() {
	p := c.p
	c.exactly(2)
	if !c.has(1, "acknowledge flags", "3.2.2.1", "3.2.2.1") {
		return
	}
	flags := p.Bytes[c.at]
	p.said.present = flags&1 != 0
	present := "no stored session: subscribe again"
	if p.said.present {
		present = "the server kept our session"
	}
	at := c.at
	p.bits(at, 0xfe, VariableHeader, "Reserved", "must be 0000000", "3.2.2.1", "")
	p.bits(at, 0x01, VariableHeader, "Session Present", present, "3.2.2.2", "3.2.2-1 3.2.2-2 3.2.2-3 3.2.2-4")
	c.at++
	if flags>>1 != 0 {
		p.broken(at, "3.2.2.1", "the upper seven bits of the acknowledge flags are %07b, must be 0", flags>>1)
	}
	f, ok := c.number(1, "Return code", "3.2.2.3", "3.2.2.3 3.2.2-5 3.2.2-6")
	if !ok {
		return
	}
	p.said.code = byte(f.Number)
	if f.Number < len(returnCodes) {
		f.Meaning = returnCodes[f.Number]
		if f.Number > 0 && p.said.present {
			p.broken(at, "3.2.2-4", "Session Present is 1 with return code %d", f.Number)
		}
		return
	}
	f.Meaning = "reserved"
	p.broken(f.Offset, "3.2.2.3", "return code 0x%02x is reserved: only 0 to 5 are allowed", f.Number)
	if p.said.present {
		p.broken(at, "3.2.2-4", "Session Present is 1 with return code %d", f.Number)
	}
}

// publish reads section 3.3.
func (c *cursor) publish() {
	p := c.p
	topic, ok := c.prefixed("Topic Name", Text, "3.3.2.1", "3.3.2-1 3.3.2-2 3.3.2-3 4.7.1-1 4.7.3-1")
	if !ok {
		return
	}
	p.said.topic = topic.Data
	p.checkTopic(topic, "3.3.2-1", "3.3.2-2 4.7.1-1")
	if p.said.qos > 0 && !c.identifier("3.3.2.2", "2.3.1-1") {
		return
	}
	c.part = Payload
	if c.left() == 0 {
		return
	}
	p.said.payload = p.Bytes[c.at:]
	f := c.add(c.left(), Field{Name: "Application Message", Kind: Binary, Section: "3.3.3", Statements: full("3.3.4-1")})
	f.Meaning = count(f.Length, "byte")
	if c.cut {
		f.Meaning = fmt.Sprintf("%d of %s", f.Length, count(f.Length+p.Missing, "byte"))
	}
}

// count is "1 byte", "2 bytes".
//
//go:noinline
func count(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}

// subscribe reads section 3.8.
func (c *cursor) subscribe() {
	p := c.p
	if c.claimed <= 2 {
		p.broken(1, "3.8.3-3", "no Topic Filter: SUBSCRIBE must have at least one")
	}
	if !c.identifier("3.8.2", "2.3.1-1") {
		return
	}
	c.part = Payload
	for n := 1; c.left() > 0; n++ {
		name := fmt.Sprintf("Topic Filter %d", n)
		f, ok := c.prefixed(name, Text, "3.8.3", "3.8.3-1 3.8.3-3")
		if !ok {
			return
		}
		p.checkFilter(f, "3.8.3-1")
		if !c.has(1, "Requested QoS of "+name, "3.8.3", "3.8.3 3.8.3-3") {
			return
		}
		options := p.Bytes[c.at]
		p.bits(c.at, 0xfc, Payload, "Reserved", "must be 000000", "3.8.3", "3-8.3-4")
		p.bits(c.at, 0x03, Payload, "Requested QoS", "the most we accept", "3.8.3", "3-8.3-4 3.8.4-6")
		if options > 2 {
			p.broken(c.at, "3-8.3-4", "QoS byte 0x%02x: only 0, 1 and 2 are allowed", options)
		}
		c.at++
		p.said.want(filter{f.Data, options & 3})
	}
}

// suback reads section 3.9.
func (c *cursor) suback() {
	p := c.p
	if c.claimed <= 2 {
		p.broken(1, "3.8.4-5", "no return code: SUBACK must have one for each Topic Filter")
	}
	if !c.identifier("3.9.2", "2.3.1-7 3.8.4-2 2.3.1-1") {
		return
	}
	c.part = Payload
	for n := 1; c.left() > 0; n++ {
		f, _ := c.number(1, fmt.Sprintf("Return code %d", n), "3.9.3", "3.8.4-5 3.8.4-6 3.9.3-1 3.9.3-2")
		switch {
		case f.Number <= 2:
			f.Meaning = fmt.Sprintf("granted, QoS %d at most", f.Number)
		case f.Number == 0x80:
			f.Meaning = "refused"
		default:
			f.Meaning = "reserved"
			p.broken(f.Offset, "3.9.3-2", "return code 0x%02x is reserved: only 0x00, 0x01, 0x02 and 0x80 are allowed", f.Number)
		}
		p.said.codes = append(p.said.codes, byte(f.Number))
	}
}

// unsubscribe reads section 3.10.
func (c *cursor) unsubscribe() {
	p := c.p
	if c.claimed <= 2 {
		p.broken(1, "3.10.3-2", "no Topic Filter: UNSUBSCRIBE must have at least one")
	}
	if !c.identifier("3.10.2", "2.3.1-1") {
		return
	}
	c.part = Payload
	for n := 1; c.left() > 0; n++ {
		f, ok := c.prefixed(fmt.Sprintf("Topic Filter %d", n), Text, "3.10.3", "3.10.3-1 3.10.3-2 3.10.4-1")
		if !ok {
			return
		}
		p.checkFilter(f, "3.10.3-1")
		p.said.want(filter{text: f.Data})
	}
}
