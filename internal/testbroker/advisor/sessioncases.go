package advisor

import (
	"time"

	"iotwire/internal/testbroker"
	"iotwire/mqtt/packet"
)

// comeback is how long a program may take to connect again after its first connection was lost.
const comeback = 30 * time.Second

// persistent waits until the program has a subscription in a session that it wants to keep.
func (t *trial) persistent() (subscription, string, *outcome) {
	sub, o := t.subscribed(packet.QoS1)
	if o != nil {
		return sub, "", o
	}
	connect := t.connectOf(sub.line)
	if connect.CleanSession {
		o := notApplicable("the program wants a clean session")
		return sub, "", &o
	}
	t.bench.pause(500 * time.Millisecond)
	return sub, string(connect.ClientID), nil
}

// back waits until the program is connected again, with the session that it had.
func (t *trial) back(before *line) (*line, *outcome) {
	s, ok := t.await(comeback, func(s sight) bool { return s.is(delivered, packet.CONNACK) && s.line != before })
	if !ok {
		o := t.missingWithin(comeback, "it does not connect again")
		return nil, &o
	}
	if t.connectOf(s.line).CleanSession {
		o := fail("it connects again with clean session 1, which ends the session")
		return nil, &o
	}
	return s.line, nil
}

func sessionResumed(b *bench) outcome {
	t := b.start(server{})
	sub, _, o := t.persistent()
	if o != nil {
		return *o
	}
	if o := t.resumes(sub); o != nil {
		return *o
	}
	return pass("the message that was stored meanwhile is acknowledged, and nothing subscribed again")
}

// resumes loses the connection and stores a message for the program meanwhile. It returns nil if all goes well.
func (t *trial) resumes(sub subscription) *outcome {
	sub.line.drop()
	t.bench.pause(100 * time.Millisecond) // until the broker has noticed
	if err := t.broker.Publish(sub.topic(), payload(100), packet.QoS1, false); err != nil {
		o := fail("nothing can be sent to the filter %q: %v", sub.filter, err)
		return &o
	}
	l, o := t.back(sub.line)
	if o != nil {
		return o
	}
	if o := t.acknowledged("the message that was stored meanwhile"); o != nil {
		return o
	}
	t.bench.pause(2 * time.Second)
	if t.seen(func(s sight) bool { return s.is(received, packet.SUBSCRIBE) && s.line == l }) > 0 {
		o := fail("it subscribes again, though the server has kept its session (session present 1)")
		return &o
	}
	return nil
}

func sessionExpired(b *bench) outcome {
	t := b.start(server{})
	sub, id, o := t.persistent()
	if o != nil {
		return *o
	}
	// Nobody may come back before the session is gone.
	t.lose(func(l *line, e testbroker.Event) bool { return e.Kind == testbroker.Received && l != sub.line })
	sub.line.drop()
	b.pause(100 * time.Millisecond)
	t.broker.Forget(id)
	t.lose(nil)
	l, o := t.back(sub.line)
	if o != nil {
		return *o
	}
	_, ok := t.await(prompt, func(s sight) bool {
		if !s.is(received, packet.SUBSCRIBE) || s.line != l {
			return false
		}
		p, err := packet.ParseSubscribe(s.body)
		if err != nil {
			return false
		}
		for filter := range p.Requests.All() {
			if string(filter) == sub.filter {
				return true
			}
		}
		return false
	})
	if !ok {
		return t.missingWithin(prompt, "its session is gone (session present 0), and it does not subscribe to %.60q again", sub.filter)
	}
	return pass("it subscribes to %.60q again", sub.filter)
}
