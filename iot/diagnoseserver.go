package iot

import (
	"errors"
	"strings"

	"iotwire/mqtt"
	"iotwire/mqtt/packet"
)

// refused says what a CONNACK with a code means.
func refused(s *symptom) *Diagnosis {
	e, ok := errors.AsType[*mqtt.ConnectError](s.err)
	if !ok {
		return nil
	}
	d := diagnosis(KindRefused, e.Error())
	switch e.Code {
	case packet.RefusedVersion:
		d.add("the server does not speak MQTT 3.1.1")
	case packet.RefusedClientID:
		d.add("the server does not accept the client id " + s.clientID() + "; use one that it knows")
	case packet.RefusedUnavailable:
		d.add("the server is there, but not ready; try again later")
	case packet.RefusedCredentials, packet.RefusedUnauthorized:
		if s.aws {
			return s.connectRefused(d)
		}
		d.add("the server does not let " + s.clientID() + " in; ask who runs it for the right user, password or certificate")
	}
	return d
}

// brokenRule says which other protocol the server may speak, or which rule of MQTT it broke.
func brokenRule(s *symptom) *Diagnosis {
	if !errors.Is(s.err, mqtt.ErrProtocol) {
		return nil
	}
	if broken, ok := errors.AsType[*packet.Error](s.err); ok && broken.Rule == "MQTT-2.2.2-2" && s.endpoint.Host != "" {
		other := ""
		switch {
		case broken.Type == packet.CONNECT && !s.endpoint.TLS: // the first byte of an alert of TLS, 15 hex, with its flags
			return diagnosis(KindTLS, "the server answers in TLS, and was spoken to without", "use mqtts://"+s.endpoint.Address())
		case strings.Contains(broken.Reason, "HTTP"):
			other = "a web server"
		case strings.Contains(broken.Reason, "SSH"):
			other = "an SSH server"
		}
		if other != "" {
			return diagnosis(KindProtocol, other+" answers on "+s.where()+", and no MQTT server",
				"is the port right? MQTT has 8883 with TLS (mqtts://), 1883 without (mqtt://), and with AWS IoT 443, by ALPN (on any other port: --alpn)")
		}
	}
	if errors.Is(s.err, mqtt.ErrLost) {
		return diagnosis(KindProtocol, s.text(), "a trace of the packets shows it to those who make the server")
	}
	return diagnosis(KindProtocol, s.text(), "does an MQTT 3.1.1 server listen on "+s.where()+"?")
}

// hungUp says why a server may close the connection in place of a CONNACK.
func hungUp(s *symptom) *Diagnosis {
	if !errors.Is(s.err, mqtt.ErrHungUp) {
		return nil
	}
	d := diagnosis(KindHungUp, "the server hung up after CONNECT without a CONNACK [MQTT-3.2.2-6]")
	switch {
	case s.aws && !s.endpoint.TLS:
		return d.causes("AWS IoT Core speaks TLS only: use mqtts://"+s.endpoint.Address(),
			"a server without TLS that plays it does this to what its policy does not allow; its log says which")
	case s.aws:
		return s.connectRefused(d)
	case s.endpoint.TLS:
		return d.add("brokers do this to a client id, certificate or password that they do not accept; the broker's log says which")
	}
	return d.add("a server that speaks TLS on this port does this, too; then use mqtts://" + s.endpoint.Address())
}

// connectRefused appends why AWS IoT Core may not accept a CONNECT, and what to ask it.
func (s *symptom) connectRefused(d *Diagnosis) *Diagnosis {
	if s.config.Authorizer != nil {
		d.causes(s.authorizerCauses()...).next("%s", s.testAuthorizer())
		if !s.endpoint.local() {
			d.next("%s", s.describeAuthorizer())
		}
		return d
	}
	d.causes(s.connectCauses()...).next("%s", s.testConnect())
	if !s.endpoint.local() { // otherwise there is one log for both
		d.next("%s", s.describeCertificate())
	}
	return d
}

// connectCauses are the reasons of AWS IoT Core not to accept a CONNECT.
func (s *symptom) connectCauses() []string {
	causes := []string{
		s.policies() + " allows iot:Connect on " + s.arn("client/"+s.clientID()) +
			" (one that names the thing needs the thing's name as client id)",
		"the certificate " + s.certificateID() + " is not ACTIVE, or not registered in " + s.region("the endpoint's region"),
	}
	return append(s.willCauses(causes), "this client id connected less than a second ago, or the account connects too often")
}

// willCauses appends the reason that a will may be.
func (s *symptom) willCauses(causes []string) []string {
	will := s.config.Will
	if will == nil {
		return causes
	}
	cause := "no policy allows iot:Publish on the topic of the will, " + s.arn("topic/"+will.Topic)
	if will.Retain {
		cause += ", and iot:RetainPublish on the same"
	}
	return append(causes, cause)
}

// authorizerCauses are the reasons of AWS IoT Core not to accept a CONNECT on which it asks an authorizer.
func (s *symptom) authorizerCauses() []string {
	a := s.config.Authorizer
	name, region := "the authorizer "+oneLine(a.Name), s.region("the endpoint's region")
	first := name + " does not exist or is not ACTIVE in " + region
	if a.Name == "" {
		name = "the default authorizer"
		first = "the endpoint has no default authorizer in " + region
	}
	signed := name + " wants a token with a signature, and none was given"
	if a.TokenKey != "" {
		signed = name + " has another token key than " + oneLine(a.TokenKey) + ", or its public key does not fit the signature of the token"
	}
	return append(s.willCauses([]string{
		name + " does not accept this user name, password or token, or it took more than 5 s, or failed",
		signed,
		first,
		"no policy that it returns allows iot:Connect on " + s.arn("client/"+s.clientID()),
	}), "this client id connected less than a second ago, or the account connects too often")
}

// policies says which policies count, for the beginning of a sentence that ends with what they do not allow.
func (s *symptom) policies() string {
	if s.config.Authorizer != nil {
		return "no policy that the authorizer returns"
	}
	return "no policy of the certificate"
}

// denied says why a server may refuse a subscription.
func denied(s *symptom) *Diagnosis {
	if !errors.Is(s.err, mqtt.ErrRefused) {
		return nil
	}
	d := diagnosis(KindDenied, s.text())
	e, ok := errors.AsType[*RefusedError](s.err)
	if !s.aws || !ok {
		return d.add("is this client allowed to subscribe to it?")
	}
	causes := append(s.subscribeCauses(e.Filters), "the connection has more than 50 subscriptions")
	return d.causes(causes...).next("%s", s.testSubscribe(e.Filters))
}

// subscribeCauses are the reasons of AWS IoT Core not to accept a SUBSCRIBE for filters.
func (s *symptom) subscribeCauses(filters []string) []string {
	causes := []string{s.policies() + " allows iot:Subscribe on " + s.arns("topicfilter/", filters) +
		" (topicfilter/, not topic/)"}
	for _, filter := range filters {
		if strings.HasPrefix(filter, "$aws/") {
			causes = append(causes, oneLine(filter)+" is not among the topics of $aws/ that may be subscribed to")
			break
		}
	}
	return causes
}
