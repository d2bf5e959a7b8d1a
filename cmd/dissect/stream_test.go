package main

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"fmt"
	"io"
	"math/rand"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"iotwire/internal/cli"
)

// screen is an output on which a test waits for a text.
type screen struct{ lines chan string }

func (s screen) Write(b []byte) (int, error) {
	s.lines <- string(b)
	return len(b), nil
}

// pcapngOf is a capture of frames of raw IP, one every 10 ms.
func pcapngOf(frames ...[]byte) []byte {
	order := binary.LittleEndian
	block := func(kind uint32, body []byte) []byte {
		for len(body)%4 != 0 {
			body = append(body, 0)
		}
		b := order.AppendUint32(nil, kind)
		b = append(order.AppendUint32(b, uint32(12+len(body))), body...)
		return order.AppendUint32(b, uint32(12+len(body)))
	}
	b := append(block(0x0a0d0d0a, []byte("\x4d\x3c\x2b\x1a\x01\x00\x00\x00\xff\xff\xff\xff\xff\xff\xff\xff")), block(1, []byte("\x65\x00\x00\x00\x00\x00\x00\x00"))...)
	for i, f := range frames {
		var h []byte
		for _, v := range []uint32{0, 0, uint32(i) * 10000, uint32(len(f)), uint32(len(f))} {
			h = order.AppendUint32(h, v)
		}
		b = append(b, block(6, append(h, f...))...)
	}
	return b
}

const connectC = "\x10\x0d\x00\x04MQTT\x04\x02\x00\x0a\x00\x01c"

// A packet is printed when its last byte is there, and not when the input ends.
func TestPrintsEachPacketBeforeTheInputEnds(t *testing.T) {
	captured := [][]byte{ipv4(5000, 1883, 99, 0x02, ""), ipv4(5000, 1883, 100, 0x18, connectC), ipv4(5000, 1883, 115, 0x18, "\xc0\x00")}
	pcap, pcapng := pcapOf(101, captured...), pcapngOf(captured...)
	ends := func(whole, last []byte) [2]string { // what is the first packet's, and the rest
		return [2]string{string(whole[:len(whole)-len(last)]), string(last)}
	}
	for name, steps := range map[string][2]string{
		"bare hex":        {"100d00044d5154540402000a000163\n", "c000\n"},
		"bare hex, CRLF":  {"100d00044d5154540402000a000163\r\n", "c000\r\n"},
		"half a line":     {"100d00044d5154540402000a000163\nc0", "00\n"},
		"trace":           {"> +0.000 10 0d 00 04 4d 51 54 54 04 02 00 0a 00 01 63  # 1 CONNECT\n", "> +1.000 c0 00\n"},
		"xxd":             {"00000000: 100d 0004 4d51 5454 0402 000a 0001 63c0  ....MQTT......c.\n", "00000010: 00                                       .\n"},
		"hexdump -C":      {"00000000  10 0d 00 04 4d 51 54 54  04 02 00 0a 00 01 63 c0  |....MQTT......c.|\n", "00000010  00                                                |.|\n"},
		"od -t x1":        {"0000000 10 0d 00 04 4d 51 54 54 04 02 00 0a 00 01 63 c0\n", "0000020 00\n0000021\n"},
		"an array":        {"var b = []byte{\n0x10, 0x0d, 0, 4, 'M', 'Q', 'T', 'T', 4, 2, 0, 10, 0, 1, 'c',\n", "0xc0, 0}\n"},
		"raw":             {connectC, "\xc0\x00"},
		"raw, within one": {connectC + "\xc0", "\x00"},
		"pcap":            ends(pcap, pcap[len(pcap)-58:]),
		"pcapng":          ends(pcapng, pcapng[len(pcapng)-76:]),
	} {
		input, write := io.Pipe()
		out := screen{make(chan string, 100)}
		done := make(chan cli.ExitCode)
		go func() {
			done <- run(&cli.Process{Args: []string{"-f", "brief"}, Getenv: func(string) string { return "" }, Stdin: input, Stdout: out, Stderr: out})
		}()
		see := func(want, not string) {
			t.Helper()
			for seen := ""; ; {
				select {
				case text := <-out.lines:
					if seen += text; strings.Contains(seen, not) {
						t.Fatalf("%s: printed %q before its bytes were there", name, seen)
					}
					if strings.Contains(seen, want) {
						return
					}
				case <-time.After(20 * time.Second):
					t.Fatalf("%s: the packet is there, but what is printed is %q", name, seen)
				}
			}
		}
		go io.WriteString(write, steps[0])
		see("CONNECT  ", "PINGREQ  ")
		go io.WriteString(write, steps[1])
		see("PINGREQ  ", "CONNECT  ")
		write.Close()
		for waiting := true; waiting; {
			select {
			case <-out.lines:
			case code := <-done:
				if waiting = false; code != 0 {
					t.Errorf("%s: exit code %d", name, code)
				}
			}
		}
	}
}

