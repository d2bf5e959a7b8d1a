package peers

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"iotwire/internal/testbroker"
	"iotwire/mqtt"
)

// TestFormatsAreThoseOfMosquitto has subscriber and mosquitto_sub print the same messages: the letters that both have
// mean the same. %I differs by the colon in the time zone and by milliseconds, %j by what mosquitto's loses.
func TestFormatsAreThoseOfMosquitto(t *testing.T) {
	findProgram(t, "mosquitto_sub")
	programs := buildPrograms(t)
	ours := testbroker.New(testbroker.Config{})
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go ours.Serve(context.Background(), listener)
	t.Cleanup(ours.Close)
	b := &broker{kind: iotwire, address: listener.Addr().String()}

	messages := []mqtt.Message{
		{Topic: "formats/kept", Payload: []byte("kept"), QoS: 1, Retain: true}, // it comes first
		{Topic: "formats/a", Payload: []byte("hello"), QoS: 1},
		{Topic: "formats/with space", Payload: []byte(`{"a":1.10}`), QoS: 0},
		{Topic: "formats/binary", Payload: []byte("\x00\xff\x1b[31m\\n%t@Y"), QoS: 1},
		{Topic: "formats/empty", QoS: 1},
		{Topic: "formats/lines", Payload: []byte("one\r\ntwo\n"), QoS: 2}, // mosquitto_sub prints it when PUBREL comes
	}
	publish := func(m mqtt.Message) {
		t.Helper()
		if err := ours.Publish(m.Topic, m.Payload, m.QoS, m.Retain); err != nil {
			t.Fatal(err)
		}
	}
	publish(messages[0])
	for _, c := range []struct{ ours, theirs []string }{
		{[]string{"-F", "text"}, []string{"-F", "%p"}}, // told nothing, mosquitto_sub prints no line for an empty payload
		{[]string{"-F", "raw"}, []string{"-N"}},
		{[]string{"-F", `%t|%p|%q|%r|%m|%l|%x|%X|%%|\\|\t|\r|\v|\a|\e|\0|`}, nil},
		{[]string{"-F", `%t\0%p\0`}, []string{"-N", "-F", `%t\0%p\0`}},
		{[]string{"-F", `%t %p\n`}, []string{"-N", "-F", `%t %p\n`}},
		{[]string{"-F", `[%20t] [%-20t] [%.9t] [%20.9t] [%-20.9t]`}, nil},
		{[]string{"-F", `[%5l] [%-5l] [%05l]`}, nil},
	} {
		t.Run(c.ours[1], func(t *testing.T) {
			if c.theirs == nil {
				c.theirs = c.ours
			}
			n := fmt.Sprint(len(messages))
			var printed, want bytes.Buffer
			run := func(cmd *exec.Cmd, out *bytes.Buffer, args ...string) *process {
				cmd.Args = append(cmd.Args, args...)
				cmd.Stdout, cmd.Stderr = out, newJournal(t, filepath.Base(cmd.Path))
				return startProcess(t, cmd)
			}
			first := run(exec.Command(filepath.Join(string(programs), "subscriber"), "-e", b.endpoint()), &printed,
				append(c.ours, "-t", "formats/#", "-q", "2", "-n", n)...)
			other := run(b.mosquittoCommand(t, "mosquitto_sub"), &want,
				append(c.theirs, "-t", "formats/#", "-q", "2", "-C", n)...)
			for deadline := time.Now().Add(patience); ours.Stats().Subscriptions < 2; time.Sleep(time.Millisecond) {
				if time.Now().After(deadline) {
					t.Fatal("they do not subscribe")
				}
			}
			for _, m := range messages[1:] {
				publish(m)
			}
			if code := first.wait(t); code != 0 {
				t.Errorf("subscriber ended with %d", code)
			}
			if code := other.wait(t); code != 0 {
				t.Errorf("mosquitto_sub ended with %d", code)
			}
			if !bytes.Equal(printed.Bytes(), want.Bytes()) {
				t.Errorf("subscriber %q prints\n%q\nmosquitto_sub %q\n%q", c.ours, &printed, c.theirs, &want)
			}
		})
	}
}
