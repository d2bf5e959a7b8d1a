package mqtt

// identifiers finds things by their packet identifiers. Identifiers go round, so that those in use are mostly in a row,
// and each has a place of its own: a map would compute with each of them, four times for each message. T is a pointer, for
// which the compiler makes one machine code, whatever it points to.
type identifiers[T any] struct {
	slots []slot[T] // a power of two of them, half of them free; an identifier stands at its number modulo that, or behind
	n     int       // in use
	off   int       // of these, that stand behind their own place
	most  int       // that were in use since none was
	use   wear
}

type slot[T any] struct {
	thing T // nil: free
	id    uint16
	used  bool
}

func (t *identifiers[T]) len() int { return t.n }

// get returns the thing of an identifier, or nil.
func (t *identifiers[T]) get(id uint16) (none T) {
	if t.n == 0 {
		return none
	}
	mask := len(t.slots) - 1
	for i := int(id) & mask; ; i = (i + 1) & mask {
		if s := &t.slots[i]; !s.used || s.id == id {
			return s.thing
		}
	}
}

// set gives an identifier a thing, which is not nil.
func (t *identifiers[T]) set(id uint16, thing T) {
	if 2*(t.n+1) > len(t.slots) {
		old := t.slots
		t.slots, t.n, t.off = make([]slot[T], max(2*len(old), 16)), 0, 0
		for _, s := range old {
			if s.used {
				t.set(s.id, s.thing)
			}
		}
	}
	mask := len(t.slots) - 1
	i := int(id) & mask
	for t.slots[i].used && t.slots[i].id != id {
		i = (i + 1) & mask
	}
	if !t.slots[i].used {
		t.n++
		t.most = max(t.most, t.n)
		if i != int(id)&mask {
			t.off++
		}
	}
	t.slots[i] = slot[T]{thing, id, true}
}

// delete frees an identifier.
func (t *identifiers[T]) delete(id uint16) {
	if t.n == 0 {
		return
	}
	mask := len(t.slots) - 1
	home := func(i int) int { return int(t.slots[i].id) & mask }
	free := int(id) & mask
	for t.slots[free].used && t.slots[free].id != id {
		free = (free + 1) & mask
	}
	if !t.slots[free].used {
		return
	}
	if free != home(free) {
		t.off--
	}
	t.slots[free] = slot[T]{}
	t.n--
	// What stands behind its place moves up, or it would not be found behind the gap.
	for i := (free + 1) & mask; t.off > 0 && t.slots[i].used; i = (i + 1) & mask {
		if (i-home(i))&mask < (i-free)&mask {
			continue // its place is behind the gap
		}
		t.slots[free], t.slots[i] = t.slots[i], slot[T]{}
		if free == home(free) {
			t.off--
		}
		free = i
	}
	if t.n == 0 {
		if t.use.outgrown(t.most, len(t.slots)) {
			t.slots = nil
		}
		t.most = 0
	}
}

// all returns the things, in no order.
//
//go:noinline
func (t *identifiers[T]) all() (things []T) {
	for _, s := range t.slots {
		if s.used {
			things = append(things, s.thing)
		}
	}
	return things
}

func (t *identifiers[T]) clear() { *t = identifiers[T]{} }
