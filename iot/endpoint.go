package iot

import (
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
)

// The ports of IANA: "secure-mqtt" and "mqtt".
const (
	portTLS   = 8883
	portPlain = 1883
)

// Endpoint says where a server listens, and whether it speaks TLS there.
type Endpoint struct {
	Host string // a DNS name in lower case, or an IP address without brackets
	Port int    // 1 to 65 535
	TLS  bool
}

// ParseEndpoint reads host, host:port, mqtts://host[:port] (all of these with TLS, port 8883 unless given) or
// mqtt://host[:port] (without TLS, port 1883 unless given). An IPv6 address stands in brackets. The error is one line
// that says what was found and what is wanted, and matches [packet.ErrInvalid].
func ParseEndpoint(s string) (Endpoint, error) {
	e, _, err := readEndpoint(s)
	return e, err
}

// readEndpoint is ParseEndpoint, and reports whether s names the port.
func readEndpoint(s string) (e Endpoint, portGiven bool, err error) {
	if s == "" {
		return Endpoint{}, false, invalid("the endpoint is empty; for AWS IoT Core ask: aws iot describe-endpoint --endpoint-type iot:Data-ATS")
	}
	e = Endpoint{Port: portTLS, TLS: true}
	if i := strings.LastIndexByte(s, '@'); i >= 0 {
		return Endpoint{}, false, invalid("endpoint %.80q: user name and password do not belong here, but to --username and --password-file; want host or host:port", "..."+s[i:])
	}
	scheme, rest, found := strings.Cut(s, "://")
	if !found {
		rest = s
	} else if err := e.setScheme(s, strings.ToLower(scheme), rest); err != nil {
		return Endpoint{}, false, err
	}
	for _, r := range rest {
		if r <= ' ' || r == 0x7f {
			return Endpoint{}, false, invalid("endpoint %q: %q in it, want a host name, or host:port", s, r)
		}
	}
	if i := strings.IndexAny(rest, "/?#"); i >= 0 {
		return Endpoint{}, false, invalid("endpoint %q: %q behind the host, want host or host:port; try %q", s, rest[i:], s[:len(s)-len(rest)+i])
	}
	subject := fmt.Sprintf("endpoint %q", s)
	if len(s) > 300 {
		subject = fmt.Sprintf("endpoint %.40q...", s)
	}
	host, port, err := splitPort(subject, rest)
	if err != nil {
		return Endpoint{}, false, err
	}
	e.Host = host
	if port != "" {
		if e.Port, err = parsePort(subject, port); err != nil {
			return Endpoint{}, false, err
		}
	}
	return e, port != "", nil
}

// setScheme fills in what the scheme says.
func (e *Endpoint) setScheme(s, scheme, rest string) error {
	host, _, _ := strings.Cut(rest, "/")
	switch scheme {
	case "mqtts":
		return nil
	case "mqtt":
		e.Port, e.TLS = portPlain, false
		return nil
	case "https", "http":
		return invalid("endpoint %q: a web address, want the host name alone; try %q", s, host)
	case "wss", "ws":
		return invalid("endpoint %q: MQTT over WebSocket is not spoken here, want the host name alone; try %q", s, host)
	case "ssl", "tls":
		return invalid("endpoint %q: unknown scheme, want mqtts:// (TLS) or mqtt:// (plain); try %q", s, "mqtts://"+host)
	case "tcp":
		return invalid("endpoint %q: unknown scheme, want mqtts:// (TLS) or mqtt:// (plain); try %q", s, "mqtt://"+host)
	}
	return invalid("endpoint %q: unknown scheme, want mqtts:// (TLS) or mqtt:// (plain)", s)
}

// splitPort cuts rest, the host and port of what is called subject in errors, into a host that was checked and a port that
// was not.
func splitPort(subject, rest string) (host, port string, err error) {
	if inside, found := strings.CutPrefix(rest, "["); found {
		inside, behind, found := strings.Cut(inside, "]")
		address, err := netip.ParseAddr(inside)
		if !found || err != nil || !address.Is6() || strings.ContainsAny(address.Zone(), "[%") {
			return "", "", invalid("%s: want an IPv6 address in the brackets, such as [2001:db8::1]:8883", subject)
		}
		port, found := strings.CutPrefix(behind, ":")
		if found == (behind == "") || found && port == "" {
			return "", "", invalid("%s: %q behind the bracket, want : and a port, or nothing", subject, behind)
		}
		return inside, port, nil
	}
	host, port, found := strings.Cut(rest, ":")
	switch {
	case strings.Contains(port, ":"):
		return "", "", invalid("%s: more than one colon; an IPv6 address needs brackets, such as [2001:db8::1]:8883", subject)
	case found && port == "":
		return "", "", invalid("%s: no port behind the colon, want 1 to 65535", subject)
	case host == "":
		return "", "", invalid("%s: no host, want host or host:port", subject)
	}
	return strings.ToLower(host), port, checkHost(subject, host)
}

