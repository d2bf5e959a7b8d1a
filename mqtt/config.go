package mqtt

import (
	"errors"
	"fmt"
	"math"
	"time"

	"iotwire/mqtt/packet"
)

// setDefaults checks cfg and fills in what was left zero.
func (cfg *Config) setDefaults() error {
	if cfg.Dial == nil {
		return badConfig("Dial is nil, want a function that opens a network connection")
	}
	for _, v := range []struct {
		name  string
		value *int
		usual int
		most  int
	}{
		{"MaxPacket", &cfg.MaxPacket, 256 << 10, packet.MaxRemainingLength + 5},
		{"Inbox", &cfg.Inbox, 256 << 10, math.MaxInt},
		{"Inflight", &cfg.Inflight, 32, 65535},
		{"Queue.Messages", &cfg.Queue.Messages, 1024, 1 << 30},
		{"Queue.Bytes", &cfg.Queue.Bytes, 1 << 20, math.MaxInt},
		{"SubscribeBatch", &cfg.SubscribeBatch, 64, 65535},
		{"MaxAttempts", &cfg.MaxAttempts, 0, 1 << 30},
	} {
		if *v.value < 0 || *v.value > v.most {
			return badConfig("%s is %d, want 0 (the default, %d) to %d", v.name, *v.value, v.usual, v.most)
		}
		if *v.value == 0 {
			*v.value = v.usual
		}
	}
	if n := cfg.Inflight + cfg.Queue.Messages; cfg.Store != nil && n > 60000 {
		return badConfig("Inflight + Config.Queue.Messages is %d, want at most 60000 with a Store: each stored message has an identifier", n)
	}
	if cfg.Queue.Full > DropOldest {
		return badConfig("Queue.Full is %d, want Block, Reject or DropOldest", cfg.Queue.Full)
	}
	for _, v := range []struct {
		name  string
		value *time.Duration
		usual time.Duration
	}{
		{"Resend", &cfg.Resend, 0},
		{"Timeout", &cfg.Timeout, 10 * time.Second},
		{"Backoff.Min", &cfg.Backoff.Min, time.Second},
		{"Backoff.Max", &cfg.Backoff.Max, 2 * time.Minute},
		{"Backoff.Floor", &cfg.Backoff.Floor, 0},
		{"Backoff.Stable", &cfg.Backoff.Stable, 30 * time.Second},
	} {
		if *v.value < 0 {
			return badConfig("%s is %v, want 0 (the default, %v) or more", v.name, *v.value, v.usual)
		}
		if *v.value == 0 {
			*v.value = v.usual
		}
	}
	switch {
	case cfg.KeepAlive == 0:
		cfg.KeepAlive = 60 * time.Second
	case cfg.KeepAlive < 0:
		cfg.KeepAlive = 0
	case cfg.KeepAlive > 65535*time.Second:
		return badConfig("KeepAlive is %v, want at most 65535 s (18 h 12 min 15 s)", cfg.KeepAlive)
	default:
		cfg.KeepAlive = (cfg.KeepAlive + time.Second - 1).Truncate(time.Second)
	}
	if cfg.Will != nil {
		will := cfg.Will.Clone()
		cfg.Will = &will
		if cfg.Check != nil {
			if err := cfg.Check(cfg.Will); err != nil {
				return err
			}
		}
	}
	if cfg.Retry == nil {
		cfg.Retry = retry
	}
	if cfg.Trace == nil {
		cfg.Trace = &Trace{}
	}
	return nil
}

// badConfig is the error for what stands in Config.
//
//go:noinline
func badConfig(format string, args ...any) error {
	return fmt.Errorf("%w: Config.%s", packet.ErrInvalid, fmt.Sprintf(format, args...))
}

// retry is the default of Config.Retry.
func retry(err error) bool {
	refused, ok := errors.AsType[*ConnectError](err)
	return !ok || refused.Code == packet.RefusedUnavailable
}
