package main

import (
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"iotwire/internal/cli"
)

// evalPolicy is a policy in which each rule of the command has something to decide.
const evalPolicy = `{
  "Version": "2012-10-17",
  "Statement": [
    {"Sid": "Connect", "Effect": "Allow", "Action": "iot:Connect",
     "Resource": "arn:aws:iot:eu-west-1:111122223333:client/${iot:Connection.Thing.ThingName}"},
    {"Effect": "Allow", "Action": "iot:Publish", "Resource": "arn:aws:iot:eu-west-1:111122223333:topic/${iot:ClientId}/*"},
    {"Effect": "Deny", "Action": "iot:Publish", "Resource": "arn:aws:iot:*:*:topic/*/secret"},
    {"Effect": "Allow", "Action": "iot:Publish", "Resource": "arn:aws:iot:*:*:topic/${iot:Connection.Thing.Attributes[room]}"},
    {"Effect": "Allow", "Action": "iot:Receive", "Resource": "*", "Condition": {"ForAllValues:StringEquals": {"iot:ConnectAttributes": ["a", "b"]},
     "ForAnyValue:StringEquals": {"iot:ConnectAttributes": ["b"]}}},
    {"Effect": "Allow", "Action": "iot:RetainPublish", "Resource": "*", "Condition": {"IpAddress": {"aws:SourceIp": "10.0.0.0/8"},
     "Bool": {"aws:SecureTransport": "true"}, "DateGreaterThan": {"aws:CurrentTime": "2020-01-01"}, "NumericGreaterThan": {"aws:EpochTime": 1500000000}}},
    {"Effect": "Allow", "Action": "iot:DeleteConnection", "Resource": "*", "Condition": {"ArnEquals": {"iot:LastWillTopic": "arn:aws:iot:eu-west-1:111122223333:topic/will"}}}
  ]
}
`

// runEval runs the command with words, where P is a file with the policy, and returns what it printed.
func runEval(t *testing.T, stdin string, words ...string) (code cli.ExitCode, stdout, stderr string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "p.json")
	if err := os.WriteFile(file, []byte(evalPolicy), 0o600); err != nil {
		t.Fatal(err)
	}
	for i, word := range words {
		if word == "P" {
			words[i] = file
		}
	}
	var out, problems bytes.Buffer
	p := &cli.Process{Args: append([]string{"eval"}, words...), Getenv: func(string) string { return "" },
		Stdin: strings.NewReader(stdin), Stdout: &out, Stderr: &problems}
	code = run(p)
	return code, strings.ReplaceAll(out.String(), file, "P"), strings.ReplaceAll(problems.String(), file, "P")
}

