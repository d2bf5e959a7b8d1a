package docs_test

import (
	"strings"
)

var readme = page{path: "../README.md", least: 4, prepare: prepareReadme, rewrite: rewriteReadme, apart: func(command string) bool {
	return command == "go run ./cmd/demo"
}}

// endpoint stands for that of a reader's account.
const endpoint = "a1b2c3-ats.iot.us-east-1.amazonaws.com"

// prepareReadme lets a broker play the reader's account, which also puts the files into certs.
func prepareReadme(r *reader) {
	r.terminals[unseen] = r.start("testbroker --aws --tls-port 0 --dir certs --log account.log")
	r.look(unseen, 1)
	r.ports["account"] = r.ports["mqtts"]
	delete(r.ports, "mqtts")
}

// rewriteReadme goes to the brokers that are there, and runs what is built.
func rewriteReadme(r *reader, command string) (string, func(line string) string) {
	shown := func(line string) string { return line }
	switch {
	case strings.HasPrefix(command, "go run ./cmd/"):
		command = strings.TrimPrefix(command, "go run ./cmd/")
	case strings.Contains(command, endpoint):
		account := "localhost:" + r.ports["account"]
		command = strings.ReplaceAll(command, "-e "+endpoint, "--aws -e "+account)
		shown = func(line string) string { return strings.ReplaceAll(line, account, endpoint+":8883") }
	case strings.Contains(command, "-e localhost "):
		command = strings.ReplaceAll(command, "-e localhost ", "-e localhost:"+r.ports["mqtts"]+" ")
	}
	command = strings.ReplaceAll(command, "--tls-port 8883", "--tls-port 0")
	return command, shown
}
