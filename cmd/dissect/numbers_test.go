package main

import (
	"strings"
	"testing"
)

// What is pasted is read as what it is, or refused, and never as other bytes.
func TestReadsNumbersAsTheyAreWritten(t *testing.T) {
	const connectHex = "10 0d 00 04 4d 51 54 54 04 02 00 0a 00 01 63"
	for _, in := range []string{
		"[16, 13, 0, 4, 77, 81, 84, 84, 4, 2, 0, 10, 0, 1, 99]",                  // Python, JavaScript
		"[16 13 0 4 77 81 84 84 4 2 0 10 0 1 99]",                                // Go
		"Uint8Array(15) [\t16, 13, 0, 4, 77, 81, 84, 84, 4, 2, 0, 10, 0, 1, 99]", // Node.js
		"<Buffer 10 0d 00 04 4d 51 54 54 04 02 00 0a 00 01 63>",
		"10 D 0 4 4D 51 54 54 4 2 0 A 0 1 63", // Arduino
		"0b00010000 0b00001101, 0b00000000 0b00000100 0b01001101 0b01010001 0b01010100 0b01010100 0b00000100 0b00000010 0b00000000 0b00001010 0b00000000 0b00000001 0b01100011",
		"00000000: 00010000 00001101 00000000 00000100 01001101 01010001  ....MQ\n00000006: 01010100 01010100 00000100 00000010 00000000 00001010  TT....\n0000000c: 00000000 00000001 01100011                             ..c\n", // xxd -b
		"000000 10 0d 00 04 4d 51 54 54 04 02 00 0a 00 01 63     >....MQTT......c<\n00000f\n",                                                                                                                                      // od -t x1z
		"00000000: 100d 0004 4d51  ....MQ\n00000006: 5454 0402 000a  TT....\n00000012: 0001 63    ..c\n",                                                                                                                           // xxd -d -c 6
		"00000000: 100d 0004 4d51  ....MQ\n00000006: 5454 0402 000a  TT....\n0000000c: 0001 63    ..c\n",
	} {
		out, code := try(t, in, "-f", "hex")
		if code != 0 || strings.TrimRight(out, " \n") != connectHex+"  # 1 CONNECT" {
			t.Errorf("%q: exit %d\n%s", in, code, out)
		}
	}
	if out, code := try(t, "[-64, 0]", "-f", "brief"); code != 0 || !strings.Contains(out, "PINGREQ") { // Java
		t.Errorf("[-64, 0]: exit %d\n%s", code, out)
	}
	for in, want := range map[string]string{
		"192, 0, 300": "not a byte", "[192, 256]": "not hex", "[-129, 0]": "not a byte", "10 0 2": "decimal or hex", "c00": "half a byte",
		"00000000: 04000d10 5454514d 0a000204   630100  ....MQTT......c\n":                                                                                                          "turns the bytes",
		"00000000: 04000d10 5454514d 0a000204 c0630100  ....MQTT......c.\n":                                                                                                         "turns the bytes",
		"00000000: c000 c000 c000 c000 c000 c000 c000 c000  ................\n00000032: c000  ..\n":                                                                                 "lines are missing",
		"00000000: c000 c000 c000 c000 c000 c000 c000 c000  ................\n00000016: c000  ..\n00000018: c000  ..\n00000020: c000  ..\n00000022: c000  ..\n00000030: c000  ..\n": "lines are missing",
	} {
		if out, code := try(t, in, "-f", "brief"); code != 1 || !strings.Contains(out, want) {
			t.Errorf("%q: exit %d, want %q\n%s", in, code, want, out)
		}
	}
	long := "[48, 128, 128, 4, 0, 1, 116" + strings.Repeat(", 104", 65533) + "]" // more than is read in one go
	if out, code := try(t, long, "-f", "brief"); code != 0 || !strings.Contains(out, "65533 bytes") {
		t.Errorf("a long list: exit %d\n%s", code, out)
	}
	// These make whole bytes as hex, and stay hex.
	for _, in := range []string{"c000", "c0 00", "c0-00", "c0, 00", "[c0, 00]", "'c0','00'", "c0 00 # 1", "00000000: c000  ..", "0000  c0 00  an annotation"} {
		if out, code := try(t, in, "-f", "brief"); code != 0 || !strings.Contains(out, "PINGREQ") {
			t.Errorf("%q: exit %d\n%s", in, code, out)
		}
	}
}
