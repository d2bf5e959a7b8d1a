package dissect

import (
	"bytes"
	"slices"
)

// subscription is a topic filter of the client.
type subscription struct {
	filter []byte
	qos    uint8 // granted, or asked for as long as there is no SUBACK
	gone   bool  // there was an UNSUBACK
}

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
	r := st.requests[id]
	if r != nil && r.typ == p.Type && slices.EqualFunc(r.filters, p.said.filters, filter.equal) {
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
	st.requests[id] = &request{p.Type, p.Number, p.Time, p.said.filters, 1}
	if p.Type == subscribe {
		for _, f := range p.said.filters {
			s.subscribed(f.text, f.qos, true)
		}
	}
}

// subscribed notes a subscription. One that is asked for does not lower what was granted before.
func (s *Session) subscribed(text []byte, qos uint8, asked bool) {
	for i := range s.state.subscriptions {
		sub := &s.state.subscriptions[i]
		if bytes.Equal(sub.filter, text) {
			if asked && !sub.gone {
				qos = max(qos, sub.qos)
			}
			sub.qos, sub.gone = qos, false
			return
		}
	}
	s.state.subscriptions = append(s.state.subscriptions, subscription{filter: text, qos: qos})
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
		delete(st.requests, id)
	}
	p.answers(r.number, p.Time-r.at)
	if p.Type == unsuback {
		for _, f := range r.filters {
			for i := range st.subscriptions {
				if bytes.Equal(st.subscriptions[i].filter, f.text) {
					st.subscriptions[i].gone = true
				}
			}
		}
		return
	}
	if len(p.said.codes) != len(r.filters) {
		p.broken(at+2, "3.8.4-5", "%s for %s in packet %d", count(len(p.said.codes), "return code"), count(len(r.filters), "Topic Filter"), r.number)
		return
	}
	for i, code := range p.said.codes {
		switch f := r.filters[i]; {
		case code == 0x80:
			s.refused(f.text)
		case code <= 2:
			if code > f.qos {
				p.unwise(at+2+i, "3.8.4-6", "QoS %d is granted where %d was asked for", code, f.qos)
			}
			s.subscribed(f.text, code, false)
		}
	}
}

// refused notes that there is no subscription, if there was none before.
func (s *Session) refused(text []byte) {
	for i := range s.state.subscriptions {
		if bytes.Equal(s.state.subscriptions[i].filter, text) {
			s.state.subscriptions[i].gone = true
			return
		}
	}
}

// judgeMatch holds the rules on what a server may send to a client: what it subscribed to, at the QoS granted.
func (s *Session) judgeMatch(p *Packet) {
	st := &s.state
	if s.Midway || st.kept || st.refused || st.connack == 0 {
		return // there may be subscriptions that this connection did not see
	}
	granted, live, dollar := -1, false, false
	for _, sub := range st.subscriptions {
		filter := unshared(sub.filter)
		if !matches(filter, p.said.topic) {
			dollar = dollar || matchesAnyway(filter, p.said.topic)
			continue
		}
		granted = max(granted, int(sub.qos))
		live = live || !sub.gone
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

// unshared is the filter within a shared subscription, "$share/group/filter", which is an extension of some servers.
func unshared(filter []byte) []byte {
	if rest, ok := bytes.CutPrefix(filter, []byte("$share/")); ok {
		if _, rest, ok = bytes.Cut(rest, []byte("/")); ok {
			return rest
		}
	}
	return filter
}
