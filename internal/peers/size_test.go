package peers

import (
	"debug/elf"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// TestTracesAreSmall builds the publisher with and without what shows and records packets, as a device would get it: traces,
// the page and the capture together add less than 250 000 bytes. What counts is what the sections hold, as a file grows by
// whole pages of memory.
func TestTracesAreSmall(t *testing.T) {
	const most = 250_000
	size := func(tags string) (held, whole int64) {
		file := filepath.Join(t.TempDir(), "publisher")
		cmd := exec.Command("go", "build", "-tags", tags, "-trimpath", "-ldflags", "-s -w", "-o", file, "./cmd/publisher")
		cmd.Dir = filepath.Join("..", "..")
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH=amd64")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		f, err := elf.Open(file)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		for _, s := range f.Sections {
			if s.Type != elf.SHT_NOBITS {
				held += int64(s.Size)
			}
		}
		info, err := os.Stat(file)
		if err != nil {
			t.Fatal(err)
		}
		return held, info.Size()
	}
	with, whole := size("")
	without, rest := size("notrace")
	t.Logf("traces, page and capture take %d bytes: the publisher has %d, and %d without them", with-without, whole, rest)
	if with-without > most {
		t.Errorf("traces, page and capture take %d bytes, want %d at most: go tool nm -size -sort size says where they are", with-without, most)
	}
	if with-without < most/10 {
		t.Errorf("the tag notrace leaves out %d bytes only: something uses mqtt/dissect without asking whether there is tracing", with-without)
	}
}
