package filestore

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"iotwire/mqtt"
)

var _ mqtt.Store = (*Store)(nil)

func key(n int) mqtt.Key { return mqtt.Key{Kind: 1, N: uint64(n)} }

func record(n int, data string) mqtt.Record { return mqtt.Record{Key: key(n), Data: []byte(data)} }

// collect returns what All yields: the records, and the errors by key.
func collect(s *Store) (records map[mqtt.Key]string, broken map[mqtt.Key]error) {
	records, broken = map[mqtt.Key]string{}, map[mqtt.Key]error{}
	for r, err := range s.All() {
		if err != nil {
			broken[r.Key] = errors.Join(broken[r.Key], err)
			continue
		}
		if _, twice := records[r.Key]; twice {
			panic(fmt.Sprint("All yields twice ", r.Key))
		}
		records[r.Key] = string(r.Data)
	}
	return records, broken
}

// want fails the test if All yields anything but these records.
func want(t testing.TB, s *Store, records ...mqtt.Record) {
	t.Helper()
	got, broken := collect(s)
	if len(broken) > 0 {
		t.Errorf("All reports %v, want no damage", broken)
	}
	wanted := map[mqtt.Key]string{}
	for _, r := range records {
		wanted[r.Key] = string(r.Data)
	}
	if !maps.Equal(got, wanted) {
		t.Errorf("All yields %v, want %v", abridged(got), abridged(wanted))
	}
}

func abridged(records map[mqtt.Key]string) string {
	var b strings.Builder
	for k, v := range records {
		fmt.Fprintf(&b, "%v: %.20q (%d) ", k, v, len(v))
	}
	return b.String()
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// opened opens a store that is closed at the end, if it is not before.
func opened(t testing.TB, system system, dir string, options Options) *Store {
	t.Helper()
	s, err := open(system, 1<<10, dir, "client", options)
	must(t, err)
	t.Cleanup(func() { s.Close() })
	return s
}

func TestRecordsOutliveTheStore(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "b")
	s := opened(t, &disk{}, dir, Options{})
	data := []byte("two")
	must(t, s.Put(record(3, "three"), record(1, ""), mqtt.Record{Key: key(2), Data: data}, mqtt.Record{Key: mqtt.Key{}, Data: nil}))
	copy(data, "xxx") // Put does not keep it
	must(t, s.Put(record(3, "drei")))
	must(t, s.Delete(key(1), key(99)))
	all := []mqtt.Record{record(2, "two"), record(3, "drei"), {}}
	want(t, s, all...)
	must(t, s.Close())

	s = opened(t, &disk{}, dir, Options{})
	want(t, s, all...)
	must(t, s.Reset())
	want(t, s)
	must(t, s.Put(record(4, "four")))
	must(t, s.Close())

	s = opened(t, &disk{}, dir, Options{})
	want(t, s, record(4, "four"))
	must(t, s.Close())
}

func TestAllYieldsInTheOrderOfKeys(t *testing.T) {
	s := opened(t, newMemoryDisk(), "d", Options{})
	var wanted []mqtt.Key
	for kind := range mqtt.Kind(4) {
		for _, n := range []uint64{0, 1, 255, 256, 1 << 40, 1<<64 - 1} {
			wanted = append(wanted, mqtt.Key{Kind: kind, N: n})
		}
	}
	for i := range wanted {
		must(t, s.Put(mqtt.Record{Key: wanted[(i*7)%len(wanted)]}))
	}
	var got []mqtt.Key
	for r, err := range s.All() {
		must(t, err)
		got = append(got, r.Key)
	}
	if !slices.Equal(got, wanted) {
		t.Errorf("got %v, want %v", got, wanted)
	}
}

func TestAllMayBeLeftAndChangedWhileItRuns(t *testing.T) {
	s := opened(t, newMemoryDisk(), "d", Options{})
	for n := range 100 {
		must(t, s.Put(record(n, strings.Repeat("x", 100))))
	}
	for range s.All() {
		break
	}
	seen := 0
	for r, err := range s.All() {
		must(t, err)
		seen++
		must(t, s.Delete(r.Key, key(int(r.Key.N)+1)))
		must(t, s.Put()) // rewrites the file
	}
	if seen != 50 {
		t.Errorf("saw %d records, want every second of 100", seen)
	}
	want(t, s)
}

