package peers

import (
	"os/exec"
	"syscall"
)

// dieTogether ends cmd with this process, also when that is killed or ends by a time-out of go test.
func dieTogether(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}
