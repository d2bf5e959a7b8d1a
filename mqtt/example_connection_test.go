package mqtt_test

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"time"

	"iotwire/internal/testbroker"
	"iotwire/mqtt"
	"iotwire/mqtt/packet"
)

// Dial can be anything that makes an ordered, lossless connection: here TLS over TCP. Package iot makes one for AWS IoT
// Core and for other servers with certificates.
func ExampleConfig() {
	address, trust, done := serveTLS() // in place of a server: its address, and how to trust it
	defer done()

	dialer := tls.Dialer{Config: trust} // nil: the roots of the system
	client, err := mqtt.New(mqtt.Config{
		Dial:      func(ctx context.Context) (net.Conn, error) { return dialer.DialContext(ctx, "tcp", address) },
		ClientID:  "meter-7",
		KeepAlive: 30 * time.Second,
		Will:      &mqtt.Message{Topic: "meter/7/state", Payload: []byte("lost"), QoS: mqtt.QoS1, Retain: true},
	})
	if err != nil {
		log.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	go client.Run(ctx)
	fmt.Println("connected:", client.Ready(ctx))
	fmt.Println("shut down:", client.Shutdown(ctx)) // with DISCONNECT, so that the will is not published
	// Output:
	// connected: <nil>
	// shut down: <nil>
}

// serveTLS is a broker on a port of this machine.
func serveTLS() (address string, trust *tls.Config, done func()) {
	certificates, err := testbroker.NewCertificates()
	if err != nil {
		log.Fatal(err)
	}
	ours, err := certificates.ServerConfig()
	if err != nil {
		log.Fatal(err)
	}
	if trust, err = certificates.DeviceConfig(); err != nil {
		log.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	broker := testbroker.New(testbroker.Config{})
	go broker.Serve(context.Background(), tls.NewListener(l, ours))
	return l.Addr().String(), trust, broker.Close
}

// A message above MaxPacket does not go through memory: it is read from the connection where it is needed.
func ExampleConfig_large() {
	broker := testbroker.New(testbroker.Config{})
	defer broker.Close()
	sum := make(chan string, 1)
	client, stop := connect(broker, mqtt.Config{
		ClientID:  "updater",
		MaxPacket: 1024,
		Large: func(m *mqtt.Message, size int, payload io.Reader) error {
			hash := sha256.New() // or a file
			if _, err := io.Copy(hash, payload); err != nil {
				return err // the message is not acknowledged, and comes again
			}
			sum <- fmt.Sprintf("%s: %d bytes, SHA-256 %x...", m.Topic, size, hash.Sum(nil)[:4])
			return nil
		},
	})
	defer stop()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	firmware, err := client.Subscribe("firmware/#", mqtt.QoS1)
	if err != nil {
		log.Fatal(err)
	}
	if err := firmware.Ready(ctx); err != nil {
		log.Fatal(err)
	}
	broker.Publish("firmware/2.0", make([]byte, 1_000_000), mqtt.QoS1, false)
	fmt.Println(<-sum)
	// Output: firmware/2.0: 1000000 bytes, SHA-256 d29751f2...
}

// Run ends when it makes no sense to go on, and says why.
func ExampleClient_Run() {
	broker := testbroker.New(testbroker.Config{
		Authenticate: func(*packet.Connect, *tls.ConnectionState) packet.ConnectCode { return packet.RefusedCredentials },
	})
	defer broker.Close()
	client, err := mqtt.New(mqtt.Config{
		Dial:     broker.Dial,
		ClientID: "meter-7",
		Credentials: func(context.Context) (string, []byte, error) { // asked for each connection: a token can be renewed
			return "meter", []byte("last year's password"), nil
		},
	})
	if err != nil {
		log.Fatal(err)
	}
	err = client.Run(context.Background())
	var refused *mqtt.ConnectError
	if errors.As(err, &refused) {
		fmt.Printf("code %d: %v\n", refused.Code, err)
	}
	// Output: code 4: refused: bad user name or password (CONNACK 4, MQTT 3.1.1 section 3.2.2.3)
}

// A program that has to be connected before it goes on, but not for ever.
func ExampleClient_Ready() {
	client, err := mqtt.New(mqtt.Config{
		Dial:     func(context.Context) (net.Conn, error) { return nil, errors.New("no route to host") },
		ClientID: "meter-7",
		Retry:    func(error) bool { return false }, // else it tries again and again, with pauses
	})
	if err != nil {
		log.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	go client.Run(ctx)
	if err := client.Ready(ctx); err != nil {
		fmt.Println(errors.Is(err, mqtt.ErrClosed), err)
	}
	// Output: true client closed: no route to host
}

// A server that hangs up does not say why. The error says what it had been sent.
func ExampleLostError() {
	broker := testbroker.New(testbroker.Config{Guard: func(testbroker.Arrival) (*testbroker.Guard, error) {
		return &testbroker.Guard{Publish: func(*packet.Publish, int) (testbroker.Verdict, error) {
			return 0, errors.New("not allowed") // and so it closes the connection, as AWS IoT Core does
		}}, nil
	}})
	defer broker.Close()
	client, err := mqtt.New(mqtt.Config{
		Dial:     broker.Dial,
		ClientID: "meter-7",
		Retry:    func(err error) bool { return !errors.Is(err, mqtt.ErrLost) },
	})
	if err != nil {
		log.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if _, err := client.Submit(ctx, mqtt.Message{Topic: "meter/7/power", Payload: []byte("42 W"), QoS: mqtt.QoS1}); err != nil {
		log.Fatal(err)
	}
	var lost *mqtt.LostError
	if errors.As(client.Run(ctx), &lost) {
		fmt.Println(lost)
		fmt.Println("not acknowledged:", lost.Publishing.Topic)
	}
	// Output:
	// connection lost: the server closed it
	// not acknowledged: meter/7/power
}
