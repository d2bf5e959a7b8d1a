// Package cli is the programs without their main functions: options, help, exit codes, output, and what publisher and
// subscriber do. Nothing in it ends the process or knows which one it is in: see [Process].
package cli

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode"
)

// Table is everything a program says about its options. Parsing, the help text, the man page, the completions of the
// shells and the names of the environment variables all come from it, so that they agree.
type Table struct {
	Program  string   // the name that starts each message: "publisher"
	Summary  string   // half a line on what the program does
	Usage    string   // what follows the program's name on the usage line
	Examples []string // whole lines
	Groups   []Group  // those of every program, such as --help, are added to the last one
	OneOf    []string // long names of options that exclude each other
	Notes    []string // paragraphs at the end of the help text
	Operand  *string  // where a single argument that is no option goes; nil: there is none

	origin map[string]origin // of each option that Parse set, by long name
}

// Group is a titled part of the help text.
type Group struct {
	Title   string
	Options []Option
}

// Option is one line of the table. Its kind is the type that Value points to:
//
//	*string         text; with Choices, one of these
//	*[]string       text that may be given again; in a variable, words separated by spaces
//	*int            a whole number
//	*time.Duration  2 or 0.5 (seconds), 250ms, 1m30s
//	*bool           a switch that takes no value; in a variable, one of 1 0 true false yes no on off
type Option struct {
	Letter   string   // "n", or empty
	Name     string   // "count": --count, and MQTT_PUBLISHER_COUNT
	Metavar  string   // what the help calls the value: "N". FILE and DIR are completed as such, 0|1|2 as one of these
	Value    any      // where Parse stores the value; see above
	Default  string   // as one would write it on the command line; empty: the zero value
	Min, Max string   // of a number or a time, written like Default; empty: no limit (a time is never negative)
	Choices  []string // of a text: the only ones
	Usual    []string // of a text: what the shells complete besides
	Empty    bool     // an empty text is a value
	Optional string   // the value if the option stands alone, --trace; another one is attached, --trace=brief
	Help     string   // half a sentence
}

// origin says who set an option.
type origin uint8

const (
	fromDefault origin = iota
	fromEnvironment
	fromFlag
)

// Parse stores the value of each option of t: from p.Args, else from the environment, else the default. An empty
// variable counts as unset. Where an option is given twice the last one wins, unless its kind collects.
//
// If the program has nothing more to do, because help, version, completions or the man page was asked for or because
// something is wrong, Parse has printed it and returns the exit code and true.
func (t *Table) Parse(p *Process) (code ExitCode, done bool) {
	words, err := t.collect(p.Args)
	var text string
	switch {
	case err != nil:
	case words["help"] != nil:
		text = t.Help()
	case words["version"] != nil:
		text = t.Program + " " + Version() + "\n"
	case words["man"] != nil:
		text = t.ManPage()
	case words["completion"] != nil:
		text, err = t.completion(words["completion"])
	default:
		err = t.store(words, p.Getenv)
	}
	if err != nil {
		return t.Mistake(p, "%w", err), true
	}
	if text == "" {
		return ExitDone, false
	}
	if _, err := io.WriteString(p.Stdout, text); err != nil && !isClosedPipe(err) {
		io.WriteString(p.Stderr, t.Program+": "+outputError(err).Error()+"\n")
		return ExitLocal, true
	}
	return ExitDone, true
}

// Mistake prints one line about a mistake in the use of the program, and returns the exit code for it.
func (t *Table) Mistake(p *Process, format string, args ...any) ExitCode {
	fmt.Fprintf(p.Stderr, "%s: %s (%[1]s --help lists the options)\n", t.Program, oneLine(errorf(format, args...).Error()))
	return ExitUsage
}

// Given reports whether the option with this long name has its value from the command line or the environment.
//
//go:noinline
func (t *Table) Given(name string) bool {
	return t.origin[name] != fromDefault
}

// FlagGiven is Given for the command line alone.
func (t *Table) FlagGiven(name string) bool {
	return t.origin[name] == fromFlag
}

