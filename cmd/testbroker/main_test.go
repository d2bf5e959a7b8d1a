package main

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
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
	"iotwire/mqtt/packet"
)

// TestMain makes the test binary the program itself, for tests that need a process.
func TestMain(m *testing.M) {
	if os.Getenv("TESTBROKER_BE_THE_PROGRAM") != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

// start runs the program as a process, and returns it with its first line.
func start(t *testing.T, args ...string) (*exec.Cmd, string) {
	t.Helper()
	c := exec.Command(os.Args[0], args...)
	c.Env = append(os.Environ(), "TESTBROKER_BE_THE_PROGRAM=1")
	c.Stderr = os.Stderr
	stdout, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if c.ProcessState == nil {
			c.Process.Kill()
			c.Wait()
		}
	})
	out := bufio.NewReader(stdout)
	line, err := out.ReadString('\n')
	if err != nil {
		t.Fatalf("no line on stdout: %v", err)
	}
	t.Cleanup(func() {
		if rest, _ := io.ReadAll(out); len(rest) > 0 {
			t.Errorf("more than one line on stdout: %q", rest)
		}
	})
	return c, line
}

// stop sends a signal and wants exit code 0.
func stop(t *testing.T, c *exec.Cmd, signal os.Signal) {
	t.Helper()
	if err := c.Process.Signal(signal); err != nil {
		t.Fatal(err)
	}
	if err := c.Wait(); err != nil {
		t.Errorf("after %v: %v, want exit code 0", signal, err)
	}
}

// handshake sends CONNECT and wants it accepted, then subscribes to filter and returns the return code.
func handshake(t *testing.T, conn net.Conn, filter string) byte {
	t.Helper()
	conn.SetDeadline(time.Now().Add(10 * time.Second))
	b, _ := packet.AppendConnect(nil, &packet.Connect{CleanSession: true})
	b, err := packet.AppendSubscribe(b, &packet.Subscribe{ID: 1, Requests: packet.Requests(nil).Add(filter, packet.QoS1)})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Write(b); err != nil {
		t.Fatal(err)
	}
	answer := make([]byte, 9)
	if _, err := io.ReadFull(conn, answer); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(answer[:8], []byte{0x20, 2, 0, 0, 0x90, 3, 0, 1}) {
		t.Fatalf("got % x, want CONNACK and SUBACK", answer)
	}
	return answer[8]
}

func TestServesPlainAndEndsOnSIGTERM(t *testing.T) {
	c, line := start(t, "-p", "0", "--deny-subscribe", "no/#", "--deny-subscribe", "neither")
	m := regexp.MustCompile(`^testbroker: listening on mqtt://(127\.0\.0\.1:\d+)\n$`).FindStringSubmatch(line)
	if m == nil {
		t.Fatalf("line is %q", line)
	}
	var conns []net.Conn
	for filter, want := range map[string]byte{"yes": 1, "no/#": 0x80, "neither": 0x80} {
		conn, err := net.Dial("tcp", m[1])
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		conns = append(conns, conn)
		if code := handshake(t, conn, filter); code != want {
			t.Errorf("SUBSCRIBE to %s is answered with %02x, want %02x", filter, code, want)
		}
	}
	_, port, _ := net.SplitHostPort(m[1])
	var stderr bytes.Buffer
	second := &cli.Process{Args: []string{"-p", port}, Getenv: os.Getenv, Stdout: io.Discard, Stderr: &stderr}
	if code := run(second); code != cli.ExitLocal || !strings.Contains(stderr.String(), "address already in use") ||
		strings.Count(stderr.String(), "\n") != 1 {
		t.Errorf("port that is taken: exit code %d, %q", code, stderr.String())
	}
	stop(t, c, syscall.SIGTERM)
	for _, conn := range conns {
		if _, err := conn.Read(make([]byte, 1)); err != io.EOF {
			t.Errorf("read after the end: %v, want io.EOF", err)
		}
	}
}

