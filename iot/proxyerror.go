package iot

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"

	"iotwire/mqtt/packet"
)

// ProxyError says why there is no connection through a proxy: which part of the way failed, and what to do. It never
// holds user name or password.
type ProxyError struct {
	Proxy   string // the URL, without user name and password
	Problem string // what was expected and what came
	Remedy  string // what to do, or ""

	cause error // what package net or crypto/tls says, or nil
	final bool  // the next attempt would meet the same
	reply bool  // the refusal of one address by SOCKS5: another one of the same server may be accepted
}

// Error returns one line: proxy, problem and remedy.
func (e *ProxyError) Error() string {
	s := "the proxy " + e.Proxy + " " + e.Problem
	if e.Remedy != "" {
		s += "; " + e.Remedy
	}
	return s
}

// Unwrap returns the error of package net, crypto/tls or context, if there was one.
func (e *ProxyError) Unwrap() error { return e.cause }

// fault returns an error whose problem follows the words "the proxy URL". A certificate that nobody checked may be quoted in it.
func (p *Proxy) fault(cause error, format string, args ...any) *ProxyError {
	return &ProxyError{Proxy: p.String(), Problem: oneLine(fmt.Sprintf("%.500s", fmt.Sprintf(format, args...))), cause: cause}
}

//go:noinline
func (e *ProxyError) remedy(remedy string) *ProxyError {
	e.Remedy = remedy
	return e
}

// forever says that time does not cure it.
func (e *ProxyError) forever() *ProxyError {
	e.final = true
	return e
}

// unreachable says why there is no connection to the proxy itself.
func (p *Proxy) unreachable(ctx context.Context, err error) error {
	dns, _ := errors.AsType[*net.DNSError](err)
	switch {
	case ctx.Err() != nil && !isTimeout(ctx.Err()):
		return ctx.Err()
	case dns != nil:
		return p.fault(err, "cannot be found: no address of %s", p.server.Host).remedy("is its name spelled right, and is this machine online?")
	case errors.Is(err, syscall.ECONNREFUSED):
		return p.fault(err, "refuses connections").remedy("is it running, and is the port right?")
	case isTimeout(err), ctx.Err() != nil:
		return p.fault(err, "does not answer").remedy("is its address right, and is this machine in its network?")
	}
	short := err
	if dial, ok := errors.AsType[*net.OpError](err); ok {
		short = dial.Err
	}
	return p.fault(err, "cannot be reached: %v", short).remedy("is this machine online?")
}

// untrusted says why there is no TLS to the proxy.
func (p *Proxy) untrusted(err error) error {
	unverified, _ := errors.AsType[*tls.CertificateVerificationError](err)
	_, notTLS := err.(tls.RecordHeaderError)
	switch {
	case unverified != nil:
		return p.fault(err, "has a certificate that is not trusted: %v", unverified.Err).
			remedy("the system's roots have to sign it; the variable SSL_CERT_FILE names others").forever()
	case notTLS:
		return p.fault(err, "does not speak TLS").remedy("try http:// in front of it")
	case isTimeout(err) || hangUp(err):
		return err // explained has the words
	}
	return p.fault(err, "failed in the TLS handshake: %v", err)
}

// explained returns err, or what it means if it is one of the connection to the proxy.
func (p *Proxy) explained(err error) error {
	_, told := errors.AsType[*ProxyError](err)
	switch {
	case told, errors.Is(err, packet.ErrInvalid):
		return err
	case errors.Is(err, os.ErrDeadlineExceeded), isTimeout(err):
		return p.fault(err, "took the connection, and did not answer in time").
			remedy("is it a proxy of this kind, and can it reach the server?")
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), hangUp(err):
		return p.fault(err, "hung up in place of an answer").
			remedy("is it a proxy of this kind (http, https, socks5), and does it let this machine in?")
	}
	return p.fault(err, "failed: %v", err)
}
