package iot

import (
	"context"
	"fmt"
	"io"
	"net/url"
	"strings"
)

// Authorizer has AWS IoT Core ask a custom authorizer, a function of the account, whether a client may connect, by user
// name, password and token instead of a client certificate. Such a connection goes to port 443 with the protocol mqtt (ALPN).
type Authorizer struct {
	// Name is that of the authorizer. Empty: the endpoint's default one.
	Name string

	// TokenKey is the name under which the authorizer looks for the token. Empty: no token is sent.
	TokenKey string

	// UserName is what the authorizer gets as user name; it may be empty. What AWS itself reads of the user name is added
	// behind it: UserName?x-amz-customauthorizer-name=Name&x-amz-customauthorizer-signature=...&TokenKey=...
	UserName string

	// Secrets is asked for each connection, since tokens expire. Nil: there are none.
	Secrets func(ctx context.Context) (AuthorizerSecrets, error) `json:"-"`
}

// AuthorizerSecrets is what proves to an [Authorizer] who a client is. Package fmt and encoding/json show nothing of it.
type AuthorizerSecrets struct {
	// Token is sent as it is: letters, digits and other characters of ASCII, but for white space, quotation marks, '&' and '#'.
	// One that has others has to be encoded in a way that the authorizer knows.
	Token string

	// Signature is that of Token, RSA with SHA-256 (PKCS #1 v1.5) by the key that the authorizer knows, in base64; it is
	// percent-encoded here, unless it has a '%'. Empty if the authorizer does without.
	Signature string

	Password []byte // nil: none is sent
}

// Format prints that it is hidden, whatever the verb.
func (AuthorizerSecrets) Format(f fmt.State, _ rune) {
	_, _ = io.WriteString(f, "iot.AuthorizerSecrets{hidden}")
}

// MarshalText returns the same.
func (AuthorizerSecrets) MarshalText() ([]byte, error) {
	return []byte("iot.AuthorizerSecrets{hidden}"), nil
}

// alpnAuthorizer is the protocol by which AWS IoT Core knows MQTT with a custom authorizer on port 443.
const alpnAuthorizer = "mqtt"

// check reports whether the settings can be sent.
func (a *Authorizer) check() error {
	name, _, parameters := strings.Cut(a.UserName, "?")
	switch {
	case parameters: // with the token, perhaps
		return invalid("a '?' behind %q in the user name: what AWS IoT looks for there is added to it", name)
	case !sendable(a.Name):
		return invalid("authorizer %q: want letters, digits and _ = , @ -", a.Name)
	case !sendable(a.TokenKey) || strings.Contains(a.TokenKey, "="):
		return invalid("token key %q: want letters, digits, '-' and '_'", a.TokenKey)
	}
	return nil
}

// Credentials returns what CONNECT has as user name and password: it is the Credentials that [Config.MQTT] gives to
// [mqtt.Config]. What cannot be sent matches [packet.ErrInvalid], other errors are those of Secrets. Those that it makes itself
// say nothing of the secrets.
func (a *Authorizer) Credentials(ctx context.Context) (userName string, password []byte, err error) {
	var secrets AuthorizerSecrets
	if a.Secrets != nil {
		if secrets, err = a.Secrets(ctx); err != nil {
			return "", nil, err
		}
	}
	var parameters []string
	if a.Name != "" {
		parameters = append(parameters, "x-amz-customauthorizer-name="+percentEncoded(a.Name))
	}
	switch {
	case a.TokenKey == "" && (secrets.Token != "" || secrets.Signature != ""):
		return "", nil, invalid("a token or its signature for the authorizer, and no token key: the name under which it looks for the token")
	case a.TokenKey != "" && secrets.Token == "":
		return "", nil, invalid("a token key for the authorizer, and no token")
	case !sendable(secrets.Token):
		return "", nil, invalid("the token has white space, quotation marks, '&', '#' or characters that are not ASCII, which the user name cannot carry")
	case !sendable(secrets.Signature):
		return "", nil, invalid("the signature of the token is no base64 on one line")
	}
	if secrets.Signature != "" {
		parameters = append(parameters, "x-amz-customauthorizer-signature="+percentEncoded(secrets.Signature))
	}
	if a.TokenKey != "" {
		parameters = append(parameters, percentEncoded(a.TokenKey)+"="+secrets.Token)
	}
	userName = a.UserName
	if parameters != nil {
		userName += "?" + strings.Join(parameters, "&")
	}
	if len(userName) > 65_535 || len(secrets.Password) > 65_535 {
		return "", nil, invalid("user name, token and signature have %d bytes and the password %d, want at most 65535 each", len(userName), len(secrets.Password))
	}
	return userName, secrets.Password, nil
}

// sendable reports whether s can be a part of a query.
func sendable(s string) bool {
	for _, c := range []byte(s) {
		switch {
		case c <= ' ', c >= 0x7f, c == '&', c == '#', c == '"', c == '\'':
			return false
		}
	}
	return true
}

// percentEncoded encodes what has a meaning in a query (RFC 3986 section 2.1), unless somebody has done so already.
func percentEncoded(s string) string {
	if strings.Contains(s, "%") {
		return s
	}
	return url.QueryEscape(s) // there is no space in it, the one thing that a path would have otherwise
}
