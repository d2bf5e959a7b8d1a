package packet

import "fmt"

//	fixed      | 0010 0000 | 2 |                              3.2.1
//	variable   | 000 0000 session present | return code |     3.2.2

// Connack is the server's answer to CONNECT, and the first packet that it sends (section 3.2).
type Connack struct {
	SessionPresent bool // the server kept a session for this client identifier
	Code           ConnectCode
}

// ConnectCode is the connect return code (section 3.2.2.3, table 3.1).
type ConnectCode uint8

// The six return codes; all others are reserved.
const (
	Accepted            ConnectCode = iota
	RefusedVersion                  // the server does not know this level of the protocol
	RefusedClientID                 // the client identifier is not allowed
	RefusedUnavailable              // the MQTT service is not available
	RefusedCredentials              // bad user name or password
	RefusedUnauthorized             // the client may not connect
)

// String returns the code's meaning in a few words.
func (c ConnectCode) String() string {
	switch c {
	case Accepted:
		return "accepted"
	case RefusedVersion:
		return "unacceptable protocol version"
	case RefusedClientID:
		return "client identifier rejected"
	case RefusedUnavailable:
		return "server unavailable"
	case RefusedCredentials:
		return "bad user name or password"
	case RefusedUnauthorized:
		return "not authorized"
	}
	return fmt.Sprintf("reserved code %d", uint8(c))
}

// ParseConnack reads the body of a CONNACK. Its error is an [*Error] that matches [ErrMalformed].
func ParseConnack(body []byte) (Connack, error) {
	if len(body) != 2 {
		return Connack{}, malformed(CONNACK, min(len(body), 2), "3.2.1", "%d bytes after the fixed header, want 2", len(body))
	}
	if body[0] > 1 {
		return Connack{}, malformed(CONNACK, 0, "3.2.2.1", "acknowledge flags are %08b, want the upper seven bits 0", body[0])
	}
	c := Connack{SessionPresent: body[0] == 1, Code: ConnectCode(body[1])}
	if err := c.check(malformed); err != nil {
		return Connack{}, err
	}
	return c, nil
}

// AppendConnack appends a CONNACK packet to b (section 3.2). Its error is an [*Error] that matches [ErrInvalid]; b is
// then returned as it was.
func AppendConnack(b []byte, c *Connack) ([]byte, error) {
	if err := c.check(invalid); err != nil {
		return b, err
	}
	var flags byte
	if c.SessionPresent {
		flags = 1
	}
	return append(b, byte(CONNACK)<<4, 2, flags, byte(c.Code)), nil
}

func (c *Connack) check(errorf func(Type, int, string, string, ...any) error) error {
	if c.Code > RefusedUnauthorized {
		return errorf(CONNACK, 1, "3.2.2.3", "return code is %d, want 0 to 5", uint8(c.Code))
	}
	if c.SessionPresent && c.Code != Accepted {
		return errorf(CONNACK, 0, "MQTT-3.2.2-4", "session present is 1 with return code %d, want 0", uint8(c.Code))
	}
	return nil
}