func TestEvalDecides(t *testing.T) {
	const home = "arn:aws:iot:eu-west-1:111122223333:"
	for _, c := range []struct {
		words string
		want  string // of the first line, and a part of the second
	}{
		{"--action iot:Connect --resource client/t1 --attached", `allow statement 1 "Connect" of P allows iot:Connect on ` + home + "client/t1"},
		{"--action iot:Connect --resource client/t1 --thing t1 --attached", "allow"},
		{"--action iot:Connect --resource client/t1 --thing t1 --client-id t1 --attached", "allow"},
		{"--action IOT:CONNECT --resource " + home + "client/t1 --attached", "allow"},
		{"--action iot:Connect --resource client/t1", `deny no thing is attached to the certificate that is named "t1"`},
		{"--action iot:Connect --resource client/t1 --thing t1", "deny is not resolved"},
		{"--action iot:Connect --resource client/t1 --thing t2 --attached", "deny is not resolved"},
		{"--action iot:Connect --resource client/t2 --thing t1 --attached", "deny is not resolved"},
		{"--action iot:Connect --resource client/t2 --var iot:Connection.Thing.ThingName=t2 --client-id x --attached", "allow"},
		{"--action iot:Connect --resource client/t2 --var iot:Connection.Thing.ThingName=t2 --client-id x", "deny is not resolved"},
		{"--action iot:Connect --resource arn:aws:iot:us-east-1:111122223333:client/t1 --attached", "deny of region eu-west-1, not us-east-1"},

		{"--action iot:Publish --resource topic/c1/a --client-id c1", "allow statement 2 of P"},
		{"--action iot:Publish --resource topic/t1/a --thing t1 --attached", "allow statement 2 of P"},
		{"--action iot:Publish --resource topic/c1/a --var iot:clientid=c1", "allow statement 2 of P"},
		{"--action iot:Publish --resource topic/c1/a", "deny the variable ${iot:ClientId} is not resolved: it has no value"},
		{"--action iot:Publish --resource topic/c1/secret --client-id c1", "deny statement 3 of P denies"},

		{"--action iot:Publish --resource topic/attic --attached --thing t --var iot:Connection.Thing.Attributes[room]=attic", "allow statement 4"},
		{"--action iot:Publish --resource topic/attic --client-id t --var iot:Connection.Thing.Attributes[room]=attic", "deny ${iot:Connection.Thing.Attributes[room]} is not resolved"},
		{"--action iot:Publish --resource topic/attic --client-id t --attached", "deny the thing has no such attribute"},

		{"--action iot:Receive --resource topic/x --var iot:ConnectAttributes=a --var iot:ConnectAttributes=b", "allow statement 5"},
		{"--action iot:Receive --resource topic/x --var iot:ConnectAttributes=a", `deny asks for ForAnyValue:StringEquals iot:ConnectAttributes "b", and iot:ConnectAttributes has "a"`},
		{"--action iot:Receive --resource topic/x --var iot:ConnectAttributes=b --var iot:ConnectAttributes=c", `deny has "b" and "c"`},
		{"--action iot:RetainPublish --resource topic/x --var aws:SourceIp=10.9.8.7", "allow statement 6"},
		{"--action iot:RetainPublish --resource topic/x --var aws:SourceIp=10.9.8.7 --var aws:CurrentTime=2019-12-31", "deny DateGreaterThan"},
		{"--action iot:RetainPublish --resource topic/x", "deny aws:SourceIp has no value"},
		{"--action iot:DeleteConnection --resource client/x --var iot:LastWillTopic=topic/will", "allow statement 7"},
		{"--action iot:DeleteConnection --resource client/x --var iot:LastWillTopic=arn:aws:iot:eu-west-1:9:topic/will", "deny"},
		{"--action iot:Subscribe --resource topicfilter/x/#", "deny no Allow has iot:Subscribe; statement 5 of P has the resource, but for iot:Receive"},
		{"--action iot:ListRetainedMessages --resource *", "deny"},
	} {
		t.Run(c.words, func(t *testing.T) {
			code, stdout, stderr := runEval(t, "", append([]string{"--policy", "P"}, strings.Fields(c.words)...)...)
			first, part, _ := strings.Cut(c.want, " ")
			lines := strings.Split(strings.TrimSuffix(stdout, "\n"), "\n")
			if len(lines) < 2 || lines[0] != first || !strings.Contains(lines[1], part) || stderr != "" {
				t.Fatalf("stdout %q, stderr %q, want %q", stdout, stderr, c.want)
			}
			want := map[string]cli.ExitCode{"allow": 0, "deny": 1}[first]
			if code != want {
				t.Errorf("exit code %d, want %d", code, want)
			}
			// The third line is there where a statement would help, and with it as a policy of its own it does.
			if suggested := len(lines) == 3; suggested != strings.HasPrefix(lines[1], "no statement") {
				t.Errorf("stdout %q", stdout)
			} else if suggested {
				more := `{"Version": "2012-10-17", "Statement": ` + lines[2] + `}`
				code, stdout, stderr := runEval(t, more, append([]string{"--policy", "P", "--policy", "-"}, strings.Fields(c.words)...)...)
				if code != 0 || !strings.HasPrefix(stdout, "allow\nstatement 1 of - allows") {
					t.Errorf("with %s: exit code %d, %q, %q", lines[2], code, stdout, stderr)
				}
			}
		})
	}
}

func TestEvalHasAHomeForWhatNoPolicyNames(t *testing.T) {
	p := `{"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "iot:Publish", "Resource": "*"}}`
	code, stdout, _ := runEval(t, p, "--policy", "-", "--action", "iot:Publish", "--resource", "topic/a")
	if want := "allow\nstatement 1 of - allows iot:Publish on arn:aws:iot:us-east-1:123456789012:topic/a\n"; code != 0 || stdout != want {
		t.Errorf("exit code %d, stdout %q, want %q", code, stdout, want)
	}
}

