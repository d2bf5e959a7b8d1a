package mqtt

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"testing"

	"iotwire/mqtt/packet"

	"pgregory.net/rapid"
)

// TestSession plays random histories against the session alone, without a client, a clock or a connection: commands of
// the program, packets of a server, connections that come and go. model holds each packet and each outcome against the
// rules. -rapid.checks=1000000 plays more.
func TestSession(t *testing.T) { rapid.Check(t, sessionHistory) }

func sessionHistory(t *rapid.T) {
	cfg := Config{Inflight: rapid.IntRange(1, 6).Draw(t, "inflight"), SubscribeBatch: rapid.IntRange(1, 3).Draw(t, "batch")}
	m := &model{T: t, s: newSession(&cfg), window: cfg.Inflight, owner: map[uint16]any{}, server: map[uint16]*incoming{}}
	m.s.lastID = uint16(rapid.SampledFrom([]int{0, 65530}).Draw(t, "first identifier"))
	t.Repeat(map[string]func(*rapid.T){
		"accept":      m.accept,
		"withdraw":    m.withdraw,
		"acknowledge": m.acknowledge,
		"subscribe":   m.subscribe,
		"connect":     m.connect,
		"disconnect":  m.disconnect,
		"write":       m.write,
		"ack":         m.ack,
		"nonsense":    m.nonsense,
		"publish":     m.publish,
		"pubrel":      m.pubrel,
		"suback":      m.suback,
		"":            func(*rapid.T) { m.check() },
	})
	m.end()
}

// model is what the history so far allows.
type model struct {
	*rapid.T
	s      *session
	window int

	messages []*outgoing
	ended    int
	resend   []string // what has to come on this connection before anything new of QoS 1 and 2

	owner   map[uint16]any // identifiers of the client that the server knows to be in use: *outgoing or *asked
	rels    []uint16       // PUBRELs that have to come, in this order
	written uint64         // bytes of this connection
	took    uint64         // of these, that it took

	arrivals []*incoming          // that the program is not done with
	server   map[uint16]*incoming // identifiers of the server that are in use
	owed     []owedAnswer         // in the order in which they have to leave
	comps    []uint16             // PUBCOMPs that have to come
}

// outgoing is a message of the program.
type outgoing struct {
	f        *flow   // at QoS 1 and 2
	stream   *stream // at QoS 0
	position uint64
	qos      QoS
	payload  string
	id       uint16
	first    []byte // its PUBLISH as it was first sent in this session
	taken    int    // how often the server got it in this session
	ever     bool   // or in any
	here     bool   // on this connection
	received bool   // PUBREC was sent by the server, and not lost with a session
	acked    bool   // the last acknowledgement was
	ended    bool
}

// asked is a SUBSCRIBE or UNSUBSCRIBE.
type asked struct {
	unsubscribe bool
	filters     int
}

// incoming is a message of the server.
type incoming struct {
	id      uint16
	qos     QoS
	sum     uint32
	arrival *arrival
	done    bool // the program has acknowledged it
	sent    bool // an answer is on its way, or was lost on it
	rec     bool // PUBREC has come
}

type owedAnswer struct {
	m    *incoming
	copy bool
}

// pick draws one of list that ok takes, or skips the step.
func pick[E any](t *rapid.T, list []E, ok func(E) bool) E {
	var fit []E
	for _, e := range list {
		if ok(e) {
			fit = append(fit, e)
		}
	}
	if len(fit) == 0 {
		t.Skip("nothing to pick")
	}
	return fit[rapid.IntRange(0, len(fit)-1).Draw(t, "which")]
}

// --- the program

