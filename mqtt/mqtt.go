// Package mqtt is an MQTT 3.1.1 client that never lies about delivery.
//
// A [Client] is a session: subscriptions that stay true and messages that are delivered, over as many connections as
// that takes. [Client.Run] is its life: it connects, reads, reconnects, and returns when it is over.
//
//	c, err := mqtt.New(mqtt.Config{Dial: dial, ClientID: "meter-7"})
//	go c.Run(ctx)
//	err = c.Publish(ctx, mqtt.Message{Topic: "meter/7", Payload: []byte("42"), QoS: mqtt.QoS1})
//
// # Where to begin
//
// [New] takes a [Config], of which only Dial is required; package iot fills one for AWS IoT Core. Run the client in a
// goroutine of its own, then:
//
//   - to publish and know the outcome, [Client.Publish]; to have many messages on their way, [Client.Submit];
//   - to receive, [Client.Subscribe], once and best before Run, and a loop over [Subscription.Messages]; to acknowledge
//     later than the loop's next step, [Message.Hold];
//   - to outlive the process, Config.Store, which package filestore provides;
//   - to watch, [Trace] and [Client.Stats];
//   - to leave, [Client.Shutdown].
//
// # Which QoS
//
// QoS 1 fits nearly everything: a message arrives at least once, over reconnects, and now and then twice, which the receiver
// has to bear. QoS 0 is for readings that the next one replaces: it costs no answer, is lost with the connection, and is not
// queued without one. QoS 2 is for what must not come twice, at two round trips a message; it holds from hop to hop, while the
// server keeps the session, and AWS IoT Core does not have it.
//
// # Errors
//
// Publish returns nil only for a message that the server acknowledged (QoS 1 and 2) or that was handed to the network
// whole (QoS 0). Every other end matches exactly one of [ErrNotSent] (no byte of it left, and it is withdrawn: sending
// it again cannot make two of it) and [ErrUnconfirmed] (it may have arrived), with [errors.Is]. Mistakes in what the
// program asks for match [packet.ErrInvalid], and also ErrNotSent when Publish reports them. What a connection can end
// with is [ErrHungUp], [ErrLost] (a [*LostError]), [ErrTimeout], [ErrProtocol] and [*ConnectError]; an error of
// Config.Dial is passed on as it is.
//
// After ErrNotSent it is safe to publish again, once the reason is cured: the message itself (ErrInvalid), no room
// ([ErrQueueFull]), no connection ([ErrOffline], QoS 0 only), no time left (the context's error).
//
// After ErrUnconfirmed at QoS 1 and 2 do nothing while the client runs: it goes on delivering that very message, and
// publishing again would make a second one of it. Three cases are over: [ErrStored] (a later client with the same Store delivers it, see
// [Client.Resumed]), [ErrRejected] (the server does not want it) and [ErrSessionLost]. In the last one, and when a client
// without a Store has ended, publish again if the message may come twice, and do not if it may not.
//
// The package imports neither crypto/tls nor os: Config.Dial makes the connection, package iot makes one for AWS.
package mqtt

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"iotwire/mqtt/packet"
)

// QoS is the level of delivery of a message: see [packet.QoS].
type QoS = packet.QoS

// The three levels of delivery.
const (
	QoS0 = packet.QoS0 // at most once
	QoS1 = packet.QoS1 // at least once
	QoS2 = packet.QoS2 // exactly once, while the session lives
)

var (
	// ErrNotSent says that no byte of the message left this program and none will: publishing it again cannot make
	// two of it.
	ErrNotSent = errors.New("not sent")

	// ErrUnconfirmed says that the message may have arrived: it was sent, perhaps in part, and no acknowledgement came.
	// While Run lives, the session goes on delivering it.
	ErrUnconfirmed = errors.New("sent, but not acknowledged")

	// ErrStored says that the client is over, and that the message is kept in Config.Store: a later client will deliver
	// it. It is a case of ErrUnconfirmed.
	ErrStored error = storedError{}

	// ErrStore says that Config.Store failed, and why. Nothing that needs it is done any more, and Run ends with it.
	ErrStore = errors.New("the session store failed")

	// ErrRejected says that the server hung up whenever this message was sent: see Config.MaxAttempts. It comes with
	// ErrUnconfirmed.
	ErrRejected = errors.New("rejected: the server hangs up on this message")

	// ErrClosed says that the client is over: Shutdown was called or Run has returned.
	ErrClosed = errors.New("client closed")

	// ErrQueueFull says that Config.Queue had no room and its policy is Reject, or that a newer message took the
	// place of this one (DropOldest). It comes with ErrNotSent.
	ErrQueueFull = errors.New("queue full")

	// ErrSessionLost says that the server has forgotten the session. A QoS 2 message that was sent ends with it, and
	// with ErrUnconfirmed: to send it again could deliver it twice, not to could lose it, and only the program can
	// choose. [Message.Ack] returns it for a message that the new session does not know.
	ErrSessionLost = errors.New("session lost: the server has forgotten it")

	// ErrRefused says that the server answered SUBSCRIBE with failure (0x80) for this filter.
	ErrRefused = errors.New("subscription refused by the server (SUBACK 0x80)")

	// ErrUnsubscribed says that the Subscription was closed.
	ErrUnsubscribed = errors.New("subscription closed")

	// ErrHungUp says that the server closed the connection in place of a CONNACK, as AWS IoT Core does with a client
	// that its policy does not allow [MQTT-3.2.2-6].
	ErrHungUp = errors.New("the server hung up after CONNECT without a CONNACK")

	// ErrLost says that a connection which had been accepted is gone: see [LostError]. The cause is in the chain.
	ErrLost = errors.New("connection lost")

	// ErrTimeout says that the server was silent for too long. An accepted connection that ends so matches ErrLost too.
	ErrTimeout = errors.New("timeout")

	// ErrNoConnack says that the connection was made, and no CONNACK came in time. It comes with ErrTimeout.
	ErrNoConnack = errors.New("no CONNACK")

	// ErrProtocol says that the server broke a rule of MQTT 3.1.1. If a packet was malformed, its [*packet.Error] is in
	// the chain. An accepted connection that ends so matches ErrLost too.
	ErrProtocol = errors.New("protocol violation by the server")

	// ErrTooLarge says that a received message was above Config.MaxPacket: it was skipped and acknowledged.
	ErrTooLarge = packet.ErrTooLarge
)

