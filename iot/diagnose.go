package iot

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"syscall"
	"time"

	"iotwire/mqtt"
	"iotwire/mqtt/packet"
)

// Kind is the class of an error: who has to do something about it.
type Kind uint8

// The kinds of errors.
const (
	KindOther    Kind = iota // none of the following
	KindInvalid              // what was asked for is wrong, or beyond a limit: nothing was sent
	KindNetwork              // no connection: name, address, port, firewall, silence
	KindTLS                  // no TLS: the files, or what one side thinks of the other's certificate
	KindHungUp               // connected, and closed by the server in place of a CONNACK
	KindRefused              // CONNACK with a code: see [mqtt.ConnectError]
	KindProtocol             // the server broke a rule of MQTT 3.1.1
	KindLost                 // a connection that had been accepted is gone
)

var kindNames = [...]string{"other", "invalid", "network", "TLS", "hung up", "refused", "protocol", "lost"}

// String returns the kind in a word or two.
func (k Kind) String() string {
	if int(k) < len(kindNames) {
		return kindNames[k]
	}
	return fmt.Sprintf("Kind(%d)", uint8(k))
}

// Diagnosis says what an error means.
type Diagnosis struct {
	Kind Kind

	// Lines are for people: the first says what happened, the others why that may be, the last what to do. There is at
	// least one.
	Lines []string
}

// String returns the lines, those behind the first indented by two spaces.
func (d *Diagnosis) String() string { return strings.Join(d.Lines, "\n  ") }

// Diagnose says what err means, an error of [LoadCredentials], [Config.MQTT] or a client that c configured, of Run or of
// what Run made fail. If ClientID is empty, the client identifier is named by its prefix. It returns nil for nil, and
// something for every other error. It does no I/O.
func Diagnose(err error, c Config) *Diagnosis {
	if err == nil {
		return nil
	}
	s := &symptom{err: err, config: c, now: c.clock()()}
	s.endpoint, _ = c.endpoint() // an endpoint that is wrong is diagnosed without
	s.aws = c.AWS || s.endpoint.AWS()
	// The order matters: a refusal by TLS 1.3 also looks like a server that hangs up, a broken rule also loses the connection.
	for _, rule := range []func(*symptom) *Diagnosis{badCredentials, invalidRequest, refused, badTLS, brokenRule, hungUp, lost, noNetwork} {
		if d := rule(s); d != nil {
			return d
		}
	}
	return diagnosis(KindOther, s.text())
}

// symptom is an error and where it was seen.
type symptom struct {
	err      error
	config   Config
	endpoint Endpoint
	aws      bool
	now      time.Time
}

func diagnosis(kind Kind, lines ...string) *Diagnosis { return &Diagnosis{Kind: kind, Lines: lines} }

// text is the error in one line.
func (s *symptom) text() string { return strings.ReplaceAll(s.err.Error(), "\n", "; ") }

func badCredentials(s *symptom) *Diagnosis {
	var e *CredentialsError
	if !errors.As(s.err, &e) {
		return nil
	}
	d := diagnosis(KindTLS, e.File+": "+e.Problem)
	if e.Remedy != "" {
		d.Lines = append(d.Lines, e.Remedy)
	}
	return d
}

func invalidRequest(s *symptom) *Diagnosis {
	if !errors.Is(s.err, packet.ErrInvalid) {
		return nil
	}
	return diagnosis(KindInvalid, s.text())
}

func refused(s *symptom) *Diagnosis {
	var e *mqtt.ConnectError
	if !errors.As(s.err, &e) {
		return nil
	}
	d := diagnosis(KindRefused, e.Error())
	switch e.Code {
	case packet.RefusedVersion:
		d.Lines = append(d.Lines, "the server does not speak MQTT 3.1.1")
	case packet.RefusedClientID:
		d.Lines = append(d.Lines, "the server does not accept the client id "+s.clientID()+"; use one that it knows")
	case packet.RefusedUnavailable:
		d.Lines = append(d.Lines, "the server is there, but not ready; try again later")
	case packet.RefusedCredentials, packet.RefusedUnauthorized:
		d.Lines = append(d.Lines, "the server does not let "+s.clientID()+" in; ask who runs it for the right user, password or certificate")
	}
	return d
}

func brokenRule(s *symptom) *Diagnosis {
	if !errors.Is(s.err, mqtt.ErrProtocol) {
		return nil
	}
	// The first byte of an alert of TLS, 15 hex, reads as a CONNECT with wrong flags.
	var broken *packet.Error
	if errors.As(s.err, &broken) && broken.Type == packet.CONNECT && broken.Rule == "MQTT-2.2.2-2" && s.endpoint.Host != "" && !s.endpoint.TLS {
		return diagnosis(KindTLS, "the server answers in TLS, and was spoken to without",
			fmt.Sprintf("use %s", "mqtts://"+s.endpoint.Address()))
	}
	return diagnosis(KindProtocol, s.text(), "does an MQTT 3.1.1 server listen on "+s.where()+"?")
}

