package advisor

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"maps"
	"math"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"iotwire/internal/testbroker"
	"iotwire/internal/testbroker/advisor/testdata/flawed"
	"iotwire/mqtt/packet"

	"github.com/google/go-cmp/cmp"
)

// awsKeys are keys as Run makes them, made once.
var awsKeys = sync.OnceValues(newKeys)

// testKeys are keys that are fast.
func testKeys(t *testing.T) *keys {
	t.Helper()
	var made [4]crypto.Signer
	for i := range made {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		made[i] = key
	}
	return &keys{ca: made[0], stranger: made[1], device: made[2], server: made[3:]}
}

// memoryListener accepts connections in memory.
type memoryListener struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func newMemoryListener() *memoryListener {
	return &memoryListener{conns: make(chan net.Conn), closed: make(chan struct{})}
}

func (l *memoryListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *memoryListener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

func (l *memoryListener) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 8883} }

func (l *memoryListener) dial() (net.Conn, error) {
	client, server := testbroker.Pipe()
	select {
	case l.conns <- server:
		return client, nil
	case <-l.closed:
		return nil, errors.New("connection refused")
	}
}

// started counts programs, each of which gets a chance of its own.
var started atomic.Int64

// program is a device program that runs on a goroutine.
type program func(ctx context.Context, dial func() (net.Conn, error), a *authority) error

// flawedProgram is a device with flaws.
func flawedProgram(flaws ...string) program {
	return func(ctx context.Context, dial func() (net.Conn, error), a *authority) error {
		d := &flawed.Device{Dial: dial, ServerName: host, Now: time.Now, Roots: x509.NewCertPool(), Flaws: map[string]bool{},
			Certificate: tls.Certificate{Certificate: [][]byte{a.device}, PrivateKey: a.keys.device}}
		d.Roots.AddCert(a.ca)
		_, d.Chance = math.Modf(float64(started.Add(1)) * math.Phi)
		for _, f := range flaws {
			d.Flaws[f] = true
		}
		return d.Run(ctx)
	}
}

// play runs a program in the cases that the patterns match, under a fake clock.
func play(t *testing.T, p program, patterns ...string) *Report {
	t.Helper()
	cases, err := Select(patterns)
	if err != nil {
		t.Fatal(err)
	}
	keys, report := testKeys(t), &Report{}
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		var order []string
		report, err = playIn(t.Context(), p, keys, cases, func(r Result) { order = append(order, r.ID) })
		if err != nil {
			t.Fatal(err)
		}
		if took := time.Since(began); took > 3*time.Minute {
			t.Errorf("it took %v, want less than three minutes", took)
		}
		for i, c := range cases {
			if order[i] != c.ID || report.Cases[i].ID != c.ID {
				t.Errorf("case %d is %s, told as %s, want %s", i, report.Cases[i].ID, order[i], c.ID)
			}
		}
	})
	return report
}

// playIn is play within a bubble.
func playIn(ctx context.Context, p program, k *keys, cases []Case, done func(Result)) (*Report, error) {
	var mu sync.Mutex
	var last *memoryListener // of the trial that is being started
	s := setting{keys: k}
	s.listen = func() (net.Listener, error) {
		mu.Lock() // until launch
		last = newMemoryListener()
		return last, nil
	}
	s.launch = func(_ place, ended func(bool, string)) (func(), error) {
		l := last
		mu.Unlock()
		ctx, cancel := context.WithCancel(context.Background())
		over := make(chan struct{})
		go func() {
			defer close(over)
			err := p(ctx, l.dial, s.authority)
			if err != nil {
				ended(false, "error: "+err.Error())
				return
			}
			ended(true, "exit code 0")
		}()
		return func() { cancel(); <-over }, nil
	}
	s.authority, _ = newAuthority(k, time.Now())
	return run(ctx, cases, done, s, &Report{Program: []string{"device"}, Cases: []Result{}})
}

// verdicts is the verdict of each case that is not "pass".
func verdicts(r *Report) map[string]Verdict {
	found := map[string]Verdict{}
	for _, c := range r.Cases {
		if c.Verdict != Pass {
			found[c.ID] = c.Verdict
		}
	}
	return found
}

