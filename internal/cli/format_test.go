package cli

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"iotwire/mqtt"
	"iotwire/mqtt/packet"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// samples are messages of every kind.
var samples = []mqtt.Message{
	{Topic: "test/commands", Payload: []byte(`{"message":"hello","big":12345678901234567890,"small":1.10}`), QoS: 1, PacketID: 3},
	{Topic: "site/7/temp", Payload: []byte("21.50"), Retain: true},
	{Topic: "site/7/report", Payload: []byte("{\r\n\t\"b\" : [ 1,\n 2 ],\n  \"a\": {}\n}\n"), QoS: 2, Dup: true, PacketID: 65535},
	{Topic: "text", Payload: []byte("hello, wörld")},
	{Topic: "two lines", Payload: []byte("one\r\ntwo\n")},
	{Topic: "nearly/json", Payload: []byte(`{"a":1,}`)},
	{Topic: "empty"},
	{Topic: "null", Payload: []byte("null")},
	{Topic: "binary", Payload: []byte("\xff\xfe\x00bin")},
	{Topic: "number/in/binary", Payload: []byte("\x00\x00\x00\x05")},
	{Topic: "terminal/\x1b[2J\u009b", Payload: []byte("\x1b]0;owned\x07 \x1b[31mred \u202etxt.exe \u009b2J \x7f")},
	{Topic: "terminal/json", Payload: []byte("{\"name\":\"\u202etxt\u009b2J\x7f\"}")},
}

var sampleTime = time.Date(2026, 8, 10, 9, 47, 38, 86368637, time.FixedZone("", 3600))

