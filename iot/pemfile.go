package iot

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

const (
	maxFile  = 64 << 10 // bytes of a file with a key or a certificate
	maxRoots = 1 << 20  // bytes of a file with roots: the bundles of operating systems have a quarter of this
	minRSA   = 2048     // bits
)

// pemFile is the content of a file in PEM form, sorted.
type pemFile struct {
	name         string
	mode         fs.FileMode // 0 if it did not come from a file
	keys         []crypto.Signer
	certificates []*x509.Certificate
	others       []string // the types of blocks that are neither, such as "PUBLIC KEY"
}

// readPEM reads and sorts the file name, which may have at most limit bytes.
func readPEM(name string, limit int64) (*pemFile, error) {
	// Asked before it is opened, since opening a named pipe would wait for a writer, and after, since it may be another.
	if info, err := os.Stat(name); err != nil {
		return nil, fileError(name, err)
	} else if err := checkRegular(name, info, limit); err != nil {
		return nil, err
	}
	file, err := os.Open(name)
	if err != nil {
		return nil, fileError(name, err)
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return nil, fileError(name, err)
	}
	if err := checkRegular(name, info, limit); err != nil {
		return nil, err
	}
	var data bytes.Buffer
	n, err := data.ReadFrom(io.LimitReader(file, limit+1))
	if err != nil {
		return nil, fileError(name, err)
	}
	if n > limit {
		return nil, tooLarge(name, limit)
	}
	f, err := parsePEM(name, data.Bytes())
	if err != nil {
		return nil, err
	}
	f.mode = info.Mode()
	return f, nil
}

func checkRegular(name string, info fs.FileInfo, limit int64) error {
	switch {
	case info.IsDir():
		return badFile(name, "a directory, want a file", "")
	case !info.Mode().IsRegular():
		return badFile(name, "not a regular file", "give a file, not a pipe, socket or device")
	case info.Size() > limit:
		return tooLarge(name, limit)
	}
	return nil
}

func tooLarge(name string, limit int64) error {
	return badFile(name, fmt.Sprintf("larger than %d KiB, too large for a key or certificate", limit>>10), "")
}

// parsePEM sorts data, which has at least one PEM block, and no broken one. Text around the blocks is a comment.
func parsePEM(name string, data []byte) (*pemFile, error) {
	data = bytes.TrimPrefix(data, []byte("\ufeff")) // editors of Windows put it there
	f := &pemFile{name: name}
	blocks, rest := 0, data
	for {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		blocks++
		if err := f.add(block); err != nil {
			return nil, err
		}
	}
	switch begun := bytes.Count(data, []byte("-----BEGIN ")); {
	case begun != blocks || bytes.Count(data, []byte("-----END ")) != blocks:
		return nil, badFile(name, fmt.Sprintf("damaged: %d PEM blocks begin, %d are whole", begun, blocks),
			"copy or download it again")
	case blocks == 0:
		return nil, notPEM(name, data)
	case bytes.IndexByte(data, 0) >= 0 || !utf8.Valid(data):
		return nil, badFile(name, "damaged: there are bytes between the PEM blocks that are no text",
			"copy or download it again")
	}
	return f, nil
}

// add sorts one block in.
func (f *pemFile) add(block *pem.Block) error {
	encrypted := strings.Contains(block.Headers["Proc-Type"], "ENCRYPTED")
	switch kind := block.Type; {
	case kind == "CERTIFICATE":
		certificate, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return badFile(f.name, fmt.Sprintf("certificate %d is damaged: %s", len(f.certificates)+1, withoutPath(err)),
				"copy or download it again")
		}
		f.certificates = append(f.certificates, certificate)
	case encrypted:
		f.others = append(f.others, "ENCRYPTED PRIVATE KEY")
	case kind == "PRIVATE KEY", kind == "RSA PRIVATE KEY", kind == "EC PRIVATE KEY":
		key, err := parseKey(block.Bytes)
		if err != nil {
			return badFile(f.name, err.Error(), "want RSA or ECDSA, in PKCS #1, PKCS #8 or SEC 1 form")
		}
		f.keys = append(f.keys, key)
	case kind == "EC PARAMETERS": // openssl ecparam writes it in front of the key, which repeats it
	default:
		f.others = append(f.others, kind)
	}
	return nil
}