// describe is the report for people.
func describe(r *Report, events bool) string {
	var b strings.Builder
	for _, c := range r.Cases {
		b.WriteString(c.ID + ": " + string(c.Verdict) + ": " + c.Reason + "\n")
		for _, e := range c.Events {
			if events && c.Verdict != Pass {
				text, _ := json.Marshal(e)
				b.WriteString("    " + string(text) + "\n")
			}
		}
	}
	return b.String()
}

func TestAFlawlessDevicePassesEveryCase(t *testing.T) {
	report := play(t, flawedProgram())
	if diff := cmp.Diff(map[string]Verdict{}, verdicts(report)); diff != "" {
		t.Errorf("verdicts (-want +got):\n%s\n%s", diff, describe(report, true))
	}
}

// A device without a certificate that trusts every server does not pass for one that refuses them.
func TestTrustIsFoundWithoutACertificate(t *testing.T) {
	report := play(t, flawedProgram("trusts everybody", "has no certificate"), "TLS_*Server_Cert")
	for _, c := range report.Cases {
		if c.Verdict != Fail || c.ID != "TLS_Large_Size_Server_Cert" && !strings.HasPrefix(c.Reason, "it talks to a server with") {
			t.Errorf("%s: %s: %s", c.ID, c.Verdict, c.Reason)
		}
	}
}

// A program that publishes without a pause, or connects without one, does not fill the memory.
func TestWhatIsRememberedIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		keys := testKeys(t)
		a, err := newAuthority(keys, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		listener := newMemoryListener()
		var runs program
		s := &setting{keys: keys, authority: a, listen: func() (net.Listener, error) { return listener, nil }}
		s.launch = func(_ place, ended func(bool, string)) (func(), error) {
			ctx, cancel := context.WithCancel(context.Background())
			over := make(chan struct{})
			go func() {
				defer close(over)
				runs(ctx, listener.dial, a)
			}()
			return func() { cancel(); <-over }, nil
		}
		for name, c := range map[string]struct {
			runs program
			most int // sights in ten seconds
		}{
			"publishes": {flood, 10*publishRate + 2*publishRate},
			"connects":  {hammer, 3 * lineCount},
		} {
			runs = c.runs
			b := &bench{setting: s, ctx: t.Context(), name: name, began: time.Now(), limit: time.Now().Add(caseLimit)}
			tr := b.start(server{})
			time.Sleep(10 * time.Second)
			n := tr.seen(func(s sight) bool { return true })
			bytes := tr.seen(func(s sight) bool { return len(s.body) > 200 })
			if n > c.most || n < lineCount || bytes > 0 {
				t.Errorf("a program that %s: %d sights, want %d at most; %d large ones", name, n, c.most, bytes)
			}
			listener.Close()
			b.end()
			listener = newMemoryListener()
		}
	})
}

