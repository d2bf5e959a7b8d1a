package iot

import (
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"syscall"
	"time"

	"iotwire/mqtt"
)

const (
	// shortInARow is how many connections in a row the server has to end soon before another client is suspected that has
	// the same identifier.
	shortInARow = 3

	// idleLimit is the shortest silence after which something on the way may have forgotten a connection: some routers and
	// load balancers do after less than a minute.
	idleLimit = 30 * time.Second

	// recheck is how long after CONNECT a change of a policy may end a connection.
	recheck = 30 * time.Second
)

// lost says why a connection that had been accepted may have ended.
func lost(s *symptom) *Diagnosis {
	if !errors.Is(s.err, mqtt.ErrLost) {
		return nil
	}
	e, ok := errors.AsType[*mqtt.LostError](s.err)
	if ok {
		s.err = e // and not what it did to a message
	} else {
		e = &mqtt.LostError{}
	}
	d := diagnosis(KindLost, s.text())
	switch {
	case errors.Is(s.err, mqtt.ErrTimeout):
		d.add("the network took the connection away without a word, as mobile networks and routers do with one that is idle; " +
			"a shorter keep alive finds out sooner, and may keep it open")
	case hangUp(s.err):
		if doing := doing(e); doing != "" {
			d.Lines[0] += " after " + doing
		}
		s.hangUpCauses(d, e)
	}
	return d
}

// hangUp reports whether err is how it looks when the other side closes the connection.
func hangUp(err error) bool {
	for _, target := range []error{io.EOF, io.ErrUnexpectedEOF, io.ErrClosedPipe, syscall.ECONNRESET, syscall.EPIPE} {
		if errors.Is(err, target) {
			return true
		}
	}
	op, ok := errors.AsType[*net.OpError](err) // each operating system has numbers of its own
	return ok && (op.Op == "read" || op.Op == "write") && !op.Timeout()
}

// doing is what the server may have hung up on.
func doing(e *mqtt.LostError) string {
	switch {
	case len(e.Subscribing) > 0:
		return "SUBSCRIBE to " + oneLine(listed(e.Subscribing))
	case e.Publishing != nil:
		return "PUBLISH to " + oneLine(e.Publishing.Topic)
	}
	return ""
}

// listed lists some names.
func listed(names []string) string {
	if len(names) > 8 {
		return strings.Join(names[:8], ", ") + ", ..."
	}
	return strings.Join(names, ", ")
}

// hangUpCauses says why the server may have hung up, and what to do.
func (s *symptom) hangUpCauses(d *Diagnosis, e *mqtt.LostError) {
	var reasons Diagnosis             // of which only the lines count
	usual := s.aws && e.Up >= recheck // no packet need be the reason
	if usual && e.Acknowledged > 0 && doing(e) != "" {
		reasons.add(everyNowAndThen)
	}
	switch {
	case !s.aws && doing(e) != "":
		reasons.add("brokers hang up on what they do not allow; the broker's log says whether it is this")
	case s.aws:
		if len(e.Subscribing) > 0 {
			reasons.add(s.subscribeCauses(e.Subscribing)...)
		}
		if e.Publishing != nil {
			reasons.add(s.publishCauses(e.Publishing)...)
		}
	}
	switch {
	case e.Idle >= idleLimit:
		reasons.add(fmt.Sprintf("no packet went either way for %v, and routers and load balancers forget such a connection; "+
			"use a keep alive of 30 s to 60 s", e.Idle.Round(time.Second)))
	case e.Short >= shortInARow && !s.ownID():
		reasons.add(s.sharedID())
	}
	if len(reasons.Lines) == 0 {
		reasons.add(s.usualCauses()...)
	}
	if s.aws && e.Cause == nil { // it is not known what was going on
		reasons.add("AWS IoT hangs up on a publish or subscribe that " + s.policies() + " allows")
	}
	d.causes(reasons.Lines...)
	switch {
	case s.aws && len(e.Subscribing) > 0:
		d.next("%s", s.testSubscribe(e.Subscribing))
	case s.aws && e.Publishing != nil:
		d.next("%s", s.testPublish(e.Publishing.Topic))
	}
}