func TestWhatAllYieldsIsTheCallers(t *testing.T) {
	s := opened(t, newMemoryDisk(), "d", Options{})
	must(t, s.Put(record(1, "one"), record(2, "two")))
	for r := range s.All() {
		copy(r.Data, "???")
	}
	want(t, s, record(1, "one"), record(2, "two"))
}

func TestManyRecordsAreOneWriteAndOneFsync(t *testing.T) {
	d := newMemoryDisk()
	s := opened(t, d, "d", Options{})
	for _, n := range []int{1, 10, 1000} {
		d.log = nil
		records := make([]mqtt.Record, n)
		for i := range records {
			records[i] = record(i, "data")
		}
		s.slack = 1 << 20 // no rewriting here
		must(t, s.Put(records...))
		if w, f := d.count("write"), d.count("sync"); w != 1 || f != 1 {
			t.Errorf("%d records: %d writes and %d fsyncs, want one of each", n, w, f)
		}
	}
}

func TestDeletesGoWithTheNextWrite(t *testing.T) {
	for _, end := range []struct {
		name   string
		call   func(*Store) error
		writes int
	}{
		{"Put", func(s *Store) error { return s.Put(record(3, "three")) }, 1},
		{"Put of nothing", func(s *Store) error { return s.Put() }, 1},
		{"Close", (*Store).Close, 2}, // and what settles
	} {
		d := newMemoryDisk()
		s := opened(t, d, "d", Options{})
		must(t, s.Put(record(1, "one"), record(2, "two")))
		d.log = nil
		must(t, s.Put()) // nothing to do
		must(t, s.Delete(key(1), key(1), key(7)))
		if len(d.log) > 0 {
			t.Errorf("the disk was asked for %v", d.log)
		}
		must(t, s.Delete(key(2), key(7)))
		if w, f := d.count("write"), d.count("sync"); w != 1 || f != 0 {
			t.Errorf("the second Delete made %d writes and %d fsyncs, want 1 for the first, and none", w, f)
		}
		want(t, s)
		want(t, killed(t, d), record(2, "two"))
		d.log = nil
		must(t, end.call(s))
		if w, f := d.count("write"), d.count("sync"); w != end.writes || f != 1 {
			t.Errorf("%s after Delete made %d writes and %d fsyncs, want %d and 1", end.name, w, f, end.writes)
		}
		s.Close()
		again := opened(t, d, "d", Options{})
		records, _ := collect(again)
		if delete(records, key(3)); len(records) > 0 {
			t.Errorf("after Delete and %s there is %v", end.name, abridged(records))
		}
	}
}

// A record whose key was deleted before it was put again is there.
func TestDeletedAndPutAgain(t *testing.T) {
	d := newMemoryDisk()
	s := opened(t, d, "d", Options{})
	must(t, s.Put(record(1, "one"), record(2, "two")))
	must(t, s.Delete(key(1), key(2)))
	must(t, s.Put(record(1, "again")))
	want(t, s, record(1, "again"))
	must(t, s.Close())
	want(t, opened(t, d, "d", Options{}), record(1, "again"))
}

func TestConcurrentPutsShareAnFsync(t *testing.T) {
	d := newMemoryDisk()
	s := opened(t, d, "d", Options{})
	d.log = nil
	begun, proceed := make(chan struct{}), make(chan struct{})
	var first sync.Once
	d.beforeSync = func() {
		first.Do(func() {
			close(begun)
			<-proceed
		})
	}
	const n = 20
	var wg sync.WaitGroup
	put := func(n int) {
		wg.Go(func() {
			if err := s.Put(record(n, "data")); err != nil {
				t.Error(err)
			}
		})
	}
	put(0)
	<-begun
	for i := 1; i < n; i++ {
		put(i)
	}
	for d.count("write") < n {
		runtime.Gosched()
	}
	close(proceed)
	wg.Wait()
	if f := d.count("sync"); f != 2 {
		t.Errorf("%d Puts, of which the last %d came during the fsync of the first, made %d fsyncs, want 2", n, n-1, f)
	}
	if records, _ := collect(s); len(records) != n {
		t.Errorf("%d records, want %d", len(records), n)
	}
}

// killed opens what a kill of the process would leave now.
func killed(t testing.TB, d *memoryDisk) *Store {
	after := newMemoryDisk()
	after.put("d/session", d.content("d/session"))
	return opened(t, after, "d", Options{})
}

