package peers

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// mosquitto is Eclipse Mosquitto, as Debian packages it.
var mosquitto = brokerKind{name: "mosquitto", start: startMosquitto}

func startMosquitto(t *testing.T, s setup) *broker {
	t.Helper()
	program := findProgram(t, "mosquitto")
	dir := t.TempDir()
	b := &broker{setup: s, address: freeAddress(t)}
	config := filepath.Join(dir, "mosquitto.conf")
	if err := os.WriteFile(config, []byte(mosquittoConfig(t, dir, b)), 0o600); err != nil {
		t.Fatal(err)
	}
	log := newJournal(t, "mosquitto")
	var running *process
	start := func(t *testing.T) {
		cmd := exec.Command(program, "-c", config)
		cmd.Stdout, cmd.Stderr = log, log
		running = startProcess(t, cmd)
		awaitListener(t, b.address, running.ended)
	}
	start(t)
	t.Cleanup(func() { running.stop(syscall.SIGTERM) })
	b.crash = func(t *testing.T) {
		running.stop(syscall.SIGKILL)
		start(t)
	}
	return b
}

func mosquittoConfig(t *testing.T, dir string, b *broker) string {
	_, port, _ := strings.Cut(b.address, ":")
	lines := []string{
		"user root", // where root starts it, it would else be somebody who may not read our files
		"listener " + port + " 127.0.0.1",
		"set_tcp_nodelay true",
		"persistence false",
		"log_dest stderr",
		"log_type all",
	}
	if !b.setup.asShipped {
		lines = append(lines, "max_queued_messages 100000", fmt.Sprintf("max_inflight_messages %d", manyInflight))
	}
	if c := b.setup.certificates; c != nil {
		lines = append(lines,
			"cafile "+c.file("AmazonRootCA1.pem"),
			"certfile "+c.file("server.pem"),
			"keyfile "+c.file("server.key"),
			"require_certificate true",
		)
	}
	if b.setup.user == "" {
		lines = append(lines, "allow_anonymous true")
	} else {
		passwords := filepath.Join(dir, "passwords")
		cmd := exec.Command(findProgram(t, "mosquitto_passwd"), "-b", "-c", passwords, b.setup.user, b.setup.password)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("mosquitto_passwd: %v: %s", err, out)
		}
		lines = append(lines, "allow_anonymous false", "password_file "+passwords)
	}
	if b.setup.deny != "" {
		lines = append(lines, "plugin "+findPlugin(t), "plugin_opt_config_file "+writeAccess(t, dir, b.setup.deny))
	}
	return strings.Join(lines, "\n") + "\n"
}

// findPlugin returns the path of mosquitto's plugin for access rules. Its acl_file never refuses a SUBSCRIBE.
func findPlugin(t *testing.T) string {
	t.Helper()
	const pattern = "/usr/lib/*/mosquitto_dynamic_security.so"
	found, err := filepath.Glob(pattern)
	if err != nil || len(found) == 0 {
		t.Fatalf("no %s, which is in Debian's package mosquitto", pattern)
	}
	return found[0]
}

// writeAccess writes the plugin's rules: everybody may do everything but subscribe to deny.
func writeAccess(t *testing.T, dir, deny string) string {
	t.Helper()
	type object map[string]any
	rules, err := json.Marshal(object{
		"defaultACLAccess": object{"publishClientSend": true, "publishClientReceive": true, "subscribe": true, "unsubscribe": true},
		"anonymousGroup":   "anybody",
		"groups":           []object{{"groupname": "anybody", "roles": []object{{"rolename": "limited"}}}},
		"roles": []object{{"rolename": "limited", "acls": []object{
			{"acltype": "subscribeLiteral", "topic": deny, "allow": false},
		}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(dir, "access.json")
	if err := os.WriteFile(name, rules, 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}
