package cli

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"iotwire/internal/testbroker"
	"iotwire/internal/testbroker/aws"
	"iotwire/mqtt/packet"
)

func sha256Hex(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

func TestSymptom10CertificatesThatTheServerRefuses(t *testing.T) {
	for name, arrange := range map[string]func(*cloud){
		"INACTIVE": func(c *cloud) { c.write("thing.json", `{"status":"INACTIVE"}`) },
		"unknown":  func(c *cloud) { c.stranger() },
	} {
		t.Run(name, func(t *testing.T) {
			inCloud(t, aws.Config{RejectInHandshake: true}, func(t *testing.T, c *cloud) {
				arrange(c)
				r := c.start(Publisher, "-m", "x")
				r.ended(ExitTLS)
				said := c.plain(r.stderr.String())
				_, alert, _ := strings.Cut(said, "(TLS: ")
				alert, _, _ = strings.Cut(alert, ")")
				if alert == "" {
					t.Fatalf("it said\n%s", said)
				}
				c.reads(Publisher, []string{"-m", "x"}, ExitTLS,
					"publisher: the server closed the TLS connection: it wants a certificate it knows (TLS: "+alert+")",
					"  1. certs/cert.pem is not registered, or not ACTIVE, in us-east-1: its id is ID",
					"  2. the endpoint is that of another account",
					"  next: aws iot describe-certificate --certificate-id ID --region us-east-1")
			})
		})
	}
	ours, dir := certificates(t)
	config, err := ours.ServerConfig()
	if err != nil {
		t.Fatal(err)
	}
	config.Time = func() time.Time { return time.Date(2050, 1, 2, 0, 0, 0, 0, time.UTC) }
	for version, step := range map[uint16]string{tls.VersionTLS12: "certificate", tls.VersionTLS13: "CONNECT"} { // TLS 1.3 says it at the first read
		config := config.Clone()
		config.MaxVersion = version
		handshakes(t, config, []string{"-C", dir, "-e", "localhost"}, step, ExitTLS,
			"the server says that "+filepath.Join(dir, "cert.pem")+" is not valid at this time (TLS: expired certificate)",
			"  it is valid from 1999-01-01 00:00:00 UTC to 2049-12-31 23:59:59 UTC, and the clock here says 2000-01-01 00:00:00 UTC",
			"  if the clock here is right, the server's is wrong, or one of the issuers' certificates has expired")
	}
}

func TestSymptom11NoCertificateWasSent(t *testing.T) {
	ours, dir := certificates(t)
	config, err := ours.ServerConfig()
	if err != nil {
		t.Fatal(err)
	}
	ca := filepath.Join(dir, "AmazonRootCA1.pem")
	t.Chdir(t.TempDir())
	for version, alert := range map[uint16][]string{tls.VersionTLS12: {"handshake failure", "certificate"}, tls.VersionTLS13: {"certificate required", "CONNECT"}} {
		config := config.Clone()
		config.MaxVersion = version
		handshakes(t, config, []string{"--ca", ca, "-e", "localhost"}, alert[1], ExitTLS,
			"the server wants a client certificate (TLS: "+alert[0]+")", "  name private key and certificate")
	}
	ciphers := config.Clone()
	ciphers.MaxVersion, ciphers.CipherSuites = tls.VersionTLS12, []uint16{tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256}
	handshakes(t, ciphers, []string{"-C", dir, "-e", "localhost"}, "TLS", ExitTLS,
		"the server closed the TLS connection: it wants a certificate it knows (TLS: handshake failure)",
		"  or the two have no cipher suite in common; the server's log says more")
}

func TestSymptom12Port443WithoutTheProtocol(t *testing.T) {
	ours, dir := certificates(t)
	config := serverCertificate(t, ours, func(*x509.Certificate) {})
	for _, protocols := range [][]string{{"mqtt"}, {"http/1.1"}, nil} { // the last does not know ALPN at all
		config.NextProtos = protocols
		handshakes(t, config, []string{"-C", dir, "-e", awsHost + ":443"}, "TLS", ExitTLS,
			"the server at "+awsHost+":443 does not speak the protocol x-amzn-mqtt-ca (ALPN)",
			"  on port 443 that is how AWS IoT knows MQTT; is the endpoint right, and does a proxy stand in between?",
			"  port 8883 needs no ALPN")
	}
	inCloud(t, aws.Config{}, func(t *testing.T, c *cloud) { // on another port, by the option
		start(t, Publisher, to(c.DialALPN), nil, c.args("-e", awsHost+":8443", "-m", "x")...).ended(ExitTLS)
		time.Sleep(2 * time.Second)
		start(t, Publisher, to(c.DialALPN), nil, c.args("-e", awsHost+":8443", "-m", "x", "--alpn")...).ended(ExitDone)
		time.Sleep(2 * time.Second)
		start(t, Publisher, to(c.DialALPN), nil, c.args("-e", awsHost+":8443", "-m", "x", "--alpn", "--check")...).ended(ExitDone)
	})
	inCloud(t, aws.Config{}, func(t *testing.T, c *cloud) { // and with it all is well
		start(t, Publisher, to(c.DialALPN), nil, c.args("-e", awsHost+":443", "-m", "x")...).ended(ExitDone)
	})
}

func TestSymptom13And14FilesThatAreNotWhatTheyShouldBe(t *testing.T) {
	ours, dir := certificates(t)
	other, _ := certificates(t)
	pair, err := tls.X509KeyPair(ours.Device, ours.DeviceKey)
	if err != nil {
		t.Fatal(err)
	}
	public, err := x509.MarshalPKIXPublicKey(pair.Leaf.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	der := func(b []byte) []byte { block, _ := pem.Decode(b); return block.Bytes }
	encrypted := pem.EncodeToMemory(&pem.Block{Type: "ENCRYPTED PRIVATE KEY", Bytes: []byte("secret")})
	pfx := append([]byte{0x30, 0x82, 0x01, 0x00, 2, 1, 3}, make([]byte, 249)...)
	key, certificate := filepath.Join(dir, "private.key"), filepath.Join(dir, "cert.pem")
	config := serverCertificate(t, ours, func(*x509.Certificate) {})
	for _, row := range []struct {
		what, file string
		content    []byte
		lines      []string
	}{
		{"key of another certificate", key, other.DeviceKey, []string{": this private key does not belong to the certificate in " + certificate, "  take the two that were made together"}},
		{"public key", key, pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: public}), []string{": a public key, want the private one", "  AWS names it id-private.pem.key"}},
		{"certificate as key", key, ours.Device, []string{": a certificate, want the private key", "  are the files of key and certificate swapped?"}},
		{"key as certificate", certificate, ours.DeviceKey, []string{": a private key, want the certificate", "  are the files of key and certificate swapped?"}},
		{"DER key", key, der(ours.DeviceKey), []string{": a private key in DER form, want PEM", "  convert it: openssl pkey -inform DER -in OLD -out NEW"}},
		{"DER certificate", certificate, der(ours.Device), []string{": a certificate in DER form, want PEM", "  convert it: openssl x509 -inform DER -in OLD -out NEW"}},
		{"encrypted key", key, encrypted, []string{": the private key is encrypted, want it without a password", "  convert it: openssl pkey -in OLD -out NEW, and chmod 600 NEW"}},
		{"PKCS #12", key, pfx, []string{": PKCS #12 (.p12, .pfx), want PEM", "  convert it: openssl pkcs12 -nodes -in OLD -out NEW"}},
	} {
		t.Run(row.what, func(t *testing.T) {
			good, err := os.ReadFile(row.file)
			if err != nil {
				t.Fatal(err)
			}
			defer os.WriteFile(row.file, good, 0o600)
			if err := os.WriteFile(row.file, row.content, 0o600); err != nil {
				t.Fatal(err)
			}
			handshakes(t, config, []string{"-C", dir, "-e", awsHost}, "certificate", ExitTLS, append([]string{row.file + row.lines[0]}, row.lines[1:]...)...)
		})
	}
}

