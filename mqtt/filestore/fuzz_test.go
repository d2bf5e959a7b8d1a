package filestore

import (
	"bytes"
	"errors"
	"hash/crc32"
	"slices"
	"strings"
	"testing"

	"iotwire/mqtt"
)

// FuzzOpen opens any bytes as a session: Open does not panic, allocates no more than the file gives reason to, and either
// refuses the file and leaves it alone, or finds the same in it every time, and works. With build, the bytes say how to
// build a file whose checksums are right, so that what is behind them is reached.
func FuzzOpen(f *testing.F) {
	file := sample(f)
	f.Add(file, false)
	f.Add(file[:len(file)-7], false)
	f.Add([]byte{}, false)
	f.Add([]byte(magic), false)
	f.Add(append(bytes.Clone(file), strings.Repeat("\x00", 4096)...), false)
	f.Add(file[30:], false)
	broken := bytes.Clone(file)
	broken[len(broken)/2] ^= 1
	f.Add(broken, false)
	f.Add([]byte{}, true)
	f.Add([]byte("\x81\x01\x01\x05\x00\x00\x01\x01\x01\x06\x01\x00\x81\x02\x01\x07\x00\x00\x02\x01\x01\x00\x02\x10"), true)
	f.Add([]byte("\x81\x01\x01\x05\x00\x00\x01\x02\x01\xff\x04\x00\x01\x02\x02\x09\x02\x03\x01\x02\x00\x09\x02\x03"), true)
	f.Fuzz(func(t *testing.T, file []byte, build bool) {
		if build {
			file = built(file)
		}
		d := newMemoryDisk()
		d.put("d/session", file)
		records, damaged, _, err := recovered(d)
		switch {
		case errors.Is(err, ErrDamaged) || errors.Is(err, ErrOtherClient) || errors.Is(err, ErrVersion):
			if !bytes.Equal(d.content("d/session"), file) {
				t.Fatalf("refused with %v, and changed", err)
			}
			return
		case err != nil:
			t.Fatal(err)
		}
		size := 0
		for k, v := range records {
			size += headSize + len(v)
			if !build && len(v) > 0 && !bytes.Contains(file, []byte(v)) {
				t.Fatalf("made up: %v is %q", k, v)
			}
		}
		if size > len(file) || len(damaged) > len(file)/headSize+1 {
			t.Fatalf("%d bytes in %d records and %d reports out of a file of %d", size, len(records), len(damaged), len(file))
		}
	})
}

// built makes a file of a header and of records: each is six bytes of program, which say the operation, the key, the step of
// the sequence, the length, what is wrong with it, and how many bytes of dirt come before it.
func built(program []byte) []byte {
	f := newFormat("client")
	file := f.appendHeader(nil, 1000)
	if len(program)%2 == 1 {
		file[5] ^= 1
	}
	sequence := uint64(999)
	for p := range slices.Chunk(program, 6) {
		if len(p) < 6 {
			break
		}
		file = append(file, strings.Repeat("\x81", int(p[5]%64))...)
		sequence += uint64(int8(p[2]))
		data := bytes.Repeat(p[3:4], int(p[3]))
		if p[0]&3 != byte(keep) {
			data = nil
		}
		h := head{
			sequence:  sequence,
			operation: operation(p[0] & 3),
			settles:   p[0]&settling != 0,
			key:       mqtt.Key{Kind: mqtt.Kind(p[1] >> 6), N: uint64(p[1] & 3)},
			length:    uint32(len(data)),
			sum:       crc32.Checksum(data, castagnoli),
		}
		if p[4]&1 != 0 {
			h.sum++
		}
		if p[4]&4 != 0 {
			h.length += uint32(p[4]) << (p[4] >> 4)
		}
		start := len(file)
		file = append(f.appendHead(file, h), data...)
		if p[4]&2 != 0 {
			file[start+int(p[3])%headSize] ^= 1
		}
	}
	return file
}
