package filestore

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io/fs"
	"math/rand/v2"
)

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
		return errorf("%w: %s holds that of %.100q, not of %.100q; use another directory", ErrOtherClient, s.dir, id, clientID)
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
		if err := s.rewrite(s.keys(inFile)); err != nil {
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
		s.warn(errorf("%w: the last write to %s is not whole, its rest was cut off: the power failed, the disk was full or the process died",
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
		s.warn(errorf("%w: %s ended within its header, after %d bytes: a new session was begun", ErrDamaged, name, size))
		return nil
	}
	if v, ok := bytes.CutPrefix(begin, []byte(magic)); ok && len(v) >= 2 && binary.BigEndian.Uint16(v) != version {
		return errorf("%w: %s has version %d, want %d; use the program that wrote it, or another directory",
			ErrVersion, name, binary.BigEndian.Uint16(v), version)
	}
	return errorf("%w: %s does not begin as a session store does, and holds no record of this client; move it away to begin a new session",
		ErrDamaged, name)
}

// create makes an empty file. The sequence begins anywhere, so that nobody can write a payload that continues it.
func (s *Store) create() error {
	s.next = rand.Uint64() >> 1
	return s.rewrite(nil)
}
