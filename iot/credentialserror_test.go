package iot

import (
	"bytes"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// expect reports whether err is a CredentialsError of one line about file, with these words.
func expect(t *testing.T, what string, err error, file string, words ...string) {
	t.Helper()
	var e *CredentialsError
	if !errors.As(err, &e) || !errors.Is(err, ErrCredentials) {
		t.Errorf("%s: %v, want a CredentialsError that matches ErrCredentials", what, err)
		return
	}
	if filepath.Base(e.File) != file {
		t.Errorf("%s: about %s, want %s: %v", what, e.File, file, err)
	}
	for _, word := range words {
		if !strings.Contains(e.Problem+"; "+e.Remedy, word) {
			t.Errorf("%s: %q, want %q in it", what, err, word)
		}
	}
	if strings.Contains(err.Error(), "\n") {
		t.Errorf("%s: %q has more than one line", what, err)
	}
}

// pkcs12 is what a file with the name .p12 or .pfx looks like: the outer parts of RFC 7292.
func pkcs12() []byte {
	return must(asn1.Marshal(struct {
		Version int
		Content struct {
			Type asn1.ObjectIdentifier
			Data []byte `asn1:"tag:0,explicit"`
		}
	}{3, struct {
		Type asn1.ObjectIdentifier
		Data []byte `asn1:"tag:0,explicit"`
	}{asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7, 1}, make([]byte, 2000)}}))
}

// encryptedPEM is a private key that openssl rsa -aes128 would write.
func encryptedPEM(key []byte) []byte {
	b, _ := pem.Decode(key)
	//lint:ignore SA1019 the weak form is made to be refused
	return pem.EncodeToMemory(must(x509.EncryptPEMBlock(rand.Reader, b.Type, b.Bytes, []byte("secret"), x509.PEMCipherAES128)))
}

// utf16 is text as the redirection of Windows PowerShell writes it.
func utf16(text []byte) []byte {
	b := []byte{0xff, 0xfe}
	for _, c := range text {
		b = append(b, c, 0)
	}
	return b
}

