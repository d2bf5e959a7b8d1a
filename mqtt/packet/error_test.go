package packet_test

import (
	"errors"
	"strings"
	"testing"

	"iotwire/mqtt/packet"
)

// An error is one line that says the packet, what came, what was expected, the byte and the rule.
func TestErrorsSayWhatToDo(t *testing.T) {
	decoded := func(wire string) error { _, err := decode([]byte(wire)); return err }
	encoded := func(value any) error { _, err := encode(nil, value); return err }
	for _, row := range []struct {
		err  error
		want string
	}{
		{decoded("\x00\x00"), "packet type is 0, which is reserved (byte 0) [2.2.1]"},
		{decoded("\x60\x02\x00\x07"), "PUBREL: flags are 0000, want 0010 (byte 0) [MQTT-3.6.1-1]"},
		{decoded("\xd0\xff\xff\xff\xff\x7f"), "PINGRESP: Remaining Length goes on after its fourth byte (byte 4) [2.2.3]"},
		{decoded("\x40\x03\x00\x07\x00"), "PUBACK: Remaining Length is 3, want 2 (byte 1) [3.4.1]"},
		{decoded("\x82\x02\x00\x07"), "SUBSCRIBE: Remaining Length is 2, want at least 6 (byte 1) [MQTT-3.8.3-3]"},
		{decoded("\x40\x02\x00\x00"), "PUBACK: packet identifier is 0, want 1 to 65535 (byte 0) [MQTT-2.3.1-1]"},
		{decoded("\x32\x05\x00\x01a\x00\x00"), "PUBLISH: packet identifier is 0, want 1 to 65535 (byte 3) [MQTT-2.3.1-1]"},
		{decoded("\x30\x05\x00\x09abc"), "PUBLISH: length of the topic name is 9, but 3 bytes are left (byte 0) [1.5.3]"},
		{decoded("\x30\x05\x00\x03a\xed\xa0"), "PUBLISH: topic name is not UTF-8: unexpected byte ed (byte 3) [MQTT-1.5.3-1]"},
		{decoded("\x30\x05\x00\x03\xed\xa0\x80"), "PUBLISH: topic name has a surrogate, which UTF-8 does not (byte 2) [MQTT-1.5.3-1]"},
		{decoded("\x30\x05\x00\x03a\x00b"), "PUBLISH: topic name has U+0000 (byte 3) [MQTT-4.7.3-2]"},
		{decoded(connect(0x82, text("c"))), "CONNECT: the packet ends before the length of the user name (byte 13) [MQTT-3.1.2-19]"},
		{decoded(connect(0x02, text("c"), "xy")), "CONNECT: 2 bytes after the last field that the connect flags announce (byte 13) [3.1.3]"},
		{decoded(connect(0x1e, text("c"))), "CONNECT: will QoS is 3, want 0, 1 or 2 (byte 7) [MQTT-3.1.2-14]"},
		{decoded("\x20\x02\x01\x05"), "CONNACK: session present is 1 with return code 5, want 0 (byte 0) [MQTT-3.2.2-4]"},
		{decoded("\x82\x06\x00\x07\x00\x01a\x04"), "SUBSCRIBE: requested QoS byte is 04, want 00, 01 or 02 (byte 5) [MQTT-3-8.3-4]"},
		{decoded("\x90\x03\x00\x07\x87"), "SUBACK: return code is 87, want 00, 01, 02 or 80 (byte 2) [MQTT-3.9.3-2]"},
		{encoded(packet.Publish{QoS: 3}), "PUBLISH: QoS is 3, want 0, 1 or 2 (byte 0) [MQTT-3.3.1-4]"},
		{encoded(packet.Publish{Dup: true}), "PUBLISH: DUP is 1 at QoS 0, want 0 (byte 0) [MQTT-3.3.1-2]"},
		{encoded(packet.Publish{Topic: []byte("a"), ID: 9}), "PUBLISH: packet identifier is 9 at QoS 0, want none (byte 3) [MQTT-2.3.1-5]"},
		{encoded(packet.Publish{Topic: []byte("a"), QoS: 1}), "PUBLISH: packet identifier is 0, want 1 to 65535 (byte 3) [MQTT-2.3.1-1]"},
		{encoded(packet.Connect{}), "CONNECT: client identifier is empty, which needs clean session (byte 10) [MQTT-3.1.3-7]"},
		{packet.ValidTopic(""), "topic name is empty, want at least one character (byte 0) [MQTT-4.7.3-1]"},
		{packet.ValidTopic("a/+"), "topic name has the wildcard '+', which belongs in topic filters only (byte 2) [MQTT-4.7.1-1]"},
		{packet.ValidFilter("a/#/b"), "topic filter has '#' where it is not the whole last level (byte 2) [MQTT-4.7.1-2]"},
		{packet.ValidFilter("a+"), "topic filter has '+' where it is not a whole level (byte 1) [MQTT-4.7.1-3]"},
	} {
		if row.err == nil || row.err.Error() != row.want {
			t.Errorf("error is\n\t%v\nwant\n\t%s", row.err, row.want)
		}
	}
}

// A secret is not repeated by the error that refuses its packet.
func TestErrorsKeepSecrets(t *testing.T) {
	const secret = "correct horse battery staple"
	wire := connect(0xc2, text("c"), text("anna"), text(secret), "too much")
	_, err := decode([]byte(wire))
	if err == nil {
		t.Fatal("accepted")
	}
	_, sent := encode(nil, packet.Connect{CleanSession: true, Password: []byte(secret)})
	if sent == nil {
		t.Fatal("encoded")
	}
	for _, err := range []error{err, sent} {
		for at := range len(secret) - 4 {
			if part := secret[at : at+5]; strings.Contains(err.Error(), part) {
				t.Errorf("error %q has %q of the password", err, part)
			}
		}
	}
}

func TestErrorMatchesOneKind(t *testing.T) {
	_, came := decode([]byte("\x40\x02\x00\x00"))
	_, sent := encode(nil, packet.Puback{})
	if !errors.Is(came, packet.ErrMalformed) || errors.Is(came, packet.ErrInvalid) {
		t.Errorf("%v is of bytes that came: it matches ErrMalformed alone", came)
	}
	if !errors.Is(sent, packet.ErrInvalid) || errors.Is(sent, packet.ErrMalformed) {
		t.Errorf("%v is of a packet to be sent: it matches ErrInvalid alone", sent)
	}
}
