package iot

import (
	"crypto"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
)

// Credentials is what a connection with TLS needs: the roots that sign the server's certificate and, but for a server
// that asks for none, a private key and its certificate. A Credentials that one of the functions below returned has been
// checked, does not change, and may be shared. The private key is out of reach of package fmt and of reflection.
type Credentials struct {
	CAFile          string // the file or files of the roots, for messages
	CertificateFile string // the file of the certificate, or "" if there is none
	KeyFile         string // the file of the private key, or ""

	// CertificateID is the name that AWS IoT Core has for the certificate: the SHA-256 of its DER form, in lower-case
	// hex. Empty if there is no certificate.
	CertificateID string

	// NotBefore and NotAfter bound the time in which the certificate is valid. Each connection asks again. Zero if there
	// is no certificate.
	NotBefore, NotAfter time.Time

	// Warnings are flaws to tell the user about, a line each: a key that others may read, a certificate that expires
	// soon, a kind of key that AWS IoT Core does not take.
	Warnings []string

	ed25519 bool
	roots   *x509.CertPool

	// certificate holds key and certificate. A function, since no formatter looks into one.
	certificate func(*tls.CertificateRequestInfo) (*tls.Certificate, error)
}

// LoadCredentials reads private.key, cert.pem and AmazonRootCA1.pem from the directory dir, "" being the present one.
//
// If private.key or cert.pem is missing, they are searched by content among the files that end in .pem, .key, .crt and
// .cer, so that what AWS gives for download needs no new name (id-private.pem.key, id-certificate.pem.crt): taken is the
// private key that has a certificate with its public key. Two different pairs are an error, which lists them. Of the
// roots AmazonRootCA1.pem to AmazonRootCA4.pem all that are there are taken, or else root-CA.crt.
//
// Keys are PKCS #1, PKCS #8 or SEC 1 in PEM without encryption; RSA of 2048 bits or more, ECDSA, or Ed25519 (with a
// warning: AWS IoT Core does not take it). The certificate's file may have its issuers behind it. Files are regular and
// at most 64 KiB, roots 1 MiB. The first fault is returned, as a [*CredentialsError].
func LoadCredentials(dir string) (*Credentials, error) {
	if dir == "" {
		dir = "."
	}
	return LoadCredentialFiles(CredentialFiles{Dir: dir})
}

// CredentialFiles names the files to load. Those that are named take the place of what would be found in Dir.
type CredentialFiles struct {
	Dir         string // searched, as in [LoadCredentials], for what is not named. Empty: nothing is searched
	CA          string // roots of the server's certificate
	Certificate string // the certificate, then its issuers
	Key         string // the private key of the certificate
	CAOnly      bool   // leave certificate and key out, for a server that asks for none
}

// LoadCredentialFiles is [LoadCredentials] for files that are named. Without Dir, CA has to be named, and Certificate
// and Key both or none: without them the connection says nothing about who this is, which AWS IoT Core does not accept.
func LoadCredentialFiles(files CredentialFiles) (*Credentials, error) {
	return files.load(time.Now())
}

// ParseCredentials is [LoadCredentialFiles] for the content of the files, in PEM, from wherever it comes. It keeps
// nothing of its arguments.
func ParseCredentials(ca, certificate, key []byte) (*Credentials, error) {
	now := time.Now()
	roots, err := parsePEM("CA", ca)
	if err != nil {
		return nil, err
	}
	m := material{roots: []*pemFile{roots}}
	if len(certificate) > 0 || len(key) > 0 {
		if m.certificate, err = parsePEM("certificate", certificate); err != nil {
			return nil, err
		}
		if m.key, err = parsePEM("private key", key); err != nil {
			return nil, err
		}
	}
	return m.credentials(now)
}

// material is what Credentials are made of.
type material struct {
	roots            []*pemFile
	certificate, key *pemFile // both or none
}

