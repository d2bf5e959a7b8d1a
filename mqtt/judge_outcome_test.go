package mqtt

import (
	"context"
	"errors"
)

// What the client says of the messages that it was told to send, and whether that is true.

func (j *judge) submitting(topic, payload string, q QoS) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.order++
	j.sent[payload] = &outbound{topic: topic, dials: j.dials, qos: q, number: j.order, life: j.life, connection: j.connection}
}

func (j *judge) submitted(payload string, d Delivery, err error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	m := j.sent[payload]
	j.note("submit %s: %v", payload, err)
	if err == nil {
		m.delivery = d
		return
	}
	if !errors.Is(err, ErrNotSent) && !(j.faulty && errors.Is(err, ErrUnconfirmed)) {
		j.failf("Submit of %s: %v, want ErrNotSent", payload, err)
	}
	m.told, m.outcome = true, err
}

// publishing says that Publish is called with a context that will end, and published what it returned.
func (j *judge) publishing(topic, payload string, q QoS) {
	j.submitting(topic, payload, q)
	j.mu.Lock()
	defer j.mu.Unlock()
	j.sent[payload].waiting = true
}

func (j *judge) published(payload string, err error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	m := j.sent[payload]
	j.note("publish %s: %v", payload, err)
	if m.crashed {
		return // nobody was there to hear it
	}
	m.waiting = false
	if errors.Is(err, ErrUnconfirmed) && errors.Is(err, context.DeadlineExceeded) {
		return // it goes on
	}
	j.judgeOutcome(payload, m, err)
}

// look asks whether a message has ended, and whether that is true.
func (j *judge) look(payload string, m *outbound) {
	if m.told || m.crashed || m.delivery.f == nil {
		return
	}
	err := m.delivery.Err()
	if err == ErrPending {
		return
	}
	j.note("outcome %s: %v", payload, err)
	j.judgeOutcome(payload, m, err)
}

func (j *judge) judgeOutcome(payload string, m *outbound, err error) {
	m.told, m.outcome = true, err
	switch {
	case err == nil:
		if j.owned[payload] == 0 && m.qos > 0 { // rule 16
			j.failf("%s: confirmed, but the broker never had it", payload)
		}
	case errors.Is(err, ErrNotSent) == errors.Is(err, ErrUnconfirmed):
		j.failf("%s: %v matches not exactly one of ErrNotSent and ErrUnconfirmed", payload, err)
	case errors.Is(err, ErrNotSent) && j.owned[payload] > 0:
		j.failf("%s: ErrNotSent, but the broker has it", payload)
	case errors.Is(err, ErrNotSent) && errors.Is(err, context.DeadlineExceeded): // Publish was told not to wait
	case j.faulty && (errors.Is(err, ErrStored) || errors.Is(err, ErrStore)):
		m.told, m.crashed, m.forgiven = false, true, !errors.Is(err, ErrStored)
	case errors.Is(err, ErrRejected):
		if !errors.Is(err, ErrUnconfirmed) || !j.suspicious(m) {
			j.failf("%s: rejected after %d connections, %v", payload, j.dials-m.dials+1, err)
		}
	case m.qos == QoS1:
		j.failf("%s: a QoS 1 message failed: %v", payload, err) // rule 15
	case m.qos == QoS2 && !errors.Is(err, ErrSessionLost):
		j.failf("%s: a QoS 2 message failed: %v", payload, err)
	}
}

// breaking says that the disk is about to fail.
func (j *judge) breaking() {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.faulty = true
}
