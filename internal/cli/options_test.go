package cli

import (
	"bytes"
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// sample is a table with an option of each kind.
type sample struct {
	endpoint, message, file, color string
	topics                         []string
	count                          int
	interval, keepAlive            time.Duration
	retain, lines                  bool
}

func (s *sample) table() *Table {
	return &Table{
		Program: "publisher",
		Summary: "send messages",
		Usage:   "-e ENDPOINT [options]",
		Groups: []Group{{"Main options", []Option{
			{Letter: "e", Name: "endpoint", Metavar: "ENDPOINT", Value: &s.endpoint, Help: "where to"},
			{Letter: "t", Name: "topic", Metavar: "TOPIC", Value: &s.topics, Default: "test/commands", Help: "again"},
			{Letter: "n", Name: "count", Metavar: "N", Value: &s.count, Default: "1", Min: "0", Help: "how many"},
			{Letter: "m", Name: "message", Metavar: "TEXT", Value: &s.message, Empty: true, Help: "the payload"},
			{Letter: "f", Name: "file", Metavar: "FILE", Value: &s.file, Help: "the payload is in it"},
		}}, {"Other", []Option{
			{Letter: "i", Name: "interval", Metavar: "TIME", Value: &s.interval, Default: "1s", Help: "pause"},
			{Letter: "k", Name: "keep-alive", Metavar: "SECONDS", Value: &s.keepAlive, Default: "10", Max: "65535", Help: "x"},
			{Letter: "r", Name: "retain", Value: &s.retain, Help: "keep"},
			{Letter: "l", Name: "lines", Value: &s.lines, Help: "lines"},
			{Name: "color", Metavar: "auto|always|never", Value: &s.color, Choices: []string{"auto", "always", "never"}, Default: "auto", Help: "x"},
		}}},
		OneOf: []string{"message", "file"},
	}
}

// parse returns what a program with the table of s does: its options, and what it printed.
func parse(env map[string]string, args ...string) (s sample, code ExitCode, done bool, stdout, stderr string) {
	var out, err bytes.Buffer
	p := &Process{Args: args, Getenv: func(name string) string { return env[name] }, Stdout: &out, Stderr: &err}
	code, done = s.table().Parse(p)
	return s, code, done, out.String(), err.String()
}

func TestTextThatCannotBeWrittenIsNoSuccess(t *testing.T) {
	for _, arg := range []string{"--help", "--version", "--man", "--completion=bash"} {
		for cause, want := range map[error]ExitCode{syscall.ENOSPC: ExitLocal, syscall.EPIPE: ExitDone} {
			var stderr bytes.Buffer
			p := &Process{Args: []string{arg}, Stdout: failing{cause}, Stderr: &stderr}
			said := ""
			if want != ExitDone {
				said = "publisher: standard output: " + cause.Error() + "\n"
			}
			if code, done := new(sample).table().Parse(p); code != want || !done || stderr.String() != said {
				t.Errorf("%s, %v: exit %d, %q", arg, cause, code, &stderr)
			}
		}
	}
}

func TestOptionsAreReadInEverySpelling(t *testing.T) {
	preset := sample{topics: []string{"test/commands"}, count: 1, interval: time.Second, keepAlive: 10 * time.Second, color: "auto"}
	with := func(change func(*sample)) sample {
		s := preset
		change(&s)
		return s
	}
	for _, c := range []struct {
		args string
		want sample
	}{
		{"", preset},
		{"-e x", with(func(s *sample) { s.endpoint = "x" })},
		{"-ex", with(func(s *sample) { s.endpoint = "x" })},
		{"-e=x", with(func(s *sample) { s.endpoint = "x" })},
		{"--endpoint x", with(func(s *sample) { s.endpoint = "x" })},
		{"--endpoint=x", with(func(s *sample) { s.endpoint = "x" })},
		{"-endpoint x", with(func(s *sample) { s.endpoint = "x" })},
		{"-n5", with(func(s *sample) { s.count = 5 })},
		{"--count=5", with(func(s *sample) { s.count = 5 })},
		{"-count 5", with(func(s *sample) { s.count = 5 })},
		{"-n 1 -n 7", with(func(s *sample) { s.count = 7 })},
		{"-n 0", with(func(s *sample) { s.count = 0 })},
		{"-t a -t b/#", with(func(s *sample) { s.topics = []string{"a", "b/#"} })},
		{"-m -n5", with(func(s *sample) { s.message = "-n5" })},
		{"-m --help", with(func(s *sample) { s.message = "--help" })},
		{"-m=", with(func(s *sample) { s.message = "" })},
		{"-i2", with(func(s *sample) { s.interval = 2 * time.Second })},
		{"-i 0.5", with(func(s *sample) { s.interval = time.Second / 2 })},
		{"-i .5", with(func(s *sample) { s.interval = time.Second / 2 })},
		{"-i 250ms", with(func(s *sample) { s.interval = time.Second / 4 })},
		{"-i 1m30s", with(func(s *sample) { s.interval = 90 * time.Second })},
		{"-i 0", with(func(s *sample) { s.interval = 0 })},
		{"-r -l", with(func(s *sample) { s.retain, s.lines = true, true })},
		{"-rl", with(func(s *sample) { s.retain, s.lines = true, true })},
		{"-rln5", with(func(s *sample) { s.retain, s.lines, s.count = true, true, 5 })},
		{"-rn 5", with(func(s *sample) { s.retain, s.count = true, 5 })},
		{"-r=false -l=yes", with(func(s *sample) { s.lines = true })},
		{"--color never", with(func(s *sample) { s.color = "never" })},
		{"-e x --", with(func(s *sample) { s.endpoint = "x" })},
	} {
		got, _, done, _, stderr := parse(nil, strings.Fields(c.args)...)
		if done {
			t.Errorf("%q: %s", c.args, stderr)
		} else if diff := cmp.Diff(c.want, got, cmp.AllowUnexported(sample{})); diff != "" {
			t.Errorf("%q: %s", c.args, diff)
		}
	}
}

func TestOptionMistakesAreOneLineAndExitCode2(t *testing.T) {
	const hint = " (publisher --help lists the options)\n"
	for _, c := range []struct {
		env  string
		args string // separated by '|'
		want string
	}{
		{"", "--coun|3", "no such option: --coun; did you mean --count?"},
		{"", "--coun=3", "no such option: --coun; did you mean --count?"},
		{"", "-coun|3", "no such option: -coun; did you mean --count?"},
		{"", "--enpdoint=x", "no such option: --enpdoint; did you mean --endpoint?"},
		{"", "-h|localhost", "-h is help, and --endpoint (-e) names the server: -e mqtt://HOST without TLS, -e HOST with it"},
		{"", "-h|localhost|-p|1883|-d", "-h is help, and --endpoint (-e) names the server: -e mqtt://HOST without TLS, -e HOST with it"},
		{"", "--halp", "no such option: --halp; did you mean --help?"},
		{"", "--frobnicate", "no such option: --frobnicate"},
		{"", "--no", "no such option: --no"},
		{"", "-x", "no such option: -x"},
		{"", "-N", "no such option: -N; did you mean -n/--count?"},
		{"", "--n|5", "no such option: --n; did you mean -n/--count?"},
		{"", "-=", "no such option: -"},
		{"", "---count", "no such option: ---count; did you mean --count?"},
		{"", "-é", `no such option: -é`},
		{"", "--a\nb", `no such option: "--a\nb"`},
		{"", "-rx", "no such option: -x"},
		{"", "-n", "-n needs a value: -n N"},
		{"", "-e|x|--count", "--count needs a value: --count N"},
		{"", "-rn", "-n needs a value: -n N"},
		{"", "-nfive", `-n/--count: "five" is not a whole number`},
		{"", "-n|1.5", `-n/--count: "1.5" is not a whole number`},
		{"", "-n|", `-n/--count: "" is not a whole number`},
		{"", "-n|-1", "-n/--count: -1 is less than 0"},
		{"", "-n|99999999999999999999", `-n/--count: "99999999999999999999" is too large`},
		{"", "-i|soon", `-i/--interval: "soon" is not a time such as 2, 0.5, 250ms or 1m30s`},
		{"", "-i|", `-i/--interval: "" is not a time such as 2, 0.5, 250ms or 1m30s`},
		{"", "-i|-1s", `-i/--interval: "-1s" is less than 0`},
		{"", "-i|NaN", `-i/--interval: "NaN" is not a time such as 2, 0.5, 250ms or 1m30s`},
		{"", "-i|1e300", `-i/--interval: "1e300" is not a time such as 2, 0.5, 250ms or 1m30s`},
		{"", "-i|99999999999999999999", `-i/--interval: "99999999999999999999" seconds is too long`},
		{"", "-k|65536", `-k/--keep-alive: "65536" is more than 65535`},
		{"", "--color|red", `--color: "red" is none of auto, always, never`},
		{"", "-e|", "-e/--endpoint: the value is empty"},
		{"", "--endpoint=", "-e/--endpoint: the value is empty"},
		{"", "-t|a|-t|", "-t/--topic: the value is empty"},
		{"", "-r=maybe", `-r/--retain: "maybe" is not one of 1, 0, true, false, yes, no, on, off`},
		{"", "-e|x|extra|-n|3", `unexpected argument "extra"; a value with spaces needs quotes`},
		{"", "-k|-t|a", "-k needs a value: -k SECONDS"},
		{"", "-i|--count=3", `-i/--interval: "--count=3" is not a time such as 2, 0.5, 250ms or 1m30s`},
		{"", "-m|hello|world", `unexpected argument "world"; a value with spaces needs quotes`},
		{"", "-|", `unexpected argument "-"; a value with spaces needs quotes`},
		{"", "--|-n|3", `unexpected argument "-n"; a value with spaces needs quotes`},
		{"", "-r|true", `unexpected argument "true"; a value with spaces needs quotes`},
		{"", "-m|x|-f|y", "-m/--message and -f/--file exclude each other"},
		{"MQTT_PUBLISHER_COUNT=abc", "", `MQTT_PUBLISHER_COUNT: "abc" is not a whole number`},
		{"MQTT_PUBLISHER_KEEP_ALIVE=99999", "", `MQTT_PUBLISHER_KEEP_ALIVE: "99999" is more than 65535`},
		{"MQTT_PUBLISHER_RETAIN=maybe", "", `MQTT_PUBLISHER_RETAIN: "maybe" is not one of 1, 0, true, false, yes, no, on, off`},
		{"MQTT_PUBLISHER_TOPIC=  ", "", `MQTT_PUBLISHER_TOPIC: it holds nothing but spaces`},
		{"MQTT_PUBLISHER_MESSAGE=x MQTT_PUBLISHER_FILE=y", "", "MQTT_PUBLISHER_MESSAGE and MQTT_PUBLISHER_FILE exclude each other"},
	} {
		var args []string
		if c.args != "" {
			args = strings.Split(c.args, "|")
		}
		env := map[string]string{}
		if name, value, ok := strings.Cut(c.env, "="); ok && !strings.Contains(value, "=") {
			env[name] = value
		} else {
			for _, pair := range strings.Fields(c.env) {
				name, value, _ := strings.Cut(pair, "=")
				env[name] = value
			}
		}
		_, code, done, stdout, stderr := parse(env, args...)
		if want := "publisher: " + c.want + hint; !done || code != ExitUsage || stdout != "" || stderr != want {
			t.Errorf("%s %q: exit %d, stdout %q, stderr\n%q, want exit 2\n%q", c.env, c.args, code, stdout, stderr, want)
		}
	}
}

func TestEnvironmentIsUsedUnlessAFlagIsGiven(t *testing.T) {
	env := map[string]string{
		"MQTT_PUBLISHER_ENDPOINT":   "from-variable",
		"MQTT_PUBLISHER_COUNT":      "7",
		"MQTT_PUBLISHER_TOPIC":      "a/b c/#",
		"MQTT_PUBLISHER_RETAIN":     "yes",
		"MQTT_PUBLISHER_LINES":      "0",
		"MQTT_PUBLISHER_KEEP_ALIVE": "", // empty is unset
		"MQTT_PUBLISHER_MESSAGE":    "hi",
		"MQTT_PUBLISHER_HELP":       "1", // no option for variables
	}
	got, _, _, _, _ := parse(env)
	want := sample{endpoint: "from-variable", count: 7, topics: []string{"a/b", "c/#"}, retain: true, message: "hi",
		interval: time.Second, keepAlive: 10 * time.Second, color: "auto"}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(sample{})); diff != "" {
		t.Error("variables:", diff)
	}
	got, _, _, _, _ = parse(env, "-e", "flag", "-n5", "-t", "z", "-r=no", "--file", "x")
	want.endpoint, want.count, want.topics, want.retain, want.message, want.file = "flag", 5, []string{"z"}, false, "", "x"
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(sample{})); diff != "" {
		t.Error("flags win:", diff)
	}
	// A bad variable is not looked at where a flag wins.
	env["MQTT_PUBLISHER_COUNT"] = "abc"
	if _, _, done, _, stderr := parse(env, "-n1"); done {
		t.Error(stderr)
	}
}

