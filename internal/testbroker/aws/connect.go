package aws

import (
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"iotwire/internal/testbroker"
	"iotwire/internal/testbroker/policy"
	"iotwire/mqtt/packet"
)

// guard decides on a CONNECT: first the certificate or the authorizer, then the limits, then the policies.
func (c *Core) guard(a testbroker.Arrival) (*testbroker.Guard, error) {
	k := newClient(c, a)
	if a.TLS != nil && a.TLS.NegotiatedProtocol == alpnAuthorizer {
		c.refresh()
		if err := k.authorize(a.Connect); err != nil {
			return nil, k.refuse(k.entry("Connect").fail(reasonAuthorization, err.Error()))
		}
		return k.admit(a)
	}
	if a.TLS == nil || len(a.TLS.PeerCertificates) == 0 {
		return nil, k.refuse(k.entry("Connect").fail(reasonAuthorization, "the connection has no client certificate"))
	}
	certificate := a.TLS.PeerCertificates[0]
	k.principal = certificateID(certificate)
	d, err := c.admissible(certificate)
	if err != nil {
		return nil, k.refuse(k.entry("Connect").fail(reasonAuthorization, err.Error()))
	}
	k.place(d)
	return k.admit(a)
}

// admit lets a client in whose certificate or authorizer is known, if the limits and the policies do.
func (k *client) admit(a testbroker.Arrival) (*testbroker.Guard, error) {
	c := k.core
	if err := k.checkConnect(a.Connect); err != nil {
		return nil, k.refuse(k.entry("Connect").fail(reasonClient, err.Error()))
	}
	if !c.mayConnect(k.id) {
		return nil, k.refuse(k.entry("Connect").fail(reasonThrottled,
			fmt.Sprintf("the client identifier %q has connected less than %v ago", k.id, c.config.ConnectInterval)))
	}
	if e, ok := k.authorizeConnect(); !ok {
		return nil, k.refuse(e)
	}
	return k.guard(keepAlive(a.Connect.KeepAlive)), nil
}

// admissible returns the device with this certificate, or why AWS does not let it in.
func (c *Core) admissible(certificate *x509.Certificate) (*device, error) {
	c.refresh()
	id := certificateID(certificate)
	d := c.registry.find(id)
	if d == nil {
		return nil, fmt.Errorf("the certificate %s is not registered: put it into a folder of %s as cert.pem", id, c.config.Dir)
	}
	if d.status != active {
		return nil, fmt.Errorf("the certificate %s is %s: set its status to ACTIVE in thing.json", id, d.status)
	}
	if now := time.Now(); now.Before(certificate.NotBefore) || now.After(certificate.NotAfter) {
		return nil, fmt.Errorf("the certificate %s is valid from %s to %s, and now it is %s", id,
			certificate.NotBefore.UTC().Format(time.RFC3339), certificate.NotAfter.UTC().Format(time.RFC3339), now.UTC().Format(time.RFC3339))
	}
	return d, nil
}

// checkConnect returns what is wrong with a CONNECT whatever the policies say, and remembers what they are asked about.
func (k *client) checkConnect(p *packet.Connect) error {
	if len(p.ClientID) == 0 {
		return errors.New("the client identifier is empty, and whether AWS gives one is not known: give one, with -i of mosquitto_pub, say, or --client-id")
	}
	if err := checkClientID(p.ClientID); err != nil {
		return err
	}
	size := len(p.ClientID) + len(p.WillTopic) + len(p.WillMessage) + len(p.UserName) + len(p.Password)
	if size > maxPayload {
		return fmt.Errorf("CONNECT has %d bytes, limit %d", size, maxPayload)
	}
	if !p.CleanSession {
		k.attributes = append(k.attributes, "PersistentConnect")
	}
	if !p.Will {
		return nil
	}
	k.attributes = append(k.attributes, "LastWill")
	k.willTopic, k.willRetain = string(p.WillTopic), p.WillRetain
	if p.WillQoS == packet.QoS2 {
		return errors.New("the will has QoS 2, which AWS does not have: use QoS 1")
	}
	if err := checkPublish(&packet.Publish{Topic: p.WillTopic, Payload: p.WillMessage, Retain: p.WillRetain}); err != nil {
		return fmt.Errorf("the will: %w", err)
	}
	return nil
}

