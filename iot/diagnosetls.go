package iot

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"iotwire/mqtt"
)

// badTLS says what a failure of TLS means: of the server's certificate, of the client's, of the handshake.
func badTLS(s *symptom) *Diagnosis {
	unverified, _ := errors.AsType[*tls.CertificateVerificationError](s.err)
	handshake, _ := errors.AsType[*handshakeError](s.err)
	alert := remoteAlert(s.err)
	switch {
	case unverified != nil:
		return badServerCertificate(s, unverified)
	case slices.Contains(certificateAlerts, alert), alert == alertHandshake:
		return badClientCertificate(s, alert)
	case alert == alertALPN && s.endpoint.Port != 443 && !s.config.ALPN && s.config.Authorizer == nil:
		return diagnosis(KindTLS, "the server at "+s.where()+" demands a protocol in the TLS handshake (ALPN), and none is offered on port "+strconv.Itoa(s.endpoint.Port),
			"the option --alpn offers "+alpn+" on any port; AWS IoT demands it on port 443, where it is always offered, and not on 8883")
	case alert == alertALPN, errors.Is(s.err, errNoALPN):
		if s.config.Authorizer != nil {
			return diagnosis(KindTLS, "the server at "+s.where()+" does not speak the protocol "+alpnAuthorizer+" (ALPN)",
				"that is how AWS IoT knows MQTT with an authorizer; is the endpoint right, and does a proxy stand in between?")
		}
		return diagnosis(KindTLS, "the server at "+s.where()+" does not speak the protocol "+alpn+" (ALPN)",
			"on port 443 that is how AWS IoT knows MQTT; is the endpoint right, and does a proxy stand in between?",
			"port 8883 needs no ALPN")
	case alert == alertVersion:
		return diagnosis(KindTLS, "the server does not speak TLS 1.2 or newer", "it needs an update: older versions are not safe")
	case alert == alertName && isAddress(s.endpoint.Host):
		return diagnosis(KindTLS, "the server wants to be called by a name, and for an address such as "+s.endpoint.Host+" none is sent (SNI, RFC 6066 section 3)",
			"use a host name as endpoint, one that the server's certificate has")
	case alert == alertName:
		return diagnosis(KindTLS, "the server does not know the name "+s.endpoint.Host, "use the name that its certificate has")
	case handshake != nil && handshake.notTLS():
		return diagnosis(KindTLS, "the server does not speak TLS on "+s.where(), "is the port right? A broker without TLS is mqtt://"+s.where())
	case handshake == nil, isTimeout(s.err):
		if alert != "" && !errors.Is(s.err, mqtt.ErrLost) {
			return diagnosis(KindTLS, "the server ended TLS: "+alert)
		}
		return nil
	case errors.Is(s.err, io.EOF), errors.Is(s.err, io.ErrUnexpectedEOF), errors.Is(s.err, syscall.ECONNRESET), errors.Is(s.err, syscall.EPIPE):
		d := diagnosis(KindTLS, "the server at "+s.where()+" hung up in the TLS handshake")
		const plain = "does it speak TLS on this port? A broker without TLS is mqtt://"
		if s.config.Proxy != nil {
			return d.causes("the proxy "+s.config.Proxy.String()+" opened the way and closed it again: it may not reach the server, or not allow it",
				plain+s.where())
		}
		return d.add(plain + s.where())
	}
	return diagnosis(KindTLS, s.text())
}

// isAddress reports whether host is an IP address.
func isAddress(host string) bool {
	_, err := netip.ParseAddr(host)
	return err == nil
}

