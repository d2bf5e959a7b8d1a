package packet_test

import (
	"strings"
	"testing"

	"iotwire/mqtt/packet"
)

// Statements of chapters 1 and 2: data representations and the format of control packets.

// place is a place where a UTF-8 encoded string stands.
type place struct {
	name string
	wire func(text string) string // a packet with this text there
	send func(text string) any    // the same packet, to be encoded
	at   int                      // the text's first byte, counted from behind the fixed header
	null string                   // the rule that forbids U+0000 there
}

var places = []place{
	{"client identifier",
		func(s string) string { return whole(0x10, "\x00\x04MQTT\x04\x02\x00\x0a", text(s)) },
		func(s string) any { return packet.Connect{CleanSession: true, KeepAlive: 10, ClientID: []byte(s)} },
		12, "MQTT-1.5.3-2"},
	{"will topic",
		func(s string) string {
			return whole(0x10, "\x00\x04MQTT\x04\x06\x00\x0a", text("c"), text(s), text("m"))
		},
		func(s string) any {
			return packet.Connect{CleanSession: true, KeepAlive: 10, ClientID: []byte("c"), Will: true, WillTopic: []byte(s), WillMessage: []byte("m")}
		},
		15, "MQTT-4.7.3-2"},
	{"user name",
		func(s string) string { return whole(0x10, "\x00\x04MQTT\x04\x82\x00\x0a", text("c"), text(s)) },
		func(s string) any {
			return packet.Connect{CleanSession: true, KeepAlive: 10, ClientID: []byte("c"), HasUserName: true, UserName: []byte(s)}
		},
		15, "MQTT-1.5.3-2"},
	{"topic name",
		func(s string) string { return whole(0x30, text(s), "payload") },
		func(s string) any { return packet.Publish{Topic: []byte(s), Payload: []byte("payload")} },
		2, "MQTT-4.7.3-2"},
	{"topic filter of SUBSCRIBE",
		func(s string) string { return whole(0x82, "\x00\x07", text("first"), "\x00", text(s), "\x01") },
		func(s string) any {
			return packet.Subscribe{ID: 7, Requests: packet.Requests(nil).Add("first", packet.QoS0).Add(s, packet.QoS1)}
		},
		12, "MQTT-4.7.3-2"},
	{"topic filter of UNSUBSCRIBE",
		func(s string) string { return whole(0xa2, "\x00\x07", text("first"), text(s)) },
		func(s string) any {
			return packet.Unsubscribe{ID: 7, Filters: packet.Filters(nil).Add("first").Add(s)}
		},
		11, "MQTT-4.7.3-2"},
}

// illFormed has text that is not UTF-8, and the first byte at which it is not.
var illFormed = []struct {
	text string
	at   int
	says string
}{
	{"\x80", 0, "unexpected byte 80"},
	{"a\xff", 1, "unexpected byte ff"},
	{"ab\xc3(", 2, "unexpected byte c3"},
	{"\xe2\x82", 0, "unexpected byte e2"},         // the euro sign, cut short
	{"\xc0\x80", 0, "unexpected byte c0"},         // U+0000 in two bytes
	{"\xc0\xaf", 0, "unexpected byte c0"},         // '/' in two bytes
	{"\xe0\x80\xaf", 0, "unexpected byte e0"},     // '/' in three
	{"\xf0\x80\x80\xaf", 0, "unexpected byte f0"}, // '/' in four
	{"\xf4\x90\x80\x80", 0, "unexpected byte f4"}, // U+110000
	{"\xed\xa0\x80", 0, "surrogate"},              // U+D800
	{"é\xed\xbf\xbf", 2, "surrogate"},             // U+DFFF
	{"\xed\xa0", 0, "unexpected byte ed"},
	{"\xed\xff\xbf", 0, "unexpected byte ed"},
}

// unusual has text that looks wrong and is not.
var unusual = []string{
	"A\U0002A6D4", // the example of section 1.5.3.1
	"\uFFFD",      // what a decoder puts where text is ill-formed is a character too
	"\uD7FF\uE000\U0010FFFF",
	"\x01\x1f\x7f\u0080\u009f", // control characters: a receiver may close, this one does not
	"\uFFFE\uFFFF",             // nor for non-characters
}

