package packet_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"iotwire/mqtt/packet"
)

// The boundaries of table 2.4: where one more length byte begins. (The pseudo-code of section 2.2.3 refuses the last two.)
func TestRemainingLengthBoundaries(t *testing.T) {
	for _, row := range []struct {
		length int
		wire   string
	}{
		{0, "\x00"},
		{127, "\x7f"},
		{128, "\x80\x01"},
		{16_383, "\xff\x7f"},
		{16_384, "\x80\x80\x01"},
		{2_097_151, "\xff\xff\x7f"},
		{2_097_152, "\x80\x80\x80\x01"},
		{268_435_455, "\xff\xff\xff\x7f"},
	} {
		first, want := byte(0x30), packet.Header{Type: packet.PUBLISH, Len: row.length}
		if row.length == 0 {
			first, want = 0xd0, packet.Header{Type: packet.PINGRESP} // the shortest PUBLISH has three bytes
		}
		wire := string([]byte{first}) + row.wire
		if got := packet.AppendHeader(nil, first, row.length); string(got) != wire {
			t.Errorf("length %d is encoded as % x, want % x", row.length, got, wire)
		}
		for _, behind := range []string{"", "\x00", "\xff\xff\xff\xff"} {
			h, n, err := packet.ParseHeader([]byte(wire + behind))
			if h != want || n != len(wire) || err != nil {
				t.Errorf("% x gives %+v, %d, %v, want length %d in %d bytes", wire+behind, h, n, err, row.length, len(wire))
			}
		}
	}
}

// Whole packets at the boundaries, as far as a test wants to hold them in memory.
func TestPublishLengthBoundaries(t *testing.T) {
	payload := bytes.Repeat([]byte("0123456789abcdef"), 2_097_153/16+1)
	for _, length := range []int{3, 127, 128, 16_383, 16_384, 2_097_151, 2_097_152, 2_097_153} {
		sent := packet.Publish{Topic: []byte("a"), Payload: payload[:length-3]}
		wire, err := packet.AppendPublish(nil, &sent)
		if err != nil {
			t.Fatal(err)
		}
		h, n, err := packet.ParseHeader(wire)
		if err != nil || h.Len != length || n+length != len(wire) {
			t.Errorf("length %d: header %+v of %d bytes in %d, %v", length, h, n, len(wire), err)
			continue
		}
		came, err := packet.ParsePublish(h.Flags, wire[n:])
		if err != nil || diff(sent, came) != "" {
			t.Errorf("length %d: what came is not what was sent, %v", length, err)
		}
	}
}

func TestFiveLengthBytesRefused(t *testing.T) {
	for _, wire := range []string{
		"\x30\x80\x80\x80\x80\x01",
		"\x30\x80\x80\x80\x80\x00",
		"\x20\xff\xff\xff\xff\x7f",
		"\x30\xff\xff\xff\xff\xff\xff",
		"\x30\xff\xff\xff\xff", // it need not wait for the fifth
		"\xd0\x80\x80\x80\x80",
	} {
		_, n, err := packet.ParseHeader([]byte(wire))
		checkError(t, err, packet.ErrMalformed, packet.Type(wire[0]>>4), "2.2.3", 4)
		if n != 0 {
			t.Errorf("% x: size %d beside the error, want 0", wire, n)
		}
	}
}

// Nothing in 3.1.1 asks for the shortest encoding of the length.
func TestLongerLengthAccepted(t *testing.T) {
	for _, row := range []struct {
		wire   string
		length int
	}{
		{"\xd0\x80\x00", 0},
		{"\xd0\x80\x80\x80\x00", 0},
		{"\x30\x8e\x00", 14},
		{"\x30\x8e\x80\x00", 14},
		{"\x30\xff\xff\x80\x00", 16_383},
	} {
		h, n, err := packet.ParseHeader([]byte(row.wire))
		if err != nil || n != len(row.wire) || h.Len != row.length {
			t.Errorf("% x gives %+v, %d, %v, want length %d in %d bytes", row.wire, h, n, err, row.length, len(row.wire))
		}
	}
}

// Of the 256 first bytes 21 begin a packet (tables 2.1 and 2.2, section 3.3.1). The others are refused when they come.
func TestEveryFirstByte(t *testing.T) {
	const good = "\x10\x20\x30\x31\x32\x33\x34\x35\x3a\x3b\x3c\x3d\x40\x50\x62\x70\x82\x90\xa2\xb0\xc0\xd0\xe0"
	length := [16]byte{1: 12, 2: 2, 3: 5, 4: 2, 5: 2, 6: 2, 7: 2, 8: 6, 9: 3, 10: 5, 11: 2}
	for i := range 256 {
		first := byte(i)
		accepted := strings.IndexByte(good, first) >= 0
		for _, b := range [][]byte{{first}, {first, length[first>>4]}} {
			h, n, err := packet.ParseHeader(b)
			switch {
			case !accepted && (err == nil || n != 0 || h != packet.Header{}):
				t.Errorf("% x gives %+v, %d, %v, want an error", b, h, n, err)
			case accepted && len(b) == 1 && (err != nil || n != 0 || h != packet.Header{}):
				t.Errorf("% x gives %+v, %d, %v, want more bytes", b, h, n, err)
			case accepted && len(b) == 2 && (err != nil || n != 2 || h != packet.Header{Type: packet.Type(first >> 4), Flags: first & 15, Len: int(b[1])}):
				t.Errorf("% x gives %+v, %d, %v", b, h, n, err)
			}
			if typ := packet.Type(first >> 4); typ == 0 || typ == 15 {
				checkError(t, err, packet.ErrMalformed, 0, "2.2.1", 0)
			}
		}
	}
}

