package testbroker

import (
	"cmp"
	"errors"
	"maps"
	"slices"

	"iotwire/mqtt/packet"
)

// Stats counts what a broker holds and has done.
type Stats struct {
	Connections   int // network connections, with CONNECT or before it
	Sessions      int // sessions, with a connection or without
	Subscriptions int // of all sessions
	Retained      int // retained messages
	Queued        int // QoS 1 and QoS 2 messages that wait in sessions to be sent
	Inflight      int // QoS 1 and QoS 2 messages that were sent and are not yet acknowledged
	Dropped       int // messages dropped since New, because a queue or an outgoing buffer was full
}

// Stats returns the counts of this moment.
func (b *Broker) Stats() Stats {
	b.mu.Lock()
	defer b.mu.Unlock()
	stats := Stats{
		Connections:   len(b.connections),
		Sessions:      len(b.sessions),
		Subscriptions: b.subscriptions.count,
		Retained:      b.retained.count,
		Dropped:       b.dropped,
	}
	for _, s := range b.sessions {
		stats.Queued += s.queued()
		stats.Inflight += len(s.inflight)
	}
	return stats
}

// Publish routes a message as if a client had sent it. The payload is copied. The error is a *[packet.Error] about the
// topic name or QoS, one about more levels than Config.MaxLevels, or ErrClosed.
func (b *Broker) Publish(topic string, payload []byte, qos packet.QoS, retain bool) error {
	p := packet.Publish{Topic: []byte(topic), Payload: payload, QoS: qos, Retain: retain}
	if err := packet.ValidTopic(topic); err != nil {
		return err
	}
	if err := b.checkLevels("topic name", p.Topic); err != nil {
		return err
	}
	if !qos.Valid() {
		return &packet.Error{Type: packet.PUBLISH, Rule: "MQTT-3.3.1-4", Reason: "QoS is not 0, 1 or 2"}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return ErrClosed
	}
	b.route(&p)
	return nil
}

// Drop is a way to end a connection.
type Drop int

const (
	FIN Drop = iota // the client reads the end of the stream
	RST             // the client's connection is reset
)

var errDropped = errors.New("dropped on request")

// Drop ends the connection of a client as a network or a broker that fails does: its will is published, its session
// stays if it is not a clean one. It reports whether the client was connected. It does not wait for the connection to
// be closed.
func (b *Broker) Drop(clientID string, how Drop) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	s := b.sessions[clientID]
	if s == nil || s.connection == nil {
		return false
	}
	s.connection.reset = how == RST
	s.connection.abort(errDropped)
	return true
}

// Forget ends the session of a client, as if it had expired, and its connection if it has one. It reports whether there
// was a session.
func (b *Broker) Forget(clientID string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	s := b.sessions[clientID]
	if s == nil {
		return false
	}
	if s.connection != nil {
		s.connection.abort(errDropped)
	}
	if b.sessions[clientID] == s {
		b.forget(s)
	}
	return true
}

var errRestarted = errors.New("the broker restarts")

func byNumber(a, b *connection) int { return cmp.Compare(a.number, b.number) }

// Restart ends all connections. With keep it is a broker that stores its state: sessions and retained messages are
// there as before, and wills are published, once nobody is connected (3.1.2.5). Without, everything is gone. It does not wait for the connections to be
// closed.
func (b *Broker) Restart(keep bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	var wills []*message
	for _, c := range slices.SortedFunc(maps.Keys(b.connections), byNumber) {
		if c.will != nil {
			wills = append(wills, c.will)
			c.will = nil
		}
		c.abort(errRestarted)
	}
	if keep {
		for _, will := range wills {
			b.publish(will)
		}
		return
	}
	clear(b.sessions)
	b.subscriptions = tree{parentUnmatched: b.config.Deviations.ParentUnmatched}
	b.retained = retained{limit: b.config.RetainedBytes}
}