func (m *model) accept(t *rapid.T) {
	q := QoS(rapid.IntRange(0, 2).Draw(t, "qos"))
	if q == QoS0 && !m.s.online {
		t.Skip("offline")
	}
	o := &outgoing{qos: q, payload: fmt.Sprint(len(m.messages))}
	message := &Message{Topic: "t", Payload: []byte(o.payload), QoS: q, Dup: true}
	var err error
	if q == QoS0 {
		o.stream = m.s.stream
		o.position, err = m.s.acceptQoS0(message)
	} else {
		o.f = newFlow()
		err = m.s.accept(o.f, message)
	}
	if err != nil {
		t.Fatal(err)
	}
	m.messages = append(m.messages, o)
}

func (m *model) withdraw(t *rapid.T) {
	o := pick(t, m.messages, func(o *outgoing) bool { return !o.ended && o.qos > 0 })
	queued := o.f.in == &m.s.queue
	got := m.s.withdraw(o.f, &deliveryError{ErrNotSent, errBroken})
	if got && o.ever {
		m.Fatalf("message %s was sent, and withdrawn", o.payload)
	}
	if want := !o.ever && (queued || !m.s.online); got != want {
		m.Fatalf("message %s: withdrawn %v, want %v", o.payload, got, want)
	}
}

func (m *model) acknowledge(t *rapid.T) {
	in := pick(t, m.arrivals, func(in *incoming) bool { return true })
	gone := m.server[in.id] != in
	in.done = true
	m.arrivals = slices.DeleteFunc(m.arrivals, func(x *incoming) bool { return x == in })
	err := m.s.acknowledge(in.arrival)
	if gone != errors.Is(err, ErrSessionLost) {
		m.Fatalf("acknowledge of %d: %v, the session lost %v", in.id, err, gone)
	}
}

func (m *model) subscribe(t *rapid.T) {
	filter := rapid.SampledFrom([]string{"a", "b", "c", "d"}).Draw(t, "filter")
	w := m.s.find(filter)
	if w == nil {
		w = &wish{filter: filter}
		m.s.wishes = append(m.s.wishes, w)
	}
	w.wanted = rapid.Bool().Draw(t, "wanted")
	w.qos = QoS(rapid.IntRange(0, 2).Draw(t, "qos"))
	m.s.dirty = true
	m.s.reconcile()
}

// --- connections

func (m *model) connect(t *rapid.T) {
	if m.s.online {
		t.Skip("online")
	}
	present := rapid.IntRange(0, 3).Draw(t, "present") > 0
	var released, sent []*outgoing
	m.resend, m.written, m.took = nil, 0, 0
	if present {
		for f := m.s.released.head; f != nil; f = f.next {
			released = append(released, m.find(f))
		}
		for f := m.s.sent.head; f != nil; f = f.next {
			sent = append(sent, m.find(f))
		}
		for _, o := range released {
			m.resend = append(m.resend, fmt.Sprintf("PUBREL %d", o.id))
		}
		for _, o := range sent {
			m.resend = append(m.resend, o.payload)
		}
		if !slices.IsSortedFunc(sent, func(a, b *outgoing) int { return slices.Index(m.messages, a) - slices.Index(m.messages, b) }) {
			m.Fatalf("what is sent again is not in the order of acceptance")
		}
		for i, o := range released {
			if i < len(m.rels) && o.id != m.rels[i] {
				m.Fatalf("PUBRELs are sent again as %d..., want %v", o.id, m.rels)
			}
		}
	} else {
		clear(m.server)
		clear(m.owner)
		for _, o := range m.messages {
			o.id, o.first, o.taken = 0, nil, 0
		}
	}
	m.s.connected(present)
	if !present {
		m.rels = nil
		for _, o := range m.messages { // QoS 2 that was sent ends, all else goes on
			lost := !o.ended && o.qos == QoS2 && o.ever && (o.received || o.f.finished)
			if lost && !errors.Is(o.f.err, ErrSessionLost) {
				m.Fatalf("message %s: %v after the session was lost", o.payload, o.f.err)
			}
			o.received = false
		}
	}
}

