package testbroker

import (
	"bytes"
	"cmp"
	"slices"
	"strings"

	"iotwire/mqtt/packet"
)

// retained holds the last retained message of each topic (section 3.3.1.3), by the levels of the topic names. It is no
// part of a session and outlives them all [MQTT-3.1.2.7].
type retained struct {
	root   retainedNode
	count  int
	bytes  int
	limit  int
	stored uint64 // messages so far
}

type retainedNode struct {
	children map[string]*retainedNode
	message  *message
	order    uint64 // of message: its number
}

// put stores a message that came with RETAIN 1 [MQTT-3.3.1-5] in place of an earlier one of its topic [MQTT-3.3.1-7]. One
// without payload removes that and is not stored [MQTT-3.3.1-10] [MQTT-3.3.1-11].
func (r *retained) put(p *packet.Publish) {
	levels := strings.Split(string(p.Topic), "/")
	path := make([]*retainedNode, 0, len(levels))
	n := &r.root
	for _, level := range levels {
		child := n.children[level]
		if child == nil {
			if len(p.Payload) == 0 {
				return
			}
			child = new(retainedNode)
			if n.children == nil {
				n.children = make(map[string]*retainedNode)
			}
			n.children[level] = child
		}
		path = append(path, n)
		n = child
	}
	if old := n.message; old != nil {
		n.message = nil
		r.count--
		r.bytes -= len(old.topic) + len(old.payload)
	}
	if size := len(p.Topic) + len(p.Payload); len(p.Payload) > 0 && r.bytes+size <= r.limit {
		n.message = newMessage(p)
		r.stored++
		n.order = r.stored
		r.count++
		r.bytes += size
		return
	}
	for i := len(levels) - 1; i >= 0 && n.message == nil && len(n.children) == 0; i-- {
		n = path[i]
		delete(n.children, levels[i])
	}
}

// match returns the retained messages whose topics match filter, in the order in which they were stored.
func (r *retained) match(filter []byte) []*message {
	current := []*retainedNode{&r.root}
	var found []*retainedNode
	for rest, more := filter, true; more; {
		var level []byte
		level, rest, more = bytes.Cut(rest, []byte{'/'})
		var next []*retainedNode
		for _, n := range current {
			switch string(level) {
			case "#":
				if n != &r.root {
					found = append(found, n) // 4.7.1.2: "a/#" matches "a" too
				}
				found = append(found, n.below(n == &r.root)...)
			case "+":
				next = append(next, n.wild(n == &r.root)...)
			default:
				if child := n.children[string(level)]; child != nil {
					next = append(next, child)
				}
			}
		}
		current = next
	}
	found = append(found, current...)
	found = slices.DeleteFunc(found, func(n *retainedNode) bool { return n.message == nil })
	slices.SortFunc(found, func(a, b *retainedNode) int { return cmp.Compare(a.order, b.order) })
	messages := make([]*message, len(found))
	for i, n := range found {
		messages[i] = n.message
	}
	return messages
}

// wild returns the children that a wildcard stands for: in the first level not those with '$' [MQTT-4.7.2-1].
func (n *retainedNode) wild(first bool) []*retainedNode {
	children := make([]*retainedNode, 0, len(n.children))
	for level, child := range n.children {
		if !first || !strings.HasPrefix(level, "$") {
			children = append(children, child)
		}
	}
	return children
}

// below returns everything below n.
func (n *retainedNode) below(first bool) []*retainedNode {
	all := n.wild(first)
	for i := 0; i < len(all); i++ {
		all = append(all, all[i].wild(false)...)
	}
	return all
}

// sendRetained gives a session the retained messages that match a filter it has subscribed to [MQTT-3.3.1-6]. A share
// group gets none: nobody could say who of it.
func (b *Broker) sendRetained(s *session, filter []byte, granted packet.QoS) {
	if name, _ := cutShare(string(filter)); name != "" {
		return
	}
	if b.config.Deviations.RetainedExactly && bytes.ContainsAny(filter, "+#") {
		return
	}
	for _, m := range b.retained.match(filter) {
		s.deliver(&packet.Publish{Topic: m.topic, Payload: m.payload, QoS: m.qos}, granted, true, m)
	}
}
