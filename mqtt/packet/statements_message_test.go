package packet_test

import (
	"bytes"
	"strings"
	"testing"

	"iotwire/mqtt/packet"
)

// Statements of sections 3.3 to 3.11: messages, subscriptions and their acknowledgements.

// refusesPublishFlags tries a value of the flags of PUBLISH in the fixed header and in ParsePublish.
func refusesPublishFlags(t *testing.T, flags byte, rule string) {
	t.Helper()
	refuses(t, whole(0x30|flags, text("a/b"), "\x12\x34payload"), rule, 0)
	refuses(t, string([]byte{0x30 | flags, 0}), rule, 0)
	refusesBody(t, packet.Header{Type: packet.PUBLISH, Flags: flags}, text("a/b")+"\x12\x34payload", rule, 0)
}

// DUP is 0 at QoS 0.
func TestMQTT_3_3_1_2(t *testing.T) {
	refusesPublishFlags(t, 0b1000, "MQTT-3.3.1-2")
	refusesPublishFlags(t, 0b1001, "MQTT-3.3.1-2")
	refusesToSend(t, packet.Publish{Dup: true, Topic: []byte("a")}, "MQTT-3.3.1-2", 0)
	for flags := range byte(16) {
		if qos := flags >> 1 & 3; qos == 1 || qos == 2 {
			accepts(t, whole(0x30|flags, text("a"), "\x00\x07"),
				packet.Publish{Dup: flags&8 != 0, QoS: packet.QoS(qos), Retain: flags&1 != 0, Topic: []byte("a"), ID: 7})
		}
	}
}

// QoS is never 3.
func TestMQTT_3_3_1_4(t *testing.T) {
	for _, flags := range []byte{0b0110, 0b0111, 0b1110, 0b1111} {
		refusesPublishFlags(t, flags, "MQTT-3.3.1-4")
	}
	for _, qos := range []packet.QoS{3, 4, 128, 255} {
		refusesToSend(t, packet.Publish{QoS: qos, Topic: []byte("a"), ID: 7}, "MQTT-3.3.1-4", 0)
	}
}

// The topic name comes first, and is a UTF-8 encoded string.
func TestMQTT_3_3_2_1(t *testing.T) {
	header := packet.Header{Type: packet.PUBLISH}
	refusesBody(t, header, "", "MQTT-3.3.2-1", 0)
	refusesBody(t, header, "\x00", "MQTT-3.3.2-1", 1)
	refusesBody(t, header, "\x00\x05", "1.5.3", 0) // a header of this length is refused too
	refuses(t, "\x30\x02\x00\x05", "3.3.2", 1)
	refuses(t, whole(0x30, "\x00\x04abc"), "1.5.3", 0)
	refuses(t, whole(0x30, "\xff\xffabc"), "1.5.3", 0)
	refuses(t, whole(0x30, text("a/\xff")), "MQTT-1.5.3-1", 4)
	refusesToSend(t, packet.Publish{Topic: []byte("a/\xff")}, "MQTT-1.5.3-1", 4)
}

// A topic name of PUBLISH has no wildcards.
func TestMQTT_3_3_2_2(t *testing.T) {
	for _, bad := range []struct {
		topic string
		at    int
	}{{"+", 0}, {"#", 0}, {"a/+", 2}, {"a/#", 2}, {"a/b+c/d", 3}, {"é#", 2}, {"+\xff", 0}} {
		refuses(t, whole(0x30, text(bad.topic), "x"), "MQTT-3.3.2-2", 2+bad.at)
		refusesToSend(t, packet.Publish{Topic: []byte(bad.topic)}, "MQTT-3.3.2-2", 2+bad.at)
	}
}

// PUBREL has flags 0010.
func TestMQTT_3_6_1_1(t *testing.T) {
	refusesFlags(t, packet.PUBREL, 2, "MQTT-3.6.1-1")
	accepts(t, "\x62\x02\x00\x07", packet.Pubrel{ID: 7})
}

// SUBSCRIBE has flags 0010.
func TestMQTT_3_8_1_1(t *testing.T) {
	refusesFlags(t, packet.SUBSCRIBE, 2, "MQTT-3.8.1-1")
	accepts(t, whole(0x82, "\x00\x07", text("a"), "\x00"), packet.Subscribe{ID: 7, Requests: packet.Requests(nil).Add("a", packet.QoS0)})
}

// The topic filters of SUBSCRIBE are UTF-8 encoded strings.
func TestMQTT_3_8_3_1(t *testing.T) {
	refuses(t, whole(0x82, "\x00\x07", text("a"), "\x00", text("b/\xff"), "\x00"), "MQTT-1.5.3-1", 10)
	refusesToSend(t, packet.Subscribe{ID: 7, Requests: packet.Requests(nil).Add("a", 0).Add("b/\xff", 0)}, "MQTT-1.5.3-1", 10)
	refuses(t, whole(0x82, "\x00\x07", "\x00\x09abc\x00"), "1.5.3", 2)
	refuses(t, whole(0x82, "\x00\x07", text("abc"), "\x00", "\x00"), "3.8.3", 9)
}

