package policy_test

import (
	"testing"

	"iotwire/internal/testbroker/policy"
)

// TestReasons has a policy and what is said about one request: the whole line, where ARN stands for the request's.
func TestReasons(t *testing.T) {
	const connectThing = `{"Effect": "Allow", "Action": "iot:Connect", "Resource": "~client/${iot:Connection.Thing.ThingName}"}`
	organization := policy.Context{"iot:Certificate.Subject.Organization": {"A", "B"}}
	for _, c := range []struct {
		name, policy string
		action       policy.Action
		resource     string
		context      policy.Context
		want         string
	}{
		{"allow", statements(`{"Sid": "All", "Effect": "Allow", "Action": "*", "Resource": "*"}`), policy.Publish, "topic/a", nil,
			`statement 1 "All" of policy.json allows iot:Publish on ARN`},
		{"deny", statements(`{"Effect": "Allow", "Action": "*", "Resource": "*"}`, `{"Effect": "Deny", "Action": "iot:P*", "Resource": "*"}`), policy.Publish, "topic/a", nil,
			`statement 2 of policy.json denies iot:Publish on ARN, and a Deny wins over every Allow`},
		{"deny for a NotResource that is not known", statements(`{"Effect": "Deny", "Action": "iot:Publish", "NotResource": "~topic/${iot:ClientId}"}`), policy.Publish, "topic/a", nil,
			`statement 1 of policy.json denies iot:Publish on ARN, and a Deny wins over every Allow: the variable ${iot:ClientId} is not resolved: it has no value, so it excepts nothing`},
		{"deny for a condition that is not known", statements(`{"Effect": "Deny", "Action": "iot:Publish", "Resource": "*", "Condition": {"StringNotEquals": {"aws:SourceVpc": "${iot:DomainName}"}}}`), policy.Publish, "topic/a",
			policy.Context{"aws:SourceVpc": {"v"}},
			`statement 1 of policy.json denies iot:Publish on ARN, and a Deny wins over every Allow: the variable ${iot:DomainName} is not resolved: it has no value, so it excepts nothing`},

		{"type", statements(`{"Effect": "Allow", "Action": "iot:Connect", "Resource": "*"}`, `{"Effect": "Allow", "Action": ["iot:Publish", "iot:Subscribe"], "Resource": "~topic/test"}`), policy.Subscribe, "topicfilter/test", nil,
			`no statement allows iot:Subscribe on ARN: statement 2 of policy.json has topic/test, and iot:Subscribe needs topicfilter/test`},
		{"thing", statements(connectThing), policy.Connect, "client/c1", detached("c1"),
			`no statement allows iot:Connect on ARN: statement 1 of policy.json has client/${iot:Connection.Thing.ThingName}, and the variable ${iot:Connection.Thing.ThingName} is not resolved: no thing is attached to the certificate that is named "c1" like the client`},
		{"thing of nobody", statements(connectThing), policy.Connect, "client/c1", nil,
			`no statement allows iot:Connect on ARN: statement 1 of policy.json has client/${iot:Connection.Thing.ThingName}, and the variable ${iot:Connection.Thing.ThingName} is not resolved: no thing is attached`},
		{"attribute", statements(`{"Effect": "Allow", "Action": "iot:Publish", "Resource": "~topic/${iot:Connection.Thing.Attributes[z]}"}`), policy.Publish, "topic/y", attached("c1"),
			`no statement allows iot:Publish on ARN: statement 1 of policy.json has topic/${iot:Connection.Thing.Attributes[z]}, and the variable ${iot:Connection.Thing.Attributes[z]} is not resolved: the thing has no such attribute`},
		{"index", statements(`{"Effect": "Allow", "Action": "iot:Publish", "Resource": "~topic/${iot:Certificate.Subject.Organization.2}"}`), policy.Publish, "topic/y", organization,
			`no statement allows iot:Publish on ARN: statement 1 of policy.json has topic/${iot:Certificate.Subject.Organization.2}, and the variable ${iot:Certificate.Subject.Organization.2} is not resolved: the certificate has 2 of them, and .1 is the second`},
		{"list", statements(`{"Effect": "Allow", "Action": "iot:Publish", "Resource": "~topic/${iot:Certificate.Subject.Organization.List}"}`), policy.Publish, "topic/y", organization,
			`no statement allows iot:Publish on ARN: statement 1 of policy.json has topic/${iot:Certificate.Subject.Organization.List}, and the variable ${iot:Certificate.Subject.Organization.List} is not resolved: it has 2 values, and only a condition can use them all`},
		{"no such attribute of the certificate", statements(`{"Effect": "Allow", "Action": "iot:Publish", "Resource": "~topic/${iot:Certificate.Issuer.Title}"}`), policy.Publish, "topic/y", organization,
			`no statement allows iot:Publish on ARN: statement 1 of policy.json has topic/${iot:Certificate.Issuer.Title}, and the variable ${iot:Certificate.Issuer.Title} is not resolved: the certificate has no such attribute`},
		{"wildcard in a value", statements(`{"Effect": "Allow", "Action": "iot:Publish", "Resource": "~topic/${iot:Certificate.Subject.Organization}"}`), policy.Publish, "topic/y", policy.Context{"iot:Certificate.Subject.Organization": {"a+b"}},
			`no statement allows iot:Publish on ARN: statement 1 of policy.json has topic/${iot:Certificate.Subject.Organization}, and the variable ${iot:Certificate.Subject.Organization} is not resolved: AWS does not put in its value "a+b", which has a +`},

		{"region and account", statements(`{"Effect": "Allow", "Action": "iot:Publish", "Resource": "arn:aws:iot:eu-west-1:111122223333:topic/*"}`), policy.Publish, "topic/a", nil,
			`no statement allows iot:Publish on ARN: statement 1 of policy.json has topic/* of region eu-west-1, not us-east-1 and account 111122223333, not 123456789012`},
		{"case", statements(`{"Effect": "Allow", "Action": "iot:Publish", "Resource": "~topic/Lamp/*"}`), policy.Publish, "topic/lamp/1", nil,
			`no statement allows iot:Publish on ARN: statement 1 of policy.json has topic/Lamp/*, and capital letters count in an ARN`},
		{"wildcards of MQTT", statements(`{"Effect": "Allow", "Action": "iot:Subscribe", "Resource": ["~topicfilter/x", "~topicfilter/some/+/#"]}`), policy.Subscribe, "topicfilter/some/a/topic", nil,
			`no statement allows iot:Subscribe on ARN: statement 1 of policy.json has topicfilter/some/+/#, where + and # are no wildcards; a policy has * for them`},
		{"other names", statements(`{"Effect": "Allow", "Action": "iot:Publish", "Resource": ["~topic/x", "~topic/y", "~topic/z", "~topic/0", "~topic/1"]}`), policy.Publish, "topic/a", nil,
			`no statement allows iot:Publish on ARN: statement 1 of policy.json has topic/x, topic/y, topic/z and 2 more`},
		{"the nearest come first", statements(
			`{"Effect": "Allow", "Action": "iot:Publish", "Resource": "~topic/x"}`,
			`{"Effect": "Allow", "Action": "iot:Publish", "Resource": "~topic/lamps/a"}`,
			`{"Effect": "Allow", "Action": "iot:Receive", "Resource": "*"}`,
			`{"Effect": "Allow", "Action": "iot:Publish", "Resource": "~topic/lamps"}`), policy.Publish, "topic/lamps/b", nil,
			`no statement allows iot:Publish on ARN: statement 2 of policy.json has topic/lamps/a; statement 4 of policy.json has topic/lamps; 1 more statement does not match either`},
		{"two more", statements(
			`{"Effect": "Allow", "Action": "iot:Publish", "Resource": "~topic/w"}`,
			`{"Effect": "Allow", "Action": "iot:Publish", "Resource": "~topic/x"}`,
			`{"Effect": "Allow", "Action": "iot:Publish", "Resource": "~topic/y"}`,
			`{"Effect": "Allow", "Action": "iot:Publish", "Resource": "~topic/z"}`), policy.Publish, "topic/b", nil,
			`no statement allows iot:Publish on ARN: statement 1 of policy.json has topic/w; statement 2 of policy.json has topic/x; 2 more statements do not match either`},
		{"everything", statements(`{"Effect": "Allow", "Action": "iot:Publish", "Resource": ["arn:aws:iot:eu-*"]}`), policy.Publish, "topic/b", nil,
			`no statement allows iot:Publish on ARN: statement 1 of policy.json has arn:aws:iot:eu-*`},

		{"NotResource", statements(receiveUnlessThat), policy.Receive, "topic/a/restricted/x", nil,
			`no statement allows iot:Receive on ARN: statement 1 of policy.json excepts it with NotResource topic/a/restricted/*`},
		{"NotResource that is not known", statements(`{"Effect": "Allow", "Action": "iot:Publish", "NotResource": "~topic/${iot:ClientId}"}`), policy.Publish, "topic/a", nil,
			`no statement allows iot:Publish on ARN: statement 1 of policy.json has a NotResource, and the variable ${iot:ClientId} is not resolved: it has no value`},
		{"NotAction", statements(`{"Effect": "Allow", "NotAction": "iot:Publish", "Resource": "*"}`), policy.Publish, "topic/a", nil,
			`no statement allows iot:Publish on ARN: no Allow has iot:Publish; statement 1 of policy.json excepts it with NotAction`},
		{"another action", statements(`{"Effect": "Allow", "Action": "iot:Publish", "Resource": "~topic/a"}`), policy.RetainPublish, "topic/a", nil,
			`no statement allows iot:RetainPublish on ARN: no Allow has iot:RetainPublish; statement 1 of policy.json has the resource, but for iot:Publish`},
		{"nothing near", statements(`{"Effect": "Allow", "Action": "iot:Publish", "Resource": "~topic/a"}`, `{"Effect": "Deny", "Action": "iot:Connect", "Resource": "~client/b"}`), policy.Connect, "client/a", nil,
			`no statement allows iot:Connect on ARN: no Allow has iot:Connect`},

		{"condition", connectIf(`"StringEquals": {"iot:ClientId": ["a", "b"]}`), policy.Connect, "client/c", detached("c"),
			`no statement allows iot:Connect on ARN: statement 1 of policy.json asks for StringEquals iot:ClientId "a", "b", and iot:ClientId has "c"`},
		{"condition without value", connectIf(`"Bool": {"iot:connection.thing.isattached": true}, "Null": {"iot:ClientId": false}`), policy.Connect, "client/c", nil,
			`no statement allows iot:Connect on ARN: statement 1 of policy.json asks for Bool iot:connection.thing.isattached "true", and iot:connection.thing.isattached has no value`},
		{"condition of many values", connectIf(`"ForAllValues:StringEquals": {"iot:ConnectAttributes": ["a", "b", "c", "d"]}`), policy.Connect, "client/c", connecting("LastWill", "New"),
			`no statement allows iot:Connect on ARN: statement 1 of policy.json asks for ForAllValues:StringEquals iot:ConnectAttributes "a", "b", "c", ..., and iot:ConnectAttributes has "LastWill" and "New"`},
		{"condition of no values", connectIf(`"ForAllValues:StringEquals": {"iot:ConnectAttributes": []}`), policy.Connect, "client/c", connecting("LastWill"),
			`no statement allows iot:Connect on ARN: statement 1 of policy.json asks for ForAllValues:StringEquals iot:ConnectAttributes [], and iot:ConnectAttributes has "LastWill"`},
		{"variable in a condition", connectIf(`"StringEquals": {"iot:ClientId": "${iot:DomainName}"}`), policy.Connect, "client/c", detached("c"),
			`no statement allows iot:Connect on ARN: statement 1 of policy.json asks for StringEquals iot:ClientId "${iot:DomainName}", and iot:ClientId has "c"; the variable ${iot:DomainName} is not resolved: it has no value`},

		{"line breaks", statements(`{"Sid": "a\nb", "Effect": "Deny", "Action": "*", "Resource": "*"}`), policy.Publish, "topic/a\nb\u2028\x1b\xff", nil,
			`statement 1 "a\nb" of policy.json denies iot:Publish on arn:aws:iot:us-east-1:123456789012:topic/a\nb\u2028\x1b\xff, and a Deny wins over every Allow`},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := decide(t, c.policy, c.action, c.resource, c.context)
			want := replaceARN(c.want, c.resource)
			if got := d.Reason(); got != want {
				t.Errorf("got\n%s\nwant\n%s", got, want)
			}
		})
	}
}

