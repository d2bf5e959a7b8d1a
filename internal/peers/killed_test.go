package peers

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"strings"
	"syscall"
	"testing"
	"time"

	"iotwire/mqtt"
)

var kills = flag.Int("kills", 20, "how often each of the programs is killed")

// What publisher has read with a store when it is killed is delivered by a later run, what it has reported is at the
// broker, at QoS 2 once, and the first copies are in order.
func TestKilledProgramPublisher(t *testing.T) {
	p := buildPrograms(t)
	b := mosquitto.run(t, setup{})
	w := b.connect(t, nil)
	sub, err := w.Subscribe("killed", mqtt.QoS2)
	if err != nil {
		t.Fatal(err)
	}
	if err := sub.Ready(within(t)); err != nil {
		t.Fatal(err)
	}
	store := t.TempDir()
	common := []string{"-t", "killed", "--client-id", fresh("killed-"), "--persistent", "--store", store, "--lines", "-i", "0", "--inflight", "5", "--json"}
	reported := map[string]bool{} // as "QoS round line"
	for round := range *kills {
		q := 1 + round%2
		var in bytes.Buffer
		for n := range 2000 {
			fmt.Fprintf(&in, "%d %03d %04d\n", q, round, n)
		}
		r := p.start(t, b, "publisher", in.Bytes(), append(common, "-q", fmt.Sprint(q))...)
		time.Sleep(time.Duration(rand.IntN(300)) * time.Millisecond)
		r.stop(syscall.SIGKILL)
		for _, line := range r.out.lines() {
			var n int
			if _, err := fmt.Sscanf(line, `{"n":%d,`, &n); err == nil { // else it is one of an earlier run
				reported[fmt.Sprintf("%d %03d %04d", q, round, n-1)] = true
			}
		}
	}
	p.start(t, b, "publisher", nil, common...).wantExit(0)

	end := fresh("end ")
	if err := b.connect(t, nil).Publish(within(t), mqtt.Message{Topic: "killed", Payload: []byte(end), QoS: mqtt.QoS2}); err != nil {
		t.Fatal(err)
	}
	count, last := map[string]int{}, map[byte]string{} // the latest for each QoS: a broker may route QoS 2 when PUBREL comes
	for m, err := range sub.Messages(within(t)) {
		if err != nil {
			t.Fatal(err)
		}
		payload := string(m.Payload)
		if payload == end {
			break
		}
		if count[payload]++; count[payload] > 1 {
			if strings.HasPrefix(payload, "2") {
				t.Errorf("%q, QoS 2, came %d times", payload, count[payload])
			}
			continue
		}
		if payload <= last[payload[0]] {
			t.Errorf("%q came after %q", payload, last[payload[0]])
		}
		last[payload[0]] = payload
	}
	for payload := range reported {
		if count[payload] == 0 {
			t.Errorf("%q was reported as acknowledged, and never came", payload)
		}
	}
	t.Logf("%d kills: %d messages came, %d were reported before a kill, 0 lost", *kills, len(count), len(reported))
	if len(count) < *kills {
		t.Errorf("%d messages: the test was too quick to show anything", len(count))
	}
}

// What comes while subscriber is dead waits for it, at the broker and in the store; what it was printing when it was
// killed may come once more, at QoS 2 too, since it was not acknowledged; nothing is lost, nothing comes twice to one run.
func TestKilledProgramSubscriber(t *testing.T) {
	p := buildPrograms(t)
	b := mosquitto.run(t, setup{})
	w := b.connect(t, nil)
	args := []string{"-t", "killed", "-q", "2", "--client-id", fresh("killed-"), "--persistent", "--store", t.TempDir()}
	first := p.start(t, b, "subscriber", nil, args...)
	first.awaitSaid("subscribed to")
	first.stop(syscall.SIGTERM)

	number, again := 0, 0
	printed := map[string]int{} // and in which round last
	before := -1                // the latest round that printed anything
	run := func(round int, r *run) {
		here := map[string]bool{}
		for _, line := range r.out.lines() {
			if here[line] && line[0] == '2' {
				t.Errorf("%q, QoS 2, was printed twice by one process", line)
			}
			if last, ok := printed[line]; ok && !here[line] && line[0] == '2' {
				again++
				if last != before {
					t.Errorf("%q, QoS 2, was printed in round %d and, after round %d, in round %d", line, last, before, round)
				}
			}
			here[line] = true
			printed[line] = round
		}
		if len(here) > 0 {
			before = round
		}
	}
	for round := range *kills {
		for range 200 {
			number++
			q := mqtt.QoS(1 + number%2)
			if err := w.Publish(context.Background(), mqtt.Message{Topic: "killed", Payload: fmt.Appendf(nil, "%d %06d", q, number), QoS: q}); err != nil {
				t.Fatal(err)
			}
		}
		r := p.start(t, b, "subscriber", nil, args...)
		time.Sleep(time.Duration(rand.IntN(100)) * time.Millisecond)
		r.stop(syscall.SIGKILL)
		run(round, r)
	}
	r := p.start(t, b, "subscriber", nil, append(args, "-W", "3s")...)
	r.wait(t)
	run(*kills, r)
	if len(printed) != number {
		t.Errorf("%d of %d messages were printed", len(printed), number)
	}
	t.Logf("%d kills: %d messages, 0 lost, %d of QoS 2 printed again by the next process", *kills, number, again)
}
