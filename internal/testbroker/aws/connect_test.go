package aws

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"iotwire/mqtt/packet"
)

func TestEmptyDirectoryIsReadyToConnectTo(t *testing.T) {
	onDesk(t, Config{}, func(t *testing.T, d *desk) {
		w := d.join("c1")
		w.subscribe(1, "a/b")
		w.publish("a/b", "x", 7)
		w.wantMessage("a/b", "x", 1)
		w.wantPuback(7)
		w.disconnect()
		d.wantLines("Connect Success c1", "Subscribe Success c1 a/b", "Publish-In Success c1 a/b", "Publish-Out Success c1 a/b",
			"Disconnect Success c1 CLIENT_INITIATED_DISCONNECT")
	})
}

// wantRefusal sends a CONNECT that is answered by the end, and compares the log.
func (d *desk) wantRefusal(p packet.Connect, lines ...string) {
	d.t.Helper()
	w := d.dial()
	w.send(packet.AppendConnect(nil, &p))
	w.wantEnd()
	d.wantLines(lines...)
}

func TestConnectThatNoPolicyAllows(t *testing.T) {
	onDesk(t, Config{}, func(t *testing.T, d *desk) {
		d.allow(allowPublish)
		d.wantRefusal(packet.Connect{ClientID: []byte("c1"), CleanSession: true},
			`Connect Failure c1 AUTHORIZATION_FAILURE iot:Connect ~client/c1 {"Effect":"Allow","Action":"iot:Connect","Resource":"~client/c1"}`)
	})
}

func TestConnectWithoutPolicies(t *testing.T) {
	onDesk(t, Config{}, func(t *testing.T, d *desk) {
		d.remove("policy.json")
		w := d.dial()
		w.send(packet.AppendConnect(nil, &packet.Connect{ClientID: []byte("c1"), CleanSession: true}))
		w.wantEnd()
		d.wantDetails("no policy allows iot:Connect on arn:aws:iot:us-east-1:123456789012:client/c1: there is none")
	})
}

func TestExplainAnswersARefusedConnectWithCode5(t *testing.T) {
	onDesk(t, Config{Explain: true}, func(t *testing.T, d *desk) {
		d.allow(allowPublish)
		w := d.dial()
		w.send(packet.AppendConnect(nil, &packet.Connect{ClientID: []byte("c1"), CleanSession: true}))
		w.want(packet.AppendConnack(nil, &packet.Connack{Code: packet.RefusedUnauthorized}))
		w.wantEnd()
	})
}

func TestConnectOfTheThing(t *testing.T) {
	const policy = `{"Effect": "Allow", "Action": "iot:Connect", "Resource": "~client/${iot:Connection.Thing.ThingName}",
		"Condition": {"Bool": {"iot:Connection.Thing.IsAttached": "true"}}}`
	onDesk(t, Config{}, func(t *testing.T, d *desk) {
		d.allow(policy)
		d.join("thing-1")
		w := d.dial()
		w.send(packet.AppendConnect(nil, &packet.Connect{ClientID: []byte("thing-2"), CleanSession: true}))
		w.wantEnd()
		d.wantDetails("no statement allows iot:Connect on arn:aws:iot:us-east-1:123456789012:client/thing-2: statement 1 of policy.json has " +
			"client/${iot:Connection.Thing.ThingName}, and the variable ${iot:Connection.Thing.ThingName} is not resolved: " +
			`no thing is attached to the certificate that is named "thing-2" like the client`)
	})
}

func TestExclusiveThingCountsUnderAnyClientIdentifier(t *testing.T) {
	onDesk(t, Config{}, func(t *testing.T, d *desk) {
		d.write("thing.json", `{"thing": "pump", "type": "motor", "attributes": {"room": "12"}, "exclusive": true}`)
		d.allow(allowConnect, `{"Effect": "Allow", "Action": "iot:Publish", "Resource":
			"~topic/${iot:Connection.Thing.ThingTypeName}/${iot:Connection.Thing.ThingName}/${iot:Connection.Thing.Attributes[room]}"}`)
		w := d.join("c1")
		w.publish("motor/pump/12", "x", 1)
		w.wantPuback(1)
		w.publish("motor/pump/13", "x", 2)
		w.wantEnd()
	})
}

