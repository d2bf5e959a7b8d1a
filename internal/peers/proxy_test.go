package peers

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"iotwire/internal/testbroker"
	"iotwire/iot"
	"iotwire/mqtt"
)

// startTinyproxy starts an HTTP proxy, and returns its address. With login, "user password", it wants that. It allows
// CONNECT to the port of allowed only.
func startTinyproxy(t *testing.T, login, allowed string) string {
	t.Helper()
	program := tool(t, "tinyproxy", "tinyproxy-bin")
	address := freeAddress(t)
	_, port, _ := net.SplitHostPort(address)
	_, connect, _ := net.SplitHostPort(allowed)
	config := fmt.Sprintf("Port %s\nListen 127.0.0.1\nTimeout 60\nMaxClients 20\nConnectPort %s\n", port, connect)
	if login != "" {
		config += "BasicAuth " + login + "\n"
	}
	file := filepath.Join(t.TempDir(), "tinyproxy.conf")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	return startProxy(t, address, exec.Command(program, "-d", "-c", file))
}

// startMicrosocks starts a SOCKS5 proxy, and returns its address. With login, "user password", it wants that.
func startMicrosocks(t *testing.T, login string) string {
	t.Helper()
	address := freeAddress(t)
	_, port, _ := net.SplitHostPort(address)
	args := []string{"-i", "127.0.0.1", "-p", port}
	if user, password, found := strings.Cut(login, " "); found {
		args = append(args, "-u", user, "-P", password)
	}
	return startProxy(t, address, exec.Command(tool(t, "microsocks", "microsocks"), args...))
}

func startProxy(t *testing.T, address string, cmd *exec.Cmd) string {
	t.Helper()
	log := newJournal(t, filepath.Base(cmd.Path))
	cmd.Stdout, cmd.Stderr = log, log
	awaitListener(t, address, startProcess(t, cmd).ended)
	return address
}

// throughProxy publishes a large message at QoS 1 under mutual TLS through a proxy.
func throughProxy(t *testing.T, c *certificates, broker, url string) error {
	t.Helper()
	proxy, err := iot.ParseProxy(url)
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(broker)
	config, err := iot.Config{Endpoint: "localhost:" + port, ClientPrefix: "test", Credentials: c.device(t), Proxy: proxy}.MQTT()
	if err != nil {
		t.Fatal(err)
	}
	config.Retry = func(error) bool { return false }
	client, err := mqtt.New(config)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	ran := make(chan error, 1)
	go func() { ran <- client.Run(ctx) }()
	if err := client.Ready(ctx); err != nil {
		return <-ran
	}
	if err := client.Publish(ctx, mqtt.Message{Topic: "a", Payload: make([]byte, 100_000), QoS: mqtt.QoS1}); err != nil {
		return err
	}
	if err := client.Shutdown(ctx); err != nil {
		return err
	}
	return <-ran
}

func TestProxies(t *testing.T) {
	c := makeCertificates(t)
	broker := testbroker.New(testbroker.Config{RequireCertificate: true})
	listener, err := tls.Listen("tcp", "127.0.0.1:0", c.server(t))
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- broker.Serve(context.Background(), listener) }()
	t.Cleanup(func() {
		broker.Close()
		<-served
	})
	at := listener.Addr().String()

	t.Run("tinyproxy", func(t *testing.T) {
		open, closed := startTinyproxy(t, "", at), startTinyproxy(t, "ann s3cret", at)
		for url, want := range map[string]string{
			"http://" + open:                                   "",
			"http://ann:s3cret@" + closed:                      "",
			"http://ann:wrong@" + closed:                       "does not accept this user name or password (401 Unauthorized)",
			"http://" + closed:                                 "wants user name and password",
			"http://" + startTinyproxy(t, "", "127.0.0.1:443"): "does not allow a connection to localhost:",
		} {
			checkProxy(t, url, throughProxy(t, c, at, url), want)
		}
	})
	t.Run("microsocks", func(t *testing.T) {
		open, closed := startMicrosocks(t, ""), startMicrosocks(t, "ann s3cret")
		for url, want := range map[string]string{
			"socks5h://" + open:              "",
			"socks5://" + open:               "",
			"socks5h://ann:s3cret@" + closed: "",
			"socks5h://ann:wrong@" + closed:  "does not accept this user name or password",
			"socks5h://" + closed:            "wants user name and password",
			"http://" + open:                 "", // what it says depends on how it takes the bytes of a request
		} {
			err := throughProxy(t, c, at, url)
			if strings.HasPrefix(url, "http:") {
				if proxy := new(iot.ProxyError); !errors.As(err, &proxy) {
					t.Errorf("%s: %v, want an error of the proxy", url, err)
				}
				continue
			}
			checkProxy(t, url, err, want)
		}
	})
}

// checkProxy compares the error of a connection through a proxy.
func checkProxy(t *testing.T, url string, err error, want string) {
	t.Helper()
	switch {
	case want == "" && err != nil:
		t.Errorf("%s: %v", url, err)
	case want != "" && (err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "s3cret")):
		t.Errorf("%s: %v, want %q", url, err, want)
	}
}
