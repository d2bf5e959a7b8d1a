package iot

import (
	"errors"
	"strings"
	"testing"

	"iotwire/mqtt"
	"iotwire/mqtt/packet"
)

// slashes returns a topic with n slashes.
func slashes(n int) string { return strings.TrimSuffix(strings.Repeat("a/", n+1), "/") }

func TestCheckHasTheLimitsOfAWS(t *testing.T) {
	for _, test := range []struct {
		what string
		m    mqtt.Message
		want string // "" = accepted
	}{
		{"an ordinary message", mqtt.Message{Topic: "test/commands", Payload: []byte("hello"), QoS: 1}, ""},
		{"no payload", mqtt.Message{Topic: "a"}, ""},
		{"retained", mqtt.Message{Topic: "a", Retain: true}, ""},
		{"the largest payload", mqtt.Message{Topic: "a", Payload: make([]byte, 131072)}, ""},
		{"a byte more", mqtt.Message{Topic: "a", Payload: make([]byte, 131073)}, "payload of 131073 bytes, want at most 131072"},
		{"the longest topic", mqtt.Message{Topic: strings.Repeat("t", 256)}, ""},
		{"a byte more", mqtt.Message{Topic: strings.Repeat("t", 257)}, "has 257 bytes, want at most 256"},
		{"bytes, not characters", mqtt.Message{Topic: strings.Repeat("ü", 128) + "t"}, "has 257 bytes"},
		{"the deepest topic", mqtt.Message{Topic: slashes(7)}, ""},
		{"a level more", mqtt.Message{Topic: slashes(8)}, "has 8 slashes, want at most 7"},
		{"basic ingest, longest", mqtt.Message{Topic: "$aws/rules/rule/" + strings.Repeat("t", 256)}, ""},
		{"basic ingest, a byte more", mqtt.Message{Topic: "$aws/rules/rule/" + strings.Repeat("t", 257)}, "257 bytes"},
		{"basic ingest, deepest", mqtt.Message{Topic: "$aws/rules/rule/" + slashes(7)}, ""},
		{"basic ingest, a level more", mqtt.Message{Topic: "$aws/rules/rule/" + slashes(8)}, "8 slashes"},
		{"basic ingest without a topic", mqtt.Message{Topic: "$aws/rules/rule"}, ""},
		{"a shadow", mqtt.Message{Topic: "$aws/things/thing/shadow/name/n/update"}, ""},
		{"a topic of the broker's", mqtt.Message{Topic: "$SYS/broker"}, "reserved"},
		{"a share", mqtt.Message{Topic: "$share/g/a"}, "reserved"},
		{"QoS 2", mqtt.Message{Topic: "a", QoS: 2}, "QoS 2, want 0 or 1"},
	} {
		check(t, test.what, Check(test.m), test.want)
	}
}

func TestCheckLeavesTheRulesOfMQTTToThePacket(t *testing.T) {
	for _, topic := range []string{"", "a/+", "a/#", "a\x00", "a\xff"} {
		err := Check(mqtt.Message{Topic: topic})
		if !errors.Is(err, packet.ErrInvalid) || errors.Is(err, ErrLimit) {
			t.Errorf("topic %q: %v, want an error of package packet", topic, err)
		}
	}
}

func TestCheckFilterHasTheLimitsOfAWS(t *testing.T) {
	for _, test := range []struct{ what, filter, want string }{
		{"an ordinary filter", "test/+/commands/#", ""},
		{"everything", "#", ""},
		{"the longest", strings.Repeat("t", 256), ""},
		{"a byte more", strings.Repeat("t", 257), "257 bytes"},
		{"the deepest", slashes(7), ""},
		{"a level more", slashes(8), "8 slashes"},
		{"shared, deepest", "$share/group/" + slashes(7), ""},
		{"shared, a level more", "$share/group/" + slashes(8), "8 slashes"},
		{"shared, longest name", "$share/" + strings.Repeat("ü", 128) + "/a", ""},
		{"shared, longer name", "$share/" + strings.Repeat("ü", 129) + "/a", "share name"},
		{"shared, no name", "$share//a", "share name"},
		{"shared, wildcard as name", "$share/+/a", "share name"},
		{"shared, no filter", "$share/group", "nothing behind the share name"},
		{"shared, empty filter", "$share/group/", "nothing behind the share name"},
		{"a shadow", "$aws/things/thing/shadow/update/accepted", ""},
		{"all of AWS", "$aws/things/#", ""},
		{"basic ingest", "$aws/rules/rule/a", "publishing only"},
		{"basic ingest, bare", "$aws/rules", "publishing only"},
		{"basic ingest, shared", "$share/g/$aws/rules/rule/a", "publishing only"},
		{"not basic ingest", "$aws/rulesx", ""},
		{"a topic of the broker's", "$SYS/#", "reserved"},
	} {
		check(t, test.what, CheckFilter(test.filter, mqtt.QoS1), test.want)
	}
	for _, filter := range []string{"", "a/#/b", "a+"} {
		if err := CheckFilter(filter, mqtt.QoS1); !errors.Is(err, packet.ErrInvalid) || errors.Is(err, ErrLimit) {
			t.Errorf("filter %q: %v, want an error of package packet", filter, err)
		}
	}
}

func check(t *testing.T, what string, err error, want string) {
	t.Helper()
	if want == "" {
		if err != nil {
			t.Errorf("%s: %v", what, err)
		}
		return
	}
	if err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("%s: %v, want %q", what, err, want)
	}
	if !errors.Is(err, packet.ErrInvalid) || !errors.Is(err, ErrLimit) {
		t.Errorf("%s: %v matches ErrInvalid %v and ErrLimit %v, want both", what, err, errors.Is(err, packet.ErrInvalid), errors.Is(err, ErrLimit))
	}
}

func TestCheckFilterRefusesQoS2WhichGetsNoSUBACKFromAWS(t *testing.T) {
	if err := CheckFilter("a/b", mqtt.QoS2); !errors.Is(err, ErrLimit) {
		t.Fatalf("got %v, want ErrLimit", err)
	}
}
