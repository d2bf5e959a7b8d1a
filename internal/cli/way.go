package cli

import (
	"slices"
	"strings"

	"iotwire/iot"
)

// way is the options of publisher and subscriber on how to get through to the server.
type way struct {
	port  int
	proxy string

	waitForClock bool

	proxyGiven bool
}

func (o *way) wayOptions() []Option {
	return []Option{
		{Name: "port", Metavar: "PORT", Value: &o.port, Min: "1", Max: "65535", Help: "in place of the endpoint's; AWS IoT has 8883 and 443"},
		{Name: "proxy", Metavar: "URL", Value: &o.proxy, Empty: true,
			Help: "http://, https://, socks5:// or socks5h:// and [USER:PASSWORD@]HOST:PORT, or none. " +
				"Without it HTTPS_PROXY, ALL_PROXY, NO_PROXY count, as with curl"},
		{Name: "wait-for-clock", Value: &o.waitForClock,
			Help: "connect when the clock is later than this program's build, for boards whose clock starts in 1970"},
	}
}

// chosenProxy returns the proxy to reach target through: that of --proxy, else of the environment; nil if there is none.
func (o *way) chosenProxy(target iot.Endpoint, getenv func(string) string, log *console) (*iot.Proxy, error) {
	url, variable := o.proxy, "--proxy"
	switch {
	case !o.proxyGiven:
		if url, variable = iot.ProxyFromEnvironment(getenv, target); url == "" {
			return nil, nil
		}
	case url == "" || url == "none":
		return nil, nil
	}
	proxy, err := iot.ParseProxy(url)
	if err != nil {
		return nil, errorf("%s: %w", variable, err)
	}
	if !o.proxyGiven { // who set the variable may not have thought of this program
		log.say("%s names the proxy %v; --proxy none goes around it", variable, proxy)
	}
	return proxy, nil
}

// through says by which proxy a server is reached, for people.
func through(proxy *iot.Proxy) string {
	if proxy == nil {
		return ""
	}
	return " through " + proxy.String()
}

// withoutLogin returns args without the user name and password of a proxy, for who may read a recording.
func withoutLogin(args []string) []string {
	shown := slices.Clone(args)
	for i, arg := range shown {
		name, url, attached := strings.Cut(arg, "=")
		switch {
		case name != "--proxy" && name != "-proxy":
		case attached:
			shown[i] = name + "=" + hideLogin(url)
		case i+1 < len(shown):
			shown[i+1] = hideLogin(shown[i+1])
		}
	}
	return shown
}

// hideLogin returns url with dots in place of user name and password.
func hideLogin(url string) string {
	i := strings.LastIndexByte(url, '@')
	if _, err := iot.ParseProxy(url); err != nil && url != "none" {
		return "..." // who knows what is in it
	} else if i < 0 {
		return url
	}
	scheme, _, found := strings.Cut(url[:i], "://")
	if !found {
		return "..." + url[i:]
	}
	return scheme + "://..." + url[i:]
}
