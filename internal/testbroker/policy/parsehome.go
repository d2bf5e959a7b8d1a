package policy

import (
	"strings"
)

// checkHome refuses an ARN whose region or account no ARN of AWS has, which would match nothing: one with placeholders
// that were left as they are, above all.
func (p *parser) checkHome(v value, r *arnPattern) error {
	if r.all || len(r.readings) == 0 {
		return nil
	}
	for _, parts := range r.readings {
		if parts[regionPart].canBeRegion() && parts[accountPart].canBeAccount() {
			return nil
		}
	}
	wrong, at := regionPart, v.start
	if r.readings[0][regionPart].canBeRegion() {
		wrong = accountPart
	}
	text, _ := r.readings[0][wrong].plain()
	if a, ok := cutARN(v.text); ok {
		text = a[wrong]
		at = v.offset(len(strings.Join(a[:wrong], ":")) + 1)
	}
	switch {
	case text == "REGION" || text == "ACCOUNT":
		return p.mistake(at, "put your own region and account in place of REGION and ACCOUNT")
	case wrong == regionPart:
		return p.mistake(at, "%s is no region: put your own in its place, such as eu-west-1, or '*'", quote(text))
	}
	return p.mistake(at, "%s is no account, which has 12 digits: put your own in its place, or '*'", quote(text))
}

// canBeAccount reports whether a number of 12 digits matches p. A variable may be any.
func (p pattern) canBeAccount() bool {
	const digits = 12
	count, run := 0, false
	for _, t := range p {
		switch t.kind {
		case literal:
			if strings.Trim(t.text, "0123456789") != "" {
				return false
			}
			count += len(t.text)
		case anyOne:
			count++
		default:
			run = true
		}
	}
	return count == digits || run && count < digits
}

// canBeRegion reports whether p, if it has no wildcard, is formed like a region: us-gov-west-1. If it has one, its
// characters have to be those of regions.
func (p pattern) canBeRegion() bool {
	text, plain := p.plain()
	if !plain {
		for _, t := range p {
			if t.kind == literal && strings.Trim(t.text, "abcdefghijklmnopqrstuvwxyz-0123456789") != "" {
				return false
			}
		}
		return true
	}
	words := strings.Split(text, "-")
	number := words[len(words)-1]
	for _, word := range words[:len(words)-1] {
		if word == "" || strings.Trim(word, "abcdefghijklmnopqrstuvwxyz") != "" {
			return false
		}
	}
	return len(words) >= 3 && number != "" && strings.Trim(number, "0123456789") == ""
}
