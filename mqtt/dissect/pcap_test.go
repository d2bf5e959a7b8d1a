package dissect_test

import (
	"bytes"
	"encoding/binary"
	"strings"
	"testing"
	"time"

	"iotwire/mqtt/dissect"
)

// frames cuts a pcapng file into its frames, without the headers, and their comments, and checks every length and checksum.
func frames(t *testing.T, file []byte) (data [][]byte, comments []string) {
	t.Helper()
	little, big := binary.LittleEndian, binary.BigEndian
	next := map[uint16]uint32{} // sequence number by the port of who sends
	for at := 0; at < len(file); {
		size := int(little.Uint32(file[at+4:]))
		block := file[at : at+size]
		if size%4 != 0 || int(little.Uint32(block[size-4:])) != size {
			t.Fatalf("the block at %d has the lengths %d and %d", at, size, little.Uint32(block[size-4:]))
		}
		at += size
		if little.Uint32(block) != 6 {
			continue
		}
		captured := int(little.Uint32(block[20:]))
		ip := block[28 : 28+captured]
		if little.Uint32(block[24:]) != uint32(captured) || int(big.Uint16(ip[2:])) != captured {
			t.Fatalf("lengths %d, %d, %d", captured, little.Uint32(block[24:]), big.Uint16(ip[2:]))
		}
		sum := func(b []byte, start uint32) uint32 {
			for i, c := range b {
				start += uint32(c) << (8 - i%2*8)
			}
			for start > 0xffff {
				start = start>>16 + start&0xffff
			}
			return start
		}
		if got := sum(ip[:20], 0); got != 0xffff {
			t.Errorf("the checksum of IP is wrong: %04x", got)
		}
		if got := sum(ip[12:], 6+uint32(captured-20)); got != 0xffff {
			t.Errorf("the checksum of TCP is wrong: %04x", got)
		}
		tcp := ip[20:]
		from, to := big.Uint16(tcp), big.Uint16(tcp[2:])
		if got, want := big.Uint32(tcp[4:]), 1+next[from]; got != want {
			t.Errorf("sequence number %d, want %d", got, want)
		}
		if got, want := big.Uint32(tcp[8:]), 1+next[to]; got != want {
			t.Errorf("acknowledgement number %d, want %d", got, want)
		}
		next[from] += uint32(len(tcp) - 20)
		data = append(data, tcp[20:])
		comment := ""
		if options := block[28+(captured+3)&^3 : size-4]; len(options) > 0 {
			comment = string(options[4 : 4+little.Uint16(options[2:])])
		}
		comments = append(comments, comment)
	}
	return data, comments
}

func TestCaptureHasEveryPacketWithAComment(t *testing.T) {
	packets, _ := play(t, new(dissect.Session), recorded)
	c := dissect.Capture{Connection: 1, Began: began}
	file := dissect.AppendCaptureHeader(nil)
	for i := range packets {
		file = c.Append(file, &packets[i])
	}
	data, comments := frames(t, file)
	if len(data) != len(packets) {
		t.Fatalf("%d frames for %d packets", len(data), len(packets))
	}
	for i, p := range packets {
		want := bytes.ReplaceAll(p.Bytes, []byte("secret"), []byte("******"))
		if !bytes.Equal(data[i], want) {
			t.Errorf("%s: %x, want %x", p.Name(), data[i], want)
		}
		if !strings.Contains(comments[i], p.Name()) {
			t.Errorf("%s: the comment is %q", p.Name(), comments[i])
		}
	}
	if want := "→ PUBREL 4 B id 1, answers 6 after 1.0 ms"; comments[6] != want {
		t.Errorf("the comment is %q, want %q", comments[6], want)
	}
}

func TestCaptureNamesBrokenRules(t *testing.T) {
	p, _ := dissect.Read([]byte("\x20\x02\x01\x05"), dissect.ToClient)
	_, comments := frames(t, new(dissect.Capture).Append(nil, &p))
	if !strings.Contains(comments[0], "BROKEN Session Present is 1 with return code 5 [MQTT-3.2.2-4]") {
		t.Errorf("the comment is %q", comments[0])
	}
}

// A packet that does not fit into a frame takes several, and the first has the comment.
func TestCaptureCutsLargePackets(t *testing.T) {
	payload := bytes.Repeat([]byte("x"), 200_000)
	wire := append([]byte("\x30\xc3\x9a\x0c\x00\x01a"), payload...)
	var c dissect.Capture
	p, n := dissect.Read(wire, dissect.ToServer)
	if n != len(wire) || p.Missing > 0 {
		t.Fatalf("%d bytes of %d", n, len(wire))
	}
	data, comments := frames(t, c.Append(nil, &p))
	if len(data) != 4 || !bytes.Equal(bytes.Join(data, nil), wire) || comments[0] == "" || comments[1] != "" {
		t.Errorf("%d frames, comments %q", len(data), comments)
	}
}

func FuzzCapture(f *testing.F) {
	f.Add([]byte("\x10\x0d\x00\x04MQTT\x04\x02\x00\x3c\x00\x01a\xe0\x00"))
	f.Add([]byte("\x82\xff\xff\x7f\x00\x01"))
	f.Fuzz(func(t *testing.T, wire []byte) {
		var s dissect.Session
		var c dissect.Capture
		file := dissect.AppendCaptureHeader(nil)
		for _, p := range append(s.Add(dissect.ToClient, time.Hour, wire), s.Close(time.Hour)...) {
			file = c.Append(file, &p)
		}
		data, _ := frames(t, file)
		if joined := bytes.Join(data, nil); len(joined) != len(wire) {
			t.Errorf("%d bytes of %d", len(joined), len(wire))
		}
	})
}
