package filestore

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"runtime"
	"slices"
	"strings"
	"testing"

	"iotwire/mqtt"
)

// frame is a record in a file, as the tests see it.
type frame struct {
	head
	from, data, to int
}

// frames cuts a good file into its records.
func frames(file []byte) (all []frame) {
	f := newFormat("client")
	for at := int(f.headerSize()); at < len(file); {
		h, ok := f.parseHead(file[at:])
		if !ok {
			panic("not a good file")
		}
		all = append(all, frame{h, at, at + headSize, at + headSize + int(h.length)})
		at = all[len(all)-1].to
	}
	return all
}

// sample makes a file that has everything in it.
func sample(t testing.TB) []byte {
	d := newMemoryDisk()
	s, err := open(d, 1<<20, "d", "client", Options{})
	must(t, err)
	must(t, s.Put(record(1, "one"), record(2, "two"), record(3, "three")))
	must(t, s.Put(record(4, ""), record(5, strings.Repeat("five", 20))))
	must(t, s.Delete(key(2)))
	must(t, s.Put(record(3, "drei"), mqtt.Record{Key: mqtt.Key{Kind: 9, N: 1 << 60}, Data: []byte("odd")}))
	must(t, s.Put(record(6, "six")))
	must(t, s.Delete(key(6), key(1)))
	must(t, s.Put(record(1, "one again")))
	must(t, s.Put(record(6, "sechs")))
	must(t, s.Put(record(7, strings.Repeat("seven", 10))))
	must(t, s.Close())
	return d.content("d/session")
}

// expected says what a file has when the bytes from..to-1 of it are broken, in the plainest way.
func expected(all []frame, file []byte, from, to int) (records map[mqtt.Key]string, broken map[mqtt.Key]bool) {
	records, broken = map[mqtt.Key]string{}, map[mqtt.Key]bool{}
	hit := func(a, b int) bool { return from < b && a < to }
	settled := -1
	for i, f := range all {
		if f.settles && !hit(f.from, f.data) {
			settled = i
		}
	}
	if hit(0, all[0].from) {
		broken[mqtt.Key{}] = true
	}
	hole := false
	for i, f := range all {
		if hole && f.operation == forget {
			continue // it may have belonged to what is broken
		}
		hole = hole || i >= settled && hit(f.from, f.to)
		switch {
		case hit(f.from, f.data) && i < settled:
			broken[mqtt.Key{}] = true
		case hit(f.from, f.data) || hit(f.data, f.to) && i >= settled: // torn, for all that one can know
		case hit(f.data, f.to):
			broken[f.key] = true
			delete(records, f.key)
		case f.operation != none:
			delete(broken, f.key)
			delete(records, f.key)
			if f.operation == keep {
				records[f.key] = string(file[f.data:f.to])
			}
		}
	}
	return records, broken
}

// compare opens a store on a file, twice, and fails the test if it does not have what is expected.
func compare(t testing.TB, file []byte, records map[mqtt.Key]string, broken map[mqtt.Key]bool, what string, args ...any) {
	t.Helper()
	d := newMemoryDisk()
	d.put("d/session", file)
	got, errs, _, err := recovered(d)
	if err != nil {
		t.Fatalf("%s: %v", fmt.Sprintf(what, args...), err)
	}
	if !maps.Equal(got, records) {
		t.Fatalf("%s: has %v, want %v", fmt.Sprintf(what, args...), abridged(got), abridged(records))
	}
	for k, err := range errs {
		if !broken[k] || !errors.Is(err, ErrDamaged) {
			t.Fatalf("%s: reports %v: %v, want reports of %v", fmt.Sprintf(what, args...), k, err, broken)
		}
	}
	if len(errs) != len(broken) {
		t.Fatalf("%s: reports %v, want reports of %v", fmt.Sprintf(what, args...), errs, broken)
	}
}

func TestEveryByteBrokenInTurn(t *testing.T) {
	file := sample(t)
	all := frames(file)
	records, broken := expected(all, file, 0, 0)
	compare(t, file, records, broken, "the whole file")
	if len(records) != 7 {
		t.Fatalf("the sample has %d records", len(records))
	}
	for i := range file {
		for _, flip := range []byte{1 << (i % 8), 0x80, 0xff, file[i]} {
			if flip == 0 {
				continue
			}
			damaged := slices.Clone(file)
			damaged[i] ^= flip
			records, broken := expected(all, file, i, i+1)
			compare(t, damaged, records, broken, "byte %d of %d ^ %#x", i, len(file), flip)
		}
	}
}