func TestSymptom16AddressesThatAreNoHost(t *testing.T) {
	for endpoint, want := range map[string]string{
		"https://" + awsHost + "/mqtt": `a web address, want the host name alone; try "` + awsHost + `"`,
		awsHost + ":":                  "no port behind the colon, want 1 to 65535",
		awsHost + "/":                  `"/" behind the host, want host or host:port; try "` + awsHost + `"`,
	} {
		for _, program := range programs {
			run(t, program.main, refused, nil, append(program.args, "-e", endpoint)...).ended(ExitUsage,
				fmt.Sprintf("%s: endpoint %q: %s (%[1]s --help lists the options)", program.name, endpoint, want))
		}
	}
	_, dir := certificates(t)
	unknown := &net.DNSError{Err: "no such host", Name: awsHost, IsNotFound: true}
	lines := []string{"no such host: " + awsHost, "  is the endpoint spelled right, and is this machine online?",
		"  next: aws iot describe-endpoint --endpoint-type iot:Data-ATS --region us-east-1"}
	dial := func(context.Context, string, string) (net.Conn, error) {
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: unknown}
	}
	for _, program := range programs {
		args := append(program.args, "-e", awsHost, "-C", dir)
		run(t, program.main, dial, nil, args...).ended(ExitNetwork, append([]string{program.name + ": " + lines[0]}, lines[1:]...)...)
		r := run(t, program.main, dial, func(p *Process) {
			p.lookup = func(context.Context, string) ([]string, error) { return nil, unknown }
		}, append(args, "--check")...)
		if want := "FAIL  DNS             " + lines[0] + "\n    " + lines[1] + "\n    " + lines[2] + "\n"; r.exit != ExitNetwork || !strings.HasSuffix(r.stdout.String(), want) {
			t.Errorf("exit code %d: --check printed\n%s\nwant at its end\n%s", r.exit, r.stdout.String(), want)
		}
	}
}

