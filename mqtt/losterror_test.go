package mqtt

import (
	"errors"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"iotwire/mqtt/packet"
)

// losses runs a client against a server that does on each connection, behind CONNACK, what one of acts says, and then
// hangs up. It returns what the client says about the end of each.
func losses(t *testing.T, cfg Config, begin func(*running), acts ...func(c *server)) (ends []*LostError) {
	s := newScript(t)
	cfg.Retry = func(err error) bool {
		var lost *LostError
		if !errors.As(err, &lost) || !errors.Is(err, ErrLost) {
			t.Errorf("%v (%T) is no LostError", err, err)
			return false
		}
		ends = append(ends, lost)
		return len(ends) < len(acts)
	}
	r := s.run(cfg)
	begin(r)
	for _, act := range acts {
		c, _ := s.connack(false)
		act(c)
		c.Close()
	}
	r.wait()
	return ends
}

func TestLostErrorNamesWhatTheServerHadNotAnswered(t *testing.T) {
	publish := func(messages ...Message) func(r *running) {
		return func(r *running) {
			for _, m := range messages {
				later(func() error { return r.Publish(background, m) })
				synctest.Wait()
			}
		}
	}
	pause := func(d time.Duration) func(*server) { return func(*server) { time.Sleep(d) } }
	for _, row := range []struct {
		what        string
		cfg         Config
		begin       func(*running)
		act         func(*server)
		publishing  *Message
		subscribing []string
		idle        time.Duration
	}{
		{"nothing", Config{}, func(*running) {}, pause(3 * time.Second), nil, nil, 3 * time.Second},
		{"the oldest that is not acknowledged", Config{}, publish(Message{Topic: "a", QoS: QoS1}, Message{Topic: "b", QoS: QoS2, Retain: true, Payload: []byte("x")}, Message{Topic: "c", QoS: QoS1}),
			func(c *server) {
				c.want("PUBLISH a q1 1 ", "PUBLISH b q2 retain 2 x", "PUBLISH c q1 3 ")
				c.answer(packet.PUBACK, 1)
				synctest.Wait()
			}, &Message{Topic: "b", QoS: QoS2, Retain: true}, nil, 0},
		{"one that waits was not sent", Config{Inflight: 1}, publish(Message{Topic: "a", QoS: QoS1}, Message{Topic: "b", QoS: QoS1}),
			func(c *server) {
				c.want("PUBLISH a q1 1 ")
				c.answer(packet.PUBACK, 1)
				c.want("PUBLISH b q1 2 ")
			}, &Message{Topic: "b", QoS: QoS1}, nil, 0},
		{"QoS 0, just before", Config{}, publish(Message{Topic: "a", Retain: true}), func(c *server) { c.want("PUBLISH a q0 retain ") },
			&Message{Topic: "a", Retain: true}, nil, 0},
		{"QoS 0, long before", Config{}, publish(Message{Topic: "a"}), pause(soon), nil, nil, soon},
		{"QoS 1 is not acknowledged, however long before", Config{}, publish(Message{Topic: "a", QoS: QoS1}), pause(soon), &Message{Topic: "a", QoS: QoS1}, nil, soon},
		{"SUBSCRIBE, but not UNSUBSCRIBE", Config{SubscribeBatch: 2}, func(r *running) {
			for _, filter := range []string{"x", "c/#", "b", "a"} {
				if _, err := r.Subscribe(filter, QoS1); err != nil {
					t.Fatal(err)
				}
			}
		}, func(c *server) {
			c.want("SUBSCRIBE 1 x q1 c/# q1", "SUBSCRIBE 2 b q1 a q1")
			c.suback(1, 1, 1)
			synctest.Wait()
		}, nil, []string{"a", "b"}, 0},
		{"what the server sends counts as a packet", Config{KeepAlive: 20 * time.Second}, func(*running) {}, func(c *server) {
			time.Sleep(20 * time.Second)
			c.want("PINGREQ")
			time.Sleep(2 * time.Second)
			c.answer0(packet.PINGRESP)
			time.Sleep(3 * time.Second)
		}, nil, nil, 3 * time.Second},
	} {
		t.Run(row.what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ends := losses(t, row.cfg, row.begin, row.act)
				if len(ends) != 1 || ends[0].Cause != io.EOF {
					t.Fatalf("it ended with %v", ends)
				}
				if diff := cmp.Diff(row.publishing, ends[0].Publishing, cmpopts.IgnoreUnexported(Message{})); diff != "" {
					t.Errorf("publishing (-want +got):\n%s", diff)
				}
				if diff := cmp.Diff(row.subscribing, ends[0].Subscribing); diff != "" {
					t.Errorf("subscribing (-want +got):\n%s", diff)
				}
				if ends[0].Idle != row.idle {
					t.Errorf("idle for %v, want %v", ends[0].Idle, row.idle)
				}
			})
		})
	}
}

func TestLostErrorCountsWhatWasAcknowledgedOnItsConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ends := losses(t, Config{}, func(r *running) {
			for _, m := range []Message{{Topic: "a", QoS: QoS1}, {Topic: "b", QoS: QoS2}, {Topic: "c", QoS: QoS1}} {
				later(func() error { return r.Publish(background, m) })
				synctest.Wait()
			}
		}, func(c *server) {
			c.want("PUBLISH a q1 1 ", "PUBLISH b q2 2 ", "PUBLISH c q1 3 ")
			c.answer(packet.PUBACK, 1)
			c.answer(packet.PUBREC, 2)
			c.want("PUBREL 2")
			c.answer(packet.PUBCOMP, 2)
			synctest.Wait()
		}, func(*server) {})
		if len(ends) != 2 || ends[0].Acknowledged != 2 || ends[1].Acknowledged != 0 {
			t.Errorf("the ends: %+v", ends)
		}
	})
}

func TestAMessageOfAnEarlierConnectionIsNotBlamed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ends := losses(t, Config{}, func(r *running) {
			later(func() error { return r.Publish(background, Message{Topic: "a"}) })
		}, func(c *server) { c.want("PUBLISH a q0 ") }, func(*server) {})
		if len(ends) != 2 || ends[0].Publishing == nil || ends[1].Publishing != nil {
			t.Errorf("the ends: %+v", ends)
		}
	})
}

func TestLostErrorCountsShortConnectionsInARow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		up := func(d time.Duration) func(*server) { return func(*server) { time.Sleep(d) } }
		silence := func(c *server) { // no answer to PINGREQ: the client ends it
			c.want("PINGREQ")
			c.closed()
		}
		var short []int
		for _, e := range losses(t, Config{KeepAlive: 10 * time.Second}, func(*running) {},
			up(0), up(time.Second), up(5*time.Second), silence, up(0), up(0)) {
			short = append(short, e.Short)
		}
		if diff := cmp.Diff([]int{1, 2, 3, 0, 1, 2}, short); diff != "" {
			t.Error(diff)
		}
		ends := losses(t, Config{KeepAlive: -1}, func(*running) {}, up(0), up(30*time.Second), up(29*time.Second))
		if len(ends) != 3 || ends[0].Short != 1 || ends[1].Short != 0 || ends[2].Short != 1 || ends[2].Up != 29*time.Second {
			t.Errorf("the ends: %+v", ends)
		}
	})
}
