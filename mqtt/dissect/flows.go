package dissect

import (
	"slices"
	"time"
)

// flows are the messages above QoS 0 in one direction (section 4.3).
type flows struct {
	open   map[uint16]*flow
	done   map[uint16]bool // identifiers whose last answer came on this connection
	first  []uint16        // those that wait for PUBACK or PUBREC, in the order of their PUBLISH
	second []uint16        // those that wait for PUBREL, in the order of their PUBREC
}

// flow is a message on its way. A number is that of a packet, or 0 if it has not come.
type flow struct {
	qos                     uint8
	content                 uint64 // a hash of topic and payload
	published, received     int    // PUBLISH, PUBREC
	released                int    // PUBREL
	publishedAt, receivedAt time.Duration
	releasedAt              time.Duration
}

// last is the packet that waits for an answer.
func (f *flow) last() int { return max(f.published, f.received, f.released) }

func (f *flow) lastName() string {
	switch {
	case f.released > 0:
		return "PUBREL"
	case f.received > 0:
		return "PUBREC"
	}
	return "PUBLISH"
}

// contentOf is a hash of the topic, its length and the payload.
func contentOf(p *Packet) uint64 {
	return hashOf(p.said.topic, p.said.payload) ^ uint64(len(p.said.topic))
}

// hashOf is FNV-1a.
//
//go:noinline
func hashOf(parts ...[]byte) uint64 {
	h := uint64(14695981039346656037)
	for _, b := range parts {
		for _, c := range b {
			h = (h ^ uint64(c)) * 1099511628211
		}
	}
	return h
}

// judgePublish holds the rules on identifiers and repetitions, and for the server on what it may send.
func (s *Session) judgePublish(p *Packet) {
	if p.Direction == ToClient {
		s.judgeMatch(p)
	}
	if p.said.qos == 0 || p.said.qos == 3 || p.said.id == 0 {
		return
	}
	side := &s.state.flows[p.Direction]
	if side.open == nil {
		side.open, side.done = map[uint16]*flow{}, map[uint16]bool{}
	}
	id, content := p.said.id, contentOf(p)
	at := p.at("Packet Identifier")
	reuse := "2.3.1-2"
	if p.Direction == ToClient {
		reuse = "2.3.1-4"
	}
	before := side.open[id]
	same := before != nil && before.content == content && before.qos == p.said.qos
	switch {
	case before != nil && before.released > 0:
		p.broken(at, "4.3.3-1 "+reuse, "PUBLISH with identifier %d, whose PUBREL was packet %d, and whose PUBCOMP has not come", id, before.released)
		return
	case same && !p.said.dup:
		p.broken(0, "3.3.1-1", "DUP is 0 on a repetition of packet %d, must be 1", before.published)
		return
	case same:
		p.note("a repetition of packet %d", before.published)
		return
	case before != nil:
		p.broken(at, reuse, "identifier %d is in use by the PUBLISH of packet %d", id, before.published)
	case p.said.dup:
		p.note("DUP is 1 though this connection has not seen it before: it may have been sent on an earlier one")
	}
	if r := s.state.requests[id]; r != nil && p.Direction == ToServer {
		p.broken(at, reuse, "identifier %d is in use by the %s of packet %d", id, typeNames[r.typ], r.number)
	}
	side.open[id] = &flow{qos: p.said.qos, content: content, published: p.Number, publishedAt: p.Time}
	if before != nil {
		side.first, side.second = without(side.first, id), without(side.second, id)
	}
	side.first = append(side.first, id)
	delete(side.done, id)
}

// without removes an identifier, if it is there.
//
//go:noinline
func without(ids []uint16, id uint16) []uint16 {
	if i := slices.Index(ids, id); i >= 0 {
		return slices.Delete(ids, i, i+1)
	}
	return ids
}

