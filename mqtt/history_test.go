package mqtt

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"iotwire/internal/testbroker"
	"iotwire/mqtt/packet"

	"pgregory.net/rapid"
)

// TestHistories plays random histories of a client, a broker, a network that fails, a message on which the broker hangs
// up, Subscriptions that come and go, and a process that is killed, and holds each step against the rules of the judge_test.go
// and the files beside it. -rapid.checks=100000 plays more of them.
func TestHistories(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) { rapid.SyncTest(rt, history) })
}

func history(rt *rapid.T) {
	w := newWorld(rt)
	defer w.close()
	rt.Repeat(map[string]func(*rapid.T){
		"publish": w.publish,
		"call":    w.call,
		"inbound": w.inbound,
		"second":  w.openOrClose,
		"rewind":  w.rewind,
		"break":   w.breakDisk,
		"network": w.network,
		"sleep": func(rt *rapid.T) {
			time.Sleep(time.Duration(rapid.Int64Range(1, int64(2*time.Minute)).Draw(rt, "sleep")))
		},
		"restart": func(rt *rapid.T) { w.restart(rapid.Bool().Draw(rt, "keep")) },
		"crash":   w.crash,
		"ack":     func(*rapid.T) { w.ackHeld() },
		"": func(rt *rapid.T) {
			synctest.Wait()
			w.check(rt)
		},
	})
	w.heal()
	w.checkEnd(rt)
}

// world is a client and all that surrounds it.
type world struct {
	judge  *judge
	broker *testbroker.Broker
	config Config
	disk   *disk // nil: the session is in memory

	mu     sync.Mutex
	conns  []*testbroker.Conn // that were dialled and may be alive
	held   []heldMessage
	relay  *testbroker.Relay // between client and broker; nil: there is none
	next   []string          // what it does to the next packets: a key of meddling
	down   bool              // dials fail
	drip   bool              // the network moves one byte at a time
	client *running
	life   context.Context // of the client
	loop   *messageLoop    // of the Subscription that is always there
	second *messageLoop    // of another; nil: there is none
	loops  int             // the number of the latest
	pace   time.Duration   // of the first
	number int             // of the latest message
	first  uint16          // where a client's identifiers begin
	calls  sync.WaitGroup
}

func newWorld(rt *rapid.T) *world {
	w := &world{judge: newJudge()}
	w.broker = testbroker.New(testbroker.Config{Observe: w.judge.observe, Inflight: 5, QueueMessages: 1 << 20, Guard: noPoison})
	if rapid.Bool().Draw(rt, "durable") {
		w.disk = newDisk()
		w.disk.delay = rapid.SampledFrom([]time.Duration{0, time.Millisecond, 2 * time.Second}).Draw(rt, "fsync")
		w.judge.durable = true
	}
	w.first = uint16(rapid.SampledFrom([]int{0, 65530}).Draw(rt, "first identifier"))
	w.config = Config{
		ClientID:  "c",
		Dial:      w.dial,
		KeepAlive: 20 * time.Second,
		Inflight:  rapid.SampledFrom([]int{1, 2, 7, 32}).Draw(rt, "inflight"),
		Inbox:     rapid.SampledFrom([]int{0, 200}).Draw(rt, "inbox"),
		Backoff:   Backoff{Min: time.Second, Max: 10 * time.Second},

		CleanSession: rapid.IntRange(0, 3).Draw(rt, "clean session") == 3,
		MaxAttempts:  rapid.SampledFrom([]int{0, 0, 1, 2, 3}).Draw(rt, "max attempts"),
	}
	w.judge.clean, w.judge.attempts = w.config.CleanSession, w.config.MaxAttempts
	if rapid.Bool().Draw(rt, "resend") {
		w.config.Resend = 7 * time.Second
	}
	w.judge.resends = w.config.Resend > 0
	if rapid.Bool().Draw(rt, "relay") {
		w.judge.relayed = true
		w.relay = &testbroker.Relay{Decide: w.meddle, Observe: w.judge.observeRelay}
	}
	w.pace = rapid.SampledFrom([]time.Duration{0, 0, time.Second}).Draw(rt, "pace")
	w.start()
	return w
}

