package cli

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"iotwire/internal/testbroker"
	"iotwire/internal/testbroker/aws"
	"iotwire/mqtt/packet"
)

// transcript is what one reads of real failures, one after the other.
type transcript struct {
	strings.Builder
	plain *strings.Replacer // of what differs each time
}

var (
	pauses = regexp.MustCompile(`reconnecting in [0-9.]+ m?s`) // at random
	someID = regexp.MustCompile(`\b[0-9a-f]{64}\b`)
)

// add adds what a program said that has ended.
func (s *transcript) add(name string, r *trial) {
	r.wait()
	text := s.plain.Replace(r.stderr.String())
	text = pauses.ReplaceAllString(text, "reconnecting in N s")
	text = someID.ReplaceAllString(text, "ID")
	fmt.Fprintf(s, "# %s: exit code %d\n%s\n", name, r.exit, text)
}

// Every kind of failure, as it is read by who made it happen. What they hold is tested elsewhere, one by one; here one
// sees how they sound side by side.
func TestErrorTexts(t *testing.T) {
	var s transcript
	ours, dir := certificates(t)
	_, strangers := certificates(t)
	mixed := t.TempDir()
	for name, from := range map[string]string{"private.key": strangers, "cert.pem": dir, "AmazonRootCA1.pem": dir} {
		b, err := os.ReadFile(filepath.Join(from, name))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(mixed, name), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	empty := t.TempDir()
	s.plain = strings.NewReplacer(dir, "certs", strangers, "strangers", mixed, "mixed", empty, "empty")
	config, err := ours.ServerConfig()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ name, args string }{
		{"no files", "-C " + empty},
		{"a key of another certificate", "-C " + mixed},
		{"a server of another CA", "-C " + dir + " --ca " + filepath.Join(strangers, "AmazonRootCA1.pem")},
		{"a certificate that the server does not know", "-C " + strangers + " --ca " + filepath.Join(dir, "AmazonRootCA1.pem")},
		{"a server of another name", "-C " + dir + " -e broker.example"},
	} {
		synctest.Test(t, func(t *testing.T) {
			b := testbroker.New(testbroker.Config{TLS: config, RequireCertificate: true})
			defer b.Close()
			s.add(c.name, run(t, Publisher, to(b.DialTLS), nil, append([]string{"-e", "localhost", "-m", "x", "--quiet"}, strings.Fields(c.args)...)...))
		})
	}

	inCloud(t, aws.Config{}, func(t *testing.T, c *cloud) {
		s.plain = strings.NewReplacer(c.dir, "certs", c.id, "ID")
		c.allow(mayPublish, maySubscribe, mayReceive)
		s.add("AWS IoT Core: no iot:Connect", c.start(Publisher, "-m", "x", "--quiet"))
		time.Sleep(time.Second)
		c.allow(mayConnect)
		s.add("AWS IoT Core: no iot:Publish", c.start(Publisher, "-m", "x", "-n", "3", "--quiet"))
		time.Sleep(time.Second)
		s.add("AWS IoT Core: no iot:Subscribe", c.start(Subscriber, "-t", "test/#", "--quiet"))
	})

	s.plain = strings.NewReplacer()
	refuse := script(func(p *peer, h packet.Header, body []byte) bool {
		b, _ := packet.AppendConnack(nil, &packet.Connack{Code: 5})
		p.Write(b)
		return false
	})
	for _, c := range []struct {
		name string
		main func(*Process) ExitCode
		dial func() dial
		args string
	}{
		{"CONNACK 5", Publisher, func() dial { return refuse }, "-m x"},
		{"a hang-up in place of CONNACK", Publisher, func() dial { return script(hangUp) }, "-m x"},
		{"a hang-up after two messages", Publisher, func() dial {
			sent := 0
			return afterConnect(packet.PUBLISH, func(p *peer, h packet.Header, body []byte) bool {
				sent++
				return sent <= 2 && p.obey(h, body)
			})
		}, "-n 3 -m x --quiet"},
		{"SUBACK 0x80", Subscriber, func() dial {
			return afterConnect(packet.SUBSCRIBE, func(p *peer, h packet.Header, body []byte) bool {
				m, _ := packet.ParseSubscribe(body)
				b, _ := packet.AppendSuback(nil, &packet.Suback{ID: m.ID, Codes: []byte{0x80}})
				p.Write(b)
				return true
			})
		}, "-t test/#"},
		{"no PINGRESP, then a new connection", Subscriber, func() dial {
			return afterConnect(packet.PINGREQ, func(p *peer, h packet.Header, body []byte) bool {
				return p.number == 1 || p.obey(h, body)
			})
		}, "-W 1m"},
		{"no PUBACK", Publisher, func() dial { return afterConnect(packet.PUBLISH, ignore) }, "-m x"},
		{"a packet that breaks a rule", Subscriber, func() dial {
			return afterConnect(packet.PINGREQ, func(p *peer, h packet.Header, body []byte) bool {
				p.Write([]byte{0x62, 0})
				return true
			})
		}, "--no-reconnect"},
		{"-W is over", Subscriber, func() dial { return script((*peer).obey) }, "-n 1 -W 30"},
		{"no endpoint", Publisher, nil, "-e="},
		{"a wrong option", Publisher, nil, "--coun 3"},
		{"no such file", Publisher, nil, "-f /does/not/exist"},
	} {
		synctest.Test(t, func(t *testing.T) {
			var d dial
			if c.dial != nil {
				d = c.dial()
			}
			s.add(c.name, run(t, c.main, d, nil, strings.Fields(c.args)...))
		})
	}
	golden(t, "errors", s.String())
}
