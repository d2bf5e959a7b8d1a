// Command atwat publishes messages at QoS 1 with at-wat/mqtt-go.
package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"os"
	"strconv"

	mqtt "github.com/at-wat/mqtt-go"
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
	ctx := context.Background()
	client, err := mqtt.DialContext(ctx, "mqtts://"+address,
		mqtt.WithTLSConfig(&tls.Config{Certificates: []tls.Certificate{certificate}, RootCAs: roots, ServerName: "localhost"}))
	check(err)
	_, err = client.Connect(ctx, "demo", mqtt.WithCleanSession(true))
	check(err)
	for range n {
		check(client.Publish(ctx, &mqtt.Message{Topic: "a", QoS: mqtt.QoS1, Payload: []byte("message")}))
	}
	check(client.Disconnect(ctx))
}

func check(err error) {
	if err != nil {
		os.Stderr.WriteString(err.Error() + "\n")
		os.Exit(1)
	}
}