func hungUp(s *symptom) *Diagnosis {
	if !errors.Is(s.err, mqtt.ErrHungUp) {
		return nil
	}
	d := diagnosis(KindHungUp, "the server hung up after CONNECT without a CONNACK [MQTT-3.2.2-6]")
	switch {
	case s.aws:
		d.Lines = append(d.Lines,
			"AWS IoT does this when no policy of the certificate allows iot:Connect on "+s.arn("client/"+s.clientID())+
				", and when the certificate is not active in "+s.region("the endpoint's region"),
			"check it: aws iot describe-certificate --certificate-id "+s.certificateID(),
			"a policy that names the thing needs the thing's name as client id")
	case s.endpoint.TLS:
		d.Lines = append(d.Lines, "brokers do this to a client id, certificate or password that they do not accept; the broker's log says which")
	default:
		d.Lines = append(d.Lines, "a server that speaks TLS on this port does this, too; then use mqtts://"+s.endpoint.Address())
	}
	return d
}

func lost(s *symptom) *Diagnosis {
	if !errors.Is(s.err, mqtt.ErrLost) {
		return nil
	}
	d := diagnosis(KindLost, s.text())
	if s.aws && !errors.Is(s.err, mqtt.ErrTimeout) {
		d.Lines = append(d.Lines, "AWS IoT hangs up when another client connects as "+s.clientID()+
			", and on a publish or subscribe that the policy does not allow")
	}
	return d
}

func noNetwork(s *symptom) *Diagnosis {
	var dns *net.DNSError
	var network net.Error
	switch {
	case errors.As(s.err, &dns) && dns.IsNotFound:
		d := diagnosis(KindNetwork, fmt.Sprintf("no such host: %s", dns.Name), "is the endpoint spelled right, and is this machine online?")
		if s.aws {
			d.Lines = append(d.Lines, "the endpoint is shown by: aws iot describe-endpoint --endpoint-type iot:Data-ATS")
		}
		return d
	case errors.As(s.err, &dns):
		return diagnosis(KindNetwork, fmt.Sprintf("%s cannot be looked up: %s", dns.Name, dns.Err), "is this machine online?")
	case errors.Is(s.err, syscall.ECONNREFUSED):
		return diagnosis(KindNetwork, "connection refused by "+s.where(), "is the server running, and is the port right?")
	case errors.Is(s.err, mqtt.ErrNoConnack):
		return diagnosis(KindNetwork, "no answer to CONNECT from "+s.where()+" in time, though it took the connection",
			"does an MQTT server listen there, and is it TLS (mqtts://) or not (mqtt://)?")
	case isTimeout(s.err):
		d := diagnosis(KindNetwork, "no answer from "+s.where()+" in time")
		switch {
		case s.endpoint.TLS && s.endpoint.Port == portTLS:
			d.Lines = append(d.Lines, "a firewall may block port 8883; AWS IoT listens on port 443 too")
		default:
			d.Lines = append(d.Lines, "is the address right, and does a firewall let the port through?")
		}
		return d
	case errors.As(s.err, &network):
		return diagnosis(KindNetwork, s.text())
	}
	return nil
}

func isTimeout(err error) bool {
	var network net.Error
	return errors.Is(err, mqtt.ErrTimeout) || errors.Is(err, context.DeadlineExceeded) || errors.As(err, &network) && network.Timeout()
}

// where is the address in words.
func (s *symptom) where() string {
	if s.endpoint.Host == "" {
		return "the server"
	}
	return s.endpoint.Address()
}

// clientID is the client identifier, or what is known of it.
func (s *symptom) clientID() string {
	if s.config.ClientID != "" {
		return s.config.ClientID
	}
	if s.config.ClientPrefix == "" {
		return "*"
	}
	return s.config.ClientPrefix + "-*"
}

func (s *symptom) certificateID() string {
	if c := s.config.Credentials; c != nil && c.CertificateID != "" {
		return c.CertificateID
	}
	return "ID"
}

// region is the region of the endpoint, or unknown.
func (s *symptom) region(unknown string) string {
	if region := s.endpoint.Region(); region != "" {
		return region
	}
	return unknown
}

// arn is the Amazon Resource Name of something in AWS IoT. The account is not known here.
func (s *symptom) arn(resource string) string {
	region := s.region("REGION")
	partition := "aws"
	switch {
	case strings.HasPrefix(region, "cn-"):
		partition = "aws-cn"
	case strings.HasPrefix(region, "us-gov-"):
		partition = "aws-us-gov"
	}
	return "arn:" + partition + ":iot:" + region + ":ACCOUNT:" + resource
}
