package peers

import (
	"context"
	"crypto/tls"
	"net"
	"os"
	"syscall"
	"testing"

	"iotwire/internal/testbroker"
	"iotwire/mqtt/packet"
)

// A subscriber that gets SIGHUP connects the next time with the certificate that has taken the place of the first one.
func TestHangupRenewsTheCertificateOfAProgram(t *testing.T) {
	c := makeCertificates(t)
	seen := make(chan string, 10)
	ours := testbroker.New(testbroker.Config{RequireCertificate: true,
		Authenticate: func(_ *packet.Connect, state *tls.ConnectionState) packet.ConnectCode {
			seen <- state.PeerCertificates[0].Subject.CommonName
			return packet.Accepted
		}})
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- ours.Serve(context.Background(), tls.NewListener(listener, c.server(t))) }()
	t.Cleanup(func() {
		ours.Close()
		<-served
	})
	issue := func(name string) {
		certificate, key, err := c.made.Issue(name)
		if err != nil {
			t.Fatal(err)
		}
		for file, content := range map[string][]byte{"cert.pem": certificate, "private.key": key} {
			if err := os.WriteFile(c.file(file), content, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	wantSeen := func(want string) {
		t.Helper()
		if got := <-seen; got != want {
			t.Fatalf("the broker saw the certificate of %s, want %s", got, want)
		}
	}

	issue("first")
	b := &broker{setup: setup{certificates: c}, address: listener.Addr().String()}
	r := buildPrograms(t).subscribe(t, b, "--client-id", "me")
	wantSeen("first")
	issue("second")
	r.process.cmd.Process.Signal(syscall.SIGHUP)
	r.awaitSaid("SIGHUP: the next connection uses ")
	select {
	case got := <-seen:
		t.Fatalf("it connected again, with the certificate of %s", got)
	default:
	}
	ours.Drop("me", testbroker.RST)
	wantSeen("second")
	r.awaitSaid("reconnected")
	r.process.cmd.Process.Signal(syscall.SIGTERM)
	r.wantExit(0)
}
