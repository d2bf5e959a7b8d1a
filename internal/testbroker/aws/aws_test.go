package aws

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"iotwire/mqtt/packet"
)

// desk is a Core on a fresh registry, and its log.
type desk struct {
	*Core
	t   *testing.T
	dir string

	mu  sync.Mutex
	log []Entry
}

// onDesk runs a test in a bubble with a Core that allows everything until the test says otherwise.
func onDesk(t *testing.T, config Config, test func(*testing.T, *desk)) {
	t.Helper()
	if config.Dir == "" {
		config.Dir = t.TempDir()
	}
	synctest.Test(t, func(t *testing.T) {
		d := &desk{t: t, dir: config.Dir}
		config.Log = func(e Entry) {
			d.mu.Lock()
			defer d.mu.Unlock()
			d.log = append(d.log, e)
		}
		core, err := New(config)
		if err != nil {
			t.Fatal(err)
		}
		defer core.Close()
		d.Core = core
		test(t, d)
	})
}

// write puts a file into the registry.
func (d *desk) write(name, text string) {
	d.t.Helper()
	if err := os.WriteFile(filepath.Join(d.dir, name), []byte(text), 0o644); err != nil {
		d.t.Fatal(err)
	}
}

// allow makes the policy one of these statements, in which "~" stands for the account.
func (d *desk) allow(statements ...string) {
	d.t.Helper()
	text := `{"Version": "2012-10-17", "Statement": [` + strings.Join(statements, ",") + `]}`
	d.write("policy.json", strings.ReplaceAll(text, "~", "arn:aws:iot:us-east-1:123456789012:"))
}

const (
	mayConnect     = `{"Effect": "Allow", "Action": "iot:Connect", "Resource": "*"}`
	maySend        = `{"Effect": "Allow", "Action": "iot:Publish", "Resource": "*"}`
	maySubscribeTo = `{"Effect": "Allow", "Action": "iot:Subscribe", "Resource": "*"}`
	mayReceive     = `{"Effect": "Allow", "Action": "iot:Receive", "Resource": "*"}`
)

// lines returns what the log says since the last call, one line each: event, status and what follows.
func (d *desk) lines() string {
	synctest.Wait()
	d.mu.Lock()
	defer d.mu.Unlock()
	var b strings.Builder
	for _, e := range d.log {
		b.WriteString(e.EventType + " " + e.Status)
		for _, s := range []string{e.ClientID, e.TopicName, e.DisconnectReason, e.Reason, e.Action, e.Resource, string(e.WouldAllow)} {
			if s != "" {
				b.WriteString(" " + s)
			}
		}
		b.WriteByte('\n')
	}
	d.log = nil
	return b.String()
}

// wantLines compares the log since the last call.
func (d *desk) wantLines(want ...string) {
	d.t.Helper()
	if got := d.lines(); got != strings.Join(want, "\n")+"\n" {
		d.t.Errorf("log:\n%swant:\n%s", got, strings.Join(want, "\n"))
	}
}

// wire is a client made of packets.
type wire struct {
	t    *testing.T
	conn net.Conn
	in   *packet.Reader
}

// dial opens a connection with mutual TLS.
func (d *desk) dial() *wire {
	d.t.Helper()
	config, err := d.Certificates.DeviceConfig()
	if err != nil {
		d.t.Fatal(err)
	}
	return d.dialAs(config)
}

func (d *desk) dialAs(config *tls.Config) *wire {
	d.t.Helper()
	conn, err := d.DialTLS(context.Background())
	if err != nil {
		d.t.Fatal(err)
	}
	d.t.Cleanup(func() { conn.Close() })
	client := tls.Client(conn, config)
	return &wire{d.t, client, packet.NewReader(client, 8<<20)}
}

// join connects with a clean session.
func (d *desk) join(id string) *wire {
	d.t.Helper()
	w := d.dial()
	w.connect(packet.Connect{ClientID: []byte(id), CleanSession: true})
	return w
}

// connect sends a CONNECT that is accepted.
func (w *wire) connect(p packet.Connect) {
	w.t.Helper()
	w.send(packet.AppendConnect(nil, &p))
	w.want(packet.AppendConnack(nil, &packet.Connack{}))
}

// send takes what an Append function returns.
func (w *wire) send(b []byte, err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
	if _, err := w.conn.Write(b); err != nil {
		w.t.Fatalf("write: %v", err)
	}
}

