package dissect

import (
	"fmt"
	"strings"
	"time"
)

// state is what a session knows about its connection.
type state struct {
	connect  int // the number of the CONNECT; 0 if none was seen. The same goes for the next two
	connack  int
	left     int           // DISCONNECT
	early    [3]bool       // a packet came before the one that has to be first; it is reported once
	clean    bool          // Clean Session
	kept     bool          // Session Present
	refused  bool          // by a return code
	promise  time.Duration // Keep Alive
	began    time.Duration // when CONNECT came
	lastSent time.Duration // when the client last sent something

	flows    [3]flows // messages above QoS 0, by the direction of the PUBLISH
	requests map[uint16]*request
	asking   int // the size of their filters
	filters  filterTree
	blind    bool // there were more filters than are remembered
	pings    []ping
	unlisted int // PINGREQs that wait as well and are not in pings
}

// mostPings is how many PINGREQs without an answer are remembered.
const mostPings = 1000

// ping is a PINGREQ that waits for its answer.
type ping struct {
	number   int
	at       time.Duration
	reported bool
}

// resumed reports whether the two sides may go on with what began on an earlier connection.
func (s *Session) resumed() bool {
	return s.Midway || s.state.connect > 0 && !s.state.clean
}

// judge finds what p breaks, as what came before is known, and remembers p.
func (s *Session) judge(p *Packet) {
	st := &s.state
	s.judgeFirst(p)
	if p.Direction == ToServer {
		s.judgeClient(p)
	} else {
		s.judgeServer(p)
	}
	if !p.said.whole || p.Missing > 0 {
		return
	}
	switch p.Type {
	case connect:
		if st.connect == 0 && p.Direction == ToServer {
			st.connect, st.began = p.Number, p.Time
			st.clean, st.promise = p.said.clean, p.said.keepAlive
		}
	case connack:
		s.judgeConnack(p)
	case publish:
		s.judgePublish(p)
	case puback, pubrec, pubrel, pubcomp:
		s.judgeAnswer(p)
	case subscribe, unsubscribe:
		s.judgeRequest(p)
	case suback, unsuback:
		s.judgeGrant(p)
	case pingreq:
		if len(st.pings) < mostPings && st.unlisted == 0 {
			st.pings = append(st.pings, ping{number: p.Number, at: p.Time})
		} else {
			st.unlisted++
		}
	case pingresp:
		s.judgePingresp(p)
	case disconnect:
		if p.Direction == ToServer && st.left == 0 {
			st.left = p.Number
		}
	}
}

// judgeFirst holds the rules that a client sends CONNECT and a server CONNACK, before anything else and once.
func (s *Session) judgeFirst(p *Packet) {
	st := &s.state
	side, first, seen, rule, again := "client", uint8(connect), st.connect, "3.1.0-1", "3.1.0-2"
	if p.Direction == ToClient {
		side, first, seen, rule, again = "server", connack, st.connack, "3.2.0-1", "3.2"
	}
	switch {
	case p.Type == first && seen > 0:
		p.broken(0, again, "a second %s on one connection; the first was packet %d", p.Name(), seen)
	case p.Type != first && seen == 0 && !s.Midway && !st.early[p.Direction]:
		st.early[p.Direction] = true
		p.broken(0, rule, "the first packet of the %s is %s, must be %s", side, p.Name(), typeNames[first])
	}
}

// judgeClient holds the rules on when a client may send something.
func (s *Session) judgeClient(p *Packet) {
	st := &s.state
	if st.left > 0 {
		p.broken(0, "3.14.4-2", "the client sends something after its DISCONNECT, packet %d", st.left)
	}
	silence := p.Time - st.lastSent
	if slack := min(st.promise/10, time.Second); !s.Untimed && st.connect > 0 && st.promise > 0 && silence > st.promise+slack {
		p.broken(0, "3.1.2-23", "the client was silent for %s, longer than its Keep Alive of %s", span(silence), seconds(st.promise))
	}
	st.lastSent = p.Time
}

