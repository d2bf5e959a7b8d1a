package cli

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"iotwire/internal/testbroker"
	"iotwire/internal/testbroker/aws"
	"iotwire/mqtt/packet"
)

// What users of AWS IoT Core trip over, made to happen, and what they read then. The numbers in the names of the tests
// count the symptoms.

const awsHost = "a1b2c3-ats.iot.us-east-1.amazonaws.com"

// cloud is AWS IoT Core as package aws plays it, under a name of AWS.
type cloud struct {
	*aws.Core
	t   *testing.T
	dir string // registry, and certificates of the device
	id  string // of the device's certificate
}

// inCloud runs a test in a bubble.
func inCloud(t *testing.T, config aws.Config, test func(*testing.T, *cloud)) {
	t.Helper()
	config.Dir = t.TempDir()
	config.Hosts = append(config.Hosts, awsHost)
	synctest.Test(t, func(t *testing.T) {
		core, err := aws.New(config)
		if err != nil {
			t.Fatal(err)
		}
		defer core.Close()
		c := &cloud{core, t, config.Dir, certificateID(t, core.Certificates.Device)}
		c.allow(mayConnect, mayPublish, maySubscribe, mayReceive)
		test(t, c)
	})
}

const (
	mayConnect   = `{"Effect":"Allow","Action":"iot:Connect","Resource":"*"}`
	mayPublish   = `{"Effect":"Allow","Action":"iot:Publish","Resource":"*"}`
	maySubscribe = `{"Effect":"Allow","Action":"iot:Subscribe","Resource":"*"}`
	mayReceive   = `{"Effect":"Allow","Action":"iot:Receive","Resource":"*"}`
)

// allow makes these statements the policy.
func (c *cloud) allow(statements ...string) {
	c.write("policy.json", `{"Version":"2012-10-17","Statement":[`+strings.Join(statements, ",")+`]}`)
}

func (c *cloud) write(name, text string) {
	c.t.Helper()
	if err := os.WriteFile(filepath.Join(c.dir, name), []byte(text), 0o600); err != nil {
		c.t.Fatal(err)
	}
}

// args are those of a program in this cloud.
func (c *cloud) args(args ...string) []string {
	return append([]string{"-e", awsHost, "-C", c.dir, "--client-id", "meter-7"}, args...)
}

func (c *cloud) start(main func(*Process) ExitCode, args ...string) *trial {
	return start(c.t, main, to(c.DialTLS), nil, c.args(args...)...)
}

// reads runs a program that fails, and compares what the user reads at the end. Then it does the same with --check, which
// has to say the same behind the first line. The certificate's identifier stands as ID, and its directory as certs.
func (c *cloud) reads(main func(*Process) ExitCode, args []string, code ExitCode, lines ...string) {
	c.t.Helper()
	r := c.start(main, args...)
	r.wait()
	if r.exit != code {
		c.t.Errorf("exit code %d, want %d", r.exit, code)
	}
	c.compare(r.stderr.String(), lines)

	time.Sleep(time.Second) // AWS lets a client connect once a second
	r = c.start(main, append(args, "--check")...)
	r.wait()
	if r.exit != code {
		c.t.Errorf("exit code %d with --check, want %d", r.exit, code)
	}
	report := strings.ReplaceAll(c.plain(r.stdout.String()), "\n      ", "\n  ")
	c.compare(report[strings.Index(report, "\nFAIL")+1:], append([]string{""}, lines[1:]...))
	if strings.Count(report, "\nFAIL") != 1 {
		c.t.Errorf("the report is\n%s", report)
	}
}

// plain replaces what differs each time.
func (c *cloud) plain(s string) string {
	return strings.ReplaceAll(strings.ReplaceAll(s, c.id, "ID"), c.dir, "certs")
}

// compare compares the last lines of what was said. An empty line matches any.
func (c *cloud) compare(said string, want []string) {
	c.t.Helper()
	lines := strings.Split(strings.TrimSuffix(c.plain(said), "\n"), "\n")
	got := append([]string(nil), lines[max(0, len(lines)-len(want)):]...)
	if want[0] == "" && len(got) == len(want) {
		got[0] = ""
	}
	if diff := cmp.Diff(want, got); diff != "" {
		c.t.Errorf("the last lines (-want +got):\n%s\nof\n%s", diff, said)
	}
}

