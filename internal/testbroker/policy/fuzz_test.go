package policy_test

import (
	"errors"
	"strings"
	"testing"
	"unicode/utf8"

	"iotwire/internal/testbroker/policy"
)

// FuzzPolicy reads any document and evaluates what is accepted: nothing panics, an error is one line at a place that
// exists, and the work is bounded by the length.
func FuzzPolicy(f *testing.F) {
	for _, seed := range []string{
		``, `{}`, `[[[[[[[[`, `{"Statement":[{}]}`, strings.Repeat(`[`, 2048), strings.Repeat(`{"a":`, 400),
		statements(`{"Effect": "Allow", "Action": "*", "Resource": "*"}`),
		statements(restricted, receiveUnlessThat),
		statements(`{"Sid": "x", "Effect": "Deny", "NotAction": ["iot:Con*", "greengrass:?"], "NotResource": ["~topic/${iot:ClientId}/*", "arn:*:iot:*"]}`),
		statements(`{"Effect": "Allow", "Action": "iot:Publish", "Resource": "~topic/` + strings.Repeat("*a", 500) + `b"}`),
		statements(`{"Effect": "Allow", "Action": "iot:Publish", "Resource": "~topic/${*}${?}${$}${iot:Certificate.Subject.CommonName.1}"}`),
		connectIf(`"ForAllValues:StringNotLikeIfExists": {"iot:ConnectAttributes": ["a*", "${iot:ClientId}"]}, "Null": {"iot:LastWillTopic": true}`),
		connectIf(`"DateLessThan": {"aws:CurrentTime": "2026-01-01"}, "IpAddress": {"aws:SourceIp": "10.0.0.0/8"}, "NumericEquals": {"aws:EpochTime": 1e3}`),
		connectIf(`"ArnLike": {"iot:LastWillTopic": "arn:aws:iot:*:topic/a"}, "Bool": {"iot:Connection.Thing.IsAttached": "true"}`),
		"{\"Version\": \"2012-10-17\",\n \"Statement\": [{\"Effect\": \"\\ud83d\\ude00\"}]}", "{\"\xff\": 1}", "\uFEFF{}", `{"a":1,"a":2}`, `{"a":01}`, `{"Version": "\u12`,
	} {
		f.Add([]byte(expand(seed)))
	}
	contexts := []policy.Context{nil, attached("aaaa"), connecting("LastWill", "a"), {
		"iot:ClientId":                       {"*"},
		"aws:SourceIp":                       {"10.1.2.3"},
		"aws:CurrentTime":                    {"2025-06-01T00:00:00Z"},
		"aws:EpochTime":                      {"1000"},
		"iot:LastWillTopic":                  {home.ARN("topic/a")},
		"iot:Certificate.Subject.CommonName": {"a", "b", "c", "d", "e", "f"},
	}}
	f.Fuzz(func(t *testing.T, text []byte) {
		d, err := policy.Parse("p", text)
		if err != nil {
			var mistake *policy.Error
			if d != nil || !errors.As(err, &mistake) || mistake.Reason == "" || strings.ContainsAny(err.Error(), "\r\n") || !utf8.ValidString(err.Error()) {
				t.Fatalf("document %v, error %q", d, err)
			}
			lines := strings.Split(string(text), "\n")
			if mistake.Line < 1 || mistake.Line > len(lines) || mistake.Column < 1 || mistake.Column > 1+utf8.RuneCountInString(lines[mistake.Line-1]) {
				t.Fatalf("no such place: %v", err)
			}
			return
		}
		documents := []*policy.Document{d}
		home := policy.HomeOf(d)
		for _, c := range contexts {
			for action := policy.Connect; action <= policy.AssumeRoleWithCertificate; action++ {
				for _, name := range []string{"a", strings.Repeat("a/", 128)} {
					r := policy.Request{Action: action, Resource: home.ARN(action.ResourceType() + "/" + name), Context: c}
					decision := policy.Evaluate(documents, r)
					if decision.Allowed != (decision.Statement != nil && decision.Statement.Effect == policy.Allow) ||
						(decision.Suggestion() == "") == (decision.Statement == nil) {
						t.Fatalf("%+v: suggestion %q", decision, decision.Suggestion())
					}
					if reason := decision.Reason(); reason == "" || strings.ContainsAny(reason, "\r\n") || !utf8.ValidString(reason) {
						t.Fatalf("reason %q", reason)
					}
				}
			}
		}
	})
}
