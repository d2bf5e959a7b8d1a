package policy

import (
	"slices"
	"strings"
)

// resources reads Resource or NotResource, after the actions.
func (p *parser) resources(s *Statement, m member) error {
	all, err := p.texts(m)
	if err != nil {
		return err
	}
	s.notResource = m.key.text == "NotResource"
	for _, v := range all {
		compiled, err := p.template(v, true)
		if err != nil {
			return err
		}
		r, ok := newARNPattern(v.text, compiled)
		if !r.all {
			if !strings.HasPrefix(v.text, "arn:") {
				return p.mistake(v.start, "%s is no ARN; write %s, or \"*\" for every resource", quote(v.text), exampleARN(v.text, s.actions))
			}
			if !ok {
				return p.mistake(v.start, "%s has fewer than the six parts of an ARN, arn:aws:iot:REGION:ACCOUNT:TYPE/NAME", quote(v.text))
			}
			if err := p.checkParts(v, compiled, s.actions); err != nil {
				return err
			}
			if err := p.checkType(v, &r, s.actions); err != nil {
				return err
			}
			if err := p.checkHome(v, &r); err != nil {
				return err
			}
		}
		p.resourceHome.learn(&r)
		s.resources = append(s.resources, r)
	}
	return nil
}

// exampleARN is what may have been meant by a text that is no ARN.
func exampleARN(text string, set actionSet) string {
	name := strings.TrimLeft(text, "/")
	if first, _, ok := strings.Cut(name, "/"); !ok || !slices.Contains(resourceTypes, first) {
		if types := set.types(); len(types) > 0 {
			name = types[0] + "/" + name
		}
	}
	if len(name) > 80 {
		name = "TYPE/NAME"
	}
	return Home{"aws", "REGION", "ACCOUNT"}.ARN(name)
}

// checkParts looks at what is in front of the resource: no variables, says the IAM guide, and no wildcard for the
// service.
func (p *parser) checkParts(v value, compiled pattern, set actionSet) error {
	parts := compiled.cut(len(arn{}))
	for i, part := range parts[:min(len(parts), resourcePart)] {
		for _, t := range part {
			if t.kind == variable {
				return p.mistake(v.offset(strings.Index(v.text, "${")), "a variable can stand only in the last part of an ARN, after the fifth colon")
			}
		}
		if i > 0 && len(part) == 0 {
			return p.mistake(v.start, "%s has an empty part, and no ARN of AWS IoT has; write '*' for a region or account that does not matter", quote(v.text))
		}
	}
	service := ""
	if len(parts) > servicePart {
		service, _ = parts[servicePart].plain()
	}
	switch {
	case service == "iot", service == "greengrass" && set&greengrass != 0:
		return nil
	case service == "":
		return p.mistake(v.start, "the service of %s cannot be a wildcard; write arn:aws:iot:", quote(v.text))
	}
	return p.mistake(v.start, "%s is an ARN of %s; write arn:aws:iot:", quote(v.text), service)
}

// checkType refuses a resource on which none of the statement's actions acts.
func (p *parser) checkType(v value, r *arnPattern, set actionSet) error {
	types := set.types()
	if set&greengrass != 0 {
		types = append(types, "thing", "")
	}
	for _, parts := range r.readings {
		if service, _ := parts[servicePart].plain(); service != "iot" {
			return nil // an ARN of AWS IoT Greengrass
		}
		for _, t := range types {
			if t != "" && parts[resourcePart].canStart(t+"/") {
				return nil
			}
		}
	}
	name := lastPart(v.text)
	found, rest, slash := strings.Cut(name, "/")
	switch {
	case len(set.types()) == 0:
		return p.mistake(v.start, `%s acts on the whole account: its resource is "*"`, set)
	case !slices.Contains(resourceTypes, found):
		if guess := nearest(found, resourceTypes); guess != "" {
			return p.mistake(v.start, "unknown resource type %s; did you mean %s/?", quote(found), guess)
		}
		return p.mistake(v.start, "unknown resource type %s: %s", quote(found), set.needs(rest))
	case !slash && slices.Contains(types, found):
		return p.mistake(v.start, "%s names no resource: write %[1]s/NAME, or %[1]s/* for all", found)
	}
	return p.mistake(v.start, "%s is wrong for the statement's actions: %s", quote(name), set.needs(rest))
}

// lastPart returns what stands behind the fifth colon of an ARN, or all of it if it has fewer.
func lastPart(text string) string {
	if a, ok := cutARN(text); ok {
		return a[resourcePart]
	}
	return text
}

// needs says which types of resources the actions of s act on: iot:Subscribe needs topicfilter/NAME.
func (s actionSet) needs(name string) string {
	if name == "" || len(name) > 80 {
		name = "NAME"
	}
	var all []string
	for _, t := range s.types() {
		var of actionSet
		for a := Connect; int(a) < len(actions); a++ {
			if s.has(a) && actions[a].resource == t {
				of |= 1 << a
			}
		}
		all = append(all, of.String()+" needs "+t+"/"+name)
	}
	return strings.Join(all, ", ")
}

// String lists the names of the actions.
func (s actionSet) String() string {
	var names []string
	for a := Connect; int(a) < len(actions); a++ {
		if s.has(a) {
			names = append(names, a.String())
		}
	}
	const most = 3
	if len(names) > most {
		names = append(names[:most-1], "others")
	}
	return list(names, "and")
}
