package peers

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"iotwire/mqtt"
)

// TestMosquittoClientsWithBroker has mosquitto_pub and mosquitto_sub use our broker, and mosquitto, which shows what is
// their own doing.
func TestMosquittoClientsWithBroker(t *testing.T) {
	scenarios := []scenario{
		{"wildcards", mosquittoWildcards},
		{"no-will-after-disconnect", mosquittoNoWill},
		{"shared-subscription", mosquittoSharedSubscription},
		{"refused-subscription", mosquittoRefusedSubscription},
		{"password", mosquittoPassword},
		{"certificate", mosquittoCertificate},
	}
	for qos := range qosEnd {
		add := func(name string, run func(*testing.T, *broker, mqtt.QoS)) {
			scenarios = append(scenarios, scenario{fmt.Sprintf("qos%d%s", qos, name), func(t *testing.T, b *broker) { run(t, b, qos) }})
		}
		add("", mosquittoQoS)
		add("-large-retained", mosquittoLargeRetained)
		add("-will", mosquittoWill)
		add("-many", mosquittoMany)
		if qos > 0 {
			add("-session", mosquittoSession)
		}
	}
	eachBroker(t, []brokerKind{iotwire, mosquitto}, func(t *testing.T, kind brokerKind, c *certificates) {
		findProgram(t, "mosquitto_pub")
		b := kind.run(t, setup{certificates: c})
		for _, s := range scenarios {
			t.Run(s.name, func(t *testing.T) { s.run(t, b) })
		}
	})
}

// mosquittoCommand is mosquitto_pub or mosquitto_sub for this broker.
func (b *broker) mosquittoCommand(t *testing.T, program string, args ...string) *exec.Cmd {
	t.Helper()
	host, port, err := net.SplitHostPort(b.address)
	if err != nil {
		t.Fatal(err)
	}
	common := []string{"-h", host, "-p", port, "-V", "mqttv311"}
	if c := b.setup.certificates; c != nil {
		common = append(common, "--cafile", c.file("AmazonRootCA1.pem"), "--cert", c.file("cert.pem"), "--key", c.file("private.key"))
	}
	return exec.Command(findProgram(t, program), append(common, args...)...)
}

// mosquittoPub runs mosquitto_pub, which has to succeed.
func (b *broker) mosquittoPub(t *testing.T, stdin io.Reader, args ...string) {
	t.Helper()
	cmd := b.mosquittoCommand(t, "mosquitto_pub", args...)
	out := newJournal(t, "mosquitto_pub")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = stdin, out, out
	if code := startProcess(t, cmd).wait(t); code != 0 {
		t.Fatalf("mosquitto_pub %q: exit code %d", args, code)
	}
}

// mosquittoSub is a mosquitto_sub that runs.
type mosquittoSub struct {
	*process
	*inbox
}

// mosquittoSub starts mosquitto_sub and waits until it has subscribed.
func (b *broker) mosquittoSub(t *testing.T, args ...string) mosquittoSub {
	t.Helper()
	const prefix = "message: "
	in := &inbox{t: t, filter: "mosquitto_sub", messages: make(chan mqtt.Message, 100_000)}
	out := newJournal(t, "mosquitto_sub")
	subscribed, once := make(chan struct{}), sync.Once{}
	cmd := b.mosquittoCommand(t, "mosquitto_sub", append(args, "-d", "-F", prefix+"%q %r %t %x")...)
	cmd.Args = append([]string{"stdbuf", "-oL"}, cmd.Args...) // by lines, where it would write blocks to a pipe
	cmd.Path = findProgram(t, "stdbuf")
	cmd.Stderr = out
	cmd.Stdout = &lines{line: func(line string) {
		fmt.Fprintln(out, line)
		if strings.HasPrefix(line, "Subscribed ") {
			once.Do(func() { close(subscribed) })
		}
		if line, ok := strings.CutPrefix(line, prefix); ok {
			in.messages <- parseMosquitto(t, line)
		}
	}}
	p := startProcess(t, cmd)
	select {
	case <-subscribed:
	case <-p.ended:
		t.Fatalf("mosquitto_sub %q ended: %v", args, p.err)
	case <-time.After(patience):
		t.Fatalf("mosquitto_sub %q has no SUBACK", args)
	}
	return mosquittoSub{p, in}
}

