package dissect

import (
	"fmt"
	"slices"
	"strings"
)

// pageWriter writes a page once.
type pageWriter struct {
	markup
	layout      Layout
	entries     []pageEntry
	connections []*PageConnection // those that have entries
	runs        int               // of bytes, so far
	cited       map[string]bool   // statements

	types     [16]bool        // that were explained
	explained map[string]bool // fields
}

// name is the anchor of a packet: "p3-publish", and "c2-p3-publish" in the second connection.
func (e *pageEntry) name() string {
	var m markup
	if e.number > 1 {
		m.add("c{}-", digits(e.number))
	}
	m.add("p{}-{}", digits(e.packet.Number), strings.ReplaceAll(strings.ToLower(e.packet.Name()), " ", "-"))
	return string(m.b)
}

// side is the class of a packet: who sent it.
//
//go:noinline
func (p *Packet) side() string { return [...]string{"any", "c2s", "s2c"}[p.Direction%3] }

// link is a link to a packet.
func (w *pageWriter) link(e *pageEntry) {
	w.add(`<a href="#{}">{} {} {}</a>`, e.name(), arrow(e.packet.Direction), digits(e.packet.Number), e.packet.Name())
}

// card explains a packet. The first of its type is open, and says why it is there.
func (w *pageWriter) card(e *pageEntry, name string) {
	p := &e.packet
	explain := !p.NotMQTT && !w.types[p.Type&15]
	w.add("<details class=\"card {}\" id=\"{}\"", p.side(), name)
	if explain || len(p.Findings) > 0 || p.Missing > 0 || p.NotMQTT {
		w.add(` open=""`)
	}
	w.add(">\n<summary><span class=\"arrow\">{}</span> ", arrow(p.Direction))
	if e.PageConnection != nil {
		w.add("<span class=\"number\">{}</span> ", digits(p.Number))
	}
	w.add("<b>{}</b> <span class=\"what\">{}</span> <span class=\"meta\">", p.Name(), e.what)
	if e.PageConnection != nil && p.Direction != Unknown {
		w.add("{} s · ", moment(p.Time))
	}
	w.add("{} · <a href=\"{}\">§{}</a></span></summary>\n", count(e.length, "byte"), standard(p.Section()), p.Section())
	w.bytes(e)
	w.findings(e)
	w.relations(e)
	if explain {
		w.types[p.Type&15] = true
		w.why(p)
	}
	w.add("</details>\n")
}

// bytes writes the bytes of a packet, a run for each field, and under them the table of the fields.
func (w *pageWriter) bytes(e *pageEntry) {
	p := &e.packet
	first, last := w.runs+1, -1
	w.add(`<div class="strip">`)
	for i := range p.Fields {
		if f := &p.Fields[i]; f.Offset != last && f.Offset < len(p.Bytes) {
			last = f.Offset
			w.runs++
			w.run(p, f)
		}
	}
	if end := e.shown(); end < e.length {
		w.add("<span>… and {}</span>", count(e.length-end, "byte")+" more")
	}
	w.add("</div>\n<table>\n<tr><th>at</th><th>bytes or bits</th><th>field</th><th>value and meaning</th><th>rules</th></tr>\n")
	row := first - 1
	last = -1
	for i := range p.Fields {
		f := &p.Fields[i]
		if f.Offset >= len(p.Bytes) {
			break
		}
		begins := f.Offset != last
		if begins {
			last = f.Offset
			row++
		}
		w.row(p, f, row, begins)
	}
	w.add("</table>\n")
	if n := e.fields - len(p.Fields); n > 0 {
		w.add("<p>{} left out here: <code>dissect</code> shows them.</p>\n", count(n, "field")+" more, "+count(e.length-e.shown(), "byte")+",")
	}
}

// shown is how many bytes of a packet stand on the page, shortened runs taken for whole.
func (e *pageEntry) shown() int {
	if len(e.packet.Fields) == 0 {
		return 0
	}
	f := e.packet.Fields[len(e.packet.Fields)-1]
	return f.Offset + f.Length
}

