package iot

import (
	"crypto/tls"
	"fmt"
	"net/netip"
	"time"
)

// alpn is the protocol by which AWS IoT Core knows MQTT with a client certificate on port 443, where it also speaks
// HTTPS. On port 8883 none is needed.
const alpn = "x-amzn-mqtt-ca"

// cipherSuites are those of TLS 1.2, in Go's order, that AWS IoT Core lists and that keep past connections secret when a
// key is lost. ChaCha20 is not among AWS's for TLS 1.2. Those of TLS 1.3 cannot be chosen: AWS has all three.
var cipherSuites = []uint16{
	tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
	tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
	tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
	tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
	tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA,
	tls.TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA,
	tls.TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA,
	tls.TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA,
}

// cipherSuiteName is [tls.CipherSuiteName] without the suites that are not safe, and not offered.
func cipherSuiteName(id uint16) string {
	for _, suite := range tls.CipherSuites() {
		if suite.ID == id {
			return suite.Name
		}
	}
	return fmt.Sprintf("%#04x", id)
}

// tlsConfig is how to speak TLS to e with the credentials c: the server's name and the chain up to c's roots are always
// verified, sessions are never resumed, so that each connection verifies again.
func tlsConfig(e Endpoint, c *Credentials, now func() time.Time) *tls.Config {
	return &tls.Config{
		MinVersion:   tls.VersionTLS12,
		CipherSuites: cipherSuites,
		RootCAs:      c.roots, // never nil: nil would stand for the roots of the system
		ServerName:   serverName(e.Host),
		Time:         now,

		// With Certificates, package tls would send none to a server that does not name the issuer of ours, and the user
		// would read that a certificate is missing instead of unknown.
		GetClientCertificate: c.certificate,
	}
}

// serverName is the name that the server's certificate has to have: the host, without the zone of an IPv6 address.
func serverName(host string) string {
	if address, err := netip.ParseAddr(host); err == nil {
		return address.WithZone("").String()
	}
	return host
}
