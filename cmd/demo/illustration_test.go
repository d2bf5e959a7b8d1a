package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"iotwire/internal/cli"
)

// The page has both connections to their end, side by side in one diagram, and nobody else can read it.
func TestDemoIllustratesBothConnections(t *testing.T) {
	file := filepath.Join(t.TempDir(), "page.html")
	var stdout, stderr bytes.Buffer
	code := demo(&cli.Process{Args: []string{"--page", file}, Getenv: getenv, Stdout: &stdout, Stderr: &stderr})
	if code != cli.ExitDone || !strings.Contains(stdout.String(), "Every byte of it is explained in "+file) {
		t.Fatalf("exit code %d, stderr %q, stdout:\n%s", code, &stderr, &stdout)
	}
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	page := string(b)
	_, ends, _ := strings.Cut(page, `<div class="ends">`)
	ends, _, _ = strings.Cut(ends, "</div>")
	for _, end := range []string{"broker", "demo-subscriber", "demo-publisher"} {
		if strings.Count(ends, ">"+end+"</p>") != 1 {
			t.Errorf("the diagram has not one end for %s, but %q", end, ends)
		}
	}
	for _, want := range []string{"<h3>Connection 1: demo-subscriber to broker</h3>\n<details", "<h3>Connection 2: demo-publisher to broker</h3>\n<details",
		`id="p11-disconnect"`, `id="c2-p9-disconnect"`} {
		if strings.Count(page, want) != 1 {
			t.Errorf("the page has %q %d times", want, strings.Count(page, want))
		}
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm()&0o077 != 0 {
		t.Errorf("%v, %v", info, err)
	}
}

func TestDemoSaysWhenThereCanBeNoPage(t *testing.T) {
	var stdout, stderr bytes.Buffer
	code := demo(&cli.Process{Args: []string{"--page", t.TempDir()}, Getenv: getenv, Stdout: &stdout, Stderr: &stderr})
	if code != cli.ExitLocal || stdout.Len() > 0 || !strings.HasPrefix(stderr.String(), "demo: ") {
		t.Errorf("exit code %d, %q, %q", code, &stdout, &stderr)
	}
}