func TestServesMutualTLSAndEndsOnSIGINT(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "certs")
	for range 2 { // the second time the certificates are there
		c, line := start(t, "-p0", "--tls-port=0", "--dir", dir)
		m := regexp.MustCompile(`^testbroker: listening on mqtt://(\S+) and mqtts://(\S+) \(certificates in (\S+)\)\n$`).FindStringSubmatch(line)
		if m == nil || m[3] != dir {
			t.Fatalf("line is %q", line)
		}
		plain, err := net.Dial("tcp", m[1])
		if err != nil {
			t.Fatal(err)
		}
		handshake(t, plain, "a")
		plain.Close()
		conn, err := tls.Dial("tcp", m[2], clientTLS(t, dir))
		if err != nil {
			t.Fatal(err)
		}
		handshake(t, conn, "a")
		conn.Close()
		stop(t, c, os.Interrupt)
	}
}

// clientTLS is the configuration of the device whose certificates are in dir.
func clientTLS(t *testing.T, dir string) *tls.Config {
	t.Helper()
	pair, err := tls.LoadX509KeyPair(filepath.Join(dir, "cert.pem"), filepath.Join(dir, "private.key"))
	if err != nil {
		t.Fatal(err)
	}
	ca, err := os.ReadFile(filepath.Join(dir, "AmazonRootCA1.pem"))
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(ca)
	return &tls.Config{RootCAs: roots, Certificates: []tls.Certificate{pair}}
}

func TestMistakesAreOneLine(t *testing.T) {
	for _, c := range []struct {
		args, want string
		code       cli.ExitCode
	}{
		{"", "give a port", cli.ExitUsage},
		{"-p 65536", "65536 is more than 65535", cli.ExitUsage},
		{"-p -1", "-1 is less than 0", cli.ExitUsage},
		{"--tls-port 0", "--tls-port needs --dir", cli.ExitUsage},
		{"-p 0 --dir x", "--dir is for --tls-port", cli.ExitUsage},
		{"-p 0 --deny-subscribe a#", "--deny-subscribe: topic filter has '#'", cli.ExitUsage},
		{"-p 0 --prot 1", "no such option: --prot; did you mean --port?", cli.ExitUsage},
		{"-p 0 more", "unexpected argument", cli.ExitUsage},
		{"--tls-port 0 --dir /dev/null", "/dev/null", cli.ExitTLS},
	} {
		var stdout, stderr bytes.Buffer
		p := &cli.Process{Args: strings.Fields(c.args), Getenv: func(string) string { return "" }, Stdout: &stdout, Stderr: &stderr}
		if code := run(p); code != c.code {
			t.Errorf("%q: exit code %d, want %d", c.args, code, c.code)
		}
		if got := stderr.String(); !strings.Contains(got, c.want) || strings.Count(got, "\n") != 1 || stdout.Len() > 0 {
			t.Errorf("%q: stderr %q, want one line with %q; stdout %q", c.args, got, c.want, stdout.String())
		}
	}
}

func TestHelpIsOnStdout(t *testing.T) {
	var stdout, stderr bytes.Buffer
	p := &cli.Process{Args: []string{"--help"}, Getenv: func(string) string { return "" }, Stdout: &stdout, Stderr: &stderr}
	if code := run(p); code != 0 || stderr.Len() > 0 || !strings.Contains(stdout.String(), "--deny-subscribe FILTER") {
		t.Errorf("exit code %d, stdout %q, stderr %q", code, stdout.String(), stderr.String())
	}
}

func TestClosedStdoutIsALocalFailure(t *testing.T) {
	r, w := io.Pipe()
	r.CloseWithError(errors.New("nobody reads"))
	var stderr bytes.Buffer
	p := &cli.Process{Args: []string{"-p0"}, Getenv: func(string) string { return "" }, Stdout: w, Stderr: &stderr}
	if code := run(p); code != cli.ExitLocal || !strings.Contains(stderr.String(), "nobody reads") {
		t.Errorf("exit code %d, stderr %q", code, stderr.String())
	}
}
