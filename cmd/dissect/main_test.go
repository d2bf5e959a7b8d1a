package main

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"iotwire/internal/cli"
)

// try runs dissect on this input.
func try(t *testing.T, input string, args ...string) (stdout string, code cli.ExitCode) {
	t.Helper()
	var out, errs bytes.Buffer
	code = run(&cli.Process{
		Args:   args,
		Getenv: func(name string) string { return map[string]string{"LANG": "en_GB.UTF-8"}[name] },
		Stdin:  strings.NewReader(input),
		Stdout: &out,
		Stderr: &errs,
	})
	return out.String() + errs.String(), code
}

// The same two packets in every way of writing bytes.
func TestReadsHexOfManyTools(t *testing.T) {
	const packets = "\x30\x17\x00\x0dtest/commandsHi | # a\xd0\x00"
	for name, input := range map[string]string{
		"raw":        packets,
		"bare":       "3017000d746573742f636f6d6d616e64734869207c20232061d000",
		"spaced":     "30 17 00 0d 74 65 73 74 2f 63 6f 6d 6d 61 6e 64 73 48 69 20 7c 20 23 20 61  # a comment\nd0:00\n",
		"xxd":        "00000000: 3017 000d 7465 7374 2f63 6f6d 6d61 6e64  0...test/command\n00000010: 7348 6920 7c20 2320 61d0 00              sHi | # a..\n",
		"hexdump -C": "00000000  30 17 00 0d 74 65 73 74  2f 63 6f 6d 6d 61 6e 64  |0...test/command|\n00000010  73 48 69 20 7c 20 23 20  61 d0 00                 |sHi | # a..|\n0000001b\n",
		"tshark -x":  "0000  30 17 00 0d 74 65 73 74 2f 63 6f 6d 6d 61 6e 64   0...test/command\n0010  73 48 69 20 7c 20 23 20 61 d0 00                  sHi | # a..\n",
		"Go":         "var b = []byte{\n\t0x30, 0x17, 0x0, 0x0d, 0x74, 0x65, 0x73, 0x74, 0x2f, 0x63, 0x6f, 0x6d, 0x6d, 0x61,\n\t0x6e, 0x64, 0x73, 0x48, 0x69, 0x20, 0x7c, 0x20, 0x23, 0x20, 0x61, 0xd0, 0x00,\n}\n",
		"C string":   `"\x30\x17\x00\x0d\x74\x65\x73\x74\x2f\x63\x6f\x6d\x6d\x61\x6e\x64\x73\x48\x69\x20\x7c\x20\x23\x20\x61\xd0\x00"`,
		"xxd -p":     "3017000d746573742f636f6d6d616e64\n734869207c20232061d000\n",
	} {
		out, code := try(t, input, "-f", "brief")
		if want := "·  PUBLISH        25 B  \"test/commands\", QoS 0, 8 bytes\n·  PINGRESP        2 B\n"; out != want || code != 0 {
			t.Errorf("%s: exit code %d, printed:\n%swant:\n%s", name, code, out, want)
		}
	}
}

// What -f hex prints can be dissected again, with who sent it.
func TestReadsItsOwnHex(t *testing.T) {
	const input = "> +0.000 10 0d 00 04 4d 51 54 54 04 02 00 0a 00 01 63  # 1 CONNECT\n< +0.031 20 02 00 00  # 2 CONNACK\n"
	if out, code := try(t, input, "-f", "hex"); out != input || code != 0 {
		t.Errorf("exit code %d, printed:\n%swant:\n%s", code, out, input)
	}
}

