package policy

import (
	"errors"
	"math"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// operator is a condition operator without what stands around it, ForAllValues: and IfExists.
type operator struct {
	name    string
	negated bool // the values of the policy are those that must not match
	null    bool
	compile func(p *parser, v value) (comparison, error)
}

// operators are those of the IAM user guide, but for BinaryEquals: no key of AWS IoT is binary.
var operators = []operator{
	{name: "StringEquals", compile: compileString},
	{name: "StringNotEquals", compile: compileString, negated: true},
	{name: "StringEqualsIgnoreCase", compile: compileFold},
	{name: "StringNotEqualsIgnoreCase", compile: compileFold, negated: true},
	{name: "StringLike", compile: compileLike},
	{name: "StringNotLike", compile: compileLike, negated: true},
	{name: "ArnEquals", compile: compileARN}, // the same as ArnLike, says the IAM guide
	{name: "ArnNotEquals", compile: compileARN, negated: true},
	{name: "ArnLike", compile: compileARN},
	{name: "ArnNotLike", compile: compileARN, negated: true},
	{name: "Bool", compile: compileBool},
	{name: "NumericEquals", compile: compileNumber(func(order int) bool { return order == 0 })},
	{name: "NumericNotEquals", compile: compileNumber(func(order int) bool { return order == 0 }), negated: true},
	{name: "NumericLessThan", compile: compileNumber(func(order int) bool { return order < 0 })},
	{name: "NumericLessThanEquals", compile: compileNumber(func(order int) bool { return order <= 0 })},
	{name: "NumericGreaterThan", compile: compileNumber(func(order int) bool { return order > 0 })},
	{name: "NumericGreaterThanEquals", compile: compileNumber(func(order int) bool { return order >= 0 })},
	{name: "DateEquals", compile: compileDate(func(order int) bool { return order == 0 })},
	{name: "DateNotEquals", compile: compileDate(func(order int) bool { return order == 0 }), negated: true},
	{name: "DateLessThan", compile: compileDate(func(order int) bool { return order < 0 })},
	{name: "DateLessThanEquals", compile: compileDate(func(order int) bool { return order <= 0 })},
	{name: "DateGreaterThan", compile: compileDate(func(order int) bool { return order > 0 })},
	{name: "DateGreaterThanEquals", compile: compileDate(func(order int) bool { return order >= 0 })},
	{name: "IpAddress", compile: compileAddress},
	{name: "NotIpAddress", compile: compileAddress, negated: true},
	{name: "Null", null: true},
}

// parseOperator reads the name of an operator with what may stand around it.
func (p *parser) parseOperator(v value) (o *operator, q quantity, ifExists bool, err error) {
	name := v.text
	if rest, ok := strings.CutPrefix(name, "ForAllValues:"); ok {
		name, q = rest, forAllValues
	} else if rest, ok := strings.CutPrefix(name, "ForAnyValue:"); ok {
		name, q = rest, forAnyValue
	}
	name, ifExists = strings.CutSuffix(name, "IfExists")
	for i := range operators {
		if o := &operators[i]; o.name == name {
			if o.null && (q != oneValue || ifExists) {
				return nil, 0, false, p.mistake(v.start, "%s: Null stands alone, without ForAllValues, ForAnyValue and IfExists", quote(v.text))
			}
			return o, q, ifExists, nil
		}
	}
	return nil, 0, false, p.unknownOperator(v)
}

func (p *parser) unknownOperator(v value) error {
	var names []string
	for _, o := range operators {
		for _, prefix := range []string{"", "ForAllValues:", "ForAnyValue:"} {
			names = append(names, prefix+o.name, prefix+o.name+"IfExists")
		}
	}
	if guess := nearest(v.text, names); guess != "" {
		return p.mistake(v.start, "unknown condition operator %s; did you mean %s?", quote(v.text), guess)
	}
	return p.mistake(v.start, "unknown condition operator %s: there are StringEquals, StringLike, ArnLike, Bool, "+
		"NumericEquals, DateLessThan, IpAddress, Null and others like these", quote(v.text))
}

func compileString(p *parser, v value) (comparison, error) { return p.compareText(v, false) }

func compileLike(p *parser, v value) (comparison, error) { return p.compareText(v, true) }

// compareText compares texts, with the wildcards of v or without.
func (p *parser) compareText(v value, wild bool) (comparison, error) {
	want, err := p.template(v, wild)
	if err != nil {
		return nil, err
	}
	return func(got string, c Context) outcome {
		resolved, _, ok := want.resolve(c)
		if !ok {
			return unresolved
		}
		return outcomeOf(resolved.match(got))
	}, nil
}

func compileFold(p *parser, v value) (comparison, error) {
	want, err := p.template(v, false)
	if err != nil {
		return nil, err
	}
	return func(got string, c Context) outcome { return equalFold(want, got, c) }, nil
}

// equalFold compares got with a text that has no wildcards.
func equalFold(want pattern, got string, c Context) outcome {
	resolved, _, ok := want.resolve(c)
	if !ok {
		return unresolved
	}
	text, _ := resolved.plain()
	return outcomeOf(strings.EqualFold(text, got))
}

func compileARN(p *parser, v value) (comparison, error) {
	compiled, err := p.template(v, true)
	if err != nil {
		return nil, err
	}
	want, ok := newARNPattern(v.text, compiled)
	if !ok || !want.all && !strings.HasPrefix(v.text, "arn:") {
		return nil, p.mistake(v.start, "%s is no ARN; write arn:aws:iot:REGION:ACCOUNT:topic/NAME, with '*' for parts that do not matter", quote(v.text))
	}
	if err := p.checkHome(v, &want); err != nil {
		return nil, err
	}
	p.conditionHome.learn(&want)
	return func(got string, c Context) outcome {
		a, ok := cutARN(got)
		if !ok {
			return no
		}
		o, _ := want.match(&a, c)
		return o
	}, nil
}

func compileBool(p *parser, v value) (comparison, error) {
	want, err := p.template(v, false)
	if err != nil {
		return nil, err
	}
	if text, ok := want.plain(); ok && !strings.EqualFold(text, "true") && !strings.EqualFold(text, "false") {
		return nil, p.mistake(v.start, `expected "true" or "false" for Bool, found %s`, quote(v.text))
	}
	return func(got string, c Context) outcome { return equalFold(want, got, c) }, nil
}

// compileNumber makes the comparisons of numbers: holds says which orders of the request's number and the policy's do.
func compileNumber(holds func(order int) bool) func(p *parser, v value) (comparison, error) {
	return func(p *parser, v value) (comparison, error) {
		if err := p.noVariable(v, "a number"); err != nil {
			return nil, err
		}
		want, err := parseNumber(v.text)
		if err != nil {
			return nil, p.mistake(v.start, "%s is no number", quote(v.text))
		}
		return func(got string, _ Context) outcome {
			n, err := parseNumber(got)
			return outcomeOf(err == nil && holds(n.compare(want)))
		}, nil
	}
}

// decimal is a number: exact if it is whole and has not more than 18 digits.
type decimal struct {
	whole int64
	float float64
	exact bool
}

func parseNumber(text string) (decimal, error) {
	if strings.Trim(text, "+-.0123456789eE") != "" {
		return decimal{}, errors.New("not a decimal number")
	}
	whole, err := strconv.ParseInt(text, 10, 64)
	if err == nil {
		return decimal{whole: whole, float: float64(whole), exact: true}, nil
	}
	float, err := strconv.ParseFloat(text, 64)
	if math.IsInf(float, 0) {
		return decimal{}, errors.New("too large a number")
	}
	return decimal{float: float}, err
}

// compare returns a negative number if d is less than e, a positive one if it is greater.
func (d decimal) compare(e decimal) int {
	switch {
	case d.exact && e.exact && d.whole < e.whole, (!d.exact || !e.exact) && d.float < e.float:
		return -1
	case d.exact && e.exact && d.whole > e.whole, (!d.exact || !e.exact) && d.float > e.float:
		return 1
	}
	return 0
}

// compileDate is compileNumber for points in time.
func compileDate(holds func(order int) bool) func(p *parser, v value) (comparison, error) {
	return func(p *parser, v value) (comparison, error) {
		if err := p.noVariable(v, "a date"); err != nil {
			return nil, err
		}
		want, ok := parseDate(v.text)
		if !ok {
			return nil, p.mistake(v.start, "%s is no date; write 2026-01-31, 2026-01-31T12:00:00Z or seconds since 1970", quote(v.text))
		}
		return func(got string, _ Context) outcome {
			t, ok := parseDate(got)
			return outcomeOf(ok && holds(t.Compare(want)))
		}, nil
	}
}

// parseDate reads the forms of ISO 8601 that the W3C lists, and seconds since 1970. A day without zone is one of UTC.
func parseDate(text string) (time.Time, bool) {
	for _, layout := range []string{time.RFC3339, "2006-01-02T15:04Z07:00", "2006-01-02", "2006-01"} {
		if t, err := time.Parse(layout, text); err == nil {
			return t, true
		}
	}
	const most = 1 << 40 // the year 36812: beyond it time.Time does not count right
	seconds, err := strconv.ParseInt(text, 10, 64)
	return time.Unix(seconds, 0), err == nil && -most < seconds && seconds < most
}

// compileAddress compares an address with one, or with a range in CIDR form.
func compileAddress(p *parser, v value) (comparison, error) {
	if err := p.noVariable(v, "an IP address"); err != nil {
		return nil, err
	}
	want, err := netip.ParsePrefix(v.text)
	if err != nil {
		address, err := netip.ParseAddr(v.text)
		if err != nil || address.Zone() != "" {
			return nil, p.mistake(v.start, "%s is no IP address and no range of them; write 203.0.113.7, 203.0.113.0/24 or 2001:db8::/32", quote(v.text))
		}
		want = netip.PrefixFrom(address.Unmap(), address.Unmap().BitLen())
	}
	return func(got string, _ Context) outcome {
		address, err := netip.ParseAddr(got)
		return outcomeOf(err == nil && want.Contains(address.Unmap().WithZone("")))
	}, nil
}

// noVariable refuses a variable where IAM does not replace any.
func (p *parser) noVariable(v value, what string) error {
	if i := strings.Index(v.text, "${"); i >= 0 {
		return p.mistake(v.offset(i), "a variable cannot stand for %s: only values of String, Arn and Bool operators have variables", what)
	}
	return nil
}
