package iot

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"iotwire/internal/testbroker"
	"iotwire/mqtt/packet"
)

func TestParseProxy(t *testing.T) {
	for _, test := range []struct{ url, want, user, password string }{
		{"http://proxy.corp:3128", "http://proxy.corp:3128", "", ""},
		{"proxy.corp:3128", "http://proxy.corp:3128", "", ""},
		{"HTTP://Proxy.Corp:3128/", "http://proxy.corp:3128", "", ""},
		{"https://proxy.corp", "https://proxy.corp:443", "", ""},
		{"socks5://10.0.0.1", "socks5://10.0.0.1:1080", "", ""},
		{"socks5h://[2001:db8::1]:9050", "socks5h://[2001:db8::1]:9050", "", ""},
		{"http://ann:s3cret@p:80", "http://p:80", "ann", "s3cret"},
		{"http://ann@p:80", "http://p:80", "ann", ""},
		{"http://a%40b:%25%3A%2f%40@p:80", "http://p:80", "a@b", "%:/@"},
		{"socks5h://a%3Ab:c:d@p", "socks5h://p:1080", "a:b", "c:d"},
	} {
		p, err := ParseProxy(test.url)
		if err != nil {
			t.Errorf("%s: %v", test.url, err)
			continue
		}
		user, password := "", ""
		if p.login != nil {
			user, password = p.login()
		}
		if p.String() != test.want || user != test.user || password != test.password {
			t.Errorf("%s: %v, %q %q, want %+v", test.url, p, user, password, test)
		}
	}
}

func TestParseProxySaysWhatIsWrongWithoutTheSecret(t *testing.T) {
	for url, want := range map[string]string{
		"":                                 "no host",
		"http://":                          "no host",
		"http://ann:s3cret@":               "no host",
		"http://ann:s3cret@proxy":          "no port, and there is no usual one",
		"http://ann:s3cret@proxy:0":        `port "0", want 1 to 65535`,
		"http://ann:s3cret@proxy:x":        `port "x", want 1 to 65535`,
		"http://ann:s3cret":                "no port, want [USER:PASSWORD@]HOST:PORT",
		"ann:s3c:ret":                      "no port, want [USER:PASSWORD@]HOST:PORT",
		"http://ann:s3cret/@":              "write %2F",
		"http://ann:s3c/ret":               "no port, want [USER:PASSWORD@]HOST:PORT",
		"http://proxy:80/path":             `"/" behind the host`,
		"2001:db8::1":                      "an IPv6 address needs brackets",
		"http://ann:s3cret@proxy:80/path":  `"/" behind the host`,
		"http://ann:s3c/ret@proxy:80":      "write %2F",
		"http://ann:s3c@ret@proxy:80":      "write %2F",
		"http://ann:s3cret%@proxy:80":      "write %25",
		"http://ann:s3cret%4@proxy:80":     "write %25",
		"http://ann:s3cret%+1@proxy:80":    "write %25",
		"http://:s3cret@proxy:80":          "a password without a user name",
		"http://a%3Ab:s3cret@proxy:80":     "a colon in the user name",
		"http://ann:s3cret@pro xy:80":      `' ' in the host name`,
		"http://ann:s3cret@2001:db8::1:80": "an IPv6 address needs brackets",
		"http://ann:s3cret@[2001:db8::1":   "want an IPv6 address in the brackets",
		"ann:s3cret://proxy":               "unknown scheme",
		"ftp://ann:s3cret@proxy:21":        "unknown scheme",
		"socks4://ann:s3cret@proxy:1080":   "socks4:// is not spoken here",
		"socks5://ann:" + strings.Repeat("s3cret", 50) + "@proxy":    "more than 255 bytes",
		"http://ann:" + strings.Repeat("s3cret", 1000) + "@proxy:80": "more than 4096 bytes",
		"http://ann:s3cret@" + strings.Repeat("a.", 127) + "a:80":    "255 bytes, want at most 253",
	} {
		_, err := ParseProxy(url)
		if !errors.Is(err, packet.ErrInvalid) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", url, err, want)
			continue
		}
		if strings.Contains(err.Error(), "s3c") || strings.Contains(err.Error(), "\n") || len(err.Error()) > 300 {
			t.Errorf("%s: %v", url, err)
		}
	}
}

