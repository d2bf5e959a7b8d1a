package packet_test

import (
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"runtime"
	"strings"
	"testing"
	"testing/iotest"

	"iotwire/mqtt/packet"
)

// stream has one packet of each type, one behind the other; boundaries are the bytes between two of them.
var stream, boundaries = func() (s string, between map[int]bool) {
	between = map[int]bool{0: true}
	for _, specimen := range specimens {
		s += specimen.wire
		between[len(s)] = true
	}
	return s, between
}()

// chunks gives one chunk a read, then io.EOF, and counts the reads.
type chunks struct {
	chunks []string
	reads  int
}

func (c *chunks) Read(p []byte) (int, error) {
	c.reads++
	if len(c.chunks) == 0 {
		return 0, io.EOF
	}
	n := copy(p, c.chunks[0])
	if c.chunks[0] = c.chunks[0][n:]; c.chunks[0] == "" {
		c.chunks = c.chunks[1:]
	}
	return n, nil
}

// packets reads r to its end, and gives each packet as text, with the error that ended it.
func packets(r *packet.Reader) (all []string, err error) {
	for {
		h, body, err := r.Next()
		switch {
		case err == nil:
			all = append(all, fmt.Sprintf("%v %x %x", h.Type, h.Flags, body))
		case errors.Is(err, packet.ErrTooLarge):
			all = append(all, fmt.Sprintf("%v %x of %d bytes", h.Type, h.Flags, h.Len))
		default:
			return all, err
		}
	}
}

// wantStream is what packets gives for stream below the limit max.
func wantStream(max int) (all []string) {
	for i, specimen := range specimens {
		if flags := specimen.wire[0] & 15; len(specimen.wire) > max {
			all = append(all, fmt.Sprintf("%v %x of %d bytes", packet.Type(i+1), flags, len(specimen.wire)-2))
		} else {
			all = append(all, fmt.Sprintf("%v %x %x", packet.Type(i+1), flags, specimen.wire[2:]))
		}
	}
	return all
}

func checkStream(t *testing.T, how string, src io.Reader, max int) {
	t.Helper()
	got, err := packets(packet.NewReader(src, max))
	if err != io.EOF || diff(wantStream(max), got) != "" {
		t.Errorf("%s, limit %d: %v\n%s", how, max, err, diff(wantStream(max), got))
	}
}

func TestReaderTakesAnySplit(t *testing.T) {
	for _, max := range []int{0, 2, 4, 10, 13, 1 << 20} {
		checkStream(t, "whole", strings.NewReader(stream), max)
		checkStream(t, "one byte at a time", iotest.OneByteReader(strings.NewReader(stream)), max)
		checkStream(t, "halves", iotest.HalfReader(strings.NewReader(stream)), max)
		checkStream(t, "the end together with the last bytes", iotest.DataErrReader(strings.NewReader(stream)), max)
		for i := 1; i < len(stream); i++ {
			for j := i + 1; j < len(stream) && (max == 10 || j < i+3); j++ {
				checkStream(t, fmt.Sprint("cut at ", i, " and ", j), &chunks{chunks: []string{stream[:i], stream[i:j], stream[j:]}}, max)
			}
		}
	}
}

func TestReaderReadsOnceForManyPackets(t *testing.T) {
	src := &chunks{chunks: []string{stream}}
	r := packet.NewReader(src, 1000)
	for i := range specimens {
		if _, _, err := r.Next(); err != nil {
			t.Fatal(err)
		}
		if last := i == len(specimens)-1; r.Ready() == last {
			t.Errorf("Ready is %v after packet %d of %d", r.Ready(), i+1, len(specimens))
		}
	}
	if src.reads != 1 {
		t.Errorf("%d reads for %d packets in one chunk, want 1", src.reads, len(specimens))
	}
}

