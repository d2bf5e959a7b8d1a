package testbroker

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// Certificates are a CA and the certificates that it has issued, one for a server and one for a device, with their
// private keys: ECDSA P-256, each in PEM. They are valid from 1999, so that they are under the clock of
// [testing/synctest], which starts in 2000, until the end of 2049.
type Certificates struct {
	CA, CAKey         []byte
	Server, ServerKey []byte
	Device, DeviceKey []byte
}

// The files of EnsureCertificates. A client's directory needs three of them, by the names that AWS IoT Core's tutorials
// use; the names of the others are such that no client takes them for its own.
const (
	fileCA        = "AmazonRootCA1.pem"
	fileCAKey     = "ca.key"
	fileServer    = "server.pem"
	fileServerKey = "server.key"
	fileDevice    = "cert.pem"
	fileDeviceKey = "private.key"
)

// certificateFile is a file and the field that has its content.
type certificateFile struct {
	name    string
	content *[]byte
	mode    fs.FileMode
}

func (c *Certificates) files() []certificateFile {
	return []certificateFile{
		{fileCA, &c.CA, 0o644},
		{fileCAKey, &c.CAKey, 0o600},
		{fileServer, &c.Server, 0o644},
		{fileServerKey, &c.ServerKey, 0o600},
		{fileDevice, &c.Device, 0o644},
		{fileDeviceKey, &c.DeviceKey, 0o600},
	}
}

// NewCertificates makes certificates in memory. The server's is for localhost, 127.0.0.1, ::1 and the given host names
// and IP addresses.
func NewCertificates(hosts ...string) (*Certificates, error) {
	ca, caKey, err := issue(&x509.Certificate{
		Subject:               pkix.Name{CommonName: "testbroker CA"},
		IsCA:                  true,
		BasicConstraintsValid: true,
		MaxPathLenZero:        true,
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}, nil, nil)
	if err != nil {
		return nil, err
	}
	forServer := &x509.Certificate{
		Subject:     pkix.Name{CommonName: "testbroker"},
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	for _, host := range append([]string{"localhost", "127.0.0.1", "::1"}, hosts...) {
		if ip := net.ParseIP(host); ip != nil {
			forServer.IPAddresses = append(forServer.IPAddresses, ip)
		} else {
			forServer.DNSNames = append(forServer.DNSNames, host)
		}
	}
	server, serverKey, err := issue(forServer, ca, caKey)
	if err != nil {
		return nil, err
	}
	device, deviceKey, err := issue(&x509.Certificate{
		Subject:     pkix.Name{CommonName: "device"},
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}, ca, caKey)
	if err != nil {
		return nil, err
	}
	c := &Certificates{CA: encodeCertificate(ca), Server: encodeCertificate(server), Device: encodeCertificate(device)}
	for _, k := range []struct {
		key     crypto.Signer
		encoded *[]byte
	}{{caKey, &c.CAKey}, {serverKey, &c.ServerKey}, {deviceKey, &c.DeviceKey}} {
		if *k.encoded, err = encodeKey(k.key); err != nil {
			return nil, err
		}
	}
	return c, nil
}

// Issue makes a key and a certificate for a further device, in PEM.
func (c *Certificates) Issue(commonName string) (certificate, key []byte, err error) {
	ca, err := tls.X509KeyPair(c.CA, c.CAKey)
	if err != nil {
		return nil, nil, fmt.Errorf("%s and %s: %w", fileCA, fileCAKey, err)
	}
	issued, signer, err := issue(&x509.Certificate{
		Subject:     pkix.Name{CommonName: commonName},
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}, ca.Leaf, ca.PrivateKey.(crypto.Signer))
	if err != nil {
		return nil, nil, err
	}
	key, err = encodeKey(signer)
	return encodeCertificate(issued), key, err
}

// issue makes a key and a certificate for it, signed by the issuer, or by itself without one.
func issue(template, issuer *x509.Certificate, issuerKey crypto.Signer) (*x509.Certificate, crypto.Signer, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	if issuer == nil {
		issuer, issuerKey = template, key
	}
	template.NotBefore = time.Date(1999, 1, 1, 0, 0, 0, 0, time.UTC)
	template.NotAfter = time.Date(2049, 12, 31, 23, 59, 59, 0, time.UTC)
	der, err := x509.CreateCertificate(rand.Reader, template, issuer, key.Public(), issuerKey)
	if err != nil {
		return nil, nil, err
	}
	certificate, err := x509.ParseCertificate(der)
	return certificate, key, err
}

func encodeCertificate(c *x509.Certificate) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})
}

