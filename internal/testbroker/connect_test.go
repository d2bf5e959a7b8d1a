package testbroker

import (
	"crypto/tls"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"iotwire/mqtt/packet"
)

func TestMQTT_3_1_0_1(t *testing.T) {
	for _, first := range []string{"20 02 00 00", "30 04 00 01 61 62", "40 02 00 01", "50 02 00 01", "62 02 00 01", "70 02 00 01",
		"82 06 00 01 00 01 61 00", "90 03 00 01 00", "a2 05 00 01 00 01 61", "b0 02 00 01", "c0 00", "d0 00", "e0 00"} {
		inBubble(t, Config{}, func(t *testing.T, b *Broker) {
			c := b.dialTest(t)
			c.send(unhex(first))
			c.wantClosed()
		})
		// Its first byte is enough.
		inBubble(t, Config{}, func(t *testing.T, b *Broker) {
			c := b.dialTest(t)
			c.send(unhex(first)[:1])
			start := time.Now()
			c.wantClosed()
			if time.Since(start) > 0 {
				t.Errorf("%s: closed after %v, want at once", first[:2], time.Since(start))
			}
		})
	}
}

func TestMQTT_3_1_0_2(t *testing.T) {
	inBubble(t, Config{}, func(t *testing.T, b *Broker) {
		c := b.join(t, "a")
		c.sendPacket(packet.AppendConnect(nil, &packet.Connect{ClientID: []byte("a"), CleanSession: true}))
		c.wantClosed()
	})
}

func TestMQTT_3_1_2_1(t *testing.T) {
	for _, name := range []string{"MQTU", "mqtt", "MQIsdX", "", "MQTTMQTT"} {
		inBubble(t, Config{}, func(t *testing.T, b *Broker) {
			c := b.dialTest(t)
			body := append([]byte{0, byte(len(name))}, name...)
			body = append(body, 4, 2, 0, 60, 0, 1, 'p')
			c.send(append([]byte{0x10, byte(len(body))}, body...))
			c.wantClosed()
		})
	}
}

func TestMQTT_3_1_2_2(t *testing.T) {
	for _, level := range []byte{0, 3, 5, 0x84, 255} {
		inBubble(t, Config{}, func(t *testing.T, b *Broker) {
			c := b.dialTest(t)
			connect := unhex("10 0d 00 04 4d 51 54 54 04 02 00 3c 00 01 70")
			connect[8] = level
			c.send(connect)
			c.want(unhex("20 02 00 01"), nil)
			c.wantClosed()
		})
	}
	inBubble(t, Config{}, func(t *testing.T, b *Broker) {
		c := b.dialTest(t)
		c.send(unhex("10 0f 00 06 4d 51 49 73 64 70 03 02 00 3c 00 01 70")) // MQTT 3.1
		c.want(unhex("20 02 00 01"), nil)
		c.wantClosed()
	})
}

func TestMQTT_3_1_2_3(t *testing.T) {
	inBubble(t, Config{}, func(t *testing.T, b *Broker) {
		c := b.dialTest(t)
		c.send(unhex("10 0d 00 04 4d 51 54 54 04 03 00 3c 00 01 70"))
		c.wantClosed()
	})
}

func TestMQTT_3_1_2_4(t *testing.T) {
	inBubble(t, Config{}, func(t *testing.T, b *Broker) {
		c := b.resume(t, "a", false)
		c.subscribe(packet.QoS1, "x")
		c.disconnect()
		time.Sleep(1000 * time.Hour)
		c = b.resume(t, "a", true)
		b.Publish("x", []byte("1"), packet.QoS0, false)
		c.receive("x", "1", packet.QoS0, false)
		c.vanish() // the session is kept however the connection ends
		c = b.resume(t, "a", true)
		b.Publish("x", []byte("2"), packet.QoS0, false)
		c.receive("x", "2", packet.QoS0, false)
	})
}