// storedError is the type of ErrStored, which matches ErrUnconfirmed too.
type storedError struct{}

func (storedError) Error() string        { return "not acknowledged, but kept in the store for a later run" }
func (storedError) Is(target error) bool { return target == ErrUnconfirmed }

// ConnectError is a CONNACK with a return code other than 0 (section 3.2.2.3).
type ConnectError struct {
	Code packet.ConnectCode
}

// Error returns one line with the code and its meaning.
func (e *ConnectError) Error() string {
	return fmt.Sprintf("refused: %s (CONNACK %d, MQTT 3.1.1 section 3.2.2.3)", e.Code, uint8(e.Code))
}

// Config says what a client is and does. Only Dial is required; the zero value of every other field stands for the
// default that it names. New copies it.
type Config struct {
	// Dial opens a network connection: TCP, TLS, anything that is an ordered, lossless stream [MQTT-7.1.2-1]. It is
	// called for each attempt, on a goroutine of its own, under a context that ends with Run or after Timeout, and has to
	// obey it.
	Dial func(ctx context.Context) (net.Conn, error)

	// ClientID names the session [MQTT-3.1.3-2]. It may be empty with CleanSession only: the server then chooses one.
	ClientID string

	// Credentials, if not nil, is asked for user name and password for each attempt. A nil password is not sent.
	Credentials func(ctx context.Context) (username string, password []byte, err error)

	// Will, if not nil, is the message that the server publishes when the connection ends without DISCONNECT.
	Will *Message

	// KeepAlive is the longest time without a packet to the server; PINGREQ fills the gap [MQTT-3.1.2-23]. It is sent
	// as well when nothing came for as long. Rounded up to whole seconds, at most 65 535. Default 60 s; negative: off.
	KeepAlive time.Duration

	// CleanSession asks for a session that ends with the connection. What was in flight is then handled as after any
	// loss of the session: see ErrSessionLost.
	CleanSession bool

	// MaxPacket is the largest packet taken in, in bytes. It is compared with the length in the fixed header before
	// anything is allocated. A larger message goes to Large; without that it is skipped, acknowledged and given to
	// Trace.Dropped, since to hang up would bring it again and again. Any other larger packet is ErrProtocol. Default
	// 256 KiB.
	MaxPacket int

	// Inbox is the number of bytes of received messages that may wait for the program. When it is full the client stops
	// reading, and PINGREQs still leave; unless an answer is awaited or a message is held: then it reads on, so that a
	// program can publish and wait inside its message loop, QoS 0 messages are dropped (Trace.Dropped), and the server's
	// own limit of unacknowledged messages bounds what comes at QoS 1 and 2. Default 256 KiB.
	Inbox int

	// Inflight is the number of QoS 1 and 2 messages that may be unacknowledged at a time, at most 65 535. Default 32.
	Inflight int

	// Queue bounds the messages that were accepted but wait for room in flight, or for a connection.
	Queue Queue

	// SubscribeBatch is the number of topic filters in one SUBSCRIBE or UNSUBSCRIBE. Default 64; AWS IoT Core takes 8.
	SubscribeBatch int

	// Timeout bounds one attempt to connect, from Dial to CONNACK; the wait for an answer to PINGREQ; and, on a
	// connection, the time for one byte to move. Default 10 s.
	Timeout time.Duration

	// Backoff spaces the attempts to connect.
	Backoff Backoff

	// Retry reports whether Run connects again after err. Nil: it does, except after a CONNACK that refuses for a
	// reason that time does not cure, which is every code but 3, server unavailable.
	Retry func(err error) bool

	// Resend, if not 0, is how long a PUBLISH, PUBREL, SUBSCRIBE or UNSUBSCRIBE may stay without an answer on a live
	// connection before it is sent again, with its identifier: the oldest of each first, three times at most. The
	// standard asks for that after a reconnect only [MQTT-4.4.0-1]; the test suite of AWS asks for it on a live one.
	Resend time.Duration

	// MaxAttempts, if not 0, guards against a message that the server answers by hanging up, and that would be sent
	// again for ever. After two connections in a row that ended within Backoff.Stable with messages in flight, messages
	// go one at a time; when the connection has ended MaxAttempts times with the same message alone in flight, that one
	// fails with ErrRejected and ErrUnconfirmed, and the others go on.
	MaxAttempts int

	// Large, if not nil, gets the messages above MaxPacket: m without a payload, and the payload, size bytes, straight
	// from the connection. It runs on Run's goroutine: the connection waits for it, and it must not wait for the client.
	// When it returns nil, what it has not read is skipped and the message acknowledged; an error ends the connection
	// without an acknowledgement. It is called again for a QoS 1 message that the server sends again.
	Large func(m *Message, size int, payload io.Reader) error

	// Store, if not nil, keeps the session: messages of QoS 1 and 2 are accepted once they are in the store, without a
	// connection too, and a later client with the same store and ClientID delivers what this one could not. The client
	// closes it when Run has returned. Nil: the session lives in memory, as long as the client.
	Store Store

	// Check, if not nil, judges each message before it is accepted, and CheckFilter each filter before it is declared:
	// the place for a server's own limits, such as those of AWS IoT Core. Publish, Submit and Subscribe return its error.
	Check       func(m *Message) error
	CheckFilter func(filter string, q QoS) error

	// Trace, if not nil, is told what happens.
	Trace *Trace
}

