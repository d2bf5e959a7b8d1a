package iot_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"os/signal"
	"sync/atomic"
	"syscall"

	"iotwire/iot"
)

// Replace the certificate of a running client on SIGHUP. The connection stays; the next one uses the new files.
func Example_renewCertificate() {
	certs, desk, done := playAWS()
	defer done()
	credentials, err := iot.LoadCredentials(certs)
	if err != nil {
		log.Fatal(err)
	}
	var current atomic.Pointer[iot.Credentials]
	current.Store(credentials)
	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP)
	go func() {
		for range hangups {
			fresh, err := iot.LoadCredentials(certs)
			if err != nil {
				log.Print(err) // what was loaded before stays in use
				continue
			}
			current.Store(fresh)
		}
	}()
	server := iot.Config{
		Endpoint:           "a1b2c3-ats.iot.us-east-1.amazonaws.com",
		ClientID:           "meter-7",
		CurrentCredentials: current.Load, // asked for each connection
		DialContext:        desk,
	}
	config, err := server.MQTT()
	if err != nil {
		log.Fatal(err)
	}
	conn, err := config.Dial(context.Background())
	if err != nil {
		log.Fatal(err)
	}
	conn.Close()
	fmt.Println("connected")
	// Output: connected
}

// What fails on the way through a proxy says so.
func ExampleProxyError() {
	proxy, err := iot.ParseProxy("http://127.0.0.1:1") // nobody listens there
	if err != nil {
		log.Fatal(err)
	}
	_, err = proxy.DialContext(context.Background(), "tcp", "a1b2c3-ats.iot.eu-west-1.amazonaws.com:443")
	var fault *iot.ProxyError
	fmt.Println(errors.As(err, &fault))
	fmt.Println(fault.Problem + ": " + fault.Remedy)
	// Output:
	// true
	// refuses connections: is it running, and is the port right?
}

// What AWS IoT Core reads of the user name stands behind its '?'.
func ExampleAuthorizer_Credentials() {
	gate := iot.Authorizer{Name: "gate", TokenKey: "token", UserName: "ann",
		Secrets: func(context.Context) (iot.AuthorizerSecrets, error) {
			return iot.AuthorizerSecrets{Token: "abc", Signature: "c2ln+w=="}, nil
		}}
	userName, _, err := gate.Credentials(context.Background())
	fmt.Println(userName, err)
	// Output: ann?x-amz-customauthorizer-name=gate&x-amz-customauthorizer-signature=c2ln%2Bw%3D%3D&token=abc <nil>
}
