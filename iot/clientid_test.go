package iot

import (
	"errors"
	"regexp"
	"strings"
	"testing"

	"iotwire/mqtt/packet"
)

func TestNewClientIDIsPrefixAndRandomUUID(t *testing.T) {
	form := regexp.MustCompile(`^meter-[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`)
	seen := make(map[string]bool)
	for range 1000 {
		id := NewClientID("meter")
		if !form.MatchString(id) {
			t.Fatalf("%q is not meter- and a UUID of version 4", id)
		}
		if seen[id] {
			t.Fatalf("%q came twice", id)
		}
		seen[id] = true
	}
	if id := NewClientID(""); strings.HasPrefix(id, "-") || len(id) != 36 {
		t.Errorf("without prefix: %q, want a UUID alone", id)
	}
}

func TestClientIDLimits(t *testing.T) {
	for _, test := range []struct {
		id    string
		aws   bool
		limit bool // want ErrLimit
		want  string
	}{
		{strings.Repeat("x", 128), true, false, ""},
		{strings.Repeat("x", 129), true, true, "129 bytes, want at most 128"},
		{strings.Repeat("ü", 64), true, false, ""},
		{strings.Repeat("ü", 64) + "x", true, true, "129 bytes"},
		{strings.Repeat("x", 129), false, false, ""},
		{strings.Repeat("x", 65535), false, false, ""},
		{strings.Repeat("x", 65536), false, false, "65536 bytes, want at most 65535"},
		{"$thing", true, true, "reserved"},
		{"$thing", false, false, ""},
		{"a\xffb", false, false, "not UTF-8"},
		{"a\x00b", true, false, "U+0000"},
	} {
		err := checkClientID(test.id, test.aws)
		if test.want == "" {
			if err != nil {
				t.Errorf("client id %.20q, AWS %v: %v", test.id, test.aws, err)
			}
			continue
		}
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("client id %.20q, AWS %v: %v, want %q", test.id, test.aws, err, test.want)
		}
		if !errors.Is(err, packet.ErrInvalid) || errors.Is(err, ErrLimit) != test.limit {
			t.Errorf("%v: matches ErrInvalid %v, ErrLimit %v", err, errors.Is(err, packet.ErrInvalid), errors.Is(err, ErrLimit))
		}
	}
}
