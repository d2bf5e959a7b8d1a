package cli

import (
	"crypto/tls"
	"io"
	"net"
	"os"
	"strings"
	"time"

	"iotwire/mqtt/dissect"
)

func (o *connection) recordingOptions() []Option {
	if !tracing {
		return nil
	}
	return []Option{
		{Name: "page", Metavar: "FILE", Value: &o.page, Help: "write the illustrated connection, one HTML file"},
		{Name: "pcap", Metavar: "FILE", Value: &o.pcap, Help: "write the packets, without TLS, for Wireshark"},
		{Name: "keylog", Metavar: "FILE", Value: &o.keylog, Help: "append the secrets of TLS for Wireshark: for tests only"},
	}
}

// recording is what is written about the packets besides a trace.
type recording struct {
	log         *console
	server      string
	secrets     bool // passwords are shown
	page        *dissect.Page
	pageFile    *os.File
	captureFile *os.File
	failed      error // the first error in writing
}

// record is a recording of one connection.
type record struct {
	page    *dissect.PageConnection
	capture dissect.Capture
}

// openRecording opens the files that the options ask for.
func (o *connection) openRecording(p *Process, log *console, server string) (*recording, error) {
	r := &recording{log: log, server: server, secrets: o.trace.secrets}
	var err error
	if o.page != "" {
		if r.pageFile, err = create(o.page); err != nil {
			return nil, err
		}
		r.page = &dissect.Page{
			Maker:       log.program + " " + Version(),
			Command:     commandLine(log.program, withoutLogin(p.Args)),
			Began:       time.Now(),
			ShowSecrets: r.secrets,
		}
	}
	if o.pcap != "" {
		if r.captureFile, err = create(o.pcap); err != nil {
			r.close()
			return nil, err
		}
		r.capture(dissect.AppendCaptureHeader(nil))
	}
	return r, nil
}

// create creates a file that nobody else may read: it will hold payloads.
func create(name string) (*os.File, error) {
	return os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
}

// begin begins the record of connection number n.
func (r *recording) begin(n int, conn net.Conn) record {
	now := time.Now()
	c := record{capture: dissect.Capture{Connection: n, Began: now, ShowSecrets: r.secrets}}
	if r.page != nil {
		security := ""
		if s, ok := conn.(interface{ ConnectionState() tls.ConnectionState }); ok {
			security = tls.VersionName(s.ConnectionState().Version)
		}
		c.page = r.page.Connect("", r.server, security, now)
	}
	return c
}

// add records a packet.
func (r *recording) add(c *record, p *dissect.Packet) {
	c.page.Add(p)
	if r.captureFile != nil {
		r.capture(c.capture.Append(nil, p))
	}
}

// capture writes to the file for Wireshark.
func (r *recording) capture(b []byte) {
	if _, err := r.captureFile.Write(b); r.failed == nil {
		r.failed = err
	}
}

// close writes the page, and says what could not be written.
func (r *recording) close() error {
	if r.page != nil {
		_, err := r.pageFile.Write(r.page.Append(nil))
		if r.failed == nil {
			r.failed = err
		}
		r.page = nil
	}
	for _, f := range []*os.File{r.pageFile, r.captureFile} {
		if f != nil {
			if err := f.Close(); r.failed == nil {
				r.failed = err
			}
		}
	}
	r.pageFile, r.captureFile = nil, nil
	return r.failed
}

// keyLog opens the file for the secrets of TLS, and warns about it; nil if there is to be none. The process's end closes it.
func (o *connection) keyLog(log *console) (io.Writer, error) {
	if o.keylog == "" {
		return nil, nil
	}
	f, err := os.OpenFile(o.keylog, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return nil, errorf("--keylog: %v", err) // no error of the network, whatever it holds
	}
	log.warn("--keylog: whoever has %s can read what these connections carry, passwords included", o.keylog)
	return f, nil
}

// commandLine is a command as one would type it into a shell.
func commandLine(program string, args []string) string {
	words := []string{program}
	for _, arg := range args {
		if arg == "" || strings.Trim(arg, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_./:=@,+%") != "" {
			arg = "'" + strings.ReplaceAll(arg, "'", `'\''`) + "'"
		}
		words = append(words, arg)
	}
	return strings.Join(words, " ")
}
