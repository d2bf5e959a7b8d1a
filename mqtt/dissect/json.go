package dissect

import (
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// AppendJSON appends p as one JSON object on a line:
//
//	{"n":3,"dir":"c2s","t":0.214,"type":"PUBLISH","hex":"32..","fields":[{"off":0,"len":1,"mask":6,"part":"fixed",
//	"name":"QoS","value":1,"section":"3.3.1.2","rules":["MQTT-3.3.1-4"]}],"findings":[{"off":0,"level":"broken",
//	"rule":"MQTT-3.3.1-4","text":"..."}]}
//
// A value is a number, a string where the bytes are UTF-8, a string "0x.." of their hex where not, and null for a
// password unless secrets is true, when stars take its place in "hex". A finding with several rules is as many objects.
// "dir" is "" where nobody knows, "t" is in seconds. Packets that answer another one have "answers" and, if it is known
// when they came, "after"; those that a session explains have "notes". Characters that cannot be seen are escaped.
//
// A packet that is cut short is {"cut_short":{...}} with "missing", the least number of bytes to come, and "off", the
// place of its first byte in the bytes of its direction.
func AppendJSON(b []byte, p *Packet, secrets bool) []byte {
	b = slices.Grow(b, 4*len(p.Bytes)+4096) // in hex, and once more as the value of a field
	if p.Missing > 0 {
		b = fmt.Appendf(b, `{"cut_short":{"off":%d,"len":%d,"missing":%d,`, p.Offset, len(p.Bytes), p.Missing)
	} else {
		b = append(b, '{')
	}
	b = fmt.Appendf(b, `"n":%d,"dir":"%s","t":%s,"type":"%s","hex":"`,
		p.Number, p.Direction, strconv.FormatFloat(p.Time.Seconds(), 'f', -1, 64), p.Name())
	b = append(hex.AppendEncode(b, p.shownBytes(secrets)), `","fields":[`...)
	for i, f := range p.Fields {
		b = comma(b, i)
		b = fmt.Appendf(b, `{"off":%d,"len":%d,"mask":%d,"part":"%s","name":"%s","value":`, f.Offset, f.Length, f.Mask, f.Part, f.Name)
		switch {
		case f.Secret && !secrets:
			b = append(b, "null"...)
		case f.Kind == Number:
			b = strconv.AppendInt(b, int64(f.Number), 10)
		case utf8.Valid(f.Data):
			b = appendQuoted(b, f.Data)
		default:
			b = append(hex.AppendEncode(append(b, `"0x`...), f.Data), '"')
		}
		if f.Meaning != "" {
			b = appendQuoted(append(b, `,"meaning":`...), f.Meaning)
		}
		b = fmt.Appendf(b, `,"section":"%s","rules":[`, f.Section)
		if len(f.Statements) > 0 {
			b = fmt.Appendf(b, `"%s"`, strings.Join(f.Statements, `","`))
		}
		b = append(b, "]}"...)
	}
	b = append(b, `],"findings":[`...)
	n := 0
	for _, f := range p.Findings {
		for _, rule := range f.Rules {
			b = comma(b, n)
			n++
			b = fmt.Appendf(b, `{"off":%d,"level":"%s","rule":"%s","text":`, f.Offset, f.Level, rule)
			b = append(appendQuoted(b, f.Text), '}')
		}
	}
	b = append(b, ']')
	if p.Answers > 0 {
		b = fmt.Appendf(b, `,"answers":%d`, p.Answers)
		if p.After >= 0 {
			b = fmt.Appendf(b, `,"after":%s`, strconv.FormatFloat(p.After.Seconds(), 'f', -1, 64))
		}
	}
	if len(p.Notes) > 0 {
		b = append(b, `,"notes":[`...)
		for i, note := range p.Notes {
			b = appendQuoted(comma(b, i), note)
		}
		b = append(b, ']')
	}
	if p.Missing > 0 {
		b = append(b, '}')
	}
	return append(b, "}\n"...)
}

func comma(b []byte, i int) []byte {
	if i > 0 {
		b = append(b, ',')
	}
	return b
}

// appendQuoted appends s as a JSON string.
func appendQuoted[text string | []byte](b []byte, s text) []byte {
	b = append(b, '"')
	for i := 0; i < len(s); {
		r, size := utf8.DecodeRuneInString(string(s[i:min(i+utf8.UTFMax, len(s))]))
		i += size
		switch {
		case r == '"' || r == '\\':
			b = append(b, '\\', byte(r))
		case r <= 0xffff && !strconv.IsPrint(r): // it would turn around or hide what a terminal shows
			b = fmt.Appendf(b, `\u%04x`, r)
		default:
			b = utf8.AppendRune(b, r)
		}
	}
	return append(b, '"')
}