// After a Close nothing is open to doubt, the last record neither.
func TestDamageAfterCloseIsNotTakenForATornWrite(t *testing.T) {
	d := newMemoryDisk()
	s := opened(t, d, "d", Options{})
	must(t, s.Put(record(1, "old"), record(2, "old"), record(3, "old")))
	must(t, s.Put(record(1, "one"), record(2, "two"), record(3, "three")))
	must(t, s.Close())
	file := d.content("d/session")
	for n, data := range map[int]string{1: "one", 2: "two", 3: "three"} {
		damaged := slices.Clone(file)
		damaged[bytes.Index(file, []byte(data))] ^= 1
		records := map[mqtt.Key]string{key(1): "one", key(2): "two", key(3): "three"}
		delete(records, key(n))
		compare(t, damaged, records, map[mqtt.Key]bool{key(n): true}, "%q broken", data)
	}
}

func TestEveryBlockBrokenInTurn(t *testing.T) {
	file := sample(t)
	all := frames(file)
	for _, size := range []int{16, 40, 64, 200} {
		for from := 0; from < len(file); from += size / 4 {
			to := min(from+size, len(file))
			if from == 0 && to == len(file) {
				continue
			}
			for name, block := range map[string][]byte{
				"zeros":                make([]byte, to-from),
				"ones":                 bytes.Repeat([]byte{0xff}, to-from),
				"the file's beginning": file[:to-from],
			} {
				damaged := slices.Clone(file)
				copy(damaged[from:], block)
				// Bytes at the edges may happen to be the same.
				a, b := from, to
				for a < b && damaged[a] == file[a] {
					a++
				}
				for b > a && damaged[b-1] == file[b-1] {
					b--
				}
				for _, f := range all { // and a record within may be the same
					if f.data < b && a < f.to && bytes.Equal(damaged[f.data:f.to], file[f.data:f.to]) && f.data >= a {
						name = ""
					}
				}
				if name == "" || a == b {
					continue
				}
				records, broken := expected(all, file, a, b)
				compare(t, damaged, records, broken, "bytes %d to %d of %d are %s", from, to, len(file), name)
			}
		}
	}
}

func TestEveryTruncation(t *testing.T) {
	file := sample(t)
	all := frames(file)
	for n := range file {
		records, broken := expected(all, file, n, len(file))
		if n < all[0].from {
			broken = nil // told to Warn
		}
		compare(t, file[:n], records, broken, "%d bytes of %d", n, len(file))
	}
}

func TestTornTailIsCutOnceAndWarnedOf(t *testing.T) {
	file := sample(t)
	for _, end := range []string{"x", strings.Repeat("\x00", 500), strings.Repeat("rest", 100), string(file[:100])} {
		d := newMemoryDisk()
		d.put("d/session", append(slices.Clone(file), end...))
		_, broken, warned, err := recovered(d) // which panics at a warning when it opens again
		must(t, err)
		if warned != 1 || len(broken) != 0 {
			t.Errorf("%d bytes at the end: %d warnings and damage %v, want one and none", len(end), warned, broken)
		}
	}
}

func TestAnEmptyStoreWithABrokenHeaderOpens(t *testing.T) {
	d := newMemoryDisk()
	s := opened(t, d, "d", Options{})
	must(t, s.Close())
	file := d.content("d/session")
	for i := range frames(file)[0].from {
		damaged := slices.Clone(file)
		damaged[i] ^= 0x55
		compare(t, damaged, map[mqtt.Key]string{}, map[mqtt.Key]bool{{}: true}, "byte %d", i)
	}
}

func TestDamageIsReportedUntilTheRecordIsReplaced(t *testing.T) {
	file := sample(t)
	all := frames(file)
	i := slices.IndexFunc(all, func(f frame) bool { return f.key == key(5) })
	file[all[i].data+3] ^= 4
	d := newMemoryDisk()
	d.put("d/session", file)
	s := opened(t, d, "d", Options{})
	reported := func(wanted bool) {
		t.Helper()
		records, broken := collect(s)
		if _, there := records[key(5)]; there || (broken[key(5)] != nil) != wanted || len(records) < 6 {
			t.Fatalf("have %v %v, want a report: %v", abridged(records), broken, wanted)
		}
	}
	reported(true)
	renames := d.count("rename")
	for n := range 100 {
		must(t, s.Put(record(100+n%3, strings.Repeat("x", n)))) // rewrites the file
	}
	if d.count("rename") == renames {
		t.Fatal("the file was not written again")
	}
	reported(true)
	must(t, s.Close())
	s = opened(t, d, "d", Options{})
	reported(true)
	must(t, s.Delete(key(5)))
	reported(false)
	must(t, s.Close())
	s = opened(t, d, "d", Options{})
	reported(false)
}

