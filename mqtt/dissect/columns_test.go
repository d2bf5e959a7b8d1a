package dissect

import (
	"strings"
	"testing"
)

func TestColumnsOfCharacters(t *testing.T) {
	for text, want := range map[string]int{
		"":                     0,
		"meter":                5,
		"Zähler":               6,
		"温度":                   4,
		"ｶﾞ":                   2,
		"한국어":                  6,
		"🌡":                    1,
		"🚀✅":                   4,
		"e\u0301":              1, // é
		"✈\ufe0f":              1, // with a selector
		"สวัสดี":               4,
		"नमस्ते":               4,
		"→ §3.1 · ─":           10,
		"\U00020000\U0003fffd": 4,
	} {
		if got := columns(text); got != want {
			t.Errorf("%q takes %d columns, want %d", text, got, want)
		}
	}
}

func TestRangesOfColumnsAreInOrder(t *testing.T) {
	for _, ranges := range [][]rune{zeroColumns, twoColumns} {
		for i := 1; i < len(ranges); i++ {
			if ranges[i] < ranges[i-1] || i%2 == 0 && ranges[i] == ranges[i-1] {
				t.Errorf("%x comes after %x", ranges[i], ranges[i-1])
			}
		}
	}
}

// The columns of a table stand below each other whatever is in them, and no line is wider than it may be.
func TestWideCharactersKeepTheTableStraight(t *testing.T) {
	for _, topic := range []string{"部屋/温度", "e\u0301e\u0301/🚀", "สวัสดี", strings.Repeat("温度/", 30), "a\u200b\u202eb\u2066\x1b[2J\u0085"} {
		payload := topic
		b := append([]byte{0x30, byte(2 + len(topic) + len(payload)), 0, byte(len(topic))}, topic+payload...)
		if n := 2 + len(topic) + len(payload); n > 127 {
			b = append([]byte{0x30, byte(n&127 | 128), byte(n >> 7), 0, byte(len(topic))}, topic+payload...)
		}
		p, n := Read(b, ToServer)
		if n != len(b) || p.Missing > 0 {
			t.Fatalf("%q is not one packet", topic)
		}
		for _, width := range []int{80, 100} {
			l := Layout{Width: width}
			column := width - 9
			if width == 100 {
				column = width - 21
			}
			table := true
			for line := range strings.Lines(string(l.Append(nil, &p))) {
				line = strings.TrimSuffix(line, "\n")
				if columns(line) > width {
					t.Errorf("%d columns: %s", columns(line), line)
				}
				table = table && !strings.Contains(line, "UNWISE")
				if left, _, found := strings.Cut(line, "§"); table && found && !strings.HasPrefix(line, "→") && columns(left) != column {
					t.Errorf("the section is in column %d, want %d: %s", columns(left), column, line)
				}
				if strings.ContainsAny(line, "\u200b\u202e\u2066\u0085\x1b") {
					t.Errorf("not escaped: %q", line)
				}
			}
		}
	}
}
