package dissect

import (
	"bytes"
	"slices"
)

// Stream cuts the bytes of one direction into packets, and judges each by itself. The zero Stream is at the start of a
// packet. It is for one goroutine at a time, and holds no more than the bytes of the packet that is on its way.
type Stream struct {
	Direction Direction

	// Block is how many bytes that nobody can divide into packets make one: those of another protocol, and those
	// behind a Remaining Length without an end. 0: as many as are there, so that they are seen at once.
	Block int

	buf    []byte // what came
	taken  int    // of it: the bytes of packets that Next returned
	offset int    // of buf in all bytes of the stream
	lost   bool   // nobody knows where packets begin any more
}

// Add takes bytes in. It keeps none of b's memory.
func (s *Stream) Add(b []byte) {
	if s.taken > 0 {
		s.offset += s.taken
		s.buf = append(s.buf[:0], s.buf[s.taken:]...)
		s.taken = 0
	}
	if size := len(s.buf) + len(b); size > cap(s.buf) && size > largePacket {
		// As much again as there is, and no more than the packet takes: that is seldom copied, and wastes little.
		length, begin, _ := remainingLength(s.buf[min(1, len(s.buf)):])
		s.buf = slices.Grow(s.buf, max(len(b), min(len(s.buf), 1+begin+length-len(s.buf))))
	}
	s.buf = append(s.buf, b...)
}

// Next returns the next packet that is complete, or false if more bytes are to come. The packet shares no memory with
// what was given to Add.
func (s *Stream) Next() (Packet, bool) {
	if p := s.next(); p != nil {
		return *p, true
	}
	return Packet{}, false
}

// next is Next, or nil.
func (s *Stream) next() *Packet {
	b := s.buf[s.taken:]
	n := len(b)
	if n > 0 && !s.lost {
		n = extent(b)
	}
	if n > 0 && s.Block > 0 && (s.lost || undividable(b)) {
		if n = s.Block; len(b) < n {
			n = 0
		}
	}
	return s.take(n)
}

// Waiting is how many bytes came that are in no packet yet.
func (s *Stream) Waiting() int { return len(s.buf) - s.taken }

// Close returns what the end of the stream cut short, or false if nothing is left.
func (s *Stream) Close() (Packet, bool) {
	if p := s.take(s.Waiting()); p != nil {
		return *p, true
	}
	return Packet{}, false
}

// take makes a packet of the next n bytes, or nil of none.
func (s *Stream) take(n int) *Packet {
	if n == 0 {
		return nil
	}
	b, offset := s.buf[s.taken:s.taken+n], s.offset+s.taken
	if s.taken == 0 && n == len(s.buf) && n >= largePacket {
		s.buf, s.offset = nil, offset+n // the packet has the buffer for its own
	} else {
		b = bytes.Clone(b)
		s.taken += n
	}
	p := new(Packet)
	if s.lost {
		p.undecodable(b, s.Direction)
	} else {
		p.read(b, s.Direction)
		s.lost = p.NotMQTT || endless(b)
	}
	p.Offset = offset
	return p
}

// largePacket is the size from which on a packet is not copied out of the buffer, if it is all that is there.
const largePacket = 64 << 10

// extent is how many bytes [Read] takes of those at the start of b, or 0 if more of the packet are to come. It looks at the
// first bytes only, so that a packet that comes in many pieces is read once.
func extent(b []byte) int {
	length, size, state := remainingLength(b[1:])
	switch {
	case state == lengthEndless || otherProtocol(b) != "":
		return len(b)
	case state == lengthCut || len(b) < 1+size+length:
		return 0
	}
	return 1 + size + length
}

// undividable reports whether nobody can tell where the packet at the start of b ends.
func undividable(b []byte) bool { return endless(b) || otherProtocol(b) != "" }

// endless reports whether the Remaining Length at the start of b has no end.
func endless(b []byte) bool {
	return len(b) >= 5 && b[1]&b[2]&b[3]&b[4]&0x80 != 0
}

// undecodable makes p of bytes that come after the last packet that could be told from its successor.
func (p *Packet) undecodable(b []byte, d Direction) {
	p.Direction = d
	p.notMQTT(b, "undecoded", "behind bytes that are no packet")
}
