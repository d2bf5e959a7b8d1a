package cli

import (
	"io"
	"io/fs"
	"os"
	"syscall"
	"unsafe"
)

// awaitNoReader returns true when out is a pipe that nobody reads any more, and false, at once, if it is no pipe. Without
// it a subscriber whose "| head -1" has seen enough would stay until the next message.
func awaitNoReader(out io.Writer) bool {
	f, ok := out.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	if err != nil || info.Mode()&fs.ModeNamedPipe == 0 {
		return false
	}
	raw, err := f.SyscallConn()
	if err != nil {
		return false
	}
	const pollError = 8 // POLLERR, which is reported whether or not one asks for it
	var watched struct {
		fd               int32
		events, happened int16
	}
	err = raw.Control(func(fd uintptr) {
		watched.fd = int32(fd)
		for failed := syscall.EINTR; failed == syscall.EINTR; {
			_, _, failed = syscall.Syscall6(syscall.SYS_PPOLL, uintptr(unsafe.Pointer(&watched)), 1, 0, 0, 0, 0)
		}
	})
	return err == nil && watched.happened&pollError != 0
}
