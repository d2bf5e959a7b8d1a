package policy_test

import (
	"testing"

	"iotwire/internal/testbroker/policy"
)

// The examples of the AWS IoT Core developer guide, and what follows from its rules.

func TestConnectOfOneClient(t *testing.T) {
	p := statements(`{"Effect": "Allow", "Action": ["iot:Connect"], "Resource": ["~client/client1"]}`)
	check(t, p, true, policy.Connect, "client/client1", detached("client1"))
	check(t, p, false, policy.Connect, "client/client2", detached("client2"))
}

func TestDenyWinsOverTheAllowOfTheThingsName(t *testing.T) {
	p := statements(`{"Effect": "Deny", "Action": ["iot:Connect"], "Resource": ["~client/client1", "~client/client2"]}`,
		`{"Effect": "Allow", "Action": ["iot:Connect"], "Resource": ["~client/${iot:Connection.Thing.ThingName}"]}`)
	check(t, p, false, policy.Connect, "client/client1", attached("client1"))
	check(t, p, false, policy.Connect, "client/client2", attached("client2"))
	check(t, p, true, policy.Connect, "client/client3", attached("client3"))
	check(t, p, false, policy.Connect, "client/client3", detached("client3"))
}

func TestTopicOfTheClientIdentifier(t *testing.T) {
	p := statements(`{"Effect": "Allow", "Action": "iot:Publish", "Resource": "~topic/my/topic/${iot:ClientId}"}`)
	check(t, p, true, policy.Publish, "topic/my/topic/c1", detached("c1"))
	check(t, p, false, policy.Publish, "topic/my/topic/c2", detached("c1"))
	check(t, p, false, policy.Publish, "topic/my/topic/c1", nil)
}

func TestPlusIsLiteral(t *testing.T) {
	p := statements(`{"Effect": "Allow", "Action": "iot:Subscribe", "Resource": "~topicfilter/some/+/topic"}`)
	check(t, p, true, policy.Subscribe, "topicfilter/some/+/topic", nil)
	check(t, p, false, policy.Subscribe, "topicfilter/some/string1/topic", nil)
	check(t, p, false, policy.Subscribe, "topicfilter/some/#", nil)
}

func TestStarInTheMiddle(t *testing.T) {
	p := statements(`{"Effect": "Allow", "Action": "iot:Subscribe", "Resource": "~topicfilter/some/*/topic"}`)
	check(t, p, true, policy.Subscribe, "topicfilter/some/string1/topic", nil)
	check(t, p, true, policy.Subscribe, "topicfilter/some/string2/topic", nil)
	check(t, p, true, policy.Subscribe, "topicfilter/some/+/topic", nil)
	check(t, p, true, policy.Subscribe, "topicfilter/some/a/b/topic", nil) // '*' crosses '/'
	check(t, p, true, policy.Subscribe, "topicfilter/some//topic", nil)
	check(t, p, false, policy.Subscribe, "topicfilter/some/topic", nil)
}

func TestQuestionMarkIsOneCharacter(t *testing.T) {
	p := statements(`{"Effect": "Allow", "Action": "iot:Publish", "Resource": "~topic/some/?????/topic"}`)
	check(t, p, true, policy.Publish, "topic/some/abcde/topic", nil)
	check(t, p, true, policy.Publish, "topic/some/äöü€𝄞/topic", nil)
	check(t, p, true, policy.Publish, "topic/some/ab/de/topic", nil)
	check(t, p, false, policy.Publish, "topic/some/abcd/topic", nil)
	check(t, p, false, policy.Publish, "topic/some/abcdef/topic", nil)
}

const (
	restricted        = `{"Effect": "Allow", "Action": "iot:Subscribe", "Resource": "~topicfilter/a/*"}, {"Effect": "Deny", "Action": "iot:Subscribe", "Resource": "~topicfilter/a/restricted/*"}`
	receiveUnlessThat = `{"Effect": "Allow", "Action": "iot:Receive", "NotResource": "~topic/a/restricted/*"}`
)

