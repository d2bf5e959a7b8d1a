//go:build !linux

package cli

import (
	"os"
	"os/exec"
	"testing"
)

func openPTY(t *testing.T) (master, terminal *os.File) {
	t.Skip("a pseudo terminal is opened with the system calls of Linux")
	return nil, nil
}

func resize(*testing.T, *os.File, int) {}

func ownSession(*exec.Cmd) {}
