// The subscriber prints messages from AWS IoT Core, or any MQTT 3.1.1 broker: see subscriber --help.
package main

import (
	"os"

	"iotwire/internal/cli"
)

func main() {
	os.Exit(int(cli.Subscriber(cli.OS())))
}
