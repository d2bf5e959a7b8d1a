package aws

import "time"

// bucket allows so many in a second: it holds that many, and fills up as time goes by.
type bucket struct {
	rate int
	free time.Time // when it will be full again
}

// take takes one out, and reports whether there was one.
func (b *bucket) take(now time.Time) bool {
	if b.free.Before(now) {
		b.free = now
	}
	each := time.Second / time.Duration(b.rate)
	if b.free.Add(each).Sub(now) > time.Second {
		return false
	}
	b.free = b.free.Add(each)
	return true
}
