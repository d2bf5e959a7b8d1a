package testbroker

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"

	"iotwire/mqtt/packet"
)

// serve runs a broker on a loopback port until the test ends.
func serve(t *testing.T, config Config, server *tls.Config) (*Broker, string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	if server != nil {
		l = tls.NewListener(l, server)
	}
	b := New(config)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() { ended <- b.Serve(ctx, l) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("Serve: %v, want context.Canceled", err)
		}
		b.Close()
	})
	return b, address
}

func overTCP(t *testing.T, address string) *client {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return &client{t: t, conn: conn, in: packet.NewReader(conn, 8<<20)}
}

func TestMQTT_7_1_1_1(t *testing.T) { // TCP is a transport
	_, address := serve(t, Config{}, nil)
	publisher, subscriber := overTCP(t, address), overTCP(t, address)
	publisher.connect(packet.Connect{CleanSession: true}, false)
	subscriber.connect(packet.Connect{CleanSession: true}, false)
	subscriber.subscribe(packet.QoS2, "x")
	for _, size := range []int{0, 100, 128 << 10, 1 << 20} {
		payload := strings.Repeat("m", size)
		for q := range packet.QoS(3) {
			publisher.publish("x", payload, q, false)
			subscriber.receive("x", payload, q, false)
		}
	}
	publisher.disconnect()
}

func TestMutualTLSOverTCP(t *testing.T) {
	certificates, err := NewCertificates()
	if err != nil {
		t.Fatal(err)
	}
	server, err := certificates.ServerConfig()
	if err != nil {
		t.Fatal(err)
	}
	device, err := certificates.DeviceConfig()
	if err != nil {
		t.Fatal(err)
	}
	_, address := serve(t, Config{RequireCertificate: true}, server)
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		c := overTCP(t, address)
		config := device.Clone()
		config.MaxVersion = version
		config.NextProtos = []string{"x-amzn-mqtt-ca"}
		secure := tls.Client(c.conn, config)
		c.conn, c.in = secure, packet.NewReader(secure, 8<<20)
		c.connect(packet.Connect{CleanSession: true}, false)
		if state := secure.ConnectionState(); state.NegotiatedProtocol != "x-amzn-mqtt-ca" || state.Version != version {
			t.Errorf("protocol %q, version %x", state.NegotiatedProtocol, state.Version)
		}
		c.subscribe(packet.QoS1, "x")
		c.publish("x", strings.Repeat("m", 1<<20), packet.QoS0, false)
		c.receive("x", strings.Repeat("m", 1<<20), packet.QoS0, false)
		c.disconnect()

		c = overTCP(t, address)
		config = config.Clone()
		config.Certificates = nil
		secure = tls.Client(c.conn, config)
		err := secure.Handshake()
		if err == nil {
			_, err = secure.Read(make([]byte, 1))
		}
		if err == nil || !strings.HasPrefix(err.Error(), "remote error: tls: ") {
			t.Errorf("without a certificate: %v, want the alert", err)
		}
	}
}

// The last answer reaches a client that has sent more than the broker reads: no reset overtakes it.
func TestRefusalArrivesThoughMoreWasSent(t *testing.T) {
	refuse := func(*packet.Connect, *tls.ConnectionState) packet.ConnectCode { return packet.RefusedUnauthorized }
	_, address := serve(t, Config{Authenticate: refuse}, nil)
	for range 20 {
		c := overTCP(t, address)
		b, err := packet.AppendConnect(nil, &packet.Connect{CleanSession: true})
		if err != nil {
			t.Fatal(err)
		}
		c.send(append(b, make([]byte, 50_000)...))
		time.Sleep(time.Millisecond)
		c.want(unhex("20 02 00 05"), nil)
		if _, _, err := c.in.Next(); err == nil || errors.Is(err, syscall.ECONNRESET) {
			t.Fatalf("the connection ended with %v, want the end of the stream", err)
		}
	}
}

func TestDropResetsASocket(t *testing.T) {
	b, address := serve(t, Config{}, nil)
	c := overTCP(t, address)
	c.connect(packet.Connect{ClientID: []byte("a"), CleanSession: true}, false)
	if !b.Drop("a", RST) {
		t.Fatal("no such client")
	}
	c.conn.SetReadDeadline(time.Now().Add(10 * time.Second))
	if _, err := c.conn.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("read: %v, want ECONNRESET", err)
	}
}

func TestServeAfterClose(t *testing.T) {
	b := New(Config{})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error)
	go func() { ended <- b.Serve(context.Background(), l) }()
	if c, err := net.Dial("tcp", l.Addr().String()); err != nil {
		t.Fatal(err)
	} else {
		defer c.Close()
	}
	b.Close()
	if err := <-ended; !errors.Is(err, ErrClosed) {
		t.Errorf("Serve: %v, want ErrClosed", err)
	}
	if err := b.Serve(context.Background(), l); !errors.Is(err, ErrClosed) {
		t.Errorf("Serve after Close: %v, want ErrClosed", err)
	}
}

func TestServeReturnsTheErrorOfItsListener(t *testing.T) {
	b := newBroker(t, Config{})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	if err := b.Serve(context.Background(), l); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Serve: %v, want net.ErrClosed", err)
	}
}
