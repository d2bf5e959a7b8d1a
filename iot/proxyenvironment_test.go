package iot

import "testing"

func TestProxyFromEnvironment(t *testing.T) {
	for _, test := range []struct {
		endpoint    string
		environment map[string]string
		want        string
	}{
		{host, nil, ""},
		{host, map[string]string{"HTTPS_PROXY": "http://p:1"}, "HTTPS_PROXY http://p:1"},
		{host, map[string]string{"HTTPS_PROXY": "http://p:1", "https_proxy": "http://q:1"}, "https_proxy http://q:1"},
		{host, map[string]string{"HTTPS_PROXY": "", "ALL_PROXY": "socks5://p"}, "ALL_PROXY socks5://p"},
		{host, map[string]string{"HTTP_PROXY": "http://p:1"}, ""},
		{"mqtt://broker", map[string]string{"HTTPS_PROXY": "http://p:1"}, ""},
		{"mqtt://broker", map[string]string{"HTTPS_PROXY": "http://p:1", "all_proxy": "http://q:1"}, "all_proxy http://q:1"},
		{"localhost", map[string]string{"ALL_PROXY": "http://p:1"}, ""},
		{"localhost.", map[string]string{"ALL_PROXY": "http://p:1"}, ""},
		{"127.0.0.2", map[string]string{"ALL_PROXY": "http://p:1"}, ""},
		{"[::1]", map[string]string{"ALL_PROXY": "http://p:1"}, ""},
		{host, map[string]string{"ALL_PROXY": "http://p:1", "NO_PROXY": "*"}, ""},
		{host, map[string]string{"ALL_PROXY": "http://p:1", "NO_PROXY": "example.com, .AmazonAWS.com"}, ""},
		{host, map[string]string{"ALL_PROXY": "http://p:1", "no_proxy": "*.eu-west-1.amazonaws.com"}, ""},
		{host, map[string]string{"ALL_PROXY": "http://p:1", "NO_PROXY": "aws.com,azonaws.com,10.0.0.0/8"}, "ALL_PROXY http://p:1"},
		{host, map[string]string{"ALL_PROXY": "http://p:1", "no_proxy": "x", "NO_PROXY": "*"}, "ALL_PROXY http://p:1"},
		{"10.1.2.3", map[string]string{"ALL_PROXY": "http://p:1", "NO_PROXY": "10.0.0.0/8"}, ""},
		{"10.1.2.3", map[string]string{"ALL_PROXY": "http://p:1", "NO_PROXY": "10.1.2.3"}, ""},
		{"10.1.2.3", map[string]string{"ALL_PROXY": "http://p:1", "NO_PROXY": "2.3,11.0.0.0/8"}, "ALL_PROXY http://p:1"},
		{"[2001:db8::1]", map[string]string{"ALL_PROXY": "http://p:1", "NO_PROXY": "[2001:db8::1]"}, ""},
	} {
		url, variable := ProxyFromEnvironment(func(name string) string { return test.environment[name] }, must(ParseEndpoint(test.endpoint)))
		got := variable + " " + url
		if got == " " {
			got = ""
		}
		if got != test.want {
			t.Errorf("%s with %v: %q, want %q", test.endpoint, test.environment, got, test.want)
		}
	}
}
