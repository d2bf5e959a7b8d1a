package iot

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"

	"iotwire/internal/testbroker"
	"iotwire/mqtt/packet"
)

// socksProxy is a SOCKS5 proxy that reads and writes in turns. What it read is added to asked. After the last turn the
// server has the connection.
func socksProxy(asked *[]string, turns ...string) func(net.Conn) net.Conn {
	return func(conn net.Conn) net.Conn {
		for _, turn := range turns {
			b := make([]byte, 600)
			n, err := conn.Read(b)
			if err != nil {
				return nil
			}
			*asked = append(*asked, string(b[:n]))
			if _, err := io.WriteString(conn, turn); err != nil {
				return nil
			}
		}
		return conn
	}
}

func TestConnectsThroughASOCKSProxy(t *testing.T) {
	const accepted = "\x05\x00\x00\x01\x00\x00\x00\x00\x00\x00"
	for _, test := range []struct {
		url, endpoint string
		turns, asked  []string
	}{
		{"socks5h://proxy", "", []string{"\x05\x00", accepted},
			[]string{"\x05\x01\x00", "\x05\x01\x00\x03" + string(rune(len(host))) + host + "\x22\xb3"}},
		{"socks5h://ann:s3cret@proxy:9", "", []string{"\x05\x02", "\x01\x00", accepted},
			[]string{"\x05\x02\x00\x02", "\x01\x03ann\x06s3cret", "\x05\x01\x00\x03" + string(rune(len(host))) + host + "\x22\xb3"}},
		{"socks5h://ann:s3cret@proxy", "", []string{"\x05\x00", accepted}, // it does not ask for it
			[]string{"\x05\x02\x00\x02", "\x05\x01\x00\x03" + string(rune(len(host))) + host + "\x22\xb3"}},
		{"socks5://proxy", "", []string{"\x05\x00", accepted}, // looked up here
			[]string{"\x05\x01\x00", "\x05\x01\x00\x01\xc0\x00\x02\x01\x22\xb3"}},
		{"socks5h://proxy", "mqtt://[2001:db8::1]", []string{"\x05\x00", accepted},
			[]string{"\x05\x01\x00", "\x05\x01\x00\x04\x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01\x07\x5b"}},
	} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld()
			s := w.listen(t, w.server)
			c := w.config()
			if test.endpoint != "" {
				s.tls, c.Endpoint = nil, test.endpoint
			}
			var asked []string
			s.front = socksProxy(&asked, test.turns...)
			c.Proxy = must(ParseProxy(test.url))
			c.Proxy.lookup = func(_ context.Context, name string) ([]string, error) {
				if name != host {
					t.Errorf("looked %s up", name)
				}
				return []string{"192.0.2.1", "2001:db8::1"}, nil
			}
			if err, _ := s.attempt(c); err != nil {
				t.Fatal(err)
			}
			if strings.Join(asked, "|") != strings.Join(test.asked, "|") {
				t.Errorf("%s: asked\n%q, want\n%q", test.url, asked, test.asked)
			}
		})
	}
}

func TestSOCKSProxyThatOpensNoWay(t *testing.T) {
	for _, test := range []struct {
		url   string
		turns []string
		again bool
		words []string
	}{
		{"socks5h://proxy", []string{"\x05\xff"}, false, []string{"wants user name and password", "SCHEME://USER:PASSWORD@HOST:PORT"}},
		{"socks5h://ann:s3cret@proxy", []string{"\x05\xff"}, false, []string{"lets nobody in with user name and password"}},
		{"socks5h://ann:s3cret@proxy", []string{"\x05\x02", "\x01\x01"}, false, []string{"does not accept this user name or password"}},
		{"socks5h://proxy", []string{"\x05\x02"}, false, []string{"in the way 2, which was not offered"}},
		{"socks5h://proxy", []string{"\x05\x01"}, false, []string{"in the way 1, which was not offered"}},
		{"socks5h://proxy", []string{"HTTP/1.1 400 Bad Request\r\n\r\n"}, true, []string{"does not answer in SOCKS5", "write http://"}},
		{"socks5h://proxy", []string{"\x00\x5b"}, true, []string{"does not answer in SOCKS5", "SOCKS4"}},
		{"socks5h://proxy", []string{"\x05"}, true, []string{"did not answer in time"}},
		{"socks5h://proxy", []string{"\x05\x00", "\x05\x01\x00\x01"}, true, []string{"failed to connect to " + host + ":8883"}},
		{"socks5h://proxy", []string{"\x05\x00", "\x05\x02\x00\x01"}, true, []string{"does not allow a connection to " + host + ":8883"}},
		{"socks5h://proxy", []string{"\x05\x00", "\x05\x03\x00\x01"}, true, []string{"network unreachable"}},
		{"socks5h://proxy", []string{"\x05\x00", "\x05\x04\x00\x01"}, true, []string{"host unreachable"}},
		{"socks5h://proxy", []string{"\x05\x00", "\x05\x05\x00\x01"}, true, []string{"connection refused"}},
		{"socks5h://proxy", []string{"\x05\x00", "\x05\x06\x00\x01"}, true, []string{"no answer in time"}},
		{"socks5h://proxy", []string{"\x05\x00", "\x05\x07\x00\x01"}, true, []string{"does not know the command CONNECT"}},
		{"socks5h://proxy", []string{"\x05\x00", "\x05\x08\x00\x01"}, true, []string{"does not know this kind of address"}},
		{"socks5h://proxy", []string{"\x05\x00", "\x05\x63\x00\x01"}, true, []string{"refused a connection to " + host + ":8883"}},
		{"socks5h://proxy", []string{"\x05\x00", "\x04\x00\x00\x01"}, true, []string{"does not answer in SOCKS5"}},
		{"socks5h://proxy", []string{"\x05\x00", "\x05\x00\x00\x09\x00"}, true, []string{"an address of the unknown kind 9"}},
		{"socks5h://proxy", []string{"\x05\x00", "\x05\x00\x00\x03\xff\x00"}, true, []string{"did not answer in time"}},
	} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld()
			s := w.listen(t, w.server)
			var asked []string
			proxy := socksProxy(&asked, test.turns...)
			s.front = func(conn net.Conn) net.Conn {
				if proxy(conn) != nil {
					_, _ = conn.Read(make([]byte, 1))
				}
				return nil
			}
			c := w.config()
			c.Proxy = must(ParseProxy(test.url))
			err, again := s.attempt(c)
			meets(t, c, err, again, test.again, KindNetwork, append(test.words, "the proxy socks5h://proxy:1080 ")...)
			if d := Diagnose(err, c); len(d.Lines) != 2 || strings.Contains(err.Error()+d.String(), "s3cret") {
				t.Errorf("%q, %q", err, d)
			}
		})
	}
}