// want compares the next packet.
func (w *wire) want(b []byte, err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
	h, n, _ := packet.ParseHeader(b)
	w.conn.SetReadDeadline(time.Now().Add(time.Minute))
	got, body, err := w.in.Next()
	if err != nil {
		w.t.Fatalf("%v instead of %v", err, h.Type)
	}
	if got != h || string(body) != string(b[n:]) {
		w.t.Fatalf("%v % x, want %v % x", got, body, h, b[n:])
	}
}

// wantEnd checks that the broker hangs up without a word.
func (w *wire) wantEnd() {
	w.t.Helper()
	w.conn.SetReadDeadline(time.Now().Add(time.Minute))
	h, _, err := w.in.Next()
	if err == nil {
		w.t.Fatalf("%v, want the end", h.Type)
	}
	if !errors.Is(err, io.EOF) {
		w.t.Fatalf("%v, want EOF", err)
	}
}

// wantSilence checks that nothing comes for a second.
func (w *wire) wantSilence() {
	w.t.Helper()
	w.conn.SetReadDeadline(time.Now().Add(time.Second))
	if h, _, err := w.in.Next(); !errors.Is(err, os.ErrDeadlineExceeded) {
		w.t.Fatalf("%v %v, want nothing", h.Type, err)
	}
}

func TestEmptyDirectoryBecomesARegistry(t *testing.T) {
	onDesk(t, Config{}, func(t *testing.T, d *desk) {
		for name, mode := range map[string]os.FileMode{"private.key": 0o600, "cert.pem": 0o644, "AmazonRootCA1.pem": 0o644, "policy.json": 0o644, "thing.json": 0o644} {
			info, err := os.Stat(filepath.Join(d.dir, name))
			if err != nil || info.Mode().Perm() != mode {
				t.Errorf("%s: %v %v, want mode %o", name, info, err, mode)
			}
		}
		w := d.join("c1")
		w.send(packet.AppendSubscribe(nil, &packet.Subscribe{ID: 1, Requests: packet.Requests{}.Add("a/b", 1)}))
		w.want(packet.AppendSuback(nil, &packet.Suback{ID: 1, Codes: []byte{1}}))
		w.send(packet.AppendPublish(nil, &packet.Publish{Topic: []byte("a/b"), Payload: []byte("x"), QoS: 1, ID: 7}))
		w.want(packet.AppendPublish(nil, &packet.Publish{Topic: []byte("a/b"), Payload: []byte("x"), QoS: 1, ID: 1}))
		w.want(packet.AppendPuback(nil, &packet.Puback{ID: 7}))
		w.send(packet.AppendDisconnect(nil), nil)
		w.wantEnd()
		d.wantLines("Connect Success c1", "Subscribe Success c1 a/b", "Publish-In Success c1 a/b", "Publish-Out Success c1 a/b",
			"Disconnect Success c1 CLIENT_INITIATED_DISCONNECT")
	})
}

func TestDeniedConnectIsClosedWithoutConnack(t *testing.T) {
	onDesk(t, Config{}, func(t *testing.T, d *desk) {
		d.allow(maySend)
		w := d.dial()
		w.send(packet.AppendConnect(nil, &packet.Connect{ClientID: []byte("c1"), CleanSession: true}))
		w.wantEnd()
		d.wantLines(`Connect Failure c1 AUTHORIZATION_FAILURE iot:Connect arn:aws:iot:us-east-1:123456789012:client/c1 ` +
			`{"Effect":"Allow","Action":"iot:Connect","Resource":"arn:aws:iot:us-east-1:123456789012:client/c1"}`)
	})
}

func TestDeniedPublishIsClosedWithoutPuback(t *testing.T) {
	onDesk(t, Config{}, func(t *testing.T, d *desk) {
		d.allow(mayConnect)
		w := d.join("c1")
		w.send(packet.AppendPublish(nil, &packet.Publish{Topic: []byte("a/b"), QoS: 1, ID: 7}))
		w.wantEnd()
		d.wantLines("Connect Success c1",
			`Publish-In Failure c1 a/b AUTHORIZATION_FAILURE iot:Publish arn:aws:iot:us-east-1:123456789012:topic/a/b `+
				`{"Effect":"Allow","Action":"iot:Publish","Resource":"arn:aws:iot:us-east-1:123456789012:topic/a/b"}`,
			"Disconnect Failure c1 AUTH_ERROR AUTHORIZATION_FAILURE")
	})
}
