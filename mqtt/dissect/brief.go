package dissect

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// brief is the one line about p.
func (l *Layout) brief(p *Packet) string {
	line := l.paint([...]string{"1", "32", "36"}[p.Direction%3], arrow(p.Direction))
	if l.Times {
		line += fmt.Sprintf(" %9s", moment(p.Time))
	}
	line += fmt.Sprintf("  %-11s %5d B", p.Name(), len(p.Bytes))
	said := l.summary(p)
	if p.Answers > 0 {
		if said != "" {
			said += ", "
		}
		said += fmt.Sprintf("answers %d%s", p.Answers, p.after())
	}
	if said != "" {
		line += "  " + said
	}
	for _, f := range p.Findings {
		title := l.paint("1;31", "BROKEN")
		if f.Level == Unwise {
			title = l.paint("35", "UNWISE")
		}
		line += "  " + title + " " + printable(f.Text) + " [" + f.Rules[0] + "]"
	}
	if p.Missing > 0 {
		line += "  " + l.paint("1;31", "CUT SHORT") + ", at least " + count(p.Missing, "byte") + " more"
	}
	return strings.TrimRight(line, " ")
}

// enough is how many bytes of a list a line shows before it leaves the rest out.
const enough = 1000

// summary is p in a few words.
func (l *Layout) summary(p *Packet) string {
	s := &p.said
	if p.Missing > 0 || p.NotMQTT || !s.whole {
		return ""
	}
	id := "id " + digits(int(s.id))
	switch p.Type {
	case connect:
		clean := 0
		if s.clean {
			clean = 1
		}
		return "client id " + l.quoted(p.text("Client Identifier")) + ", keep alive " + seconds(s.keepAlive) + ", clean session " + digits(clean)
	case connack:
		present := 0
		if s.present {
			present = 1
		}
		meaning := "reserved return code"
		if int(s.code) < len(returnCodes) {
			meaning = returnCodes[s.code]
		}
		return meaning + ", session present " + digits(present)
	case publish:
		out := l.quoted(s.topic) + ", QoS " + digits(int(s.qos))
		if s.hasID {
			out += ", " + id
		}
		if s.dup {
			out += ", DUP"
		}
		if s.retain {
			out += ", RETAIN"
		}
		return out + ", " + count(len(s.payload), "byte")
	case subscribe, unsubscribe:
		out := id
		for _, f := range s.filters {
			if len(out) > enough {
				return out + ", …"
			}
			out += ", " + l.quoted(f.text)
			if p.Type == subscribe {
				out += " QoS " + digits(int(f.qos))
			}
		}
		return out
	case suback:
		out := id
		for _, code := range s.codes {
			if len(out) > enough {
				return out + ", …"
			}
			if code == 0x80 {
				out += ", refused"
			} else {
				out += ", granted QoS " + digits(int(code))
			}
		}
		return out
	case disconnect:
		return "clean end: the server drops the Will"
	case pingreq, pingresp:
		return ""
	}
	if s.hasID {
		return id
	}
	return ""
}

// text is the value of the field with this name.
func (p *Packet) text(name string) []byte {
	if f := p.field(name); f != nil {
		return f.Data
	}
	return nil
}

// quoted is a string of the packet in quotes, shortened.
func (l *Layout) quoted(b []byte) string {
	if len(b) > 100 {
		return l.quote(b[:100]) + "…"
	}
	return l.quote(b)
}

// quote puts a string of the packet in quotes.
func (l *Layout) quote(b []byte) string {
	if l.ASCII {
		return strconv.QuoteToASCII(string(b))
	}
	return strconv.Quote(string(b))
}

// hexLine appends the bytes of p as input for another dissection: who sent them, when, and what they are.
func (l *Layout) hexLine(b []byte, p *Packet) []byte {
	head := [...]string{"", "> ", "< "}[p.Direction%3]
	if l.Times && head != "" {
		head += moment(p.Time) + " "
	}
	b = slices.Grow(append(b, head...), 3*len(p.Bytes)+40)
	for _, c := range p.shownBytes(l.ShowSecrets) {
		b = append(b, "0123456789abcdef"[c>>4], "0123456789abcdef"[c&15], ' ')
	}
	tail := p.Name()
	if p.Number > 0 {
		tail = digits(p.Number) + " " + tail
	}
	if p.Missing > 0 {
		tail += ", cut short"
	}
	return append(b, " # "+tail+"\n"...)
}

// shownBytes is the bytes of p, with stars in place of a password unless secrets may be seen.
//
//go:noinline
func (p *Packet) shownBytes(secrets bool) []byte {
	b := p.Bytes
	for n := range p.Fields {
		if f := &p.Fields[n]; f.Secret && !secrets {
			b = append([]byte(nil), b...)
			for i := range f.Length {
				b[f.Offset+i] = '*'
			}
		}
	}
	return b
}
