package iot

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"iotwire/internal/testbroker"
	"iotwire/mqtt"
)

func TestPlainConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &server{t: t}
		if err, _ := s.attempt(Config{Endpoint: "mqtt://127.0.0.1", ClientID: "meter-7"}); err != nil {
			t.Fatal(err)
		}
		if s.got[0] != "tcp 127.0.0.1:1883" {
			t.Errorf("dialled %q", s.got)
		}
	})
}

func TestTLSToAServerWithout(t *testing.T) {
	for _, test := range []struct {
		what  string
		serve func(conn net.Conn)
		words []string
	}{
		{"an MQTT server, which hangs up", nil, []string{"hung up in the TLS handshake", "mqtt://" + host + ":8883"}},
		{"a web server, which complains", func(conn net.Conn) { _, _ = io.WriteString(conn, "HTTP/1.1 400 Bad Request\r\n\r\n") },
			[]string{"does not speak TLS on " + host + ":8883", "mqtt://" + host + ":8883"}},
		{"one that cuts the line", func(conn net.Conn) { conn.(*testbroker.Conn).Reset(nil) }, []string{"hung up in the TLS handshake"}},
	} {
		t.Run(test.what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld()
				s := &server{t: t, serve: test.serve}
				err, again := s.attempt(w.config())
				meets(t, w.config(), err, again, true, KindTLS, test.words...)
			})
		})
	}
}

func TestNoTLSToAServerThatSpeaksIt(t *testing.T) {
	c := Config{Endpoint: "mqtt://broker.example.com:8883", ClientID: "meter-7"}
	synctest.Test(t, func(t *testing.T) { // package tls hangs up on what is no TLS
		w := newWorld()
		err, again := w.listen(t, w.server).attempt(c)
		meets(t, c, err, again, true, KindHungUp, "speaks TLS", "mqtts://broker.example.com:8883")
	})
	synctest.Test(t, func(t *testing.T) { // OpenSSL sends an alert first: handshake_failure, protocol_version
		s := &server{t: t, serve: func(conn net.Conn) { _, _ = conn.Write([]byte{21, 3, 1, 0, 2, 2, 70}) }}
		err, again := s.attempt(c)
		meets(t, c, err, again, true, KindTLS, "the server answers in TLS", "use mqtts://broker.example.com:8883")
	})
}

func TestServerThatBreaksTheProtocol(t *testing.T) {
	c := Config{Endpoint: "mqtt://broker.example.com", ClientID: "meter-7"}
	synctest.Test(t, func(t *testing.T) {
		s := &server{t: t, serve: func(conn net.Conn) { _, _ = io.WriteString(conn, "SSH-2.0-OpenSSH_9.6\r\n") }}
		err, again := s.attempt(c)
		meets(t, c, err, again, true, KindProtocol, "an SSH server answers on broker.example.com:1883", "is the port right?")
	})
	synctest.Test(t, func(t *testing.T) {
		s := &server{t: t, serve: func(conn net.Conn) { _, _ = io.WriteString(conn, "AMQP\x00\x00\x09\x01") }}
		err, again := s.attempt(c)
		meets(t, c, err, again, true, KindProtocol, "does an MQTT 3.1.1 server listen on broker.example.com:1883?")
	})
}

func TestHandshakeEndsWithItsContext(t *testing.T) {
	silent := func(conn net.Conn) { _, _ = io.Copy(io.Discard, conn) }
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		s := &server{t: t, serve: silent}
		began := time.Now()
		err, again := s.attempt(w.config())
		meets(t, w.config(), err, again, true, KindNetwork, host+":8883 took the connection, and did not answer the TLS handshake in time", "port 443")
		if took := time.Since(began); took != 10*time.Second { // the time-out of package mqtt
			t.Errorf("gave up after %v, want 10 s", took)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		s := &server{t: t, serve: silent}
		c := w.config()
		c.DialContext = s.dialContext
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		began := time.Now()
		_, err := must(c.MQTT()).Dial(ctx)
		s.work.Wait()
		if !errors.Is(err, context.Canceled) || time.Since(began) != time.Second {
			t.Errorf("%v after %v, want the context's error at once", err, time.Since(began))
		}
	})
}

func TestServerCertificateIsJudgedByTheSameClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.device = issue(w.ca, ecdsaKey(), func(c *x509.Certificate) { c.NotAfter = c.NotAfter.Add(1000 * time.Hour) })
		c := w.config()
		now := w.server.certificate.NotAfter.Add(time.Second)
		c.now = func() time.Time { return now }
		err, again := w.listen(t, w.server).attempt(c)
		meets(t, c, err, again, false, KindTLS, "the server's certificate expired on "+clock(w.server.certificate.NotAfter)+", and the clock says "+clock(now))
	})
}

// cutConn ends its incoming stream after some bytes.
type cutConn struct {
	net.Conn
	left int
}

func (c *cutConn) Read(p []byte) (int, error) {
	if c.left == 0 {
		c.Close()
		return 0, io.EOF
	}
	n, err := c.Conn.Read(p[:min(len(p), c.left)])
	c.left -= n
	return n, err
}

func TestHandshakeThatIsCutNeverConnects(t *testing.T) {
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld()
			s := w.listen(t, w.server)
			s.tls.MaxVersion = version
			c := w.config()
			cut, total := 0, 0
			for ; ; cut += 61 {
				var conn *cutConn
				s.wrap = func(client net.Conn) net.Conn {
					conn = &cutConn{client, cut}
					return conn
				}
				err, again := s.attempt(c)
				if err == nil {
					break
				}
				if total++; total > 1000 {
					t.Fatalf("never connects: %v", err)
				}
				if d := Diagnose(err, c); !again || d.Kind != KindTLS && d.Kind != KindHungUp {
					t.Errorf("%s cut after %d bytes: %v, another attempt %v: %v", tls.VersionName(version), cut, d.Kind, again, err)
				}
			}
			if total < 10 {
				t.Errorf("%s: only %d cuts", tls.VersionName(version), total)
			}
		})
	}
}

func TestCertificateThatExpiresMeanwhileIsNotedAtTheNextDial(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		c := w.config()
		s := w.listen(t, w.server)
		now := w.device.certificate.NotAfter.Add(time.Second)
		c.now = func() time.Time { return now }
		err, again := s.attempt(c)
		meets(t, c, err, again, false, KindTLS, "expired on", "and the clock says "+clock(now))
		now = w.device.certificate.NotBefore.Add(-time.Second) // the clock was set back
		err, again = s.attempt(c)
		meets(t, c, err, again, true, KindTLS, "not valid before", "and the clock says "+clock(now))
		if len(s.got) != 0 {
			t.Errorf("dialled %q all the same", s.got)
		}
	})
}

func TestRefusedConnects(t *testing.T) {
	for code, words := range map[byte]string{
		1: "unacceptable protocol version", 2: "does not accept the client id meter-7", 3: "try again later",
		4: "bad user name or password", 5: "not authorized",
	} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld()
			s := w.listen(t, w.server)
			s.serve = func(conn net.Conn) { _, _ = conn.Write([]byte{0x20, 2, 0, code}) }
			err, again := s.attempt(w.config())
			meets(t, w.config(), err, again, code == 3, KindRefused, words)
		})
	}
}

func TestHangUpNamesPolicyAndCertificate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		s := w.listen(t, w.server)
		s.serve = func(net.Conn) {}
		c := w.config()
		err, again := s.attempt(c)
		meets(t, c, err, again, true, KindHungUp, "the server hung up after CONNECT without a CONNACK [MQTT-3.2.2-6]",
			"iot:Connect on arn:aws:iot:eu-west-1:ACCOUNT:client/meter-7", "not ACTIVE, or not registered in eu-west-1",
			"\n  next: aws iot test-authorization --principal arn:aws:iot:eu-west-1:ACCOUNT:cert/"+c.Credentials.CertificateID+
				" --client-id meter-7 --auth-infos actionType=CONNECT,resources=arn:aws:iot:eu-west-1:ACCOUNT:client/meter-7 --region eu-west-1"+
				"\n  next: aws iot describe-certificate --certificate-id "+c.Credentials.CertificateID)
	})
}

func TestLostConnectionNamesTheUsualReasons(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		s := w.listen(t, w.server)
		s.serve = func(conn net.Conn) { _, _ = conn.Write([]byte{0x20, 2, 0, 0}) }
		c := w.config()
		c.DialContext = s.dialContext
		m := must(c.MQTT())
		m.Retry = func(error) bool { return false }
		err := must(mqtt.New(m)).Run(t.Context())
		s.work.Wait()
		if d := Diagnose(err, c); d.Kind != KindLost || !strings.Contains(d.String(), "another client connected as meter-7") {
			t.Errorf("%v: %v", err, d)
		}
	})
}

