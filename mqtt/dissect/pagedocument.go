package dissect

import (
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
)

//go:embed page.css
var pageStyle string

//go:embed page.js
var pageScript string

// writer returns what writes the page once, behind b.
func (pg *Page) writer(b []byte) *pageWriter {
	w := &pageWriter{markup: markup{b}, entries: pg.kept()}
	w.layout = Layout{Bytes: pageRun, ShowSecrets: pg.ShowSecrets}
	w.cited, w.explained = map[string]bool{}, map[string]bool{}
	for i := range w.entries {
		if c := w.entries[i].PageConnection; !slices.Contains(w.connections, c) {
			w.connections = append(w.connections, c)
		}
	}
	return w
}

// Append appends the page to b: a whole HTML document, which is well-formed XML behind its first line.
func (pg *Page) Append(b []byte) []byte {
	w := pg.writer(b)
	w.add("<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\"/>\n"+
		"<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src {}; script-src {}; img-src data:; base-uri 'none'; form-action 'none'\"/>\n"+
		"<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>\n<meta name=\"color-scheme\" content=\"light dark\"/>\n"+
		"<title>The illustrated MQTT connection</title>\n<style>", digest(pageStyle), digest(pageScript))
	w.add(pageStyle)
	w.add("</style>\n</head>\n<body>\n")
	w.head(pg)
	w.failure(pg)
	if len(w.entries) > 0 {
		w.session(pg)
	}
	w.bench()
	w.samples()
	w.statements()
	if len(w.entries) > 0 {
		w.reproduce(pg)
	}
	w.add("</main>\n<script>")
	w.add(pageScript)
	w.add("</script>\n</body>\n</html>\n")
	return w.b
}

// digest is how a Content-Security-Policy names a style or a script.
//
//go:noinline
func digest(text string) string {
	sum := sha256.Sum256([]byte(text))
	return ("'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'")
}

func (w *pageWriter) head(pg *Page) {
	w.add("<header>\n<h1>The illustrated MQTT connection</h1>\n<p class=\"lead\">")
	if len(w.entries) == 0 && pg.Failure != nil {
		w.add("A connection on which no packet travelled")
	} else {
		w.add("Every byte of one real session")
	}
	if len(w.entries) > 0 {
		w.add(": {}, {}", count(pg.packets, "packet"), count(pg.bytes, "byte"))
		if pg.lasted > 0 {
			w.add(", {}", span(pg.lasted))
		}
	}
	w.add(".</p>\n<dl class=\"facts\">\n")
	for _, c := range w.connections {
		if c.from == "" && c.to == "" {
			continue
		}
		w.add("<dt>connection</dt><dd>{}", c.ends())
		if c.security != "" {
			w.add(", with {} underneath, which is not shown", c.security)
		}
		w.add("</dd>\n")
	}
	if !pg.Began.IsZero() {
		w.add("<dt>when</dt><dd>{}</dd>\n", pg.Began.UTC().Format("2 January 2006, 15:04:05 MST"))
	}
	if pg.Maker != "" {
		w.add("<dt>made by</dt><dd>{}</dd>\n", pg.Maker)
	}
	w.add("<dt>inside</dt><dd>client identifiers, topics, {}payloads and the command line: look before you share it</dd>\n</dl>\n", w.passwords())
	w.add("<p class=\"legend\"><b class=\"f\">fixed header</b> <b class=\"v\">variable header</b> <b class=\"p\">payload</b>" +
		"<span class=\"c2s\">→ from the client</span> <span class=\"s2c\">← from the server</span></p>\n" +
		"<nav>")
	if w.directed() {
		w.add("<a href=\"#diagram\">Diagram</a> ")
	}
	if len(w.entries) > 0 {
		w.add("<a href=\"#packets\">Packets</a> <a href=\"#flows\">Flows</a> ")
	}
	w.add("<a href=\"#length\">Remaining Length</a> <a href=\"#others\">Other packets</a> <a href=\"#statements\">Statements</a> ")
	if len(w.entries) > 0 {
		w.add("<a href=\"#reproduce\">Reproduce</a> ")
	}
	w.add("<button id=\"all\" hidden=\"\">open or close all</button></nav>\n</header>\n<main>\n")
}

