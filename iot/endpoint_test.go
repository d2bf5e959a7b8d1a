package iot

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"iotwire/mqtt/packet"
)

func TestParseEndpointGrammar(t *testing.T) {
	for _, test := range []struct {
		in   string
		want Endpoint
		text string // of String
	}{
		{host, Endpoint{host, 8883, true}, host + ":8883"},
		{host + ":443", Endpoint{host, 443, true}, host + ":443"},
		{"mqtts://" + host, Endpoint{host, 8883, true}, host + ":8883"},
		{"mqtts://" + host + ":443", Endpoint{host, 443, true}, host + ":443"},
		{"mqtt://localhost", Endpoint{"localhost", 1883, false}, "mqtt://localhost:1883"},
		{"mqtt://127.0.0.1:1", Endpoint{"127.0.0.1", 1, false}, "mqtt://127.0.0.1:1"},
		{"mqtt://127.0.0.1:65535", Endpoint{"127.0.0.1", 65535, false}, "mqtt://127.0.0.1:65535"},
		{"MQTTS://Example.COM", Endpoint{"example.com", 8883, true}, "example.com:8883"},
		{"[::1]", Endpoint{"::1", 8883, true}, "[::1]:8883"},
		{"[2001:db8::1]:443", Endpoint{"2001:db8::1", 443, true}, "[2001:db8::1]:443"},
		{"mqtt://[fe80::1%eth0]", Endpoint{"fe80::1%eth0", 1883, false}, "mqtt://[fe80::1%eth0]:1883"},
		{"example.com.", Endpoint{"example.com.", 8883, true}, "example.com.:8883"},
		{"my_broker", Endpoint{"my_broker", 8883, true}, "my_broker:8883"},
	} {
		got, err := ParseEndpoint(test.in)
		if err != nil {
			t.Errorf("ParseEndpoint(%q): %v", test.in, err)
			continue
		}
		if diff := cmp.Diff(test.want, got); diff != "" {
			t.Errorf("ParseEndpoint(%q): %s", test.in, diff)
		}
		if got.String() != test.text {
			t.Errorf("ParseEndpoint(%q).String() = %q, want %q", test.in, got.String(), test.text)
		}
	}
}

func TestParseEndpointSaysWhatIsWrong(t *testing.T) {
	for _, test := range []struct{ in, want string }{
		{"", "describe-endpoint"},
		{"https://" + host, `a web address, want the host name alone; try "` + host + `"`},
		{"https://" + host + "/mqtt?x=1", `try "` + host + `"`},
		{"wss://" + host + "/mqtt", "WebSocket"},
		{"ssl://broker:8883", `try "mqtts://broker:8883"`},
		{"tcp://broker:1883", `try "mqtt://broker:1883"`},
		{"coap://broker", "unknown scheme"},
		{"://broker", "unknown scheme"},
		{host + "/mqtt", `try "` + host + `"`},
		{"mqtts://" + host + "/", `"/" behind the host, want host or host:port; try "mqtts://` + host + `"`},
		{"mqtt://broker:1884/path", `"/path" behind the host, want host or host:port; try "mqtt://broker:1884"`}, // not "broker", which is with TLS
		{host + "?a=b", "behind the host"},
		{"user:password@" + host, "user name and password do not belong here, but to --username and --password-file; want"},
		{"ssl://user:password@" + host, `endpoint "...@` + host + `": user name and password do not belong here`},
		{"mqtt://user@broker", "user name and password do not belong here"},
		{" " + host, `' ' in it`},
		{host + "\n", `'\n' in it`},
		{`"` + host + `"`, `'"' in the host name`},
		{"bröker", `'ö' in the host name`},
		{"mqtts://", "no host"},
		{":8883", "no host"},
		{"broker:", "no port behind the colon"},
		{"broker:0", `port "0", want 1 to 65535`},
		{"broker:65536", `port "65536", want 1 to 65535`},
		{"broker:-1", `port "-1", want 1 to 65535`},
		{"broker:+1", `port "+1", want 1 to 65535`},
		{"broker:mqtt", `port "mqtt", want 1 to 65535`},
		{"::1", "IPv6 address needs brackets"},
		{"2001:db8::1", "IPv6 address needs brackets"},
		{"[::1", "IPv6 address in the brackets"},
		{"[127.0.0.1]", "IPv6 address in the brackets"},
		{"[broker]", "IPv6 address in the brackets"},
		{"[::1]8883", "behind the bracket"},
		{"[::1]:", "behind the bracket"},
		{"[::1]:99999", `port "99999"`},
		{"a..b", "two dots in a row"},
		{".broker", "two dots in a row"},
		{"-broker", "starts or ends with '-'"},
		{strings.Repeat("a", 64), "64 bytes, want at most 63"},
		{strings.Repeat("a.", 127) + "a", "255 bytes, want at most 253"},
	} {
		got, err := ParseEndpoint(test.in)
		if err == nil {
			t.Errorf("ParseEndpoint(%q) = %v, want an error", test.in, got)
			continue
		}
		if !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("ParseEndpoint(%q): %q, want one line with %q", test.in, err, test.want)
		}
		if !errors.Is(err, packet.ErrInvalid) {
			t.Errorf("ParseEndpoint(%q): %v does not match packet.ErrInvalid", test.in, err)
		}
	}
}

