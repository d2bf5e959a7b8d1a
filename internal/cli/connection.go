package cli

import (
	"context"
	"crypto/tls"
	"errors"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"iotwire/iot"
	"iotwire/mqtt"
	"iotwire/mqtt/filestore"
)

// connection is the options of publisher and subscriber on where to connect, and as whom.
type connection struct {
	way
	login
	endpoint, prefix, certDir string
	clientID, ca, cert, key   string
	searched, sought          bool // --cert-dir was given; on the command line
	persistent, aws, check    bool
	store                     string
	qos                       int
	keepAlive, timeout        time.Duration
	quiet, verbose, alpn      bool
	will                      will
	trace                     TraceOptions
	page, pcap, keylog        string
}

func (o *connection) endpointOption() Option {
	return Option{Letter: "e", Name: "endpoint", Metavar: "ENDPOINT", Value: &o.endpoint,
		Help: "host, host:port, or mqtts://, mqtt:// and these"}
}

func (o *connection) prefixOption() Option {
	return Option{Letter: "p", Name: "client-prefix", Metavar: "PREFIX", Value: &o.prefix, Default: "test", Empty: true,
		Help: "client id is PREFIX-<uuid4>"}
}

func (o *connection) certDirOption() Option {
	return Option{Letter: "C", Name: "cert-dir", Metavar: "DIR", Value: &o.certDir, Default: ".",
		Help: "holds private.key, cert.pem, AmazonRootCA1.pem"}
}

func (o *connection) qosOption(help string) Option {
	return Option{Letter: "q", Name: "qos", Metavar: "0|1|2", Value: &o.qos, Default: "1", Min: "0", Max: "2", Help: help}
}

func (o *connection) timeoutOption() Option {
	return Option{Name: "timeout", Metavar: "TIME", Value: &o.timeout, Default: "10s", Min: "1ms", Max: "24h",
		Help: "longest wait for any answer"}
}

func (o *connection) keepAliveOption() Option {
	return Option{Letter: "k", Name: "keep-alive", Metavar: "SECONDS", Value: &o.keepAlive, Default: "10", Max: "65535",
		Help: "0 turns it off"}
}

func (o *connection) identityOptions() []Option {
	return slices.Concat([]Option{
		{Name: "client-id", Metavar: "ID", Value: &o.clientID, Help: "the whole client id (replaces -p)"},
		{Name: "persistent", Value: &o.persistent, Help: "clean session 0: the server keeps the session; needs --client-id"},
		{Name: "store", Metavar: "DIR", Value: &o.store, Help: "keep the session in DIR as well; needs --persistent"},
	}, o.will.options(), []Option{
		{Name: "ca", Metavar: "FILE", Value: &o.ca, Help: "file to use in place of the CA in --cert-dir; enough for a server that asks for no certificate"},
		{Name: "cert", Metavar: "FILE", Value: &o.cert, Help: "the same for the certificate"},
		{Name: "key", Metavar: "FILE", Value: &o.key, Help: "the same for the private key"},
		{Name: "aws", Value: &o.aws, Help: "the server is AWS IoT Core, or plays it, though its name does not end in .amazonaws.com"},
		{Name: "alpn", Value: &o.alpn, Help: "offer the protocol x-amzn-mqtt-ca (ALPN) on any port; on port 443 it always is"},
	}, o.loginOptions(), o.wayOptions())
}

// outputOptions are the rows on how much is said, and how.
func (o *connection) outputOptions() []Option {
	options := []Option{
		{Letter: "v", Name: "verbose", Value: &o.verbose, Help: "one line for each packet on stderr"},
		{Name: "quiet", Value: &o.quiet, Help: "errors only"},
		o.trace.ColorOption(),
	}
	if !tracing {
		options = options[1:]
	}
	return options
}

// target checks the options that say where to connect.
func (o *connection) target(t *Table) (iot.Endpoint, error) {
	if o.endpoint == "" {
		return iot.Endpoint{}, errorf("no endpoint: give -e ENDPOINT or set %s", t.Variable("endpoint"))
	}
	if t.FlagGiven("client-prefix") && !t.FlagGiven("client-id") {
		o.clientID = "" // A flag wins over the variable of the option that would replace it, too.
	}
	if o.persistent && o.clientID == "" {
		return iot.Endpoint{}, errors.New("--persistent needs --client-id ID: the session is found by it")
	}
	if o.store != "" && !o.persistent {
		return iot.Endpoint{}, errors.New("--store needs --persistent: a clean session is not kept")
	}
	if o.verbose && o.trace.style == "" {
		if o.trace.file != "" {
			return iot.Endpoint{}, errors.New("-v/--verbose shows packets on stderr, and --trace-file keeps them from there: give one of them")
		}
		o.trace.style = "brief"
	}
	o.searched, o.sought = t.Given("cert-dir"), t.FlagGiven("cert-dir")
	o.proxyGiven = t.Given("proxy")
	if err := o.checkLogin(t); err != nil {
		return iot.Endpoint{}, err
	}
	target, err := iot.Config{Endpoint: o.endpoint, Port: o.port, Authorizer: o.custom()}.Server()
	if err == nil && o.keylog != "" && !target.TLS {
		err = errors.New("--keylog: mqtt:// has no TLS")
	}
	if err == nil {
		err = o.will.check(t, o.isAWS(target))
	}
	return target, err
}

