package dissect

import (
	"fmt"
	"strings"
	"time"
	"unicode/utf8"
)

// Style is how much a [Layout] shows.
type Style uint8

// The styles.
const (
	Full  Style = iota // a line for each field
	Brief              // one line
	Why                // Full, and a sentence for each kind of field when it comes for the first time
	Hex                // the bytes in a line that can be dissected again
)

// Layout prints packets for people. The zero Layout is usable: style Full in 80 columns. It is for one goroutine at a time,
// and a Layout for each trace: it remembers what style Why has explained.
type Layout struct {
	Style       Style
	Width       int  // columns: 80 at least, and from 100 on with the statements; 0 is 80
	ASCII       bool // nothing but ASCII
	Color       bool // escape sequences for colours
	ShowSecrets bool // passwords, which are hidden otherwise
	Times       bool // when each packet came
	Bytes       int  // a payload longer than this is shortened; 0 is 64

	explained map[string]bool
}

const (
	nameColumn  = 21
	valueColumn = 44
)

// Append appends the lines about p to b, each with its line feed, and returns the longer slice. Control characters of
// the packet are escaped: a message cannot make a terminal do anything. It keeps nothing of p's memory.
func (l *Layout) Append(b []byte, p *Packet) []byte {
	var lines []string
	switch l.Style {
	case Brief:
		lines = []string{l.brief(p)}
	case Hex:
		return l.hexLine(b, p)
	default:
		lines = append(l.full(p), l.findings(p)...)
		for _, note := range p.Notes {
			lines = append(lines, l.wrapped("note  ", note)...)
		}
		if l.Style == Why {
			lines = append(lines, l.why(p)...)
		}
	}
	text := strings.Join(append(lines, ""), "\n")
	if l.ASCII {
		for i := 0; i < len(asASCII); i += 2 {
			text = strings.ReplaceAll(text, asASCII[i], asASCII[i+1])
		}
	}
	return append(b, text...)
}

// asASCII is what stands for the characters of this package's own, where there is only ASCII.
var asASCII = [...]string{"→", ">", "←", "<", "─", "-", "·", "|", "§", "", "…", "..."}

//go:noinline
func (l *Layout) width() int { return max(l.Width, 80) }

//go:noinline
func arrow(d Direction) string { return [...]string{"·", "→", "←"}[d%3] }

// moment is the time of p as an offset: +0.506.
func moment(t time.Duration) string { return fmt.Sprintf("%+.3f", t.Seconds()) }

// full is the header line and a line for each field.
func (l *Layout) full(p *Packet) []string {
	left := arrow(p.Direction) + " " + p.Name() + " "
	if p.Number > 0 {
		left = fmt.Sprintf("%s %d %s ", arrow(p.Direction), p.Number, p.Name())
	}
	who := [...]string{"", "client to server · ", "server to client · "}[p.Direction%3]
	right := " " + who + count(len(p.Bytes), "byte") + " · §" + p.Section()
	if l.Times {
		right += " · " + moment(p.Time)
	}
	fill := max(1, l.width()-columns(left)-columns(right))
	lines := []string{l.paint("1", left+repeat("─", fill)+right)}
	last := -1
	for i := range p.Fields {
		f := &p.Fields[i]
		lines = append(lines, l.row(p, f, f.Offset != last)...)
		last = f.Offset
	}
	return lines
}

// row is the line of a field, or more if its value is long. first says whether it is the first of its byte.
func (l *Layout) row(p *Packet, f *Field, first bool) []string {
	raw := p.Bytes[f.Offset : f.Offset+f.Length]
	left := ""
	if first {
		left = fmt.Sprintf("%04x %02x", f.Offset, raw[0])
	}
	if f.Mask == 0xff {
		left = fmt.Sprintf("%04x %s", f.Offset, l.someBytes(f, raw))
	} else {
		left = pad(left, 9) + l.diagram(f.Mask, raw[0])
	}
	left = pad(left, nameColumn)
	painted := l.paint([...]string{"36", "33", "32"}[f.Part%3], left)
	section, column := "§"+f.Section, l.width()-9
	if l.width() >= 100 {
		column = l.width() - 21
		if len(f.Statements) > 0 {
			section += " [" + strings.TrimPrefix(f.Statements[0], "MQTT-") + "]"
		}
	}
	if l.ASCII {
		section = section[len("§"):]
	}
	value := wrap(l.value(f), column-valueColumn-1)
	lines := []string{painted + pad(f.Name, valueColumn-nameColumn-1) + " " + pad(value[0], column-valueColumn-1) + " " + section}
	for _, more := range value[1:] {
		lines = append(lines, repeat(" ", valueColumn)+more)
	}
	return lines
}

// pad fills s up to n columns.
//
//go:noinline
func pad(s string, n int) string {
	return s + repeat(" ", max(0, n-columns(s)))
}

// repeat is s, n times. strings.Repeat is made for long texts, and large.
func repeat(s string, n int) string { return strings.ReplaceAll(fmt.Sprintf("%*s", n, ""), " ", s) }

