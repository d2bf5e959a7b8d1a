package filestore

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"syscall"
	"testing"

	"iotwire/mqtt"
)

// shortWrite is what a full disk makes of a write that has room for a part of it.
var shortWrite = errors.Join(io.ErrShortWrite, syscall.ENOSPC)

func TestEveryCallOfTheSystemFailsInTurn(t *testing.T) {
	t.Parallel()
	for _, failure := range []struct {
		name string
		err  error
		on   []string // the calls that fail; nil: all
	}{
		{"disk full", syscall.ENOSPC, []string{"mkdir", "create", "write", "sync", "syncDir"}},
		{"half a write", shortWrite, []string{"write"}},
		{"input/output error", syscall.EIO, nil},
	} {
		for _, lasting := range []bool{false, true} {
			runs := 0
			for n := 1; ; n++ {
				if !failNth(t, n, failure.err, failure.on, lasting) || t.Failed() {
					break
				}
				runs++
			}
			t.Logf("%s, lasting %t: %d places", failure.name, lasting, runs)
			if runs < 30 {
				t.Errorf("%s, lasting %t: only %d places", failure.name, lasting, runs)
			}
		}
	}
}

// failNth plays the script on a disk of which the n-th call fails, and lasting: all later ones. It reports whether there
// was an n-th call.
func failNth(t *testing.T, n int, failure error, on []string, lasting bool) (failed bool) {
	d := newMemoryDisk()
	var at string
	d.fault = func(call string) error {
		if on != nil && !slices.Contains(on, call) {
			return nil
		}
		if n--; n == 0 || lasting && n < 0 {
			failed, at = true, call
			return failure
		}
		return nil
	}
	err := playWithFailures(t, d, failure)
	d.fault = nil
	if !failed {
		must(t, err)
		return false
	}
	if err != nil && !errors.Is(err, failure) {
		t.Errorf("%v of %s: the error is %v", failure, at, err)
	}

	// The process ends, or the power fails: what was acknowledged is there.
	owed := promised(d.log)
	report := func(when string, records map[mqtt.Key]string, broken map[mqtt.Key]error, err error) {
		if err == nil {
			err = owed.check(records)
		}
		if (err != nil || len(broken) > 0) && !t.Failed() {
			t.Errorf("%v of %s (lasting %t), and then %s: %v %v", failure, at, lasting, when, err, broken)
		}
	}
	powerCuts(d.log, coarse, func(a after) {
		records, broken, _, err := recovered(a.boot())
		report("a power cut, "+a.what, records, broken, err)
	})
	records, broken, _, err := recovered(d)
	report("a new process", records, broken, err)
	return true
}

// playWithFailures plays the script to the first error, and checks what that promises.
func playWithFailures(t *testing.T, d *memoryDisk, failure error) error {
	s, err := open(d, crashSlack, "d", "client", Options{})
	if err != nil {
		return err
	}
	defer func() {
		if s != nil {
			s.Close()
		}
	}()
	now := map[mqtt.Key]string{}
	for _, c := range script() {
		d.mark(c)
		err := c.do(s)
		switch {
		case err == nil:
			d.mark(ack{c})
			c.apply(now)
		case c.close:
			return err
		case c.reset && s.broken == nil:
			d.fault = nil
			got, broken := collect(s)
			if !maps.Equal(got, now) || len(broken) > 0 {
				t.Errorf("Reset failed with %v, and then: %v %v, want %v", failure, abridged(got), broken, abridged(now))
			}
			more := call{put: []mqtt.Record{record(1, "more")}}
			d.log = slices.DeleteFunc(d.log, func(e event) bool { c, ok := e.mark.(call); return ok && c.reset })
			d.mark(more)
			must(t, more.do(s))
			d.mark(ack{more})
			return err
		default:
			for name, call := range calls {
				if again := call(s); !errors.Is(again, failure) || again.Error() != err.Error() {
					t.Errorf("%v failed with %q, and then %s returned %v", c, err, name, again)
				}
				if strings.Contains(err.Error(), "\n") && failure != shortWrite {
					t.Errorf("more than one line: %q", err)
				}
			}
			return err
		}
		if c.close {
			if s, err = open(d, crashSlack, "d", "client", Options{}); err != nil {
				return err
			}
		}
	}
	return nil
}