// failure is why the session came to nothing, in the program's words.
func (w *pageWriter) failure(pg *Page) {
	if pg.Failure == nil {
		return
	}
	w.add("<section id=\"failure\"><h2>What went wrong</h2>\n<div class=\"broken\">")
	for _, line := range pg.Failure {
		w.add("<p>{}</p>\n", line)
	}
	w.add("</div>\n")
	if len(w.entries) == 0 {
		w.add("<p>MQTT begins when TCP, and TLS where it is used, have made a connection: then the client sends CONNECT. It did not come to that. " +
			"Below is what would have travelled.</p>\n")
	}
	w.add("</section>\n")
}

func (w *pageWriter) passwords() string {
	if w.layout.ShowSecrets {
		return "passwords, "
	}
	return ""
}

// directed reports whether it is known who sent what.
func (w *pageWriter) directed() bool {
	return len(w.entries) > 0 && w.entries[0].packet.Direction != Unknown
}

// session is what travelled: the diagram, the cards and the flows.
func (w *pageWriter) session(pg *Page) {
	if w.directed() {
		w.add("<section id=\"diagram\"><h2>Who says what</h2>\n<p>Time runs down. Each arrow leads to its packet; a dashed one was sent before.</p>\n")
		w.diagram()
		w.add("</section>\n")
	}
	w.add("<section id=\"packets\"><h2>Packet by packet</h2>\n<p>Each run of bytes is a field, underlined by the part of the packet that it belongs to. " +
		"Point at one, or go there with the Tab key, and its line in the table lights up; so the other way round.</p>\n")
	left := pg.packets - len(w.entries)
	budget := len(w.b) + pageSession
	for _, c := range w.connections {
		if len(w.connections) > 1 {
			w.add("<h3>Connection {}: {}</h3>\n", digits(c.number), c.ends())
		}
		for i := range w.entries {
			e := &w.entries[i]
			if e.PageConnection != c {
				continue
			}
			if len(w.b) < budget {
				w.card(e, e.name())
			} else {
				w.add("<p class=\"card {}\" id=\"{}\">{} {} {} {}: left out, as this page is long already</p>\n", e.packet.side(), e.name(), arrow(e.packet.Direction), digits(e.packet.Number), e.packet.Name(), e.what)
			}
			if left > 0 && i == pageHead-1 {
				w.add("<p class=\"gap\">{} left out here: a page shows the first {} and the last {}.</p>\n", count(left, "packet"), digits(pageHead), digits(PagePackets-pageHead))
			}
		}
		if c.fate != "" {
			w.add("<p class=\"broken\">Then {}.</p>\n", c.fate)
		}
		if c.open != "" {
			w.add("<p class=\"note\">At the end {}.</p>\n", c.open)
		}
	}
	w.add("</section>\n<section id=\"flows\"><h2>What answers what</h2>\n<p>A packet that wants an answer, and what came of it.</p>\n")
	w.flows()
	w.add("</section>\n")
}

// bench is where to try the Remaining Length.
func (w *pageWriter) bench() {
	w.add("<section id=\"length\"><h2>The Remaining Length</h2>\n<p>{} Up to four bytes; these are the least and the most that each number of bytes can say (<a href=\"{}\">§2.2.3</a>, table 2.4).</p>\n"+
		"<form id=\"bench\" hidden=\"\"><label>a number <input id=\"n\" inputmode=\"numeric\" value=\"321\"/></label> <label>or its bytes <input id=\"h\" value=\"c1 02\"/></label><output id=\"o\"></output></form>\n"+
		"<table class=\"lengths\">\n<tr><th>bytes</th><th>from</th><th></th><th>to</th><th></th></tr>\n", sentence("Remaining Length"), standard("2.2.3"))
	least := 0
	for size, most := 1, 127; size <= 4; size, most = size+1, most*128+127 {
		w.add("<tr><th>{}</th><td>{}</td><td><code>{}</code></td><td>{}</td><td><code>{}</code></td></tr>\n", digits(size), digits(least), lengthBytes(least), digits(most), lengthBytes(most))
		least = most + 1
	}
	w.add("</table>\n</section>\n")
}

// lengthBytes is a Remaining Length in hex.
func lengthBytes(n int) string {
	var b []byte
	for {
		digit := n % 128
		if n /= 128; n > 0 {
			digit += 128
		}
		b = append(b, byte(digit))
		if n == 0 {
			return fmt.Sprintf("% x", b)
		}
	}
}

