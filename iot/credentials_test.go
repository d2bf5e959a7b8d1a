package iot

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"
)

func TestLoadCredentialsTakesTheUsualNames(t *testing.T) {
	ca := authority("CA")
	device := issue(ca, ecdsaKey(), nil)
	dir := files(t, map[string][]byte{"private.key": device.keyPEM(), "cert.pem": device.certificatePEM(), "AmazonRootCA1.pem": ca.certificatePEM()})
	c, err := LoadCredentials(dir)
	if err != nil {
		t.Fatal(err)
	}
	id := sha256.Sum256(device.certificate.Raw)
	if c.CertificateID != hex.EncodeToString(id[:]) {
		t.Errorf("certificate id %s, want the SHA-256 of the DER form", c.CertificateID)
	}
	if c.KeyFile != filepath.Join(dir, "private.key") || c.CertificateFile != filepath.Join(dir, "cert.pem") || c.CAFile != filepath.Join(dir, "AmazonRootCA1.pem") {
		t.Errorf("files %q, %q, %q", c.KeyFile, c.CertificateFile, c.CAFile)
	}
	if !c.NotAfter.Equal(device.certificate.NotAfter) || !c.NotBefore.Equal(device.certificate.NotBefore) {
		t.Errorf("valid from %v to %v", c.NotBefore, c.NotAfter)
	}
	if len(c.Warnings) != 0 {
		t.Errorf("warnings: %q", c.Warnings)
	}
	pair, err := c.certificate(nil)
	if err != nil || !bytes.Equal(pair.Certificate[0], device.certificate.Raw) || !samePublicKey(pair.PrivateKey.(crypto.Signer).Public(), device.key.Public()) {
		t.Errorf("not the certificate that was loaded: %v", err)
	}
}

func TestLoadCredentialsSearchesThePresentDirectory(t *testing.T) {
	ca := authority("CA")
	device := issue(ca, ecdsaKey(), nil)
	t.Chdir(files(t, map[string][]byte{"private.key": device.keyPEM(), "cert.pem": device.certificatePEM(), "AmazonRootCA1.pem": ca.certificatePEM()}))
	c, err := LoadCredentials("")
	if err != nil {
		t.Fatal(err)
	}
	if c.KeyFile != "private.key" {
		t.Errorf("key file %q, want it without a directory", c.KeyFile)
	}
}

