package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
)

// writeTable prints the rows in Markdown: a table for each section, a line for each case, a column for each contestant.
func (b *bench) writeTable(w io.Writer) error {
	for i := 0; i < len(b.rows); {
		end := i
		for end < len(b.rows) && b.rows[end].Section == b.rows[i].Section {
			end++
		}
		if err := writeSection(w, b.rows[i:end]); err != nil {
			return err
		}
		i = end
	}
	return nil
}

// units says what the cells of a section are.
var units = map[string]string{
	"codec":      "ns an operation (allocations)",
	"publish":    "messages a second (microseconds of the client's processor, allocations, a message)",
	"receive":    "messages a second (microseconds of the client's processor, allocations, a message)",
	"round trip": "p50 / p99 in microseconds (allocations)",
	"idle":       "KiB of resident memory a client (goroutines)",
	"durable":    "messages a second; the limit is one fsync a message",
	"scale":      "for each client: to connect, to publish one message at QoS 1 all at once, and resident memory",
	"size":       "bytes, stripped",
	"start":      "ms from start to end",
}

func (r *row) cell() string {
	if r.Unavailable != "" {
		return r.Unavailable
	}
	switch r.Section {
	case "codec":
		return fmt.Sprintf("%.1f (%s)", 1e9/r.Rate, count(r.Allocs))
	case "publish", "receive":
		return fmt.Sprintf("%s (%.2f, %s)", thousands(r.Rate), r.CPU, count(r.Allocs))
	case "round trip":
		return fmt.Sprintf("%.1f / %.1f (%s)", r.P50, r.P99, count(r.Allocs))
	case "idle":
		return fmt.Sprintf("%.1f (%.1f)", r.Memory, r.Goroutines)
	case "scale":
		return fmt.Sprintf("%.2f ms, %.1f us, %.1f KiB", r.Millis, r.CPU, r.Memory)
	case "size":
		return fmt.Sprint(r.Bytes)
	case "start":
		return fmt.Sprintf("%.1f", r.Millis)
	}
	return thousands(r.Rate)
}

func count(n float64) string {
	if n < 0.05 {
		return "0"
	}
	return fmt.Sprintf("%.1f", n)
}

func thousands(n float64) string {
	switch {
	case n >= 1e6:
		return fmt.Sprintf("%.2f M", n/1e6)
	case n >= 1e4:
		return fmt.Sprintf("%.0f k", n/1e3)
	}
	return fmt.Sprintf("%.0f", n)
}

func writeSection(w io.Writer, rows []row) error {
	var names []string
	var cases []string
	cells := map[[2]string]*row{}
	for i := range rows {
		r := &rows[i]
		if !slices.Contains(names, r.Contestant) {
			names = append(names, r.Contestant)
		}
		if !slices.Contains(cases, r.Case) {
			cases = append(cases, r.Case)
		}
		cells[[2]string{r.Case, r.Contestant}] = r
	}
	table := [][]string{append(append([]string{"case"}, names...), "to the limit", "processor", "to the best peer")}
	for _, c := range cases {
		line := []string{c}
		for _, n := range names {
			if r := cells[[2]string{c, n}]; r != nil {
				line = append(line, r.cell())
			} else {
				line = append(line, "")
			}
		}
		ratio := func(v float64) string {
			if v == 0 {
				return ""
			}
			return fmt.Sprintf("%.2f", v)
		}
		if o := cells[[2]string{c, ours.name}]; o != nil {
			line = append(line, ratio(o.OfLimit), ratio(o.CPUOfLimit), ratio(o.OfBestPeer))
		}
		table = append(table, line)
	}
	width := make([]int, len(table[0]))
	for _, line := range table {
		for i, s := range line {
			width[i] = max(width[i], len(s))
		}
	}
	var out strings.Builder
	fmt.Fprintf(&out, "\n## %s\n\n%s.\n\n", rows[0].Section, units[rows[0].Section])
	for i, line := range table {
		for len(line) < len(width) {
			line = append(line, "")
		}
		for j, s := range line {
			fmt.Fprintf(&out, "| %-*s ", width[j], s)
		}
		out.WriteString("|\n")
		if i == 0 {
			for _, n := range width {
				out.WriteString("|" + strings.Repeat("-", n+2))
			}
			out.WriteString("|\n")
		}
	}
	_, err := io.WriteString(w, out.String())
	return err
}
