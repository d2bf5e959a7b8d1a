package mqtt

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"maps"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"iotwire/mqtt/packet"
)

// disk is a store in memory that outlives its client: what was put and synced is there for the next one. Until a Put
// returns, nothing of it is durable.
type disk struct {
	mu      sync.Mutex
	durable map[Key][]byte
	lazy    []Key // deletes that a crash undoes
	delay   time.Duration
	fail    func(records []Record) error
	kept    []bool // not nil: Put fails, and keeps of its records those that this says
	broken  bool   // it did, and so does everything that comes later
	puts    int
	closed  bool
}

var errDisk = errors.New("input/output error")

// breaks has the next Put fail, and everything after it.
func (d *disk) breaks(kept []bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.kept = kept
}

func newDisk() *disk { return &disk{durable: map[Key][]byte{}} }

func (d *disk) All() iter.Seq2[Record, error] {
	keys := slices.SortedFunc(maps.Keys(d.durable), func(a, b Key) int {
		return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.N, b.N))
	})
	return func(yield func(Record, error) bool) {
		for _, k := range keys {
			if !yield(Record{k, slices.Clone(d.durable[k])}, nil) {
				return
			}
		}
	}
}

func (d *disk) Put(records ...Record) error {
	time.Sleep(d.delay)
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.fail != nil {
		if err := d.fail(records); err != nil {
			return err
		}
	}
	if d.broken {
		return errDisk
	}
	if d.kept != nil { // some of the records, and no delete: they are not durable before all records are
		d.broken = true
		for i, r := range records {
			if d.kept[i%len(d.kept)] {
				d.durable[r.Key] = slices.Clone(r.Data)
			}
		}
		return errDisk
	}
	d.puts++
	for _, k := range d.lazy {
		delete(d.durable, k)
	}
	d.lazy = nil
	for _, r := range records {
		d.durable[r.Key] = slices.Clone(r.Data)
	}
	return nil
}

func (d *disk) Delete(keys ...Key) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.broken {
		return errDisk
	}
	d.lazy = append(d.lazy, keys...)
	return nil
}

func (d *disk) Reset() error { clear(d.durable); d.lazy = nil; return nil }

func (d *disk) Close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.closed = true
	return nil
}

// crash returns the disk as a later process finds it.
func (d *disk) crash() *disk {
	d.mu.Lock()
	defer d.mu.Unlock()
	return &disk{durable: maps.Clone(d.durable)}
}

func TestStoredMessagesAreAcceptedOfflineAndDeliveredByALaterClient(t *testing.T) {
	bubble(t, func(t *testing.T, s *script) {
		d := newDisk()
		c := s.client(Config{Store: d})
		for _, q := range []QoS{QoS1, QoS2, QoS1} {
			if _, err := c.Submit(background, Message{Topic: "t", Payload: []byte("x"), QoS: q}); err != nil {
				t.Fatal(err)
			}
		}
		c.Shutdown(background) // without Run: the client is over at once, the messages stay
		if !d.closed {
			t.Fatal("the store is not closed")
		}

		d = d.crash()
		r := s.run(Config{Store: d})
		resumed := r.Resumed()
		if len(resumed) != 3 || resumed[1].QoS != QoS2 || resumed[0].Topic != "t" || resumed[2].Size != 1 {
			t.Fatalf("resumed %+v", resumed)
		}
		srv, _ := s.connack(false)
		srv.want("PUBLISH t q1 1 x", "PUBLISH t q2 2 x", "PUBLISH t q1 3 x")
		srv.answer(packet.PUBACK, 1)
		srv.answer(packet.PUBREC, 2)
		srv.want("PUBREL 2")
		if err := resumed[0].Wait(background); err != nil {
			t.Fatal(err)
		}
		d2 := d.crash() // now: 1 perhaps, 2 released, 3 sent
		r.stop()

		r = s.run(Config{Store: d2})
		srv, _ = s.connack(true)
		srv.want("PUBREL 2")
		h, body := srv.next()
		if got := describe(h, body); got == "PUBLISH t q1 dup 1 x" { // its delete was lazy: allowed
			srv.answer(packet.PUBACK, 1)
			h, body = srv.next()
		}
		if got := describe(h, body); got != "PUBLISH t q1 dup 3 x" {
			t.Fatal(got)
		}
		srv.answer(packet.PUBACK, 3)
		srv.answer(packet.PUBCOMP, 2)
		for _, m := range r.Resumed() {
			if err := m.Wait(background); err != nil {
				t.Fatal(err)
			}
		}
		go func() { srv.want("DISCONNECT"); srv.Close() }()
		if err := r.Shutdown(within(t, time.Minute)); err != nil {
			t.Fatal(err)
		}
		r.wait()
		if n := len(d2.durable); n != 1 { // the mark of what may have been sent
			t.Fatalf("the store has %d records after all was delivered: %v", n, d2.durable)
		}
	})
}