// Ill-formed UTF-8 is refused at the byte where it begins, in every text field.
func TestMQTT_1_5_3_1(t *testing.T) {
	for _, p := range places {
		for _, bad := range illFormed {
			refuses(t, p.wire(bad.text), "MQTT-1.5.3-1", p.at+bad.at)
			refusesToSend(t, p.send(bad.text), "MQTT-1.5.3-1", p.at+bad.at)
			_, err := decode([]byte(p.wire(bad.text)))
			if !strings.Contains(err.Error(), p.name[:5]) || !strings.Contains(err.Error(), bad.says) {
				t.Errorf("%s %q: error is %q, want it to name the field and say %q", p.name, bad.text, err, bad.says)
			}
		}
		for _, good := range unusual {
			accepts(t, p.wire(good), p.send(good))
		}
	}
}

// U+0000 is refused in every text field, wherever it stands.
func TestMQTT_1_5_3_2(t *testing.T) {
	for _, p := range places {
		for _, before := range []string{"", "a", "ab/é"} {
			refuses(t, p.wire(before+"\x00z"), p.null, p.at+len(before))
			refusesToSend(t, p.send(before+"\x00z"), p.null, p.at+len(before))
		}
	}
	// The will message and the password are bytes, not text.
	accepts(t, whole(0x10, "\x00\x04MQTT\x04\xc6\x00\x00", text("c"), text("w"), text("\x00\xff"), text("u"), text("\xed\xa0\x80\x00")),
		packet.Connect{CleanSession: true, ClientID: []byte("c"), Will: true, WillTopic: []byte("w"), WillMessage: []byte("\x00\xff"),
			HasUserName: true, UserName: []byte("u"), HasPassword: true, Password: []byte("\xed\xa0\x80\x00")})
}

// EF BB BF is the character U+FEFF: it is neither skipped nor taken off.
func TestMQTT_1_5_3_3(t *testing.T) {
	for _, p := range places {
		for _, s := range []string{"\xef\xbb\xbf", "\xef\xbb\xbfa/b", "a\xef\xbb\xbf/b", "a/b\xef\xbb\xbf"} {
			accepts(t, p.wire(s), p.send(s))
		}
	}
	if packet.Match("a/b", "\xef\xbb\xbfa/b") || packet.Match("\xef\xbb\xbfa/b", "a/b") {
		t.Error("U+FEFF was not compared")
	}
}

// tableFlags is table 2.2, without PUBLISH.
var tableFlags = map[packet.Type]byte{
	packet.CONNECT: 0, packet.CONNACK: 0, packet.PUBACK: 0, packet.PUBREC: 0, packet.PUBREL: 2, packet.PUBCOMP: 0, packet.SUBSCRIBE: 2,
	packet.SUBACK: 0, packet.UNSUBSCRIBE: 2, packet.UNSUBACK: 0, packet.PINGREQ: 0, packet.PINGRESP: 0, packet.DISCONNECT: 0,
}

// What is sent has the flags of table 2.2.
func TestMQTT_2_2_2_1(t *testing.T) {
	for _, specimen := range specimens {
		b, err := encode(nil, specimen.value)
		if err != nil {
			t.Fatal(err)
		}
		typ := packet.Type(b[0] >> 4)
		if want, reserved := tableFlags[typ]; reserved && b[0]&15 != want {
			t.Errorf("flags of %v are %04b, want %04b", typ, b[0]&15, want)
		}
	}
}

// What comes with other flags than those of table 2.2 is refused at the first byte, before anything else is there. Four
// packets have a statement of their own for it.
func TestMQTT_2_2_2_2(t *testing.T) {
	own := map[packet.Type]string{
		packet.PUBREL: "MQTT-3.6.1-1", packet.SUBSCRIBE: "MQTT-3.8.1-1", packet.UNSUBSCRIBE: "MQTT-3.10.1-1", packet.DISCONNECT: "MQTT-3.14.1-1",
	}
	for typ, want := range tableFlags {
		if own[typ] == "" {
			refusesFlags(t, typ, want, "MQTT-2.2.2-2")
		}
	}
	if len(tableFlags) != 13 {
		t.Errorf("%d types tested, want 13", len(tableFlags))
	}
}

