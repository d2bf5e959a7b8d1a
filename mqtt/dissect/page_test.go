package dissect_test

import (
	"bytes"
	"encoding/hex"
	"encoding/xml"
	"fmt"
	"io"
	"iter"
	"maps"
	"math"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"iotwire/mqtt/dissect"
)

// element is an element of a page.
type element struct {
	name     string
	attr     map[string]string
	text     string // with that of its children
	children []*element
	start    int // of its text in that of the page
}

// all yields e and what is below it.
func (e *element) all() iter.Seq[*element] {
	return func(yield func(*element) bool) { e.walk(yield) }
}

func (e *element) walk(yield func(*element) bool) bool {
	if !yield(e) {
		return false
	}
	for _, child := range e.children {
		if !child.walk(yield) {
			return false
		}
	}
	return true
}

// find returns the elements with this name and, if it is not empty, class.
func (e *element) find(name, class string) (found []*element) {
	for one := range e.all() {
		if one.name == name && (class == "" || strings.Contains(" "+one.attr["class"]+" ", " "+class+" ")) {
			found = append(found, one)
		}
	}
	return found
}

type failer interface{ Fatalf(string, ...any) }

// parse reads a page with a parser that forgives nothing.
func parse(t failer, page []byte) *element {
	d := xml.NewDecoder(bytes.NewReader(page))
	root := &element{}
	open := []*element{root}
	var text []byte // of the page
	for {
		token, err := d.Token()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatalf("the page is not well-formed: %v\n%.2000s", err, page[max(0, int(d.InputOffset())-1000):])
		}
		switch token := token.(type) {
		case xml.StartElement:
			e := &element{name: token.Name.Local, attr: map[string]string{}, start: len(text)}
			for _, a := range token.Attr {
				if _, twice := e.attr[a.Name.Local]; twice {
					t.Fatalf("<%s> has %s twice", e.name, a.Name.Local)
				}
				e.attr[a.Name.Local] = a.Value
			}
			last := open[len(open)-1]
			last.children = append(last.children, e)
			open = append(open, e)
		case xml.EndElement:
			e := open[len(open)-1]
			e.text = string(text[e.start:])
			open = open[:len(open)-1]
		case xml.CharData:
			text = append(text, token...)
		}
	}
	root.text = string(text)
	return root
}

// harmless fails unless nothing on the page comes from elsewhere or can act, but for the one script of ours.
func harmless(t failer, page *element) {
	if n := len(page.find("script", "")); n != 1 {
		t.Fatalf("%d scripts", n)
	}
	inert(t, page, map[string]bool{})
}

// inert fails if anything on a page comes from elsewhere or can act, or if a link leads to nothing, but for what is known to
// be elsewhere.
func inert(t failer, page *element, ids map[string]bool) {
	ids = maps.Clone(ids)
	for e := range page.all() {
		if id := e.attr["id"]; id != "" {
			if ids[id] {
				t.Fatalf("the id %q is there twice", id)
			}
			ids[id] = true
		}
	}
	for e := range page.all() {
		switch e.name {
		case "", "html", "head", "meta", "title", "style", "body", "header", "main", "section", "nav", "h1", "h2", "h3", "h4", "p", "a", "b", "div",
			"i", "small", "span", "code", "pre", "dl", "dt", "dd", "ul", "li", "table", "tr", "th", "td", "details", "summary", "button", "form",
			"label", "input", "output", "svg", "defs", "marker", "path", "line", "text", "tspan", "rect", "script":
		default:
			t.Fatalf("there is an element <%s>", e.name)
		}
		for name, value := range e.attr {
			switch name {
			case "src", "style", "srcset", "action", "formaction", "ping", "data", "xlink:href":
				t.Fatalf("<%s> has %s=%q", e.name, name, value)
			case "href":
				if e.name == "a" && (strings.HasPrefix(value, "https://docs.oasis-open.org/mqtt/mqtt/v3.1.1/os/mqtt-v3.1.1-os.html#_Toc3987180") ||
					strings.HasPrefix(value, "https://docs.oasis-open.org/mqtt/mqtt/v3.1.1/os/mqtt-v3.1.1-os.html#_Toc3987181") ||
					strings.HasPrefix(value, "data:application/octet-stream;base64,")) {
					continue
				}
				if id, found := strings.CutPrefix(value, "#"); !found || !ids[id] {
					t.Fatalf("<%s> leads to %q, which is not there", e.name, value)
				}
			}
			if strings.HasPrefix(strings.ToLower(name), "on") {
				t.Fatalf("<%s> has %s=%q", e.name, name, value)
			}
		}
	}
}

