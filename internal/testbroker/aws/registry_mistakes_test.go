//go:build unix

package aws

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"iotwire/mqtt/packet"
)

// deny is a policy under which nobody connects.
const deny = `{"Version": "2012-10-17", "Statement": {"Effect": "Deny", "Action": "iot:*", "Resource": "*"}}`

// A mistake in one file of a folder leaves the others in force: above all, a certificate that is revoked is revoked.
func TestMistakeInOneFileKeepsNoOtherFromCounting(t *testing.T) {
	link := func(d *desk, name string) { // a file that nobody can read
		d.remove(name)
		if err := os.Symlink(filepath.Base(name), filepath.Join(d.dir, name)); err != nil {
			d.t.Fatal(err)
		}
	}
	for name, test := range map[string]struct {
		mistake func(*desk)
		change  func(*desk)
		want    string // of the log
	}{
		"revoked beside a policy with a mistake": {
			func(d *desk) { d.write("pump/policy.json", "{") }, func(d *desk) { d.write("pump/thing.json", `{"status": "REVOKED"}`) }, "is REVOKED now"},
		"inactive beside a certificate with a mistake": {
			func(d *desk) { d.write("pump/cert.pem", "") }, func(d *desk) { d.write("pump/thing.json", `{"status": "INACTIVE"}`) }, "is INACTIVE now"},
		"revoked beside a policy that cannot be read": {
			func(d *desk) { link(d, "pump/policy.json") }, func(d *desk) { d.write("pump/thing.json", `{"status": "REVOKED"}`) }, "is REVOKED now"},
		"revoked beside a mistake in another folder": {
			func(d *desk) { link(d, "policy.json") }, func(d *desk) { d.write("pump/thing.json", `{"status": "REVOKED"}`) }, "is REVOKED now"},
		"revoked beside no certificate": {
			func(d *desk) { d.remove("pump/cert.pem") }, func(d *desk) { d.write("pump/thing.json", `{"status": "REVOKED"}`) }, "is REVOKED now"},
		"revoked beside a second certificate": {
			func(d *desk) { d.write("pump/1-certificate.pem.crt", "") }, func(d *desk) { d.write("pump/thing.json", `{"status": "REVOKED"}`) }, "is REVOKED now"},
		"denied beside a thing with a mistake": {
			func(d *desk) { d.write("pump/thing.json", "{") }, func(d *desk) { d.write("pump/policy.json", deny) }, "denies iot:Connect"},
	} {
		t.Run(name, func(t *testing.T) {
			onDesk(t, Config{}, func(t *testing.T, d *desk) {
				d.mkdirThing("pump", allowEverything)
				w := d.dialAs(d.tlsConfigOf("pump"))
				w.connect(packet.Connect{ClientID: []byte("c1"), CleanSession: true})
				d.text()
				test.mistake(d)
				time.Sleep(2 * time.Second)
				w.send(packet.AppendPingreq(nil), nil)
				w.want(packet.AppendPingresp(nil), nil)
				if got := d.text(); strings.Count(got, "\n") == 0 || !strings.Contains(got, `"eventType":"Registry"`) {
					t.Errorf("log:\n%swant the mistake", got)
				}
				test.change(d)
				time.Sleep(time.Second)
				w.wantEnd()
				if got := d.text(); !strings.Contains(got, test.want) {
					t.Errorf("log:\n%swant %s", got, test.want)
				}
			})
		})
	}
}

func TestFolderThatCannotBeReadStaysAsItWas(t *testing.T) {
	dir := t.TempDir()
	mustOpen(t, dir)
	for _, name := range []string{"pump", "valve"} {
		if err := os.Mkdir(filepath.Join(dir, name), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	mustOpen(t, dir)
	r, err := openRegistry(dir)
	if err != nil {
		t.Fatal(err)
	}
	pump, valve := r.folders["pump"].device, r.folders["valve"].device
	closed := filepath.Join(dir, "pump")
	if err := os.Chmod(closed, 0); err != nil {
		t.Fatal(err)
	}
	defer os.Chmod(closed, 0o700)
	if _, err := os.ReadDir(closed); err == nil {
		t.Skip("this user can read every folder: the test is for others")
	}
	if err := os.WriteFile(filepath.Join(dir, "valve", "thing.json"), []byte(`{"status": "REVOKED"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if mistakes := r.refresh(); len(mistakes) != 1 || !errors.Is(mistakes[0], fs.ErrPermission) {
		t.Errorf("%v, want permission denied", mistakes)
	}
	if mistakes := r.refresh(); len(mistakes) > 0 {
		t.Errorf("%v, want it told once", mistakes)
	}
	if r.find(pump.id) != pump {
		t.Error("the folder's device has gone")
	}
	if now := r.find(valve.id); now == nil || now.status != revoked {
		t.Errorf("%+v, want the other folder's device revoked", now)
	}
}

// A file without end, and one that blocks who opens it, do not hold up the registry.
func TestFileThatIsNoneIsNotRead(t *testing.T) {
	for name, test := range map[string]struct {
		make func(name string) error
		want string
	}{
		"named pipe": {func(name string) error { return syscall.Mkfifo(name, 0o600) }, "pump/policy.json is no regular file: put one there, or remove it"},
		"device":     {func(name string) error { return os.Symlink("/dev/zero", name) }, "pump/policy.json is no regular file: put one there, or remove it"},
		"too long": {func(name string) error {
			return os.WriteFile(name, []byte(strings.Repeat(" ", 1<<20)+deny), 0o600)
		}, "pump/policy.json has more than 1048576 bytes, which no certificate and no policy has"},
	} {
		t.Run(name, func(t *testing.T) {
			onDesk(t, Config{}, func(t *testing.T, d *desk) {
				d.mkdirThing("pump", allowEverything)
				w := d.dialAs(d.tlsConfigOf("pump"))
				w.connect(packet.Connect{ClientID: []byte("c1"), CleanSession: true})
				d.text()
				d.remove("pump/policy.json")
				if err := test.make(filepath.Join(d.dir, "pump", "policy.json")); err != nil {
					t.Fatal(err)
				}
				time.Sleep(2 * time.Second)
				d.wantDetails(test.want + "; what was read before stays")
				w.publish("a", "", 1)
				w.wantPuback(1)
				d.join("c2")
			})
		})
	}
}