// endless repeats bytes up to a size, and notes how much memory is in use on the way.
type endless struct {
	next func(b []byte)
	left int
	most *uint64
	n    int
}

func (e *endless) Read(b []byte) (int, error) {
	if e.n%4 == 0 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		*e.most = max(*e.most, m.HeapAlloc)
	}
	e.n++
	if e.left <= 0 {
		return 0, io.EOF
	}
	n := min(len(b), e.left)
	e.next(b[:n])
	e.left -= n
	return n, nil
}

// repeat fills buffers with a text again and again.
func repeat(text string) func([]byte) {
	at := 0
	return func(b []byte) {
		for i := range b {
			b[i] = text[at%len(text)]
			at++
		}
	}
}

// The memory that it takes does not grow with the input, whatever that is and in whatever form it is printed.
func TestMemoryDoesNotGrowWithTheInput(t *testing.T) {
	random := rand.New(rand.NewSource(1))
	frames := string(pcapOf(101, ipv4(5000, 1883, 99, 0x02, ""), ipv4(5000, 1883, 100, 0x18, connectC), ipv4(5000, 1883, 115, 0x18, "\xc0\x00")))
	begun := func(begin string, next func([]byte)) func([]byte) {
		return func(b []byte) {
			n := copy(b, begin)
			begin = begin[n:]
			next(b[n:])
		}
	}
	for _, test := range []struct {
		name    string
		formats string
		size    int
		next    func() func([]byte)
	}{
		{"zeros", "full brief why json hex page", 30_000, func() func([]byte) { return repeat("\x00") }},
		{"PUBLISH", "full brief why json hex page", 60_000, func() func([]byte) { return repeat("\x30\x0c\x00\x05topichello") }},
		{"random bytes", "full brief why json page", 1_500_000, func() func([]byte) { return begun("\x30\xff\xff\xff\xff", func(b []byte) { random.Read(b) }) }},
		{"HTTP", "full json", 1_000_000, func() func([]byte) { return repeat("HTTP/1.1 400 Bad Request\r\n") }},
		{"a length that is only claimed", "brief", 2_000_000, func() func([]byte) { return begun("\x30\xff\xff\xff\x7f", repeat("\x00")) }},
		{"lines of hex", "brief", 200_000, func() func([]byte) { return repeat("c000\n") }},
		{"one line of hex", "brief", 400_000, func() func([]byte) { return repeat("c000") }},
		{"a trace", "brief", 300_000, func() func([]byte) { return repeat("> +0.000 c0 00\n< +0.000 00 00\n") }},
		{"xxd", "brief", 500_000, func() func([]byte) {
			text, dumped := "", 0
			return func(b []byte) {
				for len(text) < len(b) {
					text += fmt.Sprintf("%08x: c000 c000 c000 c000 c000 c000 c000 c000  ................\n", dumped)
					dumped += 16
				}
				text = text[copy(b, text):]
			}
		}},
		{"a capture of connections", "brief", 500_000, func() func([]byte) { return begun(frames[:24], repeat(frames[24:])) }},
		{"a worksheet", "full --blank", 40_000, func() func([]byte) { return repeat("\x00") }},
	} {
		for format := range strings.FieldsSeq(test.formats) {
			args := []string{"-f", format}
			if format == "--blank" {
				args = args[2:]
				args = append(args, format)
			}
			runtime.GC()
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			before, most := m.HeapAlloc, uint64(0)
			run(&cli.Process{Args: args, Getenv: func(string) string { return "" }, Stdout: io.Discard, Stderr: io.Discard,
				Stdin: &endless{next: test.next(), left: test.size, most: &most}})
			limit := uint64(1 << 20)
			if strings.HasPrefix(test.name, "a length") {
				limit += uint64(test.size) * 3
			}
			if most > before && most-before > limit {
				t.Errorf("%s as %s: %d KB are in use, want %d at most", test.name, format, (most-before)>>10, limit>>10)
			}
		}
	}
}

