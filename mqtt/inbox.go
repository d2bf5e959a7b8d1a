package mqtt

import "iotwire/mqtt/packet"

// entryCost is what a waiting message counts for in Config.Inbox besides its payload.
const entryCost = 64

// maxRoutes bounds the table of topics.
const maxRoutes = 1024

// routing brings received messages to Subscriptions. The lock of the Client guards it.
type routing struct {
	routes map[string]*route // by topic name; bounded, and made anew when a Subscription comes or goes
	bytes  int               // in all inboxes, and in the hands of message loops
	limit  int
	roomy  chan struct{} // capacity 1: a reader that pauses may go on
}

// route is where the messages of one topic go. It also keeps the topic as a string, so that a message costs none.
type route struct {
	topic string
	subs  []*Subscription
}

// find returns the route of a topic.
func (r *routing) find(topic []byte, wishes []*wish) *route {
	if to := r.routes[string(topic)]; to != nil {
		return to
	}
	to := &route{topic: string(topic)}
	for _, w := range wishes {
		if len(w.subs) > 0 && packet.Match(unshared(w.filter), to.topic) {
			to.subs = append(to.subs, w.subs...)
		}
	}
	if len(r.routes) >= maxRoutes {
		clear(r.routes)
	}
	r.routes[to.topic] = to
	return to
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
	arrival  *arrival
	gen      uint64
}

func (in *inbox) len() int { return len(in.entries) - in.head }

func (in *inbox) add(e entry, payload []byte) {
	e.from = len(in.buf)
	in.buf = append(in.buf, payload...)
	e.to = len(in.buf)
	in.entries = append(in.entries, e)
}

// next takes the first entry.
func (in *inbox) next() (e entry, payload []byte) {
	e = in.entries[in.head]
	in.entries[in.head] = entry{}
	in.head++
	return e, in.buf[e.from:e.to:e.to]
}

// reset empties the inbox.
func (in *inbox) reset() {
	if in.use.outgrown(len(in.buf), cap(in.buf)) || in.use.outgrown(len(in.entries), cap(in.entries)) {
		in.buf, in.entries = nil, nil
	}
	in.entries, in.head, in.buf = in.entries[:0], 0, in.buf[:0]
}

// wear counts how often in a row little of a buffer was needed.
type wear int

// outgrown reports whether a buffer of which used bytes were needed this time is too large for what has been needed of
// late: it grew for a burst that is over.
func (w *wear) outgrown(used, capacity int) bool {
	const small, often = 1 << 10, 256
	if capacity <= small || used >= capacity/4 {
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

// putBack puts the entries of b before those of in.
func (in *inbox) putBack(b *inbox) {
	var all inbox
	for _, from := range []*inbox{b, in} {
		for from.len() > 0 {
			e, payload := from.next()
			all.add(e, payload)
		}
	}
	*in = all
}