func TestSymptom17AFirewallThatBlocksPort8883(t *testing.T) {
	inCloud(t, aws.Config{}, func(t *testing.T, c *cloud) {
		for _, program := range programs {
			network := dialTo(map[string]func(context.Context) (net.Conn, error){"443": c.DialALPN})
			r := start(t, program.main, network, nil, c.args(program.args...)...)
			r.ended(ExitNetwork, program.name+": no answer from "+awsHost+":8883 in time",
				"  a firewall may block port 8883; AWS IoT listens on port 443 too: endpoint "+awsHost+":443")
			r = start(t, program.main, network, nil, c.args(append(program.args, "--check")...)...)
			r.wait()
			c.compare(r.stdout.String(), []string{
				"FAIL  TCP 8883        no answer from " + awsHost + ":8883 in time",
				"      a firewall blocks port 8883: port 443 answers",
				"      next: the same with the endpoint " + awsHost + ":443"})
			began := time.Now()
			r = start(t, program.main, dialTo(nil), nil, c.args(append(program.args, "--check")...)...)
			r.wait()
			c.compare(r.stdout.String(), []string{
				"skip  TCP 443         no answer from " + awsHost + ":443 in time; not needed",
				"FAIL  TCP 8883        no answer from " + awsHost + ":8883 in time",
				"      a firewall may block port 8883; AWS IoT listens on port 443 too: endpoint " + awsHost + ":443"})
			if took := time.Since(began); took > 11*time.Second || r.exit != ExitNetwork {
				t.Errorf("exit code %d after %v", r.exit, took)
			}
		}
	})
}

func TestSymptom18NobodyListens(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	_, port, _ := net.SplitHostPort(address)
	l.Close()
	for _, program := range programs {
		r := run(t, program.main, nil, nil, append(program.args, "-e", "mqtt://"+address)...)
		r.ended(ExitNetwork, program.name+": connection refused by "+address, "  is the server running, and is the port right?")
		r = run(t, program.main, nil, nil, append(program.args, "-e", "mqtt://"+address, "--check")...)
		name := "TCP " + port
		want := "skip  DNS             127.0.0.1 is an address\nFAIL  " + name + strings.Repeat(" ", 16-len(name)) + "connection refused by " + address +
			"\n      is the server running, and is the port right?\n"
		if r.exit != ExitNetwork || !strings.HasSuffix(r.stdout.String(), want) {
			t.Errorf("exit code %d: --check printed\n%s\nwant at its end\n%s", r.exit, r.stdout.String(), want)
		}
	}
}

func TestSymptom19NoPingresp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := run(t, Subscriber, afterConnect(packet.PINGREQ, ignore), nil, "--no-reconnect")
		r.ended(ExitLost, "subscriber: connection lost: timeout: keep alive: no PINGRESP in 10s",
			"  the network took the connection away without a word, as mobile networks and routers do with one that is idle; "+
				"a shorter keep alive finds out sooner, and may keep it open")
	})
}

func TestSymptom20NoPubackAndNoEnd(t *testing.T) {
	lines := []string{
		"  1. AWS IoT discards messages above 100 a second on a connection, and above the account's rate, without an acknowledgement; send fewer",
		"  2. the network is slow; the longest wait can be made longer",
	}
	inCloud(t, aws.Config{AckDelay: time.Minute}, func(t *testing.T, c *cloud) {
		r := c.start(Publisher, "-m", "x", "-n", "3")
		r.wait()
		c.compare(r.stderr.String(), append([]string{
			"publisher: 0 of 3 acknowledged, 1 sent but not acknowledged, 2 not sent: no acknowledgement for 10.0 s"}, lines...))
		if r.exit != ExitUnanswered {
			t.Errorf("exit code %d", r.exit)
		}
		r = c.start(Publisher, "-m", "x", "--check")
		r.wait()
		c.compare(r.stdout.String(), []string{"FAIL  PUBLISH         no acknowledgement of a message on test/commands for 10s", "    " + lines[0], "    " + lines[1]})
		if r.exit != ExitUnanswered {
			t.Errorf("exit code %d with --check", r.exit)
		}
	})
	inCloud(t, aws.Config{}, func(t *testing.T, c *cloud) { // the first cause: what AWS discards is sent again, and none is lost
		r := c.start(Publisher, "-m", "x", "-n", "150", "-i", "0", "--inflight", "150", "--quiet")
		r.ended(ExitDone)
	})
}

