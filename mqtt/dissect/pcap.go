package dissect

import (
	"strings"
	"time"
)

// Capture writes the packets of a connection for Wireshark and tshark, as blocks of a pcapng file: what was under TLS is
// in the clear, each packet has a comment with what it says and which rules it breaks, and passwords are hidden. The
// headers of IP and TCP are made up: the client is 192.0.2.1, and each connection has a port of its own; the server is
// 192.0.2.2, port 1883. It is for one goroutine at a time.
type Capture struct {
	Connection  int       // its number, for files with several
	Began       time.Time // when it began
	ShowSecrets bool      // passwords

	sent [2]uint32 // bytes from the client, and from the server
}

// AppendCaptureHeader appends what a pcapng file begins with, once: the blocks of its captures follow, in any order.
func AppendCaptureHeader(b []byte) []byte {
	const raw = 101                                                                                                                      // LINKTYPE_RAW: frames begin with the IP header
	return append(b, "\x0a\x0d\x0d\x0a\x1c\x00\x00\x00\x4d\x3c\x2b\x1a\x01\x00\x00\x00\xff\xff\xff\xff\xff\xff\xff\xff\x1c\x00\x00\x00"+ // a section
		"\x01\x00\x00\x00\x14\x00\x00\x00"+string(rune(raw))+"\x00\x00\x00\x00\x00\x00\x00\x14\x00\x00\x00"...) // and its device
}

// largestSegment is how many bytes of a packet a frame takes: an IP packet has 65 535 at most.
const largestSegment = 65_000

// Append appends a block with p, or several if it is large.
func (c *Capture) Append(b []byte, p *Packet) []byte {
	l := Layout{}
	comment := shorten(strings.Join(strings.Fields(l.brief(p)), " "), 4000)
	at := p.Time
	if !c.Began.IsZero() {
		at += time.Duration(c.Began.UnixNano())
	}
	for data := p.shownBytes(c.ShowSecrets); len(data) > 0; comment = "" {
		n := min(len(data), largestSegment)
		b = c.block(b, p.Direction, uint64(at/time.Microsecond), data[:n], comment)
		data = data[n:]
	}
	return b
}

// block appends a frame.
func (c *Capture) block(b []byte, d Direction, at uint64, data []byte, comment string) []byte {
	from, to := 0, 1
	if d == ToClient {
		from, to = 1, 0
	}
	size := 40 + len(data)
	option := (size + 31) &^ 3 // where the comment is, behind the head of the block and what makes a multiple of four
	end := option
	if comment != "" {
		end += (len(comment)+3)&^3 + 8
	}
	begin := len(b)
	b = append(b, make([]byte, end+4)...)
	block := b[begin:]
	for i, n := range [...]int{6, len(block), 0, int(at >> 32), int(at), size, size} {
		put32(block[4*i:], n)
	}
	put32(block[end:], len(block))
	if comment != "" {
		put32(block[option:], 1|len(comment)<<16)
		copy(block[option+4:], comment)
	}
	packet := block[28 : 28+size]
	copy(packet, "\x45\x00ss\x00\x00\x40\x00\x40\x06\x00\x00\xc0\x00\x02\x01\xc0\x00\x02\x02"+
		"ppqqsssskkkk\x50\x18\xff\xff\x00\x00\x00\x00") // with the flags ACK and PSH
	copy(packet[40:], data)
	packet[15], packet[19] = byte(1+from), byte(1+to)
	ports := [2]uint32{49_152 + uint32(c.Connection%16_384), 1883}
	sent, received := 1+c.sent[from], 1+c.sent[to]
	for i, n := range [...]uint32{ports[from], ports[to], sent >> 16, sent, received >> 16, received} {
		put16(packet[20+2*i:], n)
	}
	put16(packet[2:], uint32(size))
	put16(packet[36:], checksum(packet[12:], 6+uint32(20+len(data)))) // with a header of addresses, protocol and length
	put16(packet[10:], checksum(packet[:20], 0))
	c.sent[from] += uint32(len(data))
	return b
}

// put32 writes the lower half of n as this file has it.
//
//go:noinline
func put32(b []byte, n int) {
	b[0], b[1], b[2], b[3] = byte(n), byte(n>>8), byte(n>>16), byte(n>>24)
}

// put16 writes the lower half of n as networks have it.
//
//go:noinline
func put16(b []byte, n uint32) { b[0], b[1] = byte(n>>8), byte(n) }

// checksum is that of RFC 1071, of b and what was summed up before.
//
//go:noinline
func checksum(b []byte, sum uint32) uint32 {
	for ; len(b) >= 2; b = b[2:] {
		sum += uint32(b[0])<<8 | uint32(b[1])
	}
	if len(b) == 1 {
		sum += uint32(b[0]) << 8
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return ^sum
}
