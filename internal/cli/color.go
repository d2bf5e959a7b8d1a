package cli

// Colors are the values of an option that says when there is colour.
var Colors = []string{"auto", "always", "never"}

// Colored reports whether what is written to a stream has colours: it is the one place where that is decided. terminal says
// whether the stream is a terminal, when is one of [Colors], as an option has it; "" is auto. An option that says always
// or never wins; else there are colours on a terminal that can show them, unless NO_COLOR is set to something.
func (p *Process) Colored(terminal bool, when string) bool {
	switch when {
	case "always":
		return true
	case "never":
		return false
	}
	kind := p.Getenv("TERM") // empty where nobody knows what it can do: in a console of Windows, or without a login
	return terminal && kind != "" && kind != "dumb" && p.Getenv("NO_COLOR") == ""
}
