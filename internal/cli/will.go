package cli

import (
	"iotwire/iot"
	"iotwire/mqtt"
	"iotwire/mqtt/packet"
)

// will is the options for the message that the server publishes when a connection ends without DISCONNECT (3.1.2.5).
type will struct {
	topic, message string
	qos            int
	retain         bool
}

func (w *will) options() []Option {
	return []Option{
		{Name: "will-topic", Metavar: "TOPIC", Value: &w.topic,
			Help: "where the server is to publish, if the connection ends without DISCONNECT"},
		{Name: "will-message", Metavar: "TEXT", Value: &w.message, Empty: true, Help: "and what; without it an empty payload"},
		{Name: "will-qos", Metavar: "0|1|2", Value: &w.qos, Default: "0", Min: "0", Max: "2", Help: "at which delivery level"},
		{Name: "will-retain", Value: &w.retain, Help: "the server is to keep it as the last message"},
	}
}

// check finds the mistakes in the options; aws: the limits of AWS IoT Core hold, too.
func (w *will) check(t *Table, aws bool) error {
	if w.topic == "" {
		for _, name := range []string{"will-message", "will-qos", "will-retain"} {
			if t.Given(name) {
				return errorf("--%s needs --will-topic TOPIC", name)
			}
		}
		return nil
	}
	if err := packet.ValidTopic(w.topic); err != nil {
		return errorf("--will-topic %s: %w", quote(w.topic), err)
	}
	if len(w.message) > maxWill {
		return errorf("--will-message: %d bytes, and a CONNECT has room for %d (3.1.3.3)", len(w.message), maxWill)
	}
	if aws {
		if err := iot.Check(*w.of()); err != nil {
			return errorf("--will-topic: %w", err)
		}
	}
	return nil
}

// maxWill is the longest will message in bytes: its length is written in two (3.1.3.3).
const maxWill = 65_535

// of is the will, or nil if there is to be none.
//
//go:noinline
func (w *will) of() *mqtt.Message {
	if w.topic == "" {
		return nil
	}
	return &mqtt.Message{Topic: w.topic, Payload: []byte(w.message), QoS: mqtt.QoS(w.qos), Retain: w.retain}
}