func TestWhatIsPutDuringTheFsyncOfItsDeleteIsThere(t *testing.T) {
	d := newMemoryDisk()
	s := opened(t, d, "d", Options{})
	must(t, s.Put(record(1, "one")))
	must(t, s.Delete(key(1)))
	var second sync.WaitGroup
	var first sync.Once
	d.beforeSync = func() {
		first.Do(func() {
			writes := d.count("write")
			second.Go(func() {
				if err := s.Put(record(1, "again")); err != nil {
					t.Error(err)
				}
			})
			for d.count("write") == writes {
				runtime.Gosched()
			}
			want(t, killed(t, d), record(1, "again"), record(2, "two"))
		})
	}
	must(t, s.Put(record(2, "two")))
	second.Wait()
	want(t, killed(t, d), record(1, "again"), record(2, "two"))
}

func TestARewritingLeavesADeleteToItsPut(t *testing.T) {
	d := newMemoryDisk()
	s := opened(t, d, "d", Options{})
	must(t, s.Put(record(1, "one")))
	renames := d.count("rename")
	d.beforeSync = func() {
		d.beforeSync = nil
		must(t, s.Delete(key(1))) // the Put whose records take its place is still to come
	}
	must(t, s.Put(slices.Repeat([]mqtt.Record{record(2, strings.Repeat("x", 500))}, 10)...)) // garbage enough
	want(t, killed(t, d), record(1, "one"), record(2, strings.Repeat("x", 500)))
	must(t, s.Put(record(3, "instead of one")))
	want(t, killed(t, d), record(2, strings.Repeat("x", 500)), record(3, "instead of one"))
	if n := d.count("rename"); n != renames+1 {
		t.Errorf("the file was written again %d times, want once, after the second Put", n-renames)
	}
}

func TestCallsFromManyGoroutines(t *testing.T) {
	d := newMemoryDisk()
	s := opened(t, d, "d", Options{})
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			for i := range 200 {
				n := g*1000 + i
				if err := errors.Join(s.Put(record(n, strings.Repeat("x", i))), s.Delete(key(n-1))); err != nil {
					t.Error(err)
				}
				if i%50 == 0 {
					collect(s)
				}
			}
		})
	}
	wg.Wait()
	var last []mqtt.Record
	for g := range 4 {
		last = append(last, record(g*1000+199, strings.Repeat("x", 199)))
	}
	want(t, s, last...)
	must(t, s.Close())
	want(t, opened(t, d, "d", Options{}), last...)
}

func TestFullRefusesBeforeWritingAndMakesRoomAgain(t *testing.T) {
	d := newMemoryDisk()
	s := opened(t, d, "d", Options{MaxBytes: 1000})
	half := strings.Repeat("x", 500-headSize)
	must(t, s.Put(record(1, half)))
	must(t, s.Put(record(2, half)))
	before := d.content("d/session")
	for _, refused := range [][]mqtt.Record{
		{record(3, "x")},
		{record(2, half+"x")},
		{record(4, ""), record(3, "x")},
		{record(3, "x"), record(3, "xx"), record(1, half)},
		{record(1, strings.Repeat("x", 2000))},
	} {
		err := s.Put(refused...)
		if !errors.Is(err, ErrFull) {
			t.Fatalf("Put of %v: %v, want ErrFull", abridged(map[mqtt.Key]string{refused[0].Key: string(refused[0].Data)}), err)
		}
		if !bytes.Equal(d.content("d/session"), before) {
			t.Fatalf("a refused Put wrote")
		}
		want(t, s, record(1, half), record(2, half))
	}
	// What has no data and what needs no more room is always taken.
	must(t, s.Put(record(5, ""), record(1, half[1:]), record(1, half)))
	must(t, s.Put(record(2, half[1:])))
	if err := s.Put(record(3, "x")); !errors.Is(err, ErrFull) {
		t.Fatal(err)
	}
	must(t, s.Delete(key(1)))
	must(t, s.Put(record(3, "x")))
	want(t, s, record(2, half[1:]), record(3, "x"), record(5, ""))
	must(t, s.Close())

	// A store that has more than a smaller limit allows can still be emptied.
	s = opened(t, d, "d", Options{MaxBytes: 100})
	must(t, s.Put(record(2, half[2:])))
	if err := s.Put(record(9, "x")); !errors.Is(err, ErrFull) {
		t.Fatal(err)
	}
	must(t, s.Delete(key(2)))
	must(t, s.Put(record(9, "x")))
	want(t, s, record(3, "x"), record(5, ""), record(9, "x"))
}

