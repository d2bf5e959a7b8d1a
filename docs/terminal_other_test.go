//go:build !linux

package docs_test

import (
	"os"
	"os/exec"
	"testing"
)

func openTerminal(t *testing.T) (screen, terminal *os.File) {
	t.Skip("a pseudo terminal is opened with the system calls of Linux")
	return nil, nil
}

func ownGroup(*exec.Cmd) {}

func signalAll(*exec.Cmd, os.Signal) {}
