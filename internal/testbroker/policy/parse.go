package policy

import (
	"strings"
	"unicode"
)

// The limits of AWS IoT Core on a policy document, in characters: without white space, and with it.
const (
	maxCharacters = 2048
	maxLength     = 404600
)

// Parse reads a policy document. The name is for messages: that of the file, say. The document is not kept.
//
// An error is of type [*Error] and tells the first mistake: in JSON, in the grammar, in names of actions, operators,
// keys and variables, in ARNs, a resource on which none of the statement's actions acts, or too many characters. AWS
// IoT Core takes some documents with such mistakes. They then allow less than they seem to.
func Parse(name string, document []byte) (*Document, error) {
	p := &parser{source: &source{name: name, text: string(document)}}
	if err := p.checkLength(); err != nil {
		return nil, err
	}
	root, err := readJSON(p.source)
	if err != nil {
		return nil, err
	}
	return p.document(root)
}

type parser struct {
	*source
	variables bool // the document's Version has them

	resourceHome, conditionHome Home // what the ARNs so far name
}

func (p *parser) checkLength() error {
	characters, length := 0, 0
	for i, c := range p.text {
		if length++; length > maxLength {
			return p.mistake(i, "the document is longer than %d characters", maxLength)
		}
		if unicode.IsSpace(c) {
			continue
		}
		if characters++; characters > maxCharacters {
			return p.mistake(i, "the document has more than %d characters that are not white space; "+
				"attach several policies to the certificate, or use wildcards and variables", maxCharacters)
		}
	}
	return nil
}

func (p *parser) document(root value) (*Document, error) {
	if root.kind != jsonObject {
		return nil, p.mistake(root.start, "expected an object with Version and Statement, found %v", root.kind)
	}
	d := &Document{Name: p.name}
	if err := p.version(root); err != nil {
		return nil, err
	}
	var statements *value
	for _, m := range root.members {
		switch m.key.text {
		case "Version":
		case "Id":
			if err := p.expect(m, jsonString); err != nil {
				return nil, err
			}
		case "Statement":
			statements = &m.value
		default:
			return nil, p.unknownMember(m, "a policy has", "Version", "Id", "Statement")
		}
	}
	if statements == nil {
		return nil, p.mistake(root.start, "the policy has no Statement")
	}
	all := statements.elements
	if statements.kind != jsonArray {
		all = []value{*statements}
	}
	if len(all) == 0 {
		return nil, p.mistake(statements.start, "Statement is empty: a policy has at least one statement")
	}
	for i, v := range all {
		s, err := p.statement(v)
		if err != nil {
			return nil, err
		}
		s.Document, s.Number = p.name, i+1
		d.Statements = append(d.Statements, s)
	}
	d.home = p.resourceHome
	d.home.fill(p.conditionHome)
	return d, nil
}

// version reads the Version, on which the meaning of everything else depends, wherever it stands.
func (p *parser) version(root value) error {
	for _, m := range root.members {
		if m.key.text != "Version" {
			continue
		}
		if err := p.expect(m, jsonString); err != nil {
			return err
		}
		switch m.value.text {
		case "2012-10-17":
			p.variables = true
		case "2008-10-17": // the older language, without variables; so is that of a document without Version
		default:
			return p.mistake(m.value.start, `unknown Version %s: write "2012-10-17"`, quote(m.value.text))
		}
	}
	return nil
}

// expect refuses a member whose value is of another kind.
func (p *parser) expect(m member, k kind) error {
	if m.value.kind != k {
		return p.mistake(m.value.start, "expected %v for %s, found %v", k, m.key.text, m.value.kind)
	}
	return nil
}

func (p *parser) unknownMember(m member, what string, known ...string) error {
	if guess := nearest(m.key.text, known); guess != "" {
		return p.mistake(m.key.start, "unknown key %s; did you mean %s?", quote(m.key.text), guess)
	}
	if m.key.text == "Principal" || m.key.text == "NotPrincipal" {
		return p.mistake(m.key.start, "an AWS IoT policy has no %s: it is about the certificates that it is attached to", m.key.text)
	}
	return p.mistake(m.key.start, "unknown key %s: %s %s", quote(m.key.text), what, list(known, "and"))
}

