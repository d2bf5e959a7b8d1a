package advisor

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"time"

	"iotwire/internal/testbroker"
	"iotwire/mqtt/packet"
)

// accepted waits for the first CONNACK that reaches the program, and returns the CONNECT that it answers.
func (t *trial) accepted() (packet.Connect, *line, *outcome) {
	s, ok := t.await(firstConnection, func(s sight) bool { return s.is(delivered, packet.CONNACK) })
	if !ok {
		o := t.missing("not connected")
		return packet.Connect{}, nil, &o
	}
	return t.connectOf(s.line), s.line, nil
}

// connectOf is the CONNECT of a connection.
func (t *trial) connectOf(l *line) (connect packet.Connect) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, s := range t.sights {
		if s.line == l && s.is(received, packet.CONNECT) {
			connect, _ = packet.ParseConnect(s.body)
		}
	}
	return connect
}

// is reports whether s is a packet of this type in this direction.
func (s sight) is(kind sightKind, p packet.Type) bool { return s.kind == kind && s.header.Type == p }

// publish is the PUBLISH that s is.
func (s sight) publish() packet.Publish {
	p, _ := packet.ParsePublish(s.header.Flags, s.body) // the broker ends what it cannot parse
	return p
}

// subscription is a topic filter that a program has subscribed to.
type subscription struct {
	line   *line
	filter string
	qos    packet.QoS
}

// topic is a topic name that the filter matches.
func (s subscription) topic() string {
	filter := s.filter
	if rest, ok := strings.CutPrefix(filter, "$share/"); ok {
		_, filter, _ = strings.Cut(rest, "/")
	}
	levels := strings.Split(filter, "/")
	for i, level := range levels {
		if level == "+" || level == "#" {
			levels[i] = "advisor"
		}
	}
	return strings.Join(levels, "/")
}

// subscribed waits until the program has a subscription of some QoS at least, that of its first filter of that kind.
func (t *trial) subscribed(least packet.QoS) (sub subscription, o *outcome) {
	if _, _, o := t.accepted(); o != nil {
		return sub, o
	}
	found := false
	_, ok := t.await(idle, func(s sight) bool {
		if s.is(received, packet.SUBSCRIBE) {
			if p, err := packet.ParseSubscribe(s.body); err == nil && !found {
				for filter, qos := range p.Requests.All() {
					if !found || qos > sub.qos {
						sub, found = subscription{s.line, string(filter), qos}, true
					}
				}
			}
		}
		return s.is(delivered, packet.SUBACK) && found
	})
	switch {
	case !ok && !found:
		o := notApplicable("the program does not subscribe")
		if e := t.exitOf(); e != nil && !e.success {
			o = t.missing("no SUBSCRIBE")
		}
		return sub, &o
	case sub.qos < least:
		o := notApplicable("the program subscribes with QoS %d, and the case needs QoS %d", sub.qos, least)
		return sub, &o
	}
	return sub, nil
}

// deliver sends a message to the program and waits for its PUBACK.
func (t *trial) deliver(sub subscription, size int, what string) outcome {
	t.bench.pause(300 * time.Millisecond) // AWS does not send at once either
	if err := t.broker.Publish(sub.topic(), payload(size), packet.QoS1, false); err != nil {
		return fail("nothing can be sent to the filter %q: %v", sub.filter, err)
	}
	if sub.qos == packet.QoS0 {
		if _, lost := t.await(3*time.Second, func(s sight) bool { return s.kind == gone || s.kind == exited }); lost {
			return t.missing("it does not survive %s", what)
		}
		return warn("%s sent with QoS 0, as subscribed: whether they were received is not known", what)
	}
	if o := t.acknowledged(what); o != nil {
		return *o
	}
	return pass("%s, acknowledged", what)
}

// acknowledged waits for the PUBACK of the next message that is delivered. It returns nil if it comes.
func (t *trial) acknowledged(what string) *outcome {
	d, ok := t.await(prompt, func(s sight) bool { return s.is(delivered, packet.PUBLISH) })
	if !ok {
		o := t.missing("%s not delivered", what)
		return &o
	}
	id := d.publish().ID
	s, ok := t.await(prompt, func(s sight) bool {
		answer := s.is(received, packet.PUBACK) && bytes.Equal(s.body, []byte{byte(id >> 8), byte(id)})
		return s.line == d.line && (answer || s.kind == gone)
	})
	if ok && s.kind == received {
		return nil
	}
	o := t.missingWithin(prompt, "%s: no PUBACK", what)
	if ok {
		o = t.missing("%s: the connection ended without PUBACK", what)
	}
	return &o
}

