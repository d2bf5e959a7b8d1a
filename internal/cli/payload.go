package cli

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"unicode/utf8"
)

// appendPayload appends what a person sees of a payload: JSON laid out anew, other text as it is, other bytes as a hex
// dump. It ends with a newline. With escape, what could command a terminal is shown as \x1b.
func appendPayload(dst, payload []byte, escape bool) []byte {
	start := len(dst)
	switch indented, ok := appendIndented(dst, payload); {
	case !isText(payload):
		return append(dst, hex.Dump(payload)...)
	case ok:
		dst = indented
	default:
		dst = append(dst, payload...)
	}
	if escape {
		dst = appendEscaped(dst[:start], bytes.Clone(dst[start:]))
	}
	if len(dst) == start || dst[len(dst)-1] != '\n' {
		dst = append(dst, '\n')
	}
	return dst
}

// isText reports whether b is UTF-8 without control characters, but for those that texts have (the rule of file(1)):
// BEL, BS, TAB, LF, VT, FF, CR and ESC.
func isText(b []byte) bool {
	for _, c := range b {
		if c < 7 || 13 < c && c < 27 || 27 < c && c < ' ' {
			return false
		}
	}
	return utf8.Valid(b)
}

// appendEscaped appends text to dst with every character that could change what a terminal shows of the others:
// control characters other than newline and tab, and those that turn the direction of writing.
func appendEscaped(dst, text []byte) []byte {
	for _, c := range string(text) {
		switch {
		case c == '\n' || c == '\t':
			dst = append(dst, byte(c))
		case c < ' ' || c == 0x7f:
			dst = fmt.Appendf(dst, `\x%02x`, c)
		case 0x80 <= c && c < 0xa0, 0x200e <= c && c <= 0x200f, 0x2028 <= c && c <= 0x202e, 0x2066 <= c && c <= 0x2069:
			dst = fmt.Appendf(dst, `\u%04x`, c)
		default:
			dst = utf8.AppendRune(dst, c)
		}
	}
	return dst
}

// oneLine makes text from the network, such as a topic, fit for a log line.
func oneLine(s string) string {
	return string(bytes.ReplaceAll(appendEscaped(nil, []byte(s)), []byte("\n"), []byte(`\n`)))
}