func TestReasonWithoutPolicies(t *testing.T) {
	d := policy.Evaluate(nil, request(policy.Connect, "client/a", nil))
	if want := "no policy allows iot:Connect on arn:aws:iot:us-east-1:123456789012:client/a: there is none"; d.Allowed || d.Reason() != want {
		t.Errorf("got %q, want %q", d.Reason(), want)
	}
	if want := `{"Effect":"Allow","Action":"iot:Connect","Resource":"arn:aws:iot:us-east-1:123456789012:client/a"}`; d.Suggestion() != want {
		t.Errorf("got %s, want %s", d.Suggestion(), want)
	}
}

func TestSuggestionEscapesWhatWouldBeAWildcard(t *testing.T) {
	for resource, want := range map[string]string{
		"topic/a*?":             `topic/a${*}${?}`,
		"topic/${iot:ClientId}": `topic/${$}{iot:ClientId}`,
		"topic/$aws/<&>":        `topic/$aws/<&>`,
		"topic/$${a}":           `topic/$${$}{a}`,
		"topic/\"\n":            `topic/\"\n`,
	} {
		want = `{"Effect":"Allow","Action":"iot:Publish","Resource":"` + home.ARN(want) + `"}`
		r := request(policy.Publish, resource, nil)
		got := policy.Evaluate(nil, r).Suggestion()
		if got != want {
			t.Errorf("got %s, want %s", got, want)
		}
		if d := policy.Evaluate([]*policy.Document{parse(t, statements(got))}, r); !d.Allowed {
			t.Error(d.Reason())
		}
	}
	if got := policy.Evaluate(nil, request(policy.Publish, "topic/\xff", nil)).Suggestion(); got != "" {
		t.Errorf("%s for a topic that is no text", got)
	}
	account := policy.Request{Action: policy.ListRetainedMessages, Resource: "*"}
	d := policy.Evaluate([]*policy.Document{parse(t, statements(policy.Evaluate(nil, account).Suggestion()))}, account)
	if !d.Allowed {
		t.Error(d.Reason())
	}
}

