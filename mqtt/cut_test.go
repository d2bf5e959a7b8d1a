package mqtt

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"iotwire/internal/testbroker"
)

// scene is something that a client does, with a broker, over a network that breaks at one place. Whatever breaks, the
// client has to finish it on the next connection, by the rules of judge_test.go.
type scene struct {
	name    string
	prepare func(*stage) // before the network can break
	play    func(*stage)
}

var scenes = []scene{
	{"connect", nil, func(s *stage) { s.await(s.client.Ready) }},
	{"subscribe", nil, func(s *stage) {
		sub, err := s.client.Subscribe("more/#", QoS1)
		s.must(err)
		s.await(s.loop.sub.Ready)
		s.await(sub.Ready)
	}},
	{"publish QoS 0", nil, func(s *stage) { s.submit(QoS0) }},
	{"publish QoS 1", nil, func(s *stage) { s.submit(QoS1) }},
	{"publish QoS 2", nil, func(s *stage) { s.submit(QoS2) }},
	{"receive QoS 0", nil, func(s *stage) { s.await(s.loop.sub.Ready); s.route(QoS0) }},
	{"receive QoS 1", nil, func(s *stage) { s.await(s.loop.sub.Ready); s.route(QoS1, QoS1) }},
	{"receive QoS 2", nil, func(s *stage) { s.await(s.loop.sub.Ready); s.route(QoS2, QoS2) }},
	{"several in flight", nil, func(s *stage) {
		s.await(s.loop.sub.Ready)
		s.submit(QoS2, QoS1, QoS1, QoS2, QoS2, QoS1)
		s.route(QoS1, QoS2, QoS1, QoS2)
	}},
	{"unsubscribe", nil, func(s *stage) {
		sub, err := s.client.Subscribe("more/#", QoS1)
		s.must(err)
		s.await(sub.Ready)
		s.await(sub.Close)
	}},
	{"resume", breakUp, func(s *stage) { s.submit(QoS1) }},
	{"session lost", func(s *stage) { breakUp(s); s.restart(false) }, func(s *stage) { s.submit(QoS2) }},
	{"shutdown", nil, func(s *stage) {
		s.await(s.client.Ready)
		s.submit(QoS1, QoS2)
		s.await(s.client.Shutdown)
	}},
}

// breakUp ends a connection with unacknowledged messages in both directions.
func breakUp(s *stage) {
	s.await(s.loop.sub.Ready)
	s.conns[0].Mute()
	s.submit(QoS1, QoS2, QoS1, QoS2)
	s.route(QoS1, QoS2)
	synctest.Wait()
	s.conns[0].Reset(nil)
	synctest.Wait()
}

// stage is the world of a scene.
type stage struct {
	*world
	t       *testing.T
	network *brittle
	killed  chan struct{} // closed when the process was killed
	left    *disk         // what it left
}

// perform plays a scene in a bubble of its own, and returns what moved on the network once it could break.
func perform(t *testing.T, sc *scene, f fault, how setting) (moved [faultPlaces]int) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{judge: newJudge(), drip: how.drip}
		if how.durable {
			w.disk = newDisk()
			w.disk.delay = 2 * time.Millisecond // longer than cut waits: what is on its way to the disk is lost
		}
		w.broker = testbroker.New(testbroker.Config{Observe: w.judge.observe})
		s := &stage{world: w, t: t, killed: make(chan struct{})}
		s.network = &brittle{fault: f, dial: w.dial, kill: s.kill, armed: sc.prepare == nil}
		w.config = Config{ClientID: "c", Dial: s.network.connect, Backoff: Backoff{Min: time.Second, Max: 2 * time.Second}}
		w.start()
		defer w.close()
		defer func() {
			if t.Failed() {
				t.Logf("%s, %v, %+v\n%s", sc.name, f, how, w.judge.log())
			}
		}()
		if sc.prepare != nil {
			sc.prepare(s)
			s.network.arm()
		}
		sc.play(s)
		s.finish()
		moved = s.network.count()
		if (f.place == upward || f.place == downward) && !s.network.broken {
			t.Errorf("%v: that many bytes did not pass", f)
		}
	})
	return moved
}

