package iot

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"net"
	"net/netip"
	"os"
	"strings"
	"time"

	"iotwire/mqtt"
)

// Checkup walks the way to a server step by step, and tells what it finds: clock, proxy, DNS, TCP, TLS, the client's
// certificate, CONNECT, SUBSCRIBE, PUBLISH. It is what a program does for a user who asks why there is no connection.
//
// It connects once as the client that Config names, as the program itself would: another client that is connected by this
// identifier is disconnected [MQTT-3.1.4-2]. It sends what it is told to send and nothing else, acknowledges no message
// that comes, so that a session keeps what it has, and ends with DISCONNECT, so that no will is published. TCP and TLS are
// tried on connections of their own: the server sees some that end before CONNECT.
type Checkup struct {
	Config Config // Credentials are loaded from Files if there are none
	Files  CredentialFiles

	// Prepare, if not nil, changes the configuration of the client in the way the program does: session, keep alive, trace.
	Prepare func(*mqtt.Config)

	// Subscribe has the topic filters that are subscribed to, if any, and SubscribeQoS the QoS that is asked for.
	Subscribe    []string
	SubscribeQoS mqtt.QoS

	// Publish, if not nil, is sent, at QoS 1 if its QoS is 0, so that the server answers.
	Publish *mqtt.Message

	// Timeout bounds each step. 0: 10 s.
	Timeout time.Duration

	// Lookup finds the addresses of a host. Nil: the resolver of package net or, if Config.DialContext is set, nobody, since
	// the name may mean something only where that leads.
	Lookup func(ctx context.Context, host string) ([]string, error)
}

// Step is what a [Checkup] found at one step.
type Step struct {
	Name   string // such as "DNS", "TCP 8883", "CONNECT"
	Result StepResult
	Found  string // one line

	// Err is why the step failed, and Diagnosis what that means: its first line is Found. Both are nil unless Result is
	// Failed.
	Err       error
	Diagnosis *Diagnosis
}

// StepResult is how a step of a [Checkup] went.
type StepResult uint8

// The results of a step.
const (
	Passed  StepResult = iota
	Warned             // it works, and there is something to do about it
	Skipped            // there was nothing to find out
	Failed             // the last step
)

// String returns the result in one word of at most four letters.
func (r StepResult) String() string {
	return [...]string{"ok", "warn", "skip", "FAIL"}[min(r, Failed)]
}

// Steps returns the steps as they are taken, up to the first that fails. It ends soon after ctx does.
func (c Checkup) Steps(ctx context.Context) iter.Seq[Step] {
	return func(yield func(Step) bool) {
		w := &walk{Checkup: c, yield: yield}
		if w.Timeout <= 0 {
			w.Timeout = 10 * time.Second
		}
		defer w.end()
		for _, step := range []func(*walk, context.Context) bool{
			(*walk).start, (*walk).clock, (*walk).proxy, (*walk).name, (*walk).tcp, (*walk).tls, (*walk).certificate,
			(*walk).connect, (*walk).subscribe, (*walk).publish,
		} {
			if ctx.Err() != nil || !step(w, ctx) {
				return
			}
		}
	}
}

// walk is a Checkup at work. Its steps report whether to go on.
type walk struct {
	Checkup
	yield func(Step) bool

	endpoint Endpoint
	aws      bool
	fault    error // why Credentials could not be loaded, the CA aside
	refusal  error // what the server said to the certificate in the handshake of the TLS step
	client   mqtt.Config
	conversation
}

func (w *walk) found(result StepResult, name, format string, args ...any) bool {
	return w.yield(Step{Name: name, Result: result, Found: fmt.Sprintf(format, args...)})
}

// failed yields a failure, and returns false.
//
//go:noinline
func (w *walk) failed(name string, err error, d *Diagnosis) bool {
	w.yield(Step{Name: name, Result: Failed, Found: d.Lines[0], Err: err, Diagnosis: d})
	return false
}

func (w *walk) fail(name string, err error) bool { return w.failed(name, err, Diagnose(err, w.Config)) }

// start finds out where to go. It yields nothing unless the settings are wrong.
func (w *walk) start(context.Context) (goOn bool) {
	var err error
	if w.endpoint, err = w.Config.Server(); err != nil {
		return w.fail("endpoint", err)
	}
	w.aws = w.Config.AWS || w.endpoint.AWS()
	w.Config = *w.Config.current()
	w.Config.CurrentCredentials = nil // the same for all steps
	w.Files.CAOnly = w.Files.CAOnly || w.Config.Authorizer != nil
	if w.Config.ClientID == "" {
		w.Config.ClientID = NewClientID(w.Config.ClientPrefix)
	}
	return true
}

