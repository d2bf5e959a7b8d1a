package mqtt

import (
	"fmt"
	"slices"
)

// commit is the goroutine that stores what the session's journal holds and the messages that wait to be accepted, as
// long as there is any: what comes while one Put is under way shares the next. It ends when there is nothing to do.
func (c *Client) commit() {
	s, j, store := c.session, &c.session.journal, c.cfg.Store
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.broken == nil && c.toStore() {
		var accept []Record
		flows := c.accepting
		c.accepting = nil
		for _, f := range flows {
			accept = append(accept, s.record(f))
		}
		held := j.holds()
		records, extras, deletes, barrier := j.records, j.extras, j.deletes, j.barrier || c.flushing
		j.records, j.extras, j.deletes, j.barrier, c.flushing = nil, nil, nil, false, false
		j.busy = held // a message that waits to be accepted holds nothing
		j.started++
		conn, position := s.conn, s.position()
		c.mu.Unlock()

		var err error
		var failed []error // why the store did not take the messages, if it did not take all
		if len(deletes) > 0 {
			err = store.Delete(deletes...)
		}
		if err == nil && (barrier || len(records)+len(extras)+len(accept) > 0) {
			err = store.Put(slices.Concat(records, extras, accept)...)
			if err != nil && len(extras)+len(accept) > 0 {
				// One message may be too large, say; that must not fail the others, and the session even less.
				err = store.Put(records...)
				for _, r := range extras {
					store.Put(r)
				}
				for _, r := range accept {
					failed = append(failed, store.Put(r))
				}
				if err == nil { // a store that is broken now did not only want for room
					err = store.Put()
				}
			}
		}

		c.mu.Lock()
		j.busy = false
		j.ended++
		if err == nil && held && s.conn == conn {
			j.cleared = position
		}
		if err != nil {
			if !held && !j.holds() {
				j.cleared = s.position() // nothing up to here waits; what comes now does, for ever
			}
			j.broken = true
			c.broken = fmt.Errorf("%w: %w", ErrStore, err)
		}
		c.tellTime()
		for i, f := range flows {
			switch {
			case err != nil: // the store may have kept it, and a later client would find it
				c.acceptStored(f, &deliveryError{ErrUnconfirmed, c.broken})
			case failed != nil && failed[i] != nil:
				c.acceptStored(f, &deliveryError{ErrNotSent, failed[i]})
			default:
				c.acceptStored(f, nil)
			}
		}
		c.settle()
	}
	if c.broken != nil {
		for _, f := range c.accepting {
			c.acceptStored(f, &deliveryError{ErrNotSent, c.broken})
		}
		c.accepting = nil
		c.stop() // Run ends with it
	}
	c.committing = false
	c.settle()
}

// acceptStored ends the wait of a submit for the store.
//
//go:noinline
func (c *Client) acceptStored(f *flow, err error) {
	c.session.stored(f, err)
	if err == nil {
		c.stats.Accepted++
	}
	f.stored <- err
}

// toStore reports whether commit has something to do. The lock is held.
func (c *Client) toStore() bool {
	j := &c.session.journal
	return j.barrier || c.flushing || len(j.records)+len(j.extras)+len(c.accepting) > 0 || len(j.deletes) > lazyDeletes
}

// startCommit starts commit if there is something to do. The lock is held.
func (c *Client) startCommit() {
	if c.cfg.Store != nil && !c.committing && c.broken == nil && c.toStore() {
		c.committing = true
		go c.commit()
	}
}

// flushStore makes everything durable that the session has put or deleted until now, or returns why it cannot. It waits
// for the disk only.
func (c *Client) flushStore() error {
	if c.cfg.Store == nil {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.flushing = true
	until := c.session.journal.started + 1
	c.startCommit()
	for c.broken == nil && c.session.journal.ended < until {
		if c.changed == nil {
			c.changed = make(chan struct{})
		}
		changed := c.changed
		c.mu.Unlock()
		<-changed
		c.mu.Lock()
	}
	return c.broken
}

// Resumed is a message that an earlier client left in the store.
type Resumed struct {
	Delivery
	Topic string // empty if only the end of a QoS 2 exchange is left, for which the message is not needed
	Size  int    // of the payload; 0 likewise
	QoS   QoS
}

// Resumed returns the messages that were in Config.Store when the client was made, in the order in which they were
// accepted: they are delivered first.
func (c *Client) Resumed() []Resumed { return c.resumed }
