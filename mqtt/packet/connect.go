package packet

//	fixed      | 0001 0000 | Remaining Length |                                      3.1.1
//	variable   | 0 4 M Q T T | 4 | flags | keep alive, 2 bytes |                     3.1.2
//	             protocol name level
//	flags      | user name | password | will retain | will QoS (2) | will | clean session | 0 |
//	payload    | client id | will topic | will message | user name | password |      3.1.3, all but the first by flag

// Connect asks a server for a connection: the first packet that a client sends, and the only one of its kind
// (section 3.1).
type Connect struct {
	ClientID     []byte // UTF-8; empty only with CleanSession
	KeepAlive    uint16 // seconds; 0 turns it off
	CleanSession bool

	Will        bool   // without it the four fields below have to be zero
	WillTopic   []byte // a topic name
	WillMessage []byte // at most 65 535 bytes
	WillQoS     QoS
	WillRetain  bool

	HasUserName bool   // without it UserName has to be empty
	UserName    []byte // UTF-8
	HasPassword bool   // needs HasUserName; without it Password has to be empty
	Password    []byte // at most 65 535 bytes
}

const protocolName = "\x00\x04MQTT"

// Bits of the connect flags (section 3.1.2.3 and after).
const (
	flagCleanSession = 1 << 1
	flagWill         = 1 << 2
	flagWillQoS      = 3 << 3
	flagWillRetain   = 1 << 5
	flagPassword     = 1 << 6
	flagUserName     = 1 << 7
)

// ParseConnect reads the body of a CONNECT. Its fields are views into body. Its error is an [*Error] that matches
// [ErrMalformed]. A protocol level other than 4 is an error with rule "MQTT-3.1.2-2", which a server answers with
// [RefusedVersion] before it closes; an empty client identifier without clean session is one with rule "MQTT-3.1.3-8",
// answered with [RefusedClientID].
func ParseConnect(body []byte) (Connect, error) {
	var c Connect
	name, at, err := field(CONNECT, body, 0, "3.1.2.1", "protocol name")
	if err != nil {
		return Connect{}, err
	}
	if string(name) != "MQTT" { // [MQTT-3.1.2-1]
		if string(name) == "MQIsdp" {
			return Connect{}, malformed(CONNECT, 2, "MQTT-3.1.2-2", `protocol name is "MQIsdp", that of MQTT 3.1, want "MQTT"`)
		}
		return Connect{}, malformed(CONNECT, 2, "MQTT-3.1.2-1", `protocol name is %q, want "MQTT"`, cut(name))
	}
	if len(body) < at+4 {
		return Connect{}, malformed(CONNECT, len(body), "3.1.2", "the packet ends in the variable header, want 10 bytes of it")
	}
	if level := body[6]; level != 4 { // [MQTT-3.1.2-2]
		return Connect{}, malformed(CONNECT, 6, "MQTT-3.1.2-2", "protocol level is %d, want 4", level)
	}
	flags := body[7]
	if flags&1 != 0 {
		return Connect{}, malformed(CONNECT, 7, "MQTT-3.1.2-3", "reserved connect flag is 1, want 0")
	}
	c.CleanSession = flags&flagCleanSession != 0
	c.Will = flags&flagWill != 0
	c.WillQoS = QoS(flags & flagWillQoS >> 3)
	c.WillRetain = flags&flagWillRetain != 0
	c.HasUserName = flags&flagUserName != 0
	c.HasPassword = flags&flagPassword != 0
	if err := c.checkFlags(malformed); err != nil {
		return Connect{}, err
	}
	c.KeepAlive = uint16(body[8])<<8 | uint16(body[9])

	// [MQTT-3.1.3-1] The order of the payload is fixed.
	if c.ClientID, at, err = textField(CONNECT, body, 10, "MQTT-3.1.3-3", "client identifier"); err != nil { // [MQTT-3.1.3-4]
		return Connect{}, err
	}
	if len(c.ClientID) == 0 && !c.CleanSession {
		return Connect{}, malformed(CONNECT, 10, "MQTT-3.1.3-8", "client identifier is empty without clean session")
	}
	if c.Will {
		if c.WillTopic, at, err = field(CONNECT, body, at, "MQTT-3.1.2-9", "will topic"); err != nil {
			return Connect{}, err
		}
		if f, ok := checkTopic(c.WillTopic, "MQTT-4.7.1-1"); !ok { // [MQTT-3.1.3-10]
			return Connect{}, f.in(CONNECT, at-len(c.WillTopic), "will topic")
		}
		if c.WillMessage, at, err = field(CONNECT, body, at, "MQTT-3.1.2-9", "will message"); err != nil {
			return Connect{}, err
		}
	}
	if c.HasUserName {
		if c.UserName, at, err = textField(CONNECT, body, at, "MQTT-3.1.2-19", "user name"); err != nil { // [MQTT-3.1.3-11]
			return Connect{}, err
		}
	}
	if c.HasPassword {
		if c.Password, at, err = field(CONNECT, body, at, "MQTT-3.1.2-21", "password"); err != nil {
			return Connect{}, err
		}
	}
	if at != len(body) { // [MQTT-3.1.2-11] [MQTT-3.1.2-18] [MQTT-3.1.2-20] A field that no flag announces.
		return Connect{}, malformed(CONNECT, at, "3.1.3", "%d bytes after the last field that the connect flags announce", len(body)-at)
	}
	return c, nil
}

