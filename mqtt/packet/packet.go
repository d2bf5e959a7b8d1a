// Package packet is the wire format of MQTT 3.1.1: all 14 control packets, in both directions.
//
// It is the map of the protocol. Every packet has a file of its own (connect.go, publish.go, ...) that opens
// with the packet's picture, then gives its type, its ParseX and its AppendX:
//
//	byte 1   | packet type (4 bits) | flags (4 bits) |     fixed header, section 2.2: header.go
//	byte 2.. | Remaining Length, 1 to 4 bytes        |
//	         | variable header                       |     depends on the type
//	         | payload                               |     CONNECT, PUBLISH, SUBSCRIBE, SUBACK, UNSUBSCRIBE
//
//	client -> server   CONNECT, SUBSCRIBE, UNSUBSCRIBE, PINGREQ, DISCONNECT
//	server -> client   CONNACK, SUBACK, UNSUBACK, PINGRESP
//	both ways          PUBLISH, PUBACK (QoS 1), PUBREC, PUBREL, PUBCOMP (QoS 2)
//
// All functions are total: they never panic, never truncate, and never allocate by a length that they read.
// ParseX takes the bytes behind the fixed header and returns views into them: the caller keeps the memory, and
// the value is good for as long as the bytes are. AppendX appends the whole packet, fixed header included, to b
// and returns the longer slice; on an error it returns b as it was. AppendX refuses what ParseX would refuse.
//
// Every error about a packet is an *[Error]. It names the rule that is broken and the byte that breaks it, and matches
// [ErrMalformed] (bytes that came) or [ErrInvalid] (a value that was to be sent).
package packet

import "fmt"

// Type is the control packet type, the upper four bits of the first byte (section 2.2.1, table 2.1).
type Type uint8

// The 14 control packet types. 0 and 15 are reserved.
const (
	CONNECT     Type = iota + 1 // client to server: request to connect
	CONNACK                     // server to client: answer to CONNECT
	PUBLISH                     // both ways: a message
	PUBACK                      // both ways: QoS 1, the message is owned by the receiver
	PUBREC                      // both ways: QoS 2, part 1: received
	PUBREL                      // both ways: QoS 2, part 2: release
	PUBCOMP                     // both ways: QoS 2, part 3: complete
	SUBSCRIBE                   // client to server: request to subscribe
	SUBACK                      // server to client: answer to SUBSCRIBE
	UNSUBSCRIBE                 // client to server: request to unsubscribe
	UNSUBACK                    // server to client: answer to UNSUBSCRIBE
	PINGREQ                     // client to server: are you there?
	PINGRESP                    // server to client: yes
	DISCONNECT                  // client to server: good-bye
)

var typeNames = [16]string{"RESERVED-0", "CONNECT", "CONNACK", "PUBLISH", "PUBACK", "PUBREC", "PUBREL", "PUBCOMP",
	"SUBSCRIBE", "SUBACK", "UNSUBSCRIBE", "UNSUBACK", "PINGREQ", "PINGRESP", "DISCONNECT", "RESERVED-15"}

// String returns the name that the standard uses, such as "PUBLISH".
func (t Type) String() string {
	if int(t) < len(typeNames) {
		return typeNames[t]
	}
	return fmt.Sprintf("Type(%d)", uint8(t))
}

// QoS is the level of delivery of a message (section 4.3). Only 0, 1 and 2 exist.
type QoS uint8

// The three levels of delivery.
const (
	QoS0 QoS = iota // at most once: sent and forgotten (4.3.1)
	QoS1            // at least once: repeated until acknowledged by PUBACK (4.3.2)
	QoS2            // exactly once: PUBREC, PUBREL, PUBCOMP (4.3.3)
)

// Valid reports whether q is 0, 1 or 2.
func (q QoS) Valid() bool { return q <= QoS2 }

// MaxRemainingLength is the largest Remaining Length that four bytes can say (section 2.2.3, table 2.4).
const MaxRemainingLength = 268_435_455

// maxString is the longest string or binary field: its length is a 16-bit number (sections 1.5.2 and 1.5.3).
const maxString = 65_535

// parseID reads a variable header that is a packet identifier and nothing more: PUBACK, PUBREC, PUBREL, PUBCOMP
// and UNSUBACK. section is the packet's own, for the error.
func parseID(t Type, section string, body []byte) (uint16, error) {
	if len(body) != 2 {
		return 0, malformed(t, min(len(body), 2), section, "%d bytes after the fixed header, want 2: a packet identifier", len(body))
	}
	id := uint16(body[0])<<8 | uint16(body[1])
	if id == 0 {
		return 0, malformed(t, 0, "MQTT-2.3.1-1", "packet identifier is 0, want 1 to 65535")
	}
	return id, nil
}

// appendID appends a packet of four bytes: fixed header and packet identifier.
func appendID(b []byte, t Type, id uint16) ([]byte, error) {
	if id == 0 {
		return b, invalid(t, 0, "MQTT-2.3.1-1", "packet identifier is 0, want 1 to 65535")
	}
	return append(b, byte(t)<<4|fixedFlags(t), 2, byte(id>>8), byte(id)), nil
}

// parseEmpty checks the body of a packet that has none: PINGREQ, PINGRESP and DISCONNECT.
func parseEmpty(t Type, section string, body []byte) error {
	if len(body) != 0 {
		return malformed(t, 0, section, "%d bytes after the fixed header, want none", len(body))
	}
	return nil
}
