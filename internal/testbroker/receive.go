package testbroker

import (
	"bytes"
	"fmt"
	"slices"
	"time"

	"iotwire/mqtt/packet"
)

// receive handles a packet of a connected client. It is called with the lock held. An error closes the connection
// [MQTT-4.8.0-1].
func (c *connection) receive(h packet.Header, body []byte) error {
	c.observeReceived(h, body)
	if c.broker.config.Deviations.NoQoS2 && h.Type >= packet.PUBREC && h.Type <= packet.PUBCOMP {
		return fmt.Errorf("%v, and there is no QoS 2 here", h.Type)
	}
	switch h.Type {
	case packet.PUBLISH:
		p, err := packet.ParsePublish(h.Flags, body)
		if err != nil {
			return err
		}
		return c.receivePublish(&p)
	case packet.PUBACK:
		p, err := packet.ParsePuback(body)
		if err != nil {
			return err
		}
		return c.session.acknowledge(p.ID)
	case packet.PUBREC:
		p, err := packet.ParsePubrec(body)
		if err != nil {
			return err
		}
		return c.session.release(p.ID)
	case packet.PUBREL:
		p, err := packet.ParsePubrel(body)
		if err != nil {
			return err
		}
		c.receivePubrel(p.ID)
		return nil
	case packet.PUBCOMP:
		p, err := packet.ParsePubcomp(body)
		if err != nil {
			return err
		}
		return c.session.complete(p.ID)
	case packet.SUBSCRIBE:
		p, err := packet.ParseSubscribe(body)
		if err != nil {
			return err
		}
		return c.receiveSubscribe(&p)
	case packet.UNSUBSCRIBE:
		p, err := packet.ParseUnsubscribe(body)
		if err != nil {
			return err
		}
		return c.receiveUnsubscribe(&p)
	case packet.PINGREQ:
		start := len(c.out)
		c.out = packet.AppendPingresp(c.out) // [MQTT-3.12.4-1]
		c.reply(start)
		return nil
	case packet.DISCONNECT:
		c.will = nil // [MQTT-3.14.4-3] It is discarded unpublished. [MQTT-3.1.2-10]
		return errDisconnect
	case packet.CONNECT:
		return fmt.Errorf("a second CONNECT on one connection [MQTT-3.1.0-2]")
	}
	return fmt.Errorf("%v comes from servers only (table 2.1)", h.Type)
}

// receivePublish routes a message and answers it, in the order in which messages come [MQTT-4.6.0-2] [MQTT-4.6.0-3].
func (c *connection) receivePublish(p *packet.Publish) error {
	b := c.broker
	if err := b.checkLevels("topic name", p.Topic); err != nil {
		return err
	}
	if c.guard != nil && c.guard.Publish != nil {
		message := *p // so that p itself need not be on the heap
		verdict, err := c.guard.Publish(&message, len(c.delayed))
		if err != nil || verdict == Ignore {
			return err
		}
		if verdict == Absorb {
			c.acknowledge(p)
			return nil
		}
	}
	switch p.QoS { // [MQTT-3.3.4-1]
	case packet.QoS0:
		b.route(p)
	case packet.QoS1:
		// [MQTT-4.3.2-2] It is owned once it is in the sessions that it goes to; DUP or not, it is a new message.
		b.route(p)
	case packet.QoS2:
		// [MQTT-4.3.3-2] Until PUBREL the identifier stands for this message: it is delivered once, at once (method B of
		// figure 4.3), and acknowledged each time.
		if _, again := c.session.received[p.ID]; !again {
			c.session.received[p.ID] = struct{}{}
			b.route(p)
		}
	}
	c.acknowledge(p)
	return nil
}

// acknowledge answers a PUBLISH.
func (c *connection) acknowledge(p *packet.Publish) {
	start := len(c.out)
	switch {
	case p.QoS == packet.QoS0:
		return
	case p.QoS == packet.QoS2:
		c.out, _ = packet.AppendPubrec(c.out, &packet.Pubrec{ID: p.ID})
	case c.broker.config.AckDelay > 0:
		c.acknowledgeLater(p.ID)
		return
	default:
		c.out, _ = packet.AppendPuback(c.out, &packet.Puback{ID: p.ID})
	}
	c.reply(start)
}

// delayedAck is a PUBACK that waits for Config.AckDelay.
type delayedAck struct {
	id  uint16
	due time.Time
}

