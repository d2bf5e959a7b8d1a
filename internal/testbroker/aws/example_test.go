package aws_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"strings"

	"iotwire/internal/testbroker/aws"
	"iotwire/mqtt/packet"
)

// A test has AWS IoT Core in the process: the client that it is about dials [aws.Core.DialTLS] in place of the network,
// and where it is hung up on, the log says why.
func Example() {
	dir, err := os.MkdirTemp("", "desk")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	refused := make(chan aws.Entry, 10)
	core, err := aws.New(aws.Config{Dir: dir, Log: func(e aws.Entry) {
		if e.Failed() && e.EventType != "Disconnect" {
			refused <- e
		}
	}})
	if err != nil {
		log.Fatal(err)
	}
	defer core.Close()
	const policy = `{"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "iot:Connect",
		"Resource": "arn:aws:iot:us-east-1:123456789012:client/meter-*"}}`
	if err := os.WriteFile(dir+"/policy.json", []byte(policy), 0o600); err != nil {
		log.Fatal(err)
	}

	conn, err := core.DialTLS(context.Background())
	if err != nil {
		log.Fatal(err)
	}
	defer conn.Close()
	config, err := core.Certificates.DeviceConfig()
	if err != nil {
		log.Fatal(err)
	}
	client := tls.Client(conn, config)
	b, _ := packet.AppendConnect(nil, &packet.Connect{ClientID: []byte("sensor-7"), CleanSession: true})
	if _, err := client.Write(b); err != nil {
		log.Fatal(err)
	}
	_, err = client.Read(make([]byte, 1))
	fmt.Println("the client sees the end of the connection:", errors.Is(err, io.EOF))

	e := <-refused
	for _, line := range strings.SplitAfter(e.Details, ": ") {
		fmt.Println(strings.TrimSpace(line))
	}
	fmt.Printf("%s\n", e.WouldAllow)
	// Output:
	// the client sees the end of the connection: true
	// no statement allows iot:Connect on arn:aws:iot:us-east-1:123456789012:client/sensor-7:
	// statement 1 of policy.json has client/meter-*
	// {"Effect":"Allow","Action":"iot:Connect","Resource":"arn:aws:iot:us-east-1:123456789012:client/sensor-7"}
}