const region = "arn:aws:iot:us-east-1:ACCOUNT:"

var connectRefused = []string{
	"  1. no policy of the certificate allows iot:Connect on " + region + "client/meter-7 (one that names the thing needs the thing's name as client id)",
	"  2. the certificate ID is not ACTIVE, or not registered in us-east-1",
	"  3. this client id connected less than a second ago, or the account connects too often",
	"  next: aws iot test-authorization --principal " + region + "cert/ID --client-id meter-7 " +
		"--auth-infos actionType=CONNECT,resources=" + region + "client/meter-7 --region us-east-1",
	"  next: aws iot describe-certificate --certificate-id ID --region us-east-1",
}

func TestSymptom1HangUpInPlaceOfConnack(t *testing.T) {
	for name, arrange := range map[string]func(*cloud){
		"not allowed": func(c *cloud) { c.allow(mayPublish, maySubscribe, mayReceive) },
		"allowed for another": func(c *cloud) {
			c.allow(strings.ReplaceAll(mayConnect, "*", "arn:aws:iot:us-east-1:123456789012:client/meter-8"))
		},
		"only with its thing": func(c *cloud) {
			c.allow(strings.ReplaceAll(mayConnect, "*", "arn:aws:iot:us-east-1:123456789012:client/${iot:Connection.Thing.ThingName}"))
		},
		"certificate INACTIVE":      func(c *cloud) { c.write("thing.json", `{"status":"INACTIVE"}`) },
		"certificate REVOKED":       func(c *cloud) { c.write("thing.json", `{"status":"REVOKED"}`) },
		"certificate of another CA": func(c *cloud) { c.stranger() },
	} {
		t.Run(name, func(t *testing.T) {
			for _, program := range programs {
				inCloud(t, aws.Config{}, func(t *testing.T, c *cloud) {
					arrange(c)
					c.reads(program.main, program.args, ExitHungUp,
						append([]string{program.name + ": the server hung up after CONNECT without a CONNACK [MQTT-3.2.2-6]"}, connectRefused...)...)
				})
			}
		})
	}
	inCloud(t, aws.Config{}, func(t *testing.T, c *cloud) { // the third cause, which passes by itself
		c.start(Publisher, "-m", "x").ended(ExitDone)
		c.start(Publisher, "-m", "x").ended(ExitHungUp)
		time.Sleep(time.Second)
		c.start(Publisher, "-m", "x").ended(ExitDone)
	})
	inCloud(t, aws.Config{Explain: true}, func(t *testing.T, c *cloud) { // a server that says it with a CONNACK
		c.allow(mayPublish)
		c.reads(Publisher, []string{"-m", "x"}, ExitConnack+5,
			append([]string{"publisher: refused: not authorized (CONNACK 5, MQTT 3.1.1 section 3.2.2.3)"}, connectRefused...)...)
	})
}

// stranger makes the device's certificate one that the registry does not know.
func (c *cloud) stranger() {
	other, err := testbroker.NewCertificates()
	if err != nil {
		c.t.Fatal(err)
	}
	dir := c.t.TempDir()
	for name, content := range map[string][]byte{"AmazonRootCA1.pem": c.Certificates.CA, "cert.pem": other.Device, "private.key": other.DeviceKey} {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			c.t.Fatal(err)
		}
	}
	c.dir, c.id = dir, certificateID(c.t, other.Device)
}

