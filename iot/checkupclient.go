package iot

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"iotwire/mqtt"
	"iotwire/mqtt/packet"
)

// conversation is the connection of a Checkup: packets, one after the other, and no session, so that nothing is sent
// again and nothing acknowledged.
type conversation struct {
	conn   net.Conn
	reader *packet.Reader
	began  time.Time   // when CONNACK came
	unhook func() bool // undoes what the end of the context would do to the connection
}

// largest is the largest packet that a checkup reads whole. Larger messages are skipped.
const largest = 256 << 10

// connect sends CONNECT and waits for CONNACK.
func (w *walk) connect(ctx context.Context) bool {
	const step = "CONNECT"
	var err error
	if w.client, err = w.Config.MQTT(); err != nil {
		return w.fail(step, err)
	}
	if w.Prepare != nil {
		w.Prepare(&w.client)
	}
	dialing, cancel := context.WithTimeout(ctx, w.Timeout)
	defer cancel()
	began := time.Now()
	conn, err := w.client.Dial(dialing)
	if err != nil {
		return w.fail(step, err)
	}
	w.conn, w.reader = conn, packet.NewReader(conn, largest)
	// Whoever gives up does not wait for the server.
	w.unhook = context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })
	present, err := w.greet(dialing)
	if err != nil {
		return w.fail(step, err)
	}
	w.began = time.Now()
	session := ""
	if present {
		session = "; the server has kept the session"
	}
	return w.found(Passed, step, "accepted in %s, as %s%s", milliseconds(began), oneLine(w.client.ClientID), session)
}

// greet is CONNECT and CONNACK, with the errors that package mqtt has for them.
func (w *walk) greet(ctx context.Context) (present bool, err error) {
	c := w.client
	p := packet.Connect{ClientID: []byte(c.ClientID), CleanSession: c.CleanSession}
	if c.KeepAlive > 0 {
		p.KeepAlive = uint16(min((c.KeepAlive+time.Second-1)/time.Second, 65_535))
	}
	if c.Credentials != nil {
		user, password, err := c.Credentials(ctx)
		if err != nil {
			return false, err
		}
		p.HasUserName, p.UserName = user != "" || password != nil, []byte(user)
		p.HasPassword, p.Password = password != nil, password
	}
	if will := c.Will; will != nil {
		p.Will, p.WillTopic, p.WillMessage, p.WillQoS, p.WillRetain = true, []byte(will.Topic), will.Payload, will.QoS, will.Retain
	}
	b, err := packet.AppendConnect(nil, &p)
	if err != nil {
		return false, err
	}
	h, body, err := w.exchange(ctx, b)
	switch {
	case err == nil:
	case hangUp(err):
		return false, fmt.Errorf("%w: %w", mqtt.ErrHungUp, err)
	case errors.Is(err, packet.ErrMalformed), errors.Is(err, packet.ErrTooLarge):
		return false, fmt.Errorf("%w: %w", mqtt.ErrProtocol, err)
	case isTimeout(err):
		return false, fmt.Errorf("%w: %w within %v", mqtt.ErrTimeout, mqtt.ErrNoConnack, w.Timeout)
	default:
		return false, err
	}
	if h.Type != packet.CONNACK {
		return false, fmt.Errorf("%w: the first packet from the server is %v, not CONNACK [MQTT-3.2.0-1]", mqtt.ErrProtocol, h.Type)
	}
	ack, err := packet.ParseConnack(body)
	if err != nil {
		return false, fmt.Errorf("%w: %w", mqtt.ErrProtocol, err)
	}
	if ack.Code != packet.Accepted {
		return false, &mqtt.ConnectError{Code: ack.Code}
	}
	return ack.SessionPresent, nil
}

// exchange sends b and returns the next packet.
func (w *walk) exchange(ctx context.Context, b []byte) (packet.Header, []byte, error) {
	w.conn.SetDeadline(time.Now().Add(w.Timeout))
	if err := ctx.Err(); err != nil { // its end may have come before the deadline that it sets was put off
		return packet.Header{}, nil, err
	}
	if _, err := w.conn.Write(b); err != nil {
		return packet.Header{}, nil, err
	}
	return w.reader.Next()
}

// subscribe sends SUBSCRIBE for the filters, as many at a time as the server takes.
func (w *walk) subscribe(ctx context.Context) bool {
	const step = "SUBSCRIBE"
	if len(w.Subscribe) == 0 {
		return w.found(Skipped, step, "not tried: no topic filter was given")
	}
	began := time.Now()
	batch := w.client.SubscribeBatch
	if batch <= 0 {
		batch = maxFilters
	}
	if check := w.client.CheckFilter; check != nil {
		for _, filter := range w.Subscribe {
			if err := check(filter, w.SubscribeQoS); err != nil {
				return w.fail(step, err)
			}
		}
	}
	var refused, lowered []string
	id := uint16(0)
	for rest := w.Subscribe; len(rest) > 0; {
		filters := rest[:min(batch, len(rest))]
		rest = rest[len(filters):]
		id++
		codes, err := w.ask(ctx, id, filters)
		if err != nil {
			return w.lost(step, err, &mqtt.LostError{Subscribing: filters})
		}
		for i, code := range codes {
			switch {
			case code == packet.SubackFailure:
				refused = append(refused, filters[i])
			case code < byte(w.SubscribeQoS):
				lowered = append(lowered, fmt.Sprintf("%s for QoS %d", filters[i], code))
			}
		}
	}
	if refused != nil {
		return w.fail(step, &RefusedError{Filters: refused})
	}
	if lowered != nil {
		return w.found(Warned, step, "granted in %s, but %s only: QoS %d was asked for", milliseconds(began), oneLine(listed(lowered)), w.SubscribeQoS)
	}
	note := ""
	if w.aws {
		note = "; whether iot:Receive lets messages through shows when one comes"
	}
	return w.found(Passed, step, "granted in %s: %s%s", milliseconds(began), oneLine(listed(w.Subscribe)), note)
}

