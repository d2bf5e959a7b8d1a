package iot

import (
	"crypto/rand"
	"fmt"
	"strings"
	"unicode/utf8"
)

// maxClientID is the longest client identifier that AWS IoT Core takes, in bytes.
const maxClientID = 128

// NewClientID returns prefix + "-" + a random UUID (version 4, RFC 4122), or the UUID alone if prefix is empty. No two
// calls return the same.
func NewClientID(prefix string) string {
	var u [16]byte
	_, _ = rand.Read(u[:])  // it never fails: see crypto/rand
	u[6] = u[6]&0x0f | 0x40 // RFC 4122, section 4.4: version 4
	u[8] = u[8]&0x3f | 0x80 // and the variant
	id := fmt.Sprintf("%x-%x-%x-%x-%x", u[:4], u[4:6], u[6:8], u[8:10], u[10:])
	if prefix == "" {
		return id
	}
	return prefix + "-" + id
}

// checkClientID refuses what no server takes, or what AWS IoT Core does not.
func checkClientID(id string, aws bool) error {
	switch {
	case !utf8.ValidString(id): // [MQTT-3.1.3-4]
		return invalid("client id %q is not UTF-8", id)
	case strings.ContainsRune(id, 0): // [MQTT-1.5.3-2]
		return invalid("client id %q has U+0000", id)
	case aws && len(id) > maxClientID:
		return beyond("client id %.40q... has %d bytes, want at most %d", id, len(id), maxClientID)
	case aws && strings.HasPrefix(id, "$"):
		return beyond("client id %q starts with '$', which is reserved", id)
	case len(id) > 65_535: // section 1.5.3
		return invalid("client id %.40q... has %d bytes, want at most 65535", id, len(id))
	}
	return nil
}