func TestLoadCredentialsTakesAWSsOwnNames(t *testing.T) {
	ca, ca3 := authority("CA 1"), authority("CA 3")
	device := issue(ca, rsaKey(), nil)
	key := block("RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(device.key.(*rsa.PrivateKey)))
	public := block("PUBLIC KEY", must(x509.MarshalPKIXPublicKey(device.key.Public())))
	for _, test := range []struct {
		what       string
		files      map[string][]byte
		key, chain string
		roots      int
	}{
		{"a download of the console", map[string][]byte{
			"3f2a-private.pem.key": key, "3f2a-public.pem.key": public, "3f2a-certificate.pem.crt": device.certificatePEM(),
			"AmazonRootCA1.pem": ca.certificatePEM(), "AmazonRootCA3.pem": ca3.certificatePEM(),
		}, "3f2a-private.pem.key", "3f2a-certificate.pem.crt", 2},
		{"AmazonRootCA3.pem alone", map[string][]byte{
			"x-private.pem.key": key, "x-certificate.pem.crt": device.certificatePEM(), "AmazonRootCA3.pem": ca3.certificatePEM(),
		}, "x-private.pem.key", "x-certificate.pem.crt", 1},
		{"a connection kit", map[string][]byte{
			"thing.private.key": key, "thing.public.key": public, "thing.cert.pem": device.certificatePEM(), "root-CA.crt": ca.certificatePEM(),
			"thing-Policy": []byte("{}"), "start.sh": []byte("exit"),
		}, "thing.private.key", "thing.cert.pem", 1},
		{"names that are swapped", map[string][]byte{
			"x-private.pem.key": device.certificatePEM(), "x-certificate.pem.crt": key, "AmazonRootCA1.pem": ca.certificatePEM(),
		}, "x-certificate.pem.crt", "x-private.pem.key", 1},
		{"two keys, one with a certificate", map[string][]byte{
			"a-private.pem.key": authority("other").keyPEM(), "b-private.pem.key": key, "b-certificate.pem.crt": device.certificatePEM(), "AmazonRootCA1.pem": ca.certificatePEM(),
		}, "b-private.pem.key", "b-certificate.pem.crt", 1},
		{"copies of the same", map[string][]byte{
			"a-private.pem.key": key, "b-private.pem.key": key, "b-certificate.pem.crt": device.certificatePEM(), "AmazonRootCA1.pem": ca.certificatePEM(),
		}, "a-private.pem.key", "b-certificate.pem.crt", 1},
		{"one usual name and one of AWS", map[string][]byte{
			"private.key": key, "x-certificate.pem.crt": device.certificatePEM(), "AmazonRootCA1.pem": ca.certificatePEM(),
		}, "private.key", "x-certificate.pem.crt", 1},
		{"a broken file beside", map[string][]byte{
			"a.pem": []byte("broken"), "x-private.pem.key": key, "x-certificate.pem.crt": device.certificatePEM(), "AmazonRootCA1.pem": ca.certificatePEM(),
		}, "x-private.pem.key", "x-certificate.pem.crt", 1},
		{"the roots of a system beside", map[string][]byte{
			"ca-certificates.pem": bytes.Repeat(ca.certificatePEM(), 64<<10/len(ca.certificatePEM())+1),
			"x-private.pem.key":   key, "x-certificate.pem.crt": device.certificatePEM(), "AmazonRootCA1.pem": ca.certificatePEM(),
		}, "x-private.pem.key", "x-certificate.pem.crt", 1},
		{"usual names win", map[string][]byte{
			"private.key": key, "cert.pem": device.certificatePEM(), "x-private.pem.key": []byte("broken"), "AmazonRootCA1.pem": ca.certificatePEM(),
		}, "private.key", "cert.pem", 1},
	} {
		c, err := LoadCredentials(files(t, test.files))
		if err != nil {
			t.Errorf("%s: %v", test.what, err)
			continue
		}
		if filepath.Base(c.KeyFile) != test.key || filepath.Base(c.CertificateFile) != test.chain {
			t.Errorf("%s: took %s and %s, want %s and %s", test.what, c.KeyFile, c.CertificateFile, test.key, test.chain)
		}
		if got := strings.Count(c.CAFile, ", ") + 1; got != test.roots {
			t.Errorf("%s: %d files of roots (%s), want %d", test.what, got, c.CAFile, test.roots)
		}
	}
}

func TestLoadCredentialFilesTakesWhatIsNamed(t *testing.T) {
	ca := authority("CA")
	device, other := issue(ca, ecdsaKey(), nil), issue(ca, ecdsaKey(), nil)
	dir := files(t, map[string][]byte{
		"private.key": device.keyPEM(), "cert.pem": device.certificatePEM(), "AmazonRootCA1.pem": ca.certificatePEM(),
		"other.key": other.keyPEM(), "other.crt": other.certificatePEM(), "bundle.pem": join(authority("x").certificatePEM(), ca.certificatePEM()),
	})
	in := func(name string) string { return filepath.Join(dir, name) }
	for _, test := range []struct {
		what            string
		files           CredentialFiles
		ca, chain, key  string
		wantCertificate *identity
	}{
		{"all three", CredentialFiles{CA: in("bundle.pem"), Certificate: in("other.crt"), Key: in("other.key")}, "bundle.pem", "other.crt", "other.key", other},
		{"a directory, and another CA", CredentialFiles{Dir: dir, CA: in("bundle.pem")}, "bundle.pem", "cert.pem", "private.key", device},
		{"a directory, and another pair", CredentialFiles{Dir: dir, Certificate: in("other.crt"), Key: in("other.key")}, "AmazonRootCA1.pem", "other.crt", "other.key", other},
		{"a CA alone", CredentialFiles{CA: in("bundle.pem")}, "bundle.pem", "", "", nil},
	} {
		c, err := LoadCredentialFiles(test.files)
		if err != nil {
			t.Errorf("%s: %v", test.what, err)
			continue
		}
		base := func(name string) string { return strings.TrimPrefix(filepath.Base(name), ".") }
		if base(c.CAFile) != test.ca || base(c.CertificateFile) != test.chain || base(c.KeyFile) != test.key {
			t.Errorf("%s: took %q, %q, %q", test.what, c.CAFile, c.CertificateFile, c.KeyFile)
		}
		pair := must(c.certificate(nil))
		if test.wantCertificate == nil {
			if len(pair.Certificate) != 0 || c.CertificateID != "" {
				t.Errorf("%s: has a certificate", test.what)
			}
		} else if !bytes.Equal(pair.Certificate[0], test.wantCertificate.certificate.Raw) {
			t.Errorf("%s: another certificate", test.what)
		}
	}
}

// A key that is named is looked for in the certificates of the directory.
func TestLoadCredentialFilesPairsWhatIsNamedWithTheDirectory(t *testing.T) {
	ca := authority("CA")
	a, b := issue(ca, ecdsaKey(), nil), issue(ca, ecdsaKey(), nil)
	dir := files(t, map[string][]byte{
		"a-private.pem.key": a.keyPEM(), "a-certificate.pem.crt": a.certificatePEM(), "AmazonRootCA1.pem": ca.certificatePEM(),
		"b-private.pem.key": b.keyPEM(), "b-certificate.pem.crt": b.certificatePEM(),
	})
	c, err := LoadCredentialFiles(CredentialFiles{Dir: dir, Key: filepath.Join(dir, "b-private.pem.key")})
	if err != nil || filepath.Base(c.CertificateFile) != "b-certificate.pem.crt" {
		t.Errorf("key of b: %v, %v", c, err)
	}
	c, err = LoadCredentialFiles(CredentialFiles{Dir: dir, Certificate: filepath.Join(dir, "a-certificate.pem.crt")})
	if err != nil || filepath.Base(c.KeyFile) != "a-private.pem.key" {
		t.Errorf("certificate of a: %v, %v", c, err)
	}
}

func TestKeysComeInEveryUsualForm(t *testing.T) {
	ca := authority("CA")
	ec := issue(ca, ecdsaKey(), nil)
	rs := issue(ca, rsaKey(), nil)
	sec1 := block("EC PRIVATE KEY", must(x509.MarshalECPrivateKey(ec.key.(*ecdsa.PrivateKey))))
	pkcs1 := block("RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(rs.key.(*rsa.PrivateKey)))
	parameters := block("EC PARAMETERS", []byte{6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7})
	windows := func(b []byte) []byte { return bytes.ReplaceAll(b, []byte("\n"), []byte("\r\n")) }
	for _, test := range []struct {
		what  string
		owner *identity
		key   []byte
	}{
		{"PKCS #1, RSA", rs, pkcs1},
		{"PKCS #8, RSA", rs, rs.keyPEM()},
		{"SEC 1, ECDSA", ec, sec1},
		{"PKCS #8, ECDSA", ec, ec.keyPEM()},
		{"SEC 1 behind its parameters", ec, join(parameters, sec1)},
		{"a comment in front", ec, join([]byte("Bag Attributes\n    localKeyID: 01\n"), sec1)},
		{"lines of Windows", rs, windows(pkcs1)},
		{"byte order mark", rs, join([]byte("\ufeff"), pkcs1)},
		{"no line feed at the end", ec, bytes.TrimRight(sec1, "\n")},
		{"key and certificate in one file", ec, join(sec1, ec.certificatePEM())},
	} {
		if _, err := ParseCredentials(windows(ca.certificatePEM()), test.owner.certificatePEM(), test.key); err != nil {
			t.Errorf("%s: %v", test.what, err)
		}
	}
	chain := join(ec.certificatePEM(), ca.certificatePEM())
	c, err := ParseCredentials(ca.certificatePEM(), chain, sec1)
	if err != nil {
		t.Fatal(err)
	}
	if pair := must(c.certificate(nil)); len(pair.Certificate) != 2 {
		t.Errorf("%d certificates in the chain, want 2", len(pair.Certificate))
	}
}

func TestCredentialsWarn(t *testing.T) {
	ca := authority("CA")
	good := issue(ca, ecdsaKey(), nil)
	soon := issue(ca, ecdsaKey(), func(c *x509.Certificate) { c.NotAfter = time.Now().Add(7*24*time.Hour + time.Hour) })
	tomorrow := issue(ca, ecdsaKey(), func(c *x509.Certificate) { c.NotAfter = time.Now().Add(25 * time.Hour) })
	now := issue(ca, ecdsaKey(), func(c *x509.Certificate) { c.NotAfter = time.Now().Add(time.Hour - time.Second) })
	today := issue(ca, ecdsaKey(), func(c *x509.Certificate) { c.NotAfter = time.Now().Add(5*time.Hour + time.Minute) })
	server := issue(ca, ecdsaKey(), func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} })
	free := issue(ca, ecdsaKey(), func(c *x509.Certificate) { c.ExtKeyUsage = nil })
	curved := issue(ca, ed25519Key(), nil)
	for _, test := range []struct {
		what string
		id   *identity
		mode os.FileMode
		want string
	}{
		{"nothing", good, 0o600, ""},
		{"nothing, read only", good, 0o400, ""},
		{"no extended key usage", free, 0o600, ""},
		{"key readable by all", good, 0o644, "private.key: other users may read this private key (mode 0644); chmod 600 it"},
		{"key readable by the group", good, 0o640, "(mode 0640)"},
		{"expires soon", soon, 0o600, "in 7 days"},
		{"expires tomorrow", tomorrow, 0o600, "in 1 day"},
		{"expires today", today, 0o600, "in 5 hours"},
		{"expires at once", now, 0o600, "in 59 minutes"},
		{"for servers", server, 0o600, "not made for clients"},
		{"Ed25519", curved, 0o600, "AWS IoT Core does not take Ed25519"},
	} {
		if strings.Contains(test.want, "mode") && runtime.GOOS == "windows" {
			t.Logf("%s: left out, Windows has no such modes", test.what)
			continue
		}
		dir := files(t, map[string][]byte{"private.key": test.id.keyPEM(), "cert.pem": test.id.certificatePEM(), "AmazonRootCA1.pem": ca.certificatePEM()})
		if err := os.Chmod(filepath.Join(dir, "private.key"), test.mode); err != nil {
			t.Fatal(err)
		}
		c, err := LoadCredentials(dir)
		if err != nil {
			t.Errorf("%s: %v", test.what, err)
			continue
		}
		got := strings.Join(c.Warnings, "\n")
		if test.want == "" && got != "" || !strings.Contains(got, test.want) || strings.Contains(got, " 1 days") {
			t.Errorf("%s: warnings %q, want %q", test.what, got, test.want)
		}
	}
}

