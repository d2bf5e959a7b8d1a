package dissect

import (
	_ "embed"
	"iter"
	"strings"
)

// statementTable has those numbered statements of the standard, in our words, that a packet can obey or break before our
// eyes, and that traces and pages cite: id without "MQTT-", text.
//
//go:embed statements.tsv
var statementTable string

// roleTable has all of them: id, who, layer, client role, and the text of those that are not in statementTable. A program
// that does not ask for them has no copy of it.
//
//go:embed roles.tsv
var roleTable string

// Statement is a numbered statement of the standard (appendix B), in our words.
type Statement struct {
	ID    string // "MQTT-3.3.1-4", as the standard spells it
	Text  string
	Who   string // "client", "server" or "both": who has to obey it
	Layer string // "codec", "session", "client", "topic", "server", "transport" or "conformance"
	Role  string // of a client: to "do" it, to "check" it, "both" or "none"
}

// Section returns the section that the statement stands in: "3.3.1".
func (s Statement) Section() string {
	id := strings.TrimPrefix(s.canonical(), "MQTT-")
	section, _, _ := strings.Cut(id, "-")
	return strings.TrimSuffix(section, ".0")
}

// canonical is the identifier without the two misprints of appendix B.
func (s Statement) canonical() string {
	switch s.ID {
	case "MQTT-3-8.3-4":
		return "MQTT-3.8.3-4"
	case "MQTT-3.1.2.7":
		return "MQTT-3.1.2-7"
	}
	return s.ID
}

// Statements yields all 141 statements in the order of the standard.
func Statements() iter.Seq[Statement] {
	return func(yield func(Statement) bool) {
		first := true
		for line := range strings.Lines(roleTable) {
			if first { // the names of the columns
				first = false
				continue
			}
			c := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
			if len(c) == 5 && !yield(Statement{c[0], c[4] + statementText(c[0]), c[1], c[2], c[3]}) {
				return
			}
		}
	}
}

// statementText is the text of the statement with this id, "MQTT-3.3.1-4".
func statementText(id string) string {
	_, text, _ := strings.Cut(statementTable, "\n"+strings.TrimPrefix(id, "MQTT-")+"\t")
	text, _, _ = strings.Cut(text, "\n")
	return text
}

// StatementsOf returns the statement with this id, "MQTT-3.3.1-4" or "3.3.1-4", or those of a section, "3.3.1" or
// "3.3", or nothing if there are none. The two misprints of appendix B, 3-8.3-4 and 3.1.2.7, have their right
// spelling as well.
func StatementsOf(idOrSection string) (found []Statement) {
	want := strings.TrimPrefix(idOrSection, "MQTT-")
	for s := range Statements() {
		if id := strings.TrimPrefix(s.canonical(), "MQTT-"); want == id || "MQTT-"+want == s.ID {
			return []Statement{s}
		}
		if section := s.Section(); want != "" && (section == want || strings.HasPrefix(section, want+".")) {
			found = append(found, s)
		}
	}
	return found
}
