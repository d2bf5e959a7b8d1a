// The publisher sends messages to AWS IoT Core, or any MQTT 3.1.1 broker: see publisher --help.
package main

import (
	"os"

	"iotwire/internal/cli"
)

func main() {
	os.Exit(int(cli.Publisher(cli.OS())))
}