func TestDenyOfSubscribeDoesNotHoldBackAWildcard(t *testing.T) {
	check(t, statements(restricted), true, policy.Subscribe, "topicfilter/a/#", nil)
	check(t, statements(restricted), false, policy.Subscribe, "topicfilter/a/restricted/x", nil)
	p := statements(restricted, `{"Effect": "Allow", "Action": "iot:Receive", "Resource": "~topic/a/*"}`)
	check(t, p, true, policy.Receive, "topic/a/restricted/x", nil)
}

func TestReceiveWithNotResourceHoldsBackTheMessage(t *testing.T) {
	p := statements(restricted, receiveUnlessThat)
	check(t, p, true, policy.Subscribe, "topicfilter/a/#", nil)
	check(t, p, false, policy.Receive, "topic/a/restricted/x", nil)
	check(t, p, true, policy.Receive, "topic/a/ok", nil)
}

func TestDenyOfReceiveOnASubscribedTopic(t *testing.T) {
	p := statements(`{"Effect": "Allow", "Action": "iot:Subscribe", "Resource": "~topicfilter/device/update"}`,
		`{"Effect": "Deny", "Action": "iot:Receive", "Resource": "~topic/device/update"}`)
	check(t, p, true, policy.Subscribe, "topicfilter/device/update", nil)
	check(t, p, false, policy.Receive, "topic/device/update", nil)
}

func TestSubscribeWithoutReceive(t *testing.T) {
	p := statements(`{"Effect": "Allow", "Action": "iot:Subscribe", "Resource": "~topicfilter/my/topic"}`)
	check(t, p, true, policy.Subscribe, "topicfilter/my/topic", nil)
	check(t, p, false, policy.Receive, "topic/my/topic", nil)
}

// connectIf allows CONNECT on a condition.
func connectIf(condition string) string {
	return statements(`{"Effect": "Allow", "Action": ["iot:Connect"], "Resource": "*", "Condition": {` + condition + `}}`)
}

func TestConnectWithPersistentSessionsAtMost(t *testing.T) {
	p := connectIf(`"ForAllValues:StringEquals": {"iot:ConnectAttributes": ["PersistentConnect"]}`)
	check(t, p, true, policy.Connect, "client/c1", connecting("PersistentConnect"))
	check(t, p, true, policy.Connect, "client/c1", connecting())
	check(t, p, false, policy.Connect, "client/c1", connecting("PersistentConnect", "LastWill"))
}

func TestConnectWithDefaultFeaturesOnly(t *testing.T) {
	p := connectIf(`"ForAllValues:StringEquals": {"iot:ConnectAttributes": []}`)
	check(t, p, true, policy.Connect, "client/c1", connecting())
	check(t, p, false, policy.Connect, "client/c1", connecting("LastWill"))
	check(t, p, false, policy.Connect, "client/c1", connecting("PersistentConnect"))
}

func TestConnectWithOneLastWillTopic(t *testing.T) {
	p := connectIf(`"ArnEquals": {"iot:LastWillTopic": "~topic/my/lastwill/topicName"}`)
	will := func(topic string) policy.Context {
		c := connecting("LastWill")
		c["iot:LastWillTopic"] = []string{home.ARN("topic/" + topic)}
		return c
	}
	check(t, p, true, policy.Connect, "client/c1", will("my/lastwill/topicName"))
	check(t, p, false, policy.Connect, "client/c1", will("my/lastwill/other"))
	check(t, p, false, policy.Connect, "client/c1", connecting())
}

func TestPublishWithoutRetainPublish(t *testing.T) {
	p := statements(`{"Effect": "Allow", "Action": "iot:Publish", "Resource": "~topic/device/sample/configuration"}`)
	check(t, p, true, policy.Publish, "topic/device/sample/configuration", nil)
	check(t, p, false, policy.RetainPublish, "topic/device/sample/configuration", nil)
}

func TestConnectOfAttachedThingsOnly(t *testing.T) {
	p := connectIf(`"Bool": {"iot:Connection.Thing.IsAttached": ["true"]}`)
	check(t, p, true, policy.Connect, "client/c1", attached("c1"))
	check(t, p, false, policy.Connect, "client/c1", detached("c1"))
	check(t, p, false, policy.Connect, "client/c1", nil)
}

