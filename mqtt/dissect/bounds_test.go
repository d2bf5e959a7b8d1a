package dissect_test

import (
	"encoding/binary"
	"runtime"
	"strings"
	"testing"
	"time"

	"iotwire/mqtt/dissect"
)

// heap is how many bytes are in use.
func heap() int {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int(m.HeapAlloc)
}

// The memory of a session does not grow with the number of packets, whatever they are.
func TestSessionHasABound(t *testing.T) {
	levels := strings.Repeat("/", 98)
	number := func(i int) string { return string(binary.BigEndian.AppendUint32(nil, uint32(i))) }
	id := func(i int) string { return string(binary.BigEndian.AppendUint16(nil, uint16(i%65_535+1))) }
	for name, test := range map[string]struct {
		packets int
		most    int // KB
		client  func(i int) string
		server  func(i int) string
	}{
		"PINGREQ":              {50_000, 500, func(int) string { return "\xc0\x00" }, nil},
		"PUBLISH":              {70_000, 24_000, func(i int) string { return "\x32\x09\x00\x01t" + id(i) + number(i) }, nil},
		"PUBLISH and PUBREC":   {70_000, 24_000, func(i int) string { return "\x34\x05\x00\x01t" + id(i) }, func(i int) string { return "\x50\x02" + id(i) }},
		"SUBSCRIBE":            {6000, 24_000, func(i int) string { return "\x82\x6b" + id(i) + "\x00\x66" + number(i|0x01010101) + levels + "\x01" }, nil},
		"SUBSCRIBE and SUBACK": {6000, 24_000, func(i int) string { return "\x82\x6b" + id(i) + "\x00\x66" + number(i|0x01010101) + levels + "\x01" }, func(i int) string { return "\x90\x03" + id(i) + "\x01" }},
		"large SUBSCRIBE":      {30, 24_000, func(i int) string { return "\x82\xf0\xff\x03" + id(i) + strings.Repeat("\x00\x01a\x01", 16_379) + "xx" }, nil},
		"nothing":              {20_000, 500, func(int) string { return "\x00\x00" }, func(int) string { return "\xf0\x00" }},
	} {
		before := heap()
		var s dissect.Session
		s.Add(dissect.ToServer, 0, []byte("\x10\x0d\x00\x04MQTT\x04\x02\x00\x0a\x00\x01c"))
		s.Add(dissect.ToClient, 0, []byte("\x20\x02\x00\x00"))
		for i := range test.packets {
			at := time.Duration(i) * time.Microsecond
			s.Add(dissect.ToServer, at, []byte(test.client(i)))
			if test.server != nil {
				s.Add(dissect.ToClient, at, []byte(test.server(i)))
			}
		}
		if grown := heap() - before; grown > test.most<<10 {
			t.Errorf("%s: %d KB are in use, want %d at most", name, grown>>10, test.most)
		}
		if open := s.Unanswered(); len(open) > 1000 {
			t.Errorf("%s: %d bytes about what is unanswered", name, len(open))
		}
		runtime.KeepAlive(&s)
	}
}

// What is not listed of a packet is counted: the lists are cut, not the judgement.
func TestPacketHasABound(t *testing.T) {
	const codes = 200_000
	b := append([]byte{0x90, 0xc2, 0x9a, 0x0c, 0, 1}, make([]byte, codes)...)
	for i := range codes {
		b[6+i] = 3
	}
	p, n := dissect.Read(b, dissect.ToClient)
	covered(t, &p)
	if n != len(b) || p.Missing != 0 || len(p.Fields) > 10_100 || len(p.Findings) != 1000 || !strings.Contains(strings.Join(p.Notes, ""), "more findings") {
		t.Errorf("%d bytes, %d missing, %d fields, %d findings, notes %q", n, p.Missing, len(p.Fields), len(p.Findings), p.Notes)
	}
	for i := range codes {
		b[6+i] = 0
	}
	b[len(b)-1] = 3
	if p, _ = dissect.Read(b, dissect.ToClient); len(p.Findings) != 1 || p.Findings[0].Offset != len(b)-1 {
		t.Errorf("findings about the last byte: %+v", p.Findings)
	}
}