func TestNothingPrintsTheLoginOfAProxy(t *testing.T) {
	p := must(ParseProxy("http://ann:s3cret@proxy:3128"))
	c := Config{Endpoint: host, Proxy: p}
	var b strings.Builder
	for _, v := range []any{p, *p, c, &c, []any{p}, map[string]*Proxy{"p": p}, p.fault(nil, "x")} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%d", "%x"} {
			fmt.Fprintf(&b, verb+"\n", v)
		}
	}
	b.Write(must(json.Marshal(map[string]any{"proxy": p, "config": Config{Proxy: p}})))
	for _, secret := range []string{"ann", "s3cret", fmt.Sprintf("%x", "s3cret")} {
		if strings.Contains(b.String(), secret) {
			t.Errorf("%q in:\n%s", secret, b.String())
		}
	}
	if !strings.Contains(b.String(), `{"config":`) || !strings.Contains(b.String(), "http://proxy:3128") {
		t.Error(b.String())
	}
}

// httpProxy is a proxy that answers in this way. It notes what it was asked.
func httpProxy(asked *string, answer string) func(net.Conn) net.Conn {
	return func(conn net.Conn) net.Conn {
		*asked = readRequest(conn)
		if _, err := io.WriteString(conn, answer); err != nil || !strings.HasPrefix(answer, "HTTP/1.1 200") {
			_, _ = conn.Read(make([]byte, 1)) // until the client has read it
			return nil
		}
		return conn
	}
}

// readRequest reads up to an empty line.
func readRequest(r io.Reader) string {
	var b []byte
	for one := make([]byte, 1); !bytes.HasSuffix(b, []byte("\r\n\r\n")); b = append(b, one[0]) {
		if _, err := r.Read(one); err != nil {
			break
		}
	}
	return string(b)
}

func TestConnectsThroughAnHTTPProxy(t *testing.T) {
	for url, header := range map[string]string{
		"http://proxy:3128":               "",
		"http://ann:s3%3Acret@proxy:3128": "Proxy-Authorization: Basic YW5uOnMzOmNyZXQ=\r\n",
	} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld()
			s := w.listen(t, w.server)
			var asked string
			s.front = httpProxy(&asked, "HTTP/1.1 200 Connection established\r\nVia: 1.1 proxy\r\n\r\n")
			c := w.config()
			c.Proxy = must(ParseProxy(url))
			if err, _ := s.attempt(c); err != nil {
				t.Fatal(err)
			}
			if want := "CONNECT " + host + ":8883 HTTP/1.1\r\nHost: " + host + ":8883\r\n" + header + "\r\n"; asked != want {
				t.Errorf("asked %q, want %q", asked, want)
			}
			if s.got[0] != "tcp proxy:3128" {
				t.Errorf("dialled %q", s.got)
			}
		})
	}
}

// An IPv6 address stands in brackets, and its zone stays here, where it means something.
func TestHTTPProxyIsAskedForAnIPv6Address(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &server{t: t}
		var asked string
		s.front = httpProxy(&asked, "HTTP/1.1 200 OK\r\n\r\n")
		c := Config{Endpoint: "mqtt://[2001:db8::1%eth0]:1883", ClientID: "me", Proxy: must(ParseProxy("http://[2001:db8::2]:3128"))}
		if err, _ := s.attempt(c); err != nil {
			t.Fatal(err)
		}
		if !strings.HasPrefix(asked, "CONNECT [2001:db8::1]:1883 HTTP/1.1\r\nHost: [2001:db8::1]:1883\r\n") || s.got[0] != "tcp [2001:db8::2]:3128" {
			t.Errorf("asked %q of %q", asked, s.got)
		}
	})
}

func TestConnectsThroughAProxyWithTLS(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		s := w.listen(t, w.server)
		var asked string
		s.front = func(conn net.Conn) net.Conn {
			secure := tls.Server(conn, &tls.Config{Certificates: []tls.Certificate{w.server.tls()}})
			return httpProxy(&asked, "HTTP/1.1 200 OK\r\n\r\n")(secure)
		}
		c := w.config()
		c.Proxy = must(ParseProxy("https://" + host + ":8443"))
		c.Proxy.roots = pool(w.ca)
		if err, _ := s.attempt(c); err != nil {
			t.Fatal(err)
		}
		if !strings.HasPrefix(asked, "CONNECT "+host+":8883 ") {
			t.Errorf("asked %q", asked)
		}

		c.Proxy.roots = pool(authority("Other"))
		err, again := s.attempt(c)
		meets(t, c, err, again, false, KindNetwork, "the proxy https://"+host+":8443 has a certificate that is not trusted", "SSL_CERT_FILE")

		s.front = httpProxy(&asked, "HTTP/1.0 400 Bad Request\r\n\r\n")
		s.front = func(conn net.Conn) net.Conn {
			_, _ = conn.Read(make([]byte, 100))
			_, _ = io.WriteString(conn, "HTTP/1.0 400 Bad Request\r\n\r\n")
			return nil
		}
		err, again = s.attempt(c)
		meets(t, c, err, again, true, KindNetwork, "does not speak TLS", "http:// in front of it")
	})
}