func TestStoredQoS2IdentifierIsDurableBeforePUBREC(t *testing.T) {
	bubble(t, func(t *testing.T, s *script) {
		d := newDisk()
		d.delay = time.Second
		c := s.run(Config{Store: d})
		srv, _ := s.connack(false)
		sub := c.subscribe(srv, "t", QoS2)
		got := make(chan string, 10)
		done := later(func() error {
			for m, err := range sub.Messages(background) {
				if err != nil {
					return err
				}
				got <- string(m.Payload)
			}
			return nil
		})
		began := time.Now()
		srv.publish("t", QoS2, 7, "once")
		srv.want("PUBREC 7")
		if time.Since(began) < d.delay {
			t.Fatal("PUBREC left before its record was durable")
		}
		// Killed now: the next client must know identifier 7.
		d2 := d.crash()
		c.stop()
		<-done
		c2 := s.run(Config{Store: d2})
		srv, _ = s.connack(true)
		sub, _ = c2.Subscribe("t", QoS2)
		srv.quiet(time.Second) // the subscription is in the store too
		go func() {
			for m, err := range sub.Messages(background) {
				if err != nil {
					close(got)
					return
				}
				got <- string(m.Payload)
			}
		}()
		srv.send(publishBytes("t", QoS2, 7, true, "once"))
		srv.want("PUBREC 7")
		srv.answer(packet.PUBREL, 7)
		srv.want("PUBCOMP 7")
		srv.publish("t", QoS2, 7, "new")
		srv.want("PUBREC 7")
		c2.stop()
		var all []string
		for p := range got {
			all = append(all, p)
		}
		if !slices.Equal(all, []string{"once", "new"}) {
			t.Fatalf("delivered %q", all)
		}
	})
}

func TestStoreFailureRefusesTheMessageAndEndsRun(t *testing.T) {
	bubble(t, func(t *testing.T, s *script) {
		full := errors.New("disk full")
		d := newDisk()
		d.fail = func(records []Record) error {
			for _, r := range records {
				if len(r.Data) > 100 {
					return full
				}
			}
			return nil
		}
		c := s.run(Config{Store: d})
		srv, _ := s.connack(false)
		err := c.Publish(background, Message{Topic: "t", Payload: make([]byte, 200), QoS: QoS1})
		if !errors.Is(err, ErrNotSent) || !errors.Is(err, full) {
			t.Fatal(err)
		}
		if st := c.Stats(); st.Accepted != 0 || st.Failed != 0 {
			t.Fatalf("%+v", st)
		}
		done := later(func() error { return c.Publish(background, Message{Topic: "t", Payload: []byte("s"), QoS: QoS2}) })
		h, body := srv.next()
		p, _ := packet.ParsePublish(h.Flags, body)
		d.mu.Lock()
		d.fail = func([]Record) error { return full }
		d.mu.Unlock()
		srv.answer(packet.PUBREC, p.ID)
		srv.want("DISCONNECT") // and no PUBREL
		srv.Close()
		if err := <-done; !errors.Is(err, ErrUnconfirmed) || errors.Is(err, ErrNotSent) || !errors.Is(err, ErrStored) {
			t.Fatal(err)
		}
		if err := c.wait(); !errors.Is(err, ErrStore) || !errors.Is(err, full) {
			t.Fatal(err)
		}
	})
}

func TestWithdrawnMessageIsNotSentByALaterClient(t *testing.T) {
	bubble(t, func(t *testing.T, s *script) {
		d := newDisk()
		d.delay = time.Millisecond
		c := s.client(Config{Store: d})
		ctx, cancel := context.WithTimeout(background, time.Second)
		defer cancel()
		if err := c.Publish(ctx, Message{Topic: "t", QoS: QoS1}); !errors.Is(err, ErrNotSent) || !errors.Is(err, context.DeadlineExceeded) {
			t.Fatal(err)
		}
		if n := len(d.crash().durable); n != 0 {
			t.Fatalf("%d records are left", n)
		}
		c.Shutdown(background)
	})
}

