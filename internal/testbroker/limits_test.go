package testbroker

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"iotwire/mqtt/packet"
)

// A subscriber that never reads has a bounded queue, and nobody waits for it.
func TestSlowSubscriber(t *testing.T) {
	for q := range packet.QoS(3) {
		inBubble(t, Config{QueueMessages: 100, OutgoingBytes: 100_000}, func(t *testing.T, b *Broker) {
			slow, fast, publisher := b.join(t, "slow"), b.join(t, "fast"), b.join(t, "p")
			slow.subscribe(q, "x")
			fast.subscribe(packet.QoS0, "x")
			start := time.Now()
			payload := strings.Repeat("m", 1000)
			for range 1000 {
				publisher.publish("x", payload, q, false)
				fast.receive("x", payload, packet.QoS0, false)
			}
			if took := time.Since(start); took > 0 {
				t.Errorf("the others waited %v", took)
			}
			s := b.Stats()
			if s.Queued > 100 || s.Dropped == 0 {
				t.Errorf("QoS %d: %+v, want at most 100 queued and the rest dropped", q, s)
			}
			b.mu.Lock()
			waiting := len(b.sessions["slow"].connection.out)
			b.mu.Unlock()
			if waiting > 102_000 {
				t.Errorf("QoS %d: %d bytes wait to be written, limit 100000", q, waiting)
			}
			// What was not dropped comes, in order, once it reads.
			if got := len(slow.collect(1000 - s.Dropped)); got+s.Dropped != 1000 {
				t.Errorf("QoS %d: %d messages came and %d were dropped, of 1000", q, got, s.Dropped)
			}
			slow.wantNothing()
		})
	}
}

func TestQueueIsBoundedWhileTheClientIsAway(t *testing.T) {
	for name, config := range map[string]Config{
		"messages": {QueueMessages: 10},
		"bytes":    {QueueBytes: 10 * 101},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, config, func(t *testing.T, b *Broker) {
				c := b.resume(t, "a", false)
				c.subscribe(packet.QoS1, "x")
				c.vanish()
				for i := range 50 {
					b.Publish("x", fmt.Appendf(nil, "%0100d", i), packet.QoS1, false)
				}
				if s := b.Stats(); s.Queued != 10 || s.Dropped != 40 {
					t.Errorf("%+v, want 10 queued and 40 dropped", s)
				}
				c = b.resume(t, "a", true)
				for i := range 10 { // the oldest were kept
					c.receive("x", fmt.Sprintf("%0100d", i), packet.QoS1, false)
				}
				c.wantNothing()
				b.Publish("x", nil, packet.QoS1, false)
				c.receive("x", "", packet.QoS1, false)
				b.mu.Lock()
				defer b.mu.Unlock()
				if n := b.sessions["a"].queueBytes; n != 0 {
					t.Errorf("%d bytes are counted in an empty queue", n)
				}
			})
		})
	}
}

// Large messages in flight are sent again no faster than the client reads.
func TestResendIsBounded(t *testing.T) {
	inBubble(t, Config{OutgoingBytes: 1 << 20}, func(t *testing.T, b *Broker) {
		c := b.resume(t, "a", false)
		c.subscribe(packet.QoS1, "x")
		payload := make([]byte, 600_000)
		for range 20 {
			b.Publish("x", payload, packet.QoS1, false)
		}
		for range 20 {
			c.nextPublish()
		}
		c.vanish()
		c = b.resume(t, "a", true)
		synctest.Wait()
		b.mu.Lock()
		waiting := len(b.sessions["a"].connection.out)
		b.mu.Unlock()
		if waiting > 1<<20+600_010 {
			t.Errorf("%d bytes wait to be written", waiting)
		}
		for id := range uint16(20) {
			p := c.nextPublish()
			if p.ID != id+1 || !p.Dup || len(p.Payload) != len(payload) {
				t.Fatalf("got %s, want identifier %d again", describe(p), id+1)
			}
			c.acknowledge(p)
		}
		c.wantNothing()
	})
}

// What is acknowledged before its turn to be sent again comes is not sent again.
func TestAcknowledgedWhileResendWaits(t *testing.T) {
	inBubble(t, Config{OutgoingBytes: 1000}, func(t *testing.T, b *Broker) {
		c := b.resume(t, "a", false)
		c.subscribe(packet.QoS2, "x")
		var sent []packet.Publish
		for i := range 6 {
			b.Publish("x", make([]byte, 100_000), packet.QoS1+packet.QoS(i%2), false)
			sent = append(sent, c.nextPublish())
		}
		c.vanish()
		c = b.dialTest(t)
		c.sendPacket(packet.AppendConnect(nil, &packet.Connect{ClientID: []byte("a")}))
		c.sendPacket(packet.AppendPuback(nil, &packet.Puback{ID: sent[4].ID}))
		c.sendPacket(packet.AppendPubrec(nil, &packet.Pubrec{ID: sent[5].ID}))
		synctest.Wait() // the first fills the connection, the others wait
		c.want(unhex("20 02 01 00"), nil)
		released := false
		for i := 0; i < 4 || !released; {
			got := c.next()
			if got[0] == 0x62 {
				released = true
				continue
			}
			sent[i].Dup = true
			if want, _ := packet.AppendPublish(nil, &sent[i]); !bytes.Equal(got, want) {
				t.Fatalf("got %s, want %s", show(got), describe(sent[i]))
			}
			i++
		}
		c.wantNothing()
	})
}

