package packet_test

import (
	"strings"
	"testing"

	"iotwire/mqtt/packet"
)

// Statements of section 4.7: topic names and topic filters.

// refusesTopic tries s as a topic name, alone and as the topic of a will.
func refusesTopic(t *testing.T, s string, rule string, at int) {
	t.Helper()
	checkError(t, packet.ValidTopic(s), packet.ErrInvalid, 0, rule, at)
	will := places[1]
	if len(s) <= 65535 {
		refuses(t, will.wire(s), rule, will.at+at)
	}
	refusesToSend(t, will.send(s), rule, will.at+at)
}

// refusesFilter tries s as a topic filter, alone, in SUBSCRIBE and in UNSUBSCRIBE.
func refusesFilter(t *testing.T, s string, rule string, at int) {
	t.Helper()
	checkError(t, packet.ValidFilter(s), packet.ErrInvalid, 0, rule, at)
	for _, p := range places[4:] {
		refuses(t, p.wire(s), rule, p.at+at)
		refusesToSend(t, p.send(s), rule, p.at+at)
	}
}

func acceptsFilter(t *testing.T, s string) {
	t.Helper()
	if err := packet.ValidFilter(s); err != nil {
		t.Errorf("filter %q: %v", s, err)
	}
	for _, p := range places[4:] {
		accepts(t, p.wire(s), p.send(s))
	}
}

// matches are the examples of sections 4.7.1 to 4.7.3, and the corners between them.
var matches = []struct {
	filter, topic string
	want          bool
}{
	{"sport/tennis/player1/#", "sport/tennis/player1", true},
	{"sport/tennis/player1/#", "sport/tennis/player1/ranking", true},
	{"sport/tennis/player1/#", "sport/tennis/player1/score/wimbledon", true},
	{"sport/tennis/player1/#", "sport/tennis/player2", false},
	{"sport/tennis/player1/#", "sport/tennis/player10", false},
	{"sport/#", "sport", true},
	{"sport/#", "sport/", true},
	{"sport/#", "sports", false},
	{"sport/#", "spor", false},
	{"#", "sport", true},
	{"#", "/", true},
	{"#", "a/b/c", true},
	{"/#", "/", true},
	{"/#", "", true},
	{"/#", "a", false},
	{"/#", "/a/b", true},
	{"sport/tennis/+", "sport/tennis/player1", true},
	{"sport/tennis/+", "sport/tennis/player2", true},
	{"sport/tennis/+", "sport/tennis/player1/ranking", false},
	{"sport/+", "sport", false},
	{"sport/+", "sport/", true},
	{"+", "sport", true},
	{"+/tennis/#", "sport/tennis", true},
	{"+/tennis/#", "sport/tennis/a/b", true},
	{"+/tennis/#", "tennis", false},
	{"sport/+/player1", "sport/tennis/player1", true},
	{"sport/+/player1", "sport//player1", true},
	{"sport/+/player1", "sport/a/b/player1", false},
	{"+/+", "/finance", true},
	{"/+", "/finance", true},
	{"+", "/finance", false},
	{"a/+/#", "a", false},
	{"a/+/#", "a/b", true},
	{"a/+/+/#", "a/b/c/d", true},
	{"a//b", "a//b", true},
	{"a//b", "a/b", false},
	{"a/b", "a/b/", false},
	{"a/b/", "a/b", false},
	{"/", "/", true},
	{"/", "a", false},
}

// A PUBLISH from the server is judged against a subscription by the matching of section 4.7.
func TestMQTT_3_3_2_3(t *testing.T) {
	for _, m := range matches {
		if got := packet.Match(m.filter, m.topic); got != m.want {
			t.Errorf("filter %q and topic %q: %v, want %v", m.filter, m.topic, got, m.want)
		}
	}
}

// Wildcards stand in topic filters only.
func TestMQTT_4_7_1_1(t *testing.T) {
	for _, wildcard := range []string{"+", "#"} {
		refusesTopic(t, wildcard, "MQTT-4.7.1-1", 0)
		refusesTopic(t, "a/"+wildcard, "MQTT-4.7.1-1", 2)
		refusesTopic(t, wildcard+"/a", "MQTT-4.7.1-1", 0)
		refusesTopic(t, "é"+wildcard+"a", "MQTT-4.7.1-1", 2)
		acceptsFilter(t, wildcard)
	}
	for _, topic := range []string{"/", "//", "a", "/a", "a/", "Accounts payable", "$SYS/a", "*", "a/é/\U0001F600"} {
		if err := packet.ValidTopic(topic); err != nil {
			t.Errorf("topic %q: %v", topic, err)
		}
	}
}

// '#' is the whole last level of a filter.
func TestMQTT_4_7_1_2(t *testing.T) {
	for _, filter := range []string{"#", "/#", "sport/tennis/#", "+/#", "//#"} {
		acceptsFilter(t, filter)
	}
	refusesFilter(t, "sport/tennis#", "MQTT-4.7.1-2", 12)
	refusesFilter(t, "a#", "MQTT-4.7.1-2", 1)
	refusesFilter(t, "sport/tennis/#/ranking", "MQTT-4.7.1-2", 13)
	refusesFilter(t, "#/", "MQTT-4.7.1-2", 0)
	refusesFilter(t, "##", "MQTT-4.7.1-2", 0)
	refusesFilter(t, "a/#b", "MQTT-4.7.1-2", 2)
	refusesFilter(t, "é#", "MQTT-4.7.1-2", 2)
}

