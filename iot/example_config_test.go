package iot_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"time"

	"iotwire/internal/testbroker"
	"iotwire/iot"
	"iotwire/mqtt"
	"iotwire/mqtt/packet"
)

// MQTT gives what mqtt.New takes; the program sets what else it wants. A service that runs for years logs what each lost
// connection means.
func ExampleConfig_MQTT() {
	server := iot.Config{Endpoint: "mqtt://127.0.0.1", ClientID: "meter-7"}
	config, err := server.MQTT()
	if err != nil {
		log.Fatal(err)
	}
	config.KeepAlive = 30 * time.Second
	config.Trace = &mqtt.Trace{
		Disconnected: func(err error, retry bool, wait time.Duration) {
			log.Printf("%v\nnext attempt: %v, in %v", iot.Diagnose(err, server), retry, wait)
		},
	}
	_, err = mqtt.New(config)
	fmt.Println(err)
	// Output: <nil>
}

// What the program says before it connects.
func ExampleConfig_Server() {
	e, err := iot.Config{Endpoint: "a1b2c3-ats.iot.eu-west-1.amazonaws.com", Port: 443}.Server()
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("connecting to", e.Address())
	// Output: connecting to a1b2c3-ats.iot.eu-west-1.amazonaws.com:443
}

func ExampleEndpoint() {
	e, err := iot.ParseEndpoint("A1B2C3.iot.eu-west-1.amazonaws.com")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(e.Address(), "with TLS:", e.TLS)
	fmt.Println("AWS:", e.AWS(), "in", e.Region())
	if e.Legacy() {
		fmt.Println("AmazonRootCA1.pem does not sign this endpoint: use the one with -ats")
	}
	// Output:
	// a1b2c3.iot.eu-west-1.amazonaws.com:8883 with TLS: true
	// AWS: true in eu-west-1
	// AmazonRootCA1.pem does not sign this endpoint: use the one with -ats
}

// What is wrong with the files is said in one line, with what to do.
func ExampleLoadCredentials() {
	_, err := iot.LoadCredentials("no-such-directory")
	fmt.Println(err)
	fmt.Println(errors.Is(err, iot.ErrCredentials), errors.Is(err, fs.ErrNotExist))
	// Output:
	// no-such-directory: no such directory; give the one with the certificates
	// true true
}

