package cli

import (
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func TestSecretFromAPipeThatNobodyWritesTo(t *testing.T) {
	fifo := filepath.Join(t.TempDir(), "fifo")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Skipf("no named pipe can be made here: %v", err)
	}
	r := run(t, Publisher, nil, nil, "--username", "ann", "--password-file", fifo, "-m", "hi", "--timeout", "20ms")
	if r.exit != ExitLocal || !strings.Contains(r.stderr.String(), "nobody has written to it for 20 ms") {
		t.Errorf("exit code %d: %s", r.exit, r.stderr.String())
	}
}
