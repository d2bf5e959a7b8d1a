package packet_test

import (
	"strings"
	"testing"

	"iotwire/mqtt/packet"
)

// Statements of sections 3.1, 3.2 and 3.14: the packets that begin and end a connection.

// connect is a CONNECT packet with these connect flags, keep alive 10, and this payload.
func connect(flags byte, payload ...string) string {
	return whole(0x10, "\x00\x04MQTT\x04", string([]byte{flags}), "\x00\x0a", strings.Join(payload, ""))
}

// A wrong protocol name is not read on as MQTT 3.1.1.
func TestMQTT_3_1_2_1(t *testing.T) {
	for _, name := range []string{"MQTU", "mqtt", "MQT", "MQTTT", "", "\xff\xfe", strings.Repeat("M", 300)} {
		refuses(t, whole(0x10, text(name), "\x04\x02\x00\x0a", text("client")), "MQTT-3.1.2-1", 2)
	}
	refuses(t, whole(0x10, "\x00\x0bMQTT\x04\x02\x00\x0a\x00\x00"), "1.5.3", 0)
	refusesBody(t, packet.Header{Type: packet.CONNECT}, "\x00", "3.1.2.1", 1)
	b, err := packet.AppendConnect(nil, &packet.Connect{CleanSession: true})
	if want := "\x10\x0c\x00\x04MQTT\x04\x02\x00\x00\x00\x00"; err != nil || string(b) != want {
		t.Errorf("the smallest CONNECT is % x, %v, want % x", b, err, want)
	}
}

// Another protocol level is told from every other mistake, also where the rest of the packet is that of another version.
func TestMQTT_3_1_2_2(t *testing.T) {
	for _, level := range []string{"\x00", "\x03", "\x05", "\x84", "\xff"} {
		refuses(t, whole(0x10, "\x00\x04MQTT", level, "\x02\x00\x0a", text("c")), "MQTT-3.1.2-2", 6)
		refuses(t, whole(0x10, "\x00\x04MQTT", level, "\x01\x00\x0a", "\x00\x00\x01"), "MQTT-3.1.2-2", 6)
	}
	// MQTT 3.1, and MQTT 5 with a property.
	refuses(t, whole(0x10, "\x00\x06MQIsdp\x03\x02\x00\x0a", text("c")), "MQTT-3.1.2-2", 2)
	refuses(t, whole(0x10, "\x00\x04MQTT\x05\x02\x00\x0a", "\x05\x11\x00\x00\x00\x0a", text("c")), "MQTT-3.1.2-2", 6)
	// The variable header has ten bytes.
	refusesBody(t, packet.Header{Type: packet.CONNECT}, "\x00\x04MQTT", "3.1.2", 6)
	refusesBody(t, packet.Header{Type: packet.CONNECT}, "\x00\x04MQTT\x04\x02\x00", "3.1.2", 9)
}

// The reserved connect flag is 0.
func TestMQTT_3_1_2_3(t *testing.T) {
	refuses(t, connect(0x03, text("c")), "MQTT-3.1.2-3", 7)
	refuses(t, connect(0x01, text("c")), "MQTT-3.1.2-3", 7)
	b, err := encode(nil, specimens[packet.CONNECT-1].value)
	if err != nil || b[9]&1 != 0 {
		t.Errorf("connect flags sent are %08b, %v, want bit 0 to be 0", b[9], err)
	}
}

// With the will flag the will topic and the will message are there.
func TestMQTT_3_1_2_9(t *testing.T) {
	refuses(t, connect(0x06, text("c")), "MQTT-3.1.2-9", 13)
	refuses(t, connect(0x06, text("c"), "\x00"), "MQTT-3.1.2-9", 14)
	refuses(t, connect(0x06, text("c"), text("w")), "MQTT-3.1.2-9", 16)
	refuses(t, connect(0x06, text("c"), "\x00\x02w"), "1.5.3", 13)
	refuses(t, connect(0x06, text("c"), text("w"), "\x00\x02m"), "1.5.3", 16)
	accepts(t, connect(0x06, text("c"), text("w"), text("")),
		packet.Connect{CleanSession: true, KeepAlive: 10, ClientID: []byte("c"), Will: true, WillTopic: []byte("w")})
	refusesToSend(t, packet.Connect{CleanSession: true, Will: true, WillMessage: []byte("m")}, "MQTT-4.7.3-1", 14)
	refusesToSend(t, packet.Connect{CleanSession: true, Will: true, WillTopic: []byte("w"), WillMessage: make([]byte, 65536)}, "1.5.3", 15)
}

// Without the will flag there is neither will QoS, will retain, will topic nor will message.
func TestMQTT_3_1_2_11(t *testing.T) {
	refuses(t, connect(0x02, text("c"), text("w"), text("m")), "3.1.3", 13)
	refusesToSend(t, packet.Connect{CleanSession: true, WillTopic: []byte("w")}, "MQTT-3.1.2-11", 7)
	refusesToSend(t, packet.Connect{CleanSession: true, WillMessage: []byte("m")}, "MQTT-3.1.2-11", 7)
}