func encodeKey(key crypto.Signer) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), err
}

// EnsureCertificates returns the certificates in dir. If dir has none of their files, or does not exist, it makes them
// as [NewCertificates] does and writes AmazonRootCA1.pem, cert.pem and private.key for a device, server.pem and
// server.key, and ca.key; keys can be read by the owner alone. It never overwrites a file: if some are there and some
// are missing it says which, and if the server's certificate is not for one of hosts it is an error too.
func EnsureCertificates(dir string, hosts ...string) (*Certificates, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	c := new(Certificates)
	var have, missing []string
	for _, f := range c.files() {
		switch _, err := os.Lstat(filepath.Join(dir, f.name)); {
		case err == nil:
			have = append(have, f.name)
		case errors.Is(err, fs.ErrNotExist):
			missing = append(missing, f.name)
		default:
			return nil, err
		}
	}
	if len(have) > 0 && len(missing) > 0 {
		return nil, fmt.Errorf("%s has %s but not %s: nothing was written; give an empty directory, or one that has them all",
			dir, strings.Join(have, ", "), strings.Join(missing, ", "))
	}
	if len(have) > 0 {
		return c, c.read(dir, hosts)
	}
	c, err := NewCertificates(hosts...)
	if err != nil {
		return nil, err
	}
	return c, c.write(dir)
}

// write writes all files, or none.
func (c *Certificates) write(dir string) error {
	var done []string
	for _, f := range c.files() {
		name := filepath.Join(dir, f.name)
		err := WriteNew(name, *f.content, f.mode)
		if err != nil {
			for _, name := range done {
				os.Remove(name)
			}
			return err
		}
		done = append(done, name)
	}
	return nil
}

// WriteNew writes a file that does not exist yet, or none.
func WriteNew(name string, content []byte, mode fs.FileMode) error {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	if err = errors.Join(err, f.Close()); err != nil {
		os.Remove(name)
	}
	return err
}

// read fills c from dir, and checks what the server needs.
func (c *Certificates) read(dir string, hosts []string) error {
	for _, f := range c.files() {
		content, err := os.ReadFile(filepath.Join(dir, f.name))
		if err != nil {
			return err
		}
		*f.content = content
	}
	config, err := c.ServerConfig()
	if err != nil {
		return fmt.Errorf("%s: %w", dir, err)
	}
	leaf := config.Certificates[0].Leaf
	if now := time.Now(); now.After(leaf.NotAfter) {
		return fmt.Errorf("%s: %s has expired on %v: remove the six files to have new ones made", dir, fileServer,
			leaf.NotAfter.Format(time.DateOnly))
	}
	for _, host := range hosts {
		if err := leaf.VerifyHostname(host); err != nil {
			return fmt.Errorf("%s: %s is not for %s: remove the six files to have new ones made", dir, fileServer, host)
		}
	}
	return nil
}

// ServerConfig returns the server's side of mutual TLS: TLS 1.2 or newer, and every client needs a certificate of the
// CA. The names of AWS IoT Core and of MQTT are there for clients that ask for an application protocol (ALPN).
func (c *Certificates) ServerConfig() (*tls.Config, error) {
	pair, err := tls.X509KeyPair(c.Server, c.ServerKey)
	if err != nil {
		return nil, fmt.Errorf("%s and %s: %w", fileServer, fileServerKey, err)
	}
	pool, err := c.pool()
	if err != nil {
		return nil, err
	}
	return &tls.Config{
		MinVersion:   tls.VersionTLS12,
		Certificates: []tls.Certificate{pair},
		ClientAuth:   tls.RequireAndVerifyClientCert,
		ClientCAs:    pool,
		NextProtos:   []string{"x-amzn-mqtt-ca", "mqtt"},
	}, nil
}

// DeviceConfig returns the device's side of mutual TLS, for a server that is called localhost.
func (c *Certificates) DeviceConfig() (*tls.Config, error) {
	pair, err := tls.X509KeyPair(c.Device, c.DeviceKey)
	if err != nil {
		return nil, fmt.Errorf("%s and %s: %w", fileDevice, fileDeviceKey, err)
	}
	pool, err := c.pool()
	if err != nil {
		return nil, err
	}
	return &tls.Config{
		MinVersion:   tls.VersionTLS12,
		Certificates: []tls.Certificate{pair},
		RootCAs:      pool,
		ServerName:   "localhost",
	}, nil
}

func (c *Certificates) pool() (*x509.CertPool, error) {
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(c.CA) {
		return nil, fmt.Errorf("%s: no certificate in it", fileCA)
	}
	return pool, nil
}
