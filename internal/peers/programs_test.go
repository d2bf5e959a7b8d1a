package peers

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"iotwire/mqtt"
)

// TestProgramsWithBroker has the programs publisher and subscriber, as they are built, use every broker.
func TestProgramsWithBroker(t *testing.T) {
	programs := buildPrograms(t)
	scenarios := []scenario{
		{"retained", programs.testRetained},
		{"subscriber-reconnects", programs.testSubscriberReconnects},
		{"refused-subscription", programs.testRefusedSubscription},
		{"password", programs.testPassword},
		{"certificate", programs.testCertificate},
	}
	for qos := range qosEnd {
		add := func(name string, run func(*testing.T, *broker, mqtt.QoS)) {
			scenarios = append(scenarios, scenario{fmt.Sprintf("qos%d%s", qos, name), func(t *testing.T, b *broker) { run(t, b, qos) }})
		}
		add("", programs.testQoS)
		add("-large", programs.testLarge)
		if qos > 0 {
			add("-lines", programs.testLines)
			add("-session", programs.testSession)
			add("-publisher-cut-off", programs.testPublisherCutOff)
		}
	}
	eachBroker(t, brokers, func(t *testing.T, kind brokerKind, c *certificates) {
		b := kind.run(t, setup{certificates: c})
		for _, s := range scenarios {
			t.Run(s.name, func(t *testing.T) {
				kind.need(t, s.name)
				s.run(t, b)
			})
		}
	})
}

// programs is the directory of the programs that were built.
type programs string

// buildPrograms builds publisher and subscriber, as somebody would who has cloned the repository.
func buildPrograms(t *testing.T) programs {
	t.Helper()
	dir := t.TempDir()
	cmd := exec.Command("go", "build", "-o", dir, "./cmd/publisher", "./cmd/subscriber")
	cmd.Dir = filepath.Join("..", "..")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return programs(dir)
}

// run is a program that was started.
type run struct {
	*process
	t    *testing.T
	name string
	out  *lineLog // of standard output
	err  *lineLog // of standard error
}

// start starts a program with the arguments that lead to the broker, and args.
func (p programs) start(t *testing.T, b *broker, name string, stdin []byte, args ...string) *run {
	t.Helper()
	common := []string{"-e", b.endpoint()}
	if c := b.setup.certificates; c != nil {
		common = append(common, "-C", c.dir)
	}
	said := newJournal(t, name)
	r := &run{t: t, name: name, out: newLineLog(), err: newLineLog()}
	cmd := exec.Command(filepath.Join(string(p), name), append(common, args...)...)
	cmd.Stdin = bytes.NewReader(stdin)
	cmd.Stdout = &lines{line: r.out.add}
	cmd.Stderr = &lines{line: func(line string) {
		fmt.Fprintln(said, line)
		r.err.add(line)
	}}
	r.process = startProcess(t, cmd)
	return r
}

// subscribe starts subscriber and waits until it has subscribed.
func (p programs) subscribe(t *testing.T, b *broker, args ...string) *run {
	t.Helper()
	r := p.start(t, b, "subscriber", nil, args...)
	r.awaitSaid("subscribed to")
	return r
}

// publish runs publisher, which has to succeed.
func (p programs) publish(t *testing.T, b *broker, stdin []byte, args ...string) *run {
	t.Helper()
	r := p.start(t, b, "publisher", stdin, args...)
	r.wantExit(0)
	return r
}

// wantExit waits for the end of the program and compares its exit code.
func (r *run) wantExit(want int) {
	r.t.Helper()
	if got := r.wait(r.t); got != want {
		r.t.Fatalf("%s ended with %d, want %d", r.name, got, want)
	}
}

// awaitSaid waits for the next line on standard error that has text in it.
func (r *run) awaitSaid(text string) {
	r.t.Helper()
	if !r.err.await(text, r.ended) {
		r.t.Fatalf("%s does not say %q", r.name, text)
	}
}

// awaitPrinted waits for the next line on standard output that has text in it.
func (r *run) awaitPrinted(text string) {
	r.t.Helper()
	if !r.out.await(text, r.ended) {
		r.t.Fatalf("%s does not print %q", r.name, text)
	}
}

// lineLog collects lines.
type lineLog struct {
	mu    sync.Mutex
	all   []string
	seen  int           // lines that await has looked at
	added chan struct{} // capacity 1: there is a new line
}

func newLineLog() *lineLog { return &lineLog{added: make(chan struct{}, 1)} }