// Variable returns the name of the environment variable of the option with this long name.
func (t *Table) Variable(name string) string {
	return "MQTT_" + upper(replace(t.Program+"_"+name, " ", "_", "-", "_"))
}

// upper writes the name of a program or of an option in capital letters.
func upper(name string) string { return strings.Map(unicode.ToUpper, name) }

// options returns all options in the order of the help text, with those of every program.
func (t *Table) options() (all []*Option) {
	for _, g := range t.sections() {
		for i := range g.Options {
			all = append(all, &g.Options[i])
		}
	}
	return all
}

// sections returns the groups, with the options of every program in the last one.
func (t *Table) sections() []Group {
	sections := slices.Clone(t.Groups)
	if len(sections) == 0 {
		sections = []Group{{Title: "Options"}}
	}
	last := &sections[len(sections)-1]
	last.Options = slices.Concat(last.Options, t.common())
	return sections
}

// common returns the options of every program. They have no variable: they are about this one call. A command of a
// program has neither a man page nor completions.
func (t *Table) common() []Option {
	common := []Option{
		{Letter: "h", Name: "help", Value: new(bool), Help: "this text"},
		{Name: "version", Value: new(bool), Help: "version and build"},
		{Name: "completion", Metavar: "SHELL", Value: new(string), Choices: []string{"bash", "zsh", "fish"},
			Help: "print completions for bash, zsh or fish"},
		{Name: "man", Value: new(bool), Help: "print the man page: " + t.Program + " --man | man -l -"},
	}
	if strings.Contains(t.Program, " ") {
		return common[:2]
	}
	return common
}

// collect returns the text of each value on the command line, by long name. Options may stand before and behind an
// operand; all behind "--" are operands.
func (t *Table) collect(args []string) (map[string][]string, error) {
	words := map[string][]string{}
	var operands []string
	hint := "a value with spaces needs quotes"
	for arg := ""; len(args) > 0; {
		before := arg
		arg, args = args[0], args[1:]
		switch {
		case arg == "--":
			operands = append(operands, args...)
			args = nil
		case len(arg) < 2 || arg[0] != '-':
			if before == "-h" && operands == nil && t.find("endpoint", false) != nil { // as with mosquitto_pub
				return nil, errors.New("-h is help, and --endpoint (-e) names the server: -e mqtt://HOST without TLS, -e HOST with it")
			}
			if o := t.find(strings.TrimPrefix(before, "--"), false); o != nil && o.Optional != "" && operands == nil {
				hint = "a value is attached: " + before + "=" + o.Choices[max(0, slices.Index(o.Choices, arg))]
			}
			operands = append(operands, arg)
		default:
			var err error
			if args, err = t.read(words, arg, args); err != nil {
				return nil, err
			}
		}
	}
	switch {
	case words["help"] != nil, words["version"] != nil:
	case len(operands) == 1 && t.Operand != nil:
		*t.Operand = operands[0]
	case len(operands) > 0:
		return nil, errorf("unexpected argument %s; %s", quote(operands[0]), hint)
	}
	return words, nil
}

// read reads the option arg, and from rest its value if it takes one and has none attached. It returns what is left.
// -n5 is -n 5, and -rl is -r -l.
func (t *Table) read(words map[string][]string, arg string, rest []string) ([]string, error) {
	long := strings.HasPrefix(arg, "--")
	name, value, attached := strings.Cut(strings.TrimPrefix(arg[1:], "-"), "=")
	o := t.find(name, !long)
	if o == nil && !long {
		if o = t.find(arg[1:2], true); o != nil && o.isSwitch() {
			rest = append([]string{"-" + arg[2:]}, rest...)
			attached = false
		} else {
			value, attached = arg[2:], true
		}
	}
	switch {
	case o == nil:
		return nil, t.unknown(arg, name)
	case attached:
	case o.isSwitch():
		value = "true"
	case o.Optional != "":
		value = o.Optional
	case len(rest) == 0, o.Max != "" && len(rest[0]) == 2 && rest[0][0] == '-' && rest[0][1] > '9':
		// -t is no number: who writes -n -t a takes -n for a switch.
		return nil, errorf("%s needs a value: %[1]s %s", arg, o.Metavar)
	default:
		value, rest = rest[0], rest[1:]
	}
	words[o.Name] = append(words[o.Name], value)
	return rest, nil
}

