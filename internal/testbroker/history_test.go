package testbroker

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"iotwire/mqtt/packet"
	"pgregory.net/rapid"
)

// Random histories of a few clients, against a model of the standard that looks at every subscription for every message.
// After each step every client has got exactly the packets that the model says, in its order, and the broker's counts
// are those of the model.
func TestHistories(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rapid.SyncTest(t, func(t *rapid.T) {
			h := &history{
				broker:  New(Config{Inflight: historyWindow, QueueMessages: historyQueue}),
				models:  make(map[string]*model),
				clients: make(map[string]*client),
			}
			defer h.close()
			for range 2 {
				h.connect(t)
				h.check(t)
				h.subscribe(t)
				h.check(t)
			}
			actions := map[string]func(*rapid.T){
				"connect":     h.connect,
				"disconnect":  h.disconnect,
				"vanish":      h.vanish,
				"violate":     h.violate,
				"subscribe":   h.subscribe,
				"unsubscribe": h.unsubscribe,
				"publish":     h.publish,
				"burst":       h.burst,
				"burst 2":     h.burst, // some are wanted more often
				"release":     h.release,
				"acknowledge": h.acknowledge,
				"answer 2":    h.acknowledge,
				"answer 3":    h.acknowledge,
				"control":     h.control,
				"":            h.check,
			}
			for range 4 { // one is 30 steps or so
				t.Repeat(actions)
			}
		})
	})
}

const (
	historyWindow = 3
	historyQueue  = 5
)

// history is a broker, its clients, and what the model knows.
type history struct {
	broker   *Broker
	clients  map[string]*client // those that are connected
	models   map[string]*model  // a session each
	retained []modelMessage     // in the order in which they were stored
	count    int                // of messages published

	connections int
}

// model is a session as the standard has it.
type model struct {
	clean         bool
	online        bool
	will          *modelMessage
	subscriptions map[string]packet.QoS
	queue         []modelMessage
	inflight      []*modelFlight // those with PUBREC first
	received      map[uint16]bool
	expected      []expectation // packets that are to come
	connected     int           // the number of its last connection
}

type modelMessage struct {
	topic, payload string
	qos            packet.QoS
	retain         bool
}

// modelFlight is a message in flight; its identifier is what the broker gave it.
type modelFlight struct {
	modelMessage
	id       uint16
	released bool
}

// expectation is a packet: its bytes, or a PUBLISH.
type expectation struct {
	exactly []byte
	flight  *modelFlight // QoS 1 and 2
	dup     bool
}

func (h *history) close() {
	for _, c := range h.clients {
		c.conn.Close()
	}
	h.broker.Close()
}

// someone draws a client that is connected.
func (h *history) someone(t *rapid.T) (string, *client, *model) {
	if len(h.clients) == 0 {
		t.Skip("nobody is connected")
	}
	id := rapid.SampledFrom(slices.Sorted(maps.Keys(h.clients))).Draw(t, "client")
	h.clients[id].t = t
	return id, h.clients[id], h.models[id]
}

func (h *history) connect(t *rapid.T) {
	id := rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "id")
	p := packet.Connect{ClientID: []byte(id), CleanSession: rapid.IntRange(0, 3).Draw(t, "clean") == 3}
	old := h.clients[id]
	if old != nil { // take-over
		h.end(id)
	}
	m := h.models[id]
	present := m != nil && !p.CleanSession
	if !present {
		m = &model{subscriptions: make(map[string]packet.QoS), received: make(map[uint16]bool)}
		h.models[id] = m
	}
	if rapid.Bool().Draw(t, "will") {
		h.count++
		m.will = &modelMessage{"will", fmt.Sprint(h.count), drawQoS(t), rapid.Bool().Draw(t, "retain")}
		p.Will, p.WillTopic, p.WillMessage, p.WillQoS, p.WillRetain = true, []byte("will"), []byte(m.will.payload), m.will.qos, m.will.retain
	}
	m.online, m.clean = true, p.CleanSession
	h.connections++
	m.connected = h.connections
	m.expect(packet.AppendConnack(nil, &packet.Connack{SessionPresent: present}))
	for _, f := range m.inflight {
		if f.released {
			m.expect(packet.AppendPubrel(nil, &packet.Pubrel{ID: f.id}))
		}
	}
	for _, f := range m.inflight {
		if !f.released {
			m.expected = append(m.expected, expectation{flight: f, dup: true})
		}
	}
	m.pump()
	c := h.broker.dialTest(t)
	c.sendPacket(packet.AppendConnect(nil, &p))
	h.clients[id] = c
	if old != nil {
		old.t = t
		old.wantClosed()
		old.conn.Close()
	}
}