// class is the class of a field: the part of the packet that it is in.
func (f *Field) class() string { return "fvp"[f.Part%3 : f.Part%3+1] }

// run is the bytes of a field, or the byte whose bits are several fields.
func (w *pageWriter) run(p *Packet, f *Field) {
	class := f.class()
	for _, finding := range p.Findings {
		if finding.Level == Broken && finding.Offset >= f.Offset && finding.Offset < f.Offset+f.Length {
			class += " bad"
			break
		}
	}
	w.add(`<a class="{}" id="b{}" data-b="{}" href="#f{}">`, class, digits(w.runs), digits(w.runs), digits(w.runs))
	end := min(f.Offset+f.Length, len(p.Bytes))
	raw := p.Bytes[f.Offset:end]
	if len(raw) > pageRun {
		raw = raw[:pageRun*3/4]
	}
	if f.Secret && !w.layout.ShowSecrets {
		w.add(repeat("** ", len(raw)))
	} else {
		w.b = fmt.Appendf(w.b, "% x", raw)
	}
	if len(raw) < f.Length {
		w.add(" <i>… {}</i>", count(f.Length-len(raw), "byte"))
	}
	w.add("</a>\n")
}

// row is a field in the table. The first one of its run is the target of the run's link, and leads back to it.
func (w *pageWriter) row(p *Packet, f *Field, run int, first bool) {
	at := f.Offset
	w.add(`<tr class="{}" data-b="{}"`, [...]string{"f", "v", "p"}[f.Part%3], digits(run))
	if first {
		w.add(` id="f{}"><td><a href="#b{}">{}</a></td>`, digits(run), digits(run), fmt.Sprintf("%04x", at))
	} else {
		w.add("><td></td>")
	}
	bits := w.layout.someBytes(f, p.Bytes[at:min(at+f.Length, len(p.Bytes))])
	if f.Mask != 0xff {
		bits = w.layout.diagram(f.Mask, p.Bytes[at])
	}
	w.add("<td><code>{}</code></td><th>{}</th><td>{}</td><td><a href=\"{}\">§{}</a>", bits, f.Name, w.layout.value(f), standard(f.Section), f.Section)
	for _, id := range f.Statements {
		w.cite(id)
	}
	w.add("</td></tr>\n")
}

// cite is a link to a statement, or to a section if it is none.
func (w *pageWriter) cite(rule string) {
	if id, found := strings.CutPrefix(rule, "MQTT-"); found {
		w.cited[rule] = true
		w.add(" <a class=\"rule\" href=\"#{}\">{}</a>", rule, id)
		return
	}
	w.add(" <a class=\"rule\" href=\"{}\">§{}</a>", standard(rule), rule)
}

// findings are what is wrong with a packet, and notes.
func (w *pageWriter) findings(e *pageEntry) {
	p := &e.packet
	for _, f := range p.Findings {
		title := "Broken"
		if f.Level == Unwise {
			title = "Unwise"
		}
		w.add("<p class=\"{}\"><b>{}</b> at byte {}: {}", f.Level.String(), title, digits(f.Offset), f.Text)
		for _, rule := range f.Rules {
			w.cite(rule)
		}
		w.add("</p>\n")
	}
	if p.Missing > 0 {
		w.add("<p class=\"broken\"><b>Cut short</b>: {} of the packet came, and at least {} more belong to it.</p>\n", count(e.length, "byte"), digits(p.Missing))
	}
	for _, note := range p.Notes {
		if p.Answers == 0 || !strings.HasPrefix(note, "answers ") { // relations has it with a link
			w.add("<p class=\"note\">{}</p>\n", note)
		}
	}
}

// relations says what the packet answers, and what answers it.
func (w *pageWriter) relations(e *pageEntry) {
	if e.PageConnection == nil {
		return
	}
	for i := range w.entries {
		other := &w.entries[i]
		if other.PageConnection != e.PageConnection {
			continue
		}
		if other.packet.Number == e.packet.Answers {
			w.add("<p class=\"note\">Answers ")
			w.link(other)
			w.add("{}.</p>\n", e.packet.after())
		}
		if other.packet.Answers == e.packet.Number {
			w.add("<p class=\"note\">Answered by ")
			w.link(other)
			w.add("{}.</p>\n", other.packet.after())
		}
	}
}