// SUBSCRIBE has at least one pair of topic filter and QoS, and whole pairs.
func TestMQTT_3_8_3_3(t *testing.T) {
	for length := range 6 {
		refuses(t, whole(0x82, "\x00\x07\x00\x01a"[:length]), "MQTT-3.8.3-3", 1)
	}
	refusesBody(t, packet.Header{Type: packet.SUBSCRIBE}, "\x00\x07", "MQTT-3.8.3-3", 2)
	refusesToSend(t, packet.Subscribe{ID: 7}, "MQTT-3.8.3-3", 2)
	refuses(t, whole(0x82, "\x00\x07", text("ab")), "3.8.3", 6)
	refuses(t, whole(0x82, "\x00\x07", text("a"), "\x01", text("b")), "3.8.3", 9)
	refusesToSend(t, packet.Subscribe{ID: 7, Requests: packet.Requests(text("ab"))}, "3.8.3", 6)
}

// The byte behind a topic filter is 00, 01 or 02: neither reserved bits nor QoS 3. The standard spells this statement
// MQTT-3-8.3-4.
func TestMQTT_3_8_3_4(t *testing.T) {
	for i := range 256 {
		first := whole(0x82, "\x00\x07", text("a/b"), string([]byte{byte(i)}), text("c"), "\x00")
		second := whole(0x82, "\x00\x07", text("a/b"), "\x02", text("c"), string([]byte{byte(i)}))
		if i <= 2 {
			accepts(t, first, packet.Subscribe{ID: 7, Requests: packet.Requests(nil).Add("a/b", packet.QoS(i)).Add("c", 0)})
			continue
		}
		refuses(t, first, "MQTT-3-8.3-4", 7)
		refuses(t, second, "MQTT-3-8.3-4", 11)
		refusesToSend(t, packet.Subscribe{ID: 7, Requests: packet.Requests(nil).Add("a/b", 2).Add("c", packet.QoS(i))}, "MQTT-3-8.3-4", 11)
	}
}

// SUBACK has a return code for each topic filter, so never none. (How many filters there were is for the session to know.)
func TestMQTT_3_8_4_5(t *testing.T) {
	for length := range 3 {
		refuses(t, whole(0x90, "\x00\x07"[:length]), "MQTT-3.8.4-5", 1)
	}
	refusesBody(t, packet.Header{Type: packet.SUBACK}, "\x00\x07", "MQTT-3.8.4-5", 2)
	refusesToSend(t, packet.Suback{ID: 7}, "MQTT-3.8.4-5", 2)
}

// The return codes of SUBACK stand in the order of the topic filters of SUBSCRIBE: the same index is the same filter.
func TestMQTT_3_9_3_1(t *testing.T) {
	var requests packet.Requests
	var codes []byte
	for i := range 300 {
		requests = requests.Add(strings.Repeat("x", i+1), packet.QoS(i%3))
		codes = append(codes, byte(i%3))
	}
	sent, err := packet.AppendSubscribe(nil, &packet.Subscribe{ID: 7, Requests: requests})
	if err != nil {
		t.Fatal(err)
	}
	came, err := decode(sent)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := packet.AppendSuback(nil, &packet.Suback{ID: 7, Codes: codes})
	if err != nil {
		t.Fatal(err)
	}
	suback, err := decode(answer)
	if err != nil {
		t.Fatal(err)
	}
	granted, i := suback.(packet.Suback).Codes, 0
	for filter, qos := range came.(packet.Subscribe).Requests.All() {
		if len(filter) != i+1 || byte(qos) != granted[i] {
			t.Fatalf("filter %d has %d bytes, QoS %d and code %d", i, len(filter), qos, granted[i])
		}
		i++
	}
	if i != 300 || came.(packet.Subscribe).Requests.Len() != 300 || len(granted) != 300 {
		t.Errorf("%d filters, Len %d, %d codes, want 300", i, came.(packet.Subscribe).Requests.Len(), len(granted))
	}
}

// SUBACK return codes other than 00, 01, 02 and 80 are reserved.
func TestMQTT_3_9_3_2(t *testing.T) {
	for i := range 256 {
		codes := []byte{0, 1, byte(i), 2}
		if i <= 2 || i == packet.SubackFailure {
			accepts(t, whole(0x90, "\x00\x07", string(codes)), packet.Suback{ID: 7, Codes: codes})
			continue
		}
		refuses(t, whole(0x90, "\x00\x07", string(codes)), "MQTT-3.9.3-2", 4)
		refusesToSend(t, packet.Suback{ID: 7, Codes: codes}, "MQTT-3.9.3-2", 4)
	}
}

// UNSUBSCRIBE has flags 0010.
func TestMQTT_3_10_1_1(t *testing.T) {
	refusesFlags(t, packet.UNSUBSCRIBE, 2, "MQTT-3.10.1-1")
	accepts(t, whole(0xa2, "\x00\x07", text("a")), packet.Unsubscribe{ID: 7, Filters: packet.Filters(nil).Add("a")})
}

