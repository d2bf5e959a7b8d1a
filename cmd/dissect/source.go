package main

import (
	"encoding/hex"
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// source reads the bytes of arrays and strings as Go, C and their relatives write them, a line at a time: a line that it
// takes is read in full or refused.
type source struct {
	depth   int  // of braces that are open
	strings bool // the line before was a string, which may go on
	comment bool // a comment /* is open
}

var (
	beforeArray  = regexp.MustCompile(`^[A-Za-z_&][\w\s*&.:(\[\]]*[=(\[]$`)                                        // uint8_t a[] =
	lengthLine   = regexp.MustCompile(`^(?:(?:static|const|extern|unsigned)\s+)*\w+\s+\w+_len\s*=\s*\d+[uUlL]*;$`) // xxd -i
	beforeString = regexp.MustCompile(`^[\w\s*&.:=(\[\]]*$`)
	listOf       = regexp.MustCompile(`^(?:[\w\s.:=&(]*\[)?([^\[\]]*)(?:\][);,\s]*)?;?$`)
	escapesOnly  = regexp.MustCompile(`^(?:[\s,]*\\x[0-9a-fA-F]{2})+[\s,]*$`)
	cast         = regexp.MustCompile(`^\([A-Za-z]\w*\)\s*`)
)

// withoutComments cuts comments out of a line: from # or // to its end, and what is between /* and */.
func (s *source) withoutComments(line string) string {
	var b strings.Builder
	quote := byte(0)
	for i := 0; i < len(line); i++ {
		c, rest := line[i], line[i:]
		switch {
		case s.comment:
			if strings.HasPrefix(rest, "*/") {
				s.comment = false
				i++
			}
			continue
		case quote != 0 && c == '\\' && i+1 < len(line):
			b.WriteByte(c)
			i++
			c = line[i]
		case quote != 0:
			if c == quote {
				quote = 0
			}
		case c == '"' || c == '\'':
			quote = c
		case c == '#' || strings.HasPrefix(rest, "//"):
			return strings.TrimSpace(b.String())
		case strings.HasPrefix(rest, "/*"):
			s.comment = true
			b.WriteByte(' ')
			i++
			continue
		}
		b.WriteByte(c)
	}
	return strings.TrimSpace(b.String())
}

// read returns the bytes of a line without comments. It does not take a line that is no source.
func (s *source) read(line string) (b []byte, taken bool, err error) {
	continued := s.strings
	s.strings = false
	switch {
	case s.depth > 0 || strings.Contains(line, "{"):
		b, err = s.braces(line)
	case lengthLine.MatchString(line) || beforeArray.MatchString(line):
	case escapesOnly.MatchString(line):
		b, err = hex.DecodeString(onlyHex(line))
	case strings.HasPrefix(line, `\`) && !strings.ContainsAny(line, " \t"):
		b, err = unescape(line)
	case strings.ContainsAny(line, `"'`) && (continued || strings.Contains(line, `\`)):
		s.strings = true
		begin := strings.IndexAny(line, `"'`)
		if !beforeString.MatchString(line[:begin]) {
			return nil, true, fmt.Errorf("cannot read %q", shorten(line[:begin]))
		}
		b, err = elements(strings.TrimRight(line[begin:], "+;,)\\ \t"), false)
	case strings.Contains(line, "0x") || strings.Contains(line, "0X") || strings.Contains(line, `\`):
		m := listOf.FindStringSubmatch(line)
		if m == nil {
			return nil, true, fmt.Errorf("cannot read %q", shorten(line))
		}
		b, err = elements(strings.NewReplacer(":", " ", ";", " ").Replace(m[1]), false)
	default:
		return nil, false, nil
	}
	return b, true, err
}

// braces reads what stands between braces, and ignores what stands before the first that opens.
func (s *source) braces(line string) (b []byte, err error) {
	flush := func(part string) {
		if err == nil {
			var more []byte
			more, err = elements(part, true)
			b = append(b, more...)
		}
	}
	begin, quote := 0, byte(0)
	for i := 0; i < len(line); i++ {
		c := line[i]
		switch {
		case s.depth == 0 && c != '{':
		case quote != 0 && c == '\\':
			i++
		case quote != 0:
			if c == quote {
				quote = 0
			}
		case c == '"' || c == '\'':
			quote = c
		case c == '{' || c == '}':
			if s.depth > 0 {
				flush(line[begin:i])
			}
			begin = i + 1
			if s.depth++; c == '}' {
				s.depth -= 2
			}
		}
	}
	switch rest := line[min(begin, len(line)):]; {
	case s.depth > 0:
		flush(rest)
	case strings.Trim(rest, ");, \t") != "" && err == nil:
		err = fmt.Errorf("cannot read %q behind the brace", shorten(rest))
	}
	return b, err
}

// elements reads elements with commas between them. Without braces around them, digits alone may be hex as well as
// decimal, and are taken if both are the same; and what is between ' and ' may be a string, as in Python.
func elements(s string, inBraces bool) (b []byte, err error) {
	alone := true // no element without a comma stands in front
	for s = strings.TrimSpace(s); s != ""; s = strings.TrimSpace(s) {
		if s[0] == ',' || s[0] == '+' {
			s, alone = s[1:], true
			continue
		}
		if s[0] == '(' {
			s = s[len(cast.FindString(s)):]
		}
		if s != "" && (s[0] == '"' || s[0] == '\'') {
			end := 1
			for end < len(s) && s[end] != s[0] {
				if s[end] == '\\' {
					end++
				}
				end++
			}
			if end >= len(s) {
				return nil, fmt.Errorf("%s does not end", shorten(s))
			}
			text, err := unescape(s[1:end])
			if err != nil {
				return nil, err
			}
			if inBraces && s[0] == '\'' && len(text) != 1 {
				return nil, fmt.Errorf("%s is not one byte", shorten(s[:end+1]))
			}
			b, s, alone = append(b, text...), s[end+1:], false
			continue
		}
		end := strings.IndexAny(s, ", \t+\"'")
		if end < 0 {
			end = len(s)
		}
		word := s[:end]
		s = s[end:]
		digits := strings.ToLower(strings.TrimRight(word, "uUlL"))
		if after, found := strings.CutPrefix(digits, "0x"); found {
			if len(after) == 1 {
				after = "0" + after
			}
			more, err := hex.DecodeString(after)
			if err != nil || len(more) == 0 {
				return nil, fmt.Errorf("%q is no hex of whole bytes", shorten(word))
			}
			b, alone = append(b, more...), false
			continue
		}
		next := strings.TrimSpace(s)
		n, err := strconv.ParseUint(digits, 0, 8)
		if err != nil || !alone || next != "" && next[0] != ',' || !inBraces && len(digits) > 1 {
			return nil, fmt.Errorf("%q is not a byte, such as 0xc0", shorten(word))
		}
		b, alone = append(b, byte(n)), false
	}
	return b, nil
}

// unescape reads what stands between quotes: bytes, and the escapes of Go and C. \x has two digits at most.
func unescape(s string) (b []byte, err error) {
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' {
			b = append(b, s[i])
			continue
		}
		if i++; i == len(s) {
			return nil, fmt.Errorf("nothing stands behind the last \\")
		}
		if n := strings.IndexByte(`abtnvfre\'"?`, s[i]); n >= 0 {
			b = append(b, "\a\b\t\n\v\f\r\x1b\\'\"?"[n])
			continue
		}
		begin, base, most := i, 8, 3
		switch s[i] {
		case 'x':
			begin, base, most = i+1, 16, 2
		case 'u':
			begin, base, most = i+1, 16, 4
		case 'U':
			begin, base, most = i+1, 16, 8
		}
		end := begin
		for end < len(s) && end < begin+most && strings.IndexByte("0123456789abcdefABCDEF"[:min(base+base/16*6, 22)], s[end]) >= 0 {
			end++
		}
		n, err := strconv.ParseUint(s[begin:end], base, 32)
		if err != nil || most <= 3 && n > 255 || most > 3 && end < begin+most {
			return nil, fmt.Errorf("\\%s is no escape", shorten(s[i:min(len(s), end+1)]))
		}
		if most > 3 {
			b = append(b, string(rune(n))...)
		} else {
			b = append(b, byte(n))
		}
		i = end - 1
	}
	return b, nil
}
