package cli

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// drain returns all payloads of s, and the error at its end, io.EOF being none.
func drain(s source) (all []string, err error) {
	for {
		payload, err := s.next()
		if err == io.EOF {
			return all, nil
		}
		if err != nil {
			return all, err
		}
		all = append(all, string(payload))
	}
}

func TestLinesAreMessages(t *testing.T) {
	full := strings.Repeat("x", maxLine)
	cr := "\r"
	if linesEndWithCR {
		cr = ""
	}
	for _, c := range []struct {
		name, stdin string
		count       int
		want        []string
		err         string
	}{
		{"nothing", "", 0, nil, ""},
		{"one line", "a\n", 0, []string{"a"}, ""},
		{"no newline at the end", "a\nb", 0, []string{"a", "b"}, ""},
		{"empty lines are empty messages", "\n\na\n\n", 0, []string{"", "", "a", ""}, ""},
		{"NUL is kept", "a\x00b\n\xff\n\x00", 0, []string{"a\x00b", "\xff", "\x00"}, ""},
		{"CR is kept", "a\r\n\rb\r", 0, []string{"a" + cr, "\rb\r"}, ""},
		{"at most count", "a\nb\nc\n", 2, []string{"a", "b"}, ""},
		{"fewer than count", "a\n", 2, []string{"a"}, ""},
		{"the longest line", full + "\n" + full, 0, []string{full, full}, ""},
		{"a line too long", "a\n" + full + "x\nb\n", 0, []string{"a"}, "line 2 of standard input is longer than 131072 bytes, the most that -l takes; -f - sends all of it as one message"},
		{"a last line too long", full + "x", 0, nil, "line 1 of standard input is longer than 131072 bytes, the most that -l takes; -f - sends all of it as one message"},
	} {
		got, err := drain(lines(strings.NewReader(c.stdin), c.count))
		if text := fmt.Sprint(err); text != c.err && (err != nil || c.err != "") {
			t.Errorf("%s: error %q, want %q", c.name, text, c.err)
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s: %s", c.name, diff)
		}
	}
}

func TestLinesAreThoseOfStringsSplit(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.SliceOf(rapid.SampledFrom([]byte("ab\n\r\x00"))).Draw(t, "text")
		kept := text
		if linesEndWithCR {
			kept = bytes.ReplaceAll(text, []byte("\r\n"), []byte("\n"))
		}
		want := strings.Split(string(kept), "\n")
		if want[len(want)-1] == "" {
			want = want[:len(want)-1]
		}
		var r io.Reader = bytes.NewReader(text)
		if rapid.Bool().Draw(t, "one byte at a time") {
			r = iotest.OneByteReader(r)
		}
		got, err := drain(lines(r, 0))
		if len(got) != len(want) || err != nil || strings.Join(got, "\n") != strings.Join(want, "\n") {
			t.Fatalf("%q: %q, %v, want %q", text, got, err, want)
		}
	})
}

// endless is a line without an end.
type endless struct{ read int }

func (e *endless) Read(p []byte) (int, error) {
	e.read += len(p)
	return copy(p, bytes.Repeat([]byte{'x'}, len(p))), nil
}

func TestAnEndlessLineIsReadNoFurtherThanNeeded(t *testing.T) {
	var stdin endless
	_, err := drain(lines(&stdin, 0))
	if err == nil || !strings.HasPrefix(err.Error(), "line 1 of standard input is longer than") || stdin.read > 2*maxLine {
		t.Errorf("read %d bytes, %v", stdin.read, err)
	}
}

func TestALineThatCannotBeReadIsAnError(t *testing.T) {
	broken := errors.New("input/output error")
	got, err := drain(lines(io.MultiReader(strings.NewReader("a\nb"), iotest.ErrReader(broken)), 0))
	if !errors.Is(err, broken) || err.Error() != "standard input, line 2: input/output error" || len(got) != 1 {
		t.Errorf("%q, %v", got, err)
	}
}

func TestTheOperatingSystemsNameOfStandardInputIsNotShown(t *testing.T) {
	dir, err := os.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	if _, err := drain(lines(dir, 0)); err == nil || !strings.HasPrefix(err.Error(), "standard input, line 1: ") || strings.Contains(err.Error(), dir.Name()) {
		t.Errorf("-l: %v", err)
	}
	if _, err := readFile("-", dir); err == nil || !strings.HasPrefix(err.Error(), "standard input: ") || strings.Contains(err.Error(), dir.Name()) {
		t.Errorf("-f -: %v", err)
	}
}

func TestALineIsGoodAfterTheNextOne(t *testing.T) {
	s := lines(strings.NewReader("first\nother\n"), 0)
	first, _ := s.next()
	s.next()
	if string(first) != "first" {
		t.Errorf("it became %q", first)
	}
}

func TestAPayloadIsRepeated(t *testing.T) {
	if got, _ := drain(repeated([]byte("x"), 3)); len(got) != 3 || got[2] != "x" {
		t.Errorf("3 times: %q", got)
	}
	s := repeated(nil, 0)
	for range 1000 {
		if payload, err := s.next(); len(payload) != 0 || err != nil {
			t.Fatal(payload, err)
		}
	}
}

func TestFilesAreReadWhole(t *testing.T) {
	dir := t.TempDir()
	name := filepath.Join(dir, "payload")
	want := "a\x00b\n\xff"
	if err := os.WriteFile(name, []byte(want), 0o600); err != nil {
		t.Fatal(err)
	}
	if got, err := readFile(name, nil); string(got) != want || err != nil {
		t.Errorf("file: %q, %v", got, err)
	}
	if got, err := readFile("-", strings.NewReader(want)); string(got) != want || err != nil {
		t.Errorf("stdin: %q, %v", got, err)
	}
	missing := filepath.Join(dir, "missing")
	if _, err := readFile(missing, nil); !errors.Is(err, os.ErrNotExist) || !strings.HasPrefix(err.Error(), missing+": ") {
		t.Errorf("missing: %v", err)
	}
	if _, err := readFile(dir, nil); err == nil || !strings.HasPrefix(err.Error(), dir+": ") {
		t.Errorf("a directory: %v", err)
	}
}
