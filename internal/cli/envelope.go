package cli

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"time"

	"iotwire/mqtt"
)

// timeLayout is RFC 3339 with milliseconds, in the time zone of the machine.
const timeLayout = "2006-01-02T15:04:05.000Z07:00"

// appendEnvelope appends the message m, which came at this time, as one line of JSON without a newline. The payload is
// its last member, and keeps every byte that means something:
//
//	"payload": a payload that is JSON, as it came: no number, string or order of keys changes. Only space around it goes,
//	           space between tokens that has a line break or a tab is one space character, and characters that could
//	           turn the rest of a terminal's line around are escaped in the strings that have them.
//	"text":    any other text
//	"base64":  any other bytes
//
// What is JSON and what is text is told as for people: see appendPayload.
func appendEnvelope(dst []byte, m *mqtt.Message, at time.Time) []byte {
	dst = append(dst, `{"time":"`...)
	dst = at.AppendFormat(dst, timeLayout)
	dst = append(dst, `","topic":`...)
	dst = appendQuoted(dst, m.Topic)
	dst = fmt.Appendf(dst, `,"qos":%d,"retain":%t,"dup":%t,`, m.QoS, m.Retain, m.Dup)
	if m.PacketID != 0 {
		dst = fmt.Appendf(dst, `"packetId":%d,`, m.PacketID)
	}
	dst = fmt.Appendf(dst, `"bytes":%d,`, len(m.Payload))
	start := len(dst)
	switch flat, ok := appendFlat(append(dst, `"payload":`...), m.Payload); {
	case !isText(m.Payload):
		dst = append(dst, `"base64":"`...)
		dst = base64.StdEncoding.AppendEncode(dst, m.Payload)
		dst = append(dst, '"')
	case !ok:
		dst = append(dst, `"text":`...)
		dst = appendQuoted(dst, string(m.Payload))
	case bytes.ContainsFunc(flat[start:], isTreacherous):
		dst = append(dst, `"payload":`...)
		for _, c := range string(flat[len(dst):]) {
			dst = appendInString(dst, c)
		}
	default:
		dst = flat
	}
	return append(dst, '}')
}
