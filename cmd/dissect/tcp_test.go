package main

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"iotwire/internal/cli"
)

// Whatever way a stream was cut into segments, and in whatever order and however often these came, its packets are the same.
func TestPutsSegmentsTogetherInAnyOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		stream, want := []byte(connectC), fmt.Sprintf("> % x\n", connectC)
		for i := range rapid.IntRange(1, 20).Draw(t, "packets") {
			p := "\x30\x05\x00\x01t" + string(rune('a'+i)) + "!"
			stream, want = append(stream, p...), want+fmt.Sprintf("> % x\n", p)
		}
		begin := rapid.Uint32().Draw(t, "first sequence number")
		frames := [][]byte{ipv4(5000, 1883, begin-1, 2, "")}
		for at := 0; at < len(stream); {
			// A segment begins where the last one ended or before it, as in a repetition with other bounds.
			n := rapid.IntRange(1, 30).Draw(t, "size")
			from := max(0, at-rapid.IntRange(0, 10).Draw(t, "overlap"))
			to := min(len(stream), at+n)
			frames = append(frames, ipv4(5000, 1883, begin+uint32(from), 0x18, string(stream[from:to])))
			at = to
		}
		order := append([][]byte(nil), frames[1:]...)
		for i := range order {
			j := min(len(order)-1, i+rapid.IntRange(0, 3).Draw(t, "late"))
			order[i], order[j] = order[j], order[i]
			if rapid.IntRange(0, 4).Draw(t, "again") == 0 {
				order = append(order, order[i])
			}
		}
		var out strings.Builder
		var printed bytes.Buffer
		run(&cli.Process{Args: []string{"-f", "hex"}, Getenv: func(string) string { return "" }, Stdout: &printed, Stderr: &printed,
			Stdin: bytes.NewReader(pcapOf(101, append(frames[:1:1], order...)...))})
		for line := range strings.Lines(printed.String()) {
			if sent, _, found := strings.Cut(line, "  # "); found {
				parts := strings.SplitN(sent, " ", 3) // with the time
				fmt.Fprintf(&out, "%s %s\n", parts[0], parts[2])
			}
		}
		if out.String() != want {
			t.Fatalf("got:\n%swant:\n%s", out.String(), want)
		}
	})
}