// '+' is a whole level of a filter.
func TestMQTT_4_7_1_3(t *testing.T) {
	for _, filter := range []string{"+", "/+", "+/", "+/+", "+/tennis/#", "sport/+/player1"} {
		acceptsFilter(t, filter)
	}
	refusesFilter(t, "sport+", "MQTT-4.7.1-3", 5)
	refusesFilter(t, "a+", "MQTT-4.7.1-3", 1)
	refusesFilter(t, "+sport", "MQTT-4.7.1-3", 0)
	refusesFilter(t, "a/+b/c", "MQTT-4.7.1-3", 2)
	refusesFilter(t, "a/b+/c", "MQTT-4.7.1-3", 3)
	refusesFilter(t, "++", "MQTT-4.7.1-3", 0)
	refusesFilter(t, "+#", "MQTT-4.7.1-3", 0)
	refusesFilter(t, "é+", "MQTT-4.7.1-3", 2)
}

// A wildcard in the first level does not match a topic that starts with '$'.
func TestMQTT_4_7_2_1(t *testing.T) {
	for _, m := range []struct {
		filter, topic string
		want          bool
	}{
		{"#", "$SYS", false},
		{"#", "$SYS/monitor/Clients", false},
		{"+", "$SYS", false},
		{"+/#", "$SYS/monitor", false},
		{"+/monitor/Clients", "$SYS/monitor/Clients", false},
		{"$SYS/#", "$SYS/monitor/Clients", true},
		{"$SYS/#", "$SYS", true},
		{"$SYS/monitor/+", "$SYS/monitor/Clients", true},
		{"$SYS/+/+", "$SYS/monitor/$x", true},
		{"a/#", "a/$SYS", true},
		{"a/+", "a/$SYS", true},
		{"/#", "/$SYS", true},
	} {
		if got := packet.Match(m.filter, m.topic); got != m.want {
			t.Errorf("filter %q and topic %q: %v, want %v", m.filter, m.topic, got, m.want)
		}
	}
}

// Topic names and topic filters have at least one character.
func TestMQTT_4_7_3_1(t *testing.T) {
	refusesTopic(t, "", "MQTT-4.7.3-1", 0)
	refusesFilter(t, "", "MQTT-4.7.3-1", 0)
	refuses(t, whole(0x30, text(""), "payload"), "MQTT-4.7.3-1", 2)
	refusesToSend(t, packet.Publish{Payload: []byte("payload")}, "MQTT-4.7.3-1", 2)
}

// Topic names and topic filters have no U+0000.
func TestMQTT_4_7_3_2(t *testing.T) {
	for _, before := range []string{"", "a/", "é"} {
		refusesTopic(t, before+"\x00", "MQTT-4.7.3-2", len(before))
		refusesFilter(t, before+"\x00", "MQTT-4.7.3-2", len(before))
		refuses(t, whole(0x30, text(before+"\x00")), "MQTT-4.7.3-2", 2+len(before))
		refusesToSend(t, packet.Publish{Topic: []byte(before + "\x00")}, "MQTT-4.7.3-2", 2+len(before))
	}
}

// Topic names and topic filters have at most 65 535 bytes, which are fewer characters where these take more than one.
func TestMQTT_4_7_3_3(t *testing.T) {
	for _, s := range []string{strings.Repeat("a", 65535), strings.Repeat("é", 32767) + "a"} {
		if err := packet.ValidTopic(s); err != nil {
			t.Error(err)
		}
		for _, p := range places {
			accepts(t, p.wire(s), p.send(s))
		}
		refusesTopic(t, s+"a", "MQTT-4.7.3-3", 65535)
		refusesToSend(t, packet.Publish{Topic: []byte(s + "a")}, "MQTT-4.7.3-3", 2+65535)
		checkError(t, packet.ValidFilter(s+"a"), packet.ErrInvalid, 0, "MQTT-4.7.3-3", 65535)
		// The wire cannot say such a filter: Add takes an empty one in its place, which is refused.
		refusesToSend(t, packet.Subscribe{ID: 7, Requests: packet.Requests(nil).Add(s+"a", 0)}, "MQTT-4.7.3-1", 4)
		refusesToSend(t, packet.Unsubscribe{ID: 7, Filters: packet.Filters(nil).Add(s + "a")}, "MQTT-4.7.3-1", 4)
	}
}

// Topics are compared byte by byte: no case, no normalization, no substitution.
func TestMQTT_4_7_3_4(t *testing.T) {
	for _, pair := range [][2]string{
		{"ACCOUNTS", "Accounts"},
		{"/finance", "finance"},
		{"\u00e9", "e\u0301"},    // é in one and in two characters
		{"\u212b", "\u00c5"},     // Ångström and Å
		{"a\u00adb", "ab"},       // soft hyphen
		{"\ufffd", "\U0010FFFF"}, // replacement character
		{"%61", "a"},
		{"a ", "a"},
	} {
		if packet.Match(pair[0], pair[1]) || packet.Match(pair[1], pair[0]) {
			t.Errorf("%+q and %+q match", pair[0], pair[1])
		}
		if !packet.Match(pair[0], pair[0]) || !packet.Match(pair[1], pair[1]) {
			t.Errorf("%+q or %+q does not match itself", pair[0], pair[1])
		}
	}
}
