package policy_test

import (
	"strings"
	"testing"

	"iotwire/internal/testbroker/policy"
)

// publishTo allows one topic.
func publishTo(topic string) string {
	return statements(`{"Effect": "Allow", "Action": "iot:Publish", "Resource": "~topic/` + topic + `"}`)
}

func TestValuesOfCertificatesByIndex(t *testing.T) {
	c := policy.Context{"iot:Certificate.Subject.Country": {"v0", "v1", "v2", "v3", "v4", "v5"}}
	for suffix, value := range map[string]string{"": "v0", ".0": "v0", ".1": "v1", ".2": "v2", ".4": "v4"} {
		check(t, publishTo("${iot:Certificate.Subject.Country"+suffix+"}"), true, policy.Publish, "topic/"+value, c)
	}
	check(t, publishTo("${iot:Certificate.Subject.Country.5}"), false, policy.Publish, "topic/v5", c) // five are kept
	check(t, publishTo("${iot:Certificate.Subject.Country.65535}"), false, policy.Publish, "topic/v5", c)
	list := func(value string) string {
		return connectIf(`"ForAnyValue:StringEquals": {"iot:certificate.subject.country.list": "` + value + `"}`)
	}
	check(t, list("v4"), true, policy.Connect, "client/c", c)
	check(t, list("v5"), false, policy.Connect, "client/c", c)
	check(t, connectIf(`"ForAnyValue:StringEquals": {"iot:Certificate.Subject.Country": "v1"}`), false, policy.Connect, "client/c", c)
	// A list of one is that one.
	check(t, publishTo("${iot:Certificate.Subject.Country.List}"), true, policy.Publish, "topic/a", policy.Context{"iot:Certificate.Subject.Country": {"a"}})
}

func TestAvailableKeysAreAll(t *testing.T) {
	c := policy.Context{"iot:Certificate.AvailableKeys": {"a", "b", "c", "d", "e", "f"}}
	check(t, connectIf(`"ForAnyValue:StringEquals": {"iot:Certificate.AvailableKeys": "f"}`), true, policy.Connect, "client/c", c)
}

func TestValuesThatAreNotPutIn(t *testing.T) {
	for _, value := range []string{"a*", "a$", "a+", "a?", "a#", strings.Repeat("a", 1025)} {
		c := policy.Context{"iot:Connection.Thing.Attributes[x]": {value}, "iot:Connection.Thing.ThingName": {"t"}}
		check(t, publishTo("${iot:Connection.Thing.Attributes[x]}"), false, policy.Publish, "topic/"+value, c)
		check(t, publishTo("${iot:Connection.Thing.Attributes[x]}"), false, policy.Publish, "topic/ab", c)
		// A condition on the key sees the value as it is.
		check(t, connectIf(`"StringEquals": {"iot:Connection.Thing.Attributes[x]": "`+value+`"}`), true, policy.Connect, "client/c", c)
	}
	long := strings.Repeat("ä", 1024)
	check(t, publishTo("${iot:DomainName}"), true, policy.Publish, "topic/"+long, policy.Context{"iot:DomainName": {long}})
}

func TestAliasOfTheThingsName(t *testing.T) {
	check(t, publishTo("${iot:Thing.ThingName}/*"), true, policy.Publish, "topic/t1/x", attached("t1"))
	check(t, publishTo("${iot:Thing.ThingName}/*"), false, policy.Publish, "topic/t2/x", attached("t1"))
}

func TestEscapes(t *testing.T) {
	p := publishTo("${*}/${?}/${$}{x}/*")
	check(t, p, true, policy.Publish, "topic/*/?/${x}/y", nil)
	check(t, p, false, policy.Publish, "topic/a/b/${x}/y", nil)
}

func TestKey(t *testing.T) {
	for name, want := range map[string]string{
		"iot:ClientId":                        "iot:ClientId",
		"IOT:clientid":                        "iot:ClientId",
		"aws:sourceip":                        "aws:SourceIp",
		"iot:Thing.ThingName":                 "iot:Connection.Thing.ThingName",
		"iot:connection.thing.attributes[Ab]": "iot:Connection.Thing.Attributes[Ab]",
		"iot:Certificate.subject.AlternativeName.DNSName": "iot:Certificate.Subject.AlternativeName.DNSName",
	} {
		if got, err := policy.Key(name); got != want || err != nil {
			t.Errorf("%s: %s, %v; want %s", name, got, err, want)
		}
	}
	for name, want := range map[string]string{
		"iot:Client":                           "did you mean iot:ClientId?",
		"x":                                    "there are iot:ClientId",
		"":                                     "there are iot:ClientId",
		"iot:Certificate.Subject.Country.1":    "is one use of iot:Certificate.Subject.Country: give that its values",
		"iot:Certificate.Subject.Country.List": "is one use of iot:Certificate.Subject.Country",
		"iot:Certificate.Subject.Country.-1":   "did you mean iot:Certificate.Subject.Country?",
		"iot:Connection.Thing.Attributes[a]b]": "did you mean iot:Connection.Thing.Attributes[NAME]?",
		strings.Repeat("x", 1000):              "there are iot:ClientId",
	} {
		if got, err := policy.Key(name); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.40s: %s, %v; want %s", name, got, err, want)
		}
	}
}