// A large packet that comes in pieces is put together once, and the session keeps nothing of it.
func TestSessionKeepsNothingOfALargePacket(t *testing.T) {
	const size = 32 << 20
	piece := make([]byte, 4096)
	before := heap()
	var s dissect.Session
	s.Add(dissect.ToClient, 0, []byte("\x30\x80\x80\x80\x10\x00\x01t"))
	seen := 0
	for left := size - 3; left > 0; left -= len(piece) {
		for _, p := range s.Add(dissect.ToClient, 0, piece[:min(left, len(piece))]) {
			seen += len(p.Bytes)
		}
	}
	if grown := heap() - before; seen != size+5 || grown > 4<<20 {
		t.Errorf("saw %d bytes, %d KB are in use", seen, grown>>10)
	}
	runtime.KeepAlive(&s)
}

// A length that is only claimed takes no memory.
func TestClaimedLengthTakesNoMemory(t *testing.T) {
	before := heap()
	var sessions [100]dissect.Session
	for i := range sessions {
		sessions[i].Add(dissect.ToServer, 0, []byte("\x30\xff\xff\xff\x7f\x00\x01t"))
	}
	if grown := heap() - before; grown > 1<<20 {
		t.Errorf("%d KB are in use", grown>>10)
	}
	runtime.KeepAlive(&sessions)
}

// Bytes that no one can divide come in blocks of the same size, however they arrive.
func TestStreamDividesInBlocks(t *testing.T) {
	for name, begin := range map[string]string{"HTTP": "HTTP/1.1 400 Bad Request\r\n", "TLS": "\x16\x03\x01\x02\x00", "no end of the length": "\x30\xff\xff\xff\xff\xff"} {
		for _, piece := range []int{1, 7, 100_000} {
			s := dissect.Stream{Block: 1000}
			var sizes []int
			b := append([]byte(begin), make([]byte, 2500-len(begin))...)
			for len(b) > 0 {
				n := min(piece, len(b))
				s.Add(b[:n])
				b = b[n:]
				for p, ok := s.Next(); ok; p, ok = s.Next() {
					covered(t, &p)
					sizes = append(sizes, len(p.Bytes))
				}
			}
			p, _ := s.Close()
			if len(sizes) != 2 || sizes[0] != 1000 || sizes[1] != 1000 || len(p.Bytes) != 500 || !p.NotMQTT {
				t.Errorf("%s in pieces of %d: blocks of %d, and %d left", name, piece, sizes, len(p.Bytes))
			}
		}
	}
}

// After bytes that were not seen a session reads on, and blames nobody for what it cannot know.
func TestSessionGoesOnAfterALoss(t *testing.T) {
	var s dissect.Session
	s.Add(dissect.ToServer, 0, []byte("\x10\x0d\x00\x04MQTT\x04\x02\x00\x0a\x00\x01c"))
	s.Add(dissect.ToClient, 0, []byte("\x20\x02\x00\x00"))
	s.Add(dissect.ToServer, 0, []byte("\x32\x06\x00\x01t\x00\x01a\x32"))
	rest := s.Lose(dissect.ToServer, time.Second, 100)
	if len(rest) != 1 || rest[0].Missing == 0 || rest[0].Number != 4 {
		t.Errorf("cut short by the loss: %+v", rest)
	}
	all := append(s.Add(dissect.ToServer, time.Hour, []byte("\x32\x06\x00\x01t\x00\x01b")), s.Add(dissect.ToClient, time.Hour, []byte("\x40\x02\x00\x02"))...)
	for _, p := range all {
		if p.Broken() {
			t.Errorf("%s: %+v", p.Name(), p.Findings)
		}
	}
	if len(all) != 2 || all[0].Offset != 124 {
		t.Errorf("%d packets, the first at byte %d", len(all), all[0].Offset)
	}
}
