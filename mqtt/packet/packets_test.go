package packet_test

import (
	"bytes"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"iotwire/mqtt/packet"
)

// specimens has one packet of each type, in all its bytes. The value of a packet without fields is its type.
var specimens = []struct {
	value any
	wire  string
}{
	{packet.Connect{
		ClientID: []byte("id"), KeepAlive: 60,
		Will: true, WillTopic: []byte("w/t"), WillMessage: []byte{0, 0xff}, WillQoS: packet.QoS2, WillRetain: true,
		HasUserName: true, UserName: []byte("anna"), HasPassword: true, Password: []byte("pa\x00ss"),
	}, "\x10\x24\x00\x04MQTT\x04\xf4\x00\x3c\x00\x02id\x00\x03w/t\x00\x02\x00\xff\x00\x04anna\x00\x05pa\x00ss"},
	{packet.Connack{SessionPresent: true}, "\x20\x02\x01\x00"},
	{packet.Publish{Dup: true, QoS: packet.QoS1, Retain: true, Topic: []byte("a/b"), ID: 0x1234, Payload: []byte("hi")},
		"\x3b\x09\x00\x03a/b\x12\x34hi"},
	{packet.Puback{ID: 0x1234}, "\x40\x02\x12\x34"},
	{packet.Pubrec{ID: 0x1234}, "\x50\x02\x12\x34"},
	{packet.Pubrel{ID: 0x1234}, "\x62\x02\x12\x34"},
	{packet.Pubcomp{ID: 0x1234}, "\x70\x02\x12\x34"},
	{packet.Subscribe{ID: 0x1234, Requests: packet.Requests(nil).Add("a/b", packet.QoS1).Add("c/#", packet.QoS2)},
		"\x82\x0e\x12\x34\x00\x03a/b\x01\x00\x03c/#\x02"},
	{packet.Suback{ID: 0x1234, Codes: []byte{0, 1, 2, packet.SubackFailure}}, "\x90\x06\x12\x34\x00\x01\x02\x80"},
	{packet.Unsubscribe{ID: 0x1234, Filters: packet.Filters(nil).Add("a/b").Add("c/#")},
		"\xa2\x0c\x12\x34\x00\x03a/b\x00\x03c/#"},
	{packet.Unsuback{ID: 0x1234}, "\xb0\x02\x12\x34"},
	{packet.PINGREQ, "\xc0\x00"},
	{packet.PINGRESP, "\xd0\x00"},
	{packet.DISCONNECT, "\xe0\x00"},
}

func TestEveryTypeOnTheWire(t *testing.T) {
	for i, specimen := range specimens {
		typ := packet.Type(i + 1)
		t.Run(typ.String(), func(t *testing.T) {
			accepts(t, specimen.wire, specimen.value)
			if got := packet.Type(specimen.wire[0] >> 4); got != typ {
				t.Errorf("type on the wire is %v, want %v", got, typ)
			}
		})
	}
}

// parse reads the body of a packet of any type.
func parse(h packet.Header, body []byte) (any, error) {
	switch h.Type {
	case packet.CONNECT:
		return packet.ParseConnect(body)
	case packet.CONNACK:
		return packet.ParseConnack(body)
	case packet.PUBLISH:
		return packet.ParsePublish(h.Flags, body)
	case packet.PUBACK:
		return packet.ParsePuback(body)
	case packet.PUBREC:
		return packet.ParsePubrec(body)
	case packet.PUBREL:
		return packet.ParsePubrel(body)
	case packet.PUBCOMP:
		return packet.ParsePubcomp(body)
	case packet.SUBSCRIBE:
		return packet.ParseSubscribe(body)
	case packet.SUBACK:
		return packet.ParseSuback(body)
	case packet.UNSUBSCRIBE:
		return packet.ParseUnsubscribe(body)
	case packet.UNSUBACK:
		return packet.ParseUnsuback(body)
	case packet.PINGREQ:
		return h.Type, packet.ParsePingreq(body)
	case packet.PINGRESP:
		return h.Type, packet.ParsePingresp(body)
	case packet.DISCONNECT:
		return h.Type, packet.ParseDisconnect(body)
	}
	panic(fmt.Sprintf("no packet has type %v", h.Type))
}

// encode appends a packet of any type.
func encode(b []byte, value any) ([]byte, error) {
	switch p := value.(type) {
	case packet.Connect:
		return packet.AppendConnect(b, &p)
	case packet.Connack:
		return packet.AppendConnack(b, &p)
	case packet.Publish:
		return packet.AppendPublish(b, &p)
	case packet.Puback:
		return packet.AppendPuback(b, &p)
	case packet.Pubrec:
		return packet.AppendPubrec(b, &p)
	case packet.Pubrel:
		return packet.AppendPubrel(b, &p)
	case packet.Pubcomp:
		return packet.AppendPubcomp(b, &p)
	case packet.Subscribe:
		return packet.AppendSubscribe(b, &p)
	case packet.Suback:
		return packet.AppendSuback(b, &p)
	case packet.Unsubscribe:
		return packet.AppendUnsubscribe(b, &p)
	case packet.Unsuback:
		return packet.AppendUnsuback(b, &p)
	case packet.Type:
		switch p {
		case packet.PINGREQ:
			return packet.AppendPingreq(b), nil
		case packet.PINGRESP:
			return packet.AppendPingresp(b), nil
		case packet.DISCONNECT:
			return packet.AppendDisconnect(b), nil
		}
	}
	panic(fmt.Sprintf("no packet is a %T", value))
}

