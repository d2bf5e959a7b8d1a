package advisor

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"iotwire/internal/testbroker"

	"pgregory.net/rapid"
)

func TestCipherSuitesAreGraded(t *testing.T) {
	const (
		ecdhe, aes13, old, chacha, unknown = tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, tls.TLS_AES_256_GCM_SHA384,
			tls.TLS_RSA_WITH_AES_128_CBC_SHA, tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256, 0x009f
	)
	for _, c := range []struct {
		offered []uint16
		want    Verdict
		reason  string
	}{
		{[]uint16{ecdhe}, Pass, "1 cipher suites offered"},
		{[]uint16{aes13}, Pass, ""},
		{[]uint16{0x1a1a, aes13, ecdhe, old, 0x00ff, 0x5600}, Pass, "3 cipher suites"},
		{[]uint16{ecdhe, chacha}, Warn, "does not support: ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256"},
		{[]uint16{aes13, unknown, 1, 2, 3, 4}, Warn, "0x009F, 0x0001, 0x0002, 2 more"},
		{[]uint16{old}, Warn, "none of the recommended"},
		{[]uint16{chacha, unknown}, Fail, "supports none of the 2"},
		{nil, Fail, ""},
	} {
		if o := gradeSuites(c.offered); o.verdict != c.want || !strings.Contains(o.reason, c.reason) {
			t.Errorf("%x: %s: %s, want %s: %s", c.offered, o.verdict, o.reason, c.want, c.reason)
		}
	}
}

func TestServerHasAWSsSuites(t *testing.T) {
	for _, suite := range supportedByUs() {
		if suite>>8 == 0x13 {
			continue // those of TLS 1.3 are not chosen
		}
		if name := tls.CipherSuiteName(suite); strings.Contains(name, "CHACHA") || strings.Contains(name, "3DES") {
			t.Errorf("%s is offered", name)
		}
	}
	if n := len(supportedByUs()); n < 14 {
		t.Errorf("%d suites, want those of TLS 1.2 that AWS IoT Core has", n)
	}
}

// An alert in the clear is found however the bytes come, and bytes of other records are not taken for one.
func TestAlertsInTheClearAreFound(t *testing.T) {
	record := func(kind byte, body ...byte) []byte {
		return append([]byte{kind, 3, 3, byte(len(body) >> 8), byte(len(body))}, body...)
	}
	rapid.Check(t, func(t *rapid.T) {
		var stream []byte
		for range rapid.IntRange(0, 4).Draw(t, "records") {
			body := rapid.SliceOfN(rapid.Byte(), 3, 600).Draw(t, "body")
			stream = append(stream, record(rapid.SampledFrom([]byte{20, 21, 22, 23}).Draw(t, "type"), body...)...)
		}
		want := int32(0)
		if rapid.Bool().Draw(t, "alert") {
			stream = append(stream, record(alertRecord, 2, 45)...)
			want = 1 + 45
		}
		w := &alertWatch{}
		for len(stream) > 0 {
			n := rapid.IntRange(1, len(stream)).Draw(t, "bytes")
			w.look(stream[:n])
			stream = stream[n:]
		}
		if got := w.alert.Load(); got != want {
			t.Fatalf("alert %d, want %d", got-1, want-1)
		}
	})
}

// OpenSSL sends the alert by which it refuses a certificate in TLS 1.3 in the clear.
func TestAlertInTheClearIsThePrograms(t *testing.T) {
	client, server := testbroker.Pipe()
	l := &line{raw: &alertWatch{Conn: server}}
	client.Write([]byte{alertRecord, 3, 3, 0, 2, 2, 48})
	io.ReadFull(l.raw, make([]byte, 7))
	if got := l.alertOf(errors.New("bad record")); got != "unknown certificate authority" {
		t.Errorf("%q", got)
	}
}

func TestServerCertificatesAreWhatTheyAreCalled(t *testing.T) {
	k, err := awsKeys()
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	a, err := newAuthority(k, now)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(a.ca)
	var unknown x509.UnknownAuthorityError
	var name x509.HostnameError
	var invalid x509.CertificateInvalidError
	for kind, good := range map[serverKind]func(error) bool{
		genuine:   func(err error) bool { return err == nil },
		large:     func(err error) bool { return err == nil },
		unsecure:  func(err error) bool { return errors.As(err, &unknown) },
		misnamed:  func(err error) bool { return errors.As(err, &name) },
		expiredBy: func(err error) bool { return errors.As(err, &invalid) && invalid.Reason == x509.Expired },
	} {
		config, err := a.server(kind)
		if err != nil {
			t.Fatal(err)
		}
		if len(config.Certificates) != 2 {
			t.Errorf("kind %d: %d certificates, want one with RSA and one with ECDSA", kind, len(config.Certificates))
		}
		for _, c := range config.Certificates {
			leaf, err := x509.ParseCertificate(c.Certificate[0])
			if err != nil {
				t.Fatal(err)
			}
			_, err = leaf.Verify(x509.VerifyOptions{Roots: roots, DNSName: host, CurrentTime: now})
			if !good(err) {
				t.Errorf("kind %d: %v", kind, err)
			}
			if size := len(c.Certificate[0]); kind == large && size < largeChain {
				t.Errorf("the large certificate has %d bytes, want %d", size, largeChain)
			}
		}
	}
}

