package peers

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"iotwire/internal/testbroker/advisor"
	"iotwire/internal/testbroker/advisor/testdata/flawed"
)

// What the advisor finds is its own: these are the cases' names in short.
const (
	fragments   = "TLS_Receive_Maximum_Size_Fragments"
	suites      = "TLS_Support_AWS_IoT_Cipher_Suites"
	wrongName   = "TLS_Incorrect_Subject_Name_Server_Cert"
	puback      = "MQTT_Client_Puback_QoS1"
	jitter      = "MQTT_Connect_Jitter_Backoff_Retries"
	exponential = "MQTT_Connect_Exponential_Backoff_Retries"
	disconnect  = "MQTT_Reconnect_Backoff_Retries_On_Server_Disconnect"
	unstable    = "MQTT_Reconnect_Backoff_Retries_On_Unstable_Connection"
	publish     = "MQTT_Publish"
	noPuback    = "MQTT_Publish_Retry_No_Puback"
	subscribe   = "MQTT_Subscribe"
	noSuback    = "MQTT_Subscribe_Retry_No_Suback"
	noAnswer    = "MQTT_No_Ack_PingResp"
	resumed     = "MQTT_Persistent_Session_Happy_Case"
	expired     = "MQTT_Expired_Persistent_Session"
	long        = "MQTT_Long_Duration"
)

// TestAdvisor runs testbroker advisor, as it is built, with our programs, with mosquitto's, and with devices that are bad
// on purpose. Each has to fail the cases that it should, and no others.
func TestAdvisor(t *testing.T) {
	dir := t.TempDir()
	cmd := exec.Command("go", "build", "-o", dir, "./cmd/testbroker", "./cmd/publisher", "./cmd/subscriber")
	cmd.Dir = filepath.Join("..", "..")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	ours := []string{"-e", "{endpoint}:{port}", "-C", "{dir}", "--aws", "-k", "5", "--client-id", "device", "--persistent", "--store", "{dir}/session"}
	theirs := []string{"-h", "{endpoint}", "-p", "{port}", "-V", "mqttv311", "-k", "10", "-q", "1", "-t", "a",
		"--cafile", "{dir}/AmazonRootCA1.pem", "--cert", "{dir}/cert.pem", "--key", "{dir}/private.key"}
	few := make(chan struct{}, 3) // side by side: each has many processes, and a busy machine is late
	const pass, warn, fail, none = advisor.Pass, advisor.Warn, advisor.Fail, advisor.NotApplicable
	for _, p := range []struct {
		name    string
		options []string
		program string
		args    []string
		flaws   string
		want    map[string]advisor.Verdict // of the cases that do not pass
	}{
		{"publisher", nil, filepath.Join(dir, "publisher"), append(ours, "-n", "0", "-m", "hello"), "", map[string]advisor.Verdict{
			fragments: none, puback: none, publish: none, subscribe: none, noSuback: none, resumed: none, expired: none}},
		{"publisher-qos0", []string{"--case", publish, "--case", long}, filepath.Join(dir, "publisher"),
			append(ours, "-n", "0", "-m", "hello", "-q", "0"), "", nil},
		{"subscriber", nil, filepath.Join(dir, "subscriber"), ours, "", map[string]advisor.Verdict{publish: none, noPuback: none}},
		{"mosquitto_sub", nil, "mosquitto_sub", append(theirs, "-i", "device", "-c"), "", map[string]advisor.Verdict{
			suites: warn, publish: none, noPuback: none,
			jitter: fail, exponential: fail, // it comes back each second
			disconnect: fail, unstable: fail, resumed: fail, expired: fail, long: fail, // it ends with its first connection
			noSuback: fail}},
		{"mosquitto_pub", nil, "mosquitto_pub", append(theirs, "-m", "hello"), "", map[string]advisor.Verdict{
			suites: warn, fragments: none, puback: none, publish: none, subscribe: none, noSuback: none, resumed: none, expired: none,
			jitter: fail, exponential: fail, disconnect: none, unstable: none, noPuback: fail, long: fail}},
		{"bad", nil, self, []string{"{endpoint}", "{port}", "{dir}"}, "ignores the server's name,retries constantly,never acknowledges",
			map[string]advisor.Verdict{wrongName: fail, jitter: fail, exponential: fail, disconnect: fail, unstable: fail,
				fragments: fail, puback: fail, resumed: fail, long: fail}},
		{"hangs", nil, self, []string{"{endpoint}", "{port}", "{dir}"}, "hangs", map[string]advisor.Verdict{
			fragments: none, puback: none, noPuback: none, noSuback: none, resumed: none, expired: none,
			publish: fail, subscribe: fail, noAnswer: fail, disconnect: fail, unstable: fail, long: fail}},
	} {
		t.Run(p.name, func(t *testing.T) {
			t.Parallel()
			few <- struct{}{}
			defer func() { <-few }()
			if !filepath.IsAbs(p.program) {
				p.program = findProgram(t, p.program)
			}
			advise := func(options ...string) advisor.Report {
				return runAdvisor(t, filepath.Join(dir, "testbroker"), p.flaws, append(append(options, "--", p.program), p.args...))
			}
			report := advise(p.options...)
			got := map[string]advisor.Verdict{}
			for _, c := range report.Cases {
				// Chance looks like a rule once in some thousand times, and not twice.
				if c.Verdict != pass && p.want[c.ID] == "" && strings.Contains(c.ID, "Backoff") {
					t.Logf("%s once more: %s", c.ID, c.Reason)
					c = advise("--case", c.ID).Cases[0]
				}
				t.Logf("%-55s %-4s  %s", c.ID, c.Verdict, c.Reason)
				if c.Verdict != pass {
					got[c.ID] = c.Verdict
				}
			}
			if !maps.Equal(got, p.want) {
				for _, c := range report.Cases {
					if got[c.ID] != p.want[c.ID] {
						t.Errorf("%s: %s: %s, want %s\n%s", c.ID, c.Verdict, c.Reason, or(p.want[c.ID], pass), eventLines(c))
					}
				}
			}
		})
	}
}

