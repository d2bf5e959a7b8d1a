package dissect

import (
	"bytes"
	"fmt"
	"time"
)

// connect reads section 3.1.
func (c *cursor) connect() {
	p := c.p
	name, ok := c.prefixed("Protocol Name", Text, "3.1.2.1", "3.1.2.1 3.1.2-1")
	if !ok {
		return
	}
	if string(name.Data) != "MQTT" {
		text := "Protocol Name is " + shown(name.Data) + `, must be "MQTT"`
		if string(name.Data) == "MQIsdp" {
			text += `: this is MQTT 3.1`
		}
		at := name.Offset
		if len(name.Data) == 0 {
			at -= 2 // its length
		}
		p.broken(at, "3.1.2-1", "%s", text)
	}
	level, ok := c.number(1, "Protocol Level", "3.1.2.2", "3.1.2.2 3.1.2-2")
	if !ok {
		return
	}
	switch level.Number {
	case 4:
		level.Meaning = "MQTT 3.1.1"
	case 3:
		level.Meaning = "MQTT 3.1"
	case 5:
		level.Meaning = "MQTT 5.0"
	}
	if level.Number != 4 {
		p.broken(level.Offset, "3.1.2-2", "Protocol Level is %d, must be 4", level.Number)
	}
	if level.Number != 4 && level.Number != 3 {
		p.said.whole = false
		return // another version lays out the rest in another way
	}
	if !c.has(1, "Connect Flags", "3.1.2.3", "3.1.2.3") {
		return
	}
	flags := p.Bytes[c.at]
	c.connectFlags(flags)
	keepAlive, ok := c.number(2, "Keep Alive", "3.1.2.10", "3.1.2.10 3.1.2-23 3.1.2-24")
	if !ok {
		return
	}
	p.said.clean = flags&0x02 != 0
	p.said.keepAlive = time.Duration(keepAlive.Number) * time.Second
	keepAlive.Meaning = "off: the server waits for ever"
	if keepAlive.Number > 0 {
		keepAlive.Meaning = "server gives up after " + seconds(p.said.keepAlive*3/2)
	}
	c.part = Payload
	if c.connectPayload(flags) && c.left() > 0 {
		c.surplus(flags)
	}
}

func (c *cursor) connectFlags(flags byte) {
	p, at := c.p, c.at
	c.at++
	clean := "go on with the stored session"
	if flags&0x02 != 0 {
		clean = "start with no stored state"
	}
	p.bits(at, 0x80, VariableHeader, "User Name Flag", "", "3.1.2.8", "3.1.2-18 3.1.2-19")
	p.bits(at, 0x40, VariableHeader, "Password Flag", "", "3.1.2.9", "3.1.2-22 3.1.2-20 3.1.2-21")
	p.bits(at, 0x20, VariableHeader, "Will Retain", "", "3.1.2.7", "3.1.2-15 3.1.2-16 3.1.2-17")
	p.bits(at, 0x18, VariableHeader, "Will QoS", "", "3.1.2.6", "3.1.2-14 3.1.2-13")
	p.bits(at, 0x04, VariableHeader, "Will Flag", "", "3.1.2.5", "3.1.2-9 3.1.2-8 3.1.2-11 3.1.2-12")
	p.bits(at, 0x02, VariableHeader, "Clean Session", clean, "3.1.2.4", "3.1.2-6 3.1.2-4")
	p.bits(at, 0x01, VariableHeader, "Reserved", "must be 0", "3.1.2.3", "3.1.2-3")
	will, qos := flags&0x04 != 0, flags>>3&3
	if flags&0x01 != 0 {
		p.broken(at, "3.1.2-3", "the reserved Connect Flag is 1, must be 0")
	}
	if will && qos == 3 {
		p.broken(at, "3.1.2-14", "Will QoS is 3: only 0, 1 and 2 are allowed")
	}
	if !will && qos != 0 {
		p.broken(at, "3.1.2-13 3.1.2-11", "Will QoS is %d without a Will, must be 0", qos)
	}
	if !will && flags&0x20 != 0 {
		p.broken(at, "3.1.2-15 3.1.2-11", "Will Retain is 1 without a Will, must be 0")
	}
	if flags&0xc0 == 0x40 {
		p.broken(at, "3.1.2-22", "Password Flag is 1 without User Name Flag, must be 0")
	}
}

// connectPayload reads the fields that the flags announce, in their order [MQTT-3.1.3-1].
func (c *cursor) connectPayload(flags byte) bool {
	p := c.p
	id, ok := c.prefixed("Client Identifier", Text, "3.1.3.1", "3.1.3-3 3.1.3-2 3.1.3-4 3.1.3-5 3.1.3-7 3.1.3-8")
	if !ok {
		return false
	}
	p.checkText(id, "3.1.3-4", "")
	if len(id.Data) == 0 && flags&0x02 == 0 {
		p.broken(id.Offset-2, "3.1.3-7 3.1.3-8", "Client Identifier is empty with Clean Session 0, must be 1")
	}
	if flags&0x04 != 0 {
		topic, ok := c.prefixed("Will Topic", Text, "3.1.3.2", "3.1.2-9 3.1.3-10 3.1.3-1")
		if !ok {
			return false
		}
		p.checkTopic(topic, "3.1.3-10", "4.7.1-1")
		if _, ok := c.prefixed("Will Message", Binary, "3.1.3.3", "3.1.2-9"); !ok {
			return false
		}
	}
	if flags&0x80 != 0 {
		name, ok := c.prefixed("User Name", Text, "3.1.3.4", "3.1.2-19 3.1.3-11")
		if !ok {
			return false
		}
		p.checkText(name, "3.1.3-11", "")
		name.Secret = carriesToken(name.Data)
	}
	if flags&0x40 != 0 {
		password, ok := c.prefixed("Password", Binary, "3.1.3.5", "3.1.2-21")
		if !ok {
			return false
		}
		password.Secret = true
	}
	return true
}

// carriesToken reports whether a user name has a token in it: that of a custom authorizer of AWS IoT Core stands behind a '?'.
// What the SDKs of AWS add there to say who they are is none.
func carriesToken(name []byte) bool {
	_, query, found := bytes.Cut(name, []byte("?"))
	return found && !bytes.HasPrefix(query, []byte("SDK="))
}

// surplus reports bytes behind the last field that the flags announce.
func (c *cursor) surplus(flags byte) {
	rules := "3.1.3 3.1.3-1"
	if flags&0x04 == 0 {
		rules += " 3.1.2-11"
	}
	if flags&0x80 == 0 {
		rules += " 3.1.2-18"
	}
	if flags&0x40 == 0 {
		rules += " 3.1.2-20"
	}
	c.p.broken(c.at, rules, "%s after the last field that the Connect Flags announce", count(c.left(), "byte"))
}

//go:noinline
func seconds(d time.Duration) string {
	return fmt.Sprintf("%g s", d.Seconds())
}

// shown quotes a name for a finding, at most 32 bytes of it.
func shown(b []byte) string {
	if len(b) > 32 {
		return fmt.Sprintf("%q...", b[:32])
	}
	return fmt.Sprintf("%q", b)
}
