package packet

import "iter"

//	fixed      | 1010 0010 | Remaining Length |     3.10.1
//	variable   | packet identifier |                3.10.2
//	payload    | topic filter | topic filter | ...  3.10.3, at least one

// Unsubscribe asks the server to forget topic filters (section 3.10).
type Unsubscribe struct {
	ID      uint16
	Filters Filters // at least one
}

// Filters is the payload of an UNSUBSCRIBE as it stands on the wire: topic filters, one behind the other. Build one
// with Add, starting from nil, and read it with All.
type Filters []byte

// Add appends a filter to f and returns the longer list. It checks nothing, AppendUnsubscribe does; a filter above
// 65 535 bytes, which the wire cannot say, becomes an empty one, which AppendUnsubscribe refuses.
func (f Filters) Add(filter string) Filters {
	if len(filter) > maxString {
		filter = ""
	}
	f = append(f, byte(len(filter)>>8), byte(len(filter)))
	return append(f, filter...)
}

// All yields the filters in order. They are views into f.
func (f Filters) All() iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		for at := 0; at < len(f); {
			filter, next, err := field(UNSUBSCRIBE, f, at, "", "")
			if err != nil || !yield(filter) {
				return
			}
			at = next
		}
	}
}

// ParseUnsubscribe reads the body of an UNSUBSCRIBE. Filters is a view into body. Its error is an [*Error] that matches
// [ErrMalformed].
func ParseUnsubscribe(body []byte) (Unsubscribe, error) {
	if len(body) < 2 {
		return Unsubscribe{}, malformed(UNSUBSCRIBE, len(body), "3.10.2", "the packet ends in the packet identifier")
	}
	u := Unsubscribe{ID: uint16(body[0])<<8 | uint16(body[1]), Filters: Filters(body[2:])}
	if u.ID == 0 {
		return Unsubscribe{}, malformed(UNSUBSCRIBE, 0, "MQTT-2.3.1-1", "packet identifier is 0, want 1 to 65535")
	}
	if len(u.Filters) == 0 {
		return Unsubscribe{}, malformed(UNSUBSCRIBE, 2, "MQTT-3.10.3-2", "no topic filter, want at least one")
	}
	for at := 2; at < len(body); {
		filter, next, err := field(UNSUBSCRIBE, body, at, "3.10.3", "topic filter")
		if err != nil {
			return Unsubscribe{}, err
		}
		if f, ok := checkFilter(filter); !ok { // [MQTT-3.10.3-1]
			return Unsubscribe{}, f.in(UNSUBSCRIBE, at+2, "topic filter")
		}
		at = next
	}
	return u, nil
}

// AppendUnsubscribe appends an UNSUBSCRIBE packet to b (section 3.10). Its error is an [*Error] that matches
// [ErrInvalid]; b is then returned as it was.
func AppendUnsubscribe(b []byte, u *Unsubscribe) ([]byte, error) {
	if err := checkLength(UNSUBSCRIBE, 2+len(u.Filters)); err != nil {
		return b, err
	}
	longer := appendHeader(b, byte(UNSUBSCRIBE)<<4|fixedFlags(UNSUBSCRIBE), 2+len(u.Filters))
	body := len(longer)
	longer = append(longer, byte(u.ID>>8), byte(u.ID))
	longer = append(longer, u.Filters...)
	if _, err := ParseUnsubscribe(longer[body:]); err != nil {
		err.(*Error).sent = true
		return b, err
	}
	return longer, nil
}
