package testbroker

import (
	"testing"
	"testing/synctest"

	"iotwire/mqtt/packet"
)

// mqtt is how every CONNECT of the table begins, from the protocol name to the level; then come flags, keep alive, payload.
const mqtt = "00 04 4d 51 54 54 04 "

// badInput is what a client can do wrong, and a few things that look wrong and are not. The replies leave out the
// CONNACK of the CONNECT that comes first where connected is set.
var badInput = []struct {
	rule      string
	what      string
	connected bool
	bytes     string
	reply     string
	open      bool // the connection goes on
}{
	// Something else than CONNECT comes first.
	{"3.1.0-1", "PUBACK first", false, "40 02 00 01", "", false},
	{"3.1.0-1", "PUBLISH first", false, "30 03 00 01 61", "", false},
	{"3.1.0-1", "SUBSCRIBE first", false, "82 06 00 01 00 01 61 00", "", false},
	{"3.1.0-1", "PINGREQ first", false, "c0 00", "", false},
	{"3.1.0-1", "DISCONNECT first", false, "e0 00", "", false},
	{"3.1.0-1", "CONNACK that claims 243 MB", false, "20 80 80 80 74 01 01 01", "", false},
	{"3.1.0-1", "PUBLISH that claims 268 MB", false, "30 ff ff ff 7f 00 01 61", "", false},
	{"2.2.1", "reserved type 0 first", false, "00 00", "", false},
	{"2.2.1", "reserved type 15 first", false, "f0 00", "", false},
	{"2.2.2-2", "TLS ClientHello", false, "16 03 01 01 01 01 00 00 fd 03 03 00 09", "", false},
	{"3.1.0-1", "HTTP request", false, "47 45 54 20 2f 20 48 54 54 50 2f 31 2e 31 0d 0a", "", false},

	// CONNECT, fixed header.
	{"2.2.2-2", "CONNECT with flags", false, "11 0d" + mqtt + "02 00 3c 00 01 70", "", false},
	{"2.2.2-2", "CONNECT with the flags of PUBREL", false, "12 0d" + mqtt + "02 00 3c 00 01 70", "", false},
	{"2.2.3", "length of five bytes", false, "10 8d 80 80 80 00" + mqtt + "02 00 3c 00 01 70", "", false},
	{"3.1", "CONNECT without a body", false, "10 00", "", false},
	{"3.1.2", "CONNECT that ends in the flags", false, "10 07" + mqtt, "", false},
	{"3.1.2", "length that stops short of the fields", false,
		"10 07" + mqtt + "c2 00 3c 00 0b 74 65 73 74 2d 70 79 74 68 6f 6e 00 05 61 64 6d 69 6e 00 08 70 61 73 73 77 6f 72 64", "", false},
	{"3.1", "CONNECT of 100 MB", false, "10 80 c2 d7 2f", "", false},

	// CONNECT, variable header.
	{"3.1.2-1", "protocol name MQTU", false, "10 0d 00 04 4d 51 54 55 04 02 00 3c 00 01 70", "", false},
	{"3.1.2-1", "protocol name in small letters", false, "10 0d 00 04 6d 71 74 74 04 02 00 3c 00 01 70", "", false},
	{"3.1.2-1", "no protocol name", false, "10 0d 00 00 04 02 00 3c 00 05 70 70 70 70 70", "", false},
	{"3.1.2-1", "protocol name longer than the packet", false, "10 0d ff ff 4d 51 54 54 04 02 00 3c 00 01 70", "", false},
	{"3.1.2-2", "level 3", false, "10 0d 00 04 4d 51 54 54 03 02 00 3c 00 01 70", "20 02 00 01", false},
	{"3.1.2-2", "level 5", false, "10 0e 00 04 4d 51 54 54 05 02 00 3c 00 00 01 70", "20 02 00 01", false},
	{"3.1.2-2", "level 0x84, a bridge of mosquitto", false, "10 0d 00 04 4d 51 54 54 84 02 00 3c 00 01 70", "20 02 00 01", false},
	{"3.1.2-3", "reserved flag", false, "10 0d" + mqtt + "03 00 3c 00 01 70", "", false},
	{"3.1.2-13", "will QoS 1 without will", false, "10 0d" + mqtt + "0a 00 3c 00 01 70", "", false},
	{"3.1.2-13", "will QoS 2 without will", false, "10 0d" + mqtt + "12 00 3c 00 01 70", "", false},
	{"3.1.2-14", "will QoS 3", false, "10 13" + mqtt + "1e 00 3c 00 01 70 00 01 77 00 01 6d", "", false},
	{"3.1.2-15", "will retain without will", false, "10 0d" + mqtt + "22 00 3c 00 01 70", "", false},
	{"3.1.2-22", "password without user name", false, "10 10" + mqtt + "42 00 3c 00 01 70 00 01 70", "", false},

	// CONNECT, payload.
	{"3.1.3-3", "no client identifier", false, "10 0c" + mqtt + "02 00 3c 00 01", "", false},
	{"3.1.3-4", "client identifier that is not UTF-8", false, "10 0e" + mqtt + "02 00 3c 00 02 c3 28", "", false},
	{"1.5.3-2", "client identifier with U+0000", false, "10 0f" + mqtt + "02 00 3c 00 03 61 00 62", "", false},
	{"1.5.3-1", "client identifier with a surrogate", false, "10 0f" + mqtt + "02 00 3c 00 03 ed a0 80", "", false},
	{"3.1.3", "client identifier longer than the packet", false, "10 0d" + mqtt + "02 00 3c 00 02 70", "", false},
	{"3.1.3-8", "no client identifier, CleanSession 0", false, "10 0c" + mqtt + "00 00 3c 00 00", "20 02 00 02", false},
	{"3.1.2-9", "no will topic", false, "10 0d" + mqtt + "06 00 3c 00 01 70", "", false},
	{"3.1.2-9", "no will message", false, "10 10" + mqtt + "06 00 3c 00 01 70 00 01 77", "", false},
	{"3.1.2-9", "will message longer than the packet", false, "10 13" + mqtt + "06 00 3c 00 01 70 00 01 77 00 02 6d", "", false},
	{"3.1.3-10", "will topic that is not UTF-8", false, "10 14" + mqtt + "06 00 3c 00 01 70 00 02 c3 28 00 01 6d", "", false},
	{"4.7.3-1", "empty will topic", false, "10 12" + mqtt + "06 00 3c 00 01 70 00 00 00 01 6d", "", false},
	{"4.7.1-1", "will topic with a wildcard", false, "10 13" + mqtt + "06 00 3c 00 01 70 00 01 23 00 01 6d", "", false},
	{"3.1.2-19", "no user name", false, "10 0d" + mqtt + "82 00 3c 00 01 70", "", false},
	{"3.1.3-11", "user name that is not UTF-8", false, "10 11" + mqtt + "82 00 3c 00 01 70 00 02 c3 28", "", false},
	{"1.5.3-2", "user name with U+0000", false, "10 10" + mqtt + "82 00 3c 00 01 70 00 01 00", "", false},
	{"3.1.2-21", "no password", false, "10 10" + mqtt + "c2 00 3c 00 01 70 00 01 75", "", false},
	{"3.1.2-18", "user name without its flag", false, "10 10" + mqtt + "02 00 3c 00 01 70 00 01 75", "", false},
	{"3.1.2-20", "password without its flag", false, "10 13" + mqtt + "82 00 3c 00 01 70 00 01 75 00 01 70", "", false},
	{"3.1.2-11", "will without its flag", false, "10 13" + mqtt + "02 00 3c 00 01 70 00 01 77 00 01 6d", "", false},

	// CONNECT that is right.
	{"3.1", "length of two bytes where one would do", false, "10 8d 00" + mqtt + "02 00 3c 00 01 70", "20 02 00 00", true},
	{"3.1.3.5", "empty password and user name", false, "10 11" + mqtt + "c2 00 3c 00 01 70 00 00 00 00", "20 02 00 00", true},
	{"3.1.3.3", "empty will message", false, "10 12" + mqtt + "06 00 3c 00 01 70 00 01 77 00 00", "20 02 00 00", true},
	{"3.1.3.3", "will message of any bytes", false, "10 15" + mqtt + "06 00 3c 00 01 70 00 01 77 00 03 00 ff c3", "20 02 00 00", true},
	{"3.1.3.1", "no client identifier, CleanSession 1", false, "10 0c" + mqtt + "02 00 3c 00 00", "20 02 00 00", true},
	{"3.1.4", "CONNECT, PUBLISH and DISCONNECT at once", false,
		"10 0d" + mqtt + "02 00 3c 00 01 70 32 09 00 05 74 6f 70 69 63 00 01 e0 00", "20 02 00 00 40 02 00 01", false},

	// Packets that a client may not send.
	{"3.1.0-2", "second CONNECT", true, "10 0d" + mqtt + "02 00 3c 00 01 70", "", false},
	{"table 2.1", "CONNACK", true, "20 02 00 00", "", false},
	{"table 2.1", "CONNACK with flags", true, "29 02 00 01", "", false},
	{"table 2.1", "SUBACK", true, "90 03 00 01 00", "", false},
	{"table 2.1", "UNSUBACK", true, "b0 02 00 01", "", false},
	{"table 2.1", "PINGRESP", true, "d0 00", "", false},
	{"2.2.1", "reserved type 0", true, "00 00", "", false},
	{"2.2.1", "reserved type 15", true, "f0 00", "", false},

	// PUBLISH.
	{"3.3.1-4", "QoS 3", true, "36 05 00 01 61 00 01", "", false},
	{"3.3.1-2", "DUP at QoS 0", true, "38 03 00 01 61", "", false},
	{"3.3.2", "PUBLISH without a body", true, "30 00", "", false},
	{"4.7.3-1", "empty topic name", true, "30 09 00 00 70 61 79 6c 6f 61 64", "", false},
	{"4.7.3-1", "empty topic name and payload", true, "30 02 00 00", "", false},
	{"3.3.2-1", "topic name longer than the packet", true, "30 03 00 02 61", "", false},
	{"3.3.2-2", "topic name #", true, "30 03 00 01 23", "", false},
	{"3.3.2-2", "topic name with +", true, "30 05 00 03 61 2f 2b", "", false},
	{"1.5.3-1", "topic name that is not UTF-8", true, "30 04 00 02 c3 28", "", false},
	{"1.5.3-1", "topic name with a surrogate", true, "30 05 00 03 ed bf bf", "", false},
	{"4.7.3-2", "topic name with U+0000", true, "30 05 00 03 61 00 62", "", false},
	{"2.3.1-1", "QoS 1, identifier 0", true, "32 10 00 05 74 6f 70 69 63 00 00 70 61 79 6c 6f 61 64", "", false},
	{"2.3.1-1", "QoS 2, identifier 0", true, "34 05 00 01 61 00 00", "", false},
	{"3.3.2.2", "QoS 1 without an identifier", true, "32 03 00 01 61", "", false},
	{"3.3.2.2", "QoS 2 with half an identifier", true, "34 04 00 01 61 00", "", false},
	{"2.2.3", "length of five bytes", true, "30 83 80 80 80 00 00 01 61", "", false},
	{"own limit", "PUBLISH of 268 MB", true, "30 ff ff ff 7f 00 01 61", "", false},

	// Acknowledgements.
	{"2.2.2-2", "PUBACK with flags", true, "42 02 00 01", "", false},
	{"3.4.1", "PUBACK without an identifier", true, "40 00", "", false},
	{"3.4.1", "PUBACK of one byte", true, "40 01 00", "", false},
	{"3.4.1", "PUBACK of three bytes", true, "40 03 00 01 00", "", false},
	{"2.3.1-1", "PUBACK, identifier 0", true, "40 02 00 00", "", false},
	{"2.2.2-2", "PUBREC with flags", true, "52 02 00 01", "", false},
	{"2.3.1-1", "PUBREC, identifier 0", true, "50 02 00 00", "", false},
	{"3.6.1-1", "PUBREL with flags 0000", true, "60 02 00 01", "", false},
	{"3.6.1-1", "PUBREL with flags 0011", true, "63 02 00 01", "", false},
	{"2.3.1-1", "PUBREL, identifier 0", true, "62 02 00 00", "", false},
	{"2.2.2-2", "PUBCOMP with flags", true, "72 02 00 01", "", false},
	{"2.3.1-1", "PUBCOMP, identifier 0", true, "70 02 00 00", "", false},

	// SUBSCRIBE.
	{"3.8.1-1", "SUBSCRIBE, flags 0000", true, "80 06 12 34 00 01 70 00", "", false},
	{"3.8.3-3", "SUBSCRIBE, no filter", true, "82 02 12 34", "", false},
	{"2.3.1-1", "SUBSCRIBE, identifier 0", true, "82 06 00 00 00 01 70 00", "", false},
	{"3.8.3", "SUBSCRIBE, no QoS", true, "82 05 12 34 00 01 70", "", false},
	{"3.8.3", "SUBSCRIBE, no QoS behind the second filter", true, "82 09 12 34 00 01 70 00 00 01 71", "", false},
	{"3-8.3-4", "SUBSCRIBE, QoS 3", true, "82 06 12 34 00 01 70 03", "", false},
	{"3-8.3-4", "SUBSCRIBE, reserved bits behind a filter", true, "82 06 12 34 00 01 70 04", "", false},
	{"4.7.3-1", "SUBSCRIBE, empty filter", true, "82 05 12 34 00 00 00", "", false},
	{"3.8.3-1", "SUBSCRIBE, filter that is not UTF-8", true, "82 07 12 34 00 02 c3 28 00", "", false},
	{"4.7.3-2", "SUBSCRIBE, filter with U+0000", true, "82 06 12 34 00 01 00 00", "", false},
	{"3.8.3", "SUBSCRIBE, filter longer than the packet", true, "82 06 12 34 00 04 70 00", "", false},
	{"4.7.1-2", "SUBSCRIBE, filter a#", true, "82 07 12 34 00 02 61 23 00", "", false},
	{"4.7.1-2", "SUBSCRIBE, filter #/a", true, "82 08 12 34 00 03 23 2f 61 00", "", false},
	{"4.7.1-3", "SUBSCRIBE, filter a+", true, "82 07 12 34 00 02 61 2b 00", "", false},
	{"3.8.4-1", "SUBSCRIBE, a right one in front of a wrong one in the same packet", true, "82 0a 12 34 00 01 70 00 00 01 23 03", "", false},
	{"4.7", "SUBSCRIBE, filter $share/", true, "82 0c 12 34 00 07 24 73 68 61 72 65 2f 00", "90 03 12 34 00", true},

	// UNSUBSCRIBE.
	{"3.10.1-1", "UNSUBSCRIBE, flags 0000", true, "a0 05 12 34 00 01 70", "", false},
	{"3.10.3-2", "UNSUBSCRIBE, no filter", true, "a2 02 12 34", "", false},
	{"2.3.1-1", "UNSUBSCRIBE, identifier 0", true, "a2 05 00 00 00 01 70", "", false},
	{"4.7.3-1", "UNSUBSCRIBE, empty filter", true, "a2 04 12 34 00 00", "", false},
	{"3.10.3-1", "UNSUBSCRIBE, filter that is not UTF-8", true, "a2 06 12 34 00 02 c3 28", "", false},
	{"3.10.3-1", "UNSUBSCRIBE, half a length behind the filter", true, "a2 06 12 34 00 01 70 00", "", false},

	// PINGREQ and DISCONNECT.
	{"2.2.2-2", "PINGREQ with flags", true, "c1 00", "", false},
	{"3.12.1", "PINGREQ with a body", true, "c0 01 00", "", false},
	{"3.14.1-1", "DISCONNECT with flags", true, "e2 00", "", false},
	{"3.14.1", "DISCONNECT with a body", true, "e0 01 00", "", false},
	{"3.14.4", "PINGREQ behind DISCONNECT", true, "e0 00 c0 00", "", false},

	// What no rule forbids.
	{"not ruled", "PUBACK, unknown identifier", true, "40 02 00 01", "", true},
	{"4.3.3", "PUBREC, unknown identifier", true, "50 02 00 01", "62 02 00 01", true},
	{"4.3.3", "PUBREL, unknown identifier", true, "62 02 00 01", "70 02 00 01", true},
	{"not ruled", "PUBCOMP, unknown identifier", true, "70 02 00 01", "", true},
	{"2.2.3", "PINGREQ with a length of two bytes", true, "c0 80 00", "d0 00", true},
	{"1.5.3", "topic name with U+FFFF and U+0001", true, "32 09 00 04 ef bf bf 01 00 01 78", "40 02 00 01", true},
	{"4.7.2", "topic name that begins with $", true, "32 09 00 04 24 66 6f 6f 00 01 78", "40 02 00 01", true},
	{"3.3.3", "empty payload", true, "32 05 00 01 61 00 01", "40 02 00 01", true},
	{"3.10.4-5", "UNSUBSCRIBE that deletes nothing", true, "a2 05 12 34 00 01 70", "b0 02 12 34", true},
}

// Each row of the table, whole and cut in two at every byte.
func TestBadInput(t *testing.T) {
	for _, row := range badInput {
		t.Run(row.rule+" "+row.what, func(t *testing.T) {
			input := unhex(row.bytes)
			for cut := range input {
				inBubble(t, Config{}, func(t *testing.T, b *Broker) {
					c := b.dialTest(t)
					if row.connected {
						c.connect(packet.Connect{ClientID: []byte("p"), CleanSession: true}, false)
					}
					c.conn.Write(input[:cut])
					synctest.Wait()
					c.conn.Write(input[cut:]) // the broker may have closed before
					replies := unhex(row.reply)
					for len(replies) > 0 {
						h, n, _ := packet.ParseHeader(replies)
						c.want(replies[:n+h.Len], nil)
						replies = replies[n+h.Len:]
					}
					if row.open {
						c.wantNothing()
						c.ping()
					} else {
						c.wantClosed()
					}
				})
			}
		})
	}
}
