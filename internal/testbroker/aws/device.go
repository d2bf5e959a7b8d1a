package aws

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"iotwire/internal/testbroker/policy"
)

// device is a registered certificate and what belongs to it. It does not change.
type device struct {
	folder      string // as the registry names it
	certificate *x509.Certificate
	id          string // the certificate's
	status      status
	thing       thing
	policies    []*policy.Document
	home        policy.Home
}

// status is that of a certificate.
type status string

const (
	active   status = "ACTIVE"
	inactive status = "INACTIVE"
	revoked  status = "REVOKED"
)

// thing is what thing.json says.
type thing struct {
	Status     status            `json:"status"`
	Name       string            `json:"thing"`
	Type       string            `json:"type"`
	Attributes map[string]string `json:"attributes"`
	Exclusive  bool              `json:"exclusive"`
}

// certificateID is the SHA-256 of the certificate in hexadecimal digits.
func certificateID(c *x509.Certificate) string {
	sum := sha256.Sum256(c.Raw)
	return hex.EncodeToString(sum[:])
}

// readDevice reads a folder, whose files are named in errors as the registry names it.
func readDevice(root, folder string, files []string) (*device, error) {
	d := &device{folder: folder}
	read := func(name string) ([]byte, string, error) {
		name = filepath.Join(folder, name)
		text, err := os.ReadFile(filepath.Join(root, name))
		return text, name, err
	}
	d.thing = thing{Status: active}
	if folder != "." {
		d.thing.Name = filepath.Base(folder)
	}
	certificates, policies := 0, 0
	for _, file := range files {
		text, name, err := read(file)
		if err != nil {
			return nil, err
		}
		switch kindOf(file) {
		case certificateFile:
			certificates++
			d.certificate, err = parseCertificate(name, text)
		case policyFile:
			if policies++; policies > maxPolicies {
				return nil, fmt.Errorf("%s: a certificate has %d policies at most: remove one", name, maxPolicies)
			}
			var document *policy.Document
			document, err = policy.Parse(name, text)
			d.policies = append(d.policies, document)
		case thingFile:
			err = d.thing.parse(name, text)
		}
		if err != nil {
			return nil, err
		}
	}
	switch {
	case certificates == 0:
		return nil, fmt.Errorf("%s has %s but no certificate: put it there as cert.pem", folder, files[0])
	case certificates > 1:
		return nil, fmt.Errorf("%s has %d certificates: give each a folder of its own", folder, certificates)
	}
	d.status = d.thing.Status
	d.id = certificateID(d.certificate)
	d.home = policy.HomeOf(d.policies...)
	return d, nil
}

// fileKind is what a file of a folder is to the registry.
type fileKind int

const (
	otherFile fileKind = iota
	certificateFile
	policyFile
	thingFile
)

func kindOf(name string) fileKind {
	switch {
	case name == "cert.pem", strings.HasSuffix(name, "-certificate.pem.crt"):
		return certificateFile
	case name == "policy.json", strings.HasPrefix(name, "policy-") && strings.HasSuffix(name, ".json"):
		return policyFile
	case name == "thing.json":
		return thingFile
	}
	return otherFile
}

// parseCertificate returns the first certificate in PEM.
func parseCertificate(name string, text []byte) (*x509.Certificate, error) {
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, fmt.Errorf("%s: no PEM data in it", name)
	}
	if block.Type != "CERTIFICATE" {
		return nil, fmt.Errorf("%s: found a %s, want a CERTIFICATE", name, block.Type)
	}
	certificate, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return certificate, nil
}

// parse reads thing.json. What it does not say stays as it is.
func (t *thing) parse(name string, text []byte) error {
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	err := decoder.Decode(t)
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
		return fmt.Errorf("%s: %s: thing.json has status, thing, type, attributes and exclusive", name, strings.TrimPrefix(err.Error(), "json: "))
	}
	switch t.Status {
	case active, inactive, revoked:
		return nil
	}
	return fmt.Errorf("%s: status %q is none of %s, %s, %s", name, t.Status, active, inactive, revoked)
}

// lineOf returns the line of a byte, from 1.
func lineOf(text []byte, offset int64) int {
	return 1 + bytes.Count(text[:min(int(offset), len(text))], []byte("\n"))
}

// context returns what policies know of a connection of the device.
func (d *device) context(clientID, serverName, sourceIP string) policy.Context {
	c := policy.Context{
		"aws:SecureTransport":             {"true"},
		"iot:Connection.Thing.IsAttached": {"false"},
	}
	c.SetCertificate(d.certificate)
	for key, value := range map[string]string{"iot:ClientId": clientID, "iot:DomainName": serverName, "aws:SourceIp": sourceIP} {
		if value != "" {
			c[key] = []string{value}
		}
	}
	// The thing counts while it is named like the client, or attached exclusively.
	if d.thing.Name == "" || d.thing.Name != clientID && !d.thing.Exclusive {
		return c
	}
	c["iot:Connection.Thing.IsAttached"] = []string{"true"}
	c["iot:Connection.Thing.ThingName"] = []string{d.thing.Name}
	if d.thing.Type != "" {
		c["iot:Connection.Thing.ThingTypeName"] = []string{d.thing.Type}
	}
	for name, value := range d.thing.Attributes {
		c["iot:Connection.Thing.Attributes["+name+"]"] = []string{value}
	}
	return c
}
