package policy_test

import (
	"encoding/json"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"iotwire/internal/testbroker/policy"
)

// drawStatement draws a statement about a few topics, so that requests about these often meet it.
func drawStatement(t *rapid.T, effect string) map[string]any {
	name := rapid.SampledFrom([]string{"a", "a/b", "a/*", "*", "?", "a/?", "${iot:ClientId}", "${iot:Connection.Thing.ThingName}/*", "${*}", "A"})
	resource := rapid.Custom(func(t *rapid.T) string {
		where := rapid.SampledFrom([]string{"arn:aws:iot:us-east-1:123456789012:", "arn:aws:iot:*:123456789012:", "arn:aws:iot:*:*:", "arn:aws:iot:eu-west-1:123456789012:"}).Draw(t, "where")
		kind := rapid.SampledFrom([]string{"topic/", "topicfilter/", "client/", "topic*/"}).Draw(t, "type")
		return rapid.OneOf(rapid.Just(where+kind+name.Draw(t, "name")), rapid.SampledFrom([]string{"*", "arn:aws:iot:*"})).Draw(t, "resource")
	})
	s := map[string]any{"Effect": effect}
	action := []string{"iot:*"} // so that every type of resource fits
	if rapid.Bool().Draw(t, "narrow") {
		action = []string{"iot:Publish", "iot:Subscribe", "iot:Connect"}
	}
	s[rapid.SampledFrom([]string{"Action", "Action", "Action", "NotAction"}).Draw(t, "action")] = action
	if s["NotAction"] != nil {
		s["NotAction"] = []string{"iot:Receive"}
	}
	s[rapid.SampledFrom([]string{"Resource", "Resource", "NotResource"}).Draw(t, "not")] = rapid.SliceOfN(resource, 1, 3).Draw(t, "resources")
	if rapid.IntRange(0, 2).Draw(t, "conditional") == 0 {
		operator := rapid.SampledFrom([]string{"StringEquals", "StringNotEquals", "ForAllValues:StringLike", "ForAnyValue:StringNotLike", "StringLikeIfExists"})
		key := rapid.SampledFrom([]string{"iot:ClientId", "iot:ConnectAttributes", "iot:Connection.Thing.ThingName"})
		value := rapid.SampledFrom([]string{"a", "b", "*", "${iot:ClientId}", "${iot:Connection.Thing.ThingName}", "LastWill"})
		s["Condition"] = map[string]any{operator.Draw(t, "operator"): map[string]any{key.Draw(t, "key"): rapid.SliceOfN(value, 0, 2).Draw(t, "values")}}
	}
	return s
}

func drawEffect(t *rapid.T) string {
	return rapid.SampledFrom([]string{"Allow", "Allow", "Deny"}).Draw(t, "effect")
}

func drawStatements(t *rapid.T) (all []map[string]any) {
	for range rapid.IntRange(0, 4).Draw(t, "statements") {
		all = append(all, drawStatement(t, drawEffect(t)))
	}
	return all
}

func drawRequest(t *rapid.T) policy.Request {
	kind := rapid.SampledFrom([]struct {
		action policy.Action
		prefix string
	}{{policy.Publish, "topic/"}, {policy.Receive, "topic/"}, {policy.Subscribe, "topicfilter/"}, {policy.Connect, "client/"}}).Draw(t, "action")
	name := rapid.OneOf(rapid.SampledFrom([]string{"a", "a/b", "b", "a/b/c", "t/x", "*", "?", "${iot:ClientId}", "a*", "A"}), rapid.String()).Draw(t, "name")
	c := policy.Context{}
	for key, values := range map[string][]string{
		"iot:ClientId":                   {"a"},
		"iot:ConnectAttributes":          {"LastWill", "PersistentConnect"},
		"iot:Connection.Thing.ThingName": {"t"},
	} {
		if rapid.Bool().Draw(t, key) {
			c[key] = values
		}
	}
	return request(kind.action, kind.prefix+name, c)
}

// document makes one of statements, or none of none.
func document(t *rapid.T, all ...map[string]any) []*policy.Document {
	if len(all) == 0 {
		return nil
	}
	text, err := json.Marshal(map[string]any{"Version": "2012-10-17", "Statement": all})
	if err != nil {
		t.Fatal(err)
	}
	d, err := policy.Parse("p.json", text)
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return []*policy.Document{d}
}

