package advisor

import (
	"bytes"
	"context"
	"crypto/tls"
	"hash/maphash"
	"net"
	"strings"
	"sync"
	"time"

	"iotwire/internal/testbroker"
	"iotwire/mqtt/dissect"
	"iotwire/mqtt/packet"
)

// line is one connection of the program: the server's end of TLS. It notes when it is over, and who ended it.
type line struct {
	net.Conn
	trial  *trial
	number int
	raw    *alertWatch // beneath TLS
	came   time.Time

	hello  *tls.ClientHelloInfo // nil: none came
	credit time.Time            // of the messages that came: not before now, if there are too many; for the relay's reader
	state  tls.ConnectionState

	mu       sync.Mutex
	session  dissect.Session
	farewell bool      // DISCONNECT came
	over     bool      // either end has closed it
	at       time.Time // when
}

func newLine(t *trial, number int, conn net.Conn) *line {
	l := &line{trial: t, number: number, raw: &alertWatch{Conn: conn}, came: time.Now()}
	l.session.Untimed = true // a machine may be busy; the broker sees to the keep alive time, and is more patient
	config := t.tls.Clone()
	config.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		l.hello = hello
		return nil, nil
	}
	l.Conn = tls.Server(l.raw, config)
	return l
}

func (l *line) note(format string, args ...any) { l.trial.bench.note(l.trial, l, format, args...) }

func (l *line) see(s sight) {
	s.line = l
	l.trial.see(s)
}

// handshakeLimit is how long a handshake may take.
const handshakeLimit = 10 * time.Second

// serve does the handshake and has the broker serve the connection, until it is over.
func (l *line) serve() {
	ctx, cancel := context.WithTimeout(l.trial.bench.ctx, handshakeLimit)
	defer cancel()
	secure := l.Conn.(*tls.Conn)
	if err := secure.HandshakeContext(ctx); err != nil {
		if alert := l.alertOf(err); alert != "" {
			l.note("TLS alert: %s", alert)
		} else {
			l.note("TLS handshake failed: %v", err)
		}
		l.ends(false)
		l.see(sight{kind: refused, err: err})
		l.raw.Close()
		return
	}
	l.state = secure.ConnectionState()
	l.note("%s, %s", tls.VersionName(l.state.Version), tls.CipherSuiteName(l.state.CipherSuite))
	l.see(sight{kind: secured})
	if l.trial.mute {
		l.listen()
		return
	}
	behind, err := l.trial.broker.Dial(l.trial.bench.ctx)
	if err != nil {
		l.Close()
		return
	}
	over := make(chan struct{})
	observe := func(e testbroker.Event) {
		if e.Kind == testbroker.Ended {
			l.Close()
			close(over)
			return
		}
		l.observe(e)
	}
	relay := testbroker.Relay{Decide: l.decide, Observe: observe, MaxPacket: 1 << 20}
	relay.Join(l, behind)
	<-over
}

// listen reads until the program ends the connection, and notes the first bytes.
func (l *line) listen() {
	b := make([]byte, 4096)
	for first := true; ; first = false {
		if _, err := l.Read(b); err != nil {
			l.Close()
			return
		}
		if first {
			l.note("data came behind the handshake")
			l.see(sight{kind: heard})
		}
	}
}

// Read notes the end of the connection.
func (l *line) Read(b []byte) (int, error) {
	n, err := l.Conn.Read(b)
	if err != nil {
		l.ends(false)
	}
	return n, err
}

// Close ends the connection for the server.
func (l *line) Close() error {
	l.ends(true)
	return l.Conn.Close()
}

// drop ends the connection as a server or a network does that fails.
func (l *line) drop() {
	l.ends(true)
	l.raw.Close()
}

// ends notes the end of the connection, once.
func (l *line) ends(ours bool) {
	l.mu.Lock()
	first := !l.over
	l.over = true
	if first {
		l.at = time.Now()
	}
	ours = ours && !l.farewell
	l.mu.Unlock()
	if !first {
		return
	}
	who := "program"
	if ours {
		who = "server"
	}
	l.note("closed by the %s", who)
	l.see(sight{kind: gone, ours: ours})
}

// ended returns when the connection ended, or the zero time.
func (l *line) ended() time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.at
}

// decide asks the trial's fault what happens to a packet.
func (l *line) decide(e testbroker.Event) testbroker.Action {
	l.trial.mu.Lock()
	withhold := l.trial.withhold
	l.trial.mu.Unlock()
	if e.Kind == testbroker.Received && e.Header.Type == packet.PUBLISH {
		l.slowDown()
	}
	if withhold == nil || !withhold(l, e) {
		return testbroker.Pass
	}
	l.note("%v withheld", e.Header.Type)
	return testbroker.Discard
}

// publishRate is how many messages a second AWS IoT Core takes on a connection.
const publishRate = 100

// slowDown lets a PUBLISH of the program wait until AWS would take it: no program may fill the memory with messages.
func (l *line) slowDown() {
	now := time.Now()
	if second := now.Add(-time.Second); l.credit.Before(second) {
		l.credit = second
	}
	l.credit = l.credit.Add(time.Second / publishRate)
	time.Sleep(l.credit.Sub(now))
}

// observe notes a packet that passes, and judges it if it is the program's.
func (l *line) observe(e testbroker.Event) {
	kind, direction := received, dissect.ToServer
	if e.Kind == testbroker.Sent {
		kind, direction = delivered, dissect.ToClient
	}
	brief := dissect.Layout{Style: dissect.Brief}
	l.mu.Lock()
	packets := l.session.Add(direction, time.Since(l.came), e.Packet())
	l.farewell = l.farewell || kind == received && e.Header.Type == packet.DISCONNECT
	l.mu.Unlock()
	for _, p := range packets {
		text := strings.Join(strings.Fields(strings.TrimSpace(string(brief.Append(nil, &p)))), " ")
		l.note("%s", text)
		for _, f := range p.Findings {
			if f.Level == dissect.Broken && kind == received {
				l.trial.bench.violated(p.Name() + ": " + f.Text + " [" + f.Rules[0] + "]")
			}
		}
	}
	l.see(sight{kind: kind, header: e.Header, body: beginning(e), sum: maphash.Bytes(seed, e.Body)})
}

// seed is that of all sums, so that they can be compared.
var seed = maphash.MakeSeed()

// beginning is a copy of a packet's body, with as much of a message's payload as somebody may want to know: there may be
// very many.
func beginning(e testbroker.Event) []byte {
	b := e.Body
	if p, err := packet.ParsePublish(e.Header.Flags, b); e.Header.Type == packet.PUBLISH && err == nil {
		b = b[:len(b)-max(len(p.Payload)-shownPayload, 0)]
	}
	return bytes.Clone(b)
}

const shownPayload = 64
