package iot

import (
	"net/netip"
	"strconv"
	"strings"
)

// ProxyFromEnvironment returns the URL of the proxy that the environment names for the server e, and in which variable,
// or "" and "" if there is none. It follows curl: https_proxy or HTTPS_PROXY for a server with TLS, else all_proxy or
// ALL_PROXY; an empty variable counts as unset; no_proxy or NO_PROXY has the servers that are reached without: names with
// all names below them, addresses, and ranges such as 10.0.0.0/8, separated by commas or spaces, or * for all. This
// machine itself is never reached through a proxy.
//
// [Config.MQTT] does not look at the environment: that is the program's to decide.
func ProxyFromEnvironment(getenv func(string) string, e Endpoint) (url, variable string) {
	if e.local() || withoutProxy(getenv, e.Host) {
		return "", ""
	}
	names := []string{"https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"}
	if !e.TLS {
		names = names[2:]
	}
	for _, name := range names {
		if url := getenv(name); url != "" {
			return url, name
		}
	}
	return "", ""
}

// withoutProxy reports whether the environment says that host is reached without one.
func withoutProxy(getenv func(string) string, host string) bool {
	list := getenv("no_proxy")
	if list == "" {
		list = getenv("NO_PROXY")
	}
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	address, _ := netip.ParseAddr(host)
	for _, entry := range strings.Fields(strings.ReplaceAll(strings.ToLower(list), ",", " ")) {
		if entry == "*" {
			return true
		}
		entry = strings.Trim(strings.TrimPrefix(entry, "*"), "[].")
		if first, bits, found := strings.Cut(entry, "/"); found {
			network, _ := netip.ParseAddr(first) // what is none has no prefix that contains anything
			if n, err := strconv.Atoi(bits); err == nil && netip.PrefixFrom(network, n).Contains(address) {
				return true
			}
		} else if other, err := netip.ParseAddr(entry); err == nil {
			if other == address {
				return true
			}
		} else if !address.IsValid() && entry != "" && (host == entry || strings.HasSuffix(host, "."+entry)) {
			return true
		}
	}
	return false
}
