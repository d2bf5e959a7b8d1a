package aws

import (
	"bytes"
	"fmt"
	"strings"
	"time"

	"iotwire/internal/testbroker/policy"
	"iotwire/mqtt/packet"
)

// The limits of AWS IoT Core on one connection, as its developer guide and its SDKs name them. Further ones on a whole
// account, such as 500 connections in a second, are not kept here.
const (
	maxPayload        = 128 << 10 // bytes of a PUBLISH's payload, and of a CONNECT
	maxPacket         = 149_504   // bytes; what AWS tells an MQTT 5 client in CONNACK
	maxTopic          = 256       // bytes of a topic name or filter
	maxSlashes        = 7         // in it
	maxClientID       = 128       // bytes
	maxFilters        = 8         // of a SUBSCRIBE or an UNSUBSCRIBE
	maxSubscriptions  = 50        // of a connection
	maxUnacknowledged = 100       // QoS 1 messages, each way
	maxPolicies       = 10        // of a certificate
	publishRate       = 100       // PUBLISH packets in a second, each way
	bytesPerSecond    = 512 << 10 // each way
	replayRate        = 10        // stored messages in a second

	minKeepAlive = 30 * time.Second // what CONNECT may say; less counts as this
	maxKeepAlive = 1200 * time.Second

	connectInterval = time.Second
	sessionExpiry   = time.Hour
	redeliverAfter  = 30 * time.Second // which AWS does not say
	giveUpAfter     = time.Hour
)

// keepAlive returns the keep alive time that AWS takes for the one in CONNECT. 0 stands for the longest.
func keepAlive(seconds uint16) time.Duration {
	if seconds == 0 {
		return maxKeepAlive
	}
	return min(max(time.Duration(seconds)*time.Second, minKeepAlive), maxKeepAlive)
}

// checkClientID returns what is wrong with a client identifier.
func checkClientID(id []byte) error {
	switch {
	case len(id) > maxClientID:
		return fmt.Errorf("the client identifier has %d bytes, limit %d", len(id), maxClientID)
	case bytes.HasPrefix(id, []byte("$")):
		return fmt.Errorf("the client identifier %q starts with '$', which is reserved", id)
	}
	return nil
}

// checkTopic returns what is wrong with the length of a topic name or filter. The front of $aws/rules/NAME/... and of
// $share/NAME/... does not count.
func checkTopic(what, topic string) error {
	counted := topic
	for _, front := range []string{rulesPrefix, sharePrefix} {
		if rest, ok := strings.CutPrefix(topic, front); ok {
			_, counted, _ = strings.Cut(rest, "/")
		}
	}
	if len(counted) > maxTopic {
		return fmt.Errorf("the %s has %d bytes, limit %d", what, len(counted), maxTopic)
	}
	if n := strings.Count(counted, "/"); n > maxSlashes {
		return fmt.Errorf("the %s %q has %d slashes, limit %d", what, topic, n, maxSlashes)
	}
	return nil
}

// Possible returns why AWS lets no client do an action on a resource such as topic/a/b, whatever the policies say, or nil.
func Possible(action policy.Action, resource string) error {
	kind, name, _ := strings.Cut(resource, "/")
	switch kind {
	case "client":
		return checkClientID([]byte(name))
	case "topicfilter":
		if err := packet.ValidFilter(name); err != nil {
			return err
		}
		return checkFilter(name)
	case "topic":
		if err := packet.ValidTopic(name); err != nil {
			return err
		}
		if action == policy.Publish || action == policy.RetainPublish {
			return checkPublish(&packet.Publish{Topic: []byte(name), Retain: action == policy.RetainPublish})
		}
		return checkTopic("topic name", name)
	}
	return nil
}

// checkPublish returns what is wrong with a PUBLISH, or a will.
func checkPublish(p *packet.Publish) error {
	if len(p.Payload) > maxPayload {
		return fmt.Errorf("the payload has %d bytes, limit %d", len(p.Payload), maxPayload)
	}
	topic := string(p.Topic)
	if err := checkTopic("topic name", topic); err != nil {
		return err
	}
	if !mayPublish(topic) {
		return fmt.Errorf("the topic name %q starts with '$', and is none that a client may publish to", topic)
	}
	if p.Retain && strings.HasPrefix(topic, "$") {
		return fmt.Errorf("RETAIN is 1 for the reserved topic name %q", topic)
	}
	return nil
}

// checkFilter returns what is wrong with a topic filter.
func checkFilter(filter string) error {
	if err := checkTopic("topic filter", filter); err != nil {
		return err
	}
	if !maySubscribe(filter) {
		return fmt.Errorf("the topic filter %q starts with '$', and is none that a client may subscribe to", filter)
	}
	return nil
}
