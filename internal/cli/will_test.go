package cli

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"testing/synctest"

	"iotwire/mqtt/packet"
)

func TestTheWillIsPartOfConnect(t *testing.T) {
	for _, c := range []struct{ args, want string }{
		{"", "none"},
		{"--will-topic a/b", "a/b 0 false "},
		{"--will-topic a/b --will-message gone --will-qos 2 --will-retain", "a/b 2 true gone"},
		{"--will-topic a/b --will-message=", "a/b 0 false "},
		{"--check --will-topic a/b --will-message gone --will-qos 1", "a/b 1 false gone"},
	} {
		for _, program := range programs {
			synctest.Test(t, func(t *testing.T) {
				got := make(chan string, 10)
				args := append(strings.Fields(c.args), program.args...)
				r := start(t, program.main, script(func(p *peer, h packet.Header, body []byte) bool {
					if h.Type == packet.CONNECT {
						m, _ := packet.ParseConnect(body)
						will := "none"
						if m.Will {
							will = fmt.Sprintf("%s %d %t %s", m.WillTopic, m.WillQoS, m.WillRetain, m.WillMessage)
						}
						got <- will
					}
					return p.obey(h, body)
				}), nil, args...)
				if will := <-got; will != c.want {
					t.Errorf("%s %s: the will is %q, want %q", program.name, c.args, will, c.want)
				}
				r.signals <- os.Interrupt
				r.wait()
			})
		}
	}
}

func TestAWillThatNoServerTakesIsAMistake(t *testing.T) {
	deep := strings.Repeat("x/", 8) + "x"
	for args, want := range map[string]string{
		"--will-message|x":                      "--will-message needs --will-topic TOPIC",
		"--will-qos|0":                          "--will-qos needs --will-topic TOPIC",
		"--will-retain":                         "--will-retain needs --will-topic TOPIC",
		"--will-topic|a/#":                      `--will-topic "a/#": topic name has the wildcard '#', which belongs in topic filters only (byte 2) [MQTT-4.7.1-1]`,
		"--will-topic|":                         "--will-topic: the value is empty",
		"--will-topic|a|--will-qos|3":           "--will-qos: 3 is more than 2",
		"--will-topic|a|--will-qos|2|--aws":     "--will-topic: AWS IoT Core: QoS 2, want 0 or 1",
		"--will-topic|" + deep + "|--aws":       `--will-topic: AWS IoT Core: topic "` + deep + `" has 8 slashes, want at most 7`,
		"--will-topic|a|--will-message|" + long: "--will-message: 65536 bytes, and a CONNECT has room for 65535 (3.1.3.3)",
	} {
		for _, program := range programs {
			r := run(t, program.main, script(ignore), nil, append(strings.Split(args, "|"), program.args...)...)
			r.ended(ExitUsage, program.name+": "+want+" ("+program.name+" --help lists the options)")
		}
	}
}

var long = strings.Repeat("x", 65_536)
