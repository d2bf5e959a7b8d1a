package main

import (
	"encoding/hex"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"
	"unicode/utf8"

	"iotwire/mqtt/dissect"
)

// errNoHex is matched by the error about a line that is not hex, and errTrace by the one about a trace that has lines for
// people in place of its bytes.
var (
	errNoHex = errors.New("not hex")
	errTrace = errors.New("this is a trace for people, which leaves bytes out; --trace=hex writes one that can be read again")
)

// isText reports whether b may be hex: UTF-8 without control characters.
func isText(b []byte) bool {
	for _, r := range string(b) {
		if r == utf8.RuneError || r < ' ' && r != '\n' && r != '\r' && r != '\t' {
			return false
		}
	}
	return true
}

var (
	opening   = regexp.MustCompile(`^# (connection \d+)\b`)                    // of a connection, in a trace of several
	forPeople = regexp.MustCompile(`^[·→←|<>] (\d+ [A-Z]+ ?[─-]|.* +\d+ B\b)`) // a packet, in a trace of another style
	dumpLine  = regexp.MustCompile(`^([0-9a-fA-F]{4,16})(:|  )\s*(.*)$`)       // xxd, hexdump -C, tshark -x
	endLine   = regexp.MustCompile(`^[0-9a-fA-F]{7,8}$`)                       // hexdump's last
	sentLine  = regexp.MustCompile(`^(>|<|→|←)\s*(?:\+([0-9.]+)\s+)?(.*)$`)    // dissect -f hex
	ownLine   = regexp.MustCompile(`^(?:(?:publisher|subscriber|demo|testbroker): |connecting to .* as |connected in \d|` +
		`subscribed to .*, QoS [012]$|received \d+ messages? \(|reading from the terminal; |\d+ (?:of \d+ )?(?:sent|acknowledged)\b|` +
		`.*, \d+ bytes?, QoS [012](?:, retained|, sent again)*(?:: sent|: acknowledged in .*)?$|of an earlier run: )`) // what the programs say beside a trace
	quotedAny = regexp.MustCompile(`^[\s0-9a-fA-F,:;\-\[\]"'.]*$`) // bare hex and what may stand between
)

// readHex reads bytes from text.
func (o *options) readHex(text string) ([]conversation, error) {
	var (
		plain    [][]byte        // the lines of bare hex
		dump     []chunk         // what was dumped with offsets, and arrays: they go on from line to line
		sessions []*conversation // the connections of a trace
		session  = new(conversation)
		code     source
		own      bool // the line before was one of the programs' own, which may go on
	)
	for i, line := range strings.Split(text, "\n") {
		line = strings.TrimRight(line, " \t\r")
		add := func(digits string) error {
			b, err := hex.DecodeString(onlyHex(digits))
			if err != nil {
				return fmt.Errorf("line %d is %w: %q", i+1, errNoHex, shorten(line))
			}
			if len(b) > 0 {
				plain = append(plain, b)
			}
			return nil
		}
		written, inside := line, code.depth > 0 || code.comment
		if m := dumpLine.FindStringSubmatch(line); m != nil && !inside {
			b, err := dumpedBytes(m[2], m[3])
			if err == nil {
				if strings.Trim(m[1], "0") == "" || len(dump) == 0 {
					dump = append(dump, chunk{from: o.direction()})
				}
				dump[len(dump)-1].bytes = append(dump[len(dump)-1].bytes, b...)
				continue
			}
		}
		if len(dump) > 0 && (endLine.MatchString(line) || line == "*") {
			if line == "*" {
				return nil, fmt.Errorf("line %d: repeated lines were left out; use hexdump -v", i+1)
			}
			continue
		}
		if forPeople.MatchString(line) {
			return nil, errTrace
		}
		if m := opening.FindStringSubmatch(line); m != nil {
			session = connectionCalled(m[1], sessions)
		}
		line, _, _ = strings.Cut(line, "#")
		line = strings.TrimSpace(line)
		if m := sentLine.FindStringSubmatch(line); m != nil && !inside {
			c := chunk{from: dissect.ToServer}
			if m[1] == "<" || m[1] == "←" {
				c.from = dissect.ToClient
			}
			if m[2] == "" {
				session.untimed = true
			} else if at, err := time.ParseDuration(m[2] + "s"); err == nil {
				c.at = at
			}
			b, err := hex.DecodeString(onlyHex(m[3]))
			if err != nil {
				return nil, fmt.Errorf("line %d is %w: %q (a trace of style full has no complete bytes; use hex)", i+1, errNoHex, shorten(line))
			}
			c.bytes = b
			if session.chunks == nil {
				session.session = true
				sessions = append(sessions, session)
			}
			session.chunks = append(session.chunks, c)
			continue
		}
		if !inside && (ownLine.MatchString(written) || own && strings.HasPrefix(written, "  ") && !quotedAny.MatchString(written)) {
			own = true
			continue
		}
		own = false
		line = code.withoutComments(written)
		if line == "" {
			continue
		}
		if b, taken, err := code.read(line); err != nil {
			return nil, fmt.Errorf("line %d is %w: %v", i+1, errNoHex, err)
		} else if taken {
			if len(dump) == 0 {
				dump = []chunk{{from: o.direction()}}
			}
			dump[len(dump)-1].bytes = append(dump[len(dump)-1].bytes, b...)
			continue
		}
		if !quotedAny.MatchString(line) {
			return nil, fmt.Errorf("line %d is %w: %q", i+1, errNoHex, shorten(line))
		}
		if err := add(line); err != nil {
			return nil, err
		}
	}
	if code.depth > 0 || code.comment {
		return nil, fmt.Errorf("line %d is %w: a brace or a comment is open at the end", strings.Count(text, "\n")+1, errNoHex)
	}
	var all []conversation
	for _, c := range sessions {
		all = append(all, *c)
	}
	if len(dump) > 0 {
		all = append(all, conversation{chunks: dump})
	}
	if len(plain) > 0 {
		all = append(all, conversation{chunks: o.lines(plain)})
	}
	return all, nil
}

// connectionCalled is the connection with this title, or a new one. A trace of several at once comes back to each.
func connectionCalled(title string, all []*conversation) *conversation {
	for _, c := range all {
		if c.title == title {
			return c
		}
	}
	return &conversation{title: title}
}

// lines makes chunks of lines of bare hex: each is a chunk, unless they are one dump cut into lines of the same length.
func (o *options) lines(plain [][]byte) []chunk {
	first := plain[0]
	same := len(plain) > 1 && len(first) >= 16
	for i, b := range plain {
		same = same && (len(b) == len(first) || i == len(plain)-1 && len(b) < len(first))
	}
	if p, n := dissect.Read(first, dissect.Unknown); same && (p.Missing > 0 || n < len(first)) {
		var joined []byte
		for _, b := range plain {
			joined = append(joined, b...)
		}
		return []chunk{{from: o.direction(), bytes: joined}}
	}
	var chunks []chunk
	for _, b := range plain {
		chunks = append(chunks, chunk{from: o.direction(), bytes: b})
	}
	return chunks
}

// dumpedBytes reads the hex of a dump's line behind its offset, without the text at its end.
func dumpedBytes(separator, s string) ([]byte, error) {
	if digits, _, found := strings.Cut(s, "  |"); found && separator != ":" && strings.HasSuffix(s, "|") {
		s = digits // hexdump -C, which has a gap in the middle
	} else {
		s, _, _ = strings.Cut(s, "  ")
	}
	return hex.DecodeString(strings.ReplaceAll(s, " ", ""))
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
