package aws

import (
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"iotwire/internal/testbroker/policy"
	"iotwire/mqtt/packet"
)

// alpnAuthorizer is the application protocol of connections on port 443 on which AWS asks a custom authorizer.
const alpnAuthorizer = "mqtt"

// authorizer is a custom authorizer: what AWS itself checks, and the answers of its function.
type authorizer struct {
	name      string
	inactive  bool
	byDefault bool           // asked where no name is given
	tokenKey  string         // empty: there is no token
	publicKey *rsa.PublicKey // of the signature of tokens; nil: none is wanted
	answers   []answer
}

// answer is what the function of an authorizer answers to those for whom it is meant.
type answer struct {
	userName, password, token *string // nil: whatever it is
	device                    *device // the principal and its policies
	disconnectAfter           time.Duration
	refreshAfter              time.Duration
}

// request is what a CONNECT says to an authorizer.
type request struct {
	userName, password            string // the user name without what is behind '?'
	name, token, signature        string
	hasName, hasToken, hasSigning bool
	parameters                    map[string]string
}

// requestOf reads the user name, whose parts behind '?' are percent-encoded.
func requestOf(p *packet.Connect) (request, error) {
	userName, query, _ := strings.Cut(string(p.UserName), "?")
	r := request{userName: userName, password: string(p.Password), parameters: map[string]string{}}
	for parameter := range strings.SplitSeq(query, "&") {
		if parameter == "" {
			continue
		}
		key, value, _ := strings.Cut(parameter, "=")
		key, err := url.PathUnescape(key) // '+' is no space
		if err == nil {
			value, err = url.PathUnescape(value)
		}
		if err != nil {
			return r, errors.New("the user name has a '%' behind its '?' that starts no percent-encoding")
		}
		r.parameters[key] = value
	}
	r.name, r.hasName = r.parameters["x-amz-customauthorizer-name"]
	r.signature, r.hasSigning = r.parameters["x-amz-customauthorizer-signature"]
	return r, nil
}

// ask returns the answer of the authorizer that r is for, or why there is none. The error shows no secret.
func (a *authorizers) ask(r request) (*answer, error) {
	var asked *authorizer
	list := a.list()
	for _, candidate := range list {
		if r.hasName && candidate.name == r.name || !r.hasName && candidate.byDefault {
			asked = candidate
		}
	}
	switch {
	case asked == nil && r.hasName:
		return nil, fmt.Errorf("there is no authorizer %.128q in %s", r.name, a.path)
	case asked == nil:
		return nil, errors.New("the user name has no x-amz-customauthorizer-name, and no authorizer is the default one")
	case asked.inactive:
		return nil, fmt.Errorf("the authorizer %q is INACTIVE", asked.name)
	}
	if asked.tokenKey != "" {
		r.token, r.hasToken = r.parameters[asked.tokenKey]
	}
	if asked.publicKey != nil {
		if err := asked.verify(r); err != nil {
			return nil, fmt.Errorf("the authorizer %q is not asked: %w", asked.name, err)
		}
	}
	for i := range asked.answers {
		if answer := &asked.answers[i]; answer.fits(r) {
			return answer, nil
		}
	}
	return nil, fmt.Errorf("the authorizer %q answers isAuthenticated false: no entry of its \"answers\" fits user name, password and token", asked.name)
}

// verify checks the signature of the token: RSA with SHA-256 (PKCS #1 v1.5).
func (a *authorizer) verify(r request) error {
	switch {
	case !r.hasToken:
		return fmt.Errorf("the user name has no token: want %s=TOKEN behind its '?'", a.tokenKey)
	case !r.hasSigning:
		return errors.New("the user name has no x-amz-customauthorizer-signature, and the token has to be signed")
	}
	signature, err := base64.StdEncoding.DecodeString(r.signature)
	if err != nil {
		return errors.New("the signature is no base64 (where it has + / = they are percent-encoded)")
	}
	digest := sha256.Sum256([]byte(r.token))
	if rsa.VerifyPKCS1v15(a.publicKey, crypto.SHA256, digest[:], signature) != nil {
		return errors.New("the signature is not that of the token by the key whose public key it has")
	}
	return nil
}

// fits reports whether the answer is meant for r.
func (a *answer) fits(r request) bool {
	same := func(want *string, got string) bool {
		return want == nil || subtle.ConstantTimeCompare([]byte(*want), []byte(got)) == 1
	}
	return same(a.userName, r.userName) && same(a.password, r.password) && same(a.token, r.token)
}

// authorization is what an authorizer has said about a client, and when that ends. It belongs to watch once the client
// is connected.
type authorization struct {
	request    request
	answer     *answer
	lasts      time.Duration // by the first answer
	disconnect time.Time     // when that is over
	refresh    time.Time     // when to ask again
}

// authorize asks the authorizer about a CONNECT.
func (k *client) authorize(p *packet.Connect) error {
	r, err := requestOf(p)
	if err != nil {
		return err
	}
	a := &authorization{request: r}
	if a.answer, err = k.core.authorizers.ask(r); err != nil {
		return err
	}
	now := time.Now()
	a.lasts = a.answer.disconnectAfter
	a.disconnect, a.refresh = now.Add(a.lasts), now.Add(a.answer.refreshAfter)
	k.authorization, k.principal = a, a.answer.device.id
	k.place(a.answer.device)
	return nil
}

// recheckAuthorization returns why the connection has to end, if the authorizer gave it no more time, or no longer
// accepts it.
func (k *client) recheckAuthorization(now time.Time) error {
	a := k.authorization
	if now.After(a.disconnect) {
		k.begin()
		e := k.entry("Disconnect").fail(reasonExpired, fmt.Sprintf("the authorizer gave the connection %v", a.lasts))
		return &closing{authorizationOver, e}
	}
	if now.Before(a.refresh) {
		return nil
	}
	fresh, err := k.core.authorizers.ask(a.request)
	if err != nil {
		k.begin()
		return &closing{authError, k.entry("Disconnect").fail(reasonAuthorization, "the policies were to be refreshed, and "+err.Error())}
	}
	a.refresh = now.Add(fresh.refreshAfter)
	if fresh == a.answer {
		return nil
	}
	a.answer = fresh
	return k.replace(fresh.device)
}

// principal makes a device of what an answer says.
func principal(id string, policies []*policy.Document) *device {
	return &device{id: id, status: active, policies: policies, home: policy.HomeOf(policies...)}
}
