package iot

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"

	"pgregory.net/rapid"

	"iotwire/mqtt/packet"
)

// proof is Secrets that do not change.
func proof(s AuthorizerSecrets) func(context.Context) (AuthorizerSecrets, error) {
	return func(context.Context) (AuthorizerSecrets, error) { return s, nil }
}

func TestUserNameForAnAuthorizer(t *testing.T) {
	for _, test := range []struct {
		authorizer Authorizer
		secrets    AuthorizerSecrets
		want       string
	}{
		{Authorizer{Name: "gate", TokenKey: "token", UserName: "ann"}, AuthorizerSecrets{Token: "a.b-c_d==", Signature: "ab+/c="},
			"ann?x-amz-customauthorizer-name=gate&x-amz-customauthorizer-signature=ab%2B%2Fc%3D&token=a.b-c_d=="},
		{Authorizer{Name: "gate", TokenKey: "token"}, AuthorizerSecrets{Token: "t", Signature: "ab%2B%2Fc%3D"},
			"?x-amz-customauthorizer-name=gate&x-amz-customauthorizer-signature=ab%2B%2Fc%3D&token=t"},
		{Authorizer{TokenKey: "token"}, AuthorizerSecrets{Token: "t"}, "?token=t"},
		{Authorizer{Name: "my@gate,1"}, AuthorizerSecrets{Password: []byte("p")}, "?x-amz-customauthorizer-name=my%40gate%2C1"},
		{Authorizer{UserName: "ann"}, AuthorizerSecrets{Password: []byte("p")}, "ann"},
	} {
		a := test.authorizer
		a.Secrets = proof(test.secrets)
		user, password, err := a.Credentials(t.Context())
		if err != nil || user != test.want || string(password) != string(test.secrets.Password) {
			t.Errorf("%q %q %v, want %q", user, password, err, test.want)
		}
	}
}

func TestUserNameForAnAuthorizerCanBeReadBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.StringMatching(`[!$()*+,./0-9:;<=>@A-Z\[\]^_a-z{|}~-]{1,40}`)
		a := Authorizer{Name: text.Draw(t, "name"), TokenKey: strings.ReplaceAll(text.Draw(t, "key"), "=", ""), UserName: "ann"}
		if a.TokenKey == "" || strings.HasPrefix(a.TokenKey, "x-amz") {
			a.TokenKey = "token"
		}
		secrets := AuthorizerSecrets{Token: text.Draw(t, "token"), Signature: text.Draw(t, "signature")}
		a.Secrets = proof(secrets)
		user, _, err := a.Credentials(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		_, query, _ := strings.Cut(user, "?")
		parts := strings.Split(query, "&")
		if len(parts) != 3 {
			t.Fatalf("%q", parts)
		}
		for i, want := range []string{"x-amz-customauthorizer-name=" + a.Name, "x-amz-customauthorizer-signature=" + secrets.Signature} {
			if got, err := url.PathUnescape(parts[i]); err != nil || got != want {
				t.Fatalf("%q, want %q", got, want)
			}
		}
		key, token, _ := strings.Cut(parts[2], "=")
		if got, err := url.PathUnescape(key); err != nil || got != a.TokenKey || token != secrets.Token {
			t.Fatalf("%q %q, want %q %q", got, token, a.TokenKey, secrets.Token)
		}
	})
}

func TestSecretsThatNoUserNameCarries(t *testing.T) {
	failed := errors.New("no such file")
	for _, test := range []struct {
		authorizer Authorizer
		secrets    AuthorizerSecrets
		want       string
	}{
		{Authorizer{TokenKey: "token"}, AuthorizerSecrets{}, "a token key for the authorizer, and no token"},
		{Authorizer{}, AuthorizerSecrets{Token: "s3cret"}, "and no token key"},
		{Authorizer{}, AuthorizerSecrets{Signature: "s3cret"}, "and no token key"},
		{Authorizer{TokenKey: "token"}, AuthorizerSecrets{Token: "s3cret&x=1"}, "the token has white space"},
		{Authorizer{TokenKey: "token"}, AuthorizerSecrets{Token: "s3 cret"}, "the token has white space"},
		{Authorizer{TokenKey: "token"}, AuthorizerSecrets{Token: "s3crét"}, "not ASCII"},
		{Authorizer{TokenKey: "token"}, AuthorizerSecrets{Token: "s3cret", Signature: "ab\ncd"}, "no base64 on one line"},
		{Authorizer{TokenKey: "token"}, AuthorizerSecrets{Token: strings.Repeat("s3cret", 11_000)}, "want at most 65535 each"},
	} {
		a := test.authorizer
		a.Secrets = proof(test.secrets)
		_, _, err := a.Credentials(t.Context())
		if !errors.Is(err, packet.ErrInvalid) || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "s3c") {
			t.Errorf("%v, want %q", err, test.want)
		}
	}
	a := Authorizer{Secrets: func(context.Context) (AuthorizerSecrets, error) { return AuthorizerSecrets{}, failed }}
	if _, _, err := a.Credentials(t.Context()); err != failed {
		t.Errorf("%v, want that of Secrets", err)
	}
}