// start makes a client, as a process that starts does.
func (w *world) start() {
	if w.disk != nil {
		w.config.Store = w.disk
	}
	c, err := New(w.config)
	if err != nil {
		panic(err)
	}
	c.session.lastID = 0 // with a store it begins anywhere
	c.session.lastID = w.first
	w.judge.newLife()
	var cancel context.CancelFunc
	w.life, cancel = context.WithCancel(background)
	w.client = &running{Client: c, cancel: cancel, ended: make(chan struct{})}
	w.loop = w.subscribe(firstSubscription, "in", QoS2, w.pace)
	client, life := w.client, w.life
	go func() {
		defer close(client.ended)
		client.err = client.Run(life)
	}()
}

func (w *world) dial(ctx context.Context) (net.Conn, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.down {
		return nil, &net.OpError{Op: "dial", Err: errors.New("connection refused")}
	}
	client, server := testbroker.NewPipe(1 << 16)
	w.conns = append(w.conns, client)
	w.judge.dialed()
	if w.relay != nil {
		near := server
		var far *testbroker.Conn
		far, server = testbroker.NewPipe(1 << 16)
		w.relay.Join(near, far)
	}
	go w.broker.ServeConn(server)
	return &dripping{client, w.drip}, nil
}

// meddle is what the relay does to a packet, of either side: it can be lost, late, or come twice. Two things no client could
// know, so they do not happen: a copy that comes after its identifier was used again (a copy comes at once), and a PUBLISH of
// the client that comes after the client has sent it again, and that has been answered.
func (w *world) meddle(e testbroker.Event) testbroker.Action {
	w.mu.Lock()
	action := "pass"
	if len(w.next) > 0 && e.Header.Type != packet.PINGREQ && e.Header.Type != packet.PINGRESP {
		action = w.next[0]
		w.next = w.next[1:]
	}
	w.mu.Unlock()
	late := action == "hold" || action == "swap"
	switch {
	case e.Header.Type == packet.CONNECT || e.Header.Type == packet.DISCONNECT,
		e.Header.Type == packet.CONNACK && action != "discard",
		e.Kind == testbroker.Received && late && w.config.Resend > 0:
		action = "pass"
	}
	w.judge.relay(e, action)
	return meddling[action]
}

var meddling = map[string]testbroker.Action{
	"pass":      testbroker.Pass,
	"discard":   testbroker.Discard,
	"duplicate": testbroker.Duplicate,
	"hold":      testbroker.Hold,
	"swap":      testbroker.Swap,
}

// dripping moves one byte at a time, if it is told to.
type dripping struct {
	*testbroker.Conn
	drip bool
}

func (d *dripping) Read(p []byte) (int, error) {
	if d.drip && len(p) > 1 {
		p = p[:1]
	}
	return d.Conn.Read(p)
}

func (d *dripping) Write(p []byte) (n int, err error) {
	for d.drip && len(p) > 1 && err == nil {
		var k int
		k, err = d.Conn.Write(p[:1])
		n, p = n+k, p[k:]
	}
	if err != nil {
		return n, err
	}
	k, err := d.Conn.Write(p)
	return n + k, err
}

// noPoison has the broker hang up on poison.
func noPoison(testbroker.Arrival) (*testbroker.Guard, error) {
	return &testbroker.Guard{Publish: func(p *packet.Publish, _ int) (testbroker.Verdict, error) {
		if string(p.Topic) == poison {
			return testbroker.Ignore, errors.New(poison)
		}
		return testbroker.Route, nil
	}}, nil
}

// topic draws the topic of a message: poison only for a client that has a remedy.
func (w *world) topic(rt *rapid.T, q QoS) string {
	if w.config.MaxAttempts > 0 && q > 0 && rapid.IntRange(0, 9).Draw(rt, "poison") == 9 {
		return poison
	}
	return "out"
}

func (w *world) publish(rt *rapid.T) {
	for range rapid.IntRange(1, 8).Draw(rt, "messages") {
		q := QoS(rapid.IntRange(0, 2).Draw(rt, "qos"))
		if q == 0 && !w.client.Stats().Online {
			continue
		}
		w.number++
		m := Message{Topic: w.topic(rt, q), QoS: q, Payload: fmt.Appendf(nil, "out-%d-%d%s", q, w.number, bytes.Repeat([]byte("."), rapid.IntRange(0, 40).Draw(rt, "size")))}
		w.judge.submitting(m.Topic, string(m.Payload), q)
		ctx, cancel := context.WithTimeout(background, time.Second)
		d, err := w.client.Submit(ctx, m)
		cancel()
		w.judge.submitted(string(m.Payload), d, err)
	}
}

