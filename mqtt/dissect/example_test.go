package dissect_test

import (
	"encoding/hex"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"strings"
	"time"

	"iotwire/mqtt/dissect"
)

// What is in these bytes, and which rules do they break?
func ExamplePacket() {
	bytes, err := hex.DecodeString("320c0003612f23000a68656c6c6f")
	if err != nil {
		log.Fatal(err)
	}
	p, n := dissect.Read(bytes, dissect.ToServer)
	fmt.Printf("%s (section %s) of %d bytes, broken: %v\n", p.Name(), p.Section(), n, p.Broken())
	for _, f := range p.Fields {
		switch f.Kind {
		case dissect.Number:
			fmt.Printf("byte %d, mask %02x: %s %d\n", f.Offset, f.Mask, f.Name, f.Number)
		default:
			fmt.Printf("byte %d, %d bytes: %s %q\n", f.Offset, f.Length, f.Name, f.Data)
		}
	}
	for _, f := range p.Findings {
		fmt.Printf("byte %d %v: %s %v\n", f.Offset, f.Level, f.Text, f.Rules)
	}
	// Output:
	// PUBLISH (section 3.3) of 14 bytes, broken: true
	// byte 0, mask f0: Packet type 3
	// byte 0, mask 08: DUP 0
	// byte 0, mask 06: QoS 1
	// byte 0, mask 01: RETAIN 0
	// byte 1, mask ff: Remaining Length 12
	// byte 2, mask ff: Topic Name length 3
	// byte 4, 3 bytes: Topic Name "a/#"
	// byte 7, mask ff: Packet Identifier 10
	// byte 9, 5 bytes: Application Message "hello"
	// byte 6 broken: Topic Name has the wildcard '#', which belongs in Topic Filters only [MQTT-3.3.2-2 MQTT-4.7.1-1]
}

// The same for people, as the program dissect prints it.
func ExampleLayout() {
	p, _ := dissect.Read([]byte("\x32\x09\x00\x03a/b\x00\x0ahi"), dissect.ToServer)
	var full dissect.Layout
	fmt.Printf("%s", full.Append(nil, &p))

	brief := dissect.Layout{Style: dissect.Brief}
	fmt.Printf("%s", brief.Append(nil, &p))
	// Output:
	// → PUBLISH ─────────────────────────────────── client to server · 11 bytes · §3.3
	// 0000 32  0011 ....   Packet type            3 PUBLISH                  §2.2.1
	//          .... 0...   DUP                    0 · first attempt          §3.3.1.1
	//          .... .01.   QoS                    1 · at least once, PUBACK  §3.3.1.2
	//                                             follows
	//          .... ...0   RETAIN                 0                          §3.3.1.3
	// 0001 09              Remaining Length       9                          §2.2.3
	// 0002 00 03           Topic Name length      3                          §1.5.3
	// 0004 61 2f 62        Topic Name             "a/b"                      §3.3.2.1
	// 0007 00 0a           Packet Identifier      10                         §3.3.2.2
	// 0009 68 69           Application Message    hi · 2 bytes               §3.3.3
	// →  PUBLISH        11 B  "a/b", QoS 1, id 10, 2 bytes
}

// A trace has the bytes of both sides, and when they came: the session says what answers what, and what no single packet
// shows.
func ExampleSession() {
	var session dissect.Session
	layout := dissect.Layout{Style: dissect.Brief, Times: true}
	print := func(packets []dissect.Packet) {
		for _, p := range packets {
			fmt.Printf("%s", layout.Append(nil, &p))
		}
	}
	ms := time.Millisecond
	print(session.Add(dissect.ToServer, 0, []byte("\x10\x0d\x00\x04MQTT\x04\x02\x00\x3c\x00\x01m"))) // CONNECT
	print(session.Add(dissect.ToClient, 3*ms, []byte("\x20\x02\x00\x00")))                           // CONNACK
	print(session.Add(dissect.ToServer, 5*ms, []byte("\x32\x09\x00\x03a/b\x00\x0ahi")))              // PUBLISH, QoS 1
	print(session.Add(dissect.ToClient, 9*ms, []byte("\x40\x02\x00\x0b")))                           // PUBACK of another one
	fmt.Println(session.Unanswered())
	print(session.Lose(dissect.ToServer, 12*ms, 0)) // a gap in the capture
	print(session.Add(dissect.ToServer, 15*ms, []byte("\xe0")))
	print(session.Close(20 * ms)) // the end, inside a packet
	// Output:
	// →    +0.000  CONNECT        15 B  client id "m", keep alive 60 s, clean session 1
	// ←    +0.003  CONNACK         4 B  accepted, session present 0, answers 1 after 3.0 ms
	// →    +0.005  PUBLISH        11 B  "a/b", QoS 1, id 10, 2 bytes
	// ←    +0.009  PUBACK          4 B  id 11  BROKEN no PUBLISH with identifier 11 waits for a PUBACK [MQTT-2.3.1-6]
	// not acknowledged: 3 PUBLISH (id 10)
	// →    +0.020  DISCONNECT      1 B  CUT SHORT, at least 1 byte more
}