// refusesFlags tries all sixteen values of the flags of a packet type, of which only want is right.
func refusesFlags(t *testing.T, typ packet.Type, want byte, rule string) {
	t.Helper()
	for flags := range byte(16) {
		first := byte(typ)<<4 | flags
		for _, wire := range []string{string([]byte{first}), string([]byte{first}) + specimens[typ-1].wire[1:]} {
			_, _, err := packet.ParseHeader([]byte(wire))
			switch {
			case flags == want && err != nil:
				t.Errorf("% x: %v", wire, err)
			case flags != want && err == nil:
				t.Errorf("% x is accepted, want it refused by %s", wire, rule)
			case flags != want:
				checkError(t, err, packet.ErrMalformed, typ, rule, 0)
			}
		}
	}
}

// SUBSCRIBE, UNSUBSCRIBE and PUBLISH above QoS 0 have a packet identifier that is not 0, and so have their answers.
func TestMQTT_2_3_1_1(t *testing.T) {
	for _, bad := range []struct {
		wire   string
		value  any
		offset int
	}{
		{whole(0x32, text("a/b"), "\x00\x00x"), packet.Publish{QoS: packet.QoS1, Topic: []byte("a/b"), Payload: []byte("x")}, 5},
		{whole(0x34, text("a/b"), "\x00\x00"), packet.Publish{QoS: packet.QoS2, Topic: []byte("a/b")}, 5},
		{whole(0x82, "\x00\x00", text("a"), "\x00"), packet.Subscribe{Requests: packet.Requests(nil).Add("a", packet.QoS0)}, 0},
		{whole(0xa2, "\x00\x00", text("a")), packet.Unsubscribe{Filters: packet.Filters(nil).Add("a")}, 0},
		{"\x40\x02\x00\x00", packet.Puback{}, 0},
		{"\x50\x02\x00\x00", packet.Pubrec{}, 0},
		{"\x62\x02\x00\x00", packet.Pubrel{}, 0},
		{"\x70\x02\x00\x00", packet.Pubcomp{}, 0},
		{"\x90\x03\x00\x00\x01", packet.Suback{Codes: []byte{1}}, 0},
		{"\xb0\x02\x00\x00", packet.Unsuback{}, 0},
	} {
		refuses(t, bad.wire, "MQTT-2.3.1-1", bad.offset)
		refusesToSend(t, bad.value, "MQTT-2.3.1-1", bad.offset)
	}
	// One byte of the identifier is 0: that is not identifier 0.
	accepts(t, whole(0x32, text("a"), "\x00\x01"), packet.Publish{QoS: packet.QoS1, Topic: []byte("a"), ID: 1})
	accepts(t, "\x40\x02\x01\x00", packet.Puback{ID: 256})
	accepts(t, "\x40\x02\xff\xff", packet.Puback{ID: 65535})
	// An identifier that is cut short, or not there.
	refuses(t, whole(0x32, text("abc")), "3.3.2.2", 5)
	refuses(t, whole(0x34, text("abc"), "\x01"), "3.3.2.2", 6)
	refusesBody(t, packet.Header{Type: packet.SUBSCRIBE}, "\x01", "3.8.2", 1)
	refusesBody(t, packet.Header{Type: packet.UNSUBSCRIBE}, "", "3.10.2", 0)
	refusesBody(t, packet.Header{Type: packet.SUBACK}, "\x01", "3.9.2", 1)
}

// PUBLISH of QoS 0 has no packet identifier: what follows the topic name is the message.
func TestMQTT_2_3_1_5(t *testing.T) {
	accepts(t, whole(0x30, text("a/b"), "\x12\x34x"), packet.Publish{Topic: []byte("a/b"), Payload: []byte("\x12\x34x")})
	accepts(t, whole(0x31, text("a/b"), "\x00\x00"), packet.Publish{Retain: true, Topic: []byte("a/b"), Payload: []byte("\x00\x00")})
	accepts(t, whole(0x30, text("a/b")), packet.Publish{Topic: []byte("a/b")})
	refusesToSend(t, packet.Publish{Topic: []byte("a/b"), ID: 7}, "MQTT-2.3.1-5", 5)
}
