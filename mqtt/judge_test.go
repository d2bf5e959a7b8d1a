package mqtt

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"iotwire/internal/testbroker"
	"iotwire/mqtt/packet"
)

// judge watches a client and the packets that its broker sees, and knows the rules of delivery. It shares nothing with
// the session that it judges. All payloads are different, so that each names its message, but for one: see inboundRules.
type judge struct {
	inboundRules
	subscriptionRules
	rejectionRules

	mu      sync.Mutex
	resends bool // Config.Resend is on
	relayed bool // a relay stands between client and broker, and changes what either gets: see relay
	durable bool // there is a store
	clean   bool // the session ends with its connection
	faulty  bool // and it has failed
	failed  error
	lines   []string

	// What the client was told to send.
	sent  map[string]*outbound
	order int // messages accepted

	// What the broker has of it: its side of the session.
	holding map[uint16]bool   // QoS 2 identifiers for which no PUBREL came
	stale   map[uint16]bool   // of the held ones: of a process that died without a store
	byID    map[uint16]string // the latest message under each identifier, in this session
	owned   map[string]int    // how often the broker took a message as new
	takenIn map[string][2]int // in which life and epoch it did so last

	// What the client has sent.
	sightings map[string]*sighting // PUBLISH packets of this session
	current   map[uint16]*sighting // the latest under each identifier
	written   map[string]bool      // at QoS 0

	// The connection, as the client has it.
	connection uint64
	dead       uint64 // the latest connection that ended because the broker lost the session
	acked      bool   // CONNACK came
	over       bool   // DISCONNECT came
	latest     int    // acceptance number of the latest first copy of a PUBLISH
	pubrecs    []uint16
	owes       []owed // PUBLISHes sent to the client, not yet answered; in order

	// What the broker sends.
	routed  map[string]*inboundMessage
	life    int
	epoch   int    // sessions lost
	serving uint64 // the connection that was accepted last
	begun   uint64 // the connection that began this session, until the client shows that it knows
	blind   int    // the epoch of which the client may not know that it began
}

type outbound struct {
	topic      string
	qos        QoS
	number     int // order of acceptance; 0: not accepted
	life       int
	connection uint64 // the latest one when it was submitted
	dials      uint64 // how many connections had been begun then
	delivery   Delivery
	outcome    error
	told       bool // outcome is known
	crashed    bool // accepted by a process that was killed: the next one owes it, if it has a store
	forgiven   bool // the process died without a store
	waiting    bool // Publish has not returned: it may not be accepted yet
}

type sighting struct {
	id        uint16
	body      string
	released  bool
	completed bool
}

type owed struct {
	id      uint16
	qos     QoS
	payload string
	dup     bool
	granted bool // SUBACK came before it
}

type inboundMessage struct {
	epoch, life int
	counted     bool           // the session had its subscription when it was routed
	subs        []int          // the Subscriptions that were open then, and match
	delivered   map[[3]int]int // how often, by Subscription, life and epoch
	times       map[int]int    // how often, by Subscription
	returned    map[int]bool   // the program is done with it, by Subscription
	recced      bool           // PUBREC was sent
}

func newJudge() *judge {
	return &judge{
		inboundRules:      newInboundRules(),
		subscriptionRules: newSubscriptionRules(),
		rejectionRules:    rejectionRules{poisoned: map[uint64]bool{}},

		sent:      map[string]*outbound{},
		holding:   map[uint16]bool{},
		stale:     map[uint16]bool{},
		byID:      map[uint16]string{},
		owned:     map[string]int{},
		takenIn:   map[string][2]int{},
		sightings: map[string]*sighting{},
		current:   map[uint16]*sighting{},
		written:   map[string]bool{},
		routed:    map[string]*inboundMessage{},
	}
}

func (j *judge) failf(format string, args ...any) {
	if j.failed == nil {
		j.failed = fmt.Errorf(format, args...)
	}
}

