package filestore

import (
	"bufio"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"iotwire/mqtt"
)

// children are what this test program does in place of tests when it runs itself: to be killed, or with little room.
var children = map[string]func(dir string){
	"hold":     hold,
	"write":    write,
	"fillDisk": fillDisk,
}

const childVariable = "FILESTORE_TEST_CHILD"

func TestMain(m *testing.M) {
	if name := os.Getenv(childVariable); name != "" {
		children[name](os.Args[1])
		return
	}
	os.Exit(m.Run())
}

// child is a process that is one of children.
type child struct {
	*bufio.Scanner // the lines that it prints
	command        *exec.Cmd
}

func start(t *testing.T, name, dir string) *child {
	t.Helper()
	c := &child{command: exec.Command(os.Args[0], dir)}
	c.command.Env = append(os.Environ(), childVariable+"="+name)
	c.command.Stderr = os.Stderr
	out, err := c.command.StdoutPipe()
	must(t, err)
	c.Scanner = bufio.NewScanner(out)
	must(t, c.command.Start())
	t.Cleanup(func() {
		c.kill()
		c.wait()
	})
	return c
}

func (c *child) kill() { c.command.Process.Kill() }

// wait waits for the end of the process. What it printed and nobody read is lost.
func (c *child) wait() {
	for c.Scan() {
	}
	c.command.Wait()
}

func childOpen(dir string) *Store {
	s, err := open(&disk{}, 4<<10, dir, "client", Options{})
	if err != nil {
		fmt.Println("error", err)
		os.Exit(1)
	}
	return s
}

func hold(dir string) {
	childOpen(dir)
	fmt.Println("open")
	select {}
}

// content is the data of record n: of any length up to some thousand bytes, and different for each.
func content(n int) string {
	return strings.Repeat(fmt.Sprint(n, ","), n*7919%2000/len(fmt.Sprint(n, ",")))
}

// write puts and deletes records as fast as it can, and prints what it was promised: "put n" and "deleted n" once they
// are durable. It goes on where the file ends.
func write(dir string) {
	s := childOpen(dir)
	next := 0
	for r, err := range s.All() {
		if err != nil {
			fmt.Println("error", err)
			os.Exit(1)
		}
		next = max(next, int(r.Key.N)+1)
	}
	for n := next; ; n += 3 {
		err := errors.Join(s.Put(record(n, content(n)), record(n+1, content(n+1))), s.Delete(key(n-30)), s.Put(record(n+2, content(n+2))))
		if err != nil {
			fmt.Println("error", err)
			os.Exit(1)
		}
		fmt.Printf("put %d\nput %d\nput %d\ndeleted %d\n", n, n+1, n+2, n-30)
	}
}

func TestKilledProcessLosesNothing(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if memory, err := os.MkdirTemp("/dev/shm", "filestore"); err == nil {
		defer os.RemoveAll(memory)
		dir = memory // a kill spares what the operating system has, so that a disk would add nothing but time
	}
	promised := map[int]bool{}
	gone := map[int]bool{}
	kills, acknowledged := 50, 0
	for range kills {
		c := start(t, "write", dir)
		for at := rand.IntN(50); c.Scan(); at-- {
			if at == 0 {
				time.AfterFunc(time.Duration(rand.IntN(1000))*time.Microsecond, c.kill)
			}
			var n int
			switch _, err := fmt.Sscanf(c.Text(), "put %d", &n); {
			case err == nil:
				promised[n] = true
				acknowledged++
			case strings.HasPrefix(c.Text(), "error"):
				t.Fatal(c.Text())
			default:
				if _, err := fmt.Sscanf(c.Text(), "deleted %d", &n); err == nil {
					delete(promised, n)
					gone[n] = true
				}
			}
		}
		c.wait()
		s := opened(t, &disk{}, dir, Options{Warn: func(err error) { t.Log(err) }})
		has := map[int]bool{}
		for r, err := range s.All() {
			must(t, err)
			n := int(r.Key.N)
			has[n] = true
			if string(r.Data) != content(n) {
				t.Errorf("record %d is not what was put", n)
			}
			if gone[n] {
				t.Errorf("record %d is back, although a Put returned after its Delete", n)
			}
		}
		for n := range promised {
			// The child may have deleted it, and died before it said so.
			if !has[n] && !has[n+33] && !has[n+32] && !has[n+31] && !has[n+30] {
				t.Errorf("record %d is lost", n)
			}
		}
		must(t, s.Close())
		if t.Failed() {
			return
		}
	}
	t.Logf("%d kills, %d records promised", kills, acknowledged)
	if acknowledged < kills {
		t.Errorf("only %d records were promised", acknowledged)
	}
}