// A line that is longer than what is read in one go is read as any other.
func TestReadsLongLines(t *testing.T) {
	for _, size := range []int{30_000, 100_000, 3_000_000} {
		payload := make([]byte, size)
		rand.New(rand.NewSource(1)).Read(payload)
		length := len(payload) + 3
		packet := append([]byte{0x30, byte(length) | 0x80, byte(length>>7) | 0x80, byte(length >> 14)}, "\x00\x01t"...)
		if length >= 1<<21 {
			packet = append([]byte{0x30, byte(length) | 0x80, byte(length>>7) | 0x80, byte(length>>14) | 0x80, byte(length >> 21)}, "\x00\x01t"...)
		}
		packet = append(packet, payload...)
		spaced := fmt.Sprintf("% x  # 1 PUBLISH\n", packet)
		for name, line := range map[string]string{
			"spaced": spaced, "bare": fmt.Sprintf("%x", packet), "upper case": fmt.Sprintf("%X\r\n", packet), "a trace": "< +1.000 " + spaced,
			"an array": "{" + strings.ReplaceAll(fmt.Sprintf("%# x", packet), " ", ", ") + "};\n",
		} {
			out, code := try(t, line, "-f", "hex")
			if want := strings.TrimPrefix(line, "< +1.000 "); name == "a trace" && out != "< +1.000 "+spaced || name != "a trace" && out != spaced || code != 0 {
				t.Errorf("%s, %d bytes: exit code %d, printed %d bytes, want %d", name, size, code, len(out), len(want))
			}
		}
	}
}

// What comes of a connection that is encrypted is a line, in which there is what to do.
func TestSaysThatAConnectionIsEncrypted(t *testing.T) {
	hello := "\x16\x03\x01\x00\x05hello"
	for name, test := range map[string]struct {
		port   uint16
		frames [][]byte
		code   cli.ExitCode
		says   string
	}{
		"from its beginning": {8883, [][]byte{ipv4(5000, 8883, 99, 2, ""), ipv4(5000, 8883, 100, 0x18, hello[:2]), ipv4(5000, 8883, 102, 0x18, hello[2:]), ipv4(8883, 5000, 7, 0x18, hello)},
			1, "# 127.0.0.1:5000 to 127.0.0.1:8883: encrypted (TLS), 10 bytes and 10 bytes back: --pcap"},
		"on the port of MQTT":   {1883, [][]byte{ipv4(1883, 5000, 7, 0x18, hello)}, 1, "# 127.0.0.1:5000 to 127.0.0.1:1883: encrypted (TLS), 0 bytes and 10 bytes back"},
		"halfway in a record":   {8883, [][]byte{ipv4(5000, 8883, 99, 0x18, "\x99\x88\x77\x66")}, 1, "encrypted (TLS), 4 bytes and 0 bytes back"},
		"in the clear, halfway": {8883, [][]byte{ipv4(5000, 8883, 99, 0x18, "\xc0\x00")}, 0, "PINGREQ"},
		"on another port":       {443, [][]byte{ipv4(5000, 443, 99, 2, ""), ipv4(5000, 443, 100, 0x18, hello)}, 1, "but 1 connection with TLS: is --port right?"},
	} {
		out, code := try(t, string(pcapOf(101, test.frames...)), "-f", "brief", "--strict")
		if code != test.code || !strings.Contains(out, test.says) || strings.Contains(out, "BROKEN") {
			t.Errorf("%s: exit code %d, printed:\n%s", name, code, out)
		}
	}
	frames := [][]byte{ipv4(5000, 8883, 100, 0x18, hello), ipv4(5001, 1883, 100, 0x18, connectC)}
	if out, code := try(t, string(pcapOf(101, frames...)), "-f", "json"); code != 0 || !strings.HasPrefix(out, `{"connection":"127.0.0.1:5001 to 127.0.0.1:1883","n":1,`) ||
		!strings.HasSuffix(out, "for Wireshark\n") || !strings.Contains(out, "\ndissect: 127.0.0.1:5000 to 127.0.0.1:8883: encrypted") {
		t.Errorf("beside another one, as JSON: exit code %d, printed:\n%s", code, out)
	}
}

