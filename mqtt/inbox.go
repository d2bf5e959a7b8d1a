package mqtt

import (
	"slices"

	"iotwire/mqtt/packet"
)

// entryCost is what a waiting message counts for in Config.Inbox besides its payload.
const entryCost = 64

// maxRoutes bounds the table of topics.
const maxRoutes = 1024

// routing brings received messages to Subscriptions. The lock of the Client guards it.
type routing struct {
	routes map[string]*route // by topic name; bounded, and made anew when a Subscription comes or goes
	last   *route            // the one that was found last: a message often has the topic of the one before
	bytes  int               // in all inboxes, and in the hands of message loops
	limit  int
	roomy  chan struct{} // capacity 1: a reader that pauses may go on; made when one does
}

// route is where the messages of one topic go. It also keeps the topic as a string, so that a message costs none.
type route struct {
	topic string
	subs  []*Subscription
}

// find returns the route of a topic.
func (r *routing) find(topic []byte, wishes []*wish) *route {
	if r.last != nil && r.last.topic == string(topic) {
		return r.last
	}
	if to := r.routes[string(topic)]; to != nil {
		r.last = to
		return to
	}
	to := &route{topic: string(topic)}
	for _, w := range wishes {
		if len(w.subs) == 0 || !packet.Match(unshared(w.filter), to.topic) {
			continue
		}
		for _, s := range w.subs {
			if !slices.Contains(to.subs, s) { // it may have several filters
				to.subs = append(to.subs, s)
			}
		}
	}
	if len(r.routes) >= maxRoutes {
		clear(r.routes)
	}
	r.routes[to.topic] = to
	r.last = to
	return to
}

// forget makes find look at the wishes again.
func (r *routing) forget() {
	clear(r.routes)
	r.last = nil
}

// fits reports whether size more bytes may wait. One message always may.
func (r *routing) fits(size int) bool { return r.bytes == 0 || r.bytes+size <= r.limit }

// mayGoOn lets a reader that pauses look again.
func (r *routing) mayGoOn() {
	select {
	case r.roomy <- struct{}{}:
	default:
	}
}

// inbox holds the messages that wait for the loops of one Subscription: entries in order, payloads in one buffer.
type inbox struct {
	entries []entry
	head    int // entries before it were taken
	buf     []byte
	use     wear
}

// entry is one message that waits.
type entry struct {
	topic    string
	from, to int // payload in buf
	qos      QoS
	retain   bool
	dup      bool
	id       uint16
	arrival  *arrival
	gen      uint64
}

func (in *inbox) len() int { return len(in.entries) - in.head }

// add adds an entry, to be filled in, for a message with this payload.
func (in *inbox) add(payload []byte) *entry {
	if in.head > 64 && in.head > len(in.entries)/2 {
		in.compact()
	}
	from := len(in.buf)
	in.buf = append(in.buf, payload...)
	in.entries = append(in.entries, entry{from: from, to: len(in.buf)})
	return &in.entries[len(in.entries)-1]
}

// addCopy adds an entry like e.
func (in *inbox) addCopy(e *entry, payload []byte) {
	to := in.add(payload)
	from, end := to.from, to.to
	*to = *e
	to.from, to.to = from, end
}

// compact gives up the room of the entries that were taken.
func (in *inbox) compact() {
	start := len(in.buf)
	if in.len() > 0 {
		start = in.entries[in.head].from
	}
	in.buf = in.buf[:copy(in.buf, in.buf[start:])]
	left := copy(in.entries, in.entries[in.head:])
	clear(in.entries[left:])
	in.entries, in.head = in.entries[:left], 0
	for i := range in.entries {
		in.entries[i].from -= start
		in.entries[i].to -= start
	}
}

// next takes the first entry. It and its payload are good until something is added, or the inbox is reset.
func (in *inbox) next() (e *entry, payload []byte) {
	e = &in.entries[in.head]
	in.head++
	return e, in.buf[e.from:e.to:e.to]
}

// reset empties the inbox.
func (in *inbox) reset() {
	if in.use.outgrown(len(in.buf), cap(in.buf)) || in.use.outgrown(len(in.entries), cap(in.entries)) {
		in.buf, in.entries = nil, nil
	}
	clear(in.entries) // of pointers
	in.entries, in.head, in.buf = in.entries[:0], 0, in.buf[:0]
}

// wear counts how often in a row little of a buffer was needed, or of several that take turns.
type wear int

// outgrown reports whether a buffer of which used bytes were needed this time is too large for what has been needed of
// late: it grew for a burst that is over.
func (w *wear) outgrown(used, capacity int) bool {
	const small, often = 1 << 10, 256
	if capacity <= small { // which says nothing of another that takes turns with it
		return false
	}
	if used >= capacity/4 {
		*w = 0
		return false
	}
	if *w++; *w < often {
		return false
	}
	*w = 0
	return true
}

// cost is what the waiting entries count for.
func (in *inbox) cost() (n int) {
	for _, e := range in.entries[in.head:] {
		n += e.to - e.from + entryCost
	}
	return n
}

// dropQoS2 drops the entries of QoS 2.
func (in *inbox) dropQoS2() {
	var all inbox
	for in.len() > 0 {
		if e, payload := in.next(); e.qos != QoS2 {
			all.addCopy(e, payload)
		}
	}
	*in = all
}

// putBack puts the entries of b before those of in.
func (in *inbox) putBack(b *inbox) {
	var all inbox
	for _, from := range []*inbox{b, in} {
		for from.len() > 0 {
			e, payload := from.next()
			all.addCopy(e, payload)
		}
	}
	*in = all
}
