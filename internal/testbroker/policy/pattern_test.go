package policy

import (
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"
)

// obvious says what a pattern with '*' and '?' matches, by the table of all prefixes of both: matched[i][j] is whether
// the first i characters of the pattern match the first j of the text.
func obvious(pattern, text string) bool {
	p, s := []rune(pattern), []rune(text)
	matched := make([][]bool, len(p)+1)
	for i := range matched {
		matched[i] = make([]bool, len(s)+1)
		for j := range matched[i] {
			switch {
			case i == 0:
				matched[i][j] = j == 0
			case p[i-1] == '*':
				matched[i][j] = matched[i-1][j] || j > 0 && matched[i][j-1]
			case j > 0:
				matched[i][j] = matched[i-1][j-1] && (p[i-1] == '?' || p[i-1] == s[j-1])
			}
		}
	}
	return matched[len(p)][len(s)]
}

func FuzzMatch(f *testing.F) {
	for _, seed := range [][2]string{
		{"", ""}, {"*", ""}, {"?", ""}, {"", "a"}, {"a", "a"}, {"a*", "a/b/c"}, {"*a*b*", "xxaxxbxx"}, {"a?c", "aäc"},
		{"*??", "€"}, {"*ab", "aab"}, {"*aab*aac", "aaabaabaaac"}, {"some/*/topic", "some/a/b/topic"}, {"**?**", "x"},
		{"+/#", "+/#"}, {"*" + strings.Repeat("a*", 50) + "b", strings.Repeat("a", 200)}, {"?\u0301", "e\u0301"},
	} {
		f.Add(seed[0], seed[1])
	}
	f.Fuzz(func(t *testing.T, pattern, text string) {
		if !utf8.ValidString(pattern) || !utf8.ValidString(text) || len(pattern)*len(text) > 1<<20 {
			wildcards(pattern).match(text) // whatever the answer
			return
		}
		if got, want := wildcards(pattern).match(text), obvious(pattern, text); got != want {
			t.Errorf("%q matches %q: %t, want %t", pattern, text, got, want)
		}
	})
}

func TestMatchIsObvious(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		pattern := rapid.StringOfN(rapid.RuneFrom([]rune("ab*?ä")), 0, 12, -1).Draw(t, "pattern")
		text := rapid.StringOfN(rapid.RuneFrom([]rune("abä")), 0, 12, -1).Draw(t, "text")
		if got, want := wildcards(pattern).match(text), obvious(pattern, text); got != want {
			t.Errorf("%q matches %q: %t, want %t", pattern, text, got, want)
		}
	})
}

func TestCanStartIsTrueOfWhatMatches(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		pattern := rapid.StringOfN(rapid.RuneFrom([]rune("ab*?")), 0, 8, -1).Draw(t, "pattern")
		prefix := rapid.StringOfN(rapid.RuneFrom([]rune("ab")), 0, 5, -1).Draw(t, "prefix")
		// Behind the prefix every text of the pattern's length that could help: its own characters.
		want := false
		for i := range pattern {
			want = want || obvious(pattern, prefix+strings.NewReplacer("*", "", "?", "a").Replace(pattern[i:]))
		}
		want = want || obvious(pattern, prefix)
		if got := wildcards(pattern).canStart(prefix); got != want {
			t.Errorf("%q can start with %q: %t, want %t", pattern, prefix, got, want)
		}
	})
}

// A matcher that tries every end of every star would not end here.
func TestMatchDoesNotTryEveryEndOfEveryStar(t *testing.T) {
	text := strings.Repeat("a", 1<<16)
	for _, pattern := range []string{
		strings.Repeat("*a", 1000) + "b",
		strings.Repeat("*aa?", 500) + "*b",
		strings.Repeat("*?", 1000) + "b",
		"*" + strings.Repeat("a", 1000) + "b",
	} {
		if wildcards(pattern).match(text) {
			t.Errorf("%.20s... matches", pattern)
		}
	}
}

func TestReadingsOfAnARN(t *testing.T) {
	for _, c := range []struct {
		pattern  string
		readings int
	}{
		{"arn:aws:iot:us-east-1:1:topic/a", 1},
		{"arn:aws:iot:us-east-1:1:topic/a:b:c", 1},
		{"arn:aws:iot:us-east-1:1:*", 1},
		{"arn:aws:iot:us-east-1:*", 1},
		{"arn:aws:iot:us-*", 1},
		{"arn:aws:iot:*:topic/a", 1},
		{"arn:aws:iot:*:topic/*", 2},
		{"arn:*:topic/a", 1},
		{"*:*:*", 10},
		{"arn:aws:iot:us-east-1:topic/a", 0},
		{"arn:aws:iot:us-*t-1:topic/a", 0},
		{"arn", 0},
		{"", 0},
	} {
		p, ok := newARNPattern(c.pattern, wildcards(c.pattern))
		if len(p.readings) != c.readings || ok != (c.readings > 0) {
			t.Errorf("%s has %d readings, want %d", c.pattern, len(p.readings), c.readings)
		}
	}
}

func TestWildcardsInTheFirstPartsOfAnARN(t *testing.T) {
	for _, c := range []struct {
		pattern, text string
		want          bool
	}{
		{"arn:aws:iot:us-*:1:topic/a", "arn:aws:iot:us-east-1:1:topic/a", true},
		{"arn:aws:iot:us-*-1:1:topic/a", "arn:aws:iot:us-east-2:1:topic/x-1:1:topic/a", false}, // not over a colon
		{"arn:aws:iot:us-????-1:*:topic/a", "arn:aws:iot:us-east-1:1:topic/a", true},
		{"arn:aws:iot:us-?????1:*:topic/a", "arn:aws:iot:us-east:1:topic/a", false},
		{"arn:aws:iot:us-*", "arn:aws:iot:us-east-1:1:topic/a:b", true},
		{"arn:aws:iot:us-*", "arn:aws:iot:eu-west-1:1:topic/us-", false},
		{"arn:aws:iot:*:topic/a", "arn:aws:iot:us-east-1:1:topic/a", true},
		{"arn:aws:iot:*:topic/a", "arn:aws:iot:us-east-1:1:x:topic/a", false},
		{"arn:*:iot:*:1:topic/a", "arn:aws-cn:iot:cn-north-1:1:topic/a", true},
		{"arn:aws:iot:us-east-1:1:topic/a:*", "arn:aws:iot:us-east-1:1:topic/a:b:c", true},
		{"arn:aws:iot:us-east-1:1:topic/*:c", "arn:aws:iot:us-east-1:1:topic/a:b:c", true},
		{"ARN:aws:iot:us-east-1:1:topic/a", "arn:aws:iot:us-east-1:1:topic/a", false},
		{"arn:aws:iot:US-EAST-1:1:topic/a", "arn:aws:iot:us-east-1:1:topic/a", false},
	} {
		p, ok := newARNPattern(c.pattern, wildcards(c.pattern))
		a, isARN := cutARN(c.text)
		if o, _ := p.match(&a, nil); !ok || !isARN || (o == yes) != c.want {
			t.Errorf("%s matches %s: %v, want %t", c.pattern, c.text, o, c.want)
		}
	}
}
