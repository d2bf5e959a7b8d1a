package main

import (
	"encoding/hex"
	"strings"
	"testing"
)

// Every element of an array or a string is read, and nothing else of the line.
func TestReadsEveryElementOfSource(t *testing.T) {
	for input, want := range map[string]string{
		"0x300500017432":                           "300500017432",
		"{0xc0, 0}":                                "c000",
		"{192, 0}":                                 "c000",
		"{0x30, 3, 0, 1, 0x74}":                    "3003000174",
		"{0x30, 5, 0, 1, 't', '4', '\\x32'}":       "300500017434" + "32",
		`"\x30\x05\x00\x01t42"`:                    "300500017434" + "32",
		`\x30\x05\x00\x01t42`:                      "300500017434" + "32",
		`\x30 \x03 \x00 \x01 \x74`:                 "3003000174",
		"char *p = \"\\x30\\x03\"\n  \"\\0\\1t\";": "3003000174",
		`p := []byte("\x30\x04\x00\x01t" + "#")`:   "300400017423",
		`p = b'\x30\x03\x00\x01t'`:                 "",
		"0xc0, 0x00, // type 0xc":                  "c000",
		"0xc0, /* 0x11\n0x22 */ 0x00, # 0x33":      "c000",
		"uint8_t x[0x10] = {0xc0, 0x00};":          "c000",
		"uint8_t x[] =\n{\n  0xC0u, (byte) 0,\n};": "c000",
		"[][]byte{{0xc0, 0}, {0xd0, 0}}":           "c000d000",
		"x = bytes([0xc0, 0x00])":                  "c000",
		"{0x30, 5, 0, 3, '{', ',', '\\''}":         "300500037b2c27",
		"unsigned char a[] = {\n  0xc0, 0x00\n};\nunsigned int a_len = 2;": "c000",

		"{0xc0, zero}":           "",
		"0xc0, 0x000":            "",
		"0xc0, 10":               "",
		"{256}":                  "",
		"{30 00}":                "",
		"{0xc0, 0":               "",
		"0xc0 /* 0":              "",
		"{'ab'}":                 "",
		`"\x30\q"`:               "",
		"{0xc0, 0} 0x00":         "",
		`{"hex": "c000"}`:        "",
		"c000\nint f = 0x10 + y": "",
	} {
		o := options{}
		var got []byte
		all, err := o.readHex(input)
		for _, c := range all {
			for _, chunk := range c.chunks {
				got = append(got, chunk.bytes...)
			}
		}
		if want == "" && (err == nil || !strings.HasPrefix(err.Error(), "line ")) || want != "" && (err != nil || hex.EncodeToString(got) != want) {
			t.Errorf("%q: read %x and %v, want %q", input, got, err, want)
		}
	}
}

// Input without bytes is an error, which a script notices.
func TestInputWithoutBytesIsRefused(t *testing.T) {
	for _, input := range []string{"", "\n\n", "# nothing\n", "{}", "/* c000 */"} {
		for _, kind := range []string{"auto", "hex"} {
			if out, code := try(t, input, "-I", kind, "--strict"); code != 1 || strings.Count(out, "\n") != 1 || !strings.Contains(out, "no bytes") {
				t.Errorf("%q as %s: exit code %d, printed %q", input, kind, code, out)
			}
		}
	}
	if out, code := try(t, "", "-I", "raw"); code != 1 || !strings.Contains(out, "no bytes") {
		t.Errorf("raw: exit code %d, printed %q", code, out)
	}
}
