package dissect

import (
	"encoding/binary"
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
	little, big := binary.LittleEndian, binary.BigEndian
	from := 0
	if d == ToClient {
		from = 1
	}
	begin, ip, tcp := len(b), len(b)+28, len(b)+48
	b = append(b, "\x06\x00\x00\x00llll\x00\x00\x00\x00TTTTttttsizesize"+
		"\x45\x00ss\x00\x00\x40\x00\x40\x06\x00\x00\xc0\x00\x02\x01\xc0\x00\x02\x02"+
		"ppqqsssskkkk\x50\x18\xff\xff\x00\x00\x00\x00"...) // with the flags ACK and PSH
	size := 40 + len(data)
	little.PutUint32(b[begin+12:], uint32(at>>32))
	little.PutUint32(b[begin+16:], uint32(at))
	little.PutUint32(b[begin+20:], uint32(size))
	little.PutUint32(b[begin+24:], uint32(size))
	big.PutUint16(b[ip+2:], uint16(size))
	ports := [2]int{49_152 + c.Connection%16_384, 1883}
	big.PutUint16(b[tcp:], uint16(ports[from]))
	big.PutUint16(b[tcp+2:], uint16(ports[1-from]))
	big.PutUint32(b[tcp+4:], 1+c.sent[from])
	big.PutUint32(b[tcp+8:], 1+c.sent[1-from])
	b = append(b, data...)
	c.sent[from] += uint32(len(data))
	if from == 1 {
		b[ip+15], b[ip+19] = 2, 1
	}
	big.PutUint16(b[tcp+16:], checksum(b[ip+12:], 6+uint32(20+len(data)))) // with a header of addresses, protocol and length
	big.PutUint16(b[ip+10:], checksum(b[ip:tcp], 0))

	b = padded(b, ip)
	if comment != "" {
		b = little.AppendUint16(b, 1)
		b = little.AppendUint16(b, uint16(len(comment)))
		start := len(b)
		b = padded(append(b, comment...), start)
		b = append(b, 0, 0, 0, 0)
	}
	b = little.AppendUint32(b, uint32(len(b)+4-begin))
	little.PutUint32(b[begin+4:], uint32(len(b)-begin))
	return b
}

// padded fills up with zeros what began at start, to a multiple of four bytes.
func padded(b []byte, start int) []byte {
	for (len(b)-start)%4 != 0 {
		b = append(b, 0)
	}
	return b
}

// checksum is that of RFC 1071, of b and what was summed up before.
func checksum(b []byte, sum uint32) uint16 {
	for ; len(b) >= 2; b = b[2:] {
		sum += uint32(b[0])<<8 | uint32(b[1])
	}
	if len(b) == 1 {
		sum += uint32(b[0]) << 8
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return ^uint16(sum)
}
