package iot

import (
	"bytes"
	"encoding/base64"
	"io"
	"net"
	"strconv"
	"strings"
)

// maxProxyHeader is the most bytes of the header with which an HTTP proxy answers, interim answers included.
const maxProxyHeader = 16 << 10

// askHTTP asks for a tunnel to target (RFC 9110 section 9.3.6). When it returns nil, the next byte on conn is the server's.
func (p *Proxy) askHTTP(conn net.Conn, target string) error {
	request := "CONNECT " + target + " HTTP/1.1\r\nHost: " + target + "\r\n"
	if p.login != nil {
		user, password := p.login()
		request += "Proxy-Authorization: Basic " + basic(user, password) + "\r\n"
	}
	if _, err := io.WriteString(conn, request+"\r\n"); err != nil {
		return err
	}
	a, err := readProxyAnswer(conn)
	switch {
	case err == errNotHTTP:
		return p.notHTTP(a.first)
	case err == errHeaderTooLarge:
		return p.fault(err, "answered with a header of more than %d KiB", maxProxyHeader>>10).remedy("is it a proxy?")
	case err != nil:
		return err
	case a.code/100 == 2:
		return nil
	}
	return p.refusal(a, target)
}

// notHTTP says what a proxy may be instead whose answer starts with the byte first.
func (p *Proxy) notHTTP(first byte) error {
	e := p.fault(nil, "does not answer in HTTP")
	switch {
	case first == 0x15 && p.scheme == "http": // an alert of TLS
		return e.remedy("it speaks TLS: write https:// in front of it")
	case first == 5 || first == 0: // the version of SOCKS 5; 4 answers with 0
		return e.remedy("it may be a SOCKS proxy: write socks5h:// in front of it")
	}
	return e.remedy(checkPort)
}

// refusal says what an answer means that opens no tunnel.
func (p *Proxy) refusal(a proxyAnswer, target string) error {
	status := strings.TrimSuffix(strconv.Itoa(a.code)+" "+p.quoted(a.reason), " ")
	if a.code == 407 || a.code == 401 { // tinyproxy has the second for a wrong password
		return p.loginRefused(a.schemes, status)
	}
	i := 0
	for refusals[i].code != a.code && refusals[i].code != 0 {
		i++
	}
	e := p.fault(nil, refusals[i].problem, target, status).remedy(refusals[i].remedy)
	if a.code == 403 && strings.HasSuffix(target, ":443") {
		e.Remedy = "ask who runs it to allow it"
	}
	return e
}

// refusals are answers that open no tunnel, and in the end what stands for any other: %[1]s is the server, %[2]s the status.
var refusals = [...]struct {
	code            int
	problem, remedy string
}{
	{403, "does not allow a connection to %[1]s (%[2]s)", "many allow port 443 alone, where AWS IoT listens too: --port 443"},
	{502, unreachableBehind, checkEndpoint},
	{503, unreachableBehind, checkEndpoint},
	{504, unreachableBehind, checkEndpoint},
	{400, noConnect, checkProxy},
	{404, noConnect, checkProxy},
	{405, noConnect, checkProxy},
	{501, noConnect, checkProxy},
	{0, "refused a connection to %[1]s (%[2]s)", checkLog},
}

const (
	unreachableBehind = "cannot reach %[1]s (%[2]s)"
	noConnect         = "does not know CONNECT (%[2]s)"

	checkEndpoint = "is the endpoint right, and does the proxy's network reach it?"
	checkProxy    = "is it a proxy, and not a web server?"
	checkLog      = "its log, or who runs it, knows why"
	checkPort     = "is the port right?"
	checkEncoding = "in a URL % is written %25, : is %3A, @ is %40 and / is %2F"
	giveLogin     = "write them into its URL, SCHEME://USER:PASSWORD@HOST:PORT, and that into a variable, not on the command line"
)

