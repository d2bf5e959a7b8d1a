// Package advisor plays the test cases of AWS IoT Device Advisor, offline, for any device program: it runs the program
// against a server that fails in a certain way, watches what it does, and gives a verdict. The map:
//
//	advisor.go       Run: all cases, some side by side, and the report
//	cases.go         the table of cases
//	tlscases.go      what they do: the handshake, and servers that nobody should trust
//	mqttcases.go     connecting, publishing, subscribing, and answers that do not come
//	retrycases.go    the delays between attempts to connect
//	sessioncases.go  sessions that the server keeps, and one that has expired
//	longcase.go      a day in the life of a device, scaled down
//	delays.go        what delays look like: jitter, exponential, linear, constant
//	ciphersuites.go  which cipher suites AWS IoT Core supports
//	trial.go         a server, a program that uses it, and what was seen
//	line.go          one connection of the program
//	alerts.go        the TLS alerts that it sends
//	program.go       the program as a process
//	authority.go     the CA, and server certificates good and bad
//
// Behind each connection stands an ordinary [testbroker.Broker], with a [testbroker.Relay] in between that loses packets.
// What AWS does in hours is done in seconds: each case's entry in the table says how.
package advisor

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"time"
)

// Verdict is what a case finds.
type Verdict string

// The verdicts.
const (
	Pass          Verdict = "pass"
	Warn          Verdict = "warn" // pass with warnings
	Fail          Verdict = "fail"
	NotApplicable Verdict = "n/a" // the program does nothing of what the case is about
)

// outcome is a verdict and the reason for it, in one line.
type outcome struct {
	verdict Verdict
	reason  string
}

func pass(format string, args ...any) outcome { return outcome{Pass, fmt.Sprintf(format, args...)} }
func warn(format string, args ...any) outcome { return outcome{Warn, fmt.Sprintf(format, args...)} }
func fail(format string, args ...any) outcome { return outcome{Fail, fmt.Sprintf(format, args...)} }
func notApplicable(format string, args ...any) outcome {
	return outcome{NotApplicable, fmt.Sprintf(format, args...)}
}

// Event is something that happened in a case.
type Event struct {
	Seconds    float64 `json:"seconds"`              // since the case began, to the millisecond
	Connection int     `json:"connection,omitempty"` // of the program to the server: 1, 2, ...; 0: none
	Text       string  `json:"text"`                 // one line
}

// Result is what became of a case.
type Result struct {
	ID      string  `json:"id"`
	Verdict Verdict `json:"verdict"`
	Reason  string  `json:"reason"` // one line
	Events  []Event `json:"events"` // in order; of more than some hundred the later ones are only counted
}

// Report is the results of all cases that were finished, in the order in which they were given.
type Report struct {
	Program []string `json:"program"` // as it was given, with {endpoint}, {port} and {dir}
	Cases   []Result `json:"cases"`
}

// Failed reports whether a case failed.
func (r *Report) Failed() bool {
	return slices.ContainsFunc(r.Cases, func(c Result) bool { return c.Verdict == Fail })
}

// JSON returns the report as one object, with a line feed behind it.
func (r *Report) JSON() []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	e.Encode(r) // it has nothing that cannot be encoded
	return b.Bytes()
}

const (
	sideBySide = 16                // so many cases at a time: their programs mostly wait
	caseLimit  = 150 * time.Second // no case takes longer

	apart = 200 * time.Millisecond // between two beginnings: to start a program may be a lot of work
)

// Run runs the program in each of the cases and returns the report. In the program's arguments {endpoint} stands for the
// name of the server, {port} for its port, and {dir} for a directory of this run alone that has private.key, cert.pem and
// AmazonRootCA1.pem. Each run is a process group of its own, without standard input, and is ended, by SIGTERM and after
// a second by SIGKILL, when its case is over.
//
// Each result is given to done as soon as it and all earlier ones are there; done is called by one goroutine at a time. If
// ctx ends, all programs are ended, and Run returns the results that it has with ctx.Err(). Any other error is one of this
// machine: no temporary files, for example. Run takes under three minutes for all cases.
func Run(ctx context.Context, program []string, cases []Case, done func(Result)) (*Report, error) {
	k, err := newKeys()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "advisor-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	return run(ctx, cases, done, setting{
		keys:   k,
		dir:    dir,
		launch: processes(program),
		listen: func() (net.Listener, error) { return net.Listen("tcp", "127.0.0.1:0") },
	}, &Report{Program: program, Cases: []Result{}})
}

