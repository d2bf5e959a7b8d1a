//go:build !(darwin || dragonfly || freebsd || linux || netbsd || openbsd || windows)

package filestore

import (
	"errors"
	"os"
)

// lockFile refuses: two owners would destroy the session, and nothing here keeps them apart.
func lockFile(*os.File) error { return errors.ErrUnsupported }
