package peers

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"iotwire/internal/testbroker"
)

// account is where the resources of the registry's policies are.
const account = "arn:aws:iot:us-east-1:123456789012:"

// deskPolicy lets clients named desk-... use the topics desk/..., but receive desk/open/... only. (Our client
// uses settled/... to know when a subscription counts.)
const deskPolicy = `{
  "Version": "2012-10-17",
  "Statement": [
    {"Effect": "Allow", "Action": "iot:Connect", "Resource": "` + account + `client/desk-*"},
    {"Effect": "Allow", "Action": "iot:Publish", "Resource": ["` + account + `topic/desk/*", "` + account + `topic/settled/*"]},
    {"Effect": "Allow", "Action": "iot:Subscribe", "Resource": ["` + account + `topicfilter/desk/*", "` + account + `topicfilter/settled/*"]},
    {"Effect": "Allow", "Action": "iot:Receive", "Resource": ["` + account + `topic/desk/open/*", "` + account + `topic/settled/*"]}
  ]
}
`

// desk is the program testbroker --aws, with its registry.
type desk struct {
	*broker
	t        *testing.T
	programs programs
	process  *process
	log      *lineLog
	id       string // of the certificate
}

// startDesk starts the program as somebody would who has cloned the repository, in an empty directory, and then edits
// the policy that it has made.
func startDesk(t *testing.T) *desk {
	t.Helper()
	bin, dir := t.TempDir(), filepath.Join(t.TempDir(), "desk")
	build := exec.Command("go", "build", "-o", bin, "./cmd/testbroker", "./cmd/publisher", "./cmd/subscriber")
	build.Dir = filepath.Join("..", "..")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	d := &desk{t: t, programs: programs(bin), log: newLineLog()}
	cmd := exec.Command(filepath.Join(bin, "testbroker"), "--aws", "--tls-port", "0", "--dir", dir)
	said, out := newJournal(t, "testbroker --aws"), newLineLog()
	cmd.Stdout = &lines{line: out.add}
	cmd.Stderr = &lines{line: func(line string) {
		said.Write([]byte(line + "\n"))
		d.log.add(line)
	}}
	d.process = startProcess(t, cmd)
	if !out.await("listening on mqtts://localhost:", d.process.ended) {
		t.Fatal("testbroker --aws does not say where it listens")
	}
	port := regexp.MustCompile(`localhost:(\d+)`).FindStringSubmatch(out.lines()[0])[1]

	made, err := testbroker.EnsureCertificates(dir)
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(made.Device)
	sum := sha256.Sum256(block.Bytes)
	d.id = hex.EncodeToString(sum[:])
	d.broker = &broker{
		kind:    brokerKind{name: "testbroker --aws"},
		setup:   setup{certificates: &certificates{dir, made}},
		address: "localhost:" + port,
	}
	d.writePolicy(deskPolicy)
	return d
}

// writePolicy is an editor that saves policy.json.
func (d *desk) writePolicy(text string) {
	d.t.Helper()
	if err := os.WriteFile(d.setup.certificates.file("policy.json"), []byte(text), 0o644); err != nil {
		d.t.Fatal(err)
	}
}

// wantDenial waits for the log line about an action that was denied, and compares all that AWS would not say.
func (d *desk) wantDenial(t *testing.T, event, action, resource string) {
	t.Helper()
	if !d.log.await(`"action":"`+action+`","resource":"`+account+resource+`"`, d.process.ended) {
		t.Fatalf("the log does not say that %s on %s was denied", action, resource)
	}
	var line struct {
		EventType, Status, Reason, Details, PrincipalID string
		WouldAllow                                      struct{ Effect, Action, Resource string }
	}
	all := d.log.lines()
	if err := json.Unmarshal([]byte(all[d.log.seen-1]), &line); err != nil {
		t.Fatal(err)
	}
	if line.EventType != event || line.Status != "Failure" || line.Reason != "AUTHORIZATION_FAILURE" || line.PrincipalID != d.id ||
		!strings.HasPrefix(line.Details, "no statement allows "+action+" on "+account+resource+": ") {
		t.Errorf("the log says %+v, want a %s of certificate %s", line, event, d.id)
	}
	if w := line.WouldAllow; w.Effect != "Allow" || w.Action != action || w.Resource != account+resource {
		t.Errorf("the log suggests %+v, want to allow %s on %s", w, action, resource)
	}
}
