package cli

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"time"

	"iotwire/iot"
	"iotwire/mqtt"
)

// login is the options of publisher and subscriber on user name, password and custom authorizer. Secrets come from files
// alone: what stands on a command line or in a variable everybody on the machine may see.
type login struct {
	userName, passwordFile     string
	authorizer, tokenKey       string
	tokenFile, signatureFile   string
	authorizerGiven            bool // --authorizer '' is the endpoint's default one
	password, token, signature func() ([]byte, error)
}

func (o *login) loginOptions() []Option {
	return []Option{
		{Name: "username", Metavar: "NAME", Value: &o.userName, Help: "user name in CONNECT, for brokers that ask for one"},
		{Name: "password-file", Metavar: "FILE", Value: &o.passwordFile, Help: "holds the password"},
		{Name: "authorizer", Metavar: "NAME", Value: &o.authorizer, Empty: true,
			Help: "custom authorizer of AWS IoT, in place of a certificate; '': the endpoint's default one. Port 443 unless given"},
		{Name: "token-key", Metavar: "KEY", Value: &o.tokenKey, Help: "the name under which the authorizer looks for its token"},
		{Name: "token-file", Metavar: "FILE", Value: &o.tokenFile, Help: "holds the token; read again for each connection"},
		{Name: "signature-file", Metavar: "FILE", Value: &o.signatureFile, Help: "holds the token's signature in base64"},
	}
}

// checkLogin finds the mistakes that need no file.
func (o *login) checkLogin(t *Table) error {
	o.authorizerGiven = t.Given("authorizer") || t.Given("token-key")
	switch {
	case (o.tokenKey == "") != (o.tokenFile == ""):
		return errors.New("--token-key KEY and --token-file FILE need each other")
	case o.signatureFile != "" && o.tokenFile == "":
		return errors.New("--signature-file needs --token-file: it is the token that is signed")
	case o.passwordFile != "" && o.userName == "" && !o.authorizerGiven: // [MQTT-3.1.2-22]
		return errors.New("--password-file needs --username: MQTT has no password without a user name")
	}
	return nil
}

// openSecrets reads the files for the first time, so that a mistake with them is found before there is a connection.
func (o *login) openSecrets(patience time.Duration) (err error) {
	for _, f := range []struct {
		option, name string
		read         *func() ([]byte, error)
	}{
		{"--password-file", o.passwordFile, &o.password},
		{"--token-file", o.tokenFile, &o.token},
		{"--signature-file", o.signatureFile, &o.signature},
	} {
		if *f.read, err = secretFile(f.option, f.name, patience); err != nil {
			return err
		}
	}
	return nil
}

// custom returns the authorizer of the options, nil if there is none.
//
//go:noinline
func (o *login) custom() *iot.Authorizer {
	if !o.authorizerGiven {
		return nil
	}
	return &iot.Authorizer{Name: o.authorizer, TokenKey: o.tokenKey, UserName: o.userName, Secrets: o.secrets}
}

// secrets reads what the authorizer wants.
func (o *login) secrets(context.Context) (s iot.AuthorizerSecrets, err error) {
	token, err := o.token()
	if err != nil {
		return s, err
	}
	signature, err := o.signature()
	if err != nil {
		return s, err
	}
	password, err := o.password()
	return iot.AuthorizerSecrets{Token: string(token), Signature: string(signature), Password: password}, err
}

// logIn makes user name and password part of cfg.
func (o *login) logIn(cfg *mqtt.Config) {
	switch {
	case o.authorizerGiven:
		cfg.Credentials = o.custom().Credentials
		return
	case o.userName == "":
		return
	}
	cfg.Credentials = func(context.Context) (string, []byte, error) {
		password, err := o.password()
		return o.userName, password, err
	}
}

// maxSecret is the most bytes of a password, a token or a signature: MQTT can send no more.
const maxSecret = 65_535

// secretFile reads a file with a secret, and returns what gives its content without the end of the last line, nil if name
// is empty. A regular file is read again each time; what comes from a pipe is kept, and has to come in time.
func secretFile(option, name string, patience time.Duration) (func() ([]byte, error), error) {
	if name == "" {
		return func() ([]byte, error) { return nil, nil }, nil
	}
	read := func() ([]byte, error) {
		secret, err := readSecret(name)
		if err != nil {
			return nil, errorf("%s: %v", option, err) // no error of the network, whatever it holds
		}
		return secret, nil
	}
	if info, err := os.Stat(name); err != nil || info.Mode().IsRegular() {
		_, err := read()
		return read, err
	}
	type result struct {
		secret []byte
		err    error
	}
	done := make(chan result, 1)
	go func() {
		secret, err := read()
		done <- result{secret, err}
	}()
	select {
	case r := <-done:
		return func() ([]byte, error) { return r.secret, nil }, r.err
	case <-time.After(patience):
		return nil, errorf("%s: %s: nobody has written to it for %s", option, name, span(patience))
	}
}

// readSecret reads a file with a secret. Its errors say nothing of it.
func readSecret(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var b bytes.Buffer
	if _, err := b.ReadFrom(io.LimitReader(f, maxSecret+3)); err != nil { // an end of line may follow
		return nil, err
	}
	secret := bytes.TrimSuffix(bytes.TrimSuffix(b.Bytes(), []byte("\n")), []byte("\r"))
	switch {
	case len(secret) == 0:
		return nil, errorf("%s is empty", name)
	case len(secret) > maxSecret:
		return nil, errorf("%s has more than %d bytes, which is no secret", name, maxSecret)
	}
	return secret, nil
}
