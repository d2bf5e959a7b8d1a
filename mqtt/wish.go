package mqtt

import (
	"time"

	"iotwire/mqtt/packet"
)

// requests is what the program wishes to be subscribed to, what the server has been told, and the SUBSCRIBE and
// UNSUBSCRIBE packets that are under way. Subscriptions are declared: reconcile sends what makes the server's session
// equal to the wishes, and nothing else, so that a session that the server kept costs no packet.
type requests struct {
	wishes  []*wish // in the order of declaration
	pending map[uint16]*request
	dirty   bool // a wish differs from what the server has
}

// wish is one topic filter.
type wish struct {
	filter string
	wanted bool
	qos    QoS // the highest that a Subscription of this filter asks for

	has     bool // the server's session has this subscription, or may have it
	hasQoS  int  // and this is the QoS that was asked for; unsure if no answer came
	granted QoS
	refused bool // the server said no; asked again only in a new session
	foreign bool // of an earlier process, and nobody has asked for it in this one: it is left alone
	busy    bool // a request about it is under way

	subs []*Subscription

	key   uint64 // names its record in the store
	known bool   // there is one
}

// unsure is less than any QoS: the subscription has to be asked for again.
const unsure = -1

// request is a SUBSCRIBE or UNSUBSCRIBE that has no answer yet. It dies with its connection.
type request struct {
	unsubscribe bool
	wishes      []*wish
	qos         []QoS

	packet []byte
	at     time.Duration // when it was sent last
	copies int
}

func (r *request) kind() packet.Type {
	if r.unsubscribe {
		return packet.UNSUBSCRIBE
	}
	return packet.SUBSCRIBE
}

func (r *request) answer() packet.Type { return r.kind() + 1 }

// find returns the wish for filter, or nil.
func (q *requests) find(filter string) *wish {
	for _, w := range q.wishes {
		if w.filter == filter {
			return w
		}
	}
	return nil
}

// satisfied reports whether the server has what w asks for, or has refused it.
func (w *wish) satisfied() bool {
	if w.wanted {
		return w.refused || w.has && w.hasQoS >= int(w.qos)
	}
	return !w.has || w.foreign
}

// reconcile sends requests for the wishes that differ from what the server has.
func (s *session) reconcile() {
	if !s.online || !s.dirty {
		return
	}
	s.dirty = false
	kept := s.wishes[:0]
	var subscribe, unsubscribe []*wish
	for _, w := range s.wishes {
		if !w.wanted && !w.has && !w.busy {
			continue // forgotten
		}
		kept = append(kept, w)
		switch {
		case w.busy || w.satisfied():
		case w.wanted:
			subscribe = append(subscribe, w)
		default:
			unsubscribe = append(unsubscribe, w)
		}
	}
	clear(s.wishes[len(kept):])
	s.wishes = kept
	s.request(unsubscribe, true)
	s.request(subscribe, false)
}

// request sends requests about wishes, in batches.
func (s *session) request(wishes []*wish, unsubscribe bool) {
	for len(wishes) > 0 {
		id := s.nextID()
		if id == 0 {
			s.dirty = true // again when an identifier is free
			return
		}
		r := &request{unsubscribe: unsubscribe, wishes: wishes[:min(s.batch, len(wishes))]}
		wishes = wishes[len(r.wishes):]
		var filters packet.Filters
		var asked packet.Requests
		for _, w := range r.wishes {
			w.busy = true
			r.qos = append(r.qos, w.qos)
			filters = filters.Add(w.filter)
			asked = asked.Add(w.filter, w.qos)
		}
		// The filters were checked when they were declared: encoding cannot fail.
		if unsubscribe {
			for _, w := range r.wishes {
				s.unknow(w) // durably, before the server forgets it
			}
			r.packet, _ = packet.AppendUnsubscribe(nil, &packet.Unsubscribe{ID: id, Filters: filters})
		} else {
			r.packet, _ = packet.AppendSubscribe(nil, &packet.Subscribe{ID: id, Requests: asked})
		}
		s.out = append(s.out, r.packet...)
		r.at, r.copies = s.now, 1
		s.pending[id] = r
	}
}

// receiveSuback takes the answer to a SUBSCRIBE, and returns the request with its wishes up to date, or nil if it
// answers nothing.
func (s *session) receiveSuback(a packet.Suback) (*request, error) {
	r, err := s.answered(packet.SUBACK, a.ID)
	if r == nil || err != nil {
		return nil, err
	}
	if len(a.Codes) != len(r.wishes) {
		return nil, violation(packet.SUBACK, "MQTT-3.8.4-5", "%d return codes for %d topic filters", len(a.Codes), len(r.wishes))
	}
	s.closeRequest(a.ID, r)
	for i, w := range r.wishes { // [MQTT-3.9.3-1] in the order of the filters
		w.busy = false
		if a.Codes[i] == packet.SubackFailure {
			w.refused, w.has = true, false
		} else {
			w.refused, w.has, w.hasQoS, w.granted = false, true, int(r.qos[i]), QoS(a.Codes[i])
			s.know(w)
		}
	}
	s.settled()
	return r, nil
}

// receiveUnsuback takes the answer to an UNSUBSCRIBE; the rest is as in receiveSuback.
func (s *session) receiveUnsuback(id uint16) (*request, error) {
	r, err := s.answered(packet.UNSUBACK, id)
	if r == nil || err != nil {
		return nil, err
	}
	s.closeRequest(id, r)
	for _, w := range r.wishes {
		w.busy, w.has = false, false
	}
	s.settled()
	return r, nil
}

// settled goes on after an answer: a wish may have changed while it was busy, and an identifier is free.
func (s *session) settled() {
	s.dirty = true
	s.reconcile()
	s.pump()
}

// answered finds the request that an answer of type t with this identifier belongs to [MQTT-2.3.1-7].
func (s *session) answered(t packet.Type, id uint16) (*request, error) {
	if f := s.flows.get(id); f != nil {
		return nil, violation(t, "MQTT-4.8.0-1", "identifier %d is that of a PUBLISH, want %s", id, s.wanted(f))
	}
	r := s.pending[id]
	if r == nil {
		s.repeated(id)
		return nil, nil
	}
	if r.answer() != t {
		return nil, violation(t, "MQTT-4.8.0-1", "identifier %d is that of %s, want %s", id, r.kind(), r.answer())
	}
	return r, nil
}

// closeRequest frees the identifier of a request, as complete does that of a message.
func (s *session) closeRequest(id uint16, r *request) {
	delete(s.pending, id)
	if r.copies > 1 {
		s.repeats[id] = r.copies - 1
	}
}

// requestsConnected prepares for reconcile: a session that the server kept has the subscriptions that it acknowledged,
// a new one has none.
func (s *session) requestsConnected(present bool) {
	if !present {
		for _, w := range s.wishes {
			w.has, w.refused, w.foreign = false, false, false
			s.unknow(w)
		}
	}
	s.dirty = true
}

// requestsDisconnected ends the requests under way. Whether the server carried them out is not known: a SUBSCRIBE is
// sent again, and so is an UNSUBSCRIBE.
func (s *session) requestsDisconnected() {
	for _, r := range s.pending {
		for _, w := range r.wishes {
			w.busy = false
			w.has, w.hasQoS = true, unsure
		}
	}
	clear(s.pending)
}
