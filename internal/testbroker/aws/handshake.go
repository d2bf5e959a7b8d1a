package aws

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
)

// alpn is the application protocol that AWS wants for MQTT with a client certificate on port 443.
const alpn = "x-amzn-mqtt-ca"

// The alerts of RFC 8446, section 6.2, that crypto/tls does not send by itself.
const (
	alertUnrecognizedName      = 112
	alertNoApplicationProtocol = 120
)

// TLS returns the server's side of the connections on port 8883: TLS 1.2 or newer with the cipher suites of AWS, no
// session tickets, a server name, and a certificate of the client whose key it has; whether that is registered is
// decided later.
func (c *Core) TLS() *tls.Config {
	config := &tls.Config{
		MinVersion: tls.VersionTLS12,
		CipherSuites: []uint16{ // of TLS 1.2: those of AWS that the server's key can do
			tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
			tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
			tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
			tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
			tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256,
			tls.TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256,
			tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA,
			tls.TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA,
			tls.TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA,
			tls.TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA,
		},
		SessionTicketsDisabled: true,
		Certificates:           []tls.Certificate{c.server},
		ClientAuth:             tls.RequireAnyClientCert, // no CA is asked: the registry decides
	}
	config.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		return nil, c.checkServerName(hello)
	}
	if c.config.RejectInHandshake {
		config.VerifyPeerCertificate = c.verify
	}
	return config
}

// TLSWithALPN is TLS for the port that stands for 443, where AWS tells protocols apart by ALPN. With Config.Authorizers the
// protocol mqtt is one of them, for which no client certificate is asked.
func (c *Core) TLSWithALPN() *tls.Config {
	config := c.TLS()
	config.NextProtos = []string{alpn} // crypto/tls refuses any other one
	withoutCertificate := config.Clone()
	withoutCertificate.NextProtos = []string{alpnAuthorizer}
	withoutCertificate.ClientAuth, withoutCertificate.VerifyPeerCertificate = tls.NoClientCert, nil
	config.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		if len(hello.SupportedProtos) == 0 {
			return nil, alert(hello, alertNoApplicationProtocol, fmt.Errorf("the client asks for no application protocol: this port needs ALPN %s", alpn))
		}
		if err := c.checkServerName(hello); err != nil {
			return nil, err
		}
		if c.authorizers != nil && slices.Contains(hello.SupportedProtos, alpnAuthorizer) && !slices.Contains(hello.SupportedProtos, alpn) {
			return withoutCertificate, nil
		}
		return nil, nil
	}
	return config
}

func (c *Core) checkServerName(hello *tls.ClientHelloInfo) error {
	if c.config.NoServerName {
		return nil
	}
	if hello.ServerName == "" {
		return alert(hello, alertUnrecognizedName, errors.New("the client sends no server name (SNI): an IP address is none"))
	}
	if err := c.server.Leaf.VerifyHostname(hello.ServerName); err != nil {
		return alert(hello, alertUnrecognizedName, fmt.Errorf("the client wants the server %q, which this is not", hello.ServerName))
	}
	return nil
}

// alert sends a fatal alert that crypto/tls would not choose. It answers a ClientHello, so there is nothing to encrypt.
func alert(hello *tls.ClientHelloInfo, description byte, why error) error {
	hello.Conn.Write([]byte{21, 3, 3, 0, 2, 2, description})
	return why
}

// verify refuses a certificate in the handshake. The alert is bad_certificate, where that of AWS was
// certificate_unknown: crypto/tls sends no other one for an error of ours.
func (c *Core) verify(chain [][]byte, _ [][]*x509.Certificate) error {
	leaf, err := x509.ParseCertificate(chain[0])
	if err != nil {
		return err
	}
	if _, err = c.admissible(leaf); err != nil {
		return &rejection{certificateID(leaf), err}
	}
	return nil
}

// rejection is the error of a handshake with a certificate that AWS does not let in.
type rejection struct {
	principal string // the certificate ID
	why       error
}

func (r *rejection) Error() string { return r.why.Error() }