// acknowledgeLater answers a QoS 1 PUBLISH after Config.AckDelay, if the connection still lasts then.
func (c *connection) acknowledgeLater(id uint16) {
	delay := c.broker.config.AckDelay
	c.delayed = append(c.delayed, delayedAck{id, time.Now().Add(delay)})
	if len(c.delayed) == 1 {
		time.AfterFunc(delay, c.acknowledgeDue)
	}
}

// acknowledgeDue sends the PUBACKs whose time has come, in the order of the messages [MQTT-4.6.0-2].
func (c *connection) acknowledgeDue() {
	c.broker.mu.Lock()
	defer c.broker.mu.Unlock()
	for !c.ended && len(c.delayed) > 0 {
		if wait := time.Until(c.delayed[0].due); wait > 0 {
			time.AfterFunc(wait, c.acknowledgeDue)
			return
		}
		start := len(c.out)
		c.out, _ = packet.AppendPuback(c.out, &packet.Puback{ID: c.delayed[0].id})
		c.reply(start)
		c.delayed = c.delayed[1:]
	}
}

// receivePubrel ends the delivery of a QoS 2 message from the client; an unknown identifier, which a client repeats
// whose PUBCOMP was lost, is answered too.
func (c *connection) receivePubrel(id uint16) {
	delete(c.session.received, id)
	start := len(c.out)
	c.out, _ = packet.AppendPubcomp(c.out, &packet.Pubcomp{ID: id})
	c.reply(start)
}

// receiveSubscribe answers with one SUBACK [MQTT-3.8.4-1], then sends the retained messages.
func (c *connection) receiveSubscribe(p *packet.Subscribe) error {
	var refused []byte
	if c.guard != nil && c.guard.Subscribe != nil {
		var err error
		if refused, err = c.guard.Subscribe(p, c.session.subscriptions); err == ErrUnanswered {
			return nil
		} else if err != nil {
			return err
		}
	}
	var codes []byte
	// [MQTT-3.8.4-4] Many filters are like as many packets, but for the one answer.
	for filter, wanted := range p.Requests.All() {
		code := byte(packet.SubackFailure)
		if refused == nil || refused[len(codes)] != packet.SubackFailure {
			code = c.subscribe(filter, wanted)
		}
		codes = append(codes, code) // [MQTT-3.8.4-5] [MQTT-3.9.3-1]
	}
	start := len(c.out)
	c.out, _ = packet.AppendSuback(c.out, &packet.Suback{ID: p.ID, Codes: codes}) // [MQTT-3.8.4-2]
	c.reply(start)
	i := 0
	for filter := range p.Requests.All() {
		if codes[i] != packet.SubackFailure {
			c.broker.sendRetained(c.session, filter, packet.QoS(codes[i]))
		}
		i++
	}
	return nil
}

// subscribe enters a subscription and returns its return code: the QoS granted, or failure.
func (c *connection) subscribe(filter []byte, wanted packet.QoS) byte {
	b := c.broker
	s := c.session
	_, known := s.subscriptions[string(filter)]
	if slices.Contains(b.config.DenySubscribe, string(filter)) ||
		!known && len(s.subscriptions) >= b.config.MaxSubscriptions ||
		bytes.Count(filter, []byte{'/'})+1 > b.config.MaxLevels {
		return packet.SubackFailure
	}
	if b.config.MaxQoS != nil {
		wanted = min(wanted, *b.config.MaxQoS)
	}
	// [MQTT-3.8.4-3] An identical filter replaces the subscription; deliveries that are under way go on.
	s.subscriptions[string(filter)] = struct{}{}
	b.subscriptions.add(string(filter), s, wanted)
	return byte(wanted)
}

// receiveUnsubscribe deletes subscriptions [MQTT-3.10.4-2], not what is in the session's queue already
// [MQTT-3.10.4-3], and answers whether there were any or not [MQTT-3.10.4-5].
func (c *connection) receiveUnsubscribe(p *packet.Unsubscribe) error {
	if c.guard != nil && c.guard.Unsubscribe != nil {
		if err := c.guard.Unsubscribe(p); err != nil {
			return err
		}
	}
	s := c.session
	for filter := range p.Filters.All() { // [MQTT-3.10.4-6]
		if _, ok := s.subscriptions[string(filter)]; ok { // [MQTT-3.10.4-1] Byte by byte the same.
			delete(s.subscriptions, string(filter))
			c.broker.subscriptions.remove(string(filter), s)
		}
	}
	start := len(c.out)
	c.out, _ = packet.AppendUnsuback(c.out, &packet.Unsuback{ID: p.ID}) // [MQTT-3.10.4-4]
	c.reply(start)
	return nil
}
