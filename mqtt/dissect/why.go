package dissect

import (
	"fmt"
	"strings"
	"time"
)

// sentences say why a kind of field is there. They stand by the first field of their kind.
var sentences = [...]struct{ name, text string }{
	{"Packet type", "The upper four bits of the first byte say which of the fourteen packets this is."},
	{"Reserved flags", "The lower four bits mean something in PUBLISH only; elsewhere a receiver hangs up if they are not as table 2.2 says."},
	{"Remaining Length", "How many bytes follow this field, seven bits in each byte, the lowest first; the highest bit says that one more byte follows."},
	{"Protocol Name", "It tells MQTT from other protocols before anything else is read; MQTT 3.1 had \"MQIsdp\" here."},
	{"Clean Session", "1 throws away what client and server remember of each other, now and at the end; 0 keeps subscriptions and unfinished messages."},
	{"Will Flag", "The server publishes the Will in the client's name if the connection ends without a DISCONNECT."},
	{"Keep Alive", "The client promises to send something at least this often; the server drops it after one and a half times as long."},
	{"Client Identifier", "The server finds the session by it; a second client with the same one takes the connection over."},
	{"Password", "The password is binary, and in clear unless TLS is underneath."},
	{"Session Present", "1 says that the server still has the subscriptions and unfinished messages of this client identifier."},
	{"Return code", "Anything but 0 is a refusal, and the server closes the connection after it."},
	{"DUP", "1 says that this packet may have come before; it says nothing about whether the message is new to the receiver."},
	{"QoS", "It decides what has to follow: nothing at 0, PUBACK at 1, PUBREC, PUBREL and PUBCOMP at 2."},
	{"RETAIN", "From a client it asks the server to keep the message for later subscribers; from a server 1 says that the message was kept."},
	{"Topic Name", "It stands in each message, in full; levels are divided by '/', and wildcards have no place in it."},
	{"Packet Identifier", "It ties answers to this packet, and is in use until the last of them. Client and server number their packets independently."},
	{"Application Message", "The message has no length of its own: it is what Remaining Length leaves."},
	{"Topic Filter 1", "'+' stands for one level, '#' for all that follow; it is compared with Topic Names character by character."},
	{"Requested QoS", "The server sends messages at this QoS or lower, whatever they were published with."},
	{"Return code 1", "One code for each Topic Filter, in their order: the QoS that the server grants, or 0x80 for a refusal."},
}

// sentence is the one about fields with this name, or "".
//
//go:noinline
func sentence(name string) string {
	for _, s := range sentences {
		if s.name == name {
			return s.text
		}
	}
	return ""
}

// typeSentences say why a packet without fields is there.
var typeSentences = [16]string{
	puback:     "The receiver owns the message now; the identifier is free again. [MQTT-2.3.1-3] [MQTT-4.3.2-2]",
	pubrec:     "The receiver has stored the identifier, and will not take a second copy for a new message. [MQTT-4.3.3-2]",
	pubrel:     "The sender has forgotten the message, and can only repeat this packet from now on. [MQTT-4.3.3-1]",
	pubcomp:    "The last of the four packets of QoS 2: the identifier is free again. [MQTT-2.3.1-3]",
	unsuback:   "It says nothing about whether there was such a subscription.",
	pingreq:    "The client had nothing else to say within the Keep Alive time.",
	pingresp:   "Without it the client takes the connection for dead.",
	disconnect: "A clean end: the server drops the Will. A server never sends it in MQTT 3.1.1.",
}

// why are the sentences about p that were not said before.
func (l *Layout) why(p *Packet) (lines []string) {
	if l.explained == nil {
		l.explained = map[string]bool{}
	}
	for i := range p.Fields {
		f := &p.Fields[i]
		lines = l.explain(lines, f.Name+": ", sentence(f.Name), sum(p, f))
	}
	if !p.NotMQTT {
		lines = l.explain(lines, "", typeSentences[p.Type&15], "")
		if answer := copyAnswers[p.said.qos]; answer != "" {
			lines = l.explain(lines, "", "The sender keeps a copy until "+answer+" comes. If the connection is lost and the session is not, it goes out again, with DUP 1. [MQTT-4.4.0-1]", "")
		}
	}
	if p.running.known {
		lines = append(lines, "     "+p.running.line())
	}
	return lines
}

// explain adds a text to the lines, once.
//
//go:noinline
func (l *Layout) explain(lines []string, title, text, more string) []string {
	if text == "" || l.explained[text] {
		return lines
	}
	l.explained[text] = true
	return append(lines, l.wrapped("why  ", title+text+more)...)
}

// copyAnswers say for how long the sender of a message has to remember it, by its QoS.
var copyAnswers = [4]string{1: "PUBACK", 2: "PUBREC"}

// sum is how the length of the message of a PUBLISH comes about: " Here: 36 - 2 - 13 - 2 = 19." It is "" for other fields.
func sum(p *Packet, f *Field) string {
	if f.Name != "Application Message" || p.Missing > 0 {
		return ""
	}
	text := ""
	for i := range p.Fields {
		switch part := &p.Fields[i]; {
		case part.Name == "Remaining Length":
			text = " Here: " + digits(part.Number)
		case part.Part == VariableHeader:
			text += " - " + digits(part.Length)
		}
	}
	return text + " = " + digits(f.Length) + "."
}

// span writes a duration for people: 0.4 ms, 41 ms, 2.1 s.
func span(d time.Duration) string {
	switch {
	case d < 9950*time.Microsecond:
		return strings.Replace(fmt.Sprintf("%.1f ms", d.Seconds()*1e3), "0.0 ms", "0 ms", 1)
	case d < 999500*time.Microsecond:
		return fmt.Sprintf("%.0f ms", d.Seconds()*1e3)
	}
	return fmt.Sprintf("%.1f s", d.Seconds())
}