// call is Publish with a context that ends: it runs beside what comes next.
func (w *world) call(rt *rapid.T) {
	for range rapid.IntRange(1, 4).Draw(rt, "messages") {
		q := QoS(rapid.IntRange(1, 2).Draw(rt, "qos"))
		w.number++
		m := Message{Topic: w.topic(rt, q), QoS: q, Payload: fmt.Appendf(nil, "out-%d-%d", q, w.number)}
		patience := time.Duration(rapid.Int64Range(1, int64(20*time.Second)).Draw(rt, "patience"))
		w.judge.publishing(m.Topic, string(m.Payload), q)
		c := w.client
		w.calls.Go(func() {
			ctx, cancel := context.WithTimeout(background, patience)
			defer cancel()
			w.judge.published(string(m.Payload), c.Publish(ctx, m))
		})
		synctest.Wait() // the order of the calls is that of the messages
	}
}

// rewind has the client's identifiers go round: the next is the first that is free. A relay that repeats acknowledgements
// would confirm other messages then, and no client could know.
func (w *world) rewind(rt *rapid.T) {
	if w.relay != nil {
		rt.Skip("there is a relay")
	}
	w.client.mu.Lock()
	defer w.client.mu.Unlock()
	w.client.session.lastID = w.first
}

// breakDisk has the disk fail while it stores messages, and keep some of what it was given. Then the process ends, and
// the next one finds that.
func (w *world) breakDisk(rt *rapid.T) {
	if w.disk == nil {
		rt.Skip("there is no disk")
	}
	kept := rapid.SliceOfN(rapid.Bool(), 8, 8).Draw(rt, "kept")
	w.judge.breaking()
	w.disk.breaks(kept)
	w.publish(rt)
	w.crash(rt)
}

func (w *world) inbound(rt *rapid.T) {
	for range rapid.IntRange(1, 8).Draw(rt, "messages") {
		q := QoS(rapid.IntRange(1, 2).Draw(rt, "qos"))
		topic := rapid.SampledFrom([]string{"in", "in", "other"}).Draw(rt, "topic")
		w.send(topic, q, topic == "in" && q == QoS2 && rapid.Bool().Draw(rt, "equal"))
	}
}

// send has the broker send the client a message.
func (w *world) send(topic string, q QoS, same bool) {
	w.number++
	payload := fmt.Sprintf("in-%d-%d", q, w.number)
	if same {
		payload = equal
	}
	w.judge.routing(topic, payload)
	if err := w.broker.Publish(topic, []byte(payload), q, false); err != nil {
		panic(err)
	}
}