// parseKey reads a private key in DER form. The error is a problem for [CredentialsError] that says nothing of the key.
func parseKey(der []byte) (crypto.Signer, error) {
	for _, parse := range []func([]byte) (any, error){
		func(b []byte) (any, error) { return x509.ParsePKCS1PrivateKey(b) },
		x509.ParsePKCS8PrivateKey,
		func(b []byte) (any, error) { return x509.ParseECPrivateKey(b) },
	} {
		key, err := parse(der)
		if err != nil {
			continue
		}
		switch key := key.(type) {
		case *rsa.PrivateKey:
			return key, nil
		case *ecdsa.PrivateKey:
			return key, nil
		case ed25519.PrivateKey:
			return key, nil
		}
		return nil, fmt.Errorf("a private key of a kind that cannot sign (%T)", key)
	}
	return nil, errors.New("the private key is damaged, or of an unknown kind")
}

// notPEM says what data, which has no PEM block, is instead.
func notPEM(name string, data []byte) error {
	e := &CredentialsError{File: name, Remedy: "want a file in PEM form: it starts with -----BEGIN"}
	trimmed := bytes.TrimSpace(data)
	_, certificateErr := x509.ParseCertificate(data)
	_, keyErr := parseKey(data)
	_, publicErr := x509.ParsePKIXPublicKey(data)
	switch {
	case len(data) == 0:
		e.Problem, e.Remedy = "the file is empty", "copy or download it again"
	case len(trimmed) == 0:
		e.Problem, e.Remedy = "the file has nothing but white space", "copy or download it again"
	case bytes.HasPrefix(data, []byte{0xff, 0xfe}), bytes.HasPrefix(data, []byte{0xfe, 0xff}):
		e.Problem, e.Remedy = "UTF-16 text, want plain text", "save it as UTF-8 or ASCII"
	case certificateErr == nil:
		e.Problem, e.Remedy = "a certificate in DER form, want PEM", "convert it: openssl x509 -inform DER -in OLD -out NEW"
	case keyErr == nil:
		e.Problem, e.Remedy = "a private key in DER form, want PEM", "convert it: openssl pkey -inform DER -in OLD -out NEW"
	case publicErr == nil:
		e.Problem = "a public key in DER form"
	case isPKCS12(data):
		e.Problem, e.Remedy = "PKCS #12 (.p12, .pfx), want PEM", "convert it: openssl pkcs12 -nodes -in OLD -out NEW"
	case utf8.Valid(data):
		e.Problem = "text without a PEM block" // not quoted: it may be a private key that lost its first line
		if trimmed[0] == '<' {
			e.Problem = "a web page"
		}
	default:
		e.Problem = fmt.Sprintf("%d bytes that are neither PEM nor DER", len(data))
	}
	return e
}

// isPKCS12 reports whether data starts as the PFX of RFC 7292 does: a SEQUENCE with the INTEGER 3 in front.
func isPKCS12(data []byte) bool {
	if len(data) < 2 || data[0] != 0x30 {
		return false
	}
	header := 2
	if data[1] >= 0x80 { // the length has so many bytes, or is indefinite
		header += int(data[1] & 0x7f)
	}
	return len(data) > header && bytes.HasPrefix(data[header:], []byte{2, 1, 3})
}

// privateKey returns the one private key in f.
func (f *pemFile) privateKey() (crypto.Signer, error) {
	e := &CredentialsError{File: f.name}
	switch {
	case len(f.keys) == 1:
		return f.keys[0], checkKey(f.name, f.keys[0].Public())
	case len(f.keys) > 1:
		e.Problem = fmt.Sprintf("%d private keys, want one", len(f.keys))
	case f.has("ENCRYPTED PRIVATE KEY"):
		e.Problem, e.Remedy = "the private key is encrypted, want it without a password", "convert it: openssl pkey -in OLD -out NEW, and chmod 600 NEW"
	case f.has("OPENSSH PRIVATE KEY"):
		e.Problem, e.Remedy = "a private key for SSH", "want the one that belongs to the certificate"
	case f.has("PUBLIC KEY"), f.has("RSA PUBLIC KEY"):
		e.Problem, e.Remedy = "a public key, want the private one", "AWS names it id-private.pem.key"
	case len(f.certificates) > 0:
		e.Problem, e.Remedy = "a certificate, want the private key", "are the files of key and certificate swapped?"
	default:
		e.Problem = "no private key, found " + f.found()
	}
	return nil, e
}

