package testbroker

import (
	"bytes"
	"slices"
	"strings"

	"iotwire/mqtt/packet"
)

// tree holds the subscriptions of all sessions by the levels of their topic filters (section 4.7). To find those of a
// topic name costs by its levels, not by the number of subscriptions.
type tree struct {
	root  node
	count int // subscriptions

	parentUnmatched bool // Deviations.ParentUnmatched

	found         []*node // what match returned, used again
	current, next []*node
}

// node is the end of a topic filter, or a level on the way to longer ones.
type node struct {
	children    map[string]*node // by level; the wildcards are levels like any other
	subscribers map[*session]packet.QoS
	groups      map[string]*group // $share/NAME/filter
}

// group is the subscribers of a share group: each message goes to one of them.
type group struct {
	members []member
	next    int // whose turn it is
}

type member struct {
	session *session
	granted packet.QoS
}

// add enters a subscription, or replaces its QoS.
func (t *tree) add(filter string, s *session, granted packet.QoS) {
	name, filter := cutShare(filter)
	n := &t.root
	for level := range strings.SplitSeq(filter, "/") {
		child := n.children[level]
		if child == nil {
			child = new(node)
			if n.children == nil {
				n.children = make(map[string]*node)
			}
			n.children[level] = child
		}
		n = child
	}
	if name == "" {
		if n.subscribers == nil {
			n.subscribers = make(map[*session]packet.QoS)
		}
		if _, known := n.subscribers[s]; !known {
			t.count++
		}
		n.subscribers[s] = granted
		return
	}
	g := n.groups[name]
	if g == nil {
		g = new(group)
		if n.groups == nil {
			n.groups = make(map[string]*group)
		}
		n.groups[name] = g
	}
	if i := g.find(s); i >= 0 {
		g.members[i].granted = granted
		return
	}
	g.members = append(g.members, member{s, granted})
	t.count++
}

// remove deletes a subscription that there is, and the levels that only it needed.
func (t *tree) remove(filter string, s *session) {
	name, filter := cutShare(filter)
	levels := strings.Split(filter, "/")
	path := make([]*node, 0, len(levels)+1)
	n := &t.root
	for _, level := range levels {
		path = append(path, n)
		n = n.children[level]
	}
	if name == "" {
		delete(n.subscribers, s)
	} else {
		g := n.groups[name]
		g.members = slices.DeleteFunc(g.members, func(m member) bool { return m.session == s })
		if len(g.members) == 0 {
			delete(n.groups, name)
		}
	}
	t.count--
	for i := len(levels) - 1; i >= 0 && n.empty(); i-- {
		n = path[i]
		delete(n.children, levels[i])
	}
}

func (n *node) empty() bool {
	return len(n.children) == 0 && len(n.subscribers) == 0 && len(n.groups) == 0
}

// match returns the ends of all filters that match topic. The slice is good until the next call.
func (t *tree) match(topic []byte) []*node {
	found, current, next := t.found[:0], append(t.current[:0], &t.root), t.next[:0]
	// [MQTT-4.7.2-1] A wildcard in the first level does not match a topic that starts with '$'.
	wild := topic[0] != '$'
	for rest, more := topic, true; more; wild = true {
		var level []byte
		level, rest, more = bytes.Cut(rest, []byte{'/'})
		next = next[:0]
		for _, n := range current {
			if wild {
				if rest := n.children["#"]; rest != nil {
					found = append(found, rest)
				}
				if one := n.children["+"]; one != nil {
					next = append(next, one)
				}
			}
			if same := n.children[string(level)]; same != nil { // [MQTT-4.7.3-4]
				next = append(next, same)
			}
		}
		current, next = next, current
	}
	for _, n := range current {
		found = append(found, n)
		if rest := n.children["#"]; rest != nil && !t.parentUnmatched { // 4.7.1.2: "a/#" matches "a" too
			found = append(found, rest)
		}
	}
	t.found, t.current, t.next = found, current, next
	return found
}

// cutShare cuts "$share/NAME/filter" into its name and filter. A filter that is not quite of this form is one like any
// other, without a name: 3.1.1 knows nothing of share groups.
func cutShare(filter string) (name, rest string) {
	if after, ok := strings.CutPrefix(filter, "$share/"); ok {
		name, rest, _ := strings.Cut(after, "/")
		if name != "" && rest != "" && !strings.ContainsAny(name, "+#") {
			return name, rest
		}
	}
	return "", filter
}

func (g *group) find(s *session) int {
	return slices.IndexFunc(g.members, func(m member) bool { return m.session == s })
}

// pick returns the member whose turn it is among those that can take a message now, or else among all.
func (g *group) pick() member {
	for i := range g.members {
		at := (g.next + i) % len(g.members)
		if m := g.members[at]; m.session.connection != nil && !m.session.full() {
			g.next = at + 1
			return m
		}
	}
	at := g.next % len(g.members)
	g.next = at + 1
	return g.members[at]
}
