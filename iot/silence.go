package iot

import (
	"fmt"
	"strings"
	"time"

	"iotwire/mqtt"
)

// RefusedError says that the server answered SUBSCRIBE with failure for some topic filters. It matches [mqtt.ErrRefused].
// A program makes it from what [mqtt.Trace] or [mqtt.Subscription.Ready] tell, for [Diagnose].
type RefusedError struct {
	Filters []string // at least one
}

// Error returns one line.
func (e *RefusedError) Error() string {
	return oneLine(strings.Join(e.Filters, ", ")) + " refused by the server (SUBACK 0x80, MQTT 3.1.1 section 3.9.3)"
}

// Is reports whether target is mqtt.ErrRefused.
func (e *RefusedError) Is(target error) bool { return target == mqtt.ErrRefused }

// SilenceError says that nothing came in time, though the connection stands and the server has broken no rule: no message
// for the subscriptions to Filters, or, if Topic is not empty, no acknowledgement of a message on it. A program makes it
// when it has waited long enough, for [Diagnose].
type SilenceError struct {
	Filters []string
	Topic   string
	After   time.Duration
}

// Error returns one line.
func (e *SilenceError) Error() string {
	if e.Topic != "" {
		return fmt.Sprintf("no acknowledgement of a message on %s for %v", oneLine(e.Topic), e.After)
	}
	return fmt.Sprintf("no message on %s for %v", oneLine(strings.Join(e.Filters, ", ")), e.After)
}

// oneLine replaces what would make more than one line of s, or play with a terminal.
//
//go:noinline
func oneLine(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || 0x7f <= r && r < 0xa0 || r == 0x2028 || r == 0x2029 {
			return '\uFFFD'
		}
		return r
	}, s)
}