// AppendConnect appends a CONNECT packet to b (section 3.1). Its error is an [*Error] that matches [ErrInvalid]; b is
// then returned as it was.
func AppendConnect(b []byte, c *Connect) ([]byte, error) {
	if err := c.checkFlags(invalid); err != nil {
		return b, err
	}
	if len(c.ClientID) == 0 && !c.CleanSession { // [MQTT-3.1.3-7]
		return b, invalid(CONNECT, 10, "MQTT-3.1.3-7", "client identifier is empty, which needs clean session")
	}
	if err := checkTextField(CONNECT, 10, c.ClientID, "client identifier"); err != nil {
		return b, err
	}
	var flags byte
	length := 10 + 2 + len(c.ClientID)
	if c.CleanSession {
		flags |= flagCleanSession
	}
	if c.Will {
		if f, ok := checkTopic(c.WillTopic, "MQTT-4.7.1-1"); !ok {
			return b, f.out(CONNECT, length+2, "will topic")
		}
		length += 2 + len(c.WillTopic)
		if err := checkField(CONNECT, length, c.WillMessage, "will message"); err != nil {
			return b, err
		}
		length += 2 + len(c.WillMessage)
		flags |= flagWill | byte(c.WillQoS)<<3
		if c.WillRetain {
			flags |= flagWillRetain
		}
	}
	if c.HasUserName {
		if err := checkTextField(CONNECT, length, c.UserName, "user name"); err != nil {
			return b, err
		}
		length += 2 + len(c.UserName)
		flags |= flagUserName
	}
	if c.HasPassword {
		if err := checkField(CONNECT, length, c.Password, "password"); err != nil {
			return b, err
		}
		length += 2 + len(c.Password)
		flags |= flagPassword
	}
	b = appendHeader(b, byte(CONNECT)<<4, length)
	b = append(b, protocolName...)
	b = append(b, 4, flags, byte(c.KeepAlive>>8), byte(c.KeepAlive))
	for _, field := range [...]struct {
		value []byte
		there bool
	}{{c.ClientID, true}, {c.WillTopic, c.Will}, {c.WillMessage, c.Will}, {c.UserName, c.HasUserName}, {c.Password, c.HasPassword}} {
		if field.there {
			b = appendField(b, field.value)
		}
	}
	return b, nil
}

// checkFlags holds the rules between the connect flags, for both directions, and between them and the fields, for
// a packet to be sent.
func (c *Connect) checkFlags(errorf func(Type, int, string, string, ...any) error) error {
	switch {
	case c.Will && !c.WillQoS.Valid():
		return errorf(CONNECT, 7, "MQTT-3.1.2-14", "will QoS is %d, want 0, 1 or 2", c.WillQoS)
	case !c.Will && c.WillQoS != 0: // [MQTT-3.1.2-11]
		return errorf(CONNECT, 7, "MQTT-3.1.2-13", "will QoS is %d without a will, want 0", c.WillQoS)
	case !c.Will && c.WillRetain:
		return errorf(CONNECT, 7, "MQTT-3.1.2-15", "will retain is 1 without a will, want 0")
	case !c.Will && len(c.WillTopic)+len(c.WillMessage) > 0:
		return errorf(CONNECT, 7, "MQTT-3.1.2-11", "will topic or will message without a will")
	case !c.HasUserName && c.HasPassword:
		return errorf(CONNECT, 7, "MQTT-3.1.2-22", "password without a user name")
	case !c.HasUserName && len(c.UserName) > 0:
		return errorf(CONNECT, 7, "MQTT-3.1.2-18", "user name without its flag")
	case !c.HasPassword && len(c.Password) > 0:
		return errorf(CONNECT, 7, "MQTT-3.1.2-20", "password without its flag")
	}
	return nil
}

// cut keeps an error message short.
func cut(b []byte) []byte { return b[:min(len(b), 32)] }
