package aws

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"iotwire/internal/testbroker"
	"iotwire/mqtt/packet"
)

// FuzzClient lets a client whose policy has open/... only send any bytes. Whatever they are, others get nothing that
// the policy or a limit forbids, and they are served as before.
func FuzzClient(f *testing.F) {
	publish := func(topic, payload string, qos packet.QoS, retain bool) []byte {
		p := packet.Publish{Topic: []byte(topic), Payload: []byte(payload), QoS: qos, Retain: retain}
		if qos > 0 {
			p.ID = 1
		}
		b, err := packet.AppendPublish(nil, &p)
		if err != nil {
			f.Fatal(err)
		}
		return b
	}
	for _, b := range [][]byte{
		publish("open/a", "x", 1, false),
		publish("open/a", "x", 0, true),
		publish("open/a", "x", 2, false),
		publish("closed/a", "x", 0, false),
		publish("open/1/2/3/4/5/6/7/8", "x", 1, false),
		publish("$aws/rules/open/a", "x", 1, false),
		publish("$aws/things/open/shadow/update", "x", 1, false),
		publish("open/"+strings.Repeat("t", 260), "x", 0, false),
		append(publish("open/a", "x", 1, false), publish("open/b", "y", 1, false)...),
		{0x82, 10, 0, 1, 0, 5, 'o', '/', '+', '/', '#', 1},
		{0xa2, 6, 0, 1, 0, 2, 'o', '/'},
		{0xc0, 0, 0x40, 2, 0, 1, 0x50, 2, 0, 1, 0xe0, 0},
	} {
		f.Add(b)
	}
	dir := f.TempDir()
	made, err := New(Config{Dir: dir})
	if err != nil {
		f.Fatal(err)
	}
	certificates := made.Certificates
	made.Close()
	d := &desk{dir: dir}
	d.allow(allowConnect, allowSubscribe, allowReceive, `{"Effect": "Allow", "Action": ["iot:Publish", "iot:RetainPublish"], "Resource": "~topic/open/*"}`)
	block, _ := pem.Decode(certificates.Device)
	certificate, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		f.Fatal(err)
	}

	f.Fuzz(func(t *testing.T, input []byte) {
		synctest.Test(t, func(t *testing.T) {
			core, err := New(Config{Dir: dir})
			if err != nil {
				t.Fatal(err)
			}
			// Without TLS, as if it had been there: it is not what this is about.
			config := core.brokerConfig()
			config.Guard = func(a testbroker.Arrival) (*testbroker.Guard, error) {
				a.TLS = &tls.ConnectionState{PeerCertificates: []*x509.Certificate{certificate}, ServerName: "localhost"}
				return core.guard(a)
			}
			core.Broker.Close()
			core.Broker = testbroker.New(config)
			defer core.Close()
			join := func(id string) *wire {
				conn, err := core.Dial(context.Background())
				if err != nil {
					t.Fatal(err)
				}
				w := &wire{t, conn, packet.NewReader(conn, 8<<20)}
				w.connect(packet.Connect{ClientID: []byte(id), CleanSession: true})
				return w
			}
			witness := join("witness")
			defer witness.conn.Close()
			witness.subscribe(1, "#", "$aws/things/#")
			c := join("c1")
			c.conn.SetDeadline(time.Now().Add(time.Second))
			c.conn.Write(input)
			for {
				if _, _, err := c.in.Next(); err != nil {
					break
				}
			}
			c.conn.Close()
			synctest.Wait()

			witness.send(packet.AppendPingreq(nil), nil)
			for {
				h, body, err := witness.in.Next()
				if err != nil {
					t.Fatalf("another client: %v", err)
				}
				if h.Type == packet.PINGRESP {
					return
				}
				p, err := packet.ParsePublish(h.Flags, body)
				if err != nil {
					t.Fatalf("another client gets %v: %v", h.Type, err)
				}
				if topic := string(p.Topic); !strings.HasPrefix(topic, "open/") || len(topic) > 256 || strings.Count(topic, "/") > 7 ||
					len(p.Payload) > 131_072 || p.QoS > 1 {
					t.Errorf("another client gets %q at QoS %d with %d bytes, which is not allowed", topic, p.QoS, len(p.Payload))
				}
			}
		})
	})
}
