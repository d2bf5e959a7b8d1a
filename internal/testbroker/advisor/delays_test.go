package advisor

import (
	"math/rand/v2"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// seconds turns numbers into delays, with the error that a measurement has.
func seconds(numbers ...float64) []time.Duration {
	var delays []time.Duration
	for _, n := range numbers {
		delays = append(delays, time.Duration(n*1.01*float64(time.Second))+7*time.Millisecond)
	}
	return delays
}

func TestDelaysAreClassified(t *testing.T) {
	for _, c := range []struct {
		rounds [][]time.Duration
		want   pattern
		grade  Verdict
	}{
		{[][]time.Duration{seconds(0, 0, 0, 0, 0)}, constant, Fail},
		{[][]time.Duration{seconds(1, 1, 1, 1, 1)}, constant, Fail},
		{[][]time.Duration{seconds(0, 5, 5, 5, 5)}, constant, Fail},
		{[][]time.Duration{seconds(1, 2, 3, 4, 5)}, linear, Fail},
		{[][]time.Duration{seconds(5, 5.5, 6, 6.5, 7, 7.5)}, linear, Fail},
		{[][]time.Duration{seconds(1, 2, 3, 4, 4, 4, 4)}, linear, Fail},
		{[][]time.Duration{seconds(1, 2, 4, 8, 16)}, exponential, Warn},
		{[][]time.Duration{seconds(0.1, 0.2, 0.4, 0.8, 1.6)}, exponential, Warn},
		{[][]time.Duration{seconds(1, 1.5, 2.25, 3.375, 5.0625)}, exponential, Warn},
		{[][]time.Duration{seconds(5, 10, 20, 40, 60, 60)}, exponential, Warn},
		{[][]time.Duration{seconds(5, 10, 20, 20, 20)}, exponential, Warn}, // or linear: too little to be told
		{[][]time.Duration{seconds(1, 4, 9, 16, 25)}, regular, Warn},
		{[][]time.Duration{seconds(0.3, 0.1, 2.9, 1.1, 9), seconds(0.3, 0.1, 2.9, 1.1, 9)}, regular, Warn},
		{[][]time.Duration{seconds(0.9, 0.3, 0.6, 1.1, 0.5, 0.8)}, flat, Warn},
		{[][]time.Duration{seconds(0.3, 0.1, 2.9, 1.1, 9)}, jittered, Pass},
		{[][]time.Duration{seconds(0.3, 0.1, 2.9, 1.1, 9), seconds(0.8, 1.7, 0.2, 7, 12)}, jittered, Pass},
		{[][]time.Duration{seconds(1, 1, 1, 2.2, 7.9, 3)}, jittered, Pass}, // with a lower bound of 1 s
		{[][]time.Duration{seconds(1, 2, 4, 8, 16), seconds(0.8, 1.7, 0.2, 7, 12)}, jittered, Pass},
		{[][]time.Duration{seconds(1.1, 1, 2.1, 1, 1, 1)}, constant, Fail}, // on a busy machine, and the next ones
		{[][]time.Duration{seconds(1.5, 2.4, 1, 1, 1, 1)}, constant, Fail},
		{[][]time.Duration{seconds(1, 1, 1.2, 1, 1, 1)}, constant, Fail},
		{[][]time.Duration{seconds(1, 1, 1.2, 1, 1), seconds(1, 1, 1, 1, 1.5)}, constant, Fail},
		{[][]time.Duration{seconds(1, 1, 1, 1, 1), seconds(2, 2, 2, 2, 2)}, constant, Fail},
	} {
		got := classify(c.rounds...)
		if got != c.want || got.grade() != c.grade {
			t.Errorf("classify(%v) = %q, graded %s, want %q, graded %s", c.rounds, got, got.grade(), c.want, c.grade)
		}
	}
}

// A program without chance is never taken for one with, at whatever speed and with whatever maximum.
func TestRulesAreNotTakenForJitter(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		first := rapid.Float64Range(0.05, 10).Draw(t, "first")
		rules := map[pattern]func(k int) float64{
			constant:    func(int) float64 { return first },
			linear:      func(k int) float64 { return first * float64(k+1) },
			exponential: func(k int) float64 { return first * float64(int(1)<<k) },
		}
		want := rapid.SampledFrom([]pattern{constant, linear, exponential}).Draw(t, "rule")
		most := first * rapid.SampledFrom([]float64{4, 1000}).Draw(t, "maximum")
		var delays []time.Duration
		for k := range rapid.IntRange(6, 10).Draw(t, "delays") {
			late := rapid.Float64Range(0, 0.02).Draw(t, "late")
			delays = append(delays, time.Duration((min(rules[want](k), most)+late)*float64(time.Second)))
		}
		if got := classify(delays); got == jittered || got == flat || got.grade() == Pass {
			t.Fatalf("%v is %q, want %q", delays, got, want)
		}
	})
}

// Full jitter, as AWS recommends it, passes but for one time in some thousand; with the same bound for ever it is found
// out more often than not, and never fails.
func TestFullJitterPasses(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	const rounds = 20_000
	for _, c := range []struct {
		name         string
		floor, grow  float64
		least, other int // how many pass, and how many may be anything but jittered and flat
	}{
		{"doubled bounds", 0, 2, rounds - 60, 60},
		{"doubled bounds, 1 s at least", 1, 2, rounds - 60, 60},
		{"the same bound", 0, 1, 0, 200},
	} {
		count := map[pattern]int{}
		for range rounds {
			top := 1.0
			var delays []time.Duration
			for range 6 {
				delays = append(delays, seconds(max(c.floor, top*random.Float64()))...)
				top *= c.grow
			}
			count[classify(delays)]++
		}
		if other := rounds - count[jittered] - count[flat]; count[jittered] < c.least || other > c.other {
			t.Errorf("%s: %v", c.name, count)
		}
		if c.grow == 1 && count[flat] < rounds/2 {
			t.Errorf("%s: found %d times in %d", c.name, count[flat], rounds)
		}
		t.Logf("%s: %v", c.name, count)
	}
}