// isAWS reports whether the limits of AWS IoT Core hold for target.
func (o *connection) isAWS(target iot.Endpoint) bool { return o.aws || target.AWS() }

// files names the files of key, certificate and CA.
func (o *connection) files() iot.CredentialFiles {
	return iot.CredentialFiles{Dir: o.certDir, CA: o.ca, Certificate: o.cert, Key: o.key, CAOnly: o.authorizerGiven}
}

// credentials loads the files. A CA alone is enough for a server that asks for no certificate: with --ca and nothing else,
// the present directory need not have one.
func (o *connection) credentials(target iot.Endpoint) (*iot.Credentials, error) {
	credentials, err := iot.LoadCredentialFiles(o.files())
	if err != nil && o.ca != "" && o.cert == "" && o.key == "" && !o.searched && !o.isAWS(target) {
		return iot.LoadCredentialFiles(iot.CredentialFiles{CA: o.ca})
	}
	if missing, ok := err.(*iot.CredentialsError); ok && !o.searched && o.ca+o.cert == "" && !o.isAWS(target) && errors.Is(err, fs.ErrNotExist) {
		// Nobody has spoken of TLS.
		missing.Remedy += "; a broker without TLS is mqtt://" + strings.TrimSuffix(target.Address(), ":8883")
	}
	return credentials, err
}

// config returns what a client needs, for a target that was checked. Its error is [packet.ErrInvalid] or
// [iot.ErrCredentials].
func (o *connection) config(target iot.Endpoint, p *Process, log *console) (*mqtt.Config, *iot.Config, error) {
	var hangup <-chan os.Signal
	if p.Hangup != nil {
		hangup = p.Hangup() // which ends no program that waits for its clock, or has no certificates
	}
	if err := o.awaitClock(p, log); err != nil {
		return nil, &iot.Config{}, err
	}
	c, err := o.server(target, p, log)
	if err != nil {
		return nil, c, err
	}
	if _, err := strconv.ParseUint(c.ClientPrefix, 10, 16); err == nil && o.port == 0 {
		log.warn("-p begins the client id; --port is the port") // as -p is with other programs
	}
	if target.TLS {
		credentials, err := o.credentials(target)
		if err != nil {
			return nil, c, err
		}
		for _, warning := range credentials.Warnings {
			log.warn("%s", warning)
		}
		c.Credentials = credentials
		if c.KeyLog, err = o.keyLog(log); err != nil {
			return nil, c, err
		}
		o.renew(c, target, hangup, log)
	} else {
		if o.sought { // -C is a count with other programs
			log.warn("-C names the directory of certificates, and is not used: mqtt:// has no TLS")
		}
		if address, err := netip.ParseAddr(target.Host); target.Host != "localhost" && (err != nil || !address.IsLoopback()) {
			log.warn("mqtt:// sends everything in the clear; mqtts:// is encrypted")
		}
	}
	cfg, err := c.MQTT()
	if err != nil {
		return nil, c, err
	}
	c.ClientID = cfg.ClientID
	o.prepare(&cfg)
	return &cfg, c, nil
}

// server says where to connect, and as whom, but for the credentials.
func (o *connection) server(target iot.Endpoint, p *Process, log *console) (*iot.Config, error) {
	c := &iot.Config{Endpoint: o.endpoint, Port: o.port, ClientID: o.clientID, AWS: o.aws, ALPN: o.alpn, Will: o.will.of(),
		DialContext: p.dial}
	if o.clientID == "" {
		c.ClientPrefix = o.prefix
	}
	c.Authorizer = o.custom()
	if err := o.openSecrets(o.timeout); err != nil {
		return c, err
	}
	var err error
	c.Proxy, err = o.chosenProxy(target, p.Getenv, log)
	return c, err
}

// prepare makes what the options say about the connection part of cfg.
func (o *connection) prepare(cfg *mqtt.Config) {
	o.logIn(cfg)
	cfg.CleanSession = !o.persistent
	cfg.Timeout = o.timeout
	if cfg.KeepAlive = o.keepAlive; o.keepAlive == 0 {
		cfg.KeepAlive = -1
	}
}

