package testbroker

import (
	"maps"
	"testing"

	"iotwire/mqtt/packet"
	"pgregory.net/rapid"
)

// topics and filters meet in many ways, at the edges of section 4.7 too.
var (
	topics = []string{"a", "b", "a/b", "a/b/c", "a/c", "/", "/a", "a/", "//", "a//b", "$a", "$a/b", "a/$b", "$share", "$share/g", "$share/g/a"}

	filters = []string{"a", "b", "a/b", "a/b/c", "/", "/a", "a/", "#", "+", "a/#", "a/+", "+/b", "+/+", "+/#", "/+", "/#", "+/", "a/+/c",
		"a/+/+", "+/+/+", "+/+/#", "a//b", "a/b/#", "a/b/c/#", "$a", "$a/#", "$a/+", "a/$b", "$share/g", "$share/#", "$share/+"}
)

// The topic tree finds those whom a look at each subscription with packet.Match finds.
func TestTreeMatchesLikeTheStandard(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var tr tree
		sessions := []*session{{clientID: "1"}, {clientID: "2"}, {clientID: "3"}}
		type subscription struct {
			s      *session
			filter string
		}
		want := make(map[subscription]packet.QoS)
		for range rapid.IntRange(0, 60).Draw(t, "steps") {
			sub := subscription{rapid.SampledFrom(sessions).Draw(t, "session"), rapid.SampledFrom(filters).Draw(t, "filter")}
			if _, there := want[sub]; there && rapid.Bool().Draw(t, "remove") {
				tr.remove(sub.filter, sub.s)
				delete(want, sub)
				continue
			}
			want[sub] = packet.QoS(rapid.IntRange(0, 2).Draw(t, "QoS"))
			tr.add(sub.filter, sub.s, want[sub])
		}
		if tr.count != len(want) {
			t.Errorf("%d subscriptions are counted, want %d", tr.count, len(want))
		}
		for _, topic := range topics {
			got, wanted := make(map[*session]int), make(map[*session]int)
			for _, n := range tr.match([]byte(topic)) {
				for s, q := range n.subscribers {
					got[s] += 1 + 100*int(q)
				}
			}
			for sub, q := range want {
				if packet.Match(sub.filter, topic) {
					wanted[sub.s] += 1 + 100*int(q)
				}
			}
			if !maps.Equal(got, wanted) {
				t.Errorf("%s: got %v, want %v", topic, got, wanted)
			}
		}
		for sub := range want {
			tr.remove(sub.filter, sub.s)
		}
		if len(tr.root.children) != 0 || tr.count != 0 {
			t.Error("levels are left in the tree")
		}
	})
}
