package policy

// Request is what is to be decided.
type Request struct {
	Action Action

	// Resource is the ARN that the action is about, such as that of topic/a/b for [Publish] or of topicfilter/a/# for
	// [Subscribe]; see [Home.ARN]. Of an action on the whole account it is "*".
	Resource string

	Context Context // may be nil
}

// Decision says whether a request is allowed, and on demand why.
type Decision struct {
	Allowed bool

	// Statement is the one that decided: the first that denies, else the first that allows. It is nil if none applies,
	// and the request is denied for that.
	Statement *Statement

	documents []*Document
	request   Request
}

// Evaluate decides about r by all statements of all documents, those of one certificate. Their order does not matter. A
// statement with Deny that applies wins over any with Allow, and nothing is allowed without one. It takes time in
// proportion to the size of the documents times the length of the resource, at most.
func Evaluate(documents []*Document, r Request) Decision {
	d := Decision{documents: documents, request: r}
	resource, _ := cutARN(r.Resource) // of anything else no part matches any pattern but "*"
	for _, document := range documents {
		for _, s := range document.Statements {
			if d.Allowed && s.Effect == Allow || !s.applies(r.Action, &resource, r.Context) {
				continue
			}
			d.Statement = s
			if d.Allowed = s.Effect == Allow; !d.Allowed {
				return d
			}
		}
	}
	return d
}

// applies reports whether s is about a request. What depends on a variable without a value denies, and does not allow.
func (s *Statement) applies(a Action, resource *arn, c Context) bool {
	if !s.actions.has(a) {
		return false
	}
	o, _ := s.covers(resource, c)
	for _, n := range s.conditions {
		if o == no {
			return false
		}
		o = min(o, n.holds(c))
	}
	return o == yes || o == unresolved && s.Effect == Deny
}

// covers says whether the resource is one that s is about, or else which variable it lacks to be one.
func (s *Statement) covers(resource *arn, c Context) (outcome, key) {
	one, missing := no, key{}
	for i := range s.resources {
		o, k := s.resources[i].match(resource, c)
		if o == yes {
			one = yes
			break
		}
		if o == unresolved {
			one, missing = unresolved, k
		}
	}
	switch {
	case s.notResource:
		return one.not(), missing
	case one == unresolved:
		return no, missing // a variable without a value matches nothing
	}
	return one, missing
}
