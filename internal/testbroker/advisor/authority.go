package advisor

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// host is the name of the server, for which its certificate is made out.
const host = "localhost"

// largeChain is the size in bytes of the certificate of TLS_Large_Size_Server_Cert: a fifth more than the whole chain
// that AWS IoT Core sends, which has about 5 kB.
const largeChain = 6000

// authority is the CA that the program trusts, and what is needed to sign certificates of every kind. As with AWS IoT
// Core the CA and the device have RSA keys of 2048 bits, and the server has a certificate with an RSA key and one with
// an ECDSA key, so that programs with either kind of cipher suites can connect.
type authority struct {
	now      time.Time
	ca       *x509.Certificate
	stranger *x509.Certificate // a CA that the program does not know
	keys     *keys
	device   []byte // the device's certificate, DER
}

// keys are the private keys. Those of RSA take most of a second to make and much of one to use, so that tests have others.
type keys struct {
	ca, stranger, device crypto.Signer
	server               []crypto.Signer // each has a certificate
}

func newKeys() (*keys, error) {
	var made [4]crypto.Signer
	for i := range made {
		key, err := rsa.GenerateKey(rand.Reader, 2048)
		if err != nil {
			return nil, err
		}
		made[i] = key
	}
	elliptic, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	return &keys{ca: made[0], stranger: made[1], device: made[2], server: []crypto.Signer{made[3], elliptic}}, err
}

// newAuthority makes the CAs and the device's certificate, valid for ten years before and after now.
func newAuthority(k *keys, now time.Time) (*authority, error) {
	a := &authority{now: now, keys: k}
	var err error
	if a.ca, err = a.root("Device Advisor CA", k.ca); err != nil {
		return nil, err
	}
	if a.stranger, err = a.root("Somebody else's CA", k.stranger); err != nil {
		return nil, err
	}
	a.device, err = a.sign(&x509.Certificate{
		Subject:     pkix.Name{CommonName: "device"},
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}, a.ca, k.device.Public(), k.ca)
	return a, err
}

func (a *authority) root(name string, key crypto.Signer) (*x509.Certificate, error) {
	template := &x509.Certificate{
		Subject:               pkix.Name{CommonName: name},
		IsCA:                  true,
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	der, err := a.sign(template, template, key.Public(), key)
	if err != nil {
		return nil, err
	}
	return x509.ParseCertificate(der)
}

// sign makes a certificate, for ten years around now unless the template says when.
func (a *authority) sign(template, issuer *x509.Certificate, key crypto.PublicKey, issuerKey crypto.Signer) ([]byte, error) {
	if template.NotBefore.IsZero() {
		template.NotBefore = a.now.AddDate(-10, 0, 0)
		template.NotAfter = a.now.AddDate(10, 0, 0)
	}
	return x509.CreateCertificate(rand.Reader, template, issuer, key, issuerKey)
}

// serverKind is a kind of server certificate.
type serverKind int

const (
	genuine   serverKind = iota
	large                // of largeChain bytes
	misnamed             // for another host name
	unsecure             // signed by a CA that the program does not know
	expiredBy            // a day ago
)

// server returns the server's side of mutual TLS with a certificate of a kind. As at AWS IoT Core it speaks TLS 1.2 and
// 1.3, with AWS's cipher suites as far as package tls has them, and no session is ever resumed.
func (a *authority) server(kind serverKind) (*tls.Config, error) {
	pool := x509.NewCertPool()
	pool.AddCert(a.ca)
	config := &tls.Config{
		MinVersion:             tls.VersionTLS12,
		CipherSuites:           supportedByUs(),
		ClientAuth:             tls.RequireAndVerifyClientCert,
		ClientCAs:              pool,
		NextProtos:             []string{"x-amzn-mqtt-ca", "mqtt"},
		SessionTicketsDisabled: true,
		Time:                   time.Now,

		// Records of 16 KiB from the first one on: they are what TLS_Receive_Maximum_Size_Fragments is about.
		DynamicRecordSizingDisabled: true,
	}
	if kind != genuine && kind != large { // who pretends to be the server takes everybody
		config.ClientAuth = tls.RequestClientCert
	}
	for _, key := range a.keys.server {
		certificate, err := a.serverCertificate(kind, key)
		if err != nil {
			return nil, err
		}
		config.Certificates = append(config.Certificates, certificate)
	}
	return config, nil
}

func (a *authority) serverCertificate(kind serverKind, key crypto.Signer) (tls.Certificate, error) {
	template := &x509.Certificate{
		Subject:     pkix.Name{CommonName: host},
		DNSNames:    []string{host},
		KeyUsage:    x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	issuer, issuerKey := a.ca, a.keys.ca
	switch kind {
	case misnamed:
		template.Subject.CommonName = "another.example.com"
		template.DNSNames = []string{"another.example.com"}
	case unsecure:
		issuer, issuerKey = a.stranger, a.keys.stranger
	case expiredBy:
		template.NotBefore, template.NotAfter = a.now.AddDate(-1, 0, 0), a.now.AddDate(0, 0, -1)
	case large:
		for size := 700; size < largeChain; size += 41 {
			template.DNSNames = append(template.DNSNames, fmt.Sprintf("name-%04d.of-a-large.certificate.example", size))
		}
	}
	der, err := a.sign(template, issuer, key.Public(), issuerKey)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, err
}

// write writes into dir what a device has, by the names and in the formats that AWS IoT Core gives them: the private key
// in PKCS #1.
func (a *authority) write(dir string) error {
	key, ok := a.keys.device.(*rsa.PrivateKey)
	if !ok {
		return fmt.Errorf("the device has a %T, want an RSA key", a.keys.device)
	}
	var problems []error
	for _, f := range []struct {
		name, kind string
		der        []byte
		mode       os.FileMode
	}{
		{"private.key", "RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(key), 0o600},
		{"cert.pem", "CERTIFICATE", a.device, 0o644},
		{"AmazonRootCA1.pem", "CERTIFICATE", a.ca.Raw, 0o644},
	} {
		text := pem.EncodeToMemory(&pem.Block{Type: f.kind, Bytes: f.der})
		problems = append(problems, os.WriteFile(filepath.Join(dir, f.name), text, f.mode))
	}
	return errors.Join(problems...)
}