// A body that came in one read with others is a view of its own: it cannot be appended into its neighbour.
func TestReaderBodyIsClosed(t *testing.T) {
	r := packet.NewReader(strings.NewReader("\x40\x02\x00\x07\x40\x02\x00\x08"), 1000)
	_, body, _ := r.Next()
	_ = append(body, 0xff, 0xff, 0xff, 0xff)
	if _, body, err := r.Next(); err != nil || string(body) != "\x00\x08" {
		t.Errorf("the second body is % x, %v, want 00 08", body, err)
	}
}

// allocated counts the bytes that f allocates: the least of some runs, as the runtime allocates for itself meanwhile.
func allocated(f func()) int {
	least := math.MaxInt
	for range 3 {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		f()
		runtime.ReadMemStats(&after)
		least = min(least, int(after.TotalAlloc-before.TotalAlloc))
	}
	return least
}

// A claim of 256 MiB costs the reader neither memory nor a read beyond its buffer, whatever the limit is.
func TestReaderComparesTheLimitFirst(t *testing.T) {
	for _, max := range []int{0, 100, 1 << 20, 5 + packet.MaxRemainingLength - 1} {
		var src *chunks
		var h packet.Header
		var err error
		if n := allocated(func() {
			src = &chunks{chunks: []string{"\x30\xff\xff\xff\x7f"}}
			h, _, err = packet.NewReader(src, max).Next()
		}); n >= 8<<10 {
			t.Errorf("limit %d: %d bytes allocated for a claim of 256 MiB, want less than 8 KiB", max, n)
		}
		if want := (packet.Header{Type: packet.PUBLISH, Len: packet.MaxRemainingLength}); !errors.Is(err, packet.ErrTooLarge) || h != want {
			t.Errorf("limit %d: %+v, %v, want the header and ErrTooLarge", max, h, err)
		}
		if src.reads != 1 {
			t.Errorf("limit %d: %d reads, want 1", max, src.reads)
		}
	}
	// Within the limit the buffer grows with what comes, which here is nothing.
	var err error
	if n := allocated(func() {
		_, _, err = packet.NewReader(strings.NewReader("\x30\xff\xff\xff\x7f"), 5+packet.MaxRemainingLength).Next()
	}); n >= 8<<10 || err != io.ErrUnexpectedEOF {
		t.Errorf("%d bytes allocated, %v, want less than 8 KiB and %v", n, err, io.ErrUnexpectedEOF)
	}
}

// A packet of exactly the limit comes whole; one byte more does not.
func TestReaderLimitIsExact(t *testing.T) {
	wire := whole(0x30, text("a"), strings.Repeat("x", 500))
	if _, body, err := packet.NewReader(strings.NewReader(wire), len(wire)).Next(); err != nil || len(body) != 503 {
		t.Errorf("at the limit: %d bytes, %v", len(body), err)
	}
	_, _, err := packet.NewReader(strings.NewReader(wire), len(wire)-1).Next()
	if !errors.Is(err, packet.ErrTooLarge) || err.Error() != "PUBLISH of 506 bytes, limit 505: packet larger than the limit" {
		t.Errorf("above the limit: %v", err)
	}
}

func TestReaderRest(t *testing.T) {
	payload := strings.Repeat("0123456789", 2000) // more than the buffer
	wire := whole(0x30, text("a/b"), payload)
	for _, split := range []int{1, 4, 5, 100, 4096, len(wire) - 1, len(wire)} {
		r := packet.NewReader(&chunks{chunks: []string{"\xd0\x00" + wire[:split], wire[split:] + "\xd0\x00"}}, 1000)
		if h, _, err := r.Next(); err != nil || h.Type != packet.PINGRESP {
			t.Fatalf("split %d: %v, %v before the large packet", split, h, err)
		}
		if _, _, err := r.Next(); !errors.Is(err, packet.ErrTooLarge) {
			t.Fatalf("split %d: %v, want ErrTooLarge", split, err)
		}
		if n, err := r.Rest().Read(nil); n != 0 || err != nil {
			t.Errorf("split %d: reading nothing gives %d, %v", split, n, err)
		}
		if err := iotest.TestReader(r.Rest(), []byte(text("a/b")+payload)); err != nil {
			t.Errorf("split %d: %v", split, err)
		}
		if h, _, err := r.Next(); err != nil || h.Type != packet.PINGRESP {
			t.Errorf("split %d: %v, %v after the large packet", split, h, err)
		}
		if _, err := r.Rest().Read(make([]byte, 1)); err != io.EOF {
			t.Errorf("split %d: Rest gives %v with nothing left, want %v", split, err, io.EOF)
		}
	}
}

