package packet

import (
	"errors"
	"fmt"
	"io"
)

// ErrTooLarge is matched, with [errors.Is], by the error of [Reader.Next] for a packet above the reader's limit.
var ErrTooLarge = errors.New("packet larger than the limit")

const (
	smallBuffer = 256      // what an idle reader keeps
	largeBuffer = 64 << 10 // what a busy reader grows to, where a packet does not ask for more
	quietReads  = 64       // so many reads that needed little halve the buffer
)

// Reader cuts a stream of bytes into packets, inside one buffer. The buffer doubles when the bytes that have come fill
// it, never for a length that was only claimed, and shrinks again. A Reader is for one goroutine at a time.
type Reader struct {
	src  io.Reader
	max  int // the largest packet, fixed header included, that Next returns whole
	buf  []byte
	r, w int // buf[r:w] was read from src and not yet returned

	head Header // of the packet at r, and
	at   int    // the size of that header, and
	size int    // of the whole packet; 0: not read yet

	rest  int // bytes of a packet above the limit that are still to come
	quiet int // reads in a row after which less than a quarter of buf was in use
	err   error
}

// NewReader returns a Reader of the packets in src. A packet of more than max bytes, fixed header included, is not
// returned whole: see [Reader.Next].
func NewReader(src io.Reader, max int) *Reader {
	return &Reader{src: src, max: max, buf: make([]byte, smallBuffer)}
}

// Next returns the next packet: its fixed header and its body, a view that is good until the next call. It blocks while
// src does. The header is judged before more of the packet is read.
//
// A packet above the limit gives its header and an error that matches [ErrTooLarge]; read its body from [Reader.Rest],
// or call [Reader.Skip] or Next, which skip it. A header that breaks a rule gives an *[Error], for good: what follows
// cannot be trusted. The error of src is returned as it is, and the call can be repeated, say after a time-out. [io.EOF]
// stands for an end between two packets, [io.ErrUnexpectedEOF] for one inside a packet.
func (r *Reader) Next() (Header, []byte, error) {
	if r.err != nil {
		return Header{}, nil, r.err
	}
	if r.rest > 0 {
		if err := r.Skip(); err != nil {
			return Header{}, nil, err
		}
	}
	for {
		if !r.peek() {
			return Header{}, nil, r.err
		}
		if size := r.size; size > r.max {
			r.r += r.at
			r.rest, r.size = r.head.Len, 0
			return r.head, nil, r.tooLarge(size)
		} else if size > 0 && size <= r.w-r.r {
			body := r.buf[r.r+r.at : r.r+size : r.r+size]
			r.r += size
			r.size = 0
			return r.head, body, nil
		}
		if err := r.fill(); err != nil {
			return Header{}, nil, err
		}
	}
}

// tooLarge is not a part of Next, whose frame is on the stack of everybody who waits for a packet.
func (r *Reader) tooLarge(size int) error {
	return fmt.Errorf("%s of %d bytes, limit %d: %w", r.head.Type, size, r.max, ErrTooLarge)
}

// Ready reports whether Next can return without reading from src: a whole packet is in the buffer, or a mistake.
func (r *Reader) Ready() bool {
	if r.err != nil {
		return true
	}
	if r.rest > 0 {
		if r.rest > r.w-r.r {
			return false
		}
		b := r.buf[r.r+r.rest : r.w]
		h, n, err := ParseHeader(b)
		return err != nil || n > 0 && (n+h.Len > r.max || n+h.Len <= len(b))
	}
	return !r.peek() || r.size > r.max || r.size > 0 && r.size <= r.w-r.r
}

// peek reads the fixed header of the packet at r, if it has come. It returns false for a mistake in it, which is err.
func (r *Reader) peek() bool {
	if r.size > 0 || r.r == r.w {
		return true
	}
	var err error
	if r.head, r.at, err = ParseHeader(r.buf[r.r:r.w]); err != nil {
		r.err = err
	} else if r.at > 0 {
		r.size = r.at + r.head.Len
	}
	return err == nil
}

// Partial reports whether Next would start inside a packet that has begun to come and is not complete.
func (r *Reader) Partial() bool { return (r.rest > 0 || r.r < r.w) && !r.Ready() }

// Shrink gives back the memory of a buffer that has grown, if nothing is in it. A Reader does so by itself, after many
// reads that needed little; this is for a caller who knows that a quiet time has begun.
func (r *Reader) Shrink() {
	if r.r == r.w && len(r.buf) > smallBuffer {
		r.buf, r.r, r.w, r.quiet = make([]byte, smallBuffer), 0, 0, 0
	}
}

// Rest reads what is left of the body of the packet for which Next returned [ErrTooLarge], then [io.EOF]. If src ends
// before the packet does, the error is [io.ErrUnexpectedEOF]. It is good until the next call of Next.
func (r *Reader) Rest() io.Reader { return (*rest)(r) }

// Skip reads over what is left of that body, with the errors of [Reader.Rest].
func (r *Reader) Skip() error {
	for r.rest > 0 {
		if r.r == r.w {
			if err := r.fill(); err != nil {
				return err
			}
		}
		n := min(r.rest, r.w-r.r)
		r.r += n
		r.rest -= n
	}
	return nil
}

type rest Reader

func (r *rest) Read(p []byte) (n int, err error) {
	if r.rest == 0 {
		return 0, io.EOF
	}
	if p = p[:min(len(p), r.rest)]; len(p) == 0 {
		return 0, nil
	}
	if r.r < r.w {
		n = copy(p, r.buf[r.r:r.w])
		r.r += n
	} else if n, err = read(r.src, p); err == io.EOF && n < r.rest {
		err = io.ErrUnexpectedEOF
	}
	r.rest -= n
	return n, err
}

// fill reads more of src into the buffer, behind what is there.
func (r *Reader) fill() error {
	if r.r == r.w {
		r.r, r.w = 0, 0
		if r.quiet >= quietReads && len(r.buf) > smallBuffer {
			r.buf = make([]byte, len(r.buf)/2)
			r.quiet = 0
		}
	} else if r.w == len(r.buf) && r.r > 0 {
		r.w = copy(r.buf, r.buf[r.r:r.w])
		r.r = 0
	}
	if r.w == len(r.buf) { // a packet below the limit fills it, and more is to come
		r.grow()
	}
	n, err := read(r.src, r.buf[r.w:])
	if n == 0 {
		if err == io.EOF && (r.rest > 0 || r.r < r.w) {
			err = io.ErrUnexpectedEOF
		}
		return err
	}
	r.w += n
	if r.w == len(r.buf) && r.r == 0 && len(r.buf) < largeBuffer {
		r.grow() // src has more to give than fits
	}
	if r.w-r.r < len(r.buf)/4 {
		r.quiet++
	} else {
		r.quiet = 0
	}
	return nil // an error that came with bytes comes again
}

// read reads at least one byte, or gives the reason why not: a src that gives neither bytes nor an error ends it too.
func read(src io.Reader, p []byte) (n int, err error) {
	for range 100 {
		if n, err = src.Read(p); n > 0 || err != nil {
			return n, err
		}
	}
	return 0, io.ErrNoProgress
}

//go:noinline
func (r *Reader) grow() {
	buf := make([]byte, 2*len(r.buf))
	r.w = copy(buf, r.buf[r.r:r.w])
	r.r, r.buf, r.quiet = 0, buf, 0
}