// Files that lie in several places; what is not named is searched for in Dir.
func ExampleLoadCredentialFiles() {
	certs, _, done := playAWS()
	defer done()

	credentials, err := iot.LoadCredentialFiles(iot.CredentialFiles{
		CA:          filepath.Join(certs, "AmazonRootCA1.pem"),
		Certificate: filepath.Join(certs, "cert.pem"),
		Key:         filepath.Join(certs, "private.key"),
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("expires in", credentials.NotAfter.Year())
	fmt.Println("bytes of the certificate ID:", len(credentials.CertificateID)/2)
	for _, warning := range credentials.Warnings {
		log.Print(warning)
	}
	// Output:
	// expires in 2049
	// bytes of the certificate ID: 32
}

// A device whose key is not in a file.
func ExampleParseCredentials() {
	pem, err := testbroker.NewCertificates() // from the flash memory, say
	if err != nil {
		log.Fatal(err)
	}
	_, err = iot.ParseCredentials(pem.CA, pem.Device, pem.DeviceKey)
	fmt.Println(err)
	_, err = iot.ParseCredentials(pem.CA, pem.Device, pem.ServerKey)
	fmt.Println(err)
	// Output:
	// <nil>
	// private key: this private key does not belong to the certificate in certificate; take the two that were made together
}

func ExampleNewClientID() {
	id := iot.NewClientID("meter")
	fmt.Println(strings.HasPrefix(id, "meter-"), len(id), id == iot.NewClientID("meter"))
	// Output: true 42 false
}

// A client of AWS IoT Core calls Check and CheckFilter for each message and each subscription. A program can ask earlier.
func ExampleCheck() {
	for _, m := range []mqtt.Message{
		{Topic: "meter/7", Payload: make([]byte, 1000), QoS: mqtt.QoS1},
		{Topic: "meter/7", Payload: make([]byte, 200_000), QoS: mqtt.QoS1},
		{Topic: "meter/7", QoS: mqtt.QoS2},
	} {
		err := iot.Check(m)
		fmt.Println(errors.Is(err, iot.ErrLimit), err)
	}
	// Output:
	// false <nil>
	// true AWS IoT Core: payload of 200000 bytes, want at most 131072
	// true AWS IoT Core: QoS 2, want 0 or 1
}

func ExampleCheckFilter() {
	fmt.Println(iot.CheckFilter("meter/+/power", mqtt.QoS1))
	fmt.Println(iot.CheckFilter("a/b/c/d/e/f/g/h/i", mqtt.QoS1))

	err := iot.CheckFilter("meter/#/power", mqtt.QoS1) // not a matter of AWS
	fmt.Println(errors.Is(err, packet.ErrInvalid), errors.Is(err, iot.ErrLimit))
	// Output:
	// <nil>
	// AWS IoT Core: topic filter "a/b/c/d/e/f/g/h/i" has 8 slashes, want at most 7
	// true false
}

// Through the proxy of a company. TLS goes through it untouched: it sees where to, and nothing of what is said.
func ExampleParseProxy() {
	certs, desk, done := playAWS()
	defer done()
	proxyURL, stop := serveProxy(desk) // http://meter:secret@127.0.0.1:port
	defer stop()

	proxy, err := iot.ParseProxy(proxyURL)
	if err != nil {
		log.Fatal(err)
	}
	credentials, err := iot.LoadCredentials(certs)
	if err != nil {
		log.Fatal(err)
	}
	server := iot.Config{
		Endpoint:    "a1b2c3-ats.iot.us-east-1.amazonaws.com:443",
		ClientID:    "meter-7",
		Credentials: credentials,
		Proxy:       proxy,
	}
	config, err := server.MQTT()
	if err != nil {
		log.Fatal(err)
	}
	client, err := mqtt.New(config)
	if err != nil {
		log.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	go client.Run(ctx)
	fmt.Println(client.Publish(ctx, mqtt.Message{Topic: "meter/7", Payload: []byte("42"), QoS: mqtt.QoS1}))
	fmt.Println("the login is not printed:", !strings.Contains(fmt.Sprint(proxy), "secret"))
	// Output:
	// <nil>
	// the login is not printed: true
}

// For a library that opens its connections by a function of this form, such as one for WebSocket.
func ExampleProxy_DialContext() {
	proxyURL, stop := serveProxy((&net.Dialer{}).DialContext)
	defer stop()
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "hello") }))
	defer web.Close()

	proxy, err := iot.ParseProxy(proxyURL)
	if err != nil {
		log.Fatal(err)
	}
	client := http.Client{Transport: &http.Transport{DialContext: proxy.DialContext}}
	answer, err := client.Get(web.URL)
	if err != nil {
		log.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	fmt.Printf("%s %v\n", body, err)
	// Output: hello <nil>
}

// serveProxy is a proxy on a port of this machine, which wants a login.
func serveProxy(dial func(ctx context.Context, network, address string) (net.Conn, error)) (url string, stop func()) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodConnect || r.Header.Get("Proxy-Authorization") != "Basic bWV0ZXI6c2VjcmV0" {
			w.WriteHeader(http.StatusProxyAuthRequired)
			return
		}
		server, err := dial(r.Context(), "tcp", r.Host)
		if err != nil {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		w.WriteHeader(http.StatusOK)
		client, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			log.Fatal(err)
		}
		go func() {
			defer server.Close()
			io.Copy(server, client)
		}()
		defer client.Close()
		io.Copy(client, server)
	}))
	return strings.Replace(s.URL, "http://", "http://meter:secret@", 1), s.Close
}

// The proxy that curl would take. Config.MQTT does not look at the environment: that is for the program to decide.
func ExampleProxyFromEnvironment() {
	environment := map[string]string{ // os.Getenv, in a program
		"https_proxy": "http://proxy.example:3128",
		"no_proxy":    "broker.example,10.0.0.0/8",
	}
	for _, s := range []string{"a1b2c3-ats.iot.eu-west-1.amazonaws.com", "broker.example"} {
		e, err := iot.ParseEndpoint(s)
		if err != nil {
			log.Fatal(err)
		}
		url, variable := iot.ProxyFromEnvironment(func(name string) string { return environment[name] }, e)
		fmt.Printf("%s: %q from %q\n", e.Host, url, variable)
	}
	// Output:
	// a1b2c3-ats.iot.eu-west-1.amazonaws.com: "http://proxy.example:3128" from "https_proxy"
	// broker.example: "" from ""
}