func (w *world) network(rt *rapid.T) {
	faults := []string{"cut", "fin", "stall", "mute", "restore", "down", "up", "drip", "stream"}
	if w.relay != nil {
		faults = append(faults, "packets", "packets", "packets", "release")
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	switch rapid.SampledFrom(faults).Draw(rt, "fault") {
	case "packets":
		actions := slices.Sorted(maps.Keys(meddling))
		w.next = nil
		for range rapid.IntRange(1, 20).Draw(rt, "packets") {
			w.next = append(w.next, rapid.SampledFrom(actions).Draw(rt, "action"))
		}
	case "release":
		var order []int // the latest first
		for n := range w.relay.Held() {
			order = append([]int{n}, order...)
		}
		if len(order) > 0 {
			w.relay.Release(order...)
		}
	case "cut":
		for _, c := range w.conns {
			c.Reset(errors.New("reset by the test"))
		}
		w.conns = nil
	case "fin":
		w.broker.Drop("c", testbroker.FIN)
	case "stall":
		for _, c := range w.conns {
			c.Blackhole()
		}
	case "mute": // answers do not arrive
		for _, c := range w.conns {
			c.Mute()
		}
	case "restore":
		for _, c := range w.conns {
			c.Restore()
		}
	case "down":
		w.down = true
	case "up":
		w.down = false
	case "drip":
		w.drip = true
	case "stream":
		w.drip = false
	}
}

func (w *world) restart(keep bool) {
	w.judge.restarting(keep)
	w.broker.Restart(keep)
}

// crash kills the process: what is on the disk is all that stays.
func (w *world) crash(*rapid.T) {
	synctest.Wait() // what is due at this moment has happened
	w.mu.Lock()
	conns := w.conns
	w.conns, w.down = nil, true
	w.mu.Unlock()
	for _, c := range conns {
		c.Reset(errors.New("killed"))
	}
	var left *disk
	if w.disk != nil {
		left = w.disk.crash()
		left.delay = w.disk.delay
	}
	w.judge.crashed(left != nil)
	w.judgeResumed()
	w.end()
	w.mu.Lock()
	w.down, w.held = false, nil
	w.mu.Unlock()
	w.disk = left
	w.start()
}

// heal ends all faults and waits until everything must be done.
func (w *world) heal() {
	w.mu.Lock()
	w.down, w.drip, w.next = false, false, nil
	for _, c := range w.conns {
		c.Restore()
		c.Reset(errors.New("reset by the test")) // a connection that dripped would drip on
	}
	w.conns = nil
	w.mu.Unlock()
	if l := w.second; l != nil && l.pace == never && l.closing.IsZero() {
		w.unsubscribe(l, never) // it stops the others, in the end
	}
	w.judge.healed(w.poisons())
	for range 20 {
		time.Sleep(3 * time.Minute)
		synctest.Wait()
		w.ackHeld()
	}
	for _, topic := range []string{"in", "other"} { // what comes when all is well has to arrive
		w.send(topic, QoS1, false)
		w.send(topic, QoS2, false)
	}
	for range 2 {
		time.Sleep(time.Minute)
		synctest.Wait()
		w.ackHeld()
	}
	synctest.Wait()
}

// poisons counts the poisonous messages that the client has yet to give up.
func (w *world) poisons() (n int) {
	w.client.mu.Lock()
	defer w.client.mu.Unlock()
	s := w.client.session
	for _, l := range []*flowList{&s.sent, &s.queue, &s.storing} {
		for f := l.head; f != nil; f = f.next {
			if bytes.Contains(f.packet, []byte(poison)) {
				n++
			}
		}
	}
	return n
}

func (w *world) close() {
	w.mu.Lock()
	for _, c := range w.conns {
		c.Restore()
	}
	w.mu.Unlock()
	w.end()
	w.broker.Close()
}

// end ends the client.
func (w *world) end() {
	w.client.cancel()
	<-w.client.ended
	<-w.loop.ended
	if w.second != nil {
		<-w.second.ended
		w.second = nil
	}
	w.calls.Wait()
}

// check holds the state between two steps against what must always be true.
func (w *world) check(rt *rapid.T) {
	if err := w.judge.failure(); err != nil {
		rt.Fatalf("%v\n%s", err, w.judge.log())
	}
	s := w.client.Stats()
	if s.Accepted != s.Done+s.Failed+uint64(s.Pending) {
		rt.Fatalf("accepted %d, done %d, failed %d, pending %d", s.Accepted, s.Done, s.Failed, s.Pending)
	}
	if err := w.second.late(); err != nil {
		rt.Fatalf("%v\n%s", err, w.judge.log())
	}
	w.client.mu.Lock()
	writable := w.client.session.writable()
	w.client.mu.Unlock()
	if writable < 0 {
		rt.Fatalf("%d bytes may be written", writable)
	}
	ends := 0 // of QoS 2 exchanges, that an earlier process left: they have to be sent whatever the limit is
	for _, r := range w.client.Resumed() {
		if r.Topic == "" {
			ends++
		}
	}
	if s.Inflight > w.config.Inflight+ends {
		rt.Fatalf("%d in flight, limit %d", s.Inflight, w.config.Inflight)
	}
}

// checkEnd holds the end against what must be true when nothing fails any more.
func (w *world) checkEnd(rt *rapid.T) {
	w.check(rt)
	if s := w.client.Stats(); s.Pending > 0 || s.Held > 0 || !s.Online {
		rt.Fatalf("an hour after the last fault: %+v\n%s", s, w.judge.log())
	}
	if l := w.second; l != nil && !l.closing.IsZero() {
		select {
		case <-l.closed:
		default:
			rt.Fatalf("an hour after the last fault, Close of Subscription %d has not returned\n%s", l.number, w.judge.log())
		}
	}
	if n := w.broker.Stats(); n.Inflight+n.Queued > 0 {
		rt.Fatalf("an hour after the last fault the broker waits for the client: %+v\n%s", n, w.judge.log())
	}
	w.judgeResumed()
	w.judge.end()
	if err := w.judge.failure(); err != nil {
		rt.Fatalf("%v\n%s", err, w.judge.log())
	}
}