// clock tells the time. A clock that is not set is no failure here: TLS finds out whether it does harm.
func (w *walk) clock(context.Context) bool {
	now := w.Config.clock()()
	if now.Before(clockFloor) {
		return w.found(Warned, "clock", "%s: %s", clock(now), clockRemedy(now))
	}
	return w.found(Passed, "clock", "%s", clock(now))
}

// proxy tries the way to the proxy alone, if there is one.
func (w *walk) proxy(ctx context.Context) bool {
	p := w.Config.Proxy
	if p == nil {
		return true
	}
	dial := w.Config.DialContext
	if dial == nil {
		dial = netDialer()
	}
	ctx, cancel := context.WithTimeout(ctx, w.Timeout)
	defer cancel()
	began := time.Now()
	conn, err := dial(ctx, "tcp", p.server.Address())
	if err != nil {
		return w.fail("proxy", p.unreachable(ctx, err))
	}
	conn.Close()
	login := "no user name"
	if p.login != nil {
		login = "a user name and password"
	}
	return w.found(Passed, "proxy", "%s takes connections, in %s; it gets %s", p, milliseconds(began), login)
}

// name looks up the host.
func (w *walk) name(ctx context.Context) bool {
	if _, err := netip.ParseAddr(w.endpoint.Host); err == nil {
		return w.found(Skipped, "DNS", "%s is an address", w.endpoint.Host)
	}
	if w.Config.Proxy != nil && w.Config.Proxy.resolves() {
		return w.found(Skipped, "DNS", "left to the proxy")
	}
	lookup := w.Lookup
	if lookup == nil {
		if w.Config.DialContext != nil {
			return w.found(Skipped, "DNS", "left to what dials")
		}
		lookup = lookupHost
	}
	ctx, cancel := context.WithTimeout(ctx, w.Timeout)
	defer cancel()
	addresses, err := lookup(ctx, w.endpoint.Host)
	if err != nil {
		if ctx.Err() != nil && isTimeout(ctx.Err()) {
			err = &net.DNSError{Err: "no answer in time", Name: w.endpoint.Host, IsTimeout: true}
		}
		return w.fail("DNS", err)
	}
	list := addresses[:min(len(addresses), 4)]
	more := ""
	if n := len(addresses) - len(list); n > 0 {
		more = fmt.Sprintf(" and %d more", n)
	}
	return w.found(Passed, "DNS", "%s is %s%s", w.endpoint.Host, strings.Join(list, ", "), more)
}

// tcp tries the port and, for AWS IoT Core, the other one as well, since a firewall may let only one of them pass.
func (w *walk) tcp(ctx context.Context) bool {
	other := w.endpoint
	other.Port = 443
	if w.endpoint.Port == 443 {
		other.Port = portTLS
	}
	type result struct {
		took string
		err  error
	}
	try := func(e Endpoint) <-chan result {
		done := make(chan result, 1)
		go func() {
			ctx, cancel := context.WithTimeout(ctx, w.Timeout)
			defer cancel()
			began := time.Now()
			conn, err := w.Config.way()(ctx, "tcp", e.Address())
			took := milliseconds(began)
			if err == nil {
				conn.Close()
			}
			done <- result{took, err}
		}()
		return done
	}
	both := w.aws && !w.endpoint.local() && (w.endpoint.Port == 443 || w.endpoint.Port == portTLS)
	trying := try(w.endpoint)
	var second result
	if both {
		second = <-try(other)
	}
	first := <-trying
	name := func(e Endpoint) string { return fmt.Sprintf("TCP %d", e.Port) }
	report := func() bool {
		if !both {
			return true
		}
		if second.err != nil {
			why := w.Config
			why.Port = other.Port
			return w.found(Skipped, name(other), "%s; not needed", Diagnose(second.err, why).Lines[0])
		}
		return w.found(Passed, name(other), "connected in %s; not needed", second.took)
	}
	if first.err == nil {
		return w.found(Passed, name(w.endpoint), "connected in %s", first.took) && report()
	}
	d := Diagnose(first.err, w.Config)
	if d.Kind == KindOther {
		d.Kind = KindNetwork
	}
	if both && second.err == nil {
		who := "a firewall"
		if w.Config.Proxy != nil {
			who = "the proxy"
		}
		d.Lines = append(d.Lines[:1], fmt.Sprintf("%s blocks port %d: port %d answers", who, w.endpoint.Port, other.Port))
		d.next("the same with the endpoint %s", other)
	}
	if both && second.err != nil && !report() {
		return false
	}
	return w.failed(name(w.endpoint), first.err, d)
}