// usualCauses are the reasons of a server to end a connection that has done nothing wrong.
func (s *symptom) usualCauses() []string {
	causes := []string{"the server was stopped or restarted, or something on the way was"}
	if s.aws {
		causes[0] = everyNowAndThen
	}
	if !s.ownID() {
		causes = append(causes, "another client connected as "+s.clientID()+", and the server keeps the newer one [MQTT-3.1.4-2]")
	}
	if !s.aws {
		return causes
	}
	policy := "a policy was edited, and no longer allows what the connection does"
	if s.config.Will != nil {
		policy += "; or it has the condition iot:LastWillTopic without iot:ConnectAttributes"
	}
	if s.config.Authorizer != nil {
		return append(causes, "the authorizer lets a connection live for so long (disconnectAfterInSeconds), or no longer accepts it (refreshAfterInSeconds)")
	}
	return append(causes, policy, "the certificate was deactivated or revoked")
}

const everyNowAndThen = "AWS IoT ends a connection now and then, after minutes or weeks; to connect again is all there is to do"

// publishCauses are the reasons of AWS IoT Core to hang up on a message.
func (s *symptom) publishCauses(m *mqtt.Message) []string {
	topic := s.arn("topic/" + m.Topic)
	causes := []string{s.policies() + " allows iot:Publish on " + topic}
	if m.Retain {
		causes = append(causes, "no policy allows iot:RetainPublish on "+topic+", which a retained message needs as well")
	}
	if strings.HasPrefix(m.Topic, "$") {
		causes = append(causes, "topics that start with '$' are reserved; only some of $aws/ may be published to")
	}
	// Nothing else is worth a line: see Check for the limits that no message gets past.
	return causes
}

// rejected says that a message was set aside, since the server hangs up on it.
func rejected(s *symptom) *Diagnosis {
	if !errors.Is(s.err, mqtt.ErrRejected) {
		return nil
	}
	e, ok := errors.AsType[*mqtt.LostError](s.err)
	if !ok || e.Publishing == nil {
		return diagnosis(KindLost, s.text())
	}
	d := diagnosis(KindLost, "the server hangs up on PUBLISH to "+oneLine(e.Publishing.Topic)+" each time; this message is not sent again")
	if !s.aws {
		return d.add("brokers hang up on what they do not allow, or what is too large; the broker's log says which")
	}
	causes := s.publishCauses(e.Publishing)
	if !s.ownID() {
		causes = append(causes, s.sharedID())
	}
	return d.causes(causes...).next("%s", s.testPublish(e.Publishing.Topic))
}

// sharedID is the reason of a server to close one connection after the other that have done nothing wrong.
func (s *symptom) sharedID() string {
	return "another client has the client id " + s.clientID() + ", too (a second process, a copy of the configuration on another device), " +
		"and each takes the connection from the other, again and again [MQTT-3.1.4-2]; each needs an id of its own"
}

// silent says why nothing may come.
func silent(s *symptom) *Diagnosis {
	e, ok := errors.AsType[*SilenceError](s.err)
	if !ok {
		return nil
	}
	d := diagnosis(KindSilent, s.text())
	if e.Topic != "" {
		if !s.aws {
			return d.add("is the server overloaded, or the network slow?")
		}
		return d.causes("AWS IoT discards messages above 100 a second on a connection, and above the account's rate, without an acknowledgement; send fewer",
			"the network is slow; the longest wait can be made longer")
	}
	if !s.aws {
		return d.add("does anybody publish to it, and is this client allowed to receive it?")
	}
	causes := []string{
		"nobody has published to it, in this region (" + s.region("the endpoint's") + ") and account",
		s.policies() + " allows iot:Receive on " + s.arns("topic/", receivable(e.Filters)),
	}
	for _, filter := range e.Filters {
		if strings.ContainsAny(filter, "+#") {
			causes = append(causes, "a filter with a wildcard gets no retained messages: "+oneLine(filter))
			break
		}
	}
	for _, filter := range e.Filters {
		if parent, found := strings.CutSuffix(filter, "/#"); found {
			causes = append(causes, "AWS IoT does not match "+oneLine(filter)+" with "+oneLine(parent)+" itself, as the standard does")
			break
		}
	}
	return d.causes(append(causes, "a message of QoS 0, or one that was sent while a clean session was away, is not kept")...).
		next("%s", s.testAuthorization("RECEIVE", []string{s.arn("topic/" + receivable(e.Filters)[0])}))
}

// receivable writes topic filters in the way of a policy, whose wildcard is '*'.
func receivable(filters []string) []string {
	list := make([]string, len(filters))
	for i, filter := range filters {
		if share, found := strings.CutPrefix(filter, "$share/"); found {
			_, filter, _ = strings.Cut(share, "/")
		}
		list[i] = strings.ReplaceAll(strings.ReplaceAll(filter, "+", "*"), "#", "*")
	}
	return list
}