// secrets returns the private parts of a key as they may appear in a text: numbers in decimal and hex, bytes as Go and
// JSON print them, and base64 of any form that holds them.
func secrets(t *testing.T, key crypto.Signer) []string {
	t.Helper()
	var numbers [][]byte
	var texts []string
	switch key := key.(type) {
	case *rsa.PrivateKey:
		numbers = [][]byte{key.D.Bytes(), key.Primes[0].Bytes(), key.Primes[1].Bytes()}
		texts = []string{key.D.String(), key.Primes[0].String()}
	case *ecdsa.PrivateKey:
		d := must(key.Bytes())
		numbers = [][]byte{d}
		texts = []string{fmt.Sprint(new(big.Int).SetBytes(d))}
	}
	for _, n := range numbers {
		texts = append(texts, fmt.Sprintf("%x", n), fmt.Sprintf("%X", n), strings.Trim(fmt.Sprint(n), "[]"), string(n),
			strings.TrimRight(base64.StdEncoding.EncodeToString(n), "="))
	}
	der := must(x509.MarshalPKCS8PrivateKey(key))
	encoded := base64.StdEncoding.EncodeToString(der)
	return append(texts, encoded[len(encoded)/2:len(encoded)/2+32])
}

// outer holds what a program would print by mistake, in fields that package fmt can and cannot call methods on.
type outer struct {
	Public  *Credentials
	private *Credentials
	Value   Credentials
	value   Credentials
	config  Config
}