func TestEveryFaultOfTheFilesHasItsOwnError(t *testing.T) {
	ca := authority("CA")
	device := issue(ca, ecdsaKey(), nil)
	other := issue(ca, ecdsaKey(), nil)
	key, certificate, root := device.keyPEM(), device.certificatePEM(), ca.certificatePEM()
	public := block("PUBLIC KEY", must(x509.MarshalPKIXPublicKey(device.key.Public())))
	request := block("CERTIFICATE REQUEST", must(x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, device.key)))
	rsaPublic := block("RSA PUBLIC KEY", x509.MarshalPKCS1PublicKey(rsaKey().Public().(*rsa.PublicKey)))
	short := issue(ca, shortRSAKey(), nil)
	p224 := issue(ca, must(ecdsa.GenerateKey(elliptic.P224(), rand.Reader)), nil)
	x25519 := block("PRIVATE KEY", must(x509.MarshalPKCS8PrivateKey(must(ecdh.X25519().GenerateKey(rand.Reader)))))
	expired := issue(ca, device.key, func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) })
	early := issue(ca, device.key, func(c *x509.Certificate) { c.NotBefore = time.Now().Add(time.Hour) })
	expiredRoot := issue(nil, ca.key, func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute); c.IsCA = true })
	der := func(data []byte) []byte { b, _ := pem.Decode(data); return b.Bytes }
	damaged := func(data []byte) []byte { // the same PEM, and other bytes within
		b, _ := pem.Decode(data)
		return pem.EncodeToMemory(&pem.Block{Type: b.Type, Bytes: b.Bytes[:len(b.Bytes)/2]})
	}
	half := func(data []byte) []byte { return data[:len(data)/2] }
	year := fmt.Sprint(time.Now().UTC().Year())

	type change map[string][]byte // nil removes the file
	for _, test := range []struct {
		what   string
		change change
		file   string
		words  []string
	}{
		{"key missing", change{"private.key": nil}, "private.key", []string{"no such file", "private.key, cert.pem and AmazonRootCA1.pem"}},
		{"certificate missing", change{"cert.pem": nil}, "cert.pem", []string{"no such file", "private.key, cert.pem and AmazonRootCA1.pem"}},
		{"CA missing", change{"AmazonRootCA1.pem": nil}, "AmazonRootCA1.pem", []string{"no such file", "https://www.amazontrust.com/repository/AmazonRootCA1.pem"}},
		{"all missing", change{"private.key": nil, "cert.pem": nil, "AmazonRootCA1.pem": nil}, "private.key", []string{"no such file"}},

		{"swapped: key", change{"private.key": certificate, "cert.pem": key}, "private.key", []string{"a certificate, want the private key", "swapped"}},
		{"swapped: certificate", change{"cert.pem": key}, "cert.pem", []string{"a private key, want the certificate", "swapped"}},
		{"key of another certificate", change{"private.key": other.keyPEM()}, "private.key", []string{"does not belong to the certificate in", "cert.pem"}},
		{"key of another kind", change{"private.key": block("PRIVATE KEY", must(x509.MarshalPKCS8PrivateKey(rsaKey())))}, "private.key", []string{"does not belong"}},
		{"public key", change{"private.key": public}, "private.key", []string{"a public key, want the private one", "id-private.pem.key"}},
		{"public key, PKCS #1", change{"private.key": rsaPublic}, "private.key", []string{"a public key, want the private one"}},
		{"public key as certificate", change{"cert.pem": public}, "cert.pem", []string{"a public key, want the certificate"}},
		{"request as key", change{"private.key": request}, "private.key", []string{`found a block "CERTIFICATE REQUEST"`}},
		{"request as certificate", change{"cert.pem": request}, "cert.pem", []string{"a request for a certificate", "create-certificate-from-csr"}},
		{"two keys", change{"private.key": join(key, other.keyPEM())}, "private.key", []string{"2 private keys, want one"}},
		{"SSH key", change{"private.key": block("OPENSSH PRIVATE KEY", []byte("x"))}, "private.key", []string{"for SSH"}},
		{"key exchange key", change{"private.key": x25519}, "private.key", []string{"cannot sign", "want RSA or ECDSA"}},
		{"other block", change{"private.key": block("DH PARAMETERS", []byte("x"))}, "private.key", []string{`no private key, found a block "DH PARAMETERS"`}},
		{"other block as certificate", change{"cert.pem": block("DH PARAMETERS", []byte("x"))}, "cert.pem", []string{`no certificate, found a block "DH PARAMETERS"`}},

		{"encrypted, old form", change{"private.key": encryptedPEM(key)}, "private.key", []string{"encrypted", "openssl pkey"}},
		{"encrypted, PKCS #8", change{"private.key": block("ENCRYPTED PRIVATE KEY", []byte("x"))}, "private.key", []string{"encrypted", "openssl pkey"}},
		{"encrypted key as certificate", change{"cert.pem": encryptedPEM(key)}, "cert.pem", []string{"a private key, want the certificate"}},
		{"DER key", change{"private.key": der(key)}, "private.key", []string{"a private key in DER form", "openssl pkey -inform DER"}},
		{"DER certificate", change{"cert.pem": der(certificate)}, "cert.pem", []string{"a certificate in DER form", "openssl x509 -inform DER"}},
		{"DER public key", change{"private.key": der(public)}, "private.key", []string{"a public key in DER form"}},
		{"DER CA", change{"AmazonRootCA1.pem": der(root)}, "AmazonRootCA1.pem", []string{"a certificate in DER form"}},
		{"PKCS #12", change{"private.key": pkcs12()}, "private.key", []string{"PKCS #12", "openssl pkcs12"}},
		{"PKCS #12 as certificate", change{"cert.pem": pkcs12()}, "cert.pem", []string{"PKCS #12", "openssl pkcs12"}},
		{"empty key", change{"private.key": {}}, "private.key", []string{"the file is empty"}},
		{"empty certificate", change{"cert.pem": {}}, "cert.pem", []string{"the file is empty"}},
		{"empty CA", change{"AmazonRootCA1.pem": {}}, "AmazonRootCA1.pem", []string{"the file is empty"}},
		{"blank", change{"cert.pem": []byte(" \r\n\t\n")}, "cert.pem", []string{"nothing but white space"}},
		{"UTF-16", change{"cert.pem": utf16(certificate)}, "cert.pem", []string{"UTF-16", "save it as UTF-8"}},
		{"garbage", change{"private.key": bytes.Repeat([]byte{0xc3, 0x28, 0}, 500)}, "private.key", []string{"1500 bytes that are neither PEM nor DER"}},
		{"text", change{"cert.pem": []byte("Not found\n")}, "cert.pem", []string{"text without a PEM block", "-----BEGIN"}},
		{"web page", change{"AmazonRootCA1.pem": []byte("\n<html>404</html>")}, "AmazonRootCA1.pem", []string{"a web page"}},
		{"cut short", change{"cert.pem": half(certificate)}, "cert.pem", []string{"damaged: 1 PEM blocks begin, 0 are whole"}},
		{"first line lost", change{"private.key": key[bytes.IndexByte(key, '\n')+1:]}, "private.key", []string{"damaged: 0 PEM blocks begin"}},
		{"damaged key", change{"private.key": damaged(key)}, "private.key", []string{"the private key is damaged"}},
		{"damaged certificate", change{"cert.pem": damaged(certificate)}, "cert.pem", []string{"certificate 1 is damaged"}},
		{"too large", change{"private.key": bytes.Repeat([]byte("x"), 64<<10+1)}, "private.key", []string{"larger than 64 KiB"}},
		{"CA too large", change{"AmazonRootCA1.pem": bytes.Repeat([]byte("x"), 1<<20+1)}, "AmazonRootCA1.pem", []string{"larger than 1024 KiB"}},

		{"CA file with a private key", change{"AmazonRootCA1.pem": join(root, ca.keyPEM())}, "AmazonRootCA1.pem", []string{"a private key, want CA certificates only"}},
		{"CA file with a public key only", change{"AmazonRootCA1.pem": public}, "AmazonRootCA1.pem", []string{`no CA certificate, found a block "PUBLIC KEY"`}},
		{"CA file with more than certificates", change{"AmazonRootCA1.pem": join(root, public)}, "AmazonRootCA1.pem", []string{"want CA certificates only, found a certificate, a block"}},
		{"CA file with the device's certificate", change{"AmazonRootCA1.pem": certificate}, "AmazonRootCA1.pem", []string{`the certificate of "CN=test" is not one of a CA (its issuer is "CN=CA")`}},
		{"CA file, half garbage", change{"AmazonRootCA1.pem": join(root, []byte("-----BEGIN CERTIFICATE-----\n%%%%\n-----END CERTIFICATE-----\n"))},
			"AmazonRootCA1.pem", []string{"damaged: 2 PEM blocks begin, 1 are whole"}},
		{"CA file, second one damaged", change{"AmazonRootCA1.pem": join(root, damaged(root))}, "AmazonRootCA1.pem", []string{"certificate 2 is damaged"}},
		{"CA file, second one cut short", change{"AmazonRootCA1.pem": join(root, half(root))}, "AmazonRootCA1.pem", []string{"damaged: 2 PEM blocks begin, 1 are whole"}},
		{"CA file, bytes behind", change{"AmazonRootCA1.pem": join(root, []byte{0, 0xff})}, "AmazonRootCA1.pem", []string{"bytes between the PEM blocks"}},
		{"CA expired", change{"AmazonRootCA1.pem": expiredRoot.certificatePEM()}, "AmazonRootCA1.pem", []string{"expired on " + year, "and the clock says " + year}},
		{"one of two roots is broken", change{"AmazonRootCA3.pem": []byte("x")}, "AmazonRootCA3.pem", []string{"text without a PEM block"}},

		{"expired", change{"cert.pem": expired.certificatePEM()}, "cert.pem", []string{"expired on " + year, "and the clock says " + year, "make a new certificate"}},
		{"not yet valid", change{"cert.pem": early.certificatePEM()}, "cert.pem", []string{"not valid before " + year, "and the clock says " + year, "wait until then"}},
		{"short RSA key", change{"private.key": short.keyPEM(), "cert.pem": short.certificatePEM()}, "private.key", []string{"an RSA key of 1024 bits, want 2048 or more"}},
		{"weak curve", change{"private.key": p224.keyPEM(), "cert.pem": p224.certificatePEM()}, "private.key", []string{"P-224"}},
	} {
		content := map[string][]byte{"private.key": key, "cert.pem": certificate, "AmazonRootCA1.pem": root}
		maps.Copy(content, test.change)
		maps.DeleteFunc(content, func(_ string, data []byte) bool { return data == nil })
		dir := files(t, content)
		for range 2 { // a fault is a fault the second time, too
			_, err := LoadCredentials(dir)
			expect(t, test.what, err, test.file, test.words...)
			if strings.Contains(strings.Join(test.words, ""), "no such file") && !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("%s: %v does not match fs.ErrNotExist", test.what, err)
			}
		}
	}
}

