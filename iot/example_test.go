package iot_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"os"
	"os/signal"
	"strings"
	"time"

	"iotwire/internal/testbroker/aws"
	"iotwire/iot"
	"iotwire/mqtt"
)

// Publish one message to AWS IoT Core, and know that it is there.
func Example_publish() {
	certs, desk, done := playAWS() // in place of AWS IoT Core: a directory such as yours, and the way there
	defer done()

	credentials, err := iot.LoadCredentials(certs) // private.key, cert.pem, AmazonRootCA1.pem
	if err != nil {
		log.Fatal(err)
	}
	server := iot.Config{
		Endpoint:    "a1b2c3-ats.iot.us-east-1.amazonaws.com",
		ClientID:    "meter-7",
		Credentials: credentials,
		DialContext: desk, // without this line it is AWS
	}
	config, err := server.MQTT()
	if err != nil {
		log.Fatal(err)
	}
	client, err := mqtt.New(config)
	if err != nil {
		log.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	go func() {
		if err := client.Run(ctx); err != nil {
			log.Print(iot.Diagnose(err, server)) // what happened, why that may be, and what to do
		}
	}()
	if err := client.Publish(ctx, mqtt.Message{Topic: "meter/7", Payload: []byte("42"), QoS: mqtt.QoS1}); err != nil {
		log.Fatal(err)
	}
	fmt.Println("acknowledged")
	if err := client.Shutdown(ctx); err != nil {
		log.Fatal(err)
	}
	// Output: acknowledged
}

// Print what comes until Ctrl-C. The subscription outlives the connections.
func Example_subscribe() {
	certs, desk, done := playAWS()
	defer done()

	credentials, err := iot.LoadCredentials(certs)
	if err != nil {
		log.Fatal(err)
	}
	server := iot.Config{
		Endpoint:     "a1b2c3-ats.iot.us-east-1.amazonaws.com",
		ClientPrefix: "reader", // and something random, since AWS takes one connection for each client identifier
		Credentials:  credentials,
		DialContext:  desk,
	}
	config, err := server.MQTT()
	if err != nil {
		log.Fatal(err)
	}
	client, err := mqtt.New(config)
	if err != nil {
		log.Fatal(err)
	}
	meters, err := client.Subscribe("meter/+", mqtt.QoS1)
	if err != nil {
		log.Fatal(err)
	}
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt)
	defer cancel()
	ran := make(chan error, 1)
	go func() { ran <- client.Run(ctx) }()
	go publishTwo(ctx, client, meters) // for this example alone
	for m, err := range meters.Messages(ctx) {
		if err != nil {
			break // Run says why
		}
		fmt.Printf("%s %s\n", m.Topic, m.Payload)
		if m.Topic == "meter/8" {
			cancel() // as Ctrl-C does
		}
	}
	if err := <-ran; !errors.Is(err, context.Canceled) {
		log.Fatal(iot.Diagnose(err, server))
	}
	// Output:
	// meter/7 42 W
	// meter/8 43 W
}

// publishTwo publishes two messages once there is the subscription.
func publishTwo(ctx context.Context, client *mqtt.Client, meters *mqtt.Subscription) {
	if err := meters.Ready(ctx); err != nil {
		log.Fatal(err)
	}
	for _, m := range []mqtt.Message{
		{Topic: "meter/7", Payload: []byte("42 W"), QoS: mqtt.QoS1},
		{Topic: "meter/8", Payload: []byte("43 W"), QoS: mqtt.QoS1},
	} {
		if _, err := client.Submit(ctx, m); err != nil {
			log.Fatal(err)
		}
	}
}

// AWS IoT Core hangs up on a message that the policy does not allow, and does not say so. The error knows what was not
// answered, and Diagnose what that means there.
func ExampleDiagnose() {
	server := iot.Config{Endpoint: "a1b2c3-ats.iot.eu-west-1.amazonaws.com", ClientID: "meter-7"}
	err := error(&mqtt.LostError{ // as Run returns it
		Cause:      io.EOF,
		Up:         40 * time.Millisecond,
		Publishing: &mqtt.Message{Topic: "meter/7", QoS: mqtt.QoS1},
	})
	d := iot.Diagnose(err, server)
	fmt.Println(d.Kind)
	fmt.Println(d)
	// Output:
	// lost
	// connection lost: the server closed it after PUBLISH to meter/7
	//   no policy of the certificate allows iot:Publish on arn:aws:iot:eu-west-1:ACCOUNT:topic/meter/7
	//   next: aws iot test-authorization --principal arn:aws:iot:eu-west-1:ACCOUNT:cert/ID --client-id meter-7 --auth-infos actionType=PUBLISH,resources=arn:aws:iot:eu-west-1:ACCOUNT:topic/meter/7 --region eu-west-1
}

// A device tells its user what is in the way.
func ExampleCheckup_Steps() {
	certs, desk, done := playAWS()
	defer done()

	checkup := iot.Checkup{
		Config:    iot.Config{Endpoint: "a1b2c3-ats.iot.us-east-1.amazonaws.com", ClientID: "meter-7", DialContext: desk},
		Files:     iot.CredentialFiles{Dir: certs},
		Subscribe: []string{"meter/7/commands"},
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	for step := range checkup.Steps(ctx) {
		fmt.Println(step.Result, step.Name) // and step.Found, which says what was found
		if step.Result == iot.Failed {
			fmt.Println(step.Diagnosis)
		}
	}
	// Output:
	// ok clock
	// skip DNS
	// ok TCP 8883
	// ok TCP 443
	// ok TLS
	// ok server
	// ok private key
	// ok certificate
	// ok certificate id
	// ok CONNECT
	// ok SUBSCRIBE
	// skip PUBLISH
}

// playAWS plays AWS IoT Core in memory. It returns a directory with the files of a device, and how to connect.
func playAWS() (certs string, dial func(ctx context.Context, network, address string) (net.Conn, error), done func()) {
	dir, err := os.MkdirTemp("", "desk")
	if err != nil {
		log.Fatal(err)
	}
	core, err := aws.New(aws.Config{Dir: dir, Hosts: []string{"*.iot.us-east-1.amazonaws.com"}})
	if err != nil {
		log.Fatal(err)
	}
	dial = func(ctx context.Context, _, address string) (net.Conn, error) {
		if strings.HasSuffix(address, ":443") {
			return core.DialALPN(ctx)
		}
		return core.DialTLS(ctx)
	}
	return dir, dial, func() {
		core.Close()
		os.RemoveAll(dir)
	}
}

// Where to connect, as users write it.
func ExampleParseEndpoint() {
	for _, s := range []string{"a1b2c3-ats.iot.eu-west-1.amazonaws.com", "mqtt://127.0.0.1", "https://example.com/mqtt"} {
		e, err := iot.ParseEndpoint(s)
		if err != nil {
			fmt.Println(err)
			continue
		}
		fmt.Println(e, e.TLS, e.AWS())
	}
	// Output:
	// a1b2c3-ats.iot.eu-west-1.amazonaws.com:8883 true true
	// mqtt://127.0.0.1:1883 false false
	// endpoint "https://example.com/mqtt": a web address, want the host name alone; try "example.com"
}
