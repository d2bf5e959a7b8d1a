package cli

import (
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"iotwire/mqtt"
)

// format is what is printed of a message: its pieces, one after the other.
type format []piece

// piece is fixed text, or a part of the message.
type piece struct {
	text string

	part  byte // 0: text; else one of parts, pretty or raw
	left  bool // pad on the right
	zeros bool // pad with zeros
	width int  // in characters, at least; 0: as wide as it is
	most  int  // characters that are kept; 0: all
}

// The parts that a format with a name has, and a pattern cannot ask for.
const (
	pretty = '{' // laid out for people
	raw    = 'p' | 0x80
)

// formats are those with names.
var formats = []struct {
	name   string
	format format
}{
	{"pretty", format{{part: pretty}}},
	{"json", format{{part: 'j'}, {text: "\n"}}},
	{"raw", format{{part: raw}}},
	{"text", format{{part: 'p'}, {text: "\n"}}},
	{"hex", format{{part: 'x'}, {text: "\n"}}},
	{"base64", format{{part: 'b'}, {text: "\n"}}},
}

// parts are the letters that may follow % in a pattern: those of mosquitto_sub, and %d and %b.
const parts = "tpqrdmlxXbjIU"

// parseFormat reads the value of -F: a name, or a pattern. A pattern is text with %t, %p and so on for parts of the
// message, \n and so on for characters, and a newline at its end unless it ends with \n or \0.
func parseFormat(s string) (format, error) {
	for _, f := range formats {
		if s == f.name {
			return f.format, nil
		}
	}
	if !strings.ContainsAny(s, `%\`) {
		best, least := "", 3
		for _, f := range formats {
			if d := distance(s, f.name); d < least {
				best, least = "; did you mean "+f.name+"?", d
			}
		}
		return nil, errorf("%s is none of pretty, json, raw, text, hex, base64, and no pattern such as '%%t %%p'%s", quote(s), best)
	}
	var f format
	var text []byte
	ended := false // by \n or \0
	for rest := s; rest != ""; {
		c := rest[0]
		rest = rest[1:]
		ended = false
		switch c {
		case '%':
			p, n, err := parsePart(rest)
			if err != nil {
				return nil, err
			}
			rest = rest[n:]
			if p.part == '%' {
				text = append(text, '%')
				continue
			}
			if text != nil {
				f = append(f, piece{text: string(text)})
				text = nil
			}
			f = append(f, p)
		case '\\':
			c, err := parseEscape(rest)
			if err != nil {
				return nil, err
			}
			rest = rest[1:]
			text = append(text, c)
			ended = c == '\n' || c == 0
		default:
			text = append(text, c)
		}
	}
	if !ended {
		text = append(text, '\n')
	}
	if text != nil {
		f = append(f, piece{text: string(text)})
	}
	return f, nil
}

// parsePart reads what follows a % at the start of s, up to and with its letter, and returns how long that is.
func parsePart(s string) (p piece, n int, err error) {
	for ; n < len(s) && (s[n] == '-' || s[n] == '0'); n++ {
		if s[n] == '-' {
			p.left = true
		} else {
			p.zeros = true
		}
	}
	number := func() (value int) {
		for ; n < len(s) && digit(s[n]); n++ {
			value = min(10*value+int(s[n]-'0'), 1<<20)
		}
		return value
	}
	p.width = number()
	if n < len(s) && s[n] == '.' {
		n++
		if p.most = number(); p.most == 0 {
			return p, 0, errorf("%s: a number is to follow the point", quote("%"+s[:n]))
		}
	}
	const most = 1000 // wider than any terminal: a line of a terabyte is a mistake
	letter, size := utf8.DecodeRuneInString(s[n:])
	switch {
	case p.width > most || p.most > most:
		return p, 0, errorf("%s: a width is at most %d", quote("%"+s[:n+size]), most)
	case size == 0:
		return p, 0, errors.New(`nothing follows the last %; a percent sign itself is %%`)
	case letter == '%' && n == 0:
	case letter >= utf8.RuneSelf || strings.IndexByte(parts, byte(letter)) < 0:
		return p, 0, errorf("%s is unknown; there are %%t topic, %%p payload, %%q QoS, %%r retain, %%d dup, %%m packet identifier, %%l length, %%x and %%X hex, "+
			"%%b base64, %%j JSON, %%I time, %%U Unix time, %%%%", quote("%"+s[:n+size]))
	}
	p.part = byte(letter)
	return p, n + size, nil
}

// parseEscape reads what follows a backslash.
func parseEscape(s string) (byte, error) {
	const letters, values = `\0aenrtv`, "\\\x00\a\x1b\n\r\t\v"
	if s == "" {
		return 0, errors.New(`nothing follows the last backslash; a backslash itself is \\`)
	}
	if i := strings.IndexByte(letters, s[0]); i >= 0 {
		return values[i], nil
	}
	_, size := utf8.DecodeRuneInString(s)
	return 0, errorf(`%s is unknown; there are \n \t \r \0 \a \e \v \\`, printable(`\`+s[:size]))
}

// forPeople reports whether f is pretty: who reads it wants to be told the topic besides.
func (f format) forPeople() bool { return f[0].part == pretty }

// append appends the message m, which came at this time, to dst. With escape, nothing of the message can command a
// terminal, unless the format is raw: control characters are shown as \x1b.
func (f format) append(dst []byte, m *mqtt.Message, at time.Time, escape bool) []byte {
	for _, p := range f {
		if p.part == 0 {
			dst = append(dst, p.text...)
			continue
		}
		start := len(dst)
		dst = p.append(dst, m, at, escape)
		if p.width > 0 || p.most > 0 {
			dst = p.fit(dst, start)
		}
	}
	return dst
}

// append appends the part, as wide as it is.
func (p piece) append(dst []byte, m *mqtt.Message, at time.Time, escape bool) []byte {
	switch p.part {
	case pretty:
		return appendPayload(dst, m.Payload, escape)
	case raw:
		return append(dst, m.Payload...)
	case 't':
		if escape {
			return append(dst, oneLine(m.Topic)...)
		}
		return append(dst, m.Topic...)
	case 'p':
		if escape {
			return appendEscaped(dst, m.Payload)
		}
		return append(dst, m.Payload...)
	case 'q':
		return append(dst, '0'+byte(m.QoS))
	case 'r':
		return append(dst, bit(m.Retain))
	case 'd':
		return append(dst, bit(m.Dup))
	case 'm':
		return strconv.AppendUint(dst, uint64(m.PacketID), 10)
	case 'l':
		return strconv.AppendInt(dst, int64(len(m.Payload)), 10)
	case 'x':
		return hex.AppendEncode(dst, m.Payload)
	case 'X':
		start := len(dst)
		dst = hex.AppendEncode(dst, m.Payload)
		for i, c := range dst[start:] {
			if c >= 'a' {
				dst[start+i] = c - 'a' + 'A'
			}
		}
		return dst
	case 'b':
		return base64.StdEncoding.AppendEncode(dst, m.Payload)
	case 'j':
		return appendEnvelope(dst, m, at)
	case 'I':
		return at.AppendFormat(dst, timeLayout)
	default: // 'U'
		return fmt.Appendf(dst, "%d.%09d", at.Unix(), at.Nanosecond())
	}
}

// fit cuts and pads what stands in b from start.
func (p piece) fit(b []byte, start int) []byte {
	if p.most > 0 {
		end := start
		for range p.most {
			_, size := utf8.DecodeRune(b[end:])
			end += size
		}
		b = b[:end]
	}
	missing := p.width - utf8.RuneCount(b[start:])
	if missing <= 0 {
		return b
	}
	padding := slices.Repeat([]byte(" "), missing)
	switch {
	case p.left:
		return append(b, padding...)
	case p.zeros && strings.IndexByte("mlxX", p.part) >= 0:
		padding = slices.Repeat([]byte("0"), missing)
	}
	return slices.Insert(b, start, padding...)
}

func bit(b bool) byte {
	if b {
		return '1'
	}
	return '0'
}
