package packet_test

import (
	"fmt"
	"log"
	"strings"

	"iotwire/mqtt/packet"
)

// The first packet of a connection. The fields are bytes, so that what ParseConnect returns can be views.
func ExampleConnect() {
	b, err := packet.AppendConnect(nil, &packet.Connect{ClientID: []byte("meter-7"), KeepAlive: 60, CleanSession: true})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("% x\n", b)

	h, n, err := packet.ParseHeader(b)
	if err != nil {
		log.Fatal(err)
	}
	c, err := packet.ParseConnect(b[n : n+h.Len])
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%v from %s, keep alive %d s\n", h.Type, c.ClientID, c.KeepAlive)
	// Output:
	// 10 13 00 04 4d 51 54 54 04 02 00 3c 00 07 6d 65 74 65 72 2d 37
	// CONNECT from meter-7, keep alive 60 s
}

// The answer to CONNECT, and what a return code means.
func ExampleConnack() {
	b, err := packet.AppendConnack(nil, &packet.Connack{Code: packet.RefusedUnauthorized})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("% x\n", b)

	c, err := packet.ParseConnack(b[2:])
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("code %d: %v\n", c.Code, c.Code)
	// Output:
	// 20 02 00 05
	// code 5: not authorized
}

// QoS 1: the receiver of a PUBLISH answers with its identifier.
func ExamplePuback() {
	b, err := packet.AppendPuback(nil, &packet.Puback{ID: 10})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("% x\n", b)

	p, err := packet.ParsePuback(b[2:])
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("acknowledged:", p.ID)

	// 0 is no identifier, on neither side.
	_, err = packet.ParsePuback([]byte{0, 0})
	fmt.Println(err)
	// Output:
	// 40 02 00 0a
	// acknowledged: 10
	// PUBACK: packet identifier is 0, want 1 to 65535 (byte 0) [MQTT-2.3.1-1]
}

// QoS 2: three answers to a PUBLISH, alternately from its receiver and its sender, all with its identifier.
func ExamplePubrec() {
	var wire []byte
	var err error
	if wire, err = packet.AppendPubrec(wire, &packet.Pubrec{ID: 10}); err != nil { // received
		log.Fatal(err)
	}
	if wire, err = packet.AppendPubrel(wire, &packet.Pubrel{ID: 10}); err != nil { // release
		log.Fatal(err)
	}
	if wire, err = packet.AppendPubcomp(wire, &packet.Pubcomp{ID: 10}); err != nil { // complete
		log.Fatal(err)
	}
	fmt.Printf("% x\n", wire)

	received, err := packet.ParsePubrec(wire[2:4])
	fmt.Println(received.ID, err)
	release, err := packet.ParsePubrel(wire[6:8])
	fmt.Println(release.ID, err)
	complete, err := packet.ParsePubcomp(wire[10:12])
	fmt.Println(complete.ID, err)
	// Output:
	// 50 02 00 0a 62 02 00 0a 70 02 00 0a
	// 10 <nil>
	// 10 <nil>
	// 10 <nil>
}

// The answer to a SUBSCRIBE of two topic filters: one is granted at QoS 1, one is refused.
func ExampleSuback() {
	b, err := packet.AppendSuback(nil, &packet.Suback{ID: 1, Codes: []byte{byte(packet.QoS1), packet.SubackFailure}})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("% x\n", b)

	s, err := packet.ParseSuback(b[2:])
	if err != nil {
		log.Fatal(err)
	}
	for i, code := range s.Codes {
		if code == packet.SubackFailure {
			fmt.Println("filter", i, "refused")
			continue
		}
		fmt.Println("filter", i, "granted at QoS", code)
	}
	// Output:
	// 90 04 00 01 01 80
	// filter 0 granted at QoS 1
	// filter 1 refused
}

func ExampleFilters() {
	var filters packet.Filters
	filters = filters.Add("sensors/+/temperature")
	filters = filters.Add("alarms/#")

	b, err := packet.AppendUnsubscribe(nil, &packet.Unsubscribe{ID: 2, Filters: filters})
	if err != nil {
		log.Fatal(err)
	}
	u, err := packet.ParseUnsubscribe(b[2:])
	if err != nil {
		log.Fatal(err)
	}
	for filter := range u.Filters.All() {
		fmt.Printf("%s\n", filter)
	}
	// Output:
	// sensors/+/temperature
	// alarms/#
}

func ExampleUnsuback() {
	b, err := packet.AppendUnsuback(nil, &packet.Unsuback{ID: 2})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("% x\n", b)

	u, err := packet.ParseUnsuback(b[2:])
	fmt.Println(u.ID, err)
	// Output:
	// b0 02 00 02
	// 2 <nil>
}

// A client that has nothing to say asks whether the server is there.
func ExampleAppendPingreq() {
	request, answer := packet.AppendPingreq(nil), packet.AppendPingresp(nil)
	fmt.Printf("% x, % x\n", request, answer)
	fmt.Println(packet.ParsePingreq(request[2:]), packet.ParsePingresp(answer[2:]))
	// Output:
	// c0 00, d0 00
	// <nil> <nil>
}

// The last packet of a client that means to go. Nothing belongs behind its fixed header.
func ExampleAppendDisconnect() {
	b := packet.AppendDisconnect(nil)
	fmt.Printf("% x\n", b)
	fmt.Println(packet.ParseDisconnect(b[2:]))
	fmt.Println(packet.ParseDisconnect([]byte("bye")))
	// Output:
	// e0 00
	// <nil>
	// DISCONNECT: 3 bytes after the fixed header, want none (byte 0) [3.14.1]
}

func ExampleValidTopic() {
	fmt.Println(packet.ValidTopic("meter/7/power"))
	fmt.Println(packet.ValidTopic("meter/+/power"))
	fmt.Println(packet.ValidTopic(""))
	// Output:
	// <nil>
	// topic name has the wildcard '+', which belongs in topic filters only (byte 6) [MQTT-4.7.1-1]
	// topic name is empty, want at least one character (byte 0) [MQTT-4.7.3-1]
}

func ExampleValidFilter() {
	fmt.Println(packet.ValidFilter("meter/+/power"))
	fmt.Println(packet.ValidFilter("meter/#/power"))
	fmt.Println(packet.ValidFilter("meter/7+"))
	// Output:
	// <nil>
	// topic filter has '#' where it is not the whole last level (byte 6) [MQTT-4.7.1-2]
	// topic filter has '+' where it is not a whole level (byte 7) [MQTT-4.7.1-3]
}

// A reader of a connection gives memory back, or acknowledges in one write, when nothing more has come.
func ExampleReader_Ready() {
	conn := strings.NewReader("\xd0\x00\xd0\x00\xd0") // two PINGRESP, and the first byte of a third
	r := packet.NewReader(conn, 1<<20)
	for {
		h, _, err := r.Next()
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(h.Type, "more at once:", r.Ready(), "part of one:", r.Partial())
		if !r.Ready() {
			r.Shrink()
		}
	}
	// Output:
	// PINGRESP more at once: true part of one: false
	// PINGRESP more at once: false part of one: true
	// unexpected EOF
}