func (j *judge) fail(format string, args ...any) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.failf(format, args...)
}

func (j *judge) failure() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	for payload, m := range j.sent {
		j.look(payload, m)
	}
	return j.failed
}

func (j *judge) note(format string, args ...any) {
	j.lines = append(j.lines, fmt.Sprintf("%9.3f ", time.Since(time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)).Seconds())+fmt.Sprintf(format, args...))
}

func (j *judge) log() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return strings.Join(j.lines[max(0, len(j.lines)-200):], "\n")
}

// newLife says that a client starts.
func (j *judge) newLife() {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.life++
	j.faulty = false
	j.note("life %d", j.life)
}

// crashed says that the process was killed. What it had not been told is now for the next one to do.
func (j *judge) crashed(durable bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.note("crash")
	j.crashedInbound(durable)
	j.crashedSubscriptions()
	if !durable { // the next process cannot know these
		for id := range j.holding {
			j.stale[id] = true
		}
	}
	for payload, m := range j.sent {
		j.look(payload, m)
		if !m.told {
			m.crashed = true
			unheard := m.delivery.f == nil && j.suspicious(m) // it may have been rejected when Publish no longer waited
			m.forgiven = m.forgiven || !durable || m.qos == 0 || m.waiting || unheard
		}
	}
}

func (j *judge) restarting(keep bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.note("restart, keep %v", keep)
	if !keep {
		j.dead = j.connection
		j.lost()
	}
}

// lost says that the broker has lost the session.
func (j *judge) lost() {
	j.epoch++
	clear(j.has)
	clear(j.holding)
	clear(j.stale)
	clear(j.byID)
	clear(j.sightings)
	clear(j.current)
	clear(j.using)
	j.knows = false
}

func (j *judge) routing(topic, payload string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.note("route %s to %s", payload, topic)
	if payload == equal {
		return
	}
	j.routed[payload] = &inboundMessage{epoch: j.epoch, life: j.life, counted: j.has[topic], subs: j.matching(topic),
		delivered: map[[3]int]int{}, times: map[int]int{}, returned: map[int]bool{}}
}

// delivered judges that Subscription n may give the program this message.
func (j *judge) delivered(n int, payload string, q QoS) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.note("handler of %d got %s", n, payload)
	j.inOrder(n, payload)
	if j.open[n] == "" {
		j.failf("%s: delivered to Subscription %d, which is closed", payload, n)
	}
	if payload == equal {
		if n == firstSubscription {
			j.deliveredEqual()
		}
		return
	}
	m := j.routed[payload]
	if m == nil {
		j.failf("%q was delivered, but never sent", payload) // rule 18
		return
	}
	m.times[n]++
	key := [3]int{n, j.life, j.epoch}
	m.delivered[key]++
	if q == QoS2 && (m.delivered[key] > 1 || j.clean && m.times[n] > 1) { // rule 20; what a clean session had never comes again
		j.failf("%s: QoS 2, delivered twice to %d", payload, n)
	}
	if q == QoS2 && m.recced && j.durable && m.epoch == j.epoch { // a later process knows it too
		j.failf("%s: QoS 2, delivered again after PUBREC", payload)
	}
}

func (j *judge) returned(n int, payload string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if payload == equal && n == firstSubscription {
		j.retEqual++
	}
	if m := j.routed[payload]; m != nil {
		m.returned[n] = true
	}
}

