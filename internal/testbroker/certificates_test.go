package testbroker

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"

	"iotwire/mqtt/packet"
)

func TestEnsureCertificatesWritesOnceAndReadsThen(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new", "certs")
	made, err := EnsureCertificates(dir, "broker.example", "192.0.2.1")
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("directory: %v, %v, want mode 0700", info.Mode(), err)
	}
	for _, f := range made.files() {
		info, err := os.Stat(filepath.Join(dir, f.name))
		if err != nil {
			t.Fatal(err)
		}
		if key := strings.HasSuffix(f.name, ".key"); key && info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v, want 0600", f.name, info.Mode())
		}
	}
	again, err := EnsureCertificates(dir, "broker.example", "192.0.2.1", "localhost", "::1")
	if err != nil {
		t.Fatal(err)
	}
	for i, f := range again.files() {
		if !bytes.Equal(*f.content, *made.files()[i].content) {
			t.Errorf("%s differs when read again", f.name)
		}
	}
	if _, err := EnsureCertificates(dir, "elsewhere.example"); err == nil || !strings.Contains(err.Error(), "elsewhere.example") {
		t.Errorf("a host that server.pem is not for: %v, want an error that names it", err)
	}
}

func TestEnsureCertificatesNeverOverwrites(t *testing.T) {
	for _, f := range new(Certificates).files() {
		dir := t.TempDir()
		name := filepath.Join(dir, f.name)
		if err := os.WriteFile(name, []byte("mine"), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := EnsureCertificates(dir)
		if err == nil || !strings.Contains(err.Error(), "has "+f.name+" but not ") {
			t.Errorf("with %s alone: %v, want an error that says which are there and which are missing", f.name, err)
		}
		entries, _ := os.ReadDir(dir)
		if content, _ := os.ReadFile(name); len(entries) != 1 || string(content) != "mine" {
			t.Errorf("with %s alone: the directory was changed", f.name)
		}
	}
}

func TestEnsureCertificatesLeavesNothingHalfDone(t *testing.T) {
	dir := t.TempDir()
	c, err := NewCertificates()
	if err != nil {
		t.Fatal(err)
	}
	// Somebody else writes the last file in between.
	if err := os.WriteFile(filepath.Join(dir, fileDeviceKey), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := c.write(dir); !errors.Is(err, fs.ErrExist) {
		t.Errorf("write: %v, want fs.ErrExist", err)
	}
	if entries, _ := os.ReadDir(dir); len(entries) != 1 {
		t.Errorf("%d files are left, want the one that was there", len(entries))
	}
}

func TestEnsureCertificatesReportsBrokenFiles(t *testing.T) {
	for _, name := range []string{fileCA, fileServer, fileServerKey} {
		dir := t.TempDir()
		if _, err := EnsureCertificates(dir); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte("not PEM"), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := EnsureCertificates(dir); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("broken %s: %v, want an error that names it", name, err)
		}
	}
}

func TestMutualTLSInBubble(t *testing.T) {
	certificates, err := NewCertificates()
	if err != nil {
		t.Fatal(err)
	}
	serverConfig, err := certificates.ServerConfig()
	if err != nil {
		t.Fatal(err)
	}
	deviceConfig, err := certificates.DeviceConfig()
	if err != nil {
		t.Fatal(err)
	}
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		synctest.Test(t, func(t *testing.T) {
			b := newBroker(t, Config{TLS: serverConfig, RequireCertificate: true})
			config := deviceConfig.Clone()
			config.MaxVersion = version
			c := b.dialTLS(t, config)
			c.connect(packet.Connect{ClientID: []byte("device"), CleanSession: true}, false)
			c.subscribe(packet.QoS1, "a")
			payload := strings.Repeat("x", 1<<20)
			c.publish("a", payload, packet.QoS0, false)
			c.receive("a", payload, packet.QoS0, false)
			c.disconnect()
		})
		synctest.Test(t, func(t *testing.T) {
			b := newBroker(t, Config{TLS: serverConfig})
			config := deviceConfig.Clone()
			config.MaxVersion = version
			config.Certificates = nil
			conn, err := b.DialTLS(context.Background())
			if err != nil {
				t.Fatal(err)
			}
			client := tls.Client(conn, config)
			err = client.Handshake()
			if err == nil { // TLS 1.3: the client hears of it when it reads
				_, err = client.Read(make([]byte, 1))
			}
			if err == nil || !strings.HasPrefix(err.Error(), "remote error: tls: ") {
				t.Errorf("without a certificate: %v, want the alert that says so", err)
			}
			conn.Close()
			synctest.Wait()
			if s := b.Stats(); s != (Stats{}) {
				t.Errorf("left behind: %+v", s)
			}
		})
	}
}

// dialTLS opens a connection with TLS and sends nothing.
func (b *Broker) dialTLS(t *testing.T, config *tls.Config) *client {
	t.Helper()
	conn, err := b.DialTLS(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	secure := tls.Client(conn, config)
	return &client{t: t, conn: secure, in: packet.NewReader(secure, 8<<20)}
}