var began = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// pageOf is a page about packets.
func pageOf(packets []dissect.Packet, change func(*dissect.Page)) []byte {
	pg := &dissect.Page{Maker: "test 1.0", Command: "test --page x", Began: began}
	if change != nil {
		change(pg)
	}
	c := pg.Connect("", "localhost:1883", "TLS 1.3", began)
	for i := range packets {
		c.Add(&packets[i])
	}
	c.Close("not acknowledged: 9")
	return pg.Append(nil)
}

// Every byte of every packet is in one run and no other, and the run leads to the table's row of each of its fields.
func TestPageExplainsEveryByteOnce(t *testing.T) {
	packets, _ := play(t, new(dissect.Session), recorded)
	page := parse(t, pageOf(packets, nil))
	harmless(t, page)
	cards := page.find("details", "card")
	if len(cards) != len(packets) {
		t.Fatalf("%d cards for %d packets", len(cards), len(packets))
	}
	for i, p := range packets {
		card := cards[i]
		if want := fmt.Sprintf("p%d-%s", p.Number, strings.ToLower(p.Name())); card.attr["id"] != want {
			t.Errorf("the id of the card is %q, want %q", card.attr["id"], want)
		}
		want := append([]byte(nil), p.Bytes...)
		for _, f := range p.Fields {
			for j := range f.Length {
				if f.Secret {
					want[f.Offset+j] = '*'
				}
			}
		}
		strip := strings.ReplaceAll(card.find("div", "strip")[0].text, "**", "2a")
		if got, err := hex.DecodeString(strings.Join(strings.Fields(strip), "")); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: %v, it shows %x, want %x", p.Name(), err, got, want)
		}
		runs := map[string]int{}
		for _, run := range card.find("div", "strip")[0].find("a", "") {
			runs[run.attr["data-b"]]++
		}
		var names []string
		for _, row := range card.find("tr", "") {
			if b := row.attr["data-b"]; b != "" {
				names = append(names, row.find("th", "")[0].text)
				if runs[b] != 1 {
					t.Errorf("%s: the row of %q belongs to run %q, which is there %d times", p.Name(), names, b, runs[b])
				}
			}
		}
		for j, f := range p.Fields {
			if j >= len(names) || names[j] != f.Name {
				t.Errorf("%s: the rows are %q, want %q as number %d", p.Name(), names, f.Name, j)
				break
			}
		}
	}
	if n := strings.Count(page.text, "What could go wrong"); n != 14 {
		t.Errorf("%d types are explained", n)
	}
}

// What did not occur is explained by samples, and these break no rule.
func TestPageExplainsWhatDidNotOccur(t *testing.T) {
	for _, packets := range [][]dissect.Packet{nil, {mustRead(t, "\xc0\x00")}} {
		page := parse(t, pageOf(packets, nil))
		harmless(t, page)
		if n := len(page.find("details", "card")); n != 14 || len(page.find("p", "broken")) > 0 {
			t.Errorf("%d packets: %d cards, %d findings", len(packets), n, len(page.find("p", "broken")))
		}
		for _, row := range page.find("tr", "") {
			if strings.Contains(row.text, "undecoded") {
				t.Errorf("a sample is not well-formed: %s", row.text)
			}
		}
	}
}

func mustRead(t *testing.T, b string) dissect.Packet {
	t.Helper()
	p, n := dissect.Read([]byte(b), dissect.ToServer)
	if n != len(b) {
		t.Fatalf("%q is not one packet", b)
	}
	p.Number = 1
	return p
}

func TestPageIsTheSameEachTime(t *testing.T) {
	packets, _ := play(t, new(dissect.Session), recorded)
	if first := pageOf(packets, nil); !bytes.Equal(first, pageOf(packets, nil)) {
		t.Error("two pages of the same packets differ")
	}
}

func TestPageHidesPasswords(t *testing.T) {
	packets, _ := play(t, new(dissect.Session), recorded)
	for _, shown := range []bool{false, true} {
		page := string(pageOf(packets, func(pg *dissect.Page) { pg.ShowSecrets = shown }))
		for _, secret := range []string{"secret", "73 65 63 72 65 74"} {
			if strings.Contains(page, secret) != shown {
				t.Errorf("shown %v: the page has %q: %v", shown, secret, !shown)
			}
		}
	}
}

