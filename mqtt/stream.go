package mqtt

// stream is the QoS 0 messages of one connection. The position of a message's end among the bytes of the connection says
// how far it has come, so that none needs a flow: [MQTT-4.3.1-1] nothing answers it, and it is sent once.
type stream struct {
	unwritten []span // from first, in order: in out, or being written
	first     int
	written   uint64   // the connection took what stands before this position
	waiters   []waiter // in the order of their positions

	ended                bool
	offered              uint64 // then: how many bytes it was given,
	notSent, unconfirmed error  // and how the messages ended that it did not take
}

// span is where a message ends, and how many bytes it has.
type span struct {
	end  uint64
	size int
}

// waiter waits for the end of the message that ends at a position: its signal is sent to, or its done closed.
type waiter struct {
	end          uint64
	signal, done chan struct{}
}

func (t *stream) len() int { return len(t.unwritten) - t.first }

// add adds a message.
func (t *stream) add(end uint64, size int) {
	if t.first > 64 && t.first > len(t.unwritten)/2 {
		t.unwritten = t.unwritten[:copy(t.unwritten, t.unwritten[t.first:])]
		t.first = 0
	}
	t.unwritten = append(t.unwritten, span{end, size})
}

// wrote says that the connection took its first n bytes. It returns how many messages are done, and their bytes.
func (t *stream) wrote(n uint64) (messages, bytes int) {
	t.written = n
	from := t.first
	for t.first < len(t.unwritten) && t.unwritten[t.first].end <= n {
		bytes += t.unwritten[t.first].size
		t.first++
	}
	messages = t.first - from
	if t.first == len(t.unwritten) {
		t.unwritten, t.first = t.unwritten[:0], 0
	}
	return messages, bytes
}

// end says that the connection has ended, after it was given offered bytes. It returns how many messages were not written,
// and their bytes.
func (t *stream) end(offered uint64, cause error) (messages, bytes int) {
	for _, s := range t.unwritten[t.first:] {
		bytes += s.size
	}
	messages = t.len()
	t.unwritten, t.first = nil, 0
	t.ended, t.offered = true, offered
	t.notSent, t.unconfirmed = &deliveryError{ErrNotSent, cause}, &deliveryError{ErrUnconfirmed, cause}
	return messages, bytes
}

// err is how the message that ends at a position has ended, or ErrPending.
func (t *stream) err(end uint64) error {
	switch {
	case end <= t.written:
		return nil
	case !t.ended:
		return ErrPending
	case end > t.offered: // packets are given to a connection whole
		return t.notSent
	}
	return t.unconfirmed
}

// await adds a waiter.
func (t *stream) await(w waiter) {
	t.waiters = append(t.waiters, w)
	for i := len(t.waiters) - 1; i > 0 && t.waiters[i-1].end > w.end; i-- {
		t.waiters[i-1], t.waiters[i] = w, t.waiters[i-1]
	}
}

// done returns a channel that is closed when the message that ends at this position has ended, the same each time.
func (t *stream) done(end uint64) <-chan struct{} {
	for i := len(t.waiters) - 1; i >= 0 && t.waiters[i].end >= end; i-- {
		if w := t.waiters[i]; w.end == end && w.done != nil {
			return w.done
		}
	}
	done := make(chan struct{})
	t.await(waiter{end: end, done: done})
	return done
}

// settle tells those whose message has ended.
func (t *stream) settle() {
	n := 0
	for n < len(t.waiters) && (t.ended || t.waiters[n].end <= t.written) {
		if w := t.waiters[n]; w.done != nil {
			close(w.done)
		} else {
			w.signal <- struct{}{} // has room: nobody else uses it
		}
		n++
	}
	if n > 0 {
		left := copy(t.waiters, t.waiters[n:])
		clear(t.waiters[left:])
		t.waiters = t.waiters[:left]
	}
}