// Bytes that a capture lacks are said to be missing; what comes behind them is read as soon as a packet begins, and nobody
// is blamed for what was not seen.
func TestGoesOnBehindBytesThatACaptureLacks(t *testing.T) {
	const publish = "\x32\x08\x00\x01t\x00\x01abc"
	begin := [][]byte{ipv4(5000, 1883, 99, 2, ""), ipv4(5000, 1883, 100, 0x18, connectC), ipv4(1883, 5000, 500, 0x18, "\x20\x02\x00\x00")}
	cut := ipv4(5000, 1883, 115, 0x18, publish)
	cut = cut[:len(cut)-6]
	for name, test := range map[string]struct {
		frames [][]byte
		want   string
	}{
		"a segment": {[][]byte{ipv4(5000, 1883, 121, 0x18, publish[6:]), ipv4(1883, 5000, 504, 0x18, "\x40\x02\x00\x01"), ipv4(5000, 1883, 125, 0x18, "\xc0\x00")},
			"CONNECT CONNACK PUBACK lacks PINGREQ"},
		"the rest of a frame": {[][]byte{cut, ipv4(1883, 5000, 504, 0x18, "\x40\x02\x00\x01"), ipv4(5000, 1883, 125, 0x18, "\xc0\x00")},
			"CONNECT CONNACK lacks PUBLISH PUBACK PINGREQ"},
		"a beginning":          {[][]byte{ipv4(5001, 1883, 5, 0x18, "nonsense"), ipv4(5001, 1883, 13, 0x18, "\xc0\x00")}, "PINGREQ"},
		"nothing, come twice":  {[][]byte{ipv4(5000, 1883, 99, 2, ""), ipv4(5000, 1883, 100, 0x18, connectC), ipv4(5000, 1883, 115, 0x18, "\xc0\x00")}, "CONNECT CONNACK PINGREQ"},
		"nothing, ended twice": {[][]byte{ipv4(5000, 1883, 115, 0x11, "\xe0\x00"), ipv4(1883, 5000, 504, 0x11, ""), ipv4(5000, 1883, 115, 0x11, "\xe0\x00")}, "CONNECT CONNACK DISCONNECT"},
		"the same ports again": {[][]byte{ipv4(5000, 1883, 115, 0x14, ""), ipv4(5000, 1883, 9099, 2, ""), ipv4(5000, 1883, 9100, 0x18, connectC)}, "CONNECT CONNACK CONNECT"},
	} {
		frames := append(begin[:3:3], test.frames...)
		if name == "a beginning" {
			frames = test.frames
		}
		for _, end := range []string{"", "a piece of a frame"} {
			out, _ := try(t, string(pcapOf(101, frames...))+end, "-f", "brief")
			var got []string
			for line := range strings.Lines(out) {
				for _, word := range []string{" CONNECT  ", "CONNACK  ", "PUBLISH  ", "PUBACK  ", "PINGREQ  ", "DISCONNECT  ", " lacks ", "BROKEN"} {
					if strings.Contains(line, word) {
						got = append(got, strings.TrimSpace(word))
						break
					}
				}
			}
			if want := test.want; strings.Join(got, " ") != want {
				t.Errorf("%s: %s, want %s; printed:\n%s", name, got, want, out)
			}
		}
	}
}

