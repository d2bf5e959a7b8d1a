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
	if diagram, _, _ := strings.Cut(page, "</svg>"); strings.Count(diagram, ">broker</text>") != 1 || strings.Count(diagram, ">demo-subscriber</text>")+strings.Count(diagram, ">demo-publisher</text>") != 2 {
		t.Error("the two connections do not share the broker in the diagram")
	}
	for _, want := range []string{"Connection 1: demo-subscriber to broker", "Connection 2: demo-publisher to broker", `id="p11-disconnect"`, `id="c2-p9-disconnect"`} {
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