func (m *model) disconnect(t *rapid.T) {
	if !m.s.online {
		t.Skip("offline")
	}
	m.s.disconnected(errBroken, unclear)
	m.owed, m.comps, m.resend = nil, nil, nil
	m.rels = m.rels[:0]
	for f := m.s.released.head; f != nil; f = f.next {
		m.rels = append(m.rels, m.find(f).id)
	}
	for id, o := range m.owner {
		if _, ok := o.(*asked); ok {
			delete(m.owner, id) // requests die with their connection
		}
	}
	for _, o := range m.messages {
		o.here = false
	}
}

// write takes what is to be written, and has the connection take a part of it, or all.
func (m *model) write(t *rapid.T) {
	if !m.s.online {
		t.Skip("offline")
	}
	b := m.s.take(nil)
	m.written += uint64(len(b))
	r := packet.NewReader(bytes.NewReader(b), 1<<20)
	for {
		h, body, err := r.Next()
		if err != nil {
			break
		}
		m.sent(h, body, b)
	}
	m.took = m.written - uint64(rapid.IntRange(0, len(b)).Draw(t, "not yet"))
	m.s.wrote(m.took)
}

// sent judges a packet that the client sent.
func (m *model) sent(h packet.Header, body, b []byte) {
	switch h.Type {
	case packet.PUBLISH:
		p, err := packet.ParsePublish(h.Flags, body)
		if err != nil {
			m.Fatal(err)
		}
		i := slices.IndexFunc(m.messages, func(o *outgoing) bool { return o.payload == string(p.Payload) })
		if i < 0 {
			m.Fatalf("%s: nobody published it", describe(h, body))
		}
		m.sentPublish(m.messages[i], &p, body)
	case packet.PUBREL:
		p, _ := packet.ParsePubrel(body)
		if len(m.resend) > 0 {
			m.again(fmt.Sprintf("PUBREL %d", p.ID))
			if len(m.rels) > 0 && m.rels[0] == p.ID {
				m.rels = m.rels[1:]
			}
			break
		}
		if len(m.rels) == 0 || m.rels[0] != p.ID { // [MQTT-4.6.0-4] in the order of the PUBRECs, and never without one
			m.Fatalf("PUBREL %d, want %v", p.ID, m.rels)
		}
		m.rels = m.rels[1:]
	case packet.PUBACK, packet.PUBREC:
		id := uint16(body[0])<<8 | uint16(body[1])
		if len(m.owed) == 0 { // [MQTT-4.6.0-2] [MQTT-4.6.0-3] in the order of arrival
			m.Fatalf("%v %d for nothing", h.Type, id)
		}
		next := m.owed[0]
		m.owed = m.owed[1:]
		if want := packet.PUBACK + packet.Type(next.m.qos) - 1; next.m.id != id || h.Type != want {
			m.Fatalf("%v %d, want %v %d", h.Type, id, want, next.m.id)
		}
		if !next.m.done {
			m.Fatalf("%v %d before the program is done with it", h.Type, id)
		}
		next.m.rec = true
		if next.m.qos == QoS1 && m.server[id] == next.m {
			delete(m.server, id) // [MQTT-4.3.2-2]
		}
	case packet.PUBCOMP:
		id := uint16(body[0])<<8 | uint16(body[1])
		if len(m.comps) == 0 || m.comps[0] != id {
			m.Fatalf("PUBCOMP %d, want %v", id, m.comps)
		}
		m.comps = m.comps[1:]
	case packet.SUBSCRIBE, packet.UNSUBSCRIBE:
		id := uint16(body[0])<<8 | uint16(body[1])
		a := &asked{unsubscribe: h.Type == packet.UNSUBSCRIBE}
		if a.unsubscribe {
			p, _ := packet.ParseUnsubscribe(body)
			for range p.Filters.All() {
				a.filters++
			}
		} else {
			p, _ := packet.ParseSubscribe(body)
			a.filters = p.Requests.Len()
		}
		if a.filters == 0 || a.filters > m.s.batch {
			m.Fatalf("%s", describe(h, body))
		}
		m.take(id, a)
	default:
		m.Fatalf("%v", h.Type)
	}
}

