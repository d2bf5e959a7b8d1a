package cli

import (
	"strings"
	"testing"
	"time"
)

func TestSpansAreForPeople(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0:                                     "0.0 ms",
		412 * time.Microsecond:                "0.4 ms",
		9940 * time.Microsecond:               "9.9 ms",
		9960 * time.Microsecond:               "10 ms",
		41*time.Millisecond + 499_000:         "41 ms",
		999 * time.Millisecond:                "999 ms",
		999*time.Millisecond + 600_000:        "1.0 s",
		2140 * time.Millisecond:               "2.1 s",
		59940 * time.Millisecond:              "59.9 s",
		59960 * time.Millisecond:              "1m0s",
		90*time.Minute + 300*time.Millisecond: "1h30m0s",
	} {
		if got := span(d); got != want {
			t.Errorf("%v is %q, want %q", d, got, want)
		}
	}
}

func TestTallySaysWhatBecameOfTheMessages(t *testing.T) {
	ms := func(times ...int) (all []time.Duration) {
		for _, n := range times {
			all = append(all, time.Duration(n)*time.Millisecond)
		}
		return all
	}
	for _, c := range []struct {
		tally
		times              []time.Duration
		complete           bool
		summary, shortfall string
	}{
		{tally{total: 3, qos: 1}, ms(41, 39, 40), true, "3 of 3 acknowledged in 2.1 s (median 40 ms, slowest 41 ms)", ""},
		{tally{total: 1, qos: 1}, ms(41), true, "1 of 1 acknowledged in 2.1 s", ""},
		{tally{total: 2, qos: 0}, ms(1, 1), true, "2 of 2 sent in 2.1 s", ""},
		{tally{qos: 2}, ms(1, 3), true, "2 acknowledged in 2.1 s (median 3.0 ms, slowest 3.0 ms)", ""},
		{tally{qos: 1}, nil, true, "0 acknowledged in 2.1 s", ""},
		{tally{total: 5, qos: 1, unconfirmed: 1, unsent: 1}, ms(1, 1), false, "", "2 of 5 acknowledged, 1 sent but not acknowledged, 2 not sent"},
		{tally{total: 5, qos: 0, unconfirmed: 1}, ms(1), false, "", "1 of 5 sent, 4 not sent"},
		{tally{qos: 1, unconfirmed: 2, unsent: 1}, ms(1), false, "", "1 acknowledged, 2 sent but not acknowledged, 1 not sent"},
		{tally{total: 2, qos: 1}, ms(1), false, "", "1 of 2 acknowledged, 0 sent but not acknowledged, 1 not sent"},
	} {
		for _, took := range c.times {
			c.add(took)
		}
		if c.complete != c.tally.complete() {
			t.Errorf("%+v: complete %t", c.tally, !c.complete)
		}
		if got := c.tally.summary(2100 * time.Millisecond); c.summary != "" && got != c.summary {
			t.Errorf("%q, want %q", got, c.summary)
		}
		if got := c.tally.shortfall(); c.shortfall != "" && got != c.shortfall {
			t.Errorf("%q, want %q", got, c.shortfall)
		}
	}
}

func TestTallyIsBoundedAndItsMedianNearlyRight(t *testing.T) {
	tally := tally{qos: 1}
	const n = 200_000
	for i := range n {
		tally.add(time.Duration(i) * time.Microsecond)
	}
	summary := tally.summary(time.Second) // median 100 ms
	if len(tally.sample) != sampleSize || tally.done != n || tally.slowest != (n-1)*time.Microsecond {
		t.Errorf("%d kept of %d, slowest %v", len(tally.sample), tally.done, tally.slowest)
	}
	// The standard deviation of the median of 4096 is about 1.6 ms: 20 ms is more than 12 of these.
	if median := tally.quantile(50); median < 80*time.Millisecond || median > 120*time.Millisecond {
		t.Errorf("median %v: %s", median, summary)
	}
}

func TestQuietKeepsErrors(t *testing.T) {
	var b strings.Builder
	c := &console{program: "publisher", quiet: true, out: &b}
	c.say("connected")
	c.warn("reconnected")
	c.fail("no", "try again")
	if got := b.String(); got != "publisher: no\n  try again\n" {
		t.Errorf("%q", got)
	}
}