func TestTopicOfAThingsAttribute(t *testing.T) {
	p := statements(`{"Effect": "Allow", "Action": "iot:Publish", "Resource": "~topic/${iot:Connection.Thing.Attributes[x]}/*"}`)
	check(t, p, true, policy.Publish, "topic/y/anything", attached("c1"))
	check(t, p, false, policy.Publish, "topic/y/anything", detached("c1"))
	check(t, p, false, policy.Publish, "topic/${iot:Connection.Thing.Attributes[x]}/anything", detached("c1"))
}

func TestConnectNeedsAClientResource(t *testing.T) {
	p := statements(`{"Effect": "Allow", "Action": "iot:*", "Resource": "~topic/test"}`)
	check(t, p, false, policy.Connect, "client/test", nil)
	check(t, p, true, policy.Publish, "topic/test", nil)
}

func TestSubscribeNeedsATopicfilterResource(t *testing.T) {
	p := statements(`{"Effect": "Allow", "Action": ["iot:Publish", "iot:Subscribe"], "Resource": "~topic/test"}`)
	check(t, p, false, policy.Subscribe, "topicfilter/test", nil)
	// Where Subscribe stands alone the document is refused, see TestMistakes.
	_, err := policy.Parse("p", []byte(expand(statements(`{"Effect": "Allow", "Action": "iot:Subscribe", "Resource": "~topic/test"}`))))
	if err == nil {
		t.Error("topic/test for iot:Subscribe alone is no mistake")
	}
}

func TestBasicIngestTopicsAreForPublishing(t *testing.T) {
	p := statements(`{"Effect": "Allow", "Action": "iot:Publish", "Resource": "~topic/$aws/rules/rule1/*"}`)
	check(t, p, true, policy.Publish, "topic/$aws/rules/rule1/a/b", nil)
	check(t, p, false, policy.Publish, "topic/$aws/rules/rule2/a/b", nil)
	check(t, p, false, policy.Subscribe, "topicfilter/$aws/rules/rule1/a/b", nil)
}

// The further examples of the page on CONNECT.
func TestConnectAttributes(t *testing.T) {
	denyIf := func(condition string) string {
		return `{"Effect": "Deny", "Action": "iot:Connect", "Resource": "*", "Condition": {` + condition + `}}`
	}
	both := statements(
		`{"Effect": "Allow", "Action": "iot:Connect", "Resource": "*", "Condition": {"ForAllValues:StringEquals": {"iot:ConnectAttributes": ["PersistentConnect", "LastWill"]}}}`,
		denyIf(`"ForAllValues:StringEquals": {"iot:ConnectAttributes": ["PersistentConnect"]}`),
		denyIf(`"ForAllValues:StringEquals": {"iot:ConnectAttributes": ["LastWill"]}`),
		denyIf(`"ForAllValues:StringEquals": {"iot:ConnectAttributes": []}`))
	for _, c := range []struct {
		name, policy                             string
		neither, persistent, will, both, another bool
	}{
		{"no persistent session, by StringNotEquals", connectIf(`"ForAllValues:StringNotEquals": {"iot:ConnectAttributes": ["PersistentConnect"]}`),
			true, false, true, false, true},
		{"no persistent session, by Deny", statements(`{"Effect": "Allow", "Action": "iot:Connect", "Resource": "*"}`,
			denyIf(`"ForAnyValue:StringEquals": {"iot:ConnectAttributes": ["PersistentConnect"]}`)),
			true, false, true, false, true},
		{"both, and nothing new", connectIf(`"ForAllValues:StringEquals": {"iot:ConnectAttributes": ["PersistentConnect", "LastWill"]}`),
			true, true, true, true, false},
		{"will, and nothing new", connectIf(`"ForAllValues:StringEquals": {"iot:ConnectAttributes": ["LastWill"]}`),
			true, false, true, false, false},
		{"persistent, and anything new", connectIf(`"ForAnyValue:StringEquals": {"iot:ConnectAttributes": ["PersistentConnect"]}`),
			false, true, false, true, false},
		{"both are a must", both, false, false, false, true, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			check(t, c.policy, c.neither, policy.Connect, "client/c1", connecting())
			check(t, c.policy, c.persistent, policy.Connect, "client/c1", connecting("PersistentConnect"))
			check(t, c.policy, c.will, policy.Connect, "client/c1", connecting("LastWill"))
			check(t, c.policy, c.both, policy.Connect, "client/c1", connecting("PersistentConnect", "LastWill"))
			check(t, c.policy, c.another, policy.Connect, "client/c1", connecting("New"))
		})
	}
}

