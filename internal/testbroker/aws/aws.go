// Package aws is AWS IoT Core on your desk: package testbroker with the rules of AWS on top. It decides by real policies,
// has the limits of AWS and hangs up as silently, but its log says what AWS keeps to itself: for which action on which
// ARN, by which certificate, and the smallest statement that would allow it. The map:
//
//	aws.go        Core and its Config
//	registry.go   the certificates and what belongs to them: a directory that a person can edit
//	device.go     one of them, as its files say
//	fill.go       an empty directory becomes a registry with one thing
//	handshake.go  the server's side of TLS: server name, ALPN, certificate
//	connect.go    CONNECT: certificate, limits, policy
//	authorizer.go custom authorizers, which do without a certificate; authorizerfile.go reads their file
//	client.go     a connected client: PUBLISH, SUBSCRIBE and what is delivered to it
//	access.go     what the policies say, and the log line about it
//	limits.go     the numbers, and what they are about
//	bucket.go     so many in a second
//	reserved.go   topics that start with '$'
//	events.go     messages on $aws/events
//	log.go        log lines in CloudWatch's form
//	logwriter.go  writes them
//	watch.go      what becomes of connected clients when a file changes
//
// # The registry
//
// A directory is a registry. It is a thing's folder itself, and so is every folder in it that has a certificate:
//
//	cert.pem         the certificate that is registered (or one named ...-certificate.pem.crt, as AWS names it)
//	policy.json      its policy; further ones are policy-NAME.json, 10 at most
//	thing.json       its status and its thing; see below. Without this file it is ACTIVE
//	private.key      its key, which only the device needs
//
// thing.json is, with every line optional, and without the remarks:
//
//	{
//	  "status": "ACTIVE",              or INACTIVE, or REVOKED
//	  "thing": "thing-1",              the thing that the certificate is attached to; else the folder's name, if it has one
//	  "type": "sensor",                its type
//	  "attributes": {"room": "12"},    its attributes
//	  "exclusive": true                attached exclusively: the client identifier need not be the thing's name
//	}
//
// The directory itself has the server's files too: AmazonRootCA1.pem, server.pem, server.key and ca.key, which signs the
// certificates that are made here. Any other certificate can be registered as well: AWS knows them by their SHA-256,
// and asks no CA.
//
// [New] fills a directory that is empty, and each folder in it that is empty; it never overwrites a file. The files are
// read again when they have changed: at each CONNECT, and once in a second for the clients that are connected. AWS
// decides on each operation when it happens, and takes minutes to learn of a new policy. Here a second has to do, then:
// the next operation is decided by the new policies; a connection whose certificate is no longer ACTIVE or no longer
// there, or whose CONNECT the new policies do not allow, is closed. A file with a mistake counts as not saved, as AWS
// would not store it: the log says what is wrong, and what was read before stays.
//
// # Custom authorizers
//
// Config.Authorizers names a file with custom authorizers: what AWS itself checks before it asks one, and what its function
// then answers. A client reaches them on the port that stands for 443 with the protocol mqtt (ALPN), without a
// certificate; its user name has the name of the authorizer, the token and its signature behind a '?'. All of this but
// answers is optional:
//
//	{
//	  "gate": {                             the name
//	    "status": "ACTIVE",                 or INACTIVE
//	    "default": true,                    asked where the user name has no x-amz-customauthorizer-name
//	    "tokenKey": "token",                where the token stands in the user name: token=TOKEN
//	    "publicKey": "gate.pem",            then the token has to be signed; the file's name from this one's folder
//	    "answers": [{
//	      "userName": "ann",                for whom it is: what is left out may be anything. The first that fits counts;
//	      "password": "secret",             if none does, the function has answered isAuthenticated false
//	      "token": "abc",
//	      "principalId": "ann1",            1 to 128 letters and digits
//	      "policyDocuments": [{"Version": "2012-10-17", "Statement": []}],
//	      "disconnectAfterInSeconds": 3600, 300 to 86 400, which it is if it is left out
//	      "refreshAfterInSeconds": 300      likewise
//	    }]
//	  }
//	}
//
// Nobody outside AWS knows whether it decodes the percent-encoding of a token before it checks the signature (here it does), and
// whether it ever answers a client that an authorizer refuses (here it hangs up, as with a policy).
//
// The file and its keys are read again when they have changed, as the registry is. What they then say counts for new
// connections, and for the others when it is time to refresh.
package aws

import (
	"context"
	"crypto/tls"
	"net"
	"sync"
	"time"

	"iotwire/internal/testbroker"
)

