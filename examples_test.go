package iotwire_test

import (
	"go/ast"
	"path"
	"slices"
	"strings"
	"testing"
)

// shown are the packages that a program imports: what they export is shown in examples, which run.
var shown = []string{"mqtt", "mqtt/packet", "mqtt/filestore", "mqtt/dissect", "iot"}

// plain are methods that package fmt, encoding and errors call: their types' examples print them.
var plain = []string{"String", "Error", "Is", "Unwrap", "Format", "MarshalText"}

// unshown are the functions that need no example, with the reason. One that has an example, or is gone, must not be here.
var unshown = map[string]string{
	"packet.QoS.Valid": "its name and its sentence say all",
}

// silent are the examples that are compiled and not run, with the reason.
var silent = map[string]string{}

// An exported function is shown by an example that calls it; a method by one of its type: ExampleType, ExampleType_Method.
func TestEveryExportedFunctionHasAnExample(t *testing.T) {
	files := sources(t)
	needed := map[string]bool{} // by an entry of unshown
	for _, room := range shown {
		name := path.Base(room)
		calls := map[string][]string{} // by the example's name
		for _, s := range files {
			if path.Dir(s.path) != room || !s.test {
				continue
			}
			for _, d := range s.file.Decls {
				if f, ok := d.(*ast.FuncDecl); ok && f.Recv == nil && strings.HasPrefix(f.Name.Name, "Example") {
					calls[f.Name.Name] = called(f)
				}
			}
		}
		functions := 0
		for _, s := range files {
			if path.Dir(s.path) != room || s.test {
				continue
			}
			for _, d := range s.file.Decls {
				f, ok := d.(*ast.FuncDecl)
				if !ok || !f.Name.IsExported() {
					continue
				}
				functions++
				full, found := name+"."+f.Name.Name, false
				if f.Recv == nil {
					for _, all := range calls {
						found = found || slices.Contains(all, full)
					}
				} else {
					receiver := receiverOf(f)
					if !ast.IsExported(receiver) || slices.Contains(plain, f.Name.Name) {
						continue
					}
					full = name + "." + receiver + "." + f.Name.Name
					for example, all := range calls {
						of := example == "Example"+receiver || strings.HasPrefix(example, "Example"+receiver+"_")
						found = found || of && slices.Contains(all, f.Name.Name)
					}
				}
				switch reason := unshown[full]; {
				case !found && reason == "":
					t.Errorf("%s: no example calls %s: write one that a newcomer would copy", s.path, full)
				case found && reason != "":
					t.Errorf("%s has an example: take it off the list", full)
				}
				needed[full] = !found
			}
		}
		if functions < 6 || len(calls) < 3 {
			t.Errorf("found %d exported functions and %d examples in %s", functions, len(calls), room)
		}
	}
	for full := range unshown {
		if _, ok := needed[full]; !ok {
			t.Errorf("there is no %s: take it off the list", full)
		}
	}
}

// An example whose output is not compared is only compiled.
func TestEveryExampleRuns(t *testing.T) {
	for _, s := range sources(t) {
		if room := path.Dir(s.path); !s.test || !slices.Contains(shown, room) {
			continue
		}
		for _, d := range s.file.Decls {
			f, ok := d.(*ast.FuncDecl)
			if !ok || f.Recv != nil || !strings.HasPrefix(f.Name.Name, "Example") {
				continue
			}
			runs := slices.ContainsFunc(s.file.Comments, func(c *ast.CommentGroup) bool {
				text := strings.ToLower(c.Text())
				return f.Pos() < c.Pos() && c.End() < f.End() &&
					(strings.HasPrefix(text, "output:") || strings.HasPrefix(text, "unordered output:"))
			})
			if reason := silent[path.Base(path.Dir(s.path))+"."+f.Name.Name]; runs == (reason != "") {
				t.Errorf("%s: %s has an output: %v, and the list says %q", s.path, f.Name.Name, runs, reason)
			}
		}
	}
}

// called has what a function calls: "package.Function", and the names of methods.
func called(f *ast.FuncDecl) (all []string) {
	ast.Inspect(f, func(n ast.Node) bool {
		if selector, ok := n.(*ast.SelectorExpr); ok {
			all = append(all, selector.Sel.Name)
			if of, ok := selector.X.(*ast.Ident); ok {
				all = append(all, of.Name+"."+selector.Sel.Name)
			}
		}
		return true
	})
	return all
}

// receiverOf is the name of the type that a method belongs to.
func receiverOf(f *ast.FuncDecl) string {
	typ := f.Recv.List[0].Type
	if star, ok := typ.(*ast.StarExpr); ok {
		typ = star.X
	}
	name, ok := typ.(*ast.Ident)
	if !ok {
		return ""
	}
	return name.Name
}