func TestGivenTellsWhereAValueCameFrom(t *testing.T) {
	var s sample
	table := s.table()
	env := map[string]string{"MQTT_PUBLISHER_COUNT": "1"}
	table.Parse(&Process{Args: []string{"-e", "x"}, Getenv: func(name string) string { return env[name] }})
	for _, c := range []struct {
		name        string
		given, flag bool
	}{{"endpoint", true, true}, {"count", true, false}, {"topic", false, false}} {
		if given, flag := table.Given(c.name), table.FlagGiven(c.name); given != c.given || flag != c.flag {
			t.Errorf("%s: given %t, by flag %t, want %t, %t", c.name, given, flag, c.given, c.flag)
		}
	}
}

func TestHelpAndVersionGoToStdoutWithExitCode0(t *testing.T) {
	bad := map[string]string{"MQTT_PUBLISHER_COUNT": "abc"} // help is for those who made a mistake
	for _, line := range []string{"--help", "-h", "-help", "-rh", "-n x --help", "--help extra", "extra -h", "-h -h", "-h -t x"} {
		args := strings.Fields(line)
		_, code, done, stdout, stderr := parse(bad, args...)
		if !done || code != ExitDone || stderr != "" || !strings.HasPrefix(stdout, "publisher - send messages\n\nUsage:\n") {
			t.Errorf("%q: exit %d, stdout %q, stderr %q", args, code, stdout, stderr)
		}
	}
	_, code, done, stdout, stderr := parse(nil, "--version")
	if !done || code != ExitDone || stderr != "" || stdout != "publisher "+Version()+"\n" {
		t.Errorf("--version: exit %d, stdout %q, stderr %q", code, stdout, stderr)
	}
}

