package cli

import (
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"unsafe"
)

// openPTY opens a pseudo terminal: what is written to master was typed, what is read from it is to be shown.
func openPTY(t *testing.T) (master, terminal *os.File) {
	t.Helper()
	control := func(request uintptr, value unsafe.Pointer) {
		if _, _, errno := syscall.Syscall(syscall.SYS_IOCTL, master.Fd(), request, uintptr(value)); errno != 0 {
			t.Fatalf("/dev/ptmx: ioctl %#x: %v", request, errno)
		}
	}
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Skipf("no pseudo terminals here: %v", err)
	}
	var locked, number int32
	control(syscall.TIOCSPTLCK, unsafe.Pointer(&locked))
	control(syscall.TIOCGPTN, unsafe.Pointer(&number))
	terminal, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Skipf("no pseudo terminals here: %v", err)
	}
	return master, terminal
}

// resize tells the terminal how many columns its window has.
func resize(t *testing.T, master *os.File, columns int) {
	t.Helper()
	size := struct{ rows, columns, x, y uint16 }{rows: 24, columns: uint16(columns)}
	if _, _, errno := syscall.Syscall(syscall.SYS_IOCTL, master.Fd(), syscall.TIOCSWINSZ, uintptr(unsafe.Pointer(&size))); errno != 0 {
		t.Fatalf("TIOCSWINSZ: %v", errno)
	}
}

// ownSession makes the terminal that is standard input the one whose Ctrl-C reaches cmd.
func ownSession(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true, Ctty: 0}
}