func TestTheFileStaysBounded(t *testing.T) {
	d := newMemoryDisk()
	s := opened(t, d, "d", Options{})
	largest := 0
	for i := range 5000 {
		must(t, s.Put(record(i, strings.Repeat("x", 100)), record(i%7, "y")))
		must(t, s.Delete(key(i-10)))
		largest = max(largest, len(d.content("d/session")))
	}
	if most := 2*18*(headSize+100) + 1<<10 + 500; largest > most {
		t.Errorf("18 records of 100 bytes were in a file of %d bytes, want at most %d", largest, most)
	}
	if d.names["d/session.new"] != nil {
		t.Errorf("the new file was left behind")
	}
}

func TestCloseEndsTheUse(t *testing.T) {
	s := opened(t, newMemoryDisk(), "d", Options{})
	must(t, s.Put(record(1, "one")))
	must(t, s.Close())
	for name, call := range calls {
		if err := call(s); !errors.Is(err, fs.ErrClosed) {
			t.Errorf("%s after Close: %v, want fs.ErrClosed", name, err)
		}
	}
}

// calls are the methods of a Store, so that each ends in an error if the store is broken.
var calls = map[string]func(*Store) error{
	"Put":            func(s *Store) error { return s.Put(record(1, "x")) },
	"Put of nothing": func(s *Store) error { return s.Put() },
	"Delete":         func(s *Store) error { return s.Delete(key(1)) },
	"Reset":          func(s *Store) error { return s.Reset() },
	"All": func(s *Store) (err error) {
		for _, e := range s.All() {
			err = e
		}
		return err
	},
	"Close": func(s *Store) error { return s.Close() },
}

func TestOnlyTheUserMayRead(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("Windows has no file modes")
	}
	dir := filepath.Join(t.TempDir(), "new", "dir")
	s := opened(t, &disk{}, dir, Options{})
	for n := range 100 {
		must(t, s.Put(record(1, strings.Repeat("x", 100*n)))) // rewrites the file
	}
	for name, mode := range map[string]fs.FileMode{"": fs.ModeDir | 0o700, "..": fs.ModeDir | 0o700, "session": 0o600, "lock": 0o600} {
		info, err := os.Stat(filepath.Join(dir, name))
		must(t, err)
		if info.Mode() != mode {
			t.Errorf("%q has mode %v, want %v", name, info.Mode(), mode)
		}
	}
}

func TestNamesDoNotComeFromTheClientID(t *testing.T) {
	for _, id := range []string{"", ".", "..", "/", "../../etc/passwd", "a/b", "%00", "\x00", "CON", "#", "+", "session", "lock",
		"käse", "\xff\xfe", strings.Repeat("x", 65535)} {
		parent := t.TempDir()
		dir := filepath.Join(parent, "store")
		s, err := Open(dir, id, Options{})
		must(t, err)
		must(t, s.Put(record(1, "one")))
		must(t, s.Close())
		for name, wanted := range map[string][]string{dir: {"lock", "session"}, parent: {"store"}} {
			entries, err := os.ReadDir(name)
			must(t, err)
			var names []string
			for _, e := range entries {
				names = append(names, e.Name())
			}
			if !slices.Equal(names, wanted) {
				t.Errorf("client id %.20q: %s has %q, want %q", id, name, names, wanted)
			}
		}
		s, err = Open(dir, id, Options{})
		must(t, err)
		want(t, s, record(1, "one"))
		must(t, s.Close())
	}
}

func TestArgumentsOutOfBounds(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "store")
	if _, err := Open(dir, strings.Repeat("x", 65536), Options{}); !errors.Is(err, fs.ErrInvalid) {
		t.Errorf("a client id of 65536 bytes: %v, want fs.ErrInvalid", err)
	}
	if _, err := Open(dir, "x", Options{MaxBytes: -1}); !errors.Is(err, fs.ErrInvalid) {
		t.Errorf("MaxBytes -1: %v, want fs.ErrInvalid", err)
	}
	if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a refused Open made the directory")
	}
	s := opened(t, newMemoryDisk(), "d", Options{MaxBytes: math.MaxInt64})
	must(t, s.Put(record(1, "one")))
}

