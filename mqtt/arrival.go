package mqtt

import (
	"slices"

	"iotwire/mqtt/packet"
)

// inbound is the receiver's half of the session: which messages have come and are not yet acknowledged, and in which
// order the acknowledgements have to leave.
type inbound struct {
	arrivals identifiers[*arrival] // not yet acknowledged; of this connection, and of earlier ones of this session
	order    []answer              // answers that this connection owes, in the order of arrival; from first
	first    int
	copies   int                // how many of order are for copies of a message that came before
	conn     int                // counts connections
	received map[uint16]receipt // QoS 2: PUBREC was sent, PUBREL has not come
	spare    []*arrival
}

// receipt is what is kept of a QoS 2 message after PUBREC.
type receipt struct {
	sum  uint32 // as in arrival
	conn int    // the connection on which PUBREC was sent last; 0 is none of this process
}

// arrival is a QoS 1 or 2 message that came and is not yet acknowledged. Arrivals are used again: see gen.
type arrival struct {
	id    uint16
	qos   QoS
	sum   uint32 // of topic, identifier and payload
	conn  int    // the connection on which it came last
	acked bool   // the program is done with it
	lost  bool   // the server has forgotten the session: no acknowledgement can leave
	held  bool   // counted in Stats.Held: Hold was called, Ack was not
	owed  int    // how many entries of order are for it

	whole *arrival // not nil for one of several copies, one for each Subscription that matches
	parts int      // of a whole: copies that are not acknowledged

	gen uint64
}

// answer is a PUBACK or PUBREC that is owed. It can leave once a is acknowledged, at once if a is nil.
type answer struct {
	id   uint16
	qos  QoS
	sum  uint32
	a    *arrival
	copy bool // not the first of the message
}

// arrive takes a PUBLISH of QoS 1 or 2. It returns the arrival that the program is to acknowledge, or nil if this is
// no new message: then it is answered, now or when the one that it repeats is.
func (s *session) arrive(id uint16, qos QoS, dup bool, sum uint32) (*arrival, error) {
	if again, err := s.again(id, qos, dup, sum); again || err != nil {
		if err == nil { // PUBREC again, and in order [MQTT-4.6.0-3]
			s.owe(answer{id, qos, sum, nil, true})
			s.answer()
		}
		return nil, err
	}
	a := s.arrivals.get(id)
	if a != nil {
		same := a.qos == qos && a.sum == sum
		if a.conn == s.conn && !same {
			return nil, violation(packet.PUBLISH, "MQTT-2.3.1-4", "identifier %d is in use by another message that is not yet acknowledged", id)
		}
		if same {
			// The same message again: on this connection, or after a reconnect into the same session. The program has it
			// or will have it; each copy is answered, in the order in which the copies came.
			a.conn = s.conn
			a.owed++
			s.owe(answer{id, qos, sum, a, a.owed > 1})
			s.answer()
			return nil, nil
		}
		a.lost = true // of an earlier connection, and the server has given its identifier to another message
	}
	s.forgive(id)
	a = s.newArrival(id, qos, sum)
	s.arrivals.set(id, a)
	a.owed = 1
	s.owe(answer{id, qos, sum, a, false})
	return a, nil
}

// again reports whether a PUBLISH repeats a QoS 2 message that is ours already: until PUBREL there is no second delivery
// of its identifier [MQTT-4.3.3-2]. A server that has lost the session, and this client does not know it yet, may give
// the identifier to another message; that one has other content, or if there is doubt of the session, DUP 0.
func (s *session) again(id uint16, qos QoS, dup bool, sum uint32) (bool, error) {
	r, ok := s.received[id]
	switch {
	case !ok:
		return false, nil
	case qos == QoS2 && r.sum == sum && (dup || !s.doubt):
		return true, nil
	case r.conn == s.conn:
		return false, violation(packet.PUBLISH, "MQTT-2.3.1-4", "identifier %d is in use by a QoS 2 message that is not yet released", id)
	}
	s.unreceive(id)
	return false, nil
}

// skips reports whether a PUBLISH that skip is for repeats one that is ours already: see again. No other may have its identifier.
func (s *session) skips(id uint16, qos QoS, dup bool, sum uint32) (again bool, err error) {
	if a := s.arrivals.get(id); a != nil && a.conn == s.conn {
		return false, violation(packet.PUBLISH, "MQTT-2.3.1-4", "identifier %d is in use by another message that is not yet acknowledged", id)
	}
	return s.again(id, qos, dup, sum)
}

// skip answers a PUBLISH that the program does not get: too large.
func (s *session) skip(id uint16, qos QoS, sum uint32, again bool) {
	s.owe(answer{id, qos, sum, nil, again})
	s.answer()
}

// acknowledge says that the program is done with an arrival.
func (s *session) acknowledge(a *arrival) error {
	if w := a.whole; w != nil {
		a.acked, a.whole, a.lost = true, nil, w.lost
		if w.parts--; w.parts == 0 {
			return s.acknowledge(w)
		}
	}
	if a.lost {
		return ErrSessionLost
	}
	if a.acked {
		return nil
	}
	a.acked = true
	if a.owed > 0 {
		s.answer()
	} else if a.qos == QoS2 {
		s.remember(a)
	}
	return nil
}