func TestNothingPrintsThePrivateKey(t *testing.T) {
	ca := authority("CA")
	for _, key := range []crypto.Signer{ecdsaKey(), rsaKey()} {
		device := issue(ca, key, nil)
		c := device.credentials(ca)
		config := Config{Endpoint: host, Credentials: c}
		m := must(config.MQTT())
		all := outer{c, c, *c, *c, config}
		var printed strings.Builder
		for _, v := range []any{c, *c, &c, config, &config, all, &all, []any{c}, map[string]any{"c": *c}, m.ClientID} {
			for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%d", "%x", "%T"} {
				fmt.Fprintf(&printed, verb+"\n", v)
			}
			j, err := json.Marshal(v)
			if err != nil {
				t.Errorf("json of %T: %v", v, err)
			}
			printed.Write(j)
		}
		fmt.Fprintf(&printed, "%+v %#v", m, m)
		text := printed.String()
		for i, secret := range secrets(t, key) {
			if strings.Contains(text, secret) {
				t.Errorf("%T: secret %d is in what was printed", key, i)
			}
		}
		if !strings.Contains(fmt.Sprintf("%+v", config), c.CertificateID) {
			t.Errorf("a Config does not show which certificate it has")
		}
		_ = all.private
		_ = all.value
		_ = all.config
	}
}

