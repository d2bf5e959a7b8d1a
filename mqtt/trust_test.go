package mqtt

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"iotwire/mqtt/packet"
)

// A store that breaks while it takes messages may have kept them, and a later client would send them: not sent would be
// a lie. What comes after that is not sent.
func TestMessageThatABreakingStoreMayHaveKeptIsUnconfirmed(t *testing.T) {
	bubble(t, func(t *testing.T, s *script) {
		d := newDisk()
		c := s.client(Config{Store: d})
		d.mu.Lock()
		d.fail = func([]Record) error { return errBroken }
		d.mu.Unlock()
		_, err := c.Submit(background, Message{Topic: "t", QoS: QoS1})
		if !errors.Is(err, ErrUnconfirmed) || errors.Is(err, ErrNotSent) || !errors.Is(err, ErrStore) || !errors.Is(err, errBroken) {
			t.Errorf("while it breaks: %v", err)
		}
		_, err = c.Submit(background, Message{Topic: "t", QoS: QoS1})
		if !errors.Is(err, ErrNotSent) || !errors.Is(err, ErrStore) {
			t.Errorf("afterwards: %v", err)
		}
	})
}

func TestMessageThatIsWithdrawnWhileTheStoreBreaksIsUnconfirmed(t *testing.T) {
	bubble(t, func(t *testing.T, s *script) {
		d := newDisk()
		c := s.client(Config{Store: d})
		done := later(func() error { return c.Publish(within(t, time.Second), Message{Topic: "t", QoS: QoS1}) })
		synctest.Wait()
		d.mu.Lock()
		d.fail = func([]Record) error { return errBroken }
		d.mu.Unlock()
		if err := <-done; !errors.Is(err, ErrUnconfirmed) || errors.Is(err, ErrNotSent) || !errors.Is(err, ErrStore) {
			t.Error(err)
		}
	})
}

// The server may hold QoS 2 identifiers of a session whose store is gone, and would swallow new messages under them.
func TestClientWithAStoreBeginsItsIdentifiersAnywhere(t *testing.T) {
	seen := map[uint16]bool{}
	for range 20 {
		c, err := New(Config{Dial: (&script{}).dial, ClientID: "c", Store: newDisk()})
		if err != nil {
			t.Fatal(err)
		}
		seen[c.session.lastID] = true
	}
	if len(seen) < 10 {
		t.Errorf("20 clients begin at %d identifiers", len(seen))
	}
}

// Of two records of one identifier the newer one counts: the older was to be deleted, or the identifier would not have
// been free.
func TestNewerRecordOfAnIdentifierCounts(t *testing.T) {
	message := func(seq uint64, payload string) Record {
		return Record{Key{kindMessage, seq}, append([]byte{1}, publishBytes("t", QoS2, 5, false, payload)...)}
	}
	released := func(seq uint64) Record { return Record{Key: Key{kindReleased, pair(seq, 5)}} }
	for _, row := range []struct {
		what    string
		records []Record
		want    string
	}{
		{"two messages", []Record{message(1, "old"), message(2, "new")}, "PUBLISH t q2 dup 5 new"},
		{"a message and its PUBREL", []Record{message(1, "old"), released(2)}, "PUBREL 5"},
		{"a message after a PUBREL", []Record{message(3, "new"), released(2)}, "PUBLISH t q2 dup 5 new"},
		{"two PUBRELs", []Record{released(2), released(4)}, "PUBREL 5"},
	} {
		t.Run(row.what, func(t *testing.T) {
			bubble(t, func(t *testing.T, s *script) {
				d := newDisk()
				for _, r := range row.records {
					d.durable[r.Key] = r.Data
				}
				c := s.run(Config{Store: d, Trace: &Trace{Damaged: func(err error) { t.Error(err) }}})
				srv, _ := s.connack(true)
				srv.want(row.want)
				if n := len(c.Resumed()); n != 1 {
					t.Errorf("%d messages resumed", n)
				}
				if strings.HasPrefix(row.want, "PUBLISH") {
					srv.answer(packet.PUBREC, 5)
					srv.want("PUBREL 5")
				}
				srv.answer(packet.PUBCOMP, 5)
				if err := c.Shutdown(within(t, time.Minute)); err != nil {
					t.Error(err)
				}
				for k := range d.durable {
					if k.Kind == kindMessage || k.Kind == kindReleased {
						t.Errorf("record %v is left", k)
					}
				}
			})
		})
	}
}

// A message that the server hangs up on is found although each connection begins a new session, and those behind it
// are delivered.
func TestPoisonIsFoundWithoutASession(t *testing.T) {
	bubble(t, func(t *testing.T, s *script) {
		c := s.client(Config{CleanSession: true, MaxAttempts: 3})
		var deliveries []Delivery
		for i := range 20 {
			d, err := c.Submit(background, Message{Topic: "t", Payload: []byte{byte(i)}, QoS: QoS1})
			if err != nil {
				t.Fatal(err)
			}
			deliveries = append(deliveries, d)
		}
		r := start(t, c)
		go func() {
			for {
				srv, _ := s.connack(false)
				for {
					h, body, err := srv.r.Next()
					if err != nil || h.Type == packet.DISCONNECT {
						return
					}
					p, _ := packet.ParsePublish(h.Flags, body)
					if p.Payload[0] == 7 {
						srv.Close()
						break
					}
					srv.answer(packet.PUBACK, p.ID)
				}
			}
		}()
		for i, d := range deliveries {
			err := d.Wait(within(t, time.Hour))
			if i == 7 && (!errors.Is(err, ErrRejected) || !errors.Is(err, ErrUnconfirmed)) {
				t.Errorf("poison: %v", err)
			}
			if i != 7 && err != nil {
				t.Errorf("message %d: %v", i, err)
			}
		}
		if n := c.Stats().Connects; n > 6 {
			t.Errorf("%d connections", n)
		}
		r.stop()
	})
}

// Accepted == Done + Failed + Pending, also while a store takes a message.
func TestStatsAddUpWhileAStoreTakesAMessage(t *testing.T) {
	bubble(t, func(t *testing.T, s *script) {
		d := newDisk()
		d.delay = time.Second
		c := s.client(Config{Store: d})
		done := later(func() error { _, err := c.Submit(background, Message{Topic: "t", QoS: QoS1}); return err })
		synctest.Wait()
		if st := c.Stats(); st.Accepted != 0 || st.Pending != 0 {
			t.Errorf("while it is stored: %+v", st)
		}
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		if st := c.Stats(); st.Accepted != 1 || st.Pending != 1 {
			t.Errorf("when it is stored: %+v", st)
		}
	})
}

// A store that fails while it takes a message, and while nothing else is held back.
func TestStoreThatFailsWhileAMessageIsAcceptedEndsRun(t *testing.T) {
	bubble(t, func(t *testing.T, s *script) {
		d := newDisk()
		c := s.run(Config{Store: d})
		srv, _ := s.connack(false)
		c.nextIdentifier(1)
		c.submit("t", QoS1, "a")
		srv.want("PUBLISH t q1 1 a")
		srv.answer(packet.PUBACK, 1)
		c.settled()
		matches(t, c.Publish(background, Message{Topic: "zero"})) // nothing of it waits for the store
		srv.want("PUBLISH zero q0 ")
		d.breaks([]bool{true})
		ended(t, c.publish("t", QoS1, "b"), ErrUnconfirmed, ErrStore)
		srv.want("DISCONNECT")
		srv.Close()
		matches(t, c.wait(), ErrStore)
	})
}