func TestPolicyKnowsServerNameAddressAndCertificate(t *testing.T) {
	onDesk(t, Config{}, func(t *testing.T, d *desk) {
		d.allow(`{"Effect": "Allow", "Action": "iot:Connect", "Resource": "~client/${iot:Certificate.Subject.CommonName}", "Condition": {
			"StringEquals": {"iot:DomainName": "localhost"}, "IpAddress": {"aws:SourceIp": "127.0.0.0/8"},
			"DateLessThan": {"aws:CurrentTime": "2000-01-02T00:00:00Z"}, "Bool": {"aws:SecureTransport": "true"}}}`)
		w := d.join("device")
		w.disconnect()
		time.Sleep(24 * time.Hour)
		d.lines()
		d.wantRefusal(packet.Connect{ClientID: []byte("device"), CleanSession: true}, `Connect Failure device AUTHORIZATION_FAILURE `+
			`iot:Connect ~client/device {"Effect":"Allow","Action":"iot:Connect","Resource":"~client/device"}`)
	})
}

func TestWillNeedsPublishAtConnect(t *testing.T) {
	will := packet.Connect{ClientID: []byte("c1"), CleanSession: true, Will: true, WillTopic: []byte("gone/c1"), WillQoS: 1}
	onDesk(t, Config{}, func(t *testing.T, d *desk) {
		d.allow(allowConnect, `{"Effect": "Allow", "Action": "iot:Publish", "Resource": "~topic/gone/c2"}`)
		d.wantRefusal(will, `Connect Failure c1 AUTHORIZATION_FAILURE iot:Publish ~topic/gone/c1 {"Effect":"Allow","Action":"iot:Publish","Resource":"~topic/gone/c1"}`)
		time.Sleep(time.Second)
		d.allow(allowConnect, allowPublish)
		w := d.dial()
		w.connect(will)
		w.disconnect()
		d.lines()
		time.Sleep(time.Second)
		will.WillRetain = true
		d.wantRefusal(will, `Connect Failure c1 AUTHORIZATION_FAILURE iot:RetainPublish ~topic/gone/c1 {"Effect":"Allow","Action":"iot:RetainPublish","Resource":"~topic/gone/c1"}`)
		time.Sleep(time.Second)
		d.allow(allowConnect, allowPublish, allowRetain)
		d.dial().connect(will)
	})
}

func TestConnectAttributes(t *testing.T) {
	persistent := packet.Connect{ClientID: []byte("c1")}
	will := packet.Connect{ClientID: []byte("c2"), CleanSession: true, Will: true, WillTopic: []byte("my/lastwill")}
	onDesk(t, Config{}, func(t *testing.T, d *desk) {
		d.allow(`{"Effect": "Allow", "Action": "iot:Connect", "Resource": "*", "Condition":
			{"ForAllValues:StringEquals": {"iot:ConnectAttributes": ["PersistentConnect"]}}}`, allowPublish)
		d.dial().connect(persistent)
		d.lines()
		d.wantRefusal(will, `Connect Failure c2 AUTHORIZATION_FAILURE iot:Connect ~client/c2 {"Effect":"Allow","Action":"iot:Connect","Resource":"~client/c2"}`)
		time.Sleep(time.Second)
		d.allow(`{"Effect": "Allow", "Action": "iot:Connect", "Resource": "*", "Condition": {"ArnEquals": {"iot:LastWillTopic": "~topic/my/lastwill"}}}`, allowPublish)
		d.dial().connect(will)
	})
}

func TestLimitsOfConnect(t *testing.T) {
	connect := func(change func(*packet.Connect)) packet.Connect {
		p := packet.Connect{ClientID: []byte("c1"), CleanSession: true}
		change(&p)
		return p
	}
	will := func(topic string, size int, qos packet.QoS) func(*packet.Connect) {
		return func(p *packet.Connect) {
			p.Will, p.WillTopic, p.WillMessage, p.WillQoS = true, []byte(topic), make([]byte, size), qos
		}
	}
	fields := func(n int) func(*packet.Connect) { // with so many bytes in all
		return func(p *packet.Connect) {
			will("w", n-65_535-len("c1")-len("w"), 0)(p)
			p.HasUserName, p.UserName = true, make([]byte, 65_535)
			for i := range p.UserName {
				p.UserName[i] = 'u'
			}
		}
	}
	id := func(id string) func(*packet.Connect) { return func(p *packet.Connect) { p.ClientID = []byte(id) } }
	for _, test := range []struct {
		name    string
		good    packet.Connect
		bad     packet.Connect
		details string
	}{
		{"client identifier", connect(id(strings.Repeat("i", 128))), connect(id(strings.Repeat("i", 129))),
			"the client identifier has 129 bytes, limit 128"},
		{"client identifier in UTF-8", connect(id(strings.Repeat("ü", 64))), connect(id(strings.Repeat("ü", 65))),
			"the client identifier has 130 bytes, limit 128"},
		{"reserved client identifier", connect(id("c$")), connect(id("$c")),
			`the client identifier "$c" starts with '$', which is reserved`},
		{"empty client identifier", connect(id("c")), connect(id("")),
			"the client identifier is empty, and whether AWS gives one is not known: give one, with -i of mosquitto_pub, say, or --client-id"},
		{"will QoS", connect(will("w", 0, 1)), connect(will("w", 0, 2)), "the will has QoS 2, which AWS does not have: use QoS 1"},
		{"will topic", connect(will(strings.Repeat("w", 256), 0, 0)), connect(will(strings.Repeat("w", 257), 0, 0)),
			"the will: the topic name has 257 bytes, limit 256"},
		{"reserved will topic", connect(will("$aws/rules/r/w", 0, 0)), connect(will("$SYS/w", 0, 0)),
			`the will: the topic name "$SYS/w" starts with '$', and is none that a client may publish to`},
		{"size", connect(fields(131_072)), connect(fields(131_073)), "CONNECT has 131073 bytes, limit 131072"},
	} {
		t.Run(test.name, func(t *testing.T) {
			onDesk(t, Config{}, func(t *testing.T, d *desk) {
				d.dial().connect(test.good)
				w := d.dial()
				w.send(packet.AppendConnect(nil, &test.bad))
				w.wantEnd()
				d.wantDetails(test.details)
			})
		})
	}
}

