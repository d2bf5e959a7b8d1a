package iot

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

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
	will := Config{Endpoint: host, ClientID: "meter-7", Will: &mqtt.Message{Topic: "meter/7/gone", Retain: true}}
	eof := func(e mqtt.LostError) error { e.Cause = io.EOF; return &e }
	quarantined := func(m *mqtt.Message) error {
		return fmt.Errorf("%w: %w: %w", mqtt.ErrUnconfirmed, mqtt.ErrRejected, eof(mqtt.LostError{Publishing: m, Short: 3}))
	}
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
		{"hung up, TLS not spoken to a server that plays AWS", hangup, Config{Endpoint: "mqtt://localhost:28883", AWS: true}, KindHungUp, []string{
			"[MQTT-3.2.2-6]\n  1. AWS IoT Core speaks TLS only: use mqtts://localhost:28883\n  2. a server without TLS that plays it"}},
		{"hung up, reset", fmt.Errorf("%w: %w", mqtt.ErrHungUp, syscall.ECONNRESET), aws, KindHungUp, nil},
		{"hung up, with a will", hangup, will, KindHungUp, []string{
			"\n  3. no policy allows iot:Publish on the topic of the will, arn:aws:iot:eu-west-1:ACCOUNT:topic/meter/7/gone, and iot:RetainPublish on the same\n  4. "}},
		{"hung up, by a server that plays AWS", hangup, Config{Endpoint: "[::1]", AWS: true}, KindHungUp, []string{
			"next: read the log of [::1]:8883, which plays AWS IoT Core: testbroker --aws says there which statement would allow it"}},
		{"lost after SUBSCRIBE, AWS", eof(mqtt.LostError{Subscribing: []string{"a/+", "$aws/x"}, Short: 1}), aws, KindLost, []string{
			"connection lost: the server closed it after SUBSCRIBE to a/+, $aws/x\n  1. no policy of the certificate allows iot:Subscribe on " +
				"arn:aws:iot:eu-west-1:ACCOUNT:topicfilter/a/+, arn:aws:iot:eu-west-1:ACCOUNT:topicfilter/$aws/x",
			"\n  2. $aws/x is not among the topics", "\n  next: aws iot test-authorization --principal arn:aws:iot:eu-west-1:ACCOUNT:cert/ID --client-id 'test-*' --auth-infos 'actionType=SUBSCRIBE,"}},
		{"lost after many SUBSCRIBEs", eof(mqtt.LostError{Subscribing: strings.Split("abcdefghij", "")}), aws, KindLost, []string{"SUBSCRIBE to a, b, c, d, e, f, g, h, ...\n", "topicfilter/h, ... (topicfilter/"}},
		{"lost after PUBLISH, AWS", eof(mqtt.LostError{Publishing: &mqtt.Message{Topic: "a\nb", QoS: 1, Retain: true}}), aws, KindLost, []string{
			"after PUBLISH to a\uFFFDb\n  1. no policy of the certificate allows iot:Publish on ", "\n  2. no policy allows iot:RetainPublish on "}},
		{"lost after PUBLISH to a topic of AWS", eof(mqtt.LostError{Publishing: &mqtt.Message{Topic: "$aws/x"}}), aws, KindLost, []string{
			"\n  2. topics that start with '$' are reserved", "'actionType=PUBLISH,resources=arn:aws:iot:eu-west-1:ACCOUNT:topic/$aws/x'"}},
		{"lost after PUBLISH, elsewhere", eof(mqtt.LostError{Publishing: &mqtt.Message{Topic: "a"}}), local, KindLost, []string{
			"after PUBLISH to a\n  brokers hang up on what they do not allow"}},
		{"two clients of one identifier", eof(mqtt.LostError{Short: 3}), local, KindLost, []string{"\n  another client has the client id meter-7, too"}},
		{"twice is chance", eof(mqtt.LostError{Short: 2}), local, KindLost, []string{"\n  1. the server was stopped or restarted, or something on the way was\n  2. another client connected as meter-7, and the server keeps the newer one"}},
		{"lost after silence", eof(mqtt.LostError{Up: time.Hour, Idle: 55*time.Second + time.Millisecond}), aws, KindLost, []string{"\n  no packet went either way for 55s, and"}},
		{"lost after PUBLISH, and many that went well", eof(mqtt.LostError{Up: time.Hour, Acknowledged: 3600, Publishing: &mqtt.Message{Topic: "a", QoS: 1}}), aws, KindLost, []string{
			"after PUBLISH to a\n  1. AWS IoT ends a connection now and then", "\n  2. no policy of the certificate allows iot:Publish on "}},
		{"lost after the first PUBLISH, after a while", eof(mqtt.LostError{Up: time.Hour, Publishing: &mqtt.Message{Topic: "a", QoS: 1}}), aws, KindLost, []string{
			"after PUBLISH to a\n  no policy of the certificate allows iot:Publish on "}},
		{"lost, by an error of another operating system", &mqtt.LostError{Cause: &net.OpError{Op: "read", Err: errors.New("wsarecv: an existing connection was forcibly closed")}, Short: 3}, local, KindLost,
			[]string{"\n  another client has the client id meter-7, too"}},
		{"lost after a while, AWS", eof(mqtt.LostError{Up: time.Minute}), aws, KindLost, []string{"\n  1. AWS IoT ends a connection now and then", "\n  2. a policy was edited, and no longer allows what the connection does"}},
		{"lost after a while, AWS, with a will", eof(mqtt.LostError{Up: time.Minute}), will, KindLost, []string{"or it has the condition iot:LastWillTopic without iot:ConnectAttributes"}},
		{"lost in silence", &mqtt.LostError{Cause: fmt.Errorf("%w: keep alive", mqtt.ErrTimeout)}, aws, KindLost, []string{"connection lost: timeout: keep alive\n  the network took the connection away"}},
		{"quarantined, AWS", quarantined(&mqtt.Message{Topic: "a"}), aws, KindLost, []string{
			"the server hangs up on PUBLISH to a each time; this message is not sent again\n  no policy of the certificate allows iot:Publish on arn:aws:iot:eu-west-1:ACCOUNT:topic/a\n  next: "}},
		{"quarantined, elsewhere", quarantined(&mqtt.Message{Topic: "a"}), local, KindLost, []string{"brokers hang up on what they do not allow, or what is too large"}},
		{"quarantined, nothing known", mqtt.ErrRejected, aws, KindLost, []string{"rejected"}},
		{"denied, AWS", &RefusedError{Filters: []string{"a", "b"}}, aws, KindDenied, []string{
			"a, b refused by the server (SUBACK 0x80", "\n  1. no policy of the certificate allows iot:Subscribe on ", "\n  2. the connection has more than 50 subscriptions\n  next: "}},
		{"denied, elsewhere", &RefusedError{Filters: []string{"a"}}, local, KindDenied, []string{"\n  is this client allowed to subscribe to it?"}},
		{"denied, by Ready", mqtt.ErrRefused, aws, KindDenied, []string{"\n  is this client allowed"}},
		{"no message, AWS", &SilenceError{Filters: []string{"$share/g/a/#", "b"}, After: time.Minute}, aws, KindSilent, []string{
			"no message on $share/g/a/#, b for 1m0s\n  1. nobody has published to it, in this region (eu-west-1) and account",
			"\n  2. no policy of the certificate allows iot:Receive on arn:aws:iot:eu-west-1:ACCOUNT:topic/a/*, arn:aws:iot:eu-west-1:ACCOUNT:topic/b",
			"\n  3. a filter with a wildcard gets no retained messages", "\n  4. AWS IoT does not match ", "actionType=RECEIVE"}},
		{"no message, elsewhere", &SilenceError{Filters: []string{"a"}}, local, KindSilent, []string{"does anybody publish to it"}},
		{"no acknowledgement, AWS", &SilenceError{Topic: "a", After: time.Second}, aws, KindSilent, []string{"no acknowledgement of a message on a for 1s\n  1. AWS IoT discards messages above 100 a second"}},
		{"no acknowledgement, elsewhere", &SilenceError{Topic: "a"}, local, KindSilent, []string{"is the server overloaded"}},
		{"HTTP", fmt.Errorf("%w: %w", mqtt.ErrProtocol, errorOf(headerOnly("HTTP/1.1 400"))), local, KindProtocol, []string{"a web server answers on 127.0.0.1:1883, and no MQTT server",
			"\n  is the port right? MQTT has 8883 with TLS (mqtts://), 1883 without (mqtt://), and with AWS IoT 443, by ALPN (on any other port: --alpn)"}},
		{"SSH", fmt.Errorf("%w: %w", mqtt.ErrProtocol, errorOf(headerOnly("SSH-2.0-OpenSSH_9.2"))), local, KindProtocol, []string{"an SSH server answers on 127.0.0.1:1883, and no MQTT server", "\n  is the port right?"}},
		{"no permission to connect", dial(os.NewSyscallError("connect", syscall.EACCES)), local, KindNetwork, []string{"no way to 127.0.0.1:1883: permission denied"}},
		{"a proxy that fails", dial(errors.New("the proxy says no")), local, KindNetwork, []string{"no way to 127.0.0.1:1883: the proxy says no"}},
		{"lost, AWS", lost, aws, KindLost, []string{"\n  1. AWS IoT ends a connection now and then", "\n  3. the certificate was deactivated or revoked", "no policy of the certificate allows"}},
		{"lost, elsewhere", lost, local, KindLost, []string{"connection lost"}},
		{"lost, silent", fmt.Errorf("%w: %w", mqtt.ErrLost, mqtt.ErrTimeout), aws, KindLost, []string{"timeout"}},
		{"lost, network", fmt.Errorf("%w: %w", mqtt.ErrLost, syscall.ECONNRESET), aws, KindLost, nil},
		{"lost, alert", fmt.Errorf("%w: %w", mqtt.ErrLost, &net.OpError{Op: "remote error", Err: errors.New("tls: internal error")}), aws, KindLost, nil},
		{"alert", &net.OpError{Op: "remote error", Err: errors.New("tls: internal error")}, aws, KindTLS, []string{"the server ended TLS: internal error"}},
		{"wrong name in the hello", &net.OpError{Op: "remote error", Err: errors.New("tls: unrecognized name")}, aws, KindTLS, []string{"does not know the name " + host}},
		{"no name in the hello", &net.OpError{Op: "remote error", Err: errors.New("tls: unrecognized name")}, Config{Endpoint: "127.0.0.1", AWS: true}, KindTLS,
			[]string{"the server wants to be called by a name, and for an address such as 127.0.0.1 none is sent", "\n  use a host name"}},
		{"no protocol in the hello", &net.OpError{Op: "remote error", Err: errors.New("tls: no application protocol")}, Config{Endpoint: "localhost:28443", AWS: true}, KindTLS,
			[]string{"the server at localhost:28443 demands a protocol in the TLS handshake (ALPN), and none is offered on port 28443\n  the option --alpn offers " + alpn + " on any port"}},
		{"another protocol in the hello", &net.OpError{Op: "remote error", Err: errors.New("tls: no application protocol")}, Config{Endpoint: "localhost:443", AWS: true}, KindTLS,
			[]string{"the server at localhost:443 does not speak the protocol " + alpn}},
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
		{"TLS that timed out", &handshakeError{must(ParseEndpoint(host)), context.DeadlineExceeded}, aws, KindNetwork, []string{host + ":8883 took the connection, and did not answer the TLS handshake in time\n  1. a firewall lets nothing through; AWS IoT listens on port 443 too"}},
		{"TLS that timed out on 443", &handshakeError{must(ParseEndpoint(host)), context.DeadlineExceeded}, Config{Endpoint: host, Port: 443}, KindNetwork, []string{"  1. a firewall lets nothing through\n  2. "}},
		{"TLS that timed out, elsewhere", &handshakeError{must(ParseEndpoint("broker")), context.DeadlineExceeded}, Config{Endpoint: "broker"}, KindNetwork, []string{"a broker without TLS is mqtt://broker:8883"}},
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

