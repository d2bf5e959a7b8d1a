package main

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"iotwire/internal/cli"
	"iotwire/internal/testbroker"
	"iotwire/mqtt/packet"
)

// startAWS runs testbroker as a process, with its log in a file, and returns its ports in the order of its line.
func startAWS(t *testing.T, dir, log string, args ...string) (c *exec.Cmd, ports []string) {
	t.Helper()
	c, line := start(t, append([]string{"--dir", dir, "--log", log}, args...)...)
	for _, m := range regexp.MustCompile(`mqtts://localhost:(\d+)`).FindAllStringSubmatch(line, -1) {
		ports = append(ports, m[1])
	}
	want := fmt.Sprintf(" as AWS IoT Core (registry in %s)\n", dir)
	if !strings.HasPrefix(line, "testbroker: listening on mqtts://localhost:") || !strings.HasSuffix(line, want) {
		t.Fatalf("the line is %q", line)
	}
	return c, ports
}

// connectAWS connects with the directory's certificate, and returns the first packet that comes, or io.EOF.
func connectAWS(t *testing.T, dir, port, clientID string, protocols ...string) (packet.Type, error) {
	t.Helper()
	certificates, err := testbroker.EnsureCertificates(dir)
	if err != nil {
		t.Fatal(err)
	}
	config, err := certificates.DeviceConfig()
	if err != nil {
		t.Fatal(err)
	}
	config.NextProtos = protocols
	conn, err := tls.Dial("tcp", "127.0.0.1:"+port, config)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(10 * time.Second))
	b, err := packet.AppendConnect(nil, &packet.Connect{ClientID: []byte(clientID), CleanSession: true})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Write(b); err != nil {
		t.Fatal(err)
	}
	h, _, err := packet.NewReader(bufio.NewReader(conn), 1000).Next()
	return h.Type, err
}

func TestAWSWithBothPorts(t *testing.T) {
	dir, log := filepath.Join(t.TempDir(), "desk"), filepath.Join(t.TempDir(), "log")
	c, ports := startAWS(t, dir, log, "--aws", "--tls-port", "0", "--alpn-port", "0")
	for i, protocols := range [][]string{nil, {"x-amzn-mqtt-ca"}} {
		if got, err := connectAWS(t, dir, ports[i], fmt.Sprint("c", i), protocols...); got != packet.CONNACK {
			t.Errorf("port %s: %v %v, want CONNACK", ports[i], got, err)
		}
	}
	stop(t, c, syscall.SIGTERM)
	text, err := os.ReadFile(log)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"eventType":"Connect","protocol":"MQTT","clientId":"c0"`, `"eventType":"Disconnect","protocol":"MQTT","clientId":"c1"`} {
		if !bytes.Contains(text, []byte(want)) {
			t.Errorf("log:\n%swant %s in it", text, want)
		}
	}
	if info, err := os.Stat(log); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the log file is %v (%v), want mode 600", info.Mode(), err)
	}
}

func TestAWSLogsRefusalsOnly(t *testing.T) {
	dir, log := filepath.Join(t.TempDir(), "desk"), filepath.Join(t.TempDir(), "log")
	c, ports := startAWS(t, dir, log, "--aws", "--tls-port", "0", "--log-level", "error", "--connect-interval", "1h")
	if got, err := connectAWS(t, dir, ports[0], "c1"); got != packet.CONNACK {
		t.Fatalf("%v %v, want CONNACK", got, err)
	}
	if got, err := connectAWS(t, dir, ports[0], "c1"); err != io.EOF {
		t.Fatalf("%v %v, want EOF", got, err)
	}
	stop(t, c, syscall.SIGINT)
	text, err := os.ReadFile(log)
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Count(text, []byte("\n")) != 1 || !bytes.Contains(text, []byte(`the client identifier \"c1\" has connected less than 1h0m0s ago`)) {
		t.Errorf("log:\n%swant one line, about the second CONNECT", text)
	}
}

