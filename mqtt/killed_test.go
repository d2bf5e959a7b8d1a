package mqtt_test

import (
	"bufio"
	"context"
	"flag"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"iotwire/internal/testbroker"
	"iotwire/mqtt"
	"iotwire/mqtt/filestore"
	"iotwire/mqtt/packet"
)

var kills = flag.Int("kills", 20, "how many processes with a session store are killed")

// These variables make this program a process that is to be killed, in place of a test.
const (
	childRole    = "MQTT_TEST_CHILD"
	childAddress = "MQTT_TEST_ADDRESS"
	childStore   = "MQTT_TEST_STORE"
	childRound   = "MQTT_TEST_ROUND"
)

var background = context.Background()

// TestKilledPublisher kills a process that publishes with a session store, again and again. The broker has to get
// every message that Submit accepted, each one of QoS 2 once, and the first copies in order.
func TestKilledPublisher(t *testing.T) {
	if os.Getenv(childRole) != "" {
		publishUntilKilled()
	}
	k := newKilling(t)
	w := k.witness("out")

	accepted, confirmed := map[string]bool{}, map[string]bool{}
	for round := range *kills / 2 {
		c := k.start("publisher", "publish", round)
		c.killAfterLine("accepted", func(what, payload string) {
			switch what {
			case "accepted":
				accepted[payload] = true
			case "done":
				confirmed[payload] = true
			default:
				t.Fatalf("the publisher printed %q %q", what, payload)
			}
		})
	}
	last := k.start("publisher", "drain", *kills)
	if !last.Scan() || last.Text() != "drained" {
		t.Fatalf("the last publisher printed %q, want \"drained\"", last.Text())
	}
	last.wait()
	counts, order := w.all()

	for payload := range accepted {
		if counts[payload] == 0 { // rules 15 and 31
			t.Errorf("%s was accepted, and the broker never got it", payload)
		}
	}
	for payload := range confirmed {
		if counts[payload] == 0 { // rule 16
			t.Errorf("%s was confirmed, and the broker never got it", payload)
		}
	}
	doubled := 0
	for payload, n := range counts {
		if n > 1 {
			doubled++
			if payload[0] == '2' { // rule 19
				t.Errorf("%s, QoS 2: the broker got it %d times", payload, n)
			}
		}
	}
	latest := map[byte][2]int{}
	for _, payload := range order { // rule 23
		var q, round, n int
		fmt.Sscanf(payload, "%d %d %d", &q, &round, &n)
		if l := latest[payload[0]]; round < l[0] || round == l[0] && n < l[1] {
			t.Errorf("%s came after %v", payload, l)
		}
		latest[payload[0]] = [2]int{round, n}
	}
	t.Logf("%d kills, %d messages accepted, %d of them confirmed before a kill, 0 lost, %d of QoS 1 doubled", *kills/2, len(accepted), len(confirmed), doubled)
	if len(accepted) < *kills/2 {
		t.Errorf("%d messages accepted in %d rounds: the test was too quick to show anything", len(accepted), *kills/2)
	}
}

// publishUntilKilled is the publisher: it prints what it was promised.
func publishUntilKilled() {
	c := childClient("publisher")
	go c.Run(background)
	if os.Getenv(childRole) == "drain" {
		for _, r := range c.Resumed() {
			orExit(r.Wait(background))
		}
		orExit(c.Shutdown(background))
		fmt.Println("drained")
		os.Exit(0)
	}
	for n := 0; ; n++ {
		q := mqtt.QoS(1 + n%2)
		payload := fmt.Sprintf("%d %s %d", q, os.Getenv(childRound), n)
		d, err := c.Submit(background, mqtt.Message{Topic: "out", Payload: []byte(payload), QoS: q})
		orExit(err)
		fmt.Println("accepted", payload)
		go func() {
			orExit(d.Wait(background))
			fmt.Println("done", payload)
		}()
	}
}

