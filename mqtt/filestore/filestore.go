// Package filestore keeps the session of an [mqtt.Client] in a directory, in one append-only file, so that it outlives
// the process, kill -9 and a power cut.
//
//	store, err := filestore.Open("/var/lib/meter", "meter-7", filestore.Options{})
//	client, err := mqtt.New(mqtt.Config{Dial: dial, ClientID: "meter-7", Store: store})
//
// What [Store.Put] took is on the disk when it returns: one write and one fsync, however many records. The file is
// written again without its garbage when more than half of it is garbage; a crash leaves the old one or the new one.
//
// # What a crash and damage cost
//
// After a crash every record is back whose Put had returned. Of one that was under way any record may be there, and the
// Deletes before it only if all of them are: a program can replace one key by another. What is not whole is cut off and
// told to Options.Warn. A record that gets broken later costs that record: it is reported by [Store.All], and the
// others are good. Nothing is ever made up.
//
// # Errors
//
// Open returns [ErrLocked], [ErrOtherClient], [ErrVersion] or [ErrDamaged], in which cases it changed nothing, or an
// error of the operating system. [ErrFull] from Put says that nothing was written, and leaves the store as good as it
// was. After any other error of Put or Delete the store is broken: every later call returns that error, so that nothing
// is taken for durable that is not. What had been kept is still there for the next Open.
package filestore

import (
	"cmp"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"iter"
	"path/filepath"
	"sync"

	"iotwire/mqtt"
)

var (
	// ErrLocked says that the directory is open already, in this process or another one.
	ErrLocked = errors.New("session store in use")

	// ErrOtherClient says that the directory holds the session of another client identifier.
	ErrOtherClient = errors.New("session store of another client")

	// ErrVersion says that the file has a format which this version of the package does not know.
	ErrVersion = errors.New("session store of an unknown version")

	// ErrDamaged says that bytes of the file are not what was written.
	ErrDamaged = errors.New("session store damaged")

	// ErrFull says that the records do not fit into Options.MaxBytes.
	ErrFull = errors.New("session store full")
)

// Options are the choices that a program has. The zero value stands for the defaults.
type Options struct {
	// MaxBytes bounds what is kept: the records that have data, each with 30 bytes besides. A Put that would go above it
	// is refused with ErrFull, before anything is written. Records without data, and those that need no more room than
	// what they replace, are always taken, so that a full store can end what it holds. The file is at most about twice as
	// large, and 256 KiB; for a moment, while it is written again, there are two. Default 64 MiB.
	MaxBytes int64

	// Warn, if not nil, is told what makes no call fail: that Open cut off what a crash left of the last write, or begun
	// anew a file without even a header, which match ErrDamaged; and that the file could not be written again without its
	// garbage, which will be tried again. It is called with no lock held, by the call that found it.
	Warn func(error)
}

// Store is an [mqtt.Store] in a directory. It keeps an index in memory, about 100 bytes for a record, and the data in the
// file. Its methods may be called from any goroutine; Puts that wait for the disk at the same time share one fsync.
type Store struct {
	system   system
	dir      string
	format   format
	maxBytes int64
	slack    int64 // garbage that is not worth a rewriting
	warn     func(error)

	syncing sync.Mutex // held while the file is synced or exchanged; taken before mu

	mu      sync.Mutex // guards what follows; not held during an fsync, but in a rewriting
	locked  io.Closer
	file    file
	size    int64  // of the file
	next    uint64 // sequence number
	durable uint64 // every record before this sequence number is
	settled bool   // the file ends with a record that settles all others
	index   map[mqtt.Key]entry
	deletes []mqtt.Key // gone from index, not yet from the file
	live    int64      // bytes of the records in index
	kept    int64      // of these, what MaxBytes bounds
	gaps    []gap      // bytes that are no record, from Open
	tryAt   int64      // size at which a rewriting that failed is tried again
	stuck   error      // why it failed
	broken  error      // the first error: the end
	buf     []byte     // used again
	old     []entry    // used again
}

// entry says where the data of a record is in the file. The zero entry is that of no record.
type entry struct {
	offset int64 // of the head
	length uint32
	sum    uint32
}

func (e entry) size() int64 {
	if e.offset == 0 {
		return 0
	}
	return headSize + int64(e.length)
}

// bounded is the part of the size that MaxBytes bounds.
func (e entry) bounded() int64 {
	if e.length == 0 {
		return 0
	}
	return e.size()
}

const (
	logName  = "session"
	tempName = "session.new"
	lockName = "lock"

	defaultMaxBytes = 64 << 20
	defaultSlack    = 256 << 10
)

// Open opens the session of a client identifier (at most 65 535 bytes) in a directory, which belongs to it alone. It
// makes the directory (mode 0700, files 0600) and an empty session if there is none. It reads the file once, and returns
// when what All yields is durable. The directory is locked until Close or the end of the process.
func Open(dir, clientID string, options Options) (*Store, error) {
	return open(&disk{}, defaultSlack, dir, clientID, options)
}