// The test above can fail: the same search finds the key in what package fmt prints of a key.
func TestSecretsAreRecognised(t *testing.T) {
	for _, key := range []crypto.Signer{ecdsaKey(), rsaKey()} {
		j := must(json.Marshal(key))
		found := false
		for _, secret := range secrets(t, key) {
			found = found || strings.Contains(string(j), secret)
		}
		if !found {
			t.Errorf("%T: not found in its JSON", key)
		}
	}
}

func FuzzParseCredentials(f *testing.F) {
	ca := authority("CA")
	device := issue(ca, ecdsaKey(), nil)
	f.Add(ca.certificatePEM(), device.certificatePEM(), device.keyPEM())
	f.Add(device.keyPEM(), device.keyPEM(), device.certificatePEM())
	f.Add(ca.certificatePEM(), encryptedPEM(device.keyPEM()), pkcs12())
	f.Add(utf16(ca.certificatePEM()), []byte("-----BEGIN X-----"), []byte{})
	f.Add([]byte("\ufeff-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----"), device.certificate.Raw, []byte{0x30, 0x80, 2, 1, 3})
	f.Fuzz(func(t *testing.T, ca, certificate, key []byte) {
		c, err := ParseCredentials(ca, certificate, key)
		if (c == nil) == (err == nil) {
			t.Fatalf("%v, %v", c, err)
		}
		if err != nil && (!errors.Is(err, ErrCredentials) || strings.ContainsAny(err.Error(), "\n\r")) {
			t.Fatalf("%q", err)
		}
		if err == nil && (c.roots == nil || len(must(c.certificate(nil)).Certificate) == 0 != (len(certificate)+len(key) == 0)) {
			t.Fatalf("%v without roots or certificate", c)
		}
	})
}
