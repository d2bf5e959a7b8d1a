package policy_test

import (
	"strings"
	"testing"

	"iotwire/internal/testbroker/policy"
)

// home is where the ARNs of these tests are. In policies, "~" stands for its part of an ARN: ~topic/a.
var home = policy.Home{Partition: "aws", Region: "us-east-1", Account: "123456789012"}

// parse reads a document that has no mistake.
func parse(t testing.TB, document string) *policy.Document {
	t.Helper()
	d, err := policy.Parse("policy.json", []byte(expand(document)))
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func expand(document string) string { return strings.ReplaceAll(document, "~", home.ARN("")) }

// statements makes a document of statements.
func statements(all ...string) string {
	return `{"Version": "2012-10-17", "Statement": [` + strings.Join(all, ",\n") + `]}`
}

// a request, with a resource such as topic/a.
func request(a policy.Action, resource string, c policy.Context) policy.Request {
	return policy.Request{Action: a, Resource: home.ARN(resource), Context: c}
}

// decide is Evaluate for one document and the words of a test.
func decide(t testing.TB, document string, a policy.Action, resource string, c policy.Context) policy.Decision {
	t.Helper()
	return policy.Evaluate([]*policy.Document{parse(t, document)}, request(a, resource, c))
}

// check wants one request allowed or not. It returns the decision.
func check(t *testing.T, document string, want bool, a policy.Action, resource string, c policy.Context) policy.Decision {
	t.Helper()
	d := decide(t, document, a, resource, c)
	if d.Allowed != want {
		t.Errorf("%v on %s with %v: allowed is %t, want %t: %s", a, resource, c, d.Allowed, want, d.Reason())
	}
	if strings.ContainsAny(d.Reason(), "\n\r") || d.Reason() == "" {
		t.Errorf("reason is not one line: %q", d.Reason())
	}
	if (d.Suggestion() != "") != (d.Statement == nil) {
		t.Errorf("statement %v, and suggestion %q", d.Statement, d.Suggestion())
	}
	return d
}

// attached is the context of a client whose thing has its name and is attached to its certificate.
func attached(client string) policy.Context {
	return policy.Context{
		"iot:ClientId":                        {client},
		"iot:Connection.Thing.IsAttached":     {"true"},
		"iot:Connection.Thing.ThingName":      {client},
		"iot:Connection.Thing.ThingTypeName":  {"Lamp"},
		"iot:Connection.Thing.Attributes[x]":  {"y"},
		"iot:Connection.Thing.Attributes[Up]": {"1"},
	}
}

// detached is the context of a client without thing.
func detached(client string) policy.Context {
	return policy.Context{"iot:ClientId": {client}, "iot:Connection.Thing.IsAttached": {"false"}}
}

// connecting is the context of a CONNECT with attributes.
func connecting(attributes ...string) policy.Context {
	return policy.Context{"iot:ClientId": {"c1"}, "iot:ConnectAttributes": attributes}
}

// replaceARN puts the ARN of a resource where a text has ARN.
func replaceARN(text, resource string) string {
	return strings.Replace(text, " ARN", " "+home.ARN(resource), 1)
}
