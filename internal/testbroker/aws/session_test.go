package aws

import (
	"testing"
	"time"

	"iotwire/mqtt/packet"
)

func TestSessionEndsAfterAnHour(t *testing.T) {
	for _, test := range []struct {
		config Config
		lasts  time.Duration
	}{
		{Config{}, time.Hour},
		{Config{SessionExpiry: 7 * time.Minute}, 7 * time.Minute},
	} {
		onDesk(t, test.config, func(t *testing.T, d *desk) {
			w := d.resume("c1", false)
			w.subscribe(1, "a")
			w.disconnect()
			time.Sleep(test.lasts - time.Second)
			w = d.resume("c1", true)
			time.Sleep(20 * time.Minute) // while the client is there nothing ends
			w.vanish()
			time.Sleep(test.lasts - time.Second)
			other := d.join("other")
			other.publish("a", "x", 1)
			other.wantPuback(1)
			if stats := d.Stats(); stats.Queued != 1 || stats.Sessions != 2 {
				t.Errorf("%+v, want the session with a message", stats)
			}
			time.Sleep(time.Second + time.Millisecond)
			if stats := d.Stats(); stats.Queued != 0 || stats.Sessions != 1 || stats.Subscriptions != 0 {
				t.Errorf("%+v, want it gone", stats)
			}
			w = d.resume("c1", false)
			w.wantSilence()
		})
	}
}

func TestStoredMessagesComeTenInASecond(t *testing.T) {
	onDesk(t, Config{}, func(t *testing.T, d *desk) {
		w := d.resume("c1", false)
		w.subscribe(1, "stored", "new")
		from := d.join("from")
		for i := range uint16(3) { // sent, and not acknowledged
			from.publish("stored", "x", i+1)
			from.wantPuback(i + 1)
			w.want(packet.AppendPublish(nil, &packet.Publish{Topic: []byte("stored"), Payload: []byte("x"), QoS: 1, ID: i + 1}))
		}
		w.vanish()
		for i := range uint16(27) {
			from.publish("stored", "x", i+4)
			from.wantPuback(i + 4)
		}
		time.Sleep(time.Second)
		w = d.resume("c1", true)
		start := time.Now()
		for i := range uint16(20) {
			w.wantMessage("stored", "x", i+1) // DUP is 0 for the first three too
			if want := time.Duration(i) * 100 * time.Millisecond; time.Since(start) != want {
				t.Errorf("message %d after %v, want %v", i+1, time.Since(start), want)
			}
		}
		from.publish("new", "y", 40) // goes along with them
		from.wantPuback(40)
		w.wantMessage("new", "y", 21)
		w.vanish() // what is left of the stored messages waits for the next time
		time.Sleep(time.Second)
		w = d.resume("c1", true)
		for i := range uint16(10) {
			w.wantMessage("stored", "x", i+22)
		}
		w.wantSilence()
	})
}

func TestUnacknowledgedMessageIsSentAgainForAnHour(t *testing.T) {
	for _, test := range []struct {
		config Config
		every  time.Duration
		times  int
	}{
		{Config{}, 30 * time.Second, 119},
		{Config{RedeliverAfter: 10 * time.Minute}, 10 * time.Minute, 5},
		{Config{RedeliverAfter: -1}, 0, 0},
	} {
		onDesk(t, test.config, func(t *testing.T, d *desk) {
			w := d.join("c1")
			w.subscribe(1, "a")
			w.publish("a", "x", 7)
			message := packet.Publish{Topic: []byte("a"), Payload: []byte("x"), QoS: 1, ID: 1}
			w.want(packet.AppendPublish(nil, &message))
			w.wantPuback(7)
			start := time.Now()
			for i := range test.times {
				w.conn.SetReadDeadline(time.Now().Add(test.every + time.Second))
				w.wantBefore(packet.AppendPublish(nil, &message)) // DUP is 0
				if took := time.Since(start); took != time.Duration(i+1)*test.every {
					t.Fatalf("again after %v, want %v", took, time.Duration(i+1)*test.every)
				}
				w.send(packet.AppendPingreq(nil), nil)
				w.want(packet.AppendPingresp(nil), nil)
			}
			for range 4 { // nothing more comes
				time.Sleep(20 * time.Minute)
				w.send(packet.AppendPingreq(nil), nil)
				w.want(packet.AppendPingresp(nil), nil)
			}
			if stats := d.Stats(); stats.Inflight > 0 && test.times > 0 {
				t.Errorf("%d messages in flight, want it given up", stats.Inflight)
			}
		})
	}
}

func TestAcknowledgedMessageIsNotSentAgain(t *testing.T) {
	onDesk(t, Config{}, func(t *testing.T, d *desk) {
		w := d.join("c1")
		w.subscribe(1, "a")
		for i, payload := range []string{"first", "second"} {
			w.publish("a", payload, uint16(i+1))
			w.want(packet.AppendPublish(nil, &packet.Publish{Topic: []byte("a"), Payload: []byte(payload), QoS: 1, ID: uint16(i + 1)}))
			w.wantPuback(uint16(i + 1))
			time.Sleep(10 * time.Second)
		}
		w.send(packet.AppendPuback(nil, &packet.Puback{ID: 1}))
		time.Sleep(20 * time.Second) // the second is due
		w.wantMessage("a", "second", 2)
		time.Sleep(time.Minute)
		w.wantSilence()
	})
}