func TestActions(t *testing.T) {
	for action := policy.Connect; action <= policy.AssumeRoleWithCertificate; action++ {
		if got, err := policy.ParseAction(strings.ToUpper(action.String())); got != action || err != nil {
			t.Errorf("%v: %v, %v", action, got, err)
		}
	}
	for action, want := range map[policy.Action]string{policy.Connect: "client", policy.Publish: "topic", policy.Receive: "topic",
		policy.RetainPublish: "topic", policy.Subscribe: "topicfilter", policy.ListRetainedMessages: "", 0: "", 99: ""} {
		if got := action.ResourceType(); got != want {
			t.Errorf("%v acts on %q, want %q", action, got, want)
		}
	}
	if got := policy.Action(0).String() + policy.Action(99).String(); got != "Action(0)Action(99)" {
		t.Error(got)
	}
	for name, want := range map[string]string{
		"iot:Publis": "did you mean iot:Publish?", "subscribe": "did you mean iot:Subscribe?", "iot:*": "unknown action",
		"lambda:Invoke": "start with iot:", "": "unknown action", "iot:CreateThing": "device policies know iot:Connect",
	} {
		if got, err := policy.ParseAction(name); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, %v; want %s", name, got, err, want)
		}
	}
}

func TestUnknownActionIsDenied(t *testing.T) {
	everything := statements(`{"Effect": "Allow", "Action": "*", "Resource": "*"}`)
	check(t, everything, false, 0, "topic/a", nil)
	check(t, everything, false, 99, "topic/a", nil)
}

func TestResourceThatIsNoARNMatchesOnlyTheStar(t *testing.T) {
	for resource, documents := range map[string][2]string{
		"topic/a": {`"*"`, `"arn:aws:iot:*"`},
		"":        {`"*"`, `"~*"`},
		"arn:a:b": {`"*"`, `"arn:aws:iot:*:*:*"`},
	} {
		for i, document := range documents {
			d := policy.Evaluate([]*policy.Document{parse(t, statements(`{"Effect": "Allow", "Action": "*", "Resource": `+document+`}`))},
				policy.Request{Action: policy.Publish, Resource: resource})
			if d.Allowed != (i == 0) {
				t.Errorf("%q and %s: %s", resource, document, d.Reason())
			}
		}
	}
}

func TestHomeOf(t *testing.T) {
	allow := func(resource string) string {
		return statements(`{"Effect": "Allow", "Action": "iot:Publish", "Resource": ` + resource + `}`)
	}
	for _, c := range []struct {
		documents []string
		want      string
	}{
		{nil, "arn:aws:iot:us-east-1:123456789012:topic/a"},
		{[]string{allow(`"*"`)}, "arn:aws:iot:us-east-1:123456789012:topic/a"},
		{[]string{allow(`"arn:aws-cn:iot:cn-north-1:111111111111:topic/a"`)}, "arn:aws-cn:iot:cn-north-1:111111111111:topic/a"},
		{[]string{allow(`["arn:aws:iot:*:111111111111:topic/a", "arn:aws:iot:eu-west-1:222222222222:topic/a"]`)}, "arn:aws:iot:eu-west-1:111111111111:topic/a"},
		{[]string{allow(`"arn:aws:iot:eu-*"`), allow(`"arn:aws:iot:eu-west-2:*"`)}, "arn:aws:iot:eu-west-2:123456789012:topic/a"},
		{[]string{connectIf(`"ArnEquals": {"iot:LastWillTopic": ["*", "arn:aws:iot:eu-west-3:333333333333:topic/a"]}`)}, "arn:aws:iot:eu-west-3:333333333333:topic/a"},
		{[]string{strings.Replace(connectIf(`"ArnEquals": {"iot:LastWillTopic": "arn:aws:iot:eu-west-3:333333333333:topic/a"}`), `"*"`, `"arn:aws:iot:eu-west-4:*:*"`, 1)}, "arn:aws:iot:eu-west-4:333333333333:topic/a"},
	} {
		var documents []*policy.Document
		for _, text := range c.documents {
			documents = append(documents, parse(t, text))
		}
		if got := policy.HomeOf(documents...).ARN("topic/a"); got != c.want {
			t.Errorf("%v: %s, want %s", c.documents, got, c.want)
		}
	}
}
