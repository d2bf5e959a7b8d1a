//go:build !unix

package advisor

import "os/exec"

// ownGroup does nothing: only the process itself can be ended here.
func ownGroup(*exec.Cmd) {}

func terminateGroup(cmd *exec.Cmd) { cmd.Process.Kill() }

func killGroup(cmd *exec.Cmd) { cmd.Process.Kill() }