func open(system system, slack int64, dir, clientID string, options Options) (*Store, error) {
	if len(clientID) > maxClientID {
		return nil, errorf("%w: the client identifier has %d bytes, want at most %d", fs.ErrInvalid, len(clientID), maxClientID)
	}
	if options.MaxBytes < 0 {
		return nil, errorf("%w: Options.MaxBytes is %d, want 0 (the default, %d) or more", fs.ErrInvalid, options.MaxBytes, defaultMaxBytes)
	}
	s := &Store{
		system:   system,
		dir:      dir,
		format:   newFormat(clientID),
		maxBytes: min(cmp.Or(options.MaxBytes, defaultMaxBytes), 1<<60),
		slack:    slack,
		warn:     options.Warn,
		index:    map[mqtt.Key]entry{},
	}
	if s.warn == nil {
		s.warn = func(error) {}
	}
	if err := s.makeDir(dir); err != nil {
		return nil, err
	}
	locked, err := system.lock(s.path(lockName))
	if err != nil {
		return nil, err
	}
	s.locked = locked
	if err := s.load(clientID); err != nil {
		if s.file != nil {
			s.file.Close()
		}
		locked.Close()
		return nil, err
	}
	return s, nil
}

//go:noinline
func (s *Store) path(name string) string { return filepath.Join(s.dir, name) }

// makeDir makes a directory, and what is missing above it, durably.
func (s *Store) makeDir(dir string) error {
	above := filepath.Dir(dir)
	err := s.system.mkdir(dir)
	if errors.Is(err, fs.ErrNotExist) && above != dir {
		if err := s.makeDir(above); err != nil {
			return err
		}
		err = s.system.mkdir(dir)
	}
	if errors.Is(err, fs.ErrExist) {
		// Perhaps by a process that was killed before the next step. If it was somebody else's work, it need not be ours to
		// sync, and the error is nothing to us.
		s.system.syncDir(above)
		return nil
	}
	if err != nil {
		return err
	}
	return s.system.syncDir(above)
}

// Put adds or replaces records, and returns when they and all Deletes before are durable: it blocks for an fsync. It keeps
// nothing of the memory of its arguments. After ErrFull nothing was written. See [mqtt.Store].
func (s *Store) Put(records ...mqtt.Record) error {
	end, err := s.append(records)
	if err == nil {
		err = s.sync(end)
	}
	s.tidy()
	return err
}

// append writes records, and behind them what was deleted before, and returns the sequence number behind the last. In
// this order no crash undoes the records and leaves the deletes: a program may replace one key by another.
func (s *Store) append(records []mqtt.Record) (end uint64, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.broken != nil {
		return 0, s.broken
	}
	kept, hasData := s.kept, false
	b, old := s.buf[:0], s.old[:0]
	for i, r := range records {
		if len(r.Data) > maxData {
			err = errorf("%w: a record of %d bytes, want at most %d", ErrFull, len(r.Data), maxData)
			break
		}
		hasData = hasData || len(r.Data) > 0
		h := s.head(i, keep, r.Key)
		h.length, h.sum = uint32(len(r.Data)), crc32.Checksum(r.Data, castagnoli)
		old = append(old, s.index[r.Key])
		s.set(r.Key, entry{s.size + int64(len(b)), h.length, h.sum})
		b = append(s.format.appendHead(b, h), r.Data...)
	}
	if cap(old) <= 1024 {
		s.old = old
	}
	switch {
	case err != nil:
	case s.kept > kept && s.kept > s.maxBytes:
		err = errorf("%w: %d bytes are kept in %s, %d more do not fit into %d; try again when messages have been acknowledged",
			ErrFull, kept, s.dir, s.kept-kept, s.maxBytes)
	case s.stuck != nil && hasData && s.size+int64(len(b)) > 4*(s.maxBytes+s.slack):
		err = errorf("%w: the file in %s has %d bytes, most of them garbage, and could not be written again: %w", ErrFull, s.dir, s.size, s.stuck)
		s.tryAt = 0 // it does not grow any more
	}
	if err != nil {
		for i := len(old) - 1; i >= 0; i-- {
			s.set(records[i].Key, old[i])
		}
		return 0, err
	}
	err = s.write(b, len(records))
	return s.next, err
}

// head makes the i-th head of a write.
func (s *Store) head(i int, o operation, key mqtt.Key) head {
	return head{sequence: s.next + uint64(i), operation: o, settles: i == 0 && s.durable == s.next, key: key}
}

// set enters e under key, in place of what was there. The zero entry removes it.
func (s *Store) set(key mqtt.Key, e entry) {
	old := s.index[key]
	s.live += e.size() - old.size()
	s.kept += e.bounded() - old.bounded()
	if e.offset == 0 {
		delete(s.index, key)
	} else {
		s.index[key] = e
	}
}

