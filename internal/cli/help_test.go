package cli

import (
	"flag"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the golden files")

func TestHelpTexts(t *testing.T) {
	for _, table := range tables() {
		checkHelp(t, table)
		golden(t, table.Program+".help", table.Help())
	}
}

func TestProgramsAgreeOnTheOptionsThatTheyShare(t *testing.T) {
	options := map[string]*Option{}
	for _, o := range new(publisherOptions).table().options() {
		options[o.Name] = o
	}
	shared := 0
	for _, o := range new(subscriberOptions).table().options() {
		p, ok := options[o.Name]
		if !ok {
			continue
		}
		shared++
		if p.Letter != o.Letter || o.Name != "count" && p.Default != o.Default {
			t.Errorf("--%s: -%s with default %q, and -%s with %q", o.Name, p.Letter, p.Default, o.Letter, o.Default)
		}
	}
	if shared < 10 {
		t.Errorf("only %d options are shared", shared)
	}
}

func TestDefaultsAreThoseOfTheHelp(t *testing.T) {
	// Default is parsed like what a user writes, so that a default that its own option would not take is found here.
	for _, table := range tables() {
		if err := table.store(nil, func(string) string { return "" }); err != nil {
			t.Errorf("%s: %v", table.Program, err)
		}
	}
}

func TestMistakesAreOneLineAndExitCode2BeforeAnythingIsSent(t *testing.T) {
	const hint = " (%s --help lists the options)\n"
	deep := strings.Repeat("x/", 8) + "x"
	for _, c := range []struct {
		program string
		env     string
		args    string // separated by '|'
		want    string
	}{
		{"publisher", "", "", "no endpoint: give -e ENDPOINT or set MQTT_PUBLISHER_ENDPOINT"},
		{"publisher", "", "-m|x", "no endpoint: give -e ENDPOINT or set MQTT_PUBLISHER_ENDPOINT"},
		{"subscriber", "", "", "no endpoint: give -e ENDPOINT or set MQTT_SUBSCRIBER_ENDPOINT"},
		{"publisher", "", "-e|", "-e/--endpoint: the value is empty"},
		{"publisher", "", "-e|https://x|-m|x", ""},
		{"publisher", "", "-e|x:99999|-m|x", ""},
		{"publisher", "MQTT_PUBLISHER_ENDPOINT=a b", "-m|x", ""},
		{"publisher", "", "-e|mqtt://localhost", "no message: give one of -m TEXT, -f FILE, -l, -z"},
		{"publisher", "", "-e|mqtt://localhost|-m|x|-z", "-m/--message and -z/--empty exclude each other"},
		{"publisher", "", "-e|mqtt://localhost|-f|x|-l", "-f/--file and -l/--lines exclude each other"},
		{"publisher", "", "-e|mqtt://localhost|-m|x|-t|a/#",
			`-t/--topic "a/#": topic name has the wildcard '#', which belongs in topic filters only (byte 2) [MQTT-4.7.1-1]`},
		{"publisher", "", "-e|mqtt://localhost|-m|x|-t|a\x00b", ""},
		{"publisher", "", "-e|mqtt://localhost|-m|x|-t|\xff", ""},
		{"publisher", "", "-e|mqtt://localhost|-m|x|-t|" + strings.Repeat("x", 65536), ""},
		{"publisher", "", "-e|mqtt://localhost|-m|x|--client-id|\xff", ""},
		{"publisher", "", "-e|mqtt://localhost|-m|x|-q|3", "-q/--qos: 3 is more than 2"},
		{"publisher", "", "-e|mqtt://localhost|-m|x|--inflight|0", "--inflight: 0 is less than 1"},
		{"publisher", "", "-e|mqtt://localhost|-m|x|--inflight|65536", "--inflight: 65536 is more than 65535"},
		{"publisher", "", "-e|mqtt://localhost|-m|x|--timeout|0", `--timeout: "0" is less than 1ms`},
		{"publisher", "", "-e|mqtt://localhost|-m|x|-k|65536", `-k/--keep-alive: "65536" is more than 65535`},
		{"publisher", "", "-e|mqtt://localhost|-m|x|-n|-1", "-n/--count: -1 is less than 0"},
		{"publisher", "", "-e|mqtt://localhost|-m|hello|world", `unexpected argument "world"; a value with spaces needs quotes`},
		{"publisher", "", "-e|mqtt://localhost|--trace|true|-m|x", `unexpected argument "true"; a value is attached: --trace=brief`},
		{"publisher", "", "-e|mqtt://localhost|--trace|why|-m|x", `unexpected argument "why"; a value is attached: --trace=why`},
		{"publisher", "", "-e|mqtt://localhost|--trace=why|why|-m|x", `unexpected argument "why"; a value with spaces needs quotes`},
		{"publisher", "", "-e|mqtt://localhost|--msg|hello", "no such option: --msg"},
		{"publisher", "", "-e|mqtt://localhost|--no", "no such option: --no"},
		{"publisher", "", "-e|mqtt://localhost|--ky|x", "no such option: --ky; did you mean --key?"},
		{"publisher", "", "-e|mqtt://localhost|--qso|1", "no such option: --qso; did you mean --qos?"},
		{"publisher", "MQTT_PUBLISHER_QOS=high", "-e|mqtt://localhost|-m|x", `MQTT_PUBLISHER_QOS: "high" is not a whole number`},
		{"publisher", "MQTT_PUBLISHER_INTERVAL=soon", "-e|mqtt://localhost|-m|x",
			`MQTT_PUBLISHER_INTERVAL: "soon" is not a time such as 2, 0.5, 250ms or 1m30s`},
		// The limits of AWS IoT Core, without a connection to it.
		{"publisher", "", "-e|x-ats.iot.eu-west-1.amazonaws.com|-m|x|-q2", "AWS IoT Core: QoS 2, want 0 or 1"},
		{"publisher", "", "-e|x-ats.iot.eu-west-1.amazonaws.com|-m|x|-t|" + deep,
			`AWS IoT Core: topic "` + deep + `" has 8 slashes, want at most 7`},
		{"publisher", "", "-e|x-ats.iot.eu-west-1.amazonaws.com|-m|x|-t|" + strings.Repeat("x", 257), ""},
		{"publisher", "", "-e|x-ats.iot.eu-west-1.amazonaws.com|-m|" + strings.Repeat("x", 131073),
			"AWS IoT Core: payload of 131073 bytes, want at most 131072"},
		{"subscriber", "", "-e|mqtt://localhost|-t|a|-t|a/#/b",
			`-t/--topic "a/#/b": topic filter has '#' where it is not the whole last level (byte 2) [MQTT-4.7.1-2]`},
		{"subscriber", "", "-e|mqtt://localhost|-t|a+",
			`-t/--topic "a+": topic filter has '+' where it is not a whole level (byte 1) [MQTT-4.7.1-3]`},
		{"subscriber", "", "-e|x-ats.iot.eu-west-1.amazonaws.com|-t|" + deep, ""},
		{"subscriber", "", "-e|mqtt://localhost|-W|0", `-W/--wait: "0" is less than 1ms`},
		{"subscriber", "", "-e|mqtt://localhost|--reconnect", "no such option: --reconnect"},
		{"subscriber", "", "-e|mqtt://localhost|-t", "-t needs a value: -t FILTER"},
		{"subscriber", "MQTT_SUBSCRIBER_NO_RECONNECT=never", "-e|mqtt://localhost",
			`MQTT_SUBSCRIBER_NO_RECONNECT: "never" is not one of 1, 0, true, false, yes, no, on, off`},
	} {
		program := map[string]func(*Process) ExitCode{"publisher": Publisher, "subscriber": Subscriber}[c.program]
		r := run(t, program, script(ignore), func(p *Process) {
			p.Args = nil
			if c.args != "" {
				p.Args = strings.Split(c.args, "|")
			}
			p.Getenv = func(name string) string {
				if set, value, _ := strings.Cut(c.env, "="); set == name {
					return value
				}
				return ""
			}
		})
		stderr := r.stderr.String()
		if c.args == "" && c.env == "" { // an example comes first
			introduction, line, _ := strings.Cut(stderr, "\n\n"+c.program+": ")
			if !strings.HasPrefix(introduction, c.program+" - ") || !strings.Contains(introduction, "\n\n  "+c.program+" -e ") {
				t.Errorf("%s without arguments: it said\n%s", c.program, stderr)
			}
			stderr = c.program + ": " + line
		}
		want := c.program + ": " + c.want + strings.ReplaceAll(hint, "%s", c.program)
		switch {
		case r.exit != ExitUsage, r.stdout.String() != "", strings.Index(stderr, "\n") != len(stderr)-1, len(stderr) > 500,
			c.want != "" && stderr != want, c.want == "" && !strings.HasPrefix(stderr, c.program+": "):
			t.Errorf("%s %.80q: exit code %d, stdout %q, stderr\n%s, want exit code 2 and\n%s", c.program, c.args, r.exit, r.stdout.String(), stderr, want)
		}
	}
}
