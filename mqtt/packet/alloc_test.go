package packet_test

import (
	"runtime/debug"
	"slices"
	"strings"
	"testing"

	"iotwire/mqtt/packet"
)

// underRace reports whether the race detector is at work, which takes memory of its own for what the tests take.
func underRace() bool {
	info, ok := debug.ReadBuildInfo()
	return ok && slices.Contains(info.Settings, debug.BuildSetting{Key: "-race", Value: "true"})
}

func checkAllocs(t *testing.T, what string, f func()) {
	t.Helper()
	if n := testing.AllocsPerRun(100, f); n != 0 {
		t.Errorf("%s allocates %v times, want never", what, n)
	}
}

func TestAppendDoesNotAllocate(t *testing.T) {
	b := make([]byte, 0, 4096)
	var err error
	connect := specimens[packet.CONNECT-1].value.(packet.Connect)
	connack := packet.Connack{SessionPresent: true}
	publish := packet.Publish{QoS: packet.QoS1, Topic: []byte(strings.Repeat("topic/", 20)), ID: 7, Payload: make([]byte, 1000)}
	puback, pubrec, pubrel, pubcomp := packet.Puback{ID: 7}, packet.Pubrec{ID: 7}, packet.Pubrel{ID: 7}, packet.Pubcomp{ID: 7}
	subscribe := specimens[packet.SUBSCRIBE-1].value.(packet.Subscribe)
	suback := packet.Suback{ID: 7, Codes: []byte{0, 1, 2, packet.SubackFailure}}
	unsubscribe := specimens[packet.UNSUBSCRIBE-1].value.(packet.Unsubscribe)
	unsuback := packet.Unsuback{ID: 7}

	checkAllocs(t, "AppendConnect", func() { _, err = packet.AppendConnect(b, &connect) })
	checkAllocs(t, "AppendConnack", func() { _, err = packet.AppendConnack(b, &connack) })
	checkAllocs(t, "AppendPublish", func() { _, err = packet.AppendPublish(b, &publish) })
	checkAllocs(t, "AppendPuback", func() { _, err = packet.AppendPuback(b, &puback) })
	checkAllocs(t, "AppendPubrec", func() { _, err = packet.AppendPubrec(b, &pubrec) })
	checkAllocs(t, "AppendPubrel", func() { _, err = packet.AppendPubrel(b, &pubrel) })
	checkAllocs(t, "AppendPubcomp", func() { _, err = packet.AppendPubcomp(b, &pubcomp) })
	checkAllocs(t, "AppendSubscribe", func() { _, err = packet.AppendSubscribe(b, &subscribe) })
	checkAllocs(t, "AppendSuback", func() { _, err = packet.AppendSuback(b, &suback) })
	checkAllocs(t, "AppendUnsubscribe", func() { _, err = packet.AppendUnsubscribe(b, &unsubscribe) })
	checkAllocs(t, "AppendUnsuback", func() { _, err = packet.AppendUnsuback(b, &unsuback) })
	checkAllocs(t, "AppendPingreq", func() { packet.AppendPingreq(b) })
	checkAllocs(t, "AppendPingresp", func() { packet.AppendPingresp(b) })
	checkAllocs(t, "AppendDisconnect", func() { packet.AppendDisconnect(b) })
	if err != nil {
		t.Error(err)
	}
}

// message is what a client is given: its topic is a string, of any length.
type message struct {
	topic   string
	payload []byte
}

// A topic that is a string is not copied on its way, nor are the other fields that programs have as strings.
func TestAppendFromStringsDoesNotAllocate(t *testing.T) {
	b := make([]byte, 0, 4096)
	m := &message{strings.Repeat("topic/", 40), []byte("payload")}
	user, password := strings.Repeat("user", 40), strings.Repeat("password", 40)
	var err error
	checkAllocs(t, "AppendPublish of a string", func() {
		_, err = packet.AppendPublish(b, &packet.Publish{QoS: packet.QoS1, ID: 7, Topic: []byte(m.topic), Payload: m.payload})
	})
	checkAllocs(t, "AppendConnect of strings", func() {
		_, err = packet.AppendConnect(b, &packet.Connect{
			ClientID: []byte(m.topic), Will: true, WillTopic: []byte(m.topic), WillMessage: m.payload,
			HasUserName: true, UserName: []byte(user), HasPassword: true, Password: []byte(password),
		})
	})
	if err != nil {
		t.Error(err)
	}
}

