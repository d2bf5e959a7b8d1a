package dissect

import "unicode/utf8"

// UTF-8 encoded strings (section 1.5.3), topic names and topic filters (section 4.7).

// checkText reports what is wrong with a string. encoded is the statement that asks for UTF-8 where the string stands,
// nul the one that forbids U+0000 there besides 1.5.3-2; either may be "".
func (p *Packet) checkText(f *Field, encoded, nul string) {
	advised := false
	for i := 0; i < len(f.Data); {
		r, size := utf8.DecodeRune(f.Data[i:])
		at := f.Offset + i
		switch {
		case r == utf8.RuneError && size == 1:
			p.broken(at, "1.5.3-1 "+encoded, "%s is not UTF-8 at byte %02x", f.Name, f.Data[i])
			return
		case r == 0:
			p.broken(at, "1.5.3-2 "+nul, "%s has U+0000", f.Name)
			return
		case (r < 0x20 || r >= 0x7f && r <= 0x9f || r >= 0xfdd0 && r <= 0xfdef || r&0xfffe == 0xfffe) && !advised:
			p.unwise(at, "1.5.3", "%s has %U, a control or non-character, which a receiver may refuse", f.Name, r)
			advised = true
		}
		i += size
	}
}

// checkTopic reports what is wrong with a topic name. wildcard are the statements that forbid wildcards in it.
func (p *Packet) checkTopic(f *Field, encoded, wildcard string) {
	if len(f.Data) == 0 {
		p.broken(f.Offset-2, "4.7.3-1", "%s is empty, must have at least one character", f.Name)
	}
	for i, c := range f.Data {
		if c == '+' || c == '#' {
			p.broken(f.Offset+i, wildcard, "%s has the wildcard '%c', which belongs in Topic Filters only", f.Name, c)
			break
		}
	}
	p.checkText(f, encoded, "4.7.3-2")
}

// checkFilter reports what is wrong with a topic filter.
func (p *Packet) checkFilter(f *Field, encoded string) {
	if len(f.Data) == 0 {
		p.broken(f.Offset-2, "4.7.3-1", "%s is empty, must have at least one character", f.Name)
	}
	last := len(f.Data) - 1
	for i, c := range f.Data {
		begins := i == 0 || f.Data[i-1] == '/'
		ends := i == last || f.Data[i+1] == '/'
		if c == '#' && !(begins && i == last) {
			p.broken(f.Offset+i, "4.7.1-2", "'#' must be a whole level and the last one")
			break
		}
		if c == '+' && !(begins && ends) {
			p.broken(f.Offset+i, "4.7.1-3", "'+' must be a whole level")
			break
		}
	}
	p.checkText(f, encoded, "4.7.3-2")
}
