package policy

import (
	"slices"
	"strings"
)

// condition is one key of one operator of a Condition block. All conditions of a statement must hold.
type condition struct {
	text     string // as a reader knows it: StringEquals iot:ClientId "a"
	operator *operator
	quantity quantity
	ifExists bool
	key      key
	used     []key        // the variables in the values
	values   []comparison // one for each value of the policy
	exists   bool         // what the operator Null asks for
}

// quantity is what a policy says about the several values that a key may have.
type quantity uint8

const (
	oneValue quantity = iota
	forAllValues
	forAnyValue
)

// comparison compares a value of the request with one of the policy.
type comparison func(got string, c Context) outcome

// holds says whether the condition holds.
//
// A key that has no value makes it false, and true if the operator is negated, ends in IfExists, or is for all values.
// AWS recommends none and all for keys that have several values; with neither, one that matches is enough.
func (n *condition) holds(c Context) outcome {
	got := c.values(n.key)
	if n.quantity != oneValue && slices.Contains(got, "") {
		got = slices.DeleteFunc(slices.Clone(got), func(s string) bool { return s == "" }) // an empty string is an empty set, says the IAM guide
	}
	switch {
	case n.operator.null:
		return outcomeOf(n.exists == (len(got) > 0))
	case len(got) == 0 && n.ifExists:
		return yes
	case len(got) == 0 && n.quantity != oneValue:
		return outcomeOf(n.quantity == forAllValues)
	}
	if n.quantity == forAllValues || n.quantity == oneValue && n.operator.negated {
		all := yes
		for _, value := range got {
			all = min(all, n.holdsFor(value, c))
		}
		return all
	}
	one := no
	for _, value := range got {
		one = max(one, n.holdsFor(value, c))
	}
	return one
}

// holdsFor is holds for one value of the key.
func (n *condition) holdsFor(got string, c Context) outcome {
	one := no
	for _, compare := range n.values {
		one = max(one, compare(got, c))
	}
	switch {
	case n.operator.negated:
		return one.not()
	case one == unresolved:
		return no // a variable without a value matches nothing
	}
	return one
}

// parseCondition reads one member of an operator's block.
func (p *parser) parseCondition(operatorName string, o *operator, q quantity, ifExists bool, m member) (*condition, error) {
	k, err := parseKey(m.key.text)
	if err != nil {
		return nil, p.mistake(m.key.start, "unknown condition key %v", err)
	}
	n := &condition{operator: o, quantity: q, ifExists: ifExists, key: k}
	values := m.value.elements
	if m.value.kind != jsonArray {
		values = []value{m.value}
	}
	var shown []string
	for _, v := range values {
		switch v.kind {
		case jsonString:
		case jsonNumber, jsonBoolean:
			v.text = v.raw // IAM reads 5 and true like "5" and "true"
		default:
			return nil, p.mistake(v.start, "expected a string, a number or a boolean for %s, or an array of them, found %v", m.key.text, v.kind)
		}
		if o.null {
			if n.exists, err = p.parseNull(v, len(values)); err != nil {
				return nil, err
			}
		} else {
			compare, err := o.compile(p, v)
			if err != nil {
				return nil, err
			}
			n.values = append(n.values, compare)
			n.used = append(n.used, p.variablesOf(v)...)
		}
		shown = append(shown, quote(v.text))
	}
	if o.null && len(values) == 0 {
		return nil, p.mistake(m.value.start, `expected "true" or "false" for Null, found an empty array`)
	}
	const most = 3
	if len(shown) > most {
		shown = append(shown[:most], "...")
	}
	n.text = operatorName + " " + k.text + " " + strings.Join(shown, ", ")
	if len(shown) == 0 {
		n.text += "[]"
	}
	return n, nil
}

// variablesOf returns the variables of a value that has been compiled.
func (p *parser) variablesOf(v value) (all []key) {
	t, _ := p.template(v, false)
	for _, token := range t {
		if token.kind == variable {
			all = append(all, *token.key)
		}
	}
	return all
}

// missing returns the first variable in the values of the policy that has no value, or false.
func (n *condition) missing(c Context) (key, bool) {
	for _, k := range n.used {
		if _, ok := c.substitute(k); !ok {
			return k, true
		}
	}
	return key{}, false
}

// parseNull reads the value of the operator Null: true means that the key must not be there.
func (p *parser) parseNull(v value, of int) (exists bool, err error) {
	switch {
	case of > 1:
		return false, p.mistake(v.start, `Null takes one value, "true" or "false"`)
	case strings.EqualFold(v.text, "true"):
		return false, nil
	case strings.EqualFold(v.text, "false"):
		return true, nil
	}
	return false, p.mistake(v.start, `expected "true" (the key is not there) or "false" (it is) for Null, found %s`, quote(v.text))
}