// flood publishes as fast as it can.
func flood(ctx context.Context, dial func() (net.Conn, error), a *authority) error {
	conn, err := dial()
	if err != nil {
		return err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	roots := x509.NewCertPool()
	roots.AddCert(a.ca)
	secure := tls.Client(conn, &tls.Config{ServerName: host, RootCAs: roots,
		Certificates: []tls.Certificate{{Certificate: [][]byte{a.device}, PrivateKey: a.keys.device}}})
	b, err := packet.AppendConnect(nil, &packet.Connect{ClientID: []byte("flood"), CleanSession: true})
	if err != nil {
		return err
	}
	for {
		if _, err := secure.Write(b); err != nil {
			return err
		}
		if b, err = packet.AppendPublish(nil, &packet.Publish{Topic: []byte("x"), Payload: make([]byte, 5000)}); err != nil {
			return err
		}
	}
}

// hammer connects again and again.
func hammer(ctx context.Context, dial func() (net.Conn, error), _ *authority) error {
	for ctx.Err() == nil {
		conn, err := dial()
		if err != nil {
			return err
		}
		conn.Close()
		time.Sleep(time.Millisecond)
	}
	return nil
}

// Each flaw is found by the cases that are about it, and by no other.
func TestFlawsAreFound(t *testing.T) {
	const (
		jitter      = "MQTT_Connect_Jitter_Backoff_Retries"
		backoff     = "MQTT_Connect_Exponential_Backoff_Retries"
		disconnect  = "MQTT_Reconnect_Backoff_Retries_On_Server_Disconnect"
		unstable    = "MQTT_Reconnect_Backoff_Retries_On_Unstable_Connection"
		fragments   = "TLS_Receive_Maximum_Size_Fragments"
		puback      = "MQTT_Client_Puback_QoS1"
		publish     = "MQTT_Publish"
		subscribe   = "MQTT_Subscribe"
		noPuback    = "MQTT_Publish_Retry_No_Puback"
		noSuback    = "MQTT_Subscribe_Retry_No_Suback"
		noAnswer    = "MQTT_No_Ack_PingResp"
		resumed     = "MQTT_Persistent_Session_Happy_Case"
		expired     = "MQTT_Expired_Persistent_Session"
		long        = "MQTT_Long_Duration"
		unsecureTLS = "TLS_Unsecure_Server_Cert"
		nameTLS     = "TLS_Incorrect_Subject_Name_Server_Cert"
		expiredTLS  = "TLS_Expired_Server_Cert"
	)
	every := map[string]Verdict{}
	for _, c := range Cases() {
		every[c.ID] = Fail
	}
	anonymous := maps.Clone(every)
	for _, id := range []string{unsecureTLS, nameTLS, expiredTLS, "TLS_Support_AWS_IoT_Cipher_Suites"} {
		delete(anonymous, id) // to refuse a server one needs no certificate
	}
	for flaw, want := range map[string]map[string]Verdict{
		"trusts everybody":                  {unsecureTLS: Fail, nameTLS: Fail, expiredTLS: Fail},
		"ignores the server's name":         {nameTLS: Fail},
		"compares the server's name late":   {nameTLS: Warn},
		"ignores expiry":                    {expiredTLS: Fail},
		"hides the server's name":           {"TLS_Connect": Warn},
		"offers ChaCha20":                   {"TLS_Support_AWS_IoT_Cipher_Suites": Warn},
		"retries constantly":                {jitter: Fail, backoff: Fail, disconnect: Fail, unstable: Fail, long: Fail},
		"retries linearly":                  {jitter: Fail, backoff: Fail, disconnect: Fail, unstable: Fail, long: Fail},
		"retries without jitter":            {jitter: Warn, disconnect: Warn, unstable: Warn, long: Warn},
		"retries without back-off":          {jitter: Warn, backoff: Warn, disconnect: Warn, unstable: Warn, long: Warn},
		"gives up":                          {jitter: Fail, backoff: Fail, disconnect: Fail, unstable: Fail, resumed: Fail, expired: Fail, long: Fail},
		"gives up once connected":           {disconnect: Fail, unstable: Fail, resumed: Fail, expired: Fail, long: Fail},
		"never sends again":                 {noPuback: Fail, noSuback: Fail, long: Warn},
		"sends again with a new identifier": {noPuback: Fail, noSuback: Fail, long: Warn},
		"sends again without DUP":           {noPuback: Fail, noAnswer: Fail, long: Fail},
		"never acknowledges":                {fragments: Fail, puback: Fail, resumed: Fail, long: Fail},
		"dies of large packets":             {fragments: Fail, long: Fail},
		"wants clean sessions":              {resumed: NotApplicable, expired: NotApplicable},
		"always subscribes again":           {resumed: Fail, long: Fail},
		"never subscribes again":            {expired: Fail},
		"does not miss answers":             {noAnswer: Fail},
		"hangs": {fragments: NotApplicable, puback: NotApplicable, noPuback: NotApplicable, noSuback: NotApplicable, publish: Fail,
			subscribe: Fail, noAnswer: Fail, resumed: NotApplicable, expired: NotApplicable, disconnect: Fail, unstable: Fail, long: Fail},
		"only publishes": {fragments: NotApplicable, puback: NotApplicable, subscribe: NotApplicable, noSuback: NotApplicable,
			resumed: NotApplicable, expired: NotApplicable},
		"never connects":     every,
		"has no certificate": anonymous,
	} {
		t.Run(flaw, func(t *testing.T) {
			if !slices.Contains(flawed.Flaws, flaw) {
				t.Fatal("there is no such flaw")
			}
			t.Parallel()
			report := play(t, flawedProgram(flaw))
			if diff := cmp.Diff(want, verdicts(report)); diff != "" {
				t.Errorf("verdicts (-want +got):\n%s\n%s", diff, describe(report, true))
			}
			if text := describe(report, false); flaw == "hangs" && !strings.Contains(text, "fail: KEEP_ALIVE: the connection was over after") {
				t.Errorf("a hanging program keeps its connection alive:\n%s", text)
			}
		})
	}
}