// setting is what changes nothing about a scene but its timing.
type setting struct {
	drip    bool // the network moves one byte with each Read and each Write
	durable bool // the session is in a store
}

var settings = []setting{{false, false}, {false, true}, {true, false}, {true, true}}

func (s *stage) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

// await calls something that may take as long as the network needs to come back.
func (s *stage) await(f func(context.Context) error) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(background, 10*time.Minute)
	defer cancel()
	if err := f(ctx); !s.dead() {
		s.must(err)
	}
}

// kill ends the process as kill -9 does: nobody hears from it any more, and what is on the disk is all that stays.
func (s *stage) kill() {
	s.mu.Lock()
	s.down = true
	for _, c := range s.conns {
		c.Reset(nil)
	}
	s.mu.Unlock()
	s.left = s.disk.crash()
	s.judge.crashed(true)
	close(s.killed)
	s.client.cancel()
}

func (s *stage) dead() bool {
	select {
	case <-s.killed:
		return true
	default:
		return false
	}
}

// revive starts the next process, once, if there has to be one.
func (s *stage) revive() {
	if !s.dead() || s.disk == s.left {
		return
	}
	<-s.client.ended
	<-s.loop.ended
	s.down, s.held, s.disk = false, nil, s.left
	s.start()
}

func (s *stage) submit(levels ...QoS) {
	for _, q := range levels {
		s.number++
		payload := fmt.Sprintf("out-%d-%d", q, s.number)
		s.judge.submitting("out", payload, q)
		ctx, cancel := context.WithTimeout(background, 10*time.Minute)
		d, err := s.client.Submit(ctx, Message{Topic: "out", QoS: q, Payload: []byte(payload)})
		cancel()
		if s.dead() { // nobody has seen this call return
			s.judge.mu.Lock()
			m := s.judge.sent[payload]
			m.crashed, m.forgiven = true, true
			s.judge.mu.Unlock()
			return
		}
		s.judge.submitted(payload, d, err)
	}
}

func (s *stage) route(levels ...QoS) {
	for _, q := range levels {
		s.number++
		payload := fmt.Sprintf("in-%d-%d", q, s.number)
		s.judge.routing("in", payload)
		if q == QoS0 {
			s.judge.routed[payload].counted = false // it may be lost
		}
		s.must(s.broker.Publish("in", []byte(payload), q, false))
	}
}

// finish waits until all is done, and holds the end against the rules.
func (s *stage) finish() {
	for range 60 {
		time.Sleep(5 * time.Second)
		synctest.Wait()
		s.revive()
		s.ackHeld()
		synctest.Wait()
		if s.finished() {
			break
		}
	}
	s.judge.end()
	if err := s.judge.failure(); err != nil {
		s.t.Fatal(err)
	}
	if stats := s.client.Stats(); stats.Pending > 0 || stats.Held > 0 || stats.Accepted != stats.Done+stats.Failed {
		s.t.Fatalf("at the end: %+v", stats)
	}
	if n := s.broker.Stats(); n.Inflight > 0 || n.Queued > 0 {
		s.t.Fatalf("at the end the broker waits for the client: %+v", n)
	}
	want := 1
	if s.client.session.find("more/#") != nil && s.client.session.find("more/#").wanted {
		want = 2
	}
	if n := s.broker.Stats().Subscriptions; n != want && !s.dead() { // the next process does not ask for more/#
		s.t.Fatalf("the broker has %d subscriptions, want %d", n, want)
	}
}