// What made room is gone for a later client too, in the next instant: not only when something else is stored.
func TestDroppedMessageIsNotSentByALaterClient(t *testing.T) {
	for q := QoS0; q <= QoS2; q++ { // of the message that needs the room; at QoS 0 it stores nothing itself
		t.Run(fmt.Sprint("for QoS ", q), func(t *testing.T) {
			bubble(t, func(t *testing.T, s *script) {
				d := newDisk()
				c := s.run(Config{Store: d, Inflight: 1, Queue: Queue{Messages: 1, Full: DropOldest}})
				srv, _ := s.connack(false)
				c.nextIdentifier(1)
				c.submit("t", QoS1, "in flight")
				srv.want("PUBLISH t q1 1 in flight")
				oldest := c.submit("t", QoS1, "oldest")
				newest := later(func() error {
					_, err := c.Submit(background, Message{Topic: "t", Payload: []byte("newest"), QoS: q})
					return err
				})
				ended(t, newest)
				matches(t, oldest.Err(), ErrNotSent, ErrQueueFull)
				synctest.Wait()
				c2 := s.client(Config{Store: d.crash()})
				var resumed []int
				for _, r := range c2.Resumed() {
					resumed = append(resumed, r.Size)
				}
				want := []int{len("in flight")}
				if q > 0 {
					want = append(want, len("newest"))
				}
				if !slices.Equal(resumed, want) {
					t.Errorf("a later client has messages of %d bytes, want %d", resumed, want)
				}
				c2.Shutdown(background)
				c.stop()
			})
		})
	}
}

func TestPoisonMessageFailsAloneAndTheOthersAreDelivered(t *testing.T) {
	bubble(t, func(t *testing.T, s *script) {
		c := s.run(Config{MaxAttempts: 3})
		var deliveries []Delivery
		for i := range 20 {
			m := Message{Topic: "t", Payload: []byte{byte('a' + i)}, QoS: QoS1}
			if i == 10 {
				m.Topic = "poison"
			}
			d, err := c.Submit(background, m)
			if err != nil {
				t.Fatal(err)
			}
			deliveries = append(deliveries, d)
		}
		go func() { // a server that hangs up on that topic
			for present := false; ; present = true {
				srv, _ := s.connack(present)
				for {
					srv.SetReadDeadline(time.Now().Add(10 * time.Hour))
					h, body, err := srv.r.Next()
					if err != nil || h.Type == packet.DISCONNECT {
						srv.Close()
						return
					}
					if h.Type != packet.PUBLISH {
						continue
					}
					p, _ := packet.ParsePublish(h.Flags, body)
					if string(p.Topic) == "poison" {
						srv.Close()
						break
					}
					srv.answer(packet.PUBACK, p.ID)
				}
			}
		}()
		for i, d := range deliveries {
			err := d.Wait(within(t, time.Hour))
			if i == 10 {
				if !errors.Is(err, ErrRejected) || !errors.Is(err, ErrUnconfirmed) {
					t.Fatalf("poison: %v", err)
				}
			} else if err != nil {
				t.Fatalf("message %d: %v", i, err)
			}
		}
		if n := c.Stats().Connects; n > 6 {
			t.Fatalf("%d connections", n)
		}
		c.cancel()
		c.wait()
	})
}

func TestResendOnALiveConnectionKeepsTheIdentifierUntilEveryCopyIsAnswered(t *testing.T) {
	bubble(t, func(t *testing.T, s *script) {
		c := s.run(Config{Resend: 5 * time.Second})
		srv, _ := s.connack(false)
		done := later(func() error { return c.Publish(background, Message{Topic: "t", Payload: []byte("x"), QoS: QoS1}) })
		srv.want("PUBLISH t q1 1 x")
		began := time.Now()
		srv.want("PUBLISH t q1 dup 1 x")
		if d := time.Since(began); d != 5*time.Second {
			t.Fatal(d)
		}
		srv.answer(packet.PUBACK, 1)
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		c.mu.Lock()
		c.session.lastID = 0 // the next identifier would be 1
		c.mu.Unlock()
		done = later(func() error { return c.Publish(background, Message{Topic: "t", Payload: []byte("y"), QoS: QoS1}) })
		srv.want("PUBLISH t q1 2 y")
		srv.answer(packet.PUBACK, 1) // the second copy: for nobody
		srv.answer(packet.PUBACK, 2)
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		sub, _ := c.Subscribe("f", QoS1)
		srv.want("SUBSCRIBE 3 f q1", "SUBSCRIBE 3 f q1")
		srv.suback(3, 1)
		if err := sub.Ready(background); err != nil {
			t.Fatal(err)
		}
		srv.Close()
		c.stop()
	})
}

