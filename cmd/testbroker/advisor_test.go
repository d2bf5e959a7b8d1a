package main

import (
	"bytes"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"iotwire/internal/cli"
	"iotwire/internal/testbroker/advisor"
)

// runAdvisorCommand runs the command and returns what it printed.
func runAdvisorCommand(t *testing.T, signals <-chan os.Signal, words ...string) (code cli.ExitCode, stdout, stderr string) {
	t.Helper()
	var out, problems bytes.Buffer
	p := &cli.Process{Args: append([]string{"advisor"}, words...), Getenv: func(string) string { return "" },
		Stdin: strings.NewReader(""), Stdout: &out, Stderr: &problems, Signals: signals}
	code = run(p)
	return code, out.String(), problems.String()
}

func needShell(t *testing.T) {
	t.Helper()
	if _, err := exec.LookPath("sh"); err != nil {
		t.Skip("there is no sh: ", err)
	}
}

func TestAdvisorPrintsATable(t *testing.T) {
	needShell(t)
	code, stdout, stderr := runAdvisorCommand(t, nil, "--case", "TLS_Connect", "--case", "mqtt_connect", "--",
		"sh", "-c", "echo broken >&2; exit 3", "{port}")
	want := `TLS_Connect   fail  no complete handshake: the program ended with exit code 3: broken
MQTT_Connect  fail  not connected: the program ended with exit code 3: broken
2 cases: 0 pass, 0 pass with warnings, 2 fail, 0 n/a
`
	if code != exitCaseFailed || stdout != want || stderr != "testbroker advisor: 2 cases, at most three minutes\n" {
		t.Errorf("exit code %d, stdout %q, want %q; stderr %q", code, stdout, want, stderr)
	}
}

func TestAdvisorPrintsJSON(t *testing.T) {
	needShell(t)
	words := []string{"sh", "-c", "exit 3", "{endpoint}:{port}"}
	code, stdout, _ := runAdvisorCommand(t, nil, append([]string{"--json", "--case", "MQTT_Connect", "--"}, words...)...)
	var report advisor.Report
	if err := json.Unmarshal([]byte(stdout), &report); err != nil {
		t.Fatalf("%v: %q", err, stdout)
	}
	if code != exitCaseFailed || strings.Join(report.Program, " ") != strings.Join(words, " ") || len(report.Cases) != 1 ||
		report.Cases[0].Verdict != advisor.Fail || len(report.Cases[0].Events) == 0 {
		t.Errorf("exit code %d, %+v", code, report)
	}
}

func TestAdvisorStopsOnASignal(t *testing.T) {
	needShell(t)
	for signal, want := range map[os.Signal]cli.ExitCode{os.Interrupt: cli.ExitInterrupted, syscall.SIGTERM: cli.ExitTerminated} {
		file := filepath.Join(t.TempDir(), "started")
		signals := make(chan os.Signal, 1)
		go func() {
			for range 1000 {
				if _, err := os.Stat(file); err == nil {
					break
				}
				time.Sleep(10 * time.Millisecond)
			}
			signals <- signal
		}()
		code, stdout, stderr := runAdvisorCommand(t, signals, "--case", "MQTT_Connect", "--",
			"sh", "-c", "touch "+file+"; sleep 600; true", "{port}")
		if code != want || stdout != "0 cases: 0 pass, 0 pass with warnings, 0 fail, 0 n/a\n" ||
			!strings.Contains(stderr, "0 of 1 case finished, the program was ended") {
			t.Errorf("%v: exit code %d, want %d, stdout %q, stderr %q", signal, code, want, stdout, stderr)
		}
	}
}

func TestAdvisorMistakesAreOneLine(t *testing.T) {
	for words, want := range map[string]string{
		"":                                 "no program: testbroker advisor -- PROGRAM ARGS...",
		"--json":                           "no program",
		"--":                               "no program",
		"-- sh":                            "no {port} in the program's arguments",
		"-- sh -c true":                    "no {port}",
		"-- no-such-program-here {port}":   `cannot run "no-such-program-here"`,
		"--case TLS -- sh {port}":          `--case: no such case: "TLS"; --list lists them`,
		"--cases X -- sh {port}":           "did you mean --case?",
		"sh {port}":                        "unexpected argument",
		"--case MQTT_Connect sh {port}":    "unexpected argument",
		"--case MQTT_Con* --case X --list": `no such case: "X"`,
	} {
		code, stdout, stderr := runAdvisorCommand(t, nil, strings.Fields(words)...)
		if code != cli.ExitUsage || stdout != "" || !strings.Contains(stderr, want) || strings.Count(stderr, "\n") != 1 {
			t.Errorf("%q: exit code %d, stdout %q, stderr %q, want one line with %q", words, code, stdout, stderr, want)
		}
	}
}

func TestAdvisorListsItsCases(t *testing.T) {
	code, stdout, _ := runAdvisorCommand(t, nil, "--list")
	if code != cli.ExitDone || strings.Count(stdout, "\n") != len(advisor.Cases()) {
		t.Errorf("exit code %d, %q", code, stdout)
	}
	code, stdout, _ = runAdvisorCommand(t, nil, "--list", "--case", "*Puback")
	if code != cli.ExitDone || stdout != "MQTT_Publish_Retry_No_Puback                            no PUBACK: sends the PUBLISH again on the same connection\n" {
		t.Errorf("exit code %d, %q", code, stdout)
	}
}

func TestAdvisorHelpFits(t *testing.T) {
	code, stdout, stderr := runAdvisorCommand(t, nil, "--help")
	if code != cli.ExitDone || stderr != "" || !strings.Contains(stdout, "Exit status: 0 no case failed, 1 a case failed, 2 usage") {
		t.Errorf("exit code %d, %q, stderr %q", code, stdout, stderr)
	}
	for line := range strings.Lines(stdout) {
		if n := len([]rune(strings.TrimSuffix(line, "\n"))); n > 80 {
			t.Errorf("%d columns: %s", n, line)
		}
	}
}

func TestAdvisorSaysWhenNobodyReads(t *testing.T) {
	r, w := io.Pipe()
	r.Close()
	var stderr bytes.Buffer
	p := &cli.Process{Args: []string{"advisor", "--list"}, Getenv: func(string) string { return "" }, Stdout: w, Stderr: &stderr}
	if code := run(p); code != exitNoRun || !strings.Contains(stderr.String(), "closed pipe") {
		t.Errorf("exit code %d, %q", code, stderr.String())
	}
}

func TestAdvisorListEndsQuietlyWithItsReader(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	r.Close()
	var stderr bytes.Buffer
	c := exec.Command(os.Args[0], "advisor", "--list")
	c.Env = append(os.Environ(), "TESTBROKER_BE_THE_PROGRAM=1")
	c.Stdout, c.Stderr = w, &stderr
	err = c.Run()
	w.Close()
	if err != nil || stderr.Len() > 0 {
		t.Errorf("%v, stderr %q, want nothing", err, stderr.String())
	}
}

// What the help promises about SIGKILL is what can be kept: it reaches a process group.
func TestAdvisorHelpPromisesTheProcessGroupOnly(t *testing.T) {
	_, stdout, _ := runAdvisorCommand(t, nil, "--help")
	text := strings.Join(strings.Fields(stdout), " ")
	if !strings.Contains(text, "its process group gets SIGTERM, and SIGKILL a second later") || strings.Contains(text, "whatever it has started") {
		t.Errorf("%s", text)
	}
}