// openStore opens the store of a client that keeps its session, and makes it part of cfg.
func (o *connection) openStore(cfg *mqtt.Config, log *console) *failure {
	if o.store == "" {
		return nil
	}
	store, err := filestore.Open(o.store, cfg.ClientID, filestore.Options{
		Warn: func(err error) { log.warn("%v", err) },
	})
	if err != nil {
		return &failure{ExitLocal, []string{"--store: " + err.Error()}}
	}
	cfg.Store = store
	// What is accepted without a connection waits in memory too. The store is full before the queue is, and says so.
	cfg.Queue = mqtt.Queue{Messages: 50_000, Bytes: 128 << 20}
	return nil
}

// watch tells on the console what happens to the connections of a client. It belongs to Run's goroutine.
type watch struct {
	log      *console
	target   iot.Endpoint
	server   *iot.Config
	client   string // its id
	began    time.Time
	security string
	accepted int                   // connections so far
	patient  bool                  // the first one need not work
	lost     atomic.Pointer[error] // why the last one ended; for everybody

	explained string // the last line of what was explained last
}

// attach makes w part of cfg. The first connection has to work, unless w is patient: what goes wrong before a CONNACK
// accepts is final.
func (w *watch) attach(cfg *mqtt.Config) {
	dial, retry := cfg.Dial, cfg.Retry
	cfg.Dial = func(ctx context.Context) (net.Conn, error) {
		conn, err := dial(ctx)
		w.security = ""
		if c, ok := conn.(interface{ ConnectionState() tls.ConnectionState }); ok {
			w.security = " (" + tls.VersionName(c.ConnectionState().Version) + ")"
		}
		return conn, err
	}
	cfg.Retry = func(err error) bool {
		return (w.accepted > 0 || w.patient) && (retry == nil || retry(err))
	}
	cfg.Trace = &mqtt.Trace{
		Connecting:   w.connecting,
		Connected:    w.connected,
		Disconnected: w.disconnected,
		Damaged:      func(err error) { w.log.warn("%v", err) },
	}
}

func (w *watch) connecting(attempt int) {
	w.began = time.Now()
	if w.accepted == 0 && attempt == 1 {
		w.log.say("connecting to %s%s as %s", w.target, through(w.server.Proxy), oneLine(w.client))
	}
}

func (w *watch) connected(present bool) {
	took := span(time.Since(w.began))
	w.accepted++
	if lost := w.lost.Load(); lost != nil && !errors.Is(*lost, mqtt.ErrLost) {
		w.lost.Store(nil) // why there was no connection explains nothing any more
	}
	switch {
	case w.accepted == 1 && present:
		w.log.say("connected in %s%s; the server has kept the session", took, w.security)
	case w.accepted == 1:
		w.log.say("connected in %s%s", took, w.security)
	case present:
		w.log.warn("reconnected in %s%s; the server has kept the session", took, w.security)
	default:
		w.log.warn("reconnected in %s%s; the server had no session", took, w.security)
	}
}

func (w *watch) disconnected(err error, retry bool, wait time.Duration) {
	w.lost.Store(&err)
	if !retry {
		return // the end of the program explains it
	}
	d := iot.Diagnose(err, *w.server)
	first := d.Lines[0] + "; reconnecting in " + span(wait)
	if lost, ok := errors.AsType[*mqtt.LostError](err); ok && lost.Short >= 3 && lost.Publishing != nil && lost.Publishing.QoS > 0 {
		first += " unless the message is given up" // the publisher ends then, and may do so at once
	}
	if w.worthExplaining(err, d) {
		w.log.warnLines(append([]string{first}, d.Lines[1:]...)...)
	} else {
		w.log.warn("%s", first)
	}
}

// worthExplaining reports whether more is to be said than that there will be another attempt. To lose a connection is
// usual, but not again and again; what hangs on a message is told at its end, if it has one; any other failure is
// explained until another follows.
func (w *watch) worthExplaining(err error, d *iot.Diagnosis) bool {
	lost, ok := errors.AsType[*mqtt.LostError](err)
	was := w.explained
	w.explained = d.Lines[len(d.Lines)-1] // the first line may have the time in it
	switch {
	case d.Kind != iot.KindLost || !ok:
		return was != w.explained
	case lost.Publishing != nil && lost.Publishing.QoS > 0:
		return false
	case lost.Publishing != nil:
		return was != w.explained // QoS 0 is never acknowledged, so that nothing is said at its end
	}
	return lost.Short == 3
}
