package cli

import (
	"fmt"
	"runtime/debug"
	"strings"
)

// ManPage returns the manual page of the program in the language of man(7), for section 1.
func (t *Table) ManPage() string {
	var b strings.Builder
	name := strings.ToUpper(t.Program)
	fmt.Fprintf(&b, ".TH %s 1 \"%s\" \"%s\"\n.SH NAME\n%s \\- %s", name, buildDate(), escapeRoff(t.Program+" "+Version()), t.Program, roff(t.Summary))
	fmt.Fprintf(&b, ".SH SYNOPSIS\n.B %s\n%s.SH OPTIONS\n", t.Program, roff(t.Usage))
	for i, g := range t.Groups {
		fmt.Fprintf(&b, ".SS %s\n", escapeRoff(g.Title))
		options := g.Options
		if i == len(t.Groups)-1 {
			options = append(options[:len(options):len(options)], t.common()...)
		}
		for _, o := range options {
			b.WriteString(".TP\n" + `\fB` + strings.ReplaceAll(escapeRoff(o.spellings("|")), "|", `\fR, \fB`) + `\fR`)
			switch {
			case o.Optional != "":
				b.WriteString(`[=\fI` + escapeRoff(o.Metavar) + `\fR]`)
			case o.Metavar != "":
				b.WriteString(` \fI` + escapeRoff(o.Metavar) + `\fR`)
			}
			help := o.Help
			if o.Default != "" {
				help += " [default: " + o.Default + "]"
			}
			b.WriteString("\n" + roff(help))
		}
	}
	if note := t.variables(); note != "" {
		b.WriteString(".SH ENVIRONMENT\n" + roff(note))
	}
	title := ".SH NOTES\n"
	for _, note := range t.Notes {
		if codes, ok := strings.CutPrefix(note, "Exit status: "); ok {
			b.WriteString(".SH \"EXIT STATUS\"\n" + roff(codes))
			continue
		}
		b.WriteString(title + roff(note))
		title = ".PP\n"
	}
	if t.Examples != nil {
		b.WriteString(".SH EXAMPLES\n.nf\n")
		for _, line := range t.Examples {
			b.WriteString(escapeRoff(line) + "\n")
		}
		b.WriteString(".fi\n")
	}
	return b.String()
}

// roff writes a paragraph, in short lines.
func roff(s string) string {
	var b strings.Builder
	for _, line := range wrap(s, 66) {
		b.WriteString(escapeRoff(line) + "\n")
	}
	return b.String()
}

// escapeRoff escapes what means something to roff: hyphens are to be copied into a shell, and no line may begin a request.
func escapeRoff(s string) string {
	s = strings.NewReplacer(`\`, `\e`, "-", `\-`, "'", `\(aq`, "~", `\(ti`, "^", `\(ha`, "`", `\(ga`).Replace(s)
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
