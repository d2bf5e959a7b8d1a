package mqtt

import "context"

// roomQueue is who waits for room in the queue, in order. One is woken at a time: it looks whether there is room for
// it, and passes the word on.
type roomQueue struct {
	first, last *roomWaiter
	waking      bool        // one was woken and has not looked yet: it comes before the others
	spare       *roomWaiter // that waited, to be used again
}

type roomWaiter struct {
	next  *roomWaiter
	ready chan struct{} // capacity 1
	woken bool
}

// wait waits for its turn. The client's lock is held before and after, not while it waits. again keeps the place of
// one that was woken in vain.
func (q *roomQueue) wait(ctx context.Context, c *Client, again bool) error {
	w := q.spare
	if w == nil {
		w = &roomWaiter{ready: make(chan struct{}, 1)}
	} else {
		q.spare = w.next
		*w = roomWaiter{ready: w.ready}
	}
	if again {
		w.next = q.first
		q.first = w
		if q.last == nil {
			q.last = w
		}
	} else {
		if q.last == nil {
			q.first = w
		} else {
			q.last.next = w
		}
		q.last = w
	}
	c.mu.Unlock()
	var err error
	select {
	case <-w.ready:
	case <-ctx.Done():
		err = ctx.Err()
	}
	c.mu.Lock()
	if w.woken {
		q.waking = false
		if err != nil { // both at once
			<-w.ready
		}
	} else {
		q.remove(w)
	}
	w.next, q.spare = q.spare, w
	if err != nil {
		q.offer(c) // it was somebody's turn, perhaps
	}
	return err
}

func (q *roomQueue) remove(w *roomWaiter) {
	var before *roomWaiter
	for x := q.first; x != nil; before, x = x, x.next {
		if x != w {
			continue
		}
		if before == nil {
			q.first = w.next
		} else {
			before.next = w.next
		}
		if q.last == w {
			q.last = before
		}
		return
	}
}

// offer wakes the first waiter if there is room for it. The lock is held.
func (q *roomQueue) offer(c *Client) {
	w := q.first
	if w == nil || q.waking {
		return
	}
	if n := c.session.waiting(); n > 0 && (n >= c.cfg.Queue.Messages || c.session.bytes >= c.cfg.Queue.Bytes) {
		return
	}
	q.waking = true
	q.wake(w)
}

func (q *roomQueue) wakeAll() {
	for q.first != nil {
		q.wake(q.first)
	}
}

func (q *roomQueue) wake(w *roomWaiter) {
	q.remove(w)
	w.woken = true
	w.ready <- struct{}{}
}