func TestSymptom2HangUpOnSubscribe(t *testing.T) {
	for _, row := range []struct {
		policy, args string
		causes       []string
	}{
		{mayReceive, "-t site/+/temp", []string{
			"  no policy of the certificate allows iot:Subscribe on " + region + "topicfilter/site/+/temp (topicfilter/, not topic/)"}},
		{`{"Effect":"Allow","Action":"iot:Subscribe","Resource":"arn:aws:iot:us-east-1:123456789012:topicfilter/b"}`, "-t a -t b", []string{
			"  no policy of the certificate allows iot:Subscribe on " + region + "topicfilter/a, " + region + "topicfilter/b (topicfilter/, not topic/)"}},
		{maySubscribe, "-t $aws/nonsense", []string{
			"  1. no policy of the certificate allows iot:Subscribe on " + region + "topicfilter/$aws/nonsense (topicfilter/, not topic/)",
			"  2. $aws/nonsense is not among the topics of $aws/ that may be subscribed to"}},
	} {
		inCloud(t, aws.Config{}, func(t *testing.T, c *cloud) {
			c.allow(mayConnect, row.policy)
			filters := strings.Fields(strings.ReplaceAll(row.args, "-t ", ""))
			var arns []string
			for _, f := range filters {
				arns = append(arns, region+"topicfilter/"+f)
			}
			infos := "actionType=SUBSCRIBE,resources=" + strings.Join(arns, ",")
			if strings.Contains(infos, "$") {
				infos = "'" + infos + "'"
			}
			lines := append([]string{"subscriber: connection lost: the server closed it after SUBSCRIBE to " + strings.Join(filters, ", ")}, row.causes...)
			c.reads(Subscriber, strings.Fields(row.args), ExitLost, append(lines,
				"  next: aws iot test-authorization --principal "+region+"cert/ID --client-id meter-7 --auth-infos "+infos+" --region us-east-1")...)
		})
	}
}

// sharedID is the reason that stands behind others when connections end again and again.
const sharedID = "another client has the client id meter-7, too (a second process, a copy of the configuration on another device), " +
	"and each takes the connection from the other, again and again [MQTT-3.1.4-2]; each needs an id of its own"

func TestSymptom3HangUpOnPublish(t *testing.T) {
	const next = "  next: aws iot test-authorization --principal " + region + "cert/ID --client-id meter-7 " +
		"--auth-infos actionType=PUBLISH,resources=" + region + "topic/site/7 --region us-east-1"
	inCloud(t, aws.Config{}, func(t *testing.T, c *cloud) {
		c.allow(mayConnect)
		r := c.start(Publisher, "-t", "site/7", "-m", "x", "-n", "3")
		r.wait()
		c.compare(r.stderr.String(), []string{
			"publisher: 0 of 3 acknowledged, 1 sent but not acknowledged, 2 not sent: the server hangs up on PUBLISH to site/7 each time; this message is not sent again",
			"  1. no policy of the certificate allows iot:Publish on " + region + "topic/site/7", "  2. " + sharedID, next})
		if r.exit != ExitUnanswered {
			t.Errorf("exit code %d", r.exit)
		}
		attempts := strings.Split(r.stderr.String(), "; reconnecting in ")[1:] // the last one is never made
		for i, attempt := range attempts {
			line, _, _ := strings.Cut(attempt, "\n")
			if last := i == len(attempts)-1; strings.HasSuffix(line, " unless the message is given up") != last {
				t.Errorf("loss %d of %d: reconnecting in %s", i+1, len(attempts), line)
			}
		}
		if len(attempts) != 3 {
			t.Errorf("%d losses, want 3:\n%s", len(attempts), r.stderr.String())
		}
		time.Sleep(time.Second)
		r = c.start(Publisher, "-t", "site/7", "-m", "x", "--check")
		r.wait()
		c.compare(r.stdout.String(), []string{
			"FAIL  PUBLISH         connection lost: the server closed it after PUBLISH to site/7",
			"      no policy of the certificate allows iot:Publish on " + region + "topic/site/7",
			"    " + next})
		if r.exit != ExitUnanswered {
			t.Errorf("exit code %d with --check", r.exit)
		}
	})
	inCloud(t, aws.Config{}, func(t *testing.T, c *cloud) { // retained, which needs a permission of its own
		c.allow(mayConnect, mayPublish)
		r := c.start(Publisher, "-t", "site/7", "-m", "x", "-r")
		r.wait()
		c.compare(r.stderr.String(), []string{
			"  1. no policy of the certificate allows iot:Publish on " + region + "topic/site/7",
			"  2. no policy allows iot:RetainPublish on " + region + "topic/site/7, which a retained message needs as well", "  3. " + sharedID, next})
	})
	inCloud(t, aws.Config{}, func(t *testing.T, c *cloud) { // many in flight: the server hangs up on the first
		c.allow(mayConnect)
		r := c.start(Publisher, "-t", "site/7", "-m", "x", "-n", "50", "-i", "0", "--inflight", "20")
		r.wait()
		c.compare(r.stderr.String(), []string{
			"  1. no policy of the certificate allows iot:Publish on " + region + "topic/site/7", "  2. " + sharedID, next})
		if r.exit != ExitUnanswered {
			t.Errorf("exit code %d", r.exit)
		}
	})
	inCloud(t, aws.Config{}, func(t *testing.T, c *cloud) { // QoS 0 is never acknowledged: it is said while it happens, once
		c.allow(mayConnect)
		r := c.start(Publisher, "-t", "site/7", "-m", "x", "-q", "0", "-n", "3", "-i", "5")
		r.ended(ExitDone)
		why := "\n  no policy of the certificate allows iot:Publish on " + region + "topic/site/7\n" + next + "\n"
		if n := strings.Count(c.plain(r.stderr.String()), why); n != 1 {
			t.Errorf("it said so %d times:\n%s", n, r.stderr.String())
		}
	})
	for args, want := range map[string]string{ // limits are found before anything is sent
		"-t a/b/c/d/e/f/g/h/i":              `topic "a/b/c/d/e/f/g/h/i" has 8 slashes, want at most 7`,
		"-q 2":                              "QoS 2, want 0 or 1",
		"-t " + strings.Repeat("x", 257):    "has 257 bytes, want at most 256",
		"-t $nonsense":                      "names that start with '$' are reserved",
		"-m " + strings.Repeat("x", 131073): "payload of 131073 bytes, want at most 131072",
	} {
		r := run(t, Publisher, nil, nil, append([]string{"-e", awsHost, "-m", "x"}, strings.Fields(args)...)...)
		if r.exit != ExitUsage || !strings.Contains(r.stderr.String(), want) {
			t.Errorf("exit code %d: %s, want %q in it", r.exit, r.stderr.String(), want)
		}
	}
}

