package filestore

import (
	"hash/crc32"
	"io"
)

// window reads a file through a buffer of fixed size.
type window struct {
	file  io.ReaderAt
	size  int64 // of the file
	start int64 // of buf in the file
	buf   []byte
}

const windowSize = 128 << 10 // a header with the longest client id fits

// view returns n bytes of the file, which are there and no more than windowSize. They are good until the next call.
func (w *window) view(at int64, n int) ([]byte, error) {
	if at < w.start || at+int64(n) > w.start+int64(len(w.buf)) {
		if w.buf == nil {
			w.buf = make([]byte, min(windowSize, w.size))
		}
		w.start = at
		w.buf = w.buf[:min(windowSize, w.size-at)]
		if n, err := w.file.ReadAt(w.buf, at); n < len(w.buf) {
			w.buf = w.buf[:0]
			return nil, err
		}
	}
	return w.buf[at-w.start:][:n], nil
}

// sum returns the checksum of n bytes, which are there.
func (w *window) sum(at int64, n uint32) (sum uint32, err error) {
	for n > 0 {
		part := min(n, windowSize)
		b, err := w.view(at, int(part))
		if err != nil {
			return 0, err
		}
		sum = crc32.Update(sum, castagnoli, b)
		at += int64(part)
		n -= part
	}
	return sum, nil
}