// TestKilledSubscriber kills a process that subscribes with a session store, again and again. Its handler has to see
// every message, and one of QoS 2 twice only if the process died before the identifier was in the store, and so before
// the broker had PUBREC.
func TestKilledSubscriber(t *testing.T) {
	if os.Getenv(childRole) != "" {
		handleUntilKilled()
	}
	k := newKilling(t)
	first := k.start("subscriber", "subscribe", 0)
	if !first.Scan() || first.Text() != "ready" {
		t.Fatalf("the subscriber printed %q, want \"ready\"", first.Text())
	}
	first.kill()
	first.wait()

	handled, inRound := map[string]int{}, map[string]int{}
	number, again := 0, 0
	handle := func(round int) func(what, payload string) {
		k.mu.Lock()
		before := maps.Clone(k.recorded)
		k.mu.Unlock()
		return func(what, payload string) {
			if what != "handled" {
				return
			}
			if handled[payload]++; handled[payload] > 1 && payload[0] == '2' {
				again++
				if before[payload] { // rule 20
					t.Errorf("%s was handled again after its PUBREC", payload)
				}
				if inRound[payload] == round+1 {
					t.Errorf("%s was handled twice by one process", payload)
				}
			}
			inRound[payload] = round + 1
		}
	}
	route := func(n int) {
		for range n {
			number++
			q := packet.QoS(1 + number%2)
			if err := k.broker.Publish("in", fmt.Appendf(nil, "%d 0 %d", q, number), q, false); err != nil {
				t.Fatal(err)
			}
		}
	}
	for round := range *kills / 2 {
		route(50 + rand.IntN(200))
		h := handle(round)
		c := k.start("subscriber", "subscribe", round)
		c.killAfterLine("ready", h)
	}
	route(1)
	c := k.start("subscriber", "subscribe", *kills)
	h := handle(*kills)
	for len(handled) < number && c.Scan() {
		what, payload, _ := strings.Cut(c.Text(), " ")
		h(what, payload)
	}
	c.kill()
	c.wait()
	if len(handled) != number { // rule 15
		t.Errorf("%d messages were handled, want %d", len(handled), number)
	}
	t.Logf("%d kills, %d messages, 0 lost, %d of QoS 2 handled again because the process died before they were in the store", *kills/2, number, again)
}

// handleUntilKilled is the subscriber: it prints what it handles.
func handleUntilKilled() {
	c := childClient("subscriber")
	sub, err := c.Subscribe("in", mqtt.QoS2)
	orExit(err)
	go c.Run(background)
	orExit(c.Ready(background))
	orExit(sub.Ready(background))
	fmt.Println("ready")
	for m, err := range sub.Messages(background) {
		orExit(err)
		fmt.Printf("handled %s\n", m.Payload)
	}
}

// childClient makes the client of a process that is to be killed. It ends with the process that started it.
func childClient(id string) *mqtt.Client {
	go func() {
		io.Copy(io.Discard, os.Stdin)
		os.Exit(1)
	}()
	store, err := filestore.Open(os.Getenv(childStore), id, filestore.Options{})
	orExit(err)
	c, err := mqtt.New(mqtt.Config{
		ClientID: id,
		Store:    store,
		Backoff:  mqtt.Backoff{Min: 10 * time.Millisecond},
		Dial: func(ctx context.Context) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "tcp", os.Getenv(childAddress))
		},
		Trace: &mqtt.Trace{Damaged: func(err error) { orExit(err) }},
	})
	orExit(err)
	return c
}

func orExit(err error) {
	if err != nil {
		fmt.Println("error", err)
		os.Exit(1)
	}
}

// killing is a broker on a loopback port, and a directory for the store of the process that is killed.
type killing struct {
	t       *testing.T
	broker  *testbroker.Broker
	address string
	dir     string

	mu       sync.Mutex
	sent     map[uint16]string // payloads by identifier
	recorded map[string]bool   // payloads that the client has answered with PUBREC
}

