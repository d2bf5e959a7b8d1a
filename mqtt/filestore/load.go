package filestore

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"math/rand/v2"

	"iotwire/mqtt"
)

// gap is a part of the file that is no record. lost is how many records it was, if that is known.
type gap struct {
	from, to int64
	lost     uint64
}

func (g gap) err(name string) error {
	if g.lost == 0 {
		return fmt.Errorf("%w: bytes %d to %d of %s are broken", ErrDamaged, g.from, g.to, name)
	}
	return fmt.Errorf("%w: bytes %d to %d of %s are broken, records missing there: %d", ErrDamaged, g.from, g.to, name, g.lost)
}

// load opens the file, or makes it, and leaves it so that everything in the index is durable, under its name too: the
// process before may have been killed between a write, or a rename, and the fsync after it.
func (s *Store) load(clientID string) error {
	s.system.remove(s.path(tempName)) // of one that was killed
	f, size, err := s.system.open(s.path(logName))
	if errors.Is(err, fs.ErrNotExist) {
		return s.create()
	}
	if err != nil {
		return err
	}
	s.file = f
	r := &window{file: f, size: size}
	begin, err := r.view(0, int(min(size, windowSize)))
	if err != nil {
		return err
	}
	id, first, ok := parseHeader(begin)
	if ok && id != clientID {
		return fmt.Errorf("%w: %s holds that of %.100q, not of %.100q; use another directory", ErrOtherClient, s.dir, id, clientID)
	}
	end, torn, err := s.replay(r, first, ok)
	if err != nil {
		return err
	}
	if end == 0 {
		return s.loadNothing(begin, size)
	}
	s.size, s.durable = end, s.next
	if torn {
		// A write to come would settle the holes, and make them damage.
		if err := s.rewrite(s.places()); err != nil {
			return err
		}
	} else {
		if end < size {
			if err := f.Truncate(end); err != nil {
				return err
			}
		}
		if err := f.Sync(); err != nil {
			return err
		}
		if err := s.system.syncDir(s.dir); err != nil {
			return err
		}
	}
	if torn || end < size {
		s.warn(fmt.Errorf("%w: the last write to %s is not whole, its rest was cut off: the power failed or the process died before it was done",
			ErrDamaged, s.path(logName)))
	}
	return nil
}

// loadNothing deals with a file without a good header or a record. It begins a new session if the file holds a part of a
// header and nothing else, and else keeps its hands off it.
func (s *Store) loadNothing(begin []byte, size int64) error {
	name := s.path(logName)
	if bytes.HasPrefix(s.format.owner, begin[:min(len(begin), len(s.format.owner))]) && size < s.format.headerSize() {
		if err := s.create(); err != nil {
			return err
		}
		s.warn(fmt.Errorf("%w: %s ended within its header, after %d bytes: a new session was begun", ErrDamaged, name, size))
		return nil
	}
	if v, ok := bytes.CutPrefix(begin, []byte(magic)); ok && len(v) >= 2 && binary.BigEndian.Uint16(v) != version {
		return fmt.Errorf("%w: %s has version %d, want %d; use the program that wrote it, or another directory",
			ErrVersion, name, binary.BigEndian.Uint16(v), version)
	}
	return fmt.Errorf("%w: %s does not begin as a session store does, and holds no record of this client; move it away to begin a new session",
		ErrDamaged, name)
}

// create makes an empty file. The sequence begins anywhere, so that nobody can write a payload that continues it.
func (s *Store) create() error {
	s.next = rand.Uint64() >> 1
	return s.rewrite(nil)
}

// replay reads the records into the index, and returns where the last good one ends: 0 if there is none and the header is
// broken too. first is the sequence number of the first record, if the header is good. torn says that what a power cut
// left of the last write has holes.
//
// What follows a record is the next one, or something broken: it then looks for the next head at every byte.
func (s *Store) replay(r *window, first uint64, headerGood bool) (end int64, torn bool, err error) {
	var (
		at       = s.format.headerSize() // where the next head may be
		behind   int64                   // where the last record, or the header, ends
		last     = first - 1             // sequence number of the last record
		known    = headerGood            // last is
		gaps     []gap                   // before heads; not settled
		doubtful = map[mqtt.Key]entry{}  // with a good head and broken data; not settled, nor replaced
		hole     = r.size                // where the first of all that begins
		deletes  = map[mqtt.Key]int64{}  // and where; not settled
	)
	if headerGood {
		behind, end = at, at
	}
	s.next = first
	settle := func() {
		for key, at := range deletes {
			// If a hole comes before it, it may have belonged to the records there.
			if s.index[key].offset < at && at < hole {
				s.set(key, entry{})
			}
		}
		clear(deletes)
	}
	for at+headSize <= r.size {
		b, err := r.view(at, headSize)
		if err != nil {
			return 0, false, err
		}
		lost := sequenceAt(b) - last - 1
		if !known {
			lost = 0
		}
		var h head
		ok := lost < 1<<32 // not an older one, nor any number
		if ok {
			h, ok = s.format.parseHead(b)
		}
		next := at + headSize + int64(h.length)
		if !ok || next > r.size {
			at++
			continue
		}
		if at > behind || lost > 0 {
			gaps = append(gaps, gap{behind, at, lost})
			hole = min(hole, behind)
		}
		if h.settles {
			hole = r.size
			settle()
			s.gaps = append(s.gaps, gaps...)
			for key, e := range doubtful {
				s.set(key, e)
			}
			gaps = nil
			clear(doubtful)
			end, s.next, s.settled = at, h.sequence, false
		}
		sum, err := r.sum(at+headSize, h.length)
		if err != nil {
			return 0, false, err
		}
		e := entry{at, h.length, h.sum}
		at, behind, last, known = next, next, h.sequence, true
		if sum != h.sum {
			doubtful[h.key] = e
			hole = min(hole, e.offset)
			continue
		}
		switch h.operation {
		case keep:
			s.set(h.key, e)
			delete(doubtful, h.key)
		case forget:
			deletes[h.key] = e.offset
			delete(doubtful, h.key)
		}
		end, s.next, s.settled = next, last+1, h.operation == none
	}
	settle()
	return end, hole < end, nil
}

// window reads a file through a buffer of fixed size.
type window struct {
	file  io.ReaderAt
	size  int64 // of the file
	start int64 // of buf in the file
	buf   []byte
}

const windowSize = 128 << 10 // a header with the longest client id fits

// view returns n bytes of the file, which are there and no more than windowSize. They are good until the next call.
func (w *window) view(at int64, n int) ([]byte, error) {
	if at < w.start || at+int64(n) > w.start+int64(len(w.buf)) {
		if w.buf == nil {
			w.buf = make([]byte, min(windowSize, w.size))
		}
		w.start = at
		w.buf = w.buf[:min(windowSize, w.size-at)]
		if _, err := io.ReadFull(io.NewSectionReader(w.file, at, int64(len(w.buf))), w.buf); err != nil {
			w.buf = w.buf[:0]
			return nil, err
		}
	}
	return w.buf[at-w.start:][:n], nil
}

// sum returns the checksum of n bytes, which are there.
func (w *window) sum(at int64, n uint32) (sum uint32, err error) {
	for n > 0 {
		part := min(n, windowSize)
		b, err := w.view(at, int(part))
		if err != nil {
			return 0, err
		}
		sum = crc32.Update(sum, castagnoli, b)
		at += int64(part)
		n -= part
	}
	return sum, nil
}
