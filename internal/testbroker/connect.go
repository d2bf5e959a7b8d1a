package testbroker

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"iotwire/mqtt/packet"
)

// connect handles the first packet. It returns nil once the client is connected, and otherwise the reason to close the
// connection, with the CONNACK that says so in the outgoing buffer if the standard has one for it.
func (c *connection) connect(h packet.Header, body []byte) error {
	b := c.broker
	b.mu.Lock()
	c.observeReceived(h, body)
	b.mu.Unlock()
	connect, err := packet.ParseConnect(body)
	if err != nil {
		var broken *packet.Error
		if errors.As(err, &broken) {
			switch broken.Rule {
			case "MQTT-3.1.2-2":
				c.refuse(packet.RefusedVersion)
			case "MQTT-3.1.3-8":
				c.refuse(packet.RefusedClientID)
			}
		}
		return err // [MQTT-3.1.4-1] All other mistakes close the connection without CONNACK.
	}
	if connect.Will {
		if err := b.checkLevels("will topic", connect.WillTopic); err != nil {
			return err
		}
	}
	code := packet.Accepted
	if b.config.RequireCertificate && (c.state == nil || len(c.state.VerifiedChains) == 0) {
		code = packet.RefusedUnauthorized
	} else if b.config.Authenticate != nil {
		code = b.config.Authenticate(&connect, c.state)
	}
	if code != packet.Accepted {
		return c.refuse(code)
	}

	var guard *Guard
	if b.config.Guard != nil {
		guard, err = b.config.Guard(Arrival{Remote: c.conn.RemoteAddr(), TLS: c.state, Connect: &connect})
		var refusal *Refusal
		if errors.As(err, &refusal) {
			c.refuse(refusal.Code)
		}
		if err != nil {
			return err
		}
	}

	b.mu.Lock()
	defer b.mu.Unlock()
	if c.ended {
		return c.why
	}
	// [MQTT-3.1.3-6] Without an identifier the client gets one that nobody else has.
	if c.clientID = string(connect.ClientID); c.clientID == "" {
		c.clientID = "auto-" + rand.Text()
	}
	s := b.sessions[c.clientID]
	// [MQTT-3.1.4-2] There is one connection for a client identifier: the newer one.
	if s != nil && s.connection != nil {
		s.connection.abort(fmt.Errorf("%w %q [MQTT-3.1.4-2]", errTakenOver, c.clientID))
		s = b.sessions[c.clientID] // it went with its connection, if it was a clean one
	}
	if s == nil && len(b.sessions) >= b.config.MaxSessions {
		return c.refuseLocked(packet.RefusedUnavailable)
	}
	// [MQTT-3.1.4-3] [MQTT-3.1.2-6] A clean session begins with nothing; [MQTT-3.1.2-4] the other kind goes on.
	if s != nil && connect.CleanSession {
		b.forget(s)
		s = nil
	}
	present := s != nil
	if !present {
		s = b.newSession(c.clientID)
	}
	s.clean = connect.CleanSession
	s.guard = guard
	s.stay()

	if connect.Will {
		c.will = newMessage(&packet.Publish{
			Topic:   connect.WillTopic,
			Payload: connect.WillMessage,
			QoS:     connect.WillQoS,
			Retain:  connect.WillRetain, // [MQTT-3.1.2-16] [MQTT-3.1.2-17]
		})
	}
	c.showLife()
	keepAlive := time.Duration(connect.KeepAlive) * time.Second
	if guard != nil {
		guard.connection, c.guard = c, guard
		if guard.KeepAlive > 0 {
			keepAlive = guard.KeepAlive
		}
		if guard.Connected != nil {
			guard.Connected()
		}
	}
	s.connection, c.session = c, s // from now on messages go to the client
	if c.patience = keepAlive * 3 / 2; c.patience == 0 {
		c.timer.Stop()
	} else {
		c.timer.Reset(c.patience)
	}

	// [MQTT-3.2.2-1] [MQTT-3.2.2-2] [MQTT-3.2.2-3] Session present: there is state from before.
	c.connack(packet.Connack{SessionPresent: present, Code: packet.Accepted})
	s.resume()
	return nil
}

// refuse puts a CONNACK that says no into the outgoing buffer, and returns why the connection is to be closed then
// [MQTT-3.2.2-5].
func (c *connection) refuse(code packet.ConnectCode) error {
	c.broker.mu.Lock()
	defer c.broker.mu.Unlock()
	return c.refuseLocked(code)
}

func (c *connection) refuseLocked(code packet.ConnectCode) error {
	if code > packet.RefusedUnauthorized {
		return fmt.Errorf("refused with a return code that does not exist: %v [MQTT-3.2.2-6]", code)
	}
	if !c.ended {
		c.connack(packet.Connack{Code: code}) // [MQTT-3.2.2-4] Session present is 0.
	}
	return fmt.Errorf("refused with return code %d: %v", code, code)
}

// connack appends a CONNACK: the first packet on this connection [MQTT-3.2.0-1], since nothing is sent without a session.
func (c *connection) connack(p packet.Connack) {
	start := len(c.out)
	c.out, _ = packet.AppendConnack(c.out, &p)
	c.reply(start)
}

// checkLevels refuses a topic name with more levels than the broker keeps.
func (b *Broker) checkLevels(what string, topic []byte) error {
	if n := bytes.Count(topic, []byte{'/'}) + 1; n > b.config.MaxLevels {
		return fmt.Errorf("%s has %d levels, limit %d", what, n, b.config.MaxLevels)
	}
	return nil
}
