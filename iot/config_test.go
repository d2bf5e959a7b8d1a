package iot

import (
	"context"
	"errors"
	"fmt"
	"net"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"iotwire/mqtt"
	"iotwire/mqtt/packet"
)

func TestConfigForAWS(t *testing.T) {
	w := newWorld()
	for what, c := range map[string]Config{
		"by name":         {Endpoint: host, ClientID: "meter-7", Credentials: w.device.credentials(w.ca)},
		"because it says": {Endpoint: "iot.example.com", ClientID: "meter-7", Credentials: w.device.credentials(w.ca), AWS: true},
		"an emulator":     {Endpoint: "mqtt://127.0.0.1", ClientID: "meter-7", AWS: true},
	} {
		m, err := c.MQTT()
		if err != nil {
			t.Errorf("%s: %v", what, err)
			continue
		}
		want := mqtt.Backoff{Min: time.Second, Max: 2 * time.Minute, Floor: time.Second, Stable: 30 * time.Second}
		if diff := cmp.Diff(want, m.Backoff); diff != "" {
			t.Errorf("%s: backoff %s", what, diff)
		}
		if m.Resend != 5*time.Second {
			t.Errorf("%s: unanswered packets are sent again after %v, want 5 s", what, m.Resend)
		}
		if m.SubscribeBatch != 8 || m.Inflight != 100 || m.ClientID != "meter-7" || m.CleanSession {
			t.Errorf("%s: batch %d, inflight %d, id %q, clean session %v", what, m.SubscribeBatch, m.Inflight, m.ClientID, m.CleanSession)
		}
		largest, err := packet.AppendPublish(nil, &packet.Publish{Topic: []byte("$aws/rules/" + strings.Repeat("r", 128) + "/" + strings.Repeat("t", 256)),
			QoS: 1, ID: 1, Payload: make([]byte, 131072)})
		if err != nil || len(largest) > m.MaxPacket {
			t.Errorf("%s: largest packet %d, MaxPacket %d: %v", what, len(largest), m.MaxPacket, err)
		}
		if err := m.Check(&mqtt.Message{Topic: "a", QoS: 2}); !errors.Is(err, ErrLimit) {
			t.Errorf("%s: QoS 2 passes: %v", what, err)
		}
		if err := m.CheckFilter(slashes(8), mqtt.QoS1); !errors.Is(err, ErrLimit) {
			t.Errorf("%s: 8 slashes pass: %v", what, err)
		}
		if _, err := mqtt.New(m); err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func TestConfigForAnotherBrokerHasNoLimitsOfAWS(t *testing.T) {
	m, err := Config{Endpoint: "mqtt://127.0.0.1", ClientPrefix: "test"}.MQTT()
	if err != nil {
		t.Fatal(err)
	}
	if m.Check != nil || m.CheckFilter != nil || m.SubscribeBatch != 0 || m.Inflight != 0 || m.MaxPacket != 0 || m.Resend != 0 || m.Backoff != (mqtt.Backoff{}) {
		t.Errorf("%+v, want the defaults of package mqtt", m)
	}
	if !regexp.MustCompile(`^test-[0-9a-f-]{36}$`).MatchString(m.ClientID) || !m.CleanSession {
		t.Errorf("id %q, clean session %v, want a random id and a clean session", m.ClientID, m.CleanSession)
	}
	if _, err := mqtt.New(m); err != nil {
		t.Error(err)
	}
}

func TestConfigsThatAreWrong(t *testing.T) {
	w := newWorld()
	good := w.device.credentials(w.ca)
	curved := issue(w.ca, ed25519Key(), nil).credentials(w.ca)
	alone := must(ParseCredentials(w.ca.certificatePEM(), nil, nil))
	for _, test := range []struct {
		what        string
		c           Config
		credentials bool // want ErrCredentials
		want        string
	}{
		{"no endpoint", Config{}, false, "the endpoint is empty"},
		{"a web address", Config{Endpoint: "https://x"}, false, "web address"},
		{"port", Config{Endpoint: host, Port: 65536, Credentials: good}, false, "port 65536, want 1 to 65535"},
		{"negative port", Config{Endpoint: host, Port: -1, Credentials: good}, false, "port -1, want 1 to 65535"},
		{"long id", Config{Endpoint: host, ClientID: strings.Repeat("x", 129), Credentials: good}, false, "129 bytes"},
		{"long prefix", Config{Endpoint: host, ClientPrefix: strings.Repeat("x", 92), Credentials: good}, false, "129 bytes"},
		{"id of other bytes", Config{Endpoint: "mqtt://x", ClientID: "\xff"}, false, "not UTF-8"},
		{"AWS without TLS", Config{Endpoint: "mqtt://" + host}, false, `AWS IoT Core speaks TLS only; try "mqtts://` + host},
		{"TLS without credentials", Config{Endpoint: "broker"}, true, "a broker without TLS is mqtt://broker"},
		{"credentials that were not loaded", Config{Endpoint: "broker", Credentials: &Credentials{}}, true, "none were loaded"},
		{"AWS without certificate", Config{Endpoint: host, Credentials: alone}, true, "wants a client certificate"},
		{"AWS with Ed25519", Config{Endpoint: host, Credentials: curved}, true, "takes RSA and ECDSA only"},
	} {
		_, err := test.c.MQTT()
		if err == nil || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v, want one line with %q", test.what, err, test.want)
			continue
		}
		if errors.Is(err, ErrCredentials) != test.credentials || errors.Is(err, packet.ErrInvalid) == test.credentials {
			t.Errorf("%s: %v matches ErrCredentials %v, ErrInvalid %v", test.what, err, errors.Is(err, ErrCredentials), errors.Is(err, packet.ErrInvalid))
		}
	}
	for what, c := range map[string]Config{
		"Ed25519 elsewhere":        {Endpoint: "broker", Credentials: curved},
		"a CA alone elsewhere":     {Endpoint: "broker", Credentials: alone},
		"the longest prefix":       {Endpoint: host, ClientPrefix: strings.Repeat("x", 91), Credentials: good},
		"credentials and no TLS":   {Endpoint: "mqtt://broker", Credentials: good},
		"neither id nor prefix":    {Endpoint: "mqtt://broker"},
		"another port without TLS": {Endpoint: "mqtt://broker", Port: 443},
	} {
		if _, err := c.MQTT(); err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// What a certificate refuses, time does not cure; all else is worth another attempt. The refusals of TLS itself are in
// tls_test.go.
func TestExpiredCertificateIsWorthAnotherAttemptIfItMayBeReplaced(t *testing.T) {
	c := newWorld().config()
	c.CurrentCredentials = func() *Credentials { return nil }
	retry := must(c.MQTT()).Retry
	if !retry(&CredentialsError{File: "f", Problem: "expired"}) {
		t.Error("no other attempt, though there may be another certificate then")
	}
	if retry(&net.OpError{Op: "remote error", Err: errors.New("tls: revoked certificate")}) {
		t.Error("another attempt with what the server has refused")
	}
}

func TestRetry(t *testing.T) {
	retry := must(Config{Endpoint: "mqtt://broker"}.MQTT()).Retry
	for _, test := range []struct {
		err  error
		want bool
	}{
		{&mqtt.ConnectError{Code: packet.RefusedVersion}, false},
		{&mqtt.ConnectError{Code: packet.RefusedClientID}, false},
		{&mqtt.ConnectError{Code: packet.RefusedUnavailable}, true},
		{&mqtt.ConnectError{Code: packet.RefusedCredentials}, false},
		{&mqtt.ConnectError{Code: packet.RefusedUnauthorized}, false},
		{mqtt.ErrHungUp, true},
		{mqtt.ErrTimeout, true},
		{fmt.Errorf("%w: %w", mqtt.ErrLost, mqtt.ErrProtocol), true},
		{context.DeadlineExceeded, true},
		{&net.DNSError{Err: "no such host", Name: "x", IsNotFound: true}, true},
		{&net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED}, true},
		{&net.OpError{Op: "dial", Net: "tcp", Err: syscall.ENETUNREACH}, true},
		{&net.OpError{Op: "remote error", Err: errors.New("tls: internal error")}, true},
		{&net.OpError{Op: "remote error", Err: errors.New("tls: user canceled")}, true},
		{&net.OpError{Op: "remote error", Err: errors.New("tls: revoked certificate")}, false},
		{&net.OpError{Op: "remote error", Err: errors.New("tls: access denied")}, false},
		{&net.OpError{Op: "remote error", Err: errors.New("tls: unrecognized name")}, false},
		{fmt.Errorf("%w: %w", mqtt.ErrLost, &net.OpError{Op: "read", Err: &net.OpError{Op: "remote error", Err: errors.New("tls: unknown certificate")}}), false},
		{&CredentialsError{File: "f", Problem: "expired"}, false},
		{&CredentialsError{File: "f", Problem: "not valid before", early: true}, true},
		{errors.New("anything"), true},
	} {
		if got := retry(test.err); got != test.want {
			t.Errorf("%v: %v, want %v", test.err, got, test.want)
		}
	}
}