// A trace of several connections, which take turns, is a conversation each: in the order in which their packets came. A trace for people is no input.
func TestReadsTracesOfSeveralConnections(t *testing.T) {
	const c, d = "> +0.000 10 0d 00 04 4d 51 54 54 04 02 00 0a 00 01 63  # 1 CONNECT\n", "< +0.031 20 02 00 00  # 2 CONNACK\n"
	out, code := try(t, "# connection 1 from 127.0.0.1:1\n"+c+"# connection 2\n"+c+"# connection 1\n"+d+"# connection 2\n"+d, "-f", "hex", "--strict")
	if want := "# connection 1\n" + c + "# connection 2\n" + c + "# connection 1\n" + d + "# connection 2\n" + d; out != want || code != 0 {
		t.Errorf("exit code %d, printed:\n%swant:\n%s", code, out, want)
	}
	for _, style := range []string{"full", "brief", "why"} {
		for _, locale := range []string{"en_GB.UTF-8", "C"} {
			var trace, said bytes.Buffer
			env := func(name string) string { return map[string]string{"LANG": locale}[name] }
			run(&cli.Process{Args: []string{"-f", style}, Getenv: env, Stdin: strings.NewReader(c + d), Stdout: &trace, Stderr: &trace})
			code := run(&cli.Process{Getenv: env, Stdin: &trace, Stdout: &said, Stderr: &said})
			if code != 1 || !strings.Contains(said.String(), "--trace=hex") {
				t.Errorf("style %s, %s: exit code %d, it said %q", style, locale, code, said.String())
			}
		}
	}
}

func TestExitCodes(t *testing.T) {
	for _, test := range []struct {
		input string
		args  []string
		code  cli.ExitCode
		says  string
	}{
		{"c000", nil, 0, "12 PINGREQ"},
		{"c100", nil, 0, "[MQTT-2.2.2-1]"},
		{"c100", []string{"--strict"}, 9, "[MQTT-2.2.2-1]"},
		{"c000", []string{"--strict"}, 0, "PINGREQ"},
		{"c0", nil, 10, "0001 CUT SHORT"},
		{"c0 00 30 05 00", []string{"-f", "brief"}, 10, "CUT SHORT, at least 4 bytes more"},
		{"", []string{"-x", "xyz"}, 1, "not hex"},
		{"", []string{"-x", "c000", "--width", "10"}, 2, "--width"},
		{"", []string{"-f", "pdf", "-x", "c000"}, 2, "none of full"},
		{"c100", []string{"-f", "page", "--strict"}, 9, "</html>"},
		{cn("secret"), []string{"-f", "page"}, 0, "<td>hidden</td>"},
		{"", []string{"/no/such/file"}, 1, "no such file"},
		{"c000", []string{"--from", "server"}, 0, "PINGREQ comes from the server"},
		{"", []string{"--spec", "3.3.1-4"}, 0, "MQTT-3.3.1-4  both client and server · §3.3.1\n  Both QoS bits set"},
		{"", []string{"--spec", "3.14"}, 0, "MQTT-3.14.4-3"},
		{"", []string{"--spec", "3.3.1-4"}, 0, "\n  in            QoS of PUBLISH\n  the client    mqtt/packet/publish.go: "},
		{"", []string{"--spec", "3.3.1-4"}, 0, "\n  dissect flags mqtt/dissect/badpackets_test.go: TestFlagsBadPackets\n  tested by     internal/testbroker/receive_test.go: TestMQTT_3_3_1_4\n                mqtt/packet/"},
		{"", []string{"--spec", "3.1.2-24"}, 0, "\n  testbroker    internal/testbroker/connection.go: connection.expire\n"},
		{"", []string{"--spec", "6.0.0-1"}, 0, "\n  not here      the client and testbroker speak no WebSocket; internal/peers/websocket_test.go is"},
		{"", []string{"--spec", "4.9"}, 2, "no such statement"},
		{"", []string{"--spec", "§3.3.1-4"}, 0, "MQTT-3.3.1-4  both"},
		{"", []string{"--spec", "[MQTT-3.3.1-4]"}, 0, "MQTT-3.3.1-4  both"},
		{"", []string{"--spec", "[3.3.1-4]"}, 0, "MQTT-3.3.1-4  both"},
		{"", []string{"--spec", "§3.3.1.2"}, 0, "Section 3.3.1.2 has no numbered statement. The nearest above it is in section 3.3.1:\n\nMQTT-3.3.1-1  "},
		{"", []string{"--spec", "2.2.3"}, 0, "Section 2.2.3 has no numbered statement. The nearest above it is in section 2.2:\n\nMQTT-2.2.2-1  "},
		{"", []string{"--spec", "3.13.1"}, 0, "Section 3.13.1 has no numbered statement. The nearest above it is in section 3.12.4:\n\nMQTT-3.12.4-1  "},
		{"", []string{"--spec", "[]"}, 2, "no such statement"},
		{"c000", []string{"--blank", "-f", "json"}, 2, "--blank"},
		{"c000", []string{"--blank", "-f", "page"}, 2, "--blank"},
		{"c000", []string{"--blank", "-f", "brief"}, 2, "--blank"},
		{"c000", []string{"--blank", "-f", "hex"}, 2, "--blank"},
		{"c000", []string{"--blank"}, 0, "____ ....   Packet type            ____________________             "},
		{"HTTP/1.1 400", nil, 0, "HTTP"},
		{"\x16\x03\x01\x02\x00\x01", nil, 0, "TLS"},
		{cn("secret"), nil, 0, "** ** ..        Password               hidden "},
		{cn("secret"), []string{"--show-secrets"}, 0, `"secret"`},
		{cn("secret"), []string{"-f", "json"}, 0, `"name":"Password","value":null`},
	} {
		out, code := try(t, test.input, test.args...)
		if code != test.code || !strings.Contains(out, test.says) {
			t.Errorf("%q %q: exit code %d, want %d and %q in:\n%s", test.input, test.args, code, test.code, test.says, out)
		}
		if strings.Contains(strings.Join(test.args, ""), "secret") != strings.Contains(out, `"secret"`) && strings.Contains(test.input, "secret") {
			t.Errorf("%q: the password is where it should not be:\n%s", test.args, out)
		}
	}
}

