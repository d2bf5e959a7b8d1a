package dissect_test

import (
	"strings"

	"pgregory.net/rapid"

	"iotwire/mqtt/packet"
)

// Generators of packets, by the codec, and of bytes that are nearly packets.

var (
	anyRune = rapid.OneOf(
		rapid.SampledFrom([]rune("abz $.%\x01\x7f\u0080é\u07ff\u0800\ud7ff\ue000\ufeff\ufffd\uffff\U00010000\U0010ffff")),
		rapid.Rune().Filter(func(r rune) bool { return r != 0 }))
	anyText = rapid.StringOfN(anyRune, 0, 40, 200)
	level   = rapid.StringOfN(anyRune.Filter(func(r rune) bool { return !strings.ContainsRune("/+#", r) }), 0, 8, 40)
	data    = rapid.SliceOfN(rapid.Byte(), 0, 300)
	id      = rapid.Uint16Min(1)
	qos     = rapid.Map(rapid.Uint8Max(2), func(q uint8) packet.QoS { return packet.QoS(q) })
)

func nonEmpty(s string) bool { return s != "" }

var topicName = rapid.Custom(func(t *rapid.T) string {
	return strings.Join(rapid.SliceOfN(level, 1, 6).Draw(t, "levels"), "/")
}).Filter(nonEmpty)

var topicFilter = rapid.Custom(func(t *rapid.T) string {
	levels := rapid.SliceOfN(rapid.OneOf(level, rapid.Just("+")), 0, 6).Draw(t, "levels")
	if rapid.Bool().Draw(t, "multi-level") {
		levels = append(levels, "#")
	}
	return strings.Join(levels, "/")
}).Filter(nonEmpty)

// anyPacket generates a packet of any type, and its bytes as the codec encodes it.
func anyPacket(t *rapid.T) (value any, b []byte) {
	var err error
	switch typ := packet.Type(rapid.Uint8Range(1, 14).Draw(t, "type")); typ {
	case packet.CONNECT:
		c := anyConnect(t)
		value = c
		b, err = packet.AppendConnect(nil, &c)
	case packet.CONNACK:
		c := packet.Connack{Code: packet.ConnectCode(rapid.Uint8Max(5).Draw(t, "code"))}
		c.SessionPresent = c.Code == 0 && rapid.Bool().Draw(t, "session present")
		value = c
		b, err = packet.AppendConnack(nil, &c)
	case packet.PUBLISH:
		p := packet.Publish{QoS: qos.Draw(t, "qos"), Retain: rapid.Bool().Draw(t, "retain"),
			Topic: []byte(topicName.Draw(t, "topic")), Payload: data.Draw(t, "payload")}
		if p.QoS > 0 {
			p.Dup, p.ID = rapid.Bool().Draw(t, "dup"), id.Draw(t, "id")
		}
		value = p
		b, err = packet.AppendPublish(nil, &p)
	case packet.PUBACK:
		p := packet.Puback{ID: id.Draw(t, "id")}
		value = p.ID
		b, err = packet.AppendPuback(nil, &p)
	case packet.PUBREC:
		p := packet.Pubrec{ID: id.Draw(t, "id")}
		value = p.ID
		b, err = packet.AppendPubrec(nil, &p)
	case packet.PUBREL:
		p := packet.Pubrel{ID: id.Draw(t, "id")}
		value = p.ID
		b, err = packet.AppendPubrel(nil, &p)
	case packet.PUBCOMP:
		p := packet.Pubcomp{ID: id.Draw(t, "id")}
		value = p.ID
		b, err = packet.AppendPubcomp(nil, &p)
	case packet.SUBSCRIBE:
		s := packet.Subscribe{ID: id.Draw(t, "id")}
		for range rapid.IntRange(1, 10).Draw(t, "requests") {
			s.Requests = s.Requests.Add(topicFilter.Draw(t, "filter"), qos.Draw(t, "qos"))
		}
		value = s
		b, err = packet.AppendSubscribe(nil, &s)
	case packet.SUBACK:
		s := packet.Suback{ID: id.Draw(t, "id"), Codes: rapid.SliceOfN(rapid.SampledFrom([]byte{0, 1, 2, 0x80}), 1, 200).Draw(t, "codes")}
		value = s
		b, err = packet.AppendSuback(nil, &s)
	case packet.UNSUBSCRIBE:
		u := packet.Unsubscribe{ID: id.Draw(t, "id")}
		for range rapid.IntRange(1, 10).Draw(t, "filters") {
			u.Filters = u.Filters.Add(topicFilter.Draw(t, "filter"))
		}
		value = u
		b, err = packet.AppendUnsubscribe(nil, &u)
	case packet.UNSUBACK:
		u := packet.Unsuback{ID: id.Draw(t, "id")}
		value = u.ID
		b, err = packet.AppendUnsuback(nil, &u)
	case packet.PINGREQ:
		b = packet.AppendPingreq(nil)
	case packet.PINGRESP:
		b = packet.AppendPingresp(nil)
	default:
		b = packet.AppendDisconnect(nil)
	}
	if err != nil {
		t.Fatalf("the codec refuses %+v: %v", value, err)
	}
	return value, b
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
		c.WillMessage = data.Draw(t, "will message")
		c.WillQoS = qos.Draw(t, "will qos")
		c.WillRetain = rapid.Bool().Draw(t, "will retain")
	}
	if c.HasUserName {
		c.UserName = []byte(anyText.Draw(t, "user name"))
		if c.HasPassword = rapid.Bool().Draw(t, "has password"); c.HasPassword {
			c.Password = data.Draw(t, "password")
		}
	}
	return c
}

// anyBytes is noise, packets with up to three mistakes, and headers that claim what does not come.
var anyBytes = rapid.OneOf(
	rapid.SliceOfN(rapid.Byte(), 0, 500),
	rapid.Custom(func(t *rapid.T) []byte {
		var b []byte
		for range rapid.IntRange(1, 3).Draw(t, "packets") {
			_, one := anyPacket(t)
			b = append(b, one...)
		}
		for range rapid.IntRange(0, 3).Draw(t, "mutations") {
			if len(b) == 0 {
				break
			}
			at := rapid.IntRange(0, min(len(b)-1, 30)).Draw(t, "at")
			switch rapid.IntRange(0, 4).Draw(t, "mutation") {
			case 0:
				b[at] = rapid.Byte().Draw(t, "byte")
			case 1:
				b[at] ^= 1 << rapid.IntRange(0, 7).Draw(t, "bit")
			case 2:
				b = append(b[:at:at], append([]byte{rapid.Byte().Draw(t, "byte")}, b[at:]...)...)
			case 3:
				b = append(b[:at:at], b[at+1:]...)
			case 4:
				b = b[:rapid.IntRange(0, len(b)).Draw(t, "cut")]
			}
		}
		return b
	}),
	rapid.Custom(func(t *rapid.T) []byte { // a short body, which is wrong in the ways that bodies are
		body := rapid.SliceOfN(rapid.SampledFrom([]byte("\x00\x00\x00\x01\x02\x03\x04MQT/+#a\x80\xc3\xff")), 0, 24).Draw(t, "body")
		if rapid.Bool().Draw(t, "connect") {
			body = append([]byte("\x00\x04MQTT\x04"), body...)
		}
		return append([]byte{rapid.Byte().Draw(t, "first"), byte(len(body))}, body...)
	}),
)