func (m *model) sentPublish(o *outgoing, p *packet.Publish, body []byte) {
	defer func() { o.taken, o.ever, o.here = o.taken+1, true, true }()
	switch {
	case o.qos != p.QoS:
		m.Fatalf("message %s has QoS %d", o.payload, p.QoS)
	case o.qos == QoS0 && (p.Dup || o.ever): // [MQTT-3.3.1-2] [MQTT-4.3.1-1]
		m.Fatalf("message %s of QoS 0: DUP %v, sent before %v", o.payload, p.Dup, o.ever)
	case o.qos == QoS0:
		return
	case o.here:
		m.Fatalf("message %s twice on a connection", o.payload)
	case o.received: // [MQTT-4.3.3-1]
		m.Fatalf("PUBLISH of message %s after PUBREC", o.payload)
	case p.Dup != (o.taken > 0): // [MQTT-3.3.1-1]
		m.Fatalf("message %s: DUP is %v, sent before %v", o.payload, p.Dup, o.taken > 0)
	case o.first != nil && !bytes.Equal(o.first, body): // [MQTT-2.3.1-3] and all else is the same too
		m.Fatalf("message %s was % x, is now % x", o.payload, o.first, body)
	}
	if len(m.resend) > 0 {
		m.again(o.payload)
	} else if o.taken > 0 {
		m.Fatalf("message %s is sent again late", o.payload)
	}
	o.id, o.first = p.ID, slices.Clone(body)
	m.take(p.ID, o)
}

// again checks what is sent on resume, before anything new [MQTT-4.4.0-1] [MQTT-4.6.0-1].
func (m *model) again(what string) {
	if m.resend[0] != what {
		m.Fatalf("%s is sent, want %v first", what, m.resend)
	}
	m.resend = m.resend[1:]
}

// take notes that an exchange uses an identifier.
func (m *model) take(id uint16, by any) {
	if other := m.owner[id]; id == 0 || other != nil && other != by { // [MQTT-2.3.1-2] [MQTT-2.3.1-3]
		m.Fatalf("identifier %d is in use by %+v", id, other)
	}
	m.owner[id] = by
}

// --- the server

// ack answers a PUBLISH or PUBREL of this connection, in any order.
func (m *model) ack(t *rapid.T) {
	if !m.s.online {
		t.Skip("offline")
	}
	o := pick(t, m.messages, func(o *outgoing) bool { return !o.ended && o.qos > 0 && (o.here || o.received) && m.owner[o.id] == o })
	var answer packet.Type
	switch {
	case o.qos == QoS1:
		answer, o.acked = packet.PUBACK, true
	case !o.received || rapid.Bool().Draw(t, "again"):
		answer, o.received = packet.PUBREC, true
		m.rels = append(m.rels, o.id)
	default:
		answer, o.acked = packet.PUBCOMP, true
	}
	if o.acked {
		delete(m.owner, o.id)
	}
	known, err := m.s.receiveAck(answer, o.id)
	if err != nil || !known {
		m.Fatalf("%v %d: %v, %v", answer, o.id, known, err)
	}
	if o.f.finished != o.acked || o.f.err != nil {
		m.Fatalf("%v of message %s: finished %v, %v", answer, o.payload, o.f.finished, o.f.err)
	}
}

// nonsense is an acknowledgement that does not fit: it is ignored, or refused, and completes nothing.
func (m *model) nonsense(t *rapid.T) {
	if !m.s.online {
		t.Skip("offline")
	}
	id := uint16(rapid.SampledFrom([]int{1, 2, 3, 65531, 65535, 40000}).Draw(t, "id"))
	if m.s.flows.get(id) != nil || m.s.pending[id] != nil {
		wrong := rapid.SampledFrom([]packet.Type{packet.PUBACK, packet.PUBCOMP}).Draw(t, "type")
		if f := m.s.flows.get(id); f != nil && (f.in == &m.s.released || f.qos == QoS1 && wrong == packet.PUBACK) {
			t.Skip("it would fit")
		}
		if _, err := m.s.receiveAck(wrong, id); err == nil {
			m.Fatalf("%v %d is accepted", wrong, id)
		}
		return
	}
	if m.s.repeats[id] > 0 {
		t.Skip("an answer to a copy is to come")
	}
	for _, p := range []packet.Type{packet.PUBACK, packet.PUBREC, packet.PUBCOMP} {
		if known, err := m.s.receiveAck(p, id); known || err != nil {
			m.Fatalf("%v %d: %v, %v", p, id, known, err)
		}
	}
}