func (s *session) owe(w answer) {
	if s.first > 64 && s.first > len(s.order)/2 {
		s.order = s.order[:copy(s.order, s.order[s.first:])]
		s.first = 0
	}
	s.order = append(s.order, w)
	if w.copy {
		s.copies++
	}
}

// forgive drops the answers that are still owed to copies of a message whose first answer has left. The server is done
// with that message: it would take them for answers to a newer one of the same identifier.
func (s *session) forgive(id uint16) {
	for i := s.first; s.copies > 0 && i < len(s.order); {
		w := s.order[i]
		if w.id != id || !w.copy {
			i++
			continue
		}
		s.order = slices.Delete(s.order, i, i+1)
		s.copies--
		if a := w.a; a != nil {
			if a.owed--; a.owed == 0 {
				s.free(a)
			}
		}
	}
}

// answer sends what is owed, as far as the order of arrival allows [MQTT-4.6.0-2] [MQTT-4.6.0-3].
func (s *session) answer() {
	for s.online && s.first < len(s.order) {
		w := s.order[s.first]
		if w.a != nil && !w.a.acked {
			return
		}
		s.order[s.first].a = nil
		s.first++
		if w.copy {
			s.copies--
		}
		if w.qos == QoS1 {
			s.out, _ = packet.AppendPuback(s.out, &packet.Puback{ID: w.id}) // [MQTT-4.3.2-2]
		} else {
			s.receive(w.id, w.sum)
			s.out, _ = packet.AppendPubrec(s.out, &packet.Pubrec{ID: w.id}) // [MQTT-4.3.3-2]
		}
		s.ackDebt += 4
		if a := w.a; a != nil {
			a.owed--
			if s.arrivals.get(w.id) == a { // the identifier is that of a new message from now on, whatever its DUP says
				s.arrivals.delete(w.id)
			}
			if a.owed == 0 {
				s.free(a)
			}
		}
	}
	if s.first == len(s.order) {
		s.order, s.first = s.order[:0], 0
	}
}

// receivePubrel answers a PUBREL, also one of an identifier that is not known [MQTT-4.3.3-2].
func (s *session) receivePubrel(id uint16) error {
	if a := s.arrivals.get(id); a != nil && a.qos == QoS2 && a.conn == s.conn {
		return violation(packet.PUBREL, "MQTT-4.3.3-1", "identifier %d: no PUBREC was sent, so no PUBREL may come", id)
	}
	s.unreceive(id)
	s.dispel()
	s.forgive(id)
	s.out, _ = packet.AppendPubcomp(s.out, &packet.Pubcomp{ID: id})
	s.ackDebt += 4
	return nil
}

// remember keeps the identifier of a QoS 2 message that the program is done with while no connection can be told: when
// the server sends it again, it gets its PUBREC.
func (s *session) remember(a *arrival) {
	s.receive(a.id, a.sum)
	s.received[a.id] = receipt{sum: a.sum} // no PUBREC was sent
	s.arrivals.delete(a.id)
	s.free(a)
}

// receive adds an identifier to the QoS 2 messages that are ours.
func (s *session) receive(id uint16, sum uint32) {
	if r, ok := s.received[id]; !ok || r.sum != sum {
		s.unreceive(id)
		s.put(Key{kindReceived, pair(uint64(sum), id)})
	}
	s.received[id] = receipt{sum, s.conn}
}

// unreceive removes one: durably, or after a crash a new message of this identifier would be taken for this one.
func (s *session) unreceive(id uint16) {
	if r, ok := s.received[id]; ok {
		delete(s.received, id)
		s.remove(Key{kindReceived, pair(uint64(r.sum), id)})
	}
}

// disconnectedInbound ends what belongs to the connection: the order of answers. The server will send again what it
// has no answer to [MQTT-4.4.0-1], and it is recognized then.
func (s *session) disconnectedInbound() {
	clear(s.order)
	s.order, s.first, s.copies = s.order[:0], 0, 0
	for _, a := range s.arrivals.all() {
		a.owed = 0
		if a.acked && a.qos == QoS2 {
			s.remember(a)
		}
	}
}

// loseInbound forgets all identifiers, before the first packet of the new session is read: one that the server uses
// again is that of a new message.
func (s *session) loseInbound() {
	for _, a := range s.arrivals.all() {
		a.lost = true
	}
	s.arrivals.clear()
	for id := range s.received {
		s.unreceive(id)
	}
}

func (in *inbound) newArrival(id uint16, qos QoS, sum uint32) *arrival {
	var a *arrival
	if n := len(in.spare); n > 0 {
		a = in.spare[n-1]
		in.spare = in.spare[:n-1]
	} else {
		a = new(arrival)
	}
	*a = arrival{id: id, qos: qos, sum: sum, conn: in.conn, gen: a.gen}
	return a
}

// free lets an acknowledged arrival be used again. One that was lost is not: Ack has to say so for ever.
func (in *inbound) free(a *arrival) {
	a.gen++
	if len(in.spare) < 1024 {
		in.spare = append(in.spare, a)
	}
}
