package dissect_test

import (
	"strings"
	"testing"

	"iotwire/mqtt/dissect"
)

// After each packet of a session a trace of style why says what is in flight in each direction, when the client has to
// send something, and how many bytes there were.
func TestWhySaysHowThingsStand(t *testing.T) {
	for _, test := range []struct {
		script []string
		want   string
	}{
		{[]string{connectClean}, "in flight → 0 ← 0    PINGREQ due in 10.0 s    bytes so far → 15 ← 0"},
		{[]string{connectClean, "< 1500 20020000"}, "in flight → 0 ← 0    PINGREQ due in 8.5 s    bytes so far → 15 ← 4"},
		{[]string{connectClean, accepted, "> 2 3205000161000a", "> 3 3405000161000b"}, "in flight → 2 ← 0    PINGREQ due in 10.0 s    bytes so far → 29 ← 4"},
		{[]string{connectClean, accepted, "> 2 3205000161000a", "> 3 3405000161000b", "< 5 4002000a"}, "in flight → 1 ← 0    PINGREQ due in 10.0 s    bytes so far → 29 ← 8"},
		{[]string{connectClean, accepted, subscribeAQ1, granted, "< 4 3205000161000a"}, "in flight → 0 ← 1    PINGREQ due in 10.0 s    bytes so far → 23 ← 16"},
		{[]string{connectClean, accepted, "> 2 e000"}, "in flight → 0 ← 0    bytes so far → 17 ← 4"},
		{[]string{"> 0 100d00044d51545404020000000163", accepted}, "in flight → 0 ← 0    bytes so far → 15 ← 4"},
		{[]string{connectClean, "< 15000 20020000"}, "in flight → 0 ← 0    PINGREQ due in 0 ms    bytes so far → 15 ← 4"},
	} {
		all, _ := play(t, new(dissect.Session), test.script)
		var got []byte
		for _, p := range all {
			got = (&dissect.Layout{Style: dissect.Why}).Append(nil, &p)
		}
		lines := strings.Split(strings.TrimSuffix(string(got), "\n"), "\n")
		if last := strings.TrimPrefix(lines[len(lines)-1], "     "); last != test.want {
			t.Errorf("%q: the last line is\n%s\nwant\n%s", test.script, last, test.want)
		}
	}
	p, _ := dissect.Read([]byte("\xc0\x00"), dissect.ToServer)
	if got := (&dissect.Layout{Style: dissect.Why}).Append(nil, &p); strings.Contains(string(got), "in flight") {
		t.Errorf("a packet without a session:\n%s", got)
	}
}