func TestDenyWins(t *testing.T) {
	everything := map[string]any{"Effect": "Allow", "Action": "*", "Resource": "*"}
	rapid.Check(t, func(t *rapid.T) {
		all, r, deny := drawStatements(t), drawRequest(t), drawStatement(t, "Deny")
		if policy.Evaluate(document(t, everything, deny), r).Allowed {
			t.Skip("this Deny is about something else")
		}
		d := policy.Evaluate(document(t, append(all, deny, everything)...), r)
		if d.Allowed || d.Statement == nil || d.Statement.Effect != policy.Deny || d.Suggestion() != "" {
			t.Errorf("allowed: %s", d.Reason())
		}
	})
}

func TestOrderDoesNotMatter(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		all, r := drawStatements(t), drawRequest(t)
		want := policy.Evaluate(document(t, all...), r)
		shuffled := rapid.Permutation(all).Draw(t, "shuffled")
		cut := rapid.IntRange(0, len(shuffled)).Draw(t, "cut")
		documents := append(document(t, shuffled[:cut]...), document(t, shuffled[cut:]...)...)
		if got := policy.Evaluate(documents, r); got.Allowed != want.Allowed {
			t.Errorf("allowed is %t, and %t in another order and two documents: %s", want.Allowed, got.Allowed, got.Reason())
		}
	})
}

func TestFurtherStatementsActByTheirEffectOnly(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		all, r, effect := drawStatements(t), drawRequest(t), drawEffect(t)
		before := policy.Evaluate(document(t, all...), r)
		after := policy.Evaluate(document(t, append(all, drawStatement(t, effect))...), r)
		if before.Allowed && !after.Allowed && effect == "Allow" || !before.Allowed && after.Allowed && effect == "Deny" {
			t.Errorf("allowed was %t, and is %t with one more %s: %s", before.Allowed, after.Allowed, effect, after.Reason())
		}
	})
}

func TestSuggestionAllowsAndNothingElse(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		all, r := drawStatements(t), drawRequest(t)
		before := policy.Evaluate(document(t, all...), r)
		text := before.Suggestion()
		if text == "" {
			if before.Statement == nil {
				t.Errorf("no suggestion, though: %s", before.Reason())
			}
			return
		}
		var suggestion map[string]any
		if err := json.Unmarshal([]byte(text), &suggestion); err != nil {
			t.Fatal(err)
		}
		if after := policy.Evaluate(document(t, append(all, suggestion)...), r); !after.Allowed {
			t.Errorf("with %s: %s", text, after.Reason())
		}
		// Alone it allows another request only if that is the same one.
		other := drawRequest(t)
		if d := policy.Evaluate(document(t, suggestion), other); d.Allowed != (other.Action == r.Action && other.Resource == r.Resource) {
			t.Errorf("%s decides about %v on %s: %s", text, other.Action, other.Resource, d.Reason())
		}
	})
}

// Whoever writes a value that is not resolved instead of a variable that is gets the same.
func TestVariableIsItsValue(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		value := rapid.StringMatching(`[a-c/:]{0,3}`).Draw(t, "value")
		name := rapid.StringMatching(`[a-c/*?]{0,3}`).Draw(t, "before") + "${iot:ClientId}" + rapid.StringMatching(`[a-c/*?]{0,3}`).Draw(t, "behind")
		r := request(policy.Publish, "topic/"+rapid.StringMatching(`[a-c/:]{1,6}`).Draw(t, "topic"), policy.Context{"iot:ClientId": {value}})
		allow := func(name string) []*policy.Document {
			return document(t, map[string]any{"Effect": "Allow", "Action": "iot:Publish", "Resource": home.ARN("topic/" + name)})
		}
		written := strings.Replace(name, "${iot:ClientId}", value, 1)
		if got, want := policy.Evaluate(allow(name), r).Allowed, policy.Evaluate(allow(written), r).Allowed; got != want {
			t.Errorf("%s with %q for the variable: %t; %s: %t", name, value, got, written, want)
		}
	})
}
