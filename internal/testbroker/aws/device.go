package aws

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
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

// maxFileSize is the most bytes of a file in the registry. The longest policy has half of it.
const maxFileSize = 1 << 20

// value reads a file, whose name in errors is that in the registry: a *x509.Certificate, a *policy.Document or a thing.
func (e entry) value(root, folder string) (any, error) {
	if e.err != nil {
		return nil, e.err
	}
	name := filepath.Join(folder, e.name)
	f, err := os.Open(filepath.Join(root, name))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxFileSize+1))
	if err != nil {
		return nil, err
	}
	if len(text) > maxFileSize {
		return nil, fmt.Errorf("%s has more than %d bytes, which no certificate and no policy has", name, maxFileSize)
	}
	switch kindOf(e.name) {
	case certificateFile:
		return parseCertificate(name, text)
	case policyFile:
		return policy.Parse(name, text)
	}
	t := thingOf(folder)
	if err := t.parse(name, text); err != nil {
		return nil, err
	}
	return t, nil
}

// thingOf is the thing of a folder that has no thing.json.
func thingOf(folder string) thing {
	t := thing{Status: active}
	if folder != "." {
		t.Name = filepath.Base(folder)
	}
	return t
}

// assemble makes a device of a folder's files. Its certificate or its policies are those from before if there is a
// mistake with them, so that the status in thing.json counts whatever else is wrong. Without a certificate there is no
// device.
func (f *folder) assemble(name string, taken map[string]*device) (d *device, mistakes []error) {
	d = &device{folder: name, thing: thingOf(name)}
	before := f.device
	if before == nil {
		before = &device{}
	}
	names := slices.Sorted(maps.Keys(f.files))
	certificates, policies := 0, 0
	for _, file := range names {
		switch kindOf(file) {
		case certificateFile:
			certificates++
		case policyFile:
			if policies++; policies == maxPolicies+1 {
				mistakes = append(mistakes, fmt.Errorf("%s: a certificate has %d policies at most: remove one", filepath.Join(name, file), maxPolicies))
			}
		}
		switch value := f.files[file].value.(type) {
		case *x509.Certificate:
			d.certificate = value
		case *policy.Document:
			d.policies = append(d.policies, value)
		case thing:
			d.thing = value
		}
	}
	switch {
	case certificates == 0:
		mistakes = append(mistakes, fmt.Errorf("%s has %s but no certificate: put it there as cert.pem", name, names[0]))
	case certificates > 1:
		mistakes = append(mistakes, fmt.Errorf("%s has %d certificates: give each a folder of its own", name, certificates))
	case d.certificate != nil && taken[certificateID(d.certificate)] != nil:
		mistakes = append(mistakes, fmt.Errorf("%s has the same certificate as %s: remove one", name, taken[certificateID(d.certificate)].folder))
		d.certificate = nil
	}
	if certificates != 1 || d.certificate == nil {
		d.certificate = before.certificate
	}
	if policies > maxPolicies {
		d.policies = before.policies
	}
	if d.certificate == nil {
		return nil, mistakes
	}
	d.status = d.thing.Status
	d.id = certificateID(d.certificate)
	d.home = policy.HomeOf(d.policies...)
	return d, mistakes
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
	der, err := firstBlock(name, text, "CERTIFICATE")
	if err != nil {
		return nil, err
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return certificate, nil
}

// firstBlock returns what the first block of PEM holds, which has to be of this kind.
func firstBlock(name string, text []byte, kind string) ([]byte, error) {
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, fmt.Errorf("%s: no PEM data in it", name)
	}
	if block.Type != kind {
		return nil, fmt.Errorf("%s: found a %s, want a %s", name, block.Type, kind)
	}
	return block.Bytes, nil
}

// parse reads thing.json. What it does not say stays as it is.
func (t *thing) parse(name string, text []byte) error {
	if err := decodeStrictly(name, text, t, "thing.json has status, thing, type, attributes and exclusive"); err != nil {
		return err
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
	if d.certificate != nil { // an authorizer does without
		c.SetCertificate(d.certificate)
	}
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
