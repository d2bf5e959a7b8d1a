package filestore

import "syscall"

const noFileSizeLimit = ""

// limitFileSize makes every write of this process behind size fail, as on a full disk.
func limitFileSize(size uint64) {
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: size, Max: size}); err != nil {
		panic(err)
	}
}