func TestHeaderCutShort(t *testing.T) {
	wires := []string{"\x30\xff\xff\xff\x7f", "\x30\x80\x80\x80\x01", "\x30\x80\x80\x01", "\x82\x80\x01", "\x90\x7f", "\xd0\x80\x80\x80\x00"}
	for _, specimen := range specimens {
		wires = append(wires, specimen.wire[:2])
	}
	for _, wire := range wires {
		for length := range len(wire) {
			h, n, err := packet.ParseHeader([]byte(wire[:length]))
			if n != 0 || err != nil || h != (packet.Header{}) {
				t.Errorf("% x gives %+v, %d, %v, want more bytes", wire[:length], h, n, err)
			}
		}
		if _, n, err := packet.ParseHeader([]byte(wire)); n != len(wire) || err != nil {
			t.Errorf("% x gives size %d, %v, want %d", wire, n, err, len(wire))
		}
	}
}

// Nine types have one length each, the others a shortest. The header tells, before the body is there.
func TestLengthsByType(t *testing.T) {
	for _, row := range []struct {
		first    byte
		min, max int
		rule     string
	}{
		{0x10, 12, packet.MaxRemainingLength, "3.1"},
		{0x20, 2, 2, "3.2.1"},
		{0x30, 3, packet.MaxRemainingLength, "3.3.2"},
		{0x32, 5, packet.MaxRemainingLength, "3.3.2"},
		{0x34, 5, packet.MaxRemainingLength, "3.3.2"},
		{0x40, 2, 2, "3.4.1"},
		{0x50, 2, 2, "3.5.1"},
		{0x62, 2, 2, "3.6.1"},
		{0x70, 2, 2, "3.7.1"},
		{0x82, 6, packet.MaxRemainingLength, "MQTT-3.8.3-3"},
		{0x90, 3, packet.MaxRemainingLength, "MQTT-3.8.4-5"},
		{0xa2, 5, packet.MaxRemainingLength, "MQTT-3.10.3-2"},
		{0xb0, 2, 2, "3.11.1"},
		{0xc0, 0, 0, "3.12.1"},
		{0xd0, 0, 0, "3.13.1"},
		{0xe0, 0, 0, "3.14.1"},
	} {
		lengths := []int{16_384, 2_097_152, packet.MaxRemainingLength}
		for length := range 300 {
			lengths = append(lengths, length)
		}
		for _, length := range lengths {
			h, n, err := packet.ParseHeader(packet.AppendHeader(nil, row.first, length))
			if row.min <= length && length <= row.max {
				if err != nil || n < 2 || h.Len != length {
					t.Errorf("%02x of %d bytes gives %+v, %d, %v", row.first, length, h, n, err)
				}
				continue
			}
			if err == nil {
				t.Errorf("%02x of %d bytes is accepted", row.first, length)
				continue
			}
			checkError(t, err, packet.ErrMalformed, packet.Type(row.first>>4), row.rule, 1)
		}
	}
}

// The bodies of fixed length are refused at the byte that is missing or too much.
func TestFixedLengthBodies(t *testing.T) {
	for typ, section := range map[packet.Type]string{
		packet.PUBACK: "3.4.1", packet.PUBREC: "3.5.1", packet.PUBREL: "3.6.1", packet.PUBCOMP: "3.7.1", packet.UNSUBACK: "3.11.1",
	} {
		for length, offset := range []int{0, 1, -1, 2, 2} {
			if length != 2 {
				refusesBody(t, packet.Header{Type: typ}, "\x00\x07\x00\x00"[:length], section, offset)
			}
		}
	}
	for typ, section := range map[packet.Type]string{packet.PINGREQ: "3.12.1", packet.PINGRESP: "3.13.1", packet.DISCONNECT: "3.14.1"} {
		refusesBody(t, packet.Header{Type: typ}, "\x00", section, 0)
		refusesBody(t, packet.Header{Type: typ}, "\x8e\x00", section, 0)
	}
}

// The commonest wrong partners are called by name.
func TestOtherProtocolsAreNamed(t *testing.T) {
	for wire, want := range map[string]string{
		"\x15\x03\x03\x00\x02\x02\x28":                 "TLS", // an alert
		"\x16\x03\x01\x01\x01\x01\x00\x00\xfd\x03\x03": "TLS", // a ClientHello
		"HTTP/1.1 400 Bad Request\r\n":                 "HTTP",
		"SSH-2.0-OpenSSH_9.2\r\n":                      "SSH",
	} {
		if _, _, err := packet.ParseHeader([]byte(wire)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q gives %v, want it to name %s", wire, err, want)
		}
	}
	if _, _, err := packet.ParseHeader([]byte("\x45ELO")); err == nil || strings.Contains(err.Error(), "looks like") {
		t.Errorf("error is %v, want one that guesses nothing", err)
	}
}

func TestTypeAndQoSNames(t *testing.T) {
	if got := fmt.Sprint(packet.PUBLISH, packet.DISCONNECT, packet.Type(0), packet.Type(15), packet.Type(16)); got !=
		"PUBLISH DISCONNECT RESERVED-0 RESERVED-15 Type(16)" {
		t.Errorf("the types are called %s", got)
	}
	if !packet.QoS0.Valid() || !packet.QoS2.Valid() || packet.QoS(3).Valid() {
		t.Error("QoS 0 to 2 are valid, 3 is not")
	}
}
