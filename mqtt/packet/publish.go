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
// Its error is an [*Error] that matches [ErrMalformed].
func ParsePublish(flags uint8, body []byte) (p Publish, err error) {
	err = p.parse(flags, body) // a call of its own, so that p need not be copied
	return p, err
}

func (p *Publish) parse(flags uint8, body []byte) error {
	if publishFlags>>flags&1 == 0 {
		return publishFlagsError(flags)
	}
	topic, at := cutField(body, 0) // [MQTT-3.3.2-1] The topic name comes first.
	if at == 0 {
		return fieldError(PUBLISH, body, 0, "MQTT-3.3.2-1", "topic name")
	}
	if !plain(topic) {
		if f, ok := checkTopic(topic, "MQTT-3.3.2-2"); !ok {
			return f.in(PUBLISH, 2, "topic name")
		}
	}
	id := uint16(0)
	if flags&0b0110 != 0 { // [MQTT-2.3.1-5] QoS 0 has no packet identifier.
		if len(body)-at < 2 {
			return malformed(PUBLISH, len(body), "3.3.2.2", "the packet ends in the packet identifier")
		}
		if id = uint16(body[at])<<8 | uint16(body[at+1]); id == 0 {
			return malformed(PUBLISH, at, "MQTT-2.3.1-1", "packet identifier is 0, want 1 to 65535")
		}
		at += 2
	}
	p.Dup, p.QoS, p.Retain = flags&0b1000 != 0, QoS(flags>>1&3), flags&1 != 0
	p.Topic, p.ID, p.Payload = topic, id, body[at:]
	return nil
}

// AppendPublish appends a PUBLISH packet to b (section 3.3). Its error is an [*Error] that matches [ErrInvalid]; b is
// then returned as it was.
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

// publishFlags has a bit for each value of the flags that section 3.3.1 allows.
const publishFlags = 1<<0b0000 | 1<<0b0001 | // [MQTT-3.3.1-2] DUP is 0 for QoS 0.
	1<<0b0010 | 1<<0b0011 | 1<<0b1010 | 1<<0b1011 |
	1<<0b0100 | 1<<0b0101 | 1<<0b1100 | 1<<0b1101 // [MQTT-3.3.1-4] There is no QoS 3.

func publishFlagsError(flags uint8) error {
	if flags&0b0110 == 0b0110 {
		return malformed(PUBLISH, 0, "MQTT-3.3.1-4", "QoS is 3, want 0, 1 or 2")
	}
	return malformed(PUBLISH, 0, "MQTT-3.3.1-2", "DUP is 1 at QoS 0, want 0")
}
