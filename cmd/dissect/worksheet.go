package main

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"iotwire/mqtt/dissect"
)

// worksheet is packets with blanks in place of what their bytes say, and the answers for another page.
type worksheet struct {
	width   int
	ascii   bool
	secrets bool // show passwords
	answers []byte
	shown   int // packets
}

const (
	worksheetPackets = 100 // that a worksheet has at most
	worksheetBytes   = 60  // of a field
	blank            = "____________________"
)

// append appends p with blanks: its type, its size and the section about it, which would tell the type, are left out.
func (w *worksheet) append(b []byte, p *dissect.Packet) []byte {
	left := fmt.Sprintf("%s %d %s ", [...]string{"·", "→", "←"}[p.Direction%3], p.Number, blank)
	right := [...]string{"", " client to server", " server to client"}[p.Direction%3]
	line := strings.Repeat("─", max(1, w.width-utf8.RuneCountInString(left)-len(right)))
	lines := []string{left + line + right}
	last := -1
	for i := range p.Fields {
		f := &p.Fields[i]
		lines = append(lines, w.field(p, f, f.Offset != last)...)
		last = f.Offset
	}
	lines = append(lines, fmt.Sprintf("%21sIs a rule broken?      %s", "", blank), "")
	text := strings.Join(lines, "\n") + "\n"
	if w.ascii {
		text = strings.NewReplacer("→", ">", "←", "<", "─", "-", "·", "|", "§", "").Replace(text)
	}
	return append(b, text...)
}

// field is the lines about a field: all its bytes, five to a line, or the place of its bits. first says whether it is the
// first of its byte.
func (w *worksheet) field(p *dissect.Packet, f *dissect.Field, first bool) (lines []string) {
	section := f.Section
	switch f.Name { // whose sections are those of the packet
	case "Reserved flags":
		section = "2.2.2"
	case "Packet Identifier":
		section = "2.3.1"
	}
	behind := fmt.Sprintf("%-22s %-*s §%s", f.Name, w.width-54, blank, section)
	raw := p.Bytes[f.Offset : f.Offset+f.Length]
	if f.Mask != 0xff {
		left := ""
		if first {
			left = fmt.Sprintf("%04x %02x", f.Offset, raw[0])
		}
		return []string{fmt.Sprintf("%-9s%-12s", left, places(f.Mask)) + behind}
	}
	for at := 0; at < len(raw); at += 5 {
		if at == worksheetBytes {
			return append(lines, fmt.Sprintf("%5s.. %d more bytes", "", len(raw)-at))
		}
		bytes := fmt.Sprintf("% x", raw[at:min(at+5, len(raw))])
		if f.Secret && !w.secrets {
			bytes = strings.Repeat("** ", min(5, len(raw)-at))
		}
		lines = append(lines, strings.TrimRight(fmt.Sprintf("%04x %-16s%s", f.Offset+at, bytes, behind), " "))
		behind = ""
	}
	return lines
}

// places is blanks for the bits in mask: "____ ....".
func places(mask byte) string {
	b := make([]byte, 0, 9)
	for bit := byte(0x80); bit != 0; bit >>= 1 {
		if b = append(b, '.'); mask&bit != 0 {
			b[len(b)-1] = '_'
		}
		if bit == 0x10 {
			b = append(b, ' ')
		}
	}
	return string(b)
}
