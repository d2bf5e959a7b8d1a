package filestore

import (
	"encoding/binary"
	"hash/crc32"

	"iotwire/mqtt"
)

// The file is a header, and then records, end to end. Numbers are big-endian, as in MQTT.
//
//	header   8  "iotwire\n"                    record   4  CRC-32C of the header's first four fields
//	         2  version, 1                                 and of the next 26 bytes
//	         2  length of the client id                 8  sequence number, each 1 above the one before
//	         n  client id                               1  operation: 0 none, 1 keep, 2 forget;
//	         8  sequence number of the                     and 128 if it settles
//	            first record                            1  kind of the key
//	         4  CRC-32C of all this                     8  number of the key
//	                                                    4  length of the data
//	                                                    4  CRC-32C of the data
//	                                                    n  data
//
// The head of a record has its own checksum: it can be trusted with the length and the key although the data is broken,
// and it can be found again behind a broken one without a look at the data. The checksum covers who the file belongs to,
// so that a record is known for the client's own even if the header is broken. The sequence number starts anywhere and
// goes on through every rewriting of the file: neither an old record that a disk brings back, nor bytes of a payload
// that look like a record, continue it.
//
// A record settles if all before it was durable when it was written: the first after each fsync does. So a broken record
// with a settling one somewhere behind it is damage: it was there. Without, it may be a write that a power cut tore before
// anybody was told that it is durable, and counts as if it had not begun. Close, and a rewriting of the file, therefore
// end it with a record that does nothing but settle.
const (
	magic       = "iotwire\n"
	version     = 1
	maxClientID = 65535 // section 1.5.3: a string has two bytes of length
	trailerSize = 12    // of the header, behind the client id
	headSize    = 30
	maxData     = 1 << 30 // four times the largest packet of MQTT; an int on every machine
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

type operation uint8

const (
	none   operation = 0
	keep   operation = 1
	forget operation = 2

	settling = 128
)

// head is a record without its data.
type head struct {
	sequence uint64
	operation
	settles bool
	key     mqtt.Key
	length  uint32 // of the data
	sum     uint32 // of the data
}

// format is the format of the file of one client.
type format struct {
	owner []byte // the header's first four fields
	seed  uint32 // their checksum
}

func newFormat(clientID string) format {
	b := binary.BigEndian.AppendUint16([]byte(magic), version)
	b = binary.BigEndian.AppendUint16(b, uint16(len(clientID)))
	b = append(b, clientID...)
	return format{b, crc32.Checksum(b, castagnoli)}
}

func (f *format) headerSize() int64 { return int64(len(f.owner) + trailerSize) }

func (f *format) appendHeader(b []byte, first uint64) []byte {
	start := len(b)
	b = append(b, f.owner...)
	b = binary.BigEndian.AppendUint64(b, first)
	return binary.BigEndian.AppendUint32(b, crc32.Checksum(b[start:], castagnoli))
}

// parseHeader takes the beginning of a file, and returns whose it is and the sequence number of its first record. ok is
// false if it is not a whole and unbroken header of this version.
func parseHeader(b []byte) (clientID string, first uint64, ok bool) {
	fixed := len(magic) + 4
	if len(b) < fixed || string(b[:len(magic)]) != magic || binary.BigEndian.Uint16(b[len(magic):]) != version {
		return "", 0, false
	}
	idEnd := fixed + int(binary.BigEndian.Uint16(b[fixed-2:]))
	if len(b) < idEnd+trailerSize || binary.BigEndian.Uint32(b[idEnd+8:]) != crc32.Checksum(b[:idEnd+8], castagnoli) {
		return "", 0, false
	}
	return string(b[fixed:idEnd]), binary.BigEndian.Uint64(b[idEnd:]), true
}

func (f *format) appendHead(b []byte, h head) []byte {
	start := len(b)
	b = append(b, 0, 0, 0, 0)
	b = binary.BigEndian.AppendUint64(b, h.sequence)
	if h.settles {
		h.operation |= settling
	}
	b = append(b, byte(h.operation), byte(h.key.Kind))
	b = binary.BigEndian.AppendUint64(b, h.key.N)
	b = binary.BigEndian.AppendUint32(b, h.length)
	b = binary.BigEndian.AppendUint32(b, h.sum)
	binary.BigEndian.PutUint32(b[start:], crc32.Update(f.seed, castagnoli, b[start+4:]))
	return b
}

// sequenceAt reads the sequence number of the head that b may be.
func sequenceAt(b []byte) uint64 { return binary.BigEndian.Uint64(b[4:]) }

// parseHead reads a head. ok is false if b is none.
func (f *format) parseHead(b []byte) (h head, ok bool) {
	b = b[:headSize]
	if binary.BigEndian.Uint32(b) != crc32.Update(f.seed, castagnoli, b[4:]) {
		return head{}, false
	}
	h = head{
		sequence:  sequenceAt(b),
		operation: operation(b[12] &^ settling),
		settles:   b[12]&settling != 0,
		key:       mqtt.Key{Kind: mqtt.Kind(b[13]), N: binary.BigEndian.Uint64(b[14:])},
		length:    binary.BigEndian.Uint32(b[22:]),
		sum:       binary.BigEndian.Uint32(b[26:]),
	}
	return h, h.operation == keep && h.length <= maxData || h.operation <= forget && h.length == 0 && h.sum == 0
}
