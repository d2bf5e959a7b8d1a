package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"time"
)

// Captures: pcap and pcapng. Both are blocks of a length that they state; none is trusted further than there are bytes.

// frame is what was captured at a time.
type frame struct {
	at    time.Duration // since 1970
	link  uint32        // the type of the link layer
	bytes []byte
}

var errCapture = errors.New("the capture is damaged")

func isCapture(b []byte) bool {
	if len(b) < 4 {
		return false
	}
	switch binary.BigEndian.Uint32(b) {
	case 0xa1b2c3d4, 0xd4c3b2a1, 0xa1b23c4d, 0x4d3cb2a1, 0x0a0d0d0a:
		return true
	}
	return false
}

func readCapture(b []byte, port int) ([]conversation, error) {
	var frames []frame
	var err error
	switch {
	case !isCapture(b):
		return nil, errors.New("this is neither pcap nor pcapng")
	case binary.BigEndian.Uint32(b) == 0x0a0d0d0a:
		frames, err = readPcapng(b)
	default:
		frames, err = readPcap(b)
	}
	if err != nil && len(frames) == 0 {
		return nil, err
	}
	return conversationsOf(frames, port)
}

func readPcap(b []byte) (frames []frame, err error) {
	if len(b) < 24 {
		return nil, errCapture
	}
	var order binary.ByteOrder = binary.LittleEndian
	if b[0] == 0xa1 {
		order = binary.BigEndian
	}
	unit := time.Microsecond
	if magic := order.Uint32(b); magic == 0xa1b23c4d {
		unit = time.Nanosecond
	}
	link := order.Uint32(b[20:]) & 0xffff
	for b = b[24:]; len(b) >= 16; {
		at := time.Duration(order.Uint32(b))*time.Second + time.Duration(order.Uint32(b[4:]))*unit
		n := order.Uint32(b[8:])
		b = b[16:]
		if uint64(n) > uint64(len(b)) {
			return append(frames, frame{at, link, b}), nil // the capture was cut
		}
		frames = append(frames, frame{at, link, b[:n]})
		b = b[n:]
	}
	return frames, nil
}

func readPcapng(b []byte) (frames []frame, err error) {
	type device struct {
		link uint32
		unit float64 // seconds
	}
	var devices []device
	var order binary.ByteOrder = binary.LittleEndian
	for len(b) >= 12 {
		if binary.BigEndian.Uint32(b) == 0x0a0d0d0a { // a section header
			order = binary.LittleEndian
			if binary.BigEndian.Uint32(b[8:]) == 0x1a2b3c4d {
				order = binary.BigEndian
			}
			devices = nil
		}
		kind, n := order.Uint32(b), order.Uint32(b[4:])
		if n < 12 || n%4 != 0 || uint64(n) > uint64(len(b)) {
			return frames, errCapture
		}
		body := b[8 : n-4]
		b = b[n:]
		switch kind {
		case 1: // a device
			if len(body) < 8 {
				return frames, errCapture
			}
			devices = append(devices, device{uint32(order.Uint16(body)), resolution(body[8:], order)})
		case 6: // a frame
			if len(body) < 20 {
				return frames, errCapture
			}
			i, size := order.Uint32(body), order.Uint32(body[12:])
			if uint64(i) >= uint64(len(devices)) || uint64(size) > uint64(len(body)-20) {
				return frames, errCapture
			}
			ticks := uint64(order.Uint32(body[4:]))<<32 | uint64(order.Uint32(body[8:]))
			at := time.Duration(float64(ticks) * devices[i].unit * 1e9)
			if devices[i].unit == 1e-6 {
				at = time.Duration(ticks) * time.Microsecond
			}
			frames = append(frames, frame{at, devices[i].link, body[20 : 20+size]})
		case 3: // a frame without a time
			if len(body) < 4 || len(devices) == 0 {
				return frames, errCapture
			}
			frames = append(frames, frame{0, devices[0].link, body[4:]})
		}
	}
	return frames, nil
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
			if b[0] == 6 {
				return 1e-6
			}
			return unit
		}
		b = b[min(len(b), (n+3)&^3):]
	}
	return 1e-6
}

// segment is the part of a frame that concerns TCP.
type segment struct {
	source, target string // address and port
	ports          [2]int
	sequence       uint32
	syn, ack       bool
	data           []byte
}

// segmentOf reads the headers of the link, of IP and of TCP.
func segmentOf(f frame) (s segment, ok bool) {
	b := f.bytes
	skip := func(n int) { b = b[min(n, len(b)):] }
	switch f.link {
	case 0, 108: // loopback
		skip(4)
	case 1: // Ethernet, with VLAN tags
		skip(12)
		for len(b) >= 4 && (b[0] == 0x81 && b[1] == 0 || b[0] == 0x88 && b[1] == 0xa8) {
			skip(4)
		}
		skip(2)
	case 113: // Linux cooked
		skip(16)
	case 276: // the same, version 2
		skip(20)
	case 12, 14, 101, 228, 229: // none
	default:
		return s, false
	}
	var source, target []byte
	switch {
	case len(b) >= 20 && b[0]>>4 == 4:
		header, total := int(b[0]&15)*4, int(binary.BigEndian.Uint16(b[2:]))
		if b[9] != 6 || header < 20 || binary.BigEndian.Uint16(b[6:])&0x3fff != 0 {
			return s, false
		}
		if total >= header && total <= len(b) {
			b = b[:total] // without the padding of short frames
		}
		source, target = b[12:16], b[16:20]
		skip(header)
	case len(b) >= 40 && b[0]>>4 == 6:
		if total := 40 + int(binary.BigEndian.Uint16(b[4:])); total > 40 && total <= len(b) {
			b = b[:total]
		}
		source, target = b[8:24], b[24:40]
		rest, ok := behindExtensions(b[6], b[40:])
		if !ok {
			return s, false
		}
		b = rest
	default:
		return s, false
	}
	if len(b) < 20 {
		return s, false
	}
	s.ports = [2]int{int(binary.BigEndian.Uint16(b)), int(binary.BigEndian.Uint16(b[2:]))}
	s.sequence = binary.BigEndian.Uint32(b[4:])
	s.syn, s.ack = b[13]&2 != 0, b[13]&16 != 0
	s.source = endpoint(source, s.ports[0])
	s.target = endpoint(target, s.ports[1])
	header := int(b[12]>>4) * 4
	if header < 20 || header > len(b) {
		return s, false
	}
	s.data = b[header:]
	return s, true
}

// behindExtensions returns what follows the extension headers of IPv6 (RFC 8200, section 4), the first of which is of
// this kind, if that is TCP.
func behindExtensions(kind byte, b []byte) ([]byte, bool) {
	for kind != 6 {
		if len(b) < 8 {
			return nil, false
		}
		size := (int(b[1]) + 1) * 8
		switch kind {
		case 0, 43, 60, 135, 139, 140: // hop by hop, routing, destination, mobility, host identity, shim
		case 44: // a fragment: good if it is all of the packet
			if b[2] != 0 || b[3]&^0x06 != 0 {
				return nil, false
			}
			size = 8
		case 51: // authentication
			size = (int(b[1]) + 2) * 4
		default:
			return nil, false
		}
		if size > len(b) {
			return nil, false
		}
		kind, b = b[0], b[size:]
	}
	return b, true
}

func endpoint(address []byte, port int) string {
	if len(address) == 4 {
		return fmt.Sprintf("%d.%d.%d.%d:%d", address[0], address[1], address[2], address[3], port)
	}
	return netip.AddrPortFrom(netip.AddrFrom16([16]byte(address)), uint16(port)).String()
}