func TestParseDoesNotAllocate(t *testing.T) {
	body := func(typ packet.Type) []byte { return []byte(specimens[typ-1].wire[2:]) }
	var err error
	connect, connack, publish := body(packet.CONNECT), body(packet.CONNACK), body(packet.PUBLISH)
	subscribe, suback, unsubscribe := body(packet.SUBSCRIBE), body(packet.SUBACK), body(packet.UNSUBSCRIBE)
	id := body(packet.PUBACK)
	wire := []byte(specimens[packet.PUBLISH-1].wire)

	checkAllocs(t, "ParseHeader", func() { _, _, err = packet.ParseHeader(wire) })
	checkAllocs(t, "ParseConnect", func() { _, err = packet.ParseConnect(connect) })
	checkAllocs(t, "ParseConnack", func() { _, err = packet.ParseConnack(connack) })
	checkAllocs(t, "ParsePublish", func() { _, err = packet.ParsePublish(0b1011, publish) })
	checkAllocs(t, "ParsePuback", func() { _, err = packet.ParsePuback(id) })
	checkAllocs(t, "ParsePubrec", func() { _, err = packet.ParsePubrec(id) })
	checkAllocs(t, "ParsePubrel", func() { _, err = packet.ParsePubrel(id) })
	checkAllocs(t, "ParsePubcomp", func() { _, err = packet.ParsePubcomp(id) })
	checkAllocs(t, "ParseSubscribe", func() { _, err = packet.ParseSubscribe(subscribe) })
	checkAllocs(t, "ParseSuback", func() { _, err = packet.ParseSuback(suback) })
	checkAllocs(t, "ParseUnsubscribe", func() { _, err = packet.ParseUnsubscribe(unsubscribe) })
	checkAllocs(t, "ParseUnsuback", func() { _, err = packet.ParseUnsuback(id) })
	checkAllocs(t, "ParsePingreq", func() { err = packet.ParsePingreq(nil) })
	checkAllocs(t, "ParsePingresp", func() { err = packet.ParsePingresp(nil) })
	checkAllocs(t, "ParseDisconnect", func() { err = packet.ParseDisconnect(nil) })
	if err != nil {
		t.Error(err)
	}

	requests, filters, n := packet.Requests(subscribe[2:]), packet.Filters(unsubscribe[2:]), 0
	checkAllocs(t, "Requests.All", func() {
		for filter, q := range requests.All() {
			n += len(filter) + int(q)
		}
	})
	checkAllocs(t, "Requests.Len", func() { n += requests.Len() })
	checkAllocs(t, "Filters.All", func() {
		for filter := range filters.All() {
			n += len(filter)
		}
	})
}

// repeat gives the same bytes again and again.
type repeat struct {
	b  []byte
	at int
}

func (r *repeat) Read(p []byte) (int, error) {
	n := copy(p, r.b[r.at:])
	r.at = (r.at + n) % len(r.b)
	return n, nil
}

func TestReaderDoesNotAllocate(t *testing.T) {
	r := packet.NewReader(&repeat{b: []byte(stream)}, 1000)
	var err error
	checkAllocs(t, "Reader.Next", func() {
		for range specimens {
			_, _, err = r.Next()
		}
	})
	checkAllocs(t, "Reader.Ready and Partial", func() { _, _ = r.Ready(), r.Partial() })
	if err != nil {
		t.Error(err)
	}
}

func TestTopicsDoNotAllocate(t *testing.T) {
	topic := strings.Repeat("level/é/", 100) + "last"
	filter := strings.Repeat("level/+/", 100) + "#"
	var err error
	var ok bool
	checkAllocs(t, "ValidTopic", func() { err = packet.ValidTopic(topic) })
	if err != nil {
		t.Error(err)
	}
	checkAllocs(t, "ValidFilter", func() { err = packet.ValidFilter(filter) })
	checkAllocs(t, "Match", func() { ok = packet.Match(filter, topic) })
	if err != nil || !ok {
		t.Errorf("%v, match is %v", err, ok)
	}
}
