package iot

import (
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"iotwire/mqtt"
)

// world has a CA, a server and a device.
type world struct {
	ca, server, device *identity
}

func newWorld() *world {
	ca := authority("CA")
	return &world{ca, issue(ca, ecdsaKey(), nil), issue(ca, ecdsaKey(), nil)}
}

// config is that of the device.
func (w *world) config() Config {
	return Config{Endpoint: host, ClientID: "meter-7", Credentials: w.device.credentials(w.ca)}
}

// listen returns a server that shows certificate and wants that of a device.
func (w *world) listen(t *testing.T, certificate *identity) *server {
	return &server{t: t, tls: &tls.Config{
		Certificates: []tls.Certificate{certificate.tls()},
		ClientAuth:   tls.RequireAndVerifyClientCert,
		ClientCAs:    pool(w.ca),
	}}
}

// meets checks an error of an attempt, what is said about it, and whether there would be another attempt.
func meets(t *testing.T, c Config, err error, again, wantAgain bool, kind Kind, words ...string) {
	t.Helper()
	if err == nil {
		t.Error("connected")
		return
	}
	d := Diagnose(err, c)
	if d.Kind != kind {
		t.Errorf("kind %v, want %v: %v", d.Kind, kind, err)
	}
	for _, word := range words {
		if !strings.Contains(err.Error()+"\n"+d.String(), word) {
			t.Errorf("%q and %q, want %q in it", err, d, word)
		}
	}
	if again != wantAgain {
		t.Errorf("another attempt: %v, want %v: %v", again, wantAgain, err)
	}
}

func TestTLSConnects(t *testing.T) {
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		t.Run(tls.VersionName(version), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld()
				s := w.listen(t, w.server)
				s.tls.MaxVersion = version
				if err, _ := s.attempt(w.config()); err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff([]string{"tcp " + host + ":8883"}, s.got); diff != "" {
					t.Error(diff)
				}
			})
		})
	}
}

func TestClientHelloOffersWhatAWSLists(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		s := w.listen(t, w.server)
		if err, _ := s.attempt(w.config()); err != nil {
			t.Fatal(err)
		}
		aws := []uint16{
			tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
			tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
			tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA, tls.TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA,
			tls.TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA, tls.TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA,
			tls.TLS_AES_128_GCM_SHA256, tls.TLS_AES_256_GCM_SHA384, tls.TLS_CHACHA20_POLY1305_SHA256,
		}
		got := slices.Clone(s.hello.CipherSuites)
		slices.Sort(got)
		slices.Sort(aws)
		if diff := cmp.Diff(aws, got); diff != "" {
			t.Errorf("cipher suites (-AWS +offered): %s", diff)
		}
		if diff := cmp.Diff([]uint16{tls.VersionTLS13, tls.VersionTLS12}, s.hello.SupportedVersions); diff != "" {
			t.Errorf("versions: %s", diff)
		}
		if s.hello.ServerName != host {
			t.Errorf("server name %q, want %q", s.hello.ServerName, host)
		}
		if len(s.hello.SupportedProtos) != 0 {
			t.Errorf("ALPN %q on port 8883, want none", s.hello.SupportedProtos)
		}
	})
}

func TestServerNameIsTheEndpointsWhereverTheConnectionLeads(t *testing.T) {
	for _, test := range []struct{ endpoint, sni string }{
		{host, host},
		{"BROKER.example.com:9999", "broker.example.com"},
		{"localhost", "localhost"},
		{"127.0.0.1", ""}, // an address is verified, but not sent: RFC 6066, section 3
		{"[::1]", ""},
		{"[::1%lo]", ""},
	} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld()
			s := w.listen(t, issue(w.ca, ecdsaKey(), func(c *x509.Certificate) {
				c.DNSNames = []string{host, "broker.example.com", "localhost"}
				c.IPAddresses = []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback}
			}))
			c := w.config()
			c.Endpoint = test.endpoint
			if err, _ := s.attempt(c); err != nil {
				t.Fatalf("%s: %v", test.endpoint, err)
			}
			if s.hello.ServerName != test.sni {
				t.Errorf("%s: server name %q, want %q", test.endpoint, s.hello.ServerName, test.sni)
			}

			s = w.listen(t, w.server) // for the name of AWS only
			if err, _ := s.attempt(c); test.endpoint != host && err == nil {
				t.Errorf("%s: connected to a server of another name", test.endpoint)
			}
		})
	}
}

