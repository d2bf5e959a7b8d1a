package packet_test

import (
	"strings"

	"pgregory.net/rapid"

	"iotwire/mqtt/packet"
)

// Generators of valid packets, and of bytes that are nearly packets.

// character is any that a UTF-8 encoded string may have, with a preference for those that are easily mistaken.
var character = rapid.OneOf(
	rapid.SampledFrom([]rune("abz /$.%\x01\x7f\u0080é\u07ff\u0800\ud7ff\ue000\ufeff\ufffd\uffff\U00010000\U0010ffff")),
	rapid.Rune().Filter(func(r rune) bool { return r != 0 }),
)

var (
	anyText = rapid.StringOfN(character, 0, 40, 200)
	level   = rapid.StringOfN(character.Filter(func(r rune) bool { return r != '/' && r != '+' && r != '#' }), 0, 8, 40)
	bytesOf = rapid.SliceOfN(rapid.Byte(), 0, 300)
)

var topicName = rapid.Custom(func(t *rapid.T) string {
	return strings.Join(rapid.SliceOfN(level, 1, 6).Draw(t, "levels"), "/")
}).Filter(func(s string) bool { return s != "" })

var topicFilter = rapid.Custom(func(t *rapid.T) string {
	levels := rapid.SliceOfN(rapid.OneOf(level, rapid.Just("+")), 0, 6).Draw(t, "levels")
	if rapid.Bool().Draw(t, "multi-level") {
		levels = append(levels, "#")
	}
	return strings.Join(levels, "/")
}).Filter(func(s string) bool { return s != "" })

var (
	identifier = rapid.Uint16Min(1)
	qos        = rapid.Map(rapid.Uint8Max(2), func(q uint8) packet.QoS { return packet.QoS(q) })
)

// anyPacket generates the packets of one type.
func anyPacket(typ packet.Type) *rapid.Generator[any] {
	if typ >= packet.PINGREQ { // and PINGRESP and DISCONNECT: there is one of each
		return rapid.Just[any](typ)
	}
	return rapid.Custom(func(t *rapid.T) any {
		switch typ {
		case packet.CONNECT:
			return anyConnect(t)
		case packet.CONNACK:
			if rapid.Bool().Draw(t, "session present") {
				return packet.Connack{SessionPresent: true}
			}
			return packet.Connack{Code: packet.ConnectCode(rapid.Uint8Max(5).Draw(t, "code"))}
		case packet.PUBLISH:
			p := packet.Publish{
				QoS:     qos.Draw(t, "qos"),
				Retain:  rapid.Bool().Draw(t, "retain"),
				Topic:   []byte(topicName.Draw(t, "topic")),
				Payload: bytesOf.Draw(t, "payload"),
			}
			if p.QoS > 0 {
				p.Dup, p.ID = rapid.Bool().Draw(t, "dup"), identifier.Draw(t, "id")
			}
			return p
		case packet.PUBACK:
			return packet.Puback{ID: identifier.Draw(t, "id")}
		case packet.PUBREC:
			return packet.Pubrec{ID: identifier.Draw(t, "id")}
		case packet.PUBREL:
			return packet.Pubrel{ID: identifier.Draw(t, "id")}
		case packet.PUBCOMP:
			return packet.Pubcomp{ID: identifier.Draw(t, "id")}
		case packet.SUBSCRIBE:
			s := packet.Subscribe{ID: identifier.Draw(t, "id")}
			for range rapid.IntRange(1, 10).Draw(t, "requests") {
				s.Requests = s.Requests.Add(topicFilter.Draw(t, "filter"), qos.Draw(t, "qos"))
			}
			return s
		case packet.SUBACK:
			code := rapid.SampledFrom([]byte{0, 1, 2, packet.SubackFailure})
			return packet.Suback{ID: identifier.Draw(t, "id"), Codes: rapid.SliceOfN(code, 1, 200).Draw(t, "codes")}
		case packet.UNSUBSCRIBE:
			u := packet.Unsubscribe{ID: identifier.Draw(t, "id")}
			for range rapid.IntRange(1, 10).Draw(t, "filters") {
				u.Filters = u.Filters.Add(topicFilter.Draw(t, "filter"))
			}
			return u
		}
		return packet.Unsuback{ID: identifier.Draw(t, "id")}
	})
}

