package iot

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"iotwire/mqtt"
	"iotwire/mqtt/packet"
)

// What programs print of a checkup, against a server that plays AWS IoT Core, is tested with them.

// steps walks, and returns the result and name of each step, with what a failure says.
func steps(ctx context.Context, c Checkup) (list []string, last Step) {
	for step := range c.Steps(ctx) {
		list = append(list, step.Result.String()+" "+step.Name)
		last = step
	}
	return list, last
}

// checkup is that of the device, to s.
func (w *world) checkup(s *server) Checkup {
	c := Checkup{Config: w.config()}
	c.Config.DialContext = s.dialContext
	return c
}

func TestCheckupTakesTheCredentialsThatThereAre(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		dir := files(t, map[string][]byte{"private.key": w.device.keyPEM(), "cert.pem": w.device.certificatePEM(), "AmazonRootCA1.pem": w.ca.certificatePEM()})
		for _, load := range []bool{false, true} {
			c := w.checkup(w.listen(t, w.server))
			if load {
				c.Config.Credentials, c.Files.Dir = nil, dir
			}
			list, last := steps(t.Context(), c)
			want := []string{"warn clock", "skip DNS", "ok TCP 8883", "ok TCP 443", "ok TLS", "ok server", "ok private key", "ok certificate", "ok certificate id",
				"ok CONNECT", "skip SUBSCRIBE", "skip PUBLISH"}
			if diff := cmp.Diff(want, list); diff != "" {
				t.Errorf("%s, then %+v", diff, last)
			}
		}
	})
}

