package dissect

import "time"

// Session follows the bytes of one connection in both directions: it cuts them into packets, numbers these, and finds
// what no single packet shows. The zero Session is at the start of a connection. It is for one goroutine at a time.
//
// It holds the bytes of the packet that is on its way in each direction, and what it needs to judge later packets, which
// has a bound: an entry for each Packet Identifier in use or used, the requests that wait for an answer, the first 1000
// PINGREQs that do, and the Topic Filters of up to 131 072 levels and 8 MB. With more of these it says no longer which
// messages match no subscription.
type Session struct {
	// Midway says that the beginning of the connection was not seen: no packet has to be the first, and one that
	// is not known may have come before.
	Midway bool

	// Untimed says that nobody knows when bytes came: silence is no mistake then.
	Untimed bool

	count   int
	bytes   [3]int    // in the packets so far, by Direction
	streams [3]Stream // by Direction
	state   state
}

// Add takes bytes in that came from where d says, at a time since the start of the connection. It returns the packets
// that are complete now. They share no memory with b.
func (s *Session) Add(d Direction, at time.Duration, b []byte) (done []Packet) {
	stream := s.stream(d)
	stream.Add(b)
	for {
		p := stream.next()
		if p == nil {
			return done
		}
		s.finish(p, at)
		done = append(done, *p)
	}
}

// stream is the bytes from where d says.
func (s *Session) stream(d Direction) *Stream {
	s.streams[d%3].Direction = d % 3
	return &s.streams[d%3]
}

// Lose says that n bytes, or nobody knows how many if n is 0, were not seen from where d says: the next byte is taken for
// the first of a packet. It returns the packet that is cut short by it, if there is one. What the session knew of the
// connection is out of date from here on; it goes on as if it had met it Midway.
func (s *Session) Lose(d Direction, at time.Duration, n int) (rest []Packet) {
	stream := s.stream(d)
	if p := stream.take(stream.Waiting()); p != nil {
		s.number(p, at)
		rest = append(rest, *p)
	}
	*stream = Stream{Direction: d % 3, offset: stream.offset + stream.taken + n}
	s.Midway, s.state = true, state{}
	return rest
}

// Close returns the packets that were cut short by the end of the connection: one in each direction at most.
func (s *Session) Close(at time.Duration) (rest []Packet) {
	for d := range s.streams {
		stream := s.stream(Direction(d))
		if p := stream.take(stream.Waiting()); p != nil {
			s.number(p, at)
			rest = append(rest, *p)
		}
	}
	return rest
}

func (s *Session) number(p *Packet, at time.Duration) {
	s.count++
	p.Number, p.Time = s.count, at
}

// finish numbers p and judges it.
func (s *Session) finish(p *Packet, at time.Duration) {
	s.number(p, at)
	s.bytes[p.Direction%3] += len(p.Bytes)
	if !p.NotMQTT && p.Direction != Unknown {
		s.judge(p)
		p.running = s.running(p)
	}
}
