package filestore

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"iotwire/mqtt"
)

// call is a call of the store in a history. The marks of a disk's log are calls, as they begin, and acks, as they succeed.
type call struct {
	put    []mqtt.Record
	delete []mqtt.Key
	reset  bool
	close  bool // and open again
}

type ack struct{ call }

func (c call) String() string {
	return fmt.Sprintf("{put %d delete %d reset %t close %t}", len(c.put), len(c.delete), c.reset, c.close)
}

func (c call) do(s *Store) error {
	switch {
	case c.reset:
		return s.Reset()
	case c.delete != nil:
		return s.Delete(c.delete...)
	case c.close:
		return s.Close()
	}
	return s.Put(c.put...)
}

// apply does c to a map.
func (c call) apply(records map[mqtt.Key]string) {
	if c.reset {
		clear(records)
	}
	for _, r := range c.put {
		records[r.Key] = string(r.Data)
	}
	for _, k := range c.delete {
		delete(records, k)
	}
}

// script is a history with everything in it: groups, replacements, Deletes that nothing follows, no data, and enough
// garbage, at the slack that the tests open with, for the file to be rewritten several times.
func script() (calls []call) {
	put := func(records ...mqtt.Record) { calls = append(calls, call{put: records}) }
	del := func(keys ...mqtt.Key) { calls = append(calls, call{delete: keys}) }
	put(record(1, "one"))
	put(record(2, ""), record(3, strings.Repeat("three", 20)), record(4, "four"))
	del(key(2))
	del(key(3), key(1))
	put(record(1, "one again"), record(5, "five"), record(4, ""))
	put()
	calls = append(calls, call{close: true})
	put(record(6, strings.Repeat("six", 50)), record(3, strings.Repeat("drei", 20)), record(1, "eins"))
	del(key(5))
	calls = append(calls, call{reset: true})
	put(record(7, "seven"))
	put(record(7, strings.Repeat("sieben", 10)), record(8, "eight"), record(7, strings.Repeat("sept", 10)))
	del(key(7))
	for n := range 14 {
		put(record(8, strings.Repeat("x", 60)+fmt.Sprint(n)), record(9+n%3, strings.Repeat("y", 20+n)))
		del(key(9 + (n+1)%3))
	}
	calls = append(calls, call{close: true})
	del(key(8))
	put(record(10, "ten"))
	return calls
}

const crashSlack = 300

// play plays a history on a disk, and leaves marks. It stops at the first call that fails.
func play(d *memoryDisk, calls []call) error {
	s, err := open(d, crashSlack, "d", "client", Options{})
	if err != nil {
		return err
	}
	for _, c := range calls {
		d.mark(c)
		if err := c.do(s); err != nil {
			return err
		}
		d.mark(ack{c})
		if c.close {
			if s, err = open(d, crashSlack, "d", "client", Options{}); err != nil {
				return err
			}
		}
	}
	d.mark(call{close: true})
	return s.Close()
}

// promise is what a store owes after a crash: what is durable, and the calls since, of which any part may be.
type promise struct {
	durable map[mqtt.Key]string
	since   []call
}

func promised(log []event) promise {
	p := promise{durable: map[mqtt.Key]string{}}
	for _, e := range log {
		switch m := e.mark.(type) {
		case call:
			p.since = append(p.since, m)
		case ack:
			if m.delete != nil {
				continue // durable with the next Put
			}
			for _, c := range p.since {
				c.apply(p.durable)
			}
			p.since = nil
		}
	}
	return p
}

