package packet

//	fixed      | 0100 0000 | 2 |            3.4.1
//	variable   | packet identifier |     3.4.2

// Puback answers a PUBLISH of QoS 1: its receiver owns the message now (section 3.4).
type Puback struct {
	ID uint16 // that of the PUBLISH [MQTT-2.3.1-6]
}

// ParsePuback reads the body of a PUBACK. Its error is an [*Error] that matches [ErrMalformed].
func ParsePuback(body []byte) (Puback, error) {
	id, err := parseID(PUBACK, "3.4.1", body)
	return Puback{ID: id}, err
}

// AppendPuback appends a PUBACK packet to b (section 3.4). Its error is an [*Error] that matches [ErrInvalid]; b is
// then returned as it was.
func AppendPuback(b []byte, p *Puback) ([]byte, error) { return appendID(b, PUBACK, p.ID) }