func TestUnresolvedVariablesGiveTheSmallerPermission(t *testing.T) {
	everything := `{"Effect": "Allow", "Action": "*", "Resource": "*"}`
	for _, c := range []struct {
		name, rest     string // of a statement on iot:Publish
		allows, denies bool   // what it does with Allow, and with Deny beside an Allow of everything
	}{
		{"resource", `"Resource": "~topic/${iot:ClientId}"`, false, false},
		{"resource beside one that matches", `"Resource": ["~topic/${iot:ClientId}", "~topic/a"]`, true, true},
		{"NotResource", `"NotResource": "~topic/${iot:ClientId}"`, false, true},
		{"NotResource beside one that matches", `"NotResource": ["~topic/${iot:ClientId}", "~topic/a"]`, false, false},
		{"StringEquals", `"Resource": "*", "Condition": {"StringEquals": {"aws:SourceVpc": "${iot:ClientId}"}}`, false, false},
		{"StringEquals beside one that matches", `"Resource": "*", "Condition": {"StringEquals": {"aws:SourceVpc": ["${iot:ClientId}", "v"]}}`, true, true},
		{"StringNotEquals", `"Resource": "*", "Condition": {"StringNotEquals": {"aws:SourceVpc": "${iot:ClientId}"}}`, false, true},
		{"StringNotEquals beside one that matches", `"Resource": "*", "Condition": {"StringNotEquals": {"aws:SourceVpc": ["${iot:ClientId}", "v"]}}`, false, false},
		{"StringNotEqualsIgnoreCase", `"Resource": "*", "Condition": {"StringNotEqualsIgnoreCase": {"aws:SourceVpc": "${iot:ClientId}"}}`, false, true},
		{"ArnNotLike", `"Resource": "*", "Condition": {"ArnNotLike": {"iot:LastWillTopic": "~topic/${iot:ClientId}"}}`, false, true},
		{"ForAnyValue:StringNotLike", `"Resource": "*", "Condition": {"ForAnyValue:StringNotLike": {"aws:SourceVpc": "${iot:ClientId}"}}`, false, true},
		{"ForAllValues:StringLike", `"Resource": "*", "Condition": {"ForAllValues:StringLike": {"aws:SourceVpc": "${iot:ClientId}"}}`, false, false},
		{"Bool", `"Resource": "*", "Condition": {"Bool": {"aws:SourceVpc": "${iot:ClientId}"}}`, false, false},
		{"another condition that holds", `"NotResource": "~topic/${iot:ClientId}", "Condition": {"StringEquals": {"aws:SourceVpc": "v"}}`, false, true},
		{"another condition that fails", `"NotResource": "~topic/${iot:ClientId}", "Condition": {"StringEquals": {"aws:SourceVpc": "w"}}`, false, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			context := policy.Context{"aws:SourceVpc": {"v"}, "iot:LastWillTopic": {home.ARN("topic/a")}}
			statement := func(effect string) string {
				return `{"Effect": "` + effect + `", "Action": "iot:Publish", ` + c.rest + `}`
			}
			check(t, statements(statement("Allow")), c.allows, policy.Publish, "topic/a", context)
			check(t, statements(everything, statement("Deny")), !c.denies, policy.Publish, "topic/a", context)
		})
	}
}
