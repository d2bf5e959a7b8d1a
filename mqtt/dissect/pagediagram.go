package dissect

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// lanes is where the lifelines of a connection stand in the diagram, in per cent of its width.
type lanes struct{ client, server int }

// both reports whether there are two connections at the same time: they share the server, in the middle of the diagram.
func (w *pageWriter) both() bool {
	if len(w.connections) != 2 {
		return false
	}
	begun := false
	for i := range w.entries {
		second := w.entries[i].PageConnection == w.connections[1]
		if begun && !second {
			return true
		}
		begun = begun || second
	}
	return false
}

const (
	diagramRow = 46 // pixels
	laneClient = 14
	laneServer = 86
	laneShared = 50
)

// diagram is the packets as arrows between the two sides. Widths are per cent, so that it fits every screen with its
// text at the same size. Each connection is a drawing of its own, but for two at the same time.
func (w *pageWriter) diagram() {
	both := w.both()
	w.add(`<svg width="0" height="0"><defs><marker id="ac" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="8" markerHeight="8" orient="auto"><path class="c2s" d="M0 0L10 5L0 10z"/></marker>` +
		"<marker id=\"as\" viewBox=\"0 0 10 10\" refX=\"9\" refY=\"5\" markerWidth=\"8\" markerHeight=\"8\" orient=\"auto\"><path class=\"s2c\" d=\"M0 0L10 5L0 10z\"/></marker></defs></svg>\n")
	if both {
		w.drawing(w.connections, lanes{laneClient, laneShared}, lanes{laneServer, laneShared})
		return
	}
	for i := range w.connections {
		w.drawing(w.connections[i:i+1], lanes{laneClient, laneServer})
	}
}

// drawing is the diagram of some connections, each with its lanes.
func (w *pageWriter) drawing(connections []*PageConnection, of ...lanes) {
	rows := 0
	for i := range w.entries {
		if slices.Contains(connections, w.entries[i].PageConnection) {
			rows++
		}
	}
	for _, c := range connections {
		if c.fate != "" {
			rows++
		}
	}
	w.add("<div class=\"ends\">")
	w.end("c2s", "client", connections[0].from)
	w.end("s2c", "server", connections[0].to)
	if len(connections) > 1 {
		w.end("c2s", "client", connections[1].from)
	}
	bottom := rows*diagramRow + 8
	w.add("</div>\n<svg class=\"diagram\" width=\"100%\" height=\"{}\" role=\"group\" aria-label=\"sequence diagram\">\n", digits(bottom))
	w.line("life", "14%", "14%", 0, bottom)
	w.line("life", "86%", "86%", 0, bottom)
	if len(connections) > 1 {
		w.line("life", "50%", "50%", 0, bottom)
	}
	y := -diagramRow/2 + 4
	for i := range w.entries {
		if n := slices.Index(connections, w.entries[i].PageConnection); n >= 0 {
			y += diagramRow
			w.arrowOf(&w.entries[i], of[n], y, connections[0].after)
		}
	}
	for n, c := range connections {
		if c.fate != "" {
			y += diagramRow
			w.text("label fate", digits((of[n].client+of[n].server)/2)+"%", y-2, "✕ "+excerpt(c.fate, 40))
		}
	}
	w.add("</svg>\n")
}

// end is the name of a side, above its lifeline.
//
//go:noinline
func (w *pageWriter) end(class, role, name string) {
	w.add("<p class=\"{}\"><small>{}</small>{}</p>", class, role, name)
}

// arrowOf is the arrow of a packet.
func (w *pageWriter) arrowOf(e *pageEntry, l lanes, y int, began time.Duration) {
	p := &e.packet
	from, to := l.client, l.server
	if p.Direction == ToClient {
		from, to = to, from
	}
	class := p.side()
	if p.said.dup {
		class += " dup"
	}
	if p.Broken() || p.Missing > 0 || p.NotMQTT {
		class += " wrong"
	}
	left, wide := digits(min(from, to))+"%", max(from, to)-min(from, to)
	middle := digits((from+to)/2) + "%"
	w.add("<a href=\"#{}\"><rect class=\"hit\" x=\"{}\" width=\"{}%\" y=\"{}\" height=\"{}\"/>", e.name(), left, digits(wide), digits(y-22), digits(diagramRow-4))
	w.add("<text class=\"label {}\" x=\"{}\" y=\"{}\">{} <tspan class=\"kind\">{}</tspan></text>\n", class, middle, digits(y-7), digits(p.Number), p.Name())
	if e.what != "" {
		limit, what := 30, "what long" // on a narrow screen there is no room for it
		if wide > 50 {
			limit = 60
		}
		text := excerpt(e.what, limit)
		if wide > 50 && len(text) <= 34 {
			what = "what"
		}
		w.text(what, middle, y+14, text)
	}
	w.line("arrow "+class, digits(from)+"%", digits(to)+"%", y, y)
	w.add("</a>")
	x := "0"
	if class = "time"; l.client > 50 {
		class, x = "time end", "100%"
	}
	w.text(class, x, y+4, moment(p.Time+e.after-began))
}

// excerpt leaves out what comes last in a summary that is too long.
func excerpt(s string, limit int) string {
	for len(s) > limit {
		i := max(strings.LastIndex(s, ", "), strings.LastIndex(s, ": "))
		if i < 0 {
			return shorten(s, limit-1)
		}
		s = s[:i]
	}
	return s
}

