package docs_test

import (
	"strings"
)

var readme = page{path: "../README.md", least: 14, prepare: prepareReadme, rewrite: rewriteReadme, apart: apartInReadme}

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
	command = strings.ReplaceAll(command, "--tls-port 8883", "--tls-port 0")
	switch {
	case strings.HasPrefix(command, "go run ./cmd/"):
		return strings.TrimPrefix(command, "go run ./cmd/"), asItIs
	case strings.Contains(command, endpoint):
		account := "localhost:" + r.ports["account"]
		command = strings.ReplaceAll(command, "-e "+endpoint, "--aws -e "+account)
		return command, func(line string) string { return strings.ReplaceAll(line, account, endpoint+":8883") }
	case strings.Contains(command, "-e localhost "):
		port := r.ports["mqtts"]
		command = strings.ReplaceAll(command, "-e localhost ", "-e localhost:"+port+" ")
		return command, func(line string) string { return strings.ReplaceAll(line, "TCP "+port, "TCP 8883") }
	}
	return command, asItIs
}

func asItIs(line string) string { return line }

// apartInReadme knows the demo, which shows three programs on one screen, and the pipe into jq.
func apartInReadme(s step) string {
	switch {
	case s.command == "go run ./cmd/demo":
		return "publisher "
	case s.terminal == "subscriber" && s.command == "":
		return "["
	}
	return ""
}
