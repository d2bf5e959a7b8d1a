package testbroker

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"iotwire/mqtt/packet"
)

// guarded returns a broker with this guard for everybody.
func guarded(t *testing.T, g func() *Guard) *Broker {
	return newBroker(t, Config{Guard: func(Arrival) (*Guard, error) { return g(), nil }})
}

func TestGuardWithoutFunctionsAllowsEverything(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := guarded(t, func() *Guard { return &Guard{} })
		c := b.join(t, "c1")
		c.subscribe(packet.QoS1, "a")
		c.sendPacket(packet.AppendPublish(nil, &packet.Publish{Topic: []byte("a"), QoS: 1, ID: 7}))
		c.want(packet.AppendPublish(nil, &packet.Publish{Topic: []byte("a"), QoS: 1, ID: 1}))
		c.want(packet.AppendPuback(nil, &packet.Puback{ID: 7}))
	})
}

func TestConnectThatAGuardRefuses(t *testing.T) {
	for name, test := range map[string]struct {
		err   error
		reply bool
	}{
		"silently":       {errors.New("no"), false},
		"with a CONNACK": {&Refusal{packet.RefusedUnauthorized, errors.New("no")}, true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var transcript Transcript
				b := newBroker(t, Config{Observe: transcript.Observe, Guard: func(a Arrival) (*Guard, error) {
					if string(a.Connect.ClientID) != "c1" || a.Remote == nil || a.TLS != nil {
						t.Errorf("the guard sees %+v", a)
					}
					return nil, test.err
				}})
				c := b.dialTest(t)
				c.sendPacket(packet.AppendConnect(nil, &packet.Connect{ClientID: []byte("c1"), CleanSession: true}))
				if test.reply {
					c.want(packet.AppendConnack(nil, &packet.Connack{Code: packet.RefusedUnauthorized}))
				}
				c.wantClosed()
				synctest.Wait()
				events := transcript.Events()
				if last := events[len(events)-1]; last.Kind != Ended || last.Err.Error() != "no" {
					t.Errorf("it ended with %v, want what the guard said", last.Err)
				}
			})
		})
	}
}

func TestVerdictsOnAPublish(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var next Verdict
		b := guarded(t, func() *Guard {
			return &Guard{Publish: func(*packet.Publish, int) (Verdict, error) { return next, nil }}
		})
		c := b.join(t, "c1")
		c.subscribe(packet.QoS0, "a")
		publish := func(id uint16) {
			c.sendPacket(packet.AppendPublish(nil, &packet.Publish{Topic: []byte("a"), QoS: 1, ID: id}))
			synctest.Wait()
		}
		next = Ignore
		publish(1)
		next = Absorb
		publish(2)
		c.want(packet.AppendPuback(nil, &packet.Puback{ID: 2}))
		next = Route
		publish(3)
		c.want(packet.AppendPublish(nil, &packet.Publish{Topic: []byte("a")}))
		c.want(packet.AppendPuback(nil, &packet.Puback{ID: 3}))
	})
}

func TestGuardIsToldHowTheConnectionEnded(t *testing.T) {
	for name, test := range map[string]struct {
		end  func(b *Broker, c *client, g *Guard)
		want End
	}{
		"DISCONNECT":    {func(_ *Broker, c *client, _ *Guard) { c.sendPacket(packet.AppendDisconnect(nil), nil) }, Disconnected},
		"network":       {func(_ *Broker, c *client, _ *Guard) { c.conn.Close() }, Lost},
		"reset":         {func(_ *Broker, c *client, _ *Guard) { c.conn.(*Conn).Reset(nil) }, Lost},
		"silence":       {func(_ *Broker, _ *client, _ *Guard) { time.Sleep(16 * time.Second) }, Silent},
		"another":       {func(b *Broker, c *client, _ *Guard) { b.join(c.t, "c1") }, TakenOver},
		"drop":          {func(b *Broker, _ *client, _ *Guard) { b.Drop("c1", RST) }, Dropped},
		"restart":       {func(b *Broker, _ *client, _ *Guard) { b.Restart(true) }, Dropped},
		"close":         {func(b *Broker, _ *client, _ *Guard) { b.Close() }, Dropped},
		"broken packet": {func(_ *Broker, c *client, _ *Guard) { c.send([]byte{0xff, 0}) }, Mistaken},
		"second CONNECT": {func(_ *Broker, c *client, _ *Guard) {
			c.sendPacket(packet.AppendConnect(nil, &packet.Connect{CleanSession: true}))
		}, Mistaken},
		"the guard": {func(_ *Broker, _ *client, g *Guard) { g.Close(errors.New("enough")) }, Mistaken},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var ends []End
				var guards []*Guard
				b := guarded(t, func() *Guard {
					g := &Guard{KeepAlive: 10 * time.Second, Ended: func(end End, _ error, _ *packet.Publish) bool {
						ends = append(ends, end)
						return true
					}}
					guards = append(guards, g)
					return g
				})
				c := b.join(t, "c1")
				test.end(b, c, guards[0])
				synctest.Wait()
				if len(ends) != 1 || ends[0] != test.want {
					t.Errorf("%v, want %v once", ends, test.want)
				}
			})
		})
	}
}

func TestGuardDecidesOnTheWill(t *testing.T) {
	for _, send := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			var saw *packet.Publish
			b := guarded(t, func() *Guard {
				return &Guard{Ended: func(_ End, _ error, will *packet.Publish) bool {
					saw = will
					return send
				}}
			})
			to := b.join(t, "to")
			to.subscribe(packet.QoS0, "gone")
			c := b.dialTest(t)
			c.connect(packet.Connect{ClientID: []byte("c1"), CleanSession: true, Will: true, WillTopic: []byte("gone")}, false)
			c.conn.Close()
			synctest.Wait()
			if saw == nil || string(saw.Topic) != "gone" {
				t.Errorf("the guard sees the will %v", saw)
			}
			if send {
				to.want(packet.AppendPublish(nil, &packet.Publish{Topic: []byte("gone")}))
			}
			to.ping()
		})
	}
}
