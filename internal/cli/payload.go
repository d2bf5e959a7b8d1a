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

// isTreacherous reports whether c could change what a terminal shows of other characters. All such have 16 bits at most.
func isTreacherous(c rune) bool {
	switch {
	case c < ' ', 0x7f <= c && c < 0xa0: // C0, DEL and C1: control characters
	case c == 0x61c, c == 0x200e, c == 0x200f, 0x202a <= c && c <= 0x202e, 0x2066 <= c && c <= 0x2069: // they turn the direction of writing
	case c == 0x2028, c == 0x2029: // they end lines
	default:
		return false
	}
	return true
}

// appendEscaped appends text to dst for a terminal: bytes that are not UTF-8 and characters that are treacherous, but for
// newlines and tabs, are shown as \x9b or \u202e.
func appendEscaped(dst, text []byte) []byte {
	for len(text) > 0 {
		c, size := utf8.DecodeRune(text)
		switch {
		case c == utf8.RuneError && size == 1:
			dst = fmt.Appendf(dst, `\x%02x`, text[0])
		case c == '\n' || c == '\t' || !isTreacherous(c):
			dst = append(dst, text[:size]...)
		case c < 0x80:
			dst = fmt.Appendf(dst, `\x%02x`, c)
		default:
			dst = fmt.Appendf(dst, `\u%04x`, c)
		}
		text = text[size:]
	}
	return dst
}

// oneLine makes text from the network, such as a topic, fit for a log line.
func oneLine(s string) string {
	return string(bytes.ReplaceAll(appendEscaped(nil, []byte(s)), []byte("\n"), []byte(`\n`)))
}
