package peers

import (
	"fmt"
	"testing"
)

// scenario is something that our client does with a broker.
type scenario struct {
	name string
	run  func(t *testing.T, b *broker)
}

func scenarios() []scenario {
	var all []scenario
	for qos := range qosEnd {
		all = append(all,
			scenario{fmt.Sprintf("qos%d", qos), func(t *testing.T, b *broker) { testQoS(t, b, qos) }},
			scenario{fmt.Sprintf("qos%d-large", qos), func(t *testing.T, b *broker) { testLarge(t, b, qos) }},
			scenario{fmt.Sprintf("qos%d-retained", qos), func(t *testing.T, b *broker) { testRetained(t, b, qos) }},
			scenario{fmt.Sprintf("qos%d-will", qos), func(t *testing.T, b *broker) { testWill(t, b, qos) }},
		)
		if qos == 0 {
			continue
		}
		all = append(all,
			scenario{fmt.Sprintf("qos%d-many", qos), func(t *testing.T, b *broker) { testMany(t, b, qos) }},
			scenario{fmt.Sprintf("qos%d-session", qos), func(t *testing.T, b *broker) { testSession(t, b, qos) }},
			scenario{fmt.Sprintf("qos%d-publisher-cut-off", qos), func(t *testing.T, b *broker) { testPublisherCutOff(t, b, qos) }},
			scenario{fmt.Sprintf("qos%d-subscriber-cut-off", qos), func(t *testing.T, b *broker) { testSubscriberCutOff(t, b, qos) }},
		)
	}
	return append(all,
		scenario{"granted-qos", testGrantedQoS},
		scenario{"default-limits", testDefaultLimits},
		scenario{"topics", testTopics},
		scenario{"retained-will", testRetainedWill},
		scenario{"no-will-after-disconnect", testNoWill},
		scenario{"session-of-another-client", testSessionOfAnotherClient},
		scenario{"session-lost", testSessionLost},
		scenario{"clean-session", testCleanSession},
		scenario{"take-over", testTakeOver},
		scenario{"unsubscribe", testUnsubscribe},
		scenario{"wildcards", testWildcards},
		scenario{"overlapping-filters", testOverlappingFilters},
		scenario{"many-filters", testManyFilters},
		scenario{"shared-subscription", testSharedSubscription},
		scenario{"refused-subscription", testRefusedSubscription},
		scenario{"empty-client-id", testEmptyClientID},
		scenario{"password", testPassword},
		scenario{"certificate", testCertificate},
	)
}

// TestClientWithBroker runs every scenario with every broker, plain and over mutual TLS.
func TestClientWithBroker(t *testing.T) {
	eachBroker(t, brokers, func(t *testing.T, kind brokerKind, c *certificates) {
		b := kind.run(t, setup{certificates: c})
		endSilence := testKeepAlive(t, b)
		for _, s := range scenarios() {
			t.Run(s.name, func(t *testing.T) {
				kind.need(t, s.name)
				s.run(t, b)
			})
		}
		t.Run("keep-alive", endSilence)
	})
}
