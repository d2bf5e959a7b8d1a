package dissect_test

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"iotwire/mqtt/dissect"
	"iotwire/mqtt/packet"
)

// expected lists the fields of what the codec encoded as "name=value", without lengths, reserved bits and the fixed
// header's type.
func expected(value any) (out []string) {
	add := func(name string, value any) {
		switch v := value.(type) {
		case []byte:
			if len(v) == 0 {
				return // a field of no bytes is not listed
			}
			value = fmt.Sprintf("%q", v)
		case bool:
			value = 0
			if v {
				value = 1
			}
		}
		out = append(out, fmt.Sprintf("%s=%v", name, value))
	}
	switch v := value.(type) {
	case packet.Connect:
		add("Protocol Name", []byte("MQTT"))
		add("Protocol Level", 4)
		add("User Name Flag", v.HasUserName)
		add("Password Flag", v.HasPassword)
		add("Will Retain", v.WillRetain)
		add("Will QoS", uint8(v.WillQoS))
		add("Will Flag", v.Will)
		add("Clean Session", v.CleanSession)
		add("Keep Alive", v.KeepAlive)
		add("Client Identifier", v.ClientID)
		add("Will Topic", v.WillTopic)
		add("Will Message", v.WillMessage)
		add("User Name", v.UserName)
		add("Password", v.Password)
	case packet.Connack:
		add("Session Present", v.SessionPresent)
		add("Return code", uint8(v.Code))
	case packet.Publish:
		add("DUP", v.Dup)
		add("QoS", uint8(v.QoS))
		add("RETAIN", v.Retain)
		add("Topic Name", v.Topic)
		if v.QoS > 0 {
			add("Packet Identifier", v.ID)
		}
		add("Application Message", v.Payload)
	case packet.Subscribe:
		add("Packet Identifier", v.ID)
		n := 0
		for text, qos := range v.Requests.All() {
			n++
			add(fmt.Sprintf("Topic Filter %d", n), text)
			add("Requested QoS", uint8(qos))
		}
	case packet.Suback:
		add("Packet Identifier", v.ID)
		for i, code := range v.Codes {
			add(fmt.Sprintf("Return code %d", i+1), code)
		}
	case packet.Unsubscribe:
		add("Packet Identifier", v.ID)
		n := 0
		for text := range v.Filters.All() {
			n++
			add(fmt.Sprintf("Topic Filter %d", n), text)
		}
	case uint16:
		add("Packet Identifier", v)
	}
	return out
}

// For every packet that the codec encodes, dissect finds the values that were put in, and nothing to complain about.
func TestAgreesWithTheCodecFieldByField(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		value, b := anyPacket(t)
		p, n := dissect.Read(append(b[:len(b):len(b)], "and more"...), dissect.Unknown)
		if n != len(b) || p.Missing != 0 || p.Broken() {
			t.Fatalf("%d of %d bytes, %d missing, %+v", n, len(b), p.Missing, p.Findings)
		}
		covered(t, &p)
		var got []string
		for i, f := range p.Fields {
			switch {
			case i == 0 && f.Name == "Packet type", f.Name == "Remaining Length", f.Name == "Reserved", f.Name == "Reserved flags":
			case f.Kind == dissect.Number && f.Section == "1.5.3": // the length of what follows
				if i+1 < len(p.Fields) && f.Number > 0 && p.Fields[i+1].Length != f.Number {
					t.Fatalf("%s is %d, the field has %d bytes", f.Name, f.Number, p.Fields[i+1].Length)
				}
			case f.Kind == dissect.Number:
				got = append(got, fmt.Sprintf("%s=%d", f.Name, f.Number))
			default:
				got = append(got, fmt.Sprintf("%s=%q", f.Name, f.Data))
			}
		}
		if diff := cmp.Diff(expected(value), got); diff != "" {
			t.Fatalf("codec and dissect differ (-codec +dissect):\n%s", diff)
		}
	})
}
