package main

import (
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// dump is the bytes of lines that have an offset in front.
type dump struct {
	open  bool
	at    int           // the offset of the next line; -1: nobody knows
	base  int           // of offsets: 10 of xxd -d, else 16; 0: no line has told yet
	c     *conversation // where they go; nil if they are a frame
	frame []byte        // the bytes of a frame, with the headers of its link, of IP and of TCP

	frames bool // this text has frames, and nothing else in its dumps
	skip   bool // this dump shows again what others showed
}

// errTurned is that bytes do not stand in the order in which they were sent.
var errTurned = errors.New("of a dump that turns the bytes of words around; use hexdump -C, od -t x1 or xxd")

// mostFrame is how many bytes a frame has at most.
const mostFrame = 256 << 10

// dumpedLine reads a line of a dump, or of what stands around dumps, or does not take it.
func (h *hexReader) dumpedLine(line string) (taken bool, err error) {
	d := &h.dump
	if wordLine.MatchString(line) && !strings.Contains(line, ":") {
		return true, fmt.Errorf("line %d is %w", h.at, errTurned)
	}
	if m := dumpLine.FindStringSubmatch(line); m != nil && (d.open || strings.Trim(m[1], "0") == "" || len(m[1]) >= 8) {
		b, err := dumpedBytes(m[2], m[3])
		if err == errTurned {
			return true, fmt.Errorf("line %d is %w", h.at, errTurned)
		}
		if err == nil {
			return true, h.dumped(m[1], b)
		}
	}
	// od -t x1
	if m := octalLine.FindStringSubmatch(line); m != nil && (d.open || strings.Trim(m[1], "0") == "") {
		if b, err := hex.DecodeString(strings.ReplaceAll(m[2], " ", "")); err == nil {
			base := m[1]
			if len(base) == 7 {
				base = ""
			}
			return true, h.dumped(base, b)
		}
	}
	switch m := partLine.FindStringSubmatch(line); {
	case d.open && line == "*":
		return true, fmt.Errorf("line %d: repeated lines were left out; use hexdump -v, od -v or xxd", h.at)
	case d.open && endLine.MatchString(line) && (len(line) == 7 || fmt.Sprintf("%08x", d.at) == strings.Repeat("0", 8-len(line))+line):
		return true, h.endDump()
	case d.open && line == "":
		return true, h.endFrame()
	case frameLine.MatchString(line):
		d.frames = true
		return true, h.endDump()
	case m != nil:
		err = h.endDump()
		d.frames, d.skip = true, m[1] != "Frame"
		return true, err
	}
	return false, nil
}

// dumpedBytes reads the hex of a dump's line behind its offset, without the text at its end.
func dumpedBytes(separator, s string) ([]byte, error) {
	s = strings.TrimLeft(s, " \t")
	if digits, _, found := strings.Cut(s, "  |"); found && separator != ":" && strings.HasSuffix(s, "|") {
		s = digits // hexdump -C, which has a gap in the middle
	} else {
		digits, text, _ := strings.Cut(s, "  ")
		words := strings.Fields(digits)
		if separator == ":" && strings.Trim(digits, "01 ") == "" && len(digits) == 9*len(words)-1 && len(strings.TrimLeft(text, " ")) <= len(words) {
			return numbers(digits, 2) // xxd -b, which has a character for each word
		}
		if separator == ":" && turned(words, text) {
			return nil, errTurned
		}
		s = digits
	}
	return hex.DecodeString(strings.ReplaceAll(s, " ", ""))
}

// turned reports whether the text behind words of bytes shows that they are turned around in each, as by xxd -e.
func turned(words []string, text string) bool {
	var straight, around []byte
	for _, word := range words {
		b, err := hex.DecodeString(word)
		if err != nil || len(b) < 2 {
			return false
		}
		for i, c := range b {
			if c < ' ' || c > '~' {
				b[i] = '.'
			}
		}
		straight = append(straight, b...)
		slices.Reverse(b)
		around = append(around, b...)
	}
	return len(words) > 0 && strings.Contains(text, string(around)) && !strings.Contains(text, string(straight))
}

// dumped takes the bytes of a line. An offset of 0 begins a dump; it is "" if nobody can tell what it counts.
func (h *hexReader) dumped(offset string, b []byte) error {
	d := &h.dump
	zero := offset != "" && strings.Trim(offset, "0") == ""
	if zero || !d.open {
		skip := !d.open && d.skip
		if err := h.endAll(); err != nil {
			return err
		}
		d.open, d.at, d.skip = true, -1, skip
		if zero {
			d.at = 0
		}
		_, found := linkOf(b)
		if d.frames = d.frames || found; d.frames {
			d.frame = []byte{}
		} else {
			d.c = h.pr.bytes(h.o.direction())
		}
	}
	if d.at >= 0 && offset != "" {
		at, _ := strconv.ParseInt(offset, 16, 64)
		decimal, _ := strconv.Atoi(offset)
		base := 0
		switch {
		case d.base != 10 && int(at) == d.at:
			base = 16
		case d.base != 16 && decimal == d.at:
			base = 10
		default:
			return fmt.Errorf("line %d begins at byte %d of a dump where %d should stand: lines are missing", h.at, at, d.at)
		}
		if d.at > 9 { // up to there both are the same
			d.base = base
		}
		d.at += len(b)
	}
	if d.c != nil {
		return h.written(d.c.add(d.c.stream.Direction, 0, b))
	}
	if d.frame = append(d.frame, b...); len(d.frame) > mostFrame {
		return fmt.Errorf("line %d: a frame of more than %d bytes", h.at, mostFrame)
	}
	return nil
}

// endFrame ends a dump if it is a frame: others go on behind an empty line.
func (h *hexReader) endFrame() error {
	if h.dump.frame != nil {
		return h.endDump()
	}
	return nil
}

// endDump ends a dump.
func (h *hexReader) endDump() (err error) {
	d := h.dump
	h.dump = dump{frames: d.frames}
	switch {
	case d.frame != nil && !d.skip:
		link, _ := linkOf(d.frame)
		err = h.frames.take(frame{link: link, bytes: d.frame})
	case d.c != nil:
		err = h.written(d.c.close())
	}
	return err
}

// linkOf tells from the first bytes of a frame what is in front of IP in it. Nothing that is MQTT begins like a frame.
func linkOf(b []byte) (link uint32, found bool) {
	if len(b) < 16 {
		return 0, false
	}
	at := 12 // the type of what follows, in Ethernet
	for at+4 < len(b) && (b[at] == 0x81 && b[at+1] == 0 || b[at] == 0x88 && b[at+1] == 0xa8) {
		at += 4 // VLAN
	}
	switch {
	case at+2 < len(b) && isNetwork(b[at:]) && mayFollow(b[at:], b[at+2]):
		return 1, true
	case b[0] == 0 && b[1] <= 4 && isNetwork(b[14:]):
		return 113, true // Linux cooked
	case isNetwork(b) && b[2] == 0 && b[3] == 0:
		return 276, true // the same, version 2
	case b[1] == 0 && b[2] == 0 && b[3] == 0 && isFamily(b[0]) && isPacket(b[4:]):
		return 0, true // loopback
	case b[0] == 0 && b[1] == 0 && b[2] == 0 && isFamily(b[3]) && isPacket(b[4:]):
		return 108, true
	case isPacket(b) && !(b[0] == 0x62 && b[1] == 2): // a PUBREL
		return 101, true
	}
	return 0, false
}

// isNetwork reports whether b begins with the type of IP or ARP.
func isNetwork(b []byte) bool {
	return b[0] == 8 && (b[1] == 0 || b[1] == 6) || b[0] == 0x86 && b[1] == 0xdd
}

// mayFollow reports whether next may be the first byte behind a type.
func mayFollow(kind []byte, next byte) bool {
	switch {
	case kind[0] == 0x86:
		return next>>4 == 6
	case kind[1] == 6:
		return next == 0 // ARP
	}
	return next>>4 == 4 && next&15 >= 5
}

func isFamily(c byte) bool { return c == 2 || c == 24 || c == 28 || c == 30 }

// isPacket reports whether b begins like a packet of IP.
func isPacket(b []byte) bool {
	if b[0]>>4 == 4 && b[0]&15 >= 5 {
		return b[8] > 0 && isTransport(b[9])
	}
	return b[0]>>4 == 6 && b[7] > 0 && (isTransport(b[6]) || b[6] == 0 || b[6] == 43 || b[6] == 44 || b[6] == 51 || b[6] == 60)
}

// isTransport reports whether c is ICMP, TCP or UDP.
func isTransport(c byte) bool { return c == 1 || c == 6 || c == 17 || c == 58 }
