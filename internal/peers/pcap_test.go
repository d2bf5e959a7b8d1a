package peers

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"iotwire/mqtt/dissect"
)

// tshark reads a capture and returns these fields of each frame, with "|" between them.
func tshark(t *testing.T, file string, args []string, fields ...string) []string {
	t.Helper()
	args = append([]string{"-r", file, "-T", "fields", "-E", "separator=|"}, args...)
	for _, f := range fields {
		args = append(args, "-e", f)
	}
	out, err := exec.Command(tool(t, "tshark", "tshark"), args...).Output()
	if err != nil {
		t.Fatalf("tshark %q: %v", args, err)
	}
	return strings.Split(strings.TrimSuffix(string(out), "\n"), "\n")
}

// TestPcapInTshark has tshark read what --pcap writes of connections with TLS: every packet is one of MQTT, none is
// malformed, no byte is missing, and each has a comment.
func TestPcapInTshark(t *testing.T) {
	tool(t, "tshark", "tshark")
	programs := buildPrograms(t)
	b := iotwire.run(t, setup{certificates: makeCertificates(t)})
	dir := t.TempDir()
	sent, received := filepath.Join(dir, "sent.pcapng"), filepath.Join(dir, "received.pcapng")
	subscriber := programs.subscribe(t, b, "-t", "a/+", "-q", "2", "-n", "3", "--pcap", received)
	large := strings.Repeat("x", 100_000)
	programs.publish(t, b, []byte("one\n"+large+"\nthree\n"), "-t", "a/b", "-q", "2", "-l", "--pcap", sent)
	subscriber.wantExit(0)

	exchange := []string{"1", "2"}
	for range 3 {
		exchange = append(exchange, "3", "5", "6", "7")
	}
	exchange = append(exchange, "14")
	var types, topics []string
	for _, line := range tshark(t, sent, []string{"-Y", "mqtt"}, "mqtt.msgtype", "mqtt.topic", "mqtt.clientid", "_ws.malformed", "tcp.analysis.flags") {
		field := strings.Split(line, "|")
		types = append(types, strings.Split(field[0], ",")...)
		if field[1] != "" {
			topics = append(topics, field[1])
		}
		if field[3]+field[4] != "" {
			t.Errorf("tshark finds fault with %q", line)
		}
	}
	if strings.Join(types, " ") != strings.Join(exchange, " ") || strings.Join(topics, " ") != "a/b a/b a/b" {
		t.Errorf("tshark sees the types %q and the topics %q, want the types %q", types, topics, exchange)
	}
	comments := tshark(t, sent, nil, "frame.comment")
	if !strings.HasPrefix(comments[0], "→ CONNECT ") || !strings.Contains(comments[1], "← CONNACK 4 B accepted, session present 0, answers 1 after ") {
		t.Errorf("the comments are %q", comments[:2])
	}
	if got := tshark(t, received, []string{"-Y", "mqtt.msgtype == 3"}, "mqtt.topic"); len(got) != 3 {
		t.Errorf("tshark sees %d messages of 3 that were received", len(got))
	}
	for _, file := range []string{sent, received} {
		if info, err := os.Stat(file); err != nil || info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s: %v, %v", file, info.Mode(), err)
		}
	}
}

// wiretap passes one connection on to a broker, and keeps its bytes.
type wiretap struct {
	address string
	done    sync.WaitGroup

	mu    sync.Mutex
	taken []dissect.Packet // pieces of the stream, of a direction each
}

func startWiretap(t *testing.T, broker string) *wiretap {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	w := &wiretap{address: l.Addr().String()}
	w.done.Go(func() {
		client, err := l.Accept()
		if err != nil {
			return
		}
		defer client.Close()
		server, err := net.Dial("tcp", broker)
		if err != nil {
			return
		}
		defer server.Close()
		var back sync.WaitGroup
		back.Go(func() { w.pass(client, server, dissect.ToClient) })
		w.pass(server, client, dissect.ToServer)
		server.(*net.TCPConn).CloseWrite()
		back.Wait()
	})
	return w
}

