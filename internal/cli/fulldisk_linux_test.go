package cli

import (
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
)

const noFullDisk = ""

// fillDisk makes every later write to the file of the store in dir, which is open, fail for want of room: /dev/full takes
// its place.
func fillDisk(t *testing.T, dir string) {
	t.Helper()
	dir, err := filepath.EvalSymlinks(dir)
	if err != nil {
		t.Fatal(err)
	}
	full, err := os.OpenFile("/dev/full", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer full.Close()
	descriptors, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range descriptors {
		name, _ := os.Readlink(filepath.Join("/proc/self/fd", d.Name()))
		if name != filepath.Join(dir, "session") {
			continue
		}
		number, err := strconv.Atoi(d.Name())
		if err == nil {
			err = syscall.Dup3(int(full.Fd()), number, syscall.O_CLOEXEC)
		}
		if err != nil {
			t.Fatal(err)
		}
		return
	}
	t.Fatalf("no store is open in %s", dir)
}