// A terminal that cannot show colors gets none, unless they are asked for.
func TestColorOnTerminals(t *testing.T) {
	for _, test := range []struct {
		term, noColor, color string
		want                 bool
	}{
		{"xterm", "", "auto", true}, {"dumb", "", "auto", false}, {"xterm", "1", "auto", false},
		{"dumb", "", "always", true}, {"xterm", "", "never", false},
	} {
		var out bytes.Buffer
		env := map[string]string{"TERM": test.term, "NO_COLOR": test.noColor}
		run(&cli.Process{Args: []string{"-x", "c100", "--color", test.color}, Terminal: true, Stdout: &out, Stderr: &out,
			Getenv: func(name string) string { return env[name] }})
		if got := strings.Contains(out.String(), "\x1b["); got != test.want {
			t.Errorf("%+v: colored %v, printed:\n%s", test, got, out.String())
		}
	}
}

// cn is a CONNECT with this password, as raw bytes.
func cn(password string) string {
	return "\x10" + string(rune(18+len(password))) + "\x00\x04MQTT\x04\xc2\x00\x0a\x00\x01c\x00\x01u\x00" + string(rune(len(password))) + password
}

// The sheet has every byte, and tells nothing of what they mean: no type, no size, no section that only one type has.
func TestWorksheetHidesTheAnswersUntilTheSecondPage(t *testing.T) {
	for input, hidden := range map[string][]string{
		"32 05 00 01 61 00 00":                   {`"a"`, "BROKEN", "PUBLISH", "7 bytes", "§3.3\n"},
		"40 02 00 07":                            {"PUBACK", "4 bytes", "§3.4"},
		"> c000":                                 {"PINGREQ", "not acknowledged", "§3.12"},
		"90 03 00 01 80":                         {"SUBACK", "refused", "§3.9.2"},
		"30 0b 00 05 61 62 63 64 65 66 67 68 69": {"PUBLISH", "abcde", "fghi"},
		"10 0c 00 04 4d 51 54 54 04 02 00 3c 00 00": {"CONNECT", `"MQTT"`, "60 s", "empty"},
		"16 03 01 00 05 01 02 03":                   {"TLS", "BROKEN"},
	} {
		out, _ := try(t, "", "-x", input, "--blank")
		sheet, answers, _ := strings.Cut(out, "\f\n# answers\n")
		for _, text := range hidden {
			if strings.Contains(sheet, text) || !strings.Contains(answers, text) {
				t.Errorf("%s: the sheet says %q, or the answers do not:\n%s", input, text, out)
			}
		}
		bytes := ""
		for line := range strings.Lines(sheet) {
			if line = strings.TrimSuffix(line, "\n") + strings.Repeat(" ", 25); line[0] == '0' { // the offset, and up to five bytes
				column := line[5:20]
				if strings.ContainsAny(column, "._") {
					column = column[:2] // with blanks for its bits
				}
				bytes += strings.ReplaceAll(column, " ", "")
			}
		}
		if want := strings.TrimLeft(strings.ReplaceAll(input, " ", ""), "> "); bytes != want {
			t.Errorf("%s: the sheet has the bytes %s:\n%s", input, bytes, sheet)
		}
	}
	out, _ := try(t, strings.Repeat("c000\n", 101), "--blank")
	if n := strings.Count(out, "12 PINGREQ  "); n != 100 || !strings.Contains(out, "# 1 more packets are left out") {
		t.Errorf("%d answers of 101, or it does not say that one is left out", n)
	}
}

