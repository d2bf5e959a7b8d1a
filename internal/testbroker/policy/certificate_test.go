package policy_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/hex"
	"math/big"
	"net"
	"net/url"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"iotwire/internal/testbroker/policy"
)

// issue makes a certificate of a template, signed by itself: subject and issuer are the same.
func issue(t *testing.T, template *x509.Certificate) *x509.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template.NotAfter = time.Now().Add(time.Hour)
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return certificate
}

// name is an attribute of X.520.
func name(number int, value string) pkix.AttributeTypeAndValue {
	return pkix.AttributeTypeAndValue{Type: asn1.ObjectIdentifier{2, 5, 4, number}, Value: value}
}

func TestCertificateHasTheValuesOfTheGuidesExample(t *testing.T) {
	serial, _ := new(big.Int).SetString("921285cbb7a5e086", 16)
	directory, err := asn1.Marshal(pkix.Name{Country: []string{"US"}, CommonName: "Light"}.ToRDNSequence())
	if err != nil {
		t.Fatal(err)
	}
	issuerAlternatives, err := asn1.Marshal([]asn1.RawValue{
		{Class: asn1.ClassContextSpecific, Tag: 2, Bytes: []byte("issuer.com")},
		{Class: asn1.ClassContextSpecific, Tag: 7, Bytes: []byte{5, 6, 7, 8}},
		{Class: asn1.ClassContextSpecific, Tag: 7, Bytes: []byte{5}}, // no address
		{Class: asn1.ClassContextSpecific, Tag: 4, IsCompound: true, Bytes: directory},
		{Class: asn1.ClassContextSpecific, Tag: 8, Bytes: []byte{1}}, // registeredID, for which there is no key
		{Class: asn1.ClassUniversal, Tag: asn1.TagInteger, Bytes: []byte{1}},
	})
	if err != nil {
		t.Fatal(err)
	}
	certificate := issue(t, &x509.Certificate{
		SerialNumber: serial,
		Subject: pkix.Name{ExtraNames: []pkix.AttributeTypeAndValue{
			name(6, "US"), name(10, "IoT Devices"), name(11, "LightBulb"), name(11, "Second"), name(8, "NY"), name(3, "Light,Bulb"),
			name(42, "Bulb"), name(43, "ZZ"), name(46, "Bulb001"), name(4, "Multi Color"), name(12, "RGB"),
			name(65, "RGB Device"), name(44, "4"), name(5, "123"), name(7, "a locality, for which there is no key"),
			{Type: asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 1}, Value: "mail@example.com"},
		}},
		DNSNames:        []string{"example.com", "b.example.com"},
		IPAddresses:     []net.IP{{1, 2, 3, 4}, net.ParseIP("2001:db8::1")},
		URIs:            []*url.URL{{Scheme: "urn", Opaque: "a=b"}},
		EmailAddresses:  []string{"device1@example.com"},
		ExtraExtensions: []pkix.Extension{{Id: asn1.ObjectIdentifier{2, 5, 29, 18}, Value: issuerAlternatives}},
	})
	c := policy.Context{
		"iot:ClientId":                        {"stays"},
		"iot:CertificateId":                   {"goes"},
		"iot:Certificate.Subject.Pseudonym":   {"goes"},
		"iot:Certificate.Issuer.SerialNumber": {"goes"},
		"iot:Certificate.SerialNumber":        {"goes"},
		"iot:Certificate.Something.Else":      {"goes"},
	}
	c.SetCertificate(certificate)
	id := sha256.Sum256(certificate.Raw)
	want := policy.Context{
		"iot:ClientId":                                                      {"stays"},
		"iot:CertificateId":                                                 {hex.EncodeToString(id[:])},
		"iot:Certificate.SerialNumber":                                      {"10525622389124227206"},
		"iot:Certificate.Subject.AlternativeName.DNSName":                   {"example.com", "b.example.com"},
		"iot:Certificate.Subject.AlternativeName.RFC822Name":                {"device1@example.com"},
		"iot:Certificate.Subject.AlternativeName.IPAddress":                 {"1.2.3.4", "2001:db8::1"},
		"iot:Certificate.Subject.AlternativeName.UniformResourceIdentifier": {`urn:a\=b`},
		"iot:Certificate.Issuer.AlternativeName.DNSName":                    {"issuer.com"},
		"iot:Certificate.Issuer.AlternativeName.IPAddress":                  {"5.6.7.8"},
		"iot:Certificate.Issuer.AlternativeName.DirectoryName":              {`CN\=Light\,C\=US`},
	}
	for attribute, values := range map[string][]string{
		"Country": {"US"}, "Organization": {"IoT Devices"}, "OrganizationalUnit": {"LightBulb", "Second"}, "State": {"NY"},
		"CommonName": {`Light\,Bulb`}, "GivenName": {"Bulb"}, "Initials": {"ZZ"}, "DistinguishedNameQualifier": {"Bulb001"},
		"Surname": {"Multi Color"}, "Title": {"RGB"}, "Pseudonym": {"RGB Device"}, "GenerationQualifier": {"4"}, "SerialNumber": {"123"},
	} {
		want["iot:Certificate.Subject."+attribute] = values
		want["iot:Certificate.Issuer."+attribute] = values
	}
	var available []string
	for key := range want {
		if key != "iot:ClientId" && key != "iot:CertificateId" {
			available = append(available, key)
		}
	}
	slices.Sort(available)
	want["iot:Certificate.AvailableKeys"] = available
	if diff := cmp.Diff(want, c); diff != "" {
		t.Error(diff)
	}

	p := statements(`{"Effect": "Allow", "Action": "iot:Connect", "Resource": "~client/${iot:Certificate.SerialNumber}"}`,
		`{"Effect": "Allow", "Action": "iot:Publish", "Resource": "~topic/${iot:Certificate.Subject.OrganizationalUnit.1}/${iot:CertificateId}"}`)
	check(t, p, true, policy.Connect, "client/10525622389124227206", c)
	check(t, p, true, policy.Publish, "topic/Second/"+hex.EncodeToString(id[:]), c)
}

func TestCertificateWithBrokenAlternativeNames(t *testing.T) {
	for _, value := range [][]byte{nil, {1}, {0x30, 5, 1}, {0x30, 4, 0xa4, 2, 0x30, 9}, {0x30, 4, 0xa4, 2, 2, 0}} {
		c := policy.Context{}
		c.SetCertificate(&x509.Certificate{SerialNumber: big.NewInt(7), Extensions: []pkix.Extension{{Id: asn1.ObjectIdentifier{2, 5, 29, 17}, Value: value}}})
		if got := c["iot:Certificate.AvailableKeys"]; !slices.Equal(got, []string{"iot:Certificate.SerialNumber"}) {
			t.Errorf("% x: %v", value, got)
		}
	}
}
