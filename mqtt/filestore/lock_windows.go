package filestore

import (
	"os"
	"syscall"
	"unsafe"
)

// lockFile takes the lock on f, without waiting. It goes when f is closed, in whatever way. Locked is a byte far behind
// the end, since on Windows nobody else could read one that is locked.
func lockFile(f *os.File) error {
	const (
		failImmediately = 1
		exclusive       = 2
		lockViolation   = syscall.Errno(33)
	)
	lockFileEx := syscall.NewLazyDLL("kernel32.dll").NewProc("LockFileEx")
	at := syscall.Overlapped{OffsetHigh: 1 << 30}
	ok, _, err := lockFileEx.Call(f.Fd(), failImmediately|exclusive, 0, 1, 0, uintptr(unsafe.Pointer(&at)))
	switch {
	case ok != 0:
		return nil
	case err == lockViolation || err == syscall.ERROR_IO_PENDING:
		return ErrLocked
	}
	return err
}