func newKilling(t *testing.T) *killing {
	t.Helper()
	if runtime.GOOS != "linux" && runtime.GOOS != "darwin" {
		t.Skipf("a process cannot be killed on %s as a crash does it", runtime.GOOS)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	k := &killing{t: t, address: l.Addr().String(), dir: t.TempDir(), sent: map[uint16]string{}, recorded: map[string]bool{}}
	if memory, err := os.MkdirTemp("/dev/shm", "mqtt"); err == nil {
		t.Cleanup(func() { os.RemoveAll(memory) })
		k.dir = memory // a kill spares what the operating system has, so that a disk would add nothing but time
	}
	k.broker = testbroker.New(testbroker.Config{QueueMessages: 1 << 20, QueueBytes: 1 << 30, Observe: k.observe})
	served := make(chan struct{})
	go func() {
		defer close(served)
		k.broker.Serve(background, l)
	}()
	t.Cleanup(func() { k.broker.Close(); <-served })
	return k
}

// observe notes which messages the subscriber has answered with PUBREC.
func (k *killing) observe(e testbroker.Event) {
	if e.ClientID != "subscriber" {
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	switch {
	case e.Kind == testbroker.Sent && e.Header.Type == packet.PUBLISH:
		p, _ := packet.ParsePublish(e.Header.Flags, e.Body)
		k.sent[p.ID] = string(p.Payload)
	case e.Kind == testbroker.Received && e.Header.Type == packet.PUBREC:
		k.recorded[k.sent[uint16(e.Body[0])<<8|uint16(e.Body[1])]] = true
	}
}

// child is a process that is to be killed.
type child struct {
	*bufio.Scanner // the lines that it prints
	t              *testing.T
	command        *exec.Cmd
}

func (k *killing) start(kind, role string, round int) *child {
	k.t.Helper()
	test := map[string]string{"publisher": "TestKilledPublisher", "subscriber": "TestKilledSubscriber"}[kind]
	c := &child{t: k.t, command: exec.Command(os.Args[0], "-test.run=^"+test+"$")}
	c.command.Env = append(os.Environ(), childRole+"="+role, childAddress+"="+k.address, childStore+"="+k.dir, childRound+"="+strconv.Itoa(round))
	c.command.Stderr = os.Stderr
	if _, err := c.command.StdinPipe(); err != nil { // it ends when this process does
		k.t.Fatal(err)
	}
	out, err := c.command.StdoutPipe()
	if err != nil {
		k.t.Fatal(err)
	}
	c.Scanner = bufio.NewScanner(out)
	if err := c.command.Start(); err != nil {
		k.t.Fatal(err)
	}
	k.t.Cleanup(func() {
		c.kill()
		c.wait()
	})
	return c
}

func (c *child) kill() { c.command.Process.Kill() }

// wait waits for the end of the process. What it printed and nobody read is lost.
func (c *child) wait() {
	for c.Scan() {
	}
	c.command.Wait()
}

// killAfterLine kills the process at some time after its first line that begins with first, or sometimes at any time,
// and takes all lines that it printed.
func (c *child) killAfterLine(first string, take func(what, rest string)) {
	c.t.Helper()
	if rand.IntN(8) == 0 {
		time.AfterFunc(rand.N(30*time.Millisecond), c.kill)
	}
	began := false
	for c.Scan() {
		what, rest, ok := strings.Cut(c.Text(), " ")
		if what == "error" {
			c.t.Fatalf("a process that was to be killed: %s", rest)
		}
		if what == first && !began {
			began = true
			time.AfterFunc(rand.N(20*time.Millisecond), c.kill)
		}
		if ok {
			take(what, rest)
		}
	}
	c.wait()
}

// witness is a client in this process that gets all that the broker routes to a topic.
type witness struct {
	t      *testing.T
	broker *testbroker.Broker
	topic  string
	end    chan struct{} // closed when the last message came: then the rest may be read

	counts map[string]int
	order  []string // of the first copies
}

func (k *killing) witness(topic string) *witness {
	k.t.Helper()
	w := &witness{t: k.t, broker: k.broker, topic: topic, end: make(chan struct{}), counts: map[string]int{}}
	c, err := mqtt.New(mqtt.Config{Dial: k.broker.Dial, ClientID: "witness", CleanSession: true})
	if err != nil {
		k.t.Fatal(err)
	}
	sub, err := c.Subscribe(topic, mqtt.QoS2)
	if err != nil {
		k.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(background)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		c.Run(ctx)
	}()
	k.t.Cleanup(func() { cancel(); <-ended })
	if err := sub.Ready(ctx); err != nil {
		k.t.Fatal(err)
	}
	go func() {
		for m, err := range sub.Messages(ctx) {
			if err != nil {
				return
			}
			if string(m.Payload) == "end" {
				close(w.end)
				return
			}
			payload := string(m.Payload)
			if w.counts[payload]++; w.counts[payload] == 1 {
				w.order = append(w.order, payload)
			}
		}
	}()
	return w
}

// all returns what came until now.
func (w *witness) all() (counts map[string]int, order []string) {
	w.t.Helper()
	if err := w.broker.Publish(w.topic, []byte("end"), packet.QoS2, false); err != nil {
		w.t.Fatal(err)
	}
	select {
	case <-w.end:
	case <-time.After(time.Minute):
		w.t.Fatal("the witness does not see the end")
	}
	return w.counts, w.order
}