// Config says how a Core behaves where the sources about AWS disagree, or where it would be in the way. The zero value
// of each field but Dir is what AWS most likely does.
type Config struct {
	// Dir is the registry. It is made if it does not exist.
	Dir string

	// Hosts are names of the server besides localhost, 127.0.0.1 and ::1. "*.iot.us-east-1.amazonaws.com" is one too.
	Hosts []string

	// NoServerName lets clients in that do not send a server name (SNI), or another one than the server's.
	NoServerName bool

	// RejectInHandshake refuses a certificate that is unknown or not ACTIVE with a TLS alert, as AWS did in 2017, and not
	// by hanging up after CONNECT.
	RejectInHandshake bool

	// Explain answers a CONNECT that is refused with CONNACK 5 where AWS says nothing.
	Explain bool

	// SubackOnDeny answers a topic filter that no policy allows with 0x80, and does not hang up.
	SubackOnDeny bool

	// IgnoreQoS2 ignores a PUBLISH or a SUBSCRIBE with QoS 2, and does not hang up.
	IgnoreQoS2 bool

	// Strict hangs up at the 51st subscription of a connection, and does not answer 0x80.
	Strict bool

	// ConnectInterval is the time that passes between two CONNECTs of a client identifier. 1 second; sources say 10 too.
	ConnectInterval time.Duration

	// SessionExpiry is how long a session waits for its client: 1 hour.
	SessionExpiry time.Duration

	// AckDelay is the time that AWS takes to acknowledge a QoS 1 message: none.
	AckDelay time.Duration

	// RedeliverAfter is the time after which a QoS 1 message that the client has not acknowledged is sent again, with DUP
	// 0, until that has gone on for an hour. AWS does not say its own; here it is 30 seconds. Negative: never.
	RedeliverAfter time.Duration

	// Authorizers is a file with custom authorizers, or empty: see the package's documentation.
	Authorizers string

	// Log is told what AWS writes to CloudWatch. It may be called by several goroutines at a time, also while the broker
	// is locked: it must be quick, and must not call the broker. See [LogWriter].
	Log func(Entry)

	// Broker is what the broker below has, such as an observer. What AWS has rules for is set by New.
	Broker testbroker.Config
}

// Core is a broker with AWS IoT Core's rules. Its methods are those of the broker; [Core.Close] ends it.
type Core struct {
	*testbroker.Broker

	// Certificates are those of the registry's own directory. They belong to the Core.
	Certificates *testbroker.Certificates

	config      Config
	registry    *registry
	authorizers *authorizers // nil without
	server      tls.Certificate
	stop        func() // ends watch
	ended       <-chan struct{}
	stopped     sync.WaitGroup

	mu      sync.Mutex // taken after the broker's
	live    map[*client]struct{}
	records map[string]*record // by client identifier
}

// New returns a Core for the registry in config.Dir, which it fills if it is empty. A mistake in one of its files is an
// error: file, line and what is wrong. It needs Close.
func New(config Config) (*Core, error) {
	if config.ConnectInterval <= 0 {
		config.ConnectInterval = connectInterval
	}
	if config.SessionExpiry <= 0 {
		config.SessionExpiry = sessionExpiry
	}
	if config.RedeliverAfter == 0 {
		config.RedeliverAfter = redeliverAfter
	}
	if config.Log == nil {
		config.Log = func(Entry) {}
	}
	c := &Core{
		config:  config,
		live:    make(map[*client]struct{}),
		records: make(map[string]*record),
	}
	ended := make(chan struct{})
	c.ended, c.stop = ended, sync.OnceFunc(func() { close(ended) })
	var err error
	if c.Certificates, err = fill(config.Dir, config.Hosts); err != nil {
		return nil, err
	}
	if c.server, err = tls.X509KeyPair(c.Certificates.Server, c.Certificates.ServerKey); err != nil {
		return nil, err
	}
	if c.registry, err = openRegistry(config.Dir); err != nil {
		return nil, err
	}
	if config.Authorizers != "" {
		if c.authorizers, err = openAuthorizers(config.Authorizers); err != nil {
			return nil, err
		}
	}
	c.Broker = testbroker.New(c.brokerConfig())
	c.stopped.Go(c.watch)
	return c, nil
}

// brokerConfig returns the configuration of the broker below.
func (c *Core) brokerConfig() testbroker.Config {
	b := c.config.Broker
	b.MaxPacket = maxPacket
	b.MaxSubscriptions = maxSubscriptions
	b.Inflight = maxUnacknowledged
	b.BytesPerSecond = bytesPerSecond
	b.SessionExpiry = c.config.SessionExpiry
	b.AckDelay = c.config.AckDelay
	b.Deviations = testbroker.Deviations{
		AwaitConnack:    true,
		ParentUnmatched: true,
		RetainedExactly: true,
		NeverDup:        true,
		NoQoS2:          true,
		ReplayRate:      replayRate,
		RedeliverAfter:  c.config.RedeliverAfter,
		GiveUpAfter:     giveUpAfter,
	}
	b.Guard = c.guard
	b.TLS = c.TLS()
	observe := b.Observe
	b.Observe = func(e testbroker.Event) {
		c.observe(e)
		if observe != nil {
			observe(e)
		}
	}
	return b
}

// Close closes the listeners and all connections, and returns once nothing of the Core is running any more.
func (c *Core) Close() {
	c.stop()
	c.Broker.Close()
	c.stopped.Wait()
}

// DialALPN is [testbroker.Broker.DialTLS] for the port that stands for 443: the client needs ALPN.
func (c *Core) DialALPN(ctx context.Context) (net.Conn, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	client, server := testbroker.Pipe()
	go c.ServeConn(tls.Server(server, c.TLSWithALPN()))
	return client, nil
}
