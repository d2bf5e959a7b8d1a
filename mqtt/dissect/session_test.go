package dissect_test

import (
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"iotwire/mqtt/dissect"
)

const (
	connectClean  = "> 0 100d00044d5154540402000a000163"
	connectStored = "> 0 100d00044d5154540400000a000163"
	accepted      = "< 1 20020000"
	sessionKept   = "< 1 20020100"
	subscribeAQ1  = "> 2 8206000900016101" // "a" at QoS 1
	granted       = "< 3 9003000901"
)

// play takes lines "> milliseconds hex" through a session, and returns the packets and what is unanswered.
func play(t *testing.T, s *dissect.Session, script []string) (all []dissect.Packet, unanswered string) {
	t.Helper()
	var at time.Duration
	for _, line := range script {
		words := strings.SplitN(line, " ", 3)
		ms, err := strconv.Atoi(words[1])
		b, err2 := hex.DecodeString(strings.ReplaceAll(words[2], " ", ""))
		if err != nil || err2 != nil {
			t.Fatalf("%s: %v, %v", line, err, err2)
		}
		at = time.Duration(ms) * time.Millisecond
		d := dissect.ToServer
		if words[0] == "<" {
			d = dissect.ToClient
		}
		for _, p := range s.Add(d, at, b) {
			covered(t, &p)
			all = append(all, p)
		}
	}
	return append(all, s.Close(at)...), s.Unanswered()
}

