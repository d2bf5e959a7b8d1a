// Package iotwire_test holds the rules of the house: which room may import which, and what no file may have.
package iotwire_test

import (
	"bytes"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// rooms says what each room may import of the others: arrows point down only. A room is a folder with what is below it,
// but for the rooms that are named themselves.
var rooms = map[string][]string{
	"mqtt/packet":         {},
	"mqtt/dissect":        {}, // a second reading of the wire is worth something only if it shares nothing with the first
	"mqtt":                {"mqtt/packet"},
	"mqtt/filestore":      {"mqtt", "mqtt/packet"},
	"iot":                 {"mqtt", "mqtt/packet"},
	"internal/cli":        {"iot", "mqtt", "mqtt/packet", "mqtt/dissect", "mqtt/filestore"},
	"internal/testbroker": {"mqtt/packet", "mqtt/dissect"}, // a broker that shares the client's code would share its mistakes
	"cmd":                 {"internal/cli", "internal/testbroker", "iot", "mqtt", "mqtt/packet", "mqtt/dissect", "mqtt/filestore"},
	"internal/release":    {},
	"internal/peers":      {"internal/testbroker", "iot", "mqtt", "mqtt/packet", "mqtt/dissect", "mqtt/filestore"},
}

// forbidden are packages of the standard library that do not belong in a room: the core takes a connection and gives
// values, what is around it is the program's.
var forbidden = map[string][]string{
	"mqtt":        {"crypto/tls", "net/http", "os", "log/slog", "encoding/json"},
	"mqtt/packet": {"crypto/tls", "net/http", "os", "log/slog", "encoding/json", "net"},
}

// forTests are the modules that tests may import besides the standard library.
var forTests = []string{"github.com/google/go-cmp", "pgregory.net/rapid"}

// source is one Go file of this repository.
type source struct {
	path    string // with slashes
	test    bool
	text    []byte
	file    *ast.File
	imports []string
}

// sources parses every Go file, those with build tags and those of internal/peers, which is a module of its own, too.
func sources(t *testing.T) (all []source) {
	t.Helper()
	files := token.NewFileSet()
	err := filepath.WalkDir(".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() {
			if name != "." && strings.HasPrefix(entry.Name(), ".") || entry.Name() == "testdata" {
				return fs.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(name, ".go") {
			return nil
		}
		text, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		file, err := parser.ParseFile(files, name, text, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		s := source{path: filepath.ToSlash(name), test: strings.HasSuffix(name, "_test.go"), text: text, file: file}
		for _, spec := range file.Imports {
			imported, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				return err
			}
			s.imports = append(s.imports, imported)
		}
		all = append(all, s)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if !slices.ContainsFunc(all, func(s source) bool { return s.path == "mqtt/packet/packet.go" }) {
		t.Fatal("mqtt/packet/packet.go was not found: run this test in the folder of go.mod")
	}
	return all
}

// roomOf is the room that a folder belongs to, or "" if it is in none.
func roomOf(folder string) string {
	for ; folder != "."; folder = path.Dir(folder) {
		if _, ok := rooms[folder]; ok {
			return folder
		}
	}
	return ""
}

func TestArrowsPointDown(t *testing.T) {
	for _, s := range sources(t) {
		if s.test {
			continue
		}
		room := roomOf(path.Dir(s.path))
		if room == "" {
			t.Errorf("%s is in no room: move it, or give its folder a line in rooms", s.path)
			continue
		}
		for _, imported := range s.imports {
			folder, ours := strings.CutPrefix(imported, "iotwire/")
			if !ours {
				continue
			}
			if to := roomOf(folder); to != room && !slices.Contains(rooms[room], to) {
				t.Errorf("%s imports %s: %s may import only %q, move the code or turn the arrow", s.path, imported, room, rooms[room])
			}
		}
	}
}

func TestOnlyTheStandardLibraryShips(t *testing.T) {
	for _, s := range sources(t) {
		if roomOf(path.Dir(s.path)) == "internal/peers" {
			continue
		}
		for _, imported := range s.imports {
			first, _, _ := strings.Cut(imported, "/")
			thirdParty := strings.Contains(first, ".")
			switch {
			case imported == "C":
				t.Errorf("%s imports C: write it in Go", s.path)
			case thirdParty && !s.test:
				t.Errorf("%s imports %s: use the standard library, or move it to internal/peers", s.path, imported)
			case thirdParty && !slices.ContainsFunc(forTests, func(module string) bool {
				return imported == module || strings.HasPrefix(imported, module+"/")
			}):
				t.Errorf("%s imports %s: tests may import only %q, move it to internal/peers", s.path, imported, forTests)
			}
		}
	}
}

func TestModuleRequiresOnlyWhatTestsNeed(t *testing.T) {
	text, err := os.ReadFile("go.mod")
	if err != nil {
		t.Fatal(err)
	}
	required := 0
	for line := range strings.Lines(string(text)) {
		fields := strings.Fields(strings.TrimPrefix(strings.TrimSpace(line), "require "))
		if len(fields) < 2 || !strings.HasPrefix(fields[1], "v") {
			continue
		}
		if required++; !slices.Contains(forTests, fields[0]) {
			t.Errorf("go.mod requires %s: only %q may be there, run go mod tidy", fields[0], forTests)
		}
	}
	if required == 0 {
		t.Errorf("go.mod requires nothing, want %q: has its format changed?", forTests)
	}
}

func TestTheCoreHasNoTransportAndNoFiles(t *testing.T) {
	for _, s := range sources(t) {
		if s.test {
			continue
		}
		for _, imported := range s.imports {
			if room := path.Dir(s.path); slices.Contains(forbidden[room], imported) {
				t.Errorf("%s imports %s: %s takes it as a value from its caller instead", s.path, imported, room)
			}
		}
	}
}

func TestNothingSkipsVerification(t *testing.T) {
	for _, s := range sources(t) {
		if s.test {
			continue
		}
		ast.Inspect(s.file, func(n ast.Node) bool {
			if name, ok := n.(*ast.Ident); ok && name.Name == "InsecureSkipVerify" {
				t.Errorf("%s uses InsecureSkipVerify: set RootCAs and ServerName", s.path)
			}
			return true
		})
	}
}

func TestFilesAreShort(t *testing.T) {
	const limit = 600
	for _, s := range sources(t) {
		if lines := bytes.Count(s.text, []byte("\n")); !s.test && !ast.IsGenerated(s.file) && lines >= limit {
			t.Errorf("%s has %d lines, want fewer than %d: give its second idea a file", s.path, lines, limit)
		}
	}
}

func TestNoInitAndNothingLeftToDo(t *testing.T) {
	marks := []string{"TO" + "DO", "FIX" + "ME"}
	for _, s := range sources(t) {
		for _, declaration := range s.file.Decls {
			if f, ok := declaration.(*ast.FuncDecl); ok && f.Recv == nil && f.Name.Name == "init" {
				t.Errorf("%s has an init function: call it, or make it a value", s.path)
			}
		}
		for _, mark := range marks {
			if i := bytes.Index(s.text, []byte(mark)); i >= 0 {
				t.Errorf("%s:%d has a %s: do it, or say what is and why", s.path, 1+bytes.Count(s.text[:i], []byte("\n")), mark)
			}
		}
	}
}
