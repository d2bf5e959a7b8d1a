package cli

import (
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"iotwire/internal/testbroker"
	"iotwire/mqtt/packet"
)

// rotation is a broker with mutual TLS that notes with which certificate clients connect, and a device's files.
type rotation struct {
	*testbroker.Broker
	t            *testing.T
	dir          string
	certificates *testbroker.Certificates
	hangup       chan os.Signal

	mu   sync.Mutex
	seen []string // common names
}

// rotating runs a test in a bubble.
func rotating(t *testing.T, test func(*testing.T, *rotation)) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		certificates, err := testbroker.EnsureCertificates(dir)
		if err != nil {
			t.Fatal(err)
		}
		config, err := certificates.ServerConfig()
		if err != nil {
			t.Fatal(err)
		}
		r := &rotation{t: t, dir: dir, certificates: certificates, hangup: make(chan os.Signal, 1)}
		r.Broker = testbroker.New(testbroker.Config{TLS: config, RequireCertificate: true,
			Authenticate: func(_ *packet.Connect, state *tls.ConnectionState) packet.ConnectCode {
				r.mu.Lock()
				defer r.mu.Unlock()
				r.seen = append(r.seen, state.PeerCertificates[0].Subject.CommonName)
				return packet.Accepted
			}})
		defer r.Close()
		defer close(r.hangup)
		test(t, r)
	})
}

// issue puts a certificate with this name in place of the present one, and its key, and returns its identifier.
func (r *rotation) issue(name string) string {
	r.t.Helper()
	certificate, key, err := r.certificates.Issue(name)
	if err != nil {
		r.t.Fatal(err)
	}
	r.write("cert.pem", certificate)
	r.write("private.key", key)
	return certificateID(r.t, certificate)
}

