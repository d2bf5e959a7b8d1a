package packet

import (
	"strings"
	"unicode/utf8"
)

// ValidTopic reports whether t may be the topic name of a message (section 4.7): at least one character, at most
// 65 535 bytes, UTF-8 without U+0000, and no wildcards. The error is an *[Error] that matches [ErrInvalid].
func ValidTopic(t string) error {
	b := []byte(t)
	if plain(b) {
		return nil
	}
	if f, ok := checkTopic(b, "MQTT-4.7.1-1"); !ok {
		return f.out(0, 0, "topic name")
	}
	return nil
}

// ValidFilter reports whether f may be a topic filter (section 4.7): as ValidTopic, but with wildcards: '+' for a
// whole level, '#' as the last level. The error is an *[Error] that matches [ErrInvalid].
func ValidFilter(f string) error {
	if f, ok := checkFilter([]byte(f)); !ok {
		return f.out(0, 0, "topic filter")
	}
	return nil
}

// checkTopic goes over a topic name once. wildcard is the statement that forbids wildcards where the name stands.
func checkTopic(b []byte, wildcard string) (f fault, ok bool) {
	if f, ok := checkSize(b); !ok {
		return f, false
	}
	for i := 0; i < len(b); {
		c := b[i]
		if c == '+' || c == '#' {
			return fault{i, wildcard, "has the wildcard '" + string(c) + "', which belongs in topic filters only"}, false
		}
		if c-1 < 0x7f {
			i++
			continue
		}
		if c == 0 {
			return fault{i, "MQTT-4.7.3-2", "has U+0000"}, false
		}
		r, size := utf8.DecodeRune(b[i:])
		if r == utf8.RuneError && size <= 1 {
			return illFormed(b, i), false
		}
		i += size
	}
	return fault{}, true
}

// plain reports whether b is eight bytes or more, all of them U+0001 to U+007F and no wildcards, as most topic names
// are: checkTopic would find nothing. It looks at eight at a time.
func plain(b []byte) bool {
	if len(b) < 8 || len(b) > maxString {
		return false
	}
	found := notPlain(b[len(b)-8:])
	for ; len(b) > 8; b = b[8:] {
		found |= notPlain(b)
	}
	return found&0x80_80_80_80_80_80_80_80 == 0
}

// notPlain sets the highest bit of a byte of its result if, and with one exception only if, that one of the first eight
// of b is above U+007F, U+0000 or a wildcard. A byte below 0x80 less one has its highest bit set if it was 0; it may
// also have it because of what a 0 below has borrowed: the exception.
func notPlain(b []byte) uint64 {
	const each = 0x01_01_01_01_01_01_01_01
	x := uint64(b[7])<<56 | uint64(b[6])<<48 | uint64(b[5])<<40 | uint64(b[4])<<32 |
		uint64(b[3])<<24 | uint64(b[2])<<16 | uint64(b[1])<<8 | uint64(b[0])
	wildcard := (x | each*('+'^'#')) ^ each*'+' // 0 for both: they differ in one bit
	return x | (x - each) | (wildcard - each)
}

// checkFilter goes over a topic filter once.
func checkFilter(b []byte) (f fault, ok bool) {
	if f, ok := checkSize(b); !ok {
		return f, false
	}
	for i := 0; i < len(b); {
		c := b[i]
		switch {
		case c == '#' && (i+1 != len(b) || i > 0 && b[i-1] != '/'):
			return fault{i, "MQTT-4.7.1-2", "has '#' where it is not the whole last level"}, false
		case c == '+' && (i+1 != len(b) && b[i+1] != '/' || i > 0 && b[i-1] != '/'):
			return fault{i, "MQTT-4.7.1-3", "has '+' where it is not a whole level"}, false
		case c-1 < 0x7f:
			i++
			continue
		case c == 0:
			return fault{i, "MQTT-4.7.3-2", "has U+0000"}, false
		}
		r, size := utf8.DecodeRune(b[i:])
		if r == utf8.RuneError && size <= 1 {
			return illFormed(b, i), false
		}
		i += size
	}
	return fault{}, true
}

func checkSize(b []byte) (f fault, ok bool) {
	if len(b) == 0 {
		return fault{0, "MQTT-4.7.3-1", "is empty, want at least one character"}, false
	}
	if len(b) > maxString {
		return fault{maxString, "MQTT-4.7.3-3", "is longer than 65535 bytes"}, false
	}
	return fault{}, true
}

// Match reports whether a message with this topic name goes to a subscription with this topic filter (section 4.7).
// Both are taken to be valid. Characters are compared as they are [MQTT-4.7.3-4]. A filter "$share/group/f" is
// compared like f by the broker before it comes here: Match knows nothing of it.
func Match(filter, topic string) bool {
	// [MQTT-4.7.2-1] A wildcard in the first level does not match a topic that starts with '$'.
	if strings.HasPrefix(topic, "$") && (strings.HasPrefix(filter, "+") || strings.HasPrefix(filter, "#")) {
		return false
	}
	for {
		level, filterRest, moreFilter := strings.Cut(filter, "/")
		if level == "#" {
			return true
		}
		name, topicRest, moreTopic := strings.Cut(topic, "/")
		if level != "+" && level != name {
			return false
		}
		if !moreTopic {
			return !moreFilter || filterRest == "#" // 4.7.1.2: "a/#" matches "a" too.
		}
		if !moreFilter {
			return false
		}
		filter, topic = filterRest, topicRest
	}
}