// publish sends a message to the client: a new one, or one again that has no answer.
func (m *model) publish(t *rapid.T) {
	if !m.s.online {
		t.Skip("offline")
	}
	id := uint16(rapid.IntRange(1, 5).Draw(t, "id"))
	in := m.server[id]
	if in != nil && in.qos == QoS1 && in.sent {
		in = nil // the server does not know it yet, but for us the identifier is that of a new message [MQTT-4.3.2-2]
	}
	repeated := in != nil
	if !repeated {
		in = &incoming{id: id, qos: QoS(rapid.IntRange(1, 2).Draw(t, "qos")), sum: rapid.Uint32().Draw(t, "sum")}
		m.forgive(id)
		m.server[id] = in
	}
	sooner := slices.ContainsFunc(m.owed, func(o owedAnswer) bool { return o.m == in })
	m.owed = append(m.owed, owedAnswer{in, repeated && (sooner || in.sent)})
	a, err := m.s.arrive(id, in.qos, repeated, in.sum)
	if err != nil {
		m.Fatalf("PUBLISH %d: %v", id, err)
	}
	if repeated != (a == nil) { // [MQTT-4.3.3-2] [MQTT-4.3.2-2]
		m.Fatalf("PUBLISH %d of QoS %d, sent before %v: delivered %v", id, in.qos, repeated, a != nil)
	}
	if a != nil {
		in.arrival = a
		m.arrivals = append(m.arrivals, in)
	}
}

// forgive drops the answers to copies of a message whose identifier is free, if they are not yet on their way.
func (m *model) forgive(id uint16) {
	waits := slices.IndexFunc(m.owed, func(o owedAnswer) bool { return !o.m.done })
	if waits < 0 {
		return
	}
	m.owed = append(m.owed[:waits:waits], slices.DeleteFunc(slices.Clone(m.owed[waits:]), func(o owedAnswer) bool { return o.m.id == id && o.copy })...)
}

func (m *model) pubrel(t *rapid.T) {
	if !m.s.online {
		t.Skip("offline")
	}
	id := uint16(rapid.IntRange(1, 6).Draw(t, "id"))
	in := m.server[id]
	switch {
	case in != nil && in.qos == QoS1:
		t.Skip("of QoS 1")
	case in != nil && !in.rec:
		if in.done || !slices.ContainsFunc(m.owed, func(o owedAnswer) bool { return o.m == in }) {
			t.Skip("PUBREC is on its way, or was lost")
		}
		if err := m.s.receivePubrel(id); err == nil {
			m.Fatalf("PUBREL %d before PUBREC is accepted", id)
		}
		return
	}
	m.forgive(id)
	delete(m.server, id)
	m.comps = append(m.comps, id)
	if err := m.s.receivePubrel(id); err != nil {
		m.Fatalf("PUBREL %d: %v", id, err)
	}
}