func TestOneConnectInASecondForAClientIdentifier(t *testing.T) {
	for _, test := range []struct {
		name     string
		config   Config
		interval time.Duration
		details  string
	}{
		{"by default", Config{}, time.Second, `the client identifier "c1" has connected less than 1s ago`},
		{"as reported too", Config{ConnectInterval: 10 * time.Second}, 10 * time.Second, `the client identifier "c1" has connected less than 10s ago`},
	} {
		t.Run(test.name, func(t *testing.T) {
			onDesk(t, test.config, func(t *testing.T, d *desk) {
				d.join("c1").disconnect()
				d.join("c2").disconnect() // another one is another one
				for range 3 {             // a refused CONNECT does not count
					time.Sleep(test.interval/3 - time.Millisecond)
					w := d.dial()
					w.send(packet.AppendConnect(nil, &packet.Connect{ClientID: []byte("c1"), CleanSession: true}))
					w.wantEnd()
					d.wantDetails(test.details)
				}
				time.Sleep(4 * time.Millisecond)
				d.join("c1")
			})
		})
	}
}

func TestNewerConnectionWins(t *testing.T) {
	onDesk(t, Config{}, func(t *testing.T, d *desk) {
		other := d.join("other")
		other.subscribe(1, "gone")
		first := d.dial()
		first.connect(packet.Connect{ClientID: []byte("c1"), CleanSession: true, Will: true, WillTopic: []byte("gone"), WillMessage: []byte("w"), WillQoS: 1})
		time.Sleep(time.Second)
		d.lines()
		second := d.join("c1")
		first.wantEnd()
		other.wantMessage("gone", "w", 1)
		d.wantLines("Disconnect Success c1 DUPLICATE_CLIENTID DUPLICATE_CLIENT_ID", "Publish-In Success c1 gone",
			"Publish-Out Success other gone", "Connect Success c1")
		second.disconnect()
	})
}

func TestKeepAlive(t *testing.T) {
	for _, test := range []struct {
		seconds uint16
		lasts   time.Duration // without a packet
	}{
		{0, 1800 * time.Second},
		{1, 45 * time.Second},
		{29, 45 * time.Second},
		{30, 45 * time.Second},
		{31, 46500 * time.Millisecond},
		{1199, 1798500 * time.Millisecond},
		{1200, 1800 * time.Second},
		{1201, 1800 * time.Second},
		{65535, 1800 * time.Second},
	} {
		onDesk(t, Config{}, func(t *testing.T, d *desk) {
			other := d.join("other")
			other.subscribe(1, "gone")
			w := d.dial()
			w.connect(packet.Connect{ClientID: []byte("c1"), CleanSession: true, KeepAlive: test.seconds, Will: true, WillTopic: []byte("gone"), WillQoS: 1})
			start := time.Now()
			d.lines()
			for time.Since(start) < test.lasts-time.Second { // the other one has to live
				other.send(packet.AppendPingreq(nil), nil)
				other.want(packet.AppendPingresp(nil), nil)
				time.Sleep(min(30*time.Second, test.lasts-time.Second-time.Since(start)))
			}
			synctest.Wait()
			if s := d.lines(); s != "" {
				t.Errorf("keep alive %d: after %v: %s, want nothing yet", test.seconds, time.Since(start), s)
			}
			time.Sleep(time.Second)
			d.wantLines("Disconnect Success c1 MQTT_KEEP_ALIVE_TIMEOUT", "Publish-In Success c1 gone", "Publish-Out Success other gone")
		})
	}
}

