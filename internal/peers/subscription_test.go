package peers

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"iotwire/mqtt"
	"iotwire/mqtt/packet"
)

// testUnsubscribe closes a subscription: no further message comes, and those of another still do.
func testUnsubscribe(t *testing.T, b *broker) {
	closed, open := fresh("closed/"), fresh("open/")
	var dropped []string
	receiver := b.connect(t, func(c *mqtt.Config) {
		c.Trace.Dropped = func(m *mqtt.Message, err error) { dropped = append(dropped, m.Topic) }
	})
	from := b.connect(t, nil)
	in, other := receiver.subscribe(closed, mqtt.QoS1), receiver.subscribe(open, mqtt.QoS1)
	m := mqtt.Message{Topic: closed, Payload: []byte("before"), QoS: mqtt.QoS1}
	from.publish(m)
	in.want(m)
	before := receiver.packets.of(packet.UNSUBSCRIBE)
	if err := in.sub.Close(within(t)); err != nil {
		t.Fatalf("Close: %v", err)
	}
	if n := receiver.packets.of(packet.UNSUBSCRIBE) - before; n != 1 {
		t.Errorf("%d UNSUBSCRIBE packets were sent, want 1", n)
	}
	from.publish(m, mqtt.Message{Topic: open, Payload: []byte("after"), QoS: mqtt.QoS1})
	other.want(mqtt.Message{Topic: open, Payload: []byte("after"), QoS: mqtt.QoS1})
	receiver.stop()
	if len(dropped) > 0 {
		t.Errorf("the broker still sent messages on %s after UNSUBACK", dropped)
	}
	select {
	case m := <-in.messages:
		t.Errorf("%s came after Close", show(m))
	default:
	}
}

// testWildcards checks what filters match (section 4.7). Each filter is that of a client of its own.
func testWildcards(t *testing.T, b *broker) {
	root := fresh("wild")
	topics := []string{root, root + "/a", root + "/a/b", root + "/a/b/c", root + "/x/b", root + "//b", root + "/"}
	from := b.connect(t, nil)
	for _, test := range []struct {
		filter  string
		matches []int // of topics
	}{
		{root + "/#", []int{0, 1, 2, 3, 4, 5, 6}}, // [MQTT-4.7.1-2] the parent too
		{root + "/+", []int{1, 6}},
		{root + "/a/#", []int{1, 2, 3}},
		{root + "/+/b", []int{2, 4, 5}},
		{root + "/a/+", []int{2}},
		{root + "/+/b/#", []int{2, 3, 4, 5}},
		{"+/a/b", []int{2}},
		{"+/+/+/+", []int{3}},
		{root + "/a", []int{1}},
		{root, []int{0}},
	} {
		receiver := b.connect(t, nil)
		in := receiver.subscribe(test.filter, mqtt.QoS1)
		end := receiver.subscribe(fresh("end/"), mqtt.QoS1)
		for i, topic := range topics {
			from.publish(mqtt.Message{Topic: topic, Payload: count(i), QoS: mqtt.QoS1})
		}
		var want, got []string
		for _, i := range test.matches {
			want = append(want, show(mqtt.Message{Topic: topics[i], Payload: count(i), QoS: mqtt.QoS1}))
			got = append(got, show(in.next()))
		}
		slices.Sort(got) // messages of different topics may overtake each other
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Errorf("from %s came %q, want %q", test.filter, got, want)
		}
		end.wantNothing(from, end.filter)
		receiver.stop()
		select {
		case m := <-in.messages:
			t.Errorf("from %s came %s too", test.filter, show(m))
		default:
		}
	}
}

// testOverlappingFilters subscribes to filters that match the same message: it comes at least once for each (section
// 3.3.5: a server may send it more than once), at the QoS of either.
func testOverlappingFilters(t *testing.T, b *broker) {
	root := fresh("overlap")
	receiver, from := b.connect(t, nil), b.connect(t, nil)
	wide, narrow := receiver.subscribe(root+"/#", mqtt.QoS1), receiver.subscribe(root+"/a", mqtt.QoS2)
	end := receiver.subscribe(fresh("end/"), mqtt.QoS1)
	from.publish(mqtt.Message{Topic: root + "/a", Payload: []byte("one"), QoS: mqtt.QoS2})
	for _, in := range []*inbox{wide, narrow} {
		if m := in.next(); m.Topic != root+"/a" || string(m.Payload) != "one" {
			t.Errorf("from %s came %s", in.filter, show(m))
		}
	}
	end.wantNothing(from, end.filter)
	t.Logf("copies: %d and %d", 1+len(wide.messages), 1+len(narrow.messages))
}

// testManyFilters subscribes to many filters at once, before the connection, and in one packet.
func testManyFilters(t *testing.T, b *broker) {
	root := fresh("filters/")
	receiver, from := b.client(t, nil), b.connect(t, nil)
	var all []*inbox
	for i := range 50 {
		all = append(all, receiver.declare(fmt.Sprintf("%s/%d", root, i), mqtt.QoS(i%3)))
	}
	receiver.start()
	for i, in := range all {
		if err := in.sub.Ready(within(t)); err != nil {
			t.Fatalf("filter %d: %v", i, err)
		}
		m := mqtt.Message{Topic: in.filter, Payload: count(i), QoS: mqtt.QoS2}
		from.publish(m)
		m.QoS = mqtt.QoS(i % 3)
		in.want(m)
	}
	if n := receiver.packets.of(packet.SUBSCRIBE); n != 1 {
		t.Errorf("%d SUBSCRIBE packets were sent, want 1", n)
	}
}

// testSharedSubscription has two clients share a subscription: each message comes to one of them.
func testSharedSubscription(t *testing.T, b *broker) {
	topic := fresh("shared/")
	filter := "$share/" + fresh("group") + "/" + topic
	one, two := b.connect(t, nil).subscribe(filter, mqtt.QoS1), b.connect(t, nil).subscribe(filter, mqtt.QoS1)
	from := b.connect(t, nil)
	for i := range 20 {
		from.publish(mqtt.Message{Topic: topic, Payload: count(i), QoS: mqtt.QoS1})
	}
	wantShared(t, one, two, 20)
}

// wantShared expects messages 0 to n-1, each in one of two inboxes.
func wantShared(t *testing.T, one, two *inbox, n int) {
	t.Helper()
	var want, got []string
	for i := range n {
		want = append(want, string(count(i)))
		select {
		case m := <-one.messages:
			got = append(got, string(m.Payload))
		case m := <-two.messages:
			got = append(got, string(m.Payload))
		case <-time.After(patience):
			t.Fatalf("%d messages came, want %d", len(got), n)
		}
	}
	slices.Sort(want)
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("came %q, want %q", got, want)
	}
}

// testRefusedSubscription subscribes to what the broker denies, and to what it grants, in one packet.
func testRefusedSubscription(t *testing.T, b *broker) {
	denied, granted := "denied/topic", fresh("granted/")
	b = b.again(t, setup{deny: denied})
	receiver := b.client(t, nil)
	refused, in := receiver.declare(denied, mqtt.QoS1), receiver.declare(granted, mqtt.QoS1)
	receiver.start()
	if err := refused.sub.Ready(within(t)); !errors.Is(err, mqtt.ErrRefused) {
		t.Errorf("Ready of the denied filter: %v, want ErrRefused", err)
	}
	if err := in.sub.Ready(within(t)); err != nil {
		t.Errorf("Ready of the granted filter: %v", err)
	}
	m := mqtt.Message{Topic: granted, Payload: []byte("granted"), QoS: mqtt.QoS1}
	b.connect(t, nil).publish(m)
	in.want(m)
}
