package policy_test

import (
	"fmt"
	"testing"

	"iotwire/internal/testbroker/policy"
)

// TestOperators has each operator with a value of the request that it holds for, one that it does not hold for, and
// whether it holds where the request has no value. The key is one whose values are any text.
func TestOperators(t *testing.T) {
	const topic = "arn:aws:iot:us-east-1:123456789012:topic/"
	for _, c := range []struct {
		operator, value string // of the policy, as JSON
		holds, fails    []string
		missing         bool
	}{
		{"StringEquals", `"a*"`, []string{"a*"}, []string{"ab", "A*", "a"}, false},
		{"StringEquals", `["a", "b"]`, []string{"a", "b"}, []string{"c", "ab", ""}, false},
		{"StringEquals", `""`, []string{""}, []string{"a"}, false},
		{"StringEquals", `[]`, nil, []string{"", "a"}, false},
		{"StringEquals", `5`, []string{"5"}, []string{"5.0"}, false},
		{"StringEquals", `true`, []string{"true"}, []string{"True"}, false},
		{"StringEquals", `"${*}${?}${$}"`, []string{"*?$"}, []string{"abc", "${*}${?}${$}"}, false},
		{"StringNotEquals", `["a", "b"]`, []string{"c", "A"}, []string{"a", "b"}, true},
		{"StringEqualsIgnoreCase", `"aÄb*"`, []string{"aÄb*", "AäB*"}, []string{"aÄbc", "b"}, false},
		{"StringNotEqualsIgnoreCase", `"ab"`, []string{"abc"}, []string{"AB"}, true},
		{"StringLike", `"a*b?"`, []string{"abc", "a/x/bc"}, []string{"ab", "aBc", "xabc"}, false},
		{"StringLike", `"a${*}"`, []string{"a*"}, []string{"ab"}, false},
		{"StringNotLike", `["a*", "b*"]`, []string{"c"}, []string{"ab", "b"}, true},

		{"ArnEquals", `"arn:aws:iot:*:123456789012:topic/a?"`, []string{topic + "ab"}, []string{topic + "a", topic + "abc", "topic/ab", ""}, false},
		{"ArnEquals", `"*"`, []string{topic}, []string{"topic/a"}, false},
		{"ArnLike", `"arn:aws:iot:us-*-1:*"`, []string{topic + "a:b:c"}, []string{"arn:aws:iot:eu-west-1:1:topic/a-1:x"}, false},
		{"ArnNotEquals", `"arn:aws:iot:*:*:topic/a"`, []string{topic + "b", "no ARN"}, []string{topic + "a"}, true},
		{"ArnNotLike", `"arn:*:topic/*"`, []string{"arn:aws:iot:us-east-1:1:client/c"}, []string{topic + "a"}, true},

		{"Bool", `"true"`, []string{"true", "TRUE"}, []string{"false", "1", ""}, false},
		{"Bool", `false`, []string{"false"}, []string{"true"}, false},

		{"NumericEquals", `"5"`, []string{"5", "5.0", "05"}, []string{"6", "x", "", "5x"}, false},
		{"NumericEquals", `9007199254740993`, []string{"9007199254740993"}, []string{"9007199254740992"}, false},
		{"NumericNotEquals", `[1, 2]`, []string{"3", "x"}, []string{"1", "2.0"}, true},
		{"NumericLessThan", `5`, []string{"4", "-1e3", "4.99"}, []string{"5", "6", "NaN", "-Inf", "0x1"}, false},
		{"NumericLessThanEquals", `5.5`, []string{"5", "5.5"}, []string{"5.6"}, false},
		{"NumericGreaterThan", `-1.5e2`, []string{"-149"}, []string{"-150", "-151"}, false},
		{"NumericGreaterThanEquals", `"5"`, []string{"5", "9e99"}, []string{"4", "9e999"}, false},

		{"DateEquals", `"2026-01-31"`, []string{"2026-01-31T00:00:00Z", "2026-01-31T01:00+01:00", "1769817600"}, []string{"2026-01-31T00:00:01Z", "x"}, false},
		{"DateNotEquals", `"2026-01"`, []string{"2026-02-01", "x"}, []string{"2026-01-01T00:00:00.000Z"}, true},
		{"DateLessThan", `"2026-01-31T12:00:00Z"`, []string{"2026-01-31T12:59:59+01:00"}, []string{"2026-01-31T12:00:00Z", "99999999999999"}, false},
		{"DateLessThanEquals", `1000`, []string{"1000", "999"}, []string{"1001"}, false},
		{"DateGreaterThan", `"2026-01-31T12:00:00Z"`, []string{"2026-01-31T12:00:01Z"}, []string{"2026-01-31T12:00:00Z", ""}, false},
		{"DateGreaterThanEquals", `"2026-01-31T12:00Z"`, []string{"2026-01-31T12:00:00Z"}, []string{"2026-01-31"}, false},

		{"IpAddress", `"203.0.113.0/24"`, []string{"203.0.113.7", "::ffff:203.0.113.7"}, []string{"203.0.114.1", "203.0.113.0/24", "x"}, false},
		{"IpAddress", `["10.0.0.1", "2001:DB8::/32"]`, []string{"10.0.0.1", "2001:db8::1"}, []string{"10.0.0.2", "2001:db9::1"}, false},
		{"NotIpAddress", `"10.0.0.0/8"`, []string{"11.0.0.1"}, []string{"10.255.0.1"}, true},

		{"Null", `"true"`, nil, []string{"a"}, true},
		{"Null", `false`, []string{"a", ""}, nil, false},
		{"Null", `["False"]`, []string{"a"}, nil, false},

		{"StringEqualsIfExists", `"a"`, []string{"a"}, []string{"b"}, true},
		{"StringNotEqualsIfExists", `"a"`, []string{"b"}, []string{"a"}, true},
		{"BoolIfExists", `"true"`, []string{"true"}, []string{"false"}, true},
		{"NumericLessThanIfExists", `5`, []string{"4"}, []string{"5"}, true},
		{"DateLessThanIfExists", `"2026-01-01"`, []string{"2025-01-01"}, []string{"2027-01-01"}, true},
		{"IpAddressIfExists", `"10.0.0.0/8"`, []string{"10.0.0.1"}, []string{"11.0.0.1"}, true},
		{"ArnLikeIfExists", `"arn:aws:iot:*"`, []string{topic}, []string{"arn:aws:s3:::x"}, true},
	} {
		t.Run(c.operator+" "+c.value, func(t *testing.T) {
			p := connectIf(fmt.Sprintf(`%q: {"iot:Connection.Thing.Attributes[k]": %s}`, c.operator, c.value))
			for _, value := range c.holds {
				check(t, p, true, policy.Connect, "client/c", policy.Context{"iot:Connection.Thing.Attributes[k]": {value}})
			}
			for _, value := range c.fails {
				check(t, p, false, policy.Connect, "client/c", policy.Context{"iot:Connection.Thing.Attributes[k]": {value}})
			}
			check(t, p, c.missing, policy.Connect, "client/c", nil)
		})
	}
}