func TestASecondOwnerIsRefused(t *testing.T) {
	dir := t.TempDir()
	s := opened(t, &disk{}, dir, Options{})
	must(t, s.Put(record(1, "one")))
	refused := func(pid int) {
		t.Helper()
		if _, err := Open(dir, "client", Options{}); !errors.Is(err, ErrLocked) || !strings.Contains(err.Error(), fmt.Sprintf("process %d", pid)) ||
			!strings.Contains(err.Error(), dir) || strings.Contains(err.Error(), "\n") {
			t.Errorf("the second Open: %v, want ErrLocked that names process %d", err, pid)
		}
	}
	refused(os.Getpid())
	c := start(t, "hold", dir)
	c.Scan()
	if want := "error " + ErrLocked.Error(); !strings.HasPrefix(c.Text(), want) {
		t.Errorf("another process: %q, want %q", c.Text(), want)
	}
	c.kill()
	c.wait()
	must(t, s.Close())

	c = start(t, "hold", dir)
	c.Scan()
	if c.Text() != "open" {
		t.Errorf("another process, after Close: %q", c.Text())
	}
	refused(c.command.Process.Pid)
	c.kill()
	c.wait()
	s, err := Open(dir, "client", Options{})
	must(t, err)
	want(t, s, record(1, "one"))
	must(t, s.Close())
}

func TestAnOwnerThatSaysNothingIsNamedAsWell(t *testing.T) {
	dir := t.TempDir()
	s := opened(t, &disk{}, dir, Options{})
	for _, says := range []string{"", "x", "12", "12 \"unfinished", strings.Repeat("9", 1000), "\n\n12"} {
		must(t, os.WriteFile(s.path(lockName), []byte(says), 0o600))
		if _, err := Open(dir, "client", Options{}); !errors.Is(err, ErrLocked) || strings.ContainsAny(err.Error(), "\n\r\x00") || len(err.Error()) > 1000 {
			t.Errorf("with %.20q in the lock file: %v, want ErrLocked in one line", says, err)
		}
	}
}

// fillDisk writes until a write fails, and prints what it was promised, and the error of each call then.
func fillDisk(dir string) {
	limitFileSize(20000)
	s := childOpen(dir)
	for n := range 1000 {
		if err := s.Put(mqtt.Record{Key: key(n), Data: []byte(content(n))}); err != nil {
			break
		}
		fmt.Println("put", n)
	}
	for name, call := range calls {
		fmt.Printf("failed %s: %v\n", name, call(s))
	}
}

func TestAFileThatMayNotGrow(t *testing.T) {
	if reason := noFileSizeLimit; reason != "" {
		t.Skip(reason)
	}
	dir := t.TempDir()
	lines := start(t, "fillDisk", dir)
	last, failed := -1, 0
	for lines.Scan() {
		var n int
		if _, err := fmt.Sscanf(lines.Text(), "put %d", &n); err == nil {
			last = n
			continue
		}
		failed++
		if !strings.HasSuffix(lines.Text(), ": write "+filepath.Join(dir, logName)+": file too large; the store takes nothing until it is opened again") {
			t.Errorf("%s, want the error of the write, which names the file, and what follows from it", lines.Text())
		}
	}
	if last < 5 || last > 100 || failed != len(calls) {
		t.Fatalf("%d records and %d failed calls", last+1, failed)
	}
	warned := 0
	s := opened(t, &disk{}, dir, Options{Warn: func(err error) {
		if warned++; !strings.Contains(err.Error(), "the disk was full") {
			t.Errorf("it warns of %v, which does not say what happened", err)
		}
	}})
	records, broken := collect(s)
	for n := range last + 1 {
		if got, there := records[key(n)]; !there || got != content(n) {
			t.Errorf("record %d is lost", n)
		}
	}
	if len(broken) > 0 || warned != 1 {
		t.Errorf("reports %v and %d warnings, want only a warning of the write that had no room", broken, warned)
	}
	must(t, s.Put(record(5000, "room again")))
	must(t, s.Close())
}