// TestFormatsAreThoseOfTheGoldenFiles has a file for each format: every sample, and again for a terminal if it differs.
func TestFormatsAreThoseOfTheGoldenFiles(t *testing.T) {
	for name, value := range map[string]string{
		"pretty": "pretty", "json": "json", "raw": "raw", "text": "text", "hex": "hex", "base64": "base64",
		"pattern": `%I %U %t qos=%q retain=%r dup=%d id=%m length=%05l %x %X %b 100%%\t[%-12t] [%8.4t] %p`,
	} {
		f, err := parseFormat(value)
		if err != nil {
			t.Fatal(err)
		}
		var got bytes.Buffer
		for _, m := range samples {
			piped, shown := f.append(nil, &m, sampleTime, false), f.append(nil, &m, sampleTime, true)
			fmt.Fprintf(&got, "--- %q %.60q\n%s", m.Topic, m.Payload, piped)
			if !bytes.Equal(piped, shown) {
				fmt.Fprintf(&got, "\n--- the same on a terminal\n%s", shown)
			}
			got.WriteByte('\n')
		}
		golden := filepath.Join("testdata", "format."+name)
		if *update {
			if err := os.WriteFile(golden, got.Bytes(), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(golden)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(want), got.String()); diff != "" {
			t.Errorf("-F %s has changed; if that is right, run this test with -update:\n%s", value, diff)
		}
	}
}

func TestAPatternIsTextWithPartsOfTheMessage(t *testing.T) {
	m := mqtt.Message{Topic: "a/bü", Payload: []byte("hi\n"), QoS: 1, Retain: true, PacketID: 42}
	for pattern, want := range map[string]string{
		"%p":             "hi\n\n",
		`%p\n`:           "hi\n\n",
		`%t\0`:           "a/bü\x00",
		`%t\0%p\0`:       "a/bü\x00hi\n\x00",
		`\n`:             "\n",
		`\\n`:            "\\n\n",
		"%%t":            "%t\n",
		`100%% %q%r%d%l`: "100% 1103\n",
		"%m %06m":        "42 000042\n",
		`\e[1m%t\e[0m`:   "\x1b[1ma/bü\x1b[0m\n",
		`\a\v\t\r`:       "\a\v\t\r\n",
		"%x %X %b":       "68690a 68690A aGkK\n",
		"[%6t]":          "[  a/bü]\n",
		"[%-6t]":         "[a/bü  ]\n",
		"[%.4t]":         "[a/bü]\n",
		"[%.3t]":         "[a/b]\n",
		"[%8.2t]":        "[      a/]\n",
		"[%06t]":         "[  a/bü]\n",
		"[%04l]":         "[0003]\n",
		"[%-04l]":        "[3   ]\n",
		"[%012x]":        "[00000068690a]\n",
		"[%2t]":          "[a/bü]\n",
		"ü%tü":           "üa/büü\n",
	} {
		f, err := parseFormat(pattern)
		if err != nil {
			t.Errorf("%q: %v", pattern, err)
			continue
		}
		if got := string(f.append(nil, &m, sampleTime, false)); got != want {
			t.Errorf("%q prints %q, want %q", pattern, got, want)
		}
	}
}

func TestAFormatThatIsNoneIsAMistakeThatIsExplained(t *testing.T) {
	const letters = "is unknown; there are %t topic, %p payload, %q QoS, %r retain, %d dup, %m packet identifier, %l length, %x and %X hex, %b base64, %j JSON, " +
		"%I time, %U Unix time, %%"
	for value, want := range map[string]string{
		"jsn":    `"jsn" is none of pretty, json, raw, text, hex, base64, and no pattern such as '%t %p'; did you mean json?`,
		"topic":  `"topic" is none of pretty, json, raw, text, hex, base64, and no pattern such as '%t %p'`,
		"%t %z":  `"%z" ` + letters,
		"%J":     `"%J" ` + letters,
		"% t":    `"% " ` + letters,
		"%-3%":   `"%-3%" ` + letters,
		"%ü":     `"%ü" ` + letters,
		"%\xff":  `"%\xff" ` + letters,
		"%t %":   "nothing follows the last %; a percent sign itself is %%",
		"%20":    "nothing follows the last %; a percent sign itself is %%",
		"%2000t": `"%2000t": a width is at most 1000`,
		"%.t":    `"%.": a number is to follow the point`,
		"%.0t":   `"%.0": a number is to follow the point`,
		`%t\`:    `nothing follows the last backslash; a backslash itself is \\`,
		`%t\z`:   `"\\z" is unknown; there are \n \t \r \0 \a \e \v \\`,
	} {
		if _, err := parseFormat(value); err == nil || err.Error() != want {
			t.Errorf("%q: %v\nwant %s", value, err, want)
		}
	}
}

func TestEveryFormatThatIsTakenPrintsSafelyOnATerminal(t *testing.T) {
	piece := rapid.SampledFrom([]string{"%t", "%p", "%q", "%r", "%d", "%l", "%x", "%X", "%b", "%j", "%I", "%U", "%%", `\n`, `\t`, `\0`, `\\`,
		"%-7t", "%9.3p", "%012l", "%.5t", " ", "ü", "x", "%", `\`, "%z", "7"})
	rapid.Check(t, func(t *rapid.T) {
		f, err := parseFormat(strings.Join(rapid.SliceOfN(piece, 0, 6).Draw(t, "pattern"), "") + "%p")
		if err != nil {
			return
		}
		m := anyMessage(t)
		shown := f.append(nil, &m, sampleTime, true)
		if !utf8.Valid(shown) || bytes.ContainsFunc(shown, func(c rune) bool { return c != '\n' && c != '\t' && c != 0 && isTreacherous(c) }) {
			t.Fatalf("%q is shown as %q", m.Payload, shown)
		}
	})
}

func FuzzFormat(f *testing.F) {
	for _, seed := range []string{"pretty", "json", `%I %-20.5t %p\n`, `\0%`, "%09x%%", "%m"} {
		f.Add(seed, "a/b", []byte("{}"))
	}
	f.Fuzz(func(t *testing.T, value, topic string, payload []byte) {
		format, err := parseFormat(value)
		if err != nil {
			if strings.ContainsAny(err.Error(), "\n\x1b") {
				t.Errorf("%q: %q is not one line", value, err)
			}
			return
		}
		format.append(nil, &mqtt.Message{Topic: topic, Payload: payload}, sampleTime, true)
	})
}

func TestAFormatIsCheckedBeforeTheConnection(t *testing.T) {
	for args, want := range map[string]string{
		"-F|%z":            `-F/--format: "%z" is unknown`,
		"-F|xml":           `-F/--format: "xml" is none of pretty`,
		"-F|":              "-F/--format: the value is empty",
		"-F|raw|--json":    "-F/--format and --json exclude each other",
		"--exclude|a/#/b":  "--exclude \"a/#/b\": ",
		"--exclude|a|-F|j": `-F/--format: "j" is none of pretty`,
	} {
		r := run(t, Subscriber, nil, nil, strings.Split(args, "|")...)
		r.ended(ExitUsage)
		if said := r.stderr.String(); !strings.HasPrefix(said, "subscriber: "+want) || strings.Count(said, "\n") != 1 {
			t.Errorf("%q: it said %q, want %q", args, said, want)
		}
	}
}

func TestSubscriberPrintsInTheFormatThatWasAskedFor(t *testing.T) {
	for args, want := range map[string]string{
		"--json":          `{"time":"2000-01-01T00:00:02.000Z","topic":"a/b","qos":1,"retain":false,"dup":false,"packetId":1,"bytes":9,"payload":{"a":1.0}}` + "\n",
		"-F|json":         `{"time":"2000-01-01T00:00:02.000Z","topic":"a/b","qos":1,"retain":false,"dup":false,"packetId":1,"bytes":9,"payload":{"a":1.0}}` + "\n",
		"-F|raw":          `{"a":1.0}`,
		"-F|text":         `{"a":1.0}` + "\n",
		"-F|hex":          "7b2261223a312e307d\n",
		"-F|base64":       "eyJhIjoxLjB9\n",
		"-F|%I %t %q %p":  `2000-01-01T00:00:02.000Z a/b 1 {"a":1.0}` + "\n",
		"-F|%t\\0%p\\0":   "a/b\x00" + `{"a":1.0}` + "\x00",
		"-F|pretty":       "{\n  \"a\": 1.0\n}\n",
		"-F|text|--quiet": `{"a":1.0}` + "\n",
	} {
		synctest.Test(t, func(t *testing.T) {
			b, _ := observed(t)
			r := start(t, Subscriber, to(b.Dial), nil, append(strings.Split(args, "|"), "-t", "a/b", "-n", "1")...)
			time.Sleep(2 * time.Second)
			b.Publish("a/b", []byte(`{"a":1.0}`), packet.QoS1, false)
			r.ended(ExitDone)
			got := strings.ReplaceAll(r.stdout.String(), time.Now().Format("Z07:00"), "Z")
			if got != want {
				t.Errorf("%s: it printed %q, want %q", args, got, want)
			}
		})
	}
}

func TestAMessageIsWrittenInOneWrite(t *testing.T) {
	for _, format := range []string{"pretty", "json", "raw", "text", "hex", "base64", `%t %p\n`} {
		synctest.Test(t, func(t *testing.T) {
			b, _ := observed(t)
			var out writes
			r := start(t, Subscriber, to(b.Dial), func(p *Process) { p.Stdout = &out }, "-F", format, "-n", "2")
			synctest.Wait()
			for range 2 {
				b.Publish("test/commands", []byte(`{"a":[1,2,3]}`), packet.QoS1, false)
			}
			if r.ended(ExitDone); len(out) != 2 || out[0] != out[1] && format != "json" {
				t.Errorf("%s: %q", format, out)
			}
		})
	}
}

// writes is what was written, a string for each write. Only the program writes, and then ends.
type writes []string

func (w *writes) Write(b []byte) (int, error) {
	*w = append(*w, string(b))
	return len(b), nil
}

func TestWhatIsSkippedIsAcknowledgedAndNotCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, got := observed(t)
		b.Publish("a/kept", []byte("old"), packet.QoS1, true)
		r := start(t, Subscriber, to(b.Dial), nil, "-t", "a/#", "-n", "3", "-R", "--exclude", "a/no/+", "--exclude", "a/+/not", "-F", "text")
		synctest.Wait()
		for i, topic := range []string{"a/1", "a/no/2", "a/3", "a/x/not", "a/5"} {
			b.Publish(topic, []byte(strconv.Itoa(i+1)), packet.QoS1, false)
		}
		r.ended(ExitDone)
		if got := r.stdout.String(); got != "1\n3\n5\n" {
			t.Errorf("it printed %q", got)
		}
		if n := got.count(packet.PUBACK); n != 6 {
			t.Errorf("%d of 6 messages were acknowledged", n)
		}
		if said := r.stderr.String(); !strings.HasSuffix(said, "\nreceived 3 messages (3 bytes) in 0.0 ms, 3 skipped\n") {
			t.Errorf("it said %q", said)
		}
	})
}

func TestHeadlinesAreForPeopleAtATerminal(t *testing.T) {
	for _, c := range []struct {
		out, err bool
		args     []string
		want     bool
	}{
		{true, true, nil, true},
		{true, false, nil, false},
		{false, true, nil, false}, // what reads the pipe may write to the same terminal
		{false, false, nil, false},
		{true, true, []string{"-F", "text"}, false},
		{true, true, []string{"--quiet"}, false},
	} {
		synctest.Test(t, func(t *testing.T) {
			b, _ := observed(t)
			r := start(t, Subscriber, to(b.Dial), func(p *Process) { p.Terminal, p.TerminalError = c.out, c.err }, append(c.args, "-n", "1")...)
			synctest.Wait()
			b.Publish("test/commands", []byte("x"), packet.QoS1, false)
			r.ended(ExitDone)
			if got := strings.Contains(r.stderr.String(), "test/commands, 1 byte, QoS 1\n"); got != c.want || r.stdout.String() != "x\n" {
				t.Errorf("%+v: %q, %q", c, r.stdout.String(), r.stderr.String())
			}
		})
	}
}
