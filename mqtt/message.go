package mqtt

// Message is an application message: one to publish, or one that came.
//
// A message that [Subscription.Messages] yields belongs to the client: it is good until the loop's next step, which
// also acknowledges it. Clone keeps it longer, Hold puts the acknowledgement off.
type Message struct {
	Topic   string // 1 to 65 535 bytes of UTF-8, no wildcards
	Payload []byte // any bytes; none is a message too. Publish and Submit copy it
	QoS     QoS
	Retain  bool // to the server: keep it for later subscribers. From the server: this one was kept
	Dup     bool // of a received message: it may have come before. Ignored when publishing [MQTT-3.3.1-3]

	// PacketID is the packet identifier of the PUBLISH that brought the message, 0 at QoS 0. It says which message it is
	// in a trace of this connection, and nothing beyond: identifiers are used again. Ignored when publishing.
	PacketID uint16

	client  *Client
	arrival *arrival // what Ack acknowledges; nil for QoS 0 and for messages of the program's own
	gen     uint64   // of arrival
	held    bool
}

// Clone returns a copy that shares no memory with the client: it is good for ever, and its Ack acknowledges the same
// message.
func (m *Message) Clone() Message {
	c := *m
	c.Payload = append([]byte(nil), m.Payload...)
	c.held = false
	return c
}

// Hold puts the acknowledgement off until Ack: the step to the next message does not acknowledge m. Payload is still
// good until that step only. Call it on the message that the loop yielded, inside the loop. A held message takes a
// place in the server's window of unacknowledged messages, and since acknowledgements leave in the order of arrival
// [MQTT-4.6.0-2], those of later messages wait for it.
func (m *Message) Hold() {
	if m.held || m.arrival == nil {
		return
	}
	m.held = true
	m.client.hold(m)
}

// Ack acknowledges a held message. It does not block: the acknowledgement leaves when its turn comes, on this
// connection or on a later one of the same session. A second Ack of a message does nothing. If the session is gone,
// the message cannot be acknowledged any more and Ack returns [ErrSessionLost]: the server may send it again, as new. If
// Run has returned, it returns an error that matches [ErrClosed]: the server sends the message again.
func (m *Message) Ack() error {
	if m.arrival == nil {
		return nil
	}
	return m.client.ack(m.arrival, m.gen)
}
