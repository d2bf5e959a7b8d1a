package iot

import (
	"strings"
	"time"
	"unicode/utf8"

	"iotwire/mqtt"
	"iotwire/mqtt/packet"
)

// Limits of AWS IoT Core, as its documentation of quotas has them.
const (
	maxPayload   = 128 << 10 // bytes
	maxTopic     = 256       // bytes of UTF-8
	maxSlashes   = 7         // that is 8 levels
	maxFilters   = 8         // in one SUBSCRIBE or UNSUBSCRIBE
	maxInflight  = 100       // unacknowledged QoS 1 messages, each way
	maxShareName = 128       // characters

	// maxPacket is what AWS IoT Core announces to MQTT 5 clients as its Maximum Packet Size.
	maxPacket = 149_504

	// maxAttempts is how often AWS IoT Core may hang up on a message before it is set aside. Twice may be chance.
	maxAttempts = 3

	// resend is how long a packet may stay unanswered on a live connection. Device Advisor allows 15 s.
	resend = 5 * time.Second
)

// Check reports whether AWS IoT Core takes m. It closes the connection on a message that it does not take, so this is
// asked first: payload at most 131 072 bytes, topic at most 256 bytes and 7 slashes (not counting $aws/rules/name/ in
// front), QoS 0 or 1, no topic that starts with '$' but those of $aws/. The error names the limit and the value and
// matches [packet.ErrInvalid]; if MQTT itself would allow the message it matches [ErrLimit] too.
//
// A will has to pass it as well: AWS IoT Core refuses the connection otherwise.
func Check(m mqtt.Message) error {
	if err := packet.ValidTopic(m.Topic); err != nil {
		return err
	}
	if m.QoS > packet.QoS1 {
		return beyond("QoS %d, want 0 or 1", m.QoS)
	}
	if len(m.Payload) > maxPayload {
		return beyond("payload of %d bytes, want at most %d", len(m.Payload), maxPayload)
	}
	if err := checkReserved("topic", m.Topic); err != nil {
		return err
	}
	return checkLevels("topic", m.Topic, skipRule(m.Topic))
}

// CheckFilter reports whether AWS IoT Core takes filter in a SUBSCRIBE, at this QoS. It gives no SUBACK for QoS 2, and
// closes the connection on a filter that it does not take: more than 256 bytes or 7 slashes (not counting $share/name/ in front), $aws/rules/, which is for publishing
// only, and what else starts with '$' but $aws/. The error matches as that of [Check].
func CheckFilter(filter string, q mqtt.QoS) error {
	if err := packet.ValidFilter(filter); err != nil {
		return err
	}
	if q > packet.QoS1 {
		return beyond("QoS %d, want 0 or 1", q)
	}
	counted := filter
	if share, found := strings.CutPrefix(filter, "$share/"); found {
		name, inner, found := strings.Cut(share, "/")
		if strings.ContainsAny(name, "+#") || name == "" || utf8.RuneCountInString(name) > maxShareName {
			return beyond("topic filter %q: share name %q, want 1 to %d characters without '/', '+' and '#'", filter, name, maxShareName)
		}
		if !found || inner == "" {
			return beyond("topic filter %q: nothing behind the share name, want $share/name/filter", filter)
		}
		counted = inner
	}
	if err := checkReserved("topic filter", counted); err != nil {
		return err
	}
	if counted == "$aws/rules" || strings.HasPrefix(counted, "$aws/rules/") {
		return beyond("topic filter %q: $aws/rules is for publishing only", filter)
	}
	return checkLevels("topic filter", filter, counted)
}

// checkReserved refuses the topics that start with '$' and are not AWS's own.
func checkReserved(what, topic string) error {
	if strings.HasPrefix(topic, "$") && !strings.HasPrefix(topic, "$aws/") {
		return beyond("%s %q: names that start with '$' are reserved, except those of $aws/", what, topic)
	}
	return nil
}

// skipRule cuts off the levels of topic that do not count: $aws/rules/name/.
func skipRule(topic string) string {
	if rule, found := strings.CutPrefix(topic, "$aws/rules/"); found {
		_, topic, _ = strings.Cut(rule, "/")
	}
	return topic
}

// checkLevels compares the part of name that counts with the limits of length and depth.
func checkLevels(what, name, counted string) error {
	if len(counted) > maxTopic {
		return beyond("%s %.40q... has %d bytes, want at most %d", what, name, len(counted), maxTopic)
	}
	if n := strings.Count(counted, "/"); n > maxSlashes {
		return beyond("%s %q has %d slashes, want at most %d", what, name, n, maxSlashes)
	}
	return nil
}
