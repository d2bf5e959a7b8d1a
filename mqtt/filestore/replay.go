package filestore

import (
	"math"

	"iotwire/mqtt"
)

// gap is a part of the file that is no record. lost is how many records it was, if that is known.
type gap struct {
	from, to int64
	lost     uint64
}

func (g gap) err(name string) error {
	if g.lost == 0 {
		return errorf("%w: bytes %d to %d of %s are broken", ErrDamaged, g.from, g.to, name)
	}
	return errorf("%w: bytes %d to %d of %s are broken, records missing there: %d", ErrDamaged, g.from, g.to, name, g.lost)
}

// unsettled is what was found since the last record that settles. If nothing settles it, the power may have failed before
// it was whole and durable.
type unsettled struct {
	gaps     []gap
	doubtful map[mqtt.Key]entry // with a good head and broken data, and not replaced
	deletes  map[mqtt.Key]entry // of which the offset counts
	hole     int64              // where the first gap or doubtful record begins, if there is one
}

// settle says that all of it was durable: what is broken is damage.
func (s *Store) settle(u *unsettled) {
	s.applyDeletes(u, false)
	for key, e := range u.doubtful {
		s.set(key, e)
	}
	s.gaps = append(s.gaps, u.gaps...)
	clear(u.deletes)
	clear(u.doubtful)
	u.gaps, u.hole = nil, math.MaxInt64
}

// applyDeletes forgets what was not put again, torn: what was deleted before the first hole only. A later delete may
// belong to the records in the hole, which are to take the place of the deleted one.
func (s *Store) applyDeletes(u *unsettled, torn bool) {
	for key, e := range u.deletes {
		if s.index[key].offset < e.offset && (!torn || e.offset < u.hole) {
			s.set(key, entry{})
		}
	}
}

// replay reads the records into the index, and returns where the last good one ends: 0 if there is none and the header is
// broken too. first is the sequence number of the first record, if the header is good. torn says that what a power cut
// left of the last write has holes.
//
// What follows a record is the next one, or something broken: it then looks for the next head at every byte.
func (s *Store) replay(r *window, first uint64, headerGood bool) (end int64, torn bool, err error) {
	at := s.format.headerSize() // where the next head may be
	behind := int64(0)          // where the last record, or the header, ends
	if headerGood {
		behind, end = at, at
	}
	last, known := first-1, headerGood // sequence number of the last record
	s.next = first
	tooLong := int64(math.MaxInt64) // where a head is that would count if the file were longer
	u := unsettled{doubtful: map[mqtt.Key]entry{}, deletes: map[mqtt.Key]entry{}, hole: math.MaxInt64}
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
		if ok && next > r.size {
			tooLong = min(tooLong, at)
			ok = false
		}
		if !ok {
			at++
			continue
		}

		if at > behind || lost > 0 {
			u.gaps = append(u.gaps, gap{behind, at, lost})
			u.hole = min(u.hole, behind)
		}
		if h.settles {
			s.settle(&u)
			end, s.next, s.settled = at, h.sequence, false
		}
		sum, err := r.sum(at+headSize, h.length)
		if err != nil {
			return 0, false, err
		}
		e := entry{at, h.length, h.sum}
		at, behind, last, known = next, next, h.sequence, true
		if sum != h.sum {
			u.doubtful[h.key] = e
			u.hole = min(u.hole, e.offset)
			continue
		}
		switch h.operation {
		case keep:
			s.set(h.key, e)
			delete(u.doubtful, h.key)
		case forget:
			u.deletes[h.key] = e
			delete(u.doubtful, h.key)
		}
		end, s.next, s.settled = next, last+1, h.operation == none
	}
	s.applyDeletes(&u, true)
	return end, min(u.hole, tooLong) < end, nil
}