func TestReaderSkipsWhatIsLeftOfRest(t *testing.T) {
	wire := whole(0x30, text("a/b"), strings.Repeat("x", 20_000))
	for _, taken := range []int{0, 1, 4000, 5000, 20_004, 20_005} {
		r := packet.NewReader(iotest.HalfReader(strings.NewReader(wire+"\xd0\x00")), 1000)
		if _, _, err := r.Next(); !errors.Is(err, packet.ErrTooLarge) {
			t.Fatal(err)
		}
		if _, err := io.CopyN(io.Discard, r.Rest(), int64(taken)); err != nil {
			t.Fatal(err)
		}
		if taken%2 == 0 { // the same with and without
			if err := r.Skip(); err != nil {
				t.Errorf("%d bytes taken: Skip: %v", taken, err)
			}
		}
		if h, _, err := r.Next(); err != nil || h.Type != packet.PINGRESP {
			t.Errorf("%d bytes taken: %v, %v, want PINGRESP", taken, h, err)
		}
		if _, _, err := r.Next(); err != io.EOF {
			t.Errorf("%d bytes taken: %v, want %v", taken, err, io.EOF)
		}
	}
}

// The end between two packets is io.EOF; inside one, also inside its header, it is io.ErrUnexpectedEOF. It stays so.
func TestReaderEnd(t *testing.T) {
	for length := range len(stream) + 1 {
		for _, max := range []int{3, 1000} {
			want := io.ErrUnexpectedEOF
			if boundaries[length] {
				want = io.EOF
			}
			r := packet.NewReader(strings.NewReader(stream[:length]), max)
			_, err := packets(r)
			_, _, again := r.Next()
			if err != want || again != want {
				t.Errorf("limit %d, end after %d bytes: %v, then %v, want %v", max, length, err, again, want)
			}
		}
	}
	r := packet.NewReader(strings.NewReader(whole(0x30, text("a"), "xxxx")[:6]), 4)
	if _, _, err := r.Next(); !errors.Is(err, packet.ErrTooLarge) {
		t.Fatal(err)
	}
	if err := r.Skip(); err != io.ErrUnexpectedEOF {
		t.Errorf("Skip: %v, want %v", err, io.ErrUnexpectedEOF)
	}
	r = packet.NewReader(strings.NewReader(whole(0x30, text("a"), "xxxx")[:6]), 4)
	if _, _, err := r.Next(); !errors.Is(err, packet.ErrTooLarge) {
		t.Fatal(err)
	}
	if b, err := io.ReadAll(r.Rest()); err != io.ErrUnexpectedEOF || string(b) != "\x00\x01ax" {
		t.Errorf("Rest gives %q, %v, want the bytes that came and %v", b, err, io.ErrUnexpectedEOF)
	}
}

// stuttering gives one byte, then a time-out, then a byte, and so on.
type stuttering struct {
	src  io.Reader
	late bool
}

func (s *stuttering) Read(p []byte) (int, error) {
	if s.late = !s.late; s.late {
		return 0, os.ErrDeadlineExceeded
	}
	return s.src.Read(p[:1])
}

// A time-out loses nothing: Next can be called again, in the middle of a packet and while it skips one.
func TestReaderTimeoutCanBeRepeated(t *testing.T) {
	for _, max := range []int{0, 4, 1000} {
		r := packet.NewReader(&stuttering{src: strings.NewReader(stream)}, max)
		var got []string
		timeouts := 0
		for {
			all, err := packets(r)
			got = append(got, all...)
			if err != os.ErrDeadlineExceeded {
				if err != io.EOF {
					t.Errorf("limit %d: %v", max, err)
				}
				break
			}
			timeouts++
		}
		if diff(wantStream(max), got) != "" || timeouts < len(stream) {
			t.Errorf("limit %d: %d time-outs\n%s", max, timeouts, diff(wantStream(max), got))
		}
	}
}