// hangUp closes the client's end of a connection.
func (h *history) hangUp(id string) {
	h.clients[id].conn.Close()
	delete(h.clients, id)
}

func (h *history) disconnect(t *rapid.T) {
	id, c, m := h.someone(t)
	c.send(packet.AppendDisconnect(nil))
	m.will = nil
	h.end(id)
	c.wantClosed()
	h.hangUp(id)
}

func (h *history) vanish(t *rapid.T) {
	id, c, _ := h.someone(t)
	if rapid.Bool().Draw(t, "RST") {
		c.conn.(*Conn).Reset(nil)
	}
	h.hangUp(id)
	synctest.Wait()
	h.end(id)
}

func (h *history) violate(t *rapid.T) {
	id, c, _ := h.someone(t)
	c.send(unhex(rapid.SampledFrom([]string{"f0 00", "10 0d" + mqtt + "02 00 3c 00 01 70", "30 03 00 01 23", "d0 00", "36 05 00 01 61 00 01"}).Draw(t, "bytes")))
	h.end(id)
	c.wantClosed()
	h.hangUp(id)
}

func (h *history) control(t *rapid.T) {
	switch rapid.SampledFrom([]string{"drop", "drop", "drop", "keep", "keep", "forget", "lose"}).Draw(t, "what") {
	case "drop":
		id, c, _ := h.someone(t)
		h.broker.Drop(id, FIN)
		h.end(id)
		c.wantClosed()
		h.hangUp(id)
	case "forget":
		id := rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "id")
		m := h.models[id]
		if h.broker.Forget(id) != (m != nil) {
			t.Fatalf("session of %s: the model has %v", id, m)
		}
		if m != nil && m.online {
			h.end(id)
			h.hangUp(id)
		}
		delete(h.models, id)
	case "keep":
		h.broker.Restart(true)
		h.restart(true)
	case "lose":
		h.broker.Restart(false)
		h.restart(false)
	}
}

func (h *history) restart(keep bool) {
	ids := slices.SortedFunc(maps.Keys(h.clients), func(a, b string) int {
		return cmp.Compare(h.models[a].connected, h.models[b].connected)
	})
	var wills []modelMessage
	for _, id := range ids {
		if m := h.models[id]; m.will != nil {
			wills = append(wills, *m.will)
			m.will = nil
		}
		h.end(id)
		h.hangUp(id)
	}
	if keep {
		for _, will := range wills {
			h.route(will)
		}
		return
	}
	h.models, h.retained = make(map[string]*model), nil
}

func (h *history) subscribe(t *rapid.T) {
	_, c, m := h.someone(t)
	var requests packet.Requests
	var codes []byte
	wanted := rapid.SliceOfN(rapid.SampledFrom(append(filters, "#", "#", "#", "+/#", "+")), 1, 3).Draw(t, "filters")
	for _, filter := range wanted {
		q := drawQoS(t)
		requests = requests.Add(filter, q)
		codes = append(codes, byte(q))
		m.subscriptions[filter] = q
	}
	c.sendPacket(packet.AppendSubscribe(nil, &packet.Subscribe{ID: 5, Requests: requests}))
	m.expect(packet.AppendSuback(nil, &packet.Suback{ID: 5, Codes: codes}))
	for i, filter := range wanted {
		for _, kept := range h.retained {
			if packet.Match(filter, kept.topic) {
				kept.qos = min(kept.qos, packet.QoS(codes[i]))
				m.deliver(kept)
			}
		}
	}
}

func (h *history) unsubscribe(t *rapid.T) {
	_, c, m := h.someone(t)
	filter := rapid.SampledFrom(filters).Draw(t, "filter")
	c.sendPacket(packet.AppendUnsubscribe(nil, &packet.Unsubscribe{ID: 6, Filters: packet.Filters(nil).Add(filter)}))
	delete(m.subscriptions, filter)
	m.expect(packet.AppendUnsuback(nil, &packet.Unsuback{ID: 6}))
}

