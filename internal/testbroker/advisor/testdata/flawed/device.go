// Package flawed is a device program for tests: it does all that Device Advisor asks for, but for the flaws that it is
// given.
package flawed

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"math"
	"net"
	"os"
	"path/filepath"
	"time"

	"iotwire/mqtt/packet"
)

// Device publishes to "device/out" every second, in turns with QoS 0 and QoS 1, and subscribes to "device/in/#" with QoS 1.
type Device struct {
	Dial        func() (net.Conn, error) // TCP
	ServerName  string
	Roots       *x509.CertPool
	Certificate tls.Certificate
	Now         func() time.Time
	Chance      float64         // 0 to 1: the delays between attempts to connect depend on it
	Flaws       map[string]bool // see Flaws
}

// Flaws are all there are.
var Flaws = []string{
	"trusts everybody", "ignores the server's name", "ignores expiry", "offers ChaCha20", "hides the server's name",
	"retries constantly", "retries linearly", "retries without jitter", "retries without back-off", "forgets back-off after CONNACK",
	"gives up", "gives up once connected", "never sends again", "sends again with a new identifier", "sends again without DUP",
	"never acknowledges", "dies of large packets", "wants clean sessions", "always subscribes again", "never subscribes again",
	"does not miss answers", "hangs", "sends CONNECT twice", "only publishes", "never connects", "has no certificate", "compares the server's name late",
}

const (
	id        = "flawed"
	keepAlive = 5 * time.Second
	patience  = 4 * time.Second // for any answer
	stable    = 30 * time.Second
)

// Load reads the certificates of a device from a directory.
func (d *Device) Load(dir string) (err error) {
	if d.Certificate, err = tls.LoadX509KeyPair(filepath.Join(dir, "cert.pem"), filepath.Join(dir, "private.key")); err != nil {
		return err
	}
	ca, err := os.ReadFile(filepath.Join(dir, "AmazonRootCA1.pem"))
	d.Roots = x509.NewCertPool()
	d.Roots.AppendCertsFromPEM(ca)
	return err
}

