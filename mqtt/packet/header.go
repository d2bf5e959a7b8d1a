package packet

//	byte 1   | type, bits 7-4 | flags, bits 3-0 |     2.2.1, 2.2.2
//	byte 2   | 1 | length mod 128               |     2.2.3: seven bits a byte, the lowest first;
//	byte 3   | 1 | length / 128 mod 128         |     the highest bit says that one more byte follows
//	byte 4   | 1 | ...                          |
//	byte 5   | 0 | ...                          |     never a fifth

// Header is the fixed header (section 2.2).
type Header struct {
	Type  Type
	Flags uint8 // the lower four bits of the first byte
	Len   int   // Remaining Length: the bytes behind the fixed header, 0 to MaxRemainingLength
}

// kinds has, for each type, what the fixed header can say.
var kinds = [16]struct {
	flags    uint16 // bit n: the flags may be n (table 2.2; for PUBLISH section 3.3.1)
	min, max int    // bytes that can follow the fixed header, and
	rule     string // the statement or section that says so
}{
	CONNECT:     {1 << 0b0000, 12, MaxRemainingLength, "3.1"},
	CONNACK:     {1 << 0b0000, 2, 2, "3.2.1"},
	PUBLISH:     {publishFlags, 3, MaxRemainingLength, "3.3.2"},
	PUBACK:      {1 << 0b0000, 2, 2, "3.4.1"},
	PUBREC:      {1 << 0b0000, 2, 2, "3.5.1"},
	PUBREL:      {1 << 0b0010, 2, 2, "3.6.1"},
	PUBCOMP:     {1 << 0b0000, 2, 2, "3.7.1"},
	SUBSCRIBE:   {1 << 0b0010, 6, MaxRemainingLength, "MQTT-3.8.3-3"},
	SUBACK:      {1 << 0b0000, 3, MaxRemainingLength, "MQTT-3.8.4-5"},
	UNSUBSCRIBE: {1 << 0b0010, 5, MaxRemainingLength, "MQTT-3.10.3-2"},
	UNSUBACK:    {1 << 0b0000, 2, 2, "3.11.1"},
	PINGREQ:     {1 << 0b0000, 0, 0, "3.12.1"},
	PINGRESP:    {1 << 0b0000, 0, 0, "3.13.1"},
	DISCONNECT:  {1 << 0b0000, 0, 0, "3.14.1"},
}

// fixedFlags is the value that the flags of every type but PUBLISH must have (table 2.2).
func fixedFlags(t Type) uint8 {
	if t == PUBREL || t == SUBSCRIBE || t == UNSUBSCRIBE {
		return 0b0010
	}
	return 0
}

// ParseHeader reads the fixed header at the start of b and returns it with its size, 2 to 5 bytes. n == 0 with a nil
// error says that b ends inside the header: more bytes are needed. It refuses every type, flag and length that no
// packet has before a byte of the body is there. A Remaining Length in more bytes than needed is accepted: no
// statement of 3.1.1 forbids it.
func ParseHeader(b []byte) (h Header, n int, err error) {
	if len(b) == 0 {
		return Header{}, 0, nil
	}
	t, flags := Type(b[0]>>4), b[0]&0x0f
	kind := &kinds[t]
	if kind.flags>>flags&1 == 0 {
		return Header{}, 0, firstByteError(b)
	}
	length := 0
	for i := 1; ; i++ {
		if i == len(b) {
			return Header{}, 0, nil
		}
		length |= int(b[i]&0x7f) << (7 * (i - 1))
		if b[i] < 0x80 {
			n = i + 1
			break
		}
		// The standard's pseudo-code (2.2.3) tests this after it multiplied, and so refuses lengths of four bytes.
		if i == 4 {
			return Header{}, 0, malformed(t, 4, "2.2.3", "Remaining Length goes on after its fourth byte")
		}
	}
	least := kind.min
	if t == PUBLISH && flags&0b0110 != 0 {
		least = 5 // the packet identifier
	}
	if length < least || length > kind.max {
		want := "want"
		if kind.max != kind.min {
			want = "want at least"
		}
		return Header{}, 0, malformed(t, 1, kind.rule, "Remaining Length is %d, %s %d", length, want, least)
	}
	return Header{Type: t, Flags: flags, Len: length}, n, nil
}

// firstByteError says what is wrong with the first byte of b.
func firstByteError(b []byte) error {
	t, flags := Type(b[0]>>4), b[0]&0x0f
	switch t {
	case 0, 15:
		return malformed(0, 0, "2.2.1", "packet type is %d, which is reserved%s", t, notMQTT(b))
	case PUBLISH:
		return publishFlagsError(flags)
	}
	rule := "MQTT-2.2.2-2" // invalid flags end the connection
	switch t {
	case PUBREL:
		rule = "MQTT-3.6.1-1"
	case SUBSCRIBE:
		rule = "MQTT-3.8.1-1"
	case UNSUBSCRIBE:
		rule = "MQTT-3.10.1-1"
	case DISCONNECT:
		rule = "MQTT-3.14.1-1"
	}
	return malformed(t, 0, rule, "flags are %04b, want %04b%s", flags, fixedFlags(t), notMQTT(b))
}

// notMQTT names the protocol that b more likely is, if enough of it has come to tell.
func notMQTT(b []byte) string {
	switch {
	case len(b) >= 2 && b[0] >= 0x14 && b[0] <= 0x17 && b[1] == 3:
		return "; this looks like TLS: is the other side a TLS port, or plain text sent to one?"
	case len(b) >= 4 && string(b[:4]) == "HTTP":
		return "; this looks like HTTP: is the other side a web server?"
	case len(b) >= 4 && string(b[:4]) == "SSH-":
		return "; this looks like SSH: is the port right?"
	}
	return ""
}

// appendHeader appends a fixed header; length is at most MaxRemainingLength.
func appendHeader(b []byte, first byte, length int) []byte {
	b = append(b, first)
	for length >= 0x80 {
		b = append(b, byte(length)|0x80)
		length >>= 7
	}
	return append(b, byte(length))
}

// checkLength refuses a body that the Remaining Length cannot say.
func checkLength(t Type, n int) error {
	if n > MaxRemainingLength {
		return invalid(t, 0, "2.2.3", "Remaining Length would be %d, want at most %d", n, MaxRemainingLength)
	}
	return nil
}
