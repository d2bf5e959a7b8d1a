package dissect_test

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"iotwire/mqtt/dissect"
)

// cn is a CONNECT with these flags and this payload.
func cn(flags byte, payload string) string {
	return wire(0x10, "\x00\x04MQTT\x04"+string([]byte{flags})+"\x00\x3c"+payload)
}

func wire(first byte, body string) string { return string([]byte{first, byte(len(body))}) + body }

func str(s string) string { return string([]byte{byte(len(s) >> 8), byte(len(s))}) + s }

// badPackets break one rule each.
var badPackets = []struct {
	wire   string
	offset int
	rule   string
}{
	{"\x30\x04\x00\x02a\xff", 5, "MQTT-1.5.3-1"},
	{"\x30\x05\x00\x03\xed\xa0\x80", 4, "MQTT-1.5.3-1"},
	{cn(0x02, str("a\x00b")), 15, "MQTT-1.5.3-2"},
	{"\x41\x02\x00\x01", 0, "MQTT-2.2.2-1"},
	{"\xc2\x00", 0, "MQTT-2.2.2-2"},
	{"\x32\x05\x00\x01a\x00\x00", 5, "MQTT-2.3.1-1"},
	{"\x82\x06\x00\x00\x00\x01a\x00", 2, "MQTT-2.3.1-1"},
	{"\xa2\x05\x00\x00\x00\x01a", 2, "MQTT-2.3.1-1"},
	{"\x40\x02\x00\x00", 2, "MQTT-2.3.1-6"},
	{"\x50\x02\x00\x00", 2, "MQTT-2.3.1-6"},
	{"\x62\x02\x00\x00", 2, "MQTT-2.3.1-6"},
	{"\x90\x03\x00\x00\x01", 2, "MQTT-2.3.1-7"},
	{"\xb0\x02\x00\x00", 2, "MQTT-2.3.1-7"},
	{wire(0x10, "\x00\x04MQTU\x04\x02\x00\x0a"+str("c")), 4, "MQTT-3.1.2-1"},
	{wire(0x10, "\x00\x06MQIsdp\x03\x02\x00\x0a"+str("c")), 10, "MQTT-3.1.2-2"},
	{wire(0x10, "\x00\x04MQTT\x05\x02\x00\x0a\x00"+str("c")), 8, "MQTT-3.1.2-2"},
	{cn(0x03, str("c")), 9, "MQTT-3.1.2-3"},
	{cn(0x06, str("c")), 14, "MQTT-3.1.2-9"},
	{cn(0x06, str("c")+str("t")), 17, "MQTT-3.1.2-9"},
	{cn(0x02, str("c")+str("t")+str("m")), 15, "MQTT-3.1.2-11"},
	{cn(0x0a, str("c")), 9, "MQTT-3.1.2-11"},
	{cn(0x0a, str("c")), 9, "MQTT-3.1.2-13"},
	{cn(0x1e, str("c")+str("t")+str("m")), 9, "MQTT-3.1.2-14"},
	{cn(0x22, str("c")), 9, "MQTT-3.1.2-15"},
	{cn(0x02, str("c")+str("anna")), 15, "MQTT-3.1.2-18"},
	{cn(0x82, str("c")), 14, "MQTT-3.1.2-19"},
	{cn(0x82, str("c")+str("anna")+str("pw")), 21, "MQTT-3.1.2-20"},
	{cn(0xc2, str("c")+str("anna")), 20, "MQTT-3.1.2-21"},
	{cn(0x42, str("c")+str("pw")), 9, "MQTT-3.1.2-22"},
	{cn(0xc6, str("c")+str("t")+str("m")+str("u")+str("p")+"x"), 27, "MQTT-3.1.3-1"},
	{wire(0x10, "\x00\x04MQTT\x04\x02\x00\x0a"), 11, "MQTT-3.1.3-3"},
	{cn(0x02, str("\xc3(")), 14, "MQTT-3.1.3-4"},
	{cn(0x00, str("")), 12, "MQTT-3.1.3-7"},
	{cn(0x00, str("")), 12, "MQTT-3.1.3-8"},
	{cn(0x06, str("c")+str("\xff")+str("")), 17, "MQTT-3.1.3-10"},
	{cn(0x82, str("c")+str("\xc0\xaf")), 17, "MQTT-3.1.3-11"},
	{"\x20\x02\x01\x05", 2, "MQTT-3.2.2-4"},
	{"\x20\x02\x02\x00", 2, "3.2.2.1"},
	{"\x20\x02\x00\x06", 3, "3.2.2.3"},
	{"\x20\x03\x00\x00\x00", 1, "3.2.1"},
	{"\x38\x03\x00\x01a", 0, "MQTT-3.3.1-2"},
	{"\x36\x05\x00\x01a\x00\x01", 0, "MQTT-3.3.1-4"},
	{"\x30\x00", 1, "MQTT-3.3.2-1"},
	{"\x30\x03\x00\x01\xff", 4, "MQTT-3.3.2-1"},
	{"\x30\x05\x00\x03a/+", 6, "MQTT-3.3.2-2"},
	{"\x60\x02\x00\x01", 0, "MQTT-3.6.1-1"},
	{"\x80\x06\x00\x01\x00\x01a\x00", 0, "MQTT-3.8.1-1"},
	{"\x82\x06\x00\x01\x00\x01\xff\x00", 6, "MQTT-3.8.3-1"},
	{"\x82\x02\x00\x01", 1, "MQTT-3.8.3-3"},
	{"\x82\x05\x00\x01\x00\x01a", 6, "MQTT-3.8.3-3"},
	{"\x82\x06\x00\x01\x00\x01a\x03", 7, "MQTT-3-8.3-4"},
	{"\x82\x06\x00\x01\x00\x01a\x04", 7, "MQTT-3-8.3-4"},
	{"\x90\x03\x00\x00\x00", 2, "MQTT-3.8.4-2"},
	{"\x90\x02\x00\x01", 1, "MQTT-3.8.4-5"},
	{"\x90\x03\x00\x01\x03", 4, "MQTT-3.9.3-2"},
	{"\xa0\x05\x00\x01\x00\x01a", 0, "MQTT-3.10.1-1"},
	{"\xa2\x05\x00\x01\x00\x01\xff", 6, "MQTT-3.10.3-1"},
	{"\xa2\x02\x00\x01", 1, "MQTT-3.10.3-2"},
	{"\xb0\x02\x00\x00", 2, "MQTT-3.10.4-4"},
	{"\xe1\x00", 0, "MQTT-3.14.1-1"},
	{cn(0x06, str("c")+str("a/#")+str("")), 19, "MQTT-4.7.1-1"},
	{"\x30\x05\x00\x03a/#", 6, "MQTT-4.7.1-1"},
	{"\x82\x0a\x00\x01\x00\x05a/#/b\x00", 8, "MQTT-4.7.1-2"},
	{"\x82\x07\x00\x01\x00\x02a#\x00", 7, "MQTT-4.7.1-2"},
	{"\x82\x07\x00\x01\x00\x02a+\x00", 7, "MQTT-4.7.1-3"},
	{"\x30\x02\x00\x00", 2, "MQTT-4.7.3-1"},
	{"\x82\x05\x00\x01\x00\x00\x00", 4, "MQTT-4.7.3-1"},
	{"\x30\x03\x00\x01\x00", 4, "MQTT-4.7.3-2"},
	{"\x00\x00", 0, "2.2.1"},
	{"\xf0\x00", 0, "2.2.1"},
	{"\xc0\x80\x80\x80\x80\x00", 4, "2.2.3"},
	{"\xc0\x01\x00", 1, "3.12.1"},
	{"\x40\x03\x00\x01\x00", 1, "3.4.1"},
	{"\x30\x03\x00\x05a", 2, "1.5.3"},
	{"\x16\x03\x01\x02\x00", 0, "2.2"},
	{"HTTP/1.1 400 Bad Request\r\n", 0, "2.2"},
	{"GET /mqtt HTTP/1.1\r\n", 0, "2.2"},
}

