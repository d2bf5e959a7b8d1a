package packet

//	fixed      | 1110 0000 | 0 |     3.14.1

// ParseDisconnect checks the body of a DISCONNECT: it has none. It is the last packet that a client sends; the server
// then discards the will (section 3.14). Its error is an [*Error] that matches [ErrMalformed].
func ParseDisconnect(body []byte) error { return parseEmpty(DISCONNECT, "3.14.1", body) }

// AppendDisconnect appends a DISCONNECT packet to b (section 3.14). It cannot fail.
func AppendDisconnect(b []byte) []byte { return append(b, byte(DISCONNECT)<<4, 0) }
