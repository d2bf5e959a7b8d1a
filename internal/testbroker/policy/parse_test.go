package policy_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"iotwire/internal/testbroker/policy"
)

// TestMistakes has a document for each mistake. "§" stands in front of the character that the error has to point at.
func TestMistakes(t *testing.T) {
	const (
		head = "{\n  \"Version\": \"2012-10-17\",\n  \"Statement\": [{\n    "
		tail = "\n  }]\n}"
	)
	// statement is a document whose statement has these members, in lines.
	statement := func(members ...string) string { return head + strings.Join(members, ",\n    ") + tail }
	// around is statement with what else it needs.
	around := func(members ...string) string {
		all := strings.Join(members, "")
		for name, member := range map[string]string{
			"Effect":   `"Effect": "Allow"`,
			"Action":   `"Action": "iot:Publish"`,
			"Resource": `"Resource": "*"`,
		} {
			if !strings.Contains(all, name+`": `) {
				members = append(members, member)
			}
		}
		return statement(members...)
	}
	resource := func(action, text string) string {
		return statement(`"Effect": "Allow"`, `"Action": `+action, `"Resource": `+text)
	}
	condition := func(text string) string { return around(`"Condition": ` + text) }

	for _, c := range []struct{ name, document, want string }{
		// JSON
		{"nothing", "§", "the document is empty"},
		{"white space", " \n\t §", "the document is empty"},
		{"not JSON", "§Version: 2012", "expected a value, found 'V'"},
		{"byte order mark", "§\uFEFF{}", "a byte order mark, which JSON does not have"},
		{"end inside object", "{\"Version\": \"2012-10-17\"\n§", "the document ends inside the object that begins at 1:1; a '}' is missing"},
		{"end inside array", "{\"Statement\": [{}§", "the document ends inside the array that begins at 1:15; a ']' is missing"},
		{"end behind comma", "{\"Statement\": [1,§", "the document ends inside the array that begins at 1:15"},
		{"end behind name", `{"Version"§`, `expected ':' after the name "Version", found the end of the document`},
		{"comma behind the last member", "{\"Version\": \"2012-10-17\",\n§}", "the last member has no comma behind it"},
		{"comma behind the last value", "{\"Statement\": [{},§]}", "the last value has no comma behind it"},
		{"comma missing", "{\"Version\": \"2012-10-17\"\n §\"Statement\": []}", "expected ',' or '}', found a string; is a comma missing?"},
		{"colon missing", `{"Version" §"2012-10-17"}`, `expected ':' after the name "Version"`},
		{"name without quotes", "{§Version: 1}", "expected the name of a member in double quotes, found 'V'"},
		{"single quotes", "{§'Version': 1}", "JSON strings are in double quotes"},
		{"typographic quotes", "{§“Version”: 1}", "JSON strings are in double quotes"},
		{"comment", "{\n  §// about it\n}", "JSON has no comments"},
		{"two documents", "{} §{}", "expected nothing after the end of the document, found '{'"},
		{"string over the line", "{\"Version§\n\": 1}", "this string does not end on its line"},
		{"string without end", `{§"Version`, "this string has no end"},
		{"string that ends in a backslash", `{"Version§\`, "this string has no end"},
		{"control character", "{\"Ver§\tsion\": 1}", `this one is \u0009`},
		{"unknown escape", `{"Ver§\sion": 1}`, "JSON knows no such escape"},
		{"short escape", `{"Ver§\u12": 1}`, `\u needs four hexadecimal digits`},
		{"half a surrogate pair", `{"Ver§\ud83d\u0041": 1}`, "half of a surrogate pair"},
		{"not UTF-8", "{\"ä§\xff\": 1}", "a byte that is no UTF-8"},
		{"leading zero", `{"Version": §012}`, "no number as JSON writes them"},
		{"number that ends in a point", `{"Version": §1.}`, "no number as JSON writes them"},
		{"exponent without digits", `{"Version": §1e+}`, "no number as JSON writes them"},
		{"minus alone", `{"Version": §-}`, "no number as JSON writes them"},
		{"word", `{"Version": §True}`, "expected a value, found 'T'"},
		{"longer word", `{"Version": §nullify}`, "expected a value, found 'n'"},
		{"same key twice", "{\"Version\": \"2012-10-17\",\n §\"Version\": \"2012-10-17\"}", `"Version" is here for the second time; the first is at 1:2`},
		{"same key twice by an escape", `{"Version": "2012-10-17", §"\u0056ersion": "2012-10-17"}`, "for the second time"},

		// the document
		{"no object", "§[]", "expected an object with Version and Statement, found an array"},
		{"no statement", `§{"Version": "2012-10-17"}`, "the policy has no Statement"},
		{"empty statement list", `{"Statement": §[]}`, "Statement is empty"},
		{"statement is a string", `{"Statement": §"x"}`, "expected a statement, which is an object, found a string"},
		{"statement is null", `{"Statement": [§null]}`, "found null"},
		{"unknown version", `{"Version": §"2012-10-18", "Statement": []}`, `unknown Version "2012-10-18": write "2012-10-17"`},
		{"version is a number", `{"Version": §2012, "Statement": []}`, "expected a string for Version, found a number"},
		{"unknown key", "{\n§\"Statements\": []}", `unknown key "Statements"; did you mean Statement?`},
		{"another unknown key", `{§"Tags": []}`, `unknown key "Tags": a policy has Version, Id and Statement`},
		{"id is an object", `{"Id": §{}}`, "expected a string for Id, found an object"},

		// the statement
		{"no effect", "{\"Statement\": \n§{\"Action\": \"*\", \"Resource\": \"*\"}}", "the statement has no Effect"},
		{"no action", `{"Statement": [§{"Effect": "Allow", "Resource": "*"}]}`, "the statement has no Action"},
		{"no resource", `{"Statement": [§{"Effect": "Allow", "Action": "*"}]}`, "the statement has no Resource"},
		{"effect in small letters", around(`"Effect": §"allow"`), `expected "Allow" or "Deny" for Effect, found "allow"`},
		{"effect is a list", around(`"Effect": §["Allow"]`), "expected a string for Effect, found an array"},
		{"sid is a number", around(`"Sid": §1`), "expected a string for Sid, found a number"},
		{"key in small letters", around(`§"resource": "*"`), `unknown key "resource"; did you mean Resource?`},
		{"unknown key of a statement", around(`§"Conditions": {}`), `did you mean Condition?`},
		{"principal", around(`§"Principal": "*"`), "an AWS IoT policy has no Principal"},
		{"far unknown key", around(`§"Comment": "x"`), "a statement has Sid, Effect, Action, NotAction, Resource, NotResource and Condition"},
		{"action and notaction", around(`"Action": "*"`, `§"NotAction": "*"`), "either Action or NotAction, not both"},
		{"notresource and resource", around(`"NotResource": "*"`, `§"Resource": "*"`), "either NotResource or Resource, not both"},

		// actions
		{"empty action list", around(`"Action": §[]`), "Action is empty"},
		{"action is a number", around(`"Action": ["iot:Publish", §1]`), "expected a string for Action, or an array of strings, found a number"},
		{"unknown action", around(`"Action": ["iot:Publish",` + "\n" + `§"iot:Subscrib"]`), `unknown action "iot:Subscrib"; did you mean iot:Subscribe?`},
		{"action without service", around(`"Action": §"Publish"`), `did you mean iot:Publish?`},
		{"wildcard that matches no action", around(`"Action": §"iot:Foo*"`), `unknown action "iot:Foo*"`},
		{"action of another service", around(`"Action": §"s3:GetObject"`), "actions that start with iot:, iotjobsdata: or greengrass:"},
		{"empty action", around(`"Action": §""`), `unknown action ""`},
		{"variable in action", around(`"Action": §"iot:${iot:ClientId}"`), "unknown action"},
		{"notaction of everything", around(`"NotAction": §"*"`, `"Resource": "*"`), "this NotAction leaves no action"},

		// resources
		{"empty resource list", around(`"Resource": §[]`), "Resource is empty"},
		{"resource is an object", around(`"Resource": §{}`), "found an object"},
		{"no ARN", resource(`"iot:Publish"`, `§"topic/a"`), `"topic/a" is no ARN; write arn:aws:iot:REGION:ACCOUNT:topic/a, or "*" for every resource`},
		{"name alone", resource(`"iot:Subscribe"`, `§"a/b"`), `write arn:aws:iot:REGION:ACCOUNT:topicfilter/a/b`},
		{"wildcard that is no ARN", resource(`"*"`, `§"*topic"`), `"*topic" is no ARN`},
		{"empty resource", resource(`"*"`, `§""`), `"" is no ARN`},
		{"too few parts", resource(`"iot:Publish"`, `§"arn:aws:iot:us-east-1:topic/a"`), "fewer than the six parts of an ARN"},
		{"too few parts and a star inside", resource(`"iot:Publish"`, `§"arn:aws:iot:us-*-1:topic/*a"`), "fewer than the six parts of an ARN"},
		{"region is empty", resource(`"iot:Publish"`, `§"arn:aws:iot::1:topic/a"`), "has an empty part"},
		{"placeholders", resource(`"iot:Publish"`, `"arn:aws:iot:§REGION:ACCOUNT:topic/a"`), "put your own region and account in place of REGION and ACCOUNT"},
		{"placeholder for the account", resource(`"iot:Publish"`, `["~topic/a", "arn:aws:iot:us-east-1:§ACCOUNT:topic/a"]`), "put your own region and account in place of REGION and ACCOUNT"},
		{"placeholder for the region and a wildcard", resource(`"iot:Publish"`, `§"arn:aws:iot:REGION:*"`), "put your own region and account in place of REGION and ACCOUNT"},
		{"another placeholder", resource(`"iot:Publish"`, `"arn:aws:iot:§your-region:*:topic/a"`), `"your-region" is no region: put your own in its place, such as eu-west-1, or '*'`},
		{"region in capital letters", resource(`"iot:Publish"`, `"arn:aws:iot:§US-*:*:topic/a"`), `"US-*" is no region`},
		{"half a region", resource(`"iot:Publish"`, `"arn:aws:iot:§eu-west:*:topic/a"`), `"eu-west" is no region`},
		{"region without words", resource(`"iot:Publish"`, `"arn:aws:iot:§eu--1:*:topic/a"`), `"eu--1" is no region`},
		{"short account", resource(`"iot:Publish"`, `"arn:aws:iot:eu-west-1:§12345:topic/a"`), `"12345" is no account, which has 12 digits: put your own in its place, or '*'`},
		{"long account", resource(`"iot:Publish"`, `"arn:aws:iot:eu-west-1:§1234567890123:topic/a"`), `"1234567890123" is no account`},
		{"account that is no number", resource(`"iot:Publish"`, `"arn:aws:iot:us-east-1:§123EXAMPLE12:topic/a"`), `"123EXAMPLE12" is no account`},
		{"account of too many digits and a wildcard", resource(`"iot:Publish"`, `"arn:aws:iot:us-east-1:§123456789012?:topic/a"`), `"123456789012?" is no account`},
		{"account in a condition", condition(`{"ArnEquals": {"iot:LastWillTopic": "arn:aws:iot:us-east-1:§ACCOUNT:topic/a"}}`), "put your own region and account in place of REGION and ACCOUNT"},
		{"service is another", resource(`"iot:Publish"`, `§"arn:aws:sns:us-east-1:1:topic/a"`), "is an ARN of sns; write arn:aws:iot:"},
		{"service is a wildcard", resource(`"iot:Publish"`, `§"arn:aws:*:us-east-1:1:topic/a"`), "cannot be a wildcard"},
		{"service is left to a wildcard", resource(`"iot:Publish"`, `§"arn:aws:*"`), "cannot be a wildcard"},
		{"greengrass without its actions", resource(`"iot:Publish"`, `§"arn:aws:greengrass:us-east-1:1:x"`), "is an ARN of greengrass"},
		{"wrong type", resource(`"iot:Subscribe"`, "[\n§\"~topic/test\"]"), `"topic/test" is wrong for the statement's actions: iot:Subscribe needs topicfilter/test`},
		{"wrong type of one in a list", resource(`["iot:Publish", "iot:Subscribe"]`, `["~topic/a", §"~client/b", "~topicfilter/c"]`), `"client/b" is wrong for the statement's actions: iot:Publish needs topic/b, iot:Subscribe needs topicfilter/b`},
		{"wrong type for connect", resource(`"iot:Connect"`, `§"~topic/c"`), "iot:Connect needs client/c"},
		{"wrong type for publish", resource(`"iot:*ublish"`, `§"~topicfilter/c"`), "iot:Publish and iot:RetainPublish needs topic/c"},
		{"wrong type with a wildcard", resource(`"iot:Connect"`, `§"~topic*"`), `"topic*"`},
		{"wrong type for notresource", statement(`"Effect": "Deny"`, `"Action": "iot:Receive"`, `"NotResource": §"~topicfilter/a"`), "iot:Receive needs topic/a"},
		{"wrong type for notaction", statement(`"Effect": "Deny"`, `"NotAction": ["iot:Connect", "iot:Delete*"]`, `"Resource": §"~client/a"`), "wrong for the statement's actions"},
		{"wrong type for all of many actions", resource(`"iot:*"`, `§"~clients/a"`), `unknown resource type "clients"; did you mean client/?`},
		{"unknown type", resource(`"iot:Publish"`, `§"~queue/a"`), `unknown resource type "queue": iot:Publish needs topic/a`},
		{"type without name", resource(`"iot:Publish"`, `§"~topic"`), "topic names no resource: write topic/NAME, or topic/* for all"},
		{"resource for an action on the account", resource(`"iot:ListRetainedMessages"`, `§"~topic/a"`), `iot:ListRetainedMessages acts on the whole account: its resource is "*"`},

		// variables
		{"unknown variable", resource(`"iot:Publish"`, `"~topic/ä/§${iot:ClientID2}"`), `unknown variable "iot:ClientID2"; did you mean iot:ClientId?`},
		{"variable behind an escape", resource(`"iot:Publish"`, `"~topic/\u00e4\/\ud83d\ude00§${x}"`), `unknown variable "x"`},
		{"variable without end", resource(`"iot:Publish"`, `"~topic/§${iot:ClientId"`), "a '}' is missing"},
		{"variable for the region", resource(`"iot:Publish"`, `"arn:aws:iot:§${iot:ClientId}:1:topic/a"`), "only in the last part of an ARN"},
		{"variable without version", `{"Statement": {"Effect": "Allow", "Action": "*", "Resource": "~topic/§${iot:ClientId}"}}`, `${iot:ClientId} is a variable only in a policy with "Version": "2012-10-17"`},
		{"variable of the old version", `{"Version": "2008-10-17", "Statement": {"Effect": "Allow", "Action": "*", "Resource": "~topic/§${*}"}}`, "is a variable only"},
		{"attribute without name", resource(`"iot:Publish"`, `"~topic/§${iot:Connection.Thing.Attributes[]}"`), "unknown variable"},
		{"attribute of a certificate", resource(`"iot:Publish"`, `"~topic/§${iot:Certificate.Subject.CommenName}"`), "did you mean iot:Certificate.Subject.CommonName?"},
		{"index of what has none", resource(`"iot:Publish"`, `"~topic/§${iot:ClientId.1}"`), "unknown variable"},

		// conditions
		{"condition is a list", condition(`§[]`), "expected an object for Condition, found an array"},
		{"unknown operator", condition("{\n§\"StringEqual\": {}}"), `unknown condition operator "StringEqual"; did you mean StringEquals?`},
		{"operator in small letters", condition(`{§"stringlike": {}}`), "did you mean StringLike?"},
		{"unknown quantity", condition(`{§"ForAllValue:StringEquals": {}}`), "did you mean ForAllValues:StringEquals?"},
		{"far unknown operator", condition(`{§"Matches": {}}`), "there are StringEquals"},
		{"null if exists", condition(`{§"NullIfExists": {}}`), "Null stands alone"},
		{"operator is a string", condition(`{"Bool": §"true"}`), "expected an object with keys and values for Bool, found a string"},
		{"unknown condition key", condition(`{"StringEquals": {§"iot:ClientIdd": "a"}}`), `unknown condition key "iot:ClientIdd"; did you mean iot:ClientId?`},
		{"far unknown condition key", condition(`{"StringEquals": {§"s3:prefix": "a"}}`), `unknown condition key "s3:prefix": there are iot:ClientId`},
		{"same condition key twice", condition(`{"StringEquals": {"iot:ClientId": "a", §"iot:ClientId": "b"}}`), "for the second time"},
		{"condition value is null", condition(`{"StringEquals": {"iot:ClientId": §null}}`), "expected a string, a number or a boolean for iot:ClientId, or an array of them, found null"},
		{"condition value in a list is an object", condition(`{"StringEquals": {"iot:ClientId": ["a", §{}]}}`), "found an object"},
		{"unknown variable in a condition", condition(`{"StringEquals": {"iot:ClientId": "a§${aws:username}"}}`), `unknown variable "aws:username"`},
		{"no boolean", condition(`{"Bool": {"iot:Connection.Thing.IsAttached": §"yes"}}`), `expected "true" or "false" for Bool, found "yes"`},
		{"no number", condition(`{"NumericEquals": {"aws:EpochTime": [1, §"0x2"]}}`), `"0x2" is no number`},
		{"no date", condition(`{"DateLessThan": {"aws:CurrentTime": §"31.1.2026"}}`), `"31.1.2026" is no date; write 2026-01-31`},
		{"no address", condition(`{"IpAddress": {"aws:SourceIp": §"10.0.0.0/33"}}`), `"10.0.0.0/33" is no IP address`},
		{"zone in an address", condition(`{"IpAddress": {"aws:SourceIp": §"fe80::1%eth0"}}`), `is no IP address`},
		{"no ARN in a condition", condition(`{"ArnEquals": {"iot:LastWillTopic": §"topic/a"}}`), `"topic/a" is no ARN`},
		{"short ARN in a condition", condition(`{"ArnEquals": {"iot:LastWillTopic": §"arn:aws:iot:topic/a"}}`), `is no ARN`},
		{"null with another value", condition(`{"Null": {"iot:ClientId": §"no"}}`), `expected "true" (the key is not there) or "false" (it is) for Null, found "no"`},
		{"null with two values", condition(`{"Null": {"iot:ClientId": [§"true", "false"]}}`), "Null takes one value"},
		{"null without value", condition(`{"Null": {"iot:ClientId": §[]}}`), "found an empty array"},
		{"variable for a number", condition(`{"NumericEquals": {"aws:EpochTime": "§${aws:EpochTime}"}}`), "a variable cannot stand for a number"},
		{"variable for a date", condition(`{"DateEquals": {"aws:CurrentTime": "§${aws:CurrentTime}"}}`), "a variable cannot stand for a date"},
		{"variable for an address", condition(`{"IpAddress": {"aws:SourceIp": "§${aws:SourceIp}"}}`), "a variable cannot stand for an IP address"},

		// size
		{"too many characters", `{"Id": "` + strings.Repeat("ä ", 2048-7) + `§"}`, "more than 2048 characters that are not white space"},
		{"too long", `{}` + strings.Repeat(" ", 404598) + `§ `, "longer than 404600 characters"},
	} {
		t.Run(c.name, func(t *testing.T) {
			before, after, found := strings.Cut(expand(c.document), "§")
			if !found || strings.Contains(after, "§") {
				t.Fatal("the document needs one §")
			}
			line := 1 + strings.Count(before, "\n")
			column := 1 + len([]rune(before[strings.LastIndex(before, "\n")+1:]))
			d, err := policy.Parse("dir/p.json", []byte(before+after))
			if err == nil {
				t.Fatalf("no error, %d statements", len(d.Statements))
			}
			var mistake *policy.Error
			if !errors.As(err, &mistake) {
				t.Fatalf("error of type %T", err)
			}
			if mistake.Line != line || mistake.Column != column || mistake.Name != "dir/p.json" {
				t.Errorf("%v: want line %d, column %d", err, line, column)
			}
			if prefix := fmt.Sprintf("dir/p.json:%d:%d: ", line, column); !strings.HasPrefix(err.Error(), prefix) ||
				!strings.Contains(err.Error(), c.want) || strings.ContainsAny(err.Error(), "\n\r") {
				t.Errorf("got %q, want one line that begins with %q and has %q", err, prefix, c.want)
			}
			if d != nil {
				t.Error("a document beside the error")
			}
		})
	}
}

// TestNoMistake has what looks like one.
func TestNoMistake(t *testing.T) {
	for name, document := range map[string]string{
		"statement object":              `{"Statement": {"Effect": "Allow", "Action": "iot:*", "Resource": "*"}}`,
		"no version":                    `{"Statement": [{"Effect": "Allow", "Action": "*", "Resource": ["*"]}]}`,
		"old version, id, sid":          `{"Id": "x", "Version": "2008-10-17", "Statement": [{"Sid": "", "Effect": "Deny", "Action": ["*"], "Resource": "*"}]}`,
		"same sid twice":                statements(`{"Sid": "a b", "Effect": "Deny", "Action": "*", "Resource": "*"}`, `{"Sid": "a b", "Effect": "Deny", "Action": "*", "Resource": "*"}`),
		"actions in any case":           statements(`{"Effect": "Allow", "Action": ["IOT:publish", "iot:PUB*", "iot:?ubscribe"], "Resource": ["~topic/a", "~topicfilter/a"]}`),
		"greengrass":                    statements(`{"Effect": "Allow", "Action": ["greengrass:Discover", "greengrass:*"], "Resource": ["*", "~thing/a", "arn:aws:greengrass:us-east-1:123456789012:/greengrass/things/a"]}`),
		"shadows and jobs":              statements(`{"Effect": "Allow", "Action": ["iot:GetThingShadow", "iotjobsdata:*", "iot:StartNextPendingJobExecution"], "Resource": "~thing/${iot:Thing.ThingName}"}`),
		"role alias":                    statements(`{"Effect": "Allow", "Action": "iot:AssumeRoleWithCertificate", "Resource": "~rolealias/r"}`),
		"action on the account":         statements(`{"Effect": "Allow", "Action": ["iot:ListRetainedMessages", "iot:GetRetainedMessage"], "Resource": ["*", "~topic/*"]}`),
		"list of many types":            statements(`{"Effect": "Allow", "Action": ["iot:Publish", "iot:Receive", "iot:Subscribe", "iot:Connect"], "Resource": ["~topic/a", "~topicfilter/a", "~client/a"]}`),
		"one type for two actions":      statements(`{"Effect": "Allow", "Action": ["iot:Publish", "iot:Subscribe"], "Resource": "~topic/a"}`),
		"any resource":                  statements(`{"Effect": "Allow", "Action": ["iot:Publish", "iot:Subscribe"], "Resource": "*"}`),
		"wildcards in types":            statements(`{"Effect": "Allow", "Action": "iot:Subscribe", "Resource": ["~topic*", "~topic?ilter/a", "~*", "~t*/x", "arn:aws:iot:*", "arn:*:iot:*:topicfilter/a", "arn:aws:iot:*:*:*/x"]}`),
		"regions":                       statements(`{"Effect": "Allow", "Action": "iot:Publish", "Resource": ["arn:aws-us-gov:iot:us-gov-west-1:123456789012:topic/a", "arn:aws:iot:ap-*-?:*:topic/a", "arn:aws:iot:*-1:123456*:topic/a", "arn:aws:iot:*:12345678901?:topic/a", "arn:aws:iot:eu-west-1:*"]}`),
		"other partition":               statements(`{"Effect": "Allow", "Action": "iot:Publish", "Resource": "arn:aws-cn:iot:cn-north-1:*:topic/a"}`),
		"dollar that begins nothing":    statements(`{"Effect": "Allow", "Action": "iot:Publish", "Resource": ["~topic/$aws/things/$", "~topic/$(*)", "~topic/}$}{"]}`),
		"escapes":                       statements(`{"\u0045ffect": "Allow", "Action": "iot\u003aPublish", "Resource": "~topic\/\ud83d\ude00\"\\\b\f\n\r\t"}`),
		"all variables":                 statements(`{"Effect": "Allow", "Action": "iot:Publish", "Resource": "~topic/${iot:ClientId}${aws:SourceIp}${iot:DomainName}${iot:CertificateId}${iot:Connection.Thing.ThingName}${iot:Connection.Thing.ThingTypeName}${iot:Connection.Thing.Attributes[a.b/c:d]}${iot:Connection.Thing.IsAttached}${iot:Thing.ThingName}${iot:Certificate.SerialNumber}${iot:Certificate.Issuer.Country.1}${iot:Certificate.Subject.AlternativeName.DNSName.List}${iot:Certificate.AvailableKeys}${cognito-identity.amazonaws.com:sub}${*}${?}${$}"}`),
		"action of the will's key":      connectIf(`"ArnLike": {"iot:LastWillTopic": ["*", "arn:aws:iot:*"]}`),
		"white space does not count":    statements(`{"Effect": "Allow", "Action": "*", "Resource": "*"}`) + strings.Repeat(" \t\r\n", 3000),
		"2048 characters":               `{"Id":"` + strings.Repeat("ä", 2048-68) + `","Statement":{"Effect":"Allow","Action":"*","Resource":"*"}}`,
		"condition of numbers and bool": connectIf(`"NumericLessThan": {"aws:EpochTime": -1.5e+3}, "Bool": {"aws:SecureTransport": [true, "FALSE", "${iot:Connection.Thing.IsAttached}"]}`),
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := policy.Parse("p", []byte(expand(document))); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestStatementsKnowTheirPlace(t *testing.T) {
	d, err := policy.Parse("p.json", []byte("{\"Statement\": [\n {\"Sid\": \"One\", \"Effect\": \"Deny\", \"Action\": \"*\", \"Resource\": \"*\"},\n"+
		"  {\"Effect\": \"Allow\", \"Action\": \"*\", \"Resource\": \"*\"}]}"))
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []struct {
		text         string
		effect       policy.Effect
		line, column int
	}{{`statement 1 "One" of p.json`, policy.Deny, 2, 2}, {`statement 2 of p.json`, policy.Allow, 3, 3}} {
		s := d.Statements[i]
		if s.String() != want.text || s.Effect != want.effect || s.Line != want.line || s.Column != want.column || s.Number != i+1 || s.Document != "p.json" {
			t.Errorf("got %+v %q, want %+v", s, s, want)
		}
	}
	if got := policy.Deny.String() + policy.Effect(9).String(); got != "DenyEffect(9)" {
		t.Error(got)
	}
}
