package mqtt

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"iotwire/mqtt/packet"
)

func TestFullQueueBlocksInTheOrderOfTheCalls(t *testing.T) {
	bubble(t, func(t *testing.T, s *script) {
		c := s.run(Config{Inflight: 1, Queue: Queue{Messages: 2}})
		srv, _ := s.connack(false)
		for i := range 3 { // one in flight, two in the queue
			c.submit("t", QoS1, fmt.Sprint(i))
		}
		var waiting []chan error
		for i := range 5 {
			waiting = append(waiting, later(func() error {
				_, err := c.Submit(background, Message{Topic: "t", Payload: []byte(fmt.Sprint(3 + i)), QoS: QoS1})
				return err
			}))
			synctest.Wait()
		}
		cancelled := later(func() error {
			_, err := c.Submit(within(t, time.Second), Message{Topic: "t", QoS: QoS1})
			return err
		})
		last := later(func() error {
			_, err := c.Submit(background, Message{Topic: "t", Payload: []byte("8"), QoS: QoS1})
			return err
		})
		for _, w := range waiting {
			pending(t, w)
		}
		ended(t, cancelled, ErrNotSent, context.DeadlineExceeded)
		for i := range 9 {
			srv.want(fmt.Sprintf("PUBLISH t q1 %d %d", i+1, i))
			if n := c.Stats(); n.Pending > 3 {
				t.Fatalf("%+v", n)
			}
			srv.answer(packet.PUBACK, uint16(i+1))
			if i < 5 {
				ended(t, waiting[i]) // there is room for one more
			}
		}
		ended(t, last)
		if s := c.Stats(); s.Accepted != 9 {
			t.Fatalf("%+v", s)
		}
	})
}

func TestFullQueueRejects(t *testing.T) {
	bubble(t, func(t *testing.T, s *script) {
		c := s.client(Config{Queue: Queue{Messages: 2, Full: Reject}})
		r := &running{Client: c, t: t}
		one, two := r.submit("t", QoS1, "1"), r.submit("t", QoS2, "2")
		_, err := c.Submit(background, Message{Topic: "t", QoS: QoS1})
		matches(t, err, ErrNotSent, ErrQueueFull)
		matches(t, c.Publish(background, Message{Topic: "t", QoS: QoS1}), ErrNotSent, ErrQueueFull)
		if s := c.Stats(); s.Accepted != 2 || s.Pending != 2 {
			t.Fatalf("%+v", s)
		}
		start(t, c)
		srv, _ := s.connack(false)
		srv.want("PUBLISH t q1 1 1", "PUBLISH t q2 2 2")
		if one.Err() != ErrPending || two.Err() != ErrPending {
			t.Fatal(one.Err(), two.Err())
		}
	})
}

func TestFullQueueDropsTheOldest(t *testing.T) {
	bubble(t, func(t *testing.T, s *script) {
		c := s.run(Config{Inflight: 1, Queue: Queue{Messages: 2, Full: DropOldest}})
		srv, _ := s.connack(false)
		synctest.Wait()
		var all []Delivery
		for i := range 6 {
			all = append(all, c.submit("t", QoS1, fmt.Sprint(i)))
		}
		for i := 1; i < 4; i++ {
			matches(t, all[i].Err(), ErrNotSent, ErrQueueFull)
		}
		srv.want("PUBLISH t q1 1 0") // what is in flight is not dropped
		srv.answer(packet.PUBACK, 1)
		srv.want("PUBLISH t q1 2 4")
		srv.answer(packet.PUBACK, 2)
		srv.want("PUBLISH t q1 3 5")
		srv.answer(packet.PUBACK, 3)
		c.settled()
		if s := c.Stats(); s.Accepted != 6 || s.Done != 3 || s.Failed != 3 {
			t.Fatalf("%+v", s)
		}
	})
}