// TestQuantities has each kind of operator for keys with several values.
func TestQuantities(t *testing.T) {
	for _, c := range []struct {
		operator, value             string
		none, a, ab, b, bc, c, abcd bool // the values of the request
	}{
		{"ForAllValues:StringEquals", `["a", "b"]`, true, true, true, true, false, false, false},
		{"ForAllValues:StringNotEquals", `["a", "b"]`, true, false, false, false, false, true, false},
		{"ForAnyValue:StringEquals", `["a", "b"]`, false, true, true, true, true, false, true},
		{"ForAnyValue:StringNotEquals", `["a", "b"]`, false, false, false, false, true, true, true},
		{"ForAllValues:StringLike", `"?"`, true, true, true, true, true, true, true},
		{"ForAnyValue:StringNotLike", `"?"`, false, false, false, false, false, false, false},
		{"ForAllValues:StringEqualsIfExists", `"a"`, true, true, false, false, false, false, false},
		{"ForAnyValue:StringEqualsIfExists", `"a"`, true, true, true, false, false, false, true},
		{"ForAnyValue:StringNotEqualsIfExists", `"a"`, true, false, true, true, true, true, true},
		{"ForAllValues:StringEquals", `[]`, true, false, false, false, false, false, false},
		{"ForAnyValue:StringEquals", `[]`, false, false, false, false, false, false, false},
		// Without ForAllValues and ForAnyValue one value that matches is enough, and too much for a negated operator.
		{"StringEquals", `["a", "b"]`, false, true, true, true, true, false, true},
		{"StringNotEquals", `["a", "b"]`, true, false, false, false, false, true, false},
	} {
		t.Run(c.operator+" "+c.value, func(t *testing.T) {
			p := connectIf(fmt.Sprintf(`%q: {"iot:ConnectAttributes": %s}`, c.operator, c.value))
			check(t, p, c.none, policy.Connect, "client/c", connecting())
			check(t, p, c.a, policy.Connect, "client/c", connecting("a"))
			check(t, p, c.ab, policy.Connect, "client/c", connecting("a", "b"))
			check(t, p, c.b, policy.Connect, "client/c", connecting("b"))
			check(t, p, c.bc, policy.Connect, "client/c", connecting("b", "c"))
			check(t, p, c.c, policy.Connect, "client/c", connecting("c"))
			check(t, p, c.abcd, policy.Connect, "client/c", connecting("a", "b", "c", "d"))
			if c.operator[:3] == "For" { // an empty string is an empty set
				check(t, p, c.none, policy.Connect, "client/c", connecting(""))
				check(t, p, c.ab, policy.Connect, "client/c", connecting("a", "", "b"))
			}
		})
	}
}

func TestConditionsAreAllNeeded(t *testing.T) {
	c := func(client, ip string) policy.Context {
		return policy.Context{"iot:ClientId": {client}, "aws:SourceIp": {ip}}
	}
	for _, p := range []string{
		connectIf(`"StringEquals": {"iot:ClientId": "c", "aws:SourceIp": "10.0.0.1"}`), // two keys of one operator
		connectIf(`"StringEquals": {"iot:ClientId": "c"}, "IpAddress": {"aws:SourceIp": "10.0.0.1"}`),
	} {
		check(t, p, true, policy.Connect, "client/c", c("c", "10.0.0.1"))
		check(t, p, false, policy.Connect, "client/c", c("d", "10.0.0.1"))
		check(t, p, false, policy.Connect, "client/c", c("c", "10.0.0.2"))
	}
	check(t, connectIf(``), true, policy.Connect, "client/c", nil)
	check(t, connectIf(`"StringEquals": {}`), true, policy.Connect, "client/c", nil)
}

func TestNamesOfKeysAreWithoutCase(t *testing.T) {
	p := connectIf(`"StringEquals": {"IOT:clientid": "${Iot:Connection.thing.THINGNAME}", "iot:connection.thing.attributes[Up]": "1"}`)
	check(t, p, true, policy.Connect, "client/c", attached("c"))
	p = connectIf(`"StringEquals": {"iot:Connection.Thing.Attributes[up]": "1"}`) // but those of attributes are with it
	check(t, p, false, policy.Connect, "client/c", attached("c"))
}
