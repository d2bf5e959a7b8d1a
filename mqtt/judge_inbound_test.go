package mqtt

import (
	"iotwire/internal/testbroker"
	"iotwire/mqtt/packet"
)

// inboundRules is what judge knows of the messages to the client beyond what each by itself must do: their order, those
// with equal payloads, which can only be counted, and the subscription that brings them.
type inboundRules struct {
	arrivals int              // PUBLISH packets that came to the client
	arrived  map[string][]int // by payload: when, in this life
	shown    map[int]int      // the latest of them that the program has got, by Subscription

	using    map[uint16]*equalMessage // the server's identifiers of messages with equal payloads
	sentNew  int                      // such messages that the server sent
	redeemed int                      // and of them, that may come again to a later process
	gotEqual int                      // that the program got
	retEqual int                      // that it was done with
	ackEqual int                      // that were answered

	present  bool // CONNACK of this connection said session present 1
	acted    bool // the client has sent a packet after CONNECT: it knows what CONNACK said
	granting bool // SUBACK for "in" came on this connection
	knows    bool // the client has read it, and there was no doubt of the session since then
}

// equal is the payload of QoS 2 messages that are all the same.
const equal = "equal"

type equalMessage struct{ answered bool }

func newInboundRules() inboundRules {
	return inboundRules{arrived: map[string][]int{}, shown: map[int]int{}, using: map[uint16]*equalMessage{}}
}

// dialed says that the client begins a connection. If nothing showed that it has read the CONNACK of the one before, it
// cannot be sure of its session.
func (j *judge) dialed() {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.dials++
	j.knows = j.knows && j.acted
	j.acted = false
}

// came notes a PUBLISH that comes to the client.
func (j *judge) came(payload string) {
	j.arrivals++
	j.arrived[payload] = append(j.arrived[payload], j.arrivals)
}

// inOrder judges that the program gets the messages of a Subscription in the order in which they came.
func (j *judge) inOrder(n int, payload string) {
	for _, at := range j.arrived[payload] {
		if at > j.shown[n] {
			j.shown[n] = at
			return
		}
	}
	j.failf("%s: delivered out of order", payload) // rule 24
}

// serverUses follows which identifiers the server uses for messages with equal payloads.
func (j *judge) serverUses(e testbroker.Event) {
	switch {
	case e.Kind == testbroker.Sent && e.Header.Type == packet.PUBLISH:
		if p, _ := packet.ParsePublish(e.Header.Flags, e.Body); string(p.Payload) == equal && j.using[p.ID] == nil {
			j.using[p.ID] = &equalMessage{}
			j.sentNew++
		}
	case e.Kind == testbroker.Received && e.Header.Type == packet.PUBCOMP:
		delete(j.using, identifierOf(e))
	}
}

// deliveredEqual judges that no message is delivered twice: they can only be counted.
func (j *judge) deliveredEqual() {
	j.gotEqual++
	if j.gotEqual > j.sentNew+j.redeemed { // rule 20
		j.failf("%d messages with equal payloads were delivered, and only %d sent, %d again", j.gotEqual, j.sentNew, j.redeemed)
	}
}

// answeredEqual judges that none is answered that the program has not got.
func (j *judge) answeredEqual(id uint16, dup bool) {
	m := j.using[id]
	if m == nil || m.answered {
		return
	}
	m.answered = true
	j.ackEqual++
	if j.blind == j.epoch && dup { // the client may take it for one of the session before
		j.retEqual++
	}
	if j.ackEqual > j.retEqual { // rules 10 and 20
		j.failf("message %d was answered, and swallowed: the program was done with %d of that payload, and %d are answered", id, j.retEqual, j.ackEqual)
	}
}

// crashedInbound says that a process died: what is not at its end at the server comes again, and what the program got
// may be answered, if there is a store, without getting it again.
func (j *judge) crashedInbound(durable bool) {
	if !j.clean {
		j.redeemed += len(j.using)
	}
	if !durable {
		j.retEqual = j.ackEqual
	}
	j.arrivals, j.knows, j.acted = 0, false, false
	clear(j.arrived)
	clear(j.shown)
}

// odd reports whether an odd number of messages with equal payloads was delivered.
func (j *judge) odd() bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.gotEqual%2 == 1
}