// Run runs the device until ctx ends or it gives up.
func (d *Device) Run(ctx context.Context) error {
	if d.Flaws["never connects"] {
		<-ctx.Done()
		return ctx.Err()
	}
	s := &session{device: d}
	for n := 0; ; n++ {
		began := time.Now()
		err := s.connection(ctx)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if d.Flaws["gives up"] || d.Flaws["gives up once connected"] && s.accepted {
			return err
		}
		if time.Since(began) > stable && s.accepted || d.Flaws["forgets back-off after CONNACK"] && s.accepted {
			n = 0
		}
		s.accepted = false
		select {
		case <-time.After(d.delay(n)):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (d *Device) delay(n int) time.Duration {
	switch {
	case d.Flaws["retries constantly"]:
		return time.Second
	case d.Flaws["retries linearly"]:
		return time.Duration(n+1) * time.Second
	case d.Flaws["retries without jitter"]:
		return time.Second << n
	case d.Flaws["retries without back-off"]:
		// As chance would have it, or the test could fail by chance.
		return []time.Duration{900, 300, 600, 700, 200, 500}[n%6] * time.Millisecond
	}
	// Multiples of the golden ratio are never regular, and so never taken for a rule, as chance now and then is.
	_, jitter := math.Modf(d.Chance + float64(n)*math.Phi)
	return time.Duration((0.1 + 0.9*jitter) * float64(time.Second<<n))
}

func (d *Device) tls() *tls.Config {
	c := &tls.Config{ServerName: d.ServerName, RootCAs: d.Roots, Certificates: []tls.Certificate{d.Certificate}, Time: d.Now,
		CipherSuites: []uint16{tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256}}
	if d.Flaws["has no certificate"] {
		c.Certificates = nil
	}
	verify := func(options x509.VerifyOptions) {
		c.InsecureSkipVerify = true
		options.Roots = d.Roots
		c.VerifyConnection = func(state tls.ConnectionState) error {
			_, err := state.PeerCertificates[0].Verify(options)
			return err
		}
	}
	switch {
	case d.Flaws["trusts everybody"]:
		c.InsecureSkipVerify = true
	case d.Flaws["ignores the server's name"], d.Flaws["compares the server's name late"]:
		verify(x509.VerifyOptions{CurrentTime: d.Now()})
	case d.Flaws["hides the server's name"]:
		c.ServerName = ""
		verify(x509.VerifyOptions{CurrentTime: d.Now(), DNSName: d.ServerName})
	case d.Flaws["ignores expiry"]:
		verify(x509.VerifyOptions{CurrentTime: d.Now().AddDate(0, 0, -7), DNSName: d.ServerName})
	case d.Flaws["offers ChaCha20"]:
		c.CipherSuites = append(c.CipherSuites, tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256)
	}
	return c
}

// session is what lasts longer than a connection.
type session struct {
	device     *Device
	accepted   bool // by the last CONNACK
	subscribed bool
	lastID     uint16
	count      int             // messages
	pending    *packet.Publish // of QoS 1, unacknowledged
}

// whole is a packet.
type whole struct {
	header packet.Header
	body   []byte
}

// connection makes a connection and serves it to its end.
func (s *session) connection(ctx context.Context) error {
	raw, err := s.device.Dial()
	if err != nil {
		return err
	}
	defer raw.Close()
	defer context.AfterFunc(ctx, func() { raw.Close() })()
	conn := tls.Client(raw, s.device.tls())
	handshake, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if err := conn.HandshakeContext(handshake); err != nil {
		return err
	}
	if s.device.Flaws["compares the server's name late"] {
		if err := conn.ConnectionState().PeerCertificates[0].VerifyHostname(s.device.ServerName); err != nil {
			return err
		}
	}
	packets, ended := make(chan whole), make(chan error, 1)
	done := make(chan struct{})
	defer close(done)
	go func() {
		limit := 1 << 20
		if s.device.Flaws["dies of large packets"] {
			limit = 4096
		}
		r := packet.NewReader(conn, limit)
		for {
			h, body, err := r.Next()
			if err != nil {
				ended <- err
				return
			}
			select {
			case packets <- whole{h, append([]byte(nil), body...)}:
			case <-done:
				return
			}
		}
	}()
	l := &link{session: s, conn: conn, packets: packets, ended: ended}
	if err := l.connect(ctx); err != nil {
		return err
	}
	return l.serve(ctx)
}

var (
	errNoAnswer = errors.New("no answer")
	errRefused  = errors.New("refused")
)

// link is a connection.
type link struct {
	*session
	conn    net.Conn
	packets <-chan whole
	ended   <-chan error

	asked, published, pinged time.Time // when an answer began to be due; zero: none is
	subscribeID              uint16
	copies                   int
}

func (l *link) send(b []byte, err error) {
	if err != nil {
		panic(err)
	}
	l.conn.Write(b)
}

// connect waits for CONNACK.
func (l *link) connect(ctx context.Context) error {
	flaws := l.device.Flaws
	connect, err := packet.AppendConnect(nil, &packet.Connect{ClientID: []byte(id), CleanSession: flaws["wants clean sessions"],
		KeepAlive: uint16(keepAlive / time.Second)})
	if flaws["sends CONNECT twice"] {
		connect = append(connect, connect...)
	}
	l.send(connect, err)
	select {
	case p := <-l.packets:
		ack, err := packet.ParseConnack(p.body)
		if p.header.Type != packet.CONNACK || err != nil || ack.Code != packet.Accepted {
			return errRefused
		}
		l.accepted = true
		if (!ack.SessionPresent || flaws["always subscribes again"]) && !flaws["never subscribes again"] {
			l.subscribed = false
		}
	case err := <-l.ended:
		return err
	case <-time.After(patience):
		return errNoAnswer
	case <-ctx.Done():
		return ctx.Err()
	}
	if flaws["hangs"] {
		<-ctx.Done()
		return ctx.Err()
	}
	return nil
}

// serve does what is due, four times a second.
func (l *link) serve(ctx context.Context) error {
	if l.pending != nil {
		l.publish(true)
	}
	nextPing := time.Now()
	nextMessage := nextPing
	for {
		now := time.Now()
		if !l.subscribed && l.asked.IsZero() && !l.device.Flaws["only publishes"] {
			l.subscribeID = l.newID()
			l.subscribe()
		}
		if !now.Before(nextMessage) {
			nextMessage = now.Add(time.Second)
			l.message()
		}
		if !now.Before(nextPing) {
			nextPing = now.Add(keepAlive / 2)
			l.send(packet.AppendPingreq(nil), nil)
			if l.pinged.IsZero() {
				l.pinged = now
			}
		}
		l.again(now)
		if !l.pinged.IsZero() && now.Sub(l.pinged) > 2*patience && !l.device.Flaws["does not miss answers"] {
			return errNoAnswer
		}
		select {
		case p := <-l.packets:
			l.receive(p)
		case err := <-l.ended:
			return err
		case <-time.After(250 * time.Millisecond):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (l *link) subscribe() {
	l.asked = time.Now()
	l.send(packet.AppendSubscribe(nil, &packet.Subscribe{ID: l.subscribeID, Requests: packet.Requests(nil).Add("device/in/#", packet.QoS1)}))
}

// publish sends the pending message.
func (l *link) publish(again bool) {
	l.published = time.Now()
	l.pending.Dup = again && !l.device.Flaws["sends again without DUP"]
	l.send(packet.AppendPublish(nil, l.pending))
}

// message sends the next message.
func (l *link) message() {
	p := &packet.Publish{Topic: []byte("device/out"), Payload: []byte("hello")}
	if l.count++; l.count%2 == 0 {
		l.send(packet.AppendPublish(nil, p))
	} else if l.pending == nil {
		p.QoS, p.ID = packet.QoS1, l.newID()
		l.pending = p
		l.publish(false)
	}
}

// again sends what was not answered in time.
func (l *link) again(now time.Time) {
	flaws := l.device.Flaws
	if flaws["never sends again"] || l.copies >= 5 {
		return
	}
	anew := flaws["sends again with a new identifier"]
	if !l.asked.IsZero() && now.Sub(l.asked) > patience {
		l.copies++
		if anew {
			l.subscribeID = l.newID()
		}
		l.subscribe()
	}
	if !l.published.IsZero() && now.Sub(l.published) > patience {
		l.copies++
		if anew {
			l.pending.ID = l.newID()
		}
		l.publish(!anew)
	}
}

func (l *link) receive(p whole) {
	switch p.header.Type {
	case packet.SUBACK:
		l.subscribed, l.asked = true, time.Time{}
	case packet.PUBACK:
		l.pending, l.published = nil, time.Time{}
	case packet.PINGRESP:
		l.pinged = time.Time{}
	case packet.PUBLISH:
		m, err := packet.ParsePublish(p.header.Flags, p.body)
		if err == nil && m.QoS == packet.QoS1 && !l.device.Flaws["never acknowledges"] {
			l.send(packet.AppendPuback(nil, &packet.Puback{ID: m.ID}))
		}
	}
}

func (s *session) newID() uint16 {
	s.lastID++
	return s.lastID
}