// parseMosquitto reads a message as mosquittoSub has it written.
func parseMosquitto(t *testing.T, line string) mqtt.Message {
	var m mqtt.Message
	var retain int
	var payload string
	if n, err := fmt.Sscanf(line+" ", "%d %d %s %s", &m.QoS, &retain, &m.Topic, &payload); n < 3 {
		t.Errorf("mosquitto_sub said %q: %v", line, err)
	}
	m.Retain = retain == 1
	m.Payload, _ = hex.DecodeString(payload)
	return m
}

func mosquittoQoS(t *testing.T, b *broker, qos mqtt.QoS) {
	topic := fresh("mosquitto/")
	to := b.mosquittoSub(t, "-t", topic, "-q", fmt.Sprint(qos))
	for _, payload := range []string{"hello", "", "ü€😀"} {
		b.mosquittoPub(t, nil, "-t", topic, "-q", fmt.Sprint(qos), "-m", payload)
		to.want(mqtt.Message{Topic: topic, Payload: []byte(payload), QoS: qos})
	}
}

// mosquittoLargeRetained publishes large payloads, which are retained, and gets them as they are.
func mosquittoLargeRetained(t *testing.T, b *broker, qos mqtt.QoS) {
	topic := fresh("mosquitto/")
	for _, size := range []int{128 << 10, 1 << 20} {
		payload := make([]byte, size)
		rand.NewChaCha8([32]byte{}).Read(payload)
		file := filepath.Join(t.TempDir(), "payload")
		if err := os.WriteFile(file, payload, 0o600); err != nil {
			t.Fatal(err)
		}
		b.mosquittoPub(t, nil, "-t", topic, "-q", fmt.Sprint(qos), "-r", "-f", file)
		if qos == 0 { // mosquitto_pub does not wait for the broker
			settled := b.mosquittoSub(t, "-t", topic, "-C", "1")
			settled.next()
		}
		if code, got := b.mosquittoPayload(t, "-t", topic, "-q", fmt.Sprint(qos), "--retained-only"); code != 0 || !bytes.Equal(got, payload) {
			t.Errorf("mosquitto_sub ended with %d and got %d bytes (sum %x), want %d (sum %x)", code, len(got), sum(got), size, sum(payload))
		}
	}
	b.mosquittoPub(t, nil, "-t", topic, "-q", "1", "-r", "-n") // deleted
	if code, got := b.mosquittoPayload(t, "-t", topic, "--retained-only", "-W", "1"); len(got) > 0 {
		t.Errorf("mosquitto_sub ended with %d and got %d bytes, want nothing: the message was deleted", code, len(got))
	}
}

// mosquittoPayload runs mosquitto_sub until it has got a message, and returns its exit code and the payload.
func (b *broker) mosquittoPayload(t *testing.T, args ...string) (code int, payload []byte) {
	t.Helper()
	var out bytes.Buffer
	cmd := b.mosquittoCommand(t, "mosquitto_sub", append(args, "-C", "1", "-N")...)
	cmd.Stdout, cmd.Stderr = &out, newJournal(t, "mosquitto_sub")
	code = startProcess(t, cmd).wait(t)
	return code, out.Bytes()
}

// mosquittoMany publishes a line at a time, and gets them in order.
func mosquittoMany(t *testing.T, b *broker, qos mqtt.QoS) {
	topic := fresh("mosquitto/")
	to := b.mosquittoSub(t, "-t", topic, "-q", fmt.Sprint(qos))
	var text bytes.Buffer
	const n = 500
	for i := range n {
		fmt.Fprintf(&text, "%s\n", count(i))
	}
	b.mosquittoPub(t, &text, "-t", topic, "-q", fmt.Sprint(qos), "-l")
	for i := range n {
		to.want(mqtt.Message{Topic: topic, Payload: count(i), QoS: qos})
	}
}

func mosquittoWill(t *testing.T, b *broker, qos mqtt.QoS) {
	topic := fresh("mosquitto/")
	observer := b.mosquittoSub(t, "-t", topic, "-q", fmt.Sprint(qos))
	victim := b.mosquittoSub(t, "-t", fresh("mosquitto/"), "--will-topic", topic, "--will-payload", "gone", "--will-qos", fmt.Sprint(qos))
	victim.stop(syscall.SIGKILL)
	observer.want(mqtt.Message{Topic: topic, Payload: []byte("gone"), QoS: qos})
}