// The guide warns of it: a client identifier that is a wildcard of MQTT is put in.
func TestClientIdentifierPlusOpensATopicFilter(t *testing.T) {
	p := statements(`{"Effect": "Allow", "Action": "iot:Subscribe", "Resource": "~topicfilter/my/${iot:ClientId}/topic"}`)
	check(t, p, true, policy.Subscribe, "topicfilter/my/+/topic", detached("+"))
	check(t, p, false, policy.Subscribe, "topicfilter/my/other/topic", detached("*"))
	check(t, p, false, policy.Subscribe, "topicfilter/my/*/topic", detached("*"))
}

func TestCertificateOfOneOrganization(t *testing.T) {
	p := statements(`{"Effect": "Allow", "Action": "iot:Publish", "Resource": "~topic/my/topic/${iot:Connection.Thing.ThingName}",
		"Condition": {"ForAllValues:StringEquals": {"iot:Certificate.Subject.Organization.List": ["Example Corp", "AnyCompany"]}}}`)
	with := func(organizations ...string) policy.Context {
		c := attached("t1")
		c["iot:Certificate.Subject.Organization"] = organizations
		return c
	}
	check(t, p, true, policy.Publish, "topic/my/topic/t1", with("Example Corp"))
	check(t, p, true, policy.Publish, "topic/my/topic/t1", with("AnyCompany", "Example Corp"))
	check(t, p, false, policy.Publish, "topic/my/topic/t1", with("AnyCompany", "Other"))
	check(t, p, true, policy.Publish, "topic/my/topic/t1", with()) // all of none
}

func TestCertificateOfAnAdministrator(t *testing.T) {
	admin := func(condition string) string {
		return statements(`{"Effect": "Allow", "Action": "iot:Publish", "Resource": "~topic/admin/*", "Condition": {` + condition + `}}`)
	}
	names := func(all ...string) policy.Context { return policy.Context{"iot:Certificate.Subject.CommonName": all} }
	third := admin(`"StringEquals": {"iot:Certificate.Subject.CommonName.2": "Administrator"}`)
	check(t, third, true, policy.Publish, "topic/admin/x", names("a", "b", "Administrator"))
	check(t, third, false, policy.Publish, "topic/admin/x", names("a", "Administrator", "b"))
	check(t, third, false, policy.Publish, "topic/admin/x", names("a", "b"))
	any := admin(`"ForAnyValue:StringEquals": {"iot:Certificate.Subject.CommonName.List": "Administrator"}`)
	check(t, any, true, policy.Publish, "topic/admin/x", names("a", "Administrator"))
	check(t, any, false, policy.Publish, "topic/admin/x", names("a", "b"))
	check(t, any, false, policy.Publish, "topic/admin/x", nil)
}

func TestCertificateKeysMustBeThere(t *testing.T) {
	p := connectIf(`"Null": {"iot:Certificate.SerialNumber": "false", "iot:Certificate.Subject.CommonName": "false"}`)
	c := policy.Context{"iot:Certificate.SerialNumber": {"1"}, "iot:Certificate.Subject.CommonName": {"n"}}
	check(t, p, true, policy.Connect, "client/c", c)
	delete(c, "iot:Certificate.Subject.CommonName")
	check(t, p, false, policy.Connect, "client/c", c)
}

func TestConnectThroughAnEndpointOfAVPC(t *testing.T) {
	p := connectIf(`"StringEquals": {"aws:SourceVpce": "vpce-1a2b3c4d"}`)
	check(t, p, true, policy.Connect, "client/c", policy.Context{"aws:SourceVpce": {"vpce-1a2b3c4d"}})
	check(t, p, false, policy.Connect, "client/c", nil)
}
