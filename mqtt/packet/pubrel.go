package packet

//	fixed      | 0110 0010 | 2 |            3.6.1
//	variable   | packet identifier |     3.6.2

// Pubrel answers a PUBREC: the sender will not repeat the PUBLISH, the receiver may forget its identifier (section 3.6).
type Pubrel struct {
	ID uint16 // that of the PUBLISH [MQTT-2.3.1-6]
}

// ParsePubrel reads the body of a PUBREL. Its error is an [*Error] that matches [ErrMalformed].
func ParsePubrel(body []byte) (Pubrel, error) {
	id, err := parseID(PUBREL, "3.6.1", body)
	return Pubrel{ID: id}, err
}

// AppendPubrel appends a PUBREL packet to b (section 3.6). Its error is an [*Error] that matches [ErrInvalid]; b is
// then returned as it was.
func AppendPubrel(b []byte, p *Pubrel) ([]byte, error) { return appendID(b, PUBREL, p.ID) }
