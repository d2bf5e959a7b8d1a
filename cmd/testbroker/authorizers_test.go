package main

import (
	"crypto/tls"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"iotwire/internal/cli"
	"iotwire/internal/testbroker"
	"iotwire/mqtt/packet"
)

// A client without a certificate, but with a password, is let in by --authorizers on the port with ALPN.
func TestAuthorizersOverTCP(t *testing.T) {
	dir, file := t.TempDir(), filepath.Join(t.TempDir(), "gates.json")
	if err := os.WriteFile(file, []byte(`{"gate": {"default": true, "answers": [{"userName": "ann", "password": "s3cret", "principalId": "ann1",
		"policyDocuments": [{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "iot:*", "Resource": "*"}]}]}]}}`), 0o600); err != nil {
		t.Fatal(err)
	}
	log := filepath.Join(t.TempDir(), "log")
	c, ports := startAWS(t, dir, log, "--aws", "--alpn-port", "0", "--authorizers", file)
	certificates, err := testbroker.EnsureCertificates(dir)
	if err != nil {
		t.Fatal(err)
	}
	config, err := certificates.DeviceConfig()
	if err != nil {
		t.Fatal(err)
	}
	config.Certificates, config.NextProtos, config.ServerName = nil, []string{"mqtt"}, "localhost"
	for password, accepted := range map[string]bool{"s3cret": true, "wrong": false} {
		conn, err := tls.Dial("tcp", "127.0.0.1:"+ports[0], config)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		conn.SetDeadline(time.Now().Add(10 * time.Second))
		b, err := packet.AppendConnect(nil, &packet.Connect{ClientID: []byte("id-" + password[:1]), CleanSession: true,
			HasUserName: true, UserName: []byte("ann"), HasPassword: true, Password: []byte(password)})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := conn.Write(b); err != nil {
			t.Fatal(err)
		}
		answer := make([]byte, 4)
		if _, err := io.ReadFull(conn, answer); accepted && string(answer) != "\x20\x02\x00\x00" || !accepted && err != io.EOF {
			t.Errorf("%s: % x, %v", password, answer, err)
		}
	}
	stop(t, c, syscall.SIGTERM)
	if lines, err := os.ReadFile(log); err != nil || !strings.Contains(string(lines), `the authorizer \"gate\" answers isAuthenticated false`) ||
		!strings.Contains(string(lines), `"principalId":"ann1"`) || strings.Contains(string(lines), "s3cret") {
		t.Errorf("%v: %s", err, lines)
	}
}

func TestAuthorizersMistakesAreOneLine(t *testing.T) {
	missing := filepath.Join(t.TempDir(), "none.json")
	for _, test := range []struct {
		args []string
		code cli.ExitCode
		want string
	}{
		{[]string{"--aws", "--tls-port", "0", "--dir", t.TempDir(), "--authorizers", missing}, cli.ExitUsage, "--authorizers needs --alpn-port"},
		{[]string{"--aws", "--alpn-port", "0", "--dir", t.TempDir(), "--authorizers", missing}, cli.ExitTLS, "none.json: no such file"},
	} {
		code, stdout, stderr := sayAWS(test.args...)
		if code != test.code || stdout != "" || !strings.Contains(stderr, test.want) || strings.Count(stderr, "\n") != 1 {
			t.Errorf("%q: %d %q %q, want %d and %q", test.args, code, stdout, stderr, test.code, test.want)
		}
	}
}
