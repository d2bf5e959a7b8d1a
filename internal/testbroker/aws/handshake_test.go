package aws

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"strings"
	"testing"
	"time"

	"iotwire/mqtt/packet"
)

// tlsConfig returns a device's side of TLS, changed by the test.
func (d *desk) tlsConfig(change func(*tls.Config)) *tls.Config {
	d.t.Helper()
	config, err := d.Certificates.DeviceConfig()
	if err != nil {
		d.t.Fatal(err)
	}
	if change != nil {
		change(config)
	}
	return config
}

// dialALPN is dialAs for the port that stands for 443.
func (d *desk) dialALPN(config *tls.Config) *wire {
	d.t.Helper()
	conn, err := d.DialALPN(context.Background())
	if err != nil {
		d.t.Fatal(err)
	}
	d.t.Cleanup(func() { conn.Close() })
	client := tls.Client(conn, config)
	return &wire{d.t, client, packet.NewReader(client, 8<<20)}
}

// wantRefused checks that TLS fails with this alert, in the handshake or at the first read.
func (w *wire) wantRefused(alert string) {
	w.t.Helper()
	w.conn.SetDeadline(time.Now().Add(time.Minute))
	err := w.conn.(*tls.Conn).Handshake()
	if err == nil {
		_, err = w.conn.Read(make([]byte, 1))
	}
	if err == nil || !strings.Contains(err.Error(), alert) {
		w.t.Errorf("%v, want %s", err, alert)
	}
}

func (w *wire) wantHandshake() tls.ConnectionState {
	w.t.Helper()
	c := w.conn.(*tls.Conn)
	if err := c.Handshake(); err != nil {
		w.t.Fatal(err)
	}
	return c.ConnectionState()
}

func TestHandshake(t *testing.T) {
	for _, test := range []struct {
		name    string
		config  Config
		change  func(*tls.Config)
		alert   string // empty: TLS is fine
		details string // what the log says, after "TLS handshake: "
	}{
		{name: "TLS 1.3", change: func(c *tls.Config) { c.MinVersion = tls.VersionTLS13 }},
		{name: "TLS 1.2", change: func(c *tls.Config) { c.MaxVersion = tls.VersionTLS12 }},
		{name: "TLS 1.1", change: func(c *tls.Config) { c.MinVersion, c.MaxVersion = tls.VersionTLS10, tls.VersionTLS11 },
			alert: "protocol version not supported", details: "tls: client offered only unsupported versions: [302 301]"},
		{name: "no suite of AWS", change: func(c *tls.Config) {
			c.MaxVersion, c.CipherSuites = tls.VersionTLS12, []uint16{tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256}
		}, alert: "handshake failure", details: "tls: no cipher suite supported by both client and server; client offered: [cca9]"},
		{name: "no server name", change: func(c *tls.Config) { c.ServerName, c.InsecureSkipVerify = "127.0.0.1", true },
			alert: "unrecognized name", details: "the client sends no server name (SNI): an IP address is none"},
		{name: "no server name, by --no-require-sni", config: Config{NoServerName: true},
			change: func(c *tls.Config) { c.ServerName, c.InsecureSkipVerify = "127.0.0.1", true }},
		{name: "another server name", change: func(c *tls.Config) { c.ServerName = "other.iot.us-east-1.amazonaws.com" },
			alert: "unrecognized name", details: `the client wants the server "other.iot.us-east-1.amazonaws.com", which this is not`},
		{name: "a name that was given", config: Config{Hosts: []string{"*.iot.us-east-1.amazonaws.com"}},
			change: func(c *tls.Config) { c.ServerName = "x-ats.iot.us-east-1.amazonaws.com" }},
		{name: "no certificate, TLS 1.3", change: func(c *tls.Config) { c.Certificates = nil },
			alert: "certificate required", details: "tls: client didn't provide a certificate"},
		{name: "no certificate, TLS 1.2", change: func(c *tls.Config) { c.Certificates, c.MaxVersion = nil, tls.VersionTLS12 },
			alert: "handshake failure", details: "tls: client didn't provide a certificate"},
	} {
		t.Run(test.name, func(t *testing.T) {
			onDesk(t, test.config, func(t *testing.T, d *desk) {
				w := d.dialAs(d.tlsConfig(test.change))
				if test.alert == "" {
					w.wantHandshake()
					w.connect(packet.Connect{ClientID: []byte("c1"), CleanSession: true})
					return
				}
				w.wantRefused(test.alert)
				d.wantDetails("TLS handshake: " + test.details)
			})
		})
	}
}