// payload is n bytes of text.
func payload(n int) []byte { return bytes.Repeat([]byte("advisor "), n/8+1)[:n] }

func mqttConnect(b *bench) outcome {
	t := b.start(server{})
	c, _, o := t.accepted()
	if o != nil {
		return *o
	}
	b.pause(time.Second) // a second CONNECT, or bytes that are no packet
	clean := 0
	if c.CleanSession {
		clean = 1
	}
	return pass("client identifier %.40q, keep alive %d s, clean session %d", c.ClientID, c.KeepAlive, clean)
}

// does waits until the program has published with QoS 0 or subscribed, whichever is wanted, and says what else it did.
func (t *trial) does(wanted func(sight) bool) (found, publishes, subscribes bool) {
	_, found = t.await(idle, wanted)
	publishes = t.seen(func(s sight) bool { return s.is(received, packet.PUBLISH) }) > 0
	subscribes = t.seen(func(s sight) bool { return s.is(received, packet.SUBSCRIBE) }) > 0
	return found, publishes, subscribes
}

func mqttPublish(b *bench) outcome {
	t := b.start(server{})
	if _, _, o := t.accepted(); o != nil {
		return *o
	}
	var p packet.Publish
	found, publishes, subscribes := t.does(func(s sight) bool {
		p = s.publish()
		return s.is(received, packet.PUBLISH) && p.QoS == packet.QoS0
	})
	switch {
	case found:
		return pass("to %.60q", p.Topic)
	case publishes:
		return notApplicable("the program publishes with QoS 1 or 2, and AWS's case is about QoS 0")
	case subscribes:
		return notApplicable("the program does not publish")
	}
	return t.missing("it connects and then neither publishes nor subscribes")
}

func mqttSubscribe(b *bench) outcome {
	t := b.start(server{})
	if _, _, o := t.accepted(); o != nil {
		return *o
	}
	found, publishes, _ := t.does(func(s sight) bool { return s.is(received, packet.SUBSCRIBE) })
	switch {
	case found:
		b.pause(time.Second)
		return pass("%s", t.filters())
	case publishes:
		return notApplicable("the program does not subscribe")
	}
	return t.missing("it connects and then neither publishes nor subscribes")
}

// filters is what the program has subscribed to.
func (t *trial) filters() string {
	var texts []string
	t.seen(func(s sight) bool {
		if s.is(received, packet.SUBSCRIBE) {
			if p, err := packet.ParseSubscribe(s.body); err == nil {
				for filter, qos := range p.Requests.All() {
					texts = append(texts, fmt.Sprintf("%.60q with QoS %d", filter, qos))
				}
			}
		}
		return false
	})
	if len(texts) > 3 {
		texts = append(texts[:3], "...")
	}
	return strings.Join(slices.Compact(texts), ", ")
}

func mqttPuback(b *bench) outcome {
	t := b.start(server{})
	sub, o := t.subscribed(packet.QoS1)
	if o != nil {
		return *o
	}
	return t.deliver(sub, 100, "a message of 100 bytes")
}

// lost is a fault that withholds all packets of these types to the program.
func lost(types ...packet.Type) fault {
	return func(_ *line, e testbroker.Event) bool {
		return e.Kind == testbroker.Sent && slices.Contains(types, e.Header.Type)
	}
}

// retryLimit is how long a program may take to send again what was not answered.
const retryLimit = 30 * time.Second

func publishRetry(b *bench) outcome {
	t := b.start(server{withhold: lost(packet.PUBACK)})
	if _, _, o := t.accepted(); o != nil {
		return *o
	}
	first, ok := t.await(idle, func(s sight) bool { return s.is(received, packet.PUBLISH) && s.publish().QoS == packet.QoS1 })
	if !ok {
		return t.noWork("publish with QoS 1")
	}
	return t.retried(first, retryLimit)
}

