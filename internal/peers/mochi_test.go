package peers

import (
	"log/slog"
	"testing"

	mochimqtt "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/hooks/auth"
	"github.com/mochi-mqtt/server/v2/listeners"
)

// mochi is mochi-mqtt, in this process.
var mochi = brokerKind{
	name:     "mochi",
	start:    startMochi,
	reorders: "it keeps what waits for a session in a map, and sorts it by the second in which it came",
	lacks: map[string]string{
		"qos1-publisher-cut-off":  "when it cannot write a PUBACK it drops the message, but acknowledges it on the next connection",
		"qos2-publisher-cut-off":  "when it cannot write a PUBREC it drops the message, but answers the repetition as if it had it",
		"qos1-subscriber-cut-off": "it loses messages that come while a session passes to a new connection",
		"qos2-subscriber-cut-off": "it loses messages that come while a session passes to a new connection",
	},
}

func startMochi(t *testing.T, s setup) *broker {
	t.Helper()
	b := &broker{setup: s, address: freeAddress(t)}
	log := newJournal(t, "mochi-mqtt")
	start := func(t *testing.T) *mochimqtt.Server {
		server := mochimqtt.New(&mochimqtt.Options{
			Logger: slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug})),
		})
		ledger := &auth.Ledger{Auth: auth.AuthRules{{
			Username: auth.RString(s.user), Password: auth.RString(s.password), Allow: true, // empty: any
		}}}
		if s.deny != "" {
			ledger.ACL = auth.ACLRules{
				{Filters: auth.Filters{auth.RString(s.deny): auth.WriteOnly}},
				{Filters: auth.Filters{"#": auth.ReadWrite}},
			}
		}
		if err := server.AddHook(new(auth.Hook), &auth.Options{Ledger: ledger}); err != nil {
			t.Fatal(err)
		}
		listener := listeners.Config{ID: "test", Address: b.address}
		if s.certificates != nil {
			listener.TLSConfig = s.certificates.server(t)
		}
		if err := server.AddListener(listeners.NewTCP(listener)); err != nil {
			t.Fatal(err)
		}
		if err := server.Serve(); err != nil {
			t.Fatal(err)
		}
		return server
	}
	running := start(t)
	t.Cleanup(func() { running.Close() })
	b.crash = func(t *testing.T) {
		running.Close()
		running = start(t)
	}
	return b
}