func (p *parser) statement(v value) (*Statement, error) {
	if v.kind != jsonObject {
		return nil, p.mistake(v.start, "expected a statement, which is an object, found %v", v.kind)
	}
	s := &Statement{}
	s.Line, s.Column = p.position(v.start)
	var effect, action, resource *member
	for i := range v.members {
		m := &v.members[i]
		var err error
		switch m.key.text {
		case "Sid":
			err = p.expect(*m, jsonString)
			s.Sid = m.value.text
		case "Effect":
			effect = m
			s.Effect, err = p.effect(*m)
		case "Action", "NotAction":
			err = p.onlyOne(action, m)
			action = m
		case "Resource", "NotResource":
			err = p.onlyOne(resource, m)
			resource = m
		case "Condition":
			s.conditions, err = p.conditions(*m)
		default:
			err = p.unknownMember(*m, "a statement has", "Sid", "Effect", "Action", "NotAction", "Resource", "NotResource", "Condition")
		}
		if err != nil {
			return nil, err
		}
	}
	switch {
	case effect == nil:
		return nil, p.mistake(v.start, `the statement has no Effect: write "Effect": "Allow" or "Deny"`)
	case action == nil:
		return nil, p.mistake(v.start, "the statement has no Action, and no NotAction")
	case resource == nil:
		return nil, p.mistake(v.start, "the statement has no Resource, and no NotResource")
	}
	if err := p.actions(s, *action); err != nil {
		return nil, err
	}
	return s, p.resources(s, *resource)
}

func (p *parser) effect(m member) (Effect, error) {
	if err := p.expect(m, jsonString); err != nil {
		return 0, err
	}
	for _, e := range []Effect{Allow, Deny} {
		if m.value.text == e.String() {
			return e, nil
		}
	}
	return 0, p.mistake(m.value.start, `expected "Allow" or "Deny" for Effect, found %s`, quote(m.value.text))
}

// onlyOne refuses Action beside NotAction, and Resource beside NotResource.
func (p *parser) onlyOne(first, second *member) error {
	if first == nil {
		return nil
	}
	return p.mistake(second.key.start, "a statement has either %s or %s, not both", first.key.text, second.key.text)
}

// texts returns the strings of a member that is a string or an array of strings.
func (p *parser) texts(m member) ([]value, error) {
	all := m.value.elements
	if m.value.kind != jsonArray {
		all = []value{m.value}
	}
	if len(all) == 0 {
		return nil, p.mistake(m.value.start, "%s is empty", m.key.text)
	}
	for _, v := range all {
		if v.kind != jsonString {
			return nil, p.mistake(v.start, "expected a string for %s, or an array of strings, found %v", m.key.text, v.kind)
		}
	}
	return all, nil
}

func (p *parser) actions(s *Statement, m member) error {
	all, err := p.texts(m)
	if err != nil {
		return err
	}
	for _, v := range all {
		set := matching(v.text)
		if set == 0 {
			return p.mistake(v.start, "%s", unknownAction(v.text))
		}
		s.actions |= set
	}
	if m.key.text == "NotAction" {
		s.notAction = true
		s.actions = everyAction() &^ s.actions
		if s.actions == 0 {
			return p.mistake(m.value.start, "this NotAction leaves no action for the statement")
		}
	}
	return nil
}

func (p *parser) conditions(m member) (all []*condition, err error) {
	if err := p.expect(m, jsonObject); err != nil {
		return nil, err
	}
	for _, block := range m.value.members {
		o, q, ifExists, err := p.parseOperator(block.key)
		if err != nil {
			return nil, err
		}
		if block.value.kind != jsonObject {
			return nil, p.mistake(block.value.start, "expected an object with keys and values for %s, found %v", block.key.text, block.value.kind)
		}
		for _, member := range block.value.members {
			n, err := p.parseCondition(block.key.text, o, q, ifExists, member)
			if err != nil {
				return nil, err
			}
			all = append(all, n)
		}
	}
	return all, nil
}

// template compiles a string with variables, and with '*' and '?' if it may have wildcards. ${*}, ${?} and ${$} are
// these characters themselves.
func (p *parser) template(v value, wild bool) (t pattern, err error) {
	for at := 0; at < len(v.text); {
		rest := v.text[at:]
		switch c := rest[0]; {
		case wild && (c == '*' || c == '?'):
			t = t.wildcard(c)
			at++
			continue
		case !strings.HasPrefix(rest, "${"):
			n := 1 + strings.IndexAny(rest[1:], "$*?")
			if n == 0 {
				n = len(rest)
			}
			t = t.literal(rest[:n])
			at += n
			continue
		}
		end := strings.IndexByte(rest, '}')
		if end < 0 {
			return nil, p.mistake(v.offset(at), "a variable begins here that has no end: a '}' is missing")
		}
		name := rest[len("${"):end]
		if !p.variables {
			return nil, p.mistake(v.offset(at), `${%s} is a variable only in a policy with "Version": "2012-10-17"`, name)
		}
		if name == "*" || name == "?" || name == "$" {
			t = t.literal(name)
		} else {
			k, err := parseKey(name)
			if err != nil {
				return nil, p.mistake(v.offset(at), "unknown variable %v", err)
			}
			t = append(t, token{kind: variable, key: &k})
		}
		at += end + 1
	}
	return t, nil
}
