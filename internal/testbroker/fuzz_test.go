package testbroker

import (
	"testing"
	"testing/synctest"
	"time"

	"iotwire/mqtt/packet"
)

// FuzzBroker gives a broker any bytes, behind a CONNECT or in place of one. It must neither panic nor hang, and others
// must not notice: what they are sent is MQTT, and they are served as before.
func FuzzBroker(f *testing.F) {
	for _, row := range badInput {
		f.Add(row.connected, unhex(row.bytes))
	}
	var session []byte
	for q := range packet.QoS(3) {
		session = append(session, request(1+uint16(q), q, "#", "a/+", "$share/g/a/#")...)
		p := packet.Publish{Topic: []byte("a/b"), Payload: []byte("payload"), QoS: q, Retain: true}
		if q > 0 {
			p.ID = 7
		}
		session, _ = packet.AppendPublish(session, &p)
	}
	session = append(session, unhex("40 02 00 01 50 02 00 02 62 02 00 07 70 02 00 02 a2 07 00 05 00 03 61 2f 2b c0 00 e0 00")...)
	f.Add(true, session)
	f.Add(false, append(unhex("10 13"+mqtt+"2c 00 3c 00 01 70 00 01 61 00 01 6d"), session...))

	f.Fuzz(func(t *testing.T, connected bool, input []byte) {
		inBubble(t, Config{QueueMessages: 10}, func(t *testing.T, b *Broker) {
			witness := b.resume(t, "witness", false)
			witness.subscribe(packet.QoS2, "#")
			c := b.dialTest(t)
			if connected {
				c.connect(packet.Connect{ClientID: []byte("p")}, false)
			}
			c.conn.SetDeadline(time.Now().Add(time.Second))
			c.conn.Write(input)
			for {
				if _, _, err := c.in.Next(); err != nil {
					break
				}
			}
			c.conn.Close()
			synctest.Wait()
			if s := b.Stats(); s.Connections > 2 {
				t.Errorf("%d connections are left", s.Connections)
			}
			if _, alive := b.sessions["witness"]; !alive || b.sessions["witness"].connection == nil {
				return // the input was a CONNECT with this identifier
			}
			witness.send(packet.AppendPingreq(nil))
			for {
				got := witness.next()
				if got == nil {
					t.Fatal("another client lost its connection")
				}
				h, n, _ := packet.ParseHeader(got)
				if h.Type == packet.PINGRESP {
					return
				}
				if _, err := packet.ParsePublish(h.Flags, got[n:]); h.Type != packet.PUBLISH || err != nil {
					t.Fatalf("another client gets %s: %v", show(got), err)
				}
			}
		})
	})
}

// FuzzPipe moves any bytes through a small pipe in pieces of any size: they arrive whole and in order.
func FuzzPipe(f *testing.F) {
	f.Add([]byte("hello, world"), uint8(3), uint8(2), uint8(5))
	f.Add([]byte{0}, uint8(0), uint8(0), uint8(0))
	f.Fuzz(func(t *testing.T, data []byte, limit, write, read uint8) {
		synctest.Test(t, func(t *testing.T) {
			client, server := NewPipe(1 + int(limit))
			go func() {
				defer client.Close()
				for rest := data; len(rest) > 0; {
					n := min(len(rest), 1+int(write))
					if m, err := client.Write(rest[:n]); m != n || err != nil {
						t.Errorf("write of %d bytes: %d, %v", n, m, err)
					}
					rest = rest[n:]
				}
			}()
			var got []byte
			piece := make([]byte, 1+int(read))
			for {
				n, err := server.Read(piece)
				got = append(got, piece[:n]...)
				if err != nil {
					break
				}
			}
			if string(got) != string(data) {
				t.Errorf("got %q, want %q", got, data)
			}
		})
	})
}
