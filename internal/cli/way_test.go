package cli

import (
	"context"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"iotwire/internal/testbroker"
)

// proxied is the dial of a program whose server is behind a proxy, and a proxy that answers so. What the proxy was asked is
// added to asked.
func proxied(asked *[]string, answer string) dial {
	server := script((*peer).obey)
	var mu sync.Mutex // guards asked
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		client, proxy := testbroker.Pipe()
		behind, err := server(ctx, network, address)
		if err != nil {
			return nil, err
		}
		go func() {
			defer proxy.Close()
			defer behind.Close()
			b := make([]byte, 1000)
			n, _ := proxy.Read(b)
			mu.Lock()
			*asked = append(*asked, address+" "+string(b[:n]))
			mu.Unlock()
			if _, err := io.WriteString(proxy, answer); err != nil || !strings.Contains(answer, " 200 ") {
				_, _ = proxy.Read(b)
				return
			}
			go func() {
				_, _ = io.Copy(proxy, behind)
				proxy.Close()
			}()
			_, _ = io.Copy(behind, proxy)
		}()
		return client, nil
	}
}

func TestProxyByOptionAndEnvironment(t *testing.T) {
	for _, test := range []struct {
		args, environment string
		said, asked       string // "": it goes straight to the server
	}{
		{"-e mqtt://broker --proxy http://ann:s3cret@p:3128", "", "connecting to mqtt://broker:1883 through http://p:3128 as me",
			"p:3128 CONNECT broker:1883 HTTP/1.1\r\nHost: broker:1883\r\nProxy-Authorization: Basic YW5uOnMzY3JldA==\r\n\r\n"},
		{"-e mqtt://broker --port 443 --proxy p:3128", "", "connecting to mqtt://broker:443 through http://p:3128 as me",
			"p:3128 CONNECT broker:443 HTTP/1.1\r\nHost: broker:443\r\n\r\n"},
		{"-e mqtt://broker", "ALL_PROXY=http://ann:s3cret@p:1", "publisher: ALL_PROXY names the proxy http://p:1; --proxy none goes around it",
			"p:1 CONNECT broker:1883 HTTP/1.1\r\nHost: broker:1883\r\nProxy-Authorization: Basic YW5uOnMzY3JldA==\r\n\r\n"},
		{"-e mqtt://broker", "MQTT_PUBLISHER_PROXY=http://p:2", "connecting to mqtt://broker:1883 through http://p:2 as me",
			"p:2 CONNECT broker:1883 HTTP/1.1\r\nHost: broker:1883\r\n\r\n"},
		{"-e mqtt://broker --proxy none", "ALL_PROXY=http://p:1", "connecting to mqtt://broker:1883 as me", ""},
		{"-e mqtt://broker --proxy=", "ALL_PROXY=http://p:1", "connecting to mqtt://broker:1883 as me", ""},
		{"-e mqtt://broker", "MQTT_PUBLISHER_PROXY=none ALL_PROXY=http://p:1", "connecting to mqtt://broker:1883 as me", ""},
		{"-e mqtt://localhost", "ALL_PROXY=http://p:1", "connecting to mqtt://localhost:1883 as me", ""},
	} {
		synctest.Test(t, func(t *testing.T) {
			var asked []string
			dial := proxied(&asked, "HTTP/1.1 200 OK\r\n\r\n")
			if test.asked == "" {
				dial = script((*peer).obey)
			}
			r := run(t, Publisher, dial, func(p *Process) {
				p.Getenv = func(name string) string {
					for _, pair := range strings.Fields(test.environment) {
						if key, value, _ := strings.Cut(pair, "="); key == name {
							return value
						}
					}
					return ""
				}
			}, append(strings.Fields(test.args), "-m", "hi")...)
			r.ended(ExitDone)
			if !strings.Contains(r.stderr.String(), strings.TrimPrefix(test.said, "publisher: ")) {
				t.Errorf("it did not say %q, but:\n%s", test.said, r.stderr.String())
			}
			if strings.Join(asked, "|") != test.asked {
				t.Errorf("%s %s: asked %q, want %q", test.args, test.environment, asked, test.asked)
			}
			if strings.Contains(r.stderr.String(), "s3cret") {
				t.Error(r.stderr.String())
			}
		})
	}
}