// What may have been sent is not said to be unsent, also where it makes room for another.
func TestDroppedMessageOfALostSessionIsUnconfirmed(t *testing.T) {
	bubble(t, func(t *testing.T, s *script) {
		c := s.run(Config{Inflight: 2, Queue: Queue{Messages: 1, Full: DropOldest}})
		srv, _ := s.connack(false)
		first := c.submit("t", QoS1, "first")
		srv.want("PUBLISH t q1 1 first")
		srv.Close()
		synctest.Wait()
		c.mu.Lock()
		c.session.inflight = 0 // no room in the new session yet
		c.mu.Unlock()
		s.connack(false)
		synctest.Wait()
		c.submit("t", QoS1, "second")
		matches(t, first.Err(), ErrUnconfirmed, ErrQueueFull)
	})
}

func TestQueueIsBoundedInBytes(t *testing.T) {
	bubble(t, func(t *testing.T, s *script) {
		c := s.client(Config{Queue: Queue{Bytes: 1000, Full: Reject}})
		r := &running{Client: c, t: t}
		r.submit("t", QoS1, strings.Repeat("x", 5000)) // one alone may be larger
		_, err := c.Submit(background, Message{Topic: "t", QoS: QoS1})
		matches(t, err, ErrQueueFull)

		c = s.client(Config{Queue: Queue{Bytes: 1000, Full: Reject}})
		r = &running{Client: c, t: t}
		n := 0
		for {
			if _, err := c.Submit(background, Message{Topic: "t", Payload: make([]byte, 93), QoS: QoS1}); err != nil {
				break
			}
			if n++; n > 100 {
				break
			}
		}
		if n != 10 && n != 9 {
			t.Fatalf("%d messages of 100 bytes", n)
		}
		c.mu.Lock()
		if c.session.bytes > 1000 {
			t.Errorf("%d bytes wait", c.session.bytes)
		}
		c.mu.Unlock()
	})
}

func TestQueueBoundsQoS0ThatWaitsToBeWritten(t *testing.T) {
	bubble(t, func(t *testing.T, s *script) {
		s.limit = 100
		c := s.run(Config{Queue: Queue{Messages: 3, Full: Reject}, KeepAlive: -1})
		srv, _ := s.connack(false)
		synctest.Wait()
		c.submit("t", QoS0, strings.Repeat("x", 300))
		for range 2 {
			c.submit("t", QoS0, strings.Repeat("x", 10))
		}
		_, err := c.Submit(background, Message{Topic: "t"})
		matches(t, err, ErrNotSent, ErrQueueFull)
		srv.want("PUBLISH t q0 (300 bytes)")
		synctest.Wait()
		c.submit("t", QoS0, "again")
		srv.want("PUBLISH t q0 xxxxxxxxxx", "PUBLISH t q0 xxxxxxxxxx", "PUBLISH t q0 again")
		c.settled()
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.session.bytes != 0 || c.session.waiting() != 0 {
			t.Fatalf("%d bytes, %d messages", c.session.bytes, c.session.waiting())
		}
	})
}

func TestQoS0ThatAConnectionDidNotTakeMakesRoom(t *testing.T) {
	bubble(t, func(t *testing.T, s *script) {
		s.limit = 100
		c := s.run(Config{Queue: Queue{Bytes: 2000, Full: Reject}, KeepAlive: -1})
		srv, _ := s.connack(false)
		synctest.Wait()
		begun := c.submit("t", QoS0, strings.Repeat("x", 1000))
		synctest.Wait()
		behind := c.submit("t", QoS0, strings.Repeat("x", 500))
		matches(t, begun.Wait(within(t, time.Second)), ErrUnconfirmed, context.DeadlineExceeded)
		matches(t, behind.Wait(within(t, time.Second)), ErrPending, context.DeadlineExceeded)
		srv.Close()
		matches(t, begun.Wait(background), ErrUnconfirmed, ErrLost)
		matches(t, behind.Wait(background), ErrNotSent, ErrLost)
		c.submit("t", QoS1, strings.Repeat("x", 900))
		c.submit("t", QoS1, strings.Repeat("x", 900))
	})
}

