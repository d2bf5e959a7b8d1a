package advisor

import (
	"crypto/tls"
	"fmt"
	"slices"
	"strings"
)

// recommendedSuites are the cipher suites that AWS IoT Core recommends for TLS 1.2, and those of TLS 1.3, where there is
// nothing to choose.
var recommendedSuites = []uint16{
	tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
	tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
	tls.TLS_AES_128_GCM_SHA256,
	tls.TLS_AES_256_GCM_SHA384,
	tls.TLS_CHACHA20_POLY1305_SHA256,
}

// furtherSuites are the others that AWS IoT Core supports, by its policy TLS13_1_2_2022_10.
var furtherSuites = []uint16{
	tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
	tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
	tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256,
	tls.TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256,
	0xc024, // TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA384
	0xc028, // TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA384
	tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA,
	tls.TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA,
	tls.TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA,
	tls.TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA,
	tls.TLS_RSA_WITH_AES_128_GCM_SHA256,
	tls.TLS_RSA_WITH_AES_256_GCM_SHA384,
	tls.TLS_RSA_WITH_AES_128_CBC_SHA256,
	0x003d, // TLS_RSA_WITH_AES_256_CBC_SHA256
	tls.TLS_RSA_WITH_AES_128_CBC_SHA,
	tls.TLS_RSA_WITH_AES_256_CBC_SHA,
}

// supportedByUs is what the server offers: AWS's suites of TLS 1.2 that package tls has.
func supportedByUs() (suites []uint16) {
	for _, s := range append(tls.CipherSuites(), tls.InsecureCipherSuites()...) {
		if slices.Contains(recommendedSuites, s.ID) || slices.Contains(furtherSuites, s.ID) {
			suites = append(suites, s.ID)
		}
	}
	return suites
}

// isSignal reports whether a number in the list of cipher suites is no suite: it says something about the client
// (RFC 5746, RFC 7507), or keeps servers used to unknown numbers (RFC 8701).
func isSignal(suite uint16) bool {
	return suite == 0x00ff || suite == 0x5600 || suite&0x0f0f == 0x0a0a && suite>>8 == suite&0xff
}

// gradeSuites is the verdict of TLS_Support_AWS_IoT_Cipher_Suites on what a program offers.
func gradeSuites(offered []uint16) outcome {
	var good, supported int
	var others []string
	for _, s := range offered {
		switch {
		case isSignal(s):
		case slices.Contains(recommendedSuites, s):
			good++
		case slices.Contains(furtherSuites, s):
			supported++
		default:
			others = append(others, strings.TrimPrefix(tls.CipherSuiteName(s), "TLS_"))
		}
	}
	shown := others
	if len(shown) > 3 {
		shown = append(slices.Clone(shown[:3]), fmt.Sprintf("%d more", len(others)-3))
	}
	switch {
	case good+supported == 0:
		return fail("AWS IoT supports none of the %d cipher suites offered: %s", len(others), strings.Join(shown, ", "))
	case good == 0:
		return warn("none of the recommended cipher suites is offered, only others that AWS IoT supports")
	case len(others) > 0:
		return warn("offers cipher suites that AWS IoT does not support: %s", strings.Join(shown, ", "))
	}
	return pass("%d cipher suites offered, AWS IoT supports all", good+supported)
}