func TestAnyArgumentsEndInOneLineOrInOptions(t *testing.T) {
	word := rapid.OneOf(rapid.String(), rapid.SampledFrom([]string{
		"-", "--", "-n", "-n5", "-t", "--topic=", "-rl", "--help", "--version", "-e", "=", "-=", "-i", "0.5", "--color"}),
		rapid.StringMatching(`--?[a-z=]{1,10}`))
	rapid.Check(t, func(t *rapid.T) {
		args := rapid.SliceOfN(word, 0, 6).Draw(t, "args")
		_, code, done, stdout, stderr := parse(nil, args...)
		switch {
		case !done && stdout+stderr == "":
		case done && code == ExitDone && stdout != "" && stderr == "":
		case done && code == ExitUsage && stdout == "" && strings.Index(stderr, "\n") == len(stderr)-1 && len(stderr) < 400:
		default:
			t.Fatalf("done %t, exit %d, stdout %q, stderr %q", done, code, stdout, stderr)
		}
	})
}

func TestTimesAreReadAsSecondsOrWithAUnit(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := time.Duration(rapid.Int64Range(0, 1e15).Draw(t, "ns"))
		if got, err := parseTime(d.String(), "", ""); err != nil || got != d {
			t.Fatalf("%s: %s, %v", d, got, err)
		}
		ms := d / time.Millisecond
		text := fmt.Sprintf("%d.%03d", ms/1000, ms%1000)
		if got, err := parseTime(text, "", ""); err != nil || got != ms*time.Millisecond {
			t.Fatalf("%s: %s, %v", text, got, err)
		}
	})
}