func TestSymptom4SubscribedAndNothingComes(t *testing.T) {
	inCloud(t, aws.Config{}, func(t *testing.T, c *cloud) {
		c.allow(mayConnect, mayPublish, maySubscribe) // and not iot:Receive
		r := c.start(Subscriber, "-t", "site/#", "-n", "1", "-W", "30")
		time.Sleep(time.Second)
		c.start(Publisher, "-t", "site/7", "-m", "x", "--client-id", "other").ended(ExitDone)
		r.wait()
		c.compare(r.stderr.String(), []string{
			"received 0 messages (0 bytes) in 30.0 s",
			"subscriber: 0 of 1 messages came in 30.0 s",
			"  1. nobody has published to it, in this region (us-east-1) and account",
			"  2. no policy of the certificate allows iot:Receive on " + region + "topic/site/*",
			"  3. a filter with a wildcard gets no retained messages: site/#",
			"  4. AWS IoT does not match site/# with site itself, as the standard does",
			"  5. a message of QoS 0, or one that was sent while a clean session was away, is not kept",
			"  next: aws iot test-authorization --principal " + region + "cert/ID --client-id meter-7 " +
				"--auth-infos 'actionType=RECEIVE,resources=" + region + "topic/site/*' --region us-east-1"})
		if r.exit != ExitTooFew {
			t.Errorf("exit code %d", r.exit)
		}
	})
}

func TestSymptom5TwoClientsOfOneIdentifier(t *testing.T) {
	inCloud(t, aws.Config{}, func(t *testing.T, c *cloud) {
		one := c.start(Subscriber)
		time.Sleep(2 * time.Second) // AWS lets a client identifier connect once a second
		two := c.start(Subscriber)
		time.Sleep(2 * time.Minute)
		for _, r := range []*trial{one, two} {
			r.signals <- os.Interrupt
			r.wait()
		}
		const why = "\n  " + sharedID + "\n"
		if !strings.Contains(one.stderr.String()+two.stderr.String(), why) {
			t.Errorf("one said\n%s\nand the other\n%s", one.stderr.String(), two.stderr.String())
		}
	})
}

