package cli

import (
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"iotwire/iot"
	"iotwire/mqtt/packet"
)

// boardClock is the wall clock of a board that starts in 1970 and is set after some time.
func boardClock(setAfter time.Duration) func(*Process) {
	began := time.Now()
	return func(p *Process) {
		p.now = func() time.Time {
			if up := time.Since(began); up < setAfter {
				return time.Unix(0, 0).Add(up)
			}
			return iot.BuildTime().Add(time.Hour)
		}
	}
}

func TestWaitsForTheClock(t *testing.T) {
	for _, args := range [][]string{{"-m", "hi"}, {"--check"}} {
		synctest.Test(t, func(t *testing.T) {
			var dialled atomic.Bool
			began := time.Now()
			r := run(t, Publisher, script(func(p *peer, h packet.Header, body []byte) bool {
				if !dialled.Swap(true) && time.Since(began) < 41*time.Second {
					t.Errorf("connected after %v", time.Since(began))
				}
				return p.obey(h, body)
			}), boardClock(40500*time.Millisecond), append(args, "--wait-for-clock")...)
			r.ended(ExitDone)
			r.said("waiting for the clock: it says 1970-01-01 00:00:00, and this program is of " + iot.BuildTime().UTC().Format("2006-01-02 15:04:05"))
			if !strings.Contains(r.stderr.String(), "the clock was set after 41.0 s: it says ") || !dialled.Load() {
				t.Error(r.stderr.String())
			}
		})
	}
}

func TestClockThatIsSetIsNotWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := run(t, Publisher, script((*peer).obey), boardClock(0), "-m", "hi", "--wait-for-clock")
		r.ended(ExitDone)
		if strings.Contains(r.stderr.String(), "clock") {
			t.Error(r.stderr.String())
		}
	})
}

func TestSignalEndsTheWaitForTheClock(t *testing.T) {
	for signal, code := range map[os.Signal]ExitCode{os.Interrupt: ExitInterrupted, syscall.SIGTERM: ExitTerminated} {
		for _, args := range [][]string{{"-m", "hi"}, {"--check"}} {
			synctest.Test(t, func(t *testing.T) {
				r := start(t, Publisher, nil, boardClock(time.Hour), append(args, "--wait-for-clock")...)
				time.Sleep(time.Minute)
				r.signals <- signal
				r.ended(code, "publisher: interrupted while waiting for the clock")
			})
		}
	}
}