// observe sees every packet, in order, as the broker does.
func (j *judge) observe(e testbroker.Event) {
	j.mu.Lock()
	defer j.mu.Unlock()
	switch e.Kind {
	case testbroker.Ended:
		j.note("connection %d ended: %v", e.Connection, e.Err)
		if j.clean {
			if e.Connection == j.serving {
				j.dead = e.Connection
				j.lost()
			}
		} else if e.Connection == j.begun { // the client may not have seen the CONNACK
			j.blind = j.epoch
		}
	case testbroker.Sent:
		if e.Header.Type != packet.PINGRESP {
			j.note("%d < %s", e.Connection, describe2(e))
		}
		j.brokerSent(e)
		j.serverUses(e)
		if !j.relayed {
			j.clientGot(e)
		}
	case testbroker.Received:
		if e.Header.Type != packet.PINGREQ {
			j.note("%d > %s", e.Connection, describe2(e))
		}
		if !j.relayed {
			j.clientSent(e)
		}
		j.brokerGot(e)
		j.serverUses(e)
	}
}

// relay sees what the client sends, before the relay does anything to it.
func (j *judge) relay(e testbroker.Event, action string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if action != "pass" {
		j.note("%d %s: %s", e.Connection, action, describe2(e))
	}
	if e.Kind == testbroker.Received {
		if e.Header.Type != packet.PINGREQ {
			j.note("%d >>> %s", e.Connection, describe2(e))
		}
		j.clientSent(e)
	}
}

// observeRelay sees what the relay passes on: that is what the client gets.
func (j *judge) observeRelay(e testbroker.Event) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if e.Kind != testbroker.Sent || e.Connection != j.connection {
		return
	}
	if e.Header.Type != packet.PINGRESP {
		j.note("%d <<< %s", e.Connection, describe2(e))
	}
	j.clientGot(e)
}

func describe2(e testbroker.Event) string {
	switch e.Header.Type {
	case packet.CONNACK:
		return fmt.Sprintf("CONNACK %d", e.Body[0])
	case packet.SUBACK:
		return fmt.Sprintf("SUBACK %x", e.Body)
	case packet.PINGRESP:
		return "PINGRESP"
	}
	return describe(e.Header, e.Body)
}

func identifierOf(e testbroker.Event) uint16 { return uint16(e.Body[0])<<8 | uint16(e.Body[1]) }

// brokerSent follows the broker's side of the session.
func (j *judge) brokerSent(e testbroker.Event) {
	switch e.Header.Type {
	case packet.CONNACK:
		j.serving = e.Connection
		if e.Body[0] == 0 {
			j.begun = e.Connection
		}
		if e.Body[0] == 0 && e.Body[1] == 0 && j.life > 0 && len(j.byID)+len(j.sightings)+len(j.holding) > 0 {
			j.lost() // the first CONNACK, or one after a loss that the test did not order
		}
	case packet.SUBACK:
		j.brokerGranted(identifierOf(e))
	}
}

// clientGot follows what the client owes.
func (j *judge) clientGot(e testbroker.Event) {
	switch e.Header.Type {
	case packet.CONNACK:
		j.acked = true
		j.present, j.granting = e.Body[0] == 1, false
		j.knows = j.knows && j.present
	case packet.SUBACK:
		j.granting = j.granting || slices.Contains(j.askedFor[identifierOf(e)], "in")
	case packet.PUBLISH:
		p, _ := packet.ParsePublish(e.Header.Flags, e.Body)
		j.came(string(p.Payload))
		if p.QoS > 0 {
			j.owes = append(j.owes, owed{p.ID, p.QoS, string(p.Payload), p.Dup, j.granting})
		}
	case packet.PUBREC:
		if s := j.current[identifierOf(e)]; s != nil && !s.completed { // else a copy that came late
			j.pubrecs = append(j.pubrecs, s.id)
		}
	case packet.PUBCOMP:
		if s := j.current[identifierOf(e)]; s != nil && s.released {
			s.completed = true
			j.pubrecs = slices.DeleteFunc(j.pubrecs, func(id uint16) bool { return id == s.id })
		}
	}
}