func TestEvalSuggestsNoStatementThatCannotHelp(t *testing.T) {
	const document = `{"Statement": {"Effect": "Allow", "Action": "iot:GetRetainedMessage", "Resource": "*"}}`
	for _, c := range []struct{ action, resource, want string }{
		{"iot:Publish", "topic/a/+", "has the wildcard '+', which belongs in topic filters only"},
		{"iot:Publish", "arn:aws:iot:eu-west-3:123456789012:topic/a/#", "has the wildcard '#'"},
		{"iot:Receive", "topic/a/+", "has the wildcard '+'"},
		{"iot:Publish", "topic/1/2/3/4/5/6/7/8/9", `the topic name "1/2/3/4/5/6/7/8/9" has 8 slashes, limit 7`},
		{"iot:Publish", "topic/$SYS/a", "starts with '$'"},
		{"iot:RetainPublish", "topic/$aws/things/t/shadow/get", "RETAIN is 1 for the reserved topic name"},
		{"iot:Subscribe", "topicfilter/a#", "topic filter has '#'"},
		{"iot:Subscribe", "topicfilter/+/2/3/4/5/6/7/8/9", "has 8 slashes, limit 7"},
		{"iot:Connect", "client/$a", "starts with '$', which is reserved"},
	} {
		code, stdout, stderr := runEval(t, document, "--policy", "-", "--action", c.action, "--resource", c.resource)
		_, reason, _ := strings.Cut(stdout, "; no statement would help: ")
		if code != exitDeny || strings.Count(stdout, "\n") != 2 || !strings.Contains(reason, c.want) || stderr != "" {
			t.Errorf("%s %s: exit code %d, stdout %q, stderr %q, want %s", c.action, c.resource, code, stdout, stderr, c.want)
		}
	}
	everything := `{"Statement": {"Effect": "Allow", "Action": "*", "Resource": "*"}}`
	code, stdout, _ := runEval(t, everything, "--policy", "-", "--action", "iot:Publish", "--resource", "topic/a/+")
	if code != exitAllow || !strings.Contains(stdout, "; AWS refuses it all the same: topic name has the wildcard '+'") {
		t.Errorf("exit code %d, stdout %q", code, stdout)
	}
	for action, resource := range map[string]string{
		"iot:Publish": "topic/1/2/3/4/5/6/7/8", "iot:Subscribe": "topicfilter/+/2/3/4/5/6/7/#", "iot:Receive": "topic/$aws/events/x", "iot:Connect": "client/a",
	} {
		if _, stdout, _ := runEval(t, document, "--policy", "-", "--action", action, "--resource", resource); strings.Count(stdout, "\n") != 3 {
			t.Errorf("%s %s: stdout %q, want a statement", action, resource, stdout)
		}
	}
}

// endless is what has no end, as /dev/zero has none.
type endless struct{}

func (endless) Read(b []byte) (int, error) { clear(b); return len(b), nil }

func TestEvalReadsNoPolicyWithoutEnd(t *testing.T) {
	for _, name := range []string{"-", "/dev/zero"} {
		if _, err := os.Stat(name); name != "-" && err != nil {
			t.Logf("not tried: %v", err)
			continue
		}
		var stderr bytes.Buffer
		p := &cli.Process{Args: []string{"eval", "--policy", name, "--action", "iot:Publish", "--resource", "topic/a"},
			Getenv: func(string) string { return "" }, Stdin: endless{}, Stdout: io.Discard, Stderr: &stderr}
		want := `testbroker eval: cannot read the policy "` + name + `": it has more than 1048576 bytes, and no policy has so many` + "\n"
		if code := run(p); code != cli.ExitUsage || stderr.String() != want {
			t.Errorf("exit code %d, stderr %q, want %q", code, stderr.String(), want)
		}
	}
}

