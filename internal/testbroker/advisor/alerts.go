package advisor

import (
	"crypto/tls"
	"errors"
	"net"
	"strings"
	"sync/atomic"
)

// alertWatch is a connection below TLS that finds an alert which the other end sends in the clear (RFC 8446 section 6).
// OpenSSL does so when it refuses a certificate in TLS 1.3, where package tls expects it encrypted and finds a bad record.
type alertWatch struct {
	net.Conn
	alert atomic.Int32 // 1 + the description of the first one; 0: none came

	// For the reader:
	head []byte // of the record that is being read: five bytes, and an alert's two
	rest int    // bytes of its body to come
}

// The parts of a record (RFC 8446 section 5.1).
const (
	recordHeader = 5
	alertRecord  = 21
	alertLength  = 2 // in the clear; with encryption it is longer
)

// Read reads, and looks at what came.
func (w *alertWatch) Read(p []byte) (int, error) {
	n, err := w.Conn.Read(p)
	w.look(p[:n])
	return n, err
}

func (w *alertWatch) look(b []byte) {
	for len(b) > 0 {
		if w.rest > 0 {
			n := min(w.rest, len(b))
			w.rest -= n
			b = b[n:]
			continue
		}
		w.head, b = append(w.head, b[0]), b[1:]
		if len(w.head) < recordHeader {
			continue
		}
		length := int(w.head[3])<<8 | int(w.head[4])
		if w.head[0] == alertRecord && length == alertLength {
			if len(w.head) < recordHeader+alertLength {
				continue
			}
			w.alert.CompareAndSwap(0, 1+int32(w.head[recordHeader+1]))
			length = 0
		}
		w.head, w.rest = w.head[:0], length
	}
}

// alertOf is the text of the alert by which the program ended a handshake that failed with err, or "".
func (l *line) alertOf(err error) string {
	if a := l.raw.alert.Load(); a > 0 {
		return strings.TrimPrefix(tls.AlertError(a-1).Error(), "tls: ")
	}
	var operation *net.OpError
	if errors.As(err, &operation) && operation.Op == "remote error" {
		return strings.TrimPrefix(operation.Err.Error(), "tls: ")
	}
	return ""
}
