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
func (r Requests) Add(filter string, q QoS) Requests {
	return append(Requests(Filters(r).Add(filter)), byte(q))
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
	id, err := parseFilters(SUBSCRIBE, body)
	if err != nil {
		return Subscribe{}, err
	}
	return Subscribe{ID: id, Requests: body[2:]}, nil
}

// AppendSubscribe appends a SUBSCRIBE packet to b (section 3.8). Its error is an [*Error] that matches [ErrInvalid]; b
// is then returned as it was.
func AppendSubscribe(b []byte, s *Subscribe) ([]byte, error) {
	return appendFilters(b, SUBSCRIBE, s.ID, s.Requests)
}

// parseFilters holds the rules for the body of a SUBSCRIBE and of an UNSUBSCRIBE, which differ in the QoS that follows each
// filter of the first. It returns the packet identifier.
func parseFilters(t Type, body []byte) (id uint16, err error) {
	variable, payload, least := "3.8.2", "3.8.3", "MQTT-3.8.3-3"
	if t == UNSUBSCRIBE {
		variable, payload, least = "3.10.2", "3.10.3", "MQTT-3.10.3-2"
	}
	if len(body) < 2 {
		return 0, malformed(t, len(body), variable, "the packet ends in the packet identifier")
	}
	if id = uint16(body[0])<<8 | uint16(body[1]); id == 0 {
		return 0, malformed(t, 0, "MQTT-2.3.1-1", "packet identifier is 0, want 1 to 65535")
	}
	if len(body) == 2 {
		return 0, malformed(t, 2, least, "no topic filter, want at least one")
	}
	for at := 2; at < len(body); {
		filter, next, err := field(t, body, at, payload, "topic filter")
		if err != nil {
			return 0, err
		}
		if f, ok := checkFilter(filter); !ok { // [MQTT-3.8.3-1] [MQTT-3.10.3-1]
			return 0, f.in(t, at+2, "topic filter")
		}
		at = next
		if t == UNSUBSCRIBE {
			continue
		}
		if at == len(body) {
			return 0, malformed(t, at, payload, "the packet ends before the QoS of the last topic filter")
		}
		if q := body[at]; q > 2 { // [MQTT-3-8.3-4], spelled so in the standard
			return 0, malformed(t, at, "MQTT-3-8.3-4", "requested QoS byte is %02x, want 00, 01 or 02", q)
		}
		at++
	}
	return id, nil
}

// appendFilters appends a SUBSCRIBE or UNSUBSCRIBE with this list.
func appendFilters(b []byte, t Type, id uint16, list []byte) ([]byte, error) {
	if err := checkLength(t, 2+len(list)); err != nil {
		return b, err
	}
	longer := appendHeader(b, byte(t)<<4|fixedFlags(t), 2+len(list))
	body := len(longer)
	longer = append(longer, byte(id>>8), byte(id))
	longer = append(longer, list...)
	if _, err := parseFilters(t, longer[body:]); err != nil {
		err.(*Error).sent = true
		return b, err
	}
	return longer, nil
}
