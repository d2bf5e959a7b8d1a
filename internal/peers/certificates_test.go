package peers

import (
	"crypto/tls"
	"path/filepath"
	"testing"

	"iotwire/internal/testbroker"
	"iotwire/iot"
)

// certificates is a directory with a CA, a server's certificate and a device's.
type certificates struct {
	dir  string
	made *testbroker.Certificates
}

// makeCertificates makes a CA of its own and what it signs.
func makeCertificates(t *testing.T) *certificates {
	t.Helper()
	dir := t.TempDir()
	made, err := testbroker.EnsureCertificates(dir)
	if err != nil {
		t.Fatal(err)
	}
	return &certificates{dir, made}
}

func (c *certificates) file(name string) string { return filepath.Join(c.dir, name) }

// server returns the server's side of mutual TLS.
func (c *certificates) server(t *testing.T) *tls.Config {
	t.Helper()
	config, err := c.made.ServerConfig()
	if err != nil {
		t.Fatal(err)
	}
	return config
}

// device returns the device's side of mutual TLS, as package iot reads it from the directory.
func (c *certificates) device(t *testing.T) *iot.Credentials {
	t.Helper()
	credentials, err := iot.LoadCredentials(c.dir)
	if err != nil {
		t.Fatal(err)
	}
	return credentials
}
