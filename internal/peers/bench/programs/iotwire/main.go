// Command iotwire publishes messages at QoS 1 with package mqtt, and nothing else.
package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net"
	"os"
	"strconv"

	"iotwire/mqtt"
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
	dialer := tls.Dialer{Config: &tls.Config{Certificates: []tls.Certificate{certificate}, RootCAs: roots, ServerName: "localhost"}}
	client, err := mqtt.New(mqtt.Config{
		ClientID:     "demo",
		CleanSession: true,
		Dial:         func(ctx context.Context) (net.Conn, error) { return dialer.DialContext(ctx, "tcp", address) },
	})
	check(err)
	ctx := context.Background()
	ended := make(chan error)
	go func() { ended <- client.Run(ctx) }()
	for range n {
		check(client.Publish(ctx, mqtt.Message{Topic: "a", Payload: []byte("message"), QoS: mqtt.QoS1}))
	}
	check(client.Shutdown(ctx))
	check(<-ended)
}

func check(err error) {
	if err != nil {
		os.Stderr.WriteString(err.Error() + "\n")
		os.Exit(1)
	}
}
