package policy

import (
	"fmt"
	"unicode/utf8"
)

// Error is a mistake in a policy document, and where it is.
type Error struct {
	Name         string // of the document, as given to Parse
	Line, Column int    // from 1; a column is a character
	Reason       string // what is wrong and what to write instead
}

// Error returns one line: name:line:column: reason.
func (e *Error) Error() string {
	return oneLine(fmt.Sprintf("%s:%d:%d: %s", e.Name, e.Line, e.Column, e.Reason))
}

// source is a document's text with its name, which errors need.
type source struct {
	name, text string
}

// mistake is the error for what stands at a byte of the text.
func (s *source) mistake(offset int, format string, args ...any) error {
	line, column := s.position(offset)
	return &Error{Name: s.name, Line: line, Column: column, Reason: fmt.Sprintf(format, args...)}
}

// position turns an offset in bytes into line and column.
func (s *source) position(offset int) (line, column int) {
	line, start := 1, 0
	for i := range offset {
		if s.text[i] == '\n' {
			line, start = line+1, i+1
		}
	}
	return line, 1 + utf8.RuneCountInString(s.text[start:offset])
}
