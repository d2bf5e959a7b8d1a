//go:build !linux && !darwin && !freebsd

package cli

import "os"

// columns is how wide the terminal f is: here nobody says.
func columns(*os.File) int { return 0 }
