package iot

import (
	"errors"
	"io/fs"
	"strings"
	"time"
)

// CredentialsError says what is wrong with a private key, a certificate, a CA file or their directory. It matches
// [ErrCredentials], and [fs.ErrNotExist] or [fs.ErrPermission] if that is the reason. It never holds anything of a
// private key.
type CredentialsError struct {
	File    string // the file or directory
	Problem string // what was expected and what was found
	Remedy  string // what to do, or ""

	cause error // of the operating system, or nil
	early bool  // the certificate is not valid yet: time, or setting the clock, cures it
}

// Error returns one line: file, problem and remedy.
func (e *CredentialsError) Error() string {
	if e.Remedy == "" {
		return e.File + ": " + e.Problem
	}
	return e.File + ": " + e.Problem + "; " + e.Remedy
}

// Is reports whether target is ErrCredentials.
func (e *CredentialsError) Is(target error) bool { return target == ErrCredentials }

// Unwrap returns the error of the operating system, if there was one.
func (e *CredentialsError) Unwrap() error { return e.cause }

// fileError is what the operating system says about a file or a directory.
func fileError(name string, err error) error {
	e := &CredentialsError{File: name, cause: err}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		e.Problem = "no such file"
	case errors.Is(err, fs.ErrPermission):
		e.Problem, e.Remedy = "permission denied", "run as the user who owns it, or let this user read it (chown, chmod)"
	default:
		e.Problem = "cannot be read: " + withoutPath(err)
	}
	return e
}

// badFile is the error for a file that is not what it should be.
//
//go:noinline
func badFile(name, problem, remedy string) *CredentialsError {
	return &CredentialsError{File: name, Problem: problem, Remedy: remedy}
}

// withoutPath drops the name of the file from an error that repeats it.
func withoutPath(err error) string {
	if path, ok := errors.AsType[*fs.PathError](err); ok {
		err = path.Err
	}
	return strings.ReplaceAll(err.Error(), "\n", " ")
}

// mismatch is the error for a key and a certificate that do not belong together.
func mismatch(key, certificate string) error {
	return badFile(key, "this private key does not belong to the certificate in "+certificate,
		"take the two that were made together")
}

// checkValidity compares the time in which a certificate is valid with the present.
func checkValidity(file string, notBefore, notAfter, now time.Time) error {
	e := &CredentialsError{File: file}
	switch {
	case now.Before(notBefore):
		e.Problem = "not valid before " + clock(notBefore) + ", and the clock says " + clock(now)
		e.Remedy, e.early = clockRemedy(now), true
	case now.After(notAfter):
		e.Problem = "expired on " + clock(notAfter) + ", and the clock says " + clock(now)
		e.Remedy = "make a new certificate, or set the clock if it is wrong"
	default:
		return nil
	}
	return e
}

// clockRemedy says what to do about a certificate that is not valid yet.
func clockRemedy(now time.Time) string {
	if now.Before(clockFloor) {
		return "is the clock set? run ntpd -q, or date -s; --wait-for-clock waits until it is"
	}
	return "wait until then, or set the clock if it is wrong"
}
