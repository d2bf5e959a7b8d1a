package cli

import (
	"crypto/x509"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"iotwire/internal/testbroker"
)

func TestSymptom15AKeyThatMayNotBeRead(t *testing.T) {
	ours, dir := certificates(t)
	config := serverCertificate(t, ours, func(*x509.Certificate) {})
	b := testbroker.New(testbroker.Config{TLS: config})
	defer b.Close()
	key := filepath.Join(dir, "private.key")
	for name, mode := range map[string]os.FileMode{filepath.Dir(dir): 0o755, dir: 0o755, key: 0} {
		if err := os.Chmod(name, mode); err != nil {
			t.Fatal(err)
		}
	}
	for _, program := range programs {
		for _, check := range []bool{false, true} {
			var said buffer
			p := &Process{
				Args:   append(program.args, "-e", awsHost, "-C", dir, "--quiet"),
				Getenv: func(string) string { return "" },
				Stdout: &said, Stderr: &said,
				dial: to(b.DialTLS),
			}
			want := program.name + ": " + key + ": permission denied\n  run as the user who owns it, or let this user read it (chown, chmod)\n"
			if check {
				p.Args = append(p.Args, "--check")
				want = "FAIL  certificate     " + key + ": permission denied\n      run as the user who owns it, or let this user read it (chown, chmod)\n"
			}
			code := make(chan ExitCode)
			go func() { code <- asNobody(t, program.main, p) }()
			if got := <-code; got != ExitTLS || !strings.HasSuffix(said.String(), want) {
				t.Errorf("exit code %d: it said\n%s\nwant at the end\n%s", got, said.String(), want)
			}
		}
	}
}

// asNobody runs a program with the rights for files of a user who owns nothing, even if the test runs as root, whom no
// mode keeps out.
func asNobody(t *testing.T, main func(*Process) ExitCode, p *Process) ExitCode {
	if os.Getuid() == 0 {
		runtime.LockOSThread() // and never unlocked: the thread ends with the goroutine
		if err := syscall.Setfsuid(65534); err != nil {
			t.Error(err)
		}
	}
	return main(p)
}
