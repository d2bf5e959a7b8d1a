package testbroker

import (
	"crypto/tls"
	"errors"
	"net"
	"time"

	"iotwire/mqtt/packet"
)

// Guard has the rules of another kind of server for one connection, on top of the standard's: what its client may do,
// and who is told of it. Config.Guard makes it of a CONNECT. A function that is nil allows everything.
//
// The functions are called with the broker locked. They must be quick, and may call none of its methods but
// [Broker.Announce].
type Guard struct {
	// KeepAlive is the keep alive time in place of the one in CONNECT. 0: that one.
	KeepAlive time.Duration

	// Connected is called before CONNACK and all messages to the client, when an earlier connection of its identifier has
	// ended.
	Connected func()

	// Publish decides on a PUBLISH from the client. unacknowledged is the number of QoS 1 messages whose PUBACK waits for
	// Config.AckDelay. An error closes the connection, without a PUBACK.
	Publish func(p *packet.Publish, unacknowledged int) (Verdict, error)

	// Subscribe decides on a SUBSCRIBE. have is what the session has subscribed to, which it must not change. Where the
	// slice that it returns has [packet.SubackFailure] the topic filter is refused; nil refuses none. After
	// [ErrUnanswered] there is no SUBACK, any other error closes the connection.
	Subscribe func(p *packet.Subscribe, have map[string]struct{}) ([]byte, error)

	// Unsubscribe is Subscribe for an UNSUBSCRIBE.
	Unsubscribe func(p *packet.Unsubscribe) error

	// Queue decides whether a message is kept for the session, or sent at QoS 0. It is called for the last connection of
	// a session while the client is away, too.
	Queue func(p *packet.Publish) bool

	// Deliver decides whether a message is sent to the client, each time that it would be. What it refuses is dropped.
	Deliver func(p *packet.Publish) bool

	// Ended is called once, after the end of the connection. It decides whether the will, nil if there is none, is
	// published.
	Ended func(end End, why error, will *packet.Publish) bool

	connection *connection
}

// ErrUnanswered is returned by Guard.Subscribe for a SUBSCRIBE that is ignored.
var ErrUnanswered = errors.New("ignored")

// Verdict is what becomes of a PUBLISH.
type Verdict int

const (
	Route  Verdict = iota // to those who have subscribed, and acknowledge it
	Absorb                // acknowledge it: it goes to nobody
	Ignore                // as if it had not come
)

// Arrival is what a Config.Guard knows of a client that connects.
type Arrival struct {
	Remote  net.Addr
	TLS     *tls.ConnectionState // nil without TLS
	Connect *packet.Connect      // good until Config.Guard returns, who may change it
}

// Refusal is an error of Config.Guard that is told to the client: in a CONNACK with Code. After any other error the
// connection is closed without one.
type Refusal struct {
	Code packet.ConnectCode
	Err  error
}

func (r *Refusal) Error() string { return r.Err.Error() }
func (r *Refusal) Unwrap() error { return r.Err }

// End says in which way a connection ended.
type End int

const (
	Disconnected End = iota // by DISCONNECT
	Lost                    // the network connection broke, or ended without DISCONNECT
	Silent                  // keep alive ran out
	TakenOver               // another connection has the client identifier now
	Dropped                 // by a method of the broker
	Mistaken                // the client broke a rule, or its Guard returned an error
)

var (
	errTakenOver = errors.New("another client connected with the client identifier")
	errSilent    = errors.New("one and a half times the keep alive time")
)

// endOf classifies the reason for which a connection ended.
func endOf(why error) End {
	switch {
	case why == nil:
		return Disconnected
	case errors.Is(why, errSilent):
		return Silent
	case errors.Is(why, errTakenOver):
		return TakenOver
	case errors.Is(why, errDropped), errors.Is(why, errRestarted), errors.Is(why, ErrClosed):
		return Dropped
	case lost(why):
		return Lost
	}
	return Mistaken
}

// Close ends the guard's connection, if it has not ended yet, for a reason that Ended is told. The caller must not have
// the broker locked.
func (g *Guard) Close(why error) {
	c := g.connection
	if c == nil {
		return // the CONNECT was not accepted
	}
	c.broker.mu.Lock()
	defer c.broker.mu.Unlock()
	c.abort(why)
}

// Announce is [Broker.Publish], at QoS 1 and without checks, for the functions of a [Guard]. The payload is copied.
func (b *Broker) Announce(topic string, payload []byte) {
	b.route(&packet.Publish{Topic: []byte(topic), Payload: payload, QoS: packet.QoS1})
}

func (m *message) publish() *packet.Publish {
	return &packet.Publish{Topic: m.topic, Payload: m.payload, QoS: m.qos, Retain: m.retain}
}