// A client without a certificate, which a function of the account judges by a token.
func ExampleAuthorizer() {
	certs, _, done := playAWS()
	defer done()

	credentials, err := iot.LoadCredentialFiles(iot.CredentialFiles{CA: filepath.Join(certs, "AmazonRootCA1.pem"), CAOnly: true})
	if err != nil {
		log.Fatal(err)
	}
	config, err := iot.Config{
		Endpoint:    "a1b2c3-ats.iot.eu-west-1.amazonaws.com", // port 443, since there is an authorizer
		ClientID:    "meter-7",
		Credentials: credentials,
		Authorizer: &iot.Authorizer{
			Name:     "meters",
			TokenKey: "token",
			UserName: "meter-7",
			Secrets: func(ctx context.Context) (iot.AuthorizerSecrets, error) { // asked for each connection
				return iot.AuthorizerSecrets{Token: "eyJhbGciOi", Signature: "c2lnbmF0dXJl"}, nil
			},
		},
	}.MQTT()
	if err != nil {
		log.Fatal(err)
	}
	userName, _, err := config.Credentials(context.Background()) // as the client does before it sends CONNECT
	fmt.Println(userName, err)
	// Output: meter-7?x-amz-customauthorizer-name=meters&x-amz-customauthorizer-signature=c2lnbmF0dXJl&token=eyJhbGciOi <nil>
}

// A board without a battery for its clock waits for the time before it connects: in 1970 no certificate is valid yet.
func ExampleWaitForClock() {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	err := iot.WaitForClock(ctx, iot.BuildTime(), nil)
	fmt.Println("the clock is set:", err == nil)
	// Output: the clock is set: true
}

// What a refused subscription means, and what is missing in the policy.
func ExampleRefusedError() {
	server := iot.Config{Endpoint: "a1b2c3-ats.iot.eu-west-1.amazonaws.com", ClientID: "meter-7"}
	fmt.Println(iot.Diagnose(&iot.RefusedError{Filters: []string{"meter/#"}}, server))
	// Output:
	// meter/# refused by the server (SUBACK 0x80, MQTT 3.1.1 section 3.9.3)
	//   1. no policy of the certificate allows iot:Subscribe on arn:aws:iot:eu-west-1:ACCOUNT:topicfilter/meter/# (topicfilter/, not topic/)
	//   2. the connection has more than 50 subscriptions
	//   next: aws iot test-authorization --principal arn:aws:iot:eu-west-1:ACCOUNT:cert/ID --client-id meter-7 --auth-infos 'actionType=SUBSCRIBE,resources=arn:aws:iot:eu-west-1:ACCOUNT:topicfilter/meter/#' --region eu-west-1
}

// Nothing comes, though there is a connection: a policy lets a client subscribe and not receive, perhaps.
func ExampleSilenceError() {
	server := iot.Config{Endpoint: "a1b2c3-ats.iot.eu-west-1.amazonaws.com", ClientID: "meter-7"}
	fmt.Println(iot.Diagnose(&iot.SilenceError{Filters: []string{"meter/#"}, After: time.Minute}, server))
	// Output:
	// no message on meter/# for 1m0s
	//   1. nobody has published to it, in this region (eu-west-1) and account
	//   2. no policy of the certificate allows iot:Receive on arn:aws:iot:eu-west-1:ACCOUNT:topic/meter/*
	//   3. a filter with a wildcard gets no retained messages: meter/#
	//   4. AWS IoT does not match meter/# with meter itself, as the standard does
	//   5. a message of QoS 0, or one that was sent while a clean session was away, is not kept
	//   next: aws iot test-authorization --principal arn:aws:iot:eu-west-1:ACCOUNT:cert/ID --client-id meter-7 --auth-infos 'actionType=RECEIVE,resources=arn:aws:iot:eu-west-1:ACCOUNT:topic/meter/*' --region eu-west-1
}
