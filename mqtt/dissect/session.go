package dissect

import (
	"bytes"
	"time"
)

// Session follows the bytes of one connection in both directions: it cuts them into packets, numbers these, and finds
// what no single packet shows. The zero Session is at the start of a connection. It is for one goroutine at a time, and
// holds no more than the bytes of the packet that is on its way in each direction and what is unanswered.
type Session struct {
	// Midway says that the beginning of the connection was not seen: no packet has to be the first, and one that
	// is not known may have come before.
	Midway bool

	// Untimed says that nobody knows when bytes came: silence is no mistake then.
	Untimed bool

	count  int
	bytes  [3]int   // in the packets so far, by Direction
	pieces [3]piece // by Direction
	state  state
}

// piece is what came in a direction and is no whole packet yet.
type piece struct {
	buf    []byte
	offset int  // of buf in all bytes of the direction
	lost   bool // nobody knows where packets begin any more
}

// Add takes bytes in that came from where d says, at a time since the start of the connection. It returns the packets
// that are complete now. They share no memory with b.
func (s *Session) Add(d Direction, at time.Duration, b []byte) []Packet {
	piece := &s.pieces[d%3]
	piece.buf = append(piece.buf, b...)
	var done []Packet
	taken := 0
	for taken < len(piece.buf) {
		n := len(piece.buf) - taken
		if !piece.lost {
			if n = extent(piece.buf[taken:]); n == 0 {
				break
			}
		}
		b := bytes.Clone(piece.buf[taken : taken+n]) // a copy that the packet can keep
		done = append(done, Packet{})
		p := &done[len(done)-1]
		if piece.lost {
			*p = undecodable(b, d)
		} else {
			*p, _ = Read(b, d)
			piece.lost = p.NotMQTT || p.endless()
		}
		p.Offset = piece.offset + taken
		taken += n
		s.finish(p, at)
	}
	piece.offset += taken
	piece.buf = append(piece.buf[:0], piece.buf[taken:]...)
	return done
}

// Close returns the packets that were cut short by the end of the connection: one in each direction at most.
func (s *Session) Close(at time.Duration) (rest []Packet) {
	for d := range s.pieces {
		piece := &s.pieces[d]
		if len(piece.buf) == 0 {
			continue
		}
		p, _ := Read(bytes.Clone(piece.buf), Direction(d))
		p.Offset = piece.offset
		s.count++
		p.Number, p.Time = s.count, at
		rest = append(rest, p)
		piece.buf = nil
	}
	return rest
}

// finish numbers p and judges it.
func (s *Session) finish(p *Packet, at time.Duration) {
	s.count++
	p.Number, p.Time = s.count, at
	s.bytes[p.Direction%3] += len(p.Bytes)
	if !p.NotMQTT && p.Direction != Unknown {
		s.judge(p)
		p.running = s.running(p)
	}
}

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

// endless reports whether nobody can say where p ends.
func (p *Packet) endless() bool {
	return len(p.Bytes) >= 5 && p.Bytes[1]&p.Bytes[2]&p.Bytes[3]&p.Bytes[4]&0x80 != 0
}

// undecodable is a packet of bytes that come after the last one that could be told from its successor.
//
//go:noinline
func undecodable(b []byte, d Direction) Packet {
	return Packet{Direction: d, Bytes: b, NotMQTT: true,
		Fields: []Field{{Length: len(b), Mask: 0xff, Name: "undecoded", Kind: Undecoded, Data: b,
			Meaning: "behind bytes that are no packet", Section: "2.2"}}}
}
