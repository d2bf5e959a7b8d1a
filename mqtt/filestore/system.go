package filestore

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
)

// system is what the store asks of the operating system: the seam where the tests put a disk that fails, that tears
// writes apart and forgets them in a power cut.
type system interface {
	mkdir(dir string) error
	lock(name string) (io.Closer, error)            // ErrLocked if somebody has it
	open(name string) (f file, size int64, e error) // an existing file
	create(name string) (file, error)               // a new one
	rename(from, to string) error                   // in place of what may be there; both are closed
	remove(name string) error
	syncDir(dir string) error // makes the names in dir durable
}

// file is an open file.
type file interface {
	io.ReaderAt
	io.WriterAt
	Truncate(size int64) error
	Sync() error
	Close() error
}

// disk is the real system. Only the user may read what it makes: messages may be secret.
type disk struct{}

func (*disk) mkdir(dir string) error { return os.Mkdir(dir, 0o700) }

func (*disk) open(name string) (file, int64, error) {
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		return nil, 0, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = &fs.PathError{Op: "open", Path: name, Err: errors.New("not a regular file")}
	}
	if err != nil {
		f.Close()
		return nil, 0, err
	}
	return f, info.Size(), nil
}

func (*disk) create(name string) (file, error) {
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, err
	}
	return f, nil
}

func (*disk) rename(from, to string) error { return os.Rename(from, to) }

func (*disk) remove(name string) error { return os.Remove(name) }

func (*disk) syncDir(dir string) error {
	if runtime.GOOS == "windows" {
		return nil // it has no such call: NTFS keeps names in its journal
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

// lock takes the lock of the operating system on a file, which ends with the process at the latest. What the file says
// is for people.
func (*disk) lock(name string) (io.Closer, error) {
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	switch err := lockFile(f); {
	case errors.Is(err, ErrLocked):
		by := readOwner(f)
		f.Close()
		return nil, errorf("%w: %s is open %s; stop that, or use another directory", ErrLocked, filepath.Dir(name), by)
	case err != nil:
		f.Close()
		return nil, &fs.PathError{Op: "lock", Path: name, Err: err}
	}
	host, _ := os.Hostname()
	f.Truncate(0)
	fmt.Fprintf(f, "%d %q\n", os.Getpid(), host)
	return f, nil
}

func readOwner(f *os.File) string {
	b := make([]byte, 300)
	n, _ := f.Read(b)
	line, _, _ := strings.Cut(string(b[:n]), "\n")
	pid, host, _ := strings.Cut(line, " ")
	if _, err := strconv.Atoi(pid); err != nil {
		return "in another process"
	}
	if host = strings.Trim(host, `"`); host != "" {
		return fmt.Sprintf("in process %s on %q", pid, host)
	}
	return "in process " + pid
}
