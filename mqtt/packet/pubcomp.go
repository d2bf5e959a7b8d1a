package packet

//	fixed      | 0111 0000 | 2 |            3.7.1
//	variable   | packet identifier |     3.7.2

// Pubcomp answers a PUBREL, and ends the exchange of QoS 2: the identifier is free again (section 3.7).
type Pubcomp struct {
	ID uint16 // that of the PUBLISH [MQTT-2.3.1-6]
}

// ParsePubcomp reads the body of a PUBCOMP. Its error is an [*Error] that matches [ErrMalformed].
func ParsePubcomp(body []byte) (Pubcomp, error) {
	id, err := parseID(PUBCOMP, "3.7.1", body)
	return Pubcomp{ID: id}, err
}

// AppendPubcomp appends a PUBCOMP packet to b (section 3.7). Its error is an [*Error] that matches [ErrInvalid]; b is
// then returned as it was.
func AppendPubcomp(b []byte, p *Pubcomp) ([]byte, error) { return appendID(b, PUBCOMP, p.ID) }