// A client that sends and never reads the answers is not read any more, and loses its connection by keep alive.
func TestClientThatNeverReadsItsAnswers(t *testing.T) {
	inBubble(t, Config{}, func(t *testing.T, b *Broker) {
		c := b.dialTest(t)
		c.connect(packet.Connect{ClientID: []byte("a"), CleanSession: true, KeepAlive: 10}, false)
		burst := []byte(strings.Repeat("\xc0\x00", 10_000))
		c.conn.SetWriteDeadline(time.Now().Add(time.Hour))
		start, sent := time.Now(), 0
		for {
			n, err := c.conn.Write(burst)
			sent += n
			if err != nil {
				break
			}
		}
		if sent > 4*maxReplies || time.Since(start) > 16*time.Second {
			t.Errorf("%d bytes were taken in %v", sent, time.Since(start))
		}
	})
}

func TestLargePayloads(t *testing.T) {
	inBubble(t, Config{}, func(t *testing.T, b *Broker) {
		publisher, subscriber := b.join(t, "p"), b.join(t, "s")
		subscriber.subscribe(packet.QoS2, "x")
		for _, size := range []int{0, 1, 120, 121, 16_376, 16_377, 128 << 10, 1 << 20, 2_097_144, 2_097_145} {
			payload := strings.Repeat("m", size)
			for q := range packet.QoS(3) {
				publisher.publish("x", payload, q, false)
				subscriber.receive("x", payload, q, false)
			}
		}
	})
}

func TestPacketAboveTheLimitClosesTheConnection(t *testing.T) {
	inBubble(t, Config{MaxPacket: 1000}, func(t *testing.T, b *Broker) {
		c := b.join(t, "a")
		c.publish("x", strings.Repeat("m", 994), packet.QoS0, false)
		c.ping()
		c.send(unhex("30 e6 07")) // 1001 bytes; no need to wait for them
		c.wantClosed()
	})
}

func TestConnectionsAreBounded(t *testing.T) {
	inBubble(t, Config{MaxConnections: 3}, func(t *testing.T, b *Broker) {
		for i := range 3 {
			b.join(t, fmt.Sprint(i))
		}
		b.dialTest(t).wantClosed()
		b.Drop("1", FIN)
		synctest.Wait()
		b.join(t, "3")
	})
}

func TestThousandConnectsLeaveNothingBehind(t *testing.T) {
	inBubble(t, Config{}, func(t *testing.T, b *Broker) {
		before := goroutines()
		for i := range 1000 {
			c := b.dialTest(t)
			c.connect(packet.Connect{CleanSession: true, Will: true, WillTopic: []byte("will")}, false)
			c.subscribe(packet.QoS2, fmt.Sprint("x/", i), "$share/g/x")
			c.send(unhex("34 05 00 01 79 00 07"))
			c.want(unhex("50 02 00 07"), nil)
			switch i % 3 {
			case 0:
				c.disconnect()
			case 1:
				c.conn.Close()
			case 2:
				c.conn.(*Conn).Reset(nil)
			}
		}
		synctest.Wait()
		if s := b.Stats(); s != (Stats{}) {
			t.Errorf("left behind: %+v", s)
		}
		if len(b.subscriptions.root.children) != 0 {
			t.Error("levels are left in the tree")
		}
		if n := goroutines(); n > before {
			t.Errorf("%d goroutines, before there were %d", n, before)
		}
	})
}

// goroutines counts those of a bubble: the runtime's own, such as one that runs finalizers, come and go.
func goroutines() int {
	stacks := make([]byte, 1<<20)
	return strings.Count(string(stacks[:runtime.Stack(stacks, true)]), ", synctest bubble ")
}

func TestCloseEndsEverything(t *testing.T) {
	inBubble(t, Config{}, func(t *testing.T, b *Broker) {
		silent, joined, stuck := b.dialTest(t), b.join(t, "a"), b.join(t, "b")
		stuck.subscribe(packet.QoS0, "x")
		b.Publish("x", make([]byte, 1<<20), packet.QoS0, false) // more than the connection holds
		synctest.Wait()
		start := time.Now()
		b.Close()
		if took := time.Since(start); took > 0 {
			t.Errorf("Close took %v", took)
		}
		silent.wantClosed()
		joined.wantClosed()
		b.Close()
		if _, err := b.Dial(context.Background()); !errors.Is(err, ErrClosed) {
			t.Errorf("Dial: %v, want ErrClosed", err)
		}
		if err := b.Publish("x", nil, packet.QoS0, false); !errors.Is(err, ErrClosed) {
			t.Errorf("Publish: %v, want ErrClosed", err)
		}
	})
}
