package iot

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	neturl "net/url"
	"strconv"
	"strings"
	"time"
)

// Proxy is a way through a proxy: HTTP CONNECT (RFC 9110 section 9.3.6) or SOCKS5 (RFC 1928). One that [ParseProxy]
// returned does not change, and may be shared. User name and password are out of reach of package fmt and of reflection.
type Proxy struct {
	scheme string // http, https, socks5 or socks5h
	server Endpoint

	// login returns user name and password; nil: there are none. A function, since no formatter looks into one.
	login func() (user, password string)

	roots  *x509.CertPool                                               // that sign the certificate of an https proxy; nil: those of the system
	lookup func(ctx context.Context, host string) (a []string, e error) // for socks5; nil: that of package net
}

// usualPort is where a proxy listens that is named without a port, as curl has it. There is none for http, about which
// programs disagree: 80, 1080, 3128, 8080.
func usualPort(scheme string) int {
	switch scheme {
	case "https":
		return 443
	case "socks5", "socks5h":
		return 1080
	}
	return 0
}

// ParseProxy reads the URL of a proxy, in the form that curl and others know:
//
//	http://[user:password@]host:port       CONNECT, in the clear up to the proxy; "http://" may be left out
//	https://[user:password@]host[:port]    CONNECT, within TLS up to the proxy, whose certificate the system's roots sign; port 443
//	socks5://[user:password@]host[:port]   SOCKS5; the server's name is looked up here, and the proxy gets an address; port 1080
//	socks5h://[user:password@]host[:port]  SOCKS5; the proxy looks the server's name up; port 1080
//
// What has a meaning in a URL is percent-encoded in user name and password: %25 is %, %3A is :, %40 is @, %2F is /. The
// error is one line that shows neither of the two, and matches [packet.ErrInvalid].
func ParseProxy(url string) (*Proxy, error) {
	scheme, rest, found := strings.Cut(url, "://")
	if !found {
		scheme, rest = "http", url
	}
	login, hostPort := "", strings.TrimSuffix(rest, "/")
	if i := strings.LastIndexByte(hostPort, '@'); i >= 0 {
		login, hostPort = hostPort[:i], hostPort[i+1:]
	}
	scheme = strings.ToLower(scheme)
	switch scheme {
	case "http", "https", "socks5", "socks5h":
	case "socks", "socks4", "socks4a":
		return nil, invalid("proxy: %s:// is not spoken here, want http://, https://, socks5:// or socks5h://", scheme)
	default: // it may be a user name
		return nil, invalid("proxy: unknown scheme in front of ://, want http://, https://, socks5:// or socks5h://")
	}
	if strings.ContainsAny(login, "/?#@") {
		return nil, invalid("proxy: user name and password must not have / ? # @ as they are; write %%2F %%3F %%23 %%40")
	}
	if login == "" && !strings.HasPrefix(hostPort, "[") && !isAddress(hostPort) {
		_, port, _ := strings.Cut(hostPort, ":")
		if i := strings.IndexAny(port, "/?#"); i >= 0 {
			port = port[:i]
		}
		if strings.Trim(port, "0123456789") != "" { // it may be a password
			return nil, invalid("proxy: what stands behind the colon is no port, want [USER:PASSWORD@]HOST:PORT")
		}
	}
	p := &Proxy{scheme: scheme}
	subject := fmt.Sprintf("proxy %.80q", scheme+"://"+hostPort)
	if i := strings.IndexAny(hostPort, "/?#"); i >= 0 {
		return nil, invalid("%s: %q behind the host, want host:port and nothing else", subject, hostPort[i:i+1])
	}
	host, port, err := splitPort(subject, hostPort)
	if err != nil {
		return nil, err
	}
	p.server = Endpoint{Host: host, Port: usualPort(scheme)}
	if port != "" {
		if p.server.Port, err = parsePort(subject, port); err != nil {
			return nil, err
		}
	} else if p.server.Port == 0 {
		return nil, invalid("%s: no port, and there is no usual one: 3128 and 8080 are frequent", subject)
	}
	if err := p.setLogin(login); err != nil {
		return nil, err
	}
	return p, nil
}

// setLogin reads user:password.
func (p *Proxy) setLogin(login string) error {
	if login == "" {
		return nil
	}
	user, password, _ := strings.Cut(login, ":")
	user, wrong := neturl.PathUnescape(user)
	password, wrongToo := neturl.PathUnescape(password)
	switch {
	case wrong != nil || wrongToo != nil:
		return invalid("proxy %s: a %% in user name or password that no two hexadecimal digits follow; write %%25", p)
	case user == "":
		return invalid("proxy %s: a password without a user name", p)
	case p.http() && strings.Contains(user, ":"):
		return invalid("proxy %s: a colon in the user name, which HTTP cannot send", p)
	case !p.http() && (len(user) > 255 || len(password) > 255):
		return invalid("proxy %s: user name or password has more than 255 bytes, which SOCKS5 cannot send", p)
	case len(user)+len(password) > 4096:
		return invalid("proxy %s: user name and password have more than 4096 bytes", p)
	}
	p.login = func() (string, string) { return user, password }
	return nil
}

// http reports whether it speaks CONNECT.
func (p *Proxy) http() bool { return p.scheme[0] == 'h' }