// Package crypto/x509 compares the name before it looks for a root: what a certificate says may be anybody's words.
func TestNamesInACertificateThatIsNotTrustedKeepToTheLine(t *testing.T) {
	certificate := &x509.Certificate{DNSNames: []string{"a\nb\x1b[31m" + strings.Repeat("c", 60_000)}}
	unverified := &tls.CertificateVerificationError{Err: x509.HostnameError{Certificate: certificate, Host: "proxy"}}
	for _, err := range []error{
		must(ParseProxy("https://proxy")).untrusted(unverified),
		&handshakeError{must(ParseEndpoint(host)), unverified},
	} {
		if text := err.Error(); len(text) > 1000 || strings.ContainsAny(text, "\n\x1b") || !strings.Contains(text, "certificate is valid for a") {
			t.Errorf("%.2000q", text)
		}
		if !errors.Is(err, unverified) {
			t.Errorf("%.200q does not wrap it", err)
		}
	}
}

func TestHTTPProxyThatOpensNoWay(t *testing.T) {
	for answer, words := range map[string][]string{
		"HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic realm=\"x\"\r\nContent-Length: 5\r\n\r\nlogin": {
			"does not accept this user name or password (407 Proxy Authentication Required)", "%40", "final"},
		"HTTP/1.0 401 Unauthorized\r\n\r\n":                                                      {"does not accept this user name or password (401 Unauthorized)", "final"},
		"HTTP/1.1 403 no way, ann:s3cret\r\n\r\n":                                                {"does not allow a connection to " + host + ":8883 (403 ...)"},
		"HTTP/1.1 403 " + strings.Repeat("x", 50) + " Basic YW5uOnMzY3JldA==\r\n\r\n":            {"does not allow a connection to " + host + ":8883 (403 ...)"},
		"HTTP/1.1 407 s3cret\r\nProxy-Authenticate: s3cret\r\n\r\n":                              {"logged in to with ..., and only Basic is spoken here (407 ...)", "final"},
		"HTTP/1.1 407 no\r\nProxy-Authenticate: NTLM\r\nproxy-authenticate: Negotiate x\r\n\r\n": {"logged in to with NTLM, Negotiate", "cntlm", "final"},
		"HTTP/1.1 403 Forbidden\r\n\r\n<html>":                                                   {"does not allow a connection to " + host + ":8883 (403 Forbidden)", "--port 443"},
		"HTTP/1.0 502 Bad Gateway\r\nContent-Length: 100000\r\n\r\n<html>":                       {"cannot reach " + host + ":8883 (502 Bad Gateway)"},
		"HTTP/1.1 504\r\n\r\n":                                                                   {"cannot reach " + host + ":8883 (504)"},
		"HTTP/1.1 405 Method Not Allowed\r\n\r\n":                                                {"does not know CONNECT (405 Method Not Allowed)", "web server"},
		"HTTP/1.1 302 \x1b[31mFound\r\nLocation: http://login\r\n\r\n":                           {"refused a connection to " + host + ":8883 (302 \uFFFD[31mFound)"},
		"HTTP/1.1 299" + strings.Repeat("9", 20) + " OK\r\n\r\n":                                 {"does not answer in HTTP"},
		"HTTP/2 200 OK\r\n\r\n":                                                                  {"does not answer in HTTP", "is the port right?"},
		"SSH-2.0-OpenSSH_9.6\r\n":                                                                {"does not answer in HTTP", "is the port right?"},
		"\x15\x03\x01\x00\x02\x02\x46":                                                           {"does not answer in HTTP", "https://"},
		"\x05\xff":                                                                               {"does not answer in HTTP", "socks5h://"},
		"":                                                                                       {"took the connection, and did not answer in time"},
		"HTTP/1.1 200 OK\r\nVia: x":                                                              {"took the connection, and did not answer in time"},
		"HTTP/1.1 200 OK\r\nX: " + strings.Repeat("x", 10<<20):                                   {"a header of more than 16 KiB"},
		strings.Repeat("HTTP/1.1 100 Continue\r\n\r\n", 1000):                                    {"a header of more than 16 KiB"},
	} {
		t.Run(answer[:min(len(answer), 30)], func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld()
				s := w.listen(t, w.server)
				s.front = func(conn net.Conn) net.Conn {
					readRequest(conn)
					_, _ = io.WriteString(conn, answer)
					_, _ = conn.Read(make([]byte, 1))
					return nil
				}
				c := w.config()
				c.Proxy = must(ParseProxy("http://ann:s3cret@proxy:3128"))
				err, again := s.attempt(c)
				final := words[len(words)-1] == "final"
				if final {
					words = words[:len(words)-1]
				}
				meets(t, c, err, again, !final, KindNetwork, append(words, "the proxy http://proxy:3128 ")...)
				if d := Diagnose(err, c); len(d.Lines) != 2 || strings.Contains(err.Error()+d.String(), "s3cret") {
					t.Errorf("%q, %q", err, d)
				}
			})
		})
	}
}