// setting is what the cases have in common.
type setting struct {
	keys   *keys
	dir    string // for the directories of the programs; empty: they get none
	launch launcher
	listen func() (net.Listener, error)

	authority *authority
}

func run(ctx context.Context, cases []Case, done func(Result), s setting, report *Report) (*Report, error) {
	var err error
	if s.authority, err = newAuthority(s.keys, time.Now()); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	results := make([]*Result, len(cases))
	var mu sync.Mutex // guards results, and the calls of done
	told := 0
	finish := func(i int, r Result) {
		mu.Lock()
		defer mu.Unlock()
		results[i] = &r
		for told < len(results) && results[told] != nil {
			done(*results[told])
			told++
		}
	}
	var running sync.WaitGroup
	places := make(chan struct{}, sideBySide)
	for _, i := range longestFirst(cases) {
		select {
		case places <- struct{}{}:
		case <-ctx.Done():
		}
		if ctx.Err() != nil {
			break
		}
		running.Go(func() {
			defer func() { <-places }()
			r, err := runCase(ctx, cases[i], &s)
			switch {
			case ctx.Err() != nil:
			case err != nil:
				cancel(err)
			default:
				finish(i, r)
			}
		})
		select {
		case <-time.After(apart):
		case <-ctx.Done():
		}
	}
	running.Wait()
	for i, r := range results {
		if r == nil {
			continue
		}
		report.Cases = append(report.Cases, *r)
		if i >= told { // an earlier one was not finished
			done(*r)
		}
	}
	return report, context.Cause(ctx)
}

// longestFirst is the order in which to begin the cases, so that a long one is not the last.
func longestFirst(cases []Case) (order []int) {
	for _, long := range []bool{true, false} {
		for i, c := range cases {
			if c.long == long {
				order = append(order, i)
			}
		}
	}
	return order
}

func runCase(ctx context.Context, c Case, s *setting) (Result, error) {
	ctx, cancel := context.WithTimeout(ctx, caseLimit)
	defer cancel()
	b := &bench{setting: s, ctx: ctx, name: c.ID, began: time.Now(), limit: time.Now().Add(caseLimit)}
	defer b.end()
	o := c.script(b)
	if b.failure != nil {
		return Result{}, b.failure
	}
	if broken := b.violation(); broken != "" && o.verdict != Fail {
		o = fail("%s", broken)
	}
	return Result{ID: c.ID, Verdict: o.verdict, Reason: o.reason, Events: b.record()}, nil
}

// ErrNoCase is returned by Select for a pattern that no case matches.
var ErrNoCase = errors.New("no such case")

// Select returns the cases that the patterns match, in the order of [Cases], each once; without patterns all. A pattern
// is an identifier, in which * stands for any characters, and case does not count.
func Select(patterns []string) ([]Case, error) {
	if len(patterns) == 0 {
		return Cases(), nil
	}
	chosen := map[string]bool{}
	for _, p := range patterns {
		found := false
		for _, c := range Cases() {
			if matches(strings.ToLower(p), strings.ToLower(c.ID)) {
				chosen[c.ID], found = true, true
			}
		}
		if !found {
			return nil, fmt.Errorf("%w: %q", ErrNoCase, p)
		}
	}
	return slices.DeleteFunc(Cases(), func(c Case) bool { return !chosen[c.ID] }), nil
}

// matches reports whether s is what the pattern says, in which * stands for any characters.
func matches(pattern, s string) bool {
	first, rest, more := strings.Cut(pattern, "*")
	if !strings.HasPrefix(s, first) {
		return false
	}
	s = s[len(first):]
	if !more {
		return s == ""
	}
	for i := range len(s) + 1 {
		if matches(rest, s[i:]) {
			return true
		}
	}
	return false
}