func TestMQTT_3_1_2_5(t *testing.T) {
	inBubble(t, Config{}, func(t *testing.T, b *Broker) {
		c := b.resume(t, "a", false)
		c.subscribe(packet.QoS2, "x")
		c.disconnect()
		synctest.Wait()
		publisher := b.join(t, "b")
		publisher.publish("x", "0", packet.QoS0, false) // QoS 0 need not be kept, and is not
		publisher.publish("x", "1", packet.QoS1, false)
		publisher.publish("x", "2", packet.QoS2, false)
		c = b.resume(t, "a", true)
		c.receive("x", "1", packet.QoS1, false)
		c.receive("x", "2", packet.QoS2, false)
		c.wantNothing()
	})
}

func TestMQTT_3_1_2_6(t *testing.T) {
	inBubble(t, Config{}, func(t *testing.T, b *Broker) {
		c := b.resume(t, "a", false)
		c.subscribe(packet.QoS1, "x")
		c.disconnect()
		b.Publish("x", []byte("waits"), packet.QoS1, false)

		c = b.join(t, "a")
		b.Publish("x", []byte("2"), packet.QoS1, false)
		c.wantNothing()
		c.subscribe(packet.QoS1, "y")
		c.disconnect()
		synctest.Wait()
		if s := b.Stats(); s != (Stats{}) {
			t.Errorf("after a clean session there is %+v", s)
		}
		c = b.resume(t, "a", false)
		b.Publish("y", []byte("3"), packet.QoS1, false)
		c.wantNothing()
	})
}

func TestMQTT_3_1_2_24(t *testing.T) {
	for _, keepAlive := range []uint16{1, 10, 65_535} {
		inBubble(t, Config{}, func(t *testing.T, b *Broker) {
			c := b.dialTest(t)
			c.connect(packet.Connect{ClientID: []byte("a"), CleanSession: true, KeepAlive: keepAlive}, false)
			second := time.Duration(keepAlive) * time.Second
			for range 3 { // anything that the client sends counts
				time.Sleep(second * 3 / 2 * 9 / 10)
				c.sendPacket(packet.AppendPuback(nil, &packet.Puback{ID: 9}))
				synctest.Wait()
			}
			b.Publish("not subscribed", nil, packet.QoS0, false)
			start := time.Now()
			c.in = packet.NewReader(c.conn, 100)
			c.conn.SetReadDeadline(time.Time{})
			if _, _, err := c.in.Next(); err == nil {
				t.Fatal("a packet came")
			}
			if took := time.Since(start); took != second*3/2 {
				t.Errorf("keep alive %v: closed after %v of silence, want one and a half times", second, took)
			}
		})
	}
	inBubble(t, Config{}, func(t *testing.T, b *Broker) {
		c := b.join(t, "a") // keep alive 0 turns it off
		time.Sleep(10_000 * time.Hour)
		c.ping()
	})
}

func TestKeepAliveCountsProgressOfALargePacket(t *testing.T) {
	inBubble(t, Config{}, func(t *testing.T, b *Broker) {
		c := b.dialTest(t)
		c.connect(packet.Connect{ClientID: []byte("slow"), CleanSession: true, KeepAlive: 10}, false)
		c.subscribe(packet.QoS0, "a")
		payload := strings.Repeat("x", 100_000)
		p, err := packet.AppendPublish(nil, &packet.Publish{Topic: []byte("a"), Payload: []byte(payload)})
		if err != nil {
			t.Fatal(err)
		}
		for len(p) > 0 { // takes 170 minutes
			n := min(len(p), 100)
			c.send(p[:n])
			p = p[n:]
			time.Sleep(time.Second)
		}
		c.receive("a", payload, packet.QoS0, false)
	})
	inBubble(t, Config{}, func(t *testing.T, b *Broker) {
		c := b.dialTest(t)
		c.connect(packet.Connect{ClientID: []byte("drip"), CleanSession: true, KeepAlive: 10}, false)
		c.send(unhex("30 80 80 40 00 01 61"))
		for range 14 {
			time.Sleep(time.Second)
			c.send([]byte{0})
		}
		time.Sleep(2 * time.Second)
		c.wantClosed()
	})
}

