package dissect_test

import (
	"bytes"
	"math/bits"
	"testing"

	"pgregory.net/rapid"

	"iotwire/mqtt/dissect"
	"iotwire/mqtt/packet"
)

// covered fails unless the fields of p cover each bit of its bytes exactly once, in order, and all findings point
// into it.
func covered(t interface{ Fatalf(string, ...any) }, p *dissect.Packet) {
	seen := make([]byte, len(p.Bytes))
	last := 0
	for _, f := range p.Fields {
		if f.Length < 1 || f.Offset < last || f.Offset+f.Length > len(p.Bytes) || f.Mask == 0 || f.Mask != 0xff && f.Length != 1 {
			t.Fatalf("% x: field %+v does not fit", p.Bytes, f)
		}
		last = f.Offset
		for i := f.Offset; i < f.Offset+f.Length; i++ {
			if seen[i]&f.Mask != 0 {
				t.Fatalf("% x: byte %d is in %q and in a field before", p.Bytes, i, f.Name)
			}
			seen[i] |= f.Mask
		}
		if f.Name == "" || f.Section == "" {
			t.Fatalf("% x: field without name or section: %+v", p.Bytes, f)
		}
		number := 0
		for _, b := range p.Bytes[f.Offset : f.Offset+f.Length] {
			number = number<<8 | int(b&f.Mask)>>bits.TrailingZeros8(f.Mask)
		}
		if f.Kind == dissect.Number && f.Name != "Remaining Length" && f.Number != number {
			t.Fatalf("% x: %s is %d, want %d", p.Bytes, f.Name, f.Number, number)
		}
		if f.Kind != dissect.Number && !bytes.Equal(f.Data, p.Bytes[f.Offset:f.Offset+f.Length]) {
			t.Fatalf("% x: %s is % x", p.Bytes, f.Name, f.Data)
		}
	}
	for i, mask := range seen {
		if mask != 0xff {
			t.Fatalf("% x: bits %08b of byte %d are in no field", p.Bytes, ^mask, i)
		}
	}
	for _, f := range p.Findings {
		if f.Offset < 0 || f.Offset >= len(p.Bytes) || len(f.Rules) == 0 || f.Text == "" {
			t.Fatalf("% x: finding %+v", p.Bytes, f)
		}
		for _, rule := range f.Rules {
			if len(rule) > 5 && rule[:5] == "MQTT-" && len(dissect.StatementsOf(rule)) != 1 {
				t.Fatalf("% x: there is no statement %s", p.Bytes, rule)
			}
		}
	}
}

// accepts reports whether the codec takes the packet at the start of b, and how long it is; 0 if it does not say.
func accepts(b []byte) (n int, err error) {
	h, size, err := packet.ParseHeader(b)
	if err != nil || size == 0 || size+h.Len > len(b) {
		return 0, err
	}
	body := b[size : size+h.Len]
	switch h.Type {
	case packet.CONNECT:
		_, err = packet.ParseConnect(body)
	case packet.CONNACK:
		_, err = packet.ParseConnack(body)
	case packet.PUBLISH:
		_, err = packet.ParsePublish(h.Flags, body)
	case packet.PUBACK:
		_, err = packet.ParsePuback(body)
	case packet.PUBREC:
		_, err = packet.ParsePubrec(body)
	case packet.PUBREL:
		_, err = packet.ParsePubrel(body)
	case packet.PUBCOMP:
		_, err = packet.ParsePubcomp(body)
	case packet.SUBSCRIBE:
		_, err = packet.ParseSubscribe(body)
	case packet.SUBACK:
		_, err = packet.ParseSuback(body)
	case packet.UNSUBSCRIBE:
		_, err = packet.ParseUnsubscribe(body)
	case packet.UNSUBACK:
		_, err = packet.ParseUnsuback(body)
	case packet.PINGREQ:
		err = packet.ParsePingreq(body)
	case packet.PINGRESP:
		err = packet.ParsePingresp(body)
	case packet.DISCONNECT:
		err = packet.ParseDisconnect(body)
	}
	return size + h.Len, err
}

// judged fails unless dissect and the codec are of one mind on the packets of b: what the codec accepts is not broken,
// and what it refuses is.
func judged(t interface{ Fatalf(string, ...any) }, b []byte) {
	for offset := 0; offset < len(b); {
		p, n := dissect.Read(b[offset:], dissect.Unknown)
		if n < 1 || n > len(b)-offset || len(p.Bytes) != n || p.Missing > 0 && n != len(b)-offset {
			t.Fatalf("% x: %d bytes taken, %d missing", b[offset:], n, p.Missing)
		}
		covered(t, &p)
		size, err := accepts(b[offset:])
		switch {
		case err == nil && p.Missing == 0 && size != n:
			t.Fatalf("% x: %d bytes long, the codec says %d", b[offset:], n, size)
		case err == nil && p.Missing > 0 && size > 0:
			t.Fatalf("% x: %d bytes missing, the codec has a packet of %d", b[offset:], p.Missing, size)
		case err == nil && p.Missing == 0 && p.Broken():
			t.Fatalf("% x: the codec accepts it, but: %+v", b[offset:], p.Findings)
		case err != nil && !p.Broken():
			t.Fatalf("% x: nothing is broken, but the codec says: %v", b[offset:], err)
		}
		offset += n
	}
}

// Fields cover every bit once, for any bytes, and the two readings agree on what is broken.
func TestAgreesWithTheCodecOnWhatIsBroken(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) { judged(t, anyBytes.Draw(t, "bytes")) })
}

func FuzzDissect(f *testing.F) {
	for _, bad := range badPackets {
		f.Add([]byte(bad.wire))
	}
	for _, wire := range goodPackets {
		f.Add([]byte(wire))
	}
	f.Fuzz(func(t *testing.T, b []byte) { judged(t, b) })
}