// credentials checks m and makes Credentials of it.
func (m *material) credentials(now time.Time) (*Credentials, error) {
	c := &Credentials{roots: x509.NewCertPool()}
	for _, f := range m.roots {
		certificates, err := f.rootCertificates(now)
		if err != nil {
			return nil, err
		}
		for _, root := range certificates {
			c.roots.AddCert(root)
		}
		c.CAFile = strings.TrimPrefix(c.CAFile+", "+f.name, ", ")
	}
	if m.key == nil {
		return c.rootsAlone(), nil
	}
	key, err := m.key.privateKey()
	if err != nil {
		return nil, err
	}
	chain, err := m.certificate.chain()
	if err != nil {
		return nil, err
	}
	leaf := chain[0]
	if !samePublicKey(key.Public(), leaf.PublicKey) {
		return nil, mismatch(m.key.name, m.certificate.name)
	}
	pair := tls.Certificate{PrivateKey: key, Leaf: leaf}
	for _, certificate := range chain {
		pair.Certificate = append(pair.Certificate, certificate.Raw)
	}
	id := sha256.Sum256(leaf.Raw)
	c.KeyFile, c.CertificateFile = m.key.name, m.certificate.name
	c.CertificateID = hex.EncodeToString(id[:])
	c.NotBefore, c.NotAfter = leaf.NotBefore, leaf.NotAfter
	c.ed25519 = leaf.PublicKeyAlgorithm == x509.Ed25519
	c.certificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &pair, nil }
	if err := c.valid(now); err != nil {
		return nil, err
	}
	c.warn(leaf, m.key, now)
	return c, nil
}

// rootsAlone returns c without key and certificate.
//
//go:noinline
func (c *Credentials) rootsAlone() *Credentials {
	none := func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &tls.Certificate{}, nil }
	return &Credentials{CAFile: c.CAFile, roots: c.roots, certificate: none}
}

// valid reports whether the certificate is valid at this time.
func (c *Credentials) valid(now time.Time) error {
	if c.KeyFile == "" {
		return nil
	}
	return checkValidity(c.CertificateFile, c.NotBefore, c.NotAfter, now)
}

// warn collects what is no fault but worth a line.
func (c *Credentials) warn(leaf *x509.Certificate, key *pemFile, now time.Time) {
	warn := func(file, format string, args ...any) {
		c.Warnings = append(c.Warnings, file+": "+fmt.Sprintf(format, args...))
	}
	if key.exposed() {
		warn(c.KeyFile, "other users may read this private key (mode %04o); chmod 600 it", key.mode.Perm())
	}
	if left := c.NotAfter.Sub(now); left < 30*24*time.Hour {
		warn(c.CertificateFile, "expires on %s, in %s", clock(c.NotAfter), timeLeft(left))
	}
	if c.ed25519 {
		warn(c.KeyFile, "AWS IoT Core does not take Ed25519 keys, but RSA and ECDSA")
	}
	usages := leaf.ExtKeyUsage
	if len(usages) > 0 && !slices.Contains(usages, x509.ExtKeyUsageClientAuth) && !slices.Contains(usages, x509.ExtKeyUsageAny) {
		warn(c.CertificateFile, "not made for clients (extended key usage); the server may refuse it")
	}
}

// timeLeft writes a time for people: 2 days, 1 day, 23 hours, 59 minutes.
func timeLeft(d time.Duration) string {
	n, unit := int(d/(24*time.Hour)), "day"
	if n == 0 {
		n, unit = int(d/time.Hour), "hour"
	}
	if n == 0 {
		n, unit = int(d/time.Minute), "minute"
	}
	if n == 1 {
		return "1 " + unit
	}
	return fmt.Sprintf("%d %ss", n, unit)
}

// samePublicKey reports whether a and b are the same public key.
func samePublicKey(a, b crypto.PublicKey) bool {
	key, ok := a.(interface{ Equal(crypto.PublicKey) bool })
	return ok && key.Equal(b)
}

// String returns one line without any secret.
func (c Credentials) String() string {
	if c.KeyFile == "" {
		return "iot.Credentials{CA " + c.CAFile + ", no certificate}"
	}
	return "iot.Credentials{CA " + c.CAFile + ", certificate " + c.CertificateID + ", valid until " + clock(c.NotAfter) + ", private key hidden}"
}

// Format prints String, whatever the verb.
func (c Credentials) Format(f fmt.State, _ rune) {
	_, _ = io.WriteString(f, c.String())
}

// MarshalText returns String: that is what encoding/json and others write.
func (c Credentials) MarshalText() ([]byte, error) {
	return []byte(c.String()), nil
}
