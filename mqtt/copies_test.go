package mqtt

import (
	"testing"
	"time"

	"iotwire/mqtt/packet"
)

func TestPUBRELIsSentAgainThreeTimesAndItsIdentifierStaysTaken(t *testing.T) {
	bubble(t, func(t *testing.T, s *script) {
		c := s.run(Config{Resend: 5 * time.Second, KeepAlive: -1})
		srv, _ := s.connack(false)
		done := c.publish("t", QoS2, "x")
		srv.want("PUBLISH t q2 1 x")
		srv.answer(packet.PUBREC, 1)
		began := time.Now()
		srv.want("PUBREL 1", "PUBREL 1", "PUBREL 1", "PUBREL 1")
		if took := time.Since(began); took != 15*time.Second {
			t.Fatalf("four PUBRELs in %v", took)
		}
		srv.quiet(time.Hour)
		srv.answer(packet.PUBCOMP, 1)
		ended(t, done)

		for range 3 { // PUBCOMPs are still to come
			c.nextIdentifier(1)
			done = c.publish("t", QoS2, "y")
			srv.want("PUBLISH t q2 2 y")
			srv.answer(packet.PUBCOMP, 1)
			srv.answer(packet.PUBREC, 2)
			srv.want("PUBREL 2")
			srv.answer(packet.PUBCOMP, 2)
			ended(t, done)
		}
		c.nextIdentifier(1)
		c.submit("t", QoS2, "z")
		srv.want("PUBLISH t q2 1 z")
		c.stop()
	})
}

func TestPUBRELIsSentAgainHoweverOftenPUBLISHWas(t *testing.T) {
	bubble(t, func(t *testing.T, s *script) {
		c := s.run(Config{Resend: 5 * time.Second, KeepAlive: -1})
		srv, _ := s.connack(false)
		done := c.publish("t", QoS2, "x")
		srv.want("PUBLISH t q2 1 x", "PUBLISH t q2 dup 1 x", "PUBLISH t q2 dup 1 x", "PUBLISH t q2 dup 1 x")
		srv.answer(packet.PUBREC, 1)
		srv.want("PUBREL 1", "PUBREL 1", "PUBREL 1", "PUBREL 1")
		srv.quiet(time.Hour)
		srv.answer(packet.PUBCOMP, 1)
		ended(t, done)
		for range 3 { // answers to the copies, of each packet
			srv.answer(packet.PUBREC, 1)
			srv.answer(packet.PUBCOMP, 1)
		}
		c.nextIdentifier(1)
		srv.quiet(time.Second)
		c.submit("t", QoS2, "y")
		srv.want("PUBLISH t q2 1 y")
		c.stop()
	})
}

func TestIdentifierOfAMessageWithTwoPUBRECsStaysTakenUntilTheSecondPUBCOMP(t *testing.T) {
	bubble(t, func(t *testing.T, s *script) {
		c := s.run(Config{})
		srv, _ := s.connack(false)
		done := c.publish("t", QoS2, "x")
		srv.want("PUBLISH t q2 1 x")
		for range 2 {
			srv.answer(packet.PUBREC, 1)
			srv.want("PUBREL 1")
		}
		srv.answer(packet.PUBCOMP, 1)
		ended(t, done)
		c.nextIdentifier(1)
		c.submit("t", QoS2, "y")
		srv.want("PUBLISH t q2 2 y")
		srv.answer(packet.PUBCOMP, 1)
		c.nextIdentifier(1)
		srv.quiet(time.Second)
		c.submit("t", QoS2, "z")
		srv.want("PUBLISH t q2 1 z")
		c.stop()
	})
}

// Config.Resend counts from when a packet leaves, however long nothing has come or gone before.
func TestNothingIsSentTwiceBecauseItIsTheFirstAfterAQuietTime(t *testing.T) {
	slow := newDisk()
	slow.delay = 7 * time.Second
	for name, cfg := range map[string]Config{"in memory": {}, "with a Store": {Store: slow}} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, s *script) {
				cfg.Resend = 5 * time.Second
				c := s.run(cfg)
				srv, _ := s.connack(false)
				once := func(packet, again string) {
					t.Helper()
					srv.want(packet)
					srv.quiet(cfg.Resend - 1)
					srv.want(again)
				}
				time.Sleep(20 * time.Second)
				c.publish("t", QoS1, "x")
				once("PUBLISH t q1 1 x", "PUBLISH t q1 dup 1 x")
				srv.answer(packet.PUBACK, 1)
				time.Sleep(20 * time.Second)
				if _, err := c.Subscribe("t", QoS1); err != nil {
					t.Fatal(err)
				}
				once("SUBSCRIBE 2 t q1", "SUBSCRIBE 2 t q1")
				c.stop()
			})
		})
	}
}