func TestFaultsOfTheDirectory(t *testing.T) {
	dir := files(t, map[string][]byte{"file": nil})
	missing := filepath.Join(dir, "nowhere")
	_, err := LoadCredentials(missing)
	expect(t, "no directory", err, "nowhere", "no such directory")
	if !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%v does not match fs.ErrNotExist", err)
	}
	_, err = LoadCredentials(filepath.Join(dir, "file"))
	expect(t, "a file", err, "file", "a file, want a directory")

	ca := authority("CA")
	device := issue(ca, ecdsaKey(), nil)
	dir = files(t, map[string][]byte{"cert.pem": device.certificatePEM(), "AmazonRootCA1.pem": ca.certificatePEM()})
	if err := os.Mkdir(filepath.Join(dir, "private.key"), 0o700); err != nil {
		t.Fatal(err)
	}
	_, err = LoadCredentials(dir)
	expect(t, "a directory as key", err, "private.key", "a directory, want a file")

	dir = files(t, map[string][]byte{"AmazonRootCA1.pem": ca.certificatePEM()})
	if err := os.Mkdir(filepath.Join(dir, "old.pem"), 0o700); err != nil {
		t.Fatal(err)
	}
	_, err = LoadCredentials(dir)
	expect(t, "a directory beside", err, "private.key", "no such file")

	dir = files(t, map[string][]byte{"AmazonRootCA1.pem": ca.certificatePEM(), "ca-certificates.pem": bytes.Repeat([]byte("x"), 64<<10+1)})
	_, err = LoadCredentials(dir)
	expect(t, "a large file beside", err, "private.key", "no such file")

	many := make(map[string][]byte)
	for i := range maxSearch + 1 {
		many[fmt.Sprintf("%d.pem", i)] = nil
	}
	dir = files(t, many)
	_, err = LoadCredentials(dir)
	expect(t, "too many files", err, filepath.Base(dir), "257 files", "at most 256")
}

