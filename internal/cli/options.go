// Package cli is the programs without their main functions: options, help, exit codes, output, and what publisher and
// subscriber do. Nothing in it ends the process or knows which one it is in: see [Process].
package cli

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"slices"
	"strings"
)

// Table is everything a program says about its options. Parsing, the help text and the names of the environment
// variables all come from it, so that they agree.
type Table struct {
	Program  string   // the name that starts each message: "publisher"
	Summary  string   // half a line on what the program does
	Usage    string   // what follows the program's name on the usage line
	Examples []string // whole lines
	Groups   []Group  // --help and --version are added to the last one by Parse and Help
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
	Metavar  string   // what the help calls the value: "N"
	Value    any      // where Parse stores the value; see above
	Default  string   // as one would write it on the command line; empty: the zero value
	Min, Max string   // of a number or a time, written like Default; empty: no limit (a time is never negative)
	Choices  []string // of a text: the only ones
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
// If the program has nothing more to do, because help or version was asked for or because something is wrong, Parse
// has printed it and returns the exit code and true.
func (t *Table) Parse(p *Process) (code ExitCode, done bool) {
	words, err := t.collect(p.Args)
	switch {
	case errors.Is(err, errHelp):
		io.WriteString(p.Stdout, t.Help())
		return ExitDone, true
	case errors.Is(err, errVersion):
		fmt.Fprintln(p.Stdout, t.Program, Version())
		return ExitDone, true
	case err == nil:
		err = t.store(words, p.Getenv)
	}
	if err != nil {
		return t.Mistake(p, "%w", err), true
	}
	return ExitDone, false
}

// Mistake prints one line about a mistake in the use of the program, and returns the exit code for it.
func (t *Table) Mistake(p *Process, format string, args ...any) ExitCode {
	fmt.Fprintf(p.Stderr, "%s: %v (%[1]s --help lists the options)\n", t.Program, fmt.Errorf(format, args...))
	return ExitUsage
}

// Given reports whether the option with this long name has its value from the command line or the environment.
func (t *Table) Given(name string) bool {
	return t.origin[name] != fromDefault
}

// FlagGiven is Given for the command line alone.
func (t *Table) FlagGiven(name string) bool {
	return t.origin[name] == fromFlag
}

// Variable returns the name of the environment variable of the option with this long name.
func (t *Table) Variable(name string) string {
	return "MQTT_" + strings.ToUpper(strings.NewReplacer(" ", "_", "-", "_").Replace(t.Program+"_"+name))
}

var (
	errHelp    = errors.New("help was asked for")
	errVersion = errors.New("version was asked for")
)

// options returns all options in the order of the help text, with --help and --version.
func (t *Table) options() []Option {
	var all []Option
	for _, g := range t.Groups {
		all = append(all, g.Options...)
	}
	return append(all, common()...)
}

// common returns the options of every program. They have no variable: they are about this one call.
func common() []Option {
	return []Option{
		{Letter: "h", Name: "help", Value: new(bool), Help: "this text"},
		{Name: "version", Value: new(bool), Help: "version and build"},
	}
}

// collect returns the text of each value on the command line, by long name.
func (t *Table) collect(args []string) (map[string][]string, error) {
	words := map[string][]string{}
	flags := flag.NewFlagSet(t.Program, flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	for _, o := range t.options() {
		w := &word{words, o}
		flags.Var(w, o.Name, "")
		if o.Letter != "" {
			flags.Var(w, o.Letter, "")
		}
	}
	args, err := t.split(flags, args)
	if err != nil {
		return nil, err
	}
	if err := flags.Parse(args); err != nil {
		return nil, err // split has found every mistake that flag knows
	}
	switch {
	case words["help"] != nil:
		return nil, errHelp
	case words["version"] != nil:
		return nil, errVersion
	case flags.NArg() == 1 && t.Operand != nil:
		*t.Operand = flags.Arg(0)
	case flags.NArg() > 0:
		return nil, fmt.Errorf("unexpected argument %s; a value with spaces needs quotes", quote(flags.Arg(0)))
	}
	return words, nil
}

// word is an option as package flag sees it: it keeps the text of its values for later.
type word struct {
	words  map[string][]string
	option Option
}

func (w *word) String() string { return "" }

func (w *word) IsBoolFlag() bool { return w.option.isSwitch() }

func (w *word) Set(s string) error {
	w.words[w.option.Name] = append(w.words[w.option.Name], s)
	return nil
}

func (o Option) isSwitch() bool {
	_, ok := o.Value.(*bool)
	return ok
}

// split writes args in the way that package flag understands: -n5 becomes -n 5, and -rl becomes -r -l. It refuses
// names that are not there and values that are missing.
func (t *Table) split(flags *flag.FlagSet, args []string) (out []string, err error) {
	for len(args) > 0 && len(args[0]) > 1 && args[0][0] == '-' && args[0] != "--" {
		arg := args[0]
		args = args[1:]
		name, _, attached := strings.Cut(strings.TrimPrefix(arg[1:], "-"), "=")
		long := arg[1] == '-'
		known := flags.Lookup(name)
		if known == nil && !long {
			if letter := flags.Lookup(arg[1:2]); letter != nil {
				out = append(out, arg[:2])
				if optionOf(letter).isSwitch() {
					args = append([]string{"-" + arg[2:]}, args...)
				} else {
					out = append(out, arg[2:])
				}
				continue
			}
		}
		if known == nil || long && len(name) == 1 {
			return nil, t.unknown(arg, name)
		}
		if o := optionOf(known); o.Optional != "" && !attached {
			out = append(out, arg+"="+o.Optional)
			continue
		}
		out = append(out, arg)
		if attached || optionOf(known).isSwitch() {
			continue
		}
		if len(args) == 0 {
			return nil, fmt.Errorf("%s needs a value: %[1]s %s", arg, optionOf(known).Metavar)
		}
		out = append(out, args[0])
		args = args[1:]
	}
	return append(out, args...), nil
}

func optionOf(f *flag.Flag) Option { return f.Value.(*word).option }

// unknown says that there is no such option, and which one may have been meant.
func (t *Table) unknown(arg, name string) error {
	arg, _, _ = strings.Cut(arg, "=")
	err := fmt.Errorf("no such option: %s", printable(arg))
	best := 3
	for _, o := range t.options() {
		if len(name) == 1 && strings.EqualFold(name, o.Letter) {
			return fmt.Errorf("%w; did you mean -%s?", err, o.Letter)
		}
		if d := distance(name, o.Name); d < best && d < len(name) {
			best = d
			err = fmt.Errorf("no such option: %s; did you mean --%s?", printable(arg), o.Name)
		}
	}
	return err
}

// distance is the number of characters to insert, delete or replace that lead from a to b.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
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
	for _, g := range t.Groups {
		for _, o := range g.Options {
			if o.Default != "" {
				if err := o.set([]string{o.Default}); err != nil {
					panic("cli: default of " + o.spelling() + ": " + err.Error())
				}
			}
			if texts := words[o.Name]; texts != nil {
				t.origin[o.Name] = fromFlag
				if err := o.set(texts); err != nil {
					return fmt.Errorf("%s: %w", o.spelling(), err)
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
					return fmt.Errorf("%s: %w", variable, err)
				}
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
			return false, fmt.Errorf("%s and %s exclude each other", first.spelling(), o.spelling())
		}
		first = &o
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
			return fmt.Errorf("%s and %s exclude each other", t.Variable(first), t.Variable(name))
		}
		first = name
	}
	return nil
}

// spelling is the option as messages name it: -n/--count.
func (o Option) spelling() string {
	if o.Letter == "" {
		return "--" + o.Name
	}
	return "-" + o.Letter + "/--" + o.Name
}
