package docs_test

import (
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var readme = page{path: "../README.md", least: 14, prepare: prepareReadme, rewrite: rewriteReadme, apart: apartInReadme}

// endpoint stands for that of a reader's account.
const endpoint = "a1b2c3-ats.iot.us-east-1.amazonaws.com"

// prepareReadme lets a broker play the reader's account, which also puts the files into certs.
func prepareReadme(r *reader) {
	if _, err := exec.LookPath("jq"); err != nil {
		r.t.Skip("there is no jq, which the README pipes into")
	}
	r.terminals[unseen] = r.start("testbroker --aws --tls-port 0 --dir certs --log account.log")
	r.look(unseen, 1)
	r.ports["account"] = r.ports["mqtts"]
	delete(r.ports, "mqtts")
}

// rewriteReadme goes to the brokers that are there, and runs what is built.
func rewriteReadme(r *reader, command string) (string, func(line string) string) {
	command = strings.ReplaceAll(command, "--tls-port 8883", "--tls-port 0")
	switch {
	case strings.HasPrefix(command, "go run ./cmd/"):
		return strings.TrimPrefix(command, "go run ./cmd/"), asItIs
	case strings.Contains(command, endpoint):
		account := "localhost:" + r.ports["account"]
		command = strings.ReplaceAll(command, "-e "+endpoint, "--aws -e "+account)
		return command, func(line string) string { return strings.ReplaceAll(line, account, endpoint+":8883") }
	case strings.Contains(command, "-e localhost "):
		port := r.ports["mqtts"]
		command = strings.ReplaceAll(command, "-e localhost ", "-e localhost:"+port+" ")
		return command, func(line string) string { return strings.ReplaceAll(line, "TCP "+port, "TCP 8883") }
	}
	return command, asItIs
}

func asItIs(line string) string { return line }

// apartInReadme knows the demo, which shows three programs on one screen, and the pipe into jq.
func apartInReadme(s step) string {
	switch {
	case s.command == "go run ./cmd/demo":
		return "publisher "
	case s.terminal == "subscriber" && s.command == "":
		return "["
	}
	return ""
}

// others are options in the README that are not of our programs: of mosquitto's, and of AWS's.
var others = []string{"--cafile", "--repeat", "--repeat-delay", "--endpoint-type", "--thing-name", "--set-as-active",
	"--certificate-pem-outfile", "--private-key-outfile"}

// Each option that the README names is one of a program.
func testOptionsOfTheReadme(t *testing.T, bin string) {
	var help strings.Builder
	for _, command := range []string{"publisher", "subscriber", "dissect", "demo", "testbroker", "testbroker --aws",
		"testbroker eval", "testbroker advisor"} {
		name, args, _ := strings.Cut(command, " ")
		c := exec.Command(filepath.Join(bin, name), append(strings.Fields(args), "--help")...)
		c.Stdout = &help
		if err := c.Run(); err != nil {
			t.Fatalf("%s --help: %v", command, err)
		}
	}
	option := regexp.MustCompile(`--[a-z][a-z-]+`)
	known := append(option.FindAllString(help.String(), -1), others...)
	found := option.FindAllString(readmeText(t), -1)
	for _, name := range found {
		if !slices.Contains(known, name) {
			t.Errorf("the README names %s, which no --help has", name)
		}
	}
	if len(found) < 40 {
		t.Errorf("found %d options", len(found))
	}
}

// Each file, heading and test that the README points at exists.
func TestTheReadmePointsAtWhatExists(t *testing.T) {
	text := readmeText(t)
	links := regexp.MustCompile(`\]\(([^)#]*)(?:#([^)]*))?\)`).FindAllStringSubmatch(text, -1)
	for _, m := range links {
		switch target, anchor := m[1], m[2]; {
		case strings.HasPrefix(target, "http"):
		case target == "":
			if !slices.Contains(anchors(text), anchor) {
				t.Errorf("the README has no heading #%s", anchor)
			}
		default:
			if _, err := os.Stat(filepath.Join("..", filepath.FromSlash(target))); err != nil {
				t.Error(err)
			}
		}
	}
	tests := regexp.MustCompile(`go test (?:\./)?([a-z/]*) ?-run '?\^?(\w+)|cd ([a-z/]+) && go test -run (\w+)`).FindAllStringSubmatch(text, -1)
	for _, m := range tests {
		folder, name := m[1]+m[3], m[2]+m[4]
		files, err := filepath.Glob(filepath.Join("..", filepath.FromSlash(folder), "*_test.go"))
		if err != nil {
			t.Fatal(err)
		}
		if !slices.ContainsFunc(files, func(file string) bool {
			source, err := os.ReadFile(file)
			return err == nil && strings.Contains(string(source), "\nfunc "+name)
		}) {
			t.Errorf("%s has no test %s", folder, name)
		}
	}
	if len(links) < 10 || len(tests) < 6 {
		t.Errorf("found %d links and %d tests", len(links), len(tests))
	}
}

func readmeText(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(readme.path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// The Go code of the README, block after block, is a function that compiles.
func TestTheCodeInTheReadmeCompiles(t *testing.T) {
	blocks := regexp.MustCompile("(?s)\n```go\n(.*?)\n```\n").FindAllStringSubmatch(readmeText(t), -1)
	if len(blocks) < 2 {
		t.Fatalf("found %d blocks of Go", len(blocks))
	}
	code := "package readme\n\nimport (\n\t\"context\"\n\t\"errors\"\n\t\"log\"\n\n\t\"iotwire/iot\"\n\t\"iotwire/mqtt\"\n)\n\n" +
		"func readme(ctx context.Context, handle func(topic string, payload []byte)) {\n"
	for _, m := range blocks {
		code += m[1] + "\n"
	}
	root, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	file, overlay := filepath.Join(dir, "readme.go"), filepath.Join(dir, "overlay.json")
	quoted, err := json.Marshal(map[string]map[string]string{"Replace": {filepath.Join(root, "docs", "readme", "readme.go"): file}})
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.WriteFile(file, []byte(code+"}\n"), 0o600), os.WriteFile(overlay, quoted, 0o600)); err != nil {
		t.Fatal(err)
	}
	build := exec.Command("go", "build", "-overlay", overlay, "./docs/readme")
	build.Dir = root
	if out, err := build.CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
}
