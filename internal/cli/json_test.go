package cli

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// checkIndented compares appendIndented with encoding/json.
func checkIndented(t interface {
	Helper()
	Fatalf(string, ...any)
}, src []byte) {
	t.Helper()
	var want bytes.Buffer
	valid := json.Indent(&want, bytes.Trim(src, " \t\r\n"), "", "  ") == nil
	got, ok := appendIndented([]byte("before"), src)
	if ok != valid || ok && string(got) != "before"+want.String() || !ok && string(got) != "before" {
		t.Fatalf("%q: %t %q, encoding/json says %t %q", src, ok, got, valid, want.String())
	}
}

func TestJSONIsLaidOutLikeEncodingJSON(t *testing.T) {
	for _, src := range []string{
		"", " ", "null", " true ", "false", "nul", "truex", "0", "-0", "-", "01", "1.", ".5", "1.50", "1e5", "1E+05", "1e", "1e+", "-1.5e-3",
		"123456789012345678901234567890.10", `""`, `"a`, `"\`, `"\x"`, `"\u12"`, `"\u12G4"`, `"\uD800"`, `"\""`, "\"\n\"", "\"\x7f\u009b\"", "\"\xff\"",
		"{}", "[]", "{ }", "[ \n ]", `{"a":1}`, `{"b" : [1, 2 ,{}],"a":{ "c":null}}`, `{"a":1,"a":2}`, `{"a":1,}`, "[1,]", "[,1]", `{"a"}`, `{"a":}`, `{1:2}`, `{"a" 1}`,
		"[1 2]", "[1", "{", `{"a":1`, "1 2", "[]]", "\ufeff{}", "[[[]]]", "//x", `{'a':1}`, "NaN", "+1", "\x00",
	} {
		checkIndented(t, []byte(src))
	}
}

func TestAnyJSONIsLaidOutLikeEncodingJSON(t *testing.T) {
	space := rapid.SampledFrom([]string{"", "", "", " ", "\n", "\t\r"})
	scalar := rapid.OneOf(
		rapid.SampledFrom([]string{"null", "true", "false", "{}", "[]", "{ }"}),
		rapid.Custom(func(t *rapid.T) string { b, _ := json.Marshal(rapid.String().Draw(t, "s")); return string(b) }),
		rapid.Custom(func(t *rapid.T) string { b, _ := json.Marshal(rapid.Float64().Draw(t, "f")); return string(b) }),
		rapid.StringMatching(`-?(0|[1-9][0-9]{0,30})(\.[0-9]{1,30})?([eE][-+]?[0-9]{1,3})?`),
	)
	value := scalar
	for range 4 {
		inner := value
		value = rapid.OneOf(scalar, rapid.Custom(func(t *rapid.T) string {
			brackets := rapid.SampledFrom([]string{"[]", "{}"}).Draw(t, "brackets")
			var parts []string
			for range rapid.IntRange(0, 3).Draw(t, "n") {
				part := space.Draw(t, "") + inner.Draw(t, "value") + space.Draw(t, "")
				if brackets == "{}" {
					b, _ := json.Marshal(rapid.String().Draw(t, "key"))
					part = space.Draw(t, "") + string(b) + space.Draw(t, "") + ":" + part
				}
				parts = append(parts, part)
			}
			return brackets[:1] + strings.Join(parts, ",") + brackets[1:]
		}))
	}
	rapid.Check(t, func(t *rapid.T) {
		src := []byte(space.Draw(t, "") + value.Draw(t, "value") + space.Draw(t, ""))
		if !json.Valid(src) {
			t.Fatalf("the generator is wrong: %q", src)
		}
		checkIndented(t, src)
		// And with one byte changed, which mostly breaks it.
		if i := rapid.IntRange(0, len(src)).Draw(t, "at"); i < len(src) {
			src[i] = rapid.SampledFrom([]byte(`{}[]",:\ue0-+.1 `+"\n\x00\xff")).Draw(t, "byte")
			checkIndented(t, src)
		}
	})
}

func TestJSONNestedTooDeepIsNotLaidOut(t *testing.T) {
	for _, c := range []struct {
		depth int
		want  bool
	}{{maxDepth, true}, {maxDepth + 1, false}, {1 << 20, false}} {
		src := strings.Repeat("[", c.depth) + "1" + strings.Repeat("]", c.depth)
		if _, ok := appendIndented(nil, []byte(src)); ok != c.want {
			t.Errorf("depth %d: %t, want %t", c.depth, ok, c.want)
		}
	}
}

func TestQuotedTextIsReadBackByEncodingJSON(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := rapid.String().Draw(t, "s")
		quoted := appendQuoted(nil, want)
		var got string
		if err := json.Unmarshal(quoted, &got); err != nil || got != want {
			t.Fatalf("%q: %s gives %q, %v", want, quoted, got, err)
		}
		if bytes.ContainsFunc(quoted, func(r rune) bool { return r < ' ' || 0x7f <= r && r < 0xa0 }) {
			t.Fatalf("%q: control characters in %q", want, quoted)
		}
	})
}

func FuzzIndented(f *testing.F) {
	for _, seed := range []string{`{"a":[1,2.50,"x\u00e9"],"b":{}}`, "[[],{}]", `"\ud800"`, "-0.1e+5", "[1,]"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, src []byte) {
		if depth := max(bytes.Count(src, []byte("[")), bytes.Count(src, []byte("{"))); depth < maxDepth/2 {
			checkIndented(t, src)
		} else {
			appendIndented(nil, src)
		}
	})
}