// What no single packet shows: each script breaks one rule, in its last packet.
func TestSession(t *testing.T) {
	begin := []string{connectClean, accepted}
	subscribed := append(begin, subscribeAQ1, granted)
	for name, test := range map[string]struct {
		script []string
		rules  []string // of the last packet; none: all is well
		note   string   // in the last packet
	}{
		"first from client":         {[]string{"> 0 c000"}, []string{"MQTT-3.1.0-1"}, ""},
		"second CONNECT":            {[]string{connectClean, accepted, connectClean}, []string{"MQTT-3.1.0-2"}, ""},
		"first from server":         {[]string{connectClean, "< 1 d000"}, []string{"MQTT-3.2.0-1", "3.13"}, ""},
		"second CONNACK":            {append(begin, accepted), []string{"3.2"}, ""},
		"session present":           {[]string{connectClean, sessionKept}, []string{"MQTT-3.2.2-1"}, ""},
		"session present, stored":   {[]string{connectStored, sessionKept}, nil, "answers → 1 after 1.0 ms"},
		"goes on after refusal":     {[]string{connectClean, "< 1 20020005", "< 2 30030001 61"}, []string{"MQTT-3.2.2-5"}, ""},
		"identifier in use":         {append(begin, "> 2 32060001 61 0001 01", "> 3 32060001 61 0001 02"), []string{"MQTT-2.3.1-2"}, ""},
		"in use by a PUBLISH":       {append(begin, "> 2 32060001 61 0009 01", subscribeAQ1), []string{"MQTT-2.3.1-2"}, ""},
		"in use by a SUBSCRIBE":     {append(begin, subscribeAQ1, "> 2 32060001 61 0009 01"), []string{"MQTT-2.3.1-2"}, ""},
		"SUBSCRIBE again":           {append(begin, subscribeAQ1, subscribeAQ1), nil, "a repetition of packet 3"},
		"SUBSCRIBE again, answered": {append(begin, subscribeAQ1, subscribeAQ1, granted, granted), nil, ""},
		"SUBSCRIBE again, changed":  {append(begin, subscribeAQ1, "> 2 8206000900016201"), []string{"MQTT-2.3.1-2"}, ""},
		"answered too often":        {append(begin, subscribeAQ1, subscribeAQ1, granted, granted, granted), []string{"MQTT-2.3.1-7", "MQTT-3.8.4-2"}, ""},
		"in use by the server":      {append(subscribed, "< 4 32060001 61 0001 01", "< 5 32060001 61 0001 02"), []string{"MQTT-2.3.1-4"}, ""},
		"both sides use one":        {append(subscribed, "> 4 32060001 61 0001 01", "< 5 32060001 61 0001 02"), nil, ""},
		"DUP 0":                     {append(begin, "> 2 32060001 61 0001 01", "> 3 32060001 61 0001 01"), []string{"MQTT-3.3.1-1"}, ""},
		"DUP 1":                     {append(begin, "> 2 32060001 61 0001 01", "> 3 3a060001 61 0001 01"), nil, "a repetition of packet 3"},
		"PUBACK of nothing":         {append(begin, "< 2 40020001"), []string{"MQTT-2.3.1-6"}, ""},
		"PUBACK of a stored one":    {[]string{connectStored, sessionKept, "< 2 40020001"}, nil, "earlier connection"},
		"second PUBACK":             {append(begin, "> 2 32060001 61 0001 01", "< 3 40020001", "< 4 40020001"), nil, "done already"},
		"PUBACK":                    {append(begin, "> 2 32060001 61 0001 01", "< 43 40020001"), nil, ""},
		"PUBACK at QoS 2":           {append(begin, "> 2 34060001 61 0001 01", "< 3 40020001"), []string{"MQTT-3.3.4-1"}, ""},
		"PUBREC at QoS 1":           {append(begin, "> 2 32060001 61 0001 01", "< 3 50020001"), []string{"MQTT-3.3.4-1"}, ""},
		"PUBACKs out of order":      {append(subscribed, "< 4 32060001 61 0001 01", "< 5 32060001 61 0002 02", "> 6 40020002"), []string{"MQTT-4.6.0-2"}, ""},
		"server's out of order":     {append(begin, "> 4 32060001 61 0001 01", "> 5 32060001 61 0002 02", "< 6 40020002"), nil, "without an order"},
		"PUBRECs out of order":      {append(begin, "> 2 8206000900016102", "< 3 9003000902", "< 4 34060001 61 0001 01", "< 5 34060001 61 0002 02", "> 6 50020002"), []string{"MQTT-4.6.0-3"}, ""},
		"PUBRELs out of order":      {append(begin, "> 4 34060001 61 0001 01", "> 5 34060001 61 0002 02", "< 6 50020001", "< 7 50020002", "> 8 62020002"), []string{"MQTT-4.6.0-4"}, ""},
		"QoS 1 and 2 mixed":         {append(begin, "> 2 8206000900016102", "< 3 9003000902", "< 4 34060001 61 0001 01", "< 5 32060001 61 0002 02", "> 6 40020002"), nil, ""},
		"PUBREL too early":          {append(begin, "> 2 34060001 61 0001 01", "> 3 62020001"), []string{"MQTT-4.3.3-1"}, ""},
		"PUBLISH after PUBREL":      {append(begin, "> 2 34060001 61 0001 01", "< 3 50020001", "> 4 62020001", "> 5 3c060001 61 0001 01"), []string{"MQTT-4.3.3-1", "MQTT-2.3.1-2"}, ""},
		"PUBCOMP too early":         {append(begin, "> 2 34060001 61 0001 01", "< 3 70020001"), []string{"MQTT-4.3.3-2"}, ""},
		"PUBCOMP of nothing":        {append(begin, "< 3 70020001"), []string{"3.7.2", "MQTT-4.3.3-2"}, ""},
		"QoS 2":                     {append(begin, "> 2 34060001 61 0001 01", "< 3 50020001", "> 4 62020001", "< 5 70020001", "> 6 34060001 61 0001 02"), nil, ""},
		"PUBREL resumed":            {[]string{connectStored, sessionKept, "> 2 62020001", "< 3 70020001"}, nil, ""},
		"SUBACK of nothing":         {append(begin, granted), []string{"MQTT-2.3.1-7", "MQTT-3.8.4-2"}, ""},
		"UNSUBACK of nothing":       {append(begin, "< 3 b0020009"), []string{"MQTT-2.3.1-7", "MQTT-3.10.4-4"}, ""},
		"number of codes":           {append(begin, subscribeAQ1, "< 3 900400090101"), []string{"MQTT-3.8.4-5"}, ""},
		"no filter":                 {append(subscribed, "< 4 30030001 62"), []string{"MQTT-3.3.2-3"}, ""},
		"$ and a wildcard":          {append(begin, "> 2 8206000900012301", granted, "< 4 3004000224 61"), []string{"MQTT-4.7.2-1", "MQTT-3.3.2-3"}, ""},
		"refused filter":            {append(begin, subscribeAQ1, "< 3 9003000980", "< 4 30030001 61"), nil, "MQTT-3.10.4-3"},
		"above the grant":           {append(begin, subscribeAQ1, "< 3 9003000900", "< 4 32060001 61 0001 01"), []string{"MQTT-3.8.4-6"}, ""},
		"before the SUBACK":         {append(begin, subscribeAQ1, "< 3 32060001 61 0001 01"), nil, ""},
		"after the UNSUBACK":        {append(subscribed, "> 4 a205000a000161", "< 5 b002000a", "< 6 30030001 61"), nil, "MQTT-3.10.4-3"},
		"stored subscriptions":      {[]string{connectStored, sessionKept, "< 2 30030001 62"}, nil, ""},
		"silence":                   {append(begin, "> 12000 c000"), []string{"MQTT-3.1.2-23"}, ""},
		"no silence":                {append(begin, "> 10002 c000"), nil, ""},
		"PINGRESP of nothing":       {append(begin, "< 3 d000"), []string{"3.13"}, ""},
		"no PINGRESP":               {append(subscribed, "> 9000 c000", "> 18000 c000", "< 26000 30030001 61"), []string{"MQTT-3.12.4-1"}, ""},
		"PINGRESP":                  {append(begin, "> 9000 c000", "< 9020 d000"), nil, "answers → 3 after 20 ms"},
		"after DISCONNECT":          {append(begin, "> 3 e000", "> 4 c000"), []string{"MQTT-3.14.4-2"}, ""},
		"PUBACK after DISCONNECT":   {append(begin, "> 2 32060001 61 0001 01", "> 3 e000", "< 4 40020001"), nil, "on its way"},
		"SUBSCRIBE from the server": {append(begin, "< 3 8206000900016101"), []string{"2.2.1"}, ""},
		"SUBACK from the client":    {append(begin, "> 3 9003000901"), []string{"2.2.1"}, ""},
	} {
		all, _ := play(t, new(dissect.Session), test.script)
		for i, p := range all {
			var rules []string
			for _, f := range p.Findings {
				rules = append(rules, f.Rules...)
			}
			want := test.rules
			if i < len(all)-1 {
				want = nil
			}
			if !slices.Equal(rules, want) {
				t.Errorf("%s: packet %d, %s, breaks %q, want %q: %+v", name, p.Number, p.Name(), rules, want, p.Findings)
			}
		}
		if last := all[len(all)-1]; test.note != "" && !strings.Contains(strings.Join(last.Notes, "\n"), test.note) {
			t.Errorf("%s: notes are %q, want one with %q", name, last.Notes, test.note)
		}
	}
}