func TestPort443NeedsALPN(t *testing.T) {
	for _, test := range []struct {
		name    string
		offered []string
		details string // empty: TLS is fine
	}{
		{"the right one", []string{"x-amzn-mqtt-ca"}, ""},
		{"the right one among others", []string{"h2", "x-amzn-mqtt-ca"}, ""},
		{"none", nil, "the client asks for no application protocol: this port needs ALPN x-amzn-mqtt-ca"},
		{"that of custom authorizers", []string{"mqtt"}, `tls: client requested unsupported application protocols (["mqtt"])`},
	} {
		for version, name := range map[uint16]string{tls.VersionTLS12: "TLS 1.2", tls.VersionTLS13: "TLS 1.3"} {
			t.Run(test.name+", "+name, func(t *testing.T) {
				onDesk(t, Config{}, func(t *testing.T, d *desk) {
					w := d.dialALPN(d.tlsConfig(func(c *tls.Config) {
						c.MinVersion, c.MaxVersion, c.NextProtos = version, version, test.offered
					}))
					if test.details != "" {
						w.wantRefused("no application protocol")
						d.wantDetails("TLS handshake: " + test.details)
						return
					}
					if got := w.wantHandshake().NegotiatedProtocol; got != alpn {
						t.Errorf("protocol %q, want %q", got, alpn)
					}
					w.connect(packet.Connect{ClientID: []byte("c1"), CleanSession: true})
				})
			})
		}
	}
}

func TestPort8883NeedsNoALPN(t *testing.T) {
	onDesk(t, Config{}, func(t *testing.T, d *desk) {
		w := d.dialAs(d.tlsConfig(func(c *tls.Config) { c.NextProtos = []string{"x-amzn-mqtt-ca"} }))
		w.connect(packet.Connect{ClientID: []byte("c1"), CleanSession: true})
	})
}

func TestNoSessionIsResumedInTLS(t *testing.T) {
	onDesk(t, Config{}, func(t *testing.T, d *desk) {
		config := d.tlsConfig(func(c *tls.Config) { c.ClientSessionCache = tls.NewLRUClientSessionCache(1) })
		for range 2 {
			w := d.dialAs(config)
			w.connect(packet.Connect{ClientID: []byte("c1"), CleanSession: true})
			if w.wantHandshake().DidResume {
				t.Error("the handshake was short, want a full one")
			}
			w.disconnect()
			time.Sleep(time.Second)
		}
	})
}

// stranger is a certificate that nobody has registered.
func stranger(t *testing.T, notAfter time.Time) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(7),
		Subject:      pkix.Name{CommonName: "stranger"},
		NotBefore:    time.Date(1999, 1, 1, 0, 0, 0, 0, time.UTC),
		NotAfter:     notAfter,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

func TestBadCertificate(t *testing.T) {
	late := time.Date(2049, 1, 1, 0, 0, 0, 0, time.UTC)
	for _, test := range []struct {
		name    string
		arrange func(*desk, *tls.Config)
		details string // without the certificate ID and the directory
	}{
		{"unknown", func(d *desk, c *tls.Config) { c.Certificates = []tls.Certificate{stranger(d.t, late)} },
			"the certificate ID is not registered: put it into a folder of DIR as cert.pem"},
		{"inactive", func(d *desk, c *tls.Config) { d.write("thing.json", `{"status": "INACTIVE"}`) },
			"the certificate ID is INACTIVE: set its status to ACTIVE in thing.json"},
		{"revoked", func(d *desk, c *tls.Config) { d.write("thing.json", `{"status": "REVOKED"}`) },
			"the certificate ID is REVOKED: set its status to ACTIVE in thing.json"},
		{"expired", func(d *desk, c *tls.Config) {
			old := stranger(d.t, time.Date(1999, 12, 31, 0, 0, 0, 0, time.UTC))
			c.Certificates = []tls.Certificate{old}
			d.write("cert.pem", string(encode(old)))
		}, "the certificate ID is valid from 1999-01-01T00:00:00Z to 1999-12-31T00:00:00Z, and now it is 2000-01-01T00:00:00Z"},
	} {
		for _, early := range []bool{false, true} {
			name := test.name + ", after CONNECT"
			if early {
				name = test.name + ", in the handshake"
			}
			t.Run(name, func(t *testing.T) {
				onDesk(t, Config{RejectInHandshake: early}, func(t *testing.T, d *desk) {
					config := d.tlsConfig(nil)
					test.arrange(d, config)
					leaf, err := x509.ParseCertificate(config.Certificates[0].Certificate[0])
					if err != nil {
						t.Fatal(err)
					}
					want := strings.NewReplacer("ID", certificateID(leaf), "DIR", d.dir).Replace(test.details)
					w := d.dialAs(config)
					if early {
						w.wantRefused("bad certificate")
						if got := d.text(); !strings.Contains(got, `"principalId":"CERTIFICATE"`) || !strings.Contains(got, `"reason":"AUTHORIZATION_FAILURE"`) {
							t.Errorf("log:\n%swant the certificate ID and that it is refused", got)
						}
						return
					}
					w.wantHandshake()
					w.send(packet.AppendConnect(nil, &packet.Connect{ClientID: []byte("c1"), CleanSession: true}))
					w.wantEnd()
					d.wantDetails(want)
				})
			})
		}
	}
}

func TestRegisteredCertificateNeedsNoCA(t *testing.T) {
	onDesk(t, Config{}, func(t *testing.T, d *desk) {
		own := stranger(t, time.Date(2049, 1, 1, 0, 0, 0, 0, time.UTC))
		d.mkdir("sensor")
		d.write("sensor/cert.pem", string(encode(own)))
		d.write("sensor/policy.json", allowEverything)
		w := d.dialAs(d.tlsConfig(func(c *tls.Config) { c.Certificates = []tls.Certificate{own} }))
		w.connect(packet.Connect{ClientID: []byte("c1"), CleanSession: true})
	})
}
