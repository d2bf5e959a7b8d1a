package iot

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

// host is the name of the servers in these tests, that of an AWS endpoint.
const host = "a1b2c3-ats.iot.eu-west-1.amazonaws.com"

// RSA keys are slow to make: two for all tests.
var (
	rsaKey      = sync.OnceValue(func() crypto.Signer { return must(rsa.GenerateKey(rand.Reader, 2048)) })
	shortRSAKey = sync.OnceValue(func() crypto.Signer { return must(rsa.GenerateKey(rand.Reader, 1024)) })
)

func ecdsaKey() crypto.Signer { return must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader)) }

func ed25519Key() crypto.Signer {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	return must(key, err)
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// identity is a certificate with its key.
type identity struct {
	key         crypto.Signer
	certificate *x509.Certificate
}

var serial = struct {
	sync.Mutex
	n int64
}{}

// issue makes a certificate for key, signed by issuer or, if that is nil, by itself. It is good for a server and a
// client, from an hour ago for a year, unless change says otherwise.
func issue(issuer *identity, key crypto.Signer, change func(*x509.Certificate)) *identity {
	serial.Lock()
	serial.n++
	n := serial.n
	serial.Unlock()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(n),
		Subject:      pkix.Name{CommonName: "test"},
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().Add(365 * 24 * time.Hour),
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		DNSNames:     []string{host},
	}
	if change != nil {
		change(template)
	}
	parent, signer := template, key
	if issuer != nil {
		parent, signer = issuer.certificate, issuer.key
	}
	der := must(x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer))
	return &identity{key, must(x509.ParseCertificate(der))}
}

// authority makes a CA.
func authority(name string) *identity {
	return issue(nil, ecdsaKey(), func(c *x509.Certificate) {
		c.Subject = pkix.Name{CommonName: name}
		c.IsCA, c.BasicConstraintsValid = true, true
		c.ExtKeyUsage, c.DNSNames = nil, nil
	})
}

func (i *identity) certificatePEM() []byte {
	return block("CERTIFICATE", i.certificate.Raw)
}

func (i *identity) keyPEM() []byte {
	return block("PRIVATE KEY", must(x509.MarshalPKCS8PrivateKey(i.key)))
}

// tls returns i for package tls.
func (i *identity) tls() tls.Certificate {
	return tls.Certificate{Certificate: [][]byte{i.certificate.Raw}, PrivateKey: i.key, Leaf: i.certificate}
}

// credentials returns i with the root ca as [ParseCredentials] makes it.
func (i *identity) credentials(ca *identity) *Credentials {
	return must(ParseCredentials(ca.certificatePEM(), i.certificatePEM(), i.keyPEM()))
}

func block(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

// pool returns a pool of certificates.
func pool(members ...*identity) *x509.CertPool {
	p := x509.NewCertPool()
	for _, m := range members {
		p.AddCert(m.certificate)
	}
	return p
}

// files makes a directory with these files, mode 600.
func files(t *testing.T, content map[string][]byte) string {
	t.Helper()
	dir := t.TempDir()
	for name, data := range content {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// join puts the parts of a file together.
func join(parts ...[]byte) []byte { return bytes.Join(parts, nil) }