func or(v, other advisor.Verdict) advisor.Verdict {
	if v == "" {
		return other
	}
	return v
}

// eventLines is what happened in a case.
func eventLines(c advisor.Result) string {
	var lines strings.Builder
	for _, e := range c.Events {
		fmt.Fprintf(&lines, "%8.3f %d %s\n", e.Seconds, e.Connection, e.Text)
	}
	return lines.String()
}

// runAdvisor runs testbroker advisor, and checks its exit code and how long it takes.
func runAdvisor(t *testing.T, program, flaws string, args []string) (report advisor.Report) {
	t.Helper()
	var out bytes.Buffer
	cmd := exec.Command(program, append([]string{"advisor", "--json"}, args...)...)
	cmd.Env = append(os.Environ(), flawsVariable+"="+flaws)
	cmd.Stdout, cmd.Stderr = &out, newJournal(t, "testbroker advisor")
	began := time.Now()
	p := startProcess(t, cmd)
	select {
	case <-p.ended:
	case <-time.After(4 * time.Minute):
		p.stop(syscall.SIGTERM)
		t.Fatal("testbroker advisor does not end")
	}
	if took := time.Since(began); took > 3*time.Minute {
		t.Errorf("it took %v, want less than three minutes", took)
	}
	if err := json.Unmarshal(out.Bytes(), &report); err != nil {
		t.Fatalf("%v: %s", err, out.Bytes())
	}
	want := 0
	if report.Failed() {
		want = 1
	}
	if got := cmd.ProcessState.ExitCode(); got != want {
		t.Errorf("exit code %d, want %d", got, want)
	}
	return report
}

// flawsVariable makes this test binary a device with the flaws that it names.
const flawsVariable = "IOTWIRE_TEST_FLAWS"

// beFlawed is the program that the binary then is: it connects to the endpoint and port of its arguments.
func beFlawed(flaws string, args []string) error {
	if len(args) != 3 {
		return errors.New("want ENDPOINT PORT DIR")
	}
	d := &flawed.Device{ServerName: args[0], Now: time.Now, Flaws: map[string]bool{}}
	d.Dial = func() (net.Conn, error) { return net.Dial("tcp", net.JoinHostPort("127.0.0.1", args[1])) }
	_, d.Chance = math.Modf(float64(os.Getpid()) * math.Phi)
	for f := range strings.SplitSeq(flaws, ",") {
		if f != "none" && !slices.Contains(flawed.Flaws, f) {
			return fmt.Errorf("there is no flaw %q", f)
		}
		d.Flaws[f] = true
	}
	if err := d.Load(args[2]); err != nil {
		return err
	}
	return d.Run(context.Background())
}
