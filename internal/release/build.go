package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// target is a machine that the programs are built for.
type target struct {
	name string // GOOS/GOARCH or GOOS/GOARCH/variant
}

var targets = []target{
	{"linux/amd64"},
	{"linux/arm64"},
	{"linux/arm/7"},
	{"linux/arm/6"},
	{"linux/arm/5"},
	{"linux/mipsle/softfloat"},
	{"linux/mips/softfloat"},
	{"linux/riscv64"},
	{"darwin/arm64"},
	{"freebsd/amd64"},
	{"windows/amd64"},
}

// programs are what a release has in it.
var programs = []string{"publisher", "subscriber", "dissect", "testbroker"}

func names(targets []target) []string {
	var names []string
	for _, t := range targets {
		names = append(names, t.name)
	}
	return names
}

// choose returns the targets of these names, or all.
func choose(wanted []string) ([]target, error) {
	if len(wanted) == 0 {
		return targets, nil
	}
	var chosen []target
	for _, name := range wanted {
		i := slices.Index(names(targets), name)
		if i < 0 {
			return nil, fmt.Errorf("there is no target %q: take some of %s", name, strings.Join(names(targets), " "))
		}
		chosen = append(chosen, targets[i])
	}
	return chosen, nil
}

// environment is that of go build: nothing in it comes from the user's own settings but where things are kept.
func (t target) environment(cache string) []string {
	part := append(strings.Split(t.name, "/"), "")
	env := append(os.Environ(), "GOFLAGS=", "GOENV=off", "GOEXPERIMENT=", "GOTOOLCHAIN=local", "CGO_ENABLED=0", "GOOS="+part[0], "GOARCH="+part[1])
	switch part[1] {
	case "arm":
		env = append(env, "GOARM="+part[2])
	case "mips", "mipsle":
		env = append(env, "GOMIPS="+part[2])
	case "amd64":
		env = append(env, "GOAMD64=v1")
	}
	if cache != "" {
		env = append(env, "GOCACHE="+cache)
	}
	return env
}

// build returns the programs, built for a target from the module at source, without inlining: up to a tenth smaller, and
// they take a third more of the processor's time for a message, of which such programs have few.
func build(ctx context.Context, source, cache string, t target) ([]file, error) {
	dir, err := os.MkdirTemp("", "release")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	args := []string{"build", "-trimpath", "-gcflags", "all=-l", "-ldflags", "-s -w -buildid=", "-o", dir + string(filepath.Separator)}
	for _, p := range programs {
		args = append(args, "./cmd/"+p)
	}
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir, cmd.Env = source, t.environment(cache)
	if out, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("go build: %w\n%s", err, out)
	}
	var files []file
	for _, p := range programs {
		if strings.HasPrefix(t.name, "windows/") {
			p += ".exe"
		}
		content, err := os.ReadFile(filepath.Join(dir, p))
		if err != nil {
			return nil, err
		}
		files = append(files, file{p, 0o755, content})
	}
	return files, nil
}

func moduleRoot(ctx context.Context) (string, error) {
	out, err := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}", "iotwire").Output()
	if err != nil {
		return "", errors.New("run it in the sources of iotwire: go run ./internal/release")
	}
	return string(bytes.TrimSpace(out)), nil
}

// versionOf names what is built: the tag of the commit, or its time and hash, and whether there are changes on top.
func versionOf(ctx context.Context, source string) (string, error) {
	cmd := exec.CommandContext(ctx, "git", "describe", "--tags", "--always", "--dirty")
	cmd.Dir = source
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("git describe: %w: a release is made from a clone, with git", err)
	}
	return string(bytes.TrimSpace(out)), nil
}

func git(ctx context.Context, args ...string) error {
	out, err := exec.CommandContext(ctx, "git", args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("git %s: %w: %s", strings.Join(args, " "), err, bytes.TrimSpace(out))
	}
	return nil
}