// One packet a line is one object a line, with the keys that programs rely on.
func TestJSON(t *testing.T) {
	out, code := try(t, "c000\n3306 0001 61 0007 ff\n20020105\n3004", "-f", "json")
	lines := strings.Split(strings.TrimSuffix(out, "\n"), "\n")
	if len(lines) != 4 || code != 10 {
		t.Fatalf("exit code %d, printed:\n%s", code, out)
	}
	type object struct {
		N      int
		Dir    string
		T      float64
		Type   string
		Hex    string
		Fields []struct {
			Off, Len, Mask      int
			Part, Name, Section string
			Value               any
			Rules               []string
		}
		Findings []struct {
			Off               int
			Level, Rule, Text string
		}
		Cut *struct{ Off, Len, Missing int } `json:"cut_short"`
	}
	var objects []object
	for _, line := range lines {
		var o object
		if err := json.Unmarshal([]byte(line), &o); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		objects = append(objects, o)
	}
	o := objects[1]
	if o.N != 2 || o.Type != "PUBLISH" || o.Hex != "3306000161 0007ff"[:10]+"0007ff" || len(o.Fields) != 9 || o.Findings == nil || len(o.Findings) != 0 {
		t.Errorf("%+v", o)
	}
	if f := o.Fields[2]; f.Name != "QoS" || f.Mask != 6 || f.Value != 1.0 || f.Part != "fixed" || f.Section != "3.3.1.2" || !slices.Equal(f.Rules, []string{"MQTT-3.3.1-4"}) {
		t.Errorf("%+v", f)
	}
	if f := o.Fields[8]; f.Value != "0xff" || f.Off != 7 || f.Part != "payload" {
		t.Errorf("%+v", f)
	}
	if f := objects[2].Findings; len(f) != 1 || f[0].Rule != "MQTT-3.2.2-4" || f[0].Off != 2 || f[0].Level != "broken" {
		t.Errorf("%+v", f)
	}
	if c := objects[3].Cut; c == nil || c.Missing != 4 || c.Len != 2 {
		t.Errorf("%s", lines[3])
	}
}

