package aws

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"iotwire/mqtt/packet"
)

// listen subscribes a client to all events of others, and returns what reads them: as "TOPIC PAYLOAD", with SESSION and
// CERTIFICATE in place of what is random.
func (d *desk) listen() func() []string {
	d.t.Helper()
	w := d.join("listener+") // of which there are no events
	w.subscribe(1, "$aws/events/#")
	return func() (events []string) {
		d.t.Helper()
		synctest.Wait()
		for {
			w.conn.SetReadDeadline(time.Now().Add(time.Millisecond))
			h, body, err := w.in.Next()
			if err != nil {
				return events
			}
			p, err := packet.ParsePublish(h.Flags, body)
			if err != nil {
				d.t.Fatalf("%v: %v", h.Type, err)
			}
			var random struct{ SessionIdentifier, PrincipalIdentifier string }
			if err := json.Unmarshal(p.Payload, &random); err != nil {
				d.t.Fatal(err)
			}
			if len(random.SessionIdentifier) != 32 || len(random.PrincipalIdentifier) != 64 {
				d.t.Errorf("%q, want 32 and 64 digits", random)
			}
			events = append(events, string(p.Topic)+" "+strings.NewReplacer(
				random.SessionIdentifier, "SESSION", random.PrincipalIdentifier, "CERTIFICATE").Replace(string(p.Payload)))
			w.send(packet.AppendPuback(nil, &packet.Puback{ID: p.ID}))
		}
	}
}