// tshark -x prints frames with the headers of Ethernet, IP and TCP: these are taken off, and what is no TCP is left out.
func TestReadsFramesInText(t *testing.T) {
	const want = "# 127.0.0.1:5000 to 127.0.0.1:1883\n→  CONNECT        15 B  client id \"c\", keep alive 10 s, clean session 1\n" +
		"←  CONNACK         4 B  accepted, session present 0, answers 1\n→  PUBLISH        48 B  \"test/commands\", QoS 1, id 1, 29 bytes\n" +
		"←  PUBACK          4 B  id 1, answers 3\n→  DISCONNECT      2 B  clean end: the server drops the Will\n"
	for _, file := range []string{"tshark-x.txt", "tshark-Px.txt"} {
		if out, code := try(t, "", "-f", "brief", "--strict", filepath.Join("testdata", file)); out != want || code != 0 {
			t.Errorf("%s: exit code %d, printed:\n%swant:\n%s", file, code, out, want)
		}
	}
	// What tshark put together itself is not read again.
	again, err := os.ReadFile("testdata/tshark-x.txt")
	if err != nil {
		t.Fatal(err)
	}
	text := strings.Replace(string(again), "\n\n", "\n\nReassembled TCP (4 bytes):\n0000  40 02 00 09                                       @...\n\n", 1)
	if out, _ := try(t, text, "-f", "brief"); out != want {
		t.Errorf("with a dump of what was put together, printed:\n%s", out)
	}
	frame := ipv4(5000, 1883, 100, 0x18, connectC)
	for name, header := range map[string]string{
		"raw IP":          "",
		"loopback":        "\x02\x00\x00\x00",
		"loopback, big":   "\x00\x00\x00\x02",
		"Ethernet":        "\x00\x01\x02\x03\x04\x05\x00\x01\x02\x03\x04\x05\x08\x00",
		"VLAN":            "\x00\x01\x02\x03\x04\x05\x00\x01\x02\x03\x04\x05\x81\x00\x00\x07\x08\x00",
		"Linux cooked":    "\x00\x00\x03\x04\x00\x06\x00\x00\x00\x00\x00\x00\x00\x00\x08\x00",
		"Linux cooked, 2": "\x08\x00\x00\x00\x00\x00\x00\x01\x03\x04\x00\x06\x00\x00\x00\x00\x00\x00\x00\x00",
	} {
		b := append([]byte(header), frame...)
		b[len(header)+8] = 64 // time to live
		tcpdump := "12:00:00.000000 IP 127.0.0.1.5000 > 127.0.0.1.1883: Flags [P.], length 15\n"
		for at := 0; at < len(b); at += 16 {
			tcpdump += fmt.Sprintf("\t0x%04x:  % x  ................\n", at, b[at:min(at+16, len(b))])
		}
		for kind, text := range map[string]string{"bare hex": fmt.Sprintf("%x\n", b), "a dump": tcpdump} {
			if out, code := try(t, text, "-f", "brief", "--strict"); code != 0 || !strings.HasPrefix(out, "# 127.0.0.1:5000 to 127.0.0.1:1883\n→  CONNECT        15 B") {
				t.Errorf("%s as %s: exit code %d, printed:\n%s", name, kind, code, out)
			}
		}
	}
}

// What is packed with gzip is unpacked, once; what is packed otherwise is named.
func TestReadsGzip(t *testing.T) {
	pack := func(b []byte) []byte {
		var out bytes.Buffer
		z := gzip.NewWriter(&out)
		z.Write(b)
		z.Close()
		return out.Bytes()
	}
	const want = "·  PINGREQ         2 B\n"
	capture := pcapOf(101, ipv4(5000, 1883, 100, 0x18, connectC))
	for name, test := range map[string]struct {
		input string
		code  cli.ExitCode
		says  string
	}{
		"hex":          {string(pack([]byte("c000\n"))), 0, want},
		"raw":          {string(pack([]byte("\xc0\x00"))), 0, want},
		"a capture":    {string(pack(capture)), 0, "CONNECT        15 B"},
		"cut":          {string(pack([]byte("c000\n"))[:12]), 1, "the gzip in stdin is damaged"},
		"twice":        {string(pack(pack([]byte("c000\n")))), 1, "packed with gzip twice"},
		"no gzip":      {"\x1f\x8b\x08\xff\xff", 1, "begins as gzip"},
		"zstd":         {"\x28\xb5\x2f\xfd\x00", 1, "packed with zstd: unpack it first"},
		"UTF-16":       {"\xff\xfec\x000\x00", 1, "UTF-16"},
		"UTF-8 mark":   {"\xef\xbb\xbfc000\n", 0, want},
		"od in words":  {"0000000 1030 0d00\n0000004\n", 1, "use hexdump -C"},
		"left out":     {"00000000  c0 00 c0 00 c0 00 c0 00  c0 00 c0 00 c0 00 c0 00  |................|\n*\n", 1, "use hexdump -v"},
		"lines lost":   {"00000000: c000\n00000010: c000\n", 1, "begins at byte 16 of a dump where 2 should stand"},
		"spaced twice": {"c000  c000\n", 0, want + want},
	} {
		if out, code := try(t, test.input, "-f", "brief"); code != test.code || !strings.Contains(out, test.says) {
			t.Errorf("%s: exit code %d, want %d and %q in:\n%s", name, code, test.code, test.says, out)
		}
	}
	if out, code := try(t, "", t.TempDir()); code != 1 || !strings.Contains(out, "is a directory") {
		t.Errorf("a directory: exit code %d, printed %q", code, out)
	}
}

