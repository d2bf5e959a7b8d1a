package iot

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

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
	KindLost                 // a connection that had been accepted is gone, or a message that the server hangs up on
	KindDenied               // SUBACK with failure: see [RefusedError]
	KindSilent               // connected, and what should come does not: see [SilenceError]
)

var kindNames = [...]string{"other", "invalid", "network", "TLS", "hung up", "refused", "protocol", "lost", "denied", "silent"}

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

	// Lines are for people, and there is at least one: the first says what happened, the others why that may be, the
	// likeliest cause first and numbered if there are several, and the last what to do. Those that start with "next: " are
	// about how to find out which cause it was, the first to be tried first: a command of AWS's command line, with ACCOUNT in
	// place of the account's number, and ID in place of the certificate's if it is not known.
	Lines []string
}

// String returns the lines, those behind the first indented by two spaces.
func (d *Diagnosis) String() string { return strings.Join(d.Lines, "\n  ") }

// Diagnose says what err means: an error of [LoadCredentials], of [Config.MQTT], or of a client that c configured (of
// Run, of what Run made fail, of a message), a [*RefusedError] or a [*SilenceError]. It returns nil for nil, and something
// for every other error. It does no I/O.
//
// AWS IoT Core hangs up without a word when a policy does not allow something. The diagnosis then names the action and the
// Amazon Resource Name (ARN) that a policy has to allow, from what a [*mqtt.LostError] says was not answered, and the
// identifier of the certificate. If c.ClientID is empty, the client identifier is named by its prefix.
func Diagnose(err error, c Config) *Diagnosis {
	if err == nil {
		return nil
	}
	s := &symptom{err: err, config: *c.current(), now: c.clock()()}
	s.endpoint, _ = c.Server() // an endpoint that is wrong is diagnosed without
	s.aws = c.AWS || s.endpoint.AWS()
	// The order matters: a refusal by TLS 1.3 also looks like a server that hangs up, a broken rule also loses the connection.
	for _, rule := range []func(*symptom) *Diagnosis{
		badCredentials, invalidRequest, badProxy, refused, badTLS, brokenRule, denied, silent, rejected, hungUp, lost, noNetwork,
	} {
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

// diagnosis makes one. It keeps none of its arguments, and is called rather than put in place of its calls, as add is: both
// make the many places that call them smaller.
//
//go:noinline
func diagnosis(kind Kind, lines ...string) *Diagnosis {
	return &Diagnosis{Kind: kind, Lines: slices.Clone(lines)}
}

func badCredentials(s *symptom) *Diagnosis {
	e, ok := errors.AsType[*CredentialsError](s.err)
	if !ok {
		return nil
	}
	d := diagnosis(KindTLS, e.File+": "+e.Problem)
	if e.Remedy != "" {
		d.add(e.Remedy)
	}
	return d
}

func badProxy(s *symptom) *Diagnosis {
	e, ok := errors.AsType[*ProxyError](s.err)
	if !ok {
		return nil
	}
	d := diagnosis(KindNetwork, "the proxy "+e.Proxy+" "+e.Problem)
	if e.Remedy != "" {
		d.add(e.Remedy)
	}
	return d
}

func invalidRequest(s *symptom) *Diagnosis {
	if !errors.Is(s.err, packet.ErrInvalid) {
		return nil
	}
	return diagnosis(KindInvalid, s.text())
}

// text is the error in one line.
func (s *symptom) text() string { return strings.ReplaceAll(s.err.Error(), "\n", "; ") }

// causes appends why something may have happened, the likeliest first.
func (d *Diagnosis) causes(list ...string) *Diagnosis {
	if len(list) == 1 {
		return d.add(list[0])
	}
	for i, cause := range list {
		d.add(fmt.Sprintf("%d. %s", i+1, cause))
	}
	return d
}

// next appends a command to give next.
//
//go:noinline
func (d *Diagnosis) next(format string, args ...any) *Diagnosis {
	return d.add("next: " + fmt.Sprintf(format, args...))
}

// add appends lines.
//
//go:noinline
func (d *Diagnosis) add(lines ...string) *Diagnosis {
	d.Lines = append(d.Lines, lines...)
	return d
}

// where is the address in words.
//
//go:noinline
func (s *symptom) where() string {
	if s.endpoint.Host == "" {
		return "the server"
	}
	return s.endpoint.Address()
}

// ownID reports whether the client identifier is one that [NewClientID] made, which no other client has.
func (s *symptom) ownID() bool {
	if s.config.ClientID == "" {
		return true
	}
	random, found := strings.CutPrefix(s.config.ClientID, s.config.ClientPrefix+"-")
	return found && s.config.ClientPrefix != "" && len(random) == len("xxxxxxxx-xxxx-4xxx-yxxx-xxxxxxxxxxxx") &&
		strings.Count(random, "-") == 4 && random[14] == '4'
}

// clientID is the client identifier, or what is known of it.
func (s *symptom) clientID() string {
	if s.config.ClientID != "" {
		return oneLine(s.config.ClientID)
	}
	if s.config.ClientPrefix == "" {
		return "*"
	}
	return oneLine(s.config.ClientPrefix) + "-*"
}