func TestMQTT_3_1_3_2(t *testing.T) {
	inBubble(t, Config{}, func(t *testing.T, b *Broker) {
		for _, id := range []string{"a", "A", "a ", "..", "/", "#", "+", "%00", "CON", "__proto__", "\ufeffa", strings.Repeat("x", 65_535)} {
			c := b.resume(t, id, false)
			c.disconnect()
			c = b.resume(t, id, true)
			c.disconnect()
		}
		synctest.Wait()
		if got := b.Stats().Sessions; got != 12 {
			t.Errorf("%d sessions, want one for each of 12 identifiers", got)
		}
	})
}

func TestMQTT_3_1_3_5(t *testing.T) {
	const letters = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
	inBubble(t, Config{}, func(t *testing.T, b *Broker) {
		for n := 1; n <= 23; n++ {
			b.join(t, letters[:n])
		}
		for i := range len(letters) {
			b.join(t, letters[i:i+1])
		}
		b.join(t, "test-01234567-89ab-cdef-0123-456789abcdef")
	})
}

func TestMQTT_3_1_3_6(t *testing.T) {
	var transcript Transcript
	inBubble(t, Config{Observe: transcript.Observe}, func(t *testing.T, b *Broker) {
		b.join(t, "")
		b.join(t, "").ping()
		b.join(t, "").ping()
		if got := b.Stats(); got.Connections != 3 || got.Sessions != 3 {
			t.Errorf("%+v, want three clients", got)
		}
	})
	ids := make(map[string]bool)
	for _, e := range transcript.Events() {
		if e.Kind == Sent {
			ids[e.ClientID] = true
		}
	}
	if len(ids) != 3 || ids[""] {
		t.Errorf("identifiers are %v, want three", ids)
	}
}

func TestMQTT_3_1_3_8(t *testing.T) {
	inBubble(t, Config{}, func(t *testing.T, b *Broker) {
		c := b.dialTest(t)
		c.send(unhex("10 0c 00 04 4d 51 54 54 04 00 00 3c 00 00"))
		c.want(unhex("20 02 00 02"), nil)
		c.wantClosed()
		synctest.Wait()
		if s := b.Stats(); s.Sessions != 0 {
			t.Errorf("%d sessions, want none", s.Sessions)
		}
	})
}

func TestMQTT_3_1_3_9(t *testing.T) {
	only := func(c *packet.Connect, _ *tls.ConnectionState) packet.ConnectCode {
		if string(c.ClientID) != "good" {
			return packet.RefusedClientID
		}
		return packet.Accepted
	}
	inBubble(t, Config{Authenticate: only}, func(t *testing.T, b *Broker) {
		b.join(t, "good")
		c := b.dialTest(t)
		c.sendPacket(packet.AppendConnect(nil, &packet.Connect{ClientID: []byte("bad")}))
		c.want(unhex("20 02 00 02"), nil)
		c.wantClosed()
	})
}

func TestMQTT_3_1_4_1(t *testing.T) {
	// badinput_test.go has many more.
	inBubble(t, Config{}, func(t *testing.T, b *Broker) {
		c := b.dialTest(t)
		c.send(unhex("10 0d 00 04 4d 51 54 54 04 0a 00 3c 00 01 70")) // will QoS without will
		c.wantClosed()
	})
}