// check says what is wrong with what a store had after a crash.
func (p promise) check(records map[mqtt.Key]string) error {
	if n := len(p.since); n > 0 && p.since[n-1].reset && len(records) == 0 {
		return nil // all or nothing
	}
	legal := map[mqtt.Key]map[string]bool{} // "-" is none, "=x" is x
	for k, v := range p.durable {
		legal[k] = map[string]bool{"=" + v: true}
	}
	add := func(k mqtt.Key, v string) {
		if legal[k] == nil {
			legal[k] = map[string]bool{"-": true}
		}
		legal[k][v] = true
	}
	for _, c := range p.since {
		for _, r := range c.put {
			add(r.Key, "="+string(r.Data))
		}
		for _, k := range c.delete {
			add(k, "-")
		}
	}
	for k, v := range records {
		if !legal[k]["="+v] {
			return fmt.Errorf("made up: %v is %.30q, want one of %v", k, v, legal[k])
		}
	}
	// What was deleted is not gone before the next call, nor without the records of the Put that this may be.
	before := maps.Clone(p.durable)
	for i, c := range p.since {
		for _, k := range c.delete {
			_, was := before[k]
			_, is := records[k]
			switch {
			case is || !was:
			case i+1 == len(p.since):
				return fmt.Errorf("%v is gone, although no call followed its Delete", k)
			case !slices.ContainsFunc(p.since[i+1].put, func(r mqtt.Record) bool { return r.Key == k }):
				whole := maps.Clone(records)
				if p.since[i+1].delete == nil {
					p.since[i+1].apply(whole)
				}
				if !maps.Equal(whole, records) {
					return fmt.Errorf("%v is gone, and of the Put that followed its Delete there is only %v", k, abridged(records))
				}
			}
		}
		c.apply(before)
	}
	for k, values := range legal {
		if _, there := records[k]; !there && !values["-"] {
			return fmt.Errorf("lost: %v, want one of %v", k, values)
		}
	}
	return nil
}

// after is a state that a disk may be in after a power cut. whole says that no file in it has a hole: it is as if the
// power had failed a little earlier.
type after struct {
	files map[string][]byte // without directories
	whole bool
	what  string
}

// detail says whether writes are torn.
type detail bool

const (
	coarse detail = false
	fine   detail = true
)

// sector is how much of a write survives together. It is smaller than a real one, so that short records have several.
const sector = 24

// powerCuts calls yield with every state that the disk may be in if the power fails after log: what was synced is there,
// of what was not every write, and every making, renaming and removing of a name, is there or not, and a write may be
// torn at any byte, or be there in any choice of its sectors.
func powerCuts(log []event, detail detail, yield func(after)) {
	var names []event                        // not synced
	synced := map[string]inode{}             // by name
	durable := map[int][]byte{}              // content by inode
	pending := map[int][]event{}             // not synced
	forgotten := map[int][]event{}           // by an fsync that failed
	stale := slices.Repeat([]byte{0xff}, 64) // what was on the blocks before
	for _, e := range log {
		switch e.call {
		case "create", "mkdir", "rename", "remove":
			names = append(names, e)
		case "write", "truncate":
			pending[e.inode] = append(pending[e.inode], e)
		case "sync":
			for _, e := range pending[e.inode] {
				if !slices.ContainsFunc(forgotten[e.inode], func(f event) bool { return f.String() == e.String() }) {
					durable[e.inode] = e.apply(durable[e.inode], nil)
				}
			}
			pending[e.inode] = nil
			if len(durable[e.inode]) > len(stale) {
				stale = durable[e.inode]
			}
		case "syncFailed":
			forgotten[e.inode] = append(forgotten[e.inode], pending[e.inode]...)
		case "syncDir":
			names = slices.DeleteFunc(names, func(n event) bool {
				if filepath.Dir(n.name) != e.name {
					return false
				}
				rename(synced, n)
				return true
			})
		}
	}
	seen := map[string]bool{}
	for choice := range 1 << len(names) {
		tree := maps.Clone(synced)
		for i, n := range names {
			if choice&(1<<i) != 0 {
				rename(tree, n)
			}
		}
		// Only what Open reads matters. The names of a directory that is not there are not there.
		_, dir := tree["d"]
		session, there := tree["d/session"]
		if !dir || !there {
			session = inode{n: -1}
		}
		_, temp := tree["d/session.new"]
		if id := fmt.Sprint(dir, session.n, temp); seen[id] {
			continue
		} else {
			seen[id] = true
		}
		contents(durable[session.n], pending[session.n], stale, detail, func(data []byte, whole bool, what string) {
			files := map[string][]byte{}
			if dir && there {
				files["d/session"] = data
			}
			if dir && temp {
				files["d/session.new"] = []byte("rest")
			}
			yield(after{files, whole, fmt.Sprintf("names %b of %d, %s", choice, len(names), what)})
		})
	}
}

