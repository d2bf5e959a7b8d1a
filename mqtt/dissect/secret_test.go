package dissect_test

import (
	"strings"
	"testing"

	"iotwire/mqtt/dissect"
)

// A user name that carries a token for a custom authorizer of AWS IoT Core is as secret as a password.
func TestUserNameWithATokenIsHidden(t *testing.T) {
	for name, hidden := range map[string]bool{
		"ann?x-amz-customauthorizer-name=gate&token=abc.def": true,
		"?token=abc.def":             true,
		"ann":                        false,
		"?SDK=PythonV2&Version=1.24": false, // what the SDKs of AWS say of themselves
	} {
		var s dissect.Session
		packets := s.Add(dissect.ToServer, 0, []byte(cn(0x82, str("me")+str(name))))
		for _, shown := range []bool{false, true} {
			var b []byte
			for i := range packets {
				l := dissect.Layout{ShowSecrets: shown}
				b = l.Append(b, &packets[i])
				b = dissect.AppendJSON(b, &packets[i], shown)
			}
			if got := strings.Contains(string(b), name); got == (hidden && !shown) {
				t.Errorf("%q: in the output %v, with secrets shown %v:\n%s", name, got, shown, b)
			}
		}
	}
}
