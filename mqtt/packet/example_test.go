package packet_test

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"iotwire/mqtt/packet"
)

func ExampleAppendPublish() {
	b, err := packet.AppendPublish(nil, &packet.Publish{QoS: packet.QoS1, Topic: []byte("a/b"), ID: 10, Payload: []byte("hello")})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("% x\n", b)

	// What no receiver would accept is not encoded.
	_, err = packet.AppendPublish(nil, &packet.Publish{Topic: []byte("a/#")})
	fmt.Println(err)
	fmt.Println(errors.Is(err, packet.ErrInvalid))
	// Output:
	// 32 0c 00 03 61 2f 62 00 0a 68 65 6c 6c 6f
	// PUBLISH: topic name has the wildcard '#', which belongs in topic filters only (byte 4) [MQTT-3.3.2-2]
	// true
}

func ExampleParsePublish() {
	wire := []byte("\x32\x0c\x00\x03a/b\x00\x0ahello")
	h, n, err := packet.ParseHeader(wire)
	if err != nil {
		fmt.Println(err)
		return
	}
	p, err := packet.ParsePublish(h.Flags, wire[n:n+h.Len])
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("%v: topic %s, QoS %d, identifier %d, payload %s\n", h.Type, p.Topic, p.QoS, p.ID, p.Payload)
	// Output: PUBLISH: topic a/b, QoS 1, identifier 10, payload hello
}

func ExampleParseHeader() {
	// Two bytes of a header of three: more are needed.
	_, n, err := packet.ParseHeader([]byte("\x30\x80"))
	fmt.Println(n, err)

	// A header that no packet has is refused before its body comes.
	_, _, err = packet.ParseHeader([]byte("\x36\x0a"))
	fmt.Println(err)

	var e *packet.Error
	if errors.As(err, &e) {
		fmt.Println(e.Type, e.Rule, errors.Is(err, packet.ErrMalformed))
	}
	// Output:
	// 0 <nil>
	// PUBLISH: QoS is 3, want 0, 1 or 2 (byte 0) [MQTT-3.3.1-4]
	// PUBLISH MQTT-3.3.1-4 true
}

func ExampleReader() {
	// A CONNACK, a PUBLISH above the limit, and a PINGRESP, as they come from a connection.
	conn := strings.NewReader("\x20\x02\x00\x00" + "\x30\x1a\x00\x03a/b" + "a payload of 21 bytes" + "\xd0\x00")
	r := packet.NewReader(conn, 20)
	for {
		h, body, err := r.Next()
		switch {
		case err == io.EOF:
			return
		case errors.Is(err, packet.ErrTooLarge):
			rest, _ := io.ReadAll(r.Rest()) // or call Next, to skip it
			fmt.Printf("%v, streamed: %q\n", h.Type, rest)
		case err != nil:
			fmt.Println(err)
			return
		default:
			fmt.Printf("%v: % x\n", h.Type, body)
		}
	}
	// Output:
	// CONNACK: 00 00
	// PUBLISH, streamed: "\x00\x03a/ba payload of 21 bytes"
	// PINGRESP:
}

func ExampleReader_Skip() {
	// A PUBLISH above the limit, of which the end is missing.
	r := packet.NewReader(strings.NewReader("\x30\x1a\x00\x03a/b"+"a payload"), 20)
	_, _, err := r.Next()
	fmt.Println(err)
	fmt.Println(r.Skip()) // what did not come whole is not to be acknowledged
	// Output:
	// PUBLISH of 28 bytes, limit 20: packet larger than the limit
	// unexpected EOF
}

func ExampleRequests() {
	var requests packet.Requests
	requests = requests.Add("sensors/+/temperature", packet.QoS1)
	requests = requests.Add("alarms/#", packet.QoS2)

	b, err := packet.AppendSubscribe(nil, &packet.Subscribe{ID: 1, Requests: requests})
	if err != nil {
		fmt.Println(err)
		return
	}
	s, err := packet.ParseSubscribe(b[2:])
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(s.Requests.Len(), "topic filters")
	for filter, qos := range s.Requests.All() {
		fmt.Printf("%s at QoS %d\n", filter, qos)
	}
	// Output:
	// 2 topic filters
	// sensors/+/temperature at QoS 1
	// alarms/# at QoS 2
}

func ExampleMatch() {
	fmt.Println(packet.Match("sport/+/player1", "sport/tennis/player1"))
	fmt.Println(packet.Match("sport/#", "sport"))
	fmt.Println(packet.Match("sport/+", "sport"))
	fmt.Println(packet.Match("#", "$SYS/uptime"))
	// Output:
	// true
	// true
	// false
	// false
}