// rename does to names what e does to a disk.
func rename(names map[string]inode, e event) {
	delete(names, e.name)
	switch e.call {
	case "rename":
		names[e.to] = inode{n: e.inode}
	case "create", "mkdir":
		names[e.name] = inode{n: e.inode}
	}
}

// contents calls yield with every content that a file may have after a power cut, of which durable is safe and pending is
// what came since.
func contents(durable []byte, pending []event, stale []byte, detail detail, yield func(data []byte, whole bool, what string)) {
	seen := map[string]bool{}
	give := func(data []byte, whole bool, format string, args ...any) {
		if k := fmt.Sprint(whole, string(data)); !seen[k] {
			seen[k] = true
			yield(data, whole, fmt.Sprintf(format, args...))
		}
	}
	fillers := [][]byte{nil, stale}
	prefix := durable
	give(prefix, true, "nothing unsynced")
	for i, e := range pending {
		if e.call == "write" && detail == fine {
			for n := range e.data {
				torn := event{call: "write", offset: e.offset, data: e.data[:n]}.apply(prefix, nil)
				give(torn, true, "write %d of %d torn after %d bytes", i, len(pending), n)
				for _, f := range fillers { // the length is there, the bytes are not
					give(fill(slices.Clone(torn), e.offset+int64(len(e.data)), f), false, "write %d torn after %d bytes, and long", i, n)
				}
			}
			var parts []event
			for part := range slices.Chunk(e.data, sector) {
				parts = append(parts, event{call: "write", offset: e.offset + int64(len(parts)*sector), data: part})
			}
			subsets(parts, func(some []event, missing int) {
				for _, f := range fillers {
					data := prefix
					for _, p := range some {
						data = p.apply(data, f)
					}
					give(data, missing == 0, "write %d with %d sectors of %d", i, len(some), len(parts))
				}
			})
		}
		prefix = e.apply(prefix, nil)
		give(prefix, true, "all up to %d of %d", i, len(pending))
	}
	subsets(pending, func(some []event, missing int) {
		for _, f := range fillers {
			data := durable
			for _, e := range some {
				data = e.apply(data, f)
			}
			give(data, missing == 0, "%d of %d writes", len(some), len(pending))
		}
	})
}

// subsets calls f with every choice of events, or with many if they are many.
func subsets(events []event, f func(some []event, missing int)) {
	pick := func(choice uint64) {
		var some []event
		for i, e := range events {
			if choice&(1<<i) != 0 {
				some = append(some, e)
			}
		}
		f(some, len(events)-len(some))
	}
	if len(events) <= 6 {
		for choice := range uint64(1) << len(events) {
			pick(choice)
		}
		return
	}
	random := rand.New(rand.NewPCG(1, 2))
	for i := range events {
		pick(^uint64(1 << i))
	}
	for range 32 {
		pick(random.Uint64())
	}
}

// boot makes a disk of what a power cut left.
func (a after) boot() *memoryDisk {
	d := newMemoryDisk()
	for name, data := range a.files {
		d.put(name, data)
	}
	return d
}

// recovered opens the store on a disk, twice, and fails the test if the second time differs from the first or if it then
// does not work. It returns what was there.
func recovered(d *memoryDisk) (records map[mqtt.Key]string, broken map[mqtt.Key]error, warned int, err error) {
	s, err := open(d, crashSlack, "d", "client", Options{Warn: func(error) { warned++ }})
	if err != nil {
		return nil, nil, warned, err
	}
	records, broken = collect(s)
	if err := s.Close(); err != nil {
		return nil, nil, warned, err
	}
	s, err = open(d, 1<<20, "d", "client", Options{Warn: func(err error) { panic(err) }})
	if err != nil {
		return nil, nil, warned, fmt.Errorf("the second time: %w", err)
	}
	defer s.Close()
	again, brokenAgain := collect(s)
	same := fmt.Sprint(broken) == fmt.Sprint(brokenAgain)
	if warned > 0 { // the file may have been written again: what had no key is gone, the rest is elsewhere
		delete(brokenAgain, mqtt.Key{})
		same = true
		for k := range broken {
			same = same && (k == mqtt.Key{} || brokenAgain[k] != nil)
		}
		for k := range brokenAgain {
			same = same && broken[k] != nil
		}
	}
	if !maps.Equal(records, again) || !same {
		return nil, nil, warned, fmt.Errorf("the second time %v %v, the first %v %v", abridged(again), brokenAgain, abridged(records), broken)
	}
	const n = 1000
	if err := s.Put(record(n, "new")); err != nil {
		return nil, nil, warned, err
	}
	again[key(n)] = "new"
	if got, _ := collect(s); !maps.Equal(got, again) {
		return nil, nil, warned, fmt.Errorf("after one more record %v, want %v", abridged(got), abridged(again))
	}
	return records, broken, warned, nil
}