// The topic filters of UNSUBSCRIBE are UTF-8 encoded strings, one behind the other.
func TestMQTT_3_10_3_1(t *testing.T) {
	accepts(t, whole(0xa2, "\x00\x07", text("a"), text("b/+"), text("#")),
		packet.Unsubscribe{ID: 7, Filters: packet.Filters(nil).Add("a").Add("b/+").Add("#")})
	refuses(t, whole(0xa2, "\x00\x07", text("a"), text("b/\xff")), "MQTT-1.5.3-1", 9)
	refusesToSend(t, packet.Unsubscribe{ID: 7, Filters: packet.Filters(nil).Add("a").Add("b/\xff")}, "MQTT-1.5.3-1", 9)
	refuses(t, whole(0xa2, "\x00\x07", "\x00\x09abc"), "1.5.3", 2)
	refuses(t, whole(0xa2, "\x00\x07", text("abc"), "\x00"), "3.10.3", 8)
	refuses(t, whole(0xa2, "\x00\x07", text("abc"), "\x01"), "3.10.3", 8) // a QoS as in SUBSCRIBE

	var filters []string
	for filter := range packet.Filters(nil).Add("a").Add("b/+").Add("#").All() {
		filters = append(filters, string(filter))
	}
	if got := strings.Join(filters, " "); got != "a b/+ #" {
		t.Errorf("the filters are %q, want a b/+ #", got)
	}
}

// UNSUBSCRIBE has at least one topic filter.
func TestMQTT_3_10_3_2(t *testing.T) {
	for length := range 5 {
		refuses(t, whole(0xa2, "\x00\x07\x00\x01"[:length]), "MQTT-3.10.3-2", 1)
	}
	refusesBody(t, packet.Header{Type: packet.UNSUBSCRIBE}, "\x00\x07", "MQTT-3.10.3-2", 2)
	refusesToSend(t, packet.Unsubscribe{ID: 7}, "MQTT-3.10.3-2", 2)
}

// All of Requests and Filters is total: a list that is not whole ends early, and stops when its reader does.
func TestListsEndEarly(t *testing.T) {
	requests := packet.Requests(nil).Add("a", 1).Add("bc", 2)
	for length := range len(requests) + 1 {
		want := 0
		if length >= 4 {
			want = 1
		}
		if length == len(requests) {
			want = 2
		}
		if got := requests[:length].Len(); got != want {
			t.Errorf("%d bytes hold %d requests, want %d", length, got, want)
		}
	}
	for filter := range requests.All() {
		if string(filter) != "a" {
			t.Errorf("the first filter is %q, want a", filter)
		}
		break
	}
	filters := packet.Filters(nil).Add("a").Add("bc")
	for length := range len(filters) + 1 {
		got := 0
		for range filters[:length].All() {
			got++
		}
		want := 0
		if length >= 3 {
			want = 1
		}
		if length == len(filters) {
			want = 2
		}
		if got != want {
			t.Errorf("%d bytes hold %d filters, want %d", length, got, want)
		}
	}
	for filter := range filters.All() {
		if string(filter) != "a" {
			t.Errorf("the first filter is %q, want a", filter)
		}
		break
	}
}

// A packet that four length bytes cannot announce is not sent, and costs no more than its header.
func TestPacketTooLong(t *testing.T) {
	if err := packet.CheckLength(packet.PUBLISH, packet.MaxRemainingLength); err != nil {
		t.Errorf("the longest packet: %v", err)
	}
	if underRace() {
		t.Skip("the race detector holds memory for 256 MiB that this test never touches")
	}
	huge := make([]byte, packet.MaxRemainingLength+1) // never touched, so never in memory
	refusesToSend(t, packet.Publish{Topic: []byte("a"), Payload: huge[:packet.MaxRemainingLength-2]}, "2.2.3", 0)
	refusesToSend(t, packet.Publish{QoS: 1, ID: 7, Topic: []byte("a"), Payload: huge[:packet.MaxRemainingLength-4]}, "2.2.3", 0)
	refusesToSend(t, packet.Subscribe{ID: 7, Requests: huge[:packet.MaxRemainingLength-1]}, "2.2.3", 0)
	refusesToSend(t, packet.Unsubscribe{ID: 7, Filters: huge[:packet.MaxRemainingLength-1]}, "2.2.3", 0)
	refusesToSend(t, packet.Suback{ID: 7, Codes: huge[:packet.MaxRemainingLength-1]}, "2.2.3", 0)
}

// The views of a decoded packet end where their field ends: appending to one does not write over the next.
func TestViewsAreClosed(t *testing.T) {
	wire := []byte(specimens[packet.CONNECT-1].wire)
	before := bytes.Clone(wire)
	value, err := decode(wire)
	if err != nil {
		t.Fatal(err)
	}
	c := value.(packet.Connect)
	for _, view := range [][]byte{c.ClientID, c.WillTopic, c.WillMessage, c.UserName} {
		_ = append(view, "zzzz"...)
	}
	p, err := packet.ParsePublish(0, wire[12:]) // "\x00\x02id" and what follows
	if err != nil {
		t.Fatal(err)
	}
	_ = append(p.Topic, "zzzz"...)
	if !bytes.Equal(wire, before) {
		t.Errorf("appending to a view changed the packet:\n% x\n% x", before, wire)
	}
}
