package mqtt

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write CONFORMANCE.md again")

// untested says why a statement has no test of its own.
var untested = map[string]string{
	"MQTT-7.0.0-2": "nothing to run: it asks to leave things out. The client has no packet, flag or property that the standard lacks",
}

// statement is a row of testdata/statements.tsv: a numbered statement of MQTT 3.1.1, in our own words.
type statement struct {
	id, text, role string
}

// ours reports whether the statement asks a client to do or to check something.
func (s statement) ours() bool { return s.role != "none" }

// testName is how a test of the statement is named: TestMQTT_3_3_1_4 for MQTT-3.3.1-4.
func (s statement) testName() string {
	return "Test" + strings.NewReplacer("-", "_", ".", "_").Replace(strings.Replace(s.id, "MQTT-", "MQTT_", 1))
}

func readStatements(t *testing.T) (all []statement) {
	t.Helper()
	table, err := os.ReadFile("testdata/statements.tsv")
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(string(table)), "\n")
	if lines[0] != "id\ttext\twho\tlayer\tclient role" {
		t.Fatalf("testdata/statements.tsv begins with %q", lines[0])
	}
	for _, line := range lines[1:] {
		fields := strings.Split(line, "\t")
		if len(fields) != 5 {
			t.Fatalf("%d columns, want 5: %q", len(fields), line)
		}
		all = append(all, statement{fields[0], fields[1], fields[4]})
	}
	return all
}

// findTests returns where the tests of these directories are, by name. One that cannot fail does not count.
func findTests(t *testing.T, directories ...string) map[string][]string {
	t.Helper()
	found := map[string][]string{}
	for _, directory := range directories {
		files, err := filepath.Glob(filepath.Join(directory, "*_test.go"))
		if err != nil || len(files) == 0 {
			t.Fatalf("no tests in %s: %v", directory, err)
		}
		for _, name := range files {
			file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
			if err != nil {
				t.Fatal(err)
			}
			for _, d := range file.Decls {
				if f, ok := d.(*ast.FuncDecl); ok && f.Recv == nil && strings.HasPrefix(f.Name.Name, "TestMQTT_") && checks(f) {
					found[f.Name.Name] = append(found[f.Name.Name], filepath.ToSlash(name))
				}
			}
		}
	}
	return found
}

// checks reports whether a test can fail: whether it hands its *testing.T to something, or has it say that it failed, and
// does not skip.
func checks(test *ast.FuncDecl) bool {
	can := false
	ast.Inspect(test.Body, func(n ast.Node) bool {
		call, ok := n.(*ast.CallExpr)
		if !ok {
			return true
		}
		for _, a := range call.Args {
			if name, ok := a.(*ast.Ident); ok && name.Name == "t" {
				can = true
			}
		}
		if method, ok := call.Fun.(*ast.SelectorExpr); ok {
			switch method.Sel.Name {
			case "Error", "Errorf", "Fatal", "Fatalf":
				can = true
			}
		}
		return true
	})
	for _, s := range test.Body.List { // skipped whatever happens
		if x, ok := s.(*ast.ExprStmt); ok {
			if call, ok := x.X.(*ast.CallExpr); ok {
				if method, ok := call.Fun.(*ast.SelectorExpr); ok && strings.HasPrefix(method.Sel.Name, "Skip") {
					return false
				}
			}
		}
	}
	return can
}

func TestEmptyTestDoesNotCount(t *testing.T) {
	for body, want := range map[string]bool{
		"":                          false,
		`t.Log("1")`:                false,
		`t.SkipNow(); t.Fatal("1")`: false,
		`t.Error("1")`:              true,
		"bubble(t, nil)":            true,
		"for range 2 { t.Fatal() }": true,
	} {
		file, err := parser.ParseFile(token.NewFileSet(), "x_test.go", "package x\nfunc TestMQTT_1(t *testing.T) {"+body+"\n}", 0)
		if err != nil {
			t.Fatal(err)
		}
		if got := checks(file.Decls[0].(*ast.FuncDecl)); got != want {
			t.Errorf("a test of %q counts: %v", body, got)
		}
	}
}

