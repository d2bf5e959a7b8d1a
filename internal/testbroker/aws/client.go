package aws

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"iotwire/internal/testbroker"
	"iotwire/internal/testbroker/policy"
	"iotwire/mqtt/packet"
)

// client is a client from its CONNECT to its end, and what stays of it for its session. Its methods are called with the
// broker locked.
type client struct {
	core       *Core
	id         string
	principal  string // the certificate ID
	serverName string
	ip         string
	port       int
	session    string // the sessionIdentifier of lifecycle events
	version    int
	attributes []string // iot:ConnectAttributes
	willTopic  string   // empty without a will
	willRetain bool

	authorization *authorization // nil with a certificate

	connection *testbroker.Guard
	inbound    bucket // PUBLISH packets from it
	outbound   bucket // and to it

	mu      sync.Mutex // for watch, which has not locked the broker
	trace   string     // of what the client does now
	device  *device    // nil if the certificate is not registered
	context policy.Context
}

func newClient(c *Core, a testbroker.Arrival) *client {
	k := &client{
		core:     c,
		id:       string(a.Connect.ClientID),
		session:  strings.ReplaceAll(newTrace(), "-", ""),
		trace:    newTrace(),
		inbound:  bucket{rate: publishRate},
		outbound: bucket{rate: publishRate},
	}
	k.ip, k.port = addressOf(a.Remote)
	if a.TLS != nil {
		k.serverName = a.TLS.ServerName
	}
	return k
}

// place says which device the client is.
func (k *client) place(d *device) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.device = d
	k.context = d.context(k.id, k.serverName, k.ip)
}

// guard returns what the broker asks from now on.
func (k *client) guard(keepAlive time.Duration) *testbroker.Guard {
	k.connection = &testbroker.Guard{
		KeepAlive:   keepAlive,
		Connected:   k.connected,
		Publish:     k.publish,
		Subscribe:   k.subscribe,
		Unsubscribe: k.unsubscribe,
		Queue:       k.queue,
		Deliver:     k.deliver,
		Ended:       k.ended,
	}
	return k.connection
}

// begin has the log lines to come be about something new.
func (k *client) begin() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.trace = newTrace()
}

// entry returns a log line about the client that does not say yet how it went.
func (k *client) entry(eventType string) Entry {
	k.mu.Lock()
	defer k.mu.Unlock()
	account := policy.HomeOf().Account
	if k.device != nil {
		account = k.device.home.Account
	}
	return Entry{
		TraceID:     k.trace,
		AccountID:   account,
		EventType:   eventType,
		Protocol:    "MQTT",
		ClientID:    k.id,
		PrincipalID: k.principal,
		SourceIP:    k.ip,
		SourcePort:  k.port,
	}
}

func (k *client) connected() {
	c := k.core
	c.mu.Lock()
	c.live[k] = struct{}{}
	if r := c.records[k.id]; r != nil {
		k.version = r.version
		r.version++
	}
	c.mu.Unlock()
	c.config.Log(k.entry("Connect").succeed())
	k.announce("presence", "connected", event{IPAddress: k.ip, Version: &k.version})
}

// mistake logs what the client did wrong, and returns the error that ends its connection.
func (k *client) mistake(e Entry, why error) error {
	e = e.fail(reasonClient, why.Error())
	k.core.config.Log(e)
	return &closing{clientError, e}
}

// deny is mistake for what the policies do not allow.
func (k *client) deny(e Entry, action policy.Action, resource string, d policy.Decision) error {
	e = k.denied(e, action, resource, d)
	k.core.config.Log(e)
	return &closing{authError, e}
}

var errQoS2 = errors.New("QoS 2, which AWS does not have: use QoS 1")

// publish decides on a PUBLISH from the client.
func (k *client) publish(p *packet.Publish, unacknowledged int) (testbroker.Verdict, error) {
	k.begin()
	topic := string(p.Topic)
	e := k.entry("Publish-In")
	e.TopicName, e.Retain = topic, p.Retain
	if p.QoS == packet.QoS2 {
		if k.core.config.IgnoreQoS2 {
			k.core.config.Log(e.fail(reasonClient, errQoS2.Error()))
			return testbroker.Ignore, nil
		}
		return 0, k.mistake(e, errQoS2)
	}
	if err := checkPublish(p); err != nil {
		return 0, k.mistake(e, err)
	}
	if !k.inbound.take(time.Now()) {
		k.core.config.Log(e.fail(reasonThrottled, fmt.Sprintf("more than %d messages in a second from this client: this one is discarded", publishRate)))
		return testbroker.Ignore, nil
	}
	if p.QoS == packet.QoS1 && unacknowledged >= maxUnacknowledged {
		k.core.config.Log(e.fail(reasonThrottled, fmt.Sprintf("%d QoS 1 messages of this client are not acknowledged yet: this one is discarded", maxUnacknowledged)))
		return testbroker.Ignore, nil
	}
	if err := k.authorizePublish(e, topic, p.Retain); err != nil {
		return 0, err
	}
	k.core.config.Log(e.succeed())
	if toRule(topic) {
		return testbroker.Absorb, nil // the rules engine has it
	}
	return testbroker.Route, nil
}

// authorizePublish asks the policies about a message.
func (k *client) authorizePublish(e Entry, topic string, retain bool) error {
	resource := "topic/" + topic
	if d := k.decide(policy.Publish, resource, nil); !d.Allowed {
		return k.deny(e, policy.Publish, resource, d)
	}
	if !retain {
		return nil
	}
	if d := k.decide(policy.RetainPublish, resource, nil); !d.Allowed {
		return k.deny(e, policy.RetainPublish, resource, d)
	}
	return nil
}