// headerOnly reads what a server sent as a fixed header.
func headerOnly(s string) (packet.Header, error) {
	h, _, err := packet.ParseHeader([]byte(s))
	return h, err
}

// errorOf is the error of a call that returns two values.
func errorOf[T any](_ T, err error) error { return err }

func TestNoOtherClientIsSuspectedOfAnIdentifierMadeAtRandom(t *testing.T) {
	made := NewClientID("test")
	message := &mqtt.Message{Topic: "a", QoS: 1}
	for _, err := range []error{
		&mqtt.LostError{Cause: io.EOF},
		&mqtt.LostError{Cause: io.EOF, Short: 3},
		&mqtt.LostError{Cause: io.EOF, Up: time.Minute},
		&mqtt.LostError{Cause: io.EOF, Short: 3, Publishing: message},
		fmt.Errorf("%w: %w", mqtt.ErrRejected, &mqtt.LostError{Cause: io.EOF, Short: 3, Publishing: message}),
	} {
		for _, c := range []Config{{ClientPrefix: "test"}, {ClientPrefix: "test", ClientID: made}} {
			c.Endpoint = host
			if d := Diagnose(err, c); strings.Contains(d.String(), "another client") {
				t.Errorf("%v, %q: %v", err, c.ClientID, d)
			}
		}
		for _, id := range []string{"meter-7", "test-meter", made} { // made, and then given to two clients
			d := Diagnose(err, Config{Endpoint: host, ClientID: id})
			var lost *mqtt.LostError
			if errors.As(err, &lost) && (lost.Publishing == nil || errors.Is(err, mqtt.ErrRejected)) && !strings.Contains(d.String(), "another client") {
				t.Errorf("%v, %q: %v", err, id, d)
			}
			if lost.Short == 3 && lost.Publishing == nil && !strings.HasPrefix(d.Lines[1], "another client has the client id "+id) {
				t.Errorf("%v, %q: the first cause is %q", err, id, d.Lines[1])
			}
		}
	}
}
