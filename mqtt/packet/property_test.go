package packet_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"

	"iotwire/mqtt/packet"
)

// Parse(Append(x)) == x, for every packet of every type, wherever it is appended.
func TestParseUndoesAppend(t *testing.T) {
	for typ := packet.CONNECT; typ <= packet.DISCONNECT; typ++ {
		t.Run(typ.String(), rapid.MakeCheck(func(t *rapid.T) {
			sent := anyPacket(typ).Draw(t, "packet")
			before := bytesOf.Draw(t, "before")
			b, err := encode(before, sent)
			if err != nil {
				t.Fatal(err)
			}
			if string(b[:len(before)]) != string(before) {
				t.Fatal("what was in the slice has changed")
			}
			came, err := decode(b[len(before):])
			if err != nil {
				t.Fatal(err)
			}
			if d := diff(sent, came); d != "" {
				t.Fatalf("(-sent +came):\n%s", d)
			}
		}))
	}
}

// Append(Parse(b)) == b, for every body that Parse accepts: no two encodings mean the same.
func TestAppendUndoesParse(t *testing.T) {
	for typ := packet.CONNECT; typ <= packet.DISCONNECT; typ++ {
		t.Run(typ.String(), func(t *testing.T) {
			tried, accepted := 0, 0
			rapid.Check(t, func(t *rapid.T) {
				wire, err := encode(nil, anyPacket(typ).Draw(t, "packet"))
				if err != nil {
					t.Fatal(err)
				}
				h, n, err := packet.ParseHeader(wire)
				if err != nil {
					t.Fatal(err)
				}
				body := mutated(t, wire[n:])
				if typ == packet.PUBLISH {
					h.Flags = rapid.Uint8Max(15).Draw(t, "flags")
				}
				tried++
				ok, err := roundTrip(h, body)
				if err != nil {
					t.Fatal(err)
				}
				if ok {
					accepted++
				}
			})
			if tried >= 100 && accepted < tried/10 {
				t.Errorf("only %d of %d bodies were accepted: the test tests little", accepted, tried)
			}
		})
	}
}

// roundTrip parses a body. If that is accepted, it has to encode to the same bytes; if not, the error has to name a rule
// and a byte of the body, or the one behind it.
func roundTrip(h packet.Header, body []byte) (accepted bool, err error) {
	value, mistake := parse(h, body)
	if mistake == nil {
		want := whole(byte(h.Type)<<4|h.Flags, string(body))
		again, err := encode(nil, value)
		if err != nil || string(again) != want {
			return true, fmt.Errorf("% x is accepted as %+v, which is encoded as % x, %v", want, value, again, err)
		}
		return true, nil
	}
	var e *packet.Error
	if !errors.As(mistake, &e) || !errors.Is(mistake, packet.ErrMalformed) {
		return false, fmt.Errorf("%v % x: the error is %T %v, want a *packet.Error that matches ErrMalformed", h.Type, body, mistake, mistake)
	}
	if e.Type != h.Type || e.Rule == "" || e.Offset < 0 || e.Offset > len(body) {
		return false, fmt.Errorf("%v % x: %v: type %v, byte %d, rule %q", h.Type, body, e, e.Type, e.Offset, e.Rule)
	}
	return false, nil
}

// Whatever comes, nothing panics, and nothing allocates by a length that it read: an error costs a constant, and the
// reader's buffer, which doubles as it fills, four times what came.
func TestNothingAllocatesByAClaim(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const perError = 512
		b := anyBytes.Draw(t, "bytes")
		h := packet.Header{Flags: rapid.Uint8().Draw(t, "flags")}
		if n := allocated(func() {
			packet.ParseHeader(b)
			for h.Type = packet.CONNECT; h.Type <= packet.DISCONNECT; h.Type++ {
				parse(h, b)
			}
		}); n > 15*perError {
			t.Fatalf("parsing %d bytes as each type allocates %d, want at most %d", len(b), n, 15*perError)
		}
		src := bytes.NewReader(b)
		for _, max := range []int{0, 1000, 1 << 30} {
			tooLarge := 0
			n := allocated(func() {
				src.Reset(b)
				tooLarge = 0
				r := packet.NewReader(src, max)
				_, _, err := r.Next()
				for ; err == nil || errors.Is(err, packet.ErrTooLarge); _, _, err = r.Next() {
					if err != nil {
						tooLarge++
					}
				}
			})
			if most := 4<<10 + 4*len(b) + perError*(2+tooLarge); n > most {
				t.Fatalf("reading %d bytes with limit %d allocates %d, want at most %d", len(b), max, n, most)
			}
		}
	})
}

// packetsOf cuts b into packets with ParseHeader alone, and gives what packets gives for a Reader.
func packetsOf(b []byte, max int) (all []string, err error) {
	for {
		h, n, err := packet.ParseHeader(b)
		size := n + h.Len
		switch {
		case err != nil:
			return all, err
		case len(b) == 0:
			return all, io.EOF
		case n == 0:
			return all, io.ErrUnexpectedEOF
		case size > max:
			all = append(all, fmt.Sprintf("%v %x of %d bytes", h.Type, h.Flags, h.Len))
			if size > len(b) {
				return all, io.ErrUnexpectedEOF
			}
		case size > len(b):
			return all, io.ErrUnexpectedEOF
		default:
			all = append(all, fmt.Sprintf("%v %x %x", h.Type, h.Flags, b[n:size]))
		}
		b = b[size:]
	}
}

