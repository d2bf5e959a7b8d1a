package cli

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// tables returns the tables of the programs of this package.
func tables() []*Table {
	return []*Table{new(publisherOptions).table(), new(subscriberOptions).table()}
}

// script is the completion of a shell.
func (t *Table) script(test *testing.T, shell string) string {
	test.Helper()
	text, err := t.completion([]string{shell})
	if err != nil {
		test.Fatal(err)
	}
	return text
}

// What the table says of an option, in one line for each, is what each text says of it that is made from the table.
func TestEveryTextHasEveryOptionOnce(t *testing.T) {
	for _, table := range tables() {
		var want []string // each with its letter, and how its value is completed
		for _, o := range table.options() {
			line := o.spellings(" ")
			switch {
			case o.isSwitch():
			case o.Metavar == "FILE", o.Metavar == "DIR":
				line += " " + o.Metavar
			case o.words() != "":
				line += " (" + o.words() + ")"
			default:
				line += " VALUE"
			}
			want = append(want, line)
		}
		for name, read := range map[string]func(*testing.T, *Table) []string{
			"bash": optionsOfBash, "zsh": optionsOfZsh, "fish": optionsOfFish,
		} {
			if diff := cmp.Diff(want, read(t, table)); diff != "" {
				t.Errorf("%s, %s: %s", table.Program, name, diff)
			}
		}
		var named []string
		for _, o := range table.options() {
			named = append(named, o.spellings(" "))
		}
		if diff := cmp.Diff(named, optionsOfManPage(table)); diff != "" {
			t.Errorf("%s, man page: %s", table.Program, diff)
		}
	}
}

func optionsOfBash(t *testing.T, table *Table) (all []string) {
	script := table.script(t, "bash")
	values := map[string]string{}
	for _, m := range regexp.MustCompile(`(?m)^\t(-.*)\) (.*) ;;$`).FindAllStringSubmatch(script, -1) {
		value := map[string]string{"return": " VALUE", "set -- -f": " FILE", "set -- -d": " DIR"}[m[2]]
		if words, ok := strings.CutPrefix(m[2], "set -- -W '"); ok {
			value = " (" + strings.TrimSuffix(words, "'") + ")"
		}
		names := strings.ReplaceAll(m[1], "|", " ")
		if values[names] != "" {
			t.Errorf("bash has %s twice", names)
		}
		values[names] = value
	}
	words := regexp.MustCompile(`(?m)^\t\*\) set -- -W '(.*)' ;;$`).FindStringSubmatch(script)
	if words == nil {
		t.Fatalf("no list of options in\n%s", script)
	}
	letter := ""
	for _, word := range strings.Fields(words[1]) {
		if len(word) == 2 {
			letter = word + " "
			continue
		}
		all = append(all, letter+word+values[letter+word])
		letter = ""
	}
	return all
}

func optionsOfZsh(t *testing.T, table *Table) (all []string) {
	for _, m := range regexp.MustCompile(`(?m)^\t\t'(?:\*|\(([^)]*)\))(?:'\{(-.)\+?,)?(--[a-z-]+?)(=-?)?(?:\}')?(\[.*\])(?:::?([^:]*):(.*))?'(?: \\)?$`).
		FindAllStringSubmatch(table.script(t, "zsh"), -1) {
		line := m[3]
		if m[2] != "" {
			line = m[2] + " " + line
		}
		switch {
		case m[4] == "":
		case m[7] == "_files":
			line += " FILE"
		case m[7] == "_files -/":
			line += " DIR"
		case m[7] != "":
			line += " " + m[7]
		default:
			line += " VALUE"
		}
		if o := table.find(m[3][2:], false); m[1] != "" && !slices.Contains(table.OneOf, o.Name) && m[1] != o.spellings(" ") {
			t.Errorf("zsh: %s excludes %s", line, m[1])
		}
		all = append(all, line)
	}
	return all
}