func TestProxyThatWantsALogin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		s := w.listen(t, w.server)
		var asked string
		s.front = httpProxy(&asked, "HTTP/1.1 407 Proxy Authentication Required\r\n\r\n")
		c := w.config()
		c.Proxy = must(ParseProxy("http://proxy:3128"))
		err, again := s.attempt(c)
		meets(t, c, err, again, false, KindNetwork, "wants user name and password", "USER:PASSWORD@HOST:PORT", "not on the command line")
	})
}

func TestProxyThatHangsUp(t *testing.T) {
	for _, url := range []string{"http://proxy:3128", "https://proxy", "socks5h://proxy"} {
		for _, reads := range []bool{false, true} {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld()
				s := w.listen(t, w.server)
				s.front = func(conn net.Conn) net.Conn {
					if reads {
						_, _ = conn.Read(make([]byte, 10))
					}
					return nil
				}
				c := w.config()
				c.Proxy = must(ParseProxy(url))
				err, again := s.attempt(c)
				meets(t, c, err, again, true, KindNetwork, "hung up in place of an answer")
			})
		}
	}
}

func TestProxyThatOpensTheWayAndClosesIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		s := w.listen(t, w.server)
		s.front = func(conn net.Conn) net.Conn {
			readRequest(conn)
			_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\n\r\n")
			_, _ = conn.Read(make([]byte, 1000))
			return nil
		}
		c := w.config()
		c.Proxy = must(ParseProxy("http://proxy:3128"))
		err, again := s.attempt(c)
		meets(t, c, err, again, true, KindTLS, "hung up in the TLS handshake", "the proxy http://proxy:3128 opened the way and closed it again")
	})
}

func TestProxyThatAnswersAByteASecondEndsWithTheTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		s := w.listen(t, w.server)
		s.front = func(conn net.Conn) net.Conn {
			readRequest(conn)
			for _, b := range []byte("HTTP/1.1 200 Connection established\r\n\r\n") {
				time.Sleep(time.Second)
				if _, err := conn.Write([]byte{b}); err != nil {
					break
				}
			}
			return nil
		}
		c := w.config()
		c.Proxy = must(ParseProxy("http://proxy:3128"))
		began := time.Now()
		err, again := s.attempt(c)
		meets(t, c, err, again, true, KindNetwork, "took the connection, and did not answer in time")
		if took := time.Since(began); took > 12*time.Second {
			t.Errorf("it took %v", took)
		}

		c.DialContext = s.dialContext
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		_, err = must(c.MQTT()).Dial(ctx)
		s.work.Wait()
		if !errors.Is(err, context.Canceled) {
			t.Errorf("%v, want the context's error", err)
		}
	})
}

func TestProxyThatCannotBeReached(t *testing.T) {
	for cause, words := range map[error][]string{
		&net.DNSError{Err: "no such host", Name: "proxy", IsNotFound: true}: {"cannot be found: no address of proxy"},
		&net.OpError{Op: "dial", Err: errors.New("network is unreachable")}: {"cannot be reached: network is unreachable", "online"},
		&net.OpError{Op: "dial", Err: context.DeadlineExceeded}:             {"does not answer"},
	} {
		synctest.Test(t, func(t *testing.T) {
			c := Config{Endpoint: "mqtt://server", ClientID: "me", Proxy: must(ParseProxy("http://proxy:3128"))}
			c.DialContext = func(context.Context, string, string) (net.Conn, error) { return nil, cause }
			_, err := must(c.MQTT()).Dial(t.Context())
			meets(t, c, err, worthRetry(err, time.Now(), false), true, KindNetwork, append(words, "the proxy http://proxy:3128 ")...)
			if !errors.Is(err, cause) {
				t.Errorf("%v does not match %v", err, cause)
			}
		})
	}
}