// ipv4 is a frame with an IPv4 and a TCP header.
func ipv4(fromPort, toPort uint16, sequence uint32, flags byte, data string) []byte {
	b := make([]byte, 40, 40+len(data))
	b[0], b[8], b[9] = 0x45, 64, 6
	binary.BigEndian.PutUint16(b[2:], uint16(40+len(data)))
	copy(b[12:], []byte{127, 0, 0, 1, 127, 0, 0, 1})
	binary.BigEndian.PutUint16(b[20:], fromPort)
	binary.BigEndian.PutUint16(b[22:], toPort)
	binary.BigEndian.PutUint32(b[24:], sequence)
	b[32], b[33] = 0x50, flags
	return append(b, data...)
}

// A capture is put together by sequence numbers: what came twice is read once, what came early waits.
func TestReadsCaptures(t *testing.T) {
	const connect = "\x10\x0d\x00\x04MQTT\x04\x02\x00\x0a\x00\x01c"
	frames := [][]byte{
		ipv4(5000, 1883, 99, 0x02, ""),
		ipv4(1883, 5000, 499, 0x12, ""),
		ipv4(5000, 1883, 105, 0x18, connect[5:]),
		ipv4(5000, 1883, 100, 0x18, connect[:5]),
		ipv4(5000, 1883, 100, 0x18, connect),
		ipv4(1883, 5000, 500, 0x18, "\x20\x02\x00\x00"),
		ipv4(5000, 1883, 115, 0x18, "\xe0\x00"),
		ipv4(7777, 80, 1, 0x18, "GET / HTTP/1.1"),
	}
	want := `# 127.0.0.1:5000 to 127.0.0.1:1883
→    +0.000  CONNECT        15 B  client id "c", keep alive 10 s, clean session 1
←    +0.020  CONNACK         4 B  accepted, session present 0`
	for name, capture := range map[string][]byte{"pcap": pcapOf(101, frames...), "pcapng": pcapngOf(frames...)} {
		file := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(file, capture, 0o600); err != nil {
			t.Fatal(err)
		}
		out, code := try(t, "", "-f", "brief", "--strict", file)
		if !strings.HasPrefix(out, want) || code != 0 || strings.Count(out, "\n") != 4 {
			t.Errorf("%s: exit code %d, printed:\n%swant first:\n%s", name, code, out, want)
		}
	}
}

// Nothing that is read makes it panic.
func FuzzInput(f *testing.F) {
	f.Add([]byte("> +0.5 c000\n< d000"), "auto")
	f.Add([]byte("\x0a\x0d\x0d\x0a\x0c\x00\x00\x00\x0c\x00\x00\x00"), "pcap")
	f.Add([]byte("\xd4\xc3\xb2\xa1\x02\x00\x04\x00\x00\x00\x00\x00\x00\x00\x00\x00\xff\xff\x00\x00\x65\x00\x00\x00"), "pcap")
	f.Add([]byte("0000  c0 00   .."), "hex")
	f.Add([]byte("{0xc0, 0x00, 'a'} /* c000 */\n\"\\x30\\x00\""), "auto")
	f.Add([]byte("0000000 c0 00\n0000002\n12:00:00.0 IP\n\t0x0000:  4500\n"), "hex")
	f.Add(pcapOf(101, ipv4(5000, 1883, 99, 2, ""), ipv4(5000, 1883, 105, 0x18, connectC), ipv4(1883, 5000, 9, 0x11, "\x20\x02")), "auto")
	f.Add(pcapngOf(ipv4(5000, 8883, 99, 0x18, "\x16\x03\x01"), ipv4(5000, 1883, 1, 0x18, connectC[:4])), "pcap")
	if frames, err := os.ReadFile("testdata/tshark-x.txt"); err == nil {
		f.Add(frames, "auto")
	}
	f.Fuzz(func(t *testing.T, b []byte, kind string) {
		var out bytes.Buffer
		run(&cli.Process{Args: []string{"-I", kind}, Getenv: func(string) string { return "" }, Stdin: bytes.NewReader(b), Stdout: &out, Stderr: &out})
	})
}
