package dissect

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// What this package cites has its text at hand, and all 141 statements have one text each.
func TestStatementsThatAreCitedHaveATextAtHand(t *testing.T) {
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	id := regexp.MustCompile(`^(MQTT-)?(\d(-\d)?(\.\d+)+-\d+|3\.1\.2\.7)$`)
	cited := 0
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") || name == "statements.go" {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			literal, ok := n.(*ast.BasicLit)
			if !ok || literal.Kind != token.STRING {
				return true
			}
			text, err := strconv.Unquote(literal.Value)
			if err != nil {
				t.Fatal(err)
			}
			for _, word := range strings.FieldsFunc(text, func(r rune) bool { return strings.ContainsRune(" []", r) }) {
				if !id.MatchString(word) {
					continue
				}
				if cited++; statementText(word) == "" {
					t.Errorf("%s cites %s: move its text from roles.tsv to statements.tsv", name, word)
				}
			}
			return true
		})
	}
	if cited < 100 {
		t.Errorf("found %d citations", cited)
	}
	all := 0
	for s := range Statements() {
		if all++; len(s.Text) < 20 || strings.Contains(s.Text, "\t") {
			t.Errorf("%s: %q", s.ID, s.Text)
		}
	}
	if all != 141 {
		t.Errorf("%d statements", all)
	}
}
