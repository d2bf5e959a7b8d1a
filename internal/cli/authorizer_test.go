package cli

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"iotwire/internal/testbroker/aws"
)

// gatehouse is a cloud with an authorizer that wants the token abc.s3cret, signed.
type gatehouse struct {
	*cloud
	token, signature string // files
}

// gateKey signs tokens. RSA keys are slow to make: one for all tests.
var gateKey = sync.OnceValues(func() (*rsa.PrivateKey, error) { return rsa.GenerateKey(rand.Reader, 2048) })

// atGate runs a test in a bubble.
func atGate(t *testing.T, test func(*testing.T, *gatehouse)) {
	t.Helper()
	key, err := gateKey()
	if err != nil {
		t.Fatal(err)
	}
	const token = "abc.s3cret"
	digest := sha256.Sum256([]byte(token))
	signature, err := rsa.SignPKCS1v15(nil, key, crypto.SHA256, digest[:])
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for name, content := range map[string]string{
		"token":     token + "\n",
		"signature": base64.StdEncoding.EncodeToString(signature) + "\n",
		"key.pem":   string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})),
		"gates.json": `{"gate": {"tokenKey": "token", "publicKey": "key.pem", "answers": [{"token": "` + token + `", "userName": "ann", "principalId": "ann1",
			"policyDocuments": [{"Version":"2012-10-17","Statement":[` + mayConnect + `,` + mayPublish + `]}]}]}}`,
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	inCloud(t, aws.Config{Authorizers: filepath.Join(dir, "gates.json")}, func(t *testing.T, c *cloud) {
		for _, name := range []string{"cert.pem", "private.key"} { // nothing but the CA is needed
			if err := os.Remove(filepath.Join(c.dir, name)); err != nil {
				t.Fatal(err)
			}
		}
		test(t, &gatehouse{c, filepath.Join(dir, "token"), filepath.Join(dir, "signature")})
	})
}

// knock runs a program with the token and its signature.
func (g *gatehouse) knock(main func(*Process) ExitCode, args ...string) *trial {
	g.t.Helper()
	time.Sleep(2 * time.Second) // AWS lets a client connect once a second
	return run(g.t, main, to(g.DialALPN), nil, g.args(append([]string{"--username", "ann", "--authorizer", "gate",
		"--token-key", "token", "--token-file", g.token, "--signature-file", g.signature}, args...)...)...)
}

func TestPublishByACustomAuthorizer(t *testing.T) {
	atGate(t, func(t *testing.T, g *gatehouse) {
		r := g.knock(Publisher, "-m", "hi", "--trace=full")
		r.ended(ExitDone)
		r.said("connecting to " + awsHost + ":443 as meter-7")
		if err := r.stderr.String(); !strings.Contains(err, "PUBACK") || strings.Contains(err, "s3cret") || strings.Contains(err, "x-amz-") {
			t.Error(err)
		}
		r = g.knock(Publisher, "-m", "hi", "--check")
		r.ended(ExitDone)
		if out := r.stdout.String(); !strings.Contains(out, "skip  certificate     none: an authorizer is asked instead") || strings.Contains(out, "s3cret") ||
			!strings.Contains(out, "ok    PUBLISH") {
			t.Error(out)
		}
	})
}

func TestCustomAuthorizerThatRefuses(t *testing.T) {
	atGate(t, func(t *testing.T, g *gatehouse) {
		const why = `publisher: the server hung up after CONNECT without a CONNACK [MQTT-3.2.2-6]
  1. the authorizer gate does not accept this user name, password or token, or it took more than 5 s, or failed
  2. the authorizer gate has another token key than token, or its public key does not fit the signature of the token
  3. the authorizer gate does not exist or is not ACTIVE in us-east-1
  4. no policy that it returns allows iot:Connect on arn:aws:iot:us-east-1:ACCOUNT:client/meter-7
  5. this client id connected less than a second ago, or the account connects too often
  next: aws iot test-invoke-authorizer --authorizer-name gate --token TOKEN --token-signature SIGNATURE --mqtt-context username=ann,password=BASE64,clientId=meter-7 --region us-east-1
  next: aws iot describe-authorizer --authorizer-name gate --region us-east-1`
		if err := os.WriteFile(g.token, []byte("other.s3cret"), 0o600); err != nil { // its signature does not fit
			t.Fatal(err)
		}
		r := g.knock(Publisher, "-m", "hi")
		r.ended(ExitHungUp, strings.Split(why, "\n")...)
		r = g.knock(Publisher, "--check")
		r.wait()
		if out := r.stdout.String(); r.exit != ExitHungUp || !strings.Contains(out, "FAIL  CONNECT") || strings.Contains(out, "s3cret") {
			t.Errorf("exit code %d: %s", r.exit, out)
		}
	})
}

// What the policies of its answer do not allow is explained by them.
func TestCustomAuthorizerWhosePoliciesDoNotAllowIt(t *testing.T) {
	atGate(t, func(t *testing.T, g *gatehouse) {
		r := g.knock(Subscriber)
		if err := r.stderr.String(); !strings.Contains(err, "no policy that the authorizer returns allows iot:Subscribe on arn:aws:iot:us-east-1:ACCOUNT:topicfilter/test/commands") ||
			!strings.Contains(err, "next: aws iot test-invoke-authorizer") {
			t.Errorf("exit code %d: %s", r.exit, err)
		}
	})
}

// On port 443 the protocol for certificates is offered by itself.
func TestPort443(t *testing.T) {
	inCloud(t, aws.Config{}, func(t *testing.T, c *cloud) {
		var asked string
		dial := func(ctx context.Context, _, address string) (net.Conn, error) {
			asked = address
			return c.DialALPN(ctx)
		}
		for _, args := range [][]string{{"--port", "443"}, {"-e", awsHost + ":443"}, {"-e", awsHost + ":8883", "--port", "443"}} {
			time.Sleep(2 * time.Second)
			r := run(t, Publisher, dial, nil, c.args(append([]string{"-m", "hi"}, args...)...)...)
			r.ended(ExitDone)
			if asked != awsHost+":443" {
				t.Errorf("%q: dialled %s", args, asked)
			}
		}
	})
}