// The bytes of one direction, in pieces as they come from a file.
func ExampleStream() {
	stream := dissect.Stream{Direction: dissect.ToClient}
	for _, piece := range []string{"\x20\x02\x00", "\x00\xd0\x00\x30"} {
		stream.Add([]byte(piece))
		for p, ok := stream.Next(); ok; p, ok = stream.Next() {
			fmt.Printf("%s: % x\n", p.Name(), p.Bytes)
		}
		fmt.Println("waiting for the rest:", stream.Waiting())
	}
	if p, ok := stream.Close(); ok {
		fmt.Printf("%s is cut short: at least %d more\n", p.Name(), p.Missing)
	}
	// Output:
	// waiting for the rest: 3
	// CONNACK: 20 02 00 00
	// PINGRESP: d0 00
	// waiting for the rest: 1
	// PUBLISH is cut short: at least 1 more
}

// One JSON object a packet, for programs.
func ExampleAppendJSON() {
	p, _ := dissect.Read([]byte("\xc0\x00"), dissect.ToServer)
	p.Number = 1
	fmt.Printf("%s", dissect.AppendJSON(nil, &p, false))
	// Output: {"n":1,"dir":"c2s","t":0,"type":"PINGREQ","hex":"c000","fields":[{"off":0,"len":1,"mask":240,"part":"fixed","name":"Packet type","value":12,"meaning":"PINGREQ","section":"2.2.1","rules":[]},{"off":0,"len":1,"mask":15,"part":"fixed","name":"Reserved flags","value":0,"meaning":"must be 0000","section":"3.12.1","rules":["MQTT-2.2.2-1","MQTT-2.2.2-2"]},{"off":1,"len":1,"mask":255,"part":"fixed","name":"Remaining Length","value":0,"section":"2.2.3","rules":[]}],"findings":[]}
}

// A page of HTML about a connection, for the browser and for paper.
func ExamplePage() {
	dir, err := os.MkdirTemp("", "page")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)

	page := dissect.Page{Maker: "meter 1.0"}
	connection := page.Connect("", "broker.example:8883", "TLS 1.3", time.Now())
	p, _ := dissect.Read([]byte("\x10\x13\x00\x04MQTT\x04\x02\x00\x3c\x00\x07meter-7"), dissect.ToServer)
	connection.Add(&p)
	if err := os.WriteFile(filepath.Join(dir, "mqtt.html"), page.Append(nil), 0o600); err != nil {
		log.Fatal(err)
	}
	fmt.Println("open mqtt.html with a browser")
	// Output: open mqtt.html with a browser
}

// With a Session the page knows what answers what, and what was never answered.
func ExamplePageConnection() {
	var page dissect.Page
	var session dissect.Session
	connection := page.Connect("meter-7", "broker.example:1883", "", time.Time{})
	for _, p := range session.Add(dissect.ToServer, 0, []byte("\x10\x0d\x00\x04MQTT\x04\x02\x00\x3c\x00\x01m\xc0\x00")) {
		connection.Add(&p)
	}
	connection.Close(session.Unanswered())
	connection.End("the server closed the connection")
	html := string(page.Append(nil))
	fmt.Println(strings.Contains(html, "the server closed the connection"), strings.Contains(html, session.Unanswered()))
	// Output: true true
}

// Packets for Wireshark: in the clear, and each with a comment.
func ExampleCapture() {
	dir, err := os.MkdirTemp("", "capture")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)

	var session dissect.Session
	capture := dissect.Capture{Connection: 1, Began: time.Unix(1_800_000_000, 0)}
	pcapng := dissect.AppendCaptureHeader(nil)
	for _, p := range session.Add(dissect.ToServer, 0, []byte("\x10\x0d\x00\x04MQTT\x04\x02\x00\x3c\x00\x01m")) {
		pcapng = capture.Append(pcapng, &p)
	}
	if err := os.WriteFile(filepath.Join(dir, "mqtt.pcapng"), pcapng, 0o600); err != nil {
		log.Fatal(err)
	}
	fmt.Println("open mqtt.pcapng with Wireshark")
	// Output: open mqtt.pcapng with Wireshark
}

// What does a number in an error message stand for?
func ExampleStatement() {
	for _, s := range dissect.StatementsOf("MQTT-3.3.1-4") {
		fmt.Printf("%s, section %s, %s: %s\n", s.ID, s.Section(), s.Who, s.Text)
	}
	fmt.Println(len(dissect.StatementsOf("3.3")), "in section 3.3")
	// Output:
	// MQTT-3.3.1-4, section 3.3.1, both: Both QoS bits set is forbidden; a receiver closes the connection.
	// 18 in section 3.3
}

// How many rules are for clients?
func ExampleStatements() {
	all, client := 0, 0
	for s := range dissect.Statements() {
		all++
		if s.Who != "server" {
			client++
		}
	}
	fmt.Println(all, "statements,", client, "of them for clients")
	// Output: 141 statements, 73 of them for clients
}