func compareEvents(t *testing.T, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("events:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// at is a time in milliseconds, so many after the start of the bubble's clock.
func at(ms int64) string { return fmt.Sprint(946_684_800_000 + ms) }

func TestLifecycleEvents(t *testing.T) {
	onDesk(t, Config{}, func(t *testing.T, d *desk) {
		events := d.listen()
		w := d.join("c1")
		w.subscribe(1, "foo/bar", "cat/dog")
		w.send(packet.AppendUnsubscribe(nil, &packet.Unsubscribe{ID: 2, Filters: packet.Filters{}.Add("foo/bar")}))
		w.want(packet.AppendUnsuback(nil, &packet.Unsuback{ID: 2}))
		time.Sleep(2 * time.Second)
		w.disconnect()
		start := at(0)
		compareEvents(t, events(),
			`$aws/events/presence/connected/c1 {"clientId":"c1","timestamp":`+start+`,"eventType":"connected","sessionIdentifier":"SESSION","principalIdentifier":"CERTIFICATE","ipAddress":"127.0.0.1","versionNumber":0}`,
			`$aws/events/subscriptions/subscribed/c1 {"clientId":"c1","timestamp":`+start+`,"eventType":"subscribed","sessionIdentifier":"SESSION","principalIdentifier":"CERTIFICATE","topics":["foo/bar","cat/dog"]}`,
			`$aws/events/subscriptions/unsubscribed/c1 {"clientId":"c1","timestamp":`+start+`,"eventType":"unsubscribed","sessionIdentifier":"SESSION","principalIdentifier":"CERTIFICATE","topics":["foo/bar"]}`,
			`$aws/events/presence/disconnected/c1 {"clientId":"c1","timestamp":`+at(2000)+`,"eventType":"disconnected","sessionIdentifier":"SESSION","principalIdentifier":"CERTIFICATE","clientInitiatedDisconnect":true,"disconnectReason":"CLIENT_INITIATED_DISCONNECT","versionNumber":0}`)
	})
}

func TestEventOfARefusedConnect(t *testing.T) {
	onDesk(t, Config{}, func(t *testing.T, d *desk) {
		events := d.listen()
		d.allow(`{"Effect": "Allow", "Action": ["iot:Subscribe", "iot:Receive"], "Resource": "*"}`,
			`{"Effect": "Allow", "Action": "iot:Connect", "Resource": ["~client/listener+", "~client/c1"]}`)
		for _, p := range []packet.Connect{
			{ClientID: []byte("c2"), CleanSession: true},
			{ClientID: []byte("c1"), CleanSession: true, Will: true, WillTopic: []byte("w")},
			{ClientID: []byte("$c"), CleanSession: true}, // a mistake, which is no event
		} {
			w := d.dial()
			w.send(packet.AppendConnect(nil, &p))
			w.wantEnd()
		}
		failed := func(id string) string {
			return `$aws/events/presence/connect_failed/` + id + ` {"clientId":"` + id + `","timestamp":` + at(0) + `,"eventType":"connect_failed",` +
				`"connectFailureReason":"AUTHORIZATION_FAILED","sessionIdentifier":"SESSION","principalIdentifier":"CERTIFICATE","ipAddress":"127.0.0.1"}`
		}
		compareEvents(t, events(), failed("c2"), failed("c1"))
	})
}

func TestReasonsOfDisconnectedEvents(t *testing.T) {
	for _, test := range []struct {
		reason   string
		end      func(*desk, *wire)
		willLeft bool
	}{
		{"CLIENT_INITIATED_DISCONNECT", func(d *desk, w *wire) { w.disconnect() }, false},
		{"CONNECTION_LOST", func(d *desk, w *wire) { w.vanish() }, true},
		{"MQTT_KEEP_ALIVE_TIMEOUT", func(d *desk, w *wire) { time.Sleep(45 * time.Second) }, true},
		{"DUPLICATE_CLIENTID", func(d *desk, w *wire) { time.Sleep(time.Second); d.join("c1") }, true},
		{"CLIENT_ERROR", func(d *desk, w *wire) { w.publish("a", strings.Repeat("p", 131_073), 1) }, true},
		{"AUTH_ERROR", func(d *desk, w *wire) { w.publish("secret", "", 1) }, true},
		{"SERVER_INITIATED_DISCONNECT", func(d *desk, w *wire) { d.Drop("c1", 0) }, true},
	} {
		onDesk(t, Config{}, func(t *testing.T, d *desk) {
			d.allow(allowConnect, allowPublish, allowSubscribe, allowReceive, `{"Effect": "Deny", "Action": "iot:Publish", "Resource": "~topic/secret"}`)
			events := d.listen()
			other := d.join("other")
			other.subscribe(1, "gone")
			events()
			w := d.dial()
			w.connect(packet.Connect{ClientID: []byte("c1"), CleanSession: true, KeepAlive: 1, Will: true, WillTopic: []byte("gone"), WillQoS: 1})
			events()
			test.end(d, w)
			got := events()
			initiated := test.reason == "CLIENT_INITIATED_DISCONNECT"
			want := fmt.Sprintf(`"clientInitiatedDisconnect":%v,"disconnectReason":"%s","versionNumber":0}`, initiated, test.reason)
			if len(got) == 0 || !strings.HasSuffix(got[0], want) {
				t.Errorf("%s: %q, want %s", test.reason, got, want)
			}
			if test.willLeft {
				other.wantMessage("gone", "", 1)
			} else {
				other.wantSilence()
			}
		})
	}
}

func TestVersionNumberCountsConnections(t *testing.T) {
	onDesk(t, Config{}, func(t *testing.T, d *desk) {
		events := d.listen()
		for i := range 3 {
			d.join("c1").disconnect()
			got := events()
			if len(got) != 2 {
				t.Fatalf("%q, want connected and disconnected", got)
			}
			for _, e := range got {
				if !strings.HasSuffix(e, fmt.Sprintf(`"versionNumber":%d}`, i)) {
					t.Errorf("%s, want version %d", e, i)
				}
			}
			time.Sleep(time.Second)
		}
	})
}

func TestEventNeedsReceive(t *testing.T) {
	onDesk(t, Config{}, func(t *testing.T, d *desk) {
		events := d.listen()
		d.allow(allowConnect, allowSubscribe, `{"Effect": "Allow", "Action": "iot:Receive", "Resource": "~topic/$aws/events/presence/*"}`)
		time.Sleep(2 * time.Second)
		w := d.join("c1")
		w.subscribe(1, "a")
		if got := events(); len(got) != 1 || !strings.HasPrefix(got[0], "$aws/events/presence/connected/c1 ") {
			t.Errorf("%q, want that c1 has connected, and not what it has subscribed to", got)
		}
	})
}

func TestSessionHasItsOwnEventsAfterConnack(t *testing.T) {
	onDesk(t, Config{}, func(t *testing.T, d *desk) {
		w := d.resume("c1", false)
		w.subscribe(1, "$aws/events/presence/#")
		w.disconnect()
		time.Sleep(time.Second)
		w = d.resume("c1", true) // which wants CONNACK first
		for _, kind := range []string{"disconnected", "connected"} {
			h, body, err := w.in.Next()
			if err != nil {
				t.Fatal(err)
			}
			p, err := packet.ParsePublish(h.Flags, body)
			if err != nil || string(p.Topic) != "$aws/events/presence/"+kind+"/c1" {
				t.Errorf("%s %v, want %s", p.Topic, err, kind)
			}
		}
	})
}