// Queue bounds what waits to be sent.
type Queue struct {
	Messages int // default 1024
	Bytes    int // of whole packets; default 1 MiB. One message alone may be larger.
	Full     FullPolicy
}

// FullPolicy says what Publish and Submit do when the queue is full.
type FullPolicy uint8

// The policies of a full queue. What DropOldest drops leaves the Store in the next instant: after a crash before that it
// is there yet.
const (
	Block      FullPolicy = iota // wait for room, as long as the context allows
	Reject                       // fail with ErrQueueFull
	DropOldest                   // make room: the oldest message that waits fails with ErrQueueFull
)

// Backoff spaces attempts with full jitter: attempt n waits a random time between 0 and Min*2^n, at most Max, and at
// least Floor. n starts again at 0 only after a connection that lasted for Stable, so that short successes do not make
// a storm.
type Backoff struct {
	Min    time.Duration // what doubles with each attempt; default 1 s
	Max    time.Duration // no wait is longer; default 2 min
	Floor  time.Duration // no wait is shorter; default 0
	Stable time.Duration // a connection that lasted for this was a success; default 30 s
}

// Trace has functions that are told what happens, like those of net/http/httptrace. Each may be nil. They are called
// on Run's goroutine, with no lock held. They must return soon: the connection waits for them.
type Trace struct {
	// Connecting comes before each attempt to connect; attempt counts from 1 since the last stable connection.
	Connecting func(attempt int)

	// Connected comes after a CONNACK that accepts.
	Connected func(sessionPresent bool)

	// Disconnected comes when an attempt failed or a connection ended. retry is whether Run connects again, after wait.
	Disconnected func(err error, retry bool, wait time.Duration)

	// Subscribed comes with the server's answer to each filter: the QoS granted, or ErrRefused.
	Subscribed func(filter string, granted QoS, err error)

	// Dropped comes when a received message reaches nobody: err is ErrTooLarge (m has then no payload), ErrInboxFull
	// (QoS 0 only) or ErrNoSubscription. m is good until the function returns.
	Dropped func(m *Message, err error)

	// Damaged comes, from New, with a record of Config.Store that cannot be read. The others are used.
	Damaged func(err error)

	// Ignored comes with an acknowledgement that answers nothing: one that came twice, or after the session was lost.
	Ignored func(t packet.Type, id uint16)
}

var (
	// ErrInboxFull is the reason given to Trace.Dropped for a QoS 0 message that found no room.
	ErrInboxFull = errors.New("inbox full")

	// ErrNoSubscription is the reason given to Trace.Dropped for a message that matches no Subscription.
	ErrNoSubscription = errors.New("no subscription matches")
)

// Stats is what a client counted since New, and where it stands. Accepted == Done + Failed + Pending, always.
type Stats struct {
	Online   bool // a CONNACK has accepted, and the connection has not ended
	Connects int  // connections that were accepted

	Accepted uint64 // messages that Publish and Submit took
	Done     uint64 // of these: acknowledged, or at QoS 0 handed to the network
	Failed   uint64 // of these: ended with an error
	Pending  int    // of these: in flight or queued
	Inflight int    // of the pending: sent or about to be

	Received   uint64 // messages that came in whole
	Delivered  uint64 // of these: given to a Subscription
	Dropped    uint64 // of these: given to nobody; see Trace.Dropped
	InboxBytes int    // received and waiting for the program
	Held       int    // of the delivered: Hold was called, and Ack not yet

	BytesOut, BytesIn uint64 // on all connections, as MQTT, without TLS
}