// checkKey refuses kinds of keys that no server should take, by the public half.
func checkKey(name string, public crypto.PublicKey) error {
	switch key := public.(type) {
	case *rsa.PublicKey:
		if bits := key.N.BitLen(); bits < minRSA {
			return badFile(name, fmt.Sprintf("an RSA key of %d bits, want %d or more", bits, minRSA),
				"make a new key and certificate")
		}
	case *ecdsa.PublicKey:
		if key.Curve == elliptic.P224() {
			return badFile(name, "an ECDSA key on the curve P-224, want P-256 or P-384",
				"make a new key and certificate")
		}
	}
	return nil
}

// chain returns the certificates in f: first the one of the key, then its issuers.
func (f *pemFile) chain() ([]*x509.Certificate, error) {
	e := &CredentialsError{File: f.name}
	switch {
	case len(f.certificates) > 0:
		return f.certificates, nil
	case len(f.keys) > 0, f.has("ENCRYPTED PRIVATE KEY"):
		e.Problem, e.Remedy = "a private key, want the certificate", "are the files of key and certificate swapped?"
	case f.has("CERTIFICATE REQUEST"), f.has("NEW CERTIFICATE REQUEST"):
		e.Problem, e.Remedy = "a request for a certificate, want the certificate", "give it to AWS: aws iot create-certificate-from-csr"
	case f.has("PUBLIC KEY"), f.has("RSA PUBLIC KEY"):
		e.Problem, e.Remedy = "a public key, want the certificate", "AWS names it id-certificate.pem.crt"
	default:
		e.Problem = "no certificate, found " + f.found()
	}
	return nil, e
}

// rootCertificates returns the certificates in f, which have to be those of authorities, and one of them valid.
func (f *pemFile) rootCertificates(now time.Time) ([]*x509.Certificate, error) {
	const remedy = "AWS's is https://www.amazontrust.com/repository/AmazonRootCA1.pem"
	if len(f.keys) > 0 || f.has("ENCRYPTED PRIVATE KEY") {
		return nil, badFile(f.name, "a private key, want CA certificates only", remedy)
	}
	if len(f.certificates) == 0 {
		return nil, badFile(f.name, "no CA certificate, found "+f.found(), remedy)
	}
	if len(f.others) > 0 {
		return nil, badFile(f.name, "want CA certificates only, found "+f.found(), remedy)
	}
	var fault error
	valid := false
	for _, certificate := range f.certificates {
		// A server that signed its own certificate is its own authority, whatever the certificate says.
		if !certificate.IsCA && !bytes.Equal(certificate.RawIssuer, certificate.RawSubject) {
			return nil, badFile(f.name, fmt.Sprintf("the certificate of %q is not one of a CA (its issuer is %q)",
				certificate.Subject, certificate.Issuer), remedy)
		}
		err := checkValidity(f.name, certificate.NotBefore, certificate.NotAfter, now)
		valid = valid || err == nil
		fault = err
	}
	if !valid {
		return nil, fault
	}
	return f.certificates, nil
}

//go:noinline
func (f *pemFile) has(kind string) bool { return slices.Contains(f.others, kind) }

// found lists what is in f.
func (f *pemFile) found() string {
	var list []string
	count := func(n int, what string) {
		if n == 1 {
			list = append(list, "a "+what)
		} else if n > 1 {
			list = append(list, fmt.Sprintf("%d %ss", n, what))
		}
	}
	count(len(f.certificates), "certificate")
	count(len(f.keys), "private key")
	for _, other := range f.others[:min(len(f.others), 5)] {
		list = append(list, fmt.Sprintf("a block %.40q", other))
	}
	if len(list) == 0 {
		return "nothing"
	}
	return strings.Join(list, ", ")
}

// exposed reports whether others than the owner may open the file.
func (f *pemFile) exposed() bool {
	return f.mode.Perm()&0o077 != 0 && runtime.GOOS != "windows" // where the bits say nothing
}