// why says why there are packets of this type, what their fields are for, and what could go wrong.
func (w *pageWriter) why(p *Packet) {
	purpose := typeSentences[p.Type]
	if purpose == "" {
		purpose = purposes[p.Type]
	}
	w.add("<section class=\"why\"><h4>Why</h4>\n<p>{}</p>\n", purpose)
	for i := range p.Fields {
		if name := p.Fields[i].Name; sentence(name) != "" && !w.explained[name] {
			w.explained[name] = true
			w.add("<p><b>{}</b> {}</p>\n", name, sentence(name))
		}
	}
	w.add("</section>\n<section class=\"wrongs\"><h4>What could go wrong</h4>\n<p>{}</p>\n", mishaps[p.Type])
	var ids []string
	for i := range p.Fields {
		for _, id := range p.Fields[i].Statements {
			if !slices.Contains(ids, id) {
				ids = append(ids, id)
			}
		}
	}
	if len(ids) > 0 {
		w.add("<details><summary>{}</summary><dl>\n", count(len(ids), "statement")+" of the standard guard this packet")
		for _, id := range ids {
			w.add("<dt>")
			w.cite(id)
			w.add("</dt><dd>{}</dd>\n", statementText(id))
		}
		w.add("</dl></details>\n")
	}
	w.add("</section>\n")
}

// purposes say why there is a type of packet, where no sentence of a trace does.
var purposes = [16]string{
	connect: "The client says which protocol it speaks, who it is, whether the two go on where they left off, and what the server is to " +
		"publish should it vanish.",
	connack:     "The server says whether it lets the client in, and whether it remembers it.",
	publish:     "A message on its way: the same packet to the server and to each subscriber. Its QoS decides what has to follow.",
	subscribe:   "The client says which messages it wants, and how much care the server is to take of them.",
	suback:      "The server answers each Topic Filter, in their order.",
	unsubscribe: "The client wants no more messages of these Topic Filters.",
}

// mishaps say what could go wrong around a type of packet.
var mishaps = [16]string{
	connect: "A server that does not like it may hang up without a word: AWS IoT Core does if the policy does not allow iot:Connect for this " +
		"Client Identifier. A second client with the same one ends this connection.",
	connack: "After a return code above 0 the connection ends. After Session Present 0 the server knows no subscriptions: a client that " +
		"counts on them waits for ever.",
	publish: "If the connection breaks before the answer comes, the sender cannot know whether the message arrived. At QoS 0 it may be lost; " +
		"at QoS 1 it comes again with DUP 1, perhaps a second time; QoS 2 takes more packets and does neither. AWS IoT Core hangs up on a " +
		"topic that the policy does not allow.",
	puback: "If it is lost, the sender repeats a message that has arrived.",
	pubrec: "If it is lost, the PUBLISH comes again, and must be answered without being taken for a new message.",
	pubrel: "A sender that repeats the PUBLISH after it makes two messages of one: the receiver has forgotten the identifier.",
	pubcomp: "If it is lost, PUBREL comes again, and is answered again, even by a receiver that knows nothing of it any more; a sender that " +
		"waits for it in vain cannot use the identifier.",
	subscribe:   "A filter that breaks a rule ends the connection; so does, with AWS IoT Core, one that the policy does not allow.",
	suback:      "0x80 is easily overlooked: the connection goes on, and the messages never come.",
	unsubscribe: "Messages that the server had begun to send may come after it.",
	unsuback:    "A misspelt filter is answered just as well, and its messages go on coming.",
	pingreq:     "If nothing leaves the client for one and a half times its Keep Alive, the server hangs up and publishes the Will.",
	pingresp:    "TCP may take many minutes to notice a dead connection; a client that waits for this packet takes seconds.",
	disconnect:  "If a connection ends without it, the server publishes the Will, whatever the reason.",
}
