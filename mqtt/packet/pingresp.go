package packet

//	fixed      | 1101 0000 | 0 |     3.13.1

// ParsePingresp checks the body of a PINGRESP: it has none. It is the server's answer to PINGREQ (section 3.13). Its
// error is an [*Error] that matches [ErrMalformed].
func ParsePingresp(body []byte) error { return parseEmpty(PINGRESP, "3.13.1", body) }

// AppendPingresp appends a PINGRESP packet to b (section 3.13). It cannot fail.
func AppendPingresp(b []byte) []byte { return append(b, byte(PINGRESP)<<4, 0) }
