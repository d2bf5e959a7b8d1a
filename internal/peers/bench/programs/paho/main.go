// Command paho publishes messages at QoS 1 with paho.mqtt.golang.
package main

import (
	"crypto/tls"
	"crypto/x509"
	"os"
	"strconv"

	mqtt "github.com/eclipse/paho.mqtt.golang"
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
	client := mqtt.NewClient(mqtt.NewClientOptions().AddBroker("ssl://" + address).SetClientID("demo").
		SetTLSConfig(&tls.Config{Certificates: []tls.Certificate{certificate}, RootCAs: roots, ServerName: "localhost"}))
	wait(client.Connect())
	for range n {
		wait(client.Publish("a", 1, false, "message"))
	}
	client.Disconnect(0)
}

func wait(t mqtt.Token) {
	t.Wait()
	check(t.Error())
}

func check(err error) {
	if err != nil {
		os.Stderr.WriteString(err.Error() + "\n")
		os.Exit(1)
	}
}