func TestEvalMistakesAreOneLine(t *testing.T) {
	for _, c := range []struct{ stdin, words, want string }{
		{"", "", "testbroker eval: --policy is missing"},
		{"", "--policy P --resource topic/a", "testbroker eval: --action is missing"},
		{"", "--policy P --action iot:Publish", "testbroker eval: --resource is missing"},
		{"", "--policy P --action Publish --resource topic/a", `--action: unknown action "Publish"; did you mean iot:Publish?`},
		{"", "--policy P --action iot:* --resource topic/a", `--action: unknown action "iot:*"`},
		{"", "--policy P --action iot:Subscribe --resource topic/a", `--resource: iot:Subscribe needs topicfilter/NAME, not "topic/a"`},
		{"", "--policy P --action iot:Publish --resource a", `--resource: iot:Publish needs topic/NAME, not "a"`},
		{"", "--policy P --action iot:Publish --resource topic/", `not "topic/"`},
		{"", "--policy P --action iot:Publish --resource arn:aws:iot:x:topic/a", "fewer than the six parts of an ARN"},
		{"", "--policy P --action iot:Publish --resource arn:aws:iot:x:1:client/a", `iot:Publish needs topic/NAME, not "client/a"`},
		{"", "--policy P --action iot:ListRetainedMessages --resource topic/a", "give '*'"},
		{"", "--policy P --action iot:Publish --resource topic/a --var x", `--var: "x" is not KEY=VALUE`},
		{"", "--policy P --action iot:Publish --resource topic/a --var iot:Client=x", `--var: unknown key "iot:Client"; did you mean iot:ClientId?`},
		{"", "--policy P --action iot:Publish --resource topic/a --var iot:LastWillTopic=x", `iot:Publish needs topic/NAME, not "x"`},
		{"", "--policy P --action iot:Publish --resource topic/a more", `unexpected argument "more"`},
		{"", "--policy P --acton iot:Publish --resource topic/a", "no such option: --acton; did you mean --action?"},
		{"", "--policy /none --action iot:Publish --resource topic/a", `testbroker eval: cannot read the policy "/none": no such file or directory`},
		{"", "--policy . --action iot:Publish --resource topic/a", `cannot read the policy ".": is a directory`},
		{"{\n \"Statment\": []}", "--policy P --policy - --action iot:Publish --resource topic/a", "-:2:2: unknown key \"Statment\"; did you mean Statement?\n"},
		{"", "--policy - --action iot:Publish --resource topic/a", "-:1:1: the document is empty\n"},
		{`{"Statement": {"Effect": "Allow", "Action": "iot:Subscribe", "Resource": "arn:aws:iot:*:*:topic/a"}}`,
			"--policy - --action iot:Publish --resource topic/a", "-:1:74: \"topic/a\" is wrong for the statement's actions: iot:Subscribe needs topicfilter/a\n"},
	} {
		t.Run(c.words, func(t *testing.T) {
			code, stdout, stderr := runEval(t, c.stdin, strings.Fields(c.words)...)
			if code != 2 || stdout != "" || strings.Count(stderr, "\n") != 1 || !strings.Contains(stderr, c.want) {
				t.Errorf("exit code %d, stdout %q, stderr %q, want one line with %q", code, stdout, stderr, c.want)
			}
			if strings.HasPrefix(c.want, "-:") && stderr != c.want {
				t.Errorf("stderr %q, want %q", stderr, c.want)
			}
		})
	}
}

func TestEvalWithClosedStdoutDecidesNothing(t *testing.T) {
	r, w := io.Pipe()
	r.CloseWithError(errors.New("nobody reads"))
	var stderr bytes.Buffer
	p := &cli.Process{Args: strings.Fields("eval --policy - --action iot:Publish --resource topic/a"), Getenv: func(string) string { return "" },
		Stdin: strings.NewReader(evalPolicy), Stdout: w, Stderr: &stderr}
	if code := run(p); code != 2 || stderr.String() != "testbroker eval: nobody reads\n" {
		t.Errorf("exit code %d, stderr %q", code, stderr.String())
	}
}

func TestEvalHelpIsOnStdout(t *testing.T) {
	code, stdout, stderr := runEval(t, "", "--help")
	if code != 0 || stderr != "" || !strings.Contains(stdout, "--var KEY=VALUE") || !strings.Contains(stdout, "MQTT_TESTBROKER_EVAL_POLICY") {
		t.Errorf("exit code %d, stdout %q, stderr %q", code, stdout, stderr)
	}
	for line := range strings.Lines(stdout) {
		if len(line) > 81 {
			t.Errorf("longer than 80 columns: %q", line)
		}
	}
}

// The real program, with an option from the environment.
func TestEvalAsAProcess(t *testing.T) {
	c := exec.Command(os.Args[0], "eval", "--policy=-", "--action", "iot:Publish", "--resource", "topic/c1/x")
	c.Env = append(os.Environ(), "TESTBROKER_BE_THE_PROGRAM=1", "MQTT_TESTBROKER_EVAL_CLIENT_ID=c1")
	c.Stdin = strings.NewReader(evalPolicy)
	c.Stderr = os.Stderr
	stdout, err := c.Output()
	if want := "allow\nstatement 2 of - allows iot:Publish on arn:aws:iot:eu-west-1:111122223333:topic/c1/x\n"; err != nil || string(stdout) != want {
		t.Errorf("%v, stdout %q, want %q", err, stdout, want)
	}
	c = exec.Command(os.Args[0], "eval", "--policy=-", "--action", "iot:Publish", "--resource", "topic/c1/x")
	c.Env = append(os.Environ(), "TESTBROKER_BE_THE_PROGRAM=1", "MQTT_TESTBROKER_EVAL_CLIENT_ID=c2")
	c.Stdin = strings.NewReader(evalPolicy)
	stdout, err = c.Output()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 1 || !strings.HasPrefix(string(stdout), "deny\n") {
		t.Errorf("%v, stdout %q, want exit code 1 and deny", err, stdout)
	}
}
