package policy

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// Reason says in one line which statement decided, or which action on which ARN no statement allows and why the nearest
// ones do not. It uses the context of the request, as it is now.
func (d Decision) Reason() string {
	return oneLine(d.reason())
}

func (d Decision) reason() string {
	asked := fmt.Sprintf("%v on %s", d.request.Action, d.request.Resource)
	switch {
	case d.Allowed:
		return fmt.Sprintf("%v allows %s", d.Statement, asked)
	case d.Statement != nil:
		return fmt.Sprintf("%v denies %s, and a Deny wins over every Allow%s", d.Statement, asked, d.Statement.inDoubt(d.request))
	case len(d.documents) == 0:
		return fmt.Sprintf("no policy allows %s: there is none", asked)
	}
	reason := "no statement allows " + asked
	misses, shown := d.misses(), 2
	separator := ": "
	if !d.anyAllowHasTheAction() {
		reason += fmt.Sprintf(": no Allow has %v", d.request.Action)
		separator, shown = "; ", 1
	}
	for _, m := range misses[:min(len(misses), shown)] {
		reason += separator + m.text
		separator = "; "
	}
	switch more := len(misses) - shown; {
	case more == 1:
		reason += "; 1 more statement does not match either"
	case more > 1:
		reason += fmt.Sprintf("; %d more statements do not match either", more)
	}
	return reason
}

// inDoubt explains a Deny that applies only because a variable has no value.
func (s *Statement) inDoubt(r Request) string {
	resource, _ := cutARN(r.Resource)
	o, missing := s.covers(&resource, r.Context)
	for _, n := range s.conditions {
		if k, ok := n.missing(r.Context); ok && n.holds(r.Context) == unresolved {
			o, missing = unresolved, k
		}
	}
	if o != unresolved {
		return ""
	}
	return ": " + missing.without(r.Context) + ", so it excepts nothing"
}

