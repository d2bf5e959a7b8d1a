package aws

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"iotwire/internal/testbroker"
	"iotwire/mqtt/packet"
)

// snapshot returns the files below a directory with modes and contents.
func snapshot(t *testing.T, dir string) map[string]string {
	t.Helper()
	files := map[string]string{}
	err := filepath.WalkDir(dir, func(name string, entry os.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		text, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		info, err := entry.Info()
		short, _ := filepath.Rel(dir, name)
		files[short] = fmt.Sprintf("%o %s", info.Mode().Perm(), text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// open makes a Core and ends it.
func open(t *testing.T, dir string) error {
	t.Helper()
	c, err := New(Config{Dir: dir})
	if err == nil {
		c.Close()
	}
	return err
}

func mustOpen(t *testing.T, dir string) {
	t.Helper()
	if err := open(t, dir); err != nil {
		t.Fatal(err)
	}
}

func TestEmptyDirectoryBecomesARegistry(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "desk")
	mustOpen(t, dir)
	first := snapshot(t, dir)
	for name, mode := range map[string]string{
		"AmazonRootCA1.pem": "644", "ca.key": "600", "cert.pem": "644", "private.key": "600", "server.key": "600", "server.pem": "644",
		"policy.json": "644", "thing.json": "644",
	} {
		if !strings.HasPrefix(first[name], mode+" ") {
			t.Errorf("%s: %.20q, want mode %s", name, first[name], mode)
		}
	}
	if want := "644 {\n  \"status\": \"ACTIVE\",\n  \"thing\": \"thing-1\"\n}\n"; first["thing.json"] != want {
		t.Errorf("thing.json is %q, want %q", first["thing.json"], want)
	}
	mustOpen(t, dir)
	again := snapshot(t, dir)
	if len(again) != len(first) {
		t.Errorf("%d files, then %d", len(first), len(again))
	}
	for name := range first {
		if again[name] != first[name] {
			t.Errorf("%s was overwritten", name)
		}
	}
}

func TestEmptyFolderBecomesAThingOfItsName(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"pump", ".hidden", "notes"} {
		if err := os.Mkdir(filepath.Join(dir, name), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "notes", "readme.txt"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	onDesk(t, Config{Dir: dir}, func(t *testing.T, d *desk) {
		d.write("pump/policy.json", `{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "iot:Connect", "Resource":
			"arn:aws:iot:us-east-1:123456789012:client/${iot:Connection.Thing.ThingName}"}]}`)
		w := d.dialAs(d.tlsConfigOf("pump"))
		w.connect(packet.Connect{ClientID: []byte("pump"), CleanSession: true})
		for _, name := range []string{".hidden", "notes"} {
			if entries, _ := os.ReadDir(filepath.Join(dir, name)); len(entries) > 1 || name == ".hidden" && len(entries) > 0 {
				t.Errorf("%s was filled", name)
			}
		}
	})
}

func TestDirectoryWithCertificatesOnlyGetsAThing(t *testing.T) {
	dir := t.TempDir()
	if _, err := testbroker.EnsureCertificates(dir); err != nil {
		t.Fatal(err)
	}
	mustOpen(t, dir)
	if _, err := os.Stat(filepath.Join(dir, "policy.json")); err != nil {
		t.Error(err)
	}
}

func TestPolicyThatWasRemovedStaysRemoved(t *testing.T) {
	dir := t.TempDir()
	mustOpen(t, dir)
	if err := os.Remove(filepath.Join(dir, "policy.json")); err != nil {
		t.Fatal(err)
	}
	mustOpen(t, dir)
	if _, err := os.Stat(filepath.Join(dir, "policy.json")); err == nil {
		t.Error("policy.json is there again")
	}
}

func TestMistakesInTheRegistry(t *testing.T) {
	for _, test := range []struct {
		name, file, text, want string
	}{
		{"policy", "policy.json", `{"Version": "2012-10-17", "Statement": [{"Effect": "Alow", "Action": "iot:Connect", "Resource": "*"}]}`,
			`policy.json:1:52: expected "Allow" or "Deny" for Effect, found "Alow"`},
		{"second policy", "policy-more.json", `{`, "policy-more.json:1:2: "},
		{"status", "thing.json", `{"status": "ASLEEP"}`, `thing.json: status "ASLEEP" is none of ACTIVE, INACTIVE, REVOKED`},
		{"unknown field", "thing.json", `{"name": "x"}`, `thing.json: unknown field "name": thing.json has status, thing, type, attributes and exclusive`},
		{"wrong type", "thing.json", "{\n\"exclusive\": \"yes\"}", `thing.json:2: "exclusive" is a string, want a bool`},
		{"no JSON", "thing.json", "{\n\n\"status\" \"ACTIVE\"}", "thing.json:3: invalid character '\"' after object key"},
		{"cut off", "thing.json", `{"status": "ACTIVE"`, "thing.json: unexpected EOF: thing.json has status, thing, type, attributes and exclusive"},
		{"two objects", "thing.json", `{} {}`, "thing.json: there is more behind the object: thing.json has status, thing, type, attributes and exclusive"},
		{"no certificate", "cert.pem", "hello", "cert.pem: no PEM data in it"},
		{"a key as certificate", "cert.pem", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", "cert.pem: found a PRIVATE KEY, want a CERTIFICATE"},
		{"a policy alone", "pump/policy.json", "{}", "pump/policy.json:1:1: "},
		{"a thing alone", "pump/thing.json", "{}", "pump has thing.json but no certificate: put it there as cert.pem"},
	} {
		t.Run(test.name, func(t *testing.T) {
			dir := t.TempDir()
			mustOpen(t, dir)
			name := filepath.Join(dir, test.file)
			os.MkdirAll(filepath.Dir(name), 0o700)
			if err := os.WriteFile(name, []byte(test.text), 0o600); err != nil {
				t.Fatal(err)
			}
			err := open(t, dir)
			if want := dir + "/" + test.want; err == nil || !strings.HasPrefix(err.Error(), want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("%v, want one line: %s...", err, want)
			}
		})
	}
}

func TestOneCertificateInTwoFolders(t *testing.T) {
	dir := t.TempDir()
	mustOpen(t, dir)
	text, err := os.ReadFile(filepath.Join(dir, "cert.pem"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(dir, "twin"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "twin", "0a1b-certificate.pem.crt"), text, 0o600); err != nil {
		t.Fatal(err)
	}
	if err, want := open(t, dir), dir+"/twin has the same certificate as .: remove one"; err == nil || err.Error() != want {
		t.Errorf("%v, want %s", err, want)
	}
}

func TestTenPoliciesForACertificate(t *testing.T) {
	dir := t.TempDir()
	mustOpen(t, dir)
	for i := range 9 {
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("policy-%d.json", i)), []byte(allowEverything), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	mustOpen(t, dir)
	if err := os.WriteFile(filepath.Join(dir, "policy-x.json"), []byte(allowEverything), 0o600); err != nil {
		t.Fatal(err)
	}
	if err, want := open(t, dir), dir+"/policy.json: a certificate has 10 policies at most: remove one"; err == nil || err.Error() != want {
		t.Errorf("%v, want %s", err, want)
	}
}

func TestAllPoliciesOfACertificateCount(t *testing.T) {
	onDesk(t, Config{}, func(t *testing.T, d *desk) {
		d.allow(allowConnect)
		d.write("policy-publish.json", strings.ReplaceAll(`{"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "iot:Publish", "Resource": "~topic/a"}}`,
			"~", "arn:aws:iot:eu-west-1:999999999999:"))
		w := d.join("c1")
		w.publish("a", "", 1)
		w.wantPuback(1)
		if got := d.text(); !strings.Contains(got, `"accountId":"999999999999"`) {
			t.Errorf("log:\n%swant the account that the policies name", got)
		}
	})
}

func TestChangedPolicyDecidesTheNextOperation(t *testing.T) {
	onDesk(t, Config{}, func(t *testing.T, d *desk) {
		w := d.join("c1")
		w.subscribe(1, "a")
		w.publish("a", "x", 1)
		w.wantMessage("a", "x", 1)
		w.wantPuback(1)
		d.allow(allowConnect, allowPublish, allowSubscribe)
		time.Sleep(time.Second + time.Millisecond)
		w.publish("a", "y", 2) // is not received any more
		w.wantPuback(2)
		d.allow(allowConnect)
		time.Sleep(time.Second)
		w.publish("a", "z", 3)
		w.wantEnd()
	})
}

func TestChangedPolicyIsThereAtTheNextConnect(t *testing.T) {
	onDesk(t, Config{}, func(t *testing.T, d *desk) {
		d.join("c1").disconnect()
		d.allow(allowPublish)
		w := d.dial()
		w.send(packet.AppendConnect(nil, &packet.Connect{ClientID: []byte("c2"), CleanSession: true}))
		w.wantEnd()
	})
}

func TestConnectionEndsWithItsCertificate(t *testing.T) {
	for name, test := range map[string]struct {
		change  func(*desk)
		details string
	}{
		"inactive": {func(d *desk) { d.write("pump/thing.json", `{"status": "INACTIVE"}`) }, "the certificate CERTIFICATE is INACTIVE now"},
		"revoked":  {func(d *desk) { d.write("pump/thing.json", `{"status": "REVOKED"}`) }, "the certificate CERTIFICATE is REVOKED now"},
		"removed": {func(d *desk) {
			if err := os.RemoveAll(filepath.Join(d.dir, "pump")); err != nil {
				d.t.Fatal(err)
			}
		}, "the certificate CERTIFICATE is no longer registered"},
		"not allowed to connect": {func(d *desk) {
			d.write("pump/policy.json", `{"Version": "2012-10-17", "Statement": {"Effect": "Deny", "Action": "iot:Connect", "Resource": "*"}}`)
		}, "the policies have changed: statement 1 of pump/policy.json denies iot:Connect on arn:aws:iot:us-east-1:123456789012:client/c1, and a Deny wins over every Allow"},
	} {
		t.Run(name, func(t *testing.T) {
			onDesk(t, Config{}, func(t *testing.T, d *desk) {
				d.mkdirThing("pump", allowEverything)
				w := d.dialAs(d.tlsConfigOf("pump"))
				w.connect(packet.Connect{ClientID: []byte("c1"), CleanSession: true})
				other := d.join("other")
				d.text()
				test.change(d)
				time.Sleep(time.Second)
				w.wantEnd()
				if got := d.text(); !strings.Contains(got, `"eventType":"Disconnect"`) || !strings.Contains(got, `"details":"`+test.details+`","disconnectReason":"AUTH_ERROR"`) {
					t.Errorf("log:\n%swant %s", got, test.details)
				}
				other.send(packet.AppendPingreq(nil), nil)
				other.want(packet.AppendPingresp(nil), nil)
			})
		})
	}
}

func TestFileWithAMistakeCountsAsNotSaved(t *testing.T) {
	onDesk(t, Config{}, func(t *testing.T, d *desk) {
		w := d.join("c1")
		d.lines()
		d.write("policy.json", `{"Version": "2012-10-17", "Statement": [}`)
		time.Sleep(3 * time.Second)
		d.wantDetails("policy.json:1:41: expected a value, found '}'; what was read before stays") // once
		w.publish("a", "", 1)
		w.wantPuback(1)
		d.join("c2")
		if got := d.details(); len(got) > 0 {
			t.Errorf("%q, want it told once", got)
		}
		d.allow(allowConnect)
		time.Sleep(2 * time.Second)
		w.publish("a", "", 2)
		w.wantEnd()
	})
}
