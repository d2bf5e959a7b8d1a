package dissect

import (
	"strconv"
	"strings"
	"unicode/utf8"
)

// markup writes HTML that is XML as well.
type markup struct{ b []byte }

// add appends a text of this program's, with a value in place of each {}. No value can be taken for markup.
func (m *markup) add(text string, values ...string) {
	for _, value := range values {
		before, after, _ := strings.Cut(text, "{}")
		m.b, text = appendEscaped(append(m.b, before...), value), after
	}
	m.b = append(m.b, text...)
}

// appendEscaped appends s as text for HTML, in an element or in quotes. What is no character there, what would stay
// invisible, and what would turn the direction of writing round becomes U+FFFD.
func appendEscaped(b []byte, s string) []byte {
	for _, r := range s {
		switch {
		case r == '<':
			b = append(b, "&lt;"...)
		case r == '>':
			b = append(b, "&gt;"...)
		case r == '&':
			b = append(b, "&amp;"...)
		case r == '"':
			b = append(b, "&#34;"...)
		case r == '\'':
			b = append(b, "&#39;"...)
		case r != '\n' && (r < ' ' || r >= 0x7f && r < 0xa0 || r >= 0x200b && r <= 0x200f || r >= 0x2028 && r <= 0x202e ||
			r >= 0x2060 && r <= 0x206f || r == 0xfeff || r&0xfffe == 0xfffe || r >= 0xfdd0 && r <= 0xfdef):
			b = utf8.AppendRune(b, utf8.RuneError)
		default:
			b = utf8.AppendRune(b, r)
		}
	}
	return b
}

// anchors are how many sections of the third level each section of the second has, by chapters: the table of contents of
// the standard, whose headings are numbered one after the other.
var anchors = [...]string{"000030", "0310", "43544444343434", "10300030", "000:", "0", "2"}

// standard is the address of a section of the standard, or of the nearest one around it that has a heading of its own.
func standard(section string) string {
	var want [3]int
	for i, part := range strings.Split(section, ".") {
		if i < len(want) {
			want[i], _ = strconv.Atoi(part)
		}
	}
	n, last := 398718007, 0
	for chapter, sections := range anchors {
		n++
		if chapter+1 == want[0] {
			last = n
		}
		for i, c := range []byte(sections) {
			n++
			if chapter+1 == want[0] && i+1 == want[1] {
				last = n + min(want[2], int(c-'0'))
			}
			n += int(c - '0')
		}
	}
	return "https://docs.oasis-open.org/mqtt/mqtt/v3.1.1/os/mqtt-v3.1.1-os.html#_Toc" + digits(last)
}
