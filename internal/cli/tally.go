package cli

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"time"
)

// sampleSize is how many acknowledgement times are kept for the median: a random choice, once there were more.
const sampleSize = 4096

// manyMessages is how many messages it takes for a rate and a 99th percentile that mean something.
const manyMessages = 100

// tally counts what became of the messages of a publisher.
type tally struct {
	total int // that are to be sent; 0: not known
	qos   int

	done        int // acknowledged; at QoS 0: sent
	unconfirmed int // sent, but not acknowledged
	unsent      int // accepted or read, but of which no byte left; not those that were never read
	kept        int // not acknowledged, and in the store for a later run; of an earlier run, too

	resumed  int // of an earlier run
	caughtUp int // of these: acknowledged

	slowest time.Duration
	sample  []time.Duration // of the times until the acknowledgement
}

// add counts a message that was acknowledged after this time.
func (t *tally) add(took time.Duration) {
	t.done++
	t.slowest = max(t.slowest, took)
	if len(t.sample) < sampleSize {
		t.sample = append(t.sample, took)
	} else if i := rand.N(t.done); i < sampleSize {
		t.sample[i] = took
	}
}

// complete reports whether all messages that were to be sent are done.
func (t *tally) complete() bool {
	return t.lost() == 0 && (t.total == 0 || t.done == t.total)
}

// verb is what is known of a message that is done.
func (t *tally) verb() string {
	if t.qos == 0 {
		return "sent"
	}
	return "acknowledged"
}

// summary is the line at the end of a run that went well and took this long.
func (t *tally) summary(took time.Duration) string {
	line := t.ratio() + " in " + span(took)
	var more []string
	if t.done >= manyMessages && took > 0 {
		more = append(more, perTime(float64(t.done)/took.Seconds()))
	}
	if t.qos > 0 && t.done > 1 {
		more = append(more, "median "+span(t.quantile(50)))
		if t.done >= manyMessages {
			more = append(more, "p99 "+span(t.quantile(99)))
		}
		more = append(more, "slowest "+span(t.slowest))
	}
	if more != nil {
		line += " (" + strings.Join(more, ", ") + ")"
	}
	return line
}

// quantile is the time that so many percent of the sample do not reach. It counts, again and again, rather than sorts, for
// which the program would need a machine code of its own.
func (t *tally) quantile(percent int) time.Duration {
	least, most := time.Duration(0), t.slowest
	for least < most {
		middle := least + (most-least)/2
		within := 0
		for _, took := range t.sample {
			if took <= middle {
				within++
			}
		}
		if within > len(t.sample)*percent/100 {
			most = middle
		} else {
			least = middle + 1
		}
	}
	return least
}

// lost is how many messages were accepted and not delivered.
func (t *tally) lost() int { return t.unconfirmed + t.unsent + t.kept }

// shortfall says what became of all messages when some were not delivered.
func (t *tally) shortfall() string {
	left := t.unsent
	if t.total > 0 {
		left = t.total - t.done - t.unconfirmed - (t.kept - (t.resumed - t.caughtUp))
	}
	if t.kept > 0 && t.unconfirmed == 0 && left == 0 {
		return fmt.Sprintf("%s, %d kept for a later run", t.ratio(), t.kept)
	} else if t.kept > 0 {
		return fmt.Sprintf("%s, %d kept for a later run, %d sent but not acknowledged, %d not sent", t.ratio(), t.kept, t.unconfirmed, left)
	}
	if t.qos == 0 {
		return fmt.Sprintf("%s, %d not sent", t.ratio(), left+t.unconfirmed)
	}
	return fmt.Sprintf("%s, %d sent but not acknowledged, %d not sent", t.ratio(), t.unconfirmed, left)
}

func (t *tally) ratio() string {
	line := fmt.Sprintf("%d %s", t.done, t.verb())
	if t.total > 0 {
		line = fmt.Sprintf("%d of %d %s", t.done, t.total, t.verb())
	}
	if t.resumed > 0 {
		line += fmt.Sprintf(", %d of %d of an earlier run", t.caughtUp, t.resumed)
	}
	return line
}
