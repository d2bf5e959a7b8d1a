package cli

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// alone is no network: a connection is a mistake.
func alone(t *testing.T) dial {
	return func(context.Context, string, string) (net.Conn, error) {
		t.Error("a dry run opened a connection")
		return nil, net.ErrClosed
	}
}

// needsTraces skips a test of what a build with the tag notrace does not have.
func needsTraces(t *testing.T) {
	t.Helper()
	if !tracing {
		t.Skip("this build shows no packets")
	}
}

func TestADryRunShowsWhatWouldBeSent(t *testing.T) {
	needsTraces(t)
	for _, c := range []struct {
		args, stdin string
		want        string // of packets: the last column
		last        string
	}{
		{"-m hello", "", `CONNECT 16 client id "me", keep alive 10 s, clean session 1
PUBLISH 24 "test/commands", QoS 1, id 1, 5 bytes
DISCONNECT 2 clean end: the server drops the Will
`, "nothing was sent: this was a dry run of 1 message in 42 bytes"},
		{"-z -q0 -r -t a -k 0 --will-topic gone", "", `CONNECT 24 client id "me", keep alive 0 s, clean session 1
PUBLISH 5 "a", QoS 0, RETAIN, 0 bytes
DISCONNECT 2 clean end: the server drops the Will
`, "nothing was sent: this was a dry run of 1 message in 31 bytes"},
		{"-m x -n 2 -q2 -i 1h -t a", "", `CONNECT 16 client id "me", keep alive 10 s, clean session 1
PUBLISH 8 "a", QoS 2, id 1, 1 byte
PUBREL 4 id 1
PUBLISH 8 "a", QoS 2, id 2, 1 byte
PUBREL 4 id 2
DISCONNECT 2 clean end: the server drops the Will
`, "nothing was sent: this was a dry run of 2 messages in 42 bytes"},
		{"-l -t a", "1\n22\n", `CONNECT 16 client id "me", keep alive 10 s, clean session 1
PUBLISH 8 "a", QoS 1, id 1, 1 byte
PUBLISH 9 "a", QoS 1, id 2, 2 bytes
DISCONNECT 2 clean end: the server drops the Will
`, "nothing was sent: this was a dry run of 2 messages in 35 bytes"},
		{"-m x -n 0 -t a", "", `CONNECT 16 client id "me", keep alive 10 s, clean session 1
PUBLISH 8 "a", QoS 1, id 1, 1 byte
DISCONNECT 2 clean end: the server drops the Will
`, "nothing was sent: this was a dry run of 1 message in 26 bytes"},
	} {
		synctest.Test(t, func(t *testing.T) {
			began := time.Now()
			r := run(t, Publisher, alone(t), func(p *Process) {
				p.Stdin = strings.NewReader(c.stdin)
				p.Args = append([]string{"--client-id", "me", "--dry-run"}, strings.Fields(c.args)...) // no endpoint
			})
			r.ended(ExitDone, c.last)
			if stderr := r.stderr.String(); stderr != c.last+"\n" {
				t.Errorf("%s: stderr %q", c.args, stderr)
			}
			got := ""
			for line := range strings.Lines(r.stdout.String()) {
				arrow, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
				fields := strings.Fields(rest)
				if arrow != ">" || len(fields) < 4 || fields[2] != "B" {
					t.Errorf("%s: %q", c.args, line)
					continue
				}
				text, _, _ := strings.Cut(strings.Join(fields[3:], " "), ", answers ")
				got += fields[0] + " " + fields[1] + " " + text + "\n"
			}
			if diff := cmp.Diff(c.want, got); diff != "" || time.Since(began) > 0 {
				t.Errorf("%s, after %v: %s", c.args, time.Since(began), diff)
			}
		})
	}
}

func TestADryRunIsTracedInEachStyle(t *testing.T) {
	needsTraces(t)
	synctest.Test(t, func(t *testing.T) {
		file := filepath.Join(t.TempDir(), "trace")
		r := run(t, Publisher, alone(t), nil, "--dry-run", "-m", "x", "--trace=hex", "--trace-file", file)
		r.ended(ExitDone)
		b, err := os.ReadFile(file)
		if err != nil || strings.Count("\n"+string(b), "\n> ") != 3 || strings.Contains("\n"+string(b), "\n< ") || r.stdout.String() != "" {
			t.Errorf("%v, stdout %q, file:\n%s", err, r.stdout.String(), b)
		}
		r = run(t, Publisher, alone(t), nil, "--dry-run", "-m", "x", "--trace")
		if got := r.stdout.String(); !strings.Contains(got, "Application Message") || strings.Contains(got, "PUBACK ---") {
			t.Errorf("stdout:\n%s", got)
		}
	})
}

func TestADryRunEndsWithItsAudience(t *testing.T) {
	needsTraces(t)
	synctest.Test(t, func(t *testing.T) {
		endless := func(to error) func(*Process) {
			return func(p *Process) { p.Stdin, p.Stdout = endlessLines{}, failing{to} }
		}
		run(t, Publisher, alone(t), endless(syscall.EPIPE), "--dry-run", "-l").ended(ExitDone)
		run(t, Publisher, alone(t), endless(syscall.ENOSPC), "--dry-run", "-l").
			ended(ExitLocal, "publisher: standard output: no space left on device")
	})
}

type endlessLines struct{}

func (endlessLines) Read(b []byte) (int, error) { return copy(b, "x\n"), nil }

func TestADryRunIsNothingElse(t *testing.T) {
	needsTraces(t)
	for _, args := range []string{"--check", "--json", "--page x", "--pcap x", "--keylog x", "--persistent --store x"} {
		r := run(t, Publisher, alone(t), nil, append(strings.Fields(args), "--dry-run", "-m", "x")...)
		if stderr := r.stderr.String(); r.exit != ExitUsage || !strings.HasPrefix(stderr, "publisher: --dry-run and --") {
			t.Errorf("%s: exit code %d, %s", args, r.exit, stderr)
		}
	}
	// The limits of AWS IoT Core are those of the real thing.
	r := run(t, Publisher, alone(t), nil, "--dry-run", "-m", "x", "-q2", "-e", "x-ats.iot.eu-west-1.amazonaws.com")
	r.ended(ExitUsage, "publisher: AWS IoT Core: QoS 2, want 0 or 1 (publisher --help lists the options)")
	r = run(t, Publisher, alone(t), nil, "--dry-run", "-f", "/does/not/exist")
	r.ended(ExitLocal, "publisher: /does/not/exist: no such file or directory")
}