// goodPackets break none.
var goodPackets = []string{
	cn(0x02, str("test-sub")), cn(0xee, str("c")+str("test/will")+str("gone")+str("user")+str("secret")), cn(0x02, str("")),
	"\x20\x02\x00\x00", "\x20\x02\x01\x00", "\x20\x02\x00\x05", "\x30\x03\x00\x01a", "\x3d\x06\x00\x01a\xff\xff\x00", "\x40\x02\x00\x01",
	"\x50\x02\x00\x01", "\x62\x02\x00\x01", "\x70\x02\x00\x01", "\x82\x0a\x00\x01\x00\x01#\x00\x00\x01+\x02", "\x90\x04\x00\x01\x00\x80",
	"\xa2\x07\x00\x01\x00\x03+/#", "\xb0\x02\xff\xff", "\xc0\x00", "\xd0\x00", "\xe0\x00", "\xc0\x80\x80\x00",
}

// What one packet can break of the layers codec and topic has a packet here, which is flagged with the rule, at the byte.
func TestFlagsBadPackets(t *testing.T) {
	for _, bad := range badPackets {
		p, _ := dissect.Read([]byte(bad.wire), dissect.Unknown)
		covered(t, &p)
		if !slices.ContainsFunc(p.Findings, func(f dissect.Finding) bool {
			return f.Level == dissect.Broken && f.Offset == bad.offset && slices.Contains(f.Rules, bad.rule)
		}) {
			t.Errorf("% x: no finding at byte %d with rule %s, but %+v", bad.wire, bad.offset, bad.rule, p.Findings)
		}
	}
}