// ask is one SUBSCRIBE and its SUBACK.
func (w *walk) ask(ctx context.Context, id uint16, filters []string) (codes []byte, err error) {
	var requests packet.Requests
	for _, filter := range filters {
		requests = requests.Add(filter, w.SubscribeQoS)
	}
	b, err := packet.AppendSubscribe(nil, &packet.Subscribe{ID: id, Requests: requests})
	if err != nil {
		return nil, err
	}
	err = w.await(ctx, b, packet.SUBACK, func(body []byte) (bool, error) {
		ack, err := packet.ParseSuback(body)
		if err == nil && ack.ID == id && len(ack.Codes) != len(filters) {
			err = fmt.Errorf("SUBACK has %d return codes for %d topic filters [MQTT-3.8.4-5]", len(ack.Codes), len(filters))
		}
		codes = append([]byte(nil), ack.Codes...)
		return ack.ID == id, err
	})
	return codes, err
}

// publish sends the message.
func (w *walk) publish(ctx context.Context) bool {
	const step = "PUBLISH"
	if w.Publish == nil {
		return w.found(Skipped, step, "not tried: no message was given")
	}
	m := *w.Publish
	m.QoS = max(m.QoS, packet.QoS1)
	if w.aws {
		if err := Check(m); err != nil {
			return w.fail(step, err)
		}
	}
	const id = 1
	b, err := packet.AppendPublish(nil, &packet.Publish{QoS: m.QoS, Retain: m.Retain, Topic: []byte(m.Topic), ID: id, Payload: m.Payload})
	if err != nil {
		return w.fail(step, err)
	}
	began := time.Now()
	if m.QoS == packet.QoS1 {
		err = w.await(ctx, b, packet.PUBACK, func(body []byte) (bool, error) {
			ack, err := packet.ParsePuback(body)
			return ack.ID == id, err
		})
	} else {
		err = w.exactlyOnce(ctx, b, id)
	}
	if err != nil {
		return w.lost(step, err, &mqtt.LostError{Publishing: &mqtt.Message{Topic: m.Topic, QoS: m.QoS, Retain: m.Retain}})
	}
	retained := ""
	if m.Retain {
		retained = ", retained"
	}
	unit := "bytes"
	if len(m.Payload) == 1 {
		unit = "byte"
	}
	return w.found(Passed, step, "acknowledged in %s: %d %s to %s, QoS %d%s", milliseconds(began), len(m.Payload), unit, oneLine(m.Topic), m.QoS, retained)
}

// exactlyOnce sends b, a PUBLISH of QoS 2, and goes on to PUBCOMP (section 4.3.3).
func (w *walk) exactlyOnce(ctx context.Context, b []byte, id uint16) error {
	err := w.await(ctx, b, packet.PUBREC, func(body []byte) (bool, error) {
		ack, err := packet.ParsePubrec(body)
		return ack.ID == id, err
	})
	if err != nil {
		return err
	}
	b, err = packet.AppendPubrel(nil, &packet.Pubrel{ID: id})
	if err != nil {
		return err
	}
	return w.await(ctx, b, packet.PUBCOMP, func(body []byte) (bool, error) {
		ack, err := packet.ParsePubcomp(body)
		return ack.ID == id, err
	})
}

// await sends b and reads until the packet of type t that answers says so. Messages that come are left to whoever comes
// for them later.
func (w *walk) await(ctx context.Context, b []byte, t packet.Type, answers func(body []byte) (bool, error)) error {
	h, body, err := w.exchange(ctx, b)
	for ; ; h, body, err = w.reader.Next() {
		switch {
		case errors.Is(err, packet.ErrTooLarge) && h.Type == packet.PUBLISH: // Next skips it
		case errors.Is(err, packet.ErrTooLarge), errors.Is(err, packet.ErrMalformed):
			return fmt.Errorf("%w: %w", mqtt.ErrProtocol, err)
		case err != nil:
			return err
		case h.Type == t:
			found, err := answers(body)
			if err != nil {
				return fmt.Errorf("%w: %w", mqtt.ErrProtocol, err)
			}
			if found {
				return nil
			}
		}
	}
}

// lost fails a step behind CONNACK: end is what was going on.
func (w *walk) lost(step string, err error, end *mqtt.LostError) bool {
	if isTimeout(err) {
		silence := &SilenceError{After: w.Timeout}
		if end.Publishing != nil {
			silence.Topic = end.Publishing.Topic
			return w.fail(step, silence)
		}
		return w.failed(step, err, diagnosis(KindSilent, fmt.Sprintf("no answer to SUBSCRIBE for %v", w.Timeout), "is the server overloaded, or the network slow?"))
	}
	if errors.Is(err, packet.ErrInvalid) {
		return w.fail(step, err)
	}
	end.Cause, end.Up, end.Short = err, time.Since(w.began), 1
	return w.fail(step, end)
}

// end says good-bye.
func (w *walk) end() {
	if w.conn == nil {
		return
	}
	w.unhook()
	if !w.began.IsZero() {
		w.conn.SetDeadline(time.Now().Add(closeTimeout))
		_, _ = w.conn.Write(packet.AppendDisconnect(nil)) // [MQTT-3.14.4-3] no will is published
	}
	w.conn.Close()
}
