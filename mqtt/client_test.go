package mqtt

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"iotwire/mqtt/packet"
)

func TestPublishReturnsNilOnlyAfterTheAcknowledgement(t *testing.T) {
	bubble(t, func(t *testing.T, s *script) {
		c := s.run(Config{})
		srv, _ := s.connack(false)
		done := later(func() error { return c.Publish(background, Message{Topic: "a/b", Payload: []byte("hi"), QoS: QoS1}) })
		srv.want("PUBLISH a/b q1 1 hi")
		time.Sleep(5 * time.Second)
		select {
		case err := <-done:
			t.Fatalf("Publish returned %v without PUBACK", err)
		default:
		}
		srv.answer(packet.PUBACK, 1)
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		done = later(func() error { return c.Publish(background, Message{Topic: "a/b", Payload: []byte("two"), QoS: QoS2}) })
		srv.want("PUBLISH a/b q2 2 two")
		srv.answer(packet.PUBREC, 2)
		srv.want("PUBREL 2")
		srv.answer(packet.PUBCOMP, 2)
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		if err := c.Publish(background, Message{Topic: "x", Payload: []byte("zero")}); err != nil {
			t.Fatal(err)
		}
		srv.want("PUBLISH x q0 zero")
		go func() { srv.want("DISCONNECT"); srv.Close() }()
		began := time.Now()
		if err := c.stop(); !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
		if d := time.Since(began); d != 0 {
			t.Fatal(d)
		}
	})
}

func TestSubscribeSmoke(t *testing.T) {
	bubble(t, func(t *testing.T, s *script) {
		c := s.run(Config{KeepAlive: 10 * time.Second})
		srv, _ := s.connack(false)
		sub := c.subscribe(srv, "a/#", QoS2)
		var got []string
		done := later(func() error {
			for m, err := range sub.Messages(background) {
				if err != nil {
					return err
				}
				got = append(got, fmt.Sprintf("%s %s q%d", m.Topic, m.Payload, m.QoS))
				if len(got) == 3 {
					return nil
				}
			}
			return nil
		})
		srv.publish("a/x", 0, 0, "zero")
		srv.publish("a/y", 1, 9, "one")
		srv.want("PUBACK 9")
		srv.publish("a/z", 2, 10, "two")
		srv.want("PUBREC 10")
		srv.answer(packet.PUBREL, 10)
		srv.want("PUBCOMP 10")
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		t.Log(got, c.Stats())
		began := time.Now()
		srv.want("PINGREQ")
		if d := time.Since(began); d != 10*time.Second {
			t.Fatal(d)
		}
		srv.closed()
		if d := time.Since(began); d != 20*time.Second {
			t.Fatal(d)
		}
		srv, _ = s.connack(false)
		srv.want("SUBSCRIBE 2 a/# q2")
		srv.Close()
		c.stop()
	})
}

// A sensor may send the same reading twice: the second is a new message, though identifier and content are the same.
func TestSessionPresent0ForgetsQoS2Identifiers(t *testing.T) {
	bubble(t, func(t *testing.T, s *script) {
		c := s.run(Config{})
		srv, _ := s.connack(false)
		sub := c.subscribe(srv, "t", QoS2)
		got := make(chan string, 10)
		go func() {
			for m, err := range sub.Messages(background) {
				if err != nil {
					return
				}
				got <- string(m.Payload)
			}
		}()
		srv.publish("t", QoS2, 1, "21.5")
		srv.want("PUBREC 1")
		srv.Close()
		srv, _ = s.connack(false)
		srv.want("SUBSCRIBE 2 t q2")
		srv.suback(2, 2)
		srv.publish("t", QoS2, 1, "21.5")
		srv.want("PUBREC 1")
		c.stop()
		if len(got) != 2 {
			t.Fatalf("%d messages were delivered, want 2", len(got))
		}
	})
}