func TestMQTT_3_1_4_2(t *testing.T) {
	for _, clean := range []bool{false, true} {
		for _, newClean := range []bool{false, true} {
			inBubble(t, Config{}, func(t *testing.T, b *Broker) {
				witness := b.join(t, "witness")
				witness.subscribe(packet.QoS0, "will")
				old := b.dialTest(t)
				old.connect(packet.Connect{ClientID: []byte("a"), CleanSession: clean, Will: true, WillTopic: []byte("will")}, false)
				old.subscribe(packet.QoS0, "x")
				present := !clean && !newClean
				next := b.dialTest(t)
				next.connect(packet.Connect{ClientID: []byte("a"), CleanSession: newClean}, present)
				old.wantClosed()
				witness.receive("will", "", packet.QoS0, false)
				b.Publish("x", []byte("for the newer one"), packet.QoS0, false)
				if present {
					next.receive("x", "for the newer one", packet.QoS0, false)
				}
				next.wantNothing()
				if s := b.Stats(); s.Connections != 2 || s.Sessions != 2 {
					t.Errorf("%+v, want one connection and one session for the identifier", s)
				}
			})
		}
	}
}

// A client is cut off while it is sending a PUBLISH: what has come of it is not delivered.
func TestTakeOverInThePublish(t *testing.T) {
	inBubble(t, Config{}, func(t *testing.T, b *Broker) {
		old := b.resume(t, "a", false)
		old.subscribe(packet.QoS1, "x")
		p, _ := packet.AppendPublish(nil, &packet.Publish{Topic: []byte("x"), ID: 1, QoS: packet.QoS1, Payload: []byte("half")})
		old.send(p[:len(p)-1])
		synctest.Wait()
		next := b.resume(t, "a", true)
		old.wantClosed()
		next.wantNothing()
	})
}

func TestMQTT_3_1_4_3(t *testing.T) {
	// A CONNECT that is refused does not touch the session.
	refuse := func(c *packet.Connect, _ *tls.ConnectionState) packet.ConnectCode {
		if string(c.Password) != "right" {
			return packet.RefusedCredentials
		}
		return packet.Accepted
	}
	inBubble(t, Config{Authenticate: refuse}, func(t *testing.T, b *Broker) {
		right := packet.Connect{ClientID: []byte("a"), HasUserName: true, UserName: []byte("u"), HasPassword: true, Password: []byte("right")}
		c := b.dialTest(t)
		c.connect(right, false)
		c.subscribe(packet.QoS0, "x")

		wrong := right
		wrong.CleanSession, wrong.Password = true, []byte("wrong")
		thief := b.dialTest(t)
		thief.sendPacket(packet.AppendConnect(nil, &wrong))
		thief.want(unhex("20 02 00 04"), nil)
		thief.wantClosed()

		b.Publish("x", []byte("still there"), packet.QoS0, false)
		c.receive("x", "still there", packet.QoS0, false)
	})
}

func TestMQTT_3_1_4_4(t *testing.T) {
	inBubble(t, Config{}, func(t *testing.T, b *Broker) {
		c := b.dialTest(t)
		c.send(unhex("10 0d 00 04 4d 51 54 54 04 02 00 3c 00 01 70"))
		c.want(unhex("20 02 00 00"), nil)
	})
}

func TestMQTT_3_1_4_5(t *testing.T) {
	refuse := func(*packet.Connect, *tls.ConnectionState) packet.ConnectCode { return packet.RefusedUnauthorized }
	inBubble(t, Config{Authenticate: refuse}, func(t *testing.T, b *Broker) {
		c := b.dialTest(t)
		c.send(unhex("10 0d 00 04 4d 51 54 54 04 02 00 3c 00 01 70 33 06 00 01 61 00 01 62 82 06 00 01 00 01 61 00"))
		c.want(unhex("20 02 00 05"), nil)
		c.wantClosed()
		synctest.Wait()
		if s := b.Stats(); s.Retained != 0 || s.Subscriptions != 0 {
			t.Errorf("what came behind the refused CONNECT was processed: %+v", s)
		}
	})
}

