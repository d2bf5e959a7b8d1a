package iot

import (
	"context"
	"errors"
	"net"
	"syscall"

	"iotwire/mqtt"
)

// noNetwork says why there is no connection.
func noNetwork(s *symptom) *Diagnosis {
	dns, _ := errors.AsType[*net.DNSError](s.err)
	handshake, _ := errors.AsType[*handshakeError](s.err)
	_, network := errors.AsType[net.Error](s.err)
	switch {
	case dns != nil && dns.IsNotFound:
		d := diagnosis(KindNetwork, "no such host: "+dns.Name, "is the endpoint spelled right, and is this machine online?")
		if s.aws {
			d.next("%s", s.describeEndpoint())
		}
		return d
	case dns != nil:
		return diagnosis(KindNetwork, dns.Name+" cannot be looked up: "+dns.Err, "is this machine online?")
	case errors.Is(s.err, syscall.ECONNREFUSED):
		return diagnosis(KindNetwork, "connection refused by "+s.where(), "is the server running, and is the port right?")
	case errors.Is(s.err, mqtt.ErrNoConnack):
		return diagnosis(KindNetwork, "no answer to CONNECT from "+s.where()+" in time, though it took the connection",
			"does an MQTT server listen there, and is it TLS (mqtts://) or not (mqtt://)?")
	case handshake != nil && isTimeout(s.err):
		d := diagnosis(KindNetwork, s.where()+" took the connection, and did not answer the TLS handshake in time")
		const swallowed = "something on the way swallows large packets: a router with a wrong MTU"
		if s.config.Proxy != nil {
			return d.causes("the proxy "+s.config.Proxy.String()+" opened the way, and lets nothing through", swallowed)
		}
		switch {
		case s.aws && s.endpoint.Port == portTLS:
			return d.causes("a firewall lets nothing through; AWS IoT listens on port 443 too: endpoint "+s.endpoint.Host+":443", swallowed)
		case s.aws:
			return d.causes("a firewall lets nothing through", swallowed)
		}
		return d.causes("it does not speak TLS on this port; a broker without TLS is mqtt://"+s.where(), swallowed)
	case isTimeout(s.err):
		d := diagnosis(KindNetwork, "no answer from "+s.where()+" in time")
		if s.aws && s.endpoint.Port == portTLS {
			return d.add("a firewall may block port 8883; AWS IoT listens on port 443 too: endpoint " + s.endpoint.Host + ":443")
		}
		return d.add("is the address right, and does a firewall let the port through?")
	case network:
		d := diagnosis(KindNetwork, s.text())
		if errno, ok := errors.AsType[syscall.Errno](s.err); ok {
			d.Lines[0] = "no way to " + s.where() + ": " + errno.Error()
		} else if dial, ok := errors.AsType[*net.OpError](s.err); ok && dial.Op == "dial" {
			d.Lines[0] = "no way to " + s.where() + ": " + dial.Err.Error()
		}
		return d.add("is this machine online?")
	}
	return nil
}

func isTimeout(err error) bool {
	network, ok := errors.AsType[net.Error](err)
	return ok && network.Timeout() || errors.Is(err, mqtt.ErrTimeout) || errors.Is(err, context.DeadlineExceeded)
}