func TestNothingListens(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	l.Close()
	c := Config{Endpoint: "mqtt://" + address, ClientID: "meter-7"}
	_, err = must(c.MQTT()).Dial(t.Context())
	if d := Diagnose(err, c); d == nil || d.Kind != KindNetwork || !strings.Contains(d.String(), "connection refused by "+address) {
		t.Errorf("%v: %v", err, d)
	}
}

// On a socket, the alert that refuses a certificate must be read, although the server closed and our CONNECT met nobody.
func TestRefusedCertificateOverTCP(t *testing.T) {
	w := newWorld()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			secure := tls.Server(conn, w.listen(t, w.server).tls)
			_ = secure.Handshake()
			secure.Close()
		}
	}()
	c := w.config()
	c.Credentials = issue(authority("Other"), ecdsaKey(), nil).credentials(w.ca)
	c.DialContext = func(ctx context.Context, network, _ string) (net.Conn, error) {
		return netDialer()(ctx, network, l.Addr().String())
	}
	for range 10 {
		err := must(mqtt.New(must(c.MQTT()))).Run(t.Context())
		if d := Diagnose(err, c); d.Kind != KindTLS || remoteAlert(err) != "unknown certificate authority" {
			t.Fatalf("%v: %v", d.Kind, err)
		}
	}
}

// The directory that the broker's program writes is one that this package reads, and the two talk.
func TestPublishToTheTestBrokerOverMutualTLS(t *testing.T) {
	dir := t.TempDir()
	certificates, err := testbroker.EnsureCertificates(dir)
	if err != nil {
		t.Fatal(err)
	}
	config := must(certificates.ServerConfig())
	credentials, err := LoadCredentials(dir)
	if err != nil {
		t.Fatal(err)
	}
	if len(credentials.Warnings) != 0 {
		t.Errorf("warnings: %q", credentials.Warnings)
	}
	broker := testbroker.New(testbroker.Config{RequireCertificate: true})
	defer broker.Close()
	l, err := tls.Listen("tcp", "127.0.0.1:0", config)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- broker.Serve(ctx, l) }()

	m := must(Config{Endpoint: l.Addr().String(), ClientPrefix: "test", Credentials: credentials}.MQTT())
	client := must(mqtt.New(m))
	ran := make(chan error, 1)
	go func() { ran <- client.Run(ctx) }()
	for q := mqtt.QoS0; q <= mqtt.QoS2; q++ {
		if err := client.Publish(ctx, mqtt.Message{Topic: "a", Payload: make([]byte, 200_000), QoS: q}); err != nil {
			t.Errorf("QoS %d, 200 000 bytes: %v", q, err)
		}
	}
	if err := client.Shutdown(ctx); err != nil {
		t.Error(err)
	}
	if err := <-ran; err != nil {
		t.Error(err)
	}
	cancel()
	<-served
}

// The names of the settings that turn verification off, or give secrets away, do not occur in what ships: but for the one
// line that gives a key log to who asks for it.
func TestVerificationCannotBeTurnedOff(t *testing.T) {
	forbidden := regexp.MustCompile("Insecure" + "SkipVerify")
	here := regexp.MustCompile("KeyLogWriter|ClientSessionCache|SystemCertPool")
	files := 0
	err := filepath.WalkDir("..", func(path string, entry fs.DirEntry, err error) error {
		if err == nil && entry.Name() == "testdata" {
			return fs.SkipDir // a flawed device, perhaps, to see its flaws found
		}
		if err != nil || entry.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		files++
		content, err := os.ReadFile(path)
		content = bytes.Replace(content, []byte("config.KeyLogWriter = c.KeyLog\n"), nil, 1)
		content = bytes.Replace(content, []byte("[crypto/tls.Config.KeyLogWriter]"), nil, 1)
		if forbidden.Match(content) || filepath.Dir(path) == filepath.Join("..", "iot") && here.Match(content) {
			t.Errorf("%s has %q or %q", path, forbidden, here)
		}
		return err
	})
	if err != nil || files < 30 {
		t.Errorf("%d files: %v", files, err)
	}
}
