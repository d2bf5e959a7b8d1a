// Command limit is the least that the other programs can be: it sends the packets with crypto/tls alone.
package main

import (
	"crypto/tls"
	"crypto/x509"
	"io"
	"os"
	"strconv"
)

func main() {
	address, dir := os.Args[1], os.Args[2]
	n, err := strconv.Atoi(os.Args[3])
	check(err)
	certificate, err := tls.LoadX509KeyPair(dir+"/cert.pem", dir+"/private.key")
	check(err)
	ca, err := os.ReadFile(dir + "/AmazonRootCA1.pem")
	check(err)
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(ca)
	conn, err := tls.Dial("tcp", address, &tls.Config{Certificates: []tls.Certificate{certificate}, RootCAs: roots, ServerName: "localhost"})
	check(err)
	var answer [4]byte
	_, err = conn.Write([]byte("\x10\x10\x00\x04MQTT\x04\x02\x00\x3c\x00\x04demo"))
	check(err)
	_, err = io.ReadFull(conn, answer[:])
	check(err)
	for range n {
		_, err = conn.Write([]byte("\x32\x0c\x00\x01a\x00\x01message"))
		check(err)
		_, err = io.ReadFull(conn, answer[:])
		check(err)
	}
	_, err = conn.Write([]byte("\xe0\x00"))
	check(err)
	check(conn.Close())
}

func check(err error) {
	if err != nil {
		os.Stderr.WriteString(err.Error() + "\n")
		os.Exit(1)
	}
}