// What comes from the network, and from the command line, is text wherever it stands.
func TestPageHasNoMarkupFromOutside(t *testing.T) {
	for _, evil := range []string{
		`<script>alert(1)</script>`, `"><img src=x onerror=alert(1)>`, `'><svg onload=alert(1)>`, `</details></style></script>`, `]]><!--`,
		"&lt;script&gt;", "\u2028\u202e\u0085\ufeff\x00\x1b[2J", "\xff\xfe\xc3", "{}{}", "javascript:alert(1)",
	} {
		var s dissect.Session
		var packets []dissect.Packet
		for _, b := range []string{
			cn(0xc6, str(evil)+str(evil)+str(evil)+str(evil)+str(evil)),
			wire(0x82, "\x00\x01"+str(evil)+"\x01"),
			wire(0x30, str(evil)+evil),
			wire(0x32, str(evil)+"\x00\x07"+evil),
			evil,
		} {
			packets = append(packets, s.Add(dissect.ToServer, 0, []byte(b))...)
		}
		packets = append(packets, s.Close(0)...)
		pg := &dissect.Page{Maker: evil, Command: evil}
		c := pg.Connect(evil, evil, evil, began)
		for i := range packets {
			c.Add(&packets[i])
		}
		c.Close(evil)
		raw := pg.Append(nil)
		page := parse(t, raw)
		harmless(t, page)
		if strings.Contains(evil, "<") && strings.Contains(string(raw), evil) {
			t.Errorf("%q stands on the page as it is", evil)
		}
		if evil[0] == '<' && !strings.Contains(page.text, evil) {
			t.Errorf("%q cannot be read on the page", evil)
		}
	}
}

// A page about a connection that came to nothing says what happened, in place of packets if there are none.
func TestPageSaysWhatWentWrong(t *testing.T) {
	failure := []string{"connection refused by <b>localhost:1883</b>", "is the server running?"}
	page := parse(t, (&dissect.Page{Failure: failure}).Append(nil))
	harmless(t, page)
	for _, want := range append(failure, "no packet travelled", "It did not come to that") {
		if !strings.Contains(page.text, want) {
			t.Errorf("the page does not say %q", want)
		}
	}
	if strings.Contains(string(pageOf(nil, nil)), "went wrong") {
		t.Error("something went wrong where nothing did")
	}

	connect, disconnect := mustRead(t, cn(2, str("a"))), mustRead(t, "\xe0\x00")
	for _, packets := range [][]dissect.Packet{{connect}, {connect, disconnect}} {
		pg := &dissect.Page{}
		c := pg.Connect("", "", "", began)
		for i := range packets {
			c.Add(&packets[i])
		}
		c.End("the server closed the connection")
		page := parse(t, pg.Append(nil))
		harmless(t, page)
		if said, want := strings.Count(page.text, "the server closed the connection"), 2*(2-len(packets)); said != want {
			t.Errorf("after %d packets the page says %d times that the connection was closed, want %d", len(packets), said, want)
		}
	}
}

// A page about much says what it leaves out, and stays of a size that a browser shows.
func TestPageIsBounded(t *testing.T) {
	var many strings.Builder
	for range 12_000 {
		many.WriteString("\x00\x01a\x01")
	}
	b := many.String()
	subscribe := "\x82" + string([]byte{0x82, 0xf7, 0x02}) + "\x00\x01" + b
	large := "\x30\x80\x80\x40\x00\x01a" + strings.Repeat("\xff", 1<<20-3)
	var s dissect.Session
	s.Midway = true
	pg := &dissect.Page{}
	c := pg.Connect("", "", "", began)
	total := 0
	for i := range 300 {
		for _, wire := range []string{subscribe, large, "\xc0\x00"} {
			if i%100 > 1 && len(wire) > 2 {
				continue
			}
			for _, p := range s.Add(dissect.ToServer, time.Duration(i)*time.Second, []byte(wire)) {
				total++
				c.Add(&p)
			}
		}
	}
	raw := pg.Append(nil)
	if len(raw) > 8<<20 {
		t.Errorf("the page has %d bytes", len(raw))
	}
	page := parse(t, raw)
	harmless(t, page)
	for _, want := range []string{
		fmt.Sprintf("%d packets left out here: a page shows the first 180 and the last 60.", total-dissect.PagePackets),
		" fields more, ", "… 1048573 bytes",
	} {
		if !strings.Contains(page.text, want) && !strings.Contains(page.text, strings.ReplaceAll(want, "1048573", "1048189")) {
			t.Errorf("the page does not say %q", want)
		}
	}
}

// Whatever travels, the page is well-formed and harmless.
func TestPageOfAnything(t *testing.T) {
	for seed := range 20 {
		anything(t, anyBytes.Example(seed), anyBytes.Example(seed+1000))
	}
}

func FuzzPage(f *testing.F) {
	f.Add([]byte("\x10\x0d\x00\x04MQTT\x04\x02\x00\x3c\x00\x01<"), []byte("\x20\x02\x00\x00"))
	f.Add([]byte("\x30\x0f\x00\x03a&b</script>\""), []byte("HTTP/1.1 400 <b>"))
	f.Add([]byte("\x82\x0a\x00\x01\x00\x05<a>\"'\x01\xff\xff\xff\xff\xff"), []byte("\x90\x03\x00\x01\x80"))
	f.Fuzz(func(t *testing.T, sent, received []byte) { anything(t, sent, received) })
}