func mosquittoNoWill(t *testing.T, b *broker) {
	topic := fresh("mosquitto/")
	observer := b.mosquittoSub(t, "-t", topic, "-q", "1")
	leaver := b.mosquittoSub(t, "-t", fresh("mosquitto/"), "--will-topic", topic, "--will-payload", "gone")
	leaver.stop(syscall.SIGTERM) // it sends DISCONNECT
	for range 2 {
		b.mosquittoPub(t, nil, "-t", topic, "-q", "1", "-m", "marker")
		observer.want(mqtt.Message{Topic: topic, Payload: []byte("marker"), QoS: mqtt.QoS1})
	}
}

// mosquittoSession subscribes, leaves, and comes back for what was published meanwhile.
func mosquittoSession(t *testing.T, b *broker, qos mqtt.QoS) {
	topic, id := fresh("mosquitto/"), fresh("mosquitto-")
	args := []string{"-t", topic, "-i", id, "-c", "-q", fmt.Sprint(qos)}
	first := b.mosquittoSub(t, args...)
	first.stop(syscall.SIGTERM)
	for i := range 5 {
		b.mosquittoPub(t, nil, "-t", topic, "-q", fmt.Sprint(qos), "-m", string(count(i)))
	}
	second := b.mosquittoSub(t, args...)
	for i := range 5 {
		second.want(mqtt.Message{Topic: topic, Payload: count(i), QoS: qos})
	}
}

func mosquittoWildcards(t *testing.T, b *broker) {
	root := fresh("mosquitto")
	to := b.mosquittoSub(t, "-q", "1", "-t", root+"/a/#", "-t", root+"/+/c")
	for _, topic := range []string{root, root + "/a", root + "/b", root + "/a/b", root + "/b/c", root + "/b/c/d", root + "/a/b/c"} {
		b.mosquittoPub(t, nil, "-q", "1", "-t", topic, "-m", topic)
	}
	for _, topic := range []string{root + "/a", root + "/a/b", root + "/b/c", root + "/a/b/c"} {
		to.want(mqtt.Message{Topic: topic, Payload: []byte(topic), QoS: mqtt.QoS1})
	}
}

func mosquittoSharedSubscription(t *testing.T, b *broker) {
	topic := fresh("mosquitto/")
	filter := "$share/" + fresh("group") + "/" + topic
	one, two := b.mosquittoSub(t, "-t", filter, "-q", "1"), b.mosquittoSub(t, "-t", filter, "-q", "1")
	var text bytes.Buffer
	for i := range 20 {
		fmt.Fprintf(&text, "%s\n", count(i))
	}
	b.mosquittoPub(t, &text, "-t", topic, "-q", "1", "-l")
	wantShared(t, one.inbox, two.inbox, 20)
}

func mosquittoRefusedSubscription(t *testing.T, b *broker) {
	b = b.again(t, setup{deny: "denied/topic"})
	cmd := b.mosquittoCommand(t, "mosquitto_sub", "-t", "denied/topic", "-W", "5")
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	startProcess(t, cmd).wait(t)
	if want := "All subscription requests were denied."; !strings.Contains(out.String(), want) {
		t.Errorf("mosquitto_sub said %q, want %q", out.String(), want)
	}
}

func mosquittoPassword(t *testing.T, b *broker) {
	b = b.again(t, setup{user: "meter", password: "correct"})
	b.mosquittoPub(t, nil, "-t", "x", "-m", "x", "-q", "1", "-u", "meter", "-P", "correct")
	for _, args := range [][]string{{"-u", "meter", "-P", "wrong"}, {"-u", "meter"}, {}} {
		cmd := b.mosquittoCommand(t, "mosquitto_pub", append(args, "-t", "x", "-m", "x", "-q", "1")...)
		if code := startProcess(t, cmd).wait(t); code != 4 && code != 5 { // it is that of CONNACK
			t.Errorf("mosquitto_pub %q ended with %d, want 4 or 5", args, code)
		}
	}
}

func mosquittoCertificate(t *testing.T, b *broker) {
	if b.setup.certificates == nil {
		t.Skip("without TLS there are no certificates")
	}
	stranger := *b
	stranger.setup.certificates = makeCertificates(t)
	ca := b.setup.certificates.file("AmazonRootCA1.pem")
	cmd := stranger.mosquittoCommand(t, "mosquitto_pub", "-t", "x", "-m", "x", "-q", "1", "--cafile", ca)
	if code := startProcess(t, cmd).wait(t); code == 0 {
		t.Error("mosquitto_pub with the certificate of a stranger ended with 0")
	}
}