// Suggestion returns the JSON text of the smallest statement that would allow the request if a policy with Version
// 2012-10-17 had it. It is empty if the request is allowed, and if a Deny decided: then no further statement helps.
func (d Decision) Suggestion() string {
	if d.Statement != nil || !utf8.ValidString(d.request.Resource) {
		return ""
	}
	statement := struct {
		Effect   string
		Action   string
		Resource string
	}{Allow.String(), d.request.Action.String(), escape(d.request.Resource)}
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(statement); err != nil {
		return ""
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// escape writes an ARN so that a policy means this one alone.
func escape(resource string) string {
	if resource == "*" {
		return resource
	}
	return strings.NewReplacer("*", "${*}", "?", "${?}", "${", "${$}{").Replace(resource)
}

// miss says why a statement does not allow a request, though it looks as if it were about it.
type miss struct {
	text     string
	distance int // the less, the nearer to allowing it
	shared   int // characters that the resource has in common with the request's
}

// The distances of misses.
const (
	conditionFails = iota
	variableMissing
	otherType
	otherHome
	otherCase
	wildcardIsLiteral
	otherResource
)

// anyAllowHasTheAction reports whether the action is in one statement at least that allows.
func (d Decision) anyAllowHasTheAction() bool {
	for _, document := range d.documents {
		if slices.ContainsFunc(document.Statements, func(s *Statement) bool { return s.Effect == Allow && s.actions.has(d.request.Action) }) {
			return true
		}
	}
	return false
}

// misses returns the statements with Allow that come near, the nearest first: those that have the action, or if there
// is none those that have the resource.
func (d Decision) misses() (all []miss) {
	resource, isARN := cutARN(d.request.Resource)
	has := d.anyAllowHasTheAction()
	for _, document := range d.documents {
		for _, s := range document.Statements {
			switch {
			case s.Effect != Allow:
			case has && s.actions.has(d.request.Action):
				all = append(all, s.missResource(&resource, d.request).of(s))
			case !has && isARN:
				if o, _ := s.covers(&resource, d.request.Context); o == yes {
					all = append(all, s.missAction().of(s))
				}
			}
		}
	}
	slices.SortStableFunc(all, func(a, b miss) int {
		return cmp.Or(cmp.Compare(a.distance, b.distance), cmp.Compare(b.shared, a.shared))
	})
	return all
}

// of puts the name of a statement in front.
func (m miss) of(s *Statement) miss {
	m.text = s.String() + " " + m.text
	return m
}

// missAction explains a statement that has the resource.
func (s *Statement) missAction() miss {
	if s.notAction {
		return miss{text: "excepts it with NotAction"}
	}
	return miss{text: fmt.Sprintf("has the resource, but for %v", s.actions)}
}

// missResource explains a statement that has the action.
func (s *Statement) missResource(asked *arn, r Request) miss {
	o, missing := s.covers(asked, r.Context)
	switch {
	case o == yes:
		return s.missCondition(r.Context)
	case o == unresolved:
		return miss{text: "has a NotResource, and " + missing.without(r.Context), distance: variableMissing}
	case s.notResource:
		return miss{text: "excepts it with NotResource " + s.names(), distance: otherResource}
	case missing.name != "":
		return miss{text: "has " + lastPart(s.textWith(missing)) + ", and " + missing.without(r.Context), distance: variableMissing}
	}
	nearest := miss{text: "has " + s.names(), distance: otherResource}
	for i := range s.resources {
		if m := s.resources[i].miss(asked, r); m.distance < nearest.distance || m.distance == nearest.distance && m.shared > nearest.shared {
			nearest = m
		}
	}
	if nearest.distance == otherResource {
		nearest.text = "has " + s.names()
	}
	return nearest
}

// names lists the resources of s, without what is the same in all of them.
func (s *Statement) names() string {
	var names []string
	for _, r := range s.resources {
		names = append(names, lastPart(r.text))
	}
	const most = 3
	if len(names) > most {
		names = append(names[:most], fmt.Sprintf("%d more", len(names)-most))
	}
	return list(names, "and")
}

// textWith returns the resource of s that has the variable.
func (s *Statement) textWith(k key) string {
	for _, r := range s.resources {
		if strings.Contains(r.text, "${"+k.text+"}") {
			return r.text
		}
	}
	return ""
}

// without completes a sentence about a statement that has the variable k.
func (k key) without(c Context) string {
	return fmt.Sprintf("the variable ${%s} is not resolved: %s", k.text, c.unresolved(k))
}

// missCondition explains a statement of which only a condition fails.
func (s *Statement) missCondition(c Context) miss {
	m := miss{distance: conditionFails, text: "has a condition that does not hold"}
	for _, n := range s.conditions {
		if n.holds(c) == yes {
			continue
		}
		m.text = fmt.Sprintf("asks for %s, and %s has ", n.text, n.key.text)
		var got []string
		for _, value := range c.values(n.key) {
			got = append(got, quote(value))
		}
		if len(got) == 0 {
			m.text += "no value"
		} else {
			m.text += list(got, "and")
		}
		if k, ok := n.missing(c); ok {
			m.text += "; " + k.without(c)
		}
		break
	}
	return m
}

// miss explains a pattern that matches no resource of this kind, or another one.
func (p *arnPattern) miss(asked *arn, r Request) miss {
	wantType, wantName, _ := strings.Cut(asked[resourcePart], "/")
	pattern, ok := cutARN(p.text)
	if !ok {
		return miss{distance: otherResource}
	}
	gotType, gotName, _ := strings.Cut(pattern[resourcePart], "/")
	name := pattern[resourcePart]
	m := miss{distance: otherResource, text: "has " + name, shared: common(name, asked[resourcePart])}
	parts := &p.readings[0]
	resolved, _, ok := parts[resourcePart].resolve(r.Context)
	if !ok {
		return m
	}
	switch {
	case resolved.match(asked[resourcePart]):
		m.distance = otherHome
		m.text += fmt.Sprintf(" of %s", otherParts(&pattern, asked))
	case gotType != wantType && resolved.match(gotType+"/"+wantName):
		m.distance = otherType
		m.text += fmt.Sprintf(", and %v needs %s/%s", r.Action, wantType, gotName)
	case fold(resolved).match(strings.ToLower(asked[resourcePart])):
		m.distance = otherCase
		m.text += ", and capital letters count in an ARN"
	case gotType == wantType && strings.ContainsAny(gotName, "+#") && loosen(resolved).match(asked[resourcePart]):
		m.distance = wildcardIsLiteral
		m.text += ", where + and # are no wildcards; a policy has * for them"
	}
	return m
}

// otherParts says in which parts before the resource a pattern differs.
func otherParts(pattern, asked *arn) string {
	var all []string
	for _, part := range []struct {
		name string
		at   int
	}{{"partition", partitionPart}, {"region", regionPart}, {"account", accountPart}} {
		if !wildcards(pattern[part.at]).match(asked[part.at]) {
			all = append(all, fmt.Sprintf("%s %s, not %s", part.name, pattern[part.at], asked[part.at]))
		}
	}
	return list(all, "and")
}

// fold returns p in lower case.
func fold(p pattern) pattern {
	p = slices.Clone(p)
	for i := range p {
		p[i].text = strings.ToLower(p[i].text)
	}
	return p
}

// loosen returns p with '*' for each '+' and '#'.
func loosen(p pattern) (loose pattern) {
	for _, t := range p {
		if t.kind == literal {
			loose = append(loose, wildcards(strings.NewReplacer("+", "*", "#", "*").Replace(t.text))...)
		} else {
			loose = append(loose, t)
		}
	}
	return loose
}

// common counts the bytes with which both begin.
func common(a, b string) int {
	n := 0
	for n < min(len(a), len(b)) && a[n] == b[n] {
		n++
	}
	return n
}
