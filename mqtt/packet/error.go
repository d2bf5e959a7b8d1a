package packet

import (
	"errors"
	"fmt"
)

// ErrMalformed is matched, with [errors.Is], by every error about bytes that came from the other side. The network
// connection on which they came has to be closed [MQTT-4.8.0-1].
var ErrMalformed = errors.New("malformed packet")

// ErrInvalid is matched, with [errors.Is], by every error about a value that may not be sent. Nothing was encoded.
var ErrInvalid = errors.New("invalid packet")

// Error says which rule is broken, and where.
type Error struct {
	Type Type // the packet, or 0 where the type itself is at fault

	// Offset is the byte that breaks the rule, counted in the slice that the failing function was given: from the
	// packet's first byte for ParseHeader, from the first byte behind the fixed header for ParseX and AppendX,
	// from the string's first byte for ValidTopic and ValidFilter. Where ParseX or AppendX finds the mistake in the
	// fixed header, or the packet as a whole too long, it is 0.
	Offset int

	// Rule is the statement, such as "MQTT-3.3.1-4", or the section, such as "3.4.1", where no statement is numbered.
	Rule string

	Reason string // what was expected and what came

	sent bool // the value was to be sent
}

// Error returns one line: packet, reason, byte and rule.
func (e *Error) Error() string {
	if e.Type == 0 {
		return fmt.Sprintf("%s (byte %d) [%s]", e.Reason, e.Offset, e.Rule)
	}
	return fmt.Sprintf("%s: %s (byte %d) [%s]", e.Type, e.Reason, e.Offset, e.Rule)
}

// Is reports whether target is the kind of e: [ErrMalformed] or [ErrInvalid].
func (e *Error) Is(target error) bool {
	return target == ErrMalformed && !e.sent || target == ErrInvalid && e.sent
}

//go:noinline
func malformed(t Type, offset int, rule, format string, args ...any) error {
	return &Error{Type: t, Offset: offset, Rule: rule, Reason: fmt.Sprintf(format, args...)}
}

//go:noinline
func invalid(t Type, offset int, rule, format string, args ...any) error {
	return &Error{Type: t, Offset: offset, Rule: rule, Reason: fmt.Sprintf(format, args...), sent: true}
}

// fault is what a check of a field found: an offset within the field, the rule and the reason. The zero fault is none.
type fault struct {
	offset       int
	rule, reason string
}

// in makes an error of f, for a field that starts at byte start of a packet that came.
func (f fault) in(t Type, start int, field string) error {
	return &Error{Type: t, Offset: start + f.offset, Rule: f.rule, Reason: field + " " + f.reason}
}

// out makes an error of f, for a field that would start at byte start of a packet to be sent.
//
//go:noinline
func (f fault) out(t Type, start int, field string) error {
	return &Error{Type: t, Offset: start + f.offset, Rule: f.rule, Reason: field + " " + f.reason, sent: true}
}
