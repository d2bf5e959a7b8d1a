package policy

import (
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// value is a JSON value with its place in the text.
type value struct {
	kind     kind
	start    int    // offset of its first byte
	raw      string // as written
	text     string // of a string: without quotes and escapes
	members  []member
	elements []value
}

type member struct{ key, value value }

type kind uint8

const (
	jsonNull kind = iota
	jsonBoolean
	jsonNumber
	jsonString
	jsonArray
	jsonObject
)

func (k kind) String() string {
	return [...]string{"null", "a boolean", "a number", "a string", "an array", "an object"}[k]
}

// reader reads JSON (RFC 8259) strictly. Its errors say what a person who writes by hand may have done.
type reader struct {
	*source
	at int
}

// readJSON reads the one value that s holds. Its depth is bounded by what [Parse] has done before: too many characters
// are refused there.
func readJSON(s *source) (value, error) {
	r := &reader{source: s}
	r.skipSpace()
	if r.at == len(s.text) {
		return value{}, s.mistake(r.at, "the document is empty")
	}
	v, err := r.value()
	if err != nil {
		return value{}, err
	}
	if r.skipSpace(); r.at < len(s.text) {
		return value{}, s.mistake(r.at, "expected nothing after the end of the document, found %s", r.found())
	}
	return v, nil
}

func (r *reader) skipSpace() {
	for r.at < len(r.text) && strings.IndexByte(" \t\r\n", r.text[r.at]) >= 0 {
		r.at++
	}
}

// found says what stands at the current place.
func (r *reader) found() string {
	if r.at >= len(r.text) {
		return "the end of the document"
	}
	c, width := utf8.DecodeRuneInString(r.text[r.at:])
	switch {
	case c == utf8.RuneError && width == 1:
		return "a byte that is no UTF-8"
	case c == '\uFEFF':
		return "a byte order mark, which JSON does not have"
	case c == '/' || c == '#':
		return strconv.QuoteRune(c) + ", and JSON has no comments"
	case c == '\'' || c == '“' || c == '”' || c == '‘' || c == '’':
		return string(c) + `, and JSON strings are in double quotes (")`
	case c == '"':
		return "a string"
	}
	return strconv.QuoteRune(c)
}

func (r *reader) value() (value, error) {
	v := value{start: r.at}
	var err error
	switch c := r.peek(); {
	case c == '{':
		v.kind = jsonObject
		v.members, err = r.object()
	case c == '[':
		v.kind = jsonArray
		v.elements, err = r.array()
	case c == '"':
		v.kind = jsonString
		v.text, err = r.string()
	case c == '-' || '0' <= c && c <= '9':
		v.kind = jsonNumber
		err = r.number()
	default:
		v.kind, err = r.word()
	}
	v.raw = r.text[v.start:r.at]
	return v, err
}

// peek returns the next byte, or 0 at the end.
func (r *reader) peek() byte {
	if r.at < len(r.text) {
		return r.text[r.at]
	}
	return 0
}

func (r *reader) object() (members []member, err error) {
	open := r.at
	r.at++
	first := map[string]int{}
	for {
		r.skipSpace()
		if r.peek() == '}' && len(members) == 0 {
			r.at++
			return nil, nil
		}
		switch c := r.peek(); {
		case r.at == len(r.text):
			return nil, r.unclosed(open, "object", "}")
		case c == '}':
			return nil, r.mistake(r.at, "expected another member after the comma, found '}'; the last member has no comma behind it")
		case c != '"':
			return nil, r.mistake(r.at, "expected the name of a member in double quotes, found %s", r.found())
		}
		m := member{key: value{kind: jsonString, start: r.at}}
		if m.key.text, err = r.string(); err != nil {
			return nil, err
		}
		m.key.raw = r.text[m.key.start:r.at]
		if before, twice := first[m.key.text]; twice {
			line, column := r.position(before)
			return nil, r.mistake(m.key.start, "%s is here for the second time; the first is at %d:%d", quote(m.key.text), line, column)
		}
		first[m.key.text] = m.key.start
		if r.skipSpace(); r.peek() != ':' {
			return nil, r.mistake(r.at, "expected ':' after the name %s, found %s", quote(m.key.text), r.found())
		}
		r.at++
		r.skipSpace()
		if m.value, err = r.value(); err != nil {
			return nil, err
		}
		members = append(members, m)
		more, err := r.separator(open, "object", '}')
		if !more {
			return members, err
		}
	}
}

func (r *reader) array() (elements []value, err error) {
	open := r.at
	r.at++
	for {
		r.skipSpace()
		if r.peek() == ']' {
			if len(elements) > 0 {
				return nil, r.mistake(r.at, "expected another value after the comma, found ']'; the last value has no comma behind it")
			}
			r.at++
			return nil, nil
		}
		if r.at == len(r.text) {
			return nil, r.unclosed(open, "array", "]")
		}
		v, err := r.value()
		if err != nil {
			return nil, err
		}
		elements = append(elements, v)
		more, err := r.separator(open, "array", ']')
		if !more {
			return elements, err
		}
	}
}

// separator reads what follows a member or an element: a comma, and true, or the end of what began at open.
func (r *reader) separator(open int, what string, end byte) (more bool, err error) {
	r.skipSpace()
	switch c := r.peek(); {
	case r.at == len(r.text):
		return false, r.unclosed(open, what, string(end))
	case c == ',':
		r.at++
		return true, nil
	case c == end:
		r.at++
		return false, nil
	}
	return false, r.mistake(r.at, "expected ',' or '%c', found %s; is a comma missing?", end, r.found())
}

func (r *reader) unclosed(open int, what, end string) error {
	line, column := r.position(open)
	return r.mistake(r.at, "the document ends inside the %s that begins at %d:%d; a '%s' is missing", what, line, column, end)
}

// word reads true, false or null.
func (r *reader) word() (kind, error) {
	for word, k := range map[string]kind{"true": jsonBoolean, "false": jsonBoolean, "null": jsonNull} {
		rest, ok := strings.CutPrefix(r.text[r.at:], word)
		if next, _ := utf8.DecodeRuneInString(rest); ok && (rest == "" || !unicode.IsLetter(next) && !unicode.IsDigit(next)) {
			r.at += len(word)
			return k, nil
		}
	}
	return jsonNull, r.mistake(r.at, "expected a value, found %s", r.found())
}

// number reads a number as RFC 8259 has it.
func (r *reader) number() error {
	start := r.at
	digits := func() bool {
		from := r.at
		for '0' <= r.peek() && r.peek() <= '9' {
			r.at++
		}
		return r.at > from
	}
	if r.peek() == '-' {
		r.at++
	}
	whole := r.at
	ok := digits() && (r.text[whole] != '0' || r.at == whole+1)
	if ok && r.peek() == '.' {
		r.at++
		ok = digits()
	}
	if c := r.peek(); ok && (c == 'e' || c == 'E') {
		r.at++
		if c := r.peek(); c == '+' || c == '-' {
			r.at++
		}
		ok = digits()
	}
	if !ok {
		return r.mistake(start, "this is no number as JSON writes them")
	}
	return nil
}

// string reads a string and returns it without quotes and escapes.
func (r *reader) string() (string, error) {
	start := r.at
	r.at++
	var b strings.Builder
	for {
		if r.at == len(r.text) {
			return "", r.mistake(start, `this string has no end: a '"' is missing`)
		}
		if r.text[r.at] == '"' {
			r.at++
			return b.String(), nil
		}
		c, width, err := unescape(r.text[r.at:])
		if err != nil {
			return "", r.mistake(r.at, "%v", err)
		}
		b.WriteRune(c)
		r.at += width
	}
}

// unescape decodes the first character inside a string, and says how many bytes it takes.
func unescape(s string) (c rune, width int, err error) {
	c, width = utf8.DecodeRuneInString(s)
	switch {
	case c == utf8.RuneError && width <= 1:
		return 0, 0, fmt.Errorf("a byte that is no UTF-8 is in this string")
	case c == '\n' || c == '\r':
		return 0, 0, fmt.Errorf(`this string does not end on its line: a '"' is missing, or write \n for a line break`)
	case c < ' ':
		return 0, 0, fmt.Errorf(`control characters are written as escapes in a string: this one is \u%04x`, c)
	case c != '\\':
		return c, width, nil
	}
	if len(s) < 2 {
		return 0, 0, fmt.Errorf(`this string has no end: a '"' is missing`)
	}
	if i := strings.IndexByte(`"\/bfnrt`, s[1]); i >= 0 {
		return rune("\"\\/\b\f\n\r\t"[i]), 2, nil
	}
	if s[1] != 'u' {
		return 0, 0, fmt.Errorf(`JSON knows no such escape; a backslash is written as \\`)
	}
	high, ok := hex4(s[2:])
	if !ok {
		return 0, 0, fmt.Errorf(`\u needs four hexadecimal digits`)
	}
	if !utf16.IsSurrogate(high) {
		return high, 6, nil
	}
	if low, ok := hex4(strings.TrimPrefix(s[6:], `\u`)); ok && strings.HasPrefix(s[6:], `\u`) {
		if c := utf16.DecodeRune(high, low); c != unicode.ReplacementChar {
			return c, 12, nil
		}
	}
	return 0, 0, fmt.Errorf(`half of a surrogate pair is no character`)
}

func hex4(s string) (rune, bool) {
	if len(s) < 4 {
		return 0, false
	}
	n, err := strconv.ParseUint(s[:4], 16, 16)
	return rune(n), err == nil
}

// offset returns where in the document byte i of the string v stands.
func (v value) offset(i int) int {
	at := 1
	for i > 0 {
		c, width, err := unescape(v.raw[at:])
		if err != nil {
			break
		}
		at += width
		i -= utf8.RuneLen(c)
	}
	return v.start + at
}
