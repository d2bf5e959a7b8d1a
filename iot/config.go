package iot

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"time"

	"iotwire/mqtt"
	"iotwire/mqtt/packet"
)

// Config says to which server a client connects, and as whom. Endpoint is required, and Credentials for TLS.
type Config struct {
	// Endpoint is where the server listens: host, host:port, mqtts://host[:port] or mqtt://host[:port]. See
	// [ParseEndpoint].
	Endpoint string

	// Port, if not 0, takes the place of the endpoint's. With TLS, port 443 selects the protocol x-amzn-mqtt-ca (ALPN), by
	// which AWS IoT Core is reached where a firewall lets only HTTPS pass.
	Port int

	// ALPN selects the same protocol on any port, for a server that demands it there.
	ALPN bool

	// ClientID is the whole client identifier. If it is empty, [NewClientID] makes one of ClientPrefix. AWS IoT Core
	// disconnects a client when another connects with the same identifier; [Diagnose] does not suspect that of an identifier
	// that was made of ClientPrefix.
	ClientID     string
	ClientPrefix string

	// Credentials are for TLS: see [LoadCredentials]. Without TLS they are not used.
	Credentials *Credentials

	// CurrentCredentials, if not nil, is asked at each connection for the credentials to use from then on, so that a
	// certificate can be replaced while the client runs; nil stands for Credentials. It may be called from several goroutines
	// at a time, and must not block. A connection that is there keeps those that it was made with.
	CurrentCredentials func() *Credentials `json:"-"`

	// Authorizer, if not nil, is asked in place of a client certificate: of Credentials, the roots alone count. Unless the
	// endpoint or Port names a port, it is 443.
	Authorizer *Authorizer

	// AWS says that the server is AWS IoT Core, or plays it, though its host name does not end in .amazonaws.com: a custom
	// domain, an emulator. It selects AWS's limits and reconnect policy.
	AWS bool

	// Will, if not nil, becomes the Will of [mqtt.Config]. AWS IoT Core accepts no connection whose will the policy does not
	// let it publish, so [Diagnose] has to know of it.
	Will *mqtt.Message

	// Proxy, if not nil, is the way to the server: see [ParseProxy] and [ProxyFromEnvironment]. TLS goes through it untouched.
	Proxy *Proxy

	// DialContext opens the TCP connection, for a tunnel of another kind; with Proxy, it opens the one to the proxy. Nil: a
	// [net.Dialer]. The server's certificate has to be the endpoint's wherever it leads.
	DialContext func(ctx context.Context, network, address string) (net.Conn, error) `json:"-"`

	// KeyLog, if not nil, gets the secrets of TLS connections in the format of NSS, by which Wireshark reads them, as
	// [crypto/tls.Config.KeyLogWriter] does. Who has them can read all that the connections carry.
	KeyLog io.Writer `json:"-"`

	now func() time.Time // nil: time.Now
}

// MQTT returns the configuration of a client for this server; the program may change it before it gives it to
// [mqtt.New]. It does no I/O.
//
// Dial opens TCP and, with TLS, at least version 1.2, verifies the server against the roots of the credentials and no others,
// and refuses to connect with a certificate that has expired since it was loaded. Its connection has, with TLS, the method
// ConnectionState of [crypto/tls.Conn]; a write deadline on it counts progress, so that a slow network does not fail
// while bytes move. ClientID is filled in. CleanSession is true if ClientPrefix made it, since nobody could come back for the
// session. Retry declines what time does not cure: a certificate that one side does not accept, no common version, cipher
// or protocol of TLS, a proxy that wants another user name or password, a CONNACK with code 1, 2, 4 or 5; and a certificate
// of ours that has expired, unless CurrentCredentials may bring another one.
//
// If the server is AWS IoT Core: Check and CheckFilter are its limits, SubscribeBatch is 8, Inflight 100, MaxPacket fits
// its largest message, MaxAttempts is 3, since it hangs up on a message that the policy does not allow, Resend is 5 s, since
// it drops what comes too fast and Device Advisor asks for it, and Backoff keeps to one CONNECT a second: full jitter, 1 s
// at least, 2 min at most, starting again after a connection of 30 s. For any other server these are left to package mqtt.
//
// The error matches [packet.ErrInvalid] or [ErrCredentials].
func (c Config) MQTT() (mqtt.Config, error) {
	e, err := c.Server()
	if err != nil {
		return mqtt.Config{}, err
	}
	aws := c.AWS || e.AWS()
	id := c.ClientID
	if id == "" {
		id = NewClientID(c.ClientPrefix)
	}
	if err := checkClientID(id, aws); err != nil {
		return mqtt.Config{}, err
	}
	if err := c.current().checkSecurity(e, aws); err != nil {
		return mqtt.Config{}, err
	}
	d := &dialer{endpoint: e, dialContext: c.way()}
	if e.TLS {
		d.tls = func() (*tls.Config, error) { return c.current().tls(e, aws) }
		d.needALPN = c.needALPN(e, aws)
	}
	m := mqtt.Config{Dial: d.dial, ClientID: id, CleanSession: c.ClientID == "", Will: c.Will,
		Retry: func(err error) bool { return worthRetry(err, c.clock()(), c.CurrentCredentials != nil) }}
	if c.Authorizer != nil {
		m.Credentials = c.Authorizer.Credentials
	}
	if aws {
		m.Check = func(message *mqtt.Message) error { return Check(*message) }
		m.CheckFilter = CheckFilter
		m.SubscribeBatch = maxFilters
		m.Inflight = maxInflight
		m.MaxPacket = maxPacket
		m.MaxAttempts = maxAttempts
		m.Resend = resend
		m.Backoff = mqtt.Backoff{Min: time.Second, Max: 2 * time.Minute, Floor: time.Second, Stable: 30 * time.Second}
	}
	return m, nil
}