// runTests runs the tests of the statements and returns how each ended: "pass", "fail" or "skip", by the directory and
// the name.
func runTests(t *testing.T, directories ...string) map[string]string {
	t.Helper()
	results := map[string]string{}
	for _, directory := range directories {
		out, err := exec.Command("go", "test", "-json", "-run", "^TestMQTT_", "./"+directory).Output()
		if errors.Is(err, exec.ErrNotFound) {
			t.Skip("there is no go command to run the tests of the statements with")
		}
		for line := range bytes.Lines(out) {
			var event struct{ Action, Test string }
			if json.Unmarshal(line, &event) == nil && event.Test != "" {
				results[path.Join(directory, event.Test)] = event.Action // the last one is the result
			}
		}
		if err != nil {
			t.Errorf("go test -run ^TestMQTT_ ./%s: %v", directory, err)
		}
	}
	return results
}

// TestConformance holds CONFORMANCE.md against the table of statements, the tests that there are, and how they end. With
// -update it writes the file.
func TestConformance(t *testing.T) {
	const file = "CONFORMANCE.md"
	directories := []string{".", "packet", "../iot"}
	got, missing := conformance(readStatements(t), findTests(t, directories...), runTests(t, directories...))
	for _, id := range missing {
		t.Errorf("%s has neither a test nor a reason to have none", id)
	}
	if *update {
		if err := os.WriteFile(file, got, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, bytes.ReplaceAll(want, []byte("\r\n"), []byte("\n"))) {
		t.Errorf("%s is out of date: go test ./mqtt -run TestConformance -update", file)
	}
}

// TestEveryStatementTestNamesAStatement finds tests that are named after a statement that does not exist.
func TestEveryStatementTestNamesAStatement(t *testing.T) {
	known := map[string]bool{}
	for _, s := range readStatements(t) {
		known[s.testName()] = true
	}
	for name, files := range findTests(t, ".", "packet", "../iot") {
		if !known[name] {
			t.Errorf("%s in %s: there is no such statement", name, files[0])
		}
	}
}

// conformance writes the page, and returns the statements that have neither a test nor a reason.
func conformance(all []statement, tests map[string][]string, results map[string]string) (page []byte, missing []string) {
	var ours, others []statement
	tested := 0
	for _, s := range all {
		switch n := len(tests[s.testName()]); {
		case s.ours() && n > 0:
			tested++
			ours = append(ours, s)
		case s.ours():
			ours = append(ours, s)
		case n > 0:
			others = append(others, s)
		}
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, `# Conformance of the client with MQTT 3.1.1

Generated from testdata/statements.tsv and the tests: do not edit. To write it again:

    go test ./mqtt -run TestConformance -update

The standard (OASIS, 2014) has %d numbered statements. %d of them ask a client to do or to check something. Tests that
are named after them: for %d. Without, for the reason given: %d. The others are for servers. The results are those of

    go test ./mqtt/... ./iot -run TestMQTT_

`, len(all), len(ours), tested, len(ours)-tested)
	missing = table(&b, ours, tests, results)
	if len(others) > 0 {
		b.WriteString("\nThese ask nothing of a client, and there is a test of what it does when a server acts on them:\n\n")
		table(&b, others, tests, results)
	}
	return b.Bytes(), missing
}

func table(b *bytes.Buffer, rows []statement, tests map[string][]string, results map[string]string) (missing []string) {
	roles := map[string]string{"do": "does", "check": "checks", "both": "does and checks", "none": ""}
	b.WriteString("| Statement | In our words | The client | Test | Result |\n|---|---|---|---|---|\n")
	for _, s := range rows {
		var cells, ended []string
		for _, file := range slices.Sorted(slices.Values(tests[s.testName()])) {
			cells = append(cells, fmt.Sprintf("%s in [%s](%s)", s.testName(), path.Join(path.Base(path.Dir("mqtt/"+file)), path.Base(file)), file))
			ended = append(ended, results[path.Join(path.Dir(file), s.testName())])
		}
		cell := strings.Join(cells, "<br>")
		if cell == "" {
			cell = "none: " + untested[s.id]
			if untested[s.id] == "" {
				missing = append(missing, s.id)
			}
		}
		fmt.Fprintf(b, "| %s | %s | %s | %s | %s |\n", s.id, strings.ReplaceAll(s.text, "|", "\\|"), roles[s.role], cell, strings.Join(ended, "<br>"))
	}
	return missing
}
