package iot

import (
	"context"
	"runtime/debug"
	"time"
)

// clockFloor is before this program was written: a clock that is earlier is not set.
var clockFloor = time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC)

// clock writes t as this package shows it.
func clock(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 UTC") }

// clockPoll is how often WaitForClock looks.
const clockPoll = time.Second

// BuildTime returns a time that has passed when this program was built, so that no clock that is set is earlier: that of the
// commit it was built from, which go build notes in a program that it builds in a repository ("vcs.time"), or else the
// beginning of 2025.
func BuildTime() time.Time {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return clockFloor
	}
	return buildTime(info.Settings)
}

func buildTime(settings []debug.BuildSetting) time.Time {
	for _, s := range settings {
		if s.Key != "vcs.time" {
			continue
		}
		if t, err := time.Parse(time.RFC3339, s.Value); err == nil && t.After(clockFloor) {
			return t
		}
	}
	return clockFloor
}

// WaitForClock waits until the clock is not earlier than floor, such as [BuildTime]. A board without a battery for its
// clock starts in 1970, when no certificate is valid yet, and learns the time from the network a little later. It looks once
// a second, and ends with the error of ctx if that ends first. now is the clock; nil: [time.Now].
//
// Nothing else in this package or in package mqtt waits for the wall clock: time-outs, keep alive and backoff go on while it
// is set.
func WaitForClock(ctx context.Context, floor time.Time, now func() time.Time) error {
	if now == nil {
		now = time.Now
	}
	ticker := time.NewTicker(clockPoll)
	defer ticker.Stop()
	for now().Before(floor) {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-ticker.C:
		}
	}
	return nil
}