// find returns the option with this long name, or, behind a single hyphen, this letter; nil: there is none.
func (t *Table) find(name string, letters bool) *Option {
	for _, o := range t.options() {
		if o.Name == name || letters && name != "" && o.Letter == name {
			return o
		}
	}
	return nil
}

func (o *Option) isSwitch() bool {
	_, ok := o.Value.(*bool)
	return ok
}

// unknown says that there is no such option, and which one may have been meant.
func (t *Table) unknown(arg, name string) error {
	arg, _, _ = strings.Cut(arg, "=")
	err := errorf("no such option: %s", printable(arg))
	best := 3
	for _, o := range t.options() {
		if len(name) == 1 && upper(name) == upper(o.Letter) {
			return errorf("%w; did you mean %s?", err, o.spelling())
		}
		if d := distance(name, o.Name); d < best && 2*d <= len(name) {
			best = d
			err = errorf("no such option: %s; did you mean --%s?", printable(arg), o.Name)
		}
	}
	return err
}

// distance is the number of characters to insert, delete or replace, or of neighbours to swap, that lead from a to b. What
// is swapped is not touched again.
func distance(a, b string) int {
	var before, above []int // the rows for two characters of a fewer, and for one
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		before, above, row = above, row, make([]int, len(b)+1)
		row[0] = i + 1
		for j := range len(b) {
			cost := above[j]
			if a[i] != b[j] {
				cost++
			}
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				cost = min(cost, before[j-1]+1)
			}
			row[j+1] = min(cost, row[j]+1, above[j+1]+1)
		}
	}
	return row[len(b)]
}

// store converts the text of each value, from words or the environment or the default, and puts it where it belongs.
func (t *Table) store(words map[string][]string, getenv func(string) string) error {
	t.origin = map[string]origin{}
	oneByFlag, err := t.oneOf(words)
	if err != nil {
		return err
	}
	own := t.options()
	for _, o := range own[:len(own)-len(t.common())] {
		if o.Default != "" {
			if err := o.set([]string{o.Default}); err != nil {
				panic("cli: default of " + o.spelling() + ": " + err.Error())
			}
		}
		if texts := words[o.Name]; texts != nil {
			t.origin[o.Name] = fromFlag
			if err := o.set(texts); err != nil {
				return errorf("%s: %w", o.spelling(), err)
			}
			continue
		}
		if oneByFlag && slices.Contains(t.OneOf, o.Name) {
			continue // A flag wins over the variables of the options that it excludes, too.
		}
		variable := t.Variable(o.Name)
		if text := getenv(variable); text != "" {
			t.origin[o.Name] = fromEnvironment
			if err := o.setVariable(text); err != nil {
				return errorf("%s: %w", variable, err)
			}
		}
	}
	return t.oneVariable()
}

// oneOf reports whether one of the options of t.OneOf is on the command line. Two are a mistake.
func (t *Table) oneOf(words map[string][]string) (bool, error) {
	var first *Option
	for _, o := range t.options() {
		if words[o.Name] == nil || !slices.Contains(t.OneOf, o.Name) {
			continue
		}
		if first != nil {
			return false, errorf("%s and %s exclude each other", first.spelling(), o.spelling())
		}
		first = o
	}
	return first != nil, nil
}

// oneVariable refuses two variables of options that exclude each other.
func (t *Table) oneVariable() error {
	var first string
	for _, name := range t.OneOf {
		if t.origin[name] != fromEnvironment {
			continue
		}
		if first != "" {
			return errorf("%s and %s exclude each other", t.Variable(first), t.Variable(name))
		}
		first = name
	}
	return nil
}

// spelling is the option as messages name it: -n/--count.
func (o *Option) spelling() string {
	if o.Letter == "" {
		return "--" + o.Name
	}
	return "-" + o.Letter + "/--" + o.Name
}
