package cli

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
)

const (
	// maxLine is the longest line of -l in bytes, without its newline: the payload that AWS IoT Core takes. For other
	// servers it is the same, so that what works with a broker at hand works with AWS, and memory stays small.
	maxLine = 128 << 10

	// linesEndWithCR is whether a line of text ends with CR LF here.
	linesEndWithCR = os.PathSeparator == '\\'

	// maxFile is the largest payload of -f in bytes: what an MQTT packet can hold behind the longest topic (2.2.3).
	maxFile = 268_435_455 - 2 - 65_535 - 2
)

// source gives the messages of a publisher, one after the other.
type source struct {
	payload []byte // the only one, if it is repeated
	// next returns the next payload, or io.EOF behind the last one. It may block for as long as stdin does.
	next  func() ([]byte, error)
	total int // how many will come; 0: not known
}

// repeated is a payload, count times; 0: for ever.
func repeated(payload []byte, count int) source {
	given := 0
	return source{payload: payload, total: count, next: func() ([]byte, error) {
		if count > 0 && given == count {
			return nil, io.EOF
		}
		given++
		return payload, nil
	}}
}

// lines is the lines of r, at most count of them; 0: all. A line ends with a newline, which is not part of it; the last
// one may do without. Every other byte is kept, NUL too, and an empty line is an empty message, as with mosquitto_pub -l.
// A CR before the newline is a byte like others, except on Windows, where every program ends its lines so.
func lines(r io.Reader, count int) source {
	in := bufio.NewReaderSize(r, maxLine+len("\r\n"))
	number := 0
	return source{next: func() ([]byte, error) {
		if count > 0 && number == count {
			return nil, io.EOF
		}
		number++
		line, err := in.ReadSlice('\n')
		if err == nil {
			line = line[:len(line)-1]
			if n := len(line); linesEndWithCR && n > 0 && line[n-1] == '\r' {
				line = line[:n-1]
			}
		}
		switch {
		case len(line) > maxLine:
			return nil, errorf("line %d of standard input is longer than %d bytes, the most that -l takes; -f - sends all of it as one message",
				number, maxLine)
		case err == io.EOF && len(line) == 0:
			return nil, io.EOF
		case err != nil && err != io.EOF:
			return nil, errorf("standard input, line %d: %w", number, withoutPath(err))
		}
		return append([]byte{}, line...), nil
	}}
}

// readFile returns the bytes of the file with this name, or all of stdin for "-".
func readFile(name string, stdin io.Reader) ([]byte, error) {
	shown := name
	if name == "-" {
		shown = "standard input"
	} else {
		f, err := os.Open(name)
		if err != nil {
			return nil, pathError(err)
		}
		defer f.Close()
		stdin = f
	}
	var b bytes.Buffer
	n, err := b.ReadFrom(io.LimitReader(stdin, maxFile+1))
	if err != nil {
		return nil, errorf("%s: %w", printable(shown), withoutPath(err))
	}
	if n > maxFile {
		return nil, errorf("%s is larger than %d bytes, which no MQTT packet can hold", printable(shown), maxFile)
	}
	return b.Bytes(), nil
}

// withoutPath is an error of package os without the name of the file, which is shown already, or is only the operating
// system's own one.
func withoutPath(err error) error {
	if p, ok := err.(*fs.PathError); ok {
		return p.Err
	}
	return err
}

// pathError says what is wrong with a file in the order in which one reads it: the name, then the trouble.
func pathError(err error) error {
	if p, ok := errors.AsType[*fs.PathError](err); ok {
		return errorf("%s: %w", printable(p.Path), p.Err)
	}
	return err
}
