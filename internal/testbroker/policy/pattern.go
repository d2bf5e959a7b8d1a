package policy

import (
	"strings"
	"unicode/utf8"
)

// pattern is a text of a policy, compiled: characters, wildcards and variables.
type pattern []token

type token struct {
	kind tokenKind
	text string // of literal
	key  *key   // of variable
}

type tokenKind uint8

const (
	literal  tokenKind = iota // the characters of text
	anyOne                    // ? one character
	anyRun                    // * any number of characters, none too
	variable                  // ${key}
)

// wildcards compiles a text without variables.
func wildcards(text string) (p pattern) {
	for text != "" {
		n := strings.IndexAny(text, "*?")
		if n < 0 {
			n = len(text)
		}
		p = p.literal(text[:n])
		if text = text[n:]; text != "" {
			p = p.wildcard(text[0])
			text = text[1:]
		}
	}
	return p
}

func (p pattern) literal(text string) pattern {
	if text == "" {
		return p
	}
	if last := len(p) - 1; last >= 0 && p[last].kind == literal {
		p[last].text += text
		return p
	}
	return append(p, token{kind: literal, text: text})
}

func (p pattern) wildcard(c byte) pattern {
	if c == '?' {
		return append(p, token{kind: anyOne})
	}
	if last := len(p) - 1; last >= 0 && p[last].kind == anyRun {
		return p // two stars say no more than one
	}
	return append(p, token{kind: anyRun})
}

// match reports whether p, which has no variables, matches all of text. It goes back to the last star only: where a
// later star can be reached, no other end of the earlier ones could help. So the work is at most the product of the two
// lengths.
func (p pattern) match(text string) bool {
	at, next := 0, 0            // what is left is text[at:] and p[next:]
	restart, afterStar := 0, -1 // where the last star began, or ends one character later at each try
	for next < len(p) || at < len(text) {
		if next < len(p) {
			switch t := &p[next]; t.kind {
			case anyRun:
				next++
				if next == len(p) {
					return true
				}
				restart, afterStar = at, next
				continue
			case anyOne:
				if at < len(text) {
					_, width := utf8.DecodeRuneInString(text[at:])
					at += width
					next++
					continue
				}
			case literal:
				if strings.HasPrefix(text[at:], t.text) {
					at += len(t.text)
					next++
					continue
				}
			}
		}
		if afterStar < 0 || restart == len(text) {
			return false
		}
		_, width := utf8.DecodeRuneInString(text[restart:])
		restart += width
		at, next = restart, afterStar
	}
	return true
}

// canStart reports whether p, which is not over before prefix is, can match a text that starts with prefix. A variable
// may have any value.
func (p pattern) canStart(prefix string) bool {
	for _, t := range p {
		switch t.kind {
		case anyRun, variable:
			return true
		case anyOne:
			_, width := utf8.DecodeRuneInString(prefix)
			prefix = prefix[width:]
		case literal:
			if !strings.HasPrefix(prefix, t.text) {
				return strings.HasPrefix(t.text, prefix)
			}
			prefix = prefix[len(t.text):]
		}
	}
	return prefix == ""
}

// cut splits p at its first colons into at most n parts.
func (p pattern) cut(n int) (parts []pattern) {
	var part pattern
	for _, t := range p {
		if t.kind != literal {
			part = append(part, t)
			continue
		}
		text := t.text
		for len(parts) < n-1 {
			before, after, found := strings.Cut(text, ":")
			if !found {
				break
			}
			parts = append(parts, part.literal(before))
			part, text = nil, after
		}
		part = part.literal(text)
	}
	return append(parts, part)
}

// resolve puts values of c in the place of the variables. If one has no value it is returned, with false.
func (p pattern) resolve(c Context) (pattern, key, bool) {
	for i := range p {
		if p[i].kind == variable {
			return p.substitute(c)
		}
	}
	return p, key{}, true
}

func (p pattern) substitute(c Context) (pattern, key, bool) {
	resolved := make(pattern, 0, len(p))
	for _, t := range p {
		if t.kind == variable {
			value, ok := c.substitute(*t.key)
			if !ok {
				return nil, *t.key, false
			}
			t = token{kind: literal, text: value} // wildcards in a value are characters
		}
		resolved = append(resolved, t)
	}
	return resolved, key{}, true
}

// plain returns the characters of p if it has nothing else.
func (p pattern) plain() (string, bool) {
	var b strings.Builder
	for _, t := range p {
		if t.kind != literal {
			return "", false
		}
		b.WriteString(t.text)
	}
	return b.String(), true
}