func (m *model) suback(t *rapid.T) {
	var ids []uint16
	for id, o := range m.owner {
		if _, ok := o.(*asked); ok {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	id := pick(t, ids, func(uint16) bool { return true })
	a := m.owner[id].(*asked)
	delete(m.owner, id)
	if a.unsubscribe {
		if r, err := m.s.receiveUnsuback(id); r == nil || err != nil {
			m.Fatalf("UNSUBACK %d: %v, %v", id, r, err)
		}
		return
	}
	codes := make([]byte, a.filters)
	for i := range codes {
		codes[i] = rapid.SampledFrom([]byte{0, 1, 2, packet.SubackFailure}).Draw(t, "code")
	}
	if r, err := m.s.receiveSuback(packet.Suback{ID: id, Codes: codes}); r == nil || err != nil {
		m.Fatalf("SUBACK %d: %v, %v", id, r, err)
	}
}

// --- what always holds

func (m *model) find(f *flow) *outgoing {
	for _, o := range m.messages {
		if o.f == f {
			return o
		}
	}
	m.Fatal("a flow that nobody made")
	return nil
}

func (m *model) check() {
	s := m.s
	for _, o := range m.owed {
		if !o.m.done {
			break
		}
		o.m.sent = true
	}
	for _, f := range s.finished {
		m.ending(m.find(f))
	}
	s.finished = s.finished[:0]
	ended := 0
	for _, o := range m.messages {
		if o.qos == QoS0 && !o.ended && o.stream.err(o.position) != ErrPending {
			ended++
			m.ending(o)
		}
	}
	if ended != s.done+s.failed {
		m.Fatalf("%d messages of QoS 0 have ended, and %d were written, %d not", ended, s.done, s.failed)
	}
	s.done, s.failed = 0, 0
	if len(m.messages) != m.ended+s.open() {
		m.Fatalf("%d accepted, %d ended, %d open", len(m.messages), m.ended, s.open())
	}
	if n := s.sent.n + s.released.n; n > m.window {
		m.Fatalf("%d in flight, limit %d", n, m.window)
	}
	bytes, flows := 0, 0
	for f := s.queue.head; f != nil; f = f.next {
		bytes += f.size
	}
	for _, span := range s.stream.unwritten[s.stream.first:] {
		bytes += span.size
	}
	for _, l := range []*flowList{&s.sent, &s.released} {
		for f := l.head; f != nil; f = f.next {
			if flows++; s.flows.get(f.id) != f {
				m.Fatalf("identifier %d is not that of its message", f.id)
			}
		}
	}
	if bytes != s.bytes || flows != s.flows.len() {
		m.Fatalf("the queue counts %d bytes, want %d; %d identifiers, want %d", s.bytes, bytes, s.flows.len(), flows)
	}
	if s.online && s.queue.n > 0 && s.sent.n+s.released.n < m.window {
		m.Fatalf("%d messages wait though there is room", s.queue.n)
	}
	if s.online {
		for _, w := range s.wishes {
			if !w.busy && !w.satisfied() {
				m.Fatalf("nothing is done for the wish %+v", *w)
			}
		}
	}
}

// ending judges the end of a message: it ends once, nil only if it was acknowledged, ErrNotSent only if it never left.
func (m *model) ending(o *outgoing) {
	if o.ended {
		m.Fatalf("message %s ended twice", o.payload)
	}
	o.ended = true
	m.ended++
	var err error
	if o.qos == QoS0 {
		err = o.stream.err(o.position)
	} else {
		err = o.f.err
	}
	switch {
	case err == nil && (o.qos > 0 && !o.acked || o.qos == 0 && (!o.ever || o.position > m.took)):
		m.Fatalf("message %s is said to be delivered", o.payload)
	case err != nil && errors.Is(err, ErrNotSent) == errors.Is(err, ErrUnconfirmed):
		m.Fatalf("message %s: %v", o.payload, err)
	case err != nil && errors.Is(err, ErrNotSent) == o.ever:
		m.Fatalf("message %s: %v, sent %v", o.payload, err, o.ever)
	case errors.Is(err, ErrSessionLost) && o.qos != QoS2:
		m.Fatalf("message %s of QoS %d: %v", o.payload, o.qos, err)
	}
}

func (m *model) end() {
	m.s.disconnected(errBroken, unclear)
	m.s.end(ErrClosed)
	m.check()
	if m.s.open() != 0 || m.ended != len(m.messages) {
		m.Fatalf("%d messages without an end", m.s.open())
	}
}
