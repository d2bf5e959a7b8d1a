package packet

import "iter"

//	fixed      | 1000 0010 | Remaining Length |                                  3.8.1
//	variable   | packet identifier |                                             3.8.2
//	payload    | topic filter | 0000 00 QoS (2) | topic filter | ... |           3.8.3, at least one pair

// Subscribe asks the server for the messages that match topic filters (section 3.8).
type Subscribe struct {
	ID       uint16
	Requests Requests // at least one
}

// Requests is the payload of a SUBSCRIBE as it stands on the wire: pairs of topic filter and highest QoS wanted. Build
// one with Add, starting from nil, and read it with All.
type Requests []byte

// Add appends a request to r and returns the longer list. It checks nothing, AppendSubscribe does; a filter above
// 65 535 bytes, which the wire cannot say, becomes an empty one, which AppendSubscribe refuses.
//
//go:noinline
func (r Requests) Add(filter string, q QoS) Requests {
	if len(filter) > maxString {
		filter = ""
	}
	r = append(r, byte(len(filter)>>8), byte(len(filter)))
	r = append(r, filter...)
	return append(r, byte(q))
}

// All yields the requests in order. The filters are views into r.
func (r Requests) All() iter.Seq2[[]byte, QoS] {
	return func(yield func([]byte, QoS) bool) {
		for at := 0; at < len(r); {
			filter, next, err := field(SUBSCRIBE, r, at, "", "")
			if err != nil || next == len(r) || !yield(filter, QoS(r[next])) {
				return
			}
			at = next + 1
		}
	}
}

// Len counts the requests.
func (r Requests) Len() (n int) {
	for range r.All() {
		n++
	}
	return n
}

// ParseSubscribe reads the body of a SUBSCRIBE. Requests is a view into body. Its error is an [*Error] that matches
// [ErrMalformed].
func ParseSubscribe(body []byte) (Subscribe, error) {
	if len(body) < 2 {
		return Subscribe{}, malformed(SUBSCRIBE, len(body), "3.8.2", "the packet ends in the packet identifier")
	}
	s := Subscribe{ID: uint16(body[0])<<8 | uint16(body[1]), Requests: Requests(body[2:])}
	if s.ID == 0 {
		return Subscribe{}, malformed(SUBSCRIBE, 0, "MQTT-2.3.1-1", "packet identifier is 0, want 1 to 65535")
	}
	if len(s.Requests) == 0 {
		return Subscribe{}, malformed(SUBSCRIBE, 2, "MQTT-3.8.3-3", "no topic filter, want at least one")
	}
	for at := 2; at < len(body); at++ {
		filter, next, err := field(SUBSCRIBE, body, at, "3.8.3", "topic filter")
		if err != nil {
			return Subscribe{}, err
		}
		if f, ok := checkFilter(filter); !ok { // [MQTT-3.8.3-1]
			return Subscribe{}, f.in(SUBSCRIBE, at+2, "topic filter")
		}
		if next == len(body) {
			return Subscribe{}, malformed(SUBSCRIBE, next, "3.8.3", "the packet ends before the QoS of the last topic filter")
		}
		if q := body[next]; q > 2 { // [MQTT-3-8.3-4], spelled so in the standard
			return Subscribe{}, malformed(SUBSCRIBE, next, "MQTT-3-8.3-4", "requested QoS byte is %02x, want 00, 01 or 02", q)
		}
		at = next
	}
	return s, nil
}

// AppendSubscribe appends a SUBSCRIBE packet to b (section 3.8). Its error is an [*Error] that matches [ErrInvalid]; b
// is then returned as it was.
func AppendSubscribe(b []byte, s *Subscribe) ([]byte, error) {
	if err := checkLength(SUBSCRIBE, 2+len(s.Requests)); err != nil {
		return b, err
	}
	longer := appendHeader(b, byte(SUBSCRIBE)<<4|fixedFlags(SUBSCRIBE), 2+len(s.Requests))
	body := len(longer)
	longer = append(longer, byte(s.ID>>8), byte(s.ID))
	longer = append(longer, s.Requests...)
	if _, err := ParseSubscribe(longer[body:]); err != nil {
		err.(*Error).sent = true
		return b, err
	}
	return longer, nil
}