func TestProxyThatRefusesEndsWithExitCode3(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, program := range []func(*Process) ExitCode{Publisher, Subscriber} {
			var asked []string
			r := run(t, program, proxied(&asked, "HTTP/1.1 403 Forbidden\r\n\r\n<html>"), func(p *Process) {
				p.Getenv = func(name string) string { return map[string]string{"MQTT_PUBLISHER_MESSAGE": "hi"}[name] }
			}, "-e", "mqtt://broker", "--proxy", "http://ann:s3cret@p:3128", "--trace=full")
			if r.exit != ExitNetwork || !strings.Contains(r.stderr.String(), "the proxy http://p:3128 does not allow a connection to broker:1883 (403 Forbidden)\n  many allow port 443 alone") ||
				strings.Contains(r.stderr.String(), "s3cret") || strings.Contains(r.stderr.String(), "YW5u") {
				t.Errorf("exit code %d:\n%s", r.exit, r.stderr.String())
			}
		}
	})
}

func TestProxyThatIsNoneIsAMistakeInUsage(t *testing.T) {
	for _, args := range [][]string{{"-m", "hi"}, {"--check"}} {
		r := run(t, Publisher, nil, nil, append(args, "--proxy", "ftp://ann:s3cret@p:21")...)
		if r.exit != ExitUsage || !strings.Contains(r.stderr.String(), "--proxy: proxy: unknown scheme in front of ://") || strings.Contains(r.stderr.String(), "s3cret") {
			t.Errorf("exit code %d: %s", r.exit, r.stderr.String())
		}
	}
}

func TestCheckWithAProxy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var asked []string
		r := run(t, Subscriber, proxied(&asked, "HTTP/1.1 200 OK\r\n\r\n"), nil, "-e", "mqtt://broker", "--proxy", "http://ann:s3cret@p:3128", "--check")
		r.ended(ExitDone)
		out := r.stdout.String()
		if !strings.Contains(out, "checking the way to mqtt://broker:1883 through http://p:3128 as me") ||
			!strings.Contains(out, "ok    proxy           http://p:3128 takes connections, in ") || strings.Contains(out, "s3cret") {
			t.Error(out)
		}
	})
}

// A page has the command line in it, by which one can repeat it, but nobody's password.
func TestPageHidesTheLoginOfTheProxy(t *testing.T) {
	for _, args := range [][]string{
		{"--proxy", "http://ann:s3cret@p:3128"}, {"--proxy=http://ann:s3cret@p:3128"}, {"-proxy", "ann:s3cret@p:3128"}, {"-proxy=ann:s3cret@p:3128"},
	} {
		synctest.Test(t, func(t *testing.T) {
			var asked []string
			page := filepath.Join(t.TempDir(), "page.html")
			r := run(t, Publisher, proxied(&asked, "HTTP/1.1 200 OK\r\n\r\n"), nil, append(args, "-e", "mqtt://broker", "-m", "hi", "--page", page)...)
			r.ended(ExitDone)
			content, err := os.ReadFile(page)
			if err != nil {
				t.Fatal(err)
			}
			if text := string(content); strings.Contains(text, "s3cret") || strings.Contains(text, "ann:") || !strings.Contains(text, "...@p:3128") {
				t.Errorf("%q: %v %v", args, strings.Contains(text, "s3cret"), strings.Contains(text, "...@p:3128"))
			}
		})
	}
}

func TestCommandLineWithoutLogin(t *testing.T) {
	for url, want := range map[string]string{
		"http://ann:s3cret@p:3128":     "http://...@p:3128",
		"ann:s3cret@p:3128":            "...@p:3128",
		"http://p:3128":                "http://p:3128",
		"none":                         "none",
		"http://ann:s3cret":            "...", // the rest was forgotten
		"ann:s3://cret@p:3128":         "...",
		"http://ann:s3cret@p:3128/@x":  "...",
		"http://ann:s3/cret@p:3128":    "...",
		"socks5h://ann:s3cret@[::1]:9": "socks5h://...@[::1]:9",
	} {
		for _, args := range [][]string{{"-v", "--proxy", url, "-m", "hi"}, {"--proxy=" + url}, {"-proxy", url}} {
			got := strings.Join(withoutLogin(args), " ")
			if want := strings.ReplaceAll(strings.Join(args, " "), url, want); got != want {
				t.Errorf("%q: %q, want %q", args, got, want)
			}
		}
	}
}