// burst publishes a few messages from the broker.
func (h *history) burst(t *rapid.T) {
	for range rapid.IntRange(1, 5).Draw(t, "messages") {
		p := h.draw(t)
		if err := h.broker.Publish(p.topic, []byte(p.payload), p.qos, p.retain); err != nil {
			t.Fatal(err)
		}
		h.route(p)
	}
}

func (h *history) publish(t *rapid.T) {
	_, c, m := h.someone(t)
	message := h.draw(t)
	p := packet.Publish{Topic: []byte(message.topic), Payload: []byte(message.payload), QoS: message.qos, Retain: message.retain}
	if p.QoS > 0 {
		p.ID = uint16(rapid.IntRange(1, 3).Draw(t, "identifier"))
		p.Dup = rapid.Bool().Draw(t, "DUP")
	}
	c.sendPacket(packet.AppendPublish(nil, &p))
	if p.QoS < packet.QoS2 || !m.received[p.ID] {
		h.route(message)
	}
	switch p.QoS {
	case packet.QoS1:
		m.expect(packet.AppendPuback(nil, &packet.Puback{ID: p.ID}))
	case packet.QoS2:
		m.received[p.ID] = true
		m.expect(packet.AppendPubrec(nil, &packet.Pubrec{ID: p.ID}))
	}
}

func (h *history) release(t *rapid.T) {
	_, c, m := h.someone(t)
	id := uint16(rapid.IntRange(1, 3).Draw(t, "identifier"))
	c.sendPacket(packet.AppendPubrel(nil, &packet.Pubrel{ID: id}))
	delete(m.received, id)
	m.expect(packet.AppendPubcomp(nil, &packet.Pubcomp{ID: id}))
}

// acknowledge answers one of the messages in flight, not always the first.
func (h *history) acknowledge(t *rapid.T) {
	_, c, m := h.someone(t)
	if len(m.inflight) == 0 {
		t.Skip("nothing is in flight")
	}
	i := rapid.IntRange(0, len(m.inflight)-1).Draw(t, "which")
	f := m.inflight[i]
	switch {
	case f.qos == packet.QoS2 && (!f.released || rapid.Bool().Draw(t, "again")):
		c.sendPacket(packet.AppendPubrec(nil, &packet.Pubrec{ID: f.id}))
		if !f.released { // it goes behind those that were released before
			f.released = true
			m.inflight = slices.Delete(m.inflight, i, i+1)
			at := slices.IndexFunc(m.inflight, func(f *modelFlight) bool { return !f.released })
			if at < 0 {
				at = len(m.inflight)
			}
			m.inflight = slices.Insert(m.inflight, at, f)
		}
		m.expect(packet.AppendPubrel(nil, &packet.Pubrel{ID: f.id}))
		return
	case f.qos == packet.QoS2:
		c.sendPacket(packet.AppendPubcomp(nil, &packet.Pubcomp{ID: f.id}))
	default:
		c.sendPacket(packet.AppendPuback(nil, &packet.Puback{ID: f.id}))
	}
	m.inflight = slices.Delete(m.inflight, i, i+1)
	m.pump()
}

func (h *history) draw(t *rapid.T) modelMessage {
	h.count++
	m := modelMessage{rapid.SampledFrom(topics).Draw(t, "topic"), fmt.Sprint(h.count), drawQoS(t), rapid.Bool().Draw(t, "retain")}
	if m.retain && rapid.Bool().Draw(t, "empty") {
		m.payload = ""
	}
	return m
}

func drawQoS(t *rapid.T) packet.QoS {
	return rapid.SampledFrom([]packet.QoS{0, 1, 2, 2}).Draw(t, "QoS")
}

// route is section 3.3.5, by a look at every subscription.
func (h *history) route(p modelMessage) {
	if p.retain {
		h.retained = slices.DeleteFunc(h.retained, func(m modelMessage) bool { return m.topic == p.topic })
		if p.payload != "" {
			h.retained = append(h.retained, p)
		}
	}
	p.retain = false
	for _, m := range h.models {
		highest, matches := packet.QoS0, false
		for filter, q := range m.subscriptions {
			if packet.Match(filter, p.topic) {
				highest, matches = max(highest, q), true
			}
		}
		if matches {
			copied := p
			copied.qos = min(p.qos, highest)
			m.deliver(copied)
		}
	}
}

