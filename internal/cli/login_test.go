package cli

import (
	"crypto/tls"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"iotwire/internal/testbroker"
	"iotwire/mqtt/packet"
)

// withSecret makes a file with this content.
func withSecret(t *testing.T, name, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// guarded runs a test in a bubble with a broker that lets in who has the password, and notes user name and password of all.
func guarded(t *testing.T, password string, test func(t *testing.T, b *testbroker.Broker, seen *string)) {
	synctest.Test(t, func(t *testing.T) {
		var seen string
		b := testbroker.New(testbroker.Config{Authenticate: func(c *packet.Connect, _ *tls.ConnectionState) packet.ConnectCode {
			seen = string(c.UserName) + " " + string(c.Password)
			if string(c.Password) != password {
				return packet.RefusedCredentials
			}
			return packet.Accepted
		}})
		defer b.Close()
		test(t, b, &seen)
	})
}

func TestUserNameAndPassword(t *testing.T) {
	for content, want := range map[string]string{"s3cret": "s3cret", "s3cret\n": "s3cret", "s3cret\r\n": "s3cret", " s3 cret \n\n": " s3 cret \n"} {
		file := withSecret(t, "password", content)
		guarded(t, want, func(t *testing.T, b *testbroker.Broker, seen *string) {
			dir := t.TempDir()
			r := run(t, Publisher, to(b.Dial), nil, "--username", "ann", "--password-file", file, "-m", "hi",
				"--trace=full", "--page", filepath.Join(dir, "page.html"))
			r.ended(ExitDone)
			if *seen != "ann "+want {
				t.Errorf("the broker saw %q, want %q", *seen, "ann "+want)
			}
			page, err := os.ReadFile(filepath.Join(dir, "page.html"))
			if err != nil {
				t.Fatal(err)
			}
			for _, secret := range []string{"s3cret", "s3 cret", "73 33 63", "73 33 20 63"} {
				if strings.Contains(r.stderr.String()+r.stdout.String()+string(page), secret) {
					t.Errorf("%q in the output", secret)
				}
			}
			r = run(t, Subscriber, to(b.Dial), nil, "--username", "ann", "--password-file", file, "--check")
			r.ended(ExitDone)
			if *seen != "ann "+want || strings.Contains(r.stdout.String(), "s3") {
				t.Errorf("the broker saw %q; %s", *seen, r.stdout.String())
			}
		})
	}
}

func TestUserNameAlone(t *testing.T) {
	guarded(t, "", func(t *testing.T, b *testbroker.Broker, seen *string) {
		run(t, Publisher, to(b.Dial), nil, "--username", "ann", "-m", "hi").ended(ExitDone)
		if *seen != "ann " {
			t.Errorf("the broker saw %q", *seen)
		}
	})
}

// A password that was changed counts at the next connection.
func TestPasswordFileIsReadForEachConnection(t *testing.T) {
	file := withSecret(t, "password", "s3cret-1")
	guarded(t, "s3cret-1", func(t *testing.T, b *testbroker.Broker, seen *string) {
		r := start(t, Subscriber, to(b.Dial), nil, "--username", "ann", "--password-file", file)
		synctest.Wait()
		if err := os.WriteFile(file, []byte("s3cret-2"), 0o600); err != nil {
			t.Fatal(err)
		}
		b.Drop("me", testbroker.RST)
		r.ended(ExitConnack + 4)
		if *seen != "ann s3cret-2" {
			t.Errorf("the broker saw %q", *seen)
		}
		if strings.Contains(r.stderr.String(), "s3cret") {
			t.Error(r.stderr.String())
		}
	})
}

func TestSecretsThatCannotBeRead(t *testing.T) {
	for _, test := range []struct {
		file, want string
	}{
		{filepath.Join(t.TempDir(), "missing"), "--password-file: open "},
		{withSecret(t, "password", ""), "password is empty"},
		{withSecret(t, "password", "\n"), "password is empty"},
		{withSecret(t, "password", strings.Repeat("s3cret", 11_000)), "more than 65535 bytes, which is no secret"},
		{t.TempDir(), "is a directory"},
	} {
		r := run(t, Publisher, nil, nil, "--username", "ann", "--password-file", test.file, "-m", "hi", "--timeout", "20ms")
		if r.exit != ExitLocal || !strings.Contains(r.stderr.String(), test.want) || strings.Contains(r.stderr.String(), "s3cret") ||
			strings.Count(r.stderr.String(), "\n") != 1 {
			t.Errorf("exit code %d: %.200s, want %q", r.exit, r.stderr.String(), test.want)
		}
	}
}

func TestPasswordFromAPipe(t *testing.T) {
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer read.Close()
	if _, err := write.WriteString("s3cret\n"); err != nil {
		t.Fatal(err)
	}
	write.Close()
	name := fmt.Sprint("/dev/fd/", read.Fd())
	if _, err := os.Stat(name); err != nil {
		t.Skipf("%v: there is none on this system", err)
	}
	get, err := secretFile("--password-file", name, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 { // for each connection
		if secret, err := get(); err != nil || string(secret) != "s3cret" {
			t.Errorf("%q, %v", secret, err)
		}
	}
}

func TestLoginOptionsThatDoNotGoTogether(t *testing.T) {
	for args, want := range map[string]string{
		"--password-file f":                       "--password-file needs --username",
		"--token-key k":                           "--token-key KEY and --token-file FILE need each other",
		"--authorizer a --token-file f":           "--token-key KEY and --token-file FILE need each other",
		"--authorizer a --signature-file f":       "--signature-file needs --token-file",
		"--authorizer a --username ann?x=y":       `a '?' behind "ann" in the user name`,
		"--authorizer a&b -e mqtts://x":           "want letters, digits",
		"--authorizer a -e mqtt://x --username u": "would travel in the clear",
	} {
		r := run(t, Publisher, nil, nil, append([]string{"-m", "hi", "--ca", caFile(t)}, strings.Fields(args)...)...)
		if r.exit != ExitUsage || !strings.Contains(r.stderr.String(), want) {
			t.Errorf("%s: exit code %d: %s, want %q", args, r.exit, r.stderr.String(), want)
		}
	}
}

// caFile is a file with a CA.
func caFile(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if _, err := testbroker.EnsureCertificates(dir); err != nil {
		t.Fatal(err)
	}
	return filepath.Join(dir, "AmazonRootCA1.pem")
}