func TestSelect(t *testing.T) {
	ids := func(patterns ...string) string {
		cases, err := Select(patterns)
		if err != nil {
			return err.Error()
		}
		var ids []string
		for _, c := range cases {
			ids = append(ids, c.ID)
		}
		return strings.Join(ids, " ")
	}
	for want, patterns := range map[string][]string{
		"MQTT_Connect":                                         {"mqtt_connect"},
		"MQTT_Publish MQTT_Subscribe":                          {"MQTT_Subscribe", "MQTT_Publish", "MQTT_Sub*e"},
		"MQTT_Publish_Retry_No_Puback":                         {"*no_puback"},
		"TLS_Connect MQTT_Connect":                             {"*S_Connect", "*T_Connect"},
		`no such case: "MQTT"`:                                 {"MQTT_Connect", "MQTT"},
		`no such case: ""`:                                     {""},
		"MQTT_Client_Puback_QoS1 MQTT_Publish_Retry_No_Puback": {"*_*Puback*"},
	} {
		if got := ids(patterns...); got != want {
			t.Errorf("%q: %s, want %s", patterns, got, want)
		}
	}
	if got := len(strings.Fields(ids())); got != len(Cases()) {
		t.Errorf("%d cases without a pattern, want all %d", got, len(Cases()))
	}
	all := map[string]bool{}
	for _, c := range Cases() {
		if all[c.ID] || c.Passing == "" || len(c.Passing) > 75 {
			t.Errorf("%s: twice, or not well described: %q", c.ID, c.Passing)
		}
		all[c.ID] = true
	}
}

func TestTopicsMatchTheirFilters(t *testing.T) {
	for filter, want := range map[string]string{
		"a/b": "a/b", "a/+/b": "a/advisor/b", "#": "advisor", "+": "advisor", "a/#": "a/advisor", "$share/group/a/+": "a/advisor", "/": "/",
	} {
		if got := (subscription{filter: filter}).topic(); got != want {
			t.Errorf("%s: %s, want %s", filter, got, want)
		}
	}
}

// The report has what programs read it for, under the names that they know.
func TestReportIsJSON(t *testing.T) {
	report := play(t, flawedProgram("never acknowledges"), "MQTT_Client_Puback_QoS1", "MQTT_Connect")
	var got struct {
		Program []string
		Cases   []struct {
			ID, Verdict, Reason string
			Events              []struct {
				Seconds    float64
				Connection int
				Text       string
			}
		}
	}
	text := report.JSON()
	d := json.NewDecoder(strings.NewReader(string(text)))
	d.DisallowUnknownFields()
	if err := d.Decode(&got); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(got.Program, []string{"device"}) || len(got.Cases) != 2 || !report.Failed() {
		t.Fatalf("%s", text)
	}
	failed := got.Cases[1]
	if failed.ID != "MQTT_Client_Puback_QoS1" || failed.Verdict != "fail" ||
		failed.Reason != "a message of 100 bytes: no PUBACK within 10s" {
		t.Errorf("%+v", failed)
	}
	var events []string
	for _, e := range failed.Events {
		if e.Seconds < 0 || e.Seconds > 60 || e.Connection != 1 && !strings.HasPrefix(e.Text, "program:") {
			t.Errorf("%+v", e)
		}
		events = append(events, e.Text)
	}
	for _, want := range []string{"connected", "TLS 1.3, ", "→ CONNECT ", "← CONNACK ", "→ SUBSCRIBE ", "← PUBLISH "} {
		if !slices.ContainsFunc(events, func(e string) bool { return strings.HasPrefix(e, want) }) {
			t.Errorf("no event %q in %q", want, events)
		}
	}
}

// What a case records is bounded.
func TestEventsAreBounded(t *testing.T) {
	b := &bench{began: time.Now()}
	for range eventLimit + 7 {
		b.note(nil, nil, "x")
	}
	events := b.record()
	if n := len(events); n != eventLimit+1 || events[n-1].Text != "and 7 more" {
		t.Errorf("%d events, the last is %q", n, events[n-1].Text)
	}
}