// A reader cuts a stream as ParseHeader does over the whole of it, however it comes.
func TestReaderAgreesWithParseHeader(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := anyBytes.Draw(t, "bytes")
		max := rapid.SampledFrom([]int{0, 4, 50, 1 << 30}).Draw(t, "limit")

		want, wantErr := packetsOf(b, max)
		src := &chunks{}
		for left := string(b); left != ""; {
			n := rapid.IntRange(1, len(left)).Draw(t, "chunk")
			src.chunks, left = append(src.chunks, left[:n]), left[n:]
		}
		got, err := packets(packet.NewReader(src, max))
		if diff(want, got) != "" || !sameMistake(err, wantErr) {
			t.Fatalf("ends with %v, want %v\n%s", err, wantErr, diff(want, got))
		}
	})
}

// sameMistake compares errors but for the guess at what other protocol it may be, which needs some bytes more.
func sameMistake(a, b error) bool {
	var x, y *packet.Error
	if errors.As(a, &x) && errors.As(b, &y) {
		return x.Type == y.Type && x.Rule == y.Rule && x.Offset == y.Offset
	}
	return a == b
}

// matchLevels is section 4.7.1 word by word: the levels of a filter against the levels of a topic.
func matchLevels(filter, topic []string) bool {
	switch {
	case len(filter) == 1 && filter[0] == "#": // the parent and any number of children
		return true
	case len(filter) == 0 || len(topic) == 0:
		return len(filter) == len(topic)
	case filter[0] == "+" || filter[0] == topic[0]:
		return matchLevels(filter[1:], topic[1:])
	}
	return false
}

func TestMatchAgreesWithLevels(t *testing.T) {
	name := rapid.SampledFrom([]string{"", "a", "b", "ab", "$", "$a", "é"})
	tried, matched := 0, 0
	rapid.Check(t, func(t *rapid.T) {
		topic := rapid.SliceOfN(name, 1, 5).Draw(t, "topic")
		// A filter out of the topic, so that many match, or out of nothing.
		filter := append([]string(nil), topic...)
		if rapid.IntRange(0, 3).Draw(t, "other") == 0 {
			filter = rapid.SliceOfN(name, 1, 5).Draw(t, "filter")
		}
		for i := range filter {
			switch rapid.IntRange(0, 5).Draw(t, "change") {
			case 0, 1:
				filter[i] = "+"
			case 2:
				filter[i] = name.Draw(t, "level")
			}
		}
		switch rapid.IntRange(0, 3).Draw(t, "end") {
		case 0:
			filter[len(filter)-1] = "#"
		case 1:
			filter = append(filter, "#")
		}
		f, s := strings.Join(filter, "/"), strings.Join(topic, "/")
		if f == "" || s == "" {
			t.Skip("an empty topic is none")
		}
		want := matchLevels(filter, topic) && !(s[0] == '$' && (f[0] == '+' || f[0] == '#'))
		if got := packet.Match(f, s); got != want {
			t.Fatalf("filter %q and topic %q: %v, want %v", f, s, got, want)
		}
		if tried++; want {
			matched++
		}
	})
	if tried >= 100 && (matched < tried/10 || matched > tried*9/10) {
		t.Errorf("%d of %d match: the test tests little", matched, tried)
	}
}

// validTopic and validFilter are section 4.7 level by level.
func validTopic(s string) bool {
	return s != "" && len(s) <= 65535 && utf8.ValidString(s) && !strings.ContainsAny(s, "\x00+#")
}

func validFilter(s string) bool {
	levels := strings.Split(s, "/")
	for i, level := range levels {
		if strings.Contains(level, "+") && level != "+" || strings.Contains(level, "#") && (level != "#" || i != len(levels)-1) {
			return false
		}
	}
	return s != "" && len(s) <= 65535 && utf8.ValidString(s) && !strings.Contains(s, "\x00")
}

// A topic name is valid in ValidTopic as in PUBLISH and in a will, a topic filter in ValidFilter as in SUBSCRIBE and
// UNSUBSCRIBE: they agree with each other, with section 4.7, and on the byte at fault.
func TestValidAgreesWithParse(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := rapid.OneOf(fragments, anyText, topicName, topicFilter).Draw(t, "text")
		for i, p := range places {
			var valid bool
			var alone error
			switch {
			case i == 0 || i == 2: // client identifier and user name are no topics
				continue
			case i <= 3:
				valid, alone = validTopic(s), packet.ValidTopic(s)
			default:
				valid, alone = validFilter(s), packet.ValidFilter(s)
			}
			_, came := decode([]byte(p.wire(s)))
			_, sent := encode(nil, p.send(s))
			for _, err := range []error{came, sent, alone} {
				if (err == nil) != valid {
					t.Fatalf("%s %q: %v, want valid: %v", p.name, s, err, valid)
				}
			}
			if !valid {
				var c, s, a *packet.Error
				if !errors.As(came, &c) || !errors.As(sent, &s) || !errors.As(alone, &a) ||
					c.Rule != s.Rule || c.Offset != s.Offset || c.Offset != p.at+a.Offset {
					t.Fatalf("%s: %v | %v | %v", p.name, came, sent, alone)
				}
			}
		}
	})
}