// samplePackets has a packet of each type, by its number.
var samplePackets = [...]string{
	connect:     "\x10\x21\x00\x04MQTT\x04\x06\x00\x3c\x00\x07meter-7\x00\x06status\x00\x04gone",
	connack:     "\x20\x02\x00\x00",
	publish:     "\x32\x0d\x00\x05meter\x00\x0a21.5",
	puback:      "\x40\x02\x00\x0a",
	pubrec:      "\x50\x02\x00\x0b",
	pubrel:      "\x62\x02\x00\x0b",
	pubcomp:     "\x70\x02\x00\x0b",
	subscribe:   "\x82\x0c\x00\x0c\x00\x07meter/+\x01",
	suback:      "\x90\x03\x00\x0c\x01",
	unsubscribe: "\xa2\x0b\x00\x0d\x00\x07meter/+",
	unsuback:    "\xb0\x02\x00\x0d",
	pingreq:     "\xc0\x00",
	pingresp:    "\xd0\x00",
	disconnect:  "\xe0\x00",
}

// samples explains the types of packet that did not occur.
func (w *pageWriter) samples() {
	w.add("<section id=\"others\"><h2>The other packets</h2>\n")
	begun := false
	for t := uint8(connect); t <= disconnect; t++ {
		if w.types[t] {
			continue
		}
		if !begun {
			begun = true
			w.add("<p>MQTT has fourteen. These did not occur here; each is a sample.</p>\n")
		}
		d := ToServer
		switch t {
		case connack, suback, unsuback, pingresp, pubrec, pubcomp, puback:
			d = ToClient
		}
		p, n := Read([]byte(samplePackets[t]), d)
		w.card(&pageEntry{nil, p, w.layout.summary(&p), n, len(p.Fields)}, "sample-"+strings.ToLower(p.Name()))
	}
	if !begun {
		w.add("<p>MQTT has fourteen, and all of them are above.</p>\n")
	}
	w.add("</section>\n")
}

// statements are those that the page cites.
func (w *pageWriter) statements() {
	w.add("<section id=\"statements\"><h2>The statements cited</h2>\n<p>The standard numbers what it demands. In other words, these are the ones that this page cites.</p>\n<dl class=\"statements\">\n")
	for rest := statementTable; rest != ""; {
		var line string
		line, rest, _ = strings.Cut(rest, "\n")
		id, text, _ := strings.Cut(line, "\t")
		if id = "MQTT-" + id; w.cited[id] {
			w.add("<dt id=\"{}\"><a href=\"{}\">{}</a></dt><dd>{}</dd>\n", id, standard(Statement{ID: id}.Section()), id, text)
		}
	}
	w.add("</dl>\n</section>\n")
}

// reproduce says how to see all this again.
func (w *pageWriter) reproduce(pg *Page) {
	w.add("<section id=\"reproduce\"><h2>See it again</h2>\n")
	if pg.Command != "" {
		w.add("<p>The command:</p>\n<pre>{}</pre>\n", pg.Command)
	}
	file := AppendCaptureHeader(nil)
	l := Layout{Style: Hex, Times: true, ShowSecrets: pg.ShowSecrets}
	w.add("<p>The bytes, as <code>dissect</code> reads them: all lines with <code>dissect FILE</code>, one packet with "+
		"<code>dissect -x &#39;c0 00&#39;</code>. Packets of more than {} bytes are not among them.</p>\n", digits(pageBytes))
	for _, connection := range w.connections {
		c := Capture{Connection: connection.number, Began: pg.Began.Add(connection.after), ShowSecrets: pg.ShowSecrets}
		var lines []byte
		for i := range w.entries {
			if e := &w.entries[i]; e.PageConnection == connection && e.length == len(e.packet.Bytes) {
				lines = l.Append(lines, &e.packet)
				file = c.Append(file, &e.packet)
			}
		}
		w.add("<pre class=\"hex\">{}</pre>\n", string(lines))
	}
	w.add("<p><a download=\"mqtt.pcapng\" href=\"data:application/octet-stream;base64,{}\">The same for Wireshark</a>: pcapng, with made-up addresses.</p>\n</section>\n", base64.StdEncoding.EncodeToString(file))
}
