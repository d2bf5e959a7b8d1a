package iot

import (
	"context"
	"errors"
	"fmt"
	"net"
	"syscall"

	"iotwire/mqtt"
)

// noNetwork says why there is no connection.
func noNetwork(s *symptom) *Diagnosis {
	var dns *net.DNSError
	var network net.Error
	var handshake *handshakeError
	switch {
	case errors.As(s.err, &dns) && dns.IsNotFound:
		d := diagnosis(KindNetwork, fmt.Sprintf("no such host: %s", dns.Name), "is the endpoint spelled right, and is this machine online?")
		if s.aws {
			d.next("%s", s.describeEndpoint())
		}
		return d
	case errors.As(s.err, &dns):
		return diagnosis(KindNetwork, fmt.Sprintf("%s cannot be looked up: %s", dns.Name, dns.Err), "is this machine online?")
	case errors.Is(s.err, syscall.ECONNREFUSED):
		return diagnosis(KindNetwork, "connection refused by "+s.where(), "is the server running, and is the port right?")
	case errors.Is(s.err, mqtt.ErrNoConnack):
		return diagnosis(KindNetwork, "no answer to CONNECT from "+s.where()+" in time, though it took the connection",
			"does an MQTT server listen there, and is it TLS (mqtts://) or not (mqtt://)?")
	case errors.As(s.err, &handshake) && isTimeout(s.err):
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
	case errors.As(s.err, &network):
		d := diagnosis(KindNetwork, s.text())
		var dial *net.OpError
		var errno syscall.Errno
		if errors.As(s.err, &errno) {
			d.Lines[0] = "no way to " + s.where() + ": " + errno.Error()
		} else if errors.As(s.err, &dial) && dial.Op == "dial" {
			d.Lines[0] = "no way to " + s.where() + ": " + dial.Err.Error()
		}
		return d.add("is this machine online?")
	}
	return nil
}

func isTimeout(err error) bool {
	var network net.Error
	return errors.Is(err, mqtt.ErrTimeout) || errors.Is(err, context.DeadlineExceeded) || errors.As(err, &network) && network.Timeout()
}