func TestSymptom21ASubscriptionThatIsRefused(t *testing.T) {
	inCloud(t, aws.Config{SubackOnDeny: true}, func(t *testing.T, c *cloud) {
		c.allow(mayConnect)
		c.reads(Subscriber, []string{"-t", "site/+"}, ExitRefused,
			"subscriber: site/+ refused by the server (SUBACK 0x80, MQTT 3.1.1 section 3.9.3)",
			"  1. no policy of the certificate allows iot:Subscribe on "+region+"topicfilter/site/+ (topicfilter/, not topic/)",
			"  2. the connection has more than 50 subscriptions",
			"  next: aws iot test-authorization --principal "+region+"cert/ID --client-id meter-7 "+
				"--auth-infos actionType=SUBSCRIBE,resources="+region+"topicfilter/site/+ --region us-east-1")
	})
	inCloud(t, aws.Config{}, func(t *testing.T, c *cloud) {
		var args []string
		for i := range 51 {
			args = append(args, "-t", fmt.Sprintf("site/%d", i))
		}
		r := c.start(Subscriber, args...)
		r.ended(ExitRefused)
		if want := "\n  2. the connection has more than 50 subscriptions\n"; !strings.Contains(r.stderr.String(), want) {
			t.Errorf("it said\n%s\nwant%s", r.stderr.String(), want)
		}
	})
}

// MQTT over WebSocket is not spoken here: there can be no HTTP 403, and the user reads at once what to do.
func TestSymptom22WebSocket(t *testing.T) {
	for _, program := range programs {
		run(t, program.main, refused, nil, append(program.args, "-e", "wss://"+awsHost+"/mqtt")...).ended(ExitUsage,
			fmt.Sprintf("%s: endpoint \"wss://%s/mqtt\": MQTT over WebSocket is not spoken here, want the host name alone; try %q (%[1]s --help lists the options)",
				program.name, awsHost, awsHost))
	}
}

func TestSymptom23AnEndSomeTimeAfterTheStart(t *testing.T) {
	inCloud(t, aws.Config{}, func(t *testing.T, c *cloud) {
		r := c.start(Subscriber, "--no-reconnect")
		time.Sleep(2 * time.Minute)
		c.allow(mayPublish, maySubscribe, mayReceive) // and no longer iot:Connect
		os.Chtimes(filepath.Join(c.dir, "policy.json"), time.Now(), time.Now())
		r.wait()
		c.compare(r.stderr.String(), []string{
			"subscriber: connection lost: the server closed it",
			"  1. AWS IoT ends a connection now and then, after minutes or weeks; to connect again is all there is to do",
			"  2. another client connected as meter-7, and the server keeps the newer one [MQTT-3.1.4-2]",
			"  3. a policy was edited, and no longer allows what the connection does",
			"  4. the certificate was deactivated or revoked"})
	})
}

// A message that the server hangs up on is sent three times, and not until somebody stops it.
func TestSymptom24AMessageIsNotSentForEver(t *testing.T) {
	var publishes atomic.Int32
	count := func(e testbroker.Event) {
		if e.Kind == testbroker.Received && e.Header.Type == packet.PUBLISH {
			publishes.Add(1)
		}
	}
	inCloud(t, aws.Config{Broker: testbroker.Config{Observe: count}}, func(t *testing.T, c *cloud) {
		c.allow(mayConnect)
		store := filepath.Join(t.TempDir(), "store")
		lines := make(slowLines)
		r := start(t, Publisher, to(c.DialTLS), stdin(lines), c.args("--persistent", "--store", store, "-t", "site/7", "-l")...)
		lines <- "one\n"
		time.Sleep(time.Hour)
		close(lines)
		r.ended(ExitUnanswered)
		if n := publishes.Load(); n != 3 {
			t.Errorf("it was sent %d times, want 3", n)
		}
		if want := "publisher: 0 acknowledged, 1 sent but not acknowledged, 0 not sent: the server hangs up on PUBLISH to site/7 each time"; !strings.Contains(r.stderr.String(), want) {
			t.Errorf("it said\n%s\nwant %s", r.stderr.String(), want)
		}
		c.allow(mayConnect, mayPublish) // and it is gone for good: what comes later is not held up
		time.Sleep(time.Minute)
		start(t, Publisher, to(c.DialTLS), nil, c.args("--persistent", "--store", store, "-t", "site/8", "-m", "two")...).ended(ExitDone)
		if n := publishes.Load(); n != 4 {
			t.Errorf("%d messages were sent, want 4", n)
		}
	})
}
