package cli

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestWhatIsATerminal(t *testing.T) {
	null, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	file, err := os.Create(filepath.Join(t.TempDir(), "file"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if isTerminal(null) || isTerminal(file) {
		t.Errorf("the null device is one: %t, a file is one: %t", isTerminal(null), isTerminal(file))
	}
	terminal, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Skip("there is no terminal here to look at:", err)
	}
	defer terminal.Close()
	if !isTerminal(terminal) {
		t.Error("a terminal is none")
	}
}

func TestVersionSaysWhatItWasBuiltWith(t *testing.T) {
	if fields := strings.Fields(Version()); len(fields) != 3 || !strings.HasPrefix(fields[1], "go") || !strings.Contains(fields[2], "/") {
		t.Errorf("%q", Version())
	}
}
