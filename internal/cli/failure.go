package cli

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"

	"iotwire/iot"
	"iotwire/mqtt"
)

// failure is what ends a program early.
type failure struct {
	code  ExitCode
	lines []string // what happened, then what to do about it
}

// diagnose makes a failure of an error of the client, or of its configuration.
func diagnose(err error, server *iot.Config) *failure {
	return failureOf(iot.Diagnose(err, *server), err)
}

// failureOf is the failure that d tells of err.
func failureOf(d *iot.Diagnosis, err error) *failure {
	if stopped, ok := errors.AsType[*interruption](err); ok {
		return &failure{signalCode(stopped.signal), []string{err.Error()}}
	}
	if errors.Is(err, mqtt.ErrStore) {
		text := err.Error()
		text = text[max(0, strings.Index(text, mqtt.ErrStore.Error())):] // and not what that did to a message
		return &failure{ExitLocal, []string{oneLine(text), "is the disk of --store full? what is in the store stays there"}}
	}
	f := &failure{code: ExitLocal, lines: d.Lines}
	switch d.Kind {
	case iot.KindInvalid:
		f.code = ExitUsage
	case iot.KindNetwork:
		f.code = ExitNetwork
	case iot.KindTLS:
		f.code = ExitTLS
	case iot.KindHungUp:
		f.code = ExitHungUp
	case iot.KindRefused:
		f.code = ExitConnack
		if refused, ok := errors.AsType[*mqtt.ConnectError](err); ok {
			f.code += ExitCode(refused.Code)
		}
	case iot.KindProtocol:
		f.code = ExitProtocol
	case iot.KindLost:
		f.code = ExitLost
	case iot.KindDenied:
		f.code = ExitRefused
	case iot.KindSilent:
		f.code = ExitUnanswered
	}
	return f
}

// tell prints the failure and returns its exit code. A mistake in usage is one line that points to the help.
func (f *failure) tell(t *Table, p *Process, log *console) ExitCode {
	if f.code == ExitUsage {
		return t.Mistake(p, "%s", f.lines[0])
	}
	log.fail(f.lines...)
	return f.code
}

// signalCode is the exit code of a program that the signal s stopped.
//
//go:noinline
func signalCode(s os.Signal) ExitCode {
	if s == os.Interrupt {
		return ExitInterrupted
	}
	return ExitTerminated
}

// The numbers of two errors of Windows that mean the same as EPIPE.
const (
	windowsBrokenPipe = syscall.Errno(109) // ERROR_BROKEN_PIPE
	windowsNoData     = syscall.Errno(232) // ERROR_NO_DATA
)

// isClosedPipe reports whether err is that of a write to a pipe that nobody reads any more.
func isClosedPipe(err error) bool {
	return errors.Is(err, syscall.EPIPE) || errors.Is(err, io.ErrClosedPipe) ||
		os.PathSeparator == '\\' && (errors.Is(err, windowsBrokenPipe) || errors.Is(err, windowsNoData))
}

// outputError names standard output in an error of a write to it.
func outputError(err error) error {
	return errorf("standard output: %w", withoutPath(err))
}

// errorf is fmt.Errorf, which the compiler would put in place of each of its calls: they are many.
//
//go:noinline
func errorf(format string, args ...any) error { return fmt.Errorf(format, args...) }