// end is the end of a connection.
func (h *history) end(id string) {
	m := h.models[id]
	m.online, m.expected = false, nil
	if m.clean {
		delete(h.models, id)
	}
	if will := m.will; will != nil {
		m.will = nil
		h.route(*will)
	}
}

func (m *model) expect(b []byte, err error) {
	if err != nil {
		panic(err)
	}
	m.expected = append(m.expected, expectation{exactly: b})
}

func (m *model) deliver(p modelMessage) {
	if p.qos > 0 {
		if len(m.queue) < historyQueue {
			m.queue = append(m.queue, p)
		}
		m.pump()
	} else if m.online {
		m.expect(packet.AppendPublish(nil, &packet.Publish{Topic: []byte(p.topic), Payload: []byte(p.payload), Retain: p.retain}))
	}
}

func (m *model) pump() {
	for m.online && len(m.queue) > 0 && len(m.inflight) < historyWindow {
		f := &modelFlight{modelMessage: m.queue[0]}
		m.queue = m.queue[1:]
		m.inflight = append(m.inflight, f)
		m.expected = append(m.expected, expectation{flight: f})
	}
}

// check compares what has come with what was expected.
func (h *history) check(t *rapid.T) {
	synctest.Wait()
	var stats Stats
	for id, c := range h.clients {
		c.t = t
		m := h.models[id]
		for i, e := range m.expected {
			got := c.poll()
			if e.flight == nil {
				if !bytes.Equal(got, e.exactly) {
					t.Fatalf("%s, packet %d: got %s, want %s", id, i, show(got), show(e.exactly))
				}
				continue
			}
			header, n, err := packet.ParseHeader(got)
			if err != nil || header.Type != packet.PUBLISH {
				t.Fatalf("%s, packet %d: got %s, want %+v", id, i, show(got), e.flight)
			}
			p, err := packet.ParsePublish(header.Flags, got[n:])
			if err != nil {
				t.Fatal(err)
			}
			if !e.dup {
				if slices.ContainsFunc(m.inflight, func(f *modelFlight) bool { return f.id == p.ID }) {
					t.Fatalf("%s: identifier %d is in use", id, p.ID)
				}
				e.flight.id = p.ID
			}
			f := e.flight
			want := packet.Publish{Dup: e.dup, QoS: f.qos, Retain: f.retain, Topic: []byte(f.topic), ID: f.id, Payload: []byte(f.payload)}
			if b, err := packet.AppendPublish(nil, &want); err != nil || !bytes.Equal(b, got) {
				t.Fatalf("%s, packet %d: got %s, want %s", id, i, describe(p), describe(want))
			}
		}
		m.expected = nil
		if got := c.poll(); got != nil {
			t.Fatalf("%s: got %s, want nothing more", id, show(got))
		}
	}
	for _, m := range h.models {
		stats.Subscriptions += len(m.subscriptions)
		stats.Queued += len(m.queue)
		stats.Inflight += len(m.inflight)
	}
	stats.Connections, stats.Sessions, stats.Retained = len(h.clients), len(h.models), len(h.retained)
	for id := range h.models {
		sent, released, inflight, received := h.counts(id)
		if sent+released != inflight || received != len(h.models[id].received) {
			t.Fatalf("%s: %d sent and %d released make %d in flight; %d received", id, sent, released, inflight, received)
		}
	}
	got := h.broker.Stats()
	got.Dropped = 0
	if got != stats {
		t.Fatalf("broker has %+v, want %+v", got, stats)
	}
}

func (h *history) counts(id string) (sent, released, inflight, received int) {
	h.broker.mu.Lock()
	defer h.broker.mu.Unlock()
	s := h.broker.sessions[id]
	if s == nil {
		return 0, 0, 0, -1
	}
	return len(s.sent), len(s.released), len(s.inflight), len(s.received)
}

// poll returns a packet that has come, or nil.
func (c *client) poll() []byte {
	c.conn.SetReadDeadline(time.Now().Add(time.Nanosecond))
	h, body, err := c.in.Next()
	switch {
	case err == nil:
		return Event{Header: h, Body: body}.Packet()
	case !errors.Is(err, os.ErrDeadlineExceeded):
		c.t.Fatalf("connection ended: %v", err)
	}
	return nil
}
