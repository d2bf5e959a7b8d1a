package aws

import (
	"slices"
	"strings"
)

// AWS keeps the topics that start with '$' for itself: a client that uses one which AWS does not know loses its
// connection. Here the families are known, not each topic of them; no shadow, job or other service answers.
const (
	rulesPrefix  = "$aws/rules/" // $aws/rules/RULE/topic: to that rule alone, not to subscribers
	eventsPrefix = "$aws/events/"
	sharePrefix  = "$share/" // $share/GROUP/filter
)

// families are what clients publish to and subscribe to, as the developer guide's page on reserved topics names them.
var families = []string{
	"$aws/things/", // shadows, jobs, streams, defender
	"$aws/certificates/",
	"$aws/provisioning-templates/",
	"$aws/device_location/",
	"$aws/commands/",
	"$aws/sitewise/",
}

func inFamily(topic string) bool {
	return slices.ContainsFunc(families, func(f string) bool { return strings.HasPrefix(topic, f) })
}

func mayPublish(topic string) bool {
	return !strings.HasPrefix(topic, "$") || inFamily(topic) || toRule(topic)
}

// toRule reports whether a topic name is that of a rule.
func toRule(topic string) bool {
	rule, ok := strings.CutPrefix(topic, rulesPrefix)
	return ok && rule != ""
}

func maySubscribe(filter string) bool {
	if share, ok := strings.CutPrefix(filter, sharePrefix); ok {
		group, inner, ok := strings.Cut(share, "/")
		return ok && group != "" && len(group) <= maxShareName && inner != "" && !strings.ContainsAny(group, "+#") && maySubscribe(inner)
	}
	return !strings.HasPrefix(filter, "$") || inFamily(filter) || strings.HasPrefix(filter, eventsPrefix)
}

// maxShareName is the number of characters that the name of a share group may have.
const maxShareName = 128
