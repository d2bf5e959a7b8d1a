package mqtt

import (
	"io"
	"slices"
	"strings"
	"time"

	"iotwire/mqtt/packet"
)

// LostError is the end of a connection that the server had accepted, and what was going on at the time. MQTT 3.1.1 has no
// packet by which a server says why it hangs up; what it had been sent is the best that is known. It matches [ErrLost]
// and its Cause.
type LostError struct {
	Cause error

	Up   time.Duration // from CONNACK to the end
	Idle time.Duration // of that, the time at the end in which no packet went either way

	// Short counts the connections in a row, this one included, that the server accepted and closed again within
	// Backoff.Stable. It is 0 if this one lasted longer, or ended in another way.
	Short int

	// Acknowledged counts the messages of QoS 1 and 2 that the server has acknowledged on this connection.
	Acknowledged int

	// Publishing is the message that the server is most likely not to have taken: the oldest that was sent on this
	// connection and not acknowledged or, if there is none, one of QoS 0 that was sent just before the end. It has no
	// payload. Nil: there was none.
	Publishing *Message

	// Subscribing has the topic filters of each SUBSCRIBE that was not answered, in alphabetical order.
	Subscribing []string
}

// Error returns one line.
func (e *LostError) Error() string {
	if e.Cause == io.EOF {
		return ErrLost.Error() + ": the server closed it"
	}
	return ErrLost.Error() + ": " + e.Cause.Error()
}

// Unwrap returns ErrLost and the cause.
func (e *LostError) Unwrap() []error { return []error{ErrLost, e.Cause} }

// soon is how long after a packet the end of a connection may be the answer to it.
const soon = 5 * time.Second

// lost makes the error for the end of l, which was up for this long. The link's writer has ended, and the session does
// not know yet. The lock is held.
func (c *Client) lost(l *link, cause error, up time.Duration) *LostError {
	e := &LostError{Cause: cause, Up: up, Acknowledged: c.session.acknowledged}
	e.Idle = max(0, c.now()-max(l.lastSent, time.Duration(l.lastRead.Load())))
	if up >= c.cfg.Backoff.Stable || !closedByPeer(cause) {
		c.short = 0
	} else {
		c.short++
	}
	e.Short = c.short
	e.Publishing, e.Subscribing = c.session.unanswered(e.Idle < soon)
	return e
}

// unanswered returns what LostError tells of the session at the end of a connection. recent is whether a message of QoS 0
// counts, if it was the last.
func (s *session) unanswered(recent bool) (publishing *Message, subscribing []string) {
	for f := s.sent.head; f != nil && publishing == nil; f = f.next {
		if f.conn == s.conn && f.start < s.offered {
			h, n, _ := packet.ParseHeader(f.packet)
			p, _ := packet.ParsePublish(h.Flags, f.packet[n:])
			publishing = &Message{Topic: string(p.Topic), QoS: p.QoS, Retain: p.Retain, Dup: p.Dup}
		}
	}
	if publishing == nil && recent && s.latest.topic != "" && s.latest.conn == s.conn {
		publishing = &Message{Topic: s.latest.topic, Retain: s.latest.retain}
	}
	for _, r := range s.pending {
		for _, w := range r.wishes {
			if !r.unsubscribe {
				subscribing = append(subscribing, w.filter)
			}
		}
	}
	slices.SortFunc(subscribing, strings.Compare) // crypto/tls has that function too, and not slices.Sort for strings
	return publishing, subscribing
}

// latest is the last message of QoS 0: nobody acknowledges it, and a server may hang up on it.
type latest struct {
	topic  string
	retain bool
	conn   int // the connection on which it was sent
}
