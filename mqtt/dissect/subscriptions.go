package dissect

import "time"

// request is a SUBSCRIBE or UNSUBSCRIBE that waits for its answer.
type request struct {
	typ     uint8
	number  int
	at      time.Duration
	content uint64   // a hash of all its bytes
	count   int      // of its filters
	filters []filter // views into the packet; nil if there is no room for them
	size    int      // of the packet and the filters
	copies  int      // without an answer
}

// mostAsking is how many bytes the requests that wait for an answer may take.
const mostAsking = 8 << 20

// judgeRequest takes a SUBSCRIBE or UNSUBSCRIBE in.
func (s *Session) judgeRequest(p *Packet) {
	st := &s.state
	if p.Direction != ToServer || p.said.id == 0 {
		return
	}
	id, at := p.said.id, p.at("Packet Identifier")
	if st.requests == nil {
		st.requests = map[uint16]*request{}
	}
	r, content := st.requests[id], hashOf(p.Bytes)
	if r != nil && r.content == content {
		// [MQTT-2.3.1-3] Who sends a packet again uses its identifier. Each copy may be answered.
		p.note("a repetition of packet %d", r.number)
		r.copies++
		return
	}
	if r != nil {
		p.broken(at, "2.3.1-2", "identifier %d is in use by the %s of packet %d", id, typeNames[r.typ], r.number)
	}
	if f := st.flows[ToServer].open[id]; f != nil {
		p.broken(at, "2.3.1-2", "identifier %d is in use by the %s of packet %d", id, f.lastName(), f.last())
	}
	if r != nil {
		st.asking -= r.size
	}
	r = &request{typ: p.Type, number: p.Number, at: p.Time, content: content, count: p.said.filterCount, copies: 1}
	if size := len(p.Bytes) + 32*len(p.said.filters); st.asking+size <= mostAsking && r.count == len(p.said.filters) {
		r.filters, r.size = p.said.filters, size
	}
	st.asking += r.size
	st.requests[id] = r
	if p.Type == subscribe {
		for _, f := range p.said.filters {
			s.subscribed(f.text, f.qos, true)
		}
	}
}

// subscribed notes a subscription. One that is asked for does not lower what was granted before.
func (s *Session) subscribed(text []byte, qos uint8, asked bool) {
	if s.state.blind {
		return
	}
	sub, known := s.state.filters.add(text)
	if sub == nil {
		s.forget()
		return
	}
	if known && asked && !sub.gone {
		qos = max(qos, sub.qos)
	}
	sub.qos, sub.gone = qos, false
}

// unsubscribed notes that there is no subscription any more, if there was one.
func (s *Session) unsubscribed(text []byte) {
	if sub := s.state.filters.named[string(text)]; sub != nil {
		sub.gone = true
	}
}

// forget gives the subscriptions up, as there are too many.
func (s *Session) forget() {
	s.state.filters, s.state.blind = filterTree{}, true
}

// judgeGrant holds the rules of SUBACK and UNSUBACK.
func (s *Session) judgeGrant(p *Packet) {
	st := &s.state
	if p.Direction != ToClient || p.said.id == 0 {
		return
	}
	id, at := p.said.id, p.at("Packet Identifier")
	asked, rule := uint8(subscribe), "3.8.4-2"
	if p.Type == unsuback {
		asked, rule = unsubscribe, "3.10.4-4"
	}
	r := st.requests[id]
	if r == nil || r.typ != asked {
		if !s.Midway {
			p.broken(at, "2.3.1-7 "+rule, "no %s with identifier %d waits for an answer", typeNames[asked], id)
		}
		return
	}
	if r.copies--; r.copies == 0 {
		st.asking -= r.size
		delete(st.requests, id)
	}
	p.answers(r.number, s.since(r.at, p))
	if len(r.filters) < r.count {
		s.forget()
	}
	if p.Type == unsuback {
		for _, f := range r.filters {
			s.unsubscribed(f.text)
		}
		return
	}
	if len(p.said.codes) != r.count {
		p.broken(at+2, "3.8.4-5", "%s for %s in packet %d", count(len(p.said.codes), "return code"), count(r.count, "Topic Filter"), r.number)
		return
	}
	for i, f := range r.filters {
		switch code := p.said.codes[i]; {
		case code == 0x80:
			s.unsubscribed(f.text)
		case code <= 2:
			if code > f.qos {
				p.unwise(at+2+i, "3.8.4-6", "QoS %d is granted where %d was asked for", code, f.qos)
			}
			s.subscribed(f.text, code, false)
		}
	}
}

// judgeMatch holds the rules on what a server may send to a client: what it subscribed to, at the QoS granted.
func (s *Session) judgeMatch(p *Packet) {
	st := &s.state
	if s.Midway || st.kept || st.refused || st.connack == 0 || st.blind {
		return // there may be subscriptions that this connection did not see
	}
	granted, live, dollar := -1, false, false
	st.filters.match(p.said.topic, false, func(sub *subscription) bool {
		granted = max(granted, int(sub.qos))
		live = live || !sub.gone
		return !live || granted < int(p.said.qos) // until nothing can be wrong any more
	})
	if granted < 0 {
		st.filters.match(p.said.topic, true, func(*subscription) bool {
			dollar = true
			return false
		})
	}
	at := p.at("Topic Name")
	switch {
	case granted < 0 && dollar:
		p.broken(at, "4.7.2-1 3.3.2-3", "a filter that starts with a wildcard does not match a topic that starts with '$'")
	case granted < 0:
		p.broken(at, "3.3.2-3", "the message matches no Topic Filter that the client subscribed to")
	case !live:
		p.note("the subscription has ended; the server may complete what it had begun [MQTT-3.10.4-3]")
	case int(p.said.qos) > granted:
		p.broken(0, "3.8.4-6", "QoS is %d, above the %d that was granted", p.said.qos, granted)
	}
}