// With socks5:// the addresses of the server are tried one after the other, as a direct connection would.
func TestSOCKSProxyIsAskedForTheNextAddress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var asked []string
		replies := []string{"\x05\x08\x00\x01", "\x05\x04\x00\x01", "\x05\x00\x00\x01\x00\x00\x00\x00\x00\x00"}
		p := must(ParseProxy("socks5://proxy"))
		p.lookup = func(context.Context, string) ([]string, error) {
			return []string{"2001:db8::1", "192.0.2.1", "192.0.2.2"}, nil
		}
		conn, err := p.through(func(context.Context, string, string) (net.Conn, error) {
			client, server := testbroker.Pipe()
			go socksProxy(&asked, "\x05\x00", replies[0])(server)
			replies = replies[1:]
			return client, nil
		})(t.Context(), "tcp", "server:8883")
		if err != nil {
			t.Fatal(err)
		}
		conn.Close()
		if len(asked) != 6 || !strings.HasSuffix(asked[5], "\xc0\x00\x02\x02\x22\xb3") {
			t.Errorf("asked %q", asked)
		}
	})
}

func TestSOCKSProxyWithALookupThatFails(t *testing.T) {
	p := must(ParseProxy("socks5://proxy"))
	p.lookup = func(context.Context, string) ([]string, error) {
		return nil, &net.DNSError{Err: "no such host", Name: "server", IsNotFound: true}
	}
	_, err := p.DialContext(t.Context(), "tcp", "server:8883")
	var e *ProxyError
	if !errors.As(err, &e) || e.Problem != "is to get an address of server, and none was found here: no such host" || !strings.Contains(e.Remedy, "socks5h://") {
		t.Errorf("%v", err)
	}
}

// Who dials in a way of their own gives any address, and no part of it becomes a header.
func TestProxyIsNotAskedForWhatIsNoHost(t *testing.T) {
	for address, want := range map[string]string{
		strings.Repeat("a", 256) + ":8883":     "the host name has 256 bytes",
		"server\r\nX-Header: x\r\n\r\n:8883":   "want host:port",
		"[server\r\nX-Header: x\r\n\r\n]:8883": `'\r' in the host name`,
		"server\n:8883":                        `'\n' in the host name`,
		":8883":                                "want host:port",
		"server:0":                             `port "0", want 1 to 65535`,
		"server":                               "want host:port",
	} {
		for _, url := range []string{"http://proxy:3128", "socks5://proxy", "socks5h://proxy"} {
			_, err := must(ParseProxy(url)).through(func(context.Context, string, string) (net.Conn, error) {
				t.Errorf("%q: %s was dialled", address, url)
				return nil, io.EOF
			})(t.Context(), "tcp", address)
			if !errors.Is(err, packet.ErrInvalid) || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("%q through %s: %v, want %q", address, url, err, want)
			}
		}
	}
}

func FuzzSOCKSAnswer(f *testing.F) {
	for _, seed := range []string{"\x05\x00\x05\x00\x00\x01\x00\x00\x00\x00\x00\x00", "\x05\x02\x01\x00\x05\x00\x00\x03\x01a\x00\x00", "\x05\xff", "HTTP/1.1", "\x05\x00\x05\x05"} {
		f.Add([]byte(seed))
	}
	p := must(ParseProxy("socks5h://ann:s3cret@proxy"))
	f.Fuzz(func(t *testing.T, b []byte) {
		client, server := testbroker.Pipe()
		defer client.Close()
		_, _ = server.Write(b)
		server.Close()
		if err := p.askSOCKS(client, "server", 8883); err != nil {
			if text := p.explained(err).Error(); strings.ContainsAny(text, "\n\x00") || strings.Contains(text, "s3cret") {
				t.Fatalf("%q", text)
			}
		}
	})
}
