package main

import (
	"crypto/tls"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// The trace of a broker shows each connection in the clear, TLS or not, as what it reads and writes and when it ends.
func TestTraceShowsBothSidesOfTLS(t *testing.T) {
	dir, file := filepath.Join(t.TempDir(), "certs"), filepath.Join(t.TempDir(), "trace")
	c, line := start(t, "-p0", "--tls-port=0", "--dir", dir, "--trace=brief", "--trace-file", file, "--trace-times=off")
	m := regexp.MustCompile(`mqtt://(\S+) and mqtts://(\S+) `).FindStringSubmatch(line)
	if m == nil {
		t.Fatalf("line is %q", line)
	}
	plain, err := net.Dial("tcp", m[1])
	if err != nil {
		t.Fatal(err)
	}
	handshake(t, plain, "a")
	plain.Write([]byte("\xe0\x00"))
	plain.Read(make([]byte, 1)) // the end
	secure, err := tls.Dial("tcp", m[2], clientTLS(t, dir))
	if err != nil {
		t.Fatal(err)
	}
	handshake(t, secure, "a")
	secure.Write([]byte("\x30\x04\x00"))
	secure.Close()
	for wait := time.Now().Add(10 * time.Second); time.Now().Before(wait); time.Sleep(time.Millisecond) {
		if b, _ := os.ReadFile(file); strings.Contains(string(b), "CUT SHORT") {
			break
		}
	}
	stop(t, c, syscall.SIGTERM)
	got, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	text := regexp.MustCompile(`127\.0\.0\.1:\d+|after [0-9.]+ ms`).ReplaceAllString(string(got), "..")
	if text = strings.NewReplacer("→", ">", "←", "<").Replace(text); text != `# connection 1 from ..
>  CONNECT        14 B  client id "", keep alive 0 s, clean session 1
>  SUBSCRIBE       8 B  id 1, "a" QoS 1
<  CONNACK         4 B  accepted, session present 0, answers 1 ..
<  SUBACK          5 B  id 1, granted QoS 1, answers 2 ..
>  DISCONNECT      2 B  clean end: the server drops the Will
# connection 2 from ..
>  CONNECT        14 B  client id "", keep alive 0 s, clean session 1
>  SUBSCRIBE       8 B  id 1, "a" QoS 1
<  CONNACK         4 B  accepted, session present 0, answers 1 ..
<  SUBACK          5 B  id 1, granted QoS 1, answers 2 ..
>  PUBLISH         3 B  CUT SHORT, at least 3 bytes more
` {
		t.Errorf("the trace is:\n%s", text)
	}
}
