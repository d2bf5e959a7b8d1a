package advisor

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"
)

// pattern is what the delays between retries look like, from the politest to the rudest.
type pattern int

const (
	jittered    pattern = iota // random, within bounds that grow
	exponential                // each a multiple of the one before: without chance
	regular                    // growing by another rule without chance, such as squares
	flat                       // random, within bounds that do not grow
	linear                     // each longer than the one before by the same amount
	constant                   // all the same
)

func (p pattern) String() string {
	return [...]string{
		"jitter and back-off",
		"strictly exponential, without jitter",
		"growing by a fixed rule, without jitter",
		"jitter without back-off: the later delays are no longer than the first",
		"linear",
		"constant",
	}[p]
}

// grade is the verdict of AWS on such delays: without jitter a warning, without back-off a failure.
func (p pattern) grade() Verdict {
	switch p {
	case jittered:
		return Pass
	case exponential, regular, flat:
		return Warn
	}
	return Fail
}

// tolerance is by how much a delay may differ from what the program meant: it is measured on a machine that does other
// things as well.
func tolerance(d time.Duration) time.Duration { return 60*time.Millisecond + d/25 }

func same(a, b time.Duration) bool { return (a - b).Abs() <= tolerance(max(a, b)) }

// classify says what the delays of one or more rounds look like, each beginning with the first retry. A round has three
// delays at least.
func classify(rounds ...[]time.Duration) pattern {
	var found []pattern
	for _, delays := range rounds {
		p, ok := fixedRule(delays)
		if !ok {
			p = jittered
		}
		found = append(found, p)
	}
	// Chance may look like a rule once, a rule does not look like chance: the politest round counts.
	p := slices.Min(found)
	if p != jittered {
		return p
	}
	if len(rounds) > 1 && !slices.ContainsFunc(rounds[1:], func(r []time.Duration) bool { return !slices.EqualFunc(r, rounds[0], same) }) {
		return regular // the second round is the first once more
	}
	switch {
	case grows(rounds):
		return jittered
	case !slices.ContainsFunc(rounds, func(r []time.Duration) bool { return !mostlyConstant(r) }):
		return constant
	}
	return flat
}

// grows reports whether random delays come from bounds that grow. With bounds that double, delay k divided by 2^k never
// exceeds the first bound, while the longest delay lies far above it. If the longest is not even twice as long,
// bounds that stay are by far more likely: six delays with doubled bounds look so once in some thousand times.
func grows(rounds [][]time.Duration) bool {
	var longest, first float64
	for _, delays := range rounds {
		for k, d := range delays {
			longest = max(longest, d.Seconds())
			first = max(first, d.Seconds()/math.Exp2(float64(k)))
		}
	}
	return longest >= 2*first
}

// mostlyConstant reports whether all but two delays at most are the shortest one: a busy machine makes some longer.
func mostlyConstant(delays []time.Duration) bool {
	shortest, equal := slices.Min(delays), 0
	for _, d := range delays {
		if same(d, shortest) {
			equal++
		}
	}
	return equal >= len(delays)-2
}

// fixedRule finds the rule by which delays come, if there is one. At its end each rule may have reached a maximum.
func fixedRule(delays []time.Duration) (pattern, bool) {
	n := len(delays) // without those at the maximum
	for n > 0 && same(delays[n-1], delays[len(delays)-1]) {
		n--
	}
	if n <= 1 {
		return constant, true // but for the first, perhaps
	}
	if delays[n] < delays[n-1] {
		return 0, false // no maximum
	}
	if atMaximum := len(delays) - n; atMaximum < 2 || atMaximum == 2 && n < 4 {
		n = len(delays)
	}
	rising := delays[:n]
	for k := 1; k < len(rising); k++ {
		if rising[k] <= rising[k-1] {
			return 0, false
		}
	}
	first, last, steps := rising[0].Seconds(), rising[n-1].Seconds(), float64(n-1)
	factor := last / rising[n-2].Seconds() // the longest delays are the best measured
	switch {
	case n == 2: // three or more at the maximum
		if last >= 1.5*first {
			return exponential, true
		}
		return linear, true
	case follows(rising, func(k float64) float64 { return first + k*(last-first)/steps }):
		return linear, true
	case follows(rising, func(k float64) float64 { return last * math.Pow(factor, k-steps) }):
		return exponential, true
	case follows(rising, func(k float64) float64 { return first + (last-first)*((k+1)*(k+1)-1)/((steps+1)*(steps+1)-1) }):
		return regular, true
	}
	return 0, false
}

// follows reports whether each delay is what the rule says.
func follows(delays []time.Duration, rule func(k float64) float64) bool {
	for k, d := range delays {
		if !same(d, time.Duration(rule(float64(k))*float64(time.Second))) {
			return false
		}
	}
	return true
}

// listed is the delays as a reader wants them.
func listed(delays []time.Duration) string {
	var texts []string
	for _, d := range delays {
		texts = append(texts, fmt.Sprintf("%.1f", d.Seconds()))
	}
	return strings.Join(texts, " ") + " s"
}
