package main

import (
	"bufio"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"
	"time"

	"iotwire/mqtt/dissect"
)

// errNoHex is matched by the error about a line that is not hex, and errTrace by the one about a trace that has lines for
// people in place of its bytes.
var (
	errNoHex = errors.New("not hex")
	errTrace = errors.New("this is a trace for people, which leaves bytes out; --trace=hex writes one that can be read again")
)

var (
	opening   = regexp.MustCompile(`^# (connection \d+)\b`)                     // of a connection, in a trace of several
	forPeople = regexp.MustCompile(`^[·→←|<>] (\d+ [A-Z]+ ?[─-]|.* +\d+ B\b)`)  // a packet, in a trace of another style
	dumpLine  = regexp.MustCompile(`^(?:\s+0x)?([0-9a-fA-F]{4,16})(:|  )(.*)$`) // xxd, hexdump -C, tshark -x, tcpdump -x
	octalLine = regexp.MustCompile(`^([0-9a-fA-F]{6,7})((?: [0-9a-fA-F]{2})+)(?: +>.*<)?$`)
	endLine   = regexp.MustCompile(`^[0-9a-fA-F]{6,8}$`)                    // the last of hexdump and od
	wordLine  = regexp.MustCompile(`^[0-9a-fA-F]{7} +[0-9a-fA-F]{4,6}\b`)   // hexdump and od, which turn bytes around
	sentLine  = regexp.MustCompile(`^(>|<|→|←)\s*(?:\+([0-9.]+)\s+)?(.*)$`) // dissect -f hex
	ownLine   = regexp.MustCompile(`^(?:(?:publisher|subscriber|demo|testbroker): |connecting to .* as |connected in \d|` +
		`subscribed to .*, QoS [012]$|received \d+ messages? \(|reading from the terminal; |\d+ (?:of \d+ )?(?:sent|acknowledged)\b|` +
		`.*, \d+ bytes?, QoS [012](?:, retained|, sent again)*(?:: sent|: acknowledged in .*)?$|of an earlier run: )`) // what the programs say beside a trace
	quotedAny = regexp.MustCompile(`^[\s0-9a-fA-F,:;\-\[\]"'.]*$`)                               // bare hex and what may stand between
	frameLine = regexp.MustCompile(`^(?:\s*\d+\s+[\d.]+\s+\S+\s+(?:→|->)\s|\d\d:\d\d:\d\d\.\d)`) // tshark -P and tcpdump about the frame whose dump follows
	partLine  = regexp.MustCompile(`^([A-Z][\w /-]*) \(\d+ bytes?\):$`)                          // tshark about what a dump is of
)

// hexReader reads bytes from lines of text. Each line is read and printed before the next is looked at.
type hexReader struct {
	o   *options
	pr  *printer
	at  int  // the number of the line
	own bool // the line before was one of the programs' own, which may go on

	sessions map[string]*conversation // the connections of a trace
	order    []string                 // their titles, those that were used last behind
	session  string                   // the title of the one whose lines these are
	ended    bool                     // one ended for another, and may go on

	code  source
	array *conversation // the bytes of arrays, which go on from line to line
	dump  dump
	plain plain

	frames assembler // of what was dumped with the headers of TCP
}

// plain is bytes of lines of bare hex.
type plain struct {
	c     *conversation // nil: the line before ended where a packet does
	width int           // the bytes of the line that c began with
}

// readHex reads lines of hex in the way of many tools.
func (o *options) readHex(text io.Reader, pr *printer) error {
	h := &hexReader{o: o, pr: pr, sessions: map[string]*conversation{}, frames: assembler{pr: pr, port: o.port, untimed: true}}
	r := bufio.NewReaderSize(text, bufferSize)
	for {
		line, err := r.ReadSlice('\n')
		h.at++
		if h.at == 1 {
			line = []byte(strings.TrimPrefix(string(line), "\ufeff"))
		}
		switch {
		case err == bufio.ErrBufferFull:
			err = h.longLine(line, r)
		case err == nil || err == io.EOF:
			if failed := h.line(string(line)); failed != nil {
				err = failed
			}
		}
		if err == io.EOF {
			return h.close()
		}
		if err != nil {
			h.close()
			return err
		}
	}
}

// line reads a line.
func (h *hexReader) line(line string) error {
	line = strings.TrimRight(line, " \t\r\n")
	written, inside := line, h.code.depth > 0 || h.code.comment
	if !inside {
		if taken, err := h.dumpedLine(line); taken || err != nil {
			return err
		}
		if forPeople.MatchString(line) {
			return errTrace
		}
		if m := opening.FindStringSubmatch(line); m != nil {
			h.session = m[1]
		}
	}
	if digits, found := strings.CutPrefix(line, "<Buffer "); found && strings.HasSuffix(line, ">") && !inside {
		line = strings.TrimSuffix(digits, ">") // Node.js
		written = line
	}
	line, _, _ = strings.Cut(line, "#")
	line = strings.TrimSpace(line)
	if m := sentLine.FindStringSubmatch(line); m != nil && !inside {
		c, from, at, err := h.sent(m)
		if err != nil {
			return err
		}
		b, err := hex.DecodeString(onlyHex(m[3]))
		if err != nil {
			return fmt.Errorf("line %d is %w: %q (a trace of style full has no complete bytes; use hex)", h.at, errNoHex, shorten(line))
		}
		return h.written(c.add(from, at, b))
	}
	if !inside && (ownLine.MatchString(written) || h.own && strings.HasPrefix(written, "  ") && !quotedAny.MatchString(written)) {
		h.own = true
		return nil
	}
	h.own = false
	line = h.code.withoutComments(written)
	if line == "" {
		return nil
	}
	if b, taken, err := h.code.read(line); err != nil {
		return fmt.Errorf("line %d is %w: %v", h.at, errNoHex, err)
	} else if taken {
		if h.array == nil {
			if err := h.endAll(); err != nil {
				return err
			}
			h.array = h.pr.bytes(h.o.direction())
		}
		return h.written(h.array.add(h.array.stream.Direction, 0, b))
	}
	if b, taken, err := numbersLine(line); err != nil {
		return fmt.Errorf("line %d is %w: %q: %v", h.at, errNoHex, shorten(line), err)
	} else if taken {
		return h.plainLine(b)
	}
	b, err := hex.DecodeString(onlyHex(line))
	if err == hex.ErrLength && quotedAny.MatchString(line) {
		return fmt.Errorf("line %d is %w: %q has half a byte", h.at, errNoHex, shorten(line))
	}
	if err != nil || !quotedAny.MatchString(line) {
		return fmt.Errorf("line %d is %w: %q", h.at, errNoHex, shorten(line))
	}
	return h.plainLine(b)
}

