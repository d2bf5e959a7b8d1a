package policy

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// key is the name of a variable or of a condition key, as a policy writes it.
type key struct {
	text  string // as written
	name  string // as a Context has it
	index int    // which of the values, or every
}

const every = -1

const (
	thingPrefix       = "iot:Connection.Thing."
	thingName         = thingPrefix + "ThingName"
	attributePrefix   = thingPrefix + "Attributes["
	certificatePrefix = "iot:Certificate."
	availableKeys     = certificatePrefix + "AvailableKeys"
	connectAttributes = "iot:ConnectAttributes"
)

// single are the keys with one value, or with a set of values of which none is the first.
var single = []string{
	"iot:ClientId",
	"iot:DomainName",
	"iot:CertificateId",
	connectAttributes,
	"iot:LastWillTopic",
	thingName,
	thingPrefix + "ThingTypeName",
	thingPrefix + "IsAttached",
	certificatePrefix + "SerialNumber",
	availableKeys,
	"aws:SourceIp",
	"aws:SourceVpc",
	"aws:SourceVpce",
	"aws:VpcSourceIp",
	"aws:CurrentTime",
	"aws:EpochTime",
	"aws:SecureTransport",
	"cognito-identity.amazonaws.com:sub", // these three are never there for a certificate
	"cognito-identity.amazonaws.com:aud",
	"cognito-identity.amazonaws.com:amr",
}

// nameAttributes are those of a certificate's subject and of its issuer.
var nameAttributes = []string{
	"DistinguishedNameQualifier", "Country", "Organization", "OrganizationalUnit", "State", "CommonName", "SerialNumber",
	"Title", "Surname", "GivenName", "Initials", "Pseudonym", "GenerationQualifier",
	"AlternativeName.RFC822Name", "AlternativeName.DNSName", "AlternativeName.DirectoryName",
	"AlternativeName.UniformResourceIdentifier", "AlternativeName.IPAddress",
}

// Key returns the name under which a [Context] has the values of a condition key or a variable: names are written in
// any case, and iot:Thing.ThingName is iot:Connection.Thing.ThingName. An index or .List is a mistake here, because a
// Context has all values. The error says which key may be meant.
func Key(name string) (string, error) {
	k, err := parseKey(name)
	if err == nil && k.text != k.name && !strings.EqualFold(k.text, k.name) && k.name != thingName {
		return "", fmt.Errorf("%s is one use of %s: give that its values", quote(name), k.name)
	}
	return k.name, err
}

// parseKey reads a name with what may follow it: an index, or .List.
func parseKey(text string) (key, error) {
	k := key{text: text}
	if inner, ok := cutAround(text, attributePrefix, "]"); ok && inner != "" && !strings.Contains(inner, "]") {
		k.name = attributePrefix + inner + "]"
		return k, nil
	}
	if strings.EqualFold(text, "iot:Thing.ThingName") {
		k.name = thingName
		return k, nil
	}
	if i := indexFold(single, text); i >= 0 {
		k.name = single[i]
		if k.name == connectAttributes || k.name == availableKeys {
			k.index = every
		}
		return k, nil
	}
	base := text
	if dot := strings.LastIndexByte(text, '.'); dot >= 0 {
		suffix := text[dot+1:]
		if strings.EqualFold(suffix, "List") {
			base, k.index = text[:dot], every
		} else if n, err := strconv.ParseUint(suffix, 10, 16); err == nil {
			base, k.index = text[:dot], int(n)
		}
	}
	for _, owner := range []string{certificatePrefix + "Subject.", certificatePrefix + "Issuer."} {
		if attribute, ok := cutAround(base, owner, ""); ok {
			if i := indexFold(nameAttributes, attribute); i >= 0 {
				k.name = owner + nameAttributes[i]
				return k, nil
			}
		}
	}
	if guess := nearest(text, keys()); guess != "" {
		return k, fmt.Errorf("%s; did you mean %s?", quote(text), guess)
	}
	return k, fmt.Errorf("%s: there are iot:ClientId, iot:Connection.Thing.ThingName, iot:Certificate.Subject.CommonName "+
		"and others like these, and aws:SourceIp", quote(text))
}

// keys returns the names that a mistaken one may have meant.
func keys() []string {
	all := append(slices.Clone(single), "iot:Thing.ThingName", attributePrefix+"NAME]")
	for _, attribute := range nameAttributes {
		all = append(all, certificatePrefix+"Subject."+attribute, certificatePrefix+"Issuer."+attribute)
	}
	return all
}

// cutAround returns text without prefix and suffix, which it must have, in any case.
func cutAround(text, prefix, suffix string) (string, bool) {
	n := len(text) - len(suffix)
	if n < len(prefix) || !strings.EqualFold(text[:len(prefix)], prefix) || !strings.EqualFold(text[n:], suffix) {
		return "", false
	}
	return text[len(prefix):n], true
}

func indexFold(all []string, text string) int {
	return slices.IndexFunc(all, func(s string) bool { return strings.EqualFold(s, text) })
}
