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

// Go through a proxy, the one that the environment names or none.
func Example_proxy() {
	server := iot.Config{Endpoint: "a1b2c3-ats.iot.eu-west-1.amazonaws.com", Port: 443, ClientID: "meter-7"}
	endpoint, err := server.Server()
	if err != nil {
		log.Fatal(err)
	}
	if url, variable := iot.ProxyFromEnvironment(os.Getenv, endpoint); url != "" {
		if server.Proxy, err = iot.ParseProxy(url); err != nil {
			log.Fatalf("%s: %v", variable, err)
		}
	}
}

// A proxy never shows who logs in.
func ExampleParseProxy() {
	proxy, err := iot.ParseProxy("socks5h://ann:p%40ss@proxy.corp")
	fmt.Println(proxy, err)
	_, err = iot.ParseProxy("http://ann:p%40ss@proxy.corp")
	fmt.Println(err)
	// Output:
	// socks5h://proxy.corp:1080 <nil>
	// proxy "http://proxy.corp": no port, and there is no usual one: 3128 and 8080 are frequent
}

// Replace the certificate of a running client on SIGHUP. The connection stays; the next one uses the new files.
func Example_renewCertificate() {
	credentials, err := iot.LoadCredentials("certs")
	if err != nil {
		log.Fatal(err)
	}
	var current atomic.Pointer[iot.Credentials]
	current.Store(credentials)
	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP)
	go func() {
		for range hangups {
			fresh, err := iot.LoadCredentials("certs")
			if err != nil {
				log.Print(err) // what was loaded before stays in use
				continue
			}
			current.Store(fresh)
		}
	}()
	_ = iot.Config{Endpoint: "a1b2c3-ats.iot.eu-west-1.amazonaws.com", ClientID: "meter-7", CurrentCredentials: current.Load}
}

// Log in with a token that a custom authorizer knows, in place of a client certificate.
func Example_authorizer() {
	roots, err := iot.LoadCredentialFiles(iot.CredentialFiles{Dir: "certs", CAOnly: true}) // AmazonRootCA1.pem
	if err != nil {
		log.Fatal(err)
	}
	_ = iot.Config{
		Endpoint:    "a1b2c3-ats.iot.eu-west-1.amazonaws.com", // port 443
		ClientID:    "meter-7",
		Credentials: roots,
		Authorizer: &iot.Authorizer{
			Name:     "gate",
			TokenKey: "token",
			Secrets: func(context.Context) (iot.AuthorizerSecrets, error) { // for each connection: tokens expire
				token, err := os.ReadFile("token")
				if err != nil {
					return iot.AuthorizerSecrets{}, err
				}
				signature, err := os.ReadFile("token.sig")
				return iot.AuthorizerSecrets{Token: string(token), Signature: string(signature)}, err
			},
		},
	}
}

// Wait until the clock of a board without a battery is set.
func ExampleWaitForClock() {
	err := iot.WaitForClock(context.Background(), iot.BuildTime(), nil)
	fmt.Println(err)
	// Output: <nil>
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
