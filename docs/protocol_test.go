package docs_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"iotwire/mqtt/dissect"
)

var protocol = page{path: "protocol.md", least: 30}

// Each file, function and statement that the page points at exists.
func TestThePagePointsAtWhatExists(t *testing.T) {
	text, err := os.ReadFile(protocol.path)
	if err != nil {
		t.Fatal(err)
	}
	functions := 0
	for _, m := range regexp.MustCompile("\\[(`?)([^\\]`]*)`?\\]\\(([^)#]*)(#[^)]*)?\\)").FindAllStringSubmatch(string(text), -1) {
		code, name, target, anchor := m[1] != "", m[2], m[3], strings.TrimPrefix(m[4], "#")
		switch {
		case strings.HasPrefix(target, "http"):
		case target == "":
			if !slices.Contains(anchors(string(text)), anchor) {
				t.Errorf("[%s]: the page has no heading #%s", name, anchor)
			}
		case !code:
			if _, err := os.Stat(filepath.FromSlash(target)); err != nil {
				t.Errorf("[%s]: %v", name, err)
			}
		default:
			functions++
			if !declares(t, target, name) {
				t.Errorf("%s does not declare %s", target, name)
			}
		}
	}
	statements := regexp.MustCompile(`MQTT-\d[\d.-]*\d|--spec \d[\d.-]*\d`).FindAllString(string(text), -1)
	for _, id := range statements {
		if len(dissect.StatementsOf(strings.TrimPrefix(id, "--spec "))) == 0 {
			t.Errorf("there is no statement %s", id)
		}
	}
	if functions < 20 || len(statements) < 20 {
		t.Errorf("found %d functions and %d statements", functions, len(statements))
	}
}

// anchors are those of the headings, as GitHub makes them.
func anchors(text string) (all []string) {
	for _, m := range regexp.MustCompile(`(?m)^#+ (.*)$`).FindAllStringSubmatch(text, -1) {
		anchor := regexp.MustCompile(`[^a-z0-9 _-]`).ReplaceAllString(strings.ToLower(m[1]), "")
		all = append(all, strings.ReplaceAll(anchor, " ", "-"))
	}
	return all
}

// declares reports whether a Go file declares this function, method or type.
func declares(t *testing.T, file, name string) bool {
	t.Helper()
	parsed, err := parser.ParseFile(token.NewFileSet(), filepath.FromSlash(file), nil, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	return slices.ContainsFunc(parsed.Decls, func(d ast.Decl) bool {
		switch d := d.(type) {
		case *ast.FuncDecl:
			return d.Name.Name == name
		case *ast.GenDecl:
			return slices.ContainsFunc(d.Specs, func(s ast.Spec) bool {
				typ, ok := s.(*ast.TypeSpec)
				return ok && typ.Name.Name == name
			})
		}
		return false
	})
}
