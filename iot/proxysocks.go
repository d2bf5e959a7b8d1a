package iot

import (
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/netip"
)

// askSOCKS asks for a tunnel to host and port (RFC 1928). When it returns nil, the next byte on conn is the server's.
func (p *Proxy) askSOCKS(conn net.Conn, host string, port uint16) error {
	const version = 5
	request := []byte{version, 1, 0, 0} // CONNECT
	if address, err := netip.ParseAddr(host); err != nil {
		if len(host) > 255 {
			return invalid("the host name has %d bytes, and SOCKS5 can send 255", len(host))
		}
		request[3] = socksName
		request = append(append(request, byte(len(host))), host...)
	} else if request[3] = socksIPv4; address.Is4() {
		request = append(request, address.AsSlice()...)
	} else {
		request[3] = socksIPv6
		request = append(request, address.AsSlice()...)
	}
	request = binary.BigEndian.AppendUint16(request, port)

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
		return socksReply{p.socksRefusal(answer[1], net.JoinHostPort(host, fmt.Sprint(port)))}
	}
	// The address from which the proxy connects: nobody needs it, but it has to be read.
	size := map[byte]int{socksIPv4: 4, socksIPv6: 16}[answer[3]]
	if answer[3] == socksName {
		if err := readSOCKS(conn, answer[:1]); err != nil {
			return err
		}
		size = int(answer[0])
	} else if size == 0 {
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
			remedy("write them into its URL, %s://USER:PASSWORD@HOST:PORT, and that into a variable, not on the command line", p.scheme).forever()
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
			remedy("in a URL %% is written %%25, : is %%3A, @ is %%40 and / is %%2F").forever()
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
	return e.remedy("is the port right?")
}

// socksReply is the refusal of one address. Another one of the same server may be accepted.
type socksReply struct{ error }

func (r socksReply) Unwrap() error { return r.error }

// socksRefusal says what a reply means that opens no tunnel (RFC 1928 section 6).
func (p *Proxy) socksRefusal(reply byte, target string) error {
	switch reply {
	case 2:
		e := p.fault(nil, "does not allow a connection to %s", target)
		return e.remedy("ask who runs it to allow it, or try --port 443")
	case 3, 4, 6:
		return p.fault(nil, "cannot reach %s: %s", target, [...]string{3: "network unreachable", 4: "host unreachable", 6: "no answer in time"}[reply]).
			remedy("is the endpoint right, and does the proxy's network reach it?")
	case 5:
		return p.fault(nil, "cannot reach %s: connection refused", target).remedy("is the server running, and is the port right?")
	case 7:
		return p.fault(nil, "does not know the command CONNECT").remedy("is it a SOCKS5 proxy for TCP?")
	case 8:
		return p.fault(nil, "does not know this kind of address: %s", target).remedy("socks5h:// sends names and socks5:// addresses; try the other")
	}
	return p.fault(nil, "failed to connect to %s (SOCKS5 reply %d)", target, reply).remedy("its log, or who runs it, knows why")
}
