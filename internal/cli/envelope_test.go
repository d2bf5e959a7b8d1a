package cli

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"

	"iotwire/mqtt"

	"pgregory.net/rapid"
)

// anyMessage draws a message with any payload, often one that is JSON, nearly JSON, or dangerous to a terminal.
func anyMessage(t *rapid.T) mqtt.Message {
	str := rapid.StringOf(rapid.OneOf(rapid.Rune(), rapid.SampledFrom([]rune("\x00\x07\n\t\x1b\x7f\"\\\u009b\u061c\u200f\u2028\u202e\u2069\ufeff\U0001f600<&"))))
	encoded := rapid.Custom(func(t *rapid.T) string {
		text := str.Draw(t, "string")
		if rapid.Bool().Draw(t, "by hand") { // what encoding/json escapes, but need not be
			return `"` + strings.Map(func(c rune) rune {
				if c < ' ' || c == '"' || c == '\\' {
					return -1
				}
				return c
			}, text) + `"`
		}
		b, _ := json.Marshal(text)
		return string(b)
	})
	space := rapid.SampledFrom([]string{"", "", " ", "\t", "\n", "\r\n\t"})
	value := rapid.Custom(func(t *rapid.T) string {
		s := func() string { return space.Draw(t, "space") }
		scalar := rapid.OneOf(encoded, rapid.StringMatching(`-?(0|[1-9][0-9]{0,30})(\.[0-9]{1,30})?([eE][-+]?[0-9]{1,3})?`),
			rapid.SampledFrom([]string{"null", "true", "{}", "[ ]", `"\ud800"`}))
		switch rapid.IntRange(0, 2).Draw(t, "shape") {
		case 0:
			return s() + scalar.Draw(t, "scalar") + s()
		case 1:
			return s() + "[" + s() + scalar.Draw(t, "one") + s() + "," + s() + scalar.Draw(t, "two") + s() + "]" + s()
		}
		key := encoded.Draw(t, "key")
		return s() + "{" + s() + key + s() + ":" + s() + scalar.Draw(t, "one") + "," + s() + key + ":" + scalar.Draw(t, "two") + "}" + s()
	})
	payload := []byte(rapid.OneOf(value, str, rapid.Custom(func(t *rapid.T) string {
		return string(rapid.SliceOf(rapid.Byte()).Draw(t, "bytes"))
	})).Draw(t, "payload"))
	if len(payload) > 0 && rapid.IntRange(0, 4).Draw(t, "broken") == 0 {
		payload[rapid.IntRange(0, len(payload)-1).Draw(t, "at")] = rapid.Byte().Draw(t, "byte")
	}
	return mqtt.Message{
		Topic:   str.Draw(t, "topic"),
		Payload: payload,
		QoS:     mqtt.QoS(rapid.IntRange(0, 2).Draw(t, "qos")),
		Retain:  rapid.Bool().Draw(t, "retain"),
		Dup:     rapid.Bool().Draw(t, "dup"),

		PacketID: rapid.Uint16().Draw(t, "packet identifier"),
	}
}

// envelope is what a program reads with encoding/json.
type envelope struct {
	Time, Topic string
	QoS         mqtt.QoS
	Retain, Dup bool
	PacketID    uint16
	Bytes       int
	Payload     json.RawMessage
	Text        *string
	Base64      *string
}

func TestEveryMessageComesBackFromItsJSON(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := anyMessage(t)
		payload := bytes.Clone(m.Payload)
		line := appendEnvelope([]byte("before"), &m, sampleTime)[len("before"):]
		if bytes.ContainsFunc(line, isTreacherous) || !utf8.Valid(line) {
			t.Fatalf("not one line that a terminal can show: %q", line)
		}
		var e envelope
		d := json.NewDecoder(bytes.NewReader(line))
		d.DisallowUnknownFields()
		if err := d.Decode(&e); err != nil || d.InputOffset() != int64(len(line)) {
			t.Fatalf("%v: %q", err, line)
		}
		if e.Topic != m.Topic || e.QoS != m.QoS || e.Retain != m.Retain || e.Dup != m.Dup || e.PacketID != m.PacketID || e.Bytes != len(payload) ||
			e.Time != "2026-08-10T09:47:38.086+01:00" {
			t.Fatalf("%+v of %+v", e, m)
		}
		switch {
		case e.Payload != nil && e.Text == nil && e.Base64 == nil:
			if got, want := decoded(t, e.Payload), decoded(t, payload); !bytes.Equal(got, want) {
				t.Fatalf("%q became %q", want, got)
			}
		case e.Payload == nil && e.Text != nil && e.Base64 == nil:
			if *e.Text != string(payload) {
				t.Fatalf("%q became %q", payload, *e.Text)
			}
			if json.Valid(payload) && bytes.Count(payload, []byte("[")) < maxDepth {
				t.Fatalf("%q is JSON", payload)
			}
		case e.Payload == nil && e.Text == nil && e.Base64 != nil:
			if got, err := base64.StdEncoding.DecodeString(*e.Base64); err != nil || !bytes.Equal(got, payload) {
				t.Fatalf("%q became %q, %v", payload, got, err)
			}
		default:
			t.Fatalf("not exactly one of payload, text and base64: %s", line)
		}
	})
}

// decoded is the JSON text b without what has no meaning: space between the tokens, and the choice of \u202e or the
// character itself.
func decoded(t *rapid.T, b []byte) []byte {
	var compact bytes.Buffer
	if err := json.Compact(&compact, b); err != nil {
		t.Fatalf("%v: %q", err, b)
	}
	var out []byte
	for _, c := range compact.String() {
		out = appendInString(out, c)
	}
	return out
}

func TestAPayloadThatIsJSONStaysAsItIs(t *testing.T) {
	for payload, want := range map[string]string{
		`{"b":1.10, "a":12345678901234567890,"b":2}`: `"payload":{"b":1.10, "a":12345678901234567890,"b":2}`,
		"\n {\"a\" :\r\n\t[1,\n2] } \n":              `"payload":{"a" : [1, 2] }`,
		`"A\/"`:                                      `"payload":"A\/"`,
		"\"\u202e\u009b\x7f\"":                       `"payload":"\u202e\u009b\u007f"`,
		"":                                           `"text":""`,
		" ":                                          `"text":" "`,
		"1 2":                                        `"text":"1 2"`,
		"(null)":                                     `"text":"(null)"`,
		"null":                                       `"payload":null`,
		"\xff\xfe\x00bin":                            `"base64":"//4AYmlu"`,
		"\"\xff\"":                                   `"base64":"Iv8i"`,
		"\x00":                                       `"base64":"AA=="`,
		"\x1b[1m\u202e\r\n\t":                        `"text":"\u001b[1m\u202e\r\n\t"`,
		strings.Repeat("[", 1000):                    `"text":"` + strings.Repeat("[", 1000) + `"`,
	} {
		m := mqtt.Message{Topic: "t", Payload: []byte(payload)}
		line := string(appendEnvelope(nil, &m, sampleTime))
		if _, got, _ := strings.Cut(line, ","+want[:3]); want[:3]+got != want+"}" {
			t.Errorf("%q gives %s, want %s", payload, line, want)
		}
	}
}
