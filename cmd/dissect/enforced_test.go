package main

import (
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"iotwire/mqtt/dissect"
)

var update = flag.Bool("update", false, "write enforced.tsv")

// enforcers are the folders whose code names the statements that it obeys or checks, and what that code is.
var enforcers = []struct{ folder, kind string }{
	{"mqtt/packet", "client"}, {"mqtt", "client"}, {"mqtt/filestore", "client"},
	{"internal/testbroker", "broker"},
}

// testers are the files and folders of tests, and what a test there shows.
var testers = []struct{ pattern, kind string }{
	{"mqtt/dissect/badpackets_test.go", "dissect"}, {"mqtt/dissect/session_test.go", "dissect"},
	{"mqtt/packet/*_test.go", "test"}, {"mqtt/*_test.go", "test"}, {"iot/*_test.go", "test"},
	{"internal/testbroker/*_test.go", "test"},
}

var (
	statementID = regexp.MustCompile(`MQTT-\d[\d.-]*\d`)
	testOf      = regexp.MustCompile(`^TestMQTT_(\d+)_(\d+)_(\d+)_(\d+)$`)
)

// enforced reads the source, and returns the table as it is now.
func enforced(t *testing.T) string {
	t.Helper()
	rows := map[string]bool{} // "id\tkind\tfile\tname"
	for _, e := range enforcers {
		for _, file := range sourceFiles(t, e.folder+"/*.go") {
			if strings.HasSuffix(file, "_test.go") || file == "mqtt/packet/error.go" { // which names one as an example
				continue
			}
			eachDeclaration(t, file, func(name, text string) {
				for _, id := range statementID.FindAllString(text, -1) {
					rows[row(t, id, e.kind, file, name)] = true
				}
			})
		}
	}
	for _, e := range testers {
		for _, file := range sourceFiles(t, e.pattern) {
			eachDeclaration(t, file, func(name, text string) {
				if e.kind == "dissect" {
					for _, id := range statementID.FindAllString(text, -1) {
						if name == "badPackets" {
							rows[row(t, id, e.kind, file, "TestFlagsBadPackets")] = true
						} else if strings.HasSuffix(file, "/session_test.go") && strings.HasPrefix(name, "Test") {
							rows[row(t, id, e.kind, file, name)] = true
						}
					}
				} else if m := testOf.FindStringSubmatch(name); m != nil {
					rows[row(t, fmt.Sprintf("%s.%s.%s-%s", m[1], m[2], m[3], m[4]), e.kind, file, name)] = true
				}
			})
		}
	}
	var b strings.Builder
	sorted := make([]string, 0, len(rows))
	for r := range rows {
		sorted = append(sorted, r)
	}
	slices.Sort(sorted)
	for s := range dissect.Statements() {
		for _, r := range sorted {
			if strings.HasPrefix(r, s.ID+"\t") {
				b.WriteString(r + "\n")
			}
		}
	}
	return b.String()
}

// row is a line of the table, with the id as the standard spells it.
func row(t *testing.T, id, kind, file, name string) string {
	found := dissect.StatementsOf(id)
	if len(found) != 1 {
		t.Errorf("%s, %s: there is no statement %s", file, name, id)
		return ""
	}
	return strings.Join([]string{found[0].ID, kind, file, name}, "\t")
}

func sourceFiles(t *testing.T, pattern string) (files []string) {
	t.Helper()
	found, err := filepath.Glob(filepath.Join("..", "..", filepath.FromSlash(pattern)))
	if err != nil || len(found) == 0 {
		t.Fatalf("%s: no files, %v", pattern, err)
	}
	for _, f := range found {
		files = append(files, strings.TrimPrefix(filepath.ToSlash(f), "../../"))
	}
	return files
}

// eachDeclaration calls f with the name and the text of each declaration of a file, comments in front of it included, and
// with the file's own comments under the name of its package.
func eachDeclaration(t *testing.T, file string, f func(name, text string)) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", filepath.FromSlash(file)))
	if err != nil {
		t.Fatal(err)
	}
	set := token.NewFileSet()
	parsed, err := parser.ParseFile(set, file, text, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	begin := set.Position(parsed.Name.End()).Offset
	f("package "+path.Base(path.Dir(file)), string(text[:begin]))
	for i, d := range parsed.Decls {
		end := len(text)
		if i+1 < len(parsed.Decls) {
			end = set.Position(d.End()).Offset
		}
		f(nameOf(d), string(text[begin:end]))
		begin = end
	}
}

// nameOf is a function's name, with its type in front if it is a method, or the first name of another declaration.
func nameOf(d ast.Decl) string {
	switch d := d.(type) {
	case *ast.FuncDecl:
		if d.Recv == nil {
			return d.Name.Name
		}
		receiver := d.Recv.List[0].Type
		if star, ok := receiver.(*ast.StarExpr); ok {
			receiver = star.X
		}
		if typ, ok := receiver.(*ast.Ident); ok {
			return typ.Name + "." + d.Name.Name
		}
		return d.Name.Name
	case *ast.GenDecl:
		for _, spec := range d.Specs {
			switch spec := spec.(type) {
			case *ast.TypeSpec:
				return spec.Name.Name
			case *ast.ValueSpec:
				return spec.Names[0].Name
			}
		}
	}
	return "imports"
}

// The table of --spec is what the source says today.
func TestEnforcedTable(t *testing.T) {
	got := enforced(t)
	if *update {
		if err := os.WriteFile("enforced.tsv", []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(strings.Split(strings.ReplaceAll(enforcedTable, "\r", ""), "\n"), strings.Split(got, "\n")); diff != "" {
		t.Errorf("enforced.tsv is out of date: go test ./cmd/dissect -run EnforcedTable -update\n%s", diff)
	}
}

// Every statement is enforced somewhere, by code or by a test that it cannot be broken, or there is a reason.
func TestSpecSaysWhereEachStatementIsEnforced(t *testing.T) {
	for s := range dissect.Statements() {
		places := 0
		for _, w := range wordsFor {
			places += len(placesOf(s.ID, w.kind))
		}
		if nowhere[s.ID] == "" && places == 0 || nowhere[s.ID] != "" && places > 0 {
			t.Errorf("%s (%s, client: %s): %d places, and the reason for none is %q", s.ID, s.Who, s.Role, places, nowhere[s.ID])
		}
	}
}
