package policy_test

import (
	"testing"

	"iotwire/internal/testbroker/policy"
)

// The policy of the usual device: what a broker evaluates for each message.
func BenchmarkEvaluate(b *testing.B) {
	documents := []*policy.Document{parse(b, statements(
		`{"Effect": "Allow", "Action": "iot:Connect", "Resource": "~client/${iot:Connection.Thing.ThingName}", "Condition": {"Bool": {"iot:Connection.Thing.IsAttached": "true"}}}`,
		`{"Effect": "Allow", "Action": ["iot:Publish", "iot:Receive"], "Resource": ["~topic/$aws/things/${iot:Connection.Thing.ThingName}/*", "~topic/devices/${iot:Connection.Thing.ThingName}/*"]}`,
		`{"Effect": "Allow", "Action": "iot:Subscribe", "Resource": ["~topicfilter/$aws/things/${iot:Connection.Thing.ThingName}/*", "~topicfilter/devices/${iot:Connection.Thing.ThingName}/*"]}`,
		`{"Effect": "Allow", "Action": "iot:Receive", "Resource": "~topic/broadcast/*"}`))}
	for name, topic := range map[string]string{"broadcast": "topic/broadcast/news", "variable": "topic/devices/lamp1/set", "denied": "topic/devices/lamp2/set"} {
		r := request(policy.Receive, topic, attached("lamp1"))
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if policy.Evaluate(documents, r).Allowed != (name != "denied") {
					b.Fatal("wrong")
				}
			}
		})
	}
}