func TestCheckupStopsAtTheFirstFailure(t *testing.T) {
	network := []string{"warn clock", "skip DNS", "ok TCP 8883", "ok TCP 443"}
	tlsToo := append(network[:4:4], "ok TLS", "ok server")
	all := append(tlsToo[:6:6], "ok private key", "ok certificate", "ok certificate id")
	missing := func(c *Checkup) {
		c.Config.Credentials, c.Files = nil, CredentialFiles{Dir: filepath.Join(os.TempDir(), "there is no such directory")}
	}
	for _, test := range []struct {
		what   string
		change func(t *testing.T, w *world, s *server, c *Checkup)
		before []string
		step   string
		kind   Kind
		words  string
	}{
		{"endpoint", func(t *testing.T, _ *world, _ *server, c *Checkup) { c.Config.Endpoint = "https://x" }, nil, "endpoint", KindInvalid, "a web address"},
		{"no such host", func(t *testing.T, _ *world, _ *server, c *Checkup) {
			c.Lookup = func(_ context.Context, host string) ([]string, error) {
				return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
			}
		}, network[:1], "DNS", KindNetwork, "no such host"},
		{"no name server", func(t *testing.T, _ *world, _ *server, c *Checkup) {
			c.Lookup = func(ctx context.Context, _ string) ([]string, error) { <-ctx.Done(); return nil, ctx.Err() }
		}, network[:1], "DNS", KindNetwork, "cannot be looked up: no answer in time"},
		{"no network", func(t *testing.T, _ *world, _ *server, c *Checkup) {
			c.Config.DialContext = func(context.Context, string, string) (net.Conn, error) { return nil, errors.New("no carrier") }
		}, append(network[:2:2], "skip TCP 443"), "TCP 8883", KindNetwork, "no carrier"},
		{"no CA", func(t *testing.T, _ *world, _ *server, c *Checkup) { missing(c) }, network, "TLS", KindTLS, "no such directory"},
		{"no file with a CA", func(t *testing.T, _ *world, _ *server, c *Checkup) { c.Config.Credentials = nil }, network, "TLS", KindTLS, "no file with CA certificates was named"},
		{"server's certificate", func(t *testing.T, w *world, s *server, _ *Checkup) {
			s.tls.Certificates = []tls.Certificate{issue(w.ca, ecdsaKey(), func(c *x509.Certificate) { c.DNSNames = []string{"other.test"} }).tls()}
		}, network, "TLS", KindTLS, "is not for " + host},
		{"no key", func(t *testing.T, w *world, _ *server, c *Checkup) {
			c.Config.Credentials = nil
			c.Files = CredentialFiles{Dir: files(t, map[string][]byte{"AmazonRootCA1.pem": w.ca.certificatePEM()})}
		}, tlsToo, "certificate", KindTLS, "private.key: no such file"},
		{"expired since it was loaded", func(t *testing.T, w *world, _ *server, c *Checkup) {
			c.Config.Credentials = issue(w.ca, ecdsaKey(), func(c *x509.Certificate) { c.NotAfter = time.Now().Add(time.Minute) }).credentials(w.ca)
			time.Sleep(time.Hour)
		}, tlsToo, "certificate", KindTLS, "expired on "},
		{"no certificate for AWS", func(t *testing.T, w *world, _ *server, c *Checkup) {
			c.Config.Credentials = must(ParseCredentials(w.ca.certificatePEM(), nil, nil))
		}, tlsToo, "certificate", KindTLS, "AWS IoT Core wants a client certificate"},
		{"Ed25519", func(t *testing.T, w *world, s *server, c *Checkup) {
			c.Config.Credentials = issue(w.ca, ed25519Key(), nil).credentials(w.ca)
		},
			tlsToo, "private key", KindTLS, "an Ed25519 key"},
		{"unknown certificate, TLS 1.2", func(t *testing.T, w *world, s *server, c *Checkup) {
			s.tls.MaxVersion = tls.VersionTLS12
			c.Config.Credentials = issue(authority("Other"), ecdsaKey(), nil).credentials(w.ca)
		}, all, "certificate", KindTLS, "not registered, or not ACTIVE"},
		{"unknown certificate, TLS 1.3", func(t *testing.T, w *world, s *server, c *Checkup) {
			c.Config.Credentials = issue(authority("Other"), ecdsaKey(), nil).credentials(w.ca)
		}, all, "CONNECT", KindTLS, "not registered, or not ACTIVE"},
		{"user name and password", func(t *testing.T, _ *world, _ *server, c *Checkup) {
			c.Prepare = func(m *mqtt.Config) {
				m.Credentials = func(context.Context) (string, []byte, error) { return "", nil, errors.New("no token") }
			}
		}, all, "CONNECT", KindOther, "no token"},
		{"what CONNECT cannot say", func(t *testing.T, _ *world, _ *server, c *Checkup) {
			c.Prepare = func(m *mqtt.Config) { m.ClientID, m.CleanSession = "", false }
		}, all, "CONNECT", KindInvalid, "client identifier is empty"},
		{"another packet", func(t *testing.T, _ *world, s *server, _ *Checkup) {
			s.serve = func(conn net.Conn) { _, _ = conn.Write([]byte{0xd0, 0}) }
		}, all, "CONNECT", KindProtocol, "the first packet from the server is PINGRESP, not CONNACK [MQTT-3.2.0-1]"},
		{"a broken CONNACK", func(t *testing.T, _ *world, s *server, _ *Checkup) {
			s.serve = func(conn net.Conn) { _, _ = conn.Write([]byte{0x20, 2, 2, 0}) }
		}, all, "CONNECT", KindProtocol, "protocol violation"},
		{"CONNACK 3", func(t *testing.T, _ *world, s *server, _ *Checkup) {
			s.serve = func(conn net.Conn) { _, _ = conn.Write([]byte{0x20, 2, 0, 3}) }
		}, all, "CONNECT", KindRefused, "CONNACK 3"},
		{"a SUBACK for other filters", func(t *testing.T, _ *world, s *server, c *Checkup) {
			c.Subscribe = []string{"a", "b"}
			s.serve = answer(0x90, 3, 0, 1, 1)
		}, append(all[:9:9], "ok CONNECT"), "SUBSCRIBE", KindProtocol, "SUBACK has 1 return codes for 2 topic filters [MQTT-3.8.4-5]"},
		{"a filter that is none", func(t *testing.T, _ *world, s *server, c *Checkup) { c.Subscribe = []string{"a#"} },
			append(all[:9:9], "ok CONNECT"), "SUBSCRIBE", KindInvalid, "'#' where it is not"},
		{"a message beyond the limits", func(t *testing.T, _ *world, s *server, c *Checkup) {
			c.Publish = &mqtt.Message{Topic: "a/b/c/d/e/f/g/h/i"}
		},
			append(all[:9:9], "ok CONNECT", "skip SUBSCRIBE"), "PUBLISH", KindInvalid, "8 slashes"},
		{"hang-up on PUBLISH", func(t *testing.T, _ *world, s *server, c *Checkup) {
			c.Publish = &mqtt.Message{Topic: "a", QoS: mqtt.QoS0}
			s.serve = func(conn net.Conn) {
				_, _ = conn.Write([]byte{0x20, 2, 0, 0})
				_, _ = conn.Read(make([]byte, 100))
			}
		}, append(all[:9:9], "ok CONNECT", "skip SUBSCRIBE"), "PUBLISH", KindLost, "iot:Publish on arn:aws:iot:eu-west-1:ACCOUNT:topic/a"},
	} {
		t.Run(test.what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld()
				s := w.listen(t, w.server)
				c := w.checkup(s)
				test.change(t, w, s, &c)
				list, last := steps(t.Context(), c)
				if diff := cmp.Diff(append(test.before[:len(test.before):len(test.before)], "FAIL "+test.step), list); diff != "" {
					t.Errorf("steps (-want +got):\n%s", diff)
				}
				if last.Diagnosis == nil || last.Diagnosis.Kind != test.kind || last.Err == nil || last.Found != last.Diagnosis.Lines[0] ||
					!strings.Contains(last.Diagnosis.String(), test.words) {
					t.Errorf("the last step is %+v: %v\nwant kind %v and %q", last, last.Diagnosis, test.kind, test.words)
				}
				s.work.Wait()
			})
		})
	}
}

