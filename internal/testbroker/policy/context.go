package policy

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// Context is what AWS IoT Core knows of a connection and of what it asks for: the values of variables and of condition
// keys, under the names that the developer guide writes, such as "iot:ClientId". A key that is not there has no value.
//
//	iot:ClientId, iot:DomainName, aws:SourceIp, iot:CertificateId
//	iot:Connection.Thing.IsAttached          "true" or "false"
//	iot:Connection.Thing.ThingName           this and the next two only while the thing is attached to the certificate
//	iot:Connection.Thing.ThingTypeName
//	iot:Connection.Thing.Attributes[NAME]
//	iot:ConnectAttributes                    of a CONNECT: PersistentConnect, LastWill, both or none
//	iot:LastWillTopic                        of a CONNECT: the ARN of the will's topic
//	iot:Certificate.Subject.CommonName       and so on, all values; see [Context.SetCertificate]
//	aws:CurrentTime, aws:EpochTime, aws:SecureTransport
//
// It belongs to the caller, who may change it whenever no function of this package is using it, nor a [Decision] made
// with it.
type Context map[string][]string

// The limits of AWS on the values of a certificate, and on what replaces a variable.
const (
	mostValues     = 5
	mostCharacters = 1024
)

// values returns what k stands for, or nothing.
func (c Context) values(k key) []string {
	values := c[k.name]
	if strings.HasPrefix(k.name, certificatePrefix) && k.name != availableKeys {
		values = values[:min(len(values), mostValues)]
	}
	switch {
	case k.index == every:
		return values
	case k.index < len(values):
		return values[k.index : k.index+1]
	}
	return nil
}

// substitute returns what AWS writes in the place of a variable, or false if it leaves the variable as it is.
func (c Context) substitute(k key) (string, bool) {
	values := c.values(k)
	if len(values) != 1 || strings.ContainsAny(values[0], k.special()) || utf8.RuneCountInString(values[0]) > mostCharacters {
		return "", false
	}
	return values[0], true
}

// special are the characters for which AWS leaves a variable as it is. The guide says it of certificates. A client
// identifier "+" is put in, says its page on basic variables; of the others nothing is known.
func (k key) special() string {
	if k.name == "iot:ClientId" {
		return "*$?"
	}
	return "*$+?#"
}

// unresolved completes a sentence on why a variable is not resolved.
func (c Context) unresolved(k key) string {
	values := c.values(k)
	switch {
	case len(values) > 1:
		return fmt.Sprintf("it has %d values, and only a condition can use them all", len(values))
	case len(values) == 1 && utf8.RuneCountInString(values[0]) > mostCharacters:
		return fmt.Sprintf("its value is longer than %d characters", mostCharacters)
	case len(values) == 1:
		i := strings.IndexAny(values[0], k.special())
		return fmt.Sprintf("AWS does not put in its value %s, which has a %c", quote(values[0]), values[0][i])
	case strings.HasPrefix(k.name, thingPrefix) && c[thingName] == nil:
		if client := c["iot:ClientId"]; len(client) == 1 {
			return fmt.Sprintf("no thing is attached to the certificate that is named %s like the client", quote(client[0]))
		}
		return "no thing is attached"
	case strings.HasPrefix(k.name, thingPrefix):
		return "the thing has no such attribute"
	case strings.HasPrefix(k.name, certificatePrefix) && len(c[k.name]) > 0:
		return fmt.Sprintf("the certificate has %d of them, and .1 is the second", min(len(c[k.name]), mostValues))
	case strings.HasPrefix(k.name, certificatePrefix):
		return "the certificate has no such attribute"
	}
	return "it has no value"
}