// clientSent judges the client's conduct.
func (j *judge) clientSent(e testbroker.Event) {
	if e.Connection <= j.dead || e.Connection < j.connection { // what was under way in a connection that is given up
		return
	}
	if e.Connection != j.connection { // rule 1
		j.connection, j.acked, j.over, j.latest, j.pubrecs, j.owes = e.Connection, false, false, 0, nil, nil
		if e.Header.Type != packet.CONNECT {
			j.failf("the first packet is %v", e.Header.Type)
		}
	} else if e.Header.Type == packet.CONNECT {
		j.failf("a second CONNECT")
	} else if !j.acked {
		j.failf("%v before CONNACK", e.Header.Type)
	} else if j.over {
		j.failf("%v after DISCONNECT", e.Header.Type)
	}
	if j.acked {
		j.begun = 0
	}
	j.acted = j.acted || e.Header.Type != packet.CONNECT
	switch e.Header.Type {
	case packet.DISCONNECT:
		j.over = true
	case packet.CONNECT:
		if p, err := packet.ParseConnect(e.Body); err != nil || p.CleanSession != j.clean {
			j.failf("CONNECT %+v (%v), want clean session %t", p, err, j.clean)
		}
	case packet.SUBSCRIBE:
		j.asks(e)
	case packet.UNSUBSCRIBE:
		j.asksNoMore(e)
	case packet.PUBLISH:
		j.clientPublished(e)
	case packet.PUBREL:
		id := identifierOf(e)
		if s := j.current[id]; s != nil {
			s.released = true
		}
		for i, r := range j.pubrecs {
			if r == id {
				if i > 0 && !j.resends { // rule 9
					j.failf("PUBREL %d left before PUBREL %d, whose PUBREC came first", id, j.pubrecs[0])
				}
				j.pubrecs = append(j.pubrecs[:i:i], j.pubrecs[i+1:]...)
				break
			}
		}
	case packet.PUBACK, packet.PUBREC:
		j.answered(e)
	}
}

// clientPublished judges a PUBLISH as the client sent it.
func (j *judge) clientPublished(e testbroker.Event) {
	p, _ := packet.ParsePublish(e.Header.Flags, e.Body)
	payload := string(p.Payload)
	m := j.sent[payload]
	if m == nil || m.qos != p.QoS || string(p.Topic) != m.topic { // rule 18
		j.failf("the client sent %q at QoS %d, which nobody published", payload, p.QoS)
		return
	}
	if m.told && m.outcome != nil && errors.Is(m.outcome, ErrNotSent) {
		j.failf("%s: sent after ErrNotSent", payload)
	}
	if m.told && errors.Is(m.outcome, ErrRejected) && m.life == j.life { // a later process may not know it
		j.failf("%s: sent again after ErrRejected", payload)
	}
	if p.QoS == QoS0 {
		if j.written[payload] { // rule 22
			j.failf("%s: QoS 0, sent twice", payload)
		}
		j.written[payload] = true
		return
	}
	s := j.sightings[payload]
	if s == nil {
		if p.Dup && (m.connection == e.Connection || !j.present) { // rule 4
			j.failf("%s: DUP 1 on the first attempt", payload)
		}
		s = &sighting{id: p.ID, body: string(e.Body)}
		j.sightings[payload], j.current[p.ID] = s, s
	} else {
		if !p.Dup {
			j.failf("%s: sent again with DUP 0", payload)
		}
		if s.body != string(e.Body) { // rule 5
			j.failf("%s: sent again with other bytes", payload)
		}
		if s.released { // rule 6
			j.failf("%s: PUBLISH after PUBREL", payload)
		}
	}
	if m.number < j.latest && !j.resends { // rule 8
		j.failf("%s: out of order", payload)
	}
	j.latest = max(j.latest, m.number)
}

