package iot

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"strings"
	"syscall"
	"testing"

	"iotwire/mqtt"
	"iotwire/mqtt/packet"
)

// The rows that need a server are in tls_test.go and dial_test.go.
func TestDiagnose(t *testing.T) {
	aws := Config{Endpoint: host, ClientPrefix: "test"}
	local := Config{Endpoint: "mqtt://127.0.0.1", ClientID: "meter-7"}
	china := Config{Endpoint: "a1b2c3.ats.iot.cn-north-1.amazonaws.com.cn", ClientID: "meter-7"}
	custom := Config{Endpoint: "iot.example.com", AWS: true}
	hangup := fmt.Errorf("%w: %w", mqtt.ErrHungUp, io.EOF)
	lost := fmt.Errorf("%w: %w", mqtt.ErrLost, io.EOF)
	dial := func(err error) error { return &net.OpError{Op: "dial", Net: "tcp", Err: err} }
	for _, test := range []struct {
		what  string
		err   error
		c     Config
		kind  Kind
		words []string
	}{
		{"files", &CredentialsError{File: "certs/private.key", Problem: "no such file", Remedy: "find it", cause: fs.ErrNotExist}, aws, KindTLS,
			[]string{"certs/private.key: no such file\n  find it"}},
		{"a wrong endpoint", errorOf(Config{Endpoint: "wss://x"}.MQTT()), Config{Endpoint: "wss://x"}, KindInvalid, []string{"WebSocket"}},
		{"a limit", Check(mqtt.Message{Topic: "a", QoS: 2}), aws, KindInvalid, []string{"QoS 2, want 0 or 1"}},
		{"a limit, by Publish", fmt.Errorf("%w: %w", mqtt.ErrNotSent, Check(mqtt.Message{Topic: "a", QoS: 2})), aws, KindInvalid, nil},
		{"refused, below others", fmt.Errorf("%w: %w: %w", mqtt.ErrNotSent, mqtt.ErrClosed, &mqtt.ConnectError{Code: packet.RefusedUnauthorized}), local, KindRefused,
			[]string{"refused: not authorized (CONNACK 5", "meter-7"}},
		{"hung up, AWS, by prefix", hangup, aws, KindHungUp, []string{"arn:aws:iot:eu-west-1:ACCOUNT:client/test-*", "--certificate-id ID"}},
		{"hung up, China", hangup, china, KindHungUp, []string{"arn:aws-cn:iot:cn-north-1:ACCOUNT:client/meter-7"}},
		{"hung up, custom domain", hangup, custom, KindHungUp, []string{"arn:aws:iot:REGION:ACCOUNT:client/*", "registered in the endpoint's region"}},
		{"hung up, reset", fmt.Errorf("%w: %w", mqtt.ErrHungUp, syscall.ECONNRESET), aws, KindHungUp, nil},
		{"lost, AWS", lost, aws, KindLost, []string{"another client connected as test-*", "no policy of the certificate allows"}},
		{"lost, elsewhere", lost, local, KindLost, []string{"connection lost"}},
		{"lost, silent", fmt.Errorf("%w: %w", mqtt.ErrLost, mqtt.ErrTimeout), aws, KindLost, []string{"timeout"}},
		{"lost, network", fmt.Errorf("%w: %w", mqtt.ErrLost, syscall.ECONNRESET), aws, KindLost, nil},
		{"lost, alert", fmt.Errorf("%w: %w", mqtt.ErrLost, &net.OpError{Op: "remote error", Err: errors.New("tls: internal error")}), aws, KindLost, nil},
		{"alert", &net.OpError{Op: "remote error", Err: errors.New("tls: internal error")}, aws, KindTLS, []string{"the server ended TLS: internal error"}},
		{"wrong name in the hello", &net.OpError{Op: "remote error", Err: errors.New("tls: unrecognized name")}, aws, KindTLS, []string{"does not know the name " + host}},
		{"broken rule, lost", fmt.Errorf("%w: %w", mqtt.ErrLost, mqtt.ErrProtocol), local, KindProtocol, []string{"a trace of the packets"}},
		{"broken rule", mqtt.ErrProtocol, local, KindProtocol, []string{"127.0.0.1:1883"}},
		{"no such host", dial(&net.DNSError{Err: "no such host", Name: host, IsNotFound: true}), aws, KindNetwork, []string{"no such host: " + host, "describe-endpoint"}},
		{"no such host, elsewhere", dial(&net.DNSError{Err: "no such host", Name: "broker", IsNotFound: true}), local, KindNetwork, []string{"no such host: broker"}},
		{"no name server", dial(&net.DNSError{Err: "server misbehaving", Name: host, IsTemporary: true}), aws, KindNetwork, []string{"cannot be looked up: server misbehaving"}},
		{"nothing listens", dial(syscall.ECONNREFUSED), local, KindNetwork, []string{"connection refused by 127.0.0.1:1883", "is the server running"}},
		{"no route", dial(syscall.ENETUNREACH), aws, KindNetwork, []string{"network is unreachable"}},
		{"no answer on 8883", context.DeadlineExceeded, aws, KindNetwork, []string{"no answer from " + host + ":8883 in time", "a firewall may block port 8883; AWS IoT listens on port 443 too"}},
		{"no answer on 443", context.DeadlineExceeded, Config{Endpoint: host, Port: 443}, KindNetwork, []string{"no answer from " + host + ":443 in time", "does a firewall let the port through?"}},
		{"no CONNACK", mqtt.ErrTimeout, local, KindNetwork, []string{"no answer from 127.0.0.1:1883 in time"}},
		{"TLS that is strange", &handshakeError{must(ParseEndpoint(host)), errors.New("tls: something")}, aws, KindTLS, []string{"tls: something"}},
		{"TLS that timed out", &handshakeError{must(ParseEndpoint(host)), context.DeadlineExceeded}, aws, KindNetwork, []string{"port 443"}},
		{"something else", errors.New("anything\nat all"), aws, KindOther, []string{"anything; at all"}},
		{"the end of the program", context.Canceled, aws, KindOther, nil},
	} {
		d := Diagnose(test.err, test.c)
		if d == nil || len(d.Lines) == 0 {
			t.Errorf("%s: no diagnosis", test.what)
			continue
		}
		if d.Kind != test.kind {
			t.Errorf("%s: kind %v, want %v: %v", test.what, d.Kind, test.kind, d)
		}
		for _, word := range test.words {
			if !strings.Contains(d.String(), word) {
				t.Errorf("%s: %q, want %q in it", test.what, d, word)
			}
		}
		for _, line := range d.Lines {
			if line == "" || strings.Contains(line, "\n") {
				t.Errorf("%s: line %q", test.what, line)
			}
		}
	}
	if d := Diagnose(nil, aws); d != nil {
		t.Errorf("no error: %v, want nil", d)
	}
}

func TestKindsHaveNames(t *testing.T) {
	seen := make(map[string]bool)
	for k := KindOther; k <= KindSilent; k++ {
		if s := k.String(); s == "" || strings.HasPrefix(s, "Kind(") || seen[s] {
			t.Errorf("kind %d is called %q", k, s)
		}
		seen[k.String()] = true
	}
	if s := (KindSilent + 1).String(); s != "Kind(10)" {
		t.Errorf("the kind behind the last is called %q", s)
	}
}

// errorOf is the error of a call that returns two values.
func errorOf[T any](_ T, err error) error { return err }
