package cli

import (
	"bytes"
	"unicode/utf8"
)

// maxDepth is how deep JSON may be nested to be laid out anew. Deeper, each byte could grow to a line of spaces.
const maxDepth = 64

// appendIndented appends the JSON text src to dst, laid out on lines of its own like encoding/json's Indent with two
// spaces: no number, string or order of keys changes. It reports whether src is one JSON text by RFC 8259, nested at most
// maxDepth deep; if not, dst comes back as it was. By hand, since encoding/json would add 287 KB to each program.
func appendIndented(dst, src []byte) ([]byte, bool) {
	r := indenter{in: src, out: dst}
	if r.space(); !r.value(0) {
		return dst, false
	}
	if r.space(); r.at != len(src) {
		return dst, false
	}
	return r.out, true
}

// appendFlat appends the JSON text src to dst in one line, otherwise as it is: without white space around it, and with a
// space in place of space that has a line break or a tab. It reports what appendIndented does.
func appendFlat(dst, src []byte) ([]byte, bool) {
	r := indenter{in: bytes.Trim(src, " \t\r\n"), out: dst, flat: true}
	if !r.value(0) || r.at != len(r.in) {
		return dst, false
	}
	return r.out, true
}

// indenter goes over in once. Its methods report whether what they stand for is there, and are then behind it.
type indenter struct {
	in   []byte
	at   int
	out  []byte
	flat bool // keep the spaces, and do not begin new lines
}

func (r *indenter) value(depth int) bool {
	if r.at == len(r.in) || depth > maxDepth {
		return false
	}
	switch c := r.in[r.at]; c {
	case '{':
		return r.list(depth, '}')
	case '[':
		return r.list(depth, ']')
	case '"':
		return r.text()
	case 't':
		return r.word("true")
	case 'f':
		return r.word("false")
	case 'n':
		return r.word("null")
	}
	return r.number()
}

// list reads an object or an array, which starts here.
func (r *indenter) list(depth int, end byte) bool {
	r.copy(1)
	if r.space(); r.peek(end) {
		return r.copy(1)
	}
	for {
		r.line(depth + 1)
		if end == '}' {
			if !r.peek('"') || !r.text() {
				return false
			}
			if r.space(); !r.peek(':') {
				return false
			}
			r.copy(1)
			if !r.flat {
				r.out = append(r.out, ' ')
			}
			r.space()
		}
		if !r.value(depth + 1) {
			return false
		}
		r.space()
		if r.peek(end) {
			r.line(depth)
			return r.copy(1)
		}
		if !r.peek(',') {
			return false
		}
		r.copy(1)
		r.space()
	}
}

func (r *indenter) text() bool {
	for i := r.at + 1; i < len(r.in); i++ {
		switch c := r.in[i]; {
		case c == '"':
			return r.copy(i + 1 - r.at)
		case c < ' ':
			return false
		case c == '\\':
			n := escape(r.in[i:])
			if n == 0 {
				return false
			}
			i += n - 1
		}
	}
	return false
}

// escape returns the length of the escape sequence that b starts with, or 0.
func escape(b []byte) int {
	if len(b) < 2 {
		return 0
	}
	switch b[1] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return 2
	case 'u':
		if len(b) < 6 {
			return 0
		}
		for _, c := range b[2:6] {
			if !digit(c) && !('a' <= c|0x20 && c|0x20 <= 'f') {
				return 0
			}
		}
		return 6
	}
	return 0
}

func (r *indenter) number() bool {
	i := r.at
	digits := func() bool {
		start := i
		for i < len(r.in) && digit(r.in[i]) {
			i++
		}
		return i > start
	}
	is := func(set string) bool {
		for _, c := range []byte(set) {
			if i < len(r.in) && r.in[i] == c {
				i++
				return true
			}
		}
		return false
	}
	is("-")
	if !is("0") && !digits() {
		return false
	}
	if is(".") && !digits() {
		return false
	}
	if is("eE") {
		if is("+-"); !digits() {
			return false
		}
	}
	return r.copy(i - r.at)
}

func (r *indenter) word(s string) bool {
	return len(r.in)-r.at >= len(s) && string(r.in[r.at:r.at+len(s)]) == s && r.copy(len(s))
}

func (r *indenter) space() {
	start := r.at
	for r.peek(' ') || r.peek('\n') || r.peek('\t') || r.peek('\r') {
		r.at++
	}
	switch space := r.in[start:r.at]; {
	case !r.flat:
	case bytes.ContainsAny(space, "\r\n\t"):
		r.out = append(r.out, ' ')
	default:
		r.out = append(r.out, space...)
	}
}

func (r *indenter) peek(c byte) bool { return r.at < len(r.in) && r.in[r.at] == c }

func (r *indenter) copy(n int) bool {
	r.out = append(r.out, r.in[r.at:r.at+n]...)
	r.at += n
	return true
}

func (r *indenter) line(depth int) {
	if r.flat {
		return
	}
	r.out = append(r.out, '\n')
	for range depth {
		r.out = append(r.out, "  "...)
	}
}

func digit(c byte) bool { return '0' <= c && c <= '9' }

// appendQuoted appends s to dst as a JSON string. Bytes that are not UTF-8 become U+FFFD.
func appendQuoted(dst []byte, s string) []byte {
	dst = append(dst, '"')
	for _, c := range s {
		if c == '"' || c == '\\' {
			dst = append(dst, '\\')
		}
		dst = appendInString(dst, c)
	}
	return append(dst, '"')
}

// appendInString appends c as it may stand in a JSON string on a terminal.
func appendInString(dst []byte, c rune) []byte {
	const hex = "0123456789abcdef"
	switch {
	case c == '\n':
		return append(dst, `\n`...)
	case c == '\r':
		return append(dst, `\r`...)
	case c == '\t':
		return append(dst, `\t`...)
	case !isTreacherous(c):
		return utf8.AppendRune(dst, c)
	}
	return append(dst, '\\', 'u', hex[c>>12&15], hex[c>>8&15], hex[c>>4&15], hex[c&15])
}
