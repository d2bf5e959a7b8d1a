package aws

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"iotwire/mqtt/packet"
)

// text returns the log as a reader sees it, with TRACE and CERTIFICATE in place of what is random.
func (d *desk) text() string {
	synctest.Wait()
	d.mu.Lock()
	defer d.mu.Unlock()
	var b strings.Builder
	for _, e := range d.log {
		b.WriteString(e.String() + "\n")
	}
	d.log = nil
	trace := regexp.MustCompile(`"traceId":"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"`)
	certificate := regexp.MustCompile(`[0-9a-f]{64}`)
	return certificate.ReplaceAllString(trace.ReplaceAllString(b.String(), `"traceId":"TRACE"`), "CERTIFICATE")
}

func TestLogAsAReaderSeesIt(t *testing.T) {
	const (
		front   = `{"timestamp":"2000-01-01 00:00:00.000","logLevel":"INFO","traceId":"TRACE","accountId":"123456789012","status":"Success",`
		failure = `{"timestamp":"2000-01-01 00:00:00.000","logLevel":"ERROR","traceId":"TRACE","accountId":"123456789012","status":"Failure",`
		who     = `"clientId":"c1","principalId":"CERTIFICATE","sourceIp":"127.0.0.1"`
		denial  = `"reason":"AUTHORIZATION_FAILURE","details":"no statement allows iot:RetainPublish on arn:aws:iot:us-east-1:123456789012:topic/a<b: no Allow has iot:RetainPublish; ` +
			`statement 1 of policy.json has the resource, but for iot:Connect; 3 more statements do not match either"`
		help = `"action":"iot:RetainPublish","resource":"arn:aws:iot:us-east-1:123456789012:topic/a<b",` +
			`"wouldAllow":{"Effect":"Allow","Action":"iot:RetainPublish","Resource":"arn:aws:iot:us-east-1:123456789012:topic/a<b"}`
	)
	onDesk(t, Config{}, func(t *testing.T, d *desk) {
		d.allow(allowConnect, allowPublish, allowSubscribe, allowReceive)
		w := d.join("c1")
		w.subscribe(1, "a<b")
		w.publish("a<b", "x", 1)
		w.wantMessage("a<b", "x", 1)
		w.wantPuback(1)
		w.send(packet.AppendUnsubscribe(nil, &packet.Unsubscribe{ID: 2, Filters: packet.Filters{}.Add("a<b")}))
		w.want(packet.AppendUnsuback(nil, &packet.Unsuback{ID: 2}))
		w.publish("a<b", "retained", 2)
		w.wantEnd()
		want := front + `"eventType":"Connect","protocol":"MQTT",` + who + "}\n" +
			front + `"eventType":"Subscribe","protocol":"MQTT","topicName":"a<b",` + who + "}\n" +
			front + `"eventType":"Publish-In","protocol":"MQTT","topicName":"a<b",` + who + "}\n" +
			front + `"eventType":"Publish-Out","protocol":"MQTT","topicName":"a<b",` + who + "}\n" +
			front + `"eventType":"Unsubscribe","protocol":"MQTT","topicName":"a<b",` + who + "}\n" +
			failure + `"eventType":"Publish-In","protocol":"MQTT","topicName":"a<b",` + who + `,"retain":true,` + denial + "," + help + "}\n" +
			failure + `"eventType":"Disconnect","protocol":"MQTT",` + who + "," + denial + `,"disconnectReason":"AUTH_ERROR",` + help + "}\n"
		if got := d.text(); got != want {
			t.Errorf("log:\n%swant:\n%s", got, want)
		}
	})
}

func TestLogOfAConnectionThatIsTakenOver(t *testing.T) {
	onDesk(t, Config{}, func(t *testing.T, d *desk) {
		d.join("c1")
		time.Sleep(1234 * time.Millisecond)
		d.text()
		d.join("c1")
		want := `{"timestamp":"2000-01-01 00:00:01.234","logLevel":"INFO","traceId":"TRACE","accountId":"123456789012","status":"Success",` +
			`"eventType":"Disconnect","protocol":"MQTT","clientId":"c1","principalId":"CERTIFICATE","sourceIp":"127.0.0.1","reason":"DUPLICATE_CLIENT_ID",` +
			`"details":"another client connected with the client identifier \"c1\" [MQTT-3.1.4-2]","disconnectReason":"DUPLICATE_CLIENTID"}` + "\n"
		if got, _, _ := strings.Cut(d.text(), "\n"); got+"\n" != want {
			t.Errorf("log:\n%s\nwant:\n%s", got, want)
		}
	})
}

func TestLinesAboutOnePacketHaveOneTrace(t *testing.T) {
	onDesk(t, Config{}, func(t *testing.T, d *desk) {
		d.allow(allowConnect)
		w := d.join("c1")
		w.publish("a", "", 1)
		w.wantEnd()
		synctest.Wait()
		d.mu.Lock()
		defer d.mu.Unlock()
		if d.log[0].TraceID == d.log[1].TraceID || d.log[1].TraceID != d.log[2].TraceID {
			t.Errorf("traces %s, %s, %s: want that of the PUBLISH in the last two", d.log[0].TraceID, d.log[1].TraceID, d.log[2].TraceID)
		}
	})
}