// The cases of AWS IoT Device Advisor for the server's certificate, and some more.
func TestServerCertificatesThatAreRefused(t *testing.T) {
	for _, test := range []struct {
		what  string
		make  func(w *world) *identity
		again bool // is it worth another attempt?
		words []string
	}{
		{"expired", func(w *world) *identity {
			return issue(w.ca, ecdsaKey(), func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) })
		}, false, []string{"the server's certificate expired on 1999-12-31 23:59:00 UTC, and the clock says 2000-01-01 00:00:00 UTC"}},
		{"not yet valid", func(w *world) *identity {
			return issue(w.ca, ecdsaKey(), func(c *x509.Certificate) { c.NotBefore = time.Now().Add(time.Minute) })
		}, true, []string{"the server's certificate is not valid before 2000-01-01 00:01:00 UTC, and the clock says 2000-01-01 00:00:00 UTC", "is the clock set?"}},
		{"another name", func(w *world) *identity {
			return issue(w.ca, ecdsaKey(), func(c *x509.Certificate) { c.DNSNames = []string{"other.test"} })
		}, false, []string{"the server's certificate is not for " + host, `it is for "other.test"`}},
		{"another region", func(w *world) *identity {
			return issue(w.ca, ecdsaKey(), func(c *x509.Certificate) { c.DNSNames = []string{"*.iot.us-east-1.amazonaws.com"} })
		}, false, []string{`it is for "*.iot.us-east-1.amazonaws.com"`, "in the right region"}},
		{"the name as common name only", func(w *world) *identity {
			return issue(w.ca, ecdsaKey(), func(c *x509.Certificate) { c.DNSNames, c.Subject = nil, pkix.Name{CommonName: host} })
		}, false, []string{"the common name does not count"}},
		{"a wildcard for a top level", func(w *world) *identity {
			return issue(w.ca, ecdsaKey(), func(c *x509.Certificate) { c.DNSNames = []string{"*.com"} })
		}, false, []string{`it is for "*.com"`}},
		{"another CA", func(*world) *identity { return issue(authority("Other"), ecdsaKey(), nil) },
			false, []string{"is not signed by CA", `it is signed by "Other"`, "AmazonRootCA1.pem"}},
		{"another CA of the same name", func(*world) *identity { return issue(authority("CA"), ecdsaKey(), nil) },
			false, []string{"is not signed by CA"}},
		{"signed by itself", func(*world) *identity { return issue(nil, ecdsaKey(), nil) },
			false, []string{"is not signed by CA", `it is signed by "test"`}},
		{"for clients only", func(w *world) *identity {
			return issue(w.ca, ecdsaKey(), func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth} })
		}, false, []string{"not one for servers"}},
		{"issued by a device", func(w *world) *identity { return issue(w.device, ecdsaKey(), nil) }, false, []string{"is not signed by CA"}},
	} {
		for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
			t.Run(test.what+", "+tls.VersionName(version), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					w := newWorld()
					s := w.listen(t, test.make(w))
					s.tls.MaxVersion = version
					for range 2 { // the second time, too
						err, again := s.attempt(w.config())
						meets(t, w.config(), err, again, test.again, KindTLS, test.words...)
						var unverified *tls.CertificateVerificationError
						if !errors.As(err, &unverified) {
							t.Errorf("%v is not about the certificate", err)
						}
						if s.failed == nil || !strings.Contains(s.failed.Error(), "remote error: tls:") {
							t.Errorf("the server heard %v, want an alert", s.failed)
						}
					}
				})
			})
		}
	}
}

func TestLegacyEndpointIsNamed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		c := w.config()
		c.Endpoint = "a1b2c3.iot.eu-west-1.amazonaws.com"
		err, again := w.listen(t, issue(authority("VeriSign"), ecdsaKey(), func(x *x509.Certificate) { x.DNSNames = []string{c.Endpoint} })).attempt(c)
		meets(t, c, err, again, false, KindTLS, "lacks -ats", "iot:Data-ATS")
	})
}

