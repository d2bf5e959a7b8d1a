package dissect

import (
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// matches is section 4.7 level by level, without a tree.
func matches(filter, topic []string) bool {
	switch {
	case len(filter) > 0 && filter[0] == "#":
		return true
	case len(filter) == 0 || len(topic) == 0:
		return len(filter) == len(topic)
	}
	return (filter[0] == "+" || filter[0] == topic[0]) && matches(filter[1:], topic[1:])
}

// The tree finds the subscriptions that a comparison with each of them finds.
func TestFilterTreeFindsWhatMatches(t *testing.T) {
	level := rapid.SampledFrom([]string{"", "a", "b", "$a", "+"})
	name := rapid.SampledFrom([]string{"", "a", "b", "$a"})
	rapid.Check(t, func(t *rapid.T) {
		var tree filterTree
		filters := map[*subscription]string{}
		for range rapid.IntRange(0, 30).Draw(t, "filters") {
			levels := rapid.SliceOfN(level, 1, 4).Draw(t, "levels")
			if rapid.Bool().Draw(t, "all below") {
				levels = append(levels, "#")
			}
			filter := strings.Join(levels, "/")
			sub, known := tree.add([]byte(filter))
			if before, found := filters[sub]; found != known || known && before != filter {
				t.Fatalf("%q is known: %v, as %q", filter, known, before)
			}
			filters[sub] = filter
		}
		topic := rapid.SliceOfN(name, 1, 4).Draw(t, "topic")
		for _, anyway := range []bool{false, true} {
			found := map[*subscription]int{}
			tree.match([]byte(strings.Join(topic, "/")), anyway, func(sub *subscription) bool {
				found[sub]++
				return true
			})
			for sub, filter := range filters {
				levels := strings.Split(filter, "/")
				want := 0
				// [MQTT-4.7.2-1]
				if dollar := strings.HasPrefix(topic[0], "$") && (levels[0] == "+" || levels[0] == "#"); matches(levels, topic) && (anyway || !dollar) {
					want = 1
				}
				if found[sub] != want {
					t.Fatalf("%q with %q, anyway %v: found %d times, want %d", filter, topic, anyway, found[sub], want)
				}
			}
		}
	})
}

// What a tree takes has a bound, in levels and in bytes.
func TestFilterTreeHasABound(t *testing.T) {
	for name, filter := range map[string]func(i int) string{
		"levels": func(i int) string { return fmt.Sprint(i) + strings.Repeat("/", 1000) },
		"bytes":  func(i int) string { return fmt.Sprint(i) + strings.Repeat("x", 60_000) },
	} {
		var tree filterTree
		taken := 0
		for i := range 1000 {
			if sub, _ := tree.add([]byte(filter(i))); sub != nil {
				taken++
			}
		}
		if taken < 100 || taken > 200 {
			t.Errorf("%s: took %d filters of 1000", name, taken)
		}
	}
}