func TestSymptom6ConnectionsThatAreForgottenWhenIdle(t *testing.T) {
	const advice = ", and routers and load balancers forget such a connection; use a keep alive of 30 s to 60 s"
	inCloud(t, aws.Config{}, func(t *testing.T, c *cloud) { // 0 counts as 1200 s, and AWS waits for 1.5 times that
		r := c.start(Subscriber, "-k", "0", "--no-reconnect")
		r.wait()
		c.compare(r.stderr.String(), []string{
			"received 0 messages (0 bytes) in 30m0s",
			"subscriber: connection lost: the server closed it",
			"  no packet went either way for 30m0s" + advice})
	})
	synctest.Test(t, func(t *testing.T) { // a load balancer
		r := run(t, Subscriber, afterConnect(packet.SUBSCRIBE, func(p *peer, h packet.Header, body []byte) bool {
			p.obey(h, body)
			time.Sleep(55 * time.Second)
			return false
		}), nil, "-k", "600", "--no-reconnect")
		r.ended(ExitLost, "received 0 messages (0 bytes) in 55.0 s", "subscriber: connection lost: the server closed it",
			"  no packet went either way for 55s"+advice)
	})
}

// serverCertificate is that of a server of AWS, as change makes it, signed by the CA of ours.
func serverCertificate(t *testing.T, ours *testbroker.Certificates, change func(*x509.Certificate)) *tls.Config {
	t.Helper()
	ca, err := tls.X509KeyPair(ours.CA, ours.CAKey)
	if err != nil {
		t.Fatal(err)
	}
	config, err := ours.ServerConfig()
	if err != nil {
		t.Fatal(err)
	}
	key := config.Certificates[0].PrivateKey
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		Subject:      pkix.Name{CommonName: "server"},
		DNSNames:     []string{awsHost},
		NotBefore:    time.Date(1999, 1, 1, 0, 0, 0, 0, time.UTC),
		NotAfter:     time.Date(2049, 1, 1, 0, 0, 0, 0, time.UTC),
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	change(template)
	der, err := x509.CreateCertificate(rand.Reader, template, ca.Leaf, config.Certificates[0].Leaf.PublicKey, ca.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	config.Certificates = []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}
	return config
}

// handshakes runs both programs, with --check too, against a server that speaks TLS in this way.
func handshakes(t *testing.T, config *tls.Config, args []string, step string, code ExitCode, lines ...string) {
	t.Helper()
	for _, program := range programs {
		synctest.Test(t, func(t *testing.T) {
			b := testbroker.New(testbroker.Config{TLS: config})
			defer b.Close()
			args := append(append(program.args, "--quiet"), args...)
			r := run(t, program.main, to(b.DialTLS), nil, args...)
			r.ended(code, append([]string{program.name + ": " + lines[0]}, lines[1:]...)...)
			r = run(t, program.main, to(b.DialTLS), nil, append(args, "--check")...)
			want := "FAIL  " + step + strings.Repeat(" ", 16-len(step)) + lines[0] + "\n"
			for _, line := range lines[1:] {
				want += "    " + line + "\n"
			}
			if r.exit != code || !strings.HasSuffix(r.stdout.String(), want) {
				t.Errorf("exit code %d, want %d: --check printed\n%s\nwant at its end\n%s", r.exit, code, r.stdout.String(), want)
			}
		})
	}
}

