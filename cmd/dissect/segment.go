package main

import (
	"encoding/binary"
	"fmt"
	"net/netip"
)

// segment is the part of a frame that concerns TCP.
type segment struct {
	source, target string // address and port
	ports          [2]int
	sequence       uint32
	syn, ack, fin  bool
	reset          bool
	data           []byte
	cut            int // the bytes at its end that were not captured
}

// knownLink reports whether [segmentOf] knows this type of link.
func knownLink(link uint32) bool {
	switch link {
	case 0, 1, 12, 14, 101, 108, 113, 228, 229, 276:
		return true
	}
	return false
}

// segmentOf reads the headers of the link, of IP and of TCP.
func segmentOf(f frame) (s segment, ok bool) {
	b := f.bytes
	missing := 0 // at the end of it
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
		missing = max(0, total-len(b))
		source, target = b[12:16], b[16:20]
		skip(header)
	case len(b) >= 40 && b[0]>>4 == 6:
		if total := 40 + int(binary.BigEndian.Uint16(b[4:])); total > 40 {
			missing = max(0, total-len(b))
			b = b[:total-missing]
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
	s.fin, s.syn, s.reset, s.ack = b[13]&1 != 0, b[13]&2 != 0, b[13]&4 != 0, b[13]&16 != 0
	s.cut = missing
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