// Server returns where to connect: Endpoint, with Port if there is one. The error matches [packet.ErrInvalid].
func (c Config) Server() (Endpoint, error) {
	e, portGiven, err := readEndpoint(c.Endpoint)
	if err == nil && c.Authorizer != nil && e.TLS && !portGiven {
		e.Port = 443
	}
	if err == nil && c.Port != 0 {
		if c.Port < 1 || c.Port > 65_535 {
			return e, invalid("port %d, want 1 to 65535", c.Port)
		}
		e.Port = c.Port
	}
	return e, err
}

// way is what opens a connection to the server.
func (c *Config) way() dialContext {
	dial := c.DialContext
	if dial == nil {
		dial = netDialer()
	}
	if c.Proxy != nil {
		return c.Proxy.through(dial)
	}
	return dial
}

// current returns c with the credentials of now.
func (c *Config) current() *Config {
	now := *c
	if c.CurrentCredentials != nil {
		if current := c.CurrentCredentials(); current != nil {
			now.Credentials = current
		}
	}
	if c.Authorizer != nil && now.Credentials != nil {
		now.Credentials = now.Credentials.rootsAlone()
	}
	return &now
}

// tls is how to speak TLS on one connection to e. The certificate may have expired since it was loaded.
func (c *Config) tls(e Endpoint, aws bool) (*tls.Config, error) {
	if err := c.checkSecurity(e, aws); err != nil {
		return nil, err
	}
	if err := c.Credentials.valid(c.clock()()); err != nil {
		return nil, err
	}
	config := tlsConfig(e, c.Credentials, c.clock())
	config.KeyLogWriter = c.KeyLog
	config.NextProtos = c.protocols(e)
	return config, nil
}

// protocols are what is offered by ALPN.
//
//go:noinline
func (c *Config) protocols(e Endpoint) []string {
	switch {
	case c.Authorizer != nil:
		return []string{alpnAuthorizer}
	case c.ALPN, e.Port == 443:
		return []string{alpn}
	}
	return nil
}

// needALPN is the protocol on which the server has to agree, or "".
func (c *Config) needALPN(e Endpoint, aws bool) string {
	if protocols := c.protocols(e); aws && protocols != nil {
		return protocols[0]
	}
	return ""
}

//go:noinline
func (c *Config) clock() func() time.Time {
	if c.now == nil {
		return time.Now
	}
	return c.now
}

// checkSecurity reports whether the credentials are enough for the server.
func (c *Config) checkSecurity(e Endpoint, aws bool) error {
	if c.Authorizer != nil {
		if err := c.Authorizer.check(); err != nil {
			return err
		}
	}
	switch {
	case !e.TLS && e.AWS():
		return invalid("endpoint %q: AWS IoT Core speaks TLS only; try %q", c.Endpoint, "mqtts://"+e.Host)
	case !e.TLS && c.Authorizer != nil:
		return invalid("endpoint %q: an authorizer, whose token would travel in the clear; try %q", c.Endpoint, "mqtts://"+e.Host)
	case !e.TLS:
		return nil
	case c.Credentials == nil || c.Credentials.roots == nil:
		return badFile(e.String(), "TLS needs certificates, and none were loaded",
			"name their directory; a broker without TLS is mqtt://"+e.Host)
	case c.Authorizer != nil:
		return nil
	case aws && c.Credentials.KeyFile == "":
		return badFile(e.String(), "AWS IoT Core wants a client certificate, and there is only a CA",
			"name private key and certificate")
	case aws && c.Credentials.ed25519:
		return badFile(c.Credentials.KeyFile, "an Ed25519 key, and AWS IoT Core takes RSA and ECDSA only",
			"make a new key and certificate")
	}
	return nil
}

// worthRetry reports whether time may cure err, or other credentials, if there may be some: it is the Retry of [mqtt.Config].
func worthRetry(err error, now time.Time, renewable bool) bool {
	if refused, ok := errors.AsType[*mqtt.ConnectError](err); ok {
		return refused.Code == packet.RefusedUnavailable
	}
	if credentials, ok := errors.AsType[*CredentialsError](err); ok {
		return credentials.early || renewable
	}
	proxy, ok := errors.AsType[*ProxyError](err)
	return !incurable(err, now) && (!ok || !proxy.final)
}