// resolves reports whether the proxy looks the server's name up.
func (p *Proxy) resolves() bool { return p.scheme != "socks5" }

// String returns the URL without user name and password.
//
//go:noinline
func (p *Proxy) String() string { return p.scheme + "://" + p.server.Address() }

// Format prints String, whatever the verb.
func (p *Proxy) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, p.String()) }

// MarshalText returns String: that is what encoding/json and others write.
func (p *Proxy) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// DialContext opens a connection to address, a host and a port, through the proxy: what is written to it reaches the
// server as it is, and TLS is between the two ends of it. It ends with ctx; without a deadline in ctx a silent proxy holds
// it for ever. network is tcp. [Config.MQTT] does this by itself; this is for those who dial in a way of their own, such
// as a library for WebSocket that takes such a function.
//
// What goes wrong between here and the server is a [*ProxyError], the end of ctx the error of ctx.
// An address that is none matches [packet.ErrInvalid].
func (p *Proxy) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	return p.through(netDialer())(ctx, network, address)
}

// dialContext is the type of what opens a connection.
type dialContext = func(ctx context.Context, network, address string) (net.Conn, error)

// through returns DialContext for a proxy to which dial connects.
func (p *Proxy) through(dial dialContext) dialContext { return (&tunnel{p, dial}).open }

// tunnel is a proxy and what connects to it.
type tunnel struct {
	*Proxy
	dial dialContext
}

// open opens a connection to address through the proxy.
func (t *tunnel) open(ctx context.Context, _, address string) (net.Conn, error) {
	host, portText, err := net.SplitHostPort(address)
	if err != nil || host == "" {
		return nil, invalid("address %.80q: want host:port", address)
	}
	port, err := parsePort("address", portText)
	if err != nil {
		return nil, err
	}
	host, _, _ = strings.Cut(host, "%") // the zone of an IPv6 address means nothing elsewhere
	if !isAddress(host) {
		if err := checkHost(fmt.Sprintf("address %.80q", address), host); err != nil {
			return nil, err
		}
	}
	hosts := []string{host}
	if !t.resolves() && !isAddress(host) {
		if hosts, err = t.lookedUp(ctx, host); err != nil {
			return nil, err
		}
	}
	var conn net.Conn
	for _, host := range hosts {
		conn, err = t.connect(ctx, t.dial, host, uint16(port))
		if refusal, ok := errors.AsType[*ProxyError](err); !ok || !refusal.reply {
			break
		}
	}
	return conn, err
}

// maxAddresses is how many addresses of a server are tried, each with a connection of its own.
const maxAddresses = 4

// lookedUp returns some addresses of the host.
func (p *Proxy) lookedUp(ctx context.Context, host string) ([]string, error) {
	lookup := p.lookup
	if lookup == nil {
		lookup = lookupHost
	}
	addresses, err := lookup(ctx, host)
	if err == nil && len(addresses) == 0 {
		err = errors.New("it has no address")
	}
	if err != nil && ctx.Err() != nil {
		return nil, ctx.Err()
	}
	if err != nil {
		if dns, ok := errors.AsType[*net.DNSError](err); ok {
			err = errors.New(dns.Err)
		}
		return nil, p.fault(err, "is to get an address of %s, and none was found here: %v", host, err).remedy("socks5h:// leaves that to the proxy")
	}
	return addresses[:min(len(addresses), maxAddresses)], nil
}

// lookupHost returns the addresses of a host, as one dials does.
func lookupHost(ctx context.Context, host string) ([]string, error) {
	found, err := net.DefaultResolver.LookupIPAddr(ctx, host)
	addresses := make([]string, len(found))
	for i := range found {
		addresses[i] = found[i].String()
	}
	return addresses, err
}

// connect opens one connection through the proxy.
func (p *Proxy) connect(ctx context.Context, dial dialContext, host string, port uint16) (net.Conn, error) {
	conn, err := dial(ctx, "tcp", p.server.Address())
	if err != nil {
		return nil, p.unreachable(ctx, err)
	}
	stop := context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })
	tunnel, err := p.handshake(ctx, conn, host, port)
	if !stop() && err == nil { // the end of ctx in the same instant
		err = ctx.Err()
	}
	if err != nil {
		conn.Close()
		if ctx.Err() != nil && !isTimeout(ctx.Err()) {
			return nil, ctx.Err()
		}
		return nil, p.explained(err)
	}
	return tunnel, nil
}

// handshake asks the proxy for the tunnel.
func (p *Proxy) handshake(ctx context.Context, conn net.Conn, host string, port uint16) (net.Conn, error) {
	if p.scheme == "https" {
		steady := &steadyConn{conn: conn}
		secure := tls.Client(steady, &tls.Config{MinVersion: tls.VersionTLS12, ServerName: p.server.Host, RootCAs: p.roots})
		if err := secure.HandshakeContext(ctx); err != nil {
			return nil, p.untrusted(err)
		}
		conn = &tlsConn{conn: secure, steady: steady}
	}
	if p.http() {
		return conn, p.askHTTP(conn, net.JoinHostPort(host, strconv.Itoa(int(port))))
	}
	return conn, p.askSOCKS(conn, host, port)
}
