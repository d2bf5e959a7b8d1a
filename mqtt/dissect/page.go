package dissect

import (
	"bytes"
	"time"
	"unicode/utf8"
)

// Page collects the packets of connections, and writes "The illustrated MQTT connection" about them: one HTML file that
// explains every byte, asks nothing of the network, and works without scripts. Nothing in it that came from a connection
// is anything but text, whatever the bytes are.
//
// A page is bounded. It holds the first [PagePackets]*3/4 packets and as many of the last as make [PagePackets], and of
// each no more than 2 KB and 64 fields; it says what it leaves out. The zero Page is usable, by one goroutine at a time.
type Page struct {
	Maker       string    // the program that writes it, with its version
	Command     string    // the command line to repeat it with; may be empty
	Began       time.Time // when; zero: nobody knows
	ShowSecrets bool      // passwords, which are hidden otherwise
	Failure     []string  // what the program said when it gave up, a paragraph each; may be empty

	entries     []pageEntry // in the order in which they came
	tail        int         // where in entries the oldest of the last packets is, when entries is full
	connections int
	packets     int
	bytes       int
	lasted      time.Duration // from Began to the last packet of any connection
}

// PagePackets is how many packets a [Page] shows at most.
const PagePackets = 240

const (
	pageHead    = PagePackets * 3 / 4 // packets that stay, whatever comes after them
	pageBytes   = 2048                // of a packet
	pageFields  = 64                  // of a packet
	pageRun     = 512                 // bytes of a field that are shown
	pageSession = 1 << 20             // bytes of HTML about packets; what comes behind them is a line each
)

// PageConnection is a connection on a [Page].
type PageConnection struct {
	page     *Page
	number   int
	from, to string        // who connects to whom
	security string        // what is underneath: "TLS 1.3", or ""
	after    time.Duration // since the page's Began, when it began
	open     string        // what is unanswered at its end
	fate     string        // how it ended, if not by the client's DISCONNECT
	left     bool          // the client has sent DISCONNECT
}

// pageEntry is a packet on a page.
type pageEntry struct {
	*PageConnection
	packet Packet
	what   string // its summary
	length int    // of all its bytes
	fields int    // how many there are, shown or not
}

// Connect begins a connection, from the client to the server; if from is empty, the client's identifier takes its place.
// security is what is underneath it, such as "TLS 1.3", or empty. began is when; zero if nobody knows.
func (pg *Page) Connect(from, to, security string, began time.Time) *PageConnection {
	pg.connections++
	if pg.Began.IsZero() {
		pg.Began = began
	}
	return &PageConnection{page: pg, number: pg.connections, from: from, to: to, security: security, after: began.Sub(pg.Began)}
}

// Add puts a packet on the page, or does nothing if c is nil. The page keeps a part of p's memory.
func (c *PageConnection) Add(p *Packet) {
	if c == nil {
		return
	}
	pg := c.page
	if p.Type == connect && c.from == "" {
		c.from = string(p.text("Client Identifier"))
	}
	c.left = c.left || p.Type == disconnect
	pg.packets++
	pg.bytes += len(p.Bytes)
	pg.lasted = max(pg.lasted, p.Time+c.after)
	e := pageEntry{c, *p, shorten((&Layout{}).summary(p), 160), len(p.Bytes), len(p.Fields)}
	e.packet.clip()
	if len(pg.entries) < PagePackets {
		pg.entries = append(pg.entries, e)
		return
	}
	pg.entries[pageHead+pg.tail] = e
	pg.tail = (pg.tail + 1) % (PagePackets - pageHead)
}

// Close says which packets of the connection nobody has answered: [Session.Unanswered].
func (c *PageConnection) Close(unanswered string) {
	if c != nil {
		c.open = unanswered
	}
}

// End says how the connection ended, such as "the server closed the connection". Nothing is said on the page about what
// follows a DISCONNECT.
func (c *PageConnection) End(how string) {
	if c != nil && !c.left && c.fate == "" {
		c.fate = how
	}
}

// ends says who speaks with whom.
//
//go:noinline
func (c *PageConnection) ends() string {
	from, to := c.from, c.to
	if from == "" {
		from = "a client"
	}
	if to == "" {
		to = "a server"
	}
	return from + " to " + to
}

// clip leaves of a packet what a page shows, and lets go of the rest.
func (p *Packet) clip() {
	p.Fields = append([]Field(nil), p.Fields[:min(len(p.Fields), pageFields)]...)
	p.Findings = append([]Finding(nil), p.Findings[:min(len(p.Findings), pageFields)]...)
	p.said.topic, p.said.payload, p.said.filters, p.said.codes = nil, nil, nil, nil
	if len(p.Bytes) <= pageBytes {
		return
	}
	p.Bytes = bytes.Clone(p.Bytes[:pageBytes])
	for i := range p.Fields {
		if f := &p.Fields[i]; f.Data != nil {
			f.Data = p.Bytes[min(f.Offset, pageBytes):min(f.Offset+f.Length, pageBytes)]
		}
	}
}

// kept are the packets that the page shows, in the order in which they came.
func (pg *Page) kept() []pageEntry {
	if len(pg.entries) < PagePackets {
		return pg.entries
	}
	head, last := pg.entries[:pageHead:pageHead], pg.entries[pageHead:]
	return append(append(head, last[pg.tail:]...), last[:pg.tail]...)
}

// shorten cuts a text that is too long.
//
//go:noinline
func shorten(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	for limit > 0 && !utf8.RuneStart(s[limit]) {
		limit--
	}
	return s[:limit] + "…"
}
