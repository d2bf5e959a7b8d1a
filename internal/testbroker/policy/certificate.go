package policy

import (
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/hex"
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// SetCertificate sets iot:CertificateId, which is the SHA-256 of the certificate in lower-case hexadecimal digits, and
// every iot:Certificate key for which the certificate has a value; those of another certificate it removes. The serial
// number is decimal, and the special characters of values have a backslash in front, as the guide says. How AWS writes
// a DirectoryName and the names in AvailableKeys is not known.
func (c Context) SetCertificate(certificate *x509.Certificate) {
	for name := range c {
		if strings.HasPrefix(name, certificatePrefix) {
			delete(c, name)
		}
	}
	id := sha256.Sum256(certificate.Raw)
	c["iot:CertificateId"] = []string{hex.EncodeToString(id[:])}
	c[certificatePrefix+"SerialNumber"] = []string{certificate.SerialNumber.String()}
	c.addName(certificatePrefix+"Subject.", certificate.Subject)
	c.addName(certificatePrefix+"Issuer.", certificate.Issuer)
	for _, extension := range certificate.Extensions {
		switch {
		case extension.Id.Equal(subjectAlternativeName):
			c.addAlternatives(certificatePrefix+"Subject.AlternativeName.", extension.Value)
		case extension.Id.Equal(issuerAlternativeName):
			c.addAlternatives(certificatePrefix+"Issuer.AlternativeName.", extension.Value)
		}
	}
	var available []string
	for name := range c {
		if strings.HasPrefix(name, certificatePrefix) {
			available = append(available, name)
		}
	}
	slices.Sort(available)
	c[availableKeys] = available
}

// RFC 5280 sections 4.2.1.6 and 4.2.1.7.
var (
	subjectAlternativeName = asn1.ObjectIdentifier{2, 5, 29, 17}
	issuerAlternativeName  = asn1.ObjectIdentifier{2, 5, 29, 18}
)

// nameTypes are the attributes of X.520 that AWS has keys for: 2.5.4 and the number.
var nameTypes = map[int]string{
	3: "CommonName", 4: "Surname", 5: "SerialNumber", 6: "Country", 8: "State", 10: "Organization",
	11: "OrganizationalUnit", 12: "Title", 42: "GivenName", 43: "Initials", 44: "GenerationQualifier",
	46: "DistinguishedNameQualifier", 65: "Pseudonym",
}

func (c Context) addName(prefix string, name pkix.Name) {
	for _, attribute := range name.Names {
		id := attribute.Type
		if len(id) == 4 && id[:3].Equal(asn1.ObjectIdentifier{2, 5, 4}) && nameTypes[id[3]] != "" {
			key := prefix + nameTypes[id[3]]
			c[key] = append(c[key], backslashed(fmt.Sprint(attribute.Value)))
		}
	}
}

// addAlternatives adds the GeneralNames of RFC 5280 section 4.2.1.6. What is not well formed it leaves out.
func (c Context) addAlternatives(prefix string, extension []byte) {
	var names []asn1.RawValue
	if _, err := asn1.Unmarshal(extension, &names); err != nil {
		return
	}
	for _, name := range names {
		if name.Class != asn1.ClassContextSpecific {
			continue
		}
		add := func(kind, value string) { c[prefix+kind] = append(c[prefix+kind], value) }
		switch name.Tag {
		case 1:
			add("RFC822Name", backslashed(string(name.Bytes)))
		case 2:
			add("DNSName", backslashed(string(name.Bytes)))
		case 4:
			var directory pkix.RDNSequence
			if _, err := asn1.Unmarshal(name.Bytes, &directory); err == nil {
				add("DirectoryName", backslashed(directory.String()))
			}
		case 6:
			add("UniformResourceIdentifier", backslashed(string(name.Bytes)))
		case 7:
			if address, ok := netip.AddrFromSlice(name.Bytes); ok {
				add("IPAddress", address.String())
			}
		}
	}
}

// backslashed puts a backslash in front of the characters for which the guide asks it.
func backslashed(value string) string {
	var b strings.Builder
	for _, c := range value {
		if strings.ContainsRune(`,"\+=<>;`, c) {
			b.WriteByte('\\')
		}
		b.WriteRune(c)
	}
	return b.String()
}
