// Package iot makes package mqtt speak to AWS IoT Core: endpoint, client identifier, certificates, TLS, AWS's limits
// and reconnect policy, and what an error means there.
//
//	credentials, err := iot.LoadCredentials("certs")
//	config, err := iot.Config{Endpoint: "a1b2c3-ats.iot.eu-west-1.amazonaws.com", ClientPrefix: "meter", Credentials: credentials}.MQTT()
//	client, err := mqtt.New(config)
//
// [Config.MQTT] fills an [mqtt.Config]; the program sets what else it wants there (keep alive, store, trace) and gives it
// to mqtt.New; a will belongs to [Config.Will], since [Diagnose] has to know of it. A server that is not AWS IoT Core is reached the same way, over TLS or, with mqtt://, without; the limits
// of AWS are then left out.
//
// # Ways to the server
//
// [Config.Port] 443 passes where a firewall lets only HTTPS pass, and [Proxy] where all has to go through a proxy.
// [Authorizer] does without a client certificate, [Config.CurrentCredentials] replaces one while the client runs, and
// [WaitForClock] is for boards whose clock starts in 1970. Anything else that carries bytes both ways can be the Dial of
// [mqtt.Config]; internal/peers has an example for WebSocket.
//
// # Errors
//
// What is wrong with key, certificate or CA is a [*CredentialsError] and matches [ErrCredentials]. A wrong setting
// (endpoint, port, client identifier) matches [packet.ErrInvalid], and so does what is beyond a limit of AWS IoT Core,
// which matches [ErrLimit] too. What goes wrong on the way through a proxy is a [*ProxyError].
//
// AWS IoT Core closes the connection without a word when a policy does not allow something. Give what Client.Run returned, or
// what Trace.Disconnected was told, to [Diagnose], and print it: it names the causes, likeliest first, and what to do.
// [Checkup] walks the way to the server to find out where it ends.
//
// # Secrets
//
// No error, and no way of printing a Credentials, a Proxy, an AuthorizerSecrets or a Config, shows anything of a private
// key, a password or a token. No code path leaves the
// server's certificate or its name unchecked, and the roots are those of the CA file and no others.
package iot

import (
	"errors"
	"fmt"

	"iotwire/mqtt/packet"
)

var (
	// ErrCredentials is matched, with [errors.Is], by every error about a private key, a certificate or a CA file.
	ErrCredentials = errors.New("bad credentials")

	// ErrLimit is matched, with [errors.Is], by every error about a limit of AWS IoT Core.
	ErrLimit = errors.New("beyond a limit of AWS IoT Core")
)

// invalidError is a wrong setting, or a value beyond a limit of AWS IoT Core.
type invalidError struct {
	reason string
	limit  bool
}

func (e *invalidError) Error() string { return e.reason }

func (e *invalidError) Is(target error) bool {
	return target == packet.ErrInvalid || target == ErrLimit && e.limit
}

//go:noinline
func invalid(format string, args ...any) error {
	return &invalidError{reason: fmt.Sprintf(format, args...)}
}

//go:noinline
func beyond(format string, args ...any) error {
	return &invalidError{reason: "AWS IoT Core: " + fmt.Sprintf(format, args...), limit: true}
}