func TestAuthorizerSettingsThatAreWrong(t *testing.T) {
	w := newWorld()
	for _, test := range []struct {
		endpoint   string
		authorizer Authorizer
		want       string
	}{
		{host, Authorizer{UserName: "ann?token=s3cret"}, `a '?' behind "ann" in the user name`},
		{host, Authorizer{Name: "a&b"}, "authorizer \"a&b\""},
		{host, Authorizer{TokenKey: "a=b"}, "token key \"a=b\""},
		{"mqtt://broker", Authorizer{Name: "gate"}, "would travel in the clear"},
	} {
		_, err := Config{Endpoint: test.endpoint, ClientID: "me", Authorizer: &test.authorizer, Credentials: w.device.credentials(w.ca)}.MQTT()
		if !errors.Is(err, packet.ErrInvalid) || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%v, want %q", err, test.want)
		}
	}
}

func TestNothingPrintsTheSecretsOfAnAuthorizer(t *testing.T) {
	s := AuthorizerSecrets{Token: "s3cret", Signature: "s3cret", Password: []byte("s3cret")}
	var b strings.Builder
	for _, v := range []any{s, &s, []any{s}, map[string]AuthorizerSecrets{"s": s}, struct{ S AuthorizerSecrets }{s}} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%d", "%x"} {
			fmt.Fprintf(&b, verb+"\n", v)
		}
		b.Write(must(json.Marshal(v)))
	}
	if text := b.String(); strings.Contains(text, "s3cret") || strings.Contains(text, fmt.Sprintf("%x", "s3cret")) || strings.Contains(text, "czNjcmV0") {
		t.Error(text)
	}
}

// With an authorizer there is no client certificate, though there is one, and the protocol is mqtt on port 443.
func TestAuthorizerConnects(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		for _, endpoint := range []string{host, host + ":8443"} {
			s := w.listen(t, w.server)
			s.tls.ClientAuth, s.tls.NextProtos = 0, []string{alpn, alpnAuthorizer}
			c := w.config()
			c.Endpoint = endpoint
			c.Authorizer = &Authorizer{Name: "gate", UserName: "ann", Secrets: proof(AuthorizerSecrets{Password: []byte("p")})}
			if err, _ := s.attempt(c); err != nil {
				t.Fatal(err)
			}
			if want := map[string]string{host: host + ":443"}[endpoint]; want != "" && s.got[0] != "tcp "+want {
				t.Errorf("dialled %q, want %s", s.got, want)
			}
			if got := s.hello.SupportedProtos; len(got) != 1 || got[0] != "mqtt" {
				t.Errorf("offers %q", got)
			}

			s.tls.NextProtos = nil
			err, again := s.attempt(c)
			meets(t, c, err, again, false, KindTLS, "does not speak the protocol mqtt (ALPN)", "that is how AWS IoT knows MQTT with an authorizer")
		}
	})
}

func TestRefusalWithAnAuthorizerIsExplainedByIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		s := w.listen(t, w.server)
		s.tls.ClientAuth, s.tls.NextProtos = 0, []string{alpnAuthorizer}
		c := w.config()
		c.Authorizer = &Authorizer{Name: "gate", TokenKey: "token", UserName: "ann", Secrets: proof(AuthorizerSecrets{Token: "s3cret", Signature: "s3cret"})}
		s.serve = hangUpAtOnce
		err, again := s.attempt(c)
		meets(t, c, err, again, true, KindHungUp, "the server hung up after CONNECT",
			"\n  1. the authorizer gate does not accept this user name, password or token, or it took more than 5 s, or failed",
			"\n  2. the authorizer gate has another token key than token, or its public key does not fit the signature of the token",
			"\n  3. the authorizer gate does not exist or is not ACTIVE in eu-west-1",
			"\n  4. no policy that it returns allows iot:Connect on arn:aws:iot:eu-west-1:ACCOUNT:client/meter-7",
			"\n  next: aws iot test-invoke-authorizer --authorizer-name gate --token TOKEN --token-signature SIGNATURE --mqtt-context username=ann,password=BASE64,clientId=meter-7 --region eu-west-1"+
				"\n  next: aws iot describe-authorizer --authorizer-name gate --region eu-west-1")
		if strings.Contains(Diagnose(err, c).String(), "s3cret") {
			t.Error(Diagnose(err, c))
		}
		c.Authorizer = &Authorizer{UserName: "ann"}
		meets(t, c, err, again, true, KindHungUp, "1. the default authorizer does not accept", "2. the default authorizer wants a token with a signature, and none was given",
			"3. the endpoint has no default authorizer in eu-west-1", "next: aws iot describe-default-authorizer --region eu-west-1")
	})
}
