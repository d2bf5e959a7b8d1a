package iot

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"slices"
	"strings"
	"time"
)

// The alerts of TLS (RFC 8446 section 6.2) that say that the server does not accept the client's certificate, by their
// names in package tls, whose type is not exported.
var certificateAlerts = []string{
	"bad certificate",
	"unsupported certificate",
	"revoked certificate",
	alertExpired,
	"unknown certificate",
	"unknown certificate authority",
	"access denied",
	"certificate required",
}

// More alerts that time does not cure, and one of those above.
const (
	alertExpired   = "expired certificate"
	alertHandshake = "handshake failure" // nothing in common; also how TLS 1.2 says that a certificate is missing
	alertALPN      = "no application protocol"
	alertVersion   = "protocol version not supported"
	alertName      = "unrecognized name"
)

// remoteAlert returns the alert of TLS that the server sent, or "". With TLS 1.3 a refusal of the client's certificate
// comes after the handshake: the first Read returns it.
func remoteAlert(err error) string {
	for {
		op, ok := errors.AsType[*net.OpError](err)
		switch {
		case !ok:
			return ""
		case op.Op == "remote error":
			return strings.TrimPrefix(op.Err.Error(), "tls: ")
		}
		err = op.Err
	}
}

// incurable reports whether err is a disagreement about TLS or certificates that the next attempt would meet again.
func incurable(err error, now time.Time) bool {
	switch alert := remoteAlert(err); {
	case slices.Contains(certificateAlerts, alert), alert == alertHandshake, alert == alertALPN, alert == alertVersion, alert == alertName:
		return true
	}
	if unverified, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		invalid, ok := unverified.Err.(x509.CertificateInvalidError)
		return !ok || !notYetValid(invalid, now)
	}
	return errors.Is(err, errNoALPN)
}

// notYetValid reports whether e says that the server's certificate is not valid yet. A device that has no clock of its
// own meets that until somebody tells it the time.
func notYetValid(e x509.CertificateInvalidError, now time.Time) bool {
	return e.Reason == x509.Expired && now.Before(e.Cert.NotBefore)
}