// A session that was met halfway is not blamed for what nobody saw.
func TestSessionMetHalfway(t *testing.T) {
	all, open := play(t, &dissect.Session{Midway: true}, []string{"< 0 40020001", "> 1 62020007", "< 2 70020007", "< 3 d000", "< 4 9003000901", "< 5 30030001 61", "> 60000 c000"})
	for _, p := range all {
		if p.Broken() {
			t.Errorf("%s: %+v", p.Name(), p.Findings)
		}
	}
	if open != "not acknowledged: 7 PINGREQ" {
		t.Errorf("unanswered: %q", open)
	}
}

func TestSessionTellsWhatAnswersWhat(t *testing.T) {
	all, open := play(t, new(dissect.Session), []string{connectClean, accepted, subscribeAQ1, granted,
		"> 10 32060001 61 0001 01 34060001 61 0002 02 34060001 61 0003 02", "< 51 40020001 50020002", "> 60 62020002", "< 70 300500"})
	var got []string
	for _, p := range all {
		got = append(got, fmt.Sprintf("%d %s %d %v", p.Number, p.Name(), p.Answers, p.After))
	}
	want := []string{"1 CONNECT 0 0s", "2 CONNACK 1 1ms", "3 SUBSCRIBE 0 0s", "4 SUBACK 3 1ms", "5 PUBLISH 0 0s", "6 PUBLISH 0 0s", "7 PUBLISH 0 0s",
		"8 PUBACK 5 41ms", "9 PUBREC 6 41ms", "10 PUBREL 9 9ms", "11 PUBLISH 0 0s"}
	if !slices.Equal(got, want) || all[10].Missing != 4 {
		t.Errorf("got %q\nwant %q", got, want)
	}
	if want := "not acknowledged: 7 PUBLISH (id 3), 10 PUBREL (id 2)"; open != want {
		t.Errorf("unanswered: %q, want %q", open, want)
	}
}

// Nothing that comes makes a session panic or lose a byte, in whatever pieces it comes.
func TestSessionKeepsEveryByte(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var s dissect.Session
		var sent, seen [3][]byte
		take := func(all []dissect.Packet) {
			for _, p := range all {
				covered(t, &p)
				if p.Offset != len(seen[p.Direction]) {
					t.Fatalf("packet %d is at byte %d, want %d", p.Number, p.Offset, len(seen[p.Direction]))
				}
				seen[p.Direction] = append(seen[p.Direction], p.Bytes...)
				dissect.AppendJSON(nil, &p, false)
				(&dissect.Layout{Style: dissect.Why}).Append(nil, &p)
			}
		}
		for range rapid.IntRange(0, 12).Draw(t, "pieces") {
			d := dissect.Direction(rapid.Uint8Range(1, 2).Draw(t, "direction"))
			b := anyBytes.Draw(t, "bytes")
			sent[d] = append(sent[d], b...)
			take(s.Add(d, time.Second, b))
		}
		take(s.Close(time.Minute))
		for d := range sent {
			if string(sent[d]) != string(seen[d]) {
				t.Fatalf("direction %d: % x\ncame as\n% x", d, sent[d], seen[d])
			}
		}
		s.Unanswered()
	})
}