func (s *stage) finished() bool {
	over := false
	select {
	case <-s.client.ended:
		over = true
	default:
	}
	stats, broker := s.client.Stats(), s.broker.Stats()
	s.client.mu.Lock()
	busy := len(s.client.session.pending) > 0
	s.client.mu.Unlock()
	return (over || stats.Online) && stats.Pending == 0 && stats.Held == 0 && !busy && broker.Inflight+broker.Queued == 0 && broker.Connections < 2
}

// fault is where and how a network breaks. It breaks once.
type fault struct {
	place faultPlace
	kind  faultKind // of a cut
	n     int       // the bytes that still pass, or the number of the call that fails
}

type faultPlace int

const (
	nowhere  faultPlace = iota
	upward              // cut on the way to the broker
	downward            // cut on the way to the client
	reading             // a call of Read fails
	writing             // a call of Write fails, having written half
	dialling            // a Dial fails
	timing              // a Set..Deadline fails
	faultPlaces
)

type faultKind int

const (
	fin faultKind = iota
	rst
	stall
	kill // of the client's process
	faultKinds
)

func (f fault) String() string {
	place := [...]string{"no fault", "up", "down", "Read", "Write", "Dial", "SetDeadline"}[f.place]
	if f.place == upward || f.place == downward {
		return fmt.Sprintf("%s %s after %d bytes", [...]string{"FIN", "RST", "stall", "kill"}[f.kind], place, f.n)
	}
	return fmt.Sprintf("%s, call %d", place, f.n)
}

var errCut = errors.New("cut by the test")

// brittle is a network that breaks.
type brittle struct {
	fault fault
	dial  func(context.Context) (net.Conn, error)
	kill  func()

	mu     sync.Mutex
	armed  bool // faults happen, and are counted
	broken bool
	moved  [faultPlaces]int // bytes, or calls
}

func (b *brittle) arm() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.armed = true
}

func (b *brittle) count() [faultPlaces]int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.moved
}

// call counts a call and reports whether it fails.
func (b *brittle) call(place faultPlace) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.armed {
		return false
	}
	b.moved[place]++
	return b.fault.place == place && b.moved[place] == b.fault.n
}

// room returns how many bytes pass before the cut, or -1 if none comes.
func (b *brittle) room(place faultPlace) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.armed || b.broken || b.fault.place != place {
		return -1
	}
	return b.fault.n - b.moved[place]
}

func (b *brittle) pass(place faultPlace, n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.armed {
		b.moved[place] += n
	}
}

func (b *brittle) connect(ctx context.Context) (net.Conn, error) {
	if b.call(dialling) {
		return nil, &net.OpError{Op: "dial", Err: errCut}
	}
	conn, err := b.dial(ctx)
	if err != nil {
		return nil, err
	}
	return &brittleConn{dripping: conn.(*dripping), network: b}, nil
}

type brittleConn struct {
	*dripping
	network *brittle
	mu      sync.Mutex
	dead    error // how reads end after the cut
}

// cut breaks the connection. What was written before arrives.
func (c *brittleConn) cut() {
	c.network.mu.Lock()
	c.network.broken = true
	c.network.mu.Unlock()
	time.Sleep(time.Millisecond)
	if c.network.fault.kind == kill {
		c.network.kill()
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	switch c.network.fault.kind {
	case fin:
		c.dead = io.EOF
		c.Conn.Close()
	case rst:
		c.dead = &net.OpError{Op: "read", Err: syscall.ECONNRESET}
		c.Conn.Reset(nil)
	case stall:
		c.Conn.Blackhole()
	}
}

// ending is err, or what the cut makes of it.
func (c *brittleConn) ending(op string, err error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case err == nil || c.dead == nil:
		return err
	case op == "write":
		return &net.OpError{Op: op, Err: syscall.EPIPE}
	}
	return c.dead
}

