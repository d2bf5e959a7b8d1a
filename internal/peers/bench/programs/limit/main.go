// Command limit is the least that the other programs can be: it sends the packets with crypto/tls alone.
package main

import (
	"crypto/tls"
	"io"

	"iotwire/internal/peers/bench/programs/errand"
)

func main() {
	e := errand.Given()
	conn, err := tls.Dial("tcp", e.Address, e.TLS)
	errand.Check(err)
	var answer [4]byte
	_, err = conn.Write([]byte("\x10\x10\x00\x04MQTT\x04\x02\x00\x3c\x00\x04demo"))
	errand.Check(err)
	_, err = io.ReadFull(conn, answer[:])
	errand.Check(err)
	for range e.Messages {
		_, err = conn.Write([]byte("\x32\x0c\x00\x01a\x00\x01message"))
		errand.Check(err)
		_, err = io.ReadFull(conn, answer[:])
		errand.Check(err)
	}
	_, err = conn.Write([]byte("\xe0\x00"))
	errand.Check(err)
	errand.Check(conn.Close())
}
