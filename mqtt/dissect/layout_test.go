package dissect_test

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"iotwire/mqtt/dissect"
)

var update = flag.Bool("update", false, "write the golden files")

// recorded has all fourteen types, a will, a password, a payload that is no text and one that is long.
var recorded = []string{
	"> 0 1034 00044d515454 04 ee 003c 0009746573742d70756232 0009746573742f77696c6c 0004676f6e65 000475736572 0006736563726574",
	"< 1 20020000",
	"> 2 820b 0007 0006746573742f23 02",
	"< 30 9003000702",
	"> 31 350b 0006746573742f61 0001 07",
	"< 42 50020001",
	"> 43 62020001",
	"< 55 70020001",
	"< 60 320c 0006746573742f61 0009 ff00",
	"> 61 40020009",
	"> 62 304b 0001 61 " + strings.Repeat("68656c6c6f20776f726c6420", 6),
	"> 70 a20a 0008 0006746573742f23",
	"< 95 b0020008",
	"> 1000 c000",
	"< 1020 d000",
	"> 2000 e000",
}

// The layouts of a recorded session, which nothing but a wish to change them should change.
func TestLayouts(t *testing.T) {
	for name, l := range map[string]dissect.Layout{
		"full-80":  {Times: true},
		"full-100": {Times: true, Width: 100},
		"ascii-80": {Times: true, ASCII: true},
		"why-100":  {Times: true, Width: 100, Style: dissect.Why},
		"brief":    {Times: true, Style: dissect.Brief},
		"hex":      {Times: true, Style: dissect.Hex},
		"color":    {Color: true},
		"json":     {},
	} {
		all, _ := play(t, new(dissect.Session), recorded)
		var b []byte
		types := map[uint8]bool{}
		for _, p := range all {
			types[p.Type] = true
			if len(p.Findings) > 0 {
				t.Fatalf("%s: %+v", p.Name(), p.Findings)
			}
			if name == "json" {
				b = dissect.AppendJSON(b, &p, false)
			} else {
				b = l.Append(b, &p)
			}
		}
		if len(types) != 14 {
			t.Fatalf("%d types of packet", len(types))
		}
		got := string(b)
		if strings.Contains(got, "secret") || strings.Contains(got, "736563") || strings.Contains(got, "73 65 63") {
			t.Errorf("%s shows the password", name)
		}
		for line := range strings.Lines(got) {
			line = strings.TrimSuffix(line, "\n")
			if n := utf8.RuneCountInString(line); name != "json" && name != "hex" && name != "color" && name != "brief" && n > max(l.Width, 80) {
				t.Errorf("%s: %d columns: %s", name, n, line)
			}
			if l.ASCII && strings.ContainsFunc(line, func(r rune) bool { return r >= 0x7f || r < ' ' }) {
				t.Errorf("%s: %q", name, line)
			}
		}
		file := filepath.Join("testdata", "layout", name+".txt")
		if *update {
			if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(file, b, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(want), got); diff != "" {
			t.Errorf("%s has changed; if that is right, run this test with -update:\n%s", file, diff)
		}
	}
}

// Nothing that came from the network reaches a terminal as a control character.
func TestLayoutsEscapeWhatTerminalsObey(t *testing.T) {
	for _, wire := range []string{
		cn(0xce, str("a\x1b[31m\x07")+str("w\x9b")+str("\x1b]0;x\x07")+str("u\r\n")+str("p\x00")),
		"\x30\x0c\x00\x05\x1b[2Jx\x1b\xe2\x80\xae\n",
		"\x82\x09\x00\x01\x00\x04\x1b[2J\x00",
		wire(0x10, str("\x1b[2J")+"\x04\x02\x00\x00"),
	} {
		p, _ := dissect.Read([]byte(wire), dissect.Unknown)
		for style := dissect.Full; style <= dissect.Hex; style++ {
			got := (&dissect.Layout{Style: style, ShowSecrets: true}).Append(nil, &p)
			if strings.ContainsFunc(string(got), func(r rune) bool { return r != '\n' && (r < ' ' || r >= 0x7f && r < 0xa0 || r == 0x202e) }) || !utf8.Valid(got) {
				t.Errorf("style %d: %q", style, got)
			}
		}
	}
}

// Colour in one line says who sends and what is broken, and nothing else.
func TestBriefHasColourForDirectionAndMistakes(t *testing.T) {
	for _, test := range []struct {
		from dissect.Direction
		b    string
		want string
	}{
		{dissect.ToServer, "\xc0\x00", "\x1b[32m→\x1b[0m  PINGREQ         2 B\n"},
		{dissect.ToClient, "\xd0\x00", "\x1b[36m←\x1b[0m  PINGRESP        2 B\n"},
		{dissect.ToServer, "\xc1\x00", "\x1b[32m→\x1b[0m  PINGREQ         2 B  \x1b[1;31mBROKEN\x1b[0m flags of PINGREQ are 0001, must be 0000 [MQTT-2.2.2-1]\n"},
	} {
		p, _ := dissect.Read([]byte(test.b), test.from)
		l := dissect.Layout{Style: dissect.Brief, Color: true}
		if got := string(l.Append(nil, &p)); got != test.want {
			t.Errorf("%q, want %q", got, test.want)
		}
	}
}