func TestPairsThatAreNotClear(t *testing.T) {
	ca := authority("CA")
	a, b := issue(ca, ecdsaKey(), nil), issue(ca, ecdsaKey(), nil)
	renewed := issue(ca, a.key, nil)
	root := ca.certificatePEM()
	for _, test := range []struct {
		what  string
		files map[string][]byte
		file  string // "" = the directory
		words []string
	}{
		{"two pairs", map[string][]byte{"a-private.pem.key": a.keyPEM(), "a-certificate.pem.crt": a.certificatePEM(),
			"b-private.pem.key": b.keyPEM(), "b-certificate.pem.crt": b.certificatePEM()}, "",
			[]string{"2 pairs", "a-private.pem.key with a-certificate.pem.crt", "b-private.pem.key with b-certificate.pem.crt", "keep one, or name the files"}},
		{"a key with two certificates", map[string][]byte{"a-private.pem.key": a.keyPEM(), "a-certificate.pem.crt": a.certificatePEM(),
			"new-certificate.pem.crt": renewed.certificatePEM()}, "",
			[]string{"2 pairs", "a-private.pem.key with a-certificate.pem.crt, a-private.pem.key with new-certificate.pem.crt"}},
		{"one key and one certificate, strangers", map[string][]byte{"a-private.pem.key": a.keyPEM(), "b-certificate.pem.crt": b.certificatePEM()},
			"a-private.pem.key", []string{"does not belong to the certificate in", "b-certificate.pem.crt"}},
		{"more of them, strangers", map[string][]byte{"a-private.pem.key": a.keyPEM(), "b-certificate.pem.crt": b.certificatePEM(), "c-certificate.pem.crt": authority("x").certificatePEM()},
			"", []string{"no private key belongs to a certificate", "private keys: a-private.pem.key", "certificates: b-certificate.pem.crt, c-certificate.pem.crt"}},
		{"a public key in place of the private one", map[string][]byte{"a-public.pem.key": block("PUBLIC KEY", must(x509.MarshalPKIXPublicKey(a.key.Public()))),
			"a-certificate.pem.crt": a.certificatePEM()}, "private.key", []string{"no such file"}},
		{"an encrypted key", map[string][]byte{"a-private.pem.key": encryptedPEM(a.keyPEM()), "a-certificate.pem.crt": a.certificatePEM()},
			"a-private.pem.key", []string{"encrypted"}},
		{"a key without certificate", map[string][]byte{"a-private.pem.key": a.keyPEM()}, "cert.pem", []string{"no such file"}},
	} {
		test.files["AmazonRootCA1.pem"] = root
		dir := files(t, test.files)
		if test.file == "" {
			test.file = filepath.Base(dir)
		}
		_, err := LoadCredentials(dir)
		expect(t, test.what, err, test.file, test.words...)
	}
}

