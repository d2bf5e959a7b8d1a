// Package errand is what each of the programs beside it is told to do: to send messages over mutual TLS. They differ in
// the client that does it.
package errand

import (
	"crypto/tls"
	"crypto/x509"
	"os"
	"strconv"
)

// Errand is what a program's arguments say: an address, a directory with the files of a device, a number of messages.
type Errand struct {
	Address  string
	TLS      *tls.Config
	Messages int
}

// Given returns the errand of this program.
func Given() Errand {
	dir := os.Args[2]
	n, err := strconv.Atoi(os.Args[3])
	Check(err)
	certificate, err := tls.LoadX509KeyPair(dir+"/cert.pem", dir+"/private.key")
	Check(err)
	ca, err := os.ReadFile(dir + "/AmazonRootCA1.pem")
	Check(err)
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(ca)
	return Errand{
		Address:  os.Args[1],
		TLS:      &tls.Config{Certificates: []tls.Certificate{certificate}, RootCAs: roots, ServerName: "localhost"},
		Messages: n,
	}
}

// Check ends the program if err is not nil.
func Check(err error) {
	if err != nil {
		os.Stderr.WriteString(err.Error() + "\n")
		os.Exit(1)
	}
}