func subscribeRetry(b *bench) outcome {
	t := b.start(server{withhold: lost(packet.SUBACK)})
	if _, _, o := t.accepted(); o != nil {
		return *o
	}
	first, ok := t.await(idle, func(s sight) bool { return s.is(received, packet.SUBSCRIBE) })
	if !ok {
		return t.noWork("subscribe")
	}
	return t.retried(first, retryLimit)
}

// noWork is the outcome for a program that does not do what the case is about.
func (t *trial) noWork(what string) outcome {
	if e := t.exitOf(); e != nil && !e.success {
		return t.missing("it does not %s", what)
	}
	return notApplicable("the program does not %s", what)
}

// retried waits until a PUBLISH or SUBSCRIBE comes again, with its identifier and on the same connection. On another one
// the time begins anew, once or twice.
func (t *trial) retried(first sight, patience time.Duration) outcome {
	name := first.header.Type.String()
	reconnects := 0
	end := time.Now().Add(2 * patience)
	for deadline := time.Now().Add(patience); ; {
		s, ok := t.await(time.Until(deadline), func(s sight) bool {
			return s.is(received, first.header.Type) && (s.line != first.line || identifier(s) == identifier(first))
		})
		again := fmt.Sprintf("%s %d comes again", name, identifier(first))
		switch {
		case !ok && reconnects > 0:
			return t.missing("%s on new connections only, after %d reconnects, and never on the same one", again, reconnects)
		case !ok:
			return t.missingWithin(patience, "%s is not sent again", name)
		case s.line != first.line:
			first = s
			reconnects++
			if deadline = time.Now().Add(patience); deadline.After(end) {
				deadline = end
			}
		case s.sum != first.sum:
			return fail("%s with other content", again)
		default:
			return pass("%s after %.1f s", again, s.at.Sub(first.at).Seconds())
		}
	}
}

// identifier is the packet identifier of a PUBLISH of QoS 1 or a SUBSCRIBE.
func identifier(s sight) uint16 {
	if s.header.Type == packet.PUBLISH {
		return s.publish().ID
	}
	p, _ := packet.ParseSubscribe(s.body)
	return p.ID
}

// noAnswers withholds every answer, and waits for the program to notice.
func noAnswers(b *bench) outcome {
	withheld := make(chan struct{}, 1)
	silent := lost(packet.PUBACK, packet.PUBREC, packet.PUBCOMP, packet.SUBACK, packet.UNSUBACK, packet.PINGRESP)
	t := b.start(server{withhold: func(l *line, e testbroker.Event) bool {
		lose := silent(l, e)
		if lose {
			select {
			case withheld <- struct{}{}:
			default:
			}
		}
		return lose
	}})
	connect, l, o := t.accepted()
	if o != nil {
		return *o
	}
	keepAlive := time.Duration(connect.KeepAlive) * time.Second
	limit := keepAlive*3/2 + 15*time.Second
	if limit > caseLimit-firstConnection {
		return notApplicable("a keep alive time of %v is too long to be waited for: give the program one of 60 s at most", keepAlive)
	}
	if keepAlive == 0 {
		limit = 45 * time.Second
	}
	s, ok := t.await(limit, func(s sight) bool { return s.kind == gone && s.line == l })
	unanswered := len(withheld) > 0
	switch {
	case !ok && keepAlive == 0:
		return t.missingWithin(limit, "keep alive is off, and it does not notice that nobody answers")
	case !ok:
		return t.missingWithin(limit, "with a keep alive time of %v it does not notice that nobody answers", keepAlive)
	case s.ours:
		return fail("it sends nothing for one and a half times its keep alive time of %v", keepAlive)
	case !unanswered:
		return t.finished("nothing that it sent needed an answer")
	}
	return pass("it hung up after %.1f s, with a keep alive time of %v", s.at.Sub(l.came).Seconds(), keepAlive)
}

// finished is the outcome for a program that hung up before its case began.
func (t *trial) finished(why string) outcome {
	t.await(2*time.Second, func(s sight) bool { return s.kind == exited })
	switch e := t.exitOf(); {
	case e == nil:
		return notApplicable("the program hung up by itself: %s", why)
	case !e.success:
		return fail("the program ended with %s: %s", e.how, why)
	}
	return notApplicable("the program was done before the case began: %s", why)
}
