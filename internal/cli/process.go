package cli

import (
	"context"
	"io"
	"net"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"strconv"
	"syscall"
	"time"
)

// Process is what an operating system gives to a program. Tests and the demonstration give it, too.
type Process struct {
	Args           []string // without the program's name
	Getenv         func(variable string) string
	Stdin          io.Reader
	Stdout, Stderr io.Writer
	Signals        <-chan os.Signal        // SIGINT and SIGTERM; nil: none come
	Hangup         func() <-chan os.Signal // starts to take SIGHUP, which says that the certificates have changed; nil: it does not
	Terminal       bool                    // Stdout is a terminal: control characters must not reach it
	TerminalInput  bool                    // Stdin is a terminal
	TerminalError  bool                    // Stderr is a terminal
	Columns        int                     // of the terminal that Stderr or Stdout is; 0: there is none, or it does not say

	dial   func(ctx context.Context, network, address string) (net.Conn, error) // nil: the network; for tests
	lookup func(ctx context.Context, host string) ([]string, error)             // likewise
	now    func() time.Time                                                     // the wall clock; likewise
}

// OS returns the real one. From then on SIGINT and SIGTERM come through Signals only, and SIGPIPE not at all: to write
// to a closed pipe is an error that can be handled, after which there is time for a DISCONNECT.
func OS() *Process {
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	signal.Ignore(syscall.SIGPIPE)
	return &Process{
		Args:          os.Args[1:],
		Getenv:        os.Getenv,
		Stdin:         os.Stdin,
		Stdout:        os.Stdout,
		Stderr:        os.Stderr,
		Signals:       signals,
		Hangup:        hangups,
		Terminal:      isTerminal(os.Stdout),
		TerminalInput: isTerminal(os.Stdin),
		TerminalError: isTerminal(os.Stderr),
		Columns:       max(columns(os.Stderr), columns(os.Stdout)),
	}
}

// Width is the columns for what is laid out in 80 or more: $COLUMNS, else those of the terminal, up to 100, if the output
// is one, else 100 in a file or a pipe.
func (p *Process) Width(terminal bool) int {
	if n, err := strconv.Atoi(p.Getenv("COLUMNS")); err == nil && n > 0 {
		return n
	}
	if terminal {
		return max(80, min(p.Columns, 100))
	}
	return 100
}

// isTerminal reports whether f is a character device that is not the null device.
func isTerminal(f *os.File) bool {
	info, err := f.Stat()
	if err != nil || info.Mode()&os.ModeCharDevice == 0 {
		return false
	}
	null, err := os.Stat(os.DevNull)
	return err != nil || !os.SameFile(info, null)
}

// Version returns the version of the program and what it was built with.
func Version() string {
	version := "(devel)"
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		version = info.Main.Version
	}
	return version + " " + runtime.Version() + " " + runtime.GOOS + "/" + runtime.GOARCH
}
