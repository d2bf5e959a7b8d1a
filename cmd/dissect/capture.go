package main

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"
)

// Captures: pcap and pcapng. Both are blocks of a length that they state; none is trusted further than there are bytes.

// frame is what was captured at a time.
type frame struct {
	at    time.Duration // since 1970
	link  uint32        // the type of the link layer
	bytes []byte        // until the next one is read
}

var errCapture = errors.New("the capture is damaged")

// capture reads frames.
type capture struct {
	r       *bufio.Reader
	next    func(*capture) (frame, bool, error) // false: a block that is no frame
	order   binary.ByteOrder
	buf     []byte
	devices []device
}

// device is where frames were captured.
type device struct {
	link uint32
	unit float64 // of times, in seconds
}

// What a capture has at most.
const (
	mostBlock   = 16 << 20
	mostDevices = 1 << 16
)

// readCapture reads the frames of a capture, each as soon as it is there.
func (o *options) readCapture(r *bufio.Reader, pr *printer) error {
	c, err := openCapture(r)
	if err != nil {
		return err
	}
	a := assembler{pr: pr, port: o.port}
	n := 0
	for {
		f, found, err := c.next(c)
		if err != nil {
			if failed := a.close(); failed != nil {
				return failed
			}
			switch {
			case errors.As(err, new(writeError)):
				return err
			case err == io.ErrUnexpectedEOF:
				fmt.Fprintf(pr.errors, "dissect: the capture ends inside of what follows its frame %d\n", n)
			case err != io.EOF:
				return fmt.Errorf("behind frame %d: %w", n, err)
			}
			return a.nothing()
		}
		if !found {
			continue
		}
		n++
		if err := a.take(f); err != nil {
			return err
		}
	}
}

// openCapture reads the beginning of a capture.
func openCapture(r *bufio.Reader) (*capture, error) {
	magic, err := r.Peek(4)
	if err != nil {
		return nil, errors.New("this is neither pcap nor pcapng")
	}
	c := &capture{r: r, order: binary.LittleEndian}
	switch binary.BigEndian.Uint32(magic) {
	case 0x0a0d0d0a:
		c.next = (*capture).block
		return c, nil
	case 0xa1b2c3d4, 0xa1b23c4d:
		c.order = binary.BigEndian
	case 0xd4c3b2a1, 0x4d3cb2a1:
	default:
		return nil, errors.New("this is neither pcap nor pcapng")
	}
	b, err := c.read(24)
	if err != nil {
		return nil, errCapture
	}
	unit := 1e-6
	if c.order.Uint32(b) == 0xa1b23c4d {
		unit = 1e-9
	}
	c.devices = []device{{c.order.Uint32(b[20:]) & 0xffff, unit}}
	c.next = (*capture).record
	return c, nil
}

// read reads n bytes, which are there until the next call. It takes memory as they come, and not as n says.
func (c *capture) read(n uint32) ([]byte, error) {
	if n > mostBlock {
		return nil, fmt.Errorf("%w: a block of %d bytes", errCapture, n)
	}
	c.buf = c.buf[:0]
	for left := int(n); left > 0; {
		step := min(left, bufferSize)
		at := len(c.buf)
		c.buf = slices.Grow(c.buf, step)[:at+step]
		read, err := io.ReadFull(c.r, c.buf[at:])
		if err != nil {
			if err == io.EOF && at > 0 {
				err = io.ErrUnexpectedEOF
			}
			c.buf = c.buf[:at+read]
			return c.buf, err
		}
		left -= step
	}
	return c.buf, nil
}

// record reads a frame of pcap. Of one that was cut by the end, it returns what is there.
func (c *capture) record() (frame, bool, error) {
	b, err := c.read(16)
	if err != nil {
		return frame{}, false, err
	}
	d := c.devices[0]
	unit := time.Microsecond
	if d.unit == 1e-9 {
		unit = time.Nanosecond
	}
	at := time.Duration(c.order.Uint32(b))*time.Second + time.Duration(c.order.Uint32(b[4:]))*unit
	b, err = c.read(c.order.Uint32(b[8:]))
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		if len(b) == 0 {
			return frame{}, false, io.ErrUnexpectedEOF
		}
		err = nil // the next one is not there, either
	}
	return frame{at, d.link, b}, err == nil, err
}

// block reads a block of pcapng.
func (c *capture) block() (f frame, found bool, err error) {
	b, err := c.read(12)
	if err != nil {
		return f, false, err
	}
	if binary.BigEndian.Uint32(b) == 0x0a0d0d0a { // a section header
		c.order = binary.LittleEndian
		if binary.BigEndian.Uint32(b[8:]) == 0x1a2b3c4d {
			c.order = binary.BigEndian
		}
		c.devices = nil
	}
	kind, n := c.order.Uint32(b), c.order.Uint32(b[4:])
	if n < 12 || n%4 != 0 {
		return f, false, fmt.Errorf("%w: a block of %d bytes", errCapture, n)
	}
	if n == 12 {
		return f, false, nil
	}
	body := [4]byte(b[8:]) // its first bytes, or the length again
	b, err = c.read(n - 12)
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		return f, false, err
	}
	b = b[:len(b)-4]
	first := c.order.Uint32(body[:])
	switch kind {
	case 1: // a device
		if len(b) < 4 || len(c.devices) >= mostDevices {
			return f, false, errCapture
		}
		c.devices = append(c.devices, device{first & 0xffff, resolution(b[4:], c.order)})
		if c.order == binary.BigEndian {
			c.devices[len(c.devices)-1].link = first >> 16
		}
	case 2, 6: // a frame
		if len(b) < 16 {
			return f, false, errCapture
		}
		if kind == 2 { // in the old way, with a number of lost frames
			if first &= 0xffff; c.order == binary.BigEndian {
				first = uint32(binary.BigEndian.Uint16(body[:]))
			}
		}
		size := c.order.Uint32(b[8:])
		if uint64(first) >= uint64(len(c.devices)) || uint64(size) > uint64(len(b)-16) {
			return f, false, errCapture
		}
		d := c.devices[first]
		ticks := uint64(c.order.Uint32(b))<<32 | uint64(c.order.Uint32(b[4:]))
		at := time.Duration(float64(ticks) * d.unit * 1e9)
		switch d.unit {
		case 1e-6:
			at = time.Duration(ticks) * time.Microsecond
		case 1e-9:
			at = time.Duration(ticks)
		}
		return frame{at, d.link, b[16 : 16+size]}, true, nil
	case 3: // a frame without a time
		if len(c.devices) == 0 {
			return f, false, errCapture
		}
		return frame{0, c.devices[0].link, b[:min(uint64(len(b)), uint64(first))]}, true, nil
	}
	return f, false, nil
}

// resolution is the unit of a device's times, in seconds, from its options.
func resolution(b []byte, order binary.ByteOrder) float64 {
	for len(b) >= 4 {
		code, n := order.Uint16(b), int(order.Uint16(b[2:]))
		b = b[4:]
		if n > len(b) {
			break
		}
		if code == 9 && n >= 1 { // if_tsresol
			unit := 1.0
			for range b[0] & 0x7f {
				if b[0]&0x80 != 0 {
					unit /= 2
				} else {
					unit /= 10
				}
			}
			switch b[0] { // without the mistakes of divisions
			case 6:
				return 1e-6
			case 9:
				return 1e-9
			}
			return unit
		}
		b = b[min(len(b), (n+3)&^3):]
	}
	return 1e-6
}
