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
//
//go:noinline
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
	id, err := parseFilters(UNSUBSCRIBE, body)
	if err != nil {
		return Unsubscribe{}, err
	}
	return Unsubscribe{ID: id, Filters: body[2:]}, nil
}

// AppendUnsubscribe appends an UNSUBSCRIBE packet to b (section 3.10). Its error is an [*Error] that matches
// [ErrInvalid]; b is then returned as it was.
func AppendUnsubscribe(b []byte, u *Unsubscribe) ([]byte, error) {
	return appendFilters(b, UNSUBSCRIBE, u.ID, u.Filters)
}
