package main

import (
	"bufio"
	"bytes"
	"compress/flate"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"
	"unicode/utf8"

	"iotwire/internal/cli"
	"iotwire/mqtt/dissect"
)

// input is where bytes come from. Before it waits for more, all that was found so far is printed. A signal is its end.
type input struct {
	from    io.Reader
	flush   func() error
	signals <-chan os.Signal // nil: none come
	ahead   chan piece       // what was read while what was read before was worked on
	left    []byte
	err     error        // the end of what was read ahead
	code    cli.ExitCode // what the signal that ended it stands for
}

type piece struct {
	bytes []byte
	err   error
}

// bufferSize is how many bytes are read in one go, and the longest line that is taken as a whole.
const bufferSize = 64 << 10

// writeError is an error of writing that a reader returns.
type writeError struct{ error }

func (e writeError) Unwrap() error { return e.error }

// Read reads what is there. It waits only if nothing is.
func (in *input) Read(b []byte) (int, error) {
	if err := in.flush(); err != nil {
		return 0, writeError{err}
	}
	if in.signals == nil {
		return in.from.Read(b)
	}
	if in.ahead == nil {
		in.ahead = make(chan piece)
		go readAhead(in.from, in.ahead)
	}
	if len(in.left) == 0 && in.err == nil {
		select {
		case sig := <-in.signals:
			in.code = cli.ExitInterrupted
			if sig == syscall.SIGTERM {
				in.code = cli.ExitTerminated
			}
			in.err = io.EOF
		case p := <-in.ahead:
			in.left, in.err = p.bytes, p.err
		}
	}
	if len(in.left) == 0 {
		return 0, in.err
	}
	n := copy(b, in.left)
	in.left = in.left[n:]
	return n, nil
}

// readAhead reads into two buffers by turns: one is filled while the other is worked on.
func readAhead(from io.Reader, to chan<- piece) {
	buffers := [2][]byte{make([]byte, bufferSize), make([]byte, bufferSize)}
	for i := 0; ; i = 1 - i {
		n, err := from.Read(buffers[i])
		if n > 0 {
			to <- piece{bytes: buffers[i][:n]}
		}
		if err != nil {
			to <- piece{err: err}
			return
		}
	}
}

// kinds are the beginnings that tell what follows.
var kinds = []struct{ begin, kind string }{
	{"\xa1\xb2\xc3\xd4", "pcap"}, {"\xd4\xc3\xb2\xa1", "pcap"}, {"\xa1\xb2\x3c\x4d", "pcap"}, {"\x4d\x3c\xb2\xa1", "pcap"},
	{"\x0a\x0d\x0d\x0a", "pcap"}, // pcapng
	{"\x1f\x8b\x08", "gzip"},
	{"\x28\xb5\x2f\xfd", "zstd"}, {"\xfd7zXZ", "xz"}, {"BZh", "bzip2"}, {"PK\x03\x04", "zip"},
	{"\xef\xbb\xbf", "hex"}, {"\xff\xfe", "UTF-16"}, {"\xfe\xff", "UTF-16"}, // byte order marks
}

// sniff tells what is to be read, as soon as enough of it is there.
func sniff(r *bufio.Reader) (string, error) {
	for n := 1; ; n = max(n+1, r.Buffered()) {
		b, err := r.Peek(min(n, blockSize))
		if kind := kindOf(b, err != nil || n >= blockSize); kind != "" {
			return kind, nil
		}
		if err != nil && err != io.EOF {
			return "", err
		}
	}
}

