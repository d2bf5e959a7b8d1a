package main

import (
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
		"{0x30, 5, 0, 1, 't', '4', '\\x32'}":       "30050001743432",
		`"\x30\x05\x00\x01t42"`:                    "30050001743432",
		`\x30\x05\x00\x01t42`:                      "30050001743432",
		`\x30 \x03 \x00 \x01 \x74`:                 "3003000174",
		"char *p = \"\\x30\\x03\"\n  \"\\0\\1t\";": "3003000174",
		`p := []byte("\x30\x04\x00\x01t" + "#")`:   "300400017423",
		`p = b'\x30\x03\x00\x01t'`:                 "3003000174",
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
		out, code := try(t, input, "-I", "hex", "-f", "hex")
		got := ""
		for line := range strings.Lines(out) {
			bytes, _, _ := strings.Cut(line, "#")
			got += strings.ReplaceAll(bytes, " ", "")
		}
		if want == "" && (code != 1 || !strings.Contains(out, "dissect: line ")) || want != "" && got != want {
			t.Errorf("%q: read %s with exit code %d, want %q; printed:\n%s", input, got, code, want, out)
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

// Text that is not understood is no packet: who wants its bytes says so.
func TestTextIsNotReadAsBytesUnasked(t *testing.T) {
	for input, says := range map[string]string{
		"hello world\n":          "dissect: line 1 is not hex; -I raw reads it as bytes",
		"# c000\nis a PINGREQ\n": "dissect: line 2 is not hex; -I raw reads it as bytes",
		"{0xc0, zero}":           "dissect: line 1 is not hex; -I raw reads it as bytes",
	} {
		if out, code := try(t, input, "-f", "hex"); code != 1 || !strings.Contains(out, says) || strings.Count(out, "\n") != 1 {
			t.Errorf("%q: exit code %d, printed %q", input, code, out)
		}
	}
	if out, code := try(t, "hello world\n", "-I", "raw"); code == 1 || !strings.Contains(out, "68") {
		t.Errorf("raw: exit code %d, printed %q", code, out)
	}
	for _, input := range []string{"HTTP/1.1 400 Bad Request\r\nServer: x\r\n\r\n", "GET /mqtt HTTP/1.1\r\n\r\n"} {
		if out, _ := try(t, input); !strings.Contains(out, "HTTP: a web server") {
			t.Errorf("%q: printed %q", input, out)
		}
	}
}

// What a program says on standard error does not disturb the trace that it writes there.
func TestReadsATraceBetweenTheLinesOfItsProgram(t *testing.T) {
	const trace = "connecting to mqtt://127.0.0.1:1883 as c\n" +
		"> +0.000 10 0d 00 04 4d 51 54 54 04 02 00 0a 00 01 63  # 1 CONNECT\n" +
		"< +0.031 20 02 00 00  # 2 CONNACK\n" +
		"connected in 31 ms (TLS 1.3, TLS_AES_128_GCM_SHA256)\n" +
		"subscribed to a/#, QoS 1\nc0 00, 3 bytes, QoS 0, retained\n1/2 t, 1 byte, QoS 1: acknowledged in 2 ms\n" +
		"subscriber: connection lost: EOF; reconnecting in 1 s\n  the policy allows no such thing\n" +
		"> +0.040 c0 00  # 3 PINGREQ\n" +
		"received 3 messages (1 byte) in 2 s\n2 of 2 acknowledged in 1 s (median 1 ms, slowest 2 ms)\n"
	out, code := try(t, trace, "-f", "brief")
	if code != 0 || strings.Count(out, "\n") != 4 || !strings.Contains(out, "PINGREQ") {
		t.Errorf("exit code %d, printed:\n%s", code, out)
	}
	if out, code := try(t, trace+"something else\n", "-f", "brief"); code != 1 || !strings.Contains(out, "line 13 is not hex") {
		t.Errorf("exit code %d, printed:\n%s", code, out)
	}
}

// A long array on one line is read in a time that grows with its length, and not with its square.
func TestReadsALongLine(t *testing.T) {
	const n = 300_000
	if out, code := try(t, "{"+strings.Repeat("0xc0, (byte) 0, ", n)+"}", "-f", "hex"); code != 0 || strings.Count(out, "\n") != n {
		t.Errorf("exit code %d, %d packets", code, strings.Count(out, "\n"))
	}
}