func TestDirectoriesThatCannotBe(t *testing.T) {
	parent := t.TempDir()
	must(t, os.WriteFile(filepath.Join(parent, "file"), nil, 0o600))
	must(t, os.MkdirAll(filepath.Join(parent, "odd", "session"), 0o700))
	for _, dir := range []string{"", filepath.Join(parent, "file"), filepath.Join(parent, "file", "below"), filepath.Join(parent, "odd")} {
		if s, err := Open(dir, "client", Options{}); err == nil {
			s.Close()
			t.Errorf("Open of %q succeeded", dir)
		} else if strings.Contains(err.Error(), "\n") {
			t.Errorf("Open of %q: more than one line: %v", dir, err)
		}
	}
}

func TestAnotherClientIsRefused(t *testing.T) {
	for _, with := range [][]mqtt.Record{nil, {record(1, "one")}} {
		d := newMemoryDisk()
		s, err := open(d, 1000, "d", "meter-7", Options{})
		must(t, err)
		must(t, s.Put(with...))
		must(t, s.Close())
		before := d.content("d/session")
		for _, id := range []string{"meter-8", "meter-", "meter-77", "", strings.Repeat("x", 65535)} {
			_, err := open(d, 1000, "d", id, Options{})
			if !errors.Is(err, ErrOtherClient) || !strings.Contains(err.Error(), `"meter-7"`) || len(err.Error()) > 500 {
				t.Errorf("Open as %.20q: %v, want ErrOtherClient that names the owner", id, err)
			}
		}
		if !bytes.Equal(before, d.content("d/session")) {
			t.Errorf("a refused Open changed the file")
		}
		s, err = open(d, 1000, "d", "meter-7", Options{})
		must(t, err)
		want(t, s, with...)
	}
}

func TestAnUnknownVersionIsRefused(t *testing.T) {
	d := newMemoryDisk()
	file := append([]byte(magic), 0, 2)
	file = append(file, "whatever version 2 has here"...)
	d.put("d/session", file)
	_, err := open(d, 1000, "d", "client", Options{})
	if !errors.Is(err, ErrVersion) || !strings.Contains(err.Error(), "version 2, want 1") {
		t.Errorf("%v, want ErrVersion that names both", err)
	}
	if !bytes.Equal(file, d.content("d/session")) {
		t.Errorf("a refused Open changed the file")
	}
}

func TestAFileThatIsNoStoreIsRefused(t *testing.T) {
	for _, file := range []string{"hello", "iotwire", "iotwire\n\x00\x01\x00\x06klient", strings.Repeat("\x00", 5000), strings.Repeat("iotwire\n", 500)} {
		d := newMemoryDisk()
		d.put("d/session", []byte(file))
		if s, err := open(d, 1000, "d", "client", Options{}); file == "iotwire" {
			must(t, err) // the beginning of a header, and nothing else
			must(t, s.Put(record(1, "one")))
		} else if !errors.Is(err, ErrDamaged) && !errors.Is(err, ErrVersion) {
			t.Errorf("%.20q: %v, want ErrDamaged or ErrVersion", file, err)
		} else if string(d.content("d/session")) != file {
			t.Errorf("%.20q: a refused Open changed the file", file)
		}
		if len(d.locked) > 0 && file != "iotwire" {
			t.Errorf("%.20q: a refused Open left the lock", file)
		}
	}
}

func TestPayloadsAreNotHeldInMemory(t *testing.T) {
	s := opened(t, &disk{}, t.TempDir(), Options{})
	heap := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before := heap()
	data := strings.Repeat("x", 1<<20)
	for n := range 16 {
		must(t, s.Put(record(n, data)))
	}
	if grown := int64(heap()) - int64(before); grown > 2<<20 {
		t.Errorf("16 records of 1 MiB took %d bytes of heap, want less than two records", grown)
	}
	n := 0
	for r, err := range s.All() {
		must(t, err)
		if string(r.Data) != data {
			t.Errorf("record %v is not what was put", r.Key)
		}
		n++
	}
	if n != 16 {
		t.Errorf("%d records, want 16", n)
	}
}

func TestTheIndexIsSmall(t *testing.T) {
	s := opened(t, newMemoryDisk(), "d", Options{})
	const n = 50000
	records := make([]mqtt.Record, n)
	for i := range records {
		records[i] = record(i, "")
	}
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	for i, r := range records {
		s.set(r.Key, entry{offset: int64(i + 1)})
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	if each := (int64(after.HeapAlloc) - int64(before.HeapAlloc)) / n; each > 100 {
		t.Errorf("the index takes %d bytes a record, want at most 100", each)
	}
	runtime.KeepAlive(records)
}
