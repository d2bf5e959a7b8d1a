package packet

//	fixed      | 1100 0000 | 0 |     3.12.1

// ParsePingreq checks the body of a PINGREQ: it has none. A client sends it when it has nothing else to send within the
// keep alive time (section 3.12). Its error is an [*Error] that matches [ErrMalformed].
func ParsePingreq(body []byte) error { return parseEmpty(PINGREQ, "3.12.1", body) }

// AppendPingreq appends a PINGREQ packet to b (section 3.12). It cannot fail.
func AppendPingreq(b []byte) []byte { return append(b, byte(PINGREQ)<<4, 0) }