// authorizeConnect asks the policies about the CONNECT, and about the will in it. If they deny, it returns the log line
// that says so.
func (k *client) authorizeConnect() (Entry, bool) {
	extra := policy.Context{"iot:ConnectAttributes": k.attributes}
	if k.willTopic != "" {
		extra["iot:LastWillTopic"] = []string{k.arn("topic/" + k.willTopic)}
	}
	type question struct {
		action   policy.Action
		resource string
	}
	questions := []question{{policy.Connect, "client/" + k.id}}
	if k.willTopic != "" {
		questions = append(questions, question{policy.Publish, "topic/" + k.willTopic})
	}
	if k.willRetain {
		questions = append(questions, question{policy.RetainPublish, "topic/" + k.willTopic})
	}
	for _, q := range questions {
		if d := k.decide(q.action, q.resource, extra); !d.Allowed {
			return k.denied(k.entry("Connect"), q.action, q.resource, d), false
		}
	}
	return Entry{}, true
}

// refuse tells everybody but the client why it is not let in, and returns the error that does it.
func (k *client) refuse(e Entry) error {
	c := k.core
	c.config.Log(e)
	if e.Reason == reasonAuthorization && k.device != nil {
		if topic, payload, ok := k.event("presence", "connect_failed", event{ConnectFailureReason: "AUTHORIZATION_FAILED", IPAddress: k.ip}); ok {
			c.Broker.Publish(topic, payload, packet.QoS1, false)
		}
	}
	err := &closing{authError, e}
	if c.config.Explain {
		return &testbroker.Refusal{Code: packet.RefusedUnauthorized, Err: err}
	}
	return err
}

// record is what is known of a client identifier across its connections.
type record struct {
	connected time.Time // the last time
	version   int       // of the next lifecycle event's connection
}

// mayConnect reports whether the client identifier has not connected for long enough.
func (c *Core) mayConnect(id string) bool {
	now := time.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	r := c.records[id]
	if r == nil {
		c.makeRoom(now)
		r = new(record)
		c.records[id] = r
	} else if now.Sub(r.connected) < c.config.ConnectInterval {
		return false
	}
	r.connected = now
	return true
}

// maxRecords is the number of client identifiers to remember.
const maxRecords = 10_000

// makeRoom forgets the client identifiers that have not connected for an hour, and all if that is not enough.
func (c *Core) makeRoom(now time.Time) {
	if len(c.records) < maxRecords {
		return
	}
	for id, r := range c.records {
		if now.Sub(r.connected) > time.Hour {
			delete(c.records, id)
		}
	}
	if len(c.records) >= maxRecords {
		clear(c.records)
	}
}

// addressOf returns the IP address and port of a client. One in memory counts as one on this machine.
func addressOf(a net.Addr) (ip string, port int) {
	if tcp, ok := a.(*net.TCPAddr); ok {
		return tcp.IP.String(), tcp.Port
	}
	return "127.0.0.1", 0
}

// observe logs the connections that end before a guard could: in the TLS handshake, or with a packet that is no CONNECT.
func (c *Core) observe(e testbroker.Event) {
	if e.Kind != testbroker.Ended || e.ClientID != "" || e.Err == nil {
		return
	}
	var told *closing
	if errors.As(e.Err, &told) {
		return // the log has it
	}
	line := Entry{TraceID: newTrace(), AccountID: policy.HomeOf().Account, EventType: "Connect", Protocol: "MQTT"}
	if e.Remote != nil {
		line.SourceIP, line.SourcePort = addressOf(e.Remote)
	}
	var rejected *rejection
	switch {
	case errors.Is(e.Err, testbroker.ErrNoHello), e.Err == io.EOF: // no mistake: the first ERROR line is to be the one that counts
		line = line.succeed()
		line.EventType, line.Details, line.DisconnectReason = "Disconnect", e.Err.Error(), connectionLost
		if e.Err == io.EOF {
			line.Details = "the connection ended before CONNECT"
		}
	case errors.As(e.Err, &rejected):
		line.PrincipalID = rejected.principal
		line = line.fail(reasonAuthorization, rejected.Error())
	default:
		line = line.fail(reasonClient, e.Err.Error())
	}
	c.config.Log(line)
}
