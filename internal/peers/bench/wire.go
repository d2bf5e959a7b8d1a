package main

import (
	"encoding/binary"
	"errors"
)

// The instrument knows as much of MQTT as it needs, and nothing by way of what it measures.

const (
	typeConnect    = 0x10
	typePublish    = 0x30
	typePuback     = 0x40
	typePubrec     = 0x50
	typePubrel     = 0x60
	typePubcomp    = 0x70
	typeSubscribe  = 0x80
	typePingreq    = 0xC0
	typeDisconnect = 0xE0
)

var errWire = errors.New("what came is not what the benchmark sends")

// cut returns the first packet of b: its first byte, where its body begins, and where it ends; 0 if b ends before.
func cut(b []byte) (first byte, body, end int) {
	if len(b) < 2 {
		return 0, 0, 0
	}
	n, i := int(b[1]&0x7F), 2
	for shift := 7; b[i-1] >= 0x80; shift += 7 {
		if i == len(b) {
			return 0, 0, 0
		}
		n |= int(b[i]&0x7F) << shift
		i++
	}
	if i+n > len(b) {
		return 0, 0, 0
	}
	return b[0], i, i + n
}

// appendPublish appends a PUBLISH.
func appendPublish(b []byte, qos byte, id uint16, payload []byte) []byte {
	n := 2 + len(topic) + len(payload)
	if qos > 0 {
		n += 2
	}
	b = append(b, typePublish|qos<<1)
	b = binary.AppendUvarint(b, uint64(n))
	b = binary.BigEndian.AppendUint16(b, uint16(len(topic)))
	b = append(b, topic...)
	if qos > 0 {
		b = binary.BigEndian.AppendUint16(b, id)
	}
	return append(b, payload...)
}

// publishID returns the identifier in the body of a PUBLISH of QoS 1 or 2.
func publishID(body []byte) (hi, lo byte) {
	n := 2 + int(binary.BigEndian.Uint16(body))
	return body[n], body[n+1]
}

// ring is the PUBLISH packets with the identifiers 1 to window, twice: a run of up to window of them is one slice.
type ring struct {
	b      []byte
	size   int // of one packet
	window int
	at     int // the next one
}

func newRing(qos byte, window int, payload []byte) *ring {
	r := &ring{window: window}
	for range 2 {
		for id := range window {
			r.b = appendPublish(r.b, qos, uint16(id+1), payload)
		}
	}
	r.size = len(r.b) / (2 * window)
	return r
}

// next returns the next n packets; n is at most window.
func (r *ring) next(n int) []byte {
	b := r.b[r.at*r.size:][:n*r.size]
	r.at = (r.at + n) % r.window
	return b
}

// burst returns PUBLISH packets of QoS 0, about 64 KiB of them.
func burst(payload []byte) (b []byte, n int) {
	for len(b) == 0 || len(b)+len(b)/n <= 64<<10 {
		b = appendPublish(b, 0, 0, payload)
		n++
	}
	return b, n
}