// Section 3.1.4: a client need not wait for CONNACK.
func TestPacketsBehindConnectInOneWrite(t *testing.T) {
	inBubble(t, Config{}, func(t *testing.T, b *Broker) {
		c := b.dialTest(t)
		c.send(unhex("10 0d 00 04 4d 51 54 54 04 02 00 3c 00 01 70 32 09 00 05 74 6f 70 69 63 00 01 e0 00 c0 00"))
		c.want(unhex("20 02 00 00"), nil)
		c.want(unhex("40 02 00 01"), nil)
		c.wantClosed() // what comes behind DISCONNECT is not answered
	})
}

func TestMQTT_3_2_0_1(t *testing.T) {
	inBubble(t, Config{}, func(t *testing.T, b *Broker) {
		c := b.resume(t, "a", false)
		c.subscribe(packet.QoS1, "x")
		c.vanish()
		b.Publish("x", []byte("waits"), packet.QoS1, false)
		c = b.dialTest(t)
		c.send(unhex("10 0d 00 04 4d 51 54 54 04 00 00 3c 00 01 61 c0 00"))
		c.want(unhex("20 02 01 00"), nil)
	})
}

func TestMQTT_3_2_2_1(t *testing.T) {
	inBubble(t, Config{}, func(t *testing.T, b *Broker) {
		b.resume(t, "a", false).disconnect()
		c := b.dialTest(t)
		c.connect(packet.Connect{ClientID: []byte("a"), CleanSession: true}, false)
	})
}

func TestMQTT_3_2_2_2(t *testing.T) {
	inBubble(t, Config{}, func(t *testing.T, b *Broker) {
		b.resume(t, "a", false).disconnect()
		b.resume(t, "a", true).disconnect()
	})
}

func TestMQTT_3_2_2_3(t *testing.T) {
	inBubble(t, Config{}, func(t *testing.T, b *Broker) {
		b.resume(t, "a", false)
		b.resume(t, "b", false).disconnect()
		if !b.Forget("b") {
			t.Error("no session to forget")
		}
		b.resume(t, "b", false)
	})
}

// With each return code but 0, also when there is a session.
func TestMQTT_3_2_2_4(t *testing.T) {
	for code := packet.RefusedVersion; code <= packet.RefusedUnauthorized; code++ {
		refuse := packet.Accepted
		ask := func(*packet.Connect, *tls.ConnectionState) packet.ConnectCode { return refuse }
		inBubble(t, Config{Authenticate: ask}, func(t *testing.T, b *Broker) {
			b.resume(t, "a", false).disconnect()
			refuse = code
			c := b.dialTest(t)
			c.sendPacket(packet.AppendConnect(nil, &packet.Connect{ClientID: []byte("a")}))
			c.want([]byte{0x20, 2, 0, byte(code)}, nil)
			c.wantClosed()
		})
	}
}

// Also when the client goes on sending, and does not close its end.
func TestMQTT_3_2_2_5(t *testing.T) {
	for code, connect := range map[byte]string{
		1: "10 0d 00 04 4d 51 54 54 05 02 00 3c 00 01 70",
		2: "10 0c 00 04 4d 51 54 54 04 00 00 3c 00 00",
		3: "10 0d 00 04 4d 51 54 54 04 02 00 3c 00 01 71", // no place for another session
	} {
		inBubble(t, Config{MaxSessions: 1}, func(t *testing.T, b *Broker) {
			b.join(t, "p")
			c := b.dialTest(t)
			c.send(unhex(connect + "c0 00 c0 00"))
			c.want([]byte{0x20, 2, 0, code}, nil)
			c.wantClosed()
			time.Sleep(2 * time.Second)
			if _, err := c.conn.Write([]byte{0xc0}); err == nil {
				t.Error("the connection still takes bytes")
			}
			if s := b.Stats(); s.Connections != 1 {
				t.Errorf("%d connections, want 1", s.Connections)
			}
		})
	}
}