func TestEveryCallOfAnOpenThatRepairsFailsInTurn(t *testing.T) {
	whole := sample(t)
	last := frames(whole)
	f := newFormat("client")
	next := last[len(last)-1].sequence + 1
	holes := f.appendHead(slices.Clone(whole), head{sequence: next, operation: keep, settles: true, key: key(1)})
	holes = f.appendHead(holes, head{sequence: next + 1, operation: keep, key: key(3), length: 5, sum: 1})
	holes = f.appendHead(append(holes, "wrong"...), head{sequence: next + 2, operation: keep, key: key(8)})
	for name, file := range map[string][]byte{"holes": holes, "rest": append(slices.Clone(whole), "rest"...), "header": whole[:5], "long": append(holes, make([]byte, windowSize)...)} {
		d := newMemoryDisk()
		d.put("d/session", file)
		records, _, warned, err := recovered(d)
		must(t, err)
		if warned != 1 {
			t.Errorf("%s: %d warnings, want one", name, warned)
		}
		failed := true
		for n := 1; failed; n++ {
			failed = false
			calls := 0
			d := newMemoryDisk()
			d.put("d/session", file)
			d.fault = func(string) error {
				calls++
				if failed = failed || calls == n; calls == n {
					return syscall.EIO
				}
				return nil
			}
			s, err := open(d, 1<<20, "d", "client", Options{})
			d.fault = nil
			if err == nil {
				must(t, s.Close())
			} else if !errors.Is(err, syscall.EIO) {
				t.Errorf("%s, call %d fails: %v", name, n, err)
			}
			got, broken, _, err := recovered(d)
			if err != nil || !maps.Equal(got, records) || len(broken) > 0 {
				t.Errorf("%s, after call %d failed: %v %v %v, want %v", name, n, err, abridged(got), broken, abridged(records))
			}
			if !failed && n < 10 {
				t.Errorf("%s: only %d calls", name, n)
			}
		}
	}
}

func TestAFullDiskInARewritingDoesNoHarm(t *testing.T) {
	for _, call := range []string{"create", "write", "sync", "rename", "close"} {
		d := newMemoryDisk()
		warned := 0
		s := opened(t, d, "d", Options{Warn: func(err error) {
			if !errors.Is(err, syscall.ENOSPC) {
				t.Errorf("warned of %v", err)
			}
			warned++
		}})
		var temp bool // the file that fails is the new one
		d.fault = func(c string) error {
			switch c {
			case "create":
				temp = true
			case "rename":
				temp = call == "rename"
			}
			if c == call && temp {
				temp = false
				return syscall.ENOSPC
			}
			return nil
		}
		for n := range 200 {
			must(t, s.Put(record(n%3, strings.Repeat("x", 50)+fmt.Sprint(n))))
		}
		if warned < 3 || warned > 20 {
			t.Errorf("no room at %s: %d warnings for 200 records", call, warned)
		}
		if d.names["d/session.new"] != nil {
			t.Errorf("no room at %s: the new file was left behind", call)
		}
		now := []mqtt.Record{}
		for n := 197; n < 200; n++ {
			now = append(now, record(n%3, strings.Repeat("x", 50)+fmt.Sprint(n)))
		}
		want(t, s, now...)
		d.fault = nil
		before := len(d.content("d/session"))
		for n := 200; n < 300; n++ {
			must(t, s.Put(record(n%3, strings.Repeat("x", 50)+fmt.Sprint(n))))
		}
		if after := len(d.content("d/session")); after >= before {
			t.Errorf("no room at %s: with room again the file has %d bytes after %d", call, after, before)
		}
	}
}

func TestTheFileIsBoundedAlthoughItCannotBeRewritten(t *testing.T) {
	d := newMemoryDisk()
	s := opened(t, d, "d", Options{MaxBytes: 2000})
	d.fault = func(call string) error {
		if call == "create" {
			return syscall.EDQUOT
		}
		return nil
	}
	refused, n := 0, 0
	for ; n < 1000; n++ {
		err := s.Put(record(n, strings.Repeat("x", 100)))
		switch {
		case errors.Is(err, ErrFull) && errors.Is(err, syscall.EDQUOT):
			refused++
		case err != nil:
			t.Fatal(err)
		default:
			must(t, s.Delete(key(n-5)))
		}
	}
	if size := len(d.content("d/session")); size > 4*(2000+1<<10)+500 || refused == 0 {
		t.Errorf("the file has %d bytes, %d records were refused", size, refused)
	}
	records, _ := collect(s)
	must(t, s.Delete(slices.Collect(maps.Keys(records))...))
	d.fault = nil
	if err := s.Put(record(n, "x")); !errors.Is(err, ErrFull) {
		t.Errorf("%v, want ErrFull once more", err)
	}
	must(t, s.Put(record(n, "x")))
	want(t, s, record(n, "x"))
}
