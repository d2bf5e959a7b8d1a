package dissect

import "bytes"

// filterTree has the subscriptions of a client by the levels of their Topic Filters: to find those that a Topic Name
// matches takes as long as its levels ask for, however many there are.
type filterTree struct {
	named  map[string]*subscription // by the whole filter
	next   map[branch]int           // the node behind a node
	ending [][]*subscription        // at each node; node 0 is in front of the first level
	size   int                      // of the filters, in bytes
}

// branch is where a level leads to from a node.
type branch struct {
	node  int
	level string
}

// subscription is a topic filter of the client.
type subscription struct {
	qos  uint8 // granted, or asked for as long as there is no SUBACK
	gone bool  // there was an UNSUBACK
}

// The most that a filterTree takes.
const (
	mostLevels = 1 << 17
	mostText   = 8 << 20
)

// add returns the subscription with this filter, a new one if known is false, or nil if there are too many.
func (t *filterTree) add(filter []byte) (sub *subscription, known bool) {
	if sub = t.named[string(filter)]; sub != nil {
		return sub, true
	}
	if t.named == nil {
		t.named, t.next, t.ending = map[string]*subscription{}, map[branch]int{}, make([][]*subscription, 1)
	}
	if t.size += len(filter); t.size > mostText {
		return nil, false
	}
	text := string(filter)
	node := 0
	for rest, more := unshared(filter), true; more; {
		var level []byte
		level, rest, more = bytes.Cut(rest, []byte("/"))
		after := t.next[branch{node, string(level)}]
		if after == 0 {
			if after = len(t.ending); after > mostLevels {
				return nil, false
			}
			t.next[branch{node, string(level)}] = after
			t.ending = append(t.ending, nil)
		}
		node = after
	}
	sub = new(subscription)
	t.named[text] = sub
	t.ending[node] = append(t.ending[node], sub)
	return sub, false
}

// match goes on to see as long as it returns true, with each subscription that a message with this topic name goes to.
// [MQTT-4.7.2-1] A wildcard in front does not match a leading '$', unless anyway is true.
func (t *filterTree) match(topic []byte, anyway bool, see func(*subscription) bool) {
	if len(t.ending) > 0 {
		t.walk(0, topic, true, anyway || len(topic) == 0 || topic[0] != '$', see)
	}
}

// walk sees the subscriptions behind a node. more says that levels of the topic are left, wild that wildcards match the
// first of them.
func (t *filterTree) walk(node int, topic []byte, more, wild bool, see func(*subscription) bool) bool {
	if wild && !t.end(t.next[branch{node, "#"}], see) { // "a/#" has "a" in it, too (section 4.7.1.2)
		return false
	}
	if !more {
		return t.end(node, see)
	}
	level, rest, more := bytes.Cut(topic, []byte("/"))
	if after := t.next[branch{node, string(level)}]; after > 0 && !t.walk(after, rest, more, true, see) {
		return false
	}
	if after := t.next[branch{node, "+"}]; after > 0 && wild {
		return t.walk(after, rest, more, true, see)
	}
	return true
}

// end sees the subscriptions that end at a node.
func (t *filterTree) end(node int, see func(*subscription) bool) bool {
	for _, sub := range t.ending[node] {
		if !see(sub) {
			return false
		}
	}
	return true
}

// unshared is the filter within a shared subscription, "$share/group/filter", which is an extension of some servers.
func unshared(filter []byte) []byte {
	if rest, ok := bytes.CutPrefix(filter, []byte("$share/")); ok {
		if _, rest, ok = bytes.Cut(rest, []byte("/")); ok {
			return rest
		}
	}
	return filter
}