// A certificate that the system trusts is no reason to trust it. The roots of the system are read once in a process, so
// this needs one of its own.
func TestRootsOfTheSystemDoNotCount(t *testing.T) {
	const variable = "IOTWIRE_TEST_SERVER"
	if os.Getenv(variable) == "" {
		w := newWorld()
		dir := files(t, map[string][]byte{"ca.pem": w.ca.certificatePEM(), "server.pem": join(w.server.certificatePEM(), w.server.keyPEM())})
		command := exec.Command(must(os.Executable()), "-test.run=^TestRootsOfTheSystemDoNotCount$", "-test.v")
		command.Env = append(os.Environ(), "SSL_CERT_FILE="+filepath.Join(dir, "ca.pem"), "SSL_CERT_DIR="+dir, variable+"="+filepath.Join(dir, "server.pem"))
		out, err := command.CombinedOutput()
		if err != nil || !strings.Contains(string(out), "--- PASS") {
			t.Fatalf("%v\n%s", err, out)
		}
		return
	}
	pair := must(tls.LoadX509KeyPair(os.Getenv(variable), os.Getenv(variable)))
	if _, err := pair.Leaf.Verify(x509.VerifyOptions{Roots: must(x509.SystemCertPool()), DNSName: host}); err != nil {
		t.Fatalf("the system does not trust the server, so that this test says nothing: %v", err)
	}
	w := newWorld() // another CA
	s := &server{t: t, tls: &tls.Config{Certificates: []tls.Certificate{pair}}}
	err, again := s.attempt(w.config())
	meets(t, w.config(), err, again, false, KindTLS, "is not signed by CA")
}

func TestServersThatAreTooOld(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		s := w.listen(t, w.server)
		s.tls.MinVersion, s.tls.MaxVersion = tls.VersionTLS10, tls.VersionTLS11
		err, again := s.attempt(w.config())
		meets(t, w.config(), err, again, false, KindTLS, "does not speak TLS 1.2 or newer")
	})
	for _, suite := range []uint16{
		tls.TLS_RSA_WITH_3DES_EDE_CBC_SHA, tls.TLS_ECDHE_RSA_WITH_RC4_128_SHA, tls.TLS_RSA_WITH_AES_128_GCM_SHA256,
		tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
	} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld()
			s := w.listen(t, issue(w.ca, rsaKey(), nil))
			s.tls.MaxVersion, s.tls.CipherSuites = tls.VersionTLS12, []uint16{suite}
			err, again := s.attempt(w.config())
			meets(t, w.config(), err, again, false, KindTLS, "handshake failure")
		})
	}
}

// With TLS 1.3 the handshake is over before the server looks at the certificate: the refusal comes in place of CONNACK.
func TestClientCertificatesThatTheServerRefuses(t *testing.T) {
	for _, test := range []struct {
		what    string
		prepare func(w *world, c *Config, s *server)
		alert12 string
		alert13 string
		words   []string
	}{
		{"missing", func(w *world, c *Config, _ *server) {
			c.Credentials = must(ParseCredentials(w.ca.certificatePEM(), nil, nil))
			c.Endpoint = "broker.example.com"
		}, "handshake failure", "certificate required", []string{"the server wants a client certificate", "name private key and certificate"}},
		{"of a CA that the server does not know", func(w *world, c *Config, _ *server) {
			c.Credentials = issue(authority("Other"), ecdsaKey(), nil).credentials(w.ca)
		}, "unknown certificate authority", "unknown certificate authority", []string{"not registered, or not ACTIVE, in eu-west-1", "describe-certificate --certificate-id "}},
		{"expired for the server", func(_ *world, _ *Config, s *server) {
			s.tls.Time = func() time.Time { return time.Now().Add(2 * 365 * 24 * time.Hour) }
		}, "expired certificate", "expired certificate", []string{"is not valid at this time", "the clock here says 2000-01-01 00:00:00 UTC", "if the clock here is right, the server's is wrong"}},
		{"for servers only", func(w *world, c *Config, _ *server) {
			c.Credentials = issue(w.ca, ecdsaKey(), func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} }).credentials(w.ca)
		}, "bad certificate", "bad certificate", []string{"not registered, or not ACTIVE"}},
	} {
		for version, alert := range map[uint16]string{tls.VersionTLS12: test.alert12, tls.VersionTLS13: test.alert13} {
			t.Run(test.what+", "+tls.VersionName(version), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					w := newWorld()
					c := w.config()
					s := w.listen(t, issue(w.ca, ecdsaKey(), func(c *x509.Certificate) { c.DNSNames = []string{host, "broker.example.com"} }))
					s.tls.MaxVersion = version
					test.prepare(w, &c, s)
					err, again := s.attempt(c)
					meets(t, c, err, again, false, KindTLS, append(test.words, "remote error: tls: "+alert)...)
					if errors.Is(err, mqtt.ErrHungUp) {
						t.Errorf("%v is no hang-up", err)
					}
				})
			})
		}
	}
}

// The server may have hung up before the client writes.
func TestRefusalIsToldByTheFirstWriteToo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		c := w.config()
		c.Credentials = issue(authority("Other"), ecdsaKey(), nil).credentials(w.ca)
		s := w.listen(t, w.server)
		c.DialContext = s.dialContext
		conn, err := must(c.MQTT()).Dial(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		s.work.Wait()
		_, err = conn.Write([]byte("CONNECT"))
		meets(t, c, err, worthRetry(err, time.Now(), false), false, KindTLS, "remote error: tls: unknown certificate authority")
		conn.Close()
	})
}

