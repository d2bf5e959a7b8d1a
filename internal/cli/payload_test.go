package cli

import (
	"bytes"
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"
)

func TestPayloadIsShownByItsKind(t *testing.T) {
	for _, c := range []struct {
		name, payload, want string
		escape              bool
	}{
		{"empty", "", "\n", false},
		{"text", "hello", "hello\n", false},
		{"text with its own newline", "hello\n", "hello\n", false},
		{"text with an escape sequence, to a file", "\x1b[31mred", "\x1b[31mred\n", false},
		{"text with an escape sequence, to a terminal", "\x1b[31mred\r\t\u009b\u202e\x7f", `\x1b[31mred\x0d` + "\t" + `\u009b\u202e\x7f` + "\n", true},
		{"JSON", `{"b":1.10,"a":[true]}`, "{\n  \"b\": 1.10,\n  \"a\": [\n    true\n  ]\n}\n", false},
		{"JSON to a terminal", `{"b":1.10,"a":"é` + "\u009b" + `"}`, "{\n  \"b\": 1.10,\n  \"a\": \"é\\u009b\"\n}\n", true},
		{"JSON with big numbers", "12345678901234567890.000", "12345678901234567890.000\n", false},
		{"nearly JSON", `{"a":1,}`, `{"a":1,}` + "\n", false},
		{"not UTF-8", "\xff\xfe\x00bin", "00000000  ff fe 00 62 69 6e                                 |...bin|\n", false},
		{"a small number in binary", "\x00\x00\x00\x05", "00000000  00 00 00 05                                       |....|\n", true},
	} {
		if got := string(appendPayload([]byte("before "), []byte(c.payload), c.escape)); got != "before "+c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

func TestNoPayloadCanCommandATerminal(t *testing.T) {
	dangerous := rapid.SampledFrom([]string{"\x1b[2J", "\x9b", "\u009b31m", "\u200f", "\u2029", "\u2069", "\x00", "\x07", "\u202e", "\r", "\x7f", `{"a":"`, `"}`})
	rapid.Check(t, func(t *rapid.T) {
		var payload []byte
		for range rapid.IntRange(0, 8).Draw(t, "n") {
			payload = append(payload, dangerous.Draw(t, "piece")...)
			payload = append(payload, rapid.OneOf(rapid.SliceOfN(rapid.Byte(), 0, 5), rapid.Just([]byte("x"))).Draw(t, "bytes")...)
		}
		before := bytes.Clone(payload)
		shown := appendPayload(nil, payload, true)
		if !utf8.Valid(shown) || bytes.ContainsFunc(shown, func(r rune) bool {
			return r != '\n' && r != '\t' && (r < ' ' || 0x7f <= r && r < 0xa0 || strings.ContainsRune("\u200e\u200f\u2028\u2029\u202a\u202e\u2066\u2069", r))
		}) {
			t.Fatalf("%q is shown as %q", payload, shown)
		}
		if !bytes.Equal(before, payload) || shown[len(shown)-1] != '\n' {
			t.Fatalf("%q became %q, shown as %q", before, payload, shown)
		}
	})
}