func TestRoomForTwoQoS0MessagesWakesTwo(t *testing.T) {
	bubble(t, func(t *testing.T, s *script) {
		s.limit = 100
		c := s.run(Config{Queue: Queue{Messages: 2}, KeepAlive: -1})
		srv, _ := s.connack(false)
		synctest.Wait()
		c.submit("t", QoS0, strings.Repeat("x", 300))
		c.submit("t", QoS0, "x")
		for range 2 {
			c.publish("t", QoS0, strings.Repeat("y", 300))
			synctest.Wait()
		}
		srv.want("PUBLISH t q0 (300 bytes)", "PUBLISH t q0 x")
		synctest.Wait()
		if s := c.Stats(); s.Accepted != 4 {
			t.Errorf("%d messages were accepted, want 4", s.Accepted)
		}
	})
}

// A QoS 0 message that waits for a connection does not keep others from the room that there is.
func TestWaiterForAConnectionLeavesTheRoomToOthers(t *testing.T) {
	bubble(t, func(t *testing.T, s *script) {
		s.limit = 100
		c := s.run(Config{Queue: Queue{Messages: 1}, KeepAlive: -1, Backoff: Backoff{Floor: time.Hour}})
		srv, _ := s.connack(false)
		synctest.Wait()
		full := c.publish("t", QoS0, strings.Repeat("x", 1000)) // is being written, and fills the queue
		pending(t, full)
		zero := c.publish("t", QoS0, "zero")
		pending(t, zero)
		one := later(func() error { _, err := c.Submit(background, Message{Topic: "t", QoS: QoS1}); return err })
		pending(t, one)
		srv.Close()
		ended(t, full, ErrUnconfirmed)
		synctest.Wait()
		pending(t, zero)
		began := time.Now()
		ended(t, one)
		if d := time.Since(began); d != 0 {
			t.Fatalf("it waited %v", d)
		}
		two := later(func() error { _, err := c.Submit(within(t, time.Second), Message{Topic: "t", QoS: QoS1}); return err })
		ended(t, two, ErrNotSent)
		srv, _ = s.connack(false)
		srv.want("PUBLISH t q1 1 ", "PUBLISH t q0 zero")
		ended(t, zero)
	})
}

func TestNoMessageIsAcceptedThatCannotBeSentWhateverItWaitsFor(t *testing.T) {
	bubble(t, func(t *testing.T, s *script) {
		c := s.client(Config{Queue: Queue{Messages: 1, Full: DropOldest}})
		r := &running{Client: c, t: t}
		d := r.submit("t", QoS1, "x")
		_, err := c.Submit(background, Message{Topic: "#", QoS: QoS1})
		matches(t, err, ErrNotSent)
		if d.Err() != ErrPending {
			t.Fatalf("dropped for an invalid message: %v", d.Err())
		}
	})
}

func TestDelivery(t *testing.T) {
	bubble(t, func(t *testing.T, s *script) {
		c := s.run(Config{Inflight: 1})
		d := c.submit("t", QoS1, "x")
		if d.Err() != ErrPending {
			t.Fatal(d.Err())
		}
		err := d.Wait(within(t, time.Second)) // no byte of it has left, and it is not withdrawn
		matches(t, err, ErrPending, context.DeadlineExceeded)
		queued := c.submit("t", QoS1, "y")
		done := d.Done()
		srv, _ := s.connack(false)
		srv.want("PUBLISH t q1 1 x")
		matches(t, d.Wait(within(t, time.Second)), ErrUnconfirmed, context.DeadlineExceeded)
		matches(t, queued.Wait(within(t, time.Second)), ErrPending)
		select {
		case <-done:
			t.Fatal("done")
		default:
		}
		srv.answer(packet.PUBACK, 1)
		<-done
		matches(t, d.Err())
		matches(t, d.Wait(background))
		srv.want("PUBLISH t q1 2 y")
		srv.answer(packet.PUBACK, 2)
		matches(t, queued.Wait(background))
		for range 100 { // its place is used again, and it stays delivered
			z := c.submit("t", QoS1, "z")
			_, body := srv.next()
			srv.answer(packet.PUBACK, uint16(body[3])<<8|uint16(body[4]))
			matches(t, z.Wait(background))
		}
		matches(t, d.Err())
		<-d.Done()
		last := c.submit("t", QoS1, "last")
		srv.want("PUBLISH t q1 103 last")
		c.stop()
		matches(t, last.Err(), ErrUnconfirmed, ErrClosed)
		<-last.Done()
		matches(t, last.Wait(background), ErrUnconfirmed, ErrClosed)
		matches(t, d.Err())
	})
}

