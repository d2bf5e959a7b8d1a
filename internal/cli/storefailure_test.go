package cli

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"

	"iotwire/iot"
	"iotwire/mqtt"
	"iotwire/mqtt/packet"
)

// The error says once that it is the store, and which one.
func TestExitCode1WhenTheDiskOfTheStoreIsFull(t *testing.T) {
	if noFullDisk != "" {
		t.Skip(noFullDisk)
	}
	cause := func(program, store string) []string {
		return []string{program + "the session store failed: write " + store +
			"/session: no space left on device; the store takes nothing until it is opened again",
			"  is the disk of --store full? what is in the store stays there"}
	}
	t.Run("publisher", func(t *testing.T) {
		store := t.TempDir()
		synctest.Test(t, func(t *testing.T) {
			b, got := observed(t)
			lines := make(slowLines)
			r := start(t, Publisher, to(b.Dial), stdin(lines), "--persistent", "--store", store, "-l")
			lines <- "one\n"
			synctest.Wait()
			fillDisk(t, store)
			lines <- "two\n"
			r.ended(ExitLocal, cause("publisher: 1 acknowledged, 1 sent but not acknowledged, 0 not sent: ", store)...)
			close(lines)
			if m := got.messages(); len(m) != 1 {
				t.Errorf("the server has %q, want one", m)
			}
		})
	})
	t.Run("subscriber", func(t *testing.T) {
		store := t.TempDir()
		synctest.Test(t, func(t *testing.T) {
			b, got := observed(t)
			r := start(t, Subscriber, to(b.Dial), nil, "--persistent", "--store", store, "-t", "a", "-q", "2")
			synctest.Wait()
			fillDisk(t, store)
			b.Publish("a", []byte("x"), packet.QoS2, false)
			r.ended(ExitLocal, cause("subscriber: ", store)...)
			if n := got.count(packet.PUBREC); n != 0 {
				t.Errorf("%d PUBREC left for what was not stored", n)
			}
		})
	})
}

// The messages end with the client. Whichever is heard of first, it is the store that failed.
func TestExitCode1WhenTheMessagesSayThatTheStoreFailed(t *testing.T) {
	var stderr bytes.Buffer
	cause := fmt.Errorf("%w: %w", mqtt.ErrStore, syscall.ENOSPC)
	r := &publishing{
		o:      &publisherOptions{},
		server: &iot.Config{},
		log:    &console{program: "publisher", out: &stderr},
		tally:  tally{total: 1, kept: 1},
		undone: fmt.Errorf("%w: %w: %w", mqtt.ErrStored, mqtt.ErrClosed, cause),
	}
	const want = "publisher: 0 of 1 sent, 1 kept for a later run: the session store failed: no space left on device\n" +
		"  is the disk of --store full? what is in the store stays there\n"
	if code := r.report(0); code != ExitLocal || stderr.String() != want {
		t.Errorf("exit code %d, and it said\n%swant exit code %d and\n%s", code, &stderr, ExitLocal, want)
	}
}

// What the store has no room for is said to be not sent, once, and what is in it stays.
func TestExitCode1WhenTheStoreIsFull(t *testing.T) {
	store := t.TempDir()
	file := filepath.Join(t.TempDir(), "payload")
	if err := os.WriteFile(file, bytes.Repeat([]byte("x"), 30<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		r := run(t, Publisher, refused, nil, "--persistent", "--store", store, "-n", "4", "-i", "0", "-f", file)
		r.wait()
		const want = "publisher: 0 of 4 acknowledged, 2 kept for a later run, 0 sent but not acknowledged, 2 not sent: session store full: "
		if lines := strings.SplitAfter(r.stderr.String(), "\n"); r.exit != ExitLocal || !strings.HasPrefix(lines[len(lines)-2], want) {
			t.Errorf("exit code %d, and it said\n%swant exit code %d and, at the end,\n%s", r.exit, r.stderr.String(), ExitLocal, want)
		}
	})
}