// badServerCertificate says why we do not trust the server.
func badServerCertificate(s *symptom, unverified *tls.CertificateVerificationError) *Diagnosis {
	switch e := unverified.Err.(type) {
	case x509.UnknownAuthorityError:
		d := diagnosis(KindTLS, "the server's certificate is not signed by "+s.caFile())
		if len(unverified.UnverifiedCertificates) > 0 {
			last := unverified.UnverifiedCertificates[len(unverified.UnverifiedCertificates)-1]
			d.add(fmt.Sprintf("it is signed by %q", commonName(last)))
		}
		switch {
		case s.endpoint.Legacy():
			d.add("this endpoint lacks -ats: it is of the old kind, whose CA is another").next("%s", s.describeEndpoint())
		case s.aws:
			d.causes("it is the wrong CA file: AWS's is https://www.amazontrust.com/repository/AmazonRootCA1.pem",
				"a proxy on the way reads TLS, and shows a certificate of its own")
		default:
			d.add("give the CA certificate that the server's was signed with")
		}
		return d
	case x509.HostnameError:
		d := diagnosis(KindTLS, "the server's certificate is not for "+e.Host)
		if names := certificateNames(e.Certificate); names != "" {
			d.add("it is for " + names)
		} else {
			d.add("it has no name in its subject alternative names, and the common name does not count")
		}
		d.add("use the name of the server as endpoint, in the right region")
		return d
	case x509.CertificateInvalidError:
		switch {
		case notYetValid(e, s.now):
			return diagnosis(KindTLS, "the server's certificate is not valid before "+clock(e.Cert.NotBefore)+
				", and the clock says "+clock(s.now), clockRemedy(s.now))
		case e.Reason == x509.Expired:
			return diagnosis(KindTLS, "the server's certificate expired on "+clock(e.Cert.NotAfter)+", and the clock says "+clock(s.now),
				"set the clock if it is wrong; otherwise the server needs a new certificate")
		case e.Reason == x509.IncompatibleUsage:
			return diagnosis(KindTLS, "the server's certificate is not one for servers (extended key usage)",
				"the server needs one for server authentication")
		}
	}
	return diagnosis(KindTLS, s.text())
}

// badClientCertificate says why the server may not trust us.
func badClientCertificate(s *symptom, alert string) *Diagnosis {
	credentials := s.config.Credentials
	if credentials != nil && credentials.KeyFile == "" {
		return diagnosis(KindTLS, "the server wants a client certificate (TLS: "+alert+")", "name private key and certificate")
	}
	file := "the certificate"
	if credentials != nil {
		file = credentials.CertificateFile
	}
	if alert == alertExpired {
		d := diagnosis(KindTLS, "the server says that "+file+" is not valid at this time (TLS: "+alert+")")
		if credentials != nil {
			d.add("it is valid from " + clock(credentials.NotBefore) + " to " + clock(credentials.NotAfter) + ", and the clock here says " + clock(s.now))
		}
		return d.add("if the clock here is right, the server's is wrong, or one of the issuers' certificates has expired")
	}
	d := diagnosis(KindTLS, "the server closed the TLS connection: it wants a certificate it knows (TLS: "+alert+")")
	switch {
	case s.aws:
		d.causes(file+" is not registered, or not ACTIVE, in "+s.region("the endpoint's region")+": its id is "+s.certificateID(),
			"the endpoint is that of another account").next("%s", s.describeCertificate())
	case alert == alertHandshake:
		d.add("or the two have no cipher suite in common; the server's log says more")
	default:
		d.add("is " + file + " signed by the CA that the server asks for?")
	}
	return d
}

func (s *symptom) caFile() string {
	if c := s.config.Credentials; c != nil && c.CAFile != "" {
		return c.CAFile
	}
	return "the CA"
}

// commonName is a name for the issuer of a certificate.
//
//go:noinline
func commonName(certificate *x509.Certificate) string {
	if certificate.Issuer.CommonName != "" {
		return certificate.Issuer.CommonName
	}
	return certificate.Issuer.String()
}

// certificateNames lists some names of a certificate.
func certificateNames(certificate *x509.Certificate) string {
	var names []string
	for _, name := range certificate.DNSNames {
		names = append(names, fmt.Sprintf("%.60q", name))
	}
	for _, ip := range certificate.IPAddresses {
		names = append(names, ip.String())
	}
	if len(names) > 5 {
		names = append(names[:5], "...")
	}
	return strings.Join(names, ", ")
}