func TestEndpointKnowsAWS(t *testing.T) {
	for _, test := range []struct {
		host   string
		aws    bool
		region string
		legacy bool
	}{
		{"a1b2c3-ats.iot.eu-west-1.amazonaws.com", true, "eu-west-1", false},
		{"A1B2C3-ATS.IOT.EU-WEST-1.AMAZONAWS.COM", true, "eu-west-1", false},
		{"a1b2c3-ats.iot.eu-west-1.amazonaws.com.", true, "eu-west-1", false},
		{"a1b2c3.iot.us-east-1.amazonaws.com", true, "us-east-1", true},
		{"a1b2c3.ats.iot.cn-north-1.amazonaws.com.cn", true, "cn-north-1", false},
		{"a1b2c3.iot.cn-north-1.amazonaws.com.cn", true, "cn-north-1", true},
		{"a1b2c3-ats.iot.us-gov-west-1.amazonaws.com", true, "us-gov-west-1", false},
		{"vpce-1-2.iot.eu-west-1.vpce.amazonaws.com", true, "eu-west-1", false},
		{"iot.example.com", false, "", false},
		{"amazonaws.com", false, "", false},
		{"evilamazonaws.com", false, "", false},
		{"a-ats.iot.eu-west-1.amazonaws.com.example.com", false, "", false},
		{"127.0.0.1", false, "", false},
	} {
		e := must(ParseEndpoint(test.host))
		if e.AWS() != test.aws || e.Region() != test.region || e.Legacy() != test.legacy {
			t.Errorf("%s: AWS %v, region %q, legacy %v, want %v, %q, %v", test.host, e.AWS(), e.Region(), e.Legacy(),
				test.aws, test.region, test.legacy)
		}
	}
}

func FuzzParseEndpoint(f *testing.F) {
	for _, seed := range []string{host, host + ":443", "mqtts://" + host, "mqtt://127.0.0.1", "mqtt://[::1]:1883",
		"[fe80::1%eth0]", "https://x/y", "a:b@c", "[::1", "a..b", "x:65536", "\x00", "mqtt://", "ü", "mqtt://a://b"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		e, err := ParseEndpoint(s)
		if err != nil {
			if !errors.Is(err, packet.ErrInvalid) || strings.ContainsAny(err.Error(), "\n\r") {
				t.Fatalf("ParseEndpoint(%q): %q", s, err)
			}
			return
		}
		if e.Host == "" || e.Port < 1 || e.Port > 65535 || strings.ContainsAny(e.Host, " /@[]?#\x00") {
			t.Fatalf("ParseEndpoint(%q) = %+v", s, e)
		}
		again, err := ParseEndpoint(e.String())
		if err != nil || again != e {
			t.Fatalf("ParseEndpoint(%q) = %+v, but ParseEndpoint(%q) = %+v, %v", s, e, e.String(), again, err)
		}
		if e.Region() != "" && !e.AWS() || e.Legacy() && !e.AWS() {
			t.Fatalf("%+v: region %q, legacy %v, and not AWS", e, e.Region(), e.Legacy())
		}
	})
}