// judgeAnswer holds the rules of PUBACK, PUBREC, PUBREL and PUBCOMP.
func (s *Session) judgeAnswer(p *Packet) {
	sender := 3 - p.Direction // of the PUBLISH
	if p.Type == pubrel {
		sender = p.Direction
	}
	side := &s.state.flows[sender]
	id, at := p.said.id, p.at("Packet Identifier")
	if id == 0 {
		return
	}
	f := side.open[id]
	if f == nil {
		switch {
		case side.done[id]:
			p.note("identifier %d was done already: this answers a repetition", id)
		case s.resumed():
			p.note("identifier %d is of a message from an earlier connection", id)
			if p.Type == pubrel {
				if side.open == nil {
					side.open, side.done = map[uint16]*flow{}, map[uint16]bool{}
				}
				side.open[id] = &flow{qos: 2, released: p.Number, releasedAt: p.Time}
			}
		case p.Type == pubcomp:
			p.broken(at, "3.7.2 4.3.3-2", "no PUBREL with identifier %d waits for a PUBCOMP", id)
		default:
			p.broken(at, "2.3.1-6", "no PUBLISH with identifier %d waits for a %s", id, p.Name())
		}
		return
	}
	switch p.Type {
	case puback:
		if f.qos != 1 {
			p.broken(0, "3.3.4-1", "PUBACK answers the PUBLISH of packet %d, whose QoS is 2: it must be PUBREC", f.published)
			return
		}
		s.inOrder(p, side.first, at, "4.6.0-2")
		p.answers(f.published, s.since(f.publishedAt, p))
		side.finish(id)
	case pubrec:
		if f.qos != 2 {
			p.broken(0, "3.3.4-1", "PUBREC answers the PUBLISH of packet %d, whose QoS is 1: it must be PUBACK", f.published)
			return
		}
		if f.published > 0 {
			p.answers(f.published, s.since(f.publishedAt, p))
		}
		if f.received > 0 {
			p.note("a repetition of packet %d", f.received)
			return
		}
		s.inOrder(p, side.first, at, "4.6.0-3")
		side.first = without(side.first, id)
		if f.released == 0 {
			side.second = append(without(side.second, id), id)
		}
		f.received, f.receivedAt = p.Number, p.Time
	case pubrel:
		if f.received == 0 && f.released == 0 && !s.resumed() {
			p.broken(at, "4.3.3-1", "PUBREL before a PUBREC for packet %d", f.published)
		}
		if f.released > 0 {
			p.note("a repetition of packet %d", f.released)
			return
		}
		s.inOrder(p, side.second, at, "4.6.0-4")
		if f.received > 0 {
			p.answers(f.received, s.since(f.receivedAt, p))
		}
		side.first, side.second = without(side.first, id), without(side.second, id)
		f.released, f.releasedAt = p.Number, p.Time
	case pubcomp:
		if f.released == 0 {
			p.broken(at, "4.3.3-2", "PUBCOMP before the PUBREL for packet %d", f.published)
			return
		}
		p.answers(f.released, s.since(f.releasedAt, p))
		side.finish(id)
	}
}

// finish makes an identifier free again.
func (f *flows) finish(id uint16) {
	delete(f.open, id)
	f.done[id] = true
	f.first, f.second = without(f.first, id), without(f.second, id)
}

// inOrder reports an answer that overtakes another one of its kind. Of a server no such rule holds, as topics need not be
// ordered [MQTT-4.6.0-6].
func (s *Session) inOrder(p *Packet, order []uint16, at int, rule string) {
	first := slices.IndexFunc(order, func(id uint16) bool {
		return p.Type == pubrel || s.state.flows[3-p.Direction].open[id].qos == p.qosAnswered()
	})
	if first < 0 || order[first] == p.said.id || !slices.Contains(order, p.said.id) {
		return
	}
	if p.Direction == ToClient {
		p.note("it comes before the one for identifier %d, as servers may do on topics without an order", order[first])
		return
	}
	p.broken(at, rule, "%s for identifier %d comes before the one for identifier %d", p.Name(), p.said.id, order[first])
}

// qosAnswered is the QoS of the messages that PUBACK and PUBREC answer.
func (p *Packet) qosAnswered() uint8 {
	if p.Type == puback {
		return 1
	}
	return 2
}
