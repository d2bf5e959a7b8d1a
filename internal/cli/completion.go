package cli

import (
	"slices"
	"strings"
)

// completion returns the script that makes a shell complete the options of t and their values. names are those of the
// shell that were given; the last one counts.
func (t *Table) completion(names []string) (string, error) {
	o := t.find("completion", false)
	if err := o.set(names); err != nil {
		return "", errorf("%s: %w", o.spelling(), err)
	}
	switch names[len(names)-1] {
	case "bash":
		return t.bash(), nil
	case "zsh":
		return t.zsh(), nil
	}
	return t.fish(), nil
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

// value says how the value of o is completed: with what file or dir say, with with and its words, or with none.
func (o *Option) value(file, dir, with, none string) string {
	words := o.words()
	switch {
	case o.isSwitch():
		return ""
	case o.Metavar == "FILE":
		return file
	case o.Metavar == "DIR":
		return dir
	case words == "":
		return none
	}
	return strings.ReplaceAll(with, "WORDS", words)
}

// bash writes what bash 3.2 understands, too, which is that of macOS. To bash "=" is a word of its own.
func (t *Table) bash() string {
	var cases, switches, all string
	for _, o := range t.options() {
		names := o.spellings("|")
		all += " " + o.spellings(" ")
		if o.Optional != "" {
			switches += "|" + names
		}
		if value := o.value("set -- -f", "set -- -d", "set -- -W 'WORDS'", "return"); value != "" {
			cases += "\t" + names + ") " + value + " ;;\n"
		}
	}
	rest := "set -- -W '" + all[1:] + "'"
	if t.Operand != nil {
		rest = "case $word in -*) " + rest + " ;; *) set -- -f ;; esac"
	}
	return replace(bashScript, "PROGRAM", t.Program, "SWITCHES", switches, "CASES", cases, "REST", rest)
}

const bashScript = `# bash completion of PROGRAM: source <(PROGRAM --completion bash)
_PROGRAM() {
	local word=$2 option=$3 line
	if [ "${COMP_WORDS[COMP_CWORD]}" = = ]; then
		word=
	elif [ "$option" = = ]; then
		option=${COMP_WORDS[COMP_CWORD-2]}
	else
		case $option in noneSWITCHES) option= ;; esac
	fi
	case $option in
CASES	*) REST ;;
	esac
	[ "$1" = -W ] || compopt -o filenames 2>/dev/null
	COMPREPLY=()
	while IFS= read -r line; do
		COMPREPLY+=("$line")
	done < <(compgen "$@" -- "$word")
}
complete -F _PROGRAM PROGRAM
`

// zsh writes what is a function for $fpath, and can be sourced as well.
func (t *Table) zsh() string {
	var excluding, all string
	for _, name := range t.OneOf {
		excluding += " " + t.find(name, false).spellings(" ")
	}
	for _, o := range t.options() {
		// Each option is offered once, unless it collects, and so are those that it excludes.
		once := "(" + o.spellings(" ") + ")"
		if _, several := o.Value.(*[]string); several {
			once = "*"
		} else if slices.Contains(t.OneOf, o.Name) {
			once = "(" + excluding[1:] + ")"
		}
		name, letter := "--"+o.Name, "-"+o.Letter
		colon := ":"
		switch {
		case o.isSwitch():
			colon = ""
		case o.Optional != "":
			name, colon = name+"=-", "::"
		default:
			name, letter = name+"=", letter+"+"
		}
		if o.Letter != "" {
			name = "'{" + letter + "," + name + "}'"
		}
		all += " \\\n\t\t'" + once + name + "[" + quoted(o.Help) + "]" + colon
		if colon != "" {
			all += o.Metavar + ":" + o.value("_files", "_files -/", "(WORDS)", "")
		}
		all += "'"
	}
	if t.Operand != nil {
		all += " \\\n\t\t':FILE:_files'"
	}
	return replace(zshScript, "PROGRAM", t.Program, "OPTIONS", all)
}

const zshScript = `#compdef PROGRAM
# zsh completion of PROGRAM: source <(PROGRAM --completion zsh)
_PROGRAM() {
	_arguments -s -SOPTIONS
}
if [ "$funcstack[1]" = _PROGRAM ]; then _PROGRAM "$@"; else compdef _PROGRAM PROGRAM; fi
`

// quoted escapes help for what stands in quotes and, in zsh, in brackets.
func quoted(help string) string {
	return replace(help, "'", `'\''`, "[", `\[`, "]", `\]`)
}

// replace replaces the first of each pair by the second, one pair after the other. A strings.Replacer, which knows how to
// do it at once, is machine code enough for all that this file does.
func replace(s string, pairs ...string) string {
	for ; len(pairs) > 1; pairs = pairs[2:] {
		s = strings.ReplaceAll(s, pairs[0], pairs[1])
	}
	return s
}

func (t *Table) fish() string {
	all := "# fish completion of " + t.Program + ": " + t.Program + " --completion fish | source\n"
	complete := "complete -c " + t.Program
	if t.Operand == nil {
		all += complete + " -f\n"
	}
	for _, o := range t.options() {
		all += complete + " -l " + o.Name
		if o.Letter != "" {
			all += " -s " + o.Letter
		}
		if o.Optional != "" {
			all += o.value("", "", " -f -a 'WORDS'", " -f")
		} else {
			all += o.value(" -r -F", " -x -a '(__fish_complete_directories)'", " -x -a 'WORDS'", " -x")
		}
		all += " -d '" + strings.ReplaceAll(o.Help, "'", `'\''`) + "'\n"
	}
	return all
}
