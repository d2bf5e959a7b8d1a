package main

import (
	"cmp"
	_ "embed"
	"encoding/hex"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"

	"iotwire/internal/cli"
	"iotwire/mqtt/dissect"
)

// enforcedTable says where each statement is enforced, as the source says it of itself: a line has an id, what is there
// (see wordsFor), a file, and a function or type in it. TestEnforcedTable writes it.
//
//go:embed enforced.tsv
var enforcedTable string

// wordsFor are what can be at a place that names a statement.
var wordsFor = []struct{ kind, words string }{
	{"client", "the client    "},
	{"broker", "testbroker    "},
	{"dissect", "dissect flags "},
	{"test", "tested by     "},
}

// nowhere are the statements that neither the client nor testbroker can keep or break, and why.
var nowhere = map[string]string{
	"MQTT-6.0.0-1": withoutWebSocket,
	"MQTT-6.0.0-2": withoutWebSocket,
	"MQTT-6.0.0-3": withoutWebSocket,
	"MQTT-6.0.0-4": withoutWebSocket,
	"MQTT-7.0.0-1": "testbroker does not connect to other servers",
	"MQTT-7.0.0-2": "no line of code can keep it: it asks to leave things out",
}

const withoutWebSocket = "the client and testbroker speak no WebSocket; internal/peers/websocket_test.go is a connection for it"

// withoutStatements is the sections in which, as a whole, there is no numbered statement.
var withoutStatements = regexp.MustCompile(`^(2\.1|2\.4|3\.4|3\.5|3\.7|3\.11|3\.13|4\.2)(\.|$)`)

// statementsAbove returns the statements of the section that this one is a part of, 3.3.1 for 3.3.1.2, or else of the
// last in front of it, 3.12.4 for 3.13, and the number of that section.
func statementsAbove(section string) (found []dissect.Statement, above string) {
	if strings.Trim(section, "0123456789.") != "" {
		return nil, ""
	}
	for above = section; strings.Count(above, ".") > 1; {
		above = above[:strings.LastIndexByte(above, '.')]
		if found = dissect.StatementsOf(above); len(found) > 0 {
			return found, above
		}
	}
	if !withoutStatements.MatchString(section) {
		return nil, ""
	}
	above = ""
	for s := range dissect.Statements() {
		if here := s.Section(); sectionBefore(here, section) && (above == "" || sectionBefore(above, here)) {
			above = here
		}
	}
	return dissect.StatementsOf(above), above
}

// sectionBefore reports whether section a stands in front of b in the standard.
func sectionBefore(a, b string) bool {
	return slices.CompareFunc(strings.Split(a, "."), strings.Split(b, "."), func(a, b string) int {
		return cmp.Or(cmp.Compare(len(a), len(b)), strings.Compare(a, b))
	}) < 0
}

// showStatements is dissect --spec.
func (o *options) showStatements(t *cli.Table, p *cli.Process) cli.ExitCode {
	wanted := strings.NewReplacer("§", "", "[", "", "]", "", " ", "").Replace(strings.TrimPrefix(strings.TrimSpace(o.spec), "section "))
	found := dissect.StatementsOf(wanted)
	var b strings.Builder
	if len(found) == 0 {
		var above string
		if found, above = statementsAbove(wanted); len(found) == 0 {
			return t.Mistake(p, "--spec %q: no such statement or section; it is written 3.3.1-4 or 3.3", o.spec)
		}
		fmt.Fprintf(&b, "Section %s has no numbered statement. The nearest above it is in section %s:\n\n", wanted, above)
	}
	for _, s := range found {
		who := s.Who
		if who == "both" {
			who = "both client and server"
		}
		separator := "·"
		section := "§" + s.Section()
		if !cli.UTF8(p) {
			separator, section = "|", "section "+s.Section()
		}
		fmt.Fprintf(&b, "%s  %s %s %s\n  %s\n", s.ID, who, separator, section, s.Text)
		if fields := fieldsOf(s.ID); len(fields) > 0 {
			fmt.Fprintf(&b, "  in            %s\n", strings.Join(fields, "; "))
		}
		if why := nowhere[s.ID]; why != "" {
			fmt.Fprintf(&b, "  not here      %s\n", why)
		}
		for _, w := range wordsFor {
			for i, place := range placesOf(s.ID, w.kind) {
				words := w.words
				if i > 0 {
					words = strings.Repeat(" ", len(words))
				}
				fmt.Fprintf(&b, "  %s%s\n", words, place)
			}
		}
	}
	if _, err := io.WriteString(p.Stdout, b.String()); err != nil {
		return cli.ExitLocal
	}
	return cli.ExitDone
}

// placesOf are the files of a kind that enforce a statement, each with the names in it.
func placesOf(id, kind string) (places []string) {
	last := ""
	for line := range strings.Lines(enforcedTable) {
		column := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
		if len(column) != 4 || column[0] != id || column[1] != kind {
			continue
		}
		if file, name := column[2], column[3]; file == last {
			places[len(places)-1] += ", " + name
		} else {
			places = append(places, file+": "+name)
			last = file
		}
	}
	return places
}

// samples has a packet of each type with every field that it can have.
var samples = []string{
	"1034 00044d515454 04 ee 003c 0009746573742d70756232 0009746573742f77696c6c 0004676f6e65 000475736572 0006736563726574",
	"20020000", "320a 0006746573742f61 0009", "40020001", "50020001", "62020001", "70020001",
	"820b 0007 0006746573742f23 02", "9003000702", "a20a 0008 0006746573742f23", "b0020008", "c000", "d000", "e000",
}

// fieldsOf are the fields that a statement is about, with the packets that have them: "QoS of PUBLISH".
func fieldsOf(id string) (found []string) {
	var names []string
	packets := map[string][]string{}
	for _, digits := range samples {
		b, _ := hex.DecodeString(strings.ReplaceAll(digits, " ", ""))
		p, _ := dissect.Read(b, dissect.Unknown)
		for _, f := range p.Fields {
			name := strings.TrimSuffix(f.Name, " 1")
			if !slices.Contains(f.Statements, id) {
				continue
			}
			if packets[name] == nil {
				names = append(names, name)
			}
			packets[name] = append(packets[name], p.Name())
		}
	}
	for _, name := range names {
		of := strings.Join(packets[name], ", ")
		if n := len(packets[name]); n > 4 {
			of = fmt.Sprintf("%d packets", n)
		}
		found = append(found, name+" of "+of)
	}
	return found
}
