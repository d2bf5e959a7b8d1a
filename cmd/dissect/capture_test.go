package main

import (
	"encoding/binary"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// ipv6 is a packet from [2001:db8::1]:5000 to [2001:db8::2]:1883 with this chain of headers in front of TCP.
func ipv6(first byte, extensions, data string) []byte {
	tcp := ipv4(5000, 1883, 100, 0x18, data)[20:]
	b := append([]byte{0x60, 0, 0, 0, 0, 0, first, 64}, "\x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01"+
		"\x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02"...)
	b = append(append(b, extensions...), tcp...)
	binary.BigEndian.PutUint16(b[4:], uint16(len(b)-40))
	return b
}

// pcapOf is a capture of frames with this type of link, one every 10 ms.
func pcapOf(link uint32, frames ...[]byte) []byte {
	b := []byte("\xd4\xc3\xb2\xa1\x02\x00\x04\x00\x00\x00\x00\x00\x00\x00\x00\x00\xff\xff\x00\x00")
	b = binary.LittleEndian.AppendUint32(b, link)
	for i, f := range frames {
		for _, v := range []int{1, i * 10000, len(f), len(f)} {
			b = binary.LittleEndian.AppendUint32(b, uint32(v))
		}
		b = append(b, f...)
	}
	return b
}

// TCP is found behind any chain of extension headers of IPv6, and not behind what is no such chain.
func TestReadsIPv6WithExtensionHeaders(t *testing.T) {
	const (
		connect     = "\x10\x0d\x00\x04MQTT\x04\x02\x00\x0a\x00\x01c"
		pad         = "\x01\x04\x00\x00\x00\x00" // an option that fills up
		pad8        = pad + "\x01\x06\x00\x00\x00\x00\x00\x00"
		behindIsTCP = "\x06"
	)
	for name, test := range map[string]struct {
		first      byte
		extensions string
		found      bool
	}{
		"none":                    {6, "", true},
		"hop by hop":              {0, behindIsTCP + "\x00" + pad, true},
		"hop by hop, twice eight": {0, behindIsTCP + "\x01" + pad8, true},
		"routing":                 {43, behindIsTCP + "\x00\x00\x00\x00\x00\x00\x00", true},
		"destination":             {60, behindIsTCP + "\x00" + pad, true},
		"whole fragment":          {44, behindIsTCP + "\x00\x00\x00\x00\x00\x00\x07", true},
		"authentication":          {51, behindIsTCP + "\x04\x00\x00" + strings.Repeat("\x00", 20), true},
		"all of them": {0, "\x2b\x00" + pad + "\x2c\x00\x00\x00\x00\x00\x00\x00" + "\x3c\x00\x00\x00\x00\x00\x00\x07" +
			"\x33\x00" + pad + behindIsTCP + "\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00", true},
		"first fragment":             {44, behindIsTCP + "\x00\x00\x01\x00\x00\x00\x07", false},
		"later fragment":             {44, behindIsTCP + "\x00\x01\x00\x00\x00\x00\x07", false},
		"no next header":             {59, "", false},
		"UDP":                        {17, "", false},
		"longer than the packet":     {0, behindIsTCP + "\xff" + pad, false},
		"a header that names itself": {0, strings.Repeat("\x00\x00"+pad, 30), false},
	} {
		frame := ipv6(test.first, test.extensions, connect)
		for link, capture := range map[string][]byte{
			"raw":      pcapOf(101, frame),
			"Ethernet": pcapOf(1, append([]byte("\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x86\xdd"), frame...)),
		} {
			file := filepath.Join(t.TempDir(), "capture")
			if err := os.WriteFile(file, capture, 0o600); err != nil {
				t.Fatal(err)
			}
			out, code := try(t, "", "-f", "brief", file)
			if found := strings.HasPrefix(out, "# [2001:db8::1]:5000 to [2001:db8::2]:1883\n→    +0.000  CONNECT        15 B") && code == 0; found != test.found {
				t.Errorf("%s over %s: found %v, exit code %d, printed:\n%s", name, link, found, code, out)
			}
		}
	}
}
