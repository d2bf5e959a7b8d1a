package aws

import (
	"bytes"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"iotwire/internal/testbroker/policy"
)

// authorizers are those of a file, as it was when it was last read.
type authorizers struct {
	path string

	mu      sync.Mutex
	seen    map[string]string // by path, what the file and the keys that it names were when they were last read
	current []*authorizer
}

// authorizerFile is an authorizer as the file says it.
type authorizerFile struct {
	Status    status       `json:"status"`
	Default   bool         `json:"default"`
	TokenKey  string       `json:"tokenKey"`
	PublicKey string       `json:"publicKey"`
	Answers   []answerFile `json:"answers"`
}

// answerFile is an answer as the file says it.
type answerFile struct {
	UserName  *string           `json:"userName"`
	Password  *string           `json:"password"`
	Token     *string           `json:"token"`
	Principal string            `json:"principalId"`
	Policies  []json.RawMessage `json:"policyDocuments"`

	DisconnectAfter *int `json:"disconnectAfterInSeconds"`
	RefreshAfter    *int `json:"refreshAfterInSeconds"`
}

// openAuthorizers reads the file. Here a mistake is an error.
func openAuthorizers(path string) (*authorizers, error) {
	a := &authorizers{path: path}
	return a, a.refresh()
}

func (a *authorizers) list() []*authorizer {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.current
}

// refresh reads the file and the keys that it names again if one of them has changed. After an error, which it returns
// once, what was read before stays.
func (a *authorizers) refresh() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.changed() {
		return nil
	}
	a.seen = map[string]string{}
	text, err := a.read(a.path)
	if err != nil {
		return err
	}
	list, err := a.parse(text)
	if err == nil {
		a.current = list
	}
	return err
}

// changed reports whether a file is no longer what was read.
func (a *authorizers) changed() bool {
	for path, before := range a.seen {
		if stateOf(path) != before {
			return true
		}
	}
	return a.seen == nil
}

// read reads a file, and notes what it was.
func (a *authorizers) read(path string) ([]byte, error) {
	a.seen[path] = stateOf(path)
	return readBounded(path)
}

// stateOf is what changes when a file does.
func stateOf(path string) string {
	info, err := os.Stat(path)
	if err != nil {
		return err.Error()
	}
	return fmt.Sprintln(info.Mode(), info.Size(), info.ModTime().UnixNano())
}

// readBounded reads a regular file that is not too large.
func readBounded(path string) ([]byte, error) {
	if info, err := os.Stat(path); err == nil && !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is no regular file", path)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxFileSize+1))
	if err == nil && len(text) > maxFileSize {
		err = fmt.Errorf("%s has more than %d bytes", path, maxFileSize)
	}
	return text, err
}

// parse reads the file, which is an object with the authorizers by their names. Files of keys are named from its folder.
func (a *authorizers) parse(text []byte) ([]*authorizer, error) {
	path := a.path
	var files map[string]authorizerFile
	const fields = "an authorizer has status, default, tokenKey, publicKey and answers; an answer has userName, password, token, " +
		"principalId, policyDocuments, disconnectAfterInSeconds and refreshAfterInSeconds"
	if err := decodeStrictly(path, text, &files, fields); err != nil {
		return nil, err
	}
	var list []*authorizer
	defaults := 0
	for _, name := range slices.Sorted(maps.Keys(files)) {
		one, err := files[name].authorizer(path, name, a.read)
		if err != nil {
			return nil, fmt.Errorf("%s: authorizer %q: %w", path, name, err)
		}
		if one.byDefault {
			defaults++
		}
		list = append(list, one)
	}
	switch {
	case len(list) == 0:
		return nil, fmt.Errorf("%s: it has no authorizer", path)
	case defaults > 1:
		return nil, fmt.Errorf("%s: %d authorizers are the default one, want one at most", path, defaults)
	}
	return list, nil
}