func TestAWSByItsVariable(t *testing.T) {
	t.Setenv("MQTT_TESTBROKER_AWS", "1")
	dir := filepath.Join(t.TempDir(), "desk")
	c, ports := startAWS(t, dir, filepath.Join(t.TempDir(), "log"), "--tls-port", "0", "--explain")
	if len(ports) != 1 {
		t.Errorf("ports %q, want one", ports)
	}
	stop(t, c, syscall.SIGTERM)
}

// sayAWS runs the program without a broker, and returns what it says on standard output and standard error.
func sayAWS(args ...string) (code cli.ExitCode, stdout, stderr string) {
	var out, err bytes.Buffer
	code = run(&cli.Process{Args: args, Getenv: func(string) string { return "" }, Stdout: &out, Stderr: &err})
	return code, out.String(), err.String()
}

func TestAWSMistakes(t *testing.T) {
	dir := t.TempDir()
	broken := t.TempDir()
	if err := os.WriteFile(filepath.Join(broken, "cert.pem"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	port := fmt.Sprint(taken.Addr().(*net.TCPAddr).Port)
	for _, test := range []struct {
		args []string
		code cli.ExitCode
		want string
	}{
		{[]string{"--aws"}, cli.ExitUsage, "testbroker: give a port: --tls-port PORT, or --alpn-port PORT, or both (testbroker --help lists the options)\n"},
		{[]string{"--aws", "--tls-port", "0"}, cli.ExitUsage, "testbroker: --dir is missing, the directory of the registry, which may be empty (testbroker --help lists the options)\n"},
		{[]string{"--aws", "--tls-port", "0", "--dir", dir, "--qos2", "maybe"}, cli.ExitUsage, "testbroker: --qos2: "},
		{[]string{"--aws", "-p", "0"}, cli.ExitUsage, "testbroker: no such option: -p"},
		{[]string{"--explain"}, cli.ExitUsage, "testbroker: no such option: --explain"},
		{[]string{"--aws", "--tls-port", "0", "--dir", broken}, cli.ExitTLS, "testbroker: " + broken + " has cert.pem but not AmazonRootCA1.pem"},
		{[]string{"--aws", "--tls-port", port, "--dir", dir}, cli.ExitLocal, "testbroker: cannot listen on 127.0.0.1:" + port + ": "},
		{[]string{"--aws", "--tls-port", "0", "--dir", dir, "--log", filepath.Join(dir, "none", "log")}, cli.ExitLocal, "testbroker: open "},
	} {
		code, stdout, stderr := sayAWS(test.args...)
		if code != test.code || stdout != "" || !strings.HasPrefix(stderr, test.want) || strings.Count(stderr, "\n") != 1 {
			t.Errorf("%q: exit code %d, %q, %q, want %d and one line: %q", test.args, code, stdout, stderr, test.code, test.want)
		}
	}
}

func TestAWSHelpSaysWhatIsUnknown(t *testing.T) {
	code, stdout, _ := sayAWS("--aws", "--help")
	if code != cli.ExitDone {
		t.Errorf("exit code %d", code)
	}
	text := strings.Join(strings.Fields(stdout), " ")
	for _, want := range []string{ // section by section of what nobody knows
		"CONNACK 5, 7 or none; here none", "fails in the handshake or after CONNECT", "the 51st subscription", "QoS 2",
		"RETAIN without iot:RetainPublish", "how often a client may connect (1 or 10 seconds)", "Not here: MQTT 5",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("the help text does not say %q", want)
		}
	}
	for line := range strings.Lines(stdout) {
		if len(strings.TrimSuffix(line, "\n")) > 80 {
			t.Errorf("longer than 80 columns: %q", line)
		}
	}
	_, stdout, _ = sayAWS("--help")
	if !strings.Contains(stdout, "testbroker --aws --help") {
		t.Error("testbroker --help does not lead to testbroker --aws --help")
	}
}