// loginRefused says what an answer means that wants to know who this is.
func (p *Proxy) loginRefused(schemes []string, status string) error {
	basic := schemes == nil
	for _, scheme := range schemes {
		basic = basic || strings.ToLower(scheme) == "basic"
	}
	switch {
	case !basic:
		return p.fault(nil, "wants to be logged in to with %s, and only Basic is spoken here (%s)", p.quoted(strings.Join(schemes, ", ")), status).
			remedy("a proxy on this machine that speaks it, such as cntlm, can stand in between").forever()
	case p.login == nil:
		return p.fault(nil, "wants user name and password (%s)", status).remedy(giveLogin).forever()
	}
	return p.fault(nil, "does not accept this user name or password (%s)", status).remedy(checkEncoding).forever()
}

// quoted returns what the proxy said as a part of a line. Some repeat what they were sent: not here.
func (p *Proxy) quoted(said string) string {
	if p.login != nil {
		user, password := p.login()
		for _, secret := range []string{user, password, basic(user, password)} {
			if secret != "" && strings.Contains(said, secret) {
				return "..."
			}
		}
	}
	return oneLine(said[:min(len(said), 60)]) // which mends a character that is cut
}

// basic encodes user name and password as HTTP sends them (RFC 7617).
func basic(user, password string) string {
	return base64.StdEncoding.EncodeToString([]byte(user + ":" + password))
}

// proxyAnswer is how an HTTP proxy answers CONNECT.
type proxyAnswer struct {
	code    int
	reason  string   // as it came
	schemes []string // by which one may log in, from Proxy-Authenticate
	first   byte     // of what came, if it is no HTTP
}

// proxyAnswerError is an answer that cannot be used.
type proxyAnswerError string

func (e proxyAnswerError) Error() string { return string(e) }

const (
	errNotHTTP        proxyAnswerError = "not HTTP/1.x"
	errHeaderTooLarge proxyAnswerError = "the header is too large"
)

// readProxyAnswer reads an answer up to the empty line behind its header, and not a byte more: what follows comes from
// the server. That is why it reads byte by byte, from the connection itself.
func readProxyAnswer(r io.Reader) (proxyAnswer, error) {
	var header []byte
	one := make([]byte, 1)
	for n := 0; n < maxProxyHeader; n++ {
		if _, err := io.ReadFull(r, one); err != nil {
			if err == io.EOF {
				err = io.ErrUnexpectedEOF
			}
			return proxyAnswer{}, err
		}
		header = append(header, one[0])
		if protocol := "HTTP/1."; len(header) <= len(protocol) && header[len(header)-1] != protocol[len(header)-1] {
			return proxyAnswer{first: header[0]}, errNotHTTP
		}
		if !bytes.HasSuffix(header, []byte("\n\r\n")) && !bytes.HasSuffix(header, []byte("\n\n")) {
			continue
		}
		a, err := parseProxyAnswer(string(header))
		if err != nil || a.code/100 != 1 {
			return a, err
		}
		header = header[:0] // an interim answer (RFC 9110 section 15.2)
	}
	return proxyAnswer{}, errHeaderTooLarge
}

// space is what may stand around the words of a header.
const space = " \t\r\n"

// parseProxyAnswer reads a header: a status line (RFC 9112 section 4) and fields.
func parseProxyAnswer(header string) (proxyAnswer, error) {
	line, fields, _ := strings.Cut(header, "\n")
	version, status, _ := strings.Cut(strings.TrimSuffix(line, "\r"), " ")
	code, reason, _ := strings.Cut(strings.Trim(status, space), " ")
	a := proxyAnswer{first: 'H', reason: strings.Trim(reason, space)}
	n, err := strconv.ParseUint(code, 10, 16)
	if len(version) != len("HTTP/1.1") || len(code) != 3 || err != nil || n < 100 {
		return a, errNotHTTP
	}
	a.code = int(n)
	for field := range strings.Lines(fields) {
		name, value, _ := strings.Cut(field, ":")
		if strings.ToLower(name) != "proxy-authenticate" || len(a.schemes) == 8 {
			continue
		}
		scheme, _, _ := strings.Cut(strings.Trim(value, space), " ")
		a.schemes = append(a.schemes, scheme)
	}
	return a, nil
}