// judgeServer holds the rules on when a server may send something.
func (s *Session) judgeServer(p *Packet) {
	st := &s.state
	if st.refused {
		p.broken(0, "3.2.2-5", "the server refused the connection in packet %d, and must have closed it", st.connack)
	}
	if st.left > 0 {
		p.note("it was on its way when the client sent its DISCONNECT, packet %d", st.left)
	}
	for i := range st.pings {
		g := &st.pings[i]
		if waited := p.Time - g.at; p.Type != pingresp && !g.reported && !s.Untimed && st.promise > 0 && waited > st.promise*3/2 {
			g.reported = true
			p.broken(0, "3.12.4-1", "the server has not answered the PINGREQ of packet %d for %s", g.number, span(waited))
		}
	}
}

func (s *Session) judgeConnack(p *Packet) {
	st := &s.state
	if p.Direction != ToClient || st.connack > 0 {
		return
	}
	st.connack = p.Number
	st.refused, st.kept = p.said.code != 0, p.said.present
	if st.connect == 0 {
		return
	}
	p.answers(st.connect, s.since(st.began, p))
	if p.said.present && st.clean && p.said.code == 0 {
		p.broken(p.at("Session Present"), "3.2.2-1", "Session Present is 1 after Clean Session 1, must be 0")
	}
}

func (s *Session) judgePingresp(p *Packet) {
	st := &s.state
	if p.Direction != ToClient {
		return
	}
	if len(st.pings) == 0 {
		if st.unlisted > 0 {
			st.unlisted--
		} else if !s.Midway {
			p.broken(0, "3.13", "PINGRESP answers no PINGREQ")
		}
		return
	}
	p.answers(st.pings[0].number, s.since(st.pings[0].at, p))
	st.pings = st.pings[1:]
}

// answers says that p answers the packet with this number, in the meaning of its identifier or in a note.
func (p *Packet) answers(number int, after time.Duration) {
	p.Answers, p.After = number, after
	text := fmt.Sprintf("answers %s %d%s", arrow(3-p.Direction), number, p.after())
	if f := p.field("Packet Identifier"); f != nil {
		f.Meaning = text
		return
	}
	p.Notes = append(p.Notes, text)
}

// after says how long after the packet that it answers p came: " after 41 ms", or "" if nobody knows.
//
//go:noinline
func (p *Packet) after() string {
	if p.After < 0 {
		return ""
	}
	return " after " + span(p.After)
}

// since is the time between then and p, or -1 if nobody knows.
//
//go:noinline
func (s *Session) since(then time.Duration, p *Packet) time.Duration {
	if s.Untimed {
		return -1
	}
	return p.Time - then
}

// at is the offset of the field with this name.
//
//go:noinline
func (p *Packet) at(name string) int {
	if f := p.field(name); f != nil {
		return f.Offset
	}
	return 0
}

// field is the first field with this name, or nil.
//
//go:noinline
func (p *Packet) field(name string) *Field {
	for i := range p.Fields {
		if p.Fields[i].Name == name {
			return &p.Fields[i]
		}
	}
	return nil
}

// Unanswered says in a line which packets still wait for an answer: "not acknowledged: 4 PUBLISH (id 2), 6 PINGREQ",
// or "" if none does. It names the first twenty, and how many more there are.
func (s *Session) Unanswered() string {
	const most = 20
	var texts []string
	var numbers []int // of packets, in order, each with its text
	more := s.state.unlisted
	waits := func(number int, name string, id uint16) {
		switch {
		case len(numbers) < most:
			numbers, texts = append(numbers, 0), append(texts, "")
		case number < numbers[most-1]:
			more++ // the last one, whose place it takes
		default:
			more++
			return
		}
		i := len(numbers) - 1
		for ; i > 0 && numbers[i-1] > number; i-- {
			numbers[i], texts[i] = numbers[i-1], texts[i-1]
		}
		numbers[i], texts[i] = number, digits(number)+" "+name
		if id > 0 {
			texts[i] += fmt.Sprintf(" (id %d)", id)
		}
	}
	if s.state.connect > 0 && s.state.connack == 0 {
		waits(s.state.connect, "CONNECT", 0)
	}
	for d := range s.state.flows {
		for id, f := range s.state.flows[d].open {
			waits(f.last(), f.lastName(), id)
		}
	}
	for id, r := range s.state.requests {
		waits(r.number, typeNames[r.typ], id)
	}
	for _, g := range s.state.pings {
		waits(g.number, "PINGREQ", 0)
	}
	if len(texts) == 0 {
		return ""
	}
	text := "not acknowledged: " + strings.Join(texts, ", ")
	if more > 0 {
		text += fmt.Sprintf(", and %d more", more)
	}
	return text
}
