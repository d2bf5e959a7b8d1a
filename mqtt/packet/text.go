package packet

import (
	"fmt"
	"unicode/utf8"
)

// checkText finds the first byte of b that no UTF-8 encoded string may have (section 1.5.3). U+FEFF is a character
// like any other [MQTT-1.5.3-3].
func checkText(b []byte) (f fault, ok bool) {
	for i := 0; i < len(b); {
		c := b[i]
		if c-1 < 0x7f { // U+0001 to U+007F
			i++
			continue
		}
		if c == 0 {
			return fault{i, "MQTT-1.5.3-2", "has U+0000"}, false
		}
		r, size := utf8.DecodeRune(b[i:])
		if r == utf8.RuneError && size <= 1 {
			return illFormed(b, i), false
		}
		i += size
	}
	return fault{}, true
}

func illFormed(b []byte, i int) fault {
	// ED A0 80 to ED BF BF would be the surrogates U+D800 to U+DFFF.
	if b[i] == 0xed && i+2 < len(b) && b[i+1]&0xe0 == 0xa0 && b[i+2]&0xc0 == 0x80 {
		return fault{i, "MQTT-1.5.3-1", "has a surrogate, which UTF-8 does not"}
	}
	return fault{i, "MQTT-1.5.3-1", fmt.Sprintf("is not UTF-8: unexpected byte %02x", b[i])}
}

// field cuts a string or binary field (a 16-bit length, then as many bytes) from body at byte at, and returns it with
// the byte behind it. rule is the statement that asks for the field, for the error if it is not there.
func field(t Type, body []byte, at int, rule, name string) (value []byte, next int, err error) {
	if value, next = cutField(body, at); next == 0 {
		return nil, 0, fieldError(t, body, at, rule, name)
	}
	return value, next, nil
}

// cutField is field without the error: next is 0 if the field is not there.
func cutField(body []byte, at int) (value []byte, next int) {
	if from := at + 2; from <= len(body) {
		if end := from + int(body[at])<<8 + int(body[at+1]); end <= len(body) {
			return body[from:end:end], end
		}
	}
	return nil, 0
}

func fieldError(t Type, body []byte, at int, rule, name string) error {
	if len(body)-at < 2 {
		return malformed(t, len(body), rule, "the packet ends before the length of the %s", name)
	}
	n := int(body[at])<<8 | int(body[at+1])
	return malformed(t, at, "1.5.3", "length of the %s is %d, but %d bytes are left", name, n, len(body)-at-2)
}

// textField is field for a UTF-8 encoded string.
func textField(t Type, body []byte, at int, rule, name string) (value []byte, next int, err error) {
	if value, next, err = field(t, body, at, rule, name); err != nil {
		return nil, 0, err
	}
	if f, ok := checkText(value); !ok {
		return nil, 0, f.in(t, at+2, name)
	}
	return value, next, nil
}

// checkField refuses a string or binary field that is too long for its 16-bit length.
//
//go:noinline
func checkField(t Type, at int, value []byte, name string) error {
	if len(value) > maxString {
		return invalid(t, at, "1.5.3", "%s has %d bytes, want at most %d", name, len(value), maxString)
	}
	return nil
}

// checkTextField is checkField for a UTF-8 encoded string.
func checkTextField(t Type, at int, value []byte, name string) error {
	if err := checkField(t, at, value, name); err != nil {
		return err
	}
	if f, ok := checkText(value); !ok {
		return f.out(t, at+2, name)
	}
	return nil
}

func appendField(b, value []byte) []byte {
	b = append(b, byte(len(value)>>8), byte(len(value)))
	return append(b, value...)
}
