package filestore

import (
	"cmp"
	"slices"

	"iotwire/mqtt"
)

// tidy writes the file again without its garbage, if more than half of it is garbage and that is worth the work. A
// failure changes nothing and is told to Options.Warn; it is tried again when there is a quarter more.
func (s *Store) tidy() {
	if err := s.tidyLocked(); err != nil {
		s.warn(err)
	}
}

func (s *Store) tidyLocked() error {
	s.mu.Lock()
	worth := s.worthRewriting()
	s.mu.Unlock()
	if !worth {
		return nil
	}
	s.syncing.Lock()
	defer s.syncing.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.worthRewriting() {
		return nil // another one did it
	}
	if err := s.rewrite(s.keys(inFile)); err != nil {
		s.stuck = err
		s.tryAt = s.size + s.size/4
		return err
	}
	return nil
}

func (s *Store) worthRewriting() bool {
	garbage := s.size - s.format.headerSize() - s.live
	return s.broken == nil && garbage > max(s.live, s.slack) && s.size >= s.tryAt &&
		(len(s.deletes) == 0 || s.stuck != nil) // deletes belong behind the records of the next Put, but it may be refused
}

// place is a record in the file.
type place struct {
	mqtt.Key
	offset int64
}

// inFile orders records as they are in the file.
func inFile(a, b *place) int { return cmp.Compare(a.offset, b.offset) }

// byKey orders records as [Store.All] yields them.
func byKey(a, b *place) int { return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.N, b.N)) }

// keys returns the keys of all records in an order. It sorts pointers, as other packages do: the program has one
// function for all of them.
func (s *Store) keys(order func(a, b *place) int) []mqtt.Key {
	places := make([]*place, 0, len(s.index))
	for key, e := range s.index {
		places = append(places, &place{key, e.offset})
	}
	slices.SortFunc(places, order)
	keys := make([]mqtt.Key, len(places))
	for i, p := range places {
		keys[i] = p.Key
	}
	return keys
}

// rewrite puts a file in place of the old one, if there is one, that holds the records of keys and no others. Both locks
// are held. The new file is whole and durable before it gets the name, so that a crash leaves the one or the other.
// After an error the old file is in its place, or the store is broken.
func (s *Store) rewrite(keys []mqtt.Key) error {
	temp, name := s.path(tempName), s.path(logName)
	s.system.remove(temp) // of one that was killed
	f, err := s.system.create(temp)
	if err != nil {
		return err
	}
	index, size, err := s.copyTo(f, keys)
	if err == nil {
		err = f.Sync()
	}
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		s.system.remove(temp)
		return err
	}

	// Windows renames neither what is open nor on top of it.
	if s.file != nil {
		s.file.Close()
	}
	renameErr := s.system.rename(temp, name)
	if renameErr == nil {
		// From here the new file is written to: it must not lose its name.
		if err := s.system.syncDir(s.dir); err != nil {
			return s.fail(err)
		}
	} else {
		s.system.remove(temp)
		if s.file == nil {
			return renameErr
		}
	}
	if f, _, err = s.system.open(name); err != nil {
		return s.fail(err)
	}
	s.file = f
	if renameErr != nil {
		return renameErr
	}
	s.next += uint64(len(keys)) + 1
	s.durable, s.settled = s.next, true
	s.size, s.tryAt, s.stuck = size, 0, nil
	s.live, s.kept = 0, 0
	s.deletes = nil
	s.index = make(map[mqtt.Key]entry, len(index))
	for i, key := range keys {
		s.set(key, index[i])
	}
	return nil
}

// copyTo writes a header, the records of keys and one that settles them to f, and returns where they are. The data goes
// with the checksum that it always had: what is broken stays broken, and is reported as such.
func (s *Store) copyTo(f file, keys []mqtt.Key) (entries []entry, size int64, err error) {
	b := s.format.appendHeader(nil, s.next)
	flush := func() error {
		_, err := f.WriteAt(b, size)
		size += int64(len(b))
		b = b[:0]
		return err
	}
	from := window{file: s.file, size: s.size}
	entries = make([]entry, len(keys))
	for i, key := range keys {
		e := s.index[key]
		entries[i] = entry{size + int64(len(b)), e.length, e.sum}
		b = s.format.appendHead(b, head{sequence: s.next + uint64(i), operation: keep, key: key, length: e.length, sum: e.sum})
		for at, end := e.offset+headSize, e.offset+e.size(); at < end; {
			part, err := from.view(at, int(min(end-at, windowSize)))
			if err != nil {
				return nil, 0, err
			}
			at += int64(len(part))
			if b = append(b, part...); len(b) < windowSize {
				continue
			}
			if err := flush(); err != nil {
				return nil, 0, err
			}
		}
	}
	b = s.format.appendHead(b, head{sequence: s.next + uint64(len(keys)), operation: none, settles: true})
	err = flush()
	return entries, size, err
}