// slowWriter writes when it is let.
type slowWriter struct {
	let  chan struct{}
	text strings.Builder
	err  error
}

func (w *slowWriter) Write(p []byte) (int, error) {
	<-w.let
	if w.err != nil {
		return 0, w.err
	}
	return w.text.Write(p)
}

func TestLogWriterNeverWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &slowWriter{let: make(chan struct{})}
		l := NewLogWriter(w)
		l.Log(Entry{ClientID: "first"})
		synctest.Wait() // in Write now
		for range maxLines + 3 {
			l.Log(Entry{})
		}
		close(w.let)
		l.Close()
		lines := strings.Split(w.text.String(), "\n")
		if len(lines) != maxLines+3 || !strings.Contains(lines[0], `"clientId":"first"`) {
			t.Fatalf("%d lines, want %d and one about those that were lost; the first is %s", len(lines), maxLines+1, lines[0])
		}
		if want := `"eventType":"Log","protocol":"MQTT","reason":"THROTTLED","details":"3 lines were lost here: they came faster than they could be written"}`; !strings.HasSuffix(lines[maxLines+1], want) {
			t.Errorf("%s, want ...%s", lines[maxLines+1], want)
		}
	})
}

func TestLogWriterEndsThoughNobodyReads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &slowWriter{let: make(chan struct{})}
		l := NewLogWriter(w)
		l.Log(Entry{})
		start := time.Now()
		l.Close()
		if took := time.Since(start); took != 2*time.Second {
			t.Errorf("Close took %v, want 2s", took)
		}
		close(w.let)
	})
}

func TestLogWriterOutlivesItsReader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &slowWriter{let: make(chan struct{}), err: errors.New("broken pipe")}
		close(w.let)
		l := NewLogWriter(w)
		for range 3 {
			l.Log(Entry{})
			synctest.Wait()
		}
		l.Close()
	})
}

// A look at whether the port is open, such as --check takes, is no mistake of anybody; half a handshake is one.
func TestLookAtThePortIsNoError(t *testing.T) {
	for name, test := range map[string]struct {
		sent string
		want string
	}{
		"nothing sent": {"", `"logLevel":"INFO","traceId":"TRACE","accountId":"123456789012","status":"Success","eventType":"Disconnect","protocol":"MQTT",` +
			`"sourceIp":"127.0.0.1","details":"the connection ended before TLS began","disconnectReason":"CONNECTION_LOST"`},
		"half a record":    {"\x16\x03\x01\x02\x00\x01", `"logLevel":"ERROR"`},
		"MQTT without TLS": {"\x10\x0c\x00\x04MQTT\x04\x02\x00\x3c\x00\x00", `"logLevel":"ERROR"`},
	} {
		t.Run(name, func(t *testing.T) {
			onDesk(t, Config{}, func(t *testing.T, d *desk) {
				conn, err := d.DialTLS(context.Background())
				if err != nil {
					t.Fatal(err)
				}
				if _, err := conn.Write([]byte(test.sent)); err != nil {
					t.Fatal(err)
				}
				conn.Close()
				if got := d.text(); strings.Count(got, "\n") != 1 || !strings.Contains(got, test.want) {
					t.Errorf("log:\n%swant one line with %s", got, test.want)
				}
			})
		})
	}
}

// The same is true of one that tries TLS alone. A part of a CONNECT is an error.
func TestLookAtTLSIsNoError(t *testing.T) {
	for sent, want := range map[string]string{
		"":     `"status":"Success","eventType":"Disconnect","protocol":"MQTT","sourceIp":"127.0.0.1","details":"the connection ended before CONNECT"`,
		"\x10": `"logLevel":"ERROR"`,
	} {
		onDesk(t, Config{}, func(t *testing.T, d *desk) {
			w := d.dial()
			w.wantHandshake()
			w.send([]byte(sent), nil)
			w.conn.Close()
			if got := d.text(); strings.Count(got, "\n") != 1 || !strings.Contains(got, want) {
				t.Errorf("log:\n%swant one line with %s", got, want)
			}
		})
	}
}

// A client that hangs up after its ClientHello, as one does that does not trust the server, is an error.
func TestEndInTheMiddleOfTheHandshakeIsAnError(t *testing.T) {
	onDesk(t, Config{}, func(t *testing.T, d *desk) {
		conn, err := d.DialTLS(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		hello := &onlyFirst{Conn: conn}
		client := tls.Client(hello, d.tlsConfig(nil))
		go client.Handshake()
		synctest.Wait()
		conn.Close()
		if got := d.text(); strings.Count(got, "\n") != 1 || !strings.Contains(got, `"logLevel":"ERROR"`) || !strings.Contains(got, `"details":"TLS handshake: EOF"`) {
			t.Errorf("log:\n%swant an error", got)
		}
	})
}

// onlyFirst lets nothing through but what is written first.
type onlyFirst struct {
	net.Conn
	wrote bool
}

func (c *onlyFirst) Write(b []byte) (int, error) {
	if c.wrote {
		return len(b), nil
	}
	c.wrote = true
	return c.Conn.Write(b)
}