// tls looks at the server's side of TLS: version, chain, name and time. It gives two steps, TLS and server.
func (w *walk) tls(ctx context.Context) bool {
	if !w.endpoint.TLS {
		return w.found(Skipped, "TLS", "not used: everything is sent in the clear")
	}
	if w.Config.Credentials == nil {
		roots, err := w.load()
		if roots == nil {
			return w.fail("TLS", err)
		}
		w.fault, w.Config.Credentials = err, roots
	} else if err := w.Config.Credentials.valid(w.Config.clock()()); err != nil {
		w.fault, w.Config.Credentials = err, w.Config.Credentials.rootsAlone()
	}
	config := tlsConfig(w.endpoint, w.Config.Credentials, w.Config.clock())
	config.NextProtos = w.Config.protocols(w.endpoint)
	var server *tls.ConnectionState
	config.VerifyConnection = func(state tls.ConnectionState) error { // after the server's certificate was verified
		server = &state
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, w.Timeout)
	defer cancel()
	began := time.Now()
	d := &dialer{endpoint: w.endpoint, tls: func() (*tls.Config, error) { return config, nil },
		needALPN: w.Config.needALPN(w.endpoint, w.aws), dialContext: w.Config.way()}
	conn, err := d.dial(ctx)
	took := milliseconds(began)
	if err == nil {
		conn.Close()
	} else if server == nil || remoteAlert(err) == "" || remoteAlert(err) == alertALPN {
		return w.fail("TLS", err)
	} else {
		w.refusal = err // with TLS 1.2; the server's side is as it should be
	}
	leaf := server.PeerCertificates[0]
	return w.found(Passed, "TLS", "%s with %s in %s", tls.VersionName(server.Version), cipherSuiteName(server.CipherSuite), took) &&
		w.found(Passed, "server", "its certificate is for %s, valid until %s, signed by %q, and trusted by %s",
			certificateNames(leaf), clock(leaf.NotAfter), commonName(leaf), w.Config.Credentials.CAFile)
}

// load loads the credentials. If only the pair is at fault, it returns the roots alone and the fault.
func (w *walk) load() (*Credentials, error) {
	now := w.Config.clock()()
	credentials, fault := w.Files.load(now)
	if fault == nil {
		return credentials, nil
	}
	if about, ok := errors.AsType[*CredentialsError](fault); ok && about.File == w.Files.Dir { // there is no such directory, perhaps
		return nil, fault
	}
	var m material
	if err := w.Files.readRoots(&m); err != nil {
		return nil, err
	}
	roots, err := m.credentials(now)
	if err != nil {
		return nil, err
	}
	return roots, fault
}

// certificate looks at the client's key and certificate.
func (w *walk) certificate(context.Context) bool {
	c := w.Config.Credentials
	switch {
	case !w.endpoint.TLS:
		return true
	case w.fault != nil:
		return w.fail("certificate", w.fault)
	case c.KeyFile == "":
		if err := w.Config.checkSecurity(w.endpoint, w.aws); err != nil {
			return w.fail("certificate", err)
		}
		if w.refusal != nil {
			return w.fail("certificate", w.refusal)
		}
		if w.Config.Authorizer != nil {
			return w.found(Skipped, "certificate", "none: an authorizer is asked instead")
		}
		return w.found(Skipped, "certificate", "none: the server has to do without")
	}
	if err := w.Config.checkSecurity(w.endpoint, w.aws); err != nil {
		return w.fail("private key", err)
	}
	key, certificate := Passed, Passed
	keyFound := c.KeyFile + " belongs to " + c.CertificateFile
	if info, err := os.Stat(c.KeyFile); err == nil {
		keyFound += fmt.Sprintf(", mode %04o", info.Mode()&fs.ModePerm)
	}
	certificateFound := c.CertificateFile + " is valid from " + clock(c.NotBefore) + " to " + clock(c.NotAfter)
	for _, warning := range c.Warnings {
		if strings.HasPrefix(warning, c.KeyFile+": ") {
			key, keyFound = Warned, warning
		} else {
			certificate, certificateFound = Warned, warning
		}
	}
	if !w.found(key, "private key", "%s", keyFound) || !w.found(certificate, "certificate", "%s", certificateFound) ||
		!w.found(Passed, "certificate id", "%s", c.CertificateID) {
		return false
	}
	if w.refusal != nil {
		return w.fail("certificate", w.refusal)
	}
	return true
}

// milliseconds is the time since began, for people.
func milliseconds(began time.Time) string {
	return fmt.Sprintf("%.0f ms", float64(time.Since(began).Microseconds())/1000)
}
