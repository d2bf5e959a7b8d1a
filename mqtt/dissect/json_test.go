package dissect_test

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode"

	"iotwire/mqtt/dissect"
)

// A line of JSON that is looked at on a terminal shows what is in it, in its order; programs read what was sent.
func TestJSONHasNoCharacterThatCannotBeSeen(t *testing.T) {
	const topic = "a\x1b[2J\u0085\u00a0\u00ad\u061c\u200b\u202e\u2028\u2066\ufeff\"\\ü€😀"
	p, _ := dissect.Read([]byte("\x30"+string(rune(2+len(topic)))+"\x00"+string(rune(len(topic)))+topic), dissect.ToServer)
	line := dissect.AppendJSON(nil, &p, false)
	for _, r := range strings.TrimSuffix(string(line), "\n") {
		if !unicode.IsPrint(r) {
			t.Errorf("%U is in %s", r, line)
		}
	}
	var read struct{ Fields []struct{ Name, Value any } }
	if err := json.Unmarshal(line, &read); err != nil {
		t.Fatal(err)
	}
	for _, f := range read.Fields {
		if f.Name == "Topic Name" && f.Value != topic {
			t.Errorf("the topic is %q, want %q", f.Value, topic)
		}
	}
	if !strings.Contains(string(line), "ü€😀") {
		t.Errorf("what can be seen is escaped: %s", line)
	}
}
