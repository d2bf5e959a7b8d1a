package packet_test

import (
	"strings"
	"testing"

	"iotwire/mqtt/packet"
)

// The fuzz targets: nothing panics, and what is accepted encodes to the bytes that came. Their seeds are a packet of
// each kind and, under testdata/fuzz, inputs that broke other programs.

func FuzzParseHeader(f *testing.F) {
	for _, specimen := range specimens {
		f.Add([]byte(specimen.wire[:2]))
	}
	f.Add([]byte("\x30\x80\x80\x80\x01"))
	f.Add([]byte("\xd0\x80\x80\x00"))
	f.Fuzz(func(t *testing.T, b []byte) { checkHeader(t, b) })
}

func checkHeader(t *testing.T, b []byte) {
	h, n, err := packet.ParseHeader(b)
	switch {
	case err != nil:
		if h != (packet.Header{}) || n != 0 {
			t.Errorf("% x: %+v, %d beside %v", b, h, n, err)
		}
	case n == 0:
		if len(b) >= 5 || h != (packet.Header{}) {
			t.Errorf("% x: %+v and more bytes needed", b, h)
		}
	default:
		if n < 2 || n > 5 || n > len(b) || h.Len < 0 || h.Len > packet.MaxRemainingLength {
			t.Fatalf("% x: %+v, %d", b, h, n)
		}
		// The shortest encoding says the same, and no part of the header says anything.
		if again, m, err := packet.ParseHeader(packet.AppendHeader(nil, byte(h.Type)<<4|h.Flags, h.Len)); again != h || m > n || err != nil {
			t.Errorf("% x: %+v, encoded again %+v, %v", b, h, again, err)
		}
		for length := range n {
			if part, m, err := packet.ParseHeader(b[:length]); part != (packet.Header{}) || m != 0 || err != nil {
				t.Errorf("% x: the first %d bytes give %+v, %d, %v", b, length, part, m, err)
			}
		}
	}
}

func FuzzReader(f *testing.F) {
	f.Add([]byte(stream), []byte{1}, uint16(1000))
	f.Add([]byte(stream), []byte{255}, uint16(4))
	f.Add([]byte(stream[:60]), []byte{3, 7}, uint16(30))
	f.Fuzz(func(t *testing.T, b, cuts []byte, max uint16) { checkReader(t, b, cuts, int(max)) })
}

// checkReader reads bytes in pieces, whose sizes are the bytes of cuts, over and over.
func checkReader(t *testing.T, b, cuts []byte, max int) {
	src := &chunks{}
	for i, left := 0, string(b); left != ""; i++ {
		n := len(left)
		if len(cuts) > 0 {
			n = min(n, 1+int(cuts[i%len(cuts)]))
		}
		src.chunks, left = append(src.chunks, left[:n]), left[n:]
	}
	want, wantErr := packetsOf(b, max)
	got, err := packets(packet.NewReader(src, max))
	if diff(want, got) != "" || !sameMistake(err, wantErr) {
		t.Errorf("ends with %v, want %v\n%s", err, wantErr, diff(want, got))
	}
}

// fuzzBody is the target of a packet type whose flags are fixed.
func fuzzBody(f *testing.F, typ packet.Type) {
	f.Add([]byte(specimens[typ-1].wire[2:]))
	f.Fuzz(func(t *testing.T, body []byte) { checkBody(t, typ, tableFlags[typ], body) })
}

// checkBody checks a body as one of any type. What is accepted and of fixed length has a header that is accepted.
func checkBody(t *testing.T, typ packet.Type, flags byte, body []byte) (accepted bool) {
	accepted, err := roundTrip(packet.Header{Type: typ, Flags: flags}, body)
	if err != nil {
		t.Error(err)
	}
	if !accepted {
		return false
	}
	if _, n, err := packet.ParseHeader(packet.AppendHeader(nil, byte(typ)<<4|flags, len(body))); n < 2 || err != nil {
		t.Errorf("%v: %d bytes are accepted, but not their header: %v", typ, len(body), err)
	}
	return true
}

func FuzzConnect(f *testing.F) {
	f.Add([]byte("\x00\x04MQTT\x04\x02\x00\x0a\x00\x00"))
	f.Add([]byte("\x00\x04MQTT\x04\x82\x00\x0a\x00\x01c\x00\x01u"))
	f.Add([]byte("\x00\x06MQIsdp\x03\x02\x00\x0a\x00\x01c"))
	fuzzBody(f, packet.CONNECT)
}

func FuzzSubscribe(f *testing.F) {
	f.Add([]byte("\x00\x01\x00\x01#\x00\x00\x03+/+\x01\x00\x01/\x02"))
	fuzzBody(f, packet.SUBSCRIBE)
}

func FuzzUnsubscribe(f *testing.F) {
	f.Add([]byte("\x00\x01\x00\x01#\x00\x03+/+\x00\x01/"))
	fuzzBody(f, packet.UNSUBSCRIBE)
}

func FuzzSuback(f *testing.F) {
	f.Add([]byte("\xff\xff\x80"))
	fuzzBody(f, packet.SUBACK)
}

func FuzzPublish(f *testing.F) {
	f.Add(byte(0), []byte("\x00\x01/payload"))
	f.Add(byte(0b0011), []byte("\x00\x03a/b\x00\x01"))
	f.Add(byte(0b1101), []byte("\x00\x02\xc3\xa9\x00\x01payload"))
	f.Fuzz(func(t *testing.T, flags byte, body []byte) { checkBody(t, packet.PUBLISH, flags&15, body) })
}

// FuzzAcknowledgements has the types of fixed length: CONNACK, the answers that are an identifier, and those without a body.
func FuzzAcknowledgements(f *testing.F) {
	for _, specimen := range specimens {
		f.Add(specimen.wire[0], []byte(specimen.wire[2:]))
	}
	f.Fuzz(func(t *testing.T, first byte, body []byte) {
		typ := packet.Type(first >> 4)
		switch typ {
		case 0, 15, packet.CONNECT, packet.PUBLISH, packet.SUBSCRIBE, packet.SUBACK, packet.UNSUBSCRIBE:
			return // none, or not of fixed length
		}
		checkBody(t, typ, tableFlags[typ], body)
	})
}

func FuzzMatch(f *testing.F) {
	for _, m := range matches {
		f.Add(m.filter, m.topic)
	}
	f.Add("$SYS/#", "$SYS/monitor")
	f.Add("#", "$SYS/monitor")
	f.Fuzz(checkMatch)
}

// checkMatch compares ValidTopic, ValidFilter and Match with section 4.7 taken level by level.
func checkMatch(t *testing.T, filter, topic string) {
	if err := packet.ValidFilter(filter); (err == nil) != validFilter(filter) {
		t.Errorf("filter %q: %v, want valid: %v", filter, err, validFilter(filter))
	}
	if err := packet.ValidTopic(topic); (err == nil) != validTopic(topic) {
		t.Errorf("topic %q: %v, want valid: %v", topic, err, validTopic(topic))
	}
	got := packet.Match(filter, topic)
	if !validFilter(filter) || !validTopic(topic) {
		return // Match may say anything, but has to say it
	}
	want := matchLevels(strings.Split(filter, "/"), strings.Split(topic, "/"))
	if topic[0] == '$' && (filter[0] == '+' || filter[0] == '#') {
		want = false
	}
	if got != want {
		t.Errorf("filter %q and topic %q: %v, want %v", filter, topic, got, want)
	}
}