// authorizer checks what the file says. read reads the key.
func (f authorizerFile) authorizer(path, name string, read func(path string) ([]byte, error)) (*authorizer, error) {
	a := &authorizer{name: name, byDefault: f.Default, inactive: f.Status == inactive, tokenKey: f.TokenKey}
	switch {
	case len(name) == 0 || len(name) > 128 || strings.ContainsFunc(name, func(r rune) bool { return !alphanumeric(r) && !strings.ContainsRune("_=,@-", r) }):
		return nil, errors.New("want a name of 1 to 128 letters, digits and _ = , @ -")
	case f.Status != "" && f.Status != active && f.Status != inactive:
		return nil, fmt.Errorf("status %q is neither %s nor %s", f.Status, active, inactive)
	case f.PublicKey != "" && f.TokenKey == "":
		return nil, errors.New("it has a publicKey and no tokenKey: what is signed is the token")
	}
	if f.PublicKey != "" {
		key := filepath.Join(filepath.Dir(path), f.PublicKey)
		text, err := read(key)
		if err == nil {
			a.publicKey, err = parsePublicKey(key, text)
		}
		if err != nil {
			return nil, err
		}
	}
	for i, answer := range f.Answers {
		parsed, err := answer.answer(path)
		if err != nil {
			return nil, fmt.Errorf("answer %d: %w", i+1, err)
		}
		a.answers = append(a.answers, parsed)
	}
	return a, nil
}

// The limits of an answer. AWS refuses a connection whose authorizer goes beyond them; here it is the file that is refused.
const (
	shortestAuthorization = 300
	longestAuthorization  = 86_400
)

// answer checks what the file says.
func (f answerFile) answer(path string) (answer, error) {
	a := answer{userName: f.UserName, password: f.Password, token: f.Token}
	if n := len(f.Principal); n == 0 || n > 128 || strings.ContainsFunc(f.Principal, func(r rune) bool { return !alphanumeric(r) }) {
		return a, fmt.Errorf("principalId %q, want 1 to 128 letters and digits", f.Principal)
	}
	if n := len(f.Policies); n == 0 || n > maxPolicies {
		return a, fmt.Errorf("%d policyDocuments, want 1 to %d", n, maxPolicies)
	}
	var policies []*policy.Document
	for _, text := range f.Policies {
		document, err := policy.Parse(filepath.Base(path)+" policyDocuments", text)
		if err != nil {
			return a, err
		}
		policies = append(policies, document)
	}
	a.device = principal(f.Principal, policies)
	for _, t := range []struct {
		name    string
		seconds *int
		into    *time.Duration
	}{{"disconnectAfterInSeconds", f.DisconnectAfter, &a.disconnectAfter}, {"refreshAfterInSeconds", f.RefreshAfter, &a.refreshAfter}} {
		seconds := longestAuthorization
		if t.seconds != nil {
			seconds = *t.seconds
		}
		if seconds < shortestAuthorization || seconds > longestAuthorization {
			return a, fmt.Errorf("%s is %d, want %d to %d", t.name, seconds, shortestAuthorization, longestAuthorization)
		}
		*t.into = time.Duration(seconds) * time.Second
	}
	return a, nil
}

func alphanumeric(r rune) bool {
	return 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9'
}

// parsePublicKey reads the key that verifies tokens, in PEM as openssl rsa -pubout writes it.
func parsePublicKey(path string, text []byte) (*rsa.PublicKey, error) {
	der, err := firstBlock(path, text, "PUBLIC KEY")
	if err != nil {
		return nil, err
	}
	key, err := x509.ParsePKIXPublicKey(der)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	public, ok := key.(*rsa.PublicKey)
	if !ok || public.N.BitLen() < 2048 {
		return nil, fmt.Errorf("%s: want an RSA key of 2048 bits or more", path)
	}
	return public, nil
}

// decodeStrictly decodes a JSON text that has nothing but what value has. fields says what that is.
func decodeStrictly(name string, text []byte, value any, fields string) error {
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	err := decoder.Decode(value)
	if err == nil {
		if _, rest := decoder.Token(); !errors.Is(rest, io.EOF) {
			err = errors.New("there is more behind the object")
		}
	}
	var syntax *json.SyntaxError
	var kind *json.UnmarshalTypeError
	switch {
	case errors.As(err, &syntax):
		return fmt.Errorf("%s:%d: %w", name, lineOf(text, syntax.Offset), err)
	case errors.As(err, &kind):
		return fmt.Errorf("%s:%d: %q is a %s, want a %v", name, lineOf(text, kind.Offset), kind.Field, kind.Value, kind.Type.Kind())
	case err != nil:
		return fmt.Errorf("%s: %s: %s", name, strings.TrimPrefix(err.Error(), "json: "), fields)
	}
	return nil
}
