package aws

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"iotwire/mqtt/packet"
)

// tokenKey signs tokens. RSA keys are slow to make: one for all tests.
var tokenKey = sync.OnceValue(func() *rsa.PrivateKey {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return key
})

// sign returns the signature of a token in base64.
func sign(t *testing.T, token string) string {
	t.Helper()
	digest := sha256.Sum256([]byte(token))
	signature, err := rsa.SignPKCS1v15(nil, tokenKey(), crypto.SHA256, digest[:])
	if err != nil {
		t.Fatal(err)
	}
	return base64.StdEncoding.EncodeToString(signature)
}

// everything is a policy that allows all.
const everything = `{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "iot:*", "Resource": "*"}]}`

// gates are the authorizers of the tests.
const gates = `{
  "signed": {"tokenKey": "token", "publicKey": "key.pem", "answers": [{"token": "abc.d-e_f", "principalId": "signed1", "policyDocuments": [` + everything + `]}]},
  "open": {"default": true, "answers": [
    {"userName": "ann", "password": "s3cret", "principalId": "ann1", "policyDocuments": [` + everything + `],
     "disconnectAfterInSeconds": 3600, "refreshAfterInSeconds": 300},
    {"userName": "bob", "password": "s3cret", "principalId": "bob1", "policyDocuments": [{"Version": "2012-10-17", "Statement": [
      {"Effect": "Allow", "Action": "iot:Connect", "Resource": "arn:aws:iot:us-east-1:123456789012:client/bob"},
      {"Effect": "Allow", "Action": "iot:Publish", "Resource": "arn:aws:iot:us-east-1:123456789012:topic/bob/*"}]}]}]},
  "closed": {"status": "INACTIVE", "answers": [{"principalId": "x", "policyDocuments": [` + everything + `]}]}
}`

// atGates is onDesk with authorizers.
func atGates(t *testing.T, test func(*testing.T, *desk)) {
	t.Helper()
	dir := t.TempDir()
	writeGates(t, dir, gates)
	onDesk(t, Config{Dir: filepath.Join(dir, "registry"), Authorizers: filepath.Join(dir, "gates.json")}, test)
}

