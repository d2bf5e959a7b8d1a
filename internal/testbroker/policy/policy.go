// Package policy decides, as AWS IoT Core does, whether the policies of a certificate allow an action, and says why.
//
// [Parse] reads a document strictly: a mistake that AWS would store, and that would then silently deny, is an error with
// its line and column. [Evaluate] decides about one [Request]: a statement with Deny that applies wins, else one with
// Allow that applies, else nothing is allowed. The [Decision] explains itself on demand, so that deciding is cheap
// enough for every message.
//
// The language is that of the AWS IoT Core developer guide, and of the IAM user guide where that one refers to it:
//
//   - In a Resource '*' is any run of characters, '/' too, and '?' is one. '+' and '#' are themselves.
//   - Actions and the names of keys are compared without case, ARNs and values with it.
//   - ${iot:ClientId} and the other variables stand for values of the [Context]. Where there is no such value, or AWS
//     does not put it in, the variable matches nothing.
//
// Where the guides are silent the smaller permission is chosen: what is allowed here should be allowed there. So an
// unresolved variable in a NotResource or in a negated condition makes a Deny apply and an Allow not.
package policy

import "fmt"

// Document is a policy, ready to be evaluated. It does not change, so that any number of goroutines may use it.
type Document struct {
	Name       string // as given to Parse
	Statements []*Statement

	home Home // as far as its ARNs name it
}

// Statement is one statement of a document.
type Statement struct {
	Document     string // its name
	Number       int    // its place in the document, from 1
	Sid          string // empty if it has none
	Effect       Effect
	Line, Column int // of its first character, from 1

	actions     actionSet // those that it is about, NotAction resolved
	notAction   bool
	resources   []arnPattern
	notResource bool
	conditions  []*condition
}

// Effect is what a statement does when it applies.
type Effect uint8

const (
	Allow Effect = iota + 1
	Deny
)

func (e Effect) String() string {
	switch e {
	case Allow:
		return "Allow"
	case Deny:
		return "Deny"
	}
	return fmt.Sprintf("Effect(%d)", uint8(e))
}

// String names the statement in a way that finds it: statement 2 "AllowPublish" of policy.json.
func (s *Statement) String() string {
	if s.Sid == "" {
		return fmt.Sprintf("statement %d of %s", s.Number, s.Document)
	}
	return fmt.Sprintf("statement %d %q of %s", s.Number, s.Sid, s.Document)
}
