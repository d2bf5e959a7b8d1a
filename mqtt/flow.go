package mqtt

import "time"

// flow is one outbound message of QoS 1 or 2 on its way through the session, from Publish or Submit to its end. Those of
// QoS 0 are in a stream.
//
// Flows are used again, so that a message costs no memory of its own: a Delivery names its flow by pointer and
// generation, and only a flow that ended well is used again. A Delivery of an older generation has thus been delivered.
type flow struct {
	prev, next *flow
	in         *flowList // the list that it is in: it says how far the flow has come

	qos      QoS
	written  bool // a byte of it may have left on an earlier connection of this session: DUP is 1
	left     bool // a byte of it may have left, ever
	finished bool
	owned    bool   // a Publish waits on signal and will free the flow
	resumed  bool   // an earlier client accepted it
	id       uint16 // 0 until it is in flight
	size     int    // bytes that the queue counts for it
	start    uint64 // position of its first copy in the connection's stream: a later one, not yet written, must not hide it

	packet []byte // the PUBLISH as it stands on the wire; empty once PUBREC came
	idAt   int    // where in packet the identifier stands
	gen    uint64
	signal chan struct{} // capacity 1, kept across generations
	done   chan struct{} // for Delivery.Done; made when asked for
	err    error         // why it failed; nil: delivered

	conn     int           // the connection on which it was sent last
	at       time.Duration // when
	copies   int           // how many answers may come on that connection: one for each PUBLISH and each repeated PUBREL
	releases int           // how many PUBRELs were sent on it for want of PUBCOMP
	deaths   int           // connections that ended while it was the only message in flight

	seq    uint64     // names its records in the store
	stored chan error // capacity 1: nil when it is in the store, or why it is not
}

// flowList is a list of flows in order, from which any can be taken out. A flow is in one list at most.
type flowList struct {
	head, tail *flow
	n          int
}

func (l *flowList) push(f *flow) {
	f.in, f.prev, f.next = l, l.tail, nil
	if l.tail == nil {
		l.head = f
	} else {
		l.tail.next = f
	}
	l.tail = f
	l.n++
}

func (l *flowList) pushFront(f *flow) {
	f.in, f.prev, f.next = l, nil, l.head
	if l.head == nil {
		l.tail = f
	} else {
		l.head.prev = f
	}
	l.head = f
	l.n++
}

// remove takes f out of the list that it is in, if any.
func (f *flow) remove() {
	l := f.in
	if l == nil {
		return
	}
	if f.prev == nil {
		l.head = f.next
	} else {
		f.prev.next = f.next
	}
	if f.next == nil {
		l.tail = f.prev
	} else {
		f.next.prev = f.prev
	}
	l.n--
	f.in, f.prev, f.next = nil, nil, nil
}

func newFlow() *flow { return &flow{signal: make(chan struct{}, 1)} }
