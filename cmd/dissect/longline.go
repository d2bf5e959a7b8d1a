package main

import (
	"bufio"
	"encoding/hex"
	"fmt"
	"io"
	"strings"
	"time"

	"iotwire/mqtt/dissect"
)

// longestLine is how long a line may be that has to be in memory as a whole.
const longestLine = 64 << 20

// longLine reads a line that is longer than what is read in one go, and begins with these bytes: bare hex and a line of a
// trace in pieces, anything else as a whole.
func (h *hexReader) longLine(begin []byte, r *bufio.Reader) (err error) {
	line := string(begin)
	m := sentLine.FindStringSubmatch(line)
	switch {
	case h.code.depth > 0 || h.code.comment:
		return h.wholeLine(begin, r)
	case m != nil && quotedAny.MatchString(m[3]):
		c, from, at, err := h.sent(m)
		if err != nil {
			return err
		}
		return h.pieces(c, from, at, m[3], r)
	case m == nil && quotedAny.MatchString(line) && !dumpLine.MatchString(line):
		if _, numbers, err := numbersLine(line[:strings.LastIndexAny(line, ", ")+1]); numbers || err != nil {
			return h.wholeLine(begin, r)
		}
		if err := h.endAll(); err != nil {
			return err
		}
		c := h.pr.bytes(h.o.direction())
		if err = h.pieces(c, c.stream.Direction, 0, line, r); err != nil && err != io.EOF {
			return err
		}
		if failed := c.close(); failed != nil {
			return writeError{failed}
		}
		return err
	}
	return h.wholeLine(begin, r)
}

// wholeLine reads the rest of a line, and then the line. The error is that of the last reading.
func (h *hexReader) wholeLine(begin []byte, r *bufio.Reader) error {
	whole := append([]byte(nil), begin...)
	for {
		more, err := r.ReadSlice('\n')
		if whole = append(whole, more...); len(whole) > longestLine {
			return fmt.Errorf("line %d is longer than %d MB: is it hex?", h.at, longestLine>>20)
		}
		if err == bufio.ErrBufferFull {
			continue
		}
		if failed := h.line(string(whole)); failed != nil {
			return failed
		}
		return err
	}
}

// pieces reads a line of which this is the text so far, a piece at a time. The error is that of the last reading.
func (h *hexReader) pieces(c *conversation, from dissect.Direction, at time.Duration, text string, r *bufio.Reader) error {
	line := text
	odd, comment := "", false // half a byte, and whether the rest is a comment
	for err := bufio.ErrBufferFull; ; {
		before, _, found := strings.Cut(text, "#")
		digits := odd
		if !comment {
			digits += onlyHex(strings.TrimRight(before, "\r\n"))
		}
		comment = comment || found
		whole := len(digits)
		if err == bufio.ErrBufferFull {
			whole &^= 1
		}
		b, bad := hex.DecodeString(digits[:whole])
		if bad != nil {
			return fmt.Errorf("line %d is %w: %q", h.at, errNoHex, shorten(line))
		}
		odd = digits[whole:]
		if failed := c.add(from, at, b); failed != nil {
			return writeError{failed}
		}
		if err != bufio.ErrBufferFull {
			return err
		}
		var more []byte
		more, err = r.ReadSlice('\n')
		if err != nil && err != io.EOF && err != bufio.ErrBufferFull {
			return err
		}
		text = string(more)
	}
}
