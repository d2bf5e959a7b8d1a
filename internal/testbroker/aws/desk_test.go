package aws

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/pem"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
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
	if err := os.WriteFile(filepath.Join(d.dir, name), []byte(text), 0o644); err != nil {
		panic(err)
	}
}

// allow makes the policy one of these statements, in which "~" stands for the account.
func (d *desk) allow(statements ...string) {
	text := `{"Version": "2012-10-17", "Statement": [` + strings.Join(statements, ",") + `]}`
	d.write("policy.json", strings.ReplaceAll(text, "~", "arn:aws:iot:us-east-1:123456789012:"))
}

const (
	allowConnect   = `{"Effect": "Allow", "Action": "iot:Connect", "Resource": "*"}`
	allowPublish   = `{"Effect": "Allow", "Action": "iot:Publish", "Resource": "*"}`
	allowRetain    = `{"Effect": "Allow", "Action": "iot:RetainPublish", "Resource": "*"}`
	allowSubscribe = `{"Effect": "Allow", "Action": "iot:Subscribe", "Resource": "*"}`
	allowReceive   = `{"Effect": "Allow", "Action": "iot:Receive", "Resource": "*"}`
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

// wantLines compares the log since the last call. In want "~" stands for the account.
func (d *desk) wantLines(want ...string) {
	d.t.Helper()
	text := strings.ReplaceAll(strings.Join(append(want, ""), "\n"), "~", "arn:aws:iot:us-east-1:123456789012:")
	if got := d.lines(); got != text {
		d.t.Errorf("log:\n%swant:\n%s", got, text)
	}
}

// details returns the details of the refusals in the log since the last call.
func (d *desk) details() (all []string) {
	synctest.Wait()
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, e := range d.log {
		if e.Failed() && e.EventType != "Disconnect" {
			all = append(all, e.Details)
		}
	}
	d.log = nil
	return all
}

// wantDetails compares them.
func (d *desk) wantDetails(want ...string) {
	d.t.Helper()
	if got := d.details(); !slices.Equal(got, want) {
		d.t.Errorf("details:\n%q, want\n%q", got, want)
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
	w.conn.SetReadDeadline(time.Now().Add(time.Minute))
	w.wantBefore(b, err)
}

// wantBefore is want with the deadline that the connection has.
func (w *wire) wantBefore(b []byte, err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
	h, n, _ := packet.ParseHeader(b)
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

// resume connects with CleanSession 0.
func (d *desk) resume(id string, wantPresent bool) *wire {
	d.t.Helper()
	w := d.dial()
	w.send(packet.AppendConnect(nil, &packet.Connect{ClientID: []byte(id)}))
	w.want(packet.AppendConnack(nil, &packet.Connack{SessionPresent: wantPresent}))
	return w
}

// disconnect ends the connection in order.
func (w *wire) disconnect() {
	w.t.Helper()
	w.send(packet.AppendDisconnect(nil), nil)
	w.wantEnd()
}

// vanish breaks the connection.
func (w *wire) vanish() {
	w.conn.(*tls.Conn).NetConn().Close()
	synctest.Wait()
}

// publish sends a message at QoS 1, with RETAIN if the payload starts with "retained".
func (w *wire) publish(topic, payload string, id uint16) {
	w.t.Helper()
	w.send(packet.AppendPublish(nil, &packet.Publish{
		Topic: []byte(topic), Payload: []byte(payload), QoS: packet.QoS1, ID: id, Retain: strings.HasPrefix(payload, "retained"),
	}))
}

func (w *wire) wantPuback(id uint16) {
	w.t.Helper()
	w.want(packet.AppendPuback(nil, &packet.Puback{ID: id}))
}

// wantMessage wants a message at QoS 1, and acknowledges it.
func (w *wire) wantMessage(topic, payload string, id uint16) {
	w.t.Helper()
	w.want(packet.AppendPublish(nil, &packet.Publish{Topic: []byte(topic), Payload: []byte(payload), QoS: packet.QoS1, ID: id}))
	w.send(packet.AppendPuback(nil, &packet.Puback{ID: id}))
}

// ask sends a SUBSCRIBE at QoS 1.
func (w *wire) ask(id uint16, filters ...string) {
	w.t.Helper()
	var requests packet.Requests
	for _, filter := range filters {
		requests = requests.Add(filter, packet.QoS1)
	}
	w.send(packet.AppendSubscribe(nil, &packet.Subscribe{ID: id, Requests: requests}))
}

// subscribe is ask, and wants everything granted.
func (w *wire) subscribe(id uint16, filters ...string) {
	w.t.Helper()
	w.ask(id, filters...)
	w.wantSuback(id, bytes.Repeat([]byte{1}, len(filters))...)
}

func (w *wire) wantSuback(id uint16, codes ...byte) {
	w.t.Helper()
	w.want(packet.AppendSuback(nil, &packet.Suback{ID: id, Codes: codes}))
}

// mkdir makes a folder in the registry.
func (d *desk) mkdir(name string) {
	d.t.Helper()
	if err := os.Mkdir(filepath.Join(d.dir, name), 0o700); err != nil {
		d.t.Fatal(err)
	}
}

// encode returns a certificate in PEM.
func encode(c tls.Certificate) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Certificate[0]})
}

// remove removes a file of the registry.
func (d *desk) remove(name string) {
	d.t.Helper()
	if err := os.Remove(filepath.Join(d.dir, name)); err != nil {
		d.t.Fatal(err)
	}
}

// mkdirThing makes a thing with a new certificate and this policy.
func (d *desk) mkdirThing(name, policy string) {
	d.t.Helper()
	d.mkdir(name)
	if err := fillFolder(filepath.Join(d.dir, name), d.Certificates); err != nil {
		d.t.Fatal(err)
	}
	d.write(filepath.Join(name, "policy.json"), policy)
}

// tlsConfigOf is tlsConfig for another thing.
func (d *desk) tlsConfigOf(name string) *tls.Config {
	d.t.Helper()
	folder := filepath.Join(d.dir, name)
	pair, err := tls.LoadX509KeyPair(filepath.Join(folder, "cert.pem"), filepath.Join(folder, "private.key"))
	if err != nil {
		d.t.Fatal(err)
	}
	return d.tlsConfig(func(c *tls.Config) { c.Certificates = []tls.Certificate{pair} })
}