func (l *lineLog) add(line string) {
	l.mu.Lock()
	l.all = append(l.all, line)
	l.mu.Unlock()
	select {
	case l.added <- struct{}{}:
	default:
	}
}

// lines returns what there is.
func (l *lineLog) lines() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.all
}

// sort sorts the lines.
func (l *lineLog) sort() {
	l.mu.Lock()
	defer l.mu.Unlock()
	slices.Sort(l.all)
}

// await waits for the next line that has text in it. It reports false when ended is closed or patience ends.
func (l *lineLog) await(text string, ended <-chan struct{}) bool {
	deadline := time.After(patience)
	for last := false; ; {
		l.mu.Lock()
		for l.seen < len(l.all) {
			l.seen++
			if strings.Contains(l.all[l.seen-1], text) {
				l.mu.Unlock()
				return true
			}
		}
		l.mu.Unlock()
		if last {
			return false
		}
		select {
		case <-l.added:
		case <-ended:
			last = true
		case <-deadline:
			last = true
		}
	}
}

// wantOutput compares the lines of standard output.
func (r *run) wantOutput(want ...string) {
	r.t.Helper()
	if got := r.out.lines(); strings.Join(got, "\n") != strings.Join(want, "\n") {
		r.t.Fatalf("%s printed %s, want %s", r.name, brief(got), brief(want))
	}
}

func brief(lines []string) string {
	return fmt.Sprintf("%d lines: %.300q", len(lines), lines)
}

func (p programs) testQoS(t *testing.T, b *broker, qos mqtt.QoS) {
	topic, q := fresh("programs/"), fmt.Sprint(qos)
	subscriber := p.subscribe(t, b, "-t", topic, "-q", q, "-n", "3")
	publisher := p.publish(t, b, nil, "-t", topic, "-q", q, "-n", "3", "-i", "10ms", "-m", "höllo", "--json")
	for i, line := range publisher.out.lines() {
		var said struct {
			N, Bytes, QoS int
			Topic         string
		}
		if err := json.Unmarshal([]byte(line), &said); err != nil || said.N != i+1 || said.Bytes != 6 || said.QoS != int(qos) || said.Topic != topic {
			t.Errorf("line %d of publisher is %s (%v)", i+1, line, err)
		}
	}
	if n := len(publisher.out.lines()); n != 3 {
		t.Errorf("publisher printed %d lines, want 3", n)
	}
	subscriber.wantExit(0)
	subscriber.wantOutput("höllo", "höllo", "höllo")
}

// testLarge sends a file of 128 KiB and one of 1 MiB.
func (p programs) testLarge(t *testing.T, b *broker, qos mqtt.QoS) {
	topic, q := fresh("programs/"), fmt.Sprint(qos)
	for _, size := range []int{128 << 10, 1 << 20} {
		payload := make([]byte, size)
		for i := range payload {
			payload[i] = 'a' + byte(rand.IntN(26))
		}
		subscriber := p.subscribe(t, b, "-t", topic, "-q", q, "-n", "1")
		p.publish(t, b, payload, "-t", topic, "-q", q, "-f", "-")
		subscriber.wantExit(0)
		subscriber.wantOutput(string(payload))
	}
}

// testLines sends a message for each of many lines, many at a time.
func (p programs) testLines(t *testing.T, b *broker, qos mqtt.QoS) {
	topic, q := fresh("programs/"), fmt.Sprint(qos)
	text, want := numbered(500)
	subscriber := p.subscribe(t, b, "-t", topic, "-q", q, "-n", "500")
	p.publish(t, b, text, "-t", topic, "-q", q, "-l", "--inflight", "50")
	subscriber.wantExit(0)
	subscriber.wantOutput(want...)
}

// numbered returns n different lines.
func numbered(n int) (text []byte, all []string) {
	for i := range n {
		all = append(all, string(count(i)))
	}
	return []byte(strings.Join(all, "\n") + "\n"), all
}

// testSession ends a subscriber, publishes, and starts it again.
func (p programs) testSession(t *testing.T, b *broker, qos mqtt.QoS) {
	topic, q := fresh("programs/"), fmt.Sprint(qos)
	args := []string{"-t", topic, "-q", q, "--client-id", fresh("subscriber-"), "--persistent"}
	first := p.subscribe(t, b, args...)
	first.stop(syscall.SIGTERM)
	first.wantExit(0)
	text, want := numbered(5)
	p.publish(t, b, text, "-t", topic, "-q", q, "-l")
	second := p.start(t, b, "subscriber", nil, append(args, "-n", "5")...)
	second.wantExit(0)
	if b.kind.reorders != "" {
		t.Logf("in any order, since %s: %s", b.kind.name, b.kind.reorders)
		second.out.sort()
	}
	second.wantOutput(want...)
}