// answer is a server that accepts CONNECT and answers the next packet with b.
func answer(b ...byte) func(net.Conn) {
	return func(conn net.Conn) {
		_, _ = conn.Write([]byte{0x20, 2, 0, 0})
		_, _ = conn.Read(make([]byte, 100))
		_, _ = conn.Write(b)
		_, _ = io.Copy(io.Discard, conn)
	}
}

// Messages that come in between, even large ones, are no answer, and get none.
func TestCheckupWaitsForItsAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		s := w.listen(t, w.server)
		large := must(packet.AppendPublish(nil, &packet.Publish{Topic: []byte("a"), QoS: 1, ID: 7, Payload: make([]byte, largest)}))
		var rest []byte
		s.serve = func(conn net.Conn) {
			_, _ = conn.Write([]byte{0x20, 2, 0, 0})
			_, _ = conn.Read(make([]byte, 100))
			_, _ = conn.Write(large)
			_, _ = conn.Write([]byte{0x90, 3, 0, 9, 1, 0x90, 3, 0, 1, 1}) // the second is the answer
			rest, _ = io.ReadAll(conn)
		}
		c := w.checkup(s)
		c.Subscribe = []string{"a"}
		list, last := steps(t.Context(), c)
		s.work.Wait()
		if last.Result != Skipped || list[len(list)-2] != "ok SUBSCRIBE" || string(rest) != "\xe0\x00" {
			t.Errorf("%q, %+v, and then the client sent %x, want DISCONNECT", list, last, rest)
		}
	})
}

func TestCheckupEndsWithItsContext(t *testing.T) {
	for _, after := range []string{"DNS", "TCP 8883", "TLS", "CONNECT"} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld()
			s := w.listen(t, w.server)
			s.serve = func(conn net.Conn) {
				if after != "TLS" {
					_, _ = conn.Write([]byte{0x20, 2, 0, 0})
				}
				_, _ = io.Copy(io.Discard, conn)
			}
			c := w.checkup(s)
			c.Subscribe = []string{"a"}
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			began := time.Now()
			for step := range c.Steps(ctx) {
				if step.Name == after && after != "TLS" && after != "CONNECT" {
					cancel()
				}
			}
			if took := time.Since(began); took > time.Second+closeTimeout {
				t.Errorf("after %s: it took %v", after, took)
			}
			s.work.Wait()
		})
	}
}