// What the server says at once stays on the connection, though it came with the end of the header.
func TestFirstBytesOfTheServerAreKept(t *testing.T) {
	for url, answer := range map[string]string{
		"http://proxy:3128": "HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
		"http://proxy:8080": "HTTP/1.0 200 OK\n\n", // not what RFC 9112 wants
		"socks5h://proxy":   "\x05\x00\x05\x00\x00\x03\x05proxy\x12\x34",
		"socks5://proxy":    "\x05\x00\x05\x00\x00\x04" + strings.Repeat("\x00", 18),
	} {
		synctest.Test(t, func(t *testing.T) {
			const greeting = "\r\n\r\nHTTP/1.1 500\r\n\r\n\x00"
			p := must(ParseProxy(url))
			conn, err := p.through(func(context.Context, string, string) (net.Conn, error) {
				client, server := testbroker.Pipe()
				_, _ = io.WriteString(server, answer+greeting)
				return client, nil
			})(t.Context(), "tcp", "192.0.2.1:22")
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			got := make([]byte, len(greeting))
			if _, err := io.ReadFull(conn, got); err != nil || string(got) != greeting {
				t.Errorf("%q, %v", got, err)
			}
		})
	}
}

func TestProxyAnswerIsReadToTheEmptyLineAndNoFurther(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		code := rapid.IntRange(200, 999).Draw(t, "code")
		reason := rapid.StringMatching(`[ -~]{0,40}`).Draw(t, "reason")
		fields := rapid.SliceOfN(rapid.StringMatching(`[A-Za-z-]{1,20}:[ -~]{0,40}`), 0, 10).Draw(t, "fields")
		rest := rapid.SliceOf(rapid.Byte()).Draw(t, "rest")
		header := strings.Join(append([]string{fmt.Sprintf("HTTP/1.1 %d %s", code, reason)}, fields...), "\r\n") + "\r\n\r\n"
		r := bytes.NewReader(append([]byte(header), rest...))
		a, err := readProxyAnswer(r)
		if err != nil || a.code != code {
			t.Fatalf("%q: %+v %v", header, a, err)
		}
		if r.Len() != len(rest) {
			t.Fatalf("%d bytes are left, want %d", r.Len(), len(rest))
		}
		cut := rapid.IntRange(0, len(header)-1).Draw(t, "cut")
		if _, err := readProxyAnswer(strings.NewReader(header[:cut])); err == nil && !strings.HasSuffix(header[:cut], "\n\n") {
			t.Fatalf("an answer that is cut off after %q", header[:cut])
		}
	})
}

func FuzzProxyAnswer(f *testing.F) {
	for _, seed := range []string{
		"HTTP/1.1 200 Connection established\r\n\r\n\x16\x03\x01", "HTTP/1.0 200\n\n", "HTTP/1.1 407 x\r\nProxy-Authenticate: NTLM\r\n\r\n",
		"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 403 Forbidden\r\n\r\n", "HTTP/1.1 403 s3cret\r\n\r\n", "HTTP/1.1\r\n\r\n", "SSH-2.0\r\n", "", "HTTP/1.1 +12 x\r\n\r\n",
	} {
		f.Add([]byte(seed))
	}
	p := must(ParseProxy("http://ann:s3cret@proxy:3128"))
	f.Fuzz(func(t *testing.T, b []byte) {
		r := bytes.NewReader(b)
		a, err := readProxyAnswer(r)
		read := len(b) - r.Len()
		if read > maxProxyHeader {
			t.Fatalf("read %d bytes", read)
		}
		if err != nil {
			return
		}
		text := p.refusal(a, "server:8883").Error()
		if a.code < 200 || a.code > 999 || strings.ContainsFunc(text, func(r rune) bool { return r < ' ' }) || len(text) > 1000 || strings.Contains(text, "s3cret") {
			t.Fatalf("%+v: %q", a, text)
		}
		if !bytes.HasSuffix(b[:read], []byte("\n\r\n")) && !bytes.HasSuffix(b[:read], []byte("\n\n")) {
			t.Fatalf("it ended at %q", b[:read])
		}
		// Where package net/http understands the only header in it, too, the two agree.
		if request, err := http.NewRequest("CONNECT", "http://x:1", nil); err == nil {
			if theirs, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(b[:read])), request); err == nil && theirs.StatusCode >= 200 && theirs.StatusCode != a.code {
				t.Fatalf("%d, and net/http has %d", a.code, theirs.StatusCode)
			}
		}
	})
}
