package packet_test

import (
	"encoding/hex"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"iotwire/mqtt/packet"
)

// hostile has packets that broke other clients and brokers, or that they let pass, with the rule that each breaks. Those
// without a rule look wrong and are not.
var hostile = []struct {
	what, wire, rule string
}{
	// To a client.
	{"CONNACK with reserved return code 255", "200200FF", "3.2.2.3"},
	{"CONNACK with reserved acknowledge flag", "20028000", "3.2.2.1"},
	{"CONNACK one byte short", "200100", "3.2.1"},
	{"CONNACK with flags", "29020001", "MQTT-2.2.2-2"},
	{"CONNACK that claims 256 MiB", "20FFFFFF7F", "3.2.1"},
	{"CONNACK that claims 32 GiB in five bytes", "20FFFFFFFF7F", "2.2.3"},
	{"TLS alert", "15030300020228", "MQTT-2.2.2-2"},
	{"PUBLISH with a length of five bytes", "308080808001", "2.2.3"},
	{"PUBLISH with a length that is longer than needed", "308E000005746F7069637061796C6F6164", ""},
	{"PUBLISH with the length of a topic and no topic", "30020005", "3.3.2"},
	{"PUBLISH with a topic longer than the packet", "3004FFFF6162", "1.5.3"},
	{"PUBLISH with an empty topic", "300900007061796C6F6164", "MQTT-4.7.3-1"},
	{"PUBLISH with a surrogate", "30050003EDBFBF", "MQTT-1.5.3-1"},
	{"PUBLISH with a lone continuation byte", "3003000180", "MQTT-1.5.3-1"},
	{"PUBLISH with ill-formed UTF-8", "30040002C328", "MQTT-1.5.3-1"},
	{"PUBLISH with a control character", "30050003610162", ""},
	{"PUBLISH with U+2A6D4", "3007000541F0AA9B94", ""},
	{"PUBLISH at QoS 0 with DUP", "380E0005746F7069637061796C6F6164", "MQTT-3.3.1-2"},
	{"PUBLISH at QoS 1 without room for its identifier", "32070005746F706963", "3.3.2.2"},
	{"PUBLISH at QoS 1 with identifier 0", "32100005746F70696300007061796C6F6164", "MQTT-2.3.1-1"},
	{"PUBLISH at QoS 1 with DUP, never seen before", "3A100005746F70696312347061796C6F6164", ""},
	{"PUBREL with flags 1010", "6A020001", "MQTT-3.6.1-1"},
	{"PUBREL of one byte", "620101", "3.6.1"},
	{"PUBACK of no bytes", "4000", "3.4.1"},
	{"PUBACK with flags", "42020001", "MQTT-2.2.2-2"},
	{"PUBREC with the flags of PUBREL", "52020001", "MQTT-2.2.2-2"},
	{"PUBCOMP of one byte", "700100", "3.7.1"},
	{"SUBACK without a code", "90020007", "MQTT-3.8.4-5"},
	{"SUBACK with a reason code of MQTT 5", "900400078700", "MQTT-3.9.3-2"},
	{"SUBACK with the flags of SUBSCRIBE", "920400070000", "MQTT-2.2.2-2"},
	{"UNSUBACK with a code", "B003000700", "3.11.1"},
	{"DISCONNECT of MQTT 5", "E0028E00", "3.14.1"},
	{"reserved type 0 with flags", "0F00", "2.2.1"},
	{"PINGRESP with a byte", "D00100", "3.13.1"},
	// To a broker.
	{"CONNACK that claims 243 MB", "2080808074010101", "3.2.1"},
	{"CONNECT shorter than its fields", "100700044D51545404C2003C000B746573742D707974686F6E", "3.1"},
	{"CONNECT with protocol name MQTU", "100D00044D5154550402003C000170", "MQTT-3.1.2-1"},
	{"CONNECT with will QoS and no will", "100D00044D515454040A003C000170", "MQTT-3.1.2-13"},
	{"CONNECT with password and no user name", "101000044D5154540442003C000170000170", "MQTT-3.1.2-22"},
	{"CONNECT with U+0000 in the client identifier", "100F00044D5154540402003C0003610062", "MQTT-1.5.3-2"},
	{"TLS ClientHello", "1603010101010000FD03030009", "MQTT-2.2.2-2"},
	{"SUBSCRIBE with flags 0000", "8006123400017000", "MQTT-3.8.1-1"},
	{"SUBSCRIBE that ends before the QoS", "8206123400026162", "3.8.3"},
	{"SUBSCRIBE of one filter that ends before the QoS", "82051234000170", "MQTT-3.8.3-3"},
	{"SUBSCRIBE to an empty filter", "8206123400000000", "MQTT-4.7.3-1"},
	{"SUBSCRIBE with a filter longer than the packet", "820C000100027430000064787800", "1.5.3"},
	{"SUBSCRIBE to 65 528 slashes", "82FDFF031234FFF8" + strings.Repeat("2F", 65528) + "00", ""},
	{"UNSUBSCRIBE with flags 0000", "A0051234000170", "MQTT-3.10.1-1"},
	{"DISCONNECT with flags", "E200", "MQTT-3.14.1-1"},
}

// judge reads packets until the first mistake, or the end.
func judge(src io.Reader) (accepted []packet.Type, err error) {
	r := packet.NewReader(src, 1<<20)
	for {
		h, body, err := r.Next()
		if err == nil {
			_, err = parse(h, body)
		}
		if err != nil {
			return accepted, err
		}
		accepted = append(accepted, h.Type)
	}
}

// Whole, byte by byte, and between two good packets: what comes before a mistake is accepted, what comes after is not.
func TestHostileInputs(t *testing.T) {
	const good = "\xd0\x00"
	for _, row := range hostile {
		raw, err := hex.DecodeString(row.wire)
		if err != nil {
			t.Fatalf("%s: %v", row.what, err)
		}
		wire := string(raw)
		for how, src := range map[string]io.Reader{
			"whole":        strings.NewReader(good + wire + good),
			"byte by byte": iotest.OneByteReader(strings.NewReader(good + wire + good)),
		} {
			accepted, err := judge(src)
			var e *packet.Error
			switch {
			case row.rule == "" && (err != io.EOF || len(accepted) != 3):
				t.Errorf("%s, %s: %d packets of 3, %v", row.what, how, len(accepted), err)
			case row.rule != "" && (!errors.As(err, &e) || !errors.Is(err, packet.ErrMalformed) || e.Rule != row.rule):
				t.Errorf("%s, %s: %v, want it refused by %s", row.what, how, err, row.rule)
			case row.rule != "" && len(accepted) != 1:
				t.Errorf("%s, %s: %v accepted, want the one before it", row.what, how, accepted)
			}
		}
	}
}
