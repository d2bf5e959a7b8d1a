package mqtt

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"iotwire/mqtt/packet"
)

func TestConfigMistakesAreFoundByNew(t *testing.T) {
	dial := newScript(t).dial
	for name, cfg := range map[string]Config{
		"Dial":              {ClientID: "c"},
		"MQTT-3.1.3-7":      {Dial: dial},
		"MaxPacket":         {Dial: dial, ClientID: "c", MaxPacket: -1},
		"Inbox":             {Dial: dial, ClientID: "c", Inbox: -1},
		"Inflight":          {Dial: dial, ClientID: "c", Inflight: 65536},
		"Queue.Messages":    {Dial: dial, ClientID: "c", Queue: Queue{Messages: -1}},
		"Queue.Bytes":       {Dial: dial, ClientID: "c", Queue: Queue{Bytes: -1}},
		"Queue.Full":        {Dial: dial, ClientID: "c", Queue: Queue{Full: 3}},
		"SubscribeBatch":    {Dial: dial, ClientID: "c", SubscribeBatch: 65536},
		"MaxAttempts":       {Dial: dial, ClientID: "c", MaxAttempts: -1},
		"KeepAlive":         {Dial: dial, ClientID: "c", KeepAlive: 65535*time.Second + 1},
		"Timeout":           {Dial: dial, ClientID: "c", Timeout: -1},
		"Resend":            {Dial: dial, ClientID: "c", Resend: -1},
		"Backoff.Min":       {Dial: dial, ClientID: "c", Backoff: Backoff{Min: -1}},
		"Backoff.Max":       {Dial: dial, ClientID: "c", Backoff: Backoff{Max: -1}},
		"Backoff.Floor":     {Dial: dial, ClientID: "c", Backoff: Backoff{Floor: -1}},
		"Backoff.Stable":    {Dial: dial, ClientID: "c", Backoff: Backoff{Stable: -1}},
		"with a Store":      {Dial: dial, ClientID: "c", Inflight: 60000, Store: newDisk()},
		"client identifier": {Dial: dial, ClientID: "a\x00"},
		"Client":            {Dial: dial, ClientID: strings.Repeat("x", 65536)},
		"will topic":        {Dial: dial, ClientID: "c", Will: &Message{Topic: "a/#"}},
		"MQTT-3.1.2-14":     {Dial: dial, ClientID: "c", Will: &Message{Topic: "a", QoS: 3}},
		"will message":      {Dial: dial, ClientID: "c", Will: &Message{Topic: "a", Payload: make([]byte, 65536)}},
	} {
		c, err := New(cfg)
		if c != nil || !errors.Is(err, packet.ErrInvalid) || !strings.Contains(strings.ToLower(err.Error()), strings.ToLower(name)) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestConfigTakesTheLargestValues(t *testing.T) {
	bubble(t, func(t *testing.T, s *script) {
		c := s.run(Config{
			KeepAlive: 65535 * time.Second, MaxPacket: packet.MaxRemainingLength + 5, Inbox: math.MaxInt, Inflight: 65535,
			Queue: Queue{Messages: 1 << 30, Bytes: math.MaxInt}, SubscribeBatch: 65535, MaxAttempts: 1 << 30,
			Timeout: math.MaxInt64, Resend: math.MaxInt64,
			Backoff: Backoff{Min: math.MaxInt64, Max: math.MaxInt64, Floor: 0, Stable: math.MaxInt64},
		})
		srv, _ := s.connack(false)
		loop := c.collect(c.subscribe(srv, "t", QoS1))
		srv.publish("t", QoS1, 1, "x")
		loop.want("t q1 x")
		srv.want("PUBACK 1")
		done := c.publish("t", QoS1, "y")
		srv.want("PUBLISH t q1 2 y")
		srv.answer(packet.PUBACK, 2)
		ended(t, done)
	})
}

func TestNewCopiesTheConfig(t *testing.T) {
	bubble(t, func(t *testing.T, s *script) {
		will := Message{Topic: "gone", Payload: []byte("bye")}
		cfg := Config{Dial: s.dial, ClientID: "c", Will: &will}
		c, err := New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		will.Payload[0], will.Topic, cfg.ClientID = 'x', "other", "d"
		start(t, c)
		if _, got := s.connack(false); string(got.WillMessage) != "bye" || string(got.WillTopic) != "gone" || string(got.ClientID) != "c" {
			t.Fatalf("%+v", got)
		}
	})
}

func TestTraceTellsTheLifeOfAClient(t *testing.T) {
	bubble(t, func(t *testing.T, s *script) {
		var told []string
		note := func(format string, args ...any) { told = append(told, fmt.Sprintf(format, args...)) }
		var c *running
		free := func() { c.Stats() } // no lock is held
		trace := &Trace{
			Connecting:   func(n int) { note("connecting %d", n) },
			Connected:    func(present bool) { free(); note("connected %v", present) },
			Disconnected: func(err error, retry bool, wait time.Duration) { free(); note("disconnected %v %v", retry, wait > 0) },
			Subscribed:   func(f string, q QoS, err error) { free(); note("subscribed %s %d %v", f, q, err) },
			Dropped:      func(m *Message, err error) { free(); note("dropped %s", describeMessage(m)) },
			Ignored:      func(p packet.Type, id uint16) { free(); note("ignored %v %d", p, id) },
		}
		ready := make(chan struct{})
		first := trace.Connecting
		trace.Connecting = func(n int) { <-ready; first(n) }
		c = s.run(Config{Trace: trace, Backoff: Backoff{Stable: time.Minute}, KeepAlive: -1})
		close(ready)
		s.accept().Close()
		srv, _ := s.connack(false)
		sub := c.subscribe(srv, "f", QoS2)
		srv.publish("nobody", QoS1, 1, "x")
		srv.want("PUBACK 1")
		srv.answer(packet.PUBACK, 9)
		time.Sleep(time.Minute) // it is stable
		srv.Close()
		srv, _ = s.connack(true)
		synctest.Wait()
		matches(t, sub.Ready(background))
		srv.Close()
		srv = s.accept()
		srv.want("CONNECT")
		srv.send(connackBytes(false, packet.RefusedClientID))
		c.wait()
		want := []string{"connecting 1", "disconnected true true", "connecting 2", "connected false", "subscribed f 2 <nil>",
			"dropped nobody q1 x", "ignored PUBACK 9", "disconnected true true", "connecting 1", "connected true",
			"disconnected true true", "connecting 2", "disconnected false false"}
		if !slices.Equal(told, want) {
			t.Fatalf("told %q\nwant %q", told, want)
		}
	})
}

// One line each: what was expected, what came, what to do.
func TestErrorsAreOneLine(t *testing.T) {
	for _, err := range []error{
		&ConnectError{packet.RefusedUnauthorized},
		&deliveryError{ErrUnconfirmed, &LostError{Cause: errBroken}},
		&deliveryError{ErrNotSent, ErrQueueFull},
		&LostError{Cause: &protocolError{violation(packet.SUBACK, "MQTT-3.8.4-5", "2 return codes for 1 topic filters")}},
		&closedError{&hungUpError{errBroken}},
		&rejectedError{3, errBroken},
		ErrStored,
	} {
		text := err.Error()
		if text == "" || strings.ContainsAny(text, "\n\t") || strings.ToLower(text[:1]) != text[:1] {
			t.Errorf("%q", text)
		}
	}
}