func TestStepResultsHaveNames(t *testing.T) {
	if got := Passed.String() + Warned.String() + Skipped.String() + Failed.String() + (Failed + 1).String(); got != "okwarnskipFAILFAIL" {
		t.Errorf("%q", got)
	}
}

func TestCheckupHasAStepForTheProxy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		s := w.listen(t, w.server)
		s.front = func(conn net.Conn) net.Conn {
			request := readRequest(conn)
			answer := "HTTP/1.1 200 OK\r\n\r\n"
			if strings.Contains(request, ":8883") {
				answer = "HTTP/1.1 403 Forbidden\r\n\r\n"
			}
			if _, err := io.WriteString(conn, answer); err != nil {
				return nil
			}
			return conn
		}
		c := w.checkup(s)
		c.Config.Proxy = must(ParseProxy("http://ann:s3cret@proxy:3128"))
		list, last := steps(t.Context(), c)
		if diff := cmp.Diff([]string{"warn clock", "ok proxy", "skip DNS", "FAIL TCP 8883"}, list); diff != "" {
			t.Error(diff)
		}
		if got := last.Diagnosis.String(); !strings.Contains(got, "the proxy http://proxy:3128 does not allow a connection to "+host+":8883 (403 Forbidden)") ||
			!strings.Contains(got, "the proxy blocks port 8883: port 443 answers") || last.Diagnosis.Kind != KindNetwork {
			t.Errorf("%v", got)
		}

		s.front = func(conn net.Conn) net.Conn { // several connections at a time
			return httpProxy(new(string), "HTTP/1.1 200 OK\r\n\r\n")(conn)
		}
		c.Config.Proxy = must(ParseProxy("http://ann:s3cret@proxy:3128"))
		for step := range c.Steps(t.Context()) {
			if step.Name == "proxy" && !strings.HasPrefix(step.Found, "http://proxy:3128 takes connections, in ") {
				t.Error(step.Found)
			}
			if strings.Contains(step.Found, "s3cret") || step.Result == Failed {
				t.Errorf("%+v", step)
			}
		}

		c.Config.DialContext = func(context.Context, string, string) (net.Conn, error) {
			return nil, &net.OpError{Op: "dial", Err: os.ErrDeadlineExceeded}
		}
		list, _ = steps(t.Context(), c)
		if diff := cmp.Diff([]string{"warn clock", "FAIL proxy"}, list); diff != "" {
			t.Error(diff)
		}
	})
}

// With an authorizer the certificate stays out of it, though there is one.
func TestCheckupWithAnAuthorizerShowsNoCertificate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		dir := files(t, map[string][]byte{"private.key": w.device.keyPEM(), "cert.pem": w.device.certificatePEM(), "AmazonRootCA1.pem": w.ca.certificatePEM()})
		s := w.listen(t, w.server)
		s.tls.NextProtos, s.tls.ClientAuth = []string{alpnAuthorizer}, tls.RequestClientCert
		var shown atomic.Int32 // the server has a goroutine for each connection
		s.tls.VerifyConnection = func(state tls.ConnectionState) error {
			shown.Add(int32(len(state.PeerCertificates)))
			return nil
		}
		c := w.checkup(s)
		c.Config.Authorizer = &Authorizer{Name: "gate"}
		for _, load := range []bool{false, true} {
			if load {
				c.Config.Credentials, c.Files.Dir = nil, dir
			}
			list, last := steps(t.Context(), c)
			want := []string{"warn clock", "skip DNS", "ok TCP 443", "ok TCP 8883", "ok TLS", "ok server", "skip certificate", "ok CONNECT", "skip SUBSCRIBE", "skip PUBLISH"}
			if diff := cmp.Diff(want, list); diff != "" || shown.Load() != 0 {
				t.Errorf("%s, then %+v; %d certificates were shown", diff, last, shown.Load())
			}
		}
	})
}