func TestMQTT_3_2_2_6(t *testing.T) {
	ask := func(*packet.Connect, *tls.ConnectionState) packet.ConnectCode { return 6 }
	inBubble(t, Config{Authenticate: ask}, func(t *testing.T, b *Broker) {
		c := b.dialTest(t)
		c.sendPacket(packet.AppendConnect(nil, &packet.Connect{ClientID: []byte("a")}))
		c.wantClosed()
	})
}

func TestConnectTimeout(t *testing.T) {
	inBubble(t, Config{ConnectTimeout: 5 * time.Second}, func(t *testing.T, b *Broker) {
		silent, drip := b.dialTest(t), b.dialTest(t)
		connect := unhex("10 0d 00 04 4d 51 54 54 04 02 00 3c 00 01 70")
		start := time.Now()
		for _, c := range connect[:5] {
			drip.send([]byte{c})
			time.Sleep(900 * time.Millisecond)
		}
		time.Sleep(time.Second)
		silent.wantClosed()
		drip.wantClosed()
		if took := time.Since(start); took > 6*time.Second {
			t.Errorf("closed after %v", took)
		}
	})
}

func TestCredentialsReachAuthenticate(t *testing.T) {
	ask := func(c *packet.Connect, state *tls.ConnectionState) packet.ConnectCode {
		if !c.HasUserName || string(c.UserName) != "user" || string(c.Password) != "secret" || state != nil {
			return packet.RefusedCredentials
		}
		return packet.Accepted
	}
	inBubble(t, Config{Authenticate: ask}, func(t *testing.T, b *Broker) {
		c := b.dialTest(t)
		c.connect(packet.Connect{CleanSession: true, HasUserName: true, UserName: []byte("user"),
			HasPassword: true, Password: []byte("secret")}, false)
		c = b.dialTest(t)
		c.sendPacket(packet.AppendConnect(nil, &packet.Connect{CleanSession: true}))
		c.want(unhex("20 02 00 04"), nil)
		c.wantClosed()
	})
}

func TestRequireCertificateRefusesPlainConnections(t *testing.T) {
	inBubble(t, Config{RequireCertificate: true}, func(t *testing.T, b *Broker) {
		c := b.dialTest(t)
		c.sendPacket(packet.AppendConnect(nil, &packet.Connect{CleanSession: true}))
		c.want(unhex("20 02 00 05"), nil)
		c.wantClosed()
	})
}

func TestLargestConnectIsAccepted(t *testing.T) {
	inBubble(t, Config{}, func(t *testing.T, b *Broker) {
		long := []byte(strings.Repeat("x", 65_535))
		c := b.dialTest(t)
		connect, err := packet.AppendConnect(nil, &packet.Connect{ClientID: long, Will: true, WillTopic: long, WillMessage: long,
			HasUserName: true, UserName: long, HasPassword: true, Password: long})
		if err != nil {
			t.Fatal(err)
		}
		if len(connect) > maxConnect {
			t.Fatalf("a CONNECT has %d bytes, limit %d", len(connect), maxConnect)
		}
		c.send(connect)
		c.want(unhex("20 02 00 00"), nil)
		c.disconnect()
	})
}

// A first packet that claims to be large is not waited for longer than the largest CONNECT is.
func TestNoMemoryBeforeConnect(t *testing.T) {
	var transcript Transcript
	inBubble(t, Config{MaxPacket: 100 << 20, Observe: transcript.Observe}, func(t *testing.T, b *Broker) {
		c := b.dialTest(t)
		c.send(unhex("10 ff ff ff 0f"))
		for sent := 5; sent < maxConnect; sent += 1000 {
			c.send(make([]byte, 1000))
			synctest.Wait()
		}
		c.wantClosed()
	})
	events := transcript.Events()
	if len(events) != 1 || !strings.Contains(fmt.Sprint(events[0].Err), "no CONNECT") {
		t.Errorf("%v, want the end for lack of a CONNECT", &transcript)
	}
}