// checkHost checks the form of a DNS name or IPv4 address: RFC 1123, and the underscore that containers have in names.
func checkHost(subject, host string) error {
	name := strings.TrimSuffix(host, ".")
	if len(name) > 253 {
		return invalid("%s: the host name has %d bytes, want at most 253", subject, len(name))
	}
	for label := range strings.SplitSeq(name, ".") {
		if label == "" {
			return invalid("%s: two dots in a row, or one at the start", subject)
		}
		if len(label) > 63 {
			return invalid("%s: a part of the host name has %d bytes, want at most 63", subject, len(label))
		}
		for _, r := range label {
			switch {
			case 'a' <= r && r <= 'z', 'A' <= r && r <= 'Z', '0' <= r && r <= '9', r == '-', r == '_':
			case r >= 0x80:
				return invalid("%s: %q in the host name, want its ASCII form (xn--...)", subject, r)
			default:
				return invalid("%s: %q in the host name, want letters, digits, '-' and '.'", subject, r)
			}
		}
		if label[0] == '-' || label[len(label)-1] == '-' {
			return invalid("%s: a part of the host name starts or ends with '-'", subject)
		}
	}
	return nil
}

func parsePort(subject, port string) (int, error) {
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil || n == 0 {
		return 0, invalid("%s: port %q, want 1 to 65535", subject, port)
	}
	return int(n), nil
}

// String returns host:port, with mqtt:// in front if the endpoint is without TLS. [ParseEndpoint] reads it.
func (e Endpoint) String() string {
	if e.TLS {
		return e.Address()
	}
	return "mqtt://" + e.Address()
}

// Address returns host:port as package net wants it, with brackets around an IPv6 address.
func (e Endpoint) Address() string {
	return net.JoinHostPort(e.Host, strconv.Itoa(e.Port))
}

// AWS reports whether the host name is one of AWS: it ends in .amazonaws.com or .amazonaws.com.cn.
func (e Endpoint) AWS() bool {
	host := strings.ToLower(strings.TrimSuffix(e.Host, "."))
	return strings.HasSuffix(host, ".amazonaws.com") || strings.HasSuffix(host, ".amazonaws.com.cn")
}

// local reports whether this is the same machine.
func (e Endpoint) local() bool {
	address, err := netip.ParseAddr(e.Host)
	return strings.TrimSuffix(e.Host, ".") == "localhost" || err == nil && address.IsLoopback()
}

// Region returns the AWS region that the host name holds, such as eu-west-1, or "".
func (e Endpoint) Region() string {
	if !e.AWS() {
		return ""
	}
	for label := range strings.SplitSeq(strings.ToLower(e.Host), ".") {
		if isRegion(label) {
			return label
		}
	}
	return ""
}

// isRegion reports whether label is like the name of a region: two letters, words, a number.
func isRegion(label string) bool {
	const letters, digits = "abcdefghijklmnopqrstuvwxyz", "0123456789"
	parts := strings.Split(label, "-")
	if len(parts) < 3 || len(parts[0]) != 2 {
		return false
	}
	for i, part := range parts {
		of := letters
		if i == len(parts)-1 {
			of = digits
		}
		if part == "" || strings.Trim(part, of) != "" {
			return false
		}
	}
	return true
}

// Legacy reports whether this is an AWS IoT data endpoint of the old kind, whose certificate AmazonRootCA1.pem does not
// sign: prefix.iot.region.amazonaws.com. The present kind is prefix-ats.iot., in China prefix.ats.iot.
func (e Endpoint) Legacy() bool {
	labels := strings.Split(strings.ToLower(e.Host), ".")
	return e.AWS() && len(labels) > 3 && labels[1] == "iot" && labels[3] == "amazonaws" && !strings.HasSuffix(labels[0], "-ats")
}
