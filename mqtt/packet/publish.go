package packet

import "slices"

//	fixed      | 0011 | DUP | QoS (2) | RETAIN | Remaining Length |     3.3.1
//	variable   | topic name | packet identifier, if QoS > 0 |           3.3.2
//	payload    | the message: what is left, may be nothing |            3.3.3

// Publish is a message on its way, from client to server or from server to client (section 3.3).
type Publish struct {
	Dup     bool // this may be a repetition [MQTT-3.3.1-1]
	QoS     QoS
	Retain  bool
	Topic   []byte // a topic name: no wildcards
	ID      uint16 // the packet identifier; 0 exactly with QoS 0
	Payload []byte // any bytes
}

// ParsePublish reads the body of a PUBLISH whose fixed header had these flags. Topic and Payload are views into body.
func ParsePublish(flags uint8, body []byte) (Publish, error) {
	if !validPublishFlags(flags) {
		return Publish{}, publishFlagsError(flags)
	}
	p := Publish{Dup: flags&0b1000 != 0, QoS: QoS(flags >> 1 & 3), Retain: flags&1 != 0}
	topic, at, err := field(PUBLISH, body, 0, "MQTT-3.3.2-1", "topic name") // The topic name comes first.
	if err != nil {
		return Publish{}, err
	}
	if !plain(topic) {
		if f, ok := checkTopic(topic, "MQTT-3.3.2-2"); !ok {
			return Publish{}, f.in(PUBLISH, 2, "topic name")
		}
	}
	p.Topic = topic
	if p.QoS > 0 { // [MQTT-2.3.1-5] QoS 0 has no packet identifier.
		if len(body)-at < 2 {
			return Publish{}, malformed(PUBLISH, len(body), "3.3.2.2", "the packet ends in the packet identifier")
		}
		p.ID = uint16(body[at])<<8 | uint16(body[at+1])
		if p.ID == 0 {
			return Publish{}, malformed(PUBLISH, at, "MQTT-2.3.1-1", "packet identifier is 0, want 1 to 65535")
		}
		at += 2
	}
	p.Payload = body[at:]
	return p, nil
}

// AppendPublish appends a PUBLISH packet to b.
func AppendPublish(b []byte, p *Publish) ([]byte, error) {
	if p.QoS > QoS2 || p.QoS == 0 && (p.Dup || p.ID != 0) || p.QoS > 0 && p.ID == 0 {
		return b, p.flagError()
	}
	if !plain(p.Topic) {
		if f, ok := checkTopic(p.Topic, "MQTT-3.3.2-2"); !ok {
			return b, f.out(PUBLISH, 2, "topic name")
		}
	}
	length := 2 + len(p.Topic) + len(p.Payload)
	first := byte(PUBLISH)<<4 | byte(p.QoS)<<1
	if p.QoS > 0 {
		length += 2
	}
	if length > MaxRemainingLength {
		return b, checkLength(PUBLISH, length)
	}
	if p.Dup {
		first |= 0b1000
	}
	if p.Retain {
		first |= 1
	}
	b = slices.Grow(b, 5+length)
	b = appendHeader(b, first, length)
	b = appendField(b, p.Topic)
	if p.QoS > 0 {
		b = append(b, byte(p.ID>>8), byte(p.ID))
	}
	return append(b, p.Payload...), nil
}

// flagError says which rule between QoS, DUP and packet identifier p breaks.
func (p *Publish) flagError() error {
	switch {
	case !p.QoS.Valid():
		return invalid(PUBLISH, 0, "MQTT-3.3.1-4", "QoS is %d, want 0, 1 or 2", p.QoS)
	case p.QoS == 0 && p.Dup:
		return invalid(PUBLISH, 0, "MQTT-3.3.1-2", "DUP is 1 at QoS 0, want 0")
	case p.QoS == 0:
		return invalid(PUBLISH, 2+len(p.Topic), "MQTT-2.3.1-5", "packet identifier is %d at QoS 0, want none", p.ID)
	}
	return invalid(PUBLISH, 2+len(p.Topic), "MQTT-2.3.1-1", "packet identifier is 0, want 1 to 65535")
}

// validPublishFlags holds the rules of section 3.3.1, for a fixed header that came.
func validPublishFlags(flags uint8) bool {
	return flags&0b0110 != 0b0110 && // [MQTT-3.3.1-4] There is no QoS 3.
		flags&0b1110 != 0b1000 // [MQTT-3.3.1-2] DUP is 0 for QoS 0.
}

func publishFlagsError(flags uint8) error {
	if flags&0b0110 == 0b0110 {
		return malformed(PUBLISH, 0, "MQTT-3.3.1-4", "QoS is 3, want 0, 1 or 2")
	}
	return malformed(PUBLISH, 0, "MQTT-3.3.1-2", "DUP is 1 at QoS 0, want 0")
}
