package testbroker

import (
	"crypto/tls"
	"net"
	"time"

	"iotwire/mqtt/packet"
)

// Config says how a broker behaves. The zero value is the standard with the limits named below: a number that is 0
// stands for its default.
type Config struct {
	// MaxPacket is the largest packet that a client may send, in bytes, fixed header included; a larger one closes its
	// connection. 4 MiB.
	MaxPacket int

	// MaxConnections is the number of connections at a time; further ones are closed at once. 10 000.
	MaxConnections int

	// MaxSessions is the number of sessions, with a connection or without; a CONNECT that would need one more is answered
	// with return code 3. 10 000.
	MaxSessions int

	// MaxSubscriptions is the number of subscriptions of a session; further ones are answered with 0x80. 20 000.
	MaxSubscriptions int

	// MaxLevels is the number of levels of a topic filter, which is answered with 0x80 if it has more, and of a topic
	// name, which closes the connection. 200.
	MaxLevels int

	// Inflight is the number of QoS 1 and QoS 2 messages that a client is sent before it acknowledges the first: 20.
	Inflight int

	// QueueMessages and QueueBytes bound what waits for a session beyond that, whether it has a connection or not. A
	// message that does not fit is dropped for this session, and counted in Stats. 1 000 messages and 64 MiB.
	QueueMessages, QueueBytes int

	// OutgoingBytes is the size of a connection's outgoing buffer. While more waits there to be written, QoS 0 messages
	// for the client are dropped, and counted in Stats, and QoS 1 and QoS 2 messages stay in the session's queue. 8 MiB.
	OutgoingBytes int

	// RetainedBytes bounds the retained messages, topic names and payloads together. One that does not fit is not
	// retained, and an older one of its topic is removed. 256 MiB.
	RetainedBytes int

	// SessionExpiry is how long a session waits for its client; then it ends. 0: for ever.
	SessionExpiry time.Duration

	// AckDelay is the time that passes before a QoS 1 message is acknowledged.
	AckDelay time.Duration

	// BytesPerSecond bounds what is read from a connection, and what is written to it: after a second's worth in one go
	// there are pauses. 0: no bound.
	BytesPerSecond int

	// Deviations are departures from the standard.
	Deviations Deviations

	// ConnectTimeout is the time from the network connection to the end of CONNECT, TLS included. 10 seconds.
	ConnectTimeout time.Duration

	// DenySubscribe has topic filters that no client may subscribe to: exactly these are answered with 0x80.
	DenySubscribe []string

	// MaxQoS is the highest QoS that is granted to a subscription. nil: 2.
	MaxQoS *packet.QoS

	// Authenticate decides on a CONNECT: [packet.Accepted], or the return code to refuse it with. It is called on the
	// connection's own goroutine, at the same time for many. The CONNECT is good until it returns; state is nil
	// without TLS. nil: everybody is accepted.
	Authenticate func(connect *packet.Connect, state *tls.ConnectionState) packet.ConnectCode

	// RequireCertificate answers a CONNECT with return code 5 if its connection has no client certificate that TLS
	// verified.
	RequireCertificate bool

	// Guard makes the Guard of a client that connects. It is called on the connection's own goroutine, at the same time for
	// many, after Authenticate; an error refuses the client, see [Refusal]. nil: there are no further rules.
	Guard func(Arrival) (*Guard, error)

	// TLS is the server's side of [Broker.DialTLS].
	TLS *tls.Config

	// Observe is told of every packet in either direction and of the end of each connection, in order, such as by
	// [Transcript.Observe]. It is called with the broker locked: it must be quick, and must not call the broker.
	Observe func(Event)

	// Tap is called with each connection once TLS, if any, is there. What it returns is told of the connection's bytes on
	// the plain side of TLS: those from the client when they came, those to it before they are written, and nil, once, at
	// the end. It is called on two goroutines, must be quick, and must not keep the bytes.
	Tap func(net.Conn) func(fromClient bool, b []byte)
}

// withDefaults returns c with every number set.
func (c Config) withDefaults() Config {
	for _, d := range []struct {
		field *int
		value int
	}{
		{&c.MaxPacket, 4 << 20},
		{&c.MaxConnections, 10_000},
		{&c.MaxSessions, 10_000},
		{&c.MaxSubscriptions, 20_000},
		{&c.MaxLevels, 200},
		{&c.Inflight, 20},
		{&c.QueueMessages, 1000},
		{&c.QueueBytes, 64 << 20},
		{&c.OutgoingBytes, 8 << 20},
		{&c.RetainedBytes, 256 << 20},
	} {
		if *d.field <= 0 {
			*d.field = d.value
		}
	}
	c.Inflight = min(c.Inflight, 65_535) // there are no more packet identifiers
	if c.ConnectTimeout <= 0 {
		c.ConnectTimeout = 10 * time.Second
	}
	return c
}
