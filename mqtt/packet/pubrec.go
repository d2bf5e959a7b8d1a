package packet

//	fixed      | 0101 0000 | 2 |            3.5.1
//	variable   | packet identifier |     3.5.2

// Pubrec answers a PUBLISH of QoS 2: its receiver owns the message now, and will take no second copy of it (section 3.5).
type Pubrec struct {
	ID uint16 // that of the PUBLISH [MQTT-2.3.1-6]
}

// ParsePubrec reads the body of a PUBREC. Its error is an [*Error] that matches [ErrMalformed].
func ParsePubrec(body []byte) (Pubrec, error) {
	id, err := parseID(PUBREC, "3.5.1", body)
	return Pubrec{ID: id}, err
}

// AppendPubrec appends a PUBREC packet to b (section 3.5). Its error is an [*Error] that matches [ErrInvalid]; b is
// then returned as it was.
func AppendPubrec(b []byte, p *Pubrec) ([]byte, error) { return appendID(b, PUBREC, p.ID) }
