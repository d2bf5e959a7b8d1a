package peers

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

const examples = "../../examples"

func TestExampleUnitIsWhatSystemdTakes(t *testing.T) {
	verify := tool(t, "systemd-analyze", "systemd")
	unit, err := os.ReadFile(filepath.Join(examples, "systemd/iotwire-subscriber.service"))
	if err != nil {
		t.Fatal(err)
	}
	installed := strings.Replace(string(unit), "/usr/local/bin/subscriber", "/bin/true", 1) // systemd looks whether it is there
	path := filepath.Join(t.TempDir(), "iotwire-subscriber.service")
	if err := os.WriteFile(path, []byte(installed), 0o644); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(verify, "verify", path).CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("systemd-analyze verify: %v\n%s", err, out)
	}
}

func TestExampleScriptIsWhatShellcheckTakes(t *testing.T) {
	check := tool(t, "shellcheck", "shellcheck")
	if out, err := exec.Command(check, filepath.Join(examples, "openwrt/iotwire.init")).CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("shellcheck: %v\n%s", err, out)
	}
}

// The script runs in a shell in which OpenWrt's functions print what they are told, and read a configuration from
// variables; and the program understands the command that comes out.
func TestExampleScriptStartsOneSubscriberASection(t *testing.T) {
	sh := tool(t, "sh", "dash")
	const openwrt = `
		config_load() { :; }
		config_foreach() { "$1" commands; "$1" broken; }
		config_get() {
			case $2.$3 in
			commands.endpoint) value=x.example ;;
			commands.client_id) value="router 17" ;;
			*) value=$4 ;;
			esac
			eval "$1=\$value"
		}
		config_list_foreach() { "$3" routers/17/commands; "$3" 'routers/+/all'; }
		logger() { echo "log: $*"; }
		procd_open_instance() { echo "instance $1"; }
		procd_close_instance() { echo; }
		show() { local word; for word; do printf '%s|' "$word"; done; }
		procd_set_param() { printf '\n%s: ' "$1"; shift; show "$@"; }
		procd_append_param() { shift; show "$@"; }
		. "$1"
		start_service`
	out, err := exec.Command(sh, "-c", openwrt, "sh", filepath.Join(examples, "openwrt/iotwire.init")).CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	command := "/usr/bin/subscriber|--endpoint|x.example|--cert-dir|/etc/iotwire|--qos|1|--client-id|router 17|--persistent|" +
		"--topic|routers/17/commands|--topic|routers/+/all|"
	want := `instance commands

command: ` + command + `
env: GOMEMLIMIT=12MiB|GOGC=50|
respawn: 3600|30|0|
stdout: 1|
stderr: 1|
log: -t iotwire -p daemon.err /etc/config/iotwire: section broken has no endpoint
`
	if string(out) != want {
		t.Errorf("got\n%s\nwant\n%s", out, want)
	}
	words := strings.Split(strings.TrimSuffix(command, "|"), "|")[1:]
	words[3] = t.TempDir() // without certificates: the options are in order if that is the complaint
	out, err = exec.Command(filepath.Join(string(buildPrograms(t)), "subscriber"), words...).CombinedOutput()
	if err == nil || !strings.Contains(string(out), words[3]) {
		t.Errorf("%v\n%s", err, out)
	}
}

// tool finds a program of the machine.
func tool(t *testing.T, name, debianPackage string) string {
	path, err := exec.LookPath(name)
	if err != nil {
		t.Skipf("%s is not installed (Debian: apt-get install %s)", name, debianPackage)
	}
	return path
}