// Without the will flag the will QoS is 0.
func TestMQTT_3_1_2_13(t *testing.T) {
	for qos := byte(1); qos <= 3; qos++ {
		refuses(t, connect(0x02|qos<<3, text("c")), "MQTT-3.1.2-13", 7)
		refusesToSend(t, packet.Connect{CleanSession: true, WillQoS: packet.QoS(qos)}, "MQTT-3.1.2-13", 7)
	}
}

// With the will flag the will QoS is 0, 1 or 2.
func TestMQTT_3_1_2_14(t *testing.T) {
	for qos := range byte(3) {
		accepts(t, connect(0x06|qos<<3, text("c"), text("w"), text("m")),
			packet.Connect{CleanSession: true, KeepAlive: 10, ClientID: []byte("c"), Will: true, WillTopic: []byte("w"), WillMessage: []byte("m"), WillQoS: packet.QoS(qos)})
	}
	refuses(t, connect(0x1e, text("c"), text("w"), text("m")), "MQTT-3.1.2-14", 7)
	for _, qos := range []packet.QoS{3, 4, 255} {
		refusesToSend(t, packet.Connect{CleanSession: true, Will: true, WillTopic: []byte("w"), WillQoS: qos}, "MQTT-3.1.2-14", 7)
	}
}

// Without the will flag will retain is 0.
func TestMQTT_3_1_2_15(t *testing.T) {
	refuses(t, connect(0x22, text("c")), "MQTT-3.1.2-15", 7)
	refusesToSend(t, packet.Connect{CleanSession: true, WillRetain: true}, "MQTT-3.1.2-15", 7)
}

// Without the user name flag there is no user name.
func TestMQTT_3_1_2_18(t *testing.T) {
	refuses(t, connect(0x02, text("c"), text("anna")), "3.1.3", 13)
	refuses(t, connect(0x06, text("c"), text("w"), text("m"), text("anna")), "3.1.3", 19)
	refusesToSend(t, packet.Connect{CleanSession: true, UserName: []byte("anna")}, "MQTT-3.1.2-18", 7)
}

// With the user name flag there is a user name, if only an empty one.
func TestMQTT_3_1_2_19(t *testing.T) {
	refuses(t, connect(0x82, text("c")), "MQTT-3.1.2-19", 13)
	refuses(t, connect(0x82, text("c"), "\x00\x05anna"), "1.5.3", 13)
	accepts(t, connect(0x82, text("c"), text("")), packet.Connect{CleanSession: true, KeepAlive: 10, ClientID: []byte("c"), HasUserName: true})
	refusesToSend(t, packet.Connect{CleanSession: true, HasUserName: true, UserName: make([]byte, 65536)}, "1.5.3", 12)
}

// Without the password flag there is no password.
func TestMQTT_3_1_2_20(t *testing.T) {
	refuses(t, connect(0x82, text("c"), text("anna"), text("secret")), "3.1.3", 19)
	refusesToSend(t, packet.Connect{CleanSession: true, HasUserName: true, Password: []byte("secret")}, "MQTT-3.1.2-20", 7)
}

// With the password flag there is a password, if only an empty one.
func TestMQTT_3_1_2_21(t *testing.T) {
	refuses(t, connect(0xc2, text("c"), text("anna")), "MQTT-3.1.2-21", 19)
	refuses(t, connect(0xc2, text("c"), text("anna"), "\x00\x07secret"), "1.5.3", 19)
	accepts(t, connect(0xc2, text("c"), text("anna"), text("")),
		packet.Connect{CleanSession: true, KeepAlive: 10, ClientID: []byte("c"), HasUserName: true, UserName: []byte("anna"), HasPassword: true})
	refusesToSend(t, packet.Connect{CleanSession: true, HasUserName: true, HasPassword: true, Password: make([]byte, 65536)}, "1.5.3", 14)
}

// A password needs a user name.
func TestMQTT_3_1_2_22(t *testing.T) {
	refuses(t, connect(0x42, text("c"), text("secret")), "MQTT-3.1.2-22", 7)
	refusesToSend(t, packet.Connect{CleanSession: true, HasPassword: true, Password: []byte("secret")}, "MQTT-3.1.2-22", 7)
}

// The payload's order: client identifier, will topic, will message, user name, password.
func TestMQTT_3_1_3_1(t *testing.T) {
	accepts(t, connect(0xce, text("one"), text("two"), text("three"), text("four"), text("five")), packet.Connect{
		CleanSession: true, KeepAlive: 10, ClientID: []byte("one"),
		Will: true, WillQoS: packet.QoS1, WillTopic: []byte("two"), WillMessage: []byte("three"),
		HasUserName: true, UserName: []byte("four"), HasPassword: true, Password: []byte("five")})
	accepts(t, connect(0xc2, text("one"), text("two"), text("three")), packet.Connect{
		CleanSession: true, KeepAlive: 10, ClientID: []byte("one"),
		HasUserName: true, UserName: []byte("two"), HasPassword: true, Password: []byte("three")})
}

