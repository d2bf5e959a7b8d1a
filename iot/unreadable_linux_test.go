package iot

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"
)

// open lets everybody pass to dir.
func open(t *testing.T, dir string, mode os.FileMode) {
	t.Helper()
	for dir, mode := range map[string]os.FileMode{filepath.Dir(dir): 0o755, dir: mode} {
		if err := os.Chmod(dir, mode); err != nil {
			t.Fatal(err)
		}
	}
}

// asNobody runs f with the rights of a user who owns nothing, even if the tests run as root.
func asNobody(t *testing.T, f func()) {
	t.Helper()
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with the goroutine
		if os.Getuid() == 0 {
			if err := syscall.Setfsuid(65534); err != nil {
				done <- err
				return
			}
		}
		f()
		done <- nil
	}()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

func TestFilesThatMayNotBeRead(t *testing.T) {
	ca := authority("CA")
	device := issue(ca, ecdsaKey(), nil)
	for _, name := range []string{"private.key", "cert.pem", "AmazonRootCA1.pem"} {
		dir := files(t, map[string][]byte{"private.key": device.keyPEM(), "cert.pem": device.certificatePEM(), "AmazonRootCA1.pem": ca.certificatePEM()})
		open(t, dir, 0o755)
		for _, file := range []string{"private.key", "cert.pem", "AmazonRootCA1.pem"} {
			mode := os.FileMode(0o644)
			if file == name {
				mode = 0
			}
			if err := os.Chmod(filepath.Join(dir, file), mode); err != nil {
				t.Fatal(err)
			}
		}
		asNobody(t, func() {
			_, err := LoadCredentials(dir)
			expect(t, name, err, name, "permission denied", "chmod")
			if !errors.Is(err, fs.ErrPermission) {
				t.Errorf("%v does not match fs.ErrPermission", err)
			}
		})
	}
	dir := files(t, nil)
	open(t, dir, 0o311) // may be entered, not listed
	asNobody(t, func() {
		_, err := LoadCredentials(dir)
		expect(t, "a directory that may not be listed", err, filepath.Base(dir), "permission denied")
	})
}

func TestFilesThatAreNotRegular(t *testing.T) {
	ca := authority("CA")
	device := issue(ca, ecdsaKey(), nil)
	dir := files(t, map[string][]byte{"cert.pem": device.certificatePEM(), "AmazonRootCA1.pem": ca.certificatePEM()})
	path := filepath.Join(dir, "private.key")
	if err := syscall.Mkfifo(path, 0o600); err != nil { // opening it would wait for ever
		t.Fatal(err)
	}
	_, err := LoadCredentials(dir)
	expect(t, "a named pipe", err, "private.key", "not a regular file")
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/dev/zero", path); err != nil { // reading it would never end
		t.Fatal(err)
	}
	_, err = LoadCredentials(dir)
	expect(t, "a device", err, "private.key", "not a regular file")
}