// A connection that ends before the copy was written has taken the first one all the same.
func TestCopyThatWasNotWrittenDoesNotHideTheFirst(t *testing.T) {
	for q := QoS1; q <= QoS2; q++ {
		for _, present := range []bool{true, false} {
			t.Run(fmt.Sprintf("QoS %d, session present %v", q, present), func(t *testing.T) {
				s := newSession(&Config{Inflight: 1})
				s.connected(false)
				f := newFlow()
				if err := s.accept(f, &Message{Topic: "t", QoS: q}); err != nil {
					t.Fatal(err)
				}
				s.take(nil) // is written
				s.now += time.Minute
				s.overdue(time.Second)
				if len(s.out) == 0 {
					t.Fatal("there is no second copy")
				}
				s.disconnected(errBroken, unclear)
				if s.withdraw(f, errBroken) {
					t.Error("a message that was sent is withdrawn: ErrNotSent would be a lie")
				}
				s.connected(present)
				switch {
				case present && (len(s.out) == 0 || s.out[0]&8 == 0): // [MQTT-3.3.1-1]
					t.Errorf("sent again as % x, want DUP 1", s.out)
				case !present && q == QoS1 && (len(s.out) == 0 || s.out[0]&8 != 0):
					t.Errorf("published again as % x, want DUP 0", s.out)
				case !present && q == QoS2 && (len(s.out) > 0 || !errors.Is(f.err, ErrSessionLost)):
					t.Errorf("the server may have it: % x, %v", s.out, f.err)
				}
			})
		}
	}
}

func TestLargeMessageIsStreamed(t *testing.T) {
	bubble(t, func(t *testing.T, s *script) {
		var sum, size int
		c := s.run(Config{MaxPacket: 1000, Large: func(m *Message, n int, payload io.Reader) error {
			size = n
			b := make([]byte, 1024)
			for {
				n, err := payload.Read(b)
				sum += n
				if err != nil {
					return nil
				}
			}
		}})
		srv, _ := s.connack(false)
		c.subscribe(srv, "t", QoS1)
		go srv.publish("t", QoS1, 9, string(make([]byte, 1<<20)))
		srv.want("PUBACK 9")
		if sum != 1<<20 || size != sum {
			t.Fatal(sum, size)
		}
		srv.Close()
		c.stop()
	})
}

func TestStoredMessageThatWaitsToBeAcceptedHoldsNothingBack(t *testing.T) {
	bubble(t, func(t *testing.T, s *script) {
		d := newDisk()
		d.delay = time.Second
		c := s.run(Config{Store: d})
		srv, _ := s.connack(false)
		done := later(func() error { return c.Publish(background, Message{Topic: "t", QoS: QoS1}) })
		srv.want("PUBLISH t q1 1 ")
		srv.answer(packet.PUBACK, 1)
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		done = later(func() error { return c.Publish(background, Message{Topic: "t", QoS: QoS1}) })
		time.Sleep(d.delay / 2) // the disk is at work
		if err := c.Publish(background, Message{Topic: "zero"}); err != nil {
			t.Fatal(err)
		}
		srv.want("PUBLISH zero q0 ")
		if took := time.Since(began); took != d.delay/2 {
			t.Fatalf("QoS 0 waited for the disk: %v", took)
		}
		go c.cancel() // DISCONNECT while the disk is at work
		srv.want("DISCONNECT")
		srv.Close()
		if err := <-done; !errors.Is(err, ErrStored) && !errors.Is(err, ErrNotSent) {
			t.Fatal(err)
		}
	})
}

func TestStoredSubscriptionThatWasClosedAtOnceIsAskedForByALaterClient(t *testing.T) {
	bubble(t, func(t *testing.T, s *script) {
		d := newDisk()
		d.delay = time.Second
		c := s.run(Config{Store: d})
		srv, _ := s.connack(false)
		sub, err := c.Subscribe("t", QoS1)
		if err != nil {
			t.Fatal(err)
		}
		srv.want("SUBSCRIBE 1 t q1")
		busy := later(func() error { // the disk is at work, so that what follows is one commit
			_, err := c.Submit(background, Message{Topic: "x", QoS: QoS1})
			return err
		})
		time.Sleep(d.delay / 2)
		srv.suback(1, 1)
		if err := sub.Ready(background); err != nil {
			t.Fatal(err)
		}
		closed := later(func() error { return sub.Close(background) })
		if err := <-busy; err != nil {
			t.Fatal(err)
		}
		for {
			h, body := srv.next()
			if text := describe(h, body); text == "UNSUBSCRIBE 2 t" || text == "UNSUBSCRIBE 3 t" {
				srv.answer(packet.UNSUBACK, uint16(body[0])<<8|uint16(body[1]))
				break
			}
		}
		if err := <-closed; err != nil {
			t.Fatal(err)
		}
		srv.Close()
		c.stop()

		c = s.run(Config{Store: d.crash()})
		srv, _ = s.connack(true)
		if _, err := c.Subscribe("t", QoS1); err != nil {
			t.Fatal(err)
		}
		for {
			h, body := srv.next()
			if h.Type == packet.SUBSCRIBE {
				break
			}
			t.Log(describe(h, body))
		}
		srv.Close()
		c.stop()
	})
}