func TestFaultsOfNamedFiles(t *testing.T) {
	ca := authority("CA")
	device := issue(ca, ecdsaKey(), nil)
	dir := files(t, map[string][]byte{"k": device.keyPEM(), "c": device.certificatePEM(), "ca": ca.certificatePEM()})
	in := func(name string) string { return filepath.Join(dir, name) }
	_, err := LoadCredentialFiles(CredentialFiles{})
	expect(t, "nothing named", err, "CA", "no file with CA certificates")
	_, err = LoadCredentialFiles(CredentialFiles{CA: in("ca"), Certificate: in("c")})
	expect(t, "no key named", err, "c", "but no private key")
	_, err = LoadCredentialFiles(CredentialFiles{CA: in("ca"), Key: in("k")})
	expect(t, "no certificate named", err, "k", "but no certificate")
	_, err = LoadCredentialFiles(CredentialFiles{CA: in("ca"), Certificate: in("k"), Key: in("c")})
	expect(t, "swapped", err, "c", "a certificate, want the private key")
	_, err = LoadCredentialFiles(CredentialFiles{CA: in("nowhere"), Certificate: in("c"), Key: in("k")})
	expect(t, "no such CA", err, "nowhere", "no such file")
	_, err = LoadCredentialFiles(CredentialFiles{Dir: dir, CA: in("ca"), Key: in("c")})
	expect(t, "the key that was named is a certificate", err, "c", "a certificate, want the private key")
	_, err = LoadCredentialFiles(CredentialFiles{Dir: dir, CA: in("ca"), Certificate: in("k")})
	expect(t, "the certificate that was named is a key", err, "k", "a private key, want the certificate")
}

// A device without a clock of its own thinks that it is 1970.
func TestAClockThatIsNotSetIsSaid(t *testing.T) {
	ca := authority("CA")
	device := issue(ca, ecdsaKey(), nil)
	dir := files(t, map[string][]byte{"private.key": device.keyPEM(), "cert.pem": device.certificatePEM(), "AmazonRootCA1.pem": ca.certificatePEM()})
	_, err := (&CredentialFiles{Dir: dir}).load(time.Unix(7, 0))
	expect(t, "1970", err, "AmazonRootCA1.pem", "not valid before", "the clock says 1970-01-01 00:00:07 UTC", "is the clock set?")
	_, err = (&CredentialFiles{Dir: dir}).load(device.certificate.NotAfter.Add(time.Second))
	expect(t, "too late", err, "AmazonRootCA1.pem", "expired on")
	for _, at := range []time.Time{device.certificate.NotBefore, device.certificate.NotAfter} {
		if err := checkValidity("f", device.certificate.NotBefore, device.certificate.NotAfter, at); err != nil {
			t.Errorf("at the very second: %v", err)
		}
	}
}

func TestNoErrorQuotesAPrivateKey(t *testing.T) {
	ca := authority("CA")
	device := issue(ca, ecdsaKey(), nil)
	lines := bytes.SplitAfter(device.keyPEM(), []byte("\n"))
	body := join(lines[1], lines[2])
	for what, key := range map[string][]byte{
		"without its frame":     body,
		"without its last line": join(lines[0], body),
		"in the block's name":   []byte("-----BEGIN " + strings.TrimSpace(string(lines[1])) + "-----\n"),
		"with a line too many":  join(device.keyPEM(), body, []byte{0}),
	} {
		_, err := ParseCredentials(ca.certificatePEM(), device.certificatePEM(), key)
		if err == nil {
			t.Errorf("%s: no error", what)
			continue
		}
		for _, line := range lines[1 : len(lines)-2] {
			for i := 0; i+8 < len(line); i++ {
				if strings.Contains(err.Error(), string(line[i:i+8])) {
					t.Fatalf("%s: the error %q quotes the key", what, err)
				}
			}
		}
	}
}
