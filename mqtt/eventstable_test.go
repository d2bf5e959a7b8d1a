package mqtt

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var declared = regexp.MustCompile(`(?m)^func (Test\w+)\(t \*testing\.T\)`)

// Each test that EVENTS.md names exists, and each event has one.
func TestEveryEventHasItsTest(t *testing.T) {
	table, err := os.ReadFile("EVENTS.md")
	if err != nil {
		t.Fatal(err)
	}
	exists := map[string]bool{}
	for _, dir := range []string{".", "filestore", "../iot", "../internal/cli"} {
		files, _ := filepath.Glob(dir + "/*_test.go")
		for _, file := range files {
			source, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			for _, match := range declared.FindAllStringSubmatch(string(source), -1) {
				exists[match[1]] = true
			}
		}
	}
	name, rows := regexp.MustCompile(`\bTest\w+`), 0
	for line := range strings.Lines(string(table)) {
		if !strings.HasPrefix(line, "| ") || strings.HasPrefix(line, "| event") {
			continue
		}
		rows++
		tests := name.FindAllString(line, -1)
		if len(tests) == 0 {
			t.Errorf("no test: %s", line)
		}
		for _, n := range tests {
			if !exists[n] {
				t.Errorf("there is no %s", n)
			}
		}
	}
	if rows < 40 {
		t.Errorf("%d rows", rows)
	}
}
