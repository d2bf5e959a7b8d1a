package cli

import (
	"runtime/debug"
	"strings"
)

// ManPage returns the manual page of the program in the language of man(7), for section 1.
func (t *Table) ManPage() string {
	page := ".TH " + upper(t.Program) + " 1 \"" + buildDate() + "\" \"" + escapeRoff(t.Program+" "+Version()) + "\"\n" +
		".SH NAME\n" + t.Program + ` \- ` + roff(t.Summary) +
		".SH SYNOPSIS\n.B " + t.Program + "\n" + roff(t.Usage) +
		".SH OPTIONS\n"
	for _, g := range t.sections() {
		page += ".SS " + roff(g.Title)
		for i := range g.Options {
			page += g.Options[i].roff()
		}
	}
	if note := t.variables(); note != "" {
		page += ".SH ENVIRONMENT\n" + roff(note)
	}
	title := ".SH NOTES\n"
	for _, note := range t.Notes {
		if codes, ok := strings.CutPrefix(note, "Exit status: "); ok {
			page += ".SH EXIT STATUS\n" + roff(codes)
			continue
		}
		page += title + roff(note)
		title = ".PP\n"
	}
	if t.Examples != nil {
		page += ".SH EXAMPLES\n.nf\n"
		for _, line := range t.Examples {
			page += escapeRoff(line) + "\n"
		}
		page += ".fi\n"
	}
	return page
}

// roff writes a paragraph about o.
func (o *Option) roff() string {
	names := strings.ReplaceAll(escapeRoff(o.spellings("|")), "|", `\fR, \fB`)
	metavar := `\fI` + escapeRoff(o.Metavar) + `\fR`
	switch {
	case o.Optional != "":
		metavar = "[=" + metavar + "]"
	case o.Metavar != "":
		metavar = " " + metavar
	default:
		metavar = ""
	}
	help := o.Help
	if o.Default != "" {
		help += " [default: " + o.Default + "]"
	}
	return ".TP\n" + `\fB` + names + `\fR` + metavar + "\n" + roff(help)
}

// roff writes a paragraph, in short lines.
func roff(s string) string {
	var text string
	for _, line := range wrap(s, 66) {
		text += escapeRoff(line) + "\n"
	}
	return text
}

// escapeRoff escapes what means something to roff: hyphens are to be copied into a shell, and no line may begin a request.
func escapeRoff(s string) string {
	s = replace(s, `\`, `\e`, "-", `\-`, "'", `\(aq`, "~", `\(ti`, "^", `\(ha`, "`", `\(ga`)
	if strings.HasPrefix(s, ".") {
		return `\&` + s
	}
	return s
}

// buildDate is the day of the commit that the program was built from, or "".
func buildDate() string {
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			if s.Key == "vcs.time" {
				return s.Value[:min(len(s.Value), len("2006-01-02"))]
			}
		}
	}
	return ""
}