// Package tls would leave the certificate out when the server's list of issuers lacks ours, and the server's complaint
// would be another.
func TestCertificateIsSentToAServerThatDoesNotNameItsIssuer(t *testing.T) {
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld()
			s := w.listen(t, w.server)
			s.tls.MaxVersion, s.tls.ClientAuth, s.tls.ClientCAs = version, tls.RequireAnyClientCert, pool(authority("Other"))
			if err, _ := s.attempt(w.config()); err != nil {
				t.Errorf("%s: %v", tls.VersionName(version), err)
			}
		})
	}
}

func TestSessionsAreNotResumed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		s := w.listen(t, w.server)
		resumed := 0
		s.tls.VerifyConnection = func(state tls.ConnectionState) error {
			if state.DidResume {
				resumed++
			}
			return nil
		}
		for range 3 {
			if err, _ := s.attempt(w.config()); err != nil {
				t.Fatal(err)
			}
		}
		if resumed != 0 {
			t.Errorf("%d of 3 connections resumed a session", resumed)
		}
	})
}

func TestPort443SpeaksTheProtocolOfAWS(t *testing.T) {
	for _, test := range []struct {
		what     string
		endpoint string
		protos   []string // of the server
		offered  []string
		fails    bool
	}{
		{"AWS", host + ":443", []string{"http/1.1", alpn}, []string{alpn}, false},
		{"a server of other protocols", host + ":443", []string{"http/1.1", "h2"}, []string{alpn}, true},
		{"a server without ALPN in the place of AWS", host + ":443", nil, []string{alpn}, true},
		{"another broker, without ALPN", "broker.example.com:443", nil, []string{alpn}, false},
		{"another broker, with other protocols", "broker.example.com:443", []string{"mqtt"}, []string{alpn}, true},
		{"port 8883", host, []string{"http/1.1"}, nil, false},
		{"another port, as asked for", host + ":8443", []string{"http/1.1", alpn}, []string{alpn}, false},
		{"another port", host + ":8443", []string{"http/1.1"}, nil, false},
	} {
		for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
			t.Run(fmt.Sprintf("%s, %s", test.what, tls.VersionName(version)), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					w := newWorld()
					s := w.listen(t, issue(w.ca, ecdsaKey(), func(c *x509.Certificate) { c.DNSNames = []string{host, "broker.example.com"} }))
					s.tls.NextProtos, s.tls.MaxVersion = test.protos, version
					c := w.config()
					c.Endpoint, c.ALPN = test.endpoint, test.what == "another port, as asked for"
					err, again := s.attempt(c)
					if test.fails {
						meets(t, c, err, again, false, KindTLS, "does not speak the protocol "+alpn, "port 8883 needs no ALPN")
					} else if err != nil {
						t.Error(err)
					}
					if diff := cmp.Diff(test.offered, s.hello.SupportedProtos); diff != "" {
						t.Errorf("offered: %s", diff)
					}
				})
			})
		}
	}
	t.Run("Port selects it", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld()
			s := w.listen(t, w.server)
			s.tls.NextProtos = []string{alpn}
			c := w.config()
			c.Port = 443
			if err, _ := s.attempt(c); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff([]string{"tcp " + host + ":443"}, s.got); diff != "" {
				t.Error(diff)
			}
		})
	})
}

func TestLargeServerCertificate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		s := w.listen(t, issue(w.ca, ecdsaKey(), func(c *x509.Certificate) {
			for i := range 400 {
				c.DNSNames = append(c.DNSNames, fmt.Sprintf("%040d.example.com", i))
			}
		}))
		if err, _ := s.attempt(w.config()); err != nil {
			t.Error(err)
		}
	})
}

func TestTLSConfigIsStrict(t *testing.T) {
	w := newWorld()
	config := tlsConfig(must(ParseEndpoint(host)), w.device.credentials(w.ca), time.Now)
	if config.MinVersion != tls.VersionTLS12 || config.MaxVersion != 0 {
		t.Errorf("versions %x to %x, want TLS 1.2 and newer", config.MinVersion, config.MaxVersion)
	}
	if config.RootCAs == nil || config.ServerName != host {
		t.Errorf("roots %v, server name %q", config.RootCAs, config.ServerName)
	}
	if config.ClientSessionCache != nil || config.KeyLogWriter != nil || config.Renegotiation != tls.RenegotiateNever {
		t.Error("sessions, secrets or renegotiation")
	}
}