func (c *brittleConn) Read(p []byte) (int, error) {
	if c.network.call(reading) {
		return 0, &net.OpError{Op: "read", Err: errCut}
	}
	room := c.network.room(downward)
	if room == 0 {
		c.cut()
	} else if room > 0 {
		p = p[:min(len(p), room)]
	}
	n, err := c.dripping.Read(p)
	c.network.pass(downward, n)
	return n, c.ending("read", err)
}

func (c *brittleConn) Write(p []byte) (n int, err error) {
	if c.network.call(writing) {
		n, _ = c.dripping.Write(p[:len(p)/2])
		return n, &net.OpError{Op: "write", Err: errCut}
	}
	if room := c.network.room(upward); room >= 0 && room < len(p) {
		n, err = c.dripping.Write(p[:room])
		c.network.pass(upward, n)
		if err != nil {
			return n, c.ending("write", err)
		}
		c.cut()
		p = p[room:]
	}
	k, err := c.dripping.Write(p)
	c.network.pass(upward, k)
	return n + k, c.ending("write", err)
}

func (c *brittleConn) SetDeadline(t time.Time) error {
	return c.deadline(c.dripping.SetDeadline, t)
}
func (c *brittleConn) SetReadDeadline(t time.Time) error {
	return c.deadline(c.dripping.SetReadDeadline, t)
}
func (c *brittleConn) SetWriteDeadline(t time.Time) error {
	return c.deadline(c.dripping.SetWriteDeadline, t)
}

func (c *brittleConn) deadline(set func(time.Time) error, t time.Time) error {
	if c.network.call(timing) {
		return &net.OpError{Op: "set", Err: errCut}
	}
	return set(t)
}

// TestCutAtEveryByte breaks the network after each byte of each scene, in each direction, with an end of the stream, a
// reset, or silence, and kills the client's process there.
func TestCutAtEveryByte(t *testing.T) {
	eachScene(t, func(t *testing.T, sc *scene, how setting) (cases int) {
		moved := perform(t, sc, fault{}, how)
		for _, place := range []faultPlace{upward, downward} {
			for n := range moved[place] {
				for k := range faultKinds {
					if k == kill && !how.durable {
						continue
					}
					if perform(t, sc, fault{place, k, n}, how); t.Failed() {
						return cases
					}
					cases++
				}
			}
		}
		return cases
	})
}

// TestEveryNthCallFails lets each Read, Write, Dial and Set..Deadline of each scene fail in turn.
func TestEveryNthCallFails(t *testing.T) {
	eachScene(t, func(t *testing.T, sc *scene, how setting) (cases int) {
		for _, place := range []faultPlace{reading, writing, dialling, timing} {
			for n := 1; !t.Failed(); n++ {
				if moved := perform(t, sc, fault{place: place, n: n}, how); moved[place] < n {
					break
				}
				cases++
			}
		}
		return cases
	})
}

// TestOneByteACall compares each scene with itself over a network that moves one byte with each Read and each Write:
// the same bytes have to pass.
func TestOneByteACall(t *testing.T) {
	eachScene(t, func(t *testing.T, sc *scene, how setting) (cases int) {
		if how.drip {
			return 0
		}
		whole := perform(t, sc, fault{}, how)
		how.drip = true
		drips := perform(t, sc, fault{}, how)
		if whole[upward] != drips[upward] || whole[downward] != drips[downward] {
			t.Errorf("%d bytes up and %d down; byte by byte %d and %d", whole[upward], whole[downward], drips[upward], drips[downward])
		}
		return 1
	})
}

// eachScene plays in every setting, and counts.
func eachScene(t *testing.T, play func(t *testing.T, sc *scene, how setting) (cases int)) {
	began := time.Now()
	var total atomic.Int64
	t.Cleanup(func() { t.Logf("%d cases in %v", total.Load(), time.Since(began).Round(time.Millisecond)) })
	for i := range scenes {
		t.Run(scenes[i].name, func(t *testing.T) {
			t.Parallel()
			for _, how := range settings {
				total.Add(int64(play(t, &scenes[i], how)))
			}
		})
	}
}