type closedPipe struct{ code error }

func (c closedPipe) Write([]byte) (int, error) { return 0, c.code }

// Who reads the output may have seen enough: that is no failure. A full disk is one.
func TestStopsWhenNobodyReads(t *testing.T) {
	for _, test := range []struct {
		err  error
		code cli.ExitCode
	}{{&os.PathError{Op: "write", Path: "|1", Err: syscall.EPIPE}, 0}, {&os.PathError{Op: "write", Path: "x", Err: syscall.ENOSPC}, 1}} {
		for name, text := range map[string]string{"raw": "\x00", "hex": "c000\n", "one line": "c000", "trace": "> c000\n"} {
			var errs bytes.Buffer
			e := &endless{next: repeat(text), left: 1 << 30, most: new(uint64)}
			code := run(&cli.Process{Getenv: func(string) string { return "" }, Stdin: e, Stdout: closedPipe{test.err}, Stderr: &errs})
			if code != test.code || (errs.Len() > 0) != (code != 0) || strings.Count(errs.String(), "\n") > 1 {
				t.Errorf("%s, %v: exit code %d, it said %q", name, test.err, code, errs.String())
			}
			if e.left < 1<<29 {
				t.Errorf("%s: it read on", name)
			}
		}
	}
}

// A signal is the end of the input: what was found is printed, and the exit code says that there was more.
func TestASignalEndsTheInput(t *testing.T) {
	for sig, code := range map[os.Signal]cli.ExitCode{os.Interrupt: 130, syscall.SIGTERM: 143} {
		for _, format := range []string{"brief", "page"} {
			input, write := io.Pipe()
			signals := make(chan os.Signal, 1)
			go func() {
				io.WriteString(write, "> c000\n")
				io.WriteString(write, "# when this is taken, the line before it was read\n")
				signals <- sig
			}()
			var out bytes.Buffer
			got := run(&cli.Process{Args: []string{"-f", format}, Getenv: func(string) string { return "" }, Stdin: input, Stdout: &out, Stderr: &out, Signals: signals})
			if got != code || !strings.Contains(out.String(), "PINGREQ") {
				t.Errorf("%v, %s: exit code %d, printed:\n%s", sig, format, got, out.String())
			}
			write.Close()
		}
	}
}

// A trace of very many connections keeps the state of some.
func TestFollowsSomeConnectionsAtATime(t *testing.T) {
	var trace strings.Builder
	for i := range 2 * mostConnections {
		fmt.Fprintf(&trace, "# connection %d\n> 100d00044d5154540402000a000163\n", i)
	}
	trace.WriteString("# connection 511\n< 20020000\n# connection 0\n< 20020000\n")
	out, code := try(t, trace.String(), "-f", "brief")
	if code != 0 || strings.Count(out, "CONNECT ") != 2*mostConnections || strings.Count(out, "answers 1") != 1 {
		t.Errorf("exit code %d, %d lines about CONNECT, %d answers", code, strings.Count(out, "CONNECT "), strings.Count(out, "answers 1"))
	}
}

// Of a connection that ended for another one, and goes on, the beginning is known no more: nothing is broken by that.
func TestGoesOnWithATraceOfMoreConnectionsThanItFollows(t *testing.T) {
	var trace strings.Builder
	for i := range mostConnections + 1 {
		fmt.Fprintf(&trace, "# connection %d\n> 10 0d 00 04 4d 51 54 54 04 02 00 0a 00 01 63\n< 20 02 00 00\n", i+1)
	}
	trace.WriteString("# connection 1\n> 32 05 00 01 74 00 01\n< 40 02 00 01\n> e0 00\n")
	if out, code := try(t, trace.String(), "--strict", "-f", "brief"); code != 0 || strings.Contains(out, "BROKEN") || !strings.HasSuffix(out, "drops the Will\n") {
		t.Errorf("exit %d, want 0:\n%s", code, out[max(0, len(out)-400):])
	}
	if out, code := try(t, "# connection 1\n> e0 00\n", "--strict", "-f", "brief"); code != exitBroken {
		t.Errorf("exit %d, want %d, as a trace begins with CONNECT:\n%s", code, exitBroken, out)
	}
}