// decode reads one whole packet.
func decode(wire []byte) (any, error) {
	h, n, err := packet.ParseHeader(wire)
	if err != nil {
		return nil, err
	}
	if n == 0 || len(wire) != n+h.Len {
		panic(fmt.Sprintf("% x is not one packet", wire))
	}
	return parse(h, wire[n:])
}

// whole puts a fixed header before the parts of a body.
func whole(first byte, parts ...string) string {
	body := strings.Join(parts, "")
	header := []byte{first}
	n := len(body)
	for ; n >= 128; n /= 128 {
		header = append(header, byte(n%128)|128)
	}
	return string(append(header, byte(n))) + body
}

// text is a string on the wire: a length of two bytes before it.
func text(s string) string {
	return string([]byte{byte(len(s) / 256), byte(len(s) % 256)}) + s
}

// diff compares two packets; an empty view is as good as none.
func diff(want, got any) string { return cmp.Diff(want, got, cmp.Comparer(bytes.Equal)) }

// accepts checks that wire is the one encoding of value, in both directions.
func accepts(t *testing.T, wire string, value any) {
	t.Helper()
	got, err := decode([]byte(wire))
	if err != nil {
		t.Errorf("decode % x: %v", wire, err)
		return
	}
	if d := diff(value, got); d != "" {
		t.Errorf("decode % x (-want +got):\n%s", wire, d)
	}
	b, err := encode([]byte("before"), value)
	if err != nil {
		t.Errorf("encode %+v: %v", value, err)
		return
	}
	if string(b) != "before"+wire {
		t.Errorf("encode %+v:\n got % x\nwant % x", value, b[len("before"):], wire)
	}
}

// refuses checks that a whole packet that came is refused by its fixed header or else by its body.
func refuses(t *testing.T, wire string, rule string, offset int) {
	t.Helper()
	value, err := decode([]byte(wire))
	if err == nil {
		t.Errorf("decode % x gives %+v, want it refused by %s", cut(wire), value, rule)
		return
	}
	checkError(t, err, packet.ErrMalformed, packet.Type(wire[0]>>4), rule, offset)
	checkNothing(t, wire, value)
}

// refusesBody checks that a body is refused, also where the fixed header alone would be.
func refusesBody(t *testing.T, h packet.Header, body string, rule string, offset int) {
	t.Helper()
	value, err := parse(h, []byte(body))
	if err == nil {
		t.Errorf("parse %v % x gives %+v, want it refused by %s", h.Type, cut(body), value, rule)
		return
	}
	checkError(t, err, packet.ErrMalformed, h.Type, rule, offset)
	checkNothing(t, body, value)
}

// checkNothing checks that what was returned beside an error is empty, so that nobody uses half a packet.
func checkNothing(t *testing.T, bytes string, value any) {
	t.Helper()
	if _, isType := value.(packet.Type); value != nil && !isType && !reflect.ValueOf(value).IsZero() {
		t.Errorf("% x gives %+v beside the error, want nothing", cut(bytes), value)
	}
}

// refusesToSend checks that value is not encoded, and that the slice comes back as it went in.
func refusesToSend(t *testing.T, value any, rule string, offset int) {
	t.Helper()
	b := append(make([]byte, 0, 64), "before"...)
	got, err := encode(b, value)
	if err == nil {
		t.Errorf("encode %+v gives % x, want it refused by %s", value, cut(string(got)), rule)
		return
	}
	checkError(t, err, packet.ErrInvalid, typeOf(value), rule, offset)
	if string(b) != "before" || len(got) != len(b) || &got[0] != &b[0] {
		t.Errorf("encode %+v: the slice came back as %q, want it as it was", value, got)
	}
}

func typeOf(value any) packet.Type {
	for i, specimen := range specimens {
		if fmt.Sprintf("%T", value) == fmt.Sprintf("%T", specimen.value) {
			return packet.Type(i + 1)
		}
	}
	panic(fmt.Sprintf("no packet is a %T", value))
}

func checkError(t *testing.T, err, kind error, typ packet.Type, rule string, offset int) {
	t.Helper()
	var e *packet.Error
	if !errors.As(err, &e) {
		t.Errorf("error is %T, want *packet.Error", err)
		return
	}
	if e.Type != typ || e.Rule != rule || e.Offset != offset {
		t.Errorf("error is %q of %v by rule %s at byte %d, want %v by rule %s at byte %d", e, e.Type, e.Rule, e.Offset, typ, rule, offset)
	}
	if got := errors.Is(err, packet.ErrMalformed); got != (kind == packet.ErrMalformed) {
		t.Errorf("error %q matches ErrMalformed: %v", err, got)
	}
	if got := errors.Is(err, packet.ErrInvalid); got != (kind == packet.ErrInvalid) {
		t.Errorf("error %q matches ErrInvalid: %v", err, got)
	}
	if s := err.Error(); !strings.Contains(s, rule) || strings.Contains(s, "\n") || strings.Contains(s, "%!") {
		t.Errorf("error %q does not name its rule, or is not one line", s)
	}
}

func cut(s string) string { return s[:min(len(s), 40)] }