// Accepted == Done + Failed + Pending, whatever happens.
func TestStatsAddUp(t *testing.T) {
	bubble(t, func(t *testing.T, s *script) {
		c := s.run(Config{Inflight: 3, Queue: Queue{Messages: 4, Full: DropOldest}, Backoff: Backoff{Max: 10 * time.Millisecond}})
		stop := make(chan struct{})
		watching := later(func() error {
			for {
				select {
				case <-stop:
					return nil
				case <-time.After(time.Millisecond):
				}
				if s := c.Stats(); s.Accepted != s.Done+s.Failed+uint64(s.Pending) || s.Inflight > s.Pending {
					return fmt.Errorf("%+v", s)
				}
			}
		})
		for i := range 30 {
			srv, _ := s.connack(i%3 > 0)
			for j := range 10 {
				c.Submit(background, Message{Topic: "t", QoS: QoS(j % 3)})
				go c.Publish(within(t, time.Duration(j)*time.Millisecond), Message{Topic: "t", QoS: QoS((i + j) % 3)})
			}
			for range i % 7 {
				srv.SetReadDeadline(time.Now().Add(time.Second))
				h, body, err := srv.r.Next()
				if err != nil {
					break
				}
				switch p, _ := packet.ParsePublish(h.Flags, body); {
				case h.Type == packet.PUBREL:
					srv.answer(packet.PUBCOMP, uint16(body[0])<<8|uint16(body[1]))
				case p.QoS == QoS1:
					srv.answer(packet.PUBACK, p.ID)
				case p.QoS == QoS2:
					srv.answer(packet.PUBREC, p.ID)
				}
			}
			time.Sleep(5 * time.Millisecond)
			srv.Close()
		}
		c.stop()
		close(stop)
		ended(t, watching)
		if s := c.Stats(); s.Pending != 0 || s.Accepted != s.Done+s.Failed || s.Connects != 30 {
			t.Fatalf("%+v", s)
		}
	})
}

// A message that does not fit keeps its place: smaller ones that came later wait behind it.
func TestWaiterThatDoesNotFitKeepsItsPlace(t *testing.T) {
	bubble(t, func(t *testing.T, s *script) {
		c := s.run(Config{Inflight: 1, Queue: Queue{Bytes: 1000}, KeepAlive: -1})
		srv, _ := s.connack(false)
		synctest.Wait()
		submit := func(payload string) chan error {
			return later(func() error {
				_, err := c.Submit(background, Message{Topic: "t", Payload: []byte(payload), QoS: QoS1})
				return err
			})
		}
		for range 3 { // one in flight, 800 bytes wait
			ended(t, submit(strings.Repeat("a", 390)))
		}
		large := submit(strings.Repeat("b", 900))
		pending(t, large)
		small := submit("c")
		pending(t, small)
		srv.want("PUBLISH t q1 1 (390 bytes)")
		srv.answer(packet.PUBACK, 1)
		pending(t, large) // woken in vain
		pending(t, small)
		srv.want("PUBLISH t q1 2 (390 bytes)")
		srv.answer(packet.PUBACK, 2)
		ended(t, large)
		ended(t, small)
		srv.want("PUBLISH t q1 3 (390 bytes)")
		srv.answer(packet.PUBACK, 3)
		srv.want("PUBLISH t q1 4 (900 bytes)")
		srv.answer(packet.PUBACK, 4)
		srv.want("PUBLISH t q1 5 c")
	})
}
