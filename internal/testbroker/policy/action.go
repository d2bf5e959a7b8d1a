package policy

import (
	"errors"
	"fmt"
	"strings"
)

// Action is one of the actions that AWS IoT policies are about. The first five are those of MQTT.
type Action uint8

const (
	Connect       Action = iota + 1 // checked at each CONNECT
	Publish                         // checked at each PUBLISH, and for the will at CONNECT
	Subscribe                       // checked for each topic filter of a SUBSCRIBE
	Receive                         // checked for each message that is delivered
	RetainPublish                   // checked, with Publish, for each PUBLISH with RETAIN 1
	DeleteConnection
	GetRetainedMessage
	ListRetainedMessages
	GetThingShadow
	UpdateThingShadow
	DeleteThingShadow
	ListNamedShadowsForThing
	DescribeJobExecution
	GetPendingJobExecutions
	StartNextPendingJobExecution
	UpdateJobExecution
	JobsDescribeJobExecution // the four under the name that AWS gives them today, for the HTTP endpoint
	JobsGetPendingJobExecutions
	JobsStartNextPendingJobExecution
	JobsUpdateJobExecution
	AssumeRoleWithCertificate
)

// actions has the name of each action and the type of the resources that it acts on. Type "" is an action on the whole
// account, whose resource is "*".
var actions = [...]struct{ name, resource string }{
	Connect:                          {"iot:Connect", "client"},
	Publish:                          {"iot:Publish", "topic"},
	Subscribe:                        {"iot:Subscribe", "topicfilter"},
	Receive:                          {"iot:Receive", "topic"},
	RetainPublish:                    {"iot:RetainPublish", "topic"},
	DeleteConnection:                 {"iot:DeleteConnection", "client"},
	GetRetainedMessage:               {"iot:GetRetainedMessage", "topic"},
	ListRetainedMessages:             {"iot:ListRetainedMessages", ""},
	GetThingShadow:                   {"iot:GetThingShadow", "thing"},
	UpdateThingShadow:                {"iot:UpdateThingShadow", "thing"},
	DeleteThingShadow:                {"iot:DeleteThingShadow", "thing"},
	ListNamedShadowsForThing:         {"iot:ListNamedShadowsForThing", "thing"},
	DescribeJobExecution:             {"iot:DescribeJobExecution", "thing"},
	GetPendingJobExecutions:          {"iot:GetPendingJobExecutions", "thing"},
	StartNextPendingJobExecution:     {"iot:StartNextPendingJobExecution", "thing"},
	UpdateJobExecution:               {"iot:UpdateJobExecution", "thing"},
	JobsDescribeJobExecution:         {"iotjobsdata:DescribeJobExecution", "thing"},
	JobsGetPendingJobExecutions:      {"iotjobsdata:GetPendingJobExecutions", "thing"},
	JobsStartNextPendingJobExecution: {"iotjobsdata:StartNextPendingJobExecution", "thing"},
	JobsUpdateJobExecution:           {"iotjobsdata:UpdateJobExecution", "thing"},
	AssumeRoleWithCertificate:        {"iot:AssumeRoleWithCertificate", "rolealias"},
}

// resourceTypes are the types of resources that actions act on.
var resourceTypes = []string{"client", "topic", "topicfilter", "thing", "rolealias"}

// String returns the name as AWS writes it: "iot:Publish".
func (a Action) String() string {
	if a == 0 || int(a) >= len(actions) {
		return fmt.Sprintf("Action(%d)", uint8(a))
	}
	return actions[a].name
}

// ResourceType returns what stands in front of the first slash in the resources of a: "topic", "topicfilter", "client".
// It is empty for an action on the whole account.
func (a Action) ResourceType() string {
	if int(a) >= len(actions) {
		return ""
	}
	return actions[a].resource
}

// ParseAction returns the action with this name, in any case: "iot:Publish". The error says which name may be meant.
func ParseAction(name string) (Action, error) {
	for a := Connect; int(a) < len(actions); a++ {
		if strings.EqualFold(name, actions[a].name) {
			return a, nil
		}
	}
	return 0, errors.New(unknownAction(name))
}

// unknownAction says that there is no action with this name, and which may be meant.
func unknownAction(name string) string {
	service, _, qualified := strings.Cut(name, ":")
	var names []string
	for _, a := range actions[1:] {
		names = append(names, a.name)
	}
	switch guess := nearest(name, names); {
	case guess != "":
		return fmt.Sprintf("unknown action %s; did you mean %s?", quote(name), guess)
	case !qualified:
		if guess := nearest("iot:"+name, names); guess != "" {
			return fmt.Sprintf("unknown action %s; did you mean %s?", quote(name), guess)
		}
	case !strings.EqualFold(service, "iot") && !strings.EqualFold(service, "iotjobsdata"):
		return fmt.Sprintf("unknown action %s: an AWS IoT policy has actions that start with iot:, iotjobsdata: or greengrass:", quote(name))
	}
	return fmt.Sprintf("unknown action %s: device policies know iot:Connect, iot:Publish, iot:Subscribe, iot:Receive, "+
		"iot:RetainPublish, and those of shadows, jobs and retained messages", quote(name))
}

// actionSet is a set of actions, a bit for each, and one for all the actions of AWS IoT Greengrass, which documents may
// have but which nobody asks about here.
type actionSet uint32

const greengrass actionSet = 1

func (s actionSet) has(a Action) bool { return a != 0 && s&(1<<a) != 0 }

// everyAction is the set that '*' stands for.
func everyAction() actionSet { return 1<<len(actions) - 1 }

// matching returns the actions that the text of an Action matches. AWS compares without case.
func matching(text string) (set actionSet) {
	text = strings.ToLower(text)
	p := wildcards(text)
	for a := Connect; int(a) < len(actions); a++ {
		if p.match(strings.ToLower(actions[a].name)) {
			set |= 1 << a
		}
	}
	if text == "*" || strings.HasPrefix(text, "greengrass:") && text != "greengrass:" {
		set |= greengrass
	}
	return set
}

// types returns the types of the resources that the actions of s act on, each once.
func (s actionSet) types() (types []string) {
	for _, t := range resourceTypes {
		for a := Connect; int(a) < len(actions); a++ {
			if s.has(a) && actions[a].resource == t {
				types = append(types, t)
				break
			}
		}
	}
	return types
}