func TestSymptom7ServersThatAnotherCASigned(t *testing.T) {
	ours, dir := certificates(t)
	_, strangers := certificates(t)
	config := serverCertificate(t, ours, func(c *x509.Certificate) {
		c.DNSNames = []string{awsHost, "a1b2c3.iot.us-east-1.amazonaws.com", "broker.example"}
	})
	ca := filepath.Join(strangers, "AmazonRootCA1.pem")
	first := []string{"the server's certificate is not signed by " + ca, `  it is signed by "testbroker CA"`}
	handshakes(t, config, []string{"-C", dir, "--ca", ca, "-e", awsHost}, "TLS", ExitTLS, append(first,
		"  1. it is the wrong CA file: AWS's is https://www.amazontrust.com/repository/AmazonRootCA1.pem",
		"  2. a proxy on the way reads TLS, and shows a certificate of its own")...)
	handshakes(t, config, []string{"-C", dir, "--ca", ca, "-e", "a1b2c3.iot.us-east-1.amazonaws.com"}, "TLS", ExitTLS, append(first,
		"  this endpoint lacks -ats: it is of the old kind, whose CA is another",
		"  next: aws iot describe-endpoint --endpoint-type iot:Data-ATS --region us-east-1")...)
	handshakes(t, config, []string{"-C", dir, "--ca", ca, "-e", "broker.example"}, "TLS", ExitTLS, append(first,
		"  give the CA certificate that the server's was signed with")...)
}

func TestSymptom8ServersOfAnotherName(t *testing.T) {
	ours, dir := certificates(t)
	config := serverCertificate(t, ours, func(c *x509.Certificate) { c.DNSNames = []string{"*.iot.us-east-1.amazonaws.com"} })
	for _, host := range []string{"a1b2c3-ats.iot.eu-west-1.amazonaws.com", "192.0.2.1", "iot.example.com"} {
		names := `  it is for "*.iot.us-east-1.amazonaws.com"`
		handshakes(t, config, []string{"-C", dir, "-e", host}, "TLS", ExitTLS, "the server's certificate is not for "+host, names,
			"  use the name of the server as endpoint, in the right region")
	}
}

func TestSymptom9AClockThatIsNotSet(t *testing.T) {
	ours, dir := certificates(t)
	config := serverCertificate(t, ours, func(c *x509.Certificate) { c.NotBefore = time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC) })
	handshakes(t, config, []string{"-C", dir, "-e", awsHost}, "TLS", ExitTLS,
		"the server's certificate is not valid before 2024-01-01 00:00:00 UTC, and the clock says 2000-01-01 00:00:00 UTC",
		"  is the clock set? run ntpd -q, or date -s; --wait-for-clock waits until it is")
	synctest.Test(t, func(t *testing.T) {
		b := testbroker.New(testbroker.Config{TLS: config})
		defer b.Close()
		r := run(t, Publisher, to(b.DialTLS), nil, "-C", dir, "-e", awsHost, "--check")
		if want := "\nwarn  clock           2000-01-01 00:00:00 UTC: is the clock set? run ntpd -q, or date -s; --wait-for-clock waits until it is\n"; !strings.Contains(r.stdout.String(), want) {
			t.Errorf("the report is\n%s, want%s", r.stdout.String(), want)
		}
	})
	expired := serverCertificate(t, ours, func(c *x509.Certificate) { c.NotAfter = time.Date(1999, 12, 1, 0, 0, 0, 0, time.UTC) })
	handshakes(t, expired, []string{"-C", dir, "-e", awsHost}, "TLS", ExitTLS,
		"the server's certificate expired on 1999-12-01 00:00:00 UTC, and the clock says 2000-01-01 00:00:00 UTC",
		"  set the clock if it is wrong; otherwise the server needs a new certificate")
}

// dialTo is a network with one server on each port.
func dialTo(ports map[string]func(context.Context) (net.Conn, error)) dial {
	return func(ctx context.Context, _, address string) (net.Conn, error) {
		_, port, _ := net.SplitHostPort(address)
		if dial := ports[port]; dial != nil {
			return dial(ctx)
		}
		<-ctx.Done() // a firewall answers nothing
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: ctx.Err()}
	}
}

func certificateID(t *testing.T, certificate []byte) string {
	t.Helper()
	block, _ := pem.Decode(certificate)
	if block == nil {
		t.Fatal("no certificate")
	}
	return sha256Hex(block.Bytes)
}