// kindOf is what b begins, or "" if more of it has to be seen. all says that there is no more.
func kindOf(b []byte, all bool) string {
	for _, k := range kinds {
		if bytes.HasPrefix(b, []byte(k.begin)) {
			return k.kind
		}
		if !all && strings.HasPrefix(k.begin, string(b)) {
			return ""
		}
	}
	for i := 0; i < len(b); {
		r, size := utf8.DecodeRune(b[i:])
		switch {
		case r == utf8.RuneError && size <= 1:
			if len(b)-i < utf8.UTFMax && !utf8.FullRune(b[i:]) && (!all || len(b) == blockSize) {
				i = len(b) // the rest of the character is to come
				continue
			}
			return "raw"
		case r < ' ' && r != '\n' && r != '\r' && r != '\t':
			return "raw"
		}
		i += size
	}
	// A PUBLISH of 10 bytes begins with "0\n": the first line has to be longer.
	if !all && bytes.IndexByte(b[min(2, len(b)):], '\n') < 0 {
		return ""
	}
	if p, _ := dissect.Read(b, dissect.Unknown); p.NotMQTT {
		return "raw" // HTTP
	}
	return "hex"
}

// read gets the input and prints what is in it.
func (o *options) read(p *cli.Process, pr *printer) (code cli.ExitCode, err error) {
	if o.hex != "" {
		return 0, o.readHex(strings.NewReader(o.hex), pr)
	}
	in := &input{from: p.Stdin, flush: pr.out.Flush, signals: p.Signals}
	name := "stdin"
	if o.file != "" && o.file != "-" {
		f, err := os.Open(o.file)
		if err != nil {
			return 0, err
		}
		defer f.Close()
		if info, err := f.Stat(); err == nil && info.IsDir() {
			return 0, fmt.Errorf("%s is a directory: give a file in it", o.file)
		}
		in.from, name = f, o.file
	}
	err = o.readKind(in, name, false, pr)
	var path *os.PathError
	if errors.As(err, &path) && !errors.As(err, new(writeError)) {
		err = fmt.Errorf("cannot read %s: %w", name, path.Err)
	}
	return in.code, err
}

// readKind reads what there is in the way that is asked for or that the beginning shows.
func (o *options) readKind(from io.Reader, name string, unpacked bool, pr *printer) error {
	r := bufio.NewReaderSize(from, bufferSize)
	kind := o.input
	if kind != "raw" {
		found, err := sniff(r)
		if err != nil {
			return err
		}
		if kind == "auto" || found == "gzip" {
			kind = found
		}
	}
	switch kind {
	case "gzip":
		if unpacked {
			return fmt.Errorf("%s is packed with gzip twice: unpack it first", name)
		}
		z, err := gzip.NewReader(r)
		if err != nil {
			return fmt.Errorf("%s begins as gzip, and is none: %v; -I raw reads it as bytes", name, err)
		}
		err = o.readKind(z, name, true, pr)
		if errors.Is(err, gzip.ErrChecksum) || errors.Is(err, gzip.ErrHeader) || errors.Is(err, io.ErrUnexpectedEOF) || errors.As(err, new(flate.CorruptInputError)) {
			err = fmt.Errorf("the gzip in %s is damaged: %w", name, err)
		}
		return err
	case "zstd", "xz", "bzip2", "zip":
		return fmt.Errorf("%s is packed with %s: unpack it first", name, kind)
	case "UTF-16":
		return fmt.Errorf("%s is text in UTF-16: convert it to UTF-8 first (iconv -f UTF-16 -t UTF-8)", name)
	case "pcap":
		return o.readCapture(r, pr)
	case "hex":
		err := o.readHex(r, pr)
		if errors.Is(err, errNoHex) && o.input == "auto" {
			line, why, _ := strings.Cut(err.Error(), ": ")
			err = fmt.Errorf("%s; -I raw reads it as bytes (%s)", line, why)
		}
		return err
	}
	return o.readRaw(r, pr)
}

// readRaw reads bytes as they are.
func (o *options) readRaw(r io.Reader, pr *printer) error {
	c := pr.bytes(o.direction())
	buf := make([]byte, blockSize)
	for {
		n, err := r.Read(buf)
		if failed := c.add(c.stream.Direction, 0, buf[:n]); failed != nil {
			return writeError{failed}
		}
		if err != nil {
			if failed := c.close(); failed != nil {
				return writeError{failed}
			}
			if err == io.EOF {
				return nil
			}
			return err
		}
	}
}