func TestAcceptsGoodPackets(t *testing.T) {
	for _, good := range goodPackets {
		p, n := dissect.Read([]byte(good), dissect.Unknown)
		covered(t, &p)
		if p.Broken() || p.Missing != 0 || n != len(good) {
			t.Errorf("% x: %d missing, %+v", good, p.Missing, p.Findings)
		}
	}
}

// beyondOnePacket are the statements of the layers codec and topic that no single packet can be seen to break.
var beyondOnePacket = map[string]string{
	"MQTT-1.5.3-3":  "what a receiver does with a good packet",
	"MQTT-2.3.1-5":  "the identifier would be the start of the message",
	"MQTT-3.1.3-9":  "what a server answers",
	"MQTT-3.3.2-3":  "needs the subscriptions: see TestSession",
	"MQTT-3.9.3-1":  "any order of codes is a good packet",
	"MQTT-4.7.2-1":  "needs the subscriptions: see TestSession",
	"MQTT-4.7.3-3":  "two bytes cannot say a longer length",
	"MQTT-4.7.3-4":  "what a server matches",
	"MQTT-3.10.4-5": "no answer is not a packet",
}

func TestFlagsEveryStatementThatOnePacketCanBreak(t *testing.T) {
	flagged := map[string]bool{}
	for _, bad := range badPackets {
		flagged[bad.rule] = true
	}
	n := 0
	for s := range dissect.Statements() {
		n++
		if s.Layer != "codec" && s.Layer != "topic" {
			continue
		}
		if _, beyond := beyondOnePacket[s.ID]; beyond == flagged[s.ID] {
			t.Errorf("%s: flagged %v, beyond one packet %v", s.ID, flagged[s.ID], beyond)
		}
	}
	if n != 141 {
		t.Errorf("%d statements, want 141", n)
	}
}

// Every statement that the code names is in the table.
func TestCitesStatementsThatExist(t *testing.T) {
	files, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	cited := 0
	for _, file := range files {
		if !strings.HasSuffix(file.Name(), ".go") || strings.HasSuffix(file.Name(), "_test.go") {
			continue
		}
		text, err := os.ReadFile(file.Name())
		if err != nil {
			t.Fatal(err)
		}
		for _, id := range regexp.MustCompile(`[" ]\d[.-]\d+\.\d+-\d+|\[MQTT-[^\]]*\]`).FindAllString(string(text), -1) {
			cited++
			if id = strings.Trim(id, `"[] `); len(dissect.StatementsOf(id)) != 1 {
				t.Errorf("%s cites %s, which does not exist", file.Name(), id)
			}
		}
	}
	if cited < 100 {
		t.Errorf("found %d citations only", cited)
	}
}

func TestStatementsOf(t *testing.T) {
	for query, want := range map[string]int{"3.3.1-4": 1, "MQTT-3.3.1-4": 1, "3.8.3-4": 1, "3-8.3-4": 1, "3.1.2-7": 1, "3.3.1": 12, "3.3": 18, "9.9": 0, "": 0, "3.14.4": 3} {
		if got := dissect.StatementsOf(query); len(got) != want {
			t.Errorf("%q: %d statements, want %d", query, len(got), want)
		}
	}
}