// The client identifier is there and comes first.
func TestMQTT_3_1_3_3(t *testing.T) {
	refusesBody(t, packet.Header{Type: packet.CONNECT}, "\x00\x04MQTT\x04\x02\x00\x0a", "MQTT-3.1.3-3", 10)
	refusesBody(t, packet.Header{Type: packet.CONNECT}, "\x00\x04MQTT\x04\x02\x00\x0a\x00", "MQTT-3.1.3-3", 11)
	refuses(t, connect(0x02, "\x00\x02c"), "1.5.3", 10)
	accepts(t, connect(0x02, text("c")), packet.Connect{CleanSession: true, KeepAlive: 10, ClientID: []byte("c")})
}

// The client identifier is a UTF-8 encoded string, of up to 65 535 bytes.
func TestMQTT_3_1_3_4(t *testing.T) {
	refuses(t, connect(0x02, text("c\xff")), "MQTT-1.5.3-1", 13)
	refusesToSend(t, packet.Connect{ClientID: []byte("c\xff")}, "MQTT-1.5.3-1", 13)
	long := strings.Repeat("é", 32767) + "x"
	accepts(t, connect(0x00, text(long)), packet.Connect{KeepAlive: 10, ClientID: []byte(long)})
	refusesToSend(t, packet.Connect{ClientID: []byte(long + "x")}, "1.5.3", 10)
}

// A client with an empty client identifier asks for a clean session.
func TestMQTT_3_1_3_7(t *testing.T) {
	refusesToSend(t, packet.Connect{}, "MQTT-3.1.3-7", 10)
	accepts(t, connect(0x02, text("")), packet.Connect{CleanSession: true, KeepAlive: 10})
}

// A server can tell an empty client identifier without clean session from other mistakes.
func TestMQTT_3_1_3_8(t *testing.T) {
	refuses(t, connect(0x00, text("")), "MQTT-3.1.3-8", 10)
	refuses(t, connect(0x80, text(""), text("anna")), "MQTT-3.1.3-8", 10)
}

// The will topic is a UTF-8 encoded string.
func TestMQTT_3_1_3_10(t *testing.T) {
	refuses(t, connect(0x06, text("c"), text("w/\xff"), text("m")), "MQTT-1.5.3-1", 17)
	refusesToSend(t, packet.Connect{ClientID: []byte("c"), Will: true, WillTopic: []byte("w/\xff")}, "MQTT-1.5.3-1", 17)
}

// The user name is a UTF-8 encoded string.
func TestMQTT_3_1_3_11(t *testing.T) {
	refuses(t, connect(0x82, text("c"), text("ann\xff")), "MQTT-1.5.3-1", 18)
	refusesToSend(t, packet.Connect{ClientID: []byte("c"), HasUserName: true, UserName: []byte("ann\xff")}, "MQTT-1.5.3-1", 18)
}

// A return code other than 0 comes with session present 0.
func TestMQTT_3_2_2_4(t *testing.T) {
	for code := packet.RefusedVersion; code <= packet.RefusedUnauthorized; code++ {
		accepts(t, "\x20\x02\x00"+string([]byte{byte(code)}), packet.Connack{Code: code})
		refuses(t, "\x20\x02\x01"+string([]byte{byte(code)}), "MQTT-3.2.2-4", 0)
		refusesToSend(t, packet.Connack{SessionPresent: true, Code: code}, "MQTT-3.2.2-4", 0)
	}
	accepts(t, "\x20\x02\x01\x00", packet.Connack{SessionPresent: true})
}

// The acknowledge flags and return codes that are reserved (sections 3.2.2.1 and 3.2.2.3).
func TestConnackReserved(t *testing.T) {
	for i := 2; i < 256; i++ {
		refuses(t, string([]byte{0x20, 2, byte(i), 0}), "3.2.2.1", 0)
	}
	for i := 6; i < 256; i++ {
		refuses(t, string([]byte{0x20, 2, 0, byte(i)}), "3.2.2.3", 1)
		refusesToSend(t, packet.Connack{Code: packet.ConnectCode(i)}, "3.2.2.3", 1)
	}
	for length, offset := range []int{0, 1, -1, 2, 2} {
		if length != 2 {
			refusesBody(t, packet.Header{Type: packet.CONNACK}, "\x00\x00\x00\x00"[:length], "3.2.1", offset)
		}
	}
}

func TestConnectCodeString(t *testing.T) {
	seen := map[string]bool{}
	for code := range packet.ConnectCode(7) {
		seen[code.String()] = true
	}
	if len(seen) != 7 || !seen["accepted"] || !seen["not authorized"] || !seen["reserved code 6"] {
		t.Errorf("the codes are called %v", seen)
	}
}

// DISCONNECT has flags 0000.
func TestMQTT_3_14_1_1(t *testing.T) {
	refusesFlags(t, packet.DISCONNECT, 0, "MQTT-3.14.1-1")
	if b := packet.AppendDisconnect(nil); string(b) != "\xe0\x00" {
		t.Errorf("DISCONNECT is % x, want e0 00", b)
	}
}