func (p programs) testRetained(t *testing.T, b *broker) {
	topic := fresh("programs/")
	p.publish(t, b, nil, "-t", topic, "-r", "-m", `{"a":1.0}`)
	const want = `1 {"a":1.0}`
	for {
		subscriber := p.start(t, b, "subscriber", nil, "-t", topic, "-n", "1", "-W", "2s", "-F", "%r %p")
		if subscriber.wait(t) == 0 || b.kind.retainsLate == "" {
			subscriber.wantExit(0)
			subscriber.wantOutput(want)
			break
		}
	}
	p.publish(t, b, nil, "-t", topic, "-r", "-z") // deleted
	const noneInTime = 20
	subscriber := p.start(t, b, "subscriber", nil, "-t", topic, "-n", "1", "-W", "500ms")
	subscriber.wantExit(noneInTime)
	subscriber.wantOutput()
}

// testSubscriberReconnects cuts the subscriber's line: it says so, connects and subscribes again.
func (p programs) testSubscriberReconnects(t *testing.T, b *broker) {
	topic := fresh("programs/")
	weak, line := b.throughLine(t)
	subscriber := p.subscribe(t, weak, "-t", topic, "-n", "2")
	p.publish(t, b, nil, "-t", topic, "-m", "before")
	subscriber.awaitPrinted("before") // what the broker has not delivered ends with a clean session
	line.cut()
	subscriber.awaitSaid("connection lost")
	line.restore()
	subscriber.awaitSaid("subscribed to")
	p.publish(t, b, nil, "-t", topic, "-m", "after")
	subscriber.wantExit(0)
	subscriber.wantOutput("before", "after")
}

// testPublisherCutOff cuts the publisher's line while it has lines to send: all of them arrive.
func (p programs) testPublisherCutOff(t *testing.T, b *broker, qos mqtt.QoS) {
	topic, q := fresh("programs/"), fmt.Sprint(qos)
	weak, line := b.throughLine(t)
	in := b.connect(t, nil).subscribe(topic, qos)
	text, _ := numbered(100)
	publisher := p.start(t, weak, "publisher", text, "-t", topic, "-q", q, "-l", "-i", "2ms", "--inflight", "10",
		"--client-id", fresh("publisher-"), "--persistent")
	first := in.next()
	line.cut()
	publisher.awaitSaid("connection lost")
	line.restore()
	publisher.wantExit(0)
	in.messages <- first // to be counted with the others
	in.wantAll(topic, qos, 100, qos == mqtt.QoS1)
}

// testRefusedSubscription expects the exit code for it.
func (p programs) testRefusedSubscription(t *testing.T, b *broker) {
	b = b.again(t, setup{deny: "denied/topic"})
	const refused = 8
	p.start(t, b, "subscriber", nil, "-t", "denied/topic").wantExit(refused)
}

// testPassword connects to a broker that wants user name and password, which the programs do not have.
func (p programs) testPassword(t *testing.T, b *broker) {
	b = b.again(t, setup{user: "meter", password: "correct"})
	for name, args := range map[string][]string{"publisher": {"-m", "x"}, "subscriber": nil} {
		const code4, code5 = 14, 15 // of CONNACK
		if code := p.start(t, b, name, nil, args...).wait(t); code != code4 && code != code5 {
			t.Errorf("%s ended with %d, want %d or %d", name, code, code4, code5)
		}
	}
}

// testCertificate connects with the certificate of a stranger.
func (p programs) testCertificate(t *testing.T, b *broker) {
	if b.setup.certificates == nil {
		t.Skip("without TLS there are no certificates")
	}
	stranger := *b
	stranger.setup.certificates = makeCertificates(t)
	const certificates = 4
	p.start(t, &stranger, "publisher", nil, "-m", "x").wantExit(certificates) // it does not trust the broker
	ca := b.setup.certificates.file("AmazonRootCA1.pem")
	p.start(t, &stranger, "publisher", nil, "-m", "x", "--ca", ca).wantExit(certificates) // nor the broker it
	p.start(t, &stranger, "subscriber", nil, "--ca", ca).wantExit(certificates)
}