// writeGates puts a file with authorizers and its key into a directory.
func writeGates(t *testing.T, dir, text string) {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(&tokenKey().PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	key := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
	for name, content := range map[string]string{"gates.json": text, "key.pem": string(key)} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// knock opens a connection to the port that stands for 443 without a certificate.
func (d *desk) knock() *wire {
	d.t.Helper()
	conn, err := d.DialALPN(context.Background())
	if err != nil {
		d.t.Fatal(err)
	}
	d.t.Cleanup(func() { conn.Close() })
	config := d.tlsConfig(func(c *tls.Config) { c.Certificates, c.NextProtos = nil, []string{"mqtt"} })
	client := tls.Client(conn, config)
	return &wire{d.t, client, packet.NewReader(client, 8<<20)}
}

// enter sends a CONNECT with user name and password.
func (w *wire) enter(id, user, password string) {
	w.t.Helper()
	w.send(packet.AppendConnect(nil, &packet.Connect{ClientID: []byte(id), CleanSession: true, HasUserName: true, UserName: []byte(user),
		HasPassword: password != "", Password: []byte(password)}))
}

func TestAuthorizerLetsIn(t *testing.T) {
	atGates(t, func(t *testing.T, d *desk) {
		for _, test := range []struct{ id, user, password, principal string }{
			{"one", "ann", "s3cret", "ann1"},
			{"two", "ann?x-amz-customauthorizer-name=open", "s3cret", "ann1"},
			{"three", "?x-amz-customauthorizer-name=signed&x-amz-customauthorizer-signature=" + url.QueryEscape(sign(t, "abc.d-e_f")) + "&token=abc.d-e_f", "", "signed1"},
			{"four", "ann?token=abc%2Ed-e_f&x-amz-customauthorizer-signature=" + url.QueryEscape(sign(t, "abc.d-e_f")) + "&SDK=Go&x-amz-customauthorizer-name=signed", "", "signed1"},
			{"five", "?token=abc.d-e_f&x-amz-customauthorizer-signature=" + sign(t, "abc.d-e_f") + "&x-amz-customauthorizer-name=signed", "", "signed1"},
		} {
			w := d.knock()
			w.enter(test.id, test.user, test.password)
			w.want(packet.AppendConnack(nil, &packet.Connack{}))
			d.mu.Lock()
			last := d.log[len(d.log)-1]
			d.mu.Unlock()
			if last.PrincipalID != test.principal || last.EventType != "Connect" {
				t.Errorf("%s: %v, want %s", test.user, last, test.principal)
			}
			w.publish("a/b", "x", 1)
			w.wantPuback(1)
			w.disconnect()
		}
		if log := d.lines(); strings.Contains(log, "s3cret") || strings.Contains(log, "abc.d") {
			t.Error(log)
		}
	})
}

func TestAuthorizerRefusesInSilence(t *testing.T) {
	signature := url.QueryEscape(sign(t, "abc.d-e_f"))
	for _, test := range []struct{ user, password, details string }{
		{"ann", "wrong", `the authorizer "open" answers isAuthenticated false: no entry of its "answers" fits user name, password and token`},
		{"eve?x-amz-customauthorizer-name=open", "s3cret", `the authorizer "open" answers isAuthenticated false: no entry of its "answers" fits user name, password and token`},
		{"ann?x-amz-customauthorizer-name=none", "s3cret", `there is no authorizer "none" in DIR/gates.json`},
		{"ann?x-amz-customauthorizer-name=" + strings.Repeat("n", 60_000), "s3cret", `there is no authorizer "` + strings.Repeat("n", 128) + `" in DIR/gates.json`},
		{"ann?x-amz-customauthorizer-name=closed", "s3cret", `the authorizer "closed" is INACTIVE`},
		{"ann?x-amz-customauthorizer-name=%zz", "s3cret", `the user name has a '%' behind its '?' that starts no percent-encoding`},
		{"?x-amz-customauthorizer-name=signed", "", `the authorizer "signed" is not asked: the user name has no token: want token=TOKEN behind its '?'`},
		{"?x-amz-customauthorizer-name=signed&Token=abc.d-e_f&x-amz-customauthorizer-signature=" + signature, "", `the authorizer "signed" is not asked: the user name has no token: want token=TOKEN behind its '?'`},
		{"?x-amz-customauthorizer-name=signed&token=abc.d-e_f", "", `the authorizer "signed" is not asked: the user name has no x-amz-customauthorizer-signature, and the token has to be signed`},
		{"?x-amz-customauthorizer-name=signed&token=abc.d-e_f&x-amz-customauthorizer-signature=!", "", `the authorizer "signed" is not asked: the signature is no base64 (where it has + / = they are percent-encoded)`},
		{"?x-amz-customauthorizer-name=signed&token=abc.d-e_g&x-amz-customauthorizer-signature=" + signature, "", `the authorizer "signed" is not asked: the signature is not that of the token by the key whose public key it has`},
		{"?x-amz-customauthorizer-name=signed&token=other&x-amz-customauthorizer-signature=" + url.QueryEscape(sign(t, "other")), "",
			`the authorizer "signed" answers isAuthenticated false: no entry of its "answers" fits user name, password and token`},
		{"bob", "s3cret", `no statement allows it`},
	} {
		atGates(t, func(t *testing.T, d *desk) {
			w := d.knock()
			w.enter("me", test.user, test.password)
			w.wantEnd()
			details := d.details()
			if len(details) != 1 {
				t.Fatalf("%s: %q", test.user, details)
			}
			got := strings.ReplaceAll(details[0], filepath.Dir(d.dir), "DIR")
			if got != test.details && (test.user != "bob" || !strings.Contains(got, "iot:Connect")) {
				t.Errorf("%s: %q, want %q", test.user, got, test.details)
			}
		})
	}
}

func TestAuthorizersPoliciesCount(t *testing.T) {
	atGates(t, func(t *testing.T, d *desk) {
		w := d.knock()
		w.enter("bob", "bob", "s3cret")
		w.want(packet.AppendConnack(nil, &packet.Connack{}))
		w.publish("bob/a", "x", 1)
		w.wantPuback(1)
		w.publish("ann/a", "x", 2)
		w.wantEnd()
	})
}

func TestAuthorizerGivesAConnectionSoLong(t *testing.T) {
	atGates(t, func(t *testing.T, d *desk) {
		w := d.knock()
		w.enter("one", "ann", "s3cret")
		w.want(packet.AppendConnack(nil, &packet.Connack{}))
		began := time.Now()
		writeGates(t, filepath.Dir(d.dir), strings.Replace(gates, "3600", "7200", 1)) // which counts for other connections
		for time.Since(began) < 3599*time.Second {
			time.Sleep(min(20*time.Minute, 3599*time.Second-time.Since(began)))
			w.send(packet.AppendPingreq(nil), nil)
			w.want(packet.AppendPingresp(nil), nil)
		}
		d.lines()
		w.wantEnd()
		if took := time.Since(began); took < 3600*time.Second || took > 3602*time.Second {
			t.Errorf("it ended after %v", took)
		}
		d.mu.Lock()
		details := d.log[len(d.log)-1].Details
		d.mu.Unlock()
		if details != "the authorizer gave the connection 1h0m0s" {
			t.Error(details)
		}
		if log := d.lines(); !strings.Contains(log, "Disconnect Failure one CUSTOMAUTH_TTL_EXPIRATION CUSTOMAUTH_TTL_EXPIRATION") {
			t.Error(log)
		}
	})
}

func TestAuthorizerIsAskedAgain(t *testing.T) {
	atGates(t, func(t *testing.T, d *desk) {
		file := filepath.Dir(d.dir)
		w := d.knock()
		w.enter("one", "ann", "s3cret")
		w.want(packet.AppendConnack(nil, &packet.Connack{}))
		writeGates(t, file, strings.Replace(gates, `"s3cret", "principalId": "ann1"`, `"other", "principalId": "ann1"`, 1))
		time.Sleep(299 * time.Second) // until then the old answer counts
		w.publish("a", "x", 1)
		w.wantPuback(1)
		w.wantEnd()
		if log := d.lines(); !strings.Contains(log, "Disconnect Failure one AUTH_ERROR AUTHORIZATION_FAILURE") {
			t.Error(log)
		}
		w = d.knock()
		w.enter("two", "ann", "other")
		w.want(packet.AppendConnack(nil, &packet.Connack{}))

		writeGates(t, file, "{")
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if details := d.details(); len(details) != 1 || !strings.Contains(details[0], "gates.json") || !strings.Contains(details[0], "what was read before stays") {
			t.Errorf("%q", details)
		}
		w.publish("a", "x", 2)
		w.wantPuback(2)
	})
}

// Who makes a new pair of keys replaces the file of the public one, and not the file that names it.
func TestAuthorizersKeyIsReadAgain(t *testing.T) {
	fresh, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(&fresh.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	other := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
	atGates(t, func(t *testing.T, d *desk) {
		key := filepath.Join(filepath.Dir(d.dir), "key.pem")
		right, err := os.ReadFile(key)
		if err != nil {
			t.Fatal(err)
		}
		user := "?x-amz-customauthorizer-name=signed&token=abc.d-e_f&x-amz-customauthorizer-signature=" + url.QueryEscape(sign(t, "abc.d-e_f"))
		for i, step := range []struct {
			key     []byte
			accepts bool
			details string
		}{
			{right, true, ""},
			{other, false, "the signature is not that of the token"},
			{[]byte("x"), false, "no PEM data in it; what was read before stays"},
			{right, true, ""},
		} {
			if err := os.WriteFile(key, step.key, 0o600); err != nil {
				t.Fatal(err)
			}
			later := time.Now().Add(time.Duration(i) * time.Hour) // a file system may have coarse times
			if err := os.Chtimes(key, later, later); err != nil {
				t.Fatal(err)
			}
			d.lines()
			w := d.knock()
			w.enter(fmt.Sprint("c", i), user, "")
			if step.accepts {
				w.want(packet.AppendConnack(nil, &packet.Connack{}))
			} else {
				w.wantEnd()
			}
			if details := strings.Join(d.details(), "\n"); !strings.Contains(details, step.details) {
				t.Errorf("step %d: %q, want %q", i, details, step.details)
			}
		}
	})
}

func TestWithoutAuthorizersTheProtocolIsRefused(t *testing.T) {
	onDesk(t, Config{}, func(t *testing.T, d *desk) {
		w := d.knock()
		if err := w.conn.(*tls.Conn).Handshake(); err == nil || !strings.Contains(err.Error(), "no application protocol") {
			t.Errorf("%v", err)
		}
	})
}

func TestMistakesInAFileOfAuthorizers(t *testing.T) {
	answer := `"answers": [{"principalId": "x", "policyDocuments": [` + everything + `]}]`
	short, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(&short.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]string{
		``:                                   "gates.json: EOF",
		"{\n\n\"gate\": }":                   "gates.json:3: ",
		`[]`:                                 "gates.json:1: ",
		`{}`:                                 "gates.json: it has no authorizer",
		`{"gate": {}} x`:                     "there is more behind the object",
		`{"gate": {"tokenkey2": "x"}}`:       `unknown field "tokenkey2": an authorizer has status, default, tokenKey`,
		`{"ga te": {}}`:                      `authorizer "ga te": want a name of 1 to 128 letters`,
		`{"gate": {"status": "ON"}}`:         `status "ON" is neither ACTIVE nor INACTIVE`,
		`{"gate": {"publicKey": "key.pem"}}`: "it has a publicKey and no tokenKey",
		`{"gate": {"tokenKey": "t", "publicKey": "none.pem"}}`:                                                               "none.pem: no such file",
		`{"gate": {"tokenKey": "t", "publicKey": "gates.json"}}`:                                                             "gates.json: no PEM data in it",
		`{"gate": {"tokenKey": "t", "publicKey": "short.pem"}}`:                                                              "want an RSA key of 2048 bits or more",
		`{"a": {"default": true, ` + answer + `}, "b": {"default": true, ` + answer + `}}`:                                   "2 authorizers are the default one",
		`{"gate": {"answers": [{"principalId": "a-b", "policyDocuments": [` + everything + `]}]}}`:                           `answer 1: principalId "a-b", want 1 to 128 letters and digits`,
		`{"gate": {"answers": [{"principalId": "x", "policyDocuments": []}]}}`:                                               "0 policyDocuments, want 1 to 10",
		`{"gate": {"answers": [{"principalId": "x", "policyDocuments": [{}]}]}}`:                                             "gates.json policyDocuments",
		`{"gate": {"answers": [{"principalId": "x", "policyDocuments": [` + everything + `], "refreshAfterInSeconds": 1}]}}`: "refreshAfterInSeconds is 1, want 300 to 86400",
	} {
		dir := t.TempDir()
		writeGates(t, dir, text)
		if err := os.WriteFile(filepath.Join(dir, "short.pem"), pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := openAuthorizers(filepath.Join(dir, "gates.json")); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
}
