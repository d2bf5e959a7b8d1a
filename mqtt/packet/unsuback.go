package packet

//	fixed      | 1011 0000 | 2 |            3.11.1
//	variable   | packet identifier |     3.11.2

// Unsuback is the server's answer to UNSUBSCRIBE, also when there was nothing to delete (section 3.11).
type Unsuback struct {
	ID uint16 // that of the UNSUBSCRIBE [MQTT-3.10.4-4]
}

// ParseUnsuback reads the body of an UNSUBACK. Its error is an [*Error] that matches [ErrMalformed].
func ParseUnsuback(body []byte) (Unsuback, error) {
	id, err := parseID(UNSUBACK, "3.11.1", body)
	return Unsuback{ID: id}, err
}

// AppendUnsuback appends an UNSUBACK packet to b (section 3.11). Its error is an [*Error] that matches [ErrInvalid]; b
// is then returned as it was.
func AppendUnsuback(b []byte, p *Unsuback) ([]byte, error) { return appendID(b, UNSUBACK, p.ID) }