// subscribe decides on a SUBSCRIBE.
func (k *client) subscribe(p *packet.Subscribe, have map[string]struct{}) ([]byte, error) {
	k.begin()
	config := &k.core.config
	if n := p.Requests.Len(); n > maxFilters {
		return nil, k.mistake(k.entry("Subscribe"), fmt.Errorf("SUBSCRIBE has %d topic filters, limit %d", n, maxFilters))
	}
	var codes []byte
	var lines []Entry // for the log, unless the packet ends the connection: then no filter of it counts
	granted := []string{}
	fresh := map[string]struct{}{}
	for requested, qos := range p.Requests.All() {
		filter := string(requested)
		e := k.entry("Subscribe")
		e.TopicName = filter
		if err := checkFilter(filter); err != nil {
			return nil, k.mistake(e, err)
		}
		if qos == packet.QoS2 && config.IgnoreQoS2 {
			config.Log(e.fail(reasonClient, errQoS2.Error()))
			return nil, testbroker.ErrUnanswered
		} else if qos == packet.QoS2 {
			return nil, k.mistake(e, errQoS2)
		}
		resource := "topicfilter/" + filter
		d := k.decide(policy.Subscribe, resource, nil)
		if !d.Allowed && !config.SubackOnDeny {
			return nil, k.deny(e, policy.Subscribe, resource, d)
		}
		_, known := have[filter]
		_, again := fresh[filter]
		tooMany := !known && !again && len(have)+len(fresh) >= maxSubscriptions
		why := fmt.Errorf("more than %d subscriptions of one connection", maxSubscriptions)
		switch {
		case !d.Allowed:
			lines, codes = append(lines, k.denied(e, policy.Subscribe, resource, d)), append(codes, packet.SubackFailure)
		case tooMany && config.Strict:
			return nil, k.mistake(e, why)
		case tooMany:
			lines, codes = append(lines, e.fail(reasonThrottled, why.Error())), append(codes, packet.SubackFailure)
		default:
			lines, codes = append(lines, e.succeed()), append(codes, byte(qos))
			granted = append(granted, filter)
			if !known {
				fresh[filter] = struct{}{}
			}
		}
	}
	for _, e := range lines {
		config.Log(e)
	}
	if len(granted) > 0 {
		k.announce("subscriptions", "subscribed", event{Topics: granted})
	}
	return codes, nil
}

func (k *client) unsubscribe(p *packet.Unsubscribe) error {
	k.begin()
	var filters []string
	for filter := range p.Filters.All() {
		filters = append(filters, string(filter))
	}
	if len(filters) > maxFilters {
		return k.mistake(k.entry("Unsubscribe"), fmt.Errorf("UNSUBSCRIBE has %d topic filters, limit %d", len(filters), maxFilters))
	}
	for _, filter := range filters {
		e := k.entry("Unsubscribe")
		e.TopicName = filter
		k.core.config.Log(e.succeed())
	}
	k.announce("subscriptions", "unsubscribed", event{Topics: filters})
	return nil
}

// queue discards what is above the rate to one client, whether it is there or not.
func (k *client) queue(p *packet.Publish) bool {
	if k.outbound.take(time.Now()) {
		return true
	}
	e := k.entry("Publish-Out")
	e.TraceID, e.TopicName = newTrace(), string(p.Topic)
	k.core.config.Log(e.fail(reasonThrottled, fmt.Sprintf("more than %d messages in a second to this client: this one is discarded", publishRate)))
	return false
}

// deliver asks the policies about a message to the client.
func (k *client) deliver(p *packet.Publish) bool {
	topic := string(p.Topic)
	e := k.entry("Publish-Out")
	e.TraceID, e.TopicName, e.Retain = newTrace(), topic, p.Retain
	if d := k.decide(policy.Receive, "topic/"+topic, nil); !d.Allowed {
		k.core.config.Log(k.denied(e, policy.Receive, "topic/"+topic, d))
		return false
	}
	k.core.config.Log(e.succeed())
	return true
}

// ended tells everybody how the connection ended, and decides on the will.
func (k *client) ended(end testbroker.End, why error, will *packet.Publish) bool {
	c := k.core
	c.mu.Lock()
	delete(c.live, k)
	c.mu.Unlock()

	reason := map[testbroker.End]string{
		testbroker.Disconnected: clientInitiated,
		testbroker.Lost:         connectionLost,
		testbroker.Silent:       keepAliveRanOut,
		testbroker.TakenOver:    duplicateID,
		testbroker.Dropped:      serverInitiated,
		testbroker.Mistaken:     clientError,
	}[end]
	var told *closing
	if !errors.As(why, &told) {
		k.begin()
	}
	e := k.entry("Disconnect")
	switch {
	case told != nil:
		reason = told.reason
		e = e.fail(told.line.Reason, told.line.Details)
		e.Action, e.Resource, e.WouldAllow = told.line.Action, told.line.Resource, told.line.WouldAllow
	case end == testbroker.Mistaken:
		e = e.fail(reasonClient, why.Error())
	case end == testbroker.TakenOver:
		e = e.succeed()
		e.Reason, e.Details = "DUPLICATE_CLIENT_ID", why.Error()
	case why != nil:
		e = e.succeed()
		e.Details = why.Error()
	default:
		e = e.succeed()
	}
	e.DisconnectReason = reason
	c.config.Log(e)
	initiated := end == testbroker.Disconnected
	k.announce("presence", "disconnected", event{ClientInitiated: &initiated, DisconnectReason: reason, Version: &k.version})

	if will == nil {
		return false
	}
	e = k.entry("Publish-In")
	e.TopicName, e.Retain = string(will.Topic), will.Retain
	if k.authorizePublish(e, string(will.Topic), will.Retain) != nil {
		return false // the policies have changed
	}
	c.config.Log(e.succeed())
	return !toRule(string(will.Topic))
}