func TestDistanceIsThatOfLevenshteinWithSwaps(t *testing.T) {
	// The definition, word for word.
	var slow func(a, b string) int
	slow = func(a, b string) int {
		switch {
		case a == "" || b == "":
			return len(a) + len(b)
		case a[0] == b[0]:
			return slow(a[1:], b[1:])
		}
		d := 1 + min(slow(a[1:], b), slow(a, b[1:]), slow(a[1:], b[1:]))
		if len(a) > 1 && len(b) > 1 && a[0] == b[1] && a[1] == b[0] {
			d = min(d, 1+slow(a[2:], b[2:]))
		}
		return d
	}
	word := rapid.StringMatching(`[abc]{0,6}`)
	rapid.Check(t, func(t *rapid.T) {
		a, b := word.Draw(t, "a"), word.Draw(t, "b")
		if got, want := distance(a, b), slow(a, b); got != want {
			t.Fatalf("distance(%q, %q) = %d, want %d", a, b, got, want)
		}
	})
}

func TestHelpFitsIn80ColumnsAndNamesEveryOption(t *testing.T) {
	var s sample
	checkHelp(t, s.table())
}

func checkHelp(t *testing.T, table *Table) {
	t.Helper()
	help := table.Help()
	for line := range strings.Lines(help) {
		if len(strings.TrimSuffix(line, "\n")) > 80 || strings.TrimRight(line, " \n")+"\n" != line {
			t.Errorf("line is too long, or ends in a space: %q", line)
		}
	}
	seen := map[string]bool{}
	for _, o := range table.options() {
		want := "      --" + o.Name
		if o.Letter != "" {
			want = "  -" + o.Letter + ", --" + o.Name
		}
		switch {
		case o.Optional != "":
			want += "[=" + o.Metavar + "]"
		case o.Metavar != "":
			want += " " + o.Metavar
		}
		if !strings.Contains(help, "\n"+want+" ") && !strings.Contains(help, "\n"+want+"\n") {
			t.Errorf("help has no line for %q", want)
		}
		if seen[o.Name] || seen["-"+o.Letter] && o.Letter != "" {
			t.Errorf("--%s or its letter is there twice", o.Name)
		}
		seen[o.Name], seen["-"+o.Letter] = true, true
		if o.Help == "" || o.isSwitch() != (o.Metavar == "") {
			t.Errorf("--%s: help %q, metavar %q", o.Name, o.Help, o.Metavar)
		}
	}
}