func TestEveryPacketPutsOffTheEndByKeepAlive(t *testing.T) {
	onDesk(t, Config{RedeliverAfter: -1}, func(t *testing.T, d *desk) {
		w := d.dial()
		w.connect(packet.Connect{ClientID: []byte("c1"), CleanSession: true, KeepAlive: 30})
		for i := range uint16(3) {
			time.Sleep(44 * time.Second)
			w.subscribe(2*i+1, "a")
			time.Sleep(44 * time.Second)
			w.send(packet.AppendPingreq(nil), nil)
			w.want(packet.AppendPingresp(nil), nil)
			time.Sleep(44 * time.Second)
			w.publish("a", "", 2*i+2)
			w.want(packet.AppendPublish(nil, &packet.Publish{Topic: []byte("a"), QoS: 1, ID: i + 1}))
			w.wantPuback(2*i + 2)
			time.Sleep(44 * time.Second)
			w.send(packet.AppendPuback(nil, &packet.Puback{ID: i + 1}))
		}
		time.Sleep(46 * time.Second)
		w.wantEnd()
	})
}

func TestPacketBeforeConnect(t *testing.T) {
	onDesk(t, Config{}, func(t *testing.T, d *desk) {
		w := d.dial()
		w.send(packet.AppendPingreq(nil), nil)
		w.wantEnd()
		d.wantLines("Connect Failure CLIENT_ERROR")
	})
}

func TestPacketBeforeConnack(t *testing.T) {
	onDesk(t, Config{}, func(t *testing.T, d *desk) {
		w := d.dial()
		b, err := packet.AppendConnect(nil, &packet.Connect{ClientID: []byte("c1"), CleanSession: true})
		if err != nil {
			t.Fatal(err)
		}
		w.send(packet.AppendPingreq(b), nil)
		w.wantEnd()
		d.wantDetails("a packet behind CONNECT, before CONNACK")
	})
}

func TestSecondConnect(t *testing.T) {
	onDesk(t, Config{}, func(t *testing.T, d *desk) {
		w := d.join("c1")
		w.send(packet.AppendConnect(nil, &packet.Connect{ClientID: []byte("c1"), CleanSession: true}))
		w.wantEnd()
		d.wantLines("Connect Success c1", "Disconnect Failure c1 CLIENT_ERROR CLIENT_ERROR")
	})
}

func TestWillIsSentUnlessTheClientDisconnects(t *testing.T) {
	onDesk(t, Config{}, func(t *testing.T, d *desk) {
		other := d.join("other")
		other.subscribe(1, "gone")
		will := packet.Connect{ClientID: []byte("c1"), CleanSession: true, Will: true, WillTopic: []byte("gone"), WillMessage: []byte("w"), WillQoS: 1}
		for i, end := range []func(*wire){
			func(w *wire) { w.vanish() },
			func(w *wire) { w.publish("$SYS/x", "", 1) },
			func(w *wire) { w.disconnect() },
		} {
			w := d.dial()
			w.connect(will)
			d.lines()
			end(w)
			switch i {
			case 0:
				other.wantMessage("gone", "w", 1)
				d.wantLines("Disconnect Success c1 CONNECTION_LOST", "Publish-In Success c1 gone", "Publish-Out Success other gone")
			case 1:
				other.wantMessage("gone", "w", 2)
			case 2:
				other.wantSilence()
			}
			time.Sleep(time.Second)
		}
	})
}

func TestWillThatIsNoLongerAllowedIsNotSent(t *testing.T) {
	onDesk(t, Config{}, func(t *testing.T, d *desk) {
		other := d.join("other")
		other.subscribe(1, "gone")
		w := d.dial()
		w.connect(packet.Connect{ClientID: []byte("c1"), CleanSession: true, Will: true, WillTopic: []byte("gone"), WillQoS: 1})
		d.lines()
		d.allow(allowConnect, allowReceive)
		time.Sleep(2 * time.Second)
		w.wantEnd()
		d.wantLines(
			`Disconnect Failure c1 AUTH_ERROR AUTHORIZATION_FAILURE iot:Publish ~topic/gone {"Effect":"Allow","Action":"iot:Publish","Resource":"~topic/gone"}`,
			`Publish-In Failure c1 gone AUTHORIZATION_FAILURE iot:Publish ~topic/gone {"Effect":"Allow","Action":"iot:Publish","Resource":"~topic/gone"}`)
		other.wantSilence()
	})
}
