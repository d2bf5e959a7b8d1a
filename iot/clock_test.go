package iot

import (
	"context"
	"errors"
	"runtime/debug"
	"testing"
	"testing/synctest"
	"time"
)

func TestWaitForClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		floor := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
		looks := 0
		wall := func() time.Time {
			looks++
			if up := time.Since(began); up < 90*time.Second {
				return time.Unix(0, 0).Add(up)
			}
			return floor
		}
		if err := WaitForClock(t.Context(), floor, wall); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(began); took != 90*time.Second || looks != 91 {
			t.Errorf("%v and %d looks, want 90 s and one each second", took, looks)
		}
		began = time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		if err := WaitForClock(ctx, floor, wall); !errors.Is(err, context.DeadlineExceeded) || time.Since(began) != 10*time.Second {
			t.Errorf("%v after %v", err, time.Since(began))
		}
		if err := WaitForClock(t.Context(), time.Now(), nil); err != nil {
			t.Error(err)
		}
	})
}

func TestBuildTimeIsThatOfTheCommit(t *testing.T) {
	for value, want := range map[string]string{
		"2026-11-23T03:28:47Z": "2026-11-23 03:28:47 UTC",
		"2001-01-01T00:00:00Z": clock(clockFloor),
		"yesterday":            clock(clockFloor),
	} {
		if got := clock(buildTime([]debug.BuildSetting{{Key: "vcs", Value: "git"}, {Key: "vcs.time", Value: value}})); got != want {
			t.Errorf("%s: %s, want %s", value, got, want)
		}
	}
	if got := buildTime(nil); got != clockFloor {
		t.Errorf("%v, want %v", got, clockFloor)
	}
	if got := BuildTime(); got.Before(clockFloor) {
		t.Errorf("%v", got)
	}
}