func anything(t failer, sent, received []byte) {
	var s dissect.Session
	pg := &dissect.Page{Maker: string(sent), Command: string(received)}
	first, second := pg.Connect(string(sent), string(received), "", began), pg.Connect("", "", "", began)
	add := func(c *dissect.PageConnection, all []dissect.Packet) {
		for i := range all {
			c.Add(&all[i])
		}
	}
	add(first, s.Add(dissect.ToServer, 0, sent))
	add(first, s.Add(dissect.ToClient, 1, received))
	add(second, s.Add(dissect.Unknown, 2, sent))
	add(first, s.Close(time.Hour))
	first.Close(s.Unanswered())
	page := parse(t, pg.AppendSession(nil))
	if n := len(page.find("script", "")) + len(page.find("style", "")); n > 0 {
		t.Fatalf("%d scripts and styles", n)
	}
	inert(t, page, elsewhere)
}

// elsewhere are the parts of a page that are the same whatever travels: to write and to read them each time would take
// nearly all of the time, and teach nothing.
var elsewhere = func() map[string]bool {
	ids := map[string]bool{"length": true, "others": true, "statements": true}
	for s := range dissect.Statements() {
		ids[s.ID] = true
	}
	return ids
}()

// Text can be read in both sets of colours: its contrast is 4.5 at least (WCAG 2, AA).
func TestPageColoursHaveContrast(t *testing.T) {
	style, err := os.ReadFile("page.css")
	if err != nil {
		t.Fatal(err)
	}
	sets := regexp.MustCompile(`:root\{[^}]*--lit:[^}]*--code:[^}]*\}`).FindAllString(string(style), -1)
	if len(sets) != 2 {
		t.Fatalf("%d sets of colours, want a light and a dark one", len(sets))
	}
	for _, set := range sets {
		colour := func(name string) float64 {
			m := regexp.MustCompile(`--` + name + `:#([0-9a-f]+)`).FindStringSubmatch(set)
			if m == nil {
				t.Fatalf("no colour %s in %s", name, set)
			}
			digits := m[1]
			if len(digits) == 3 {
				digits = string([]byte{digits[0], digits[0], digits[1], digits[1], digits[2], digits[2]})
			}
			luminance := 0.0
			for i, weight := range []float64{0.2126, 0.7152, 0.0722} {
				n, _ := strconv.ParseUint(digits[2*i:2*i+2], 16, 8)
				c := float64(n) / 255
				if c <= 0.04045 {
					c /= 12.92
				} else {
					c = math.Pow((c+0.055)/1.055, 2.4)
				}
				luminance += weight * c
			}
			return luminance
		}
		for _, ground := range []string{"bg", "paper", "code", "lit"} {
			for _, ink := range []string{"ink", "soft", "c", "s", "f", "v", "p", "bad"} {
				a, b := colour(ink), colour(ground)
				if contrast := (max(a, b) + 0.05) / (min(a, b) + 0.05); contrast < 4.5 {
					t.Errorf("the contrast of %s on %s is %.2f in %.60s", ink, ground, contrast, set)
				}
			}
		}
	}
}

// The links lead to the headings of the standard, whose numbers were counted there.
func TestPageLinksToTheStandard(t *testing.T) {
	page := string(pageOf(nil, nil))
	for section, anchor := range map[string]int{"2.2.3": 398718023, "3.8": 398718063, "3.9": 398718068, "3.1.2.3": 398718030} {
		if want := fmt.Sprintf(`#_Toc%d">§%s</a>`, anchor, section); !strings.Contains(page, want) {
			t.Errorf("the page does not have %q", want)
		}
	}
}

// The head says how long it all took, from the first packet of the first connection to the last of any.
func TestPageTakesAsLongAsAllItsConnections(t *testing.T) {
	ping, _ := dissect.Read([]byte("\xc0\x00"), dissect.ToServer)
	for _, test := range []struct {
		first, begins, second time.Duration // seconds: a packet, and the second connection with its packet
		want                  string
	}{
		{30, 31, 9, "40.0 s"}, {9, 2, 1, "9.0 s"}, {3, 0, 0, "3.0 s"},
	} {
		var pg dissect.Page
		ping.Time = test.first * time.Second
		pg.Connect("a", "b", "", began).Add(&ping)
		ping.Time = test.second * time.Second
		pg.Connect("a", "b", "", began.Add(test.begins*time.Second)).Add(&ping)
		if page := string(pg.Append(nil)); !strings.Contains(page, "2 packets, 4 bytes, "+test.want+".") {
			t.Errorf("want %s: %s", test.want, regexp.MustCompile(`class="lead">[^<]*`).FindString(page))
		}
	}
}