// line draws a line.
func (w *pageWriter) line(class, x1, x2 string, y1, y2 int) {
	w.add("<line class=\"{}\" x1=\"{}\" x2=\"{}\" y1=\"{}\" y2=\"{}\"/>", class, x1, x2, digits(y1), digits(y2))
}

// text writes a text into a drawing.
func (w *pageWriter) text(class, x string, y int, text string) {
	w.add("<text class=\"{}\" x=\"{}\" y=\"{}\">{}</text>\n", class, x, digits(y), text)
}

// chain is packets each of which answers one before it, or repeats the first.
type chain []*pageEntry

// takes reports whether e is the next packet of the chain.
func (c chain) takes(e *pageEntry) bool {
	if c[0].PageConnection != e.PageConnection {
		return false
	}
	p, first := &e.packet, &c[0].packet
	for _, one := range c {
		if one.packet.Number == p.Answers {
			return true
		}
	}
	return p.Type == publish && p.said.dup && first.Type == publish && first.Direction == p.Direction && first.said.id == p.said.id && !c.ended()
}

// ended reports whether the last packet is one that nothing answers.
//
//go:noinline
func (c chain) ended() bool {
	switch c[len(c)-1].packet.Type {
	case connack, puback, pubcomp, suback, unsuback, pingresp:
		return true
	}
	return false
}

// chains are the packets that ask for an answer, with what came of them.
func (w *pageWriter) chains() (all []chain) {
next:
	for i := range w.entries {
		e := &w.entries[i]
		for j := range all {
			if all[j].takes(e) {
				all[j] = append(all[j], e)
				continue next
			}
		}
		switch p := &e.packet; p.Type {
		case publish:
			if p.said.qos == 0 {
				continue
			}
		case connect, subscribe, unsubscribe, pingreq, pubrel:
		default:
			continue
		}
		all = append(all, chain{e})
	}
	return all
}

// flows shows which packet answered which, when each identifier was in use, and how the Keep Alive was kept.
func (w *pageWriter) flows() {
	all := w.chains()
	if len(all) > 0 {
		w.add("<ul class=\"chains\">\n")
		for _, c := range all {
			w.add("<li>")
			if len(w.connections) > 1 {
				w.add("<small>connection {}</small> ", digits(c[0].number))
			}
			for i, e := range c {
				if i > 0 {
					w.add(" <span>then</span> ")
				}
				w.add("<span class=\"chip {}\">", e.packet.side())
				w.link(e)
				w.add("</span>")
			}
			if len(c) > 1 {
				w.add(" <b>{}</b>", span(c[len(c)-1].packet.Time-c[0].packet.Time))
			}
			if !c.ended() {
				w.add(" <b class=\"none\">no answer</b>")
			}
			if p := &c[0].packet; p.Type == publish {
				w.add(" <small>QoS {}, identifier {}</small>", digits(int(p.said.qos)), digits(int(p.said.id)))
			}
			w.add("</li>\n")
		}
		w.add("</ul>\n")
	}
	for _, c := range w.connections {
		w.timeline(c, all)
	}
}

// timeline is when the client sent something, and when each identifier was in use.
func (w *pageWriter) timeline(c *PageConnection, all []chain) {
	sent := false
	var end, silence, before, promise time.Duration
	for i := range w.entries {
		e := &w.entries[i]
		if e.PageConnection != c {
			continue
		}
		end = max(end, e.packet.Time)
		if e.packet.Direction == ToServer {
			silence, before, sent = max(silence, e.packet.Time-before), e.packet.Time, true
			if e.packet.Type == connect {
				promise = e.packet.said.keepAlive
			}
		}
	}
	if end <= 0 || !sent {
		return
	}
	var flows []chain
	for _, one := range all {
		if one[0].PageConnection == c && one[0].packet.said.hasID && len(flows) < 40 {
			flows = append(flows, one)
		}
	}
	bottom := len(flows)*20 + 38
	if len(w.connections) > 1 {
		w.add("<h3>Connection {}</h3>\n", digits(c.number))
	}
	w.add("<svg class=\"timeline\" width=\"100%\" height=\"{}\" role=\"img\" aria-label=\"what was on its way when\">\n", digits(bottom+6))
	w.text("", "0", 15, "client")
	w.line("life", "24%", "98%", 11, 11)
	for i := range w.entries {
		if e := &w.entries[i]; e.PageConnection == c && e.packet.Direction == ToServer {
			x := place(e.packet.Time, end)
			w.line("tick", x, x, 4, 18)
		}
	}
	for row, one := range flows {
		e, last := one[0], end
		if one.ended() {
			last = one[len(one)-1].packet.Time
		}
		y := row*20 + 31
		w.text("", "0", y+4, arrow(e.packet.Direction)+" id "+digits(int(e.packet.said.id)))
		w.line("bar "+e.packet.side(), place(e.packet.Time, end), place(last, end), y, y)
	}
	w.text("", "24%", bottom, "0")
	w.text("end", "98%", bottom, span(end))
	w.add("</svg>\n")
	if promise > 0 {
		w.add("<p>The longest silence of the client was {}; its Keep Alive allows {}, and the server waits {}.</p>\n", span(silence), seconds(promise), seconds(promise*3/2))
	}
}

// place is where a moment stands on a time line that ends at end.
//
//go:noinline
func place(at, end time.Duration) string {
	return fmt.Sprintf("%.2f%%", 24+74*float64(at)/float64(end))
}
