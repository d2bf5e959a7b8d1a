package testbroker

import "time"

// Deviations are what a server may do differently from the standard. The zero value is the standard.
type Deviations struct {
	// AwaitConnack closes the connection of a client that sends another packet before CONNACK, against 3.1.4.
	AwaitConnack bool

	// ParentUnmatched has "a/#" not match "a", against 4.7.1.2.
	ParentUnmatched bool

	// RetainedExactly gives retained messages to topic filters without wildcards only, against [MQTT-3.3.1-6].
	RetainedExactly bool

	// NeverDup has DUP 0 in a message that is sent again, against [MQTT-3.3.1-1].
	NeverDup bool

	// NoQoS2 closes the connection of a client that sends PUBREC, PUBREL or PUBCOMP. A PUBLISH with QoS 2 is for a Guard to
	// refuse.
	NoQoS2 bool

	// ReplayRate bounds how many of the messages that waited for a client it is sent in a second when it returns, along
	// with new ones. 0: no bound.
	ReplayRate int

	// RedeliverAfter is the time after which a QoS 1 message is sent again while the client is connected and does not
	// acknowledge it. 0: never.
	RedeliverAfter time.Duration

	// GiveUpAfter is the time after which such a message is dropped. 0: never.
	GiveUpAfter time.Duration
}