func TestReaderEndsWithoutProgress(t *testing.T) {
	nothing := readerFunc(func([]byte) (int, error) { return 0, nil })
	if _, _, err := packet.NewReader(nothing, 1000).Next(); err != io.ErrNoProgress {
		t.Errorf("a reader that gives nothing: %v, want %v", err, io.ErrNoProgress)
	}
	r := packet.NewReader(io.MultiReader(strings.NewReader("\x30\x7f"), nothing), 100)
	if _, _, err := r.Next(); !errors.Is(err, packet.ErrTooLarge) {
		t.Fatal(err)
	}
	if _, _, err := r.Next(); err != io.ErrNoProgress {
		t.Errorf("a body that does not come, skipped: %v, want %v", err, io.ErrNoProgress)
	}
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

// The first mistake ends the stream: what came before is delivered, what comes after never is, and src is left alone.
func TestReaderMistakeIsForGood(t *testing.T) {
	for _, bad := range []struct {
		wire, rule string
		offset     int
	}{
		{"\x00\x00", "2.2.1", 0},
		{"\x36\x05\x00\x01a\x00\x07", "MQTT-3.3.1-4", 0},
		{"\xd0\x01\x00", "3.13.1", 1},
		{"\x30\xff\xff\xff\xff\x7f", "2.2.3", 4},
	} {
		src := &chunks{chunks: []string{"\x40\x02\x00\x07" + bad.wire + "\x40\x02\x00\x08", "\x40\x02\x00\x09"}}
		r := packet.NewReader(src, 1000)
		if h, _, err := r.Next(); err != nil || h.Type != packet.PUBACK {
			t.Errorf("% x: %v, %v before the mistake", bad.wire, h, err)
		}
		_, _, first := r.Next()
		checkError(t, first, packet.ErrMalformed, packet.Type(bad.wire[0]>>4), bad.rule, bad.offset)
		for range 3 {
			if h, body, err := r.Next(); err != first || body != nil || h != (packet.Header{}) {
				t.Errorf("% x: %v, % x, %v after the mistake, want the same error", bad.wire, h, body, err)
			}
		}
		if src.reads != 1 || !r.Ready() || r.Partial() {
			t.Errorf("% x: %d reads, Ready %v, Partial %v, want 1, true, false", bad.wire, src.reads, r.Ready(), r.Partial())
		}
	}
}

// At every byte: if Ready, Next does not read; if not, it does; and Partial tells whether a packet has begun to come.
func TestReaderReadyAndPartial(t *testing.T) {
	for _, max := range []int{0, 4, 10, 1000} {
		for length := range len(stream) + 1 {
			reads := 0
			r := packet.NewReader(readerFunc(func(p []byte) (int, error) {
				if reads++; reads == 1 && length > 0 {
					return copy(p, stream[:length]), nil
				}
				return 0, os.ErrDeadlineExceeded
			}), max)
			for {
				before, ready, partial := reads, r.Ready(), r.Partial()
				if ready && partial {
					t.Errorf("limit %d, %d bytes: Ready and Partial at once", max, length)
				}
				_, _, err := r.Next()
				if ready != (reads == before) {
					t.Errorf("limit %d, %d bytes: Ready is %v, and Next read %d times", max, length, ready, reads-before)
				}
				if err == os.ErrDeadlineExceeded {
					break
				}
			}
			if begun := !boundaries[length]; r.Ready() || r.Partial() != begun {
				t.Errorf("limit %d, %d bytes: Ready %v, Partial %v, want false, %v", max, length, r.Ready(), r.Partial(), begun)
			}
		}
	}
}

// The buffer follows the packets: up to the size of the largest, not above twice the limit, and down again in quiet times.
func TestReaderBufferGrowsAndShrinks(t *testing.T) {
	const small = 256
	large := whole(0x30, text("a"), strings.Repeat("x", 500_000))
	quiet := strings.Repeat("\xd0\x00", 10_000)
	src := &chunks{chunks: []string{"\xd0\x00", large}}
	for i := range len(quiet) / 2 {
		src.chunks = append(src.chunks, quiet[2*i:2*i+2])
	}
	r := packet.NewReader(src, len(large))
	if _, _, err := r.Next(); err != nil || packet.BufferSize(r) != small {
		t.Errorf("buffer of %d bytes for a small packet, %v, want %d", packet.BufferSize(r), err, small)
	}
	if _, body, err := r.Next(); err != nil || len(body) != 500_003 || strings.Trim(string(body[3:]), "x") != "" {
		t.Errorf("the large packet came as %d bytes, %v", len(body), err)
	}
	if got := packet.BufferSize(r); got < len(large) || got > 2*len(large) {
		t.Errorf("buffer of %d bytes for a packet of %d", got, len(large))
	}
	if all, err := packets(r); err != io.EOF || len(all) != 10_000 || packet.BufferSize(r) != small {
		t.Errorf("buffer of %d bytes after %d small packets, %v, want %d", packet.BufferSize(r), len(all), err, small)
	}
}

// A caller can have the buffer's memory back at once, unless something is in it.
func TestReaderShrink(t *testing.T) {
	large := whole(0x30, text("a"), strings.Repeat("x", 5000))
	r := packet.NewReader(&chunks{chunks: []string{large + "\xd0\x00", large}}, len(large))
	next := func(want int) {
		t.Helper()
		if _, body, err := r.Next(); err != nil || len(body) != want {
			t.Fatalf("%d bytes, %v, want %d", len(body), err, want)
		}
	}
	next(5003)
	grown := packet.BufferSize(r)
	r.Shrink()
	if got := packet.BufferSize(r); got != grown {
		t.Errorf("buffer of %d bytes with a packet in it, was %d", got, grown)
	}
	next(0)
	r.Shrink()
	if got := packet.BufferSize(r); got > 256 {
		t.Errorf("buffer of %d bytes with nothing in it", got)
	}
	next(5003)
}

// A busy stream of small packets gets more bytes a read, up to 64 KiB.
func TestReaderBufferGrowsWhenBusy(t *testing.T) {
	src := &chunks{chunks: []string{strings.Repeat(whole(0x30, text("a"), "0123456789"), 100_000)}}
	r := packet.NewReader(src, 1000)
	all, err := packets(r)
	if err != io.EOF || len(all) != 100_000 {
		t.Fatalf("%d packets, %v", len(all), err)
	}
	if got := packet.BufferSize(r); got != 64<<10 {
		t.Errorf("buffer of %d bytes, want 64 KiB", got)
	}
	if src.reads > 40 {
		t.Errorf("%d reads for 1.5 MB, want at most 40", src.reads)
	}
}

// Large packets that come in small pieces, one after the other, find the buffer as the last one left it.
func TestReaderBufferStaysWhileNeeded(t *testing.T) {
	wire := whole(0x30, text("a"), strings.Repeat("x", 100_000))
	src := &chunks{}
	for range 20 {
		for rest := wire; rest != ""; {
			n := min(1460, len(rest))
			src.chunks, rest = append(src.chunks, rest[:n]), rest[n:]
		}
	}
	r := packet.NewReader(src, len(wire))
	if _, _, err := r.Next(); err != nil {
		t.Fatal(err)
	}
	size := packet.BufferSize(r)
	for range 19 {
		if _, body, err := r.Next(); err != nil || len(body) != 100_003 || packet.BufferSize(r) != size {
			t.Fatalf("%d bytes, buffer of %d, %v, want a buffer of %d", len(body), packet.BufferSize(r), err, size)
		}
	}
}
