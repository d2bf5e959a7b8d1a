package mqtt

import (
	"context"
	"errors"
	"net"
	"testing"
	"time"

	"iotwire/mqtt/packet"
)

// A record of an earlier connection becomes durable on the next one: what that one has to hold, it holds on.
func TestWhatBecomesDurableForAnEarlierConnectionReleasesNothing(t *testing.T) {
	bubble(t, func(t *testing.T, s *script) {
		d := newDisk()
		c := s.run(Config{Store: d, KeepAlive: -1})
		srv, _ := s.connack(false)
		sub := c.subscribe(srv, "t", QoS2)
		kept := make(chan Message, 1)
		go func() {
			for m, err := range sub.Messages(background) {
				if err != nil {
					return
				}
				if string(m.Payload) == "held" {
					m.Hold()
					kept <- m.Clone()
				}
			}
		}()
		srv.publish("t", QoS2, 7, "held")
		held := <-kept
		srv.Close()
		srv = s.accept()
		srv.want("CONNECT")
		d.mu.Lock()
		d.delay = 10 * time.Second
		d.mu.Unlock()
		if err := held.Ack(); err != nil { // no connection can be told: its identifier is stored
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		srv.send(connackBytes(true, packet.Accepted))
		began := time.Now()
		srv.publish("t", QoS2, 8, "new")
		srv.want("PUBREC 8")
		if took := time.Since(began); took != 19*time.Second { // 9 for what is being stored, 10 for identifier 8
			t.Fatalf("PUBREC 8 after %v, before its record was durable", took)
		}
		srv.Close()
		c.stop()
	})
}

func TestUNSUBSCRIBEWaitsUntilTheSubscriptionIsDurablyForgotten(t *testing.T) {
	bubble(t, func(t *testing.T, s *script) {
		d := newDisk()
		c := s.run(Config{Store: d})
		srv, _ := s.connack(false)
		sub := c.subscribe(srv, "t", QoS1)
		c.flushStore() // the grant is on the disk
		d.mu.Lock()
		d.delay = time.Second
		d.mu.Unlock()
		closed := later(func() error { return sub.Close(background) })
		srv.want("UNSUBSCRIBE 2 t")
		left := d.crash() // the server has forgotten the subscription, and the process died
		srv.Close()
		c.stop()
		<-closed

		c = s.run(Config{Store: left})
		if _, err := c.Subscribe("t", QoS1); err != nil {
			t.Fatal(err)
		}
		srv, _ = s.connack(true)
		h, body := srv.next()
		if h.Type != packet.SUBSCRIBE {
			t.Fatalf("the client sent %q, want SUBSCRIBE", describe(h, body))
		}
		srv.Close()
		c.stop()
	})
}

func TestPUBRELsLeaveInTheOrderOfThePUBRECsAlsoAfterRestarts(t *testing.T) {
	bubble(t, func(t *testing.T, s *script) {
		d := newDisk()
		c := s.run(Config{Store: d})
		c.nextIdentifier(1)
		srv, _ := s.connack(false)
		for _, payload := range []string{"a", "b", "c"} {
			c.submit("t", QoS2, payload)
		}
		srv.want("PUBLISH t q2 1 a", "PUBLISH t q2 2 b", "PUBLISH t q2 3 c")
		srv.answer(packet.PUBREC, 3)
		srv.want("PUBREL 3")
		srv.answer(packet.PUBREC, 1)
		srv.want("PUBREL 1")
		d = d.crash()
		c.stop()

		c = s.run(Config{Store: d})
		srv, _ = s.connack(true)
		srv.want("PUBREL 3", "PUBREL 1", "PUBLISH t q2 dup 2 b") // [MQTT-4.6.0-4]
		srv.answer(packet.PUBREC, 2)
		srv.want("PUBREL 2")
		d = d.crash()
		c.stop()

		c = s.run(Config{Store: d})
		srv, _ = s.connack(true)
		srv.want("PUBREL 3", "PUBREL 1", "PUBREL 2")
		c.stop()
	})
}

// forgetful is a disk that fails to delete.
type forgetful struct {
	*disk
	err error // guarded by the lock of disk
}

func (d *forgetful) fails(err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.err = err
}

func (d *forgetful) Delete(keys ...Key) error {
	d.mu.Lock()
	err := d.err
	d.mu.Unlock()
	if err != nil {
		return err
	}
	return d.disk.Delete(keys...)
}

func TestDeleteThatFailsBreaksTheStore(t *testing.T) {
	bubble(t, func(t *testing.T, s *script) {
		d := &forgetful{disk: newDisk()}
		c := s.run(Config{Store: d})
		srv, _ := s.connack(false)
		broken := errors.New("input/output error")
		c.nextIdentifier(1)
		c.submit("t", QoS1, "a")
		srv.want("PUBLISH t q1 1 a")
		d.fails(broken)
		srv.answer(packet.PUBACK, 1) // its record is to be deleted with the next Put
		c.settled()
		ended(t, c.publish("t", QoS1, "b"), ErrStore, broken)
		srv.Close()
		matches(t, c.wait(), ErrStore, broken)
	})
}

func TestPUBCOMPWaitsUntilTheIdentifierIsDurablyFree(t *testing.T) {
	bubble(t, func(t *testing.T, s *script) {
		d := newDisk()
		d.delay = time.Second
		c := s.run(Config{Store: d})
		srv, _ := s.connack(false)
		loop := c.collect(c.subscribe(srv, "t", QoS2))
		srv.publish("t", QoS2, 7, "equal")
		loop.want("t q2 equal")
		srv.want("PUBREC 7")
		srv.answer(packet.PUBREL, 7)
		srv.want("PUBCOMP 7") // now the server may use 7 for another message
		d = d.crash()
		c.stop()

		c = s.run(Config{Store: d})
		sub, err := c.Subscribe("t", QoS2)
		if err != nil {
			t.Fatal(err)
		}
		loop = c.collect(sub)
		srv, _ = s.connack(true)
		srv.send(publishBytes("t", QoS2, 7, true, "equal")) // its first copy was lost with the process
		loop.want("t q2 dup equal")
		c.stop()
	})
}

// doubtful is a client that has QoS 2 message 7 of a session of which it cannot know whether it is the one that the
// server goes on with: the server did not answer a CONNECT.
func doubtful(t *testing.T, s *script) (*running, *server, *collector) {
	c := s.run(Config{})
	srv, _ := s.connack(false)
	loop := c.collect(c.subscribe(srv, "t", QoS2))
	srv.publish("t", QoS2, 7, "equal")
	loop.want("t q2 equal")
	srv.want("PUBREC 7")
	srv.Close()
	srv = s.accept()
	srv.want("CONNECT")
	srv.Close()
	srv, _ = s.connack(true)
	srv.want("SUBSCRIBE 2 t q2")
	srv.suback(2, 2)
	return c, srv, loop
}

func TestMessageOfADoubtfulSessionIsNewIfItIsNoRepetition(t *testing.T) {
	bubble(t, func(t *testing.T, s *script) {
		c, srv, loop := doubtful(t, s)
		srv.publish("t", QoS2, 7, "equal") // DUP 0, same identifier, same bytes
		loop.want("t q2 equal")
		srv.want("PUBREC 7")
		c.stop()
	})
	bubble(t, func(t *testing.T, s *script) {
		c, srv, loop := doubtful(t, s)
		srv.send(publishBytes("t", QoS2, 7, true, "equal"))
		srv.want("PUBREC 7")
		loop.none()
		c.stop()
	})
}

func TestRefusedCONNECTLeavesNoDoubtOfTheSession(t *testing.T) {
	bubble(t, func(t *testing.T, s *script) {
		c := s.run(Config{KeepAlive: -1})
		srv, _ := s.connack(false)
		loop := c.collect(c.subscribe(srv, "t", QoS2))
		srv.publish("t", QoS2, 7, "equal")
		loop.want("t q2 equal")
		srv.want("PUBREC 7")
		srv.Close()
		srv = s.accept()
		srv.want("CONNECT")
		srv.send(connackBytes(false, packet.RefusedUnavailable))
		srv.Close()
		srv, _ = s.connack(true)
		srv.publish("t", QoS2, 7, "equal") // without DUP, and yet a repetition
		srv.want("PUBREC 7")
		srv.quiet(time.Minute) // and no SUBSCRIBE
		loop.none()
		c.stop()
	})
}

// The server may have begun a session that has nothing of the one that is known, and only the process that died was told.
func TestProcessThatDiedBeforeCONNACKLeavesDoubtOfTheSession(t *testing.T) {
	bubble(t, func(t *testing.T, s *script) {
		d := newDisk()
		c := s.run(Config{Store: d})
		srv, _ := s.connack(false)
		c.subscribe(srv, "t", QoS1)
		c.flushStore() // the grant is on the disk
		srv.Close()
		srv = s.accept()
		srv.want("CONNECT")
		left := d.crash()
		srv.Close()
		c.stop()

		c = s.run(Config{Store: left})
		if _, err := c.Subscribe("t", QoS1); err != nil {
			t.Fatal(err)
		}
		srv, _ = s.connack(true)
		h, body := srv.next()
		if h.Type != packet.SUBSCRIBE {
			t.Fatalf("the client sent %q, want SUBSCRIBE", describe(h, body))
		}
		srv.Close()
		c.stop()
	})
}

// A server that gets CONNECT may begin a new session, and a later client has to know that it may have: without the record
// that says so, no CONNECT leaves.
func TestNoCONNECTLeavesThatIsNotNoted(t *testing.T) {
	bubble(t, func(t *testing.T, s *script) {
		d := newDisk()
		d.breaks([]bool{false})
		c := s.run(Config{Store: d, Dial: func(ctx context.Context) (net.Conn, error) {
			conn, err := s.dial(ctx)
			return lingering{conn}, err
		}})
		s.accept().closed()
		matches(t, c.wait(), ErrStore)
	})
}

// lingering is a connection that takes its time to be closed: what is written meanwhile still leaves.
type lingering struct{ net.Conn }

func (l lingering) SetDeadline(t time.Time) error {
	time.Sleep(time.Second)
	return l.Conn.SetDeadline(t)
}