// expire puts a certificate in place of the present one that is the same, but for its end.
func (r *rotation) expire(at time.Time) {
	r.t.Helper()
	pair, err := tls.LoadX509KeyPair(filepath.Join(r.dir, "cert.pem"), filepath.Join(r.dir, "private.key"))
	if err != nil {
		r.t.Fatal(err)
	}
	ca, err := tls.X509KeyPair(r.certificates.CA, r.certificates.CAKey)
	if err != nil {
		r.t.Fatal(err)
	}
	template := *pair.Leaf
	template.NotAfter = at
	der, err := x509.CreateCertificate(rand.Reader, &template, ca.Leaf, pair.Leaf.PublicKey, ca.PrivateKey)
	if err != nil {
		r.t.Fatal(err)
	}
	r.write("cert.pem", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}

func (r *rotation) write(name string, content []byte) {
	r.t.Helper()
	if err := os.WriteFile(filepath.Join(r.dir, name), content, 0o600); err != nil {
		r.t.Fatal(err)
	}
}

// wantSeen compares the certificates of the connections so far.
func (r *rotation) wantSeen(names ...string) {
	r.t.Helper()
	time.Sleep(time.Minute)
	r.mu.Lock()
	defer r.mu.Unlock()
	if strings.Join(r.seen, " ") != strings.Join(names, " ") {
		r.t.Errorf("the broker saw %q, want %q", r.seen, names)
	}
}

func TestHangupReadsTheCertificatesForTheNextConnection(t *testing.T) {
	rotating(t, func(t *testing.T, r *rotation) {
		r.issue("first")
		program := start(t, Subscriber, to(r.DialTLS), func(p *Process) { p.Hangup = func() <-chan os.Signal { return r.hangup } }, "-e", "mqtts://localhost", "-C", r.dir)
		r.wantSeen("first")

		id := r.issue("second")
		r.hangup <- syscall.SIGHUP
		r.wantSeen("first") // the connection stays
		program.said("subscriber: SIGHUP: the next connection uses " + filepath.Join(r.dir, "cert.pem") + ", certificate id " + id)
		r.Drop("me", testbroker.RST)
		r.wantSeen("first", "second")

		r.write("cert.pem", []byte("-----BEGIN CERTIFICATE-----\n"))
		r.hangup <- syscall.SIGHUP
		r.wantSeen("first", "second")
		program.said("subscriber: SIGHUP: " + filepath.Join(r.dir, "cert.pem") + ": damaged: 1 PEM blocks begin, 0 are whole; copy or download it again; what was read before stays in use")
		r.Drop("me", testbroker.RST)
		r.wantSeen("first", "second", "second")

		r.issue("third")
		r.Drop("me", testbroker.RST) // nobody said that the files have changed
		r.wantSeen("first", "second", "second", "second")

		program.signals <- os.Interrupt
		program.ended(ExitDone)
	})
}

// The new files have to suit the server, too.
func TestHangupKeepsTheCertificatesIfTheKeyIsOfAnotherOne(t *testing.T) {
	rotating(t, func(t *testing.T, r *rotation) {
		r.issue("first")
		program := start(t, Subscriber, to(r.DialTLS), func(p *Process) { p.Hangup = func() <-chan os.Signal { return r.hangup } }, "-e", "mqtts://localhost", "-C", r.dir)
		r.wantSeen("first")
		_, key, err := r.certificates.Issue("second")
		if err != nil {
			t.Fatal(err)
		}
		r.write("private.key", key)
		r.hangup <- syscall.SIGHUP
		r.Drop("me", testbroker.RST)
		r.wantSeen("first", "first")
		if !strings.Contains(program.stderr.String(), "SIGHUP: ") || !strings.Contains(program.stderr.String(), "does not belong to the certificate") {
			t.Error(program.stderr.String())
		}
		program.signals <- os.Interrupt
		program.ended(ExitDone)
	})
}

// A device whose certificate has expired is to be cured by a new one and SIGHUP, as long as it takes. Who cannot send it is
// better off with the end of the program.
func TestSubscriberWhoseCertificateExpiresGoesOnTryingForAnotherOne(t *testing.T) {
	for _, terminal := range []bool{false, true} {
		rotating(t, func(t *testing.T, r *rotation) {
			r.issue("first")
			end := time.Now().Add(time.Hour)
			r.expire(end)
			program := start(t, Subscriber, to(r.DialTLS), func(p *Process) {
				p.Hangup = func() <-chan os.Signal { return r.hangup }
				if terminal {
					p.Hangup = nil
				}
			}, "-e", "mqtts://localhost", "-C", r.dir, "-k", "0")
			time.Sleep(time.Hour)
			r.wantSeen("first") // the connection stays
			r.Drop("me", testbroker.RST)
			cert := filepath.Join(r.dir, "cert.pem")
			if terminal {
				program.wait()
				program.said("  make a new certificate, or set the clock if it is wrong")
				if program.exit != ExitTLS {
					t.Errorf("exit code %d, want %d", program.exit, ExitTLS)
				}
				return
			}
			time.Sleep(10 * time.Hour)
			if err := program.stderr.String(); !strings.Contains(err, "subscriber: "+cert+": expired on 2000-01-01 01:00:00 UTC, and the clock says ") ||
				strings.Count(err, "  make a new certificate, or set the clock if it is wrong\n") != 1 {
				t.Error(err)
			}
			r.issue("second")
			r.hangup <- syscall.SIGHUP
			time.Sleep(2 * time.Minute)
			r.wantSeen("first", "second")
			program.signals <- os.Interrupt
			program.ended(ExitDone)
		})
	}
}

// SIGHUP ends no program that runs without a terminal, whatever it does, since whoever sends it wants it to go on.
func TestHangupIsTakenFromTheStart(t *testing.T) {
	for _, args := range [][]string{{}, {"--wait-for-clock"}} {
		synctest.Test(t, func(t *testing.T) {
			hangup := make(chan os.Signal, 1)
			var taken atomic.Bool
			r := start(t, Subscriber, script((*peer).obey), func(p *Process) {
				boardClock(time.Hour)(p)
				p.Hangup = func() <-chan os.Signal {
					taken.Store(true)
					return hangup
				}
			}, append(args, "-e", "mqtt://localhost")...)
			time.Sleep(time.Minute)
			if !taken.Load() {
				t.Errorf("%q: SIGHUP would end it", args)
			}
			r.signals <- os.Interrupt
			r.wait()
		})
	}
}
