package mqtt

import (
	"cmp"
	"fmt"
	"slices"

	"iotwire/mqtt/packet"
)

// The kinds of record of a durable session. What the session cannot do without is in the key, with no data, so that a
// store that is full of messages has room for it.
const (
	kindMessage    Kind = 1 + iota // N is its seq; a byte that is 1 if it may have been sent when it was stored, then the PUBLISH
	kindSent                       // N is a seq: messages up to it may have been sent
	kindReleased                   // N is the seq of the PUBREC, which gives the order, and the identifier
	kindReceived                   // N is the sum and the identifier of a QoS 2 message that is ours
	kindSubscribed                 // N is a number of its own; the QoS asked for, then the topic filter
	kindConnecting                 // one record, N is 0: CONNECT may have been sent, and what CONNACK said was not yet noted
	kindGivenUp                    // N is the identifier of a QoS 2 message that was given up: see giveUp
)

// lazyDeletes is how many deletes may wait for a Put that needs to be made anyway.
const lazyDeletes = 256

// journal is what a durable session has to tell its store. What is appended to out behind a record waits until the
// record is durable: a PUBREL for its "released", a PUBREC for its "received". Deletes wait for the next Put, except
// those that a crash must not undo: they hold out like a record.
type journal struct {
	durable bool

	records []Record
	extras  []Record // that the session can do without
	deletes []Key
	mark    uint64 // N of the record of kindSent
	barrier bool   // the deletes have to be durable too
	busy    bool   // records of earlier calls are being stored
	asked   bool   // CONNECT may have been sent, and no CONNACK came: see connecting
	doubt   bool   // so the server's session may not be the one that we know
	broken  bool   // the store failed: what is held is held for ever

	cleared uint64 // position in the stream up to which nothing is held
	started int    // commits that were begun, and that ended
	ended   int
}

// holds reports whether what is appended to out now has to wait.
func (j *journal) holds() bool { return j.broken || j.barrier || j.busy || len(j.records) > 0 }

// before makes what comes behind position wait for what is added now.
func (j *journal) before(position uint64) {
	if !j.holds() {
		j.cleared = position
	}
	j.barrier = true
}

// put adds a record.
func (s *session) put(k Key) {
	if s.durable {
		s.note(k)
	}
}

//go:noinline
func (s *session) note(k Key) {
	s.journal.before(s.position())
	s.records = append(s.records, Record{Key: k})
}

// pair makes one number of a number of up to 48 bits and an identifier.
func pair(n uint64, id uint16) uint64 { return n<<16 | uint64(id) }

// remove deletes a record, durably.
func (s *session) remove(k Key) {
	if s.durable {
		s.journal.before(s.position())
		s.removeLater(k)
	}
}

// removeLater deletes a record; after a crash it may be there again. One that is not yet stored will not be: commit
// deletes before it puts.
func (s *session) removeLater(k Key) {
	pending := func(r Record) bool { return r.Key == k }
	s.records = slices.DeleteFunc(s.records, pending)
	s.extras = slices.DeleteFunc(s.extras, pending)
	s.deletes = append(s.deletes, k)
}

// keep gives a message its identifier and a place in the store; it is accepted when stored says that it is durable.
func (s *session) keep(f *flow) {
	s.seq++
	f.seq = s.seq
	s.identify(f) // New has made sure that there are enough
	s.storing.push(f)
}

// giveUp keeps the identifier of a QoS 2 message that ends though the server may have it, and wait for its PUBREL: what
// came under that identifier would be taken for a repetition.
func (s *session) giveUp(id uint16) {
	s.givenUp[id] = true
	s.put(Key{kindGivenUp, uint64(id)})
}

// loseGivenUp frees the identifiers that were kept: the server has forgotten the session.
func (s *session) loseGivenUp() {
	for id := range s.givenUp {
		s.remove(Key{kindGivenUp, uint64(id)})
	}
	clear(s.givenUp)
}

// record is the record of a message.
func (s *session) record(f *flow) Record {
	sent := byte(0)
	if s.online {
		sent = 1
	}
	return Record{Key{kindMessage, f.seq}, append([]byte{sent}, f.packet...)}
}

// stored says that the record of f is durable, or why it is not.
func (s *session) stored(f *flow, err error) {
	f.remove()
	if err != nil {
		s.bytes -= f.size
		s.flows.delete(f.id)
		return
	}
	s.queue.push(f)
	s.pump()
}

// forget removes the records of a flow that has ended.
func (s *session) forget(f *flow) {
	if !s.durable || f.seq == 0 {
		return
	}
	if f.in == &s.released {
		s.removeLater(Key{kindReleased, pair(f.seq, f.id)})
	} else {
		s.removeLater(Key{kindMessage, f.seq})
	}
}

// release notes that PUBREC came: from now on only the identifier is needed, and the order.
func (s *session) release(f *flow) {
	if s.durable {
		s.removeLater(Key{kindMessage, f.seq})
		s.seq++
		f.seq = s.seq
		s.put(Key{kindReleased, pair(f.seq, f.id)})
	}
	f.packet = f.packet[:0]
}

// connecting notes that CONNECT is about to be sent. If its CONNACK does not come, or the process dies before it has
// noted what CONNACK said, the server may have lost the session and begun another, and the next CONNACK says session
// present 1 of that one. So the session is in doubt: the client subscribes again, and takes a QoS 2 PUBLISH with DUP 0
// for new, since a repetition would have DUP 1. That a QoS 2 message of its own goes out again, into a session that
// does not know it, is what is left of the risk.
func (s *session) connecting() {
	if s.asked {
		s.doubt = true
		for _, w := range s.wishes {
			if w.has {
				w.hasQoS = unsure
				s.unknow(w)
			}
		}
		s.dispel()
	}
	s.asked = true
	s.put(Key{kindConnecting, 0})
}