func TestPowerCutAtEveryStep(t *testing.T) {
	t.Parallel()
	d := newMemoryDisk()
	must(t, play(d, script()))
	if n := d.count("rename"); n < 5 {
		t.Fatalf("the file was put in place %d times, want creation, Reset and some rewritings", n)
	}
	states := 0
	for step := range len(d.log) + 1 {
		owed := promised(d.log[:step])
		powerCuts(d.log[:step], fine, func(a after) {
			states++
			if t.Failed() {
				return
			}
			records, broken, _, err := recovered(a.boot())
			if err == nil {
				err = owed.check(records)
			}
			if err == nil && len(broken) > 0 {
				err = fmt.Errorf("what a power cut leaves is called damage: %v", broken)
			}
			if err != nil {
				t.Errorf("power cut after step %d (%v), %s: %v", step, d.log[max(step-1, 0)], a.what, err)
			}
		})
	}
	t.Logf("%d steps, %d states of the disk", len(d.log), states)
	if states < 10000 {
		t.Errorf("only %d states", states)
	}
}

// A process that is killed leaves the disk as the operating system sees it, not as it is: the next process must not
// build on what a power cut would still undo.
func TestKillAtEveryStepAndThenAPowerCut(t *testing.T) {
	t.Parallel()
	whole := newMemoryDisk()
	must(t, play(whole, script()))
	states := 0
	for step := range len(whole.log) + 1 {
		d := replayed(whole.log[:step])
		owed := promised(d.log)
		s, err := open(d, crashSlack, "d", "client", Options{})
		must(t, err)
		first, broken := collect(s)
		if err := owed.check(first); err != nil || len(broken) > 0 {
			t.Fatalf("kill after step %d (%v): %v %v", step, whole.log[max(step-1, 0)], err, broken)
		}
		cut := func(wanted map[mqtt.Key]string, when string) {
			powerCuts(d.log, fine, func(a after) {
				states++
				records, broken, _, err := recovered(a.boot())
				if t.Failed() || err == nil && len(broken) == 0 && maps.Equal(records, wanted) {
					return
				}
				t.Errorf("kill after step %d (%v), and a power cut %s, %s: %v, have %v %v, want %v",
					step, whole.log[max(step-1, 0)], when, a.what, err, abridged(records), broken, abridged(wanted))
			})
		}
		cut(first, "after Open")
		must(t, s.Put(record(2000, "later")))
		first[key(2000)] = "later"
		cut(first, "after the next Put")
	}
	t.Logf("%d states of the disk", states)
}

// replayed makes a disk as the operating system saw it after log.
func replayed(log []event) *memoryDisk {
	d := newMemoryDisk()
	files := map[int]*inode{}
	for _, e := range log {
		switch e.call {
		case "create", "mkdir":
			files[e.inode] = &inode{n: e.inode, data: []byte{}}
			d.names[e.name] = files[e.inode]
			d.inodes = e.inode
		case "rename":
			delete(d.names, e.name)
			d.names[e.to] = files[e.inode]
		case "remove":
			delete(d.names, e.name)
		case "write", "truncate":
			files[e.inode].data = e.apply(files[e.inode].data, nil)
		}
	}
	d.log = slices.Clone(log)
	return d
}