func TestDamageThatComesAfterOpenIsFound(t *testing.T) {
	d := newMemoryDisk()
	s := opened(t, d, "d", Options{})
	must(t, s.Put(record(1, "one"), record(2, "two"), record(3, "three")))
	data := d.names["d/session"].data
	data[bytes.Index(data, []byte("two"))]++
	records, broken := collect(s)
	if len(records) != 2 || !errors.Is(broken[key(2)], ErrDamaged) || len(broken) != 1 {
		t.Errorf("have %v %v", abridged(records), broken)
	}
	d.fault = func(call string) error {
		if call == "read" {
			return errInjected
		}
		return nil
	}
	records, broken = collect(s)
	if len(records) != 0 || len(broken) != 3 || !errors.Is(broken[key(2)], errInjected) {
		t.Errorf("with a disk that cannot read, have %v %v", abridged(records), broken)
	}
	d.fault = nil
	must(t, s.Put(record(4, "four")))
}

// A disk may bring back what it held before. Such records have the client's checksum, but not the next sequence number.
func TestAnOldRecordDoesNotComeBack(t *testing.T) {
	file := sample(t)
	all := frames(file)
	records, _ := expected(all, file, 0, 0)
	for _, f := range all {
		for n := range 3 {
			again := append(slices.Clone(file), bytes.Repeat(file[f.from:f.to], n+1)...)
			compare(t, again, records, nil, "record %d again at the end", f.sequence-all[0].sequence)
			again = append(slices.Clone(file), strings.Repeat("\x00", 100*n)...)
			again = append(again, file[f.from:]...)
			compare(t, again, records, nil, "records from %d again at the end", f.sequence-all[0].sequence)
		}
	}
}

// A program may well publish its own session file, to ask for help.
func TestAPayloadThatHoldsTheFileIsNoRecord(t *testing.T) {
	d := newMemoryDisk()
	s := opened(t, d, "d", Options{})
	must(t, s.Put(record(1, "old"), record(2, "two")))
	must(t, s.Put(mqtt.Record{Key: key(3), Data: d.content("d/session")}))
	must(t, s.Put(record(1, "new")))
	must(t, s.Delete(key(2)))
	must(t, s.Put(mqtt.Record{Key: key(4), Data: d.content("d/session")}))
	must(t, s.Put(record(5, "five")))
	must(t, s.Close())
	file := d.content("d/session")
	all := frames(file)
	for _, f := range all {
		if f.length < 100 {
			continue
		}
		for at := f.from; at < f.data; at++ {
			damaged := slices.Clone(file)
			damaged[at] ^= 0x10
			records, broken := expected(all, file, at, at+1)
			if records[key(1)] != "new" || len(broken) != 1 {
				t.Fatalf("the test expects %v", records)
			}
			compare(t, damaged, records, broken, "byte %d", at)
		}
	}
}

func TestRecordsOfAnotherClientAreNotTaken(t *testing.T) {
	other := newMemoryDisk()
	s, err := open(other, 1000, "d", "klient", Options{})
	must(t, err)
	must(t, s.Put(record(1, "theirs")))
	must(t, s.Close())
	theirs := other.content("d/session")

	mine := sample(t)
	all := frames(mine)
	records, _ := expected(all, mine, 0, 0)
	next := all[len(all)-1].sequence + 1
	f := newFormat("klient")
	h := head{sequence: next, operation: keep, settles: true, key: key(1)}
	compare(t, append(mine, f.appendHead(nil, h)...), records, nil, "a record of another client that continues the sequence")

	// Their file under a broken header is not this client's file.
	theirs[3] ^= 1
	d := newMemoryDisk()
	d.put("d/session", theirs)
	if _, err := open(d, 1000, "d", "client", Options{}); !errors.Is(err, ErrDamaged) {
		t.Errorf("Open of a broken file of another client: %v, want ErrDamaged", err)
	}
	if !bytes.Equal(d.content("d/session"), theirs) {
		t.Error("a refused Open changed the file")
	}
}

func TestALengthIsNotBelieved(t *testing.T) {
	f := newFormat("client")
	for _, length := range []uint32{1, 1 << 20, maxData, maxData + 1, 1<<31 - 1, 1 << 31, 1<<32 - 1} {
		file := f.appendHeader(nil, 1)
		for i := range 3 {
			file = f.appendHead(file, head{sequence: 1 + uint64(i), operation: keep, settles: true, key: key(i), length: length})
		}
		d := newMemoryDisk()
		d.put("d/session", file)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		s := opened(t, d, "d", Options{})
		records, _ := collect(s)
		must(t, s.Close())
		runtime.ReadMemStats(&after)
		if grown := after.TotalAlloc - before.TotalAlloc; grown > 256<<10 || len(records) > 0 {
			t.Errorf("a record that claims %d bytes: %d bytes allocated, records %v", length, grown, abridged(records))
		}
	}
}