// brokerGot follows what the broker has of the client's messages, and judges that it has none twice.
func (j *judge) brokerGot(e testbroker.Event) {
	switch e.Header.Type {
	case packet.PUBREL:
		delete(j.holding, identifierOf(e))
		return
	case packet.SUBSCRIBE, packet.UNSUBSCRIBE:
		j.brokerAsked(e)
		return
	case packet.PUBLISH:
	default:
		return
	}
	p, _ := packet.ParsePublish(e.Header.Flags, e.Body)
	payload := string(p.Payload)
	if string(p.Topic) == poison {
		j.poisoned[e.Connection] = true // it hangs up
		return
	}
	if p.QoS == QoS0 {
		j.owned[payload]++
		return
	}
	if other := j.byID[p.ID]; j.stale[p.ID] || other != payload && j.givenUp(other) { // by bad luck, and it cannot be helped
		delete(j.stale, p.ID)
		delete(j.holding, p.ID)
	}
	if other := j.byID[p.ID]; other != payload && j.holding[p.ID] { // rules 2 and 3
		j.failf("%s: identifier %d is in use by %s", payload, p.ID, other)
	}
	j.byID[p.ID] = payload
	if p.QoS == QoS2 {
		if j.holding[p.ID] {
			return // the broker has it
		}
		j.holding[p.ID] = true
	}
	now := [2]int{j.life, j.epoch}
	// Rule 19. What is left of the risk: the session was lost, and the CONNACK that said so, or the process that read it.
	// With clean sessions there is none: each connection loses the session.
	if before := j.takenIn[payload]; j.owned[payload] > 0 && p.QoS == QoS2 && (j.clean || before[1] == now[1] || j.blind != j.epoch && before[0] == now[0]) {
		j.failf("%s: QoS 2, taken twice by the broker", payload)
	}
	j.owned[payload]++
	j.takenIn[payload] = now
}

// answered judges a PUBACK or PUBREC of the client.
func (j *judge) answered(e testbroker.Event) {
	id := identifierOf(e)
	if len(j.owes) == 0 || j.owes[0].id != id { // rules 9 to 11
		j.failf("%v %d, want the answers in the order of arrival: %v", e.Header.Type, id, j.owes)
		return
	}
	o := j.owes[0]
	j.owes = j.owes[1:]
	j.knows = j.knows || o.granted
	if o.payload == equal {
		j.answeredEqual(id, o.dup)
	}
	if (o.qos == QoS1) != (e.Header.Type == packet.PUBACK) {
		j.failf("%v %d for a message of QoS %d", e.Header.Type, id, o.qos)
	}
	if m := j.routed[o.payload]; m != nil {
		for _, n := range m.subs {
			if j.open[n] != "" && !m.returned[n] { // rules 10 and 21
				j.failf("%v %d before the handler of %d returned for %s", e.Header.Type, id, n, o.payload)
			}
		}
		m.recced = true
	}
}

// end judges what there is when everything must be done.
func (j *judge) end() {
	j.mu.Lock()
	defer j.mu.Unlock()
	for payload, m := range j.sent {
		j.look(payload, m)
		switch {
		case m.qos == 0 || m.forgiven || m.topic == poison && !m.waiting && m.delivery.f == nil:
		case m.crashed:
			if m.qos == QoS1 && m.topic != poison && j.owned[payload] == 0 { // rules 15 and 31
				if j.rejectedLater--; j.rejectedLater < 0 {
					j.failf("%s: accepted by a process that was killed, and lost", payload)
				}
			}
		case m.waiting:
			j.failf("%s: Publish has not returned", payload)
		case m.delivery.f == nil && !m.told:
			if m.qos == QoS1 && j.owned[payload] == 0 && !j.suspicious(m) { // rule 15: Publish did not wait, the session goes on
				j.failf("%s: Publish said that it goes on, and it did not", payload)
			}
		case m.delivery.f != nil && !m.told:
			j.failf("%s: neither done nor failed", payload)
		}
	}
	for payload, m := range j.routed { // rule 15, for what comes
		for _, n := range m.subs {
			if m.counted && m.epoch == j.epoch && j.open[n] != "" && m.times[n] == 0 {
				j.failf("%s: never delivered to %d", payload, n)
			}
		}
	}
	j.endSubscriptions()
	j.endRejections()
}