// write appends to the file the n records in b, and what was deleted.
func (s *Store) write(b []byte, n int) error {
	for _, key := range s.deletes {
		if s.index[key].offset == 0 { // else it was put again
			b = s.format.appendHead(b, s.head(n, forget, key))
			n++
		}
	}
	s.deletes = s.deletes[:0]
	if cap(s.deletes) > 1024 {
		s.deletes = nil
	}
	if cap(b) <= 64<<10 {
		s.buf = b
	}
	if n == 0 {
		return nil
	}
	if _, err := s.file.WriteAt(b, s.size); err != nil {
		return s.fail(err)
	}
	s.size += int64(len(b))
	s.next += uint64(n)
	s.settled = false
	return nil
}

// fail breaks the store: what a write or an fsync that failed left behind, only the next Open can find out.
func (s *Store) fail(err error) error {
	if s.broken == nil {
		s.broken = errorf("%w; the store takes nothing until it is opened again", err)
	}
	return s.broken
}

// sync returns when every record before the sequence number end is durable. Who waits for its turn meanwhile will find
// that its own records became so as well.
func (s *Store) sync(end uint64) error {
	s.syncing.Lock()
	defer s.syncing.Unlock()
	s.mu.Lock()
	file, next, durable, err := s.file, s.next, s.durable, s.broken
	s.mu.Unlock()
	if durable >= end || err != nil {
		return err
	}
	err = file.Sync()
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil {
		return s.fail(err)
	}
	s.durable = next
	return nil
}

// Delete removes records. On the disk they go with the next call of Put, Delete or Close: a crash before that brings
// them back. If it is a Put, a crash does not remove them without keeping its records. See [mqtt.Store].
func (s *Store) Delete(keys ...mqtt.Key) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.broken != nil {
		return s.broken
	}
	if err := s.write(s.buf[:0], 0); err != nil {
		return err
	}
	for _, key := range keys {
		if s.index[key].offset != 0 {
			s.set(key, entry{})
			s.deletes = append(s.deletes, key)
		}
	}
	return nil
}

// All yields every record, in the order of keys. First come, with the zero key, the parts of the file that are broken
// so that not even the key is known; an error with a key is for that record alone. All of them match ErrDamaged, or come
// from the operating system. What other calls do while the iteration lasts is seen by it or not.
func (s *Store) All() iter.Seq2[mqtt.Record, error] {
	return func(yield func(mqtt.Record, error) bool) {
		s.mu.Lock()
		keys := s.keys(byKey)
		gaps, err := s.gaps, s.broken
		s.mu.Unlock()
		if err != nil {
			yield(mqtt.Record{}, err)
			return
		}
		for _, g := range gaps {
			if !yield(mqtt.Record{}, g.err(s.path(logName))) {
				return
			}
		}
		for _, key := range keys {
			data, ok, err := s.read(key)
			if ok && !yield(mqtt.Record{Key: key, Data: data}, err) {
				return
			}
		}
	}
}

// read reads the data of a record. ok is false if there is no such record any more.
func (s *Store) read(key mqtt.Key) (data []byte, ok bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.broken != nil {
		return nil, true, s.broken
	}
	e := s.index[key]
	if e.offset == 0 {
		return nil, false, nil
	}
	data = make([]byte, e.length)
	if _, err := s.file.ReadAt(data, e.offset+headSize); err != nil && e.length > 0 {
		return nil, true, err
	}
	if crc32.Checksum(data, castagnoli) != e.sum {
		return nil, true, errorf("%w: the %d bytes of the record at byte %d of %s are not those that were written",
			ErrDamaged, e.length, e.offset, s.path(logName))
	}
	return data, true, nil
}

// Reset removes everything, durably, by an empty file in place of the old one. After an error everything is still there,
// or the store is broken.
func (s *Store) Reset() error {
	s.syncing.Lock()
	defer s.syncing.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.broken != nil {
		return s.broken
	}
	if err := s.rewrite(nil); err != nil {
		return err
	}
	s.gaps = nil
	return nil
}

// Close makes the last Deletes durable, and unlocks the directory. Later calls fail with [fs.ErrClosed].
func (s *Store) Close() error {
	s.syncing.Lock()
	defer s.syncing.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.locked == nil {
		return s.broken
	}
	err := s.broken
	if err == nil {
		err = s.write(nil, 0)
	}
	if err == nil && s.durable < s.next {
		err = s.file.Sync()
		s.durable = s.next
	}
	if err == nil && !s.settled {
		s.write(s.format.appendHead(nil, s.head(0, none, mqtt.Key{})), 1) // no loss if it fails
	}
	s.file.Close()
	s.locked.Close()
	s.locked = nil
	if s.broken == nil {
		s.broken = errorf("the session store in %s: %w", s.dir, fs.ErrClosed)
	}
	return err
}

// errorf is fmt.Errorf, which the compiler would put in place of each of its calls: they are many.
//
//go:noinline
func errorf(format string, args ...any) error { return fmt.Errorf(format, args...) }