func (w *wiretap) pass(to, from net.Conn, d dissect.Direction) {
	buffer := make([]byte, 1<<16)
	for {
		n, err := from.Read(buffer)
		if n > 0 {
			w.mu.Lock()
			w.taken = append(w.taken, dissect.Packet{Direction: d, Bytes: append([]byte(nil), buffer[:n]...), Time: time.Duration(len(w.taken)) * time.Millisecond})
			w.mu.Unlock()
			if _, err := to.Write(buffer[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// The packets of two connections, which take turns, are two streams of TCP, both of them whole.
func TestPcapOfTwoConnectionsInTshark(t *testing.T) {
	tool(t, "tshark", "tshark")
	file := dissect.AppendCaptureHeader(nil)
	captures := []dissect.Capture{{Connection: 1}, {Connection: 2}}
	for _, b := range []string{"\x10\x0d\x00\x04MQTT\x04\x02\x00\x0a\x00\x01a", "\x82\x06\x00\x01\x00\x01a\x01", "\xc0\x00"} {
		p, _ := dissect.Read([]byte(b), dissect.ToServer)
		for i := range captures {
			file = captures[i].Append(file, &p)
		}
	}
	name := filepath.Join(t.TempDir(), "two.pcapng")
	if err := os.WriteFile(name, file, 0o600); err != nil {
		t.Fatal(err)
	}
	got := tshark(t, name, nil, "tcp.stream", "mqtt.msgtype", "_ws.malformed", "tcp.analysis.flags")
	if want := "0|1|| 1|1|| 0|8|| 1|8|| 0|12|| 1|12||"; strings.Join(got, " ") != want {
		t.Errorf("tshark sees %q, want %q", got, want)
	}
}

// TestKeylogInTshark has tshark decrypt what was on the wire with what --keylog wrote: without it, it sees no MQTT.
func TestKeylogInTshark(t *testing.T) {
	tool(t, "tshark", "tshark")
	programs := buildPrograms(t)
	b := iotwire.run(t, setup{certificates: makeCertificates(t)})
	w := startWiretap(t, b.address)
	tapped := *b
	tapped.address = w.address
	dir := t.TempDir()
	keys := filepath.Join(dir, "keys")
	publisher := programs.publish(t, &tapped, nil, "-m", "hello", "--keylog", keys)
	publisher.awaitSaid("--keylog: whoever has " + keys + " can read what these connections carry")
	w.done.Wait()
	if info, err := os.Stat(keys); err != nil || info.Mode().Perm()&0o077 != 0 {
		t.Errorf("%v, %v", info, err)
	}

	var c dissect.Capture
	capture := dissect.AppendCaptureHeader(nil)
	for i := range w.taken {
		capture = c.Append(capture, &w.taken[i])
	}
	file := filepath.Join(dir, "x.pcapng")
	if err := os.WriteFile(file, capture, 0o600); err != nil {
		t.Fatal(err)
	}
	for option, want := range map[string]string{"tls.keylog_file:" + keys: "1 2 3 4 14", "tls.keylog_file:": ""} {
		lines := tshark(t, file, []string{"-d", "tcp.port==1883,tls", "-d", "tls.port==1883,mqtt", "-o", option, "-Y", "mqtt"}, "mqtt.msgtype")
		if got := strings.ReplaceAll(strings.Join(lines, " "), ",", " "); got != want {
			t.Errorf("with %s tshark sees the types %q, want %q", option, got, want)
		}
	}
	const usage = 2
	plain := iotwire.run(t, setup{})
	if code := programs.start(t, plain, "publisher", nil, "-m", "x", "--keylog", keys).wait(t); code != usage {
		t.Errorf("--keylog without TLS ends with %d, want %d", code, usage)
	}
}