func anyConnect(t *rapid.T) packet.Connect {
	c := packet.Connect{
		ClientID:     []byte(anyText.Draw(t, "client id")),
		KeepAlive:    rapid.Uint16().Draw(t, "keep alive"),
		CleanSession: rapid.Bool().Draw(t, "clean session"),
		Will:         rapid.Bool().Draw(t, "will"),
		HasUserName:  rapid.Bool().Draw(t, "has user name"),
	}
	if len(c.ClientID) == 0 {
		c.CleanSession = true
	}
	if c.Will {
		c.WillTopic = []byte(topicName.Draw(t, "will topic"))
		c.WillMessage = bytesOf.Draw(t, "will message")
		c.WillQoS = qos.Draw(t, "will qos")
		c.WillRetain = rapid.Bool().Draw(t, "will retain")
	}
	if c.HasUserName {
		c.UserName = []byte(anyText.Draw(t, "user name"))
		if c.HasPassword = rapid.Bool().Draw(t, "has password"); c.HasPassword {
			c.Password = bytesOf.Draw(t, "password")
		}
	}
	return c
}

var anyType = rapid.Map(rapid.Uint8Range(1, 14), func(t uint8) packet.Type { return packet.Type(t) })

// mutated changes b in up to three places: half of what was a packet still is one.
func mutated(t *rapid.T, b []byte) []byte {
	b = append([]byte(nil), b...)
	for range rapid.IntRange(0, 3).Draw(t, "mutations") {
		at := rapid.IntRange(0, len(b)).Draw(t, "at")
		switch rapid.IntRange(0, 4).Draw(t, "mutation") {
		case 0: // another byte
			if at < len(b) {
				b[at] = rapid.Byte().Draw(t, "byte")
			}
		case 1: // one bit or one step
			if at < len(b) {
				b[at] ^= 1 << rapid.IntRange(0, 7).Draw(t, "bit")
			}
		case 2: // a byte more
			b = append(b[:at], append([]byte{rapid.Byte().Draw(t, "byte")}, b[at:]...)...)
		case 3: // a byte less
			if at < len(b) {
				b = append(b[:at], b[at+1:]...)
			}
		case 4: // cut
			b = b[:at]
		}
	}
	return b
}

// anyBytes is bytes of every kind: noise, packets with mistakes, and headers that claim what does not come.
var anyBytes = rapid.OneOf(
	rapid.SliceOfN(rapid.Byte(), 0, 2000),
	rapid.Custom(func(t *rapid.T) []byte {
		var b []byte
		for range rapid.IntRange(0, 5).Draw(t, "packets") {
			b, _ = encode(b, anyPacket(anyType.Draw(t, "type")).Draw(t, "packet"))
		}
		return mutated(t, b)
	}),
	rapid.Custom(func(t *rapid.T) []byte {
		first := rapid.SampledFrom([]byte{0x10, 0x30, 0x32, 0x3d, 0x82, 0x90, 0xa2}).Draw(t, "first")
		b := packet.AppendHeader(nil, first, rapid.IntRange(12, packet.MaxRemainingLength).Draw(t, "claim"))
		return append(b, bytesOf.Draw(t, "body")...)
	}),
)

// fragments puts strings together that decide whether text is a topic name, a topic filter or neither.
var fragments = rapid.Custom(func(t *rapid.T) string {
	return strings.Join(rapid.SliceOfN(rapid.SampledFrom([]string{
		"a", "b", "/", "/", "+", "#", "$", "\x00", "\x7f", "é", "\ufffd", "\U0001F600", "\x80", "\xff", "\xc3", "\xed\xa0\x80", "\xf0\x9f", "\xc0\xaf",
	}), 0, 8).Draw(t, "fragments"), "")
})
