package advisor

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"syscall"
	"time"

	"iotwire/mqtt/packet"
)

// handshake waits for the first handshake, complete or not.
func (t *trial) handshake() (sight, bool) {
	return t.await(firstConnection, func(s sight) bool { return s.kind == secured || s.kind == refused })
}

// tlsConnect is about the handshake alone. It warns of what AWS advises against.
func tlsConnect(b *bench) outcome {
	t := b.start(server{mute: true})
	s, ok := t.handshake()
	if !ok || s.kind == refused {
		return t.missing("no complete handshake")
	}
	name := "server name " + s.line.state.ServerName
	if _, spoke := t.await(2*time.Second, func(s sight) bool { return s.kind == heard || s.kind == gone }); !spoke {
		return warn("the handshake is complete, but nothing was sent behind it")
	}
	if t.seen(func(s sight) bool { return s.kind == heard }) == 0 {
		return warn("the handshake is complete, but the program hung up right behind it")
	}
	if s.line.state.ServerName == "" {
		return warn("the handshake is complete, but without a server name (SNI), which AWS needs for most endpoints")
	}
	return pass("%s, %s, %s", tls.VersionName(s.line.state.Version), tls.CipherSuiteName(s.line.state.CipherSuite), name)
}

func tlsCipherSuites(b *bench) outcome {
	t := b.start(server{mute: true})
	s, ok := t.handshake()
	if !ok || s.line.hello == nil {
		return t.missing("no ClientHello")
	}
	return gradeSuites(s.line.hello.CipherSuites)
}

func tlsLargeCertificate(b *bench) outcome {
	t := b.start(server{mute: true, certificate: large})
	s, ok := t.handshake()
	if !ok || s.kind == refused {
		return t.missing("no complete handshake with a certificate of %d bytes", largeChain)
	}
	if _, ok := t.await(2*time.Second, func(s sight) bool { return s.kind == heard }); !ok {
		return warn("the handshake is complete, but nothing was sent behind it")
	}
	return pass("complete with a certificate of %d bytes", t.certificateSize())
}

// certificateSize is the length of the server's RSA certificate.
func (t *trial) certificateSize() int { return len(t.tls.Certificates[0].Certificate[0]) }

func tlsUnsecure(b *bench) outcome {
	return distrust(b, unsecure, "a certificate that its CA did not sign", false)
}

func tlsIncorrectName(b *bench) outcome {
	return distrust(b, misnamed, "a certificate for another.example.com", false)
}

func tlsExpired(b *bench) outcome {
	return distrust(b, expiredBy, "a certificate that expired yesterday", true)
}

// distrust is about a server that the program must not talk to, for what is wrong with its certificate.
func distrust(b *bench, kind serverKind, what string, wantAlert bool) outcome {
	t := b.start(server{mute: true, certificate: kind})
	s, ok := t.handshake()
	switch {
	case !ok:
		return t.missing("nothing can be said about %s", what)
	case s.kind == secured:
		after, _ := t.await(2*time.Second, func(s sight) bool { return s.kind == heard || s.kind == gone })
		switch {
		case after.kind == heard:
			return fail("it talks to a server with %s", what)
		case after.kind == gone && kind == misnamed: // some libraries leave the name to the program
			return warn("it hung up on a server with %s, but only after the handshake", what)
		}
		return fail("it completes the handshake with a server that has %s", what)
	}
	alert := s.line.alertOf(s.err)
	switch {
	case s.line.hello == nil, alert == "" && !hungUp(s.err):
		return t.missing("nothing can be said about %s", what)
	case alert == "" && wantAlert:
		return warn("it hung up on %s, but without a TLS alert", what)
	case alert == "":
		return pass("it hung up on %s", what)
	case alert == "handshake failure" || alert == "protocol version not supported":
		return fail("nothing can be said about %s: there was no handshake for another reason (TLS: %s)", what, alert)
	}
	return pass("it refused %s (TLS: %s)", what, alert)
}

// hungUp reports whether err says that the other end closed the connection.
func hungUp(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}

// largePayload is the largest that AWS IoT Core passes on.
const largePayload = 128 << 10

// tlsFragments sends the largest message in records of the largest size.
func tlsFragments(b *bench) outcome {
	t := b.start(server{})
	sub, o := t.subscribed(packet.QoS0)
	if o != nil {
		return *o
	}
	return t.deliver(sub, largePayload, fmt.Sprintf("%d bytes in records of 16 KiB", largePayload))
}