// diagram is the bits that a field takes of its byte: "0001 ....".
//
//go:noinline
func (l *Layout) diagram(mask, octet byte) string {
	var b []byte
	for bit := byte(0x80); bit != 0; bit >>= 1 {
		switch {
		case mask&bit == 0:
			b = append(b, '.')
		case octet&bit != 0:
			b = append(b, '1')
		default:
			b = append(b, '0')
		}
		if bit == 0x10 {
			b = append(b, ' ')
		}
	}
	return string(b)
}

// someBytes is the bytes of f in hex, the first four of them if there are more.
func (l *Layout) someBytes(f *Field, raw []byte) string {
	if f.Secret && !l.ShowSecrets {
		return "** ** .."
	}
	if len(raw) > 5 {
		return fmt.Sprintf("% x ..", raw[:4])
	}
	return fmt.Sprintf("% x", raw)
}

// value is what stands in the column of values.
func (l *Layout) value(f *Field) string {
	switch {
	case f.Secret && !l.ShowSecrets:
		return "hidden"
	case f.Kind == Number && f.Mask != 0xff && strings.HasPrefix(f.Name, "Reserved"):
		return and(fmt.Sprintf("%0*b", onesOf(f.Mask), f.Number), f.Meaning)
	case f.Kind == Number && f.Name == "Packet type":
		return digits(f.Number) + " " + f.Meaning
	case f.Kind == Number && strings.HasPrefix(f.Name, "Return code"):
		return and(fmt.Sprintf("0x%02x", f.Number), f.Meaning)
	case f.Name == "Keep Alive":
		return and(digits(f.Number)+" s", f.Meaning)
	case f.Kind == Number:
		return and(digits(f.Number), f.Meaning)
	case f.Kind == Undecoded:
		return f.Meaning
	}
	limit := 256
	if f.Kind == Binary {
		if limit = l.Bytes; limit == 0 {
			limit = 64
		}
	}
	text := f.Data
	if len(text) > limit {
		text = text[:limit*3/4]
		for len(text) > 0 && !utf8.RuneStart(f.Data[len(text)]) {
			text = text[:len(text)-1]
		}
	}
	s := l.quote(text)
	if f.Kind == Binary && !utf8.Valid(text) {
		s = fmt.Sprintf("% x", text)
	}
	if f.Name == "Application Message" && s[0] == '"' && strings.Count(s, `\`) == strings.Count(s, `\"`) {
		s = strings.ReplaceAll(s[1:len(s)-1], `\"`, `"`) // a payload of plain text stands as it is
	}
	if len(text) < len(f.Data) {
		s += "…"
		if f.Meaning == "" {
			return s + " " + count(f.Length, "byte")
		}
	}
	return and(s, f.Meaning)
}

func onesOf(mask byte) (n int) {
	for ; mask != 0; mask &= mask - 1 {
		n++
	}
	return n
}

//go:noinline
func and(value, meaning string) string {
	if meaning == "" {
		return value
	}
	return value + " · " + meaning
}

// wrap cuts s into lines of at most width columns: at a space if there is one, anywhere if not.
func wrap(s string, width int) []string {
	var lines []string
	for {
		end, space := len(s), 0
		n := 0 // columns
		for at, r := range s {
			if r == ' ' && n >= width/2 {
				space = at
			}
			if n += columnsOf(r); n > width {
				end = at
				break
			}
		}
		if end == len(s) {
			return append(lines, s)
		}
		if space > 0 {
			end = space
		}
		lines = append(lines, s[:end])
		for s = s[end:]; len(s) > 0 && s[0] == ' '; {
			s = s[1:]
		}
	}
}

// wrapped is text in lines, the first of which starts with title.
func (l *Layout) wrapped(title, text string) []string {
	lines := wrap(text, l.width()-len(title))
	for i := range lines {
		if i == 0 {
			lines[i] = title + lines[i]
		} else {
			lines[i] = repeat(" ", len(title)) + lines[i]
		}
	}
	return lines
}

// findings are the lines about what is wrong, with the bytes that are missing as the last.
func (l *Layout) findings(p *Packet) []string {
	var lines []string
	for _, f := range p.Findings {
		title, color := "BROKEN", "1;31"
		if f.Level == Unwise {
			title, color = "UNWISE", "35"
		}
		text := printable(f.Text)
		for _, rule := range f.Rules {
			if !strings.HasPrefix(rule, "MQTT-") {
				text += " §" + rule
				continue
			}
			text += " [" + rule + "]"
		}
		for i, line := range l.wrapped(fmt.Sprintf("%04x %s  ", f.Offset, title), text) {
			if i == 0 {
				line = strings.Replace(line, title, l.paint(color, title), 1)
			}
			lines = append(lines, line)
		}
	}
	if p.Missing > 0 {
		lines = append(lines, fmt.Sprintf("%04x CUT SHORT  %s of the packet, at least %d more to come", p.Offset+len(p.Bytes), count(len(p.Bytes), "byte"), p.Missing))
	}
	return lines
}

// printable escapes what a terminal would obey. Findings quote only pieces that are quoted already, or single bytes.
//
//go:noinline
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r < 0x20 || r == 0x7f {
			return '?'
		}
		return r
	}, s)
}

//go:noinline
func (l *Layout) paint(color, s string) string {
	if !l.Color {
		return s
	}
	return "\x1b[" + color + "m" + s + "\x1b[0m"
}
