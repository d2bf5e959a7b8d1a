package peers

import (
	"fmt"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// nats is nats-server with its MQTT listener, in this process.
var nats = brokerKind{
	name:        "nats",
	start:       startNATS,
	retainsLate: "it stores retained messages after it has acknowledged them",
	reorders:    "it delivers again, without order, what a client did not acknowledge before it lost the connection",
	lacks: map[string]string{
		"shared-subscription":  "no shared subscriptions: it takes $share for a level of a topic like any other",
		"topics/with space":    "no spaces in topics: it refuses such a filter",
		"topics/signs of NATS": "no * and > in topics: it refuses such a filter",
	},
}

func startNATS(t *testing.T, s setup) *broker {
	t.Helper()
	b := &broker{setup: s, address: freeAddress(t)}
	log := &natsLog{newJournal(t, "nats-server")}
	start := func(t *testing.T) *server.Server {
		n, err := server.NewServer(natsOptions(t, b))
		if err != nil {
			t.Fatal(err)
		}
		n.SetLoggerV2(log, true, true, false)
		n.Start()
		awaitListener(t, b.address, nil)
		return n
	}
	running := start(t)
	stop := func() {
		running.Shutdown()
		running.WaitForShutdown()
	}
	t.Cleanup(func() { stop() })
	b.crash = func(t *testing.T) {
		stop()
		running = start(t) // its store is a new directory
	}
	return b
}

func natsOptions(t *testing.T, b *broker) *server.Options {
	host, number, err := net.SplitHostPort(b.address)
	if err != nil {
		t.Fatal(err)
	}
	port, err := strconv.Atoi(number)
	if err != nil {
		t.Fatal(err)
	}
	o := &server.Options{
		ServerName: "peers",
		DontListen: true, // for clients of NATS
		NoSigs:     true,
		MaxPayload: 8 << 20,
		JetStream:  true, // sessions and retained messages are kept there
		StoreDir:   t.TempDir(),
		MQTT: server.MQTTOpts{
			Host:    host,
			Port:    port,
			AckWait: 5 * time.Second, // then it sends again what was not acknowledged; the default is 30 s
		},
	}
	if s := b.setup; s.certificates != nil {
		o.MQTT.TLSConfig = s.certificates.server(t)
		o.MQTT.TLSTimeout = patience.Seconds()
	}
	if s := b.setup; s.deny != "" {
		o.Users = []*server.User{{Username: "anybody", Permissions: &server.Permissions{
			Subscribe: &server.SubjectPermission{Deny: []string{strings.ReplaceAll(s.deny, "/", ".")}},
		}}}
		o.MQTT.NoAuthUser = "anybody"
	} else {
		o.MQTT.Username, o.MQTT.Password = s.user, s.password
	}
	return o
}

// natsLog is the logger of a server.
type natsLog struct{ journal *journal }

func (l *natsLog) line(level, format string, v []any) {
	fmt.Fprintf(l.journal, level+" "+format+"\n", v...)
}

func (l *natsLog) Noticef(format string, v ...any) { l.line("notice", format, v) }
func (l *natsLog) Warnf(format string, v ...any)   { l.line("warning", format, v) }
func (l *natsLog) Fatalf(format string, v ...any)  { l.line("fatal", format, v) }
func (l *natsLog) Errorf(format string, v ...any)  { l.line("error", format, v) }
func (l *natsLog) Debugf(format string, v ...any)  { l.line("debug", format, v) }
func (l *natsLog) Tracef(format string, v ...any)  { l.line("trace", format, v) }