// dispel ends the doubt when no identifier is left that it is about.
func (s *session) dispel() {
	if len(s.received) == 0 {
		s.doubt = false
	}
}

// journalConnected notes what CONNACK said and, before any of them is sent, that the messages accepted so far may be:
// after a crash they go out with DUP 1.
func (s *session) journalConnected(present bool) {
	s.asked = false
	s.doubt = s.doubt && present
	if !s.durable {
		return
	}
	if present {
		s.removeLater(Key{kindConnecting, 0})
	} else {
		s.remove(Key{kindConnecting, 0})
	}
	if s.storing.n+s.queue.n > 0 && s.mark != s.seq {
		s.removeLater(Key{kindSent, s.mark})
		s.mark = s.seq
		s.put(Key{kindSent, s.mark})
	}
}

// know notes that the server's session has a subscription, and unknow that it may not. A crash may undo the first: it
// costs a SUBSCRIBE too many.
func (s *session) know(w *wish) {
	if s.durable && !w.known {
		if w.key == 0 {
			s.seq++
			w.key = s.seq
		}
		w.known = true
		s.extras = append(s.extras, Record{Key{kindSubscribed, w.key}, append([]byte{byte(w.hasQoS)}, w.filter...)})
	}
}

func (s *session) unknow(w *wish) {
	if w.known {
		w.known = false
		s.remove(Key{kindSubscribed, w.key})
	}
}

// load brings back the session that an earlier process left in the store. Damage is told and skipped.
func (s *session) load(store Store, damaged func(error)) error {
	for r, err := range store.All() {
		if err == nil {
			err = s.loadRecord(r)
		}
		if err != nil {
			damaged(fmt.Errorf("store: record %d/%d: %w", r.Key.Kind, r.Key.N, err))
		}
	}
	sorted := func(l *flowList) {
		var all []*flow
		for f := l.head; f != nil; f = l.head {
			f.remove()
			all = append(all, f)
		}
		slices.SortFunc(all, func(a, b *flow) int { return cmp.Compare(a.seq, b.seq) })
		for _, f := range all {
			l.push(f)
		}
	}
	sorted(&s.queue)
	sorted(&s.released)
	for f := s.queue.head; f != nil; f = f.next {
		f.written = f.written || f.seq <= s.mark
		f.left = f.written
	}
	return nil
}

// outlive drops what an older record says of an identifier. It was to be deleted: an identifier gets a new meaning only
// when the old one has ended.
func (s *session) outlive(id uint16) {
	if old := s.flows.get(id); old != nil {
		s.forget(old)
		if old.in == &s.queue {
			s.bytes -= old.size
		}
		old.remove()
		s.flows.delete(id)
	}
}

// notUnderstood is the error for a record of another version, or of none.
//
//go:noinline
func notUnderstood(r Record) error {
	return fmt.Errorf("%d bytes that this version does not understand", len(r.Data))
}

func (s *session) loadRecord(r Record) error {
	id := uint16(r.Key.N)
	switch r.Key.Kind {
	case kindMessage:
		s.seq = max(s.seq, r.Key.N)
		if len(r.Data) < 2 {
			return notUnderstood(r)
		}
		h, n, err := packet.ParseHeader(r.Data[1:])
		if err != nil || n == 0 || 1+n+h.Len != len(r.Data) {
			return notUnderstood(r)
		}
		p, err := packet.ParsePublish(h.Flags, r.Data[1+n:])
		if err != nil || p.ID == 0 {
			return notUnderstood(r)
		}
		s.outlive(p.ID)
		f := newFlow()
		f.qos, f.id, f.seq, f.packet, f.written, f.resumed = p.QoS, p.ID, r.Key.N, r.Data[1:], r.Data[0] != 0, true
		f.size = len(f.packet)
		f.idAt = len(f.packet) - len(p.Payload) - 2
		s.flows.set(f.id, f)
		s.bytes += f.size
		s.queue.push(f)
	case kindReleased:
		s.seq = max(s.seq, r.Key.N>>16)
		if old := s.flows.get(id); old != nil && old.seq > r.Key.N>>16 {
			s.removeLater(r.Key)
			return nil
		}
		s.outlive(id)
		f := newFlow()
		f.qos, f.id, f.seq, f.written, f.resumed = QoS2, id, r.Key.N>>16, true, true
		s.flows.set(id, f)
		s.released.push(f)
	case kindSent:
		s.seq = max(s.seq, r.Key.N)
		s.mark = max(s.mark, r.Key.N)
	case kindConnecting:
		s.asked = true
	case kindReceived:
		s.received[id] = receipt{sum: uint32(r.Key.N >> 16)}
	case kindGivenUp:
		s.givenUp[id] = true
	case kindSubscribed:
		s.seq = max(s.seq, r.Key.N)
		if len(r.Data) < 2 || packet.ValidFilter(string(r.Data[1:])) != nil {
			return notUnderstood(r)
		}
		s.wishes = append(s.wishes, &wish{filter: string(r.Data[1:]), has: true, hasQoS: int(r.Data[0]), foreign: true, key: r.Key.N, known: true})
	default:
		return notUnderstood(r)
	}
	return nil
}