// written marks an error of writing.
func (h *hexReader) written(err error) error {
	if err != nil {
		return writeError{err}
	}
	return nil
}

// sent is the connection, the sender and the time of a line of a trace.
func (h *hexReader) sent(m []string) (c *conversation, from dissect.Direction, at time.Duration, err error) {
	if err = h.endAll(); err != nil {
		return nil, 0, 0, err
	}
	from = dissect.ToServer
	if m[1] == "<" || m[1] == "←" {
		from = dissect.ToClient
	}
	if c, err = h.connection(); err != nil {
		return nil, 0, 0, err
	}
	if m[2] == "" {
		c.session.Untimed = true
	} else if t, err := time.ParseDuration(m[2] + "s"); err == nil {
		at = t
	}
	return c, from, at, nil
}

// mostConnections is how many connections are followed at a time. The one that is silent for longest ends for another.
const mostConnections = 256

// connection is the one whose lines these are. A trace of several at once comes back to each.
func (h *hexReader) connection() (*conversation, error) {
	c := h.sessions[h.session]
	if c != nil && h.order[len(h.order)-1] == h.session {
		return c, nil
	}
	for i, title := range h.order {
		if title == h.session || c == nil && len(h.order) >= mostConnections {
			h.order = append(h.order[:i], h.order[i+1:]...)
			if title == h.session {
				break
			}
			if err := h.sessions[title].close(); err != nil {
				return nil, writeError{err}
			}
			delete(h.sessions, title)
			h.ended = true
			break
		}
	}
	h.order = append(h.order, h.session)
	if c == nil {
		c = h.pr.connection(h.session, h.ended)
		h.sessions[h.session] = c
	}
	return c, nil
}

// plainLine takes the bytes of a line of bare hex: a packet or several. A line that ends within one goes on in the next if
// that looks like a dump: 16 bytes or more a line, as many in each but the last, and no packets of its own in it.
func (h *hexReader) plainLine(b []byte) error {
	if err := h.endDump(); err != nil {
		return err
	}
	if err := h.endArray(); err != nil {
		return err
	}
	if len(b) == 0 {
		return nil
	}
	if link, found := linkOf(b); found && !wholePackets(b) {
		return h.frames.take(frame{link: link, bytes: b})
	}
	p := &h.plain
	if p.c != nil && (len(b) > p.width || wholePackets(b)) {
		if err := h.endPlain(); err != nil {
			return err
		}
	}
	if p.c == nil {
		*p = plain{h.pr.bytes(h.o.direction()), len(b)}
		p.c.stream.Block = 0
	}
	if err := p.c.add(p.c.stream.Direction, 0, b); err != nil {
		return writeError{err}
	}
	if p.c.stream.Waiting() == 0 || len(b) < 16 || len(b) < p.width {
		return h.endPlain()
	}
	return nil
}

// wholePackets reports whether b is packets that break no rule.
func wholePackets(b []byte) bool {
	for len(b) > 0 {
		p, n := dissect.Read(b, dissect.Unknown)
		if p.Missing > 0 || p.Broken() {
			return false
		}
		b = b[n:]
	}
	return true
}

func (h *hexReader) endPlain() (err error) {
	if c := h.plain.c; c != nil {
		h.plain = plain{}
		err = h.written(c.close())
	}
	return err
}

func (h *hexReader) endArray() (err error) {
	if c := h.array; c != nil {
		h.array = nil
		err = h.written(c.close())
	}
	return err
}

// endAll ends what goes on from line to line, as a line of another kind came.
func (h *hexReader) endAll() error {
	return errors.Join(h.endPlain(), h.endArray(), h.endDump())
}

// close ends everything, as there are no more lines.
func (h *hexReader) close() error {
	err := h.endAll()
	for _, title := range h.order {
		err = errors.Join(err, h.written(h.sessions[title].close()))
	}
	err = errors.Join(err, h.frames.close())
	if err == nil && (h.code.depth > 0 || h.code.comment) {
		err = fmt.Errorf("line %d is %w: a brace or a comment is open at the end", h.at, errNoHex)
	}
	return err
}

// onlyHex leaves the hex digits out of what may stand between them.
func onlyHex(s string) string {
	s = strings.NewReplacer("0x", "", "0X", "", `\x`, "").Replace(s)
	return strings.Map(func(r rune) rune {
		if strings.ContainsRune(" \t,:;-[]{}()\"'.", r) {
			return -1
		}
		return r
	}, s)
}

func shorten(s string) string {
	if len(s) > 40 {
		return s[:40] + "..."
	}
	return s
}
