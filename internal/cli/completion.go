package cli

import (
	"fmt"
	"slices"
	"strings"
)

// completion returns the script that makes a shell complete the options of t and their values. names are those of the
// shell that were given; the last one counts.
func (t *Table) completion(names []string) (string, error) {
	o := t.find("completion", false)
	if err := o.set(names); err != nil {
		return "", fmt.Errorf("%s: %w", o.spelling(), err)
	}
	var b strings.Builder
	switch names[len(names)-1] {
	case "bash":
		t.bash(&b)
	case "zsh":
		t.zsh(&b)
	case "fish":
		t.fish(&b)
	}
	return b.String(), nil
}

// words are the values of o that a shell completes, if they are known.
func (o *Option) words() string {
	if words := strings.Join(o.Choices, " ") + strings.Join(o.Usual, " "); words != "" {
		return words
	}
	if strings.Contains(o.Metavar, "|") {
		return strings.ReplaceAll(o.Metavar, "|", " ")
	}
	return ""
}

// spellings are the ways to write o, with sep between them.
func (o *Option) spellings(sep string) string {
	if o.Letter == "" {
		return "--" + o.Name
	}
	return "-" + o.Letter + sep + "--" + o.Name
}

// bash writes what bash 3.2 understands, too, which is that of macOS. To bash "=" is a word of its own.
func (t *Table) bash(b *strings.Builder) {
	var cases, switches, all string
	for _, o := range t.options() {
		names := o.spellings("|")
		all += " " + o.spellings(" ")
		if o.Optional != "" {
			switches += "|" + names
		}
		words := o.words()
		switch {
		case o.isSwitch():
			continue
		case o.Metavar == "FILE":
			words = "set -- -f"
		case o.Metavar == "DIR":
			words = "set -- -d"
		case words == "":
			words = "return"
		default:
			words = "set -- -W '" + words + "'"
		}
		cases += "\t" + names + ") " + words + " ;;\n"
	}
	rest := "set -- -W '" + all[1:] + "'"
	if t.Operand != nil {
		rest = "case $word in -*) " + rest + " ;; *) set -- -f ;; esac"
	}
	fmt.Fprintf(b, `# bash completion of %[1]s: source <(%[1]s --completion bash)
_%[1]s() {
	local word=$2 option=$3 line
	if [ "${COMP_WORDS[COMP_CWORD]}" = = ]; then
		word=
	elif [ "$option" = = ]; then
		option=${COMP_WORDS[COMP_CWORD-2]}
	else
		case $option in none%[2]s) option= ;; esac
	fi
	case $option in
%[3]s	*) %[4]s ;;
	esac
	[ "$1" = -W ] || compopt -o filenames 2>/dev/null
	COMPREPLY=()
	while IFS= read -r line; do
		COMPREPLY+=("$line")
	done < <(compgen "$@" -- "$word")
}
complete -F _%[1]s %[1]s
`, t.Program, switches, cases, rest)
}

// zsh writes what is a function for $fpath, and can be sourced as well.
func (t *Table) zsh(b *strings.Builder) {
	fmt.Fprintf(b, "#compdef %[1]s\n# zsh completion of %[1]s: source <(%[1]s --completion zsh)\n_%[1]s() {\n\t_arguments -s -S", t.Program)
	escape := strings.NewReplacer("'", `'\''`, "[", `\[`, "]", `\]`, `\`, `\\`)
	var excluding string
	for _, o := range t.options() {
		if slices.Contains(t.OneOf, o.Name) {
			excluding += " " + o.spellings(" ")
		}
	}
	for _, o := range t.options() {
		rest := "[" + escape.Replace(o.Help) + "]"
		long, letter := "", ""
		if !o.isSwitch() {
			long, letter = "=", "+"
			colon := ":"
			if o.Optional != "" {
				long, colon = "=-", "::"
			}
			rest += colon + o.Metavar + ":"
			switch words := o.words(); {
			case o.Metavar == "FILE":
				rest += "_files"
			case o.Metavar == "DIR":
				rest += "_files -/"
			case words != "":
				rest += "(" + words + ")"
			}
		}
		// Each option is offered once, unless it collects, and so are those that it excludes.
		var others string
		if _, several := o.Value.(*[]string); several {
			others = "*"
		} else if slices.Contains(t.OneOf, o.Name) {
			others = "(" + excluding[1:] + ")"
		} else {
			others = "(" + o.spellings(" ") + ")"
		}
		name := "--" + o.Name + long
		if o.Letter != "" {
			name = "'{-" + o.Letter + letter + ",--" + o.Name + long + "}'"
		}
		fmt.Fprintf(b, " \\\n\t\t'%s%s%s'", others, name, rest)
	}
	if t.Operand != nil {
		b.WriteString(" \\\n\t\t':FILE:_files'")
	}
	fmt.Fprintf(b, "\n}\nif [ \"$funcstack[1]\" = _%[1]s ]; then _%[1]s \"$@\"; else compdef _%[1]s %[1]s; fi\n", t.Program)
}

func (t *Table) fish(b *strings.Builder) {
	fmt.Fprintf(b, "# fish completion of %[1]s: %[1]s --completion fish | source\n", t.Program)
	if t.Operand == nil {
		fmt.Fprintf(b, "complete -c %s -f\n", t.Program)
	}
	for _, o := range t.options() {
		fmt.Fprintf(b, "complete -c %s -l %s", t.Program, o.Name)
		if o.Letter != "" {
			b.WriteString(" -s " + o.Letter)
		}
		words := o.words()
		switch {
		case o.isSwitch():
		case o.Metavar == "FILE":
			b.WriteString(" -r -F")
		case o.Metavar == "DIR":
			b.WriteString(" -x -a '(__fish_complete_directories)'")
		case o.Optional != "":
			b.WriteString(" -f")
		default:
			b.WriteString(" -x")
		}
		if words != "" {
			b.WriteString(" -a '" + words + "'")
		}
		b.WriteString(" -d '" + strings.NewReplacer(`\`, `\\`, "'", `\'`).Replace(o.Help) + "'\n")
	}
}
