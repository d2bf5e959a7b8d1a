package mqtt

import (
	"context"
	"errors"
	"slices"

	"iotwire/internal/testbroker"
	"iotwire/mqtt/packet"
)

// firstSubscription is the number of the Subscription to "in" that every client has from its start to its end. Others have numbers of
// their own.
const firstSubscription = 0

// subscriptionRules is what judge knows of Subscriptions: those of the program, and those that the broker's session has.
type subscriptionRules struct {
	open     map[int]string      // the filters of the program's Subscriptions that are not closed, by number
	has      map[string]bool     // the filters that the broker's session has
	asked    map[uint16][]string // the filters of the SUBSCRIBE packets that the broker got
	askedFor map[uint16][]string // and of those that the client sent
	sought   map[string]bool     // filters for which the client of this life has sent a SUBSCRIBE
}

func newSubscriptionRules() subscriptionRules {
	return subscriptionRules{
		open:     map[int]string{},
		has:      map[string]bool{},
		asked:    map[uint16][]string{},
		askedFor: map[uint16][]string{},
		sought:   map[string]bool{},
	}
}

// opened says that the program has a Subscription.
func (j *judge) opened(n int, filter string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.note("subscription %d to %s", n, filter)
	j.open[n] = filter
}

// closing says that the program closes one: no message comes to it any more, and no answer waits for it.
func (j *judge) closing(n int) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.note("close %d", n)
	delete(j.open, n)
}

// closed judges what Close returned.
func (j *judge) closed(n int, filter string, err error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.note("closed %d: %v", n, err)
	switch {
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, ErrClosed):
	case err != nil:
		j.failf("Close of %d: %v", n, err)
	case j.has[filter] && j.sought[filter] && len(j.matching(filter)) == 0:
		j.failf("Close of %d has returned, and the session has %q", n, filter)
	}
}

// matching returns the Subscriptions that are open and match a topic.
func (j *judge) matching(topic string) (numbers []int) {
	for n, filter := range j.open {
		if filter == topic {
			numbers = append(numbers, n)
		}
	}
	return numbers
}

// crashedSubscriptions says that a process died, and all its Subscriptions with it.
func (j *judge) crashedSubscriptions() {
	clear(j.open)
	clear(j.sought)
}

func filtersOf(e testbroker.Event) (filters []string) {
	if p, err := packet.ParseSubscribe(e.Body); err == nil && e.Header.Type == packet.SUBSCRIBE {
		for filter := range p.Requests.All() {
			filters = append(filters, string(filter))
		}
	}
	if p, err := packet.ParseUnsubscribe(e.Body); err == nil && e.Header.Type == packet.UNSUBSCRIBE {
		for filter := range p.Filters.All() {
			filters = append(filters, string(filter))
		}
	}
	return filters
}

// brokerAsked follows what the broker's session has: it answers at once.
func (j *judge) brokerAsked(e testbroker.Event) {
	if e.Header.Type == packet.SUBSCRIBE {
		j.asked[identifierOf(e)] = filtersOf(e)
		return
	}
	for _, filter := range filtersOf(e) {
		delete(j.has, filter)
	}
}

func (j *judge) brokerGranted(id uint16) {
	for _, filter := range j.asked[id] {
		j.has[filter] = true
	}
}

// asks judges a SUBSCRIBE.
func (j *judge) asks(e testbroker.Event) {
	filters := filtersOf(e)
	j.askedFor[identifierOf(e)] = filters
	for _, filter := range filters {
		j.sought[filter] = true
		if filter == "in" && j.knows && j.present && !j.granting { // rule 29
			j.failf("SUBSCRIBE of %q, which the session has", filter)
		}
	}
}

// asksNoMore judges an UNSUBSCRIBE.
func (j *judge) asksNoMore(e testbroker.Event) {
	if slices.Contains(filtersOf(e), "in") {
		j.failf("UNSUBSCRIBE of \"in\", which a Subscription wishes")
	}
}

// endSubscriptions judges that in the end the session has what the program wishes, and nothing that it wishes no more.
func (j *judge) endSubscriptions() {
	for _, filter := range []string{"in", "other"} {
		switch wished := len(j.matching(filter)) > 0; {
		case wished && !j.has[filter]:
			j.failf("the client is not subscribed to %q", filter)
		case !wished && j.has[filter] && j.sought[filter]:
			j.failf("the client is subscribed to %q, which nobody wishes", filter)
		}
	}
}