func optionsOfFish(t *testing.T, table *Table) (all []string) {
	for _, m := range regexp.MustCompile(`(?m)^complete -c [a-z]+ -l ([a-z-]+)(?: -s (.))?( -x| -r -F| -f)?(?: -a '(.*?)')? -d '.+'$`).
		FindAllStringSubmatch(table.script(t, "fish"), -1) {
		line := "--" + m[1]
		if m[2] != "" {
			line = "-" + m[2] + " " + line
		}
		switch {
		case m[3] == " -r -F":
			line += " FILE"
		case m[4] == "(__fish_complete_directories)":
			line += " DIR"
		case m[4] != "":
			line += " (" + m[4] + ")"
		case m[3] != "":
			line += " VALUE"
		}
		all = append(all, line)
	}
	return all
}

func optionsOfManPage(table *Table) (all []string) {
	page := table.ManPage()
	for _, m := range regexp.MustCompile(`(?m)^\.TP\n\\fB(?:\\-(.)\\fR, \\fB)?\\-\\-([a-z\\-]+)\\fR`).FindAllStringSubmatch(page, -1) {
		line := "--" + strings.ReplaceAll(m[2], `\-`, "-")
		if m[1] != "" {
			line = "-" + m[1] + " " + line
		}
		all = append(all, line)
	}
	return all
}

func TestCompletionsAndManPages(t *testing.T) {
	needsTraces(t)
	for _, table := range tables() {
		for _, shell := range []string{"bash", "zsh", "fish"} {
			golden(t, table.Program+"."+shell, table.script(t, shell))
		}
		page := table.ManPage()
		build := fmt.Sprintf("%q %q", buildDate(), table.Program+" "+escapeRoff(Version()))
		build = strings.ReplaceAll(build, `\\`, `\`)
		if !strings.Contains(page, build) {
			t.Errorf("%s --man does not tell its build, %s:\n%.100s", table.Program, build, page)
		}
		golden(t, table.Program+".1", strings.Replace(page, build, `"DATE" "VERSION"`, 1))
	}
}

func TestCompletionAndManPageGoToStdoutWithExitCode0(t *testing.T) {
	for args, want := range map[string]string{
		"--completion bash":                  "# bash completion of publisher: source <(publisher --completion bash)\n",
		"--completion=zsh":                   "#compdef publisher\n",
		"--completion zsh --completion fish": "# fish completion of publisher: publisher --completion fish | source\n",
		"--man":                              ".TH PUBLISHER 1 ",
	} {
		_, code, done, stdout, stderr := parse(map[string]string{"MQTT_PUBLISHER_COUNT": "abc"}, strings.Fields(args)...)
		if !done || code != ExitDone || stderr != "" || !strings.HasPrefix(stdout, want) {
			t.Errorf("%s: exit code %d, stdout %.100q, stderr %q", args, code, stdout, stderr)
		}
	}
	_, code, _, stdout, stderr := parse(nil, "--completion", "powershell")
	if want := `publisher: --completion: "powershell" is none of bash, zsh, fish (publisher --help lists the options)` + "\n"; code != ExitUsage || stdout != "" || stderr != want {
		t.Errorf("exit code %d, stdout %q, stderr %q", code, stdout, stderr)
	}
	// A command of a program has none.
	table := &Table{Program: "testbroker eval"}
	if table.find("man", false) != nil || table.find("completion", false) != nil {
		t.Error("testbroker eval has a man page or completions")
	}
}

func TestRoffMeansNothingElse(t *testing.T) {
	for text, want := range map[string]string{
		"a-b":                                    `a\-b` + "\n",
		`\n \t`:                                  `\en \et` + "\n",
		".SH x":                                  `\&.SH x` + "\n",
		"'":                                      `\(aq` + "\n",
		"it's ~ ^ `x`":                           "it\\(aqs \\(ti \\(ha \\(gax\\(ga\n",
		strings.Repeat("x", 60) + " longer .dot": strings.Repeat("x", 60) + "\nlonger .dot\n",
		strings.Repeat("x", 66) + " .dot":        strings.Repeat("x", 66) + "\n\\&.dot\n",
	} {
		if got := roff(text); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}
