package cli

import (
	"fmt"
	"strings"
)

const (
	helpWidth  = 80
	helpColumn = 31 // where the text on an option starts
)

// Help returns the help text: no line is longer than 80 columns.
func (t *Table) Help() string {
	text := t.Program + " - " + t.Summary + "\n\nUsage:\n  " + strings.TrimSuffix(t.Program+" "+t.Usage, " ") + "\n"
	if len(t.Examples) > 0 {
		text += "\nExamples:\n"
		for _, line := range t.Examples {
			text += "  " + line + "\n"
		}
	}
	for _, g := range t.sections() {
		text += "\n" + g.Title + ":\n"
		for i := range g.Options {
			text += g.Options[i].help()
		}
	}
	notes := t.Notes
	if note := t.variables(); note != "" {
		notes = append([]string{note}, notes...)
	}
	for _, note := range notes {
		text += "\n"
		for _, line := range wrap(note, helpWidth) {
			text += line + "\n"
		}
	}
	return text
}

// introduce tells those who call a program with nothing at all what it is, and the first example: they see more of it than
// of a page of options.
func (t *Table) introduce(p *Process) {
	if len(p.Args) == 0 {
		fmt.Fprintf(p.Stderr, "%s - %s\n\n  %s\n\n", t.Program, t.Summary, t.Examples[0])
	}
}

// variables is the paragraph on the environment, or "" if no option has a variable.
func (t *Table) variables() string {
	var names []string
	for _, g := range t.Groups {
		for i := range g.Options {
			names = append(names, t.Variable(g.Options[i].Name))
		}
	}
	if len(names) > 2 {
		names = append(names[:2], "...")
	}
	if len(names) == 0 {
		return ""
	}
	return "Every option can come from the environment: " + strings.TrimSuffix(strings.Join(names, ", "), ".") +
		". A flag wins over the variable; an empty variable counts as unset."
}

// help writes the lines about o.
func (o *Option) help() (text string) {
	left := "      --" + o.Name
	if o.Letter != "" {
		left = "  -" + o.Letter + ", --" + o.Name
	}
	switch {
	case o.Optional != "":
		left += "[=" + o.Metavar + "]"
	case o.Metavar != "":
		left += " " + o.Metavar
	}
	lines := wrap(o.Help, helpWidth-helpColumn)
	if len(left) >= helpColumn {
		text += left + "\n"
		left = ""
	}
	for i, line := range lines {
		line = fmt.Sprintf("%-*s%s", helpColumn, left, line)
		left = ""
		if i == len(lines)-1 && o.Default != "" {
			preset := "[default: " + o.Default + "]"
			if len(line)+2+len(preset) > helpWidth {
				text += line + "\n"
				line = ""
			}
			line += repeat(" ", helpWidth-len(line)-len(preset)) + preset
		}
		text += line + "\n"
	}
	return text
}

// wrap cuts s at spaces into lines of at most width characters. Only a word that is longer makes a longer line.
func wrap(s string, width int) []string {
	var lines []string
	var line string
	for _, w := range strings.Fields(s) {
		switch {
		case line == "":
			line = w
		case len(line)+1+len(w) <= width:
			line += " " + w
		default:
			lines = append(lines, line)
			line = w
		}
	}
	return append(lines, line)
}

// repeat is s, n times. strings.Repeat is made for long texts, and large.
func repeat(s string, n int) string { return strings.ReplaceAll(fmt.Sprintf("%*s", n, ""), " ", s) }
