package packet

//	fixed      | 1001 0000 | Remaining Length |     3.9.1
//	variable   | packet identifier |                3.9.2
//	payload    | return code | return code | ...    3.9.3: one for each topic filter, in order

// Suback is the server's answer to SUBSCRIBE (section 3.9).
type Suback struct {
	ID    uint16 // that of the SUBSCRIBE [MQTT-3.8.4-2]
	Codes []byte // one for each topic filter, in order: the QoS granted, or SubackFailure
}

// SubackFailure is the return code of a topic filter that the server refuses.
const SubackFailure = 0x80

// ParseSuback reads the body of a SUBACK. Codes is a view into body. That there are as many codes as the SUBSCRIBE had
// filters [MQTT-3.8.4-5] is for the caller to check. Its error is an [*Error] that matches [ErrMalformed].
func ParseSuback(body []byte) (Suback, error) {
	if len(body) < 2 {
		return Suback{}, malformed(SUBACK, len(body), "3.9.2", "the packet ends in the packet identifier")
	}
	s := Suback{ID: uint16(body[0])<<8 | uint16(body[1]), Codes: body[2:]}
	if err := s.check(malformed); err != nil {
		return Suback{}, err
	}
	return s, nil
}

// AppendSuback appends a SUBACK packet to b (section 3.9). Its error is an [*Error] that matches [ErrInvalid]; b is
// then returned as it was.
func AppendSuback(b []byte, s *Suback) ([]byte, error) {
	if err := s.check(invalid); err != nil {
		return b, err
	}
	if err := checkLength(SUBACK, 2+len(s.Codes)); err != nil {
		return b, err
	}
	b = appendHeader(b, byte(SUBACK)<<4, 2+len(s.Codes))
	b = append(b, byte(s.ID>>8), byte(s.ID))
	return append(b, s.Codes...), nil
}

func (s *Suback) check(errorf func(Type, int, string, string, ...any) error) error {
	if s.ID == 0 {
		return errorf(SUBACK, 0, "MQTT-2.3.1-1", "packet identifier is 0, want 1 to 65535")
	}
	if len(s.Codes) == 0 {
		return errorf(SUBACK, 2, "MQTT-3.8.4-5", "no return code, want one for each topic filter")
	}
	for i, c := range s.Codes {
		if c > 2 && c != SubackFailure { // [MQTT-3.9.3-2]
			return errorf(SUBACK, 2+i, "MQTT-3.9.3-2", "return code is %02x, want 00, 01, 02 or 80", c)
		}
	}
	return nil
}
