package iot

import (
	"io"
	"net"
	"net/netip"
	"strconv"
)

// askSOCKS asks for a tunnel to host and port (RFC 1928). When it returns nil, the next byte on conn is the server's.
func (p *Proxy) askSOCKS(conn net.Conn, host string, port uint16) error {
	const version = 5
	kind, where := byte(socksName), []byte(host)
	if address, err := netip.ParseAddr(host); err == nil {
		kind, where = socksIPv4, address.AsSlice()
		if len(where) == 16 {
			kind = socksIPv6
		}
	} else { // checkHost has let in fewer than 256 bytes
		where = append([]byte{byte(len(host))}, where...)
	}
	const connect = 1
	request := append(append([]byte{version, connect, 0, kind}, where...), byte(port>>8), byte(port))

	if err := p.logInSOCKS(conn); err != nil {
		return err
	}
	if _, err := conn.Write(request); err != nil {
		return err
	}
	answer := make([]byte, 4)
	if err := readSOCKS(conn, answer); err != nil {
		return err
	}
	if answer[0] != version {
		return p.notSOCKS(answer[0])
	}
	if answer[1] != 0 {
		return p.socksRefusal(answer[1], net.JoinHostPort(host, strconv.Itoa(int(port))))
	}
	// The address from which the proxy connects: nobody needs it, but it has to be read.
	size := 0
	switch answer[3] {
	case socksIPv4:
		size = 4
	case socksIPv6:
		size = 16
	case socksName:
		if err := readSOCKS(conn, answer[:1]); err != nil {
			return err
		}
		size = int(answer[0])
	default:
		return p.fault(nil, "answered with an address of the unknown kind %d", answer[3]).remedy("is it a SOCKS5 proxy?")
	}
	return readSOCKS(conn, make([]byte, size+2))
}

// The kinds of addresses (RFC 1928 section 5).
const (
	socksIPv4 = 1
	socksName = 3
	socksIPv6 = 4
)

// logInSOCKS is the first part of the handshake: who is this (RFC 1928 section 3, RFC 1929).
func (p *Proxy) logInSOCKS(conn net.Conn) error {
	const anybody, byPassword, nobody = 0, 2, 0xff
	hello := []byte{5, 1, anybody}
	if p.login != nil {
		hello = []byte{5, 2, anybody, byPassword}
	}
	if _, err := conn.Write(hello); err != nil {
		return err
	}
	answer := make([]byte, 2)
	if err := readSOCKS(conn, answer); err != nil {
		return err
	}
	switch {
	case answer[0] != 5:
		return p.notSOCKS(answer[0])
	case answer[1] == anybody:
		return nil
	case answer[1] == nobody && p.login == nil:
		return p.fault(nil, "wants user name and password").
			remedy(giveLogin).forever()
	case answer[1] == nobody:
		return p.fault(nil, "lets nobody in with user name and password").remedy("it may want another way to log in, or none").forever()
	case answer[1] != byPassword || p.login == nil:
		return p.fault(nil, "wants to be logged in to in the way %d, which was not offered", answer[1]).remedy("is it a SOCKS5 proxy?").forever()
	}
	user, password := p.login()
	request := append([]byte{1, byte(len(user))}, user...)
	request = append(append(request, byte(len(password))), password...)
	if _, err := conn.Write(request); err != nil {
		return err
	}
	if err := readSOCKS(conn, answer); err != nil {
		return err
	}
	if answer[1] != 0 {
		return p.fault(nil, "does not accept this user name or password").
			remedy(checkEncoding).forever()
	}
	return nil
}

// readSOCKS fills b.
func readSOCKS(r io.Reader, b []byte) error {
	_, err := io.ReadFull(r, b)
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return err
}

// notSOCKS says what a proxy may be instead whose answer starts with the byte first.
func (p *Proxy) notSOCKS(first byte) error {
	e := p.fault(nil, "does not answer in SOCKS5")
	switch first {
	case 'H': // of HTTP
		return e.remedy("it may be an HTTP proxy: write http:// in front of it")
	case 0:
		return e.remedy("it may know SOCKS4 alone, which is not spoken here")
	}
	return e.remedy(checkPort)
}

// socksRefusal says what a reply means that opens no tunnel.
func (p *Proxy) socksRefusal(reply byte, target string) error {
	if int(reply) >= len(socksReplies) {
		reply = 0
	}
	r := socksReplies[reply]
	e := p.fault(nil, r.problem, target).remedy(r.remedy)
	e.reply = true
	return e
}

// socksReplies are the replies of RFC 1928 section 6, and in front what stands for any other: %[1]s is the server.
var socksReplies = [...]struct{ problem, remedy string }{
	{"refused a connection to %[1]s", checkLog},
	{"failed to connect to %[1]s", checkLog},
	{"does not allow a connection to %[1]s", "ask who runs it to allow it, or try --port 443"},
	{"cannot reach %[1]s: network unreachable", checkEndpoint},
	{"cannot reach %[1]s: host unreachable", checkEndpoint},
	{"cannot reach %[1]s: connection refused", "is the server running, and is the port right?"},
	{"cannot reach %[1]s: no answer in time", checkEndpoint},
	{"does not know the command CONNECT, to %[1]s", "is it a SOCKS5 proxy for TCP?"},
	{"does not know this kind of address: %[1]s", "socks5h:// sends names and socks5:// addresses; try the other"},
}
